/// Large blocks of memory.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace bayesflow::detail {

inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

inline constexpr std::size_t kLarge = kHugePage / 4;

/// Aligned memory; from `huge_from` bytes on whole huge pages are asked for: a training step walks through megabytes of parameters,
/// moments and activations, and with 4 KiB pages a good part of its time goes into address translation.
inline void* allocate_block(std::size_t bytes, std::size_t huge_from = kLarge) {
  if (bytes < huge_from) return ::operator new (bytes, std::align_val_t{64});
  const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* p = ::operator new (rounded, std::align_val_t{kHugePage});
  (void)madvise(p, rounded, MADV_HUGEPAGE);  // a wish; without it everything works the same
  return p;
}
inline void release_block(void* p, std::size_t bytes, std::size_t huge_from = kLarge) noexcept {
  ::operator delete (p, std::align_val_t{bytes < huge_from ? 64 : kHugePage});
}

}  // namespace bayesflow::detail
