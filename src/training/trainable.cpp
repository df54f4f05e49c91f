#include "bayesflow/training/trainable.hpp"

namespace bayesflow {

Batch Trainable::configure(const Simulations& simulations) const { return default_configurator(simulations); }
std::vector<std::string> Trainable::review(const Batch& /*held_out*/, const std::vector<std::string>& /*names*/) const { return {}; }

double Trainable::weight_decay() const {
  double total = 0;
  const nn::ParameterStore& parameters = store();
  const nn::WeightLock::Reading reading(parameters.lock());
  for (const nn::ParameterInfo& p : parameters.table()) {
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
