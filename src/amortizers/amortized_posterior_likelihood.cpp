#include "bayesflow/amortizers/amortized_posterior_likelihood.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

constexpr const char* kPosterior = "posterior";
constexpr const char* kLikelihood = "likelihood";
constexpr double kNowhere = -std::numeric_limits<double>::infinity();  // log density of a prior outside of its support

/// Conditions of the likelihood for draws (n, P) of data set `b`.
Array conditions_for(const Array& draws, const Batch& batch, std::int64_t b, std::int64_t width) {
  const std::int64_t n = draws.dim(0), params = draws.dim(1);
  if (width == params) return draws;
  const Block* given = batch.find(roles::conditions);
  if (width < params || !given || given->rank() != 2 || given->dim(1) != width)
    throw ShapeError(fmt::format(
        "AmortizedPosteriorLikelihood::log_marginal_likelihood: the likelihood was built with conditions of width {}, and draws "
        "have {} parameters: give conditions of shape (batch, {}), of which the last {} columns are contexts, or "
        "MarginalLikelihoodOptions::conditions; got {}",
        width, params, width, std::max<std::int64_t>(width - params, 0), given ? given->shape().to_string() : "none"));
  const Array rest = given->slice(b, b + 1).columns(params, width).array().repeat(n, 0);
  return concatenate({draws, rest}, -1);
}

/// Log likelihood of one data set, (1, D) or (1, n, D), under each of the conditions. In pieces, since the data are repeated for each.
Array likelihood_of(const AmortizedLikelihood& likelihood, const Array& observables, const Array& conditions, const float* mask) {
  constexpr std::int64_t kValues = 1 << 20;
  const std::int64_t count = conditions.dim(0), piece = std::max<std::int64_t>(1, kValues / observables.size());
  std::vector<Foreign> ignored;
  Array out({count});
  for (std::int64_t first = 0; first < count; first += piece) {
    const std::int64_t last = std::min(count, first + piece);
    const Array each = likelihood.log_likelihood(
        {{roles::observables, observables.repeat(last - first, 0)}, {roles::conditions, conditions.slice(first, last)}}, &ignored);
    const std::int64_t observations = each.size() / (last - first);
    for (std::int64_t s = first; s < last; ++s)
      for (std::int64_t i = 0; i < observations; ++i)
        if (!mask || mask[i] != 0) out(s) += each.data()[(s - first) * observations + i];
  }
  return out;
}

}  // namespace

AmortizedPosteriorLikelihood::AmortizedPosteriorLikelihood(const AmortizedPosterior& posterior, const AmortizedLikelihood& likelihood)
    : AmortizerGroup(kClass, {{kPosterior, std::make_shared<AmortizedPosterior>(posterior)},
                              {kLikelihood, std::make_shared<AmortizedLikelihood>(likelihood)}}) {}

AmortizedPosteriorLikelihood::AmortizedPosteriorLikelihood(const AmortizerGroup& other) : AmortizerGroup(other) {
  require_class(kClass);
  if (parts().size() != 2 || parts()[0].name != kPosterior || parts()[1].name != kLikelihood)
    throw ConfigurationError(fmt::format("{}: its parts must be \"{}\" and \"{}\"", kClass, kPosterior, kLikelihood));
  (void)posterior();
  (void)likelihood();
}

AmortizedPosterior AmortizedPosteriorLikelihood::posterior() const {
  return AmortizedPosterior(dynamic_cast<const Amortizer&>(*parts()[0].amortizer));
}
AmortizedLikelihood AmortizedPosteriorLikelihood::likelihood() const {
  return AmortizedLikelihood(dynamic_cast<const Amortizer&>(*parts()[1].amortizer));
}

Array AmortizedPosteriorLikelihood::sample_parameters(const Batch& batch, std::int64_t n_samples, SampleOptions options) const {
  return posterior().sample(share_of_part(batch, 0), n_samples, options);
}
Array AmortizedPosteriorLikelihood::log_posterior(const Batch& batch, std::vector<Foreign>* foreign) const {
  return posterior().log_posterior(share_of_part(batch, 0), foreign);
}
Array AmortizedPosteriorLikelihood::sample_data(const Batch& batch, std::int64_t n_samples, SampleOptions options) const {
  return likelihood().sample(share_of_part(batch, 1), n_samples, options);
}
Array AmortizedPosteriorLikelihood::log_likelihood(const Batch& batch, std::vector<Foreign>* foreign) const {
  return likelihood().log_likelihood(share_of_part(batch, 1), foreign);
}

MarginalLikelihood AmortizedPosteriorLikelihood::log_marginal_likelihood(const Batch& batch, const LogPrior& log_prior,
                                                                         const MarginalLikelihoodOptions& options) const {
  constexpr const char* kOwner = "AmortizedPosteriorLikelihood::log_marginal_likelihood";
  if (!log_prior) throw ArgumentError(fmt::format("{}: the log density of the prior is missing; give a function", kOwner));
  if (posterior().adapter() || likelihood().adapter())
    throw ConfigurationError(fmt::format(
        "{}: its parts have adapters, and densities of networks' numbers do not belong together; train without adapters", kOwner));
  if (options.n_samples < 2) throw ArgumentError(fmt::format("{}: n_samples = {}; it must be at least 2", kOwner, options.n_samples));
  Batch data = share_of_part(batch, 0);
  data.set(roles::parameters, {});
  const Block& observables = batch[roles::observables];
  const std::int64_t sets = batch.batch_size(), n = options.n_samples;
  if (observables.rank() < 2 || observables.rank() > 3 || observables.dim(0) != sets)
    throw ShapeError(fmt::format("{}: observables must be ({}, D), or ({}, n, D) with n independent observations; got {}", kOwner, sets,
                                 sets, observables.shape().to_string()));
  const Block* mask = observables.rank() == 3 ? batch.find(roles::summary_mask) : nullptr;
  if (mask && mask->shape() != observables.shape().slice(0, 2))
    throw ShapeError(fmt::format("{}: summary_mask of shape {} does not go with observables of shape {}", kOwner, mask->shape().to_string(),
                                 observables.shape().to_string()));
  const AmortizedPosterior q = posterior();
  const AmortizedLikelihood l = likelihood();
  const Array draws = q.sample(data, n, options.sampling);
  std::vector<Foreign> ignored;  // they were told with the draws
  data.set(roles::parameters, draws);
  const Array posterior_density = q.log_posterior(data, &ignored);
  const std::int64_t width = (*find_shape(l.built_for(), roles::conditions))[-1];
  MarginalLikelihood out{Array({sets}), Array({sets}), Array({sets}), Array({sets, n})};
  for (std::int64_t b = 0; b < sets; ++b) {
    const Array theta = draws.row(b);
    const Array prior = log_prior(theta);
    if (prior.shape() != Shape{n})
      throw ShapeError(fmt::format("{}: the log density of the prior must give ({}) numbers for parameters {}; it gave {}", kOwner, n,
                                   theta.shape().to_string(), prior.shape().to_string()));
    for (const double p : prior.values())
      if (std::isnan(p) || p == INFINITY)
        throw ArgumentError(
            fmt::format("{}: the log density of the prior is {} at a draw of data set {}; it must be finite, or -infinity", kOwner, p, b));
    const Array conditions = options.conditions ? options.conditions(theta, batch, b) : conditions_for(theta, batch, b, width);
    if (conditions.shape() != Shape{n, width})
      throw ShapeError(fmt::format("{}: MarginalLikelihoodOptions::conditions must give {}; it gave {}", kOwner,
                                   Shape{n, width}.to_string(), conditions.shape().to_string()));
    const Array densities = likelihood_of(l, observables.slice(b, b + 1).array(), conditions, mask ? mask->row_values(b).data() : nullptr);
    double count = 0, sum = 0, square = 0;
    for (std::int64_t s = 0; s < n; ++s) {
      const double term = densities(s) + prior(s) - posterior_density(b, s);
      out.terms(b, s) = term;
      if (prior(s) == kNowhere) continue;
      count += 1;
      sum += term;
    }
    if (count < 2)
      throw ArgumentError(
          fmt::format("{}: the prior has a density at {} of the {} draws of data set {}: check that it is given the parameters as the "
                      "networks are, or draw more",
                      kOwner, count, n, b));
    const double mean = sum / count;
    for (std::int64_t s = 0; s < n; ++s)
      if (prior(s) != kNowhere) square += (out.terms(b, s) - mean) * (out.terms(b, s) - mean);
    out.inside(b) = count / static_cast<double>(n);
    out.value(b) = mean + std::log(out.inside(b));
    out.spread(b) = std::sqrt(square / (count - 1));
  }
  return out;
}

}  // namespace bayesflow
