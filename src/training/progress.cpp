#include "bayesflow/training/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace bayesflow {
namespace {

std::string clock(double seconds) {
  const long s = std::lround(seconds);
  const std::string minutes = fmt::format("{:02}:{:02}", s / 60 % 60, s % 60);
  return s < 3600 ? minutes : fmt::format("{}:{}", s / 3600, minutes);
}

struct Part {
  int rank;  // the highest goes first where there is no room
  std::string text;
};

std::vector<Part> parts_of(const Progress& p) {
  std::vector<Part> parts{{0, fmt::format("Epoch: {}", p.epoch)},
                          {3, fmt::format(", Iter: {}", p.iteration)},
                          {0, fmt::format(", Loss: {:.3f}", p.losses.objective())},
                          {4, fmt::format(", Avg.Loss: {:.3f}", p.average_loss)}};
  if (const double decay = p.losses[kWeightDecay]; decay > 0) parts.push_back({7, fmt::format(", W.Decay: {:.3f}", decay)});
  parts.push_back({6, fmt::format(", LR: {:.2E}", p.learning_rate)});
  parts.push_back({5, fmt::format(" | {:.0f} it/s", p.iterations_per_second)});
  parts.push_back({2, fmt::format(", {} left", clock(p.seconds_left))});
  if (p.epoch_done && p.validation) parts.push_back({1, fmt::format(" | Val.Loss: {:.3f}", p.validation->objective())});
  return parts;
}

/// The line of as many parts as there is room for.
std::string fitted(std::vector<Part> parts, int columns) {
  for (;;) {
    std::string line;
    for (const Part& part : parts) line += part.text;
    const auto last = std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; });
    if (static_cast<int>(line.size()) <= columns || last->rank == 0) return line;
    parts.erase(last);
  }
}

int columns_of(std::FILE* out) {
  constexpr int kUsual = 80;
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
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
    const std::string line = fitted(parts_of(p), terminal ? columns_of(out) - 1 : std::numeric_limits<int>::max());
    std::fprintf(out, terminal ? "\r\033[K%s%s" : "%s%s", line.c_str(), p.epoch_done || !terminal ? "\n" : "");
    std::fflush(out);
    return Control::proceed;
  };
}

}  // namespace bayesflow
