#include "diagnostics/classifier.hpp"

#include <algorithm>
#include <limits>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/training/trainer.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

/// v1's training settings (scikit-learn's).
constexpr std::int64_t kBatch = 200;
constexpr double kRate = 1e-3, kL2 = 1e-4, kLeastGain = 1e-4;
constexpr int kPatience = 10;

/// logit of P(target | row), trained by cross-entropy.
class Classifier : public Trainable {
 public:
  explicit Classifier(std::int64_t units) : state_(std::make_shared<State>(units)) {}

  void build(const Batch& first, std::optional<std::uint64_t> seed) override {
    state_->net.build(nn::Builder(state_->store, seed.value_or(0)), first[roles::direct_conditions].dim(1));
  }
  [[nodiscard]] nn::ParameterStore& store() override { return state_->store; }
  [[nodiscard]] const nn::ParameterStore& store() const override { return state_->store; }
  [[nodiscard]] std::vector<std::string> loss_names() const override { return {"cross_entropy"}; }
  [[nodiscard]] LossTensors loss(Tape& tape, const Batch& batch) const override {
    // log(1 + e^z) - y z
    const Tensor z = logit(tape, batch[roles::direct_conditions].on(tape)), y = batch[roles::parameters].on(tape);
    LossTensors out;
    out.terms[0] = out.total = ops::mean(ops::subtract(ops::activate(z, Activation::softplus), ops::multiply(y, z)));
    return out;
  }
  [[nodiscard]] Tensor logit(Tape& tape, Tensor rows) const { return state_->net(tape, rows); }

 private:
  struct State {
    explicit State(std::int64_t units)
        : net({{.units = units, .kernel_regularizer = kL2 / 2 / real(kBatch)},
               {.units = units, .kernel_regularizer = kL2 / 2 / real(kBatch)},
               {.units = 1, .activation = Activation::identity, .kernel_regularizer = kL2 / 2 / real(kBatch)}}) {}
    nn::Mlp net;
    nn::ParameterStore store;
  };
  std::shared_ptr<State> state_;
};

}  // namespace

std::vector<double> classify(const Simulations& samples, const Array& asked, std::int64_t units, std::int64_t max_epochs,
                             std::uint64_t seed) {
  const Classifier classifier(units);
  double best = std::numeric_limits<double>::infinity();
  int waiting = 0;
  Trainer trainer(classifier, {.configurator =
                                   [](const Simulations& s) {
                                     return Batch{{roles::parameters, s.prior_draws}, {roles::direct_conditions, s.sim_data}};
                                   },
                               .seed = seed,
                               .threads = 1,
                               .progress =
                                   [&](const Progress& p) {
                                     if (!p.epoch_done) return Control::proceed;
                                     waiting = p.average_loss > best - kLeastGain ? waiting + 1 : 0;
                                     best = std::min(best, p.average_loss);
                                     return waiting < kPatience ? Control::proceed : Control::stop;
                                   },
                               .handle_interrupt = false});
  (void)trainer.train_offline(
      samples, {.epochs = max_epochs,
                .batch_size = kBatch,
                .run = {.optimizer = nn::OptimizerOptions{.learning_rate = nn::constant(kRate), .epsilon = 1e-8, .global_clipnorm = 0}}});
  std::vector<double> out;
  Tape tape;
  const std::int64_t count = asked.dim(0);
  for (std::int64_t first = 0; first < count; first += 1000) {
    const std::int64_t last = std::min(count, first + 1000);
    tape.reset({.gradients = false, .training = false});
    const Tensor logit = classifier.logit(tape, tape.input(asked.slice(first, last)));
    for (std::int64_t i = first; i < last; ++i) out.push_back(static_cast<double>(logit.data()[i - first]));
  }
  return out;
}

}  // namespace bayesflow::diagnostics
