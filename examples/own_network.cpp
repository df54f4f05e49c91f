/// A summary network of one's own, without touching the library: derive from SummaryNetwork, register parameters in `build`, compose
/// operations in `forward`. Derivatives, shards, threads, checkpoints and sampling come by themselves.
///
/// This one learns weights for the observations: y = sum_i w_i v(x_i) / sum_i w_i with w_i = sigmoid(g(x_i)). Here, every fifth
/// observation is an outlier with a standard deviation of 20, which a plain mean would follow.
#include <bayesflow/bayesflow.hpp>
#include <bayesflow/engine.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <span>

namespace bf = bayesflow;

/// x: (batch, observations, width) -> (batch, summary_dim)
class WeightedPooling final : public bf::SummaryNetwork {
 public:
  explicit WeightedPooling(std::int64_t summary_dim)
      : values_({{.units = 64}, {.units = 32, .activation = bf::Activation::identity}}),
        gate_({{.units = 64}, {.units = 32, .activation = bf::Activation::sigmoid}}),
        head_({{.units = 64}, {.units = summary_dim, .activation = bf::Activation::identity}}) {}

  void build(const bf::nn::Builder& builder, const bf::SummaryShape& input) override {
    if (input.data.rank() != 3)
      throw bf::ShapeError("WeightedPooling: needs data (batch, observations, width); got " + input.data.to_string());
    values_.build(builder.scope("values"), input.data[-1]);
    gate_.build(builder.scope("gate"), input.data[-1]);
    head_.build(builder.scope("head"), 2 * values_.units());
  }

  bf::Tensor forward(bf::Tape& tape, const bf::SummaryInput& given) const override {
    const bf::Tensor x = given.data;
    namespace ops = bf::ops;
    const bf::Tensor weights = gate_(tape, x);  // a weight for each value of each observation
    const bf::Tensor sums[] = {ops::mean_pool(ops::multiply(weights, values_(tape, x))), ops::mean_pool(weights)};
    return head_(tape, ops::concat(sums));  // the head divides one by the other as it likes
  }

  std::int64_t summary_dim() const override { return head_.units(); }

 private:
  bf::nn::Mlp values_, gate_, head_;
};

namespace {

constexpr int kObservations = 40;
constexpr double kOutlierShare = 0.2, kOutlierSd = 20;

double log_normal(double x, double sd) { return -0.5 * x * x / (sd * sd) - std::log(sd); }

struct Posterior {
  double mean, sd;
};
/// The exact posterior, by summing prior x likelihood over a fine grid.
Posterior exact_posterior(std::span<const float> data) {
  double total = 0, first = 0, second = 0;
  for (double mu = -5; mu <= 5; mu += 0.005) {
    double log_density = log_normal(mu, 1);
    for (const float value : data) {
      const double x = value;
      log_density +=
          std::log((1 - kOutlierShare) * std::exp(log_normal(x - mu, 1)) + kOutlierShare * std::exp(log_normal(x - mu, kOutlierSd)));
    }
    const double p = std::exp(log_density + 2.0 * kObservations);
    total += p;
    first += p * mu;
    second += p * mu * mu;
  }
  const double mean = first / total;
  return {mean, std::sqrt(second / total - mean * mean)};
}

}  // namespace

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  bf::Prior prior([](bf::Rng& rng) { return rng.normal({1}); }, {.param_names = {"mu"}});
  bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) {
    bf::Array x({kObservations, 1});
    for (double& value : x.values()) value = rng.normal(theta[0], rng.bernoulli(kOutlierShare) ? kOutlierSd : 1.0);
    return x;
  });
  bf::GenerativeModel model(prior, simulator, {.logger = bf::stderr_logger()});

  bf::InvertibleNetwork inference_net({.num_params = 1, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()});
  bf::AmortizedPosterior amortizer(inference_net, WeightedPooling(8));

  bf::Trainer trainer(amortizer, model, {.progress = bf::console_progress()});
  const auto run = trainer.train_online(
      {.epochs = small ? 2 : 8, .iterations_per_epoch = small ? 150 : 1000, .batch_size = 32, .run = {.validation_sims = 200}});
  std::printf("%s\n", run.full().c_str());

  const std::int64_t sets = small ? 50 : 300;
  const bf::Batch test = trainer.configure(model(sets));
  const bf::Array draws = amortizer.sample(test, 1000);
  double error = 0, naive = 0, ratio = 0;
  for (std::int64_t i = 0; i < sets; ++i) {
    const auto data = test[bf::roles::summary_conditions].row_values(i);
    const Posterior exact = exact_posterior(data);
    const bf::Array mine = draws.row(i);
    double sum = 0;
    for (const double x : data) sum += x;
    error += std::pow((mine.mean() - exact.mean) / exact.sd, 2) / static_cast<double>(sets);
    naive += std::pow((sum / (kObservations + 1) - exact.mean) / exact.sd, 2) / static_cast<double>(sets);
    ratio += mine.std(1) / exact.sd / static_cast<double>(sets);
  }
  std::printf("compared with the exact posterior, over %ld new data sets:\n", static_cast<long>(sets));
  std::printf("  posterior means are off by %.3f exact standard deviations (rms); those of a plain mean by %.1f\n", std::sqrt(error),
              std::sqrt(naive));
  std::printf("  posterior standard deviations are %.3f times the exact ones\n", ratio);
  const bool good = std::sqrt(error) < 0.5 && std::abs(ratio - 1) < 0.15;
  return std::isfinite(error) && std::isfinite(ratio) && (small || good) ? 0 : 1;
}
