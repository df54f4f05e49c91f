#include "bayesflow/amortizers/amortized_posterior.hpp"

namespace bayesflow {

const AmortizerKind AmortizedPosterior::kKind{.name = "AmortizedPosterior",
                                              .target = roles::parameters,
                                              .summary = roles::summary_conditions,
                                              .direct = roles::direct_conditions,
                                              .density = "log_posterior"};

AmortizedPosterior::AmortizedPosterior(std::shared_ptr<InferenceNetwork> inference_net, std::shared_ptr<SummaryNetwork> summary_net,
                                       AmortizedPosteriorOptions options)
    : Amortizer(kKind, std::move(inference_net), std::move(summary_net), std::move(options)) {}

}  // namespace bayesflow
