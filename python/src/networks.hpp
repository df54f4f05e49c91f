/// Networks that are called on their own, and inside an amortizer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "arrays.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow::python {

/// One forward pass at a time on a tape of its own.
[[nodiscard]] Array run_summary(const SummaryNetwork& network, const std::vector<Array>& data);  // of each source
/// What every level of a HierarchicalNetwork gives. Throws ConfigurationError for other networks.
[[nodiscard]] std::vector<Array> run_levels(const SummaryNetwork& network, const Array& x);
[[nodiscard]] nb::list to_list(const std::vector<Array>& arrays);
struct FlowResult {
  Array z, log_det_J;
};
[[nodiscard]] FlowResult run_flow(const NormalizingFlow& network, const Array& targets, const std::optional<Array>& condition);
/// {dotted name: values}, copies; and {name: number of untrained values}.
[[nodiscard]] nb::dict weights_of(const nn::ParameterStore& store);
[[nodiscard]] nb::dict buffers_of(const nn::ParameterStore& store);
[[nodiscard]] Array run_inverse(const NormalizingFlow& network, const Array& latent, const std::optional<Array>& condition);

/// A summary network without weights: each amortizer, each network that it is part of, and each call outside of one has a copy of its own.
struct SummaryFactory {
  SummaryPart part;
  [[nodiscard]] std::shared_ptr<SummaryNetwork> make() const { return SummaryPart(part).shared(); }
};

/// The same for an inference network.
struct InferenceFactory {
  std::function<std::shared_ptr<InferenceNetwork>()> make;
};
/// v(x, t; condition) of a FlowMatchingNetwork: x (B, D), times (B, 1).
[[nodiscard]] Array run_velocity(const InferenceNetwork& network, const Array& x, const Array& times,
                                 const std::optional<Array>& condition);
[[nodiscard]] Array run_outputs(const InferenceNetwork& network, const Array& condition, std::uint64_t seed);

}  // namespace bayesflow::python
