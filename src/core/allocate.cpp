/// Storage of Array: a bounded cache of free blocks per thread for small ones, pages of their own for large ones.
#include <sys/mman.h>

#include <array>
#include <bit>
#include <cstddef>
#include <limits>
#include <new>

#include "bayesflow/core/array.hpp"

namespace bayesflow::detail {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr int kClasses = 18;  // 2^0 .. 2^17 doubles, up to 1 MiB a block
constexpr std::size_t kCacheBytes = std::size_t{8} << 20;

// From here on a block is mapped, and goes back to the system at once. The allocator would keep it: having seen one such block freed it
// serves the next ones from its heap, which shrinks from the end only.
constexpr std::int64_t kMapped = std::int64_t{1} << 19;  // doubles, 4 MiB

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;  // so that the sanitizer sees every block's life
#else
constexpr bool kCaching = true;
#endif

struct FreeBlock {
  FreeBlock* next;
};

struct Cache {
  std::array<FreeBlock*, kClasses> lists{};
  std::size_t bytes = 0;
  ~Cache();
};

// Trivially destructible, so that arrays which outlive the thread's cache can still ask.
thread_local bool cache_is_gone = false;
thread_local Cache cache;

Cache::~Cache() {
  cache_is_gone = true;
  for (FreeBlock*& list : lists)
    while (list) {
      FreeBlock* block = list;
      list = block->next;
      ::operator delete(block, kAlignment);
    }
}

bool is_mapped(std::int64_t count) { return kCaching && count >= kMapped; }

int size_class(std::int64_t count) { return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(count - 1))); }

}  // namespace

double* allocate_doubles(std::int64_t count) {
  if (count <= 0) return nullptr;
  if (count > std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::int64_t>(sizeof(double))) throw std::bad_alloc();
  if (is_mapped(count)) {
    void* pages =
        ::mmap(nullptr, sizeof(double) * static_cast<std::size_t>(count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    return static_cast<double*>(pages);
  }
  const int c = size_class(count);
  if (kCaching && c < kClasses && !cache_is_gone) {
    FreeBlock*& list = cache.lists[static_cast<std::size_t>(c)];
    if (list) {
      FreeBlock* block = list;
      list = block->next;
      cache.bytes -= sizeof(double) << c;
      return reinterpret_cast<double*>(block);
    }
    return static_cast<double*>(::operator new(sizeof(double) << c, kAlignment));
  }
  return static_cast<double*>(
      ::operator new(c < kClasses ? sizeof(double) << c : sizeof(double) * static_cast<std::size_t>(count), kAlignment));
}

void release_doubles(double* data, std::int64_t count) noexcept {
  if (!data) return;
  if (is_mapped(count)) {
    ::munmap(data, sizeof(double) * static_cast<std::size_t>(count));
    return;
  }
  const int c = size_class(count);
  if (kCaching && c < kClasses && !cache_is_gone && cache.bytes + (sizeof(double) << c) <= kCacheBytes) {
    FreeBlock*& list = cache.lists[static_cast<std::size_t>(c)];
    list = new (data) FreeBlock{list};
    cache.bytes += sizeof(double) << c;
    return;
  }
  ::operator delete(data, kAlignment);
}

}  // namespace bayesflow::detail
