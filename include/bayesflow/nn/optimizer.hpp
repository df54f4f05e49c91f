/// Optimizers over a flat store.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bayesflow/core/communicator.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/nn/schedule.hpp"

namespace bayesflow::nn {

class LanesOfRanks;
/// The rule by which weights follow their gradients.
enum class OptimizerKind : std::uint8_t { adam, adamw, sgd };
[[nodiscard]] EnumNames<OptimizerKind> names_of(OptimizerKind);

/// Settings of an Optimizer. Defaults are Keras' and v1's.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adam;
  Schedule learning_rate = {};   ///< empty: the trainer's cosine decay
  double beta1 = 0.9;            ///< Adam: decay of the first moment
  double beta2 = 0.999;          ///< Adam: decay of the second moment
  double epsilon = 1e-7;         ///< Adam: added to sqrt(v)
  double weight_decay = 0.004;   ///< AdamW only (Loshchilov and Hutter 2019): w -= rate decay w
  double momentum = 0.0;         ///< SGD only
  double global_clipnorm = 1.0;  ///< gradients are scaled by min(1, this / norm of all of a ParameterStore's group); 0: no clipping
  void validate() const;         ///< throws ConfigurationError naming field, value and constraint
};

template <class V>
void describe(V& v, OptimizerOptions& o) {
  v("kind", o.kind);
  v("learning_rate", o.learning_rate);
  v("beta1", o.beta1, probability());
  v("beta2", o.beta2, probability());
  v("epsilon", o.epsilon, positive());
  v("weight_decay", o.weight_decay, at_least(0));
  v("momentum", o.momentum, probability());
  v("global_clipnorm", o.global_clipnorm, at_least(0).with_note("0: no clipping"));
}

/// What one step did.
struct StepResult {
  double learning_rate = 0;
  double gradient_norm = 0;  ///< of all gradients, before clipping
  bool finite = true;        ///< false: a gradient was not finite, and nothing was changed
};

/// A step has three parts: the lanes of all ranks (of one rank: those given); their sum in the order of lanes, with the derivative of L2
/// penalties and the sum of squares (where the tape has not summed them); clipping and update. The last two are passes over flat buffers,
/// cut into the same pieces for any number of threads, whose partial sums are added in order.
class Optimizer {
 public:
  /// `communicator`: of the processes that train together; null: this one alone.
  Optimizer(ParameterStore& store, OptimizerOptions options, std::shared_ptr<Communicator> communicator = nullptr);
  ~Optimizer();
  StepResult step(GradientBuffers& gradients, ThreadPool& pool);

  [[nodiscard]] std::int64_t steps_taken() const { return step_; }
  void set_steps_taken(std::int64_t steps) { step_ = steps; }
  [[nodiscard]] const OptimizerOptions& options() const { return options_; }
  void set_schedule(Schedule schedule) { options_.learning_rate = std::move(schedule); }
  [[nodiscard]] double learning_rate() const { return options_.learning_rate(step_); }
  /// Flat buffers in the store's layout; second moments are empty for SGD.
  [[nodiscard]] std::span<float> first_moments() { return {m_.get(), static_cast<std::size_t>(store_->size())}; }
  [[nodiscard]] std::span<float> second_moments() { return {v_.get(), v_ ? static_cast<std::size_t>(store_->size()) : 0}; }

 private:
  struct Piece {
    int parameter;
    std::int64_t first, count;  // in the flat buffers
  };
  /// The gradients of a step, ready to be clipped.
  struct Reduced {
    const float* gradients;
    double square;  ///< of all of them; those of the groups are in squares_of_groups_
  };
  using Lanes = std::span<const bayesflow::detail::GradientLane>;
  [[nodiscard]] Reduced reduce(Lanes lanes, ThreadPool& pool);
  StepResult update(const Reduced& reduced, ThreadPool& pool);
  [[nodiscard]] std::size_t group_of(const Piece& piece) const {
    return static_cast<std::size_t>(store_->table()[static_cast<std::size_t>(piece.parameter)].group);
  }
  void place_pieces(Lanes lanes);
  void find_open_pieces(Lanes lanes);

  ParameterStore* store_;
  std::unique_ptr<LanesOfRanks> lanes_of_ranks_;
  OptimizerOptions options_;
  std::vector<Piece> pieces_;
  std::vector<int> order_;  // in which threads share out pieces
  std::vector<int> open_;   // pieces whose lanes are to be added or squared in this step
  std::vector<double> squares_, squares_of_groups_;
  std::vector<float> factors_;  // of the groups' gradients
  ParameterStore::Floats m_, v_;
  std::int64_t step_ = 0;
};

}  // namespace bayesflow::nn
