/// Bump allocator whose memory is reused from step to step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace bayesflow {

namespace detail {
struct FreeBlock {
  std::size_t bytes = 0, huge_from = 0;  // 0 bytes: somebody else's
  void operator()(std::byte* p) const;
};
struct Block {
  std::unique_ptr<std::byte, FreeBlock> memory;
  std::size_t capacity = 0;
};
}  // namespace detail

/// Hands out 64-byte aligned pieces; `reset` makes all of them free again without returning memory to the system. After a
/// step that needed several blocks, `reset` joins them into one, so that a second step of the same shapes allocates nothing.
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
  friend class ArenaGroup;
  void grow(std::size_t size);
  void enter(std::size_t block);

  void clear();
  void start_with(std::byte* memory, std::size_t capacity);

  std::vector<detail::Block> blocks_;
  std::size_t current_ = 0;
  std::byte* block_ = nullptr;
  std::size_t used_ = 0, capacity_ = 0;
};

/// Arenas that are used side by side and reset together. From the second pass of the same shapes on they lie in one block, so that small
/// ones fill huge pages together instead of wasting one each.
class ArenaGroup {
 public:
  /// Makes all memory free, and arenas 0 to count - 1 ready.
  void reset(std::size_t count);
  [[nodiscard]] Arena& operator[](std::size_t i) { return *arenas_[i]; }
  [[nodiscard]] std::size_t reserved() const;  ///< bytes held

 private:
  detail::Block block_;
  std::vector<std::unique_ptr<Arena>> arenas_;  // behind the block that they lie in
  std::size_t share_ = 0, members_ = 0;         // bytes of the block for each of the first arenas
};

}  // namespace bayesflow
