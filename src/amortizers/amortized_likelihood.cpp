#include "bayesflow/amortizers/amortized_likelihood.hpp"

namespace bayesflow {

const AmortizerKind AmortizedLikelihood::kKind{.name = "AmortizedLikelihood",
                                               .target = roles::observables,
                                               .summary = nullptr,
                                               .direct = roles::conditions,
                                               .density = "log_likelihood",
                                               .configure = likelihood_configurator,
                                               .target_field = "sim_data"};

AmortizedLikelihood::AmortizedLikelihood(std::shared_ptr<InferenceNetwork> inference_net, AmortizerOptions options)
    : Amortizer(kKind, std::move(inference_net), nullptr, std::move(options)) {}

}  // namespace bayesflow
