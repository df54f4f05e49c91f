#include "bayesflow/workflow/plan.hpp"

#include <fmt/format.h>

#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/sequence_network.hpp"
#include "io/described_json.hpp"

namespace bayesflow {

EnumNames<DataKind> names_of(DataKind) {
  return {{DataKind::automatic, "automatic"}, {DataKind::vector, "vector"}, {DataKind::set, "set"}, {DataKind::series, "series"}};
}

std::string to_string(const FitPlan& plan) {
  std::string out =
      fmt::format("{} flow, {} x {}, dropout {:g}, weight decay {:g}", plan.design == CouplingDesign::affine ? "affine" : "spline",
                  plan.layers, plan.units, plan.dropout, plan.weight_decay);
  if (plan.data == DataKind::set) out = "deep set and " + out;
  if (plan.data == DataKind::series) out = "sequence network and " + out;
  return plan.regress ? out + ", after a linear regression" : out;
}

std::string to_json(const FitPlan& plan) { return io::OptionWriter::of(plan).dump(); }

Adapter adapter_of(const FitPlan& plan) {
  Adapter out;
  if (!plan.log_parameters.empty()) out.add(adapter::Log{.columns = plan.log_parameters});
  if (!plan.log_data.empty()) out.add(adapter::Log{.field = "sim_data", .columns = plan.log_data});
  if (!plan.log1p_data.empty()) out.add(adapter::Log1p{.field = "sim_data", .columns = plan.log1p_data});
  if (!plan.sqrt_data.empty()) out.add(adapter::Sqrt{.field = "sim_data", .columns = plan.sqrt_data});
  out.add(adapter::Standardize{.field = "sim_data"});
  if (plan.regress)
    out.add(adapter::Regress{});
  else
    out.add(adapter::Standardize{});
  if (plan.data == DataKind::vector) out.add(adapter::Rename{.field = "sim_data", .to = roles::direct_conditions});
  return out;
}

AmortizedPosterior amortizer_of(const FitPlan& plan, std::int64_t num_params, Adapter adapter, int threads) {
  CouplingOptions coupling;
  coupling.dense.units = plan.units;
  coupling.dense.kernel_regularizer = plan.weight_decay;
  coupling.dropout_prob = plan.dropout;
  const InvertibleNetwork flow(
      {.num_params = num_params, .num_coupling_layers = plan.layers, .coupling_design = plan.design, .coupling = coupling});
  AmortizedPosteriorOptions options{.threads = threads, .adapter = std::move(adapter)};
  switch (plan.data) {
    case DataKind::set:
      return AmortizedPosterior(flow, DeepSet({.summary_dim = plan.summary_dim, .linear_path = true}), std::move(options));
    case DataKind::series:
      return AmortizedPosterior(flow, SequenceNetwork({.summary_dim = plan.summary_dim}), std::move(options));
    default:
      return AmortizedPosterior(flow, std::move(options));
  }
}

}  // namespace bayesflow
