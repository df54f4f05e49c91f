// A project of a user's: a summary network, an inference network and an amortizer that the library does not know. Nothing but public
// headers, and no line of the library is changed for it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <bayesflow/bayesflow.hpp>
#include <bayesflow/engine.hpp>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bf = bayesflow;

namespace {

/// Means and mean squares of the observations, then a dense layer. Padding does not count.
class Moments final : public bf::SummaryNetwork {
 public:
  explicit Moments(std::int64_t summary_dim) : head_({.units = summary_dim, .activation = bf::Activation::identity}) {}
  void build(const bf::nn::Builder& builder, const bf::SummaryShape& input) override {
    head_.build(builder.scope("head"), 2 * input.data[-1]);
  }
  [[nodiscard]] bf::Tensor forward(bf::Tape& tape, const bf::SummaryInput& input) const override {
    namespace ops = bf::ops;
    const auto mean = [&](bf::Tensor x) { return input.mask ? ops::mean_pool(x, input.mask) : ops::mean_pool(x); };
    const bf::Tensor both[] = {mean(input.data), mean(ops::multiply(input.data, input.data))};
    return head_(tape, ops::concat(both));
  }
  [[nodiscard]] std::int64_t summary_dim() const override { return head_.units(); }
  [[nodiscard]] bool takes_mask() const override { return true; }

 private:
  bf::nn::Dense head_;
};

/// N(m, 1) with m a linear function of the condition.
class LinearNormal final : public bf::InferenceNetwork {
 public:
  void build(const bf::nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override {
    mean_ = bf::nn::Dense({.units = target_width, .activation = bf::Activation::identity});
    mean_.build(builder.scope("mean"), condition_width);
    width_ = target_width;
  }
  [[nodiscard]] std::int64_t target_width() const override { return width_; }
  [[nodiscard]] bool has_density() const override { return true; }
  [[nodiscard]] bool has_draws() const override { return true; }
  [[nodiscard]] bf::Tensor log_density(bf::Tape& tape, bf::Tensor targets, bf::Tensor condition) const override {
    return bf::ops::gaussian_log_density(bf::ops::subtract(targets, mean_(tape, condition)));
  }
  [[nodiscard]] bf::Tensor loss(bf::Tape& tape, bf::Tensor targets, bf::Tensor condition) const override {
    return bf::ops::scale(log_density(tape, targets, condition), -1);
  }
  [[nodiscard]] bf::Tensor sample(bf::Tape& tape, bf::DrawStreams& streams, bf::Tensor condition) const override {
    bf::Tensor z = tape.filled({1, streams.rows(), width_}, 0);
    streams.fill(z, [](bf::Rng& rng, std::span<float> values, std::int64_t) { rng.fill_normal(values); });
    return bf::ops::add(bf::ops::repeat(mean_(tape, condition), streams.rows()), z);
  }

 private:
  bf::nn::Dense mean_;
  std::int64_t width_ = 0;
};

/// q(next | history): what follows a series.
class Forecast : public bf::Amortizer {
 public:
  static constexpr bf::AmortizerKind kKind{
      .name = "Forecast", .target = "next", .summary = "history", .direct = bf::roles::direct_conditions, .density = "log_forecast"};

  Forecast(std::shared_ptr<bf::InferenceNetwork> inference_net, std::shared_ptr<bf::SummaryNetwork> summary_net,
           bf::AmortizerOptions options = {})
      : Amortizer(kKind, std::move(inference_net), std::move(summary_net), std::move(options)) {}
  explicit Forecast(const bf::Amortizer& other) : Amortizer(kKind, other) {}

  [[nodiscard]] bf::Array sample(const bf::Batch& batch, std::int64_t n, bf::SampleOptions options = {}) const {
    return draws(batch, n, options);
  }
  [[nodiscard]] bf::Array log_forecast(const bf::Batch& batch) const { return log_density(batch, nullptr); }
  [[nodiscard]] bf::Batch configure(const bf::Simulations& simulations) const override {
    const std::int64_t n = simulations.sim_data.dim(1);
    const bf::Array by_time = simulations.sim_data.swap_axes(0, 1);
    return {{"history", by_time.slice(0, n - 1).swap_axes(0, 1)}, {"next", by_time.row(n - 1)}};
  }
};

bf::GenerativeModel model() {
  return bf::GenerativeModel(bf::Prior([](bf::Rng& rng) { return rng.normal({2}); }),
                             bf::Simulator([](const bf::Array& theta, bf::Rng& rng) {
                               return rng.normal({6, 2}, theta);
                             }));
}
Forecast forecast() { return {std::make_shared<LinearNormal>(), std::make_shared<Moments>(3), {.threads = 2}}; }
std::vector<float> weights(const bf::Amortizer& amortizer) {
  return {amortizer.store().values(), amortizer.store().values() + amortizer.store().size()};
}
bf::TrainingSummary train(bf::Trainer& trainer) {
  return trainer.train_online({.epochs = 3, .iterations_per_epoch = 200, .batch_size = 32});
}

class Extension : public testing::Test {
 protected:
  const std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) / ("extension-" + std::to_string(::getpid()));
  Extension() { std::filesystem::create_directories(folder_); }
  ~Extension() override { std::filesystem::remove_all(folder_); }
};

TEST_F(Extension, IsTrainedAndForecastsBetterThanThePrior) {
  const Forecast amortizer = forecast();
  bf::Trainer trainer(amortizer, model(), {.default_lr = 1e-2});
  const bf::TrainingSummary run = train(trainer);
  EXPECT_EQ(run.stop, bf::TrainingSummary::Stop::completed);
  // next | theta ~ N(theta, 1), theta | five observations ~ N(5/6 mean, 1/6): the best N(m, 1) has m = 5/6 mean.
  const bf::Batch test = trainer.configure(model().simulate(300, 9, "test", 0));
  const bf::Array mean = amortizer.sample(test, 2000, {.seed = 1}).mean(1);
  const bf::Array best = test.array("history").mean(1) * (5.0 / 6.0);
  EXPECT_LT(bf::abs(mean - best).mean(), 0.1);
  EXPECT_GT(bf::abs(best).mean(), 0.5);
}

TEST_F(Extension, GoesOnFromACheckpointBitForBit) {
  const Forecast whole = forecast(), parts = forecast(), again = forecast();
  {
    bf::Trainer trainer(whole, model(), {.threads = 1});
    (void)train(trainer);
  }
  const auto options = [&](bf::ProgressCallback progress) {
    return bf::TrainerOptions{.threads = 2, .progress = std::move(progress), .checkpoint_path = folder_ / "run"};
  };
  {
    bf::Trainer trainer(parts, model(), options([](const bf::Progress& p) {
                          if (p.epoch == 2 && p.iteration == 77 && !p.epoch_done) std::raise(SIGINT);
                          return bf::Control::proceed;
                        }));
    EXPECT_EQ(train(trainer).stop, bf::TrainingSummary::Stop::interrupted);
  }
  bf::Trainer trainer(again, model(), options({}));
  EXPECT_EQ(train(trainer).resumed, 1);
  EXPECT_EQ(weights(again), weights(whole));
}

TEST_F(Extension, IsSavedAndLoaded) {
  const Forecast amortizer = forecast();
  bf::Trainer trainer(amortizer, model());
  (void)train(trainer);
  amortizer.save(folder_ / "model.h5");
  bf::LoadAmortizerOptions parts;
  parts.summary_net = [] { return std::make_shared<Moments>(3); };
  parts.inference_net = [] { return std::make_shared<LinearNormal>(); };
  const auto again = bf::load_amortizer<Forecast>(folder_ / "model.h5", parts);
  const bf::Batch test = trainer.configure(model().simulate(5, 9, "test", 0));
  EXPECT_EQ(again.sample(test, 10, {.seed = 1}), amortizer.sample(test, 10, {.seed = 1}));
  EXPECT_EQ(again.log_forecast(test), amortizer.log_forecast(test));
  EXPECT_THROW((void)bf::load_amortizer(folder_ / "model.h5", parts), bf::IoError);
  parts.inference_net = {};
  EXPECT_THROW((void)bf::load_amortizer<Forecast>(folder_ / "model.h5", parts), bf::IoError);
}

TEST_F(Extension, APosteriorOfOwnNetworksIsReported) {
  bf::AmortizedPosterior amortizer(LinearNormal(), Moments(3));
  bf::Trainer trainer(amortizer, model());
  (void)train(trainer);
  const bf::Report report = bf::report(trainer, folder_ / "report.html", {.num_data_sets = 150, .num_draws = 100});
  EXPECT_FALSE(report.verdict.calibrated);  // sd 1 where the posterior has 0.38
  EXPECT_GT(std::filesystem::file_size(folder_ / "report.html"), 10'000U);
}

TEST_F(Extension, RolesThatItDoesNotReadAreErrors) {
  Forecast amortizer = forecast();
  EXPECT_THROW(amortizer.build({{"history", bf::Array({2, 3, 2})}, {bf::roles::parameters, bf::Array({2, 2})}}), bf::ConfigurationError);
}

}  // namespace
