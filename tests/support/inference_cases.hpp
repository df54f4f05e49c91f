/// Small networks of every class in the registry of inference networks: what tests of all of them run over. A class without a case here
/// fails them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "amortizers/kinds.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "networks/registry.hpp"

namespace bayesflow::support {

struct InferenceCase {
  std::string network;  ///< name of the class in the registry
  std::string what;     ///< of its options
  std::function<std::shared_ptr<InferenceNetwork>()> make;
  std::int64_t width = 2;                                  ///< of the targets
  const AmortizerKind* kind = &AmortizedPosterior::kKind;  ///< what it is used in
  bool of_each = true;                                     ///< takes conditions (batch, n, C)
  bool smooth = true;                                      ///< its loss has no kinks that differences would meet
  bool constant_in_training = false;                       ///< training keeps a part of its loss constant that depends on the weights

  /// Targets that the network can learn, from normal numbers.
  [[nodiscard]] Array targets(Array normals) const {
    make()->make_valid(normals);
    return normals;
  }
};
inline void PrintTo(const InferenceCase& c, std::ostream* out) { *out << c.network << " " << c.what; }
inline std::string name_of(const InferenceCase& c) { return c.what.empty() ? c.network : c.network + "_" + c.what; }

inline HeadOptions tiny_head() { return {.dense = {.units = 6, .activation = Activation::tanh}, .num_dense = 2, .dropout_prob = 0.1}; }

inline std::vector<InferenceCase> inference_cases() {
  std::vector<InferenceCase> out;
  const auto add = [&](const char* network, const char* what, std::int64_t width, const AmortizerKind& kind, auto make) {
    out.push_back({network, what, [make] { return std::make_shared<decltype(make())>(make()); }, width, &kind});
  };
  CouplingOptions coupling;
  coupling.dense.units = 6;
  coupling.dense.activation = Activation::tanh;
  for (const auto& [what, design] : {std::pair{"", CouplingDesign::affine}, std::pair{"spline", CouplingDesign::spline}})
    add("InvertibleNetwork", what, 2, AmortizedPosterior::kKind, [coupling, design = design] {
      return InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2, .coupling_design = design, .coupling = coupling});
    });
  for (const auto& [what, design, width] : {std::tuple{"", CouplingDesign::affine, 2}, std::tuple{"spline", CouplingDesign::spline, 2},
                                            std::tuple{"interleaved", CouplingDesign::interleaved, 3}})
    add("AutoregressiveFlow", what, width, AmortizedPosterior::kKind, [design = design, width = width] {
      return AutoregressiveFlow({.num_params = width,
                                 .num_layers = 2,
                                 .design = design,
                                 .dense = {.units = 7, .activation = Activation::tanh},
                                 .num_condition_dense = width == 3 ? 0 : 1,
                                 .residual = design != CouplingDesign::affine,
                                 .linear_path = design != CouplingDesign::interleaved,
                                 .dropout_prob = 0.1,
                                 .order = width == 3 ? AutoregressiveOrder::shuffled : AutoregressiveOrder::reversed});
    });
  for (const auto& [what, loss] : {std::pair{"", VelocityLoss::squared}, std::pair{"log_cosh", VelocityLoss::log_cosh}})
    add("FlowMatchingNetwork", what, 2, AmortizedPosterior::kKind, [loss = loss] {
      return FlowMatchingNetwork({.num_params = 2,
                                  .dense = {.units = 6, .activation = Activation::tanh},
                                  .num_dense = 2,
                                  .dropout_prob = 0.1,
                                  .time_frequencies = loss == VelocityLoss::squared ? 2 : 12,
                                  .time_power = loss == VelocityLoss::squared ? 0.0 : 0.5,
                                  .loss = loss,
                                  .solver = loss == VelocityLoss::squared ? OdeSolver::rk4 : OdeSolver::euler,
                                  .steps = loss == VelocityLoss::squared ? 3 : 40});
    });
  add("FlowMatchingNetwork", "adaptive", 2, AmortizedPosterior::kKind, [] {
    return FlowMatchingNetwork({.num_params = 2,
                                .dense = {.units = 6, .activation = Activation::tanh},
                                .num_dense = 2,
                                .solver = OdeSolver::dopri5,
                                .coupling = FlowCoupling::optimal_transport,
                                .condition_weight = 10,
                                .tolerance = 1e-3,
                                .trace_probes = 3});
  });
  for (const auto& [what, schedule, sampler] :
       {std::tuple{"", NoiseSchedule::edm, DiffusionSampler::ode}, std::tuple{"stochastic", NoiseSchedule::cosine, DiffusionSampler::sde}})
    add("DiffusionNetwork", what, 2, AmortizedPosterior::kKind, [schedule = schedule, sampler = sampler] {
      return DiffusionNetwork({.num_params = 2,
                               .dense = {.units = 6, .activation = Activation::tanh},
                               .num_dense = 2,
                               .dropout_prob = 0.1,
                               .time_frequencies = 2,
                               .schedule = schedule,
                               .sampler = sampler,
                               .solver = sampler == DiffusionSampler::ode ? OdeSolver::dopri5 : OdeSolver::rk4,
                               .steps = 6,
                               .tolerance = 1e-3});
    });
  add("ShortcutNetwork", "", 2, AmortizedPosterior::kKind, [] {
    return ShortcutNetwork({.num_params = 2,
                            .dense = {.units = 6, .activation = Activation::tanh},
                            .num_dense = 2,
                            .dropout_prob = 0.1,
                            .time_frequencies = 2,
                            .finest = 8,
                            .steps = 2,
                            .tolerance = 1e-3});
  });
  out.back().constant_in_training = true;
  for (const auto& [what, covariance] : {std::pair{"", Covariance::full}, std::pair{"diagonal", Covariance::diagonal}})
    add("MixtureDensityNetwork", what, 3, AmortizedPosterior::kKind, [covariance = covariance] {
      return MixtureDensityNetwork({.num_params = 3,
                                    .num_components = 3,
                                    .covariance = covariance,
                                    .dense = {.units = 6, .activation = Activation::tanh},
                                    .num_dense = 2,
                                    .dropout_prob = 0.1});
    });
  add("PMPNetwork", "", 3, AmortizedModelComparison::kKind, [] { return PMPNetwork({.num_models = 3, .hidden = tiny_head()}); });
  add("PMPNetwork", "smoothed", 2, AmortizedModelComparison::kKind, [] {
    HeadOptions hidden = tiny_head();
    hidden.mc_dropout = true;
    return PMPNetwork({.num_models = 2, .hidden = hidden, .label_smoothing = 0.01});
  });
  add("EvidentialNetwork", "", 3, AmortizedModelComparison::kKind,
      [] { return EvidentialNetwork({.num_models = 3, .hidden = tiny_head()}); });
  add("EvidentialNetwork", "with_kl", 2, AmortizedModelComparison::kKind, [] {
    return EvidentialNetwork({.num_models = 2, .hidden = tiny_head(), .output_activation = Activation::exponential, .kl_weight = 0.1});
  });
  using enum PointEstimate;
  for (const auto& [what, estimate] : {std::pair{"", mean}, std::pair{"mean_and_sd", mean_and_sd}, std::pair{"quantiles", quantiles},
                                       std::pair{"norm_1", norm_1}, std::pair{"norm_2", norm_2}, std::pair{"norm_max", norm_max}}) {
    add("PointNetwork", what, 2, AmortizedPointEstimator::kKind, [estimate = estimate] {
      return PointNetwork({.num_params = 2, .estimate = estimate, .levels = {0.1, 0.5, 0.9}, .hidden = tiny_head()});
    });
    out.back().smooth = estimate == mean || estimate == mean_and_sd || estimate == norm_2;
  }
  add("PointNetwork", "of_building_blocks", 2, AmortizedPointEstimator::kKind, [] {
    GraphOptions graph;
    graph.layers = {{"hidden", {.units = 5, .activation = Activation::tanh}}, {"output", {.units = 4, .activation = Activation::identity}}};
    graph.nodes = {{.name = "h", .sources = {"data"}, .layer = "hidden"}, {.name = "y", .sources = {"h"}, .layer = "output"}};
    return PointNetwork({.num_params = 2, .estimate = mean_and_sd, .body = GraphNetwork(graph)});
  });
  out.back().of_each = false;
  return out;
}

/// All that an amortizer can be asked for.
inline std::vector<Array> answers(const Amortizer& amortizer, const Batch& batch) {
  std::vector<Foreign> ignored;
  const InferenceNetwork& net = amortizer.inference_net();
  std::vector<Array> out;
  if (net.has_density()) out.push_back(AmortizerAccess::log_density(amortizer, batch, &ignored));
  if (net.has_draws()) out.push_back(AmortizerAccess::draws(amortizer, batch, 300, {.seed = 3, .foreign = &ignored}));
  if (net.has_outputs()) out.push_back(AmortizerAccess::outputs(amortizer, batch, {.seed = 3, .foreign = &ignored}));
  return out;
}

}  // namespace bayesflow::support
