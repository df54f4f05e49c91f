/// Convolutions and pools over series and images, channels last.
#pragma once

#include <array>
#include <cstdint>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

/// What is put around a series or an image, as Keras does it.
enum class Padding : std::uint8_t {
  valid,   ///< nothing
  same,    ///< zeros on both sides, so that there are ceil(T / stride) results; one more at the end than in front where their number is odd
  causal,  ///< zeros in front, so that a result sees nothing that comes later
};
/// How windows move along a series.
struct WindowOptions {
  std::int64_t stride = 1;
  std::int64_t dilation = 1;  ///< distance between the entries of a window
  Padding padding = Padding::valid;
};
using Pair = std::array<std::int64_t, 2>;  ///< height, width
struct WindowOptions2d {
  Pair stride = {1, 1}, dilation = {1, 1};  ///< height, width
  Padding padding = Padding::valid;
};  ///< How windows move over an image

/// y[t] = sum over k of x[t stride + k dilation - before] W[k] + b. x: (..., T, in), W: (size, in, out), b: (out) or absent. A series that
/// is padded to the length of others must hold zeros there: see `mask_rows`. With padding `same` and a stride, zeros in front depend on the
/// length.
Tensor conv1d(Tensor x, Tensor kernel, Tensor bias, const WindowOptions& options = {});
/// x: (..., height, width, in), W: (height, width, in, out).
Tensor conv2d(Tensor x, Tensor kernel, Tensor bias, const WindowOptions2d& options = {});

/// The largest, or the mean, of windows of `size` entries; positions outside, and those where `mask` (..., T) is 0, do not count.
Tensor max_pool_1d(Tensor x, std::int64_t size, const WindowOptions& options, Tensor mask = {});
Tensor mean_pool_1d(Tensor x, std::int64_t size, const WindowOptions& options, Tensor mask = {});
Tensor max_pool_2d(Tensor x, const Pair& size, const WindowOptions2d& options);
Tensor mean_pool_2d(Tensor x, const Pair& size, const WindowOptions2d& options);

}  // namespace bayesflow::ops
