#include "bayesflow/training/training_steps.hpp"

#include <cmath>
#include <optional>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "training/state.hpp"

namespace bayesflow {

struct TrainingSteps::State {
  State(std::shared_ptr<Trainable> t, nn::OptimizerOptions o, std::uint64_t s, int threads)
      : trainable(std::move(t)), options(std::move(o)), seed(s), pool(threads) {}
  std::shared_ptr<Trainable> trainable;
  nn::OptimizerOptions options;
  std::uint64_t seed;
  ThreadPool pool;
  LossTerms::Names names;
  bool has_decay = false;
  std::uint64_t calls = 0;  // number the random streams of dropout
  std::optional<training::Workspace> workspace;
  std::optional<nn::Optimizer> optimizer;
};

TrainingSteps::TrainingSteps(std::shared_ptr<Trainable> trainable, nn::OptimizerOptions optimizer, std::uint64_t seed, int threads) {
  trainable->require_trainable();
  if (!optimizer.learning_rate)
    throw ConfigurationError(
        "TrainingSteps: the optimizer has no learning rate, and only a Trainer has a default one; give it a constant one, say");
  optimizer.validate();
  state_ = std::make_unique<State>(std::move(trainable), std::move(optimizer), seed, threads);
}

TrainingSteps::~TrainingSteps() = default;

LossTerms TrainingSteps::operator()(const Batch& batch) {
  State& s = *state_;
  if (batch.batch_size() == 0) throw ArgumentError("TrainingSteps: the batch has no data sets");
  if (const std::string bad = batch.non_finite(); !bad.empty())
    throw ArgumentError("TrainingSteps: the batch holds " + bad + "; let the configurator drop, replace or scale such values");
  if (!s.workspace) {
    s.trainable->build(batch, s.seed);
    s.names = training::names_with_decay(*s.trainable);
    s.has_decay = training::has_decay(*s.trainable);
    s.workspace.emplace(s.trainable->store());
    s.optimizer.emplace(s.trainable->store(), s.options);
  }
  const detail::InUse::Scope claim(s.trainable->store().training_claim(), "TrainingSteps", "amortizer is trained",
                                   "wait for its end, or train another amortizer");
  LossTerms out = training::gradient_of(*s.trainable, batch, *s.workspace, s.names, s.has_decay, s.seed, s.calls++, s.pool);
  if (std::isfinite(out.total())) (void)s.optimizer->step(s.workspace->gradients, s.pool);
  return out;
}

std::int64_t TrainingSteps::steps_taken() const { return state_->optimizer ? state_->optimizer->steps_taken() : 0; }
double TrainingSteps::learning_rate() const { return state_->options.learning_rate(steps_taken()); }

}  // namespace bayesflow
