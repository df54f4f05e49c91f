/// An inference network of one's own, without touching the library: derive from InferenceNetwork, register parameters in `build`, compose
/// operations in `loss`, `log_density` and `sample`. Training, threads, checkpoints, model files and the checks of inputs come by
/// themselves.
///
/// This one is a normal distribution of independent parameters, whose means and standard deviations a dense network gives. For the
/// normal means of the tutorial that is the form of the exact posterior, N(n x_mean / (n + 1), 1 / (n + 1)).
#include <bayesflow/bayesflow.hpp>
#include <bayesflow/engine.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>

namespace bf = bayesflow;

class IndependentNormals final : public bf::InferenceNetwork {
 public:
  explicit IndependentNormals(std::int64_t width)
      : width_(width), net_({{.units = 64}, {.units = 64}, {.units = 2 * width, .activation = bf::Activation::identity}}) {}

  void build(const bf::nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override {
    if (target_width != width_) throw bf::ConfigurationError("IndependentNormals: made for targets of another width");
    net_.build(builder.scope("net"), condition_width);
  }
  [[nodiscard]] std::int64_t target_width() const override { return width_; }
  [[nodiscard]] bool has_density() const override { return true; }
  [[nodiscard]] bool has_draws() const override { return true; }

  /// log N(theta; m, s^2) = log N((theta - m) / s; 0, 1) - sum log s
  [[nodiscard]] bf::Tensor log_density(bf::Tape& tape, bf::Tensor targets, bf::Tensor condition) const override {
    namespace ops = bf::ops;
    const auto [mean, log_sd] = moments(tape, targets.shape(), condition);
    const bf::Tensor precision = ops::activate(ops::scale(log_sd, -1), bf::Activation::exponential);
    const bf::Tensor z = ops::multiply(ops::subtract(targets, mean), precision);
    return ops::subtract(ops::gaussian_log_density(z), ops::sum_columns(log_sd));
  }
  [[nodiscard]] bf::Tensor loss(bf::Tape& tape, bf::Tensor targets, bf::Tensor condition) const override {
    return bf::ops::scale(log_density(tape, targets, condition), -1);
  }
  [[nodiscard]] bf::Tensor sample(bf::Tape& tape, bf::DrawStreams& streams, bf::Tensor condition) const override {
    namespace ops = bf::ops;
    bf::Tensor z = tape.filled({1, streams.rows(), width_}, 0);
    streams.fill(z, [](bf::Rng& rng, std::span<float> values, std::int64_t) { rng.fill_normal(values); });
    const auto [mean, log_sd] = moments(tape, z.shape(), condition);
    return ops::add(mean, ops::multiply(z, ops::activate(log_sd, bf::Activation::exponential)));
  }
  [[nodiscard]] std::string to_string() const override { return "independent normal distributions"; }

 private:
  struct Moments {
    bf::Tensor mean, log_sd;
  };
  /// In the targets' shape: (batch, D), or (batch, n, D), where a condition may be shared by n targets.
  [[nodiscard]] Moments moments(bf::Tape& tape, const bf::Shape& targets, bf::Tensor condition) const {
    bf::Tensor both = net_(tape, condition);
    if (targets.rank() == 3 && both.rank() == 2) both = bf::ops::repeat(both, targets[1]);
    return {bf::ops::columns(both, 0, width_), bf::ops::columns(both, width_, 2 * width_)};
  }

  std::int64_t width_;
  bf::nn::Mlp net_;
};

constexpr std::int64_t kWidth = 2, kObservations = 10;

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests
  bf::Prior prior([](bf::Rng& rng) { return rng.normal({kWidth}); });
  bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({kObservations, kWidth}, theta); });
  bf::GenerativeModel model(prior, simulator);

  bf::AmortizedPosterior amortizer(IndependentNormals(kWidth), bf::DeepSet({.summary_dim = 6, .linear_path = true}));
  bf::Trainer trainer(amortizer, model, {.progress = bf::console_progress()});
  const auto run = trainer.train_online({.epochs = 2, .iterations_per_epoch = small ? 400 : 2000, .batch_size = 64});
  std::printf("%s\n", run.full().c_str());

  const std::int64_t sets = small ? 100 : 1000;
  const bf::Batch test = trainer.configure(model(sets));
  const double exact = -0.5 * kWidth * std::log(2 * M_PI * M_E / (kObservations + 1));
  const double reached = amortizer.log_posterior(test).mean();
  std::printf("log density of the true parameters: %.3f, of the exact posterior on average %.3f\n", reached, exact);

  // Files name a network of one's own, and are given it again.
  amortizer.save("own_inference_network.h5");
  bf::LoadAmortizerOptions parts;
  parts.inference_net = [] { return std::make_shared<IndependentNormals>(kWidth); };
  const auto again = bf::load_amortizer("own_inference_network.h5", parts);
  const bool same = again.sample(test, 100, {.seed = 1}) == amortizer.sample(test, 100, {.seed = 1});
  std::printf("The loaded amortizer gives %s draws.\n", same ? "the same" : "OTHER");
  return same && reached > exact - (small ? 0.3 : 0.1) ? 0 : 1;
}
