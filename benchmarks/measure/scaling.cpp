#include "measure/scaling.hpp"

#include <fmt/format.h>

namespace bench {
namespace {

struct Axis {
  std::string name;
  std::int64_t Sizes::*field;
  std::vector<std::int64_t> values;
};

std::vector<Axis> axes(bool quick) {
  if (quick)
    return {{"observations", &Sizes::n_obs, {10, 50}},
            {"batch size", &Sizes::batch_size, {8, 32}},
            {"coupling layers", &Sizes::coupling_layers, {1, 4}}};
  return {{"observations", &Sizes::n_obs, {10, 50, 200, 1000, 5000}},
          {"batch size", &Sizes::batch_size, {8, 32, 128, 512, 4096}},
          {"coupling layers", &Sizes::coupling_layers, {1, 2, 4, 8, 12}}};
}

}  // namespace

std::vector<ScalingPoint> measure_scaling(const std::vector<int>& threads, const std::vector<double>& peaks, bool quick) {
  std::vector<ScalingPoint> points;
  for (std::size_t t = 0; t < threads.size(); ++t)
    for (const Axis& axis : axes(quick)) {
      double before = 0;
      for (const std::int64_t value : axis.values) {
        Sizes sizes;
        sizes.*axis.field = value;
        ScalingPoint p{axis.name, value, threads[t], {}, static_cast<double>(train_flop(sizes)), 0, 0};
        p.it_per_s = train_speed(sizes, threads[t], {.seconds = quick ? 0.2 : 1.2, .window_seconds = 0.06, .warm_up = 3});
        p.fraction_of_peak = p.it_per_s.median * p.flop_per_it / (peaks[t] * 1e9);
        p.cost_ratio = before > 0 ? p.seconds_per_flop() / before : 0;
        before = p.seconds_per_flop();
        points.push_back(p);
      }
    }
  return points;
}

std::vector<std::string> not_linear(const std::vector<ScalingPoint>& points) {
  std::vector<std::string> out;
  for (std::size_t i = 1; i < points.size(); ++i) {
    const ScalingPoint &p = points[i], &q = points[i - 1];
    if (p.cost_ratio == 0 || (p.cost_ratio <= kLinear && p.cost_ratio >= 1 / kLinear)) continue;
    const bool grows = p.cost_ratio > 1;
    out.push_back(fmt::format("{} {} -> {}, {} thread{}: an operation costs {:.2f} times as much at {}", p.axis, q.value, p.value,
                              p.threads, p.threads == 1 ? "" : "s", grows ? p.cost_ratio : 1 / p.cost_ratio, grows ? p.value : q.value));
  }
  return out;
}

void print_scaling(const std::vector<ScalingPoint>& points) {
  fmt::print("{:<16} {:>6} {:>8} {:>10} {:>12} {:>9} {:>12}\n", "axis", "value", "threads", "it/s", "MFLOP/it", "of peak", "cost ratio");
  for (const ScalingPoint& p : points) {
    const bool odd = p.cost_ratio > 0 && (p.cost_ratio > kLinear || p.cost_ratio < 1 / kLinear);
    fmt::print("{:<16} {:>6} {:>8} {:>10.1f} {:>12.1f} {:>9.2f} {:>12}{}\n", p.axis, p.value, p.threads, p.it_per_s.median,
               p.flop_per_it * 1e-6, p.fraction_of_peak, p.cost_ratio > 0 ? fmt::format("{:.2f}", p.cost_ratio) : "-",
               odd ? "  not linear" : "");
  }
}

nlohmann::ordered_json to_json(const std::vector<ScalingPoint>& points) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const ScalingPoint& p : points)
    out.push_back({{"axis", p.axis},
                   {"value", p.value},
                   {"threads", p.threads},
                   {"it_per_s", p.it_per_s.median},
                   {"it_per_s_best", p.it_per_s.max},
                   {"flop_per_it", p.flop_per_it},
                   {"fraction_of_peak", p.fraction_of_peak},
                   {"cost_ratio", p.cost_ratio}});
  return out;
}

}  // namespace bench
