/// Counts what `new` hands out. To be included by one source of a test program, because it defines the global operators; the
/// sanitizers bring their own allocator, and with them there is nothing to count.
#pragma once

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BAYESFLOW_COUNTS_ALLOCATIONS 0
#else
#define BAYESFLOW_COUNTS_ALLOCATIONS 1

namespace allocations {
inline std::atomic<long> count{0};       ///< calls of new since the program started
inline std::atomic<long> live_bytes{0};  ///< handed out and not yet given back
inline std::atomic<long> peak_bytes{0};  ///< largest `live_bytes`; set it to the present value to start anew

inline void* counted(std::size_t bytes, std::size_t alignment) {
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!p) throw std::bad_alloc();
  count.fetch_add(1, std::memory_order_relaxed);
  const auto size = static_cast<long>(malloc_usable_size(p));
  const long live = live_bytes.fetch_add(size, std::memory_order_relaxed) + size;
  long peak = peak_bytes.load(std::memory_order_relaxed);
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
  }
  return p;
}
inline void released(void* p) {
  if (p) live_bytes.fetch_sub(static_cast<long>(malloc_usable_size(p)), std::memory_order_relaxed);
  std::free(p);
}
}  // namespace allocations

// Not inlined, because GCC would then see `free` next to `new` and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return allocations::counted(bytes, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocations::counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { allocations::released(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { allocations::released(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { allocations::released(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { allocations::released(p); }

#endif
