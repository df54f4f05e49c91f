/// Reports of likelihoods and of two-level posteriors: pages of draws like those of posteriors, with what else belongs to them.
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/two_level_posterior.hpp"
#include "bayesflow/diagnostics/two_level.hpp"
#include "bayesflow/figures/plots.hpp"
#include "report/page.hpp"

namespace bayesflow {

namespace {

using namespace report_page;

Batch fresh(Trainer& trainer, const TrainerReportOptions& options) {
  NonFiniteCount ignored;
  return trainer.configure(trainer.model().simulate(options.num_data_sets, options.report.seed, "report", 0, nullptr,
                                                    trainer.options().nonfinite.keeping_count(), ignored));
}

/// What a page takes from the trainer unless it is given.
ReportOptions filled_from(const Trainer& trainer, const ReportOptions& given, const char* title) {
  ReportOptions out = given;
  if (out.title == ReportOptions().title) out.title = title;
  if (!out.training && !trainer.runs().empty()) out.training = trainer.runs().back();
  return out;
}

}  // namespace

Report report_of_likelihood(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options) {
  const auto& amortizer = trainer.trained<AmortizedLikelihood>();
  ReportOptions filled = filled_from(trainer, options.report, "Can this likelihood be trusted?");
  Batch inputs = fresh(trainer, options);
  const Array all = inputs.array(roles::observables);
  if (all.rank() == 3) {
    // Independent given the conditions: one of each data set, so that data sets are, too.
    Array first({all.dim(0), all.dim(2)});
    for (std::int64_t b = 0; b < all.dim(0); ++b)
      for (std::int64_t d = 0; d < all.dim(2); ++d) first(b, d) = all(b, 0, d);
    inputs.set(roles::observables, first);
  }
  const Array truths = inputs.array(roles::observables), draws = amortizer.sample(inputs, options.num_draws, {.seed = filled.seed});
  if (filled.param_names.empty())
    for (std::int64_t d = 0; d < truths.dim(1); ++d) filled.param_names.push_back(fmt::format("x_{}", d + 1));
  const auto facts = architecture(amortizer);
  filled.facts.insert(filled.facts.end(), facts.begin(), facts.end());
  if (!filled.data) filled.data = Batch{{roles::direct_conditions, inputs[roles::conditions]}};
  if (!filled.latents && amortizer.inference_net().as_flow() != nullptr) filled.latents = amortizer.forward(inputs).z;
  if (!filled.log_posterior && amortizer.inference_net().has_density()) filled.log_posterior = amortizer.log_likelihood(inputs);
  return report_of_draws(
      draws, truths, path, filled,
      {.intro = "What is judged is a learned <b>likelihood</b>: the distribution of an observation, given the parameters and what else "
                "the simulator was told. It is tested as a posterior is. Read “true parameters” as simulated observations (the first "
                "one of each data set), “posterior” as the learned distribution of an observation, “parameters” as its components, "
                "and “data” as the conditions that it is given."});
}

Report report_of_two_levels(Trainer& trainer, const std::filesystem::path& path, const TrainerReportOptions& options) {
  const auto& amortizer = trainer.trained<TwoLevelAmortizedPosterior>();
  ReportOptions filled = filled_from(trainer, options.report, "Can this two-level posterior be trusted?");
  Batch inputs = fresh(trainer, options);
  auto draws = amortizer.sample(inputs, options.num_draws, {.seed = filled.seed});
  const std::int64_t groups = draws.local.dim(1), s_count = draws.local.dim(2), l_count = draws.local.dim(3);
  const std::int64_t h_count = draws.global.dim(2), count = h_count + l_count;

  // Global parameters beside those of the first group that is there.
  std::vector<std::int64_t> kept, group;
  for (std::int64_t b = 0; b < draws.local.dim(0); ++b)
    for (std::int64_t g = 0; g < groups; ++g)
      if (!std::isnan(draws.local.data()[(b * groups + g) * s_count * l_count])) {
        kept.push_back(b);
        group.push_back(g);
        break;
      }
  const auto rows = static_cast<std::int64_t>(kept.size());
  if (rows == 0) throw ConfigurationError("report: no simulated data set has a group");
  const Array hyper = inputs.array(roles::hyper_parameters), local = inputs.array(roles::local_parameters);
  const Array global = inputs.has(roles::shared_parameters) ? concatenate({hyper, inputs.array(roles::shared_parameters)}, 1) : hyper;
  const auto densities = amortizer.log_densities(inputs);
  Array joint({rows, s_count, count}), truths({rows, count}), log_posterior({rows});
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t b = kept[static_cast<std::size_t>(r)], g = group[static_cast<std::size_t>(r)];
    for (std::int64_t j = 0; j < count; ++j) {
      truths(r, j) = j < h_count ? global(b, j) : local(b, g, j - h_count);
      for (std::int64_t s = 0; s < s_count; ++s) joint(r, s, j) = j < h_count ? draws.global(b, s, j) : draws.local(b, g, s, j - h_count);
    }
    log_posterior[r] = densities.global[b] + densities.local(b, g);
  }

  const diagnostics::TwoLevelOptions levels{.seed = filled.seed, .threads = filled.threads};
  const auto recovery = diagnostics::two_level_recovery(draws, inputs, levels);
  const auto sbc = diagnostics::two_level_sbc(draws, inputs, levels, {.difference = true});
  if (filled.param_names.empty()) {
    filled.param_names = recovery.global.param_names;
    filled.param_names.insert(filled.param_names.end(), recovery.local.param_names.begin(), recovery.local.param_names.end());
  }
  for (const auto& [name, part] : {std::pair{"Global", amortizer.global()}, std::pair{"Local", amortizer.local()}})
    for (const auto& [fact, value] : architecture(part)) filled.facts.emplace_back(fmt::format("{}: {}", name, fact), value);
  if (!filled.data) {
    filled.data = rows == inputs.batch_size() ? inputs : inputs.take(kept);
    for (const char* role : {roles::hyper_parameters, roles::local_parameters, roles::shared_parameters}) filled.data->set(role, {});
  }
  if (!filled.log_posterior) filled.log_posterior = log_posterior;
  Addition addition;
  addition.intro = fmt::format(
      "What is judged are the draws of {} global parameter{} and, together with them, of the {} of one group of each data set. Their joint "
      "distribution is tested, as groups of one data set are not independent of each other.",
      h_count, h_count == 1 ? "" : "s", l_count == 1 ? "parameter" : fmt::format("{} parameters", l_count));
  addition.id = "levels";
  addition.title = "Both levels, all groups";
  addition.text =
      "Recovery of the global parameters, a point for each data set, and of the local ones, a point for each group; ranks of "
      "both, of the local ones those of one group of each data set, chosen at random, whose band is exact.";
  addition.figures = {plot_two_level_recovery(recovery), plot_two_level_sbc(sbc)};
  addition.tables = recovery.tables();
  for (auto& table : sbc.tables())
    if (table.name != "local_groups") addition.tables.push_back(std::move(table));
  return report_of_draws(joint, truths, path, filled, addition);
}

}  // namespace bayesflow
