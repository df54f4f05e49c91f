#include "nn/lanes_of_ranks.hpp"

#include <algorithm>

namespace bayesflow::nn {

using bayesflow::detail::GradientLane;

LanesOfRanks::LanesOfRanks(const ParameterStore& store, std::shared_ptr<Communicator> communicator)
    : store_(&store), ranks_(std::move(communicator)) {
  if (ranks_.size() == 1) return;
  sum_ = std::make_unique<GradientBuffers>(store);
  sum_->require(1);
  mine_.resize(count());
  all_.resize(count() * static_cast<std::size_t>(ranks_.size()));
  lanes_.resize(static_cast<std::size_t>(ranks_.size()));
}

void LanesOfRanks::exchange(std::span<const GradientLane> mine) {
  for (std::size_t p = 0; p < count(); ++p) {
    Written& w = mine_[p] = Written{};
    for (std::size_t l = 0; l < mine.size(); ++l)
      if (mine[l].touched[p]) w.lanes |= 1U << l;
    w.square_known = w.lanes == 1 && mine[0].touched[p] == GradientLane::kSquareKnown ? 1 : 0;
    if (w.square_known) w.square = mine[0].squares[p];
  }
  (void)ranks_.meet(bayesflow::detail::Meeting::gradients, {static_cast<std::int64_t>(count()), store_->size()});
  ranks_.gather(std::as_bytes(std::span(mine_)), std::as_writable_bytes(std::span(all_)));
}

bool LanesOfRanks::same_lanes(std::size_t parameter, std::size_t other) const {
  for (std::size_t at = 0; at < all_.size(); at += count())
    if (all_[at + parameter].lanes != all_[at + other].lanes) return false;
  return true;
}

std::span<const GradientLane> LanesOfRanks::operator()(std::span<const GradientLane> mine) {
  if (!sum_) return mine;
  exchange(mine);
  GradientLane& sum = sum_->lanes()[0];
  const std::vector<ParameterInfo>& table = store_->table();
  for (std::size_t first = 0, last = 0; first < count(); first = last) {
    // Neighbours with parts in the same lanes go together.
    std::int64_t end = table[first].offset + table[first].shape.size();
    for (last = first + 1; last < count() && table[last].offset == end && same_lanes(first, last); ++last) end += table[last].shape.size();
    int ranks = 0;
    const Written* only = nullptr;
    for (std::size_t r = 0; r < lanes_.size(); ++r) {
      const Written& w = all_[r * count() + first];
      lanes_[r] = w.lanes;
      if (w.lanes != 0) ++ranks, only = &w;
    }
    for (std::size_t p = first; p < last; ++p) {
      const Written* of = ranks == 1 ? only + (p - first) : nullptr;
      sum.touched[p] = ranks == 0 ? 0 : of && of->square_known ? GradientLane::kSquareKnown : 1;
      if (of) sum.squares[p] = of->square;
      // Only what is known of this rank's own gradients; the others' position is as good as unknown.
      sum.places[p] = mine.empty() ? -1.0f : mine[0].places[p];
    }
    if (ranks == 0) continue;
    const float* parts[kMaxLanes];
    std::size_t n = 0;
    for (std::size_t l = 0; l < mine.size(); ++l)
      if (mine_[first].lanes >> l & 1U) parts[n++] = mine[l].gradients + table[first].offset;
    ranks_.all_sum({parts, n}, lanes_, {sum.gradients + table[first].offset, static_cast<std::size_t>(end - table[first].offset)});
  }
  return {&sum, 1};
}

}  // namespace bayesflow::nn
