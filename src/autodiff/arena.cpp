#include "bayesflow/autodiff/arena.hpp"

#include <algorithm>
#include <new>

#include "core/memory.hpp"

namespace bayesflow {
namespace {
constexpr std::size_t kFirstBlock = std::size_t{1} << 16;
}  // namespace

void Arena::Free::operator()(std::byte* p) const { detail::release_block(p, bytes); }

void Arena::enter(std::size_t block) {
  current_ = block;
  block_ = blocks_.empty() ? nullptr : blocks_[block].memory.get();
  capacity_ = blocks_.empty() ? 0 : blocks_[block].capacity;
  used_ = 0;
}

void Arena::grow(std::size_t size) {
  // Blocks behind the present one are left over from a rewind; use the next that is large enough.
  while (current_ + 1 < blocks_.size()) {
    enter(current_ + 1);
    if (size <= capacity_) return;
  }
  const std::size_t last = blocks_.empty() ? kFirstBlock / 2 : blocks_.back().capacity;
  const std::size_t capacity = std::max(2 * last, size);
  blocks_.push_back({std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(detail::allocate_block(capacity)), Free{capacity}), capacity});
  enter(blocks_.size() - 1);
}

void Arena::rewind(Mark mark) {
  if (blocks_.empty()) return;
  enter(mark.block);
  used_ = mark.used;
}

void Arena::reset() {
  if (blocks_.size() > 1 && current_ > 0) {
    const std::size_t total = reserved();
    blocks_.clear();
    current_ = used_ = capacity_ = 0;
    block_ = nullptr;
    grow(total);
  }
  enter(0);
}

std::size_t Arena::reserved() const {
  std::size_t total = 0;
  for (const Block& b : blocks_) total += b.capacity;
  return total;
}

}  // namespace bayesflow
