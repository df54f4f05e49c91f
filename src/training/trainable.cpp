#include "bayesflow/training/trainable.hpp"

#include <span>

namespace bayesflow {

Batch Trainable::configure(const Simulations& simulations) const { return default_configurator(simulations); }
std::vector<std::string> Trainable::review(const Batch& /*held_out*/, const std::vector<std::string>& /*names*/) const { return {}; }

double Trainable::weight_decay() const { return weight_decay_of(store(), 0, store().count()); }

double Trainable::weight_decay_of(const nn::ParameterStore& parameters, std::int64_t first, std::int64_t last) {
  double total = 0;
  const nn::WeightLock::Reading reading(parameters.lock());
  for (const nn::ParameterInfo& p :
       std::span(parameters.table()).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first))) {
    const double l2 = static_cast<double>(p.l2);
    if (l2 <= 0) continue;
    double square = 0;
    for (const float* w = parameters.values() + p.offset; w != parameters.values() + p.offset + p.shape.size(); ++w)
      square += static_cast<double>(*w) * static_cast<double>(*w);
    total += l2 * square;
  }
  return total;
}

}  // namespace bayesflow
