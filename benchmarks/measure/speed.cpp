#include "measure/speed.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

namespace bf = bayesflow;

namespace bench {

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  const double median = n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
  return {values.front(), median, values.back(), static_cast<std::int64_t>(n)};
}

bf::GenerativeModel gaussian_model(const Sizes& sizes) {
  const std::int64_t n = sizes.n_obs, d = sizes.params;
  return bf::GenerativeModel(bf::Prior([d](bf::Rng& rng) { return rng.normal({d}); }),
                             bf::Simulator([n, d](const bf::Array& theta, bf::Rng& rng) {
                               return rng.normal({n, d}, theta);
                             }));
}

namespace {

constexpr std::int64_t kSummaryDim = 10;

bf::InvertibleNetworkOptions flow_options(const Sizes& sizes) {
  return {.num_params = sizes.params,
          .num_coupling_layers = sizes.coupling_layers,
          .coupling_design = sizes.spline ? bf::CouplingDesign::spline : bf::CouplingDesign::affine,
          .coupling = bf::unregularized_coupling()};
}

}  // namespace

bf::AmortizedPosterior make_amortizer(const Sizes& sizes, int threads) {
  return bf::AmortizedPosterior(bf::InvertibleNetwork(flow_options(sizes)), bf::DeepSet({.summary_dim = kSummaryDim}),
                                {.threads = threads});
}

Spread train_speed(const Sizes& sizes, int threads, const Watch& watch) {
  std::vector<double> windows;
  std::int64_t steps = 0, per_window = watch.window_seconds > 0 ? 1 : watch.window_steps;
  std::int64_t dropped = 0;
  double begin = now(), start = begin;
  const auto progress = [&](const bf::Progress& p) {
    if (p.epoch_done || ++steps % per_window != 0) return bf::Control::proceed;
    const double t = now(), rate = static_cast<double>(per_window) / (t - start);
    start = t;
    steps = 0;
    if (dropped < watch.warm_up) {
      if (++dropped == watch.warm_up) {
        if (watch.window_seconds > 0) per_window = std::max<std::int64_t>(1, static_cast<std::int64_t>(watch.window_seconds * rate));
        begin = t;
      }
      return bf::Control::proceed;
    }
    windows.push_back(rate);
    const bool enough = t - begin >= watch.seconds && static_cast<std::int64_t>(windows.size()) >= watch.least_windows;
    return enough ? bf::Control::stop : bf::Control::proceed;
  };
  bf::Trainer trainer(make_amortizer(sizes, threads), gaussian_model(sizes),
                      {.threads = threads, .progress = progress, .handle_interrupt = false});
  begin = start = now();
  constexpr std::int64_t kManySteps = 100'000;  // more than any watch lasts
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = kManySteps, .batch_size = sizes.batch_size});
  return spread_of(std::move(windows));
}

std::int64_t train_flop(const Sizes& sizes) {
  bf::AmortizedPosterior amortizer = make_amortizer(sizes);
  const bf::Batch inputs = bf::default_configurator(gaussian_model(sizes).simulate(sizes.batch_size, 0, "flop", 0));
  amortizer.build(inputs, 0);
  bf::nn::GradientBuffers gradients(amortizer.store());
  bf::Tape tape;
  tape.reset({.gradients = true, .training = true, .lanes = &gradients});
  tape.backward(amortizer.loss(tape, inputs).total);
  return tape.product_flops();
}

std::int64_t sample_flop(const Sizes& sizes, std::int64_t sets, std::int64_t draws) {
  // Per data set: the summary, once, and the flow's inverse of all draws.
  bf::nn::ParameterStore store;
  const bf::nn::Builder root(store, 0);
  bf::DeepSet summary({.summary_dim = kSummaryDim});
  summary.build(root.scope("summary_net"), bf::Shape{1, sizes.n_obs, sizes.params});
  bf::InvertibleNetwork flow(flow_options(sizes));
  flow.build(root.scope("inference_net"), flow.target_width(), kSummaryDim);
  bf::Tape tape;
  tape.reset({.gradients = false, .training = false});
  const bf::Tensor condition = summary.forward(tape, tape.filled({1, sizes.n_obs, sizes.params}, 0));
  (void)flow.inverse(tape, tape.filled({1, draws, sizes.params}, 0), condition);
  return sets * tape.product_flops();
}

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

int hardware_threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

double load_average() {
  double load[1] = {0};
  return getloadavg(load, 1) == 1 ? load[0] : 0;
}

}  // namespace bench
