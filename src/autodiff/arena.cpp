#include "bayesflow/autodiff/arena.hpp"

#include <algorithm>
#include <new>

#include "core/memory.hpp"

namespace bayesflow {
namespace {
constexpr std::size_t kFirstBlock = std::size_t{1} << 16;

detail::Block new_block(std::size_t capacity, std::size_t huge_from) {
  auto* memory = static_cast<std::byte*>(detail::allocate_block(capacity, huge_from));
  return {std::unique_ptr<std::byte, detail::FreeBlock>(memory, {capacity, huge_from}), capacity};
}
}  // namespace

void detail::FreeBlock::operator()(std::byte* p) const {
  if (bytes) release_block(p, bytes, huge_from);
}

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
  blocks_.push_back(new_block(capacity, detail::kHugePage));  // most likely one of several that the next reset joins
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
    clear();  // first: the next line may find no memory
    blocks_.push_back(new_block(total, detail::kLarge));
  }
  enter(0);
}

void Arena::clear() {
  blocks_.clear();
  enter(0);
}

void Arena::start_with(std::byte* memory, std::size_t capacity) {
  blocks_.clear();
  blocks_.push_back({std::unique_ptr<std::byte, detail::FreeBlock>(memory), capacity});
  enter(0);
}

void ArenaGroup::reset(std::size_t count) {
  constexpr std::size_t kRounding = std::size_t{1} << 16;
  while (arenas_.size() < count) arenas_.push_back(std::make_unique<Arena>());
  std::size_t share = share_, members = members_;
  for (const auto& arena : arenas_) share = std::max(share, arena->reserved());
  // A pass over more data sets without gradients has more arenas, but small ones: they are not worth a share each.
  for (std::size_t i = members_; i < arenas_.size(); ++i)
    if (arenas_[i]->reserved() > share / 2) members = i + 1;
  if (share > share_ || members > members_) {
    // Everything is empty before memory is asked for, so that a pass after a failure begins anew.
    for (std::size_t i = 0; i < members; ++i) arenas_[i]->clear();
    block_ = {};
    share_ = members_ = 0;
    share = (share + kRounding - 1) / kRounding * kRounding;
    block_ = new_block(share * members, detail::kLarge);
    for (std::size_t i = 0; i < members; ++i) arenas_[i]->start_with(block_.memory.get() + i * share, share);
    share_ = share;
    members_ = members;
  }
  for (const auto& arena : arenas_) arena->reset();
}

std::size_t ArenaGroup::reserved() const {
  std::size_t total = block_.capacity;
  for (std::size_t i = 0; i < arenas_.size(); ++i) total += arenas_[i]->reserved() - (i < members_ ? share_ : 0);
  return total;
}

std::size_t Arena::reserved() const {
  std::size_t total = 0;
  for (const detail::Block& b : blocks_) total += b.capacity;
  return total;
}

}  // namespace bayesflow
