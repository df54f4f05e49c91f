#include "bayesflow/training/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>

namespace bayesflow {
namespace {

std::string clock(double seconds) {
  const long s = std::lround(seconds);
  const std::string minutes = fmt::format("{:02}:{:02}", s / 60 % 60, s % 60);
  return s < 3600 ? minutes : fmt::format("{}:{}", s / 3600, minutes);
}

}  // namespace

ProgressCallback console_progress(std::FILE* out) {
  const bool terminal = isatty(fileno(out)) != 0;
  using Clock = std::chrono::steady_clock;
  return [out, terminal, last = Clock::time_point()](const Progress& p) mutable {
    const Clock::time_point now = Clock::now();
    const bool redraw = terminal && now - last > std::chrono::milliseconds(100);
    if (!redraw && !p.epoch_done) return Control::proceed;
    last = now;
    std::string line =
        fmt::format("Epoch: {}, Iter: {}, Loss: {:.3f}, Avg.Loss: {:.3f}", p.epoch, p.iteration, p.losses.objective(), p.average_loss);
    if (const double decay = p.losses[kWeightDecay]; decay > 0) line += fmt::format(", W.Decay: {:.3f}", decay);
    line += fmt::format(", LR: {:.2E} | {:.0f} it/s, {} left", p.learning_rate, p.iterations_per_second, clock(p.seconds_left));
    if (p.epoch_done && p.validation) line += fmt::format(" | Val.Loss: {:.3f}", p.validation->objective());
    std::fprintf(out, terminal ? "\r\033[K%s%s" : "%s%s", line.c_str(), p.epoch_done || !terminal ? "\n" : "");
    std::fflush(out);
    return Control::proceed;
  };
}

}  // namespace bayesflow
