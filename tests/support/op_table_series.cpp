/// Rows of the op table: recurrent cells, convolutions and pools over series and images.
#include <cmath>

#include "support/op_table.hpp"
#include "support/twins.hpp"

namespace bayesflow::support {
namespace {

using Numbers = std::span<const Array>;
using Inputs = std::span<const Tensor>;

struct Series {
  std::string what;
  std::int64_t sets, times, inputs, units;
  bool masked = false, reverse = false, sequences = false, measured = false;
};

/// One step from the formulas; z holds x W + h U + b, of a GRU x W + b, and q h U + b'.
void cell_twin(bool gru, std::vector<double>& h, std::vector<double>& c, const std::vector<double>& z, const std::vector<double>& q) {
  const std::size_t n = h.size();
  for (std::size_t j = 0; j < n; ++j) {
    if (gru) {
      const double update = logistic(z[j] + q[j]), reset = logistic(z[n + j] + q[n + j]);
      h[j] = update * h[j] + (1 - update) * std::tanh(z[2 * n + j] + reset * q[2 * n + j]);
    } else {
      c[j] = logistic(z[n + j] + q[n + j]) * c[j] + logistic(z[j] + q[j]) * std::tanh(z[2 * n + j] + q[2 * n + j]);
      h[j] = logistic(z[3 * n + j] + q[3 * n + j]) * std::tanh(c[j]);
    }
  }
}

OpCase series_case(bool gru, const Series& s) {
  const std::int64_t width = (gru ? 3 : 4) * s.units;
  const std::string name = gru ? "gru" : "lstm";
  const double spread = s.units > 20 ? 0.1 : 0.5;  // large weights make a chaos that magnifies rounding
  OpCase c;
  c.shapes = s.what;
  c.inputs = {sample(name + "/x", {s.sets, s.times, s.inputs}), sample(name + "/W", {s.inputs, width}, 0, spread),
              sample(name + "/U", {s.units, width}, 0, spread),
              gru ? sample(name + "/b", {2, width}, 0, spread) : sample(name + "/b", {width}, 0, spread)};
  if (s.masked) {
    Array mask({s.sets, s.times}, 1.0);
    for (std::int64_t i = 0; i < s.sets; ++i)
      for (std::int64_t t = s.times - i % s.times; t < s.times; ++t) mask(i, t) = 0;
    mask(0, 1) = 0;  // a gap in the middle
    c.inputs.push_back(mask);
  }
  c.forward = [gru, s](Tape&, Inputs x) {
    const ops::Cell cell{x[1], x[2], x[3]};
    const ops::SequenceOptions o{s.reverse, s.sequences};
    const Tensor mask = x.size() > 4 ? x[4] : Tensor();
    return Tensors{gru ? ops::gru(x[0], cell, o, mask) : ops::lstm(x[0], cell, o, mask)};
  };
  c.reference = [gru, s, width](Numbers x) {
    Array y(s.sequences ? Shape{s.sets, s.times, s.units} : Shape{s.sets, s.units});
    const auto n = static_cast<std::size_t>(s.units), w = static_cast<std::size_t>(width);
    for (std::int64_t i = 0; i < s.sets; ++i) {
      std::vector<double> h(n), cells(n), z(w), q(w);
      for (std::int64_t step = 0; step < s.times; ++step) {
        const std::int64_t t = s.reverse ? s.times - 1 - step : step;
        for (std::size_t j = 0; j < w; ++j) {
          z[j] = x[3].data()[j];
          q[j] = gru ? x[3].data()[w + j] : 0;
          for (std::int64_t k = 0; k < s.inputs; ++k) z[j] += x[0](i, t, k) * x[1](k, static_cast<std::int64_t>(j));
          for (std::size_t k = 0; k < n; ++k) q[j] += h[k] * x[2](static_cast<std::int64_t>(k), static_cast<std::int64_t>(j));
        }
        if (!s.masked || x[4](i, t) != 0) cell_twin(gru, h, cells, z, q);
        for (std::size_t j = 0; j < n; ++j)
          y.data()[s.sequences ? (i * s.times + t) * s.units + static_cast<std::int64_t>(j) : i * s.units + static_cast<std::int64_t>(j)] =
              h[j];
      }
    }
    return Arrays{y};
  };
  c.flops = 2.0 * static_cast<double>(s.sets * s.times * width * (s.inputs + s.units));
  c.measured = s.measured;
  return c;
}

struct Window {
  std::string what;
  Shape x, kernel;  // kernel: (height, width, in, out), of pools (height, width)
  ops::Pair stride = {1, 1}, dilation = {1, 1};
  ops::Padding padding = ops::Padding::valid;
  bool masked = false, measured = false;
};
/// Result and zeros in front of one axis, from Keras' rules.
std::pair<std::int64_t, std::int64_t> places(std::int64_t extent, std::int64_t size, std::int64_t stride, std::int64_t dilation,
                                             ops::Padding padding) {
  const std::int64_t reach = (size - 1) * dilation + 1;
  if (padding == ops::Padding::valid) return {(extent - reach + stride) / stride, 0};
  const std::int64_t result = (extent + stride - 1) / stride;
  if (padding == ops::Padding::causal) return {result, reach - 1};
  return {result, std::max<std::int64_t>((result - 1) * stride + reach - extent, 0) / 2};
}
/// y[place, ...] = f(places of the image that the window sees, and which of its entries they are), for images (images, height, width,
/// channels).
template <class F>
void for_windows(const Window& w, std::int64_t height, std::int64_t width, F f) {
  const auto [rows, top] = places(height, w.kernel[0], w.stride[0], w.dilation[0], w.padding);
  const auto [cols, left] = places(width, w.kernel[1], w.stride[1], w.dilation[1], w.padding);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) {
      std::vector<std::pair<std::int64_t, std::int64_t>> seen;
      for (std::int64_t a = 0; a < w.kernel[0]; ++a)
        for (std::int64_t b = 0; b < w.kernel[1]; ++b) {
          const std::int64_t y = i * w.stride[0] + a * w.dilation[0] - top, x = j * w.stride[1] + b * w.dilation[1] - left;
          if (y >= 0 && y < height && x >= 0 && x < width) seen.emplace_back(y * width + x, a * w.kernel[1] + b);
        }
      f(i * cols + j, seen);
    }
}

/// A row for series (`axes` 1: height 1 everywhere) or images.
Op window_row(const std::string& name, const std::string& formula, int axes, int kind) {  // kind 0: convolution, 1: largest, 2: mean
  Op row{name, formula, {axes == 1 ? "x (..., T, in)" : "x (..., height, width, in)"}, {true}, "windows", 4e-6, 2e-3, {}};
  if (kind == 0) {
    row.arguments.push_back(axes == 1 ? "W (size, in, out)" : "W (height, width, in, out)"), row.differentiable.push_back(true);
    row.arguments.push_back("b (out), optional"), row.differentiable.push_back(true);
    row.cost = "2 window out per place";
  } else if (axes == 1) {
    row.arguments.push_back("mask (..., T), optional"), row.differentiable.push_back(false);
  }
  using enum ops::Padding;
  std::vector<Window> all = {{"same", {2, 1, 7, 2}, {1, 3, 2, 4}, {1, 1}, {1, 1}, same},
                             {"same, even size", {2, 1, 6, 1}, {1, 2, 1, 3}, {1, 1}, {1, 1}, same},
                             {"causal, dilated", {2, 1, 9, 3}, {1, 3, 3, 2}, {1, 1}, {1, 2}, causal},
                             {"valid, strided", {3, 1, 11, 2}, {1, 4, 2, 5}, {1, 3}},
                             {"same, strided", {1, 1, 8, 2}, {1, 3, 2, 3}, {1, 2}, {1, 1}, same},
                             {"valid", {0, 1, 5, 2}, {1, 2, 2, 3}},
                             {"size 1", {2, 1, 5, 3}, {1, 1, 3, 17}},
                             {"across blocks", {3, 1, 70, 1}, {1, 3, 1, 2}, {1, 1}, {1, 1}, causal},
                             {"causal", {4, 1, 100, 32}, {1, 3, 32, 32}, {1, 1}, {1, 1}, causal, false, true}};
  if (axes == 2)
    all = {{"same", {2, 4, 5, 2}, {3, 3, 2, 4}, {1, 1}, {1, 1}, same},
           {"valid, strided", {2, 7, 6, 1}, {3, 2, 1, 3}, {2, 1}},
           {"same, strided", {1, 5, 8, 2}, {2, 3, 2, 3}, {2, 3}, {1, 1}, same},
           {"same, dilated", {1, 6, 7, 2}, {3, 2, 2, 2}, {1, 1}, {2, 3}, same},
           {"size 1", {2, 2, 3, 3}, {1, 1, 3, 2}},
           {"size 1, strided", {2, 3, 3, 2}, {1, 1, 2, 3}, {2, 2}},
           {"more axes", {2, 3, 4, 3}, {2, 2, 3, 2}},
           {"same", {2, 14, 14, 16}, {3, 3, 16, 32}, {1, 1}, {1, 1}, same, false, true}};
  if (axes == 1 && kind > 0)
    all.push_back({"masked", {3, 1, 9, 5}, {1, 3}, {1, 2}, {1, 1}, same, true}),
        all.push_back({"masked", {2, 1, 7, 17}, {1, 2}, {1, 2}, {1, 1}, valid, true});
  for (Window& w : all) {
    OpCase c;
    c.shapes = w.what;
    c.measured = w.measured;
    const auto without_height = [axes](const Shape& s) {
      Shape out;
      for (int k = 0; k < s.rank(); ++k)
        if (axes == 2 || k != 1) out.push_back(s[k]);
      return out;
    };
    c.inputs = {sample(name, without_height(w.x))};
    if (kind == 0) {
      c.inputs.push_back(sample(name + "/W", axes == 1 ? w.kernel.slice(1, 4) : w.kernel));
      if (w.what != "valid") c.inputs.push_back(sample(name + "/b", {w.kernel[3]}));
    } else if (w.masked) {
      c.inputs.push_back(sample(name + "/mask", {w.x[0], w.x[2]}).map([](double v) { return v > -0.3 ? 1.0 : 0.0; }));
      std::fill_n(c.inputs[1].data(), 4, 0.0);  // a window without anything
    }
    c.forward = [=](Tape&, Inputs x) {
      const ops::WindowOptions o{w.stride[1], w.dilation[1], w.padding};
      const ops::WindowOptions2d o2{w.stride, w.dilation, w.padding};
      const ops::Pair size{w.kernel[0], w.kernel[1]};
      if (kind == 0) {
        const Tensor bias = x.size() > 2 ? x[2] : Tensor();
        return Tensors{axes == 1 ? ops::conv1d(x[0], x[1], bias, o) : ops::conv2d(x[0], x[1], bias, o2)};
      }
      const Tensor mask = x.size() > 1 ? x[1] : Tensor();
      if (axes == 1) return Tensors{kind == 1 ? ops::max_pool_1d(x[0], size[1], o, mask) : ops::mean_pool_1d(x[0], size[1], o, mask)};
      return Tensors{kind == 1 ? ops::max_pool_2d(x[0], size, o2) : ops::mean_pool_2d(x[0], size, o2)};
    };
    const auto [rows, top] = places(w.x[1], w.kernel[0], w.stride[0], w.dilation[0], w.padding);
    const auto [cols, left] = places(w.x[2], w.kernel[1], w.stride[1], w.dilation[1], w.padding);
    const Shape result = without_height({w.x[0], rows, cols, kind == 0 ? w.kernel[3] : w.x[3]});
    c.flops = kind == 0 ? 2.0 * static_cast<double>(w.x[0] * rows * cols * w.kernel.size()) : 0;
    c.reference = [=](Numbers x) {
      Array y(result);
      const std::int64_t image = w.x[1] * w.x[2], in = w.x[3], out = result[-1];
      for (std::int64_t i = 0; i < w.x[0]; ++i)
        for_windows(w, w.x[1], w.x[2], [&](std::int64_t place, const auto& seen) {
          for (std::int64_t j = 0; j < out; ++j) {
            double sum = kind == 0 && x.size() > 2 ? x[2].data()[j] : 0, top_value = -INFINITY, count = 0;
            for (const auto& [position, entry] : seen) {
              if (w.masked && x[1].data()[i * image + position] == 0) continue;
              const double* at = x[0].data() + (i * image + position) * in;
              if (kind == 0) {
                for (std::int64_t k = 0; k < in; ++k) sum += at[k] * x[1].data()[(entry * in + k) * out + j];
              } else {
                sum += at[j], top_value = std::max(top_value, at[j]), ++count;
              }
            }
            y.data()[(i * result.size() / std::max<std::int64_t>(1, w.x[0]) + place * out) + j] = kind == 0    ? sum
                                                                                                  : count == 0 ? 0
                                                                                                  : kind == 1  ? top_value
                                                                                                               : sum / count;
          }
        });
      return Arrays{y};
    };
    row.cases.push_back(std::move(c));
  }
  return row;
}

}  // namespace

std::vector<Op> series_ops() {
  std::vector<Op> rows;
  for (const bool gru : {false, true}) {
    Op row{gru ? "gru" : "lstm",
           gru ? "gated recurrent unit, gates z, r, h, reset after the product: (..., units), or all states"
               : "long short-term memory, gates i, f, c, o: (..., units), or all states",
           {"x (..., T, d)", gru ? "W (d, 3 units)" : "W (d, 4 units)", gru ? "U (units, 3 units)" : "U (units, 4 units)",
            gru ? "b (2, 3 units)" : "b (4 units)", "mask (..., T), optional"},
           {true, true, true, true, false},
           gru ? "6 units (d + units) per step" : "8 units (d + units) per step",
           4e-6,
           2e-3,
           {}};
    for (const Series& s :
         {Series{"", 2, 3, 2, 4}, Series{"one step", 2, 1, 3, 2}, Series{"all states", 2, 4, 1, 3, false, false, true},
          Series{"backwards", 2, 4, 2, 3, false, true}, Series{"masked", 3, 5, 2, 3, true},
          Series{"masked, backwards", 3, 5, 2, 3, true, true}, Series{"masked, all states", 3, 5, 2, 17, true, false, true},
          Series{"masked, all states, backwards", 3, 4, 2, 2, true, true, true}, Series{"no sets", 0, 3, 2, 2},
          Series{"", 8, 20, 32, 64, false, false, false, true}})
      row.cases.push_back(series_case(gru, s));
    rows.push_back(std::move(row));
  }
  rows.push_back(window_row("conv1d", "sum over k of x[t stride + k dilation - before] W[k] + b", 1, 0));
  rows.push_back(window_row("conv2d", "the same over height and width", 2, 0));
  rows.push_back(window_row("max_pool_1d", "largest of a window of what is there", 1, 1));
  rows.push_back(window_row("mean_pool_1d", "mean of a window of what is there", 1, 2));
  rows.push_back(window_row("max_pool_2d", "largest of a window", 2, 1));
  rows.push_back(window_row("mean_pool_2d", "mean of a window", 2, 2));
  return rows;
}

}  // namespace bayesflow::support
