#include "core/ranks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <utility>

#include "kernels/elementwise.hpp"

namespace bayesflow {

void Communicator::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) { std::ranges::copy(mine, all.begin()); }

/// By all_gather of everything: more bytes than need be.
void Communicator::all_to_all(std::span<const std::byte> sent, std::span<const std::size_t> sent_bytes, std::span<std::byte> received,
                              std::span<const std::size_t> received_bytes) {
  const auto ranks = static_cast<std::size_t>(size()), me = static_cast<std::size_t>(rank());
  // Of each rank: how long its blocks are, then the blocks.
  std::vector<std::size_t> counts(ranks * ranks);
  all_gather(std::as_bytes(sent_bytes), std::as_writable_bytes(std::span(counts)));
  std::size_t longest = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    std::size_t total = 0;
    for (std::size_t to = 0; to < ranks; ++to) total += counts[r * ranks + to];
    longest = std::max(longest, total);
  }
  std::vector<std::byte> mine(longest), all(longest * ranks);
  std::ranges::copy(sent, mine.begin());
  all_gather(mine, all);
  auto to = received.begin();
  for (std::size_t r = 0; r < ranks; ++r) {
    std::size_t at = r * longest;
    for (std::size_t other = 0; other < me; ++other) at += counts[r * ranks + other];
    to = std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(at), received_bytes[r], to);
  }
}

namespace detail {
namespace {

constexpr std::size_t kSentence = 2048;  // bytes of what a failure says

}  // namespace

Ranks::Ranks(std::shared_ptr<Communicator> communicator)
    : communicator_(communicator ? std::move(communicator) : std::make_shared<Communicator>()),
      rank_(communicator_->rank()),
      size_(communicator_->size()) {
  if (size_ < 1 || rank_ < 0 || rank_ >= size_)
    throw ConfigurationError(fmt::format("Communicator: rank must be from 0 on and below size; got rank {} of {}", rank_, size_));
  headers_.resize(static_cast<std::size_t>(size_));
  numbers_.resize(headers_.size());
  sent_bytes_.resize(headers_.size());
  received_bytes_.resize(headers_.size());
}

/// What the communicator throws says that the ranks do not reach each other any more.
template <class F>
void Ranks::reach(F&& f) {
  if (broken_) throw RanksError(fmt::format("rank {} of {} has lost the other processes", rank_, size_));
  broken_ = true;
  try {
    f();
  } catch (const std::exception& error) {
    throw RanksError(fmt::format("rank {} of {} has lost the other processes: {}", rank_, size_, error.what()));
  }
  broken_ = false;
}

void Ranks::exchange(const Header& mine) {
  static_assert(std::has_unique_object_representations_v<Header>);
  reach([&] { communicator_->all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(headers_))); });
}

/// The sentences of those that failed; `mine` is empty if this one did not.
std::string Ranks::failures(std::string_view mine) {
  std::vector<char> text(kSentence, '\0'), all(kSentence * headers_.size());
  std::ranges::copy(mine.substr(0, kSentence - 1), text.begin());
  reach([&] { communicator_->all_gather(std::as_bytes(std::span(text)), std::as_writable_bytes(std::span(all))); });
  for (std::size_t r = 0; r < headers_.size(); ++r)
    if (headers_[r].failed) return fmt::format("rank {} of {} failed: {}", r, size_, all.data() + r * kSentence);
  return {};
}

std::span<const Ranks::Numbers> Ranks::meet(Meeting place, const Numbers& mine) {
  exchange({static_cast<std::int64_t>(place), 0, mine});
  if (std::ranges::any_of(headers_, [](const Header& h) { return h.failed != 0; })) throw RanksError(failures({}));
  for (std::size_t r = 0; r < headers_.size(); ++r) {
    if (headers_[r].place != static_cast<std::int64_t>(place))
      throw RanksError(fmt::format(
          "rank {} of {} does something else than rank {}; all ranks must run the same program with the same arguments", r, size_, rank_));
    numbers_[r] = headers_[r].numbers;
  }
  return numbers_;
}

void Ranks::fail(std::string_view sentence) noexcept {
  if (broken_ || size_ == 1) return;
  try {
    exchange({-1, 1, {}});
    (void)failures(sentence);
  } catch (...) {
    broken_ = true;
  }
}

void Ranks::gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  reach([&] { communicator_->all_gather(mine, all); });
}

std::vector<std::span<const std::byte>> Ranks::gather_any(Meeting place, std::span<const std::byte> mine) {
  const std::span<const Numbers> lengths = meet(place, {static_cast<std::int64_t>(mine.size())});
  std::size_t longest = 0;
  for (const Numbers& n : lengths) longest = std::max(longest, static_cast<std::size_t>(n[0]));
  mine_.assign(longest, std::byte{});
  std::ranges::copy(mine, mine_.begin());
  all_.resize(longest * headers_.size());
  if (longest > 0) gather(mine_, all_);
  std::vector<std::span<const std::byte>> out;
  for (std::size_t r = 0; r < headers_.size(); ++r)
    out.push_back(std::span<const std::byte>(all_).subspan(r * longest, static_cast<std::size_t>(lengths[r][0])));
  return out;
}

void Ranks::all_sum(std::span<const float* const> parts, std::span<const Lanes> lanes, std::span<float> sum) {
  const std::size_t ranks = headers_.size(), me = static_cast<std::size_t>(rank_);
  const std::size_t width = (sum.size() + ranks - 1) / ranks;  // of a slice; the last may have less
  const auto begin = [&](std::size_t r) { return std::min(sum.size(), r * width); };
  const std::size_t mine = begin(me + 1) - begin(me);
  sent_.resize(parts.size() * sum.size());
  float* to = sent_.data();
  for (std::size_t r = 0; r < ranks; ++r) {
    for (const float* part : parts) to = std::copy(part + begin(r), part + begin(r + 1), to);
    sent_bytes_[r] = parts.size() * (begin(r + 1) - begin(r)) * sizeof(float);
  }
  std::size_t number = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    const auto count = static_cast<std::size_t>(std::popcount(lanes[r]));
    received_bytes_[r] = count * mine * sizeof(float);
    number += count;
  }
  received_.resize(std::max(number, ranks) * std::max(mine, width));
  reach([&] {
    communicator_->all_to_all(std::as_bytes(std::span(sent_)), sent_bytes_,
                              std::as_writable_bytes(std::span(received_).first(number * mine)), received_bytes_);
  });
  // In the order of lanes: slot by slot, and within a slot rank by rank.
  float* slice = sum.data() + begin(me);
  bool is_first = true;
  for (std::size_t slot = 0; slot < 32; ++slot) {
    const float* from = received_.data();
    for (std::size_t r = 0; r < ranks; ++r) {
      const Lanes of = lanes[r], before = of & ((Lanes{1} << slot) - 1);
      if (of >> slot & 1U) {
        const float* part = from + static_cast<std::size_t>(std::popcount(before)) * mine;
        if (std::exchange(is_first, false))
          std::copy_n(part, mine, slice);
        else
          kernels::add(slice, part, static_cast<std::int64_t>(mine));
      }
      from += static_cast<std::size_t>(std::popcount(of)) * mine;
    }
  }
  // Slices are sent equally long.
  sent_.resize(std::max(sent_.size(), width));
  std::copy_n(slice, mine, sent_.data());
  const std::span<float> all = std::span(received_).first(width * ranks);
  gather(std::as_bytes(std::span(sent_).first(width)), std::as_writable_bytes(all));
  std::copy_n(all.data(), sum.size(), sum.data());
}

}  // namespace detail
}  // namespace bayesflow
