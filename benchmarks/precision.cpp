/// What bfloat16 gains over float32 on the quickstart: training and draws, by turns in one run. Says what share of the arithmetic it
/// changes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>

#include "measure/speed.hpp"

namespace bf = bayesflow;

namespace {

constexpr std::array kBoth = {bf::Precision::float32, bf::Precision::bfloat16};

void print(const char* what, const char* unit, const std::array<std::vector<double>, 2>& seconds, double per_unit) {
  const bench::Spread a = bench::spread_of(seconds[0]), b = bench::spread_of(seconds[1]);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < seconds[0].size(); ++i) ratios.push_back(seconds[0][i] / seconds[1][i]);
  fmt::print(
      "{:<28} float32 {:.4g} (least {:.4g}), bfloat16 {:.4g} (least {:.4g}) {}; gain {:.2f} of medians, {:.2f} of least, {:.2f} to {:.2f} "
      "by turns\n",
      what, a.median * per_unit, a.min * per_unit, b.median * per_unit, b.min * per_unit, unit, a.median / b.median, a.min / b.min,
      bench::spread_of(ratios).min, bench::spread_of(ratios).max);
}

/// Share of a training step's products that is made in bfloat16.
double share(const bf::AmortizedPosterior& amortizer, const bf::Batch& inputs) {
  bf::nn::GradientBuffers gradients(amortizer.store());
  bf::Tape tape;
  tape.reset({.gradients = true, .training = true, .lanes = &gradients, .precision = bf::Precision::bfloat16});
  tape.backward(amortizer.loss(tape, inputs).total);
  return static_cast<double>(tape.bfloat16_flops()) / static_cast<double>(tape.product_flops());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("bfloat16 against float32.");
  int threads = 0, turns = 15;
  std::int64_t steps = 200, sets = 100;
  app.add_option("--threads", threads, "0: all")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--turns", turns, "of each")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--steps", steps, "of training, a turn")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--sets", sets, "of which 1,000 draws are made, a turn")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const bf::GenerativeModel model = bench::gaussian_model({});
  std::vector<bf::AmortizedPosterior> amortizers;
  std::vector<std::unique_ptr<bf::Trainer>> trainers;
  for (const bf::Precision p : kBoth) {
    amortizers.push_back(bench::make_amortizer({}, threads));
    trainers.push_back(std::make_unique<bf::Trainer>(amortizers.back(), model,
                                                     bf::TrainerOptions{.threads = threads, .handle_interrupt = false, .precision = p}));
  }
  const auto timed = [](auto&& f) { return bench::time_runs(1, f).front(); };
  std::array<std::vector<double>, 2> training, draws, one;
  for (int turn = 0; turn <= turns; ++turn)
    for (std::size_t p = 0; p < 2; ++p) {
      const double s = timed([&] { (void)trainers[p]->train_online({.epochs = 1, .iterations_per_epoch = steps, .batch_size = 32}); });
      if (turn > 0) training[p].push_back(s / static_cast<double>(steps));
    }
  const auto batch = [&model](std::int64_t n) { return bf::default_configurator(model.simulate(n, 1, "draws", 0)); };
  const bf::Batch many = batch(sets), single = batch(1);
  for (int turn = 0; turn <= turns; ++turn)
    for (std::size_t p = 0; p < 2; ++p) {
      const auto of = [&](const bf::Batch& b) {
        return timed([&] { (void)amortizers[0].sample(b, 1000, {.seed = 1, .precision = kBoth[p]}); });
      };
      const double s = of(many), s1 = of(single);
      if (turn > 0) draws[p].push_back(s), one[p].push_back(s1);
    }
  fmt::print("{}, {} threads; load {:.1f}; share of a step's products in bfloat16: {:.3f}\n", bench::cpu_model(),
             threads ? threads : bench::hardware_threads(), bench::load_average(), share(amortizers[0], batch(32)));
  print("a training step", "ms", training, 1e3);
  print(fmt::format("{} x 1,000 draws", sets).c_str(), "s", draws, 1);
  print("1 x 1,000 draws", "ms", one, 1e3);
  return 0;
}
