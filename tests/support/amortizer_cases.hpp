/// A small amortizer of every class in the registry of amortizers, with a model that it learns: what tests of all of them run over. A class
/// without a case here fails them.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "amortizers/kinds.hpp"
#include "bayesflow/bayesflow.hpp"
#include "support/inference_cases.hpp"

namespace bayesflow::support {

struct AmortizerCase {
  std::string name;  ///< of the class
  std::function<std::shared_ptr<AmortizerBase>(int threads)> make;
  std::function<GenerativeModel()> model;
  /// All that it can be asked for about a batch.
  std::function<std::vector<Array>(const AmortizerBase&, const Batch&)> answers;
};
inline void PrintTo(const AmortizerCase& c, std::ostream* out) { *out << c.name; }

namespace tiny {

/// theta ~ N(0, I) of two, three observations N(theta, I).
inline GenerativeModel normal_means() {
  return GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([](const Array& theta, Rng& rng) {
                           return rng.normal({3, 2}, theta);
                         }));
}

/// The second model's location is moved by one; it is seen three times instead of four.
inline GenerativeModel two_models() {
  const auto model = [](double shift, std::int64_t n) {
    return GenerativeModel(Prior([shift](Rng& rng) { return rng.normal({1}, shift, 1.0); }), Simulator([n](const Array& mu, Rng& rng) {
                             return rng.normal({n, 1}, mu);
                           }));
  };
  return MultiGenerativeModel({model(0, 4), model(1, 3)});
}

/// mu ~ N(0, 1); two or three groups theta_g ~ N(mu, 1), each seen two to four times.
inline GenerativeModel groups() {
  const TwoLevelPrior prior([](Rng& rng) { return rng.normal({1}); },
                            [](const Array& mu, const Context&, Rng& rng) {
                              const std::int64_t groups = rng.integers(2, 4);
                              return rng.normal({groups, 1}, mu[0], 1.0);
                            });
  return TwoLevelGenerativeModel(prior,
                                 [](const Array& theta, const Array&, const Context&, Rng& rng) {
                                   Array x({theta.dim(0), rng.integers(2, 5), 1});
                                   for (std::int64_t g = 0; g < x.dim(0); ++g)
                                     for (std::int64_t i = 0; i < x.dim(1); ++i) x(g, i, 0) = rng.normal(theta(g, 0), 1.0);
                                   return x;
                                 },
                                 {.pad_to = {3, 4}});
}

inline InvertibleNetwork flow(std::int64_t width) {
  CouplingOptions coupling;  // with dropout and regularization, whose random numbers and terms are a part of what is compared
  coupling.dense.units = 8;
  coupling.num_dense = 1;
  return InvertibleNetwork({.num_params = width, .num_coupling_layers = 2, .coupling = coupling});
}
inline DeepSet set() {
  const DenseOptions dense{.units = 8};
  return DeepSet({.summary_dim = 4, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense});
}
template <class Net>
std::shared_ptr<Net> shared(Net net) {
  return std::make_shared<Net>(std::move(net));
}

}  // namespace tiny

inline std::vector<AmortizerCase> amortizer_cases() {
  using namespace tiny;
  const auto of_single = [](const AmortizerBase& a, const Batch& batch) { return answers(dynamic_cast<const Amortizer&>(a), batch); };
  std::vector<AmortizerCase> out;
  out.push_back({AmortizedPosterior::kKind.name,
                 [](int threads) { return shared(AmortizedPosterior(flow(2), set(), {.summary_mmd_weight = 0.5, .threads = threads})); },
                 normal_means, of_single});
  out.push_back({AmortizedLikelihood::kKind.name, [](int threads) { return shared(AmortizedLikelihood(flow(2), {.threads = threads})); },
                 normal_means, of_single});
  out.push_back({AmortizedModelComparison::kKind.name,
                 [](int threads) {
                   return shared(
                       AmortizedModelComparison(PMPNetwork({.num_models = 2, .hidden = tiny_head()}), set(), {.threads = threads}));
                 },
                 two_models, of_single});
  out.push_back(
      {AmortizedPointEstimator::kKind.name,
       [](int threads) {
         return shared(AmortizedPointEstimator(
             PointNetwork({.num_params = 2, .estimate = PointEstimate::mean_and_sd, .hidden = tiny_head()}), set(), {.threads = threads}));
       },
       normal_means, of_single});
  out.push_back({AmortizedPosteriorLikelihood::kClass,
                 [](int threads) {
                   return shared(AmortizedPosteriorLikelihood(AmortizedPosterior(flow(2), set(), {.threads = threads}),
                                                              AmortizedLikelihood(flow(2), {.threads = threads})));
                 },
                 normal_means,
                 [](const AmortizerBase& a, const Batch& batch) {
                   const auto& joint = dynamic_cast<const AmortizedPosteriorLikelihood&>(a);
                   return std::vector<Array>{joint.log_posterior(batch), joint.log_likelihood(batch),
                                             joint.sample_parameters(batch, 30, {.seed = 1}), joint.sample_data(batch, 30, {.seed = 1})};
                 }});
  out.push_back({TwoLevelAmortizedPosterior::kClass,
                 [](int threads) {
                   return shared(TwoLevelAmortizedPosterior(flow(1), flow(1), HierarchicalNetwork({.networks = {set(), set()}}),
                                                            {.threads = threads}));
                 },
                 groups,
                 [](const AmortizerBase& a, const Batch& batch) {
                   const auto& both = dynamic_cast<const TwoLevelAmortizedPosterior&>(a);
                   auto draws = both.sample(batch, 30, {.seed = 1});
                   for (double& v : draws.local.values()) v = std::isnan(v) ? -1e9 : v;  // of groups that are not there
                   return std::vector<Array>{both.log_posterior(batch), draws.global, draws.local};
                 }});
  out.push_back(
      {EnsembleBase::kClass,
       [](int threads) {
         return shared(Ensemble<AmortizedPosterior>(
             2, [threads](std::uint64_t seed) { return AmortizedPosterior(flow(2), set(), {.seed = seed, .threads = threads}); }, 7));
       },
       normal_means,
       [](const AmortizerBase& a, const Batch& batch) {
         const Ensemble<AmortizedPosterior> ensemble(dynamic_cast<const AmortizerGroup&>(a));
         return std::vector<Array>{ensemble.log_posterior(batch), ensemble.sample(batch, 30, {.seed = 1})};
       }});
  return out;
}

}  // namespace bayesflow::support
