/// Convolutions and pools over series and images.
#include "bayesflow/autodiff/ops/convolution.hpp"

#include <algorithm>

#include "autodiff/check.hpp"
#include "autodiff/ops/gemm.hpp"
#include "bayesflow/autodiff/ops/dense.hpp"
#include "bayesflow/autodiff/ops/shape.hpp"
#include "kernels/window.hpp"

namespace bayesflow::ops {
namespace {

using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;
using kernels::Windows;

// What so many windows see lies in the second-level cache until it is multiplied.
constexpr std::int64_t kPlaces = 128;

Windows::Axis axis_of(const char* op, Tensor x, std::int64_t extent, std::int64_t size, std::int64_t stride, std::int64_t dilation,
                      Padding padding) {
  require(size >= 1 && stride >= 1 && dilation >= 1, "{}: size, stride and dilation must be positive; got {}, {} and {}", op, size, stride,
          dilation);
  const std::int64_t reach = (size - 1) * dilation;
  Windows::Axis a{extent, size, 0, stride, dilation, 0};
  switch (padding) {
    case Padding::valid:
      a.result = extent > reach ? (extent - reach - 1) / stride + 1 : 0;
      break;
    case Padding::causal:
      a.before = reach, a.result = extent > 0 ? (extent - 1) / stride + 1 : 0;
      break;
    case Padding::same:
      a.result = (extent + stride - 1) / stride;
      a.before = std::max<std::int64_t>(0, (a.result - 1) * stride + reach + 1 - extent) / 2;
      break;
  }
  require(a.result > 0, "{}: a window of {} does not fit into {} entries of {}", op, reach + 1, extent, shape_of(x));
  return a;
}

/// A series is an image of one line.
Windows windows_1d(const char* op, Tensor x, std::int64_t size, const WindowOptions& o) {
  require(x.rank() >= 2, "{}: needs shape (..., T, d); got {}", op, shape_of(x));
  return {{1, 1, 1, 1, 1, 0}, axis_of(op, x, x.dim(-2), size, o.stride, o.dilation, o.padding), x.cols()};
}
Windows windows_2d(const char* op, Tensor x, const Pair& size, const WindowOptions2d& o) {
  require(x.rank() >= 3, "{}: needs shape (..., height, width, d); got {}", op, shape_of(x));
  return {axis_of(op, x, x.dim(-3), size[0], o.stride[0], o.dilation[0], o.padding),
          axis_of(op, x, x.dim(-2), size[1], o.stride[1], o.dilation[1], o.padding), x.cols()};
}
/// x's shape with the places of windows, and `cols` channels. `axes`: 1 or 2.
Shape shape_of_places(Tensor x, const Windows& w, int axes, std::int64_t cols) {
  Shape shape = x.shape();
  if (axes == 2) shape.set(-3, w.high.result);
  shape.set(-2, w.wide.result);
  shape.set(-1, cols);
  return shape;
}

struct Convolution {
  Tensor x, kernel, bias, y;
  Windows w;
  std::int64_t images;
  /// f(image, first place, count, row within the block) for the stretches of one image within places [first, first + count) of all of them.
  template <class F>
  void for_stretches(std::int64_t first, std::int64_t count, F f) const {
    for (std::int64_t i = 0; i < count;) {
      const std::int64_t image = (first + i) / w.places(), place = (first + i) % w.places(), n = std::min(count - i, w.places() - place);
      f(image * w.positions() * w.channels, place, n, i);
      i += n;
    }
  }
  /// f(first, count) for blocks of places.
  template <class F>
  void for_blocks(F f) const {
    const std::int64_t places = images * w.places();
    for (std::int64_t first = 0; first < places; first += kPlaces) f(first, std::min(kPlaces, places - first));
  }
  void unfold(std::int64_t first, std::int64_t count, float* rows) const {
    for_stretches(first, count, [&](std::int64_t image, std::int64_t place, std::int64_t n, std::int64_t row) {
      kernels::unfold(w, x.data() + image, place, n, rows + row * w.width());
    });
  }
};

void backward(const Convolution& c) {
  Tape& tape = c.y.tape();
  Arena& arena = tape.backward_arena();
  const auto zeroed = [](Tensor t) -> float* {
    if (!t || !t.needs_grad()) return nullptr;
    const GradSink d = grad_sink(t);
    if (!d.accumulate) std::fill_n(d.data, t.size(), 0.0f);
    return d.data;
  };
  float* dx = zeroed(c.x);
  float* dw = zeroed(c.kernel);
  float* db = zeroed(c.bias);
  const Arena::Mark mark = arena.mark();
  const std::int64_t width = c.w.width(), out = c.y.cols();
  float* rows = arena.floats(kPlaces * width);
  float* wt = dx ? arena.floats(width * out) : nullptr;
  if (dx) kernels::transpose(c.kernel.data(), out, width, out, wt, width);
  c.for_blocks([&](std::int64_t first, std::int64_t count) {
    const float* dy = grad_of(c.y) + first * out;
    if (dw) {
      c.unfold(first, count, rows);
      gemm(tape, arena, width, count, out, {rows, width, true}, {dy, out}, dw, out, true);
    }
    if (db) kernels::column_sums(dy, out, count, out, db, true);
    if (!dx) return;
    gemm(tape, arena, count, out, width, {dy, out}, {wt, width}, rows, width, false);
    c.for_stretches(first, count, [&](std::int64_t image, std::int64_t place, std::int64_t n, std::int64_t row) {
      kernels::fold(c.w, rows + row * width, place, n, dx + image);
    });
  });
  arena.rewind(mark);
}

Tensor convolve(const char* op, Tensor x, Tensor kernel, Tensor bias, const Windows& w, int axes) {
  const std::int64_t out = kernel.cols();
  require(kernel.dim(-2) == w.channels, "{}: x {} needs a kernel of {} input channels; got {}", op, shape_of(x), w.channels,
          shape_of(kernel));
  require(!bias || bias.size() == out, "{}: kernel {} needs a bias of {} values; got {}", op, shape_of(kernel), out, shape_of(bias));
  const auto plain = [](const Windows::Axis& a) { return a.size == 1 && a.stride == 1; };
  if (plain(w.high) && plain(w.wide)) return dense(x, {reshape(kernel, {w.channels, out}), bias});
  Tape& tape = x.tape();
  Convolution c{x, kernel, bias, {}, w, 0};
  c.images = x.shape().slice(0, -1 - axes).size();
  c.y = tape.result(shape_of_places(x, w, axes, out), {x, kernel, bias});
  Arena& arena = tape.arena();
  const Arena::Mark mark = arena.mark();
  float* rows = arena.floats(kPlaces * w.width());
  c.for_blocks([&](std::int64_t first, std::int64_t count) {
    c.unfold(first, count, rows);
    kernels::Product p{};
    p.a = rows, p.lda = p.depth = w.width();
    p.b = kernel.data(), p.ldb = p.ldc = p.cols = out;
    p.c = c.y.data() + first * out;
    p.rows = count;
    p.init = bias ? bias.data() : nullptr;
    kernels::product(p);
    tape.count_product(p.rows, p.depth, p.cols);
  });
  arena.rewind(mark);
  tape.on_backward(c.y, [c] { backward(c); });
  return c.y;
}

Tensor max_windows(Tensor x, const Windows& w, int axes, Tensor mask) {
  Tensor y = x.tape().result(shape_of_places(x, w, axes, w.channels), {x});
  auto* from = static_cast<std::int32_t*>(x.tape().arena().bytes(static_cast<std::size_t>(y.size()) * sizeof(std::int32_t)));
  const std::int64_t in = w.positions() * w.channels, out = w.places() * w.channels, images = in ? x.size() / in : 0;
  for (std::int64_t i = 0; i < images; ++i)
    kernels::max_windows(w, x.data() + i * in, mask ? mask.data() + i * w.positions() : nullptr, y.data() + i * out, from + i * out);
  x.tape().on_backward(y, [x, y, from, in, out, images, channels = w.channels] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    for (std::int64_t i = 0; i < images; ++i)
      for (std::int64_t k = 0; k < out; ++k)
        if (const std::int64_t position = from[i * out + k]; position >= 0)
          dx.data[i * in + position * channels + k % channels] += grad_of(y)[i * out + k];
  });
  return y;
}

Tensor mean_windows(Tensor x, const Windows& w, int axes, Tensor mask) {
  Tensor y = x.tape().result(shape_of_places(x, w, axes, w.channels), {x});
  const std::int64_t in = w.positions() * w.channels, out = w.places() * w.channels, images = in ? x.size() / in : 0;
  const auto mask_of = [mask, w](std::int64_t i) { return mask ? mask.data() + i * w.positions() : nullptr; };
  for (std::int64_t i = 0; i < images; ++i) kernels::mean_windows(w, x.data() + i * in, mask_of(i), y.data() + i * out);
  x.tape().on_backward(y, [x, y, w, mask_of, in, out, images] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    for (std::int64_t i = 0; i < images; ++i) kernels::mean_windows_backward(w, grad_of(y) + i * out, mask_of(i), dx.data + i * in);
  });
  return y;
}

void require_mask(const char* op, Tensor x, Tensor mask) {
  require(!mask || mask.shape() == x.shape().slice(0, -1), "{}: x {} needs a mask of all axes but the last; got {}", op, shape_of(x),
          shape_of(mask));
}

}  // namespace

Tensor conv1d(Tensor x, Tensor kernel, Tensor bias, const WindowOptions& options) {
  require(kernel.rank() == 3, "conv1d: needs a kernel (size, in, out); got {}", shape_of(kernel));
  return convolve("conv1d", x, kernel, bias, windows_1d("conv1d", x, kernel.dim(0), options), 1);
}
Tensor conv2d(Tensor x, Tensor kernel, Tensor bias, const WindowOptions2d& options) {
  require(kernel.rank() == 4, "conv2d: needs a kernel (height, width, in, out); got {}", shape_of(kernel));
  return convolve("conv2d", x, kernel, bias, windows_2d("conv2d", x, {kernel.dim(0), kernel.dim(1)}, options), 2);
}

Tensor max_pool_1d(Tensor x, std::int64_t size, const WindowOptions& options, Tensor mask) {
  require_mask("max_pool_1d", x, mask);
  return max_windows(x, windows_1d("max_pool_1d", x, size, options), 1, mask);
}
Tensor mean_pool_1d(Tensor x, std::int64_t size, const WindowOptions& options, Tensor mask) {
  require_mask("mean_pool_1d", x, mask);
  return mean_windows(x, windows_1d("mean_pool_1d", x, size, options), 1, mask);
}
Tensor max_pool_2d(Tensor x, const Pair& size, const WindowOptions2d& options) {
  return max_windows(x, windows_2d("max_pool_2d", x, size, options), 2, {});
}
Tensor mean_pool_2d(Tensor x, const Pair& size, const WindowOptions2d& options) {
  return mean_windows(x, windows_2d("mean_pool_2d", x, size, options), 2, {});
}

}  // namespace bayesflow::ops
