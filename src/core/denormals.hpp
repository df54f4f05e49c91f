/// Subnormal numbers as zeros, for the engine's arithmetic.
#pragma once

#include <cstdint>
#include <utility>

#include "bayesflow/core/thread_pool.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bayesflow::detail {

/// While it lives, this thread's vector arithmetic reads and writes subnormal floats as zeros. The moments of a unit that no longer
/// fires decay geometrically and reach the subnormal range after some 800 steps of Adam; from then on every step would pay for
/// thousands of microcode assists (measured: the update takes four times as long). v1's TensorFlow does the same.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : former_(_mm_getcsr()) { _mm_setcsr(former_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() { _mm_setcsr(former_); }
#else
  FlushDenormals() = default;
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  unsigned former_;
#endif
};

/// The engine's parallel sections: tasks on the pool, or one after another without one, under the same arithmetic.
template <class F>
void engine_for_each(ThreadPool* pool, std::int64_t count, F&& f) {
  const auto task = [&f](std::int64_t i) {
    const FlushDenormals guard;
    f(i);
  };
  if (pool)
    pool->for_each(count, task);
  else
    for (std::int64_t i = 0; i < count; ++i) task(i);
}

}  // namespace bayesflow::detail
