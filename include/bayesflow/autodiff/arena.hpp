/// Bump allocator whose memory is reused from step to step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace bayesflow {

/// Hands out 64-byte aligned pieces; `reset` makes all of them free again without returning memory to the system. After a
/// step that needed several blocks, `reset` joins them into one, so that from the second like step on nothing is allocated.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  [[nodiscard]] void* bytes(std::size_t size) {
    size = (size + 63) & ~std::size_t{63};
    if (used_ + size > capacity_) grow(size);
    void* p = block_ + used_;
    used_ += size;
    return p;
  }
  [[nodiscard]] float* floats(std::int64_t count) { return static_cast<float*>(bytes(static_cast<std::size_t>(count) * sizeof(float))); }

  /// A position to which `rewind` returns: for scratch memory of one operation.
  struct Mark {
    std::size_t block, used;
  };
  [[nodiscard]] Mark mark() const { return {current_, used_}; }
  void rewind(Mark mark);
  void reset();
  [[nodiscard]] std::size_t reserved() const;  ///< bytes held

 private:
  struct Free {
    std::size_t bytes;
    explicit Free(std::size_t size = 0) : bytes(size) {}
    void operator()(std::byte* p) const;
  };
  struct Block {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t capacity = 0;
  };
  void grow(std::size_t size);
  void enter(std::size_t block);

  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::byte* block_ = nullptr;
  std::size_t used_ = 0, capacity_ = 0;
};

}  // namespace bayesflow
