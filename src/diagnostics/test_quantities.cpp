#include "bayesflow/diagnostics/test_quantities.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {

SbcRanks sbc_ranks(const Array& draws, const Array& truths, const Array& data, const std::vector<TestQuantity>& quantities,
                   const SbcRankOptions& options) {
  options.validate();
  const Sizes n = check_draws(draws, truths, "sbc_ranks");
  if (quantities.empty())
    throw ConfigurationError("sbc_ranks: there is no test quantity; give at least one, or leave out data and quantities");
  if (!options.param_names.empty())
    throw ConfigurationError("sbc_ranks: param_names are given beside test quantities, which have names of their own; leave them out");
  for (const TestQuantity& q : quantities)
    if (!q.function) throw ConfigurationError(fmt::format("sbc_ranks: test quantity \"{}\" has no function", q.name));
  if (!data.empty() && (data.rank() < 1 || data.dim(0) != n.data_sets))
    throw ShapeError(fmt::format("sbc_ranks: data must have {} data sets on axis 0, as the draws, or be empty; got shape {}", n.data_sets,
                                 data.shape().to_string()));
  const auto count = static_cast<std::int64_t>(quantities.size());
  Array of_draws({n.data_sets, n.draws, count}), of_truths({n.data_sets, count}), rows({n.draws + 1, n.parameters});
  std::vector<std::string> names;
  for (const TestQuantity& q : quantities) names.push_back(q.name);
  for (std::int64_t b = 0; b < n.data_sets; ++b) {
    const double *first = draws.data() + b * n.draws * n.parameters, *truth = truths.data() + b * n.parameters;
    std::copy(truth, truth + n.parameters, std::copy(first, first + n.draws * n.parameters, rows.data()));
    const Array seen = data.empty() ? Array() : data.row(b);
    for (std::int64_t q = 0; q < count; ++q) {
      const Array values = quantities[index(q)].function(rows, seen);
      if (values.size() != n.draws + 1)
        throw ShapeError(fmt::format("sbc_ranks: test quantity \"{}\" must return {} numbers for parameters of shape {}; got shape {}",
                                     names[index(q)], n.draws + 1, rows.shape().to_string(), values.shape().to_string()));
      for (std::int64_t s = 0; s <= n.draws; ++s) {
        const double v = values.data()[s];
        if (std::isnan(v))
          throw ArgumentError(fmt::format("sbc_ranks: test quantity \"{}\" is NaN for {} of data set {}; it must be a number, or infinite",
                                          names[index(q)], s < n.draws ? fmt::format("draw {}", s) : "the truth", b));
        // Ranks need an order only: infinite values become the largest numbers.
        const double ranked = std::clamp(v, -std::numeric_limits<double>::max(), std::numeric_limits<double>::max());
        (s < n.draws ? of_draws(b, s, q) : of_truths(b, q)) = ranked;
      }
    }
  }
  SbcRankOptions of_quantities = options;
  of_quantities.param_names = std::move(names);
  return sbc_ranks(of_draws, of_truths, of_quantities);
}

}  // namespace bayesflow::diagnostics
