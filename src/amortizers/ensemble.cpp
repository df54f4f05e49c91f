#include "bayesflow/amortizers/ensemble.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "amortizers/kinds.hpp"
#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
namespace {

std::vector<AmortizerGroup::Part> numbered(std::vector<std::shared_ptr<AmortizerBase>> members) {
  if (members.size() < 2)
    throw ConfigurationError(fmt::format("Ensemble: it needs at least two members; {} given", members.empty() ? "none was" : "one was"));
  std::vector<AmortizerGroup::Part> out;
  for (std::size_t m = 0; m < members.size(); ++m) out.push_back({fmt::format("member_{}", m), std::move(members[m])});
  return out;
}

/// The weights of all single amortizers of a member.
void collect_weights(const AmortizerBase& of, std::vector<float>& out) {
  if (const auto* group = dynamic_cast<const AmortizerGroup*>(&of)) {
    for (const AmortizerGroup::Part& part : group->parts()) collect_weights(*part.amortizer, out);
    return;
  }
  const auto& one = dynamic_cast<const Amortizer&>(of);
  const nn::WeightLock::Reading reading(one.store().lock());
  for (const nn::ParameterInfo& p : AmortizerAccess::own(one).parameters)
    out.insert(out.end(), one.store().values() + p.offset, one.store().values() + p.offset + p.shape.size());
}

}  // namespace

EnsembleBase::EnsembleBase(std::vector<std::shared_ptr<AmortizerBase>> members) : AmortizerGroup(kClass, numbered(std::move(members))) {
  check_members();
}

EnsembleBase::EnsembleBase(const AmortizerGroup& other) : AmortizerGroup(other) {
  require_class(kClass);
  check_members();
}

void EnsembleBase::check_members() const {
  const AmortizerBase& first = *parts()[0].amortizer;
  for (const Part& part : parts()) {
    if (std::string_view(part.amortizer->class_name()) != first.class_name())
      throw ConfigurationError(fmt::format("Ensemble: all members must be of one class; \"member_0\" is an {} and \"{}\" an {}",
                                           first.class_name(), part.name, part.amortizer->class_name()));
    if (part.amortizer->adapters() != first.adapters())
      throw ConfigurationError(fmt::format(
          "Ensemble: all members get the same batches, and so must have the same adapter, or none; those of \"member_0\" and \"{}\" "
          "are not the same, or were fitted to other simulations: give both the fitted adapter of one of them",
          part.name));
    if (part.amortizer->loss_names() != first.loss_names())
      throw ConfigurationError(
          fmt::format("Ensemble: the losses of all members must have the same terms; those of \"member_0\" are {}, those of \"{}\" {}",
                      fmt::join(first.loss_names(), ", "), part.name, fmt::join(part.amortizer->loss_names(), ", ")));
  }
  if (is_built()) refuse_copies();
}

void EnsembleBase::refuse_class(const AmortizerBase& member) {
  throw ConfigurationError(fmt::format("Ensemble: its members are of the class {}; use an Ensemble of that", member.class_name()));
}

/// A member that is the same as another one adds nothing, and makes the mixture look surer than it is.
void EnsembleBase::refuse_copies() const {
  std::vector<std::vector<float>> known;
  for (std::size_t m = 0; m < size(); ++m) {
    std::vector<float> weights;
    collect_weights(*parts()[m].amortizer, weights);
    for (std::size_t k = 0; k < known.size(); ++k)
      if (known[k] == weights)
        throw ConfigurationError(
            fmt::format("Ensemble: \"{}\" and \"{}\" have the same weights; give each another AmortizerOptions::seed, or none",
                        parts()[k].name, parts()[m].name));
    known.push_back(std::move(weights));
  }
}

void EnsembleBase::build(const BatchShapes& shapes, std::optional<std::uint64_t> seed) {
  if (is_built()) return;
  AmortizerGroup::build(shapes, seed);
  refuse_copies();
}

Batch EnsembleBase::configure(const Simulations& simulations) const { return parts()[0].amortizer->configure(simulations); }
std::vector<std::string> EnsembleBase::loss_names() const { return parts()[0].amortizer->loss_names(); }
double EnsembleBase::weight_decay() const { return AmortizerGroup::weight_decay() / static_cast<double>(size()); }

LossTerms EnsembleBase::compute_loss(const Batch& batch) const {
  LossTerms out;
  for (std::size_t m = 0; m < size(); ++m) {
    const LossTerms member = parts()[m].amortizer->compute_loss(share_of_part(batch, m));
    if (m == 0) out = LossTerms(member.names());
    for (std::size_t k = 0; k < out.size(); ++k) out.set(k, out.value(k) + member.value(k) / static_cast<double>(size()));
  }
  return out;
}

Trainable::LossTensors EnsembleBase::loss(Tape& tape, const Batch& batch) const {
  LossTensors out;
  for (std::size_t m = 0; m < size(); ++m) {
    tape.restart_noise();
    const LossTensors member = parts()[m].amortizer->loss(tape, batch);
    for (std::size_t k = 0; k < out.terms.size() && member.terms[k]; ++k)
      out.terms[k] = m == 0 ? member.terms[k] : ops::add(out.terms[k], member.terms[k]);
    out.total = m == 0 ? member.total : ops::add(out.total, member.total);
  }
  for (Tensor& term : out.terms)
    if (term) term = ops::scale(term, 1.0f / static_cast<float>(size()));
  return out;
}

std::vector<double> EnsembleBase::losses_of(const Batch& batch) const {
  std::vector<double> out = AmortizerGroup::losses_of(batch);
  for (double& loss : out) loss /= static_cast<double>(size());
  return out;
}

const Amortizer& EnsembleBase::single(std::size_t member) const {
  const auto* one = dynamic_cast<const Amortizer*>(parts()[member].amortizer.get());
  if (!one) refuse_class(*parts()[member].amortizer);
  return *one;
}

/// Members say the same about the data: once is enough. What differs (summaries, draws) is told of the first that says it.
void EnsembleBase::tell(const std::vector<Foreign>& found, std::vector<Foreign>* to) const {
  std::set<Foreign::Kind> told;
  for (const Foreign& f : found) {
    if (!told.insert(f.kind).second) continue;
    if (to)
      to->push_back(f);
    else if (const auto* one = dynamic_cast<const Amortizer*>(parts()[0].amortizer.get()); one && one->options().logger)
      one->options().logger(LogLevel::warning, f.sentence);
  }
}

Array EnsembleBase::mixture_draws(const Batch& batch, std::int64_t n_samples, const SampleOptions& options) const {
  if (n_samples < 1) throw ArgumentError(fmt::format("Ensemble::sample: n_samples must be at least 1; got {}", n_samples));
  const Rng seeds(options.seed ? *options.seed : calls_->fetch_add(1), "members of an ensemble");
  const auto members = static_cast<std::int64_t>(size());
  std::vector<Foreign> found;
  Array out;
  for (std::int64_t m = 0; m < std::min(members, n_samples); ++m) {
    const auto index = static_cast<std::size_t>(m);
    const std::int64_t count = (n_samples - m + members - 1) / members;
    const Array draws =
        AmortizerAccess::draws(single(index), share_of_part(batch, index), count,
                               {.seed = seeds.at(static_cast<std::uint64_t>(m)).bits(), .foreign = &found, .precision = options.precision});
    const std::int64_t sets = draws.dim(0), width = draws.dim(2);
    if (m == 0) out = uninitialized_array({sets, n_samples, width});
    for (std::int64_t b = 0; b < sets; ++b)
      for (std::int64_t i = 0; i < count; ++i)
        std::copy_n(draws.data() + (b * count + i) * width, width, out.data() + (b * n_samples + i * members + m) * width);
  }
  tell(found, options.foreign);
  return out;
}

Array EnsembleBase::mixture_density(const Batch& batch, std::vector<Foreign>* foreign) const {
  std::vector<Foreign> found;
  std::vector<Array> densities;
  for (std::size_t m = 0; m < size(); ++m) densities.push_back(AmortizerAccess::log_density(single(m), share_of_part(batch, m), &found));
  tell(found, foreign);
  Array out(densities[0].shape());
  for (std::int64_t i = 0; i < out.size(); ++i) {
    double largest = -kInfinity, sum = 0;
    for (const Array& d : densities) largest = std::max(largest, d.data()[i]);
    for (const Array& d : densities) sum += largest == -kInfinity ? 0 : std::exp(d.data()[i] - largest);
    out.data()[i] = largest == -kInfinity ? largest : largest + std::log(sum / static_cast<double>(size()));
  }
  return out;
}

Array EnsembleBase::mean_of(const std::function<Array(const AmortizerBase&, SampleOptions)>& answer, const SampleOptions& options) const {
  std::vector<Foreign> found;
  Array out;
  for (std::size_t m = 0; m < size(); ++m) {
    const Array member = answer(*parts()[m].amortizer, {.seed = options.seed, .foreign = &found, .precision = options.precision});
    if (m == 0)
      out = member;
    else
      out += member;
  }
  tell(found, options.foreign);
  out /= static_cast<double>(size());
  return out;
}

}  // namespace bayesflow
