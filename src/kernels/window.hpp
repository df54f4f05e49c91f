/// Windows that move over images of channels: what convolutions multiply, and pools. Single-threaded.
#pragma once

#include <cstdint>

namespace bayesflow::kernels {

/// A window over an image of height x width positions with `channels` numbers each. A series is an image of height 1.
struct Windows {
  struct Axis {
    std::int64_t extent, size, result;      ///< of the image, of the window, and how many places it takes
    std::int64_t stride, dilation, before;  ///< before: absent positions in front
    /// The position that entry k of the window at a place looks at; it may lie outside.
    [[nodiscard]] std::int64_t at(std::int64_t place, std::int64_t k) const { return place * stride + k * dilation - before; }
    [[nodiscard]] bool inside(std::int64_t position) const { return position >= 0 && position < extent; }
  };
  Axis high, wide;
  std::int64_t channels;
  [[nodiscard]] std::int64_t places() const { return high.result * wide.result; }
  [[nodiscard]] std::int64_t positions() const { return high.extent * wide.extent; }
  [[nodiscard]] std::int64_t width() const { return high.size * wide.size * channels; }  ///< of a row of what a window sees
};
/// out[i] = what the window sees at place first + i, 0 outside of the image.
void unfold(const Windows& w, const float* x, std::int64_t first, std::int64_t count, float* out);
/// The derivative: adds each row to the positions that it was seen at.
void fold(const Windows& w, const float* rows, std::int64_t first, std::int64_t count, float* dx);

/// The largest or the mean of what a window sees of one image; `mask` (or null) is 0 at positions that are absent, as those outside are.
/// Where nothing is left the result is 0. from: the position of the largest, -1 if there is none.
void max_windows(const Windows& w, const float* x, const float* mask, float* y, std::int32_t* from);
void mean_windows(const Windows& w, const float* x, const float* mask, float* y);
/// Adds to dx.
void mean_windows_backward(const Windows& w, const float* dy, const float* mask, float* dx);

}  // namespace bayesflow::kernels
