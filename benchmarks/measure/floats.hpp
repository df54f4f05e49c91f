/// Blocks of floats, aligned as the engine's memory is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace bench {

struct FreeFloats {
  void operator()(float* p) const { std::free(p); }
};
using Floats = std::unique_ptr<float[], FreeFloats>;

[[nodiscard]] inline Floats filled(std::int64_t count, float value) {
  constexpr std::size_t kLine = 64;
  const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(float) + kLine - 1) / kLine * kLine;
  Floats p(static_cast<float*>(std::aligned_alloc(kLine, std::max(bytes, kLine))));
  if (!p) throw std::bad_alloc();
  std::fill_n(p.get(), count, value);
  return p;
}

}  // namespace bench
