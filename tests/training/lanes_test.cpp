/// A trainer holds as many buffers of gradients as the plans of its batches have lanes.
#include <gtest/gtest.h>

#include <algorithm>

#include "training/support_training.hpp"

namespace bayesflow {
namespace {

/// Counts the lanes that a step's pass begins with: those of the steps before.
class Watched final : public AmortizedPosterior {
 public:
  explicit Watched(std::int64_t* most)
      : AmortizedPosterior(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2}), DeepSet({.summary_dim = 4}), {.threads = 2}),
        most_(most) {}
  LossTensors loss(Tape& tape, const Batch& batch) const override {
    if (tape.lanes()) *most_ = std::max(*most_, tape.lanes()->count());
    return AmortizedPosterior::loss(tape, batch);
  }

 private:
  std::int64_t* most_;
};

std::int64_t lanes_of_training(std::int64_t batch_size, std::int64_t observations) {
  std::int64_t most = 0;
  Trainer trainer(Watched(&most), gaussian_model(2, observations), {.threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 3, .batch_size = batch_size});
  return most;
}

TEST(LanesOfATrainer, AreThoseThatItsPlansNeed) {
  EXPECT_EQ(lanes_of_training(8, 10), 1);
  EXPECT_EQ(lanes_of_training(32, 50), 4);
  EXPECT_EQ(lanes_of_training(64, 50), 8);
}

}  // namespace
}  // namespace bayesflow
