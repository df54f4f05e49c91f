#include "bayesflow/diagnostics/two_level.hpp"

#include <fmt/format.h>

#include <cmath>

#include "bayesflow/core/rng.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

struct Levels {
  std::vector<std::string> global_names, local_names;
  Array global_truths;                        // (B, H + S)
  Array draws, truths;                        // local: (rows, S, L), (rows, L)
  std::vector<std::int64_t> data_set, group;  // of the rows, by data sets
};

void add_names(std::vector<std::string>& to, const char* prefix, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to.push_back(fmt::format("{}_{}", prefix, i + 1));
}

Array block(const Batch& truths, const char* role, const char* what, int rank) {
  if (!truths.has(role))
    throw ConfigurationError(fmt::format("{}: the truths lack {}; give the batch that the trainer's configurator makes", what, role));
  Array out = truths.array(role);
  if (out.rank() != rank)
    throw ShapeError(fmt::format("{}: {} must have {} axes; got shape {}", what, role, rank, out.shape().to_string()));
  return out;
}

Levels levels_of(const TwoLevelAmortizedPosterior::Draws& draws, const Batch& batch, const TwoLevelOptions& options, const char* what) {
  options.validate();
  const Array hyper = block(batch, roles::hyper_parameters, what, 2), local = block(batch, roles::local_parameters, what, 3);
  Levels out;
  add_names(out.global_names, "hyper", hyper.dim(1));
  out.global_truths = hyper;
  if (batch.has(roles::shared_parameters)) {
    const Array shared = block(batch, roles::shared_parameters, what, 2);
    add_names(out.global_names, "shared", shared.dim(1));
    out.global_truths = concatenate({hyper, shared}, 1);
  }
  if (!options.global_names.empty())
    out.global_names = checked_names(options.global_names, static_cast<std::int64_t>(out.global_names.size()), what);
  const Shape expected{local.dim(0), local.dim(1), draws.global.rank() == 3 ? draws.global.dim(1) : 0, local.dim(2)};
  if (draws.local.shape() != expected)
    throw ShapeError(fmt::format(
        "{}: local draws must have shape {} (data sets, groups, draws, parameters) for global draws {} and local_parameters {}; got {}",
        what, expected.to_string(), draws.global.shape().to_string(), local.shape().to_string(), draws.local.shape().to_string()));
  add_names(out.local_names, "local", local.dim(2));
  if (!options.local_names.empty()) out.local_names = checked_names(options.local_names, local.dim(2), what);
  std::vector<double> kept_draws, kept_truths;
  const std::int64_t size = expected[2] * expected[3];
  for (std::int64_t b = 0; b < local.dim(0); ++b)
    for (std::int64_t g = 0; g < local.dim(1); ++g) {
      const double* first = draws.local.data() + (b * local.dim(1) + g) * size;
      if (size > 0 && std::isnan(first[0])) continue;
      kept_draws.insert(kept_draws.end(), first, first + size);
      const double* truth = local.data() + (b * local.dim(1) + g) * local.dim(2);
      kept_truths.insert(kept_truths.end(), truth, truth + local.dim(2));
      out.data_set.push_back(b);
      out.group.push_back(g);
    }
  const auto rows = static_cast<std::int64_t>(out.group.size());
  if (rows == 0) throw ArgumentError(fmt::format("{}: no data set has a group; all local draws are NaN", what));
  out.draws = Array({rows, expected[2], expected[3]}, std::move(kept_draws));
  out.truths = Array({rows, local.dim(2)}, std::move(kept_truths));
  return out;
}

std::vector<Table> named(std::vector<Table> tables, const char* prefix) {
  for (Table& t : tables) t.name = prefix + t.name;
  return tables;
}

template <class T>
std::vector<Table> joined(const T& result) {
  std::vector<Table> out = named(result.global.tables(), "global_");
  for (Table& t : named(result.local.tables(), "local_")) out.push_back(std::move(t));
  out.push_back(TableBuilder("local_groups").add("data_set", result.data_set).add("group", result.group));
  return out;
}

}  // namespace

void TwoLevelOptions::validate() const { require_option(threads >= 0, "TwoLevelOptions", "threads", threads, "0 (all) or more"); }

TwoLevelRecovery two_level_recovery(const TwoLevelAmortizedPosterior::Draws& draws, const Batch& truths, const TwoLevelOptions& options) {
  Levels levels = levels_of(draws, truths, options, "two_level_recovery");
  TwoLevelRecovery out;
  out.global = recovery(draws.global, levels.global_truths, {.param_names = levels.global_names, .threads = options.threads});
  out.local =
      recovery(levels.draws, levels.truths, {.param_names = levels.local_names, .clusters = levels.data_set, .threads = options.threads});
  out.data_set = std::move(levels.data_set);
  out.group = std::move(levels.group);
  return out;
}

TwoLevelSbc two_level_sbc(const TwoLevelAmortizedPosterior::Draws& draws, const Batch& truths, const TwoLevelOptions& options,
                          const SbcEcdfOptions& ecdf_options) {
  const Levels levels = levels_of(draws, truths, options, "two_level_sbc");
  TwoLevelSbc out;
  const Rng rng(options.seed, "two-level groups");
  std::vector<std::int64_t> chosen;
  for (std::size_t first = 0; first < levels.group.size();) {
    std::size_t last = first;
    while (last < levels.group.size() && levels.data_set[last] == levels.data_set[first]) ++last;
    Rng choice = rng.at(static_cast<std::uint64_t>(levels.data_set[first]));
    chosen.push_back(choice.integers(static_cast<std::int64_t>(first), static_cast<std::int64_t>(last)));
    first = last;
  }
  for (const std::int64_t row : chosen) {
    out.data_set.push_back(levels.data_set[index(row)]);
    out.group.push_back(levels.group[index(row)]);
  }
  const auto ranks = [&](const Array& d, const Array& t, const std::vector<std::string>& names) {
    return sbc_ranks(d, t, {.param_names = names, .seed = options.seed, .threads = options.threads});
  };
  out.global_ranks = ranks(draws.global, levels.global_truths, levels.global_names);
  out.local_ranks = ranks(levels.draws.take(chosen), levels.truths.take(chosen), levels.local_names);
  out.global = sbc_ecdf(out.global_ranks, ecdf_options);
  out.local = sbc_ecdf(out.local_ranks, ecdf_options);
  return out;
}

std::vector<Table> TwoLevelRecovery::tables() const { return joined(*this); }
std::vector<Table> TwoLevelSbc::tables() const { return joined(*this); }

}  // namespace bayesflow::diagnostics
