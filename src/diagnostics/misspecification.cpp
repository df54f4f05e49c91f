#include "bayesflow/diagnostics/misspecification.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autodiff/mmd_kernel.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

double kernel_at(const Array& x, std::int64_t i, const Array& y, std::int64_t j) {
  const std::int64_t d = x.dim(1);
  const double *a = x.data() + i * d, *b = y.data() + j * d;
  double s = 0;
  for (std::int64_t k = 0; k < d; ++k) s += (a[k] - b[k]) * (a[k] - b[k]);
  return detail::kernel(s).value;
}

/// Mean over pairs of different rows; 0 for a single row.
double within(const Array& x) {
  const std::int64_t n = x.dim(0);
  if (n == 1) return 0;
  double s = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) s += kernel_at(x, i, x, j);
  return 2 * s / static_cast<double>(n * (n - 1));
}

double between(const Array& x, const Array& y) {
  double s = 0;
  for (std::int64_t i = 0; i < x.dim(0); ++i)
    for (std::int64_t j = 0; j < y.dim(0); ++j) s += kernel_at(x, i, y, j);
  return s / static_cast<double>(x.dim(0) * y.dim(0));
}

void require_samples(const Array& x, const Array& y) {
  if (x.rank() != 2 || y.rank() != 2 || x.dim(1) != y.dim(1) || x.dim(0) < 1 || y.dim(0) < 1)
    throw ShapeError(fmt::format("mmd_squared_unbiased: needs two samples (n, d) and (m, d); got {} and {}", x.shape().to_string(),
                                 y.shape().to_string()));
}

/// One row per data set, of what is compared.
Array features(const AmortizedPosterior& amortizer, const Batch& inputs, MmdSpace space) {
  if (space == MmdSpace::summary) return amortizer.summary(inputs);
  std::vector<RoleName> read;
  if (const SummaryNetwork* net = amortizer.summary_net())
    for (const std::string& source : net->sources()) read.push_back(roles::of_source(roles::summary_conditions, source));
  if (read.empty()) read.emplace_back(inputs.has(roles::summary_conditions) ? roles::summary_conditions : roles::direct_conditions);
  Array out;
  for (const RoleName& role : read) {
    const Block* data = inputs.find(role);
    if (!data) throw SummaryStatsError("mmd_hypothesis_test: there are neither summary conditions nor direct conditions to compare");
    const Array flat = data->array().reshape({data->dim(0), data->dim(0) ? data->size() / data->dim(0) : 0});
    out = &role == read.data() ? flat : concatenate({out, flat}, 1);
  }
  return out;
}

template <class NullSample>
MmdTest test(const Array& reference, const Array& observed, const MmdTestOptions& options, NullSample null_sample) {
  require_samples(reference, observed);
  // The reference's own term is the same for all.
  const double own = within(reference);
  const auto distance = [&](const Array& sample) { return own + within(sample) - 2 * between(reference, sample); };
  MmdTest out;
  out.level = options.level;
  out.observed = distance(observed);
  const std::int64_t count = options.num_null_samples;
  std::int64_t as_large = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    out.null_distribution.push_back(distance(null_sample(i)));
    as_large += out.null_distribution.back() >= out.observed;
    if (options.progress) options.progress(i + 1, count);
  }
  std::sort(out.null_distribution.begin(), out.null_distribution.end());
  out.p_value = static_cast<double>(1 + as_large) / static_cast<double>(1 + count);
  // At most floor(level (count + 1)) - 1 null values may be as large as a value that is rejected.
  const auto allowed = static_cast<std::int64_t>(std::floor(options.level * static_cast<double>(count + 1) * (1 + 1e-12)));
  out.critical_value = out.null_distribution[static_cast<std::size_t>(count - allowed)];
  return out;
}

}  // namespace

void MmdTestOptions::validate() const {
  const auto check = [](bool good, const char* name, auto value, const std::string& constraint) {
    if (!good) throw ConfigurationError(fmt::format("MmdTestOptions::{} = {}; it must be {}", name, value, constraint));
  };
  nonfinite.validate();
  check(num_reference_simulations >= 4, "num_reference_simulations", num_reference_simulations, "at least 4");
  check(level > 0 && level < 1, "level", level, "between 0 and 1");
  const auto least = static_cast<std::int64_t>(std::ceil(1 / level - 1 - 1e-9));
  check(num_null_samples >= std::max<std::int64_t>(1, least), "num_null_samples", num_null_samples,
        fmt::format("at least {}, because no p-value is below 1 / (1 + num_null_samples)", std::max<std::int64_t>(1, least)));
  if (!configurator) throw ConfigurationError("MmdTestOptions::configurator is empty; give a callable or leave the default");
}

double mmd_squared_unbiased(const Array& x, const Array& y) {
  require_samples(x, y);
  return within(x) + within(y) - 2 * between(x, y);
}

MmdTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed, const GenerativeModel& model,
                            const MmdTestOptions& options) {
  options.validate();
  const auto simulate = [&](std::int64_t n, const char* purpose, std::int64_t first) {
    NonFiniteCount ignored;
    return options.configurator(
        model.simulate(n, options.seed, purpose, static_cast<std::uint64_t>(first), nullptr, options.nonfinite.keeping_count(), ignored));
  };
  if (options.bootstrap)
    return mmd_hypothesis_test(amortizer, observed, simulate(2 * options.num_reference_simulations, "mmd reference", 0), options);
  const Array reference = features(amortizer, simulate(options.num_reference_simulations, "mmd reference", 0), options.space);
  const Array ours = features(amortizer, observed, options.space);
  const std::int64_t n = ours.dim(0);
  return test(reference, ours, options, [&](std::int64_t i) { return features(amortizer, simulate(n, "mmd null", i * n), options.space); });
}

MmdTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed, const Batch& reference,
                            const MmdTestOptions& options) {
  options.validate();
  const Array all = features(amortizer, reference, options.space), ours = features(amortizer, observed, options.space);
  const std::int64_t half = all.dim(0) / 2, n = ours.dim(0);
  if (half < 2)
    throw ShapeError(
        fmt::format("mmd_hypothesis_test: needs at least 4 reference data sets, half of them for the null samples; got {}", all.dim(0)));
  // Split at random: stored simulations may be sorted.
  std::vector<std::int64_t> order = Rng(options.seed, "mmd split").permutation(all.dim(0));
  const Array kept = all.take(std::span(order).first(static_cast<std::size_t>(half)));
  const Array aside = all.take(std::span(order).subspan(static_cast<std::size_t>(half)));
  return test(kept, ours, options, [&](std::int64_t i) {
    Rng rng(options.seed, "mmd bootstrap", static_cast<std::uint64_t>(i));
    std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
    for (std::int64_t& r : rows) r = rng.integers(0, aside.dim(0));
    return aside.take(rows);
  });
}

}  // namespace bayesflow
