#include "training/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bayesflow/core/errors.hpp"
#include "core/float32_range.hpp"
#include "simulation/batch.hpp"

namespace bayesflow::training {
namespace {

Shape row_shape(const Array& a) { return a.shape().slice(1, a.rank()); }

/// The first value of a row that is not finite, in words; empty if there is none.
std::string non_finite(const Simulations& s, std::int64_t row, const NonFinitePolicy& policy) {
  std::string what;
  s.for_each([&](std::string_view name, FieldRole role, const Array& array) {
    if (!what.empty() || role == FieldRole::shared || array.empty()) return;
    const auto values = array.row_values(row);
    const auto bad =
        std::find_if_not(values.begin(), values.end(), [&](double v) { return name == "sim_data" ? policy.allows(v) : std::isfinite(v); });
    if (bad == values.end()) return;
    what = fmt::format("{} at entry {} of {}", detail::unsigned_nan(*bad), bad - values.begin(), name);
    if (name == "prior_draws" || s.prior_draws.empty()) return;
    what += " with parameters [";
    const auto theta = s.prior_draws.row_values(row);
    for (std::size_t i = 0; i < theta.size() && i < 10; ++i) what += fmt::format("{}{:.6g}", i ? ", " : "", theta[i]);
    what += theta.size() > 10 ? ", ...]" : "]";
  });
  return what;
}

bool rows_are_finite(const Simulations& s) {
  bool out = true;
  s.for_each([&](std::string_view, FieldRole role, const Array& array) { out = out && (role == FieldRole::shared || array.all_finite()); });
  return out;
}

}  // namespace

Simulations finite_rows(Simulations s, const NonFinitePolicy& policy, NonFiniteCount& count,
                        const std::function<std::string(std::int64_t)>& where, std::string& first) {
  s.make_columns();
  const std::int64_t rows = s.batch_size();
  count.simulated += rows;
  if (rows_are_finite(s)) return s;
  std::vector<std::int64_t> good;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::string what = non_finite(s, row, policy);
    if (what.empty()) {
      good.push_back(row);
      continue;
    }
    if (policy.action == NonFinite::refuse)
      throw SimulationError(fmt::format(
          "Trainer: {} holds {}; every value must be finite: mend the data, or set TrainerOptions::nonfinite to NonFinite::drop",
          where(row), what));
    if (first.empty()) first = fmt::format("{} holds {}", where(row), what);
  }
  count.dropped += rows - static_cast<std::int64_t>(good.size());
  return s.take(good);
}

void Dataset::add(Simulations part) {
  const std::int64_t rows = part.batch_size();
  if (part.prior_draws.empty() && part.further.empty())
    throw ShapeError(
        fmt::format("training data: prior_draws must hold a row per simulation; got shape {}", part.prior_draws.shape().to_string()));
  part.check_rows("training data");
  const bool shared = part.has_shared();
  if (shared || pool_ < 0) {
    if (!shared) pool_ = static_cast<std::ptrdiff_t>(groups_.size());
    groups_.push_back({{parts_.size()}, {0}, rows});
  } else {
    Group& group = groups_[static_cast<std::size_t>(pool_)];
    const Simulations& first = parts_[group.parts.front()];
    const auto require = [&](std::string_view name, const Array* mine, const Array* theirs) {
      if (mine && theirs && row_shape(*mine) == row_shape(*theirs)) return;
      throw ShapeError(
          fmt::format("training data: {} of part {} has rows of shape {}, of the first part {}; parts may differ only if each has a "
                      "non-batchable context that tells them apart",
                      name, parts_.size(), mine ? row_shape(*mine).to_string() : "none", theirs ? row_shape(*theirs).to_string() : "none"));
    };
    part.for_each([&](std::string_view name, FieldRole, const Array& values) { require(name, &values, first.find(name)); });
    first.for_each([&](std::string_view name, FieldRole, const Array& values) { require(name, part.find(name), &values); });
    group.parts.push_back(parts_.size());
    group.first.push_back(group.rows);
    group.rows += rows;
  }
  size_ += rows;
  parts_.push_back(std::move(part));
}

std::int64_t Dataset::number_of_batches(std::int64_t batch_size) const {
  std::int64_t n = 0;
  for (const Group& g : groups_) n += (g.rows + batch_size - 1) / batch_size;
  return n;
}

Simulations Dataset::first(std::int64_t count) const {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(std::min(count, groups_.front().rows)));
  std::iota(rows.begin(), rows.end(), 0);
  return gather(0, rows);
}

std::vector<Simulations> Dataset::first_parts(std::int64_t count) const {
  std::vector<Simulations> out;
  for (const Simulations& part : parts_) {
    if (count <= 0) break;
    if (part.batch_size() == 0) continue;
    std::vector<std::int64_t> rows(static_cast<std::size_t>(std::min(count, part.batch_size())));
    std::iota(rows.begin(), rows.end(), 0);
    out.push_back(part.take(rows));
    count -= static_cast<std::int64_t>(rows.size());
  }
  return out;
}

Simulations Dataset::gather(std::size_t group, std::span<const std::int64_t> rows) const {
  const Group& g = groups_[group];
  std::vector<Simulations::Row> from;
  from.reserve(rows.size());
  for (const std::int64_t row : rows) {
    const auto p = static_cast<std::size_t>(std::upper_bound(g.first.begin(), g.first.end(), row) - g.first.begin()) - 1;
    from.push_back({&parts_[g.parts[p]], row - g.first[p]});
  }
  return Simulations::gather(from);
}

void Shuffle::cut(const Dataset& data, std::int64_t batch_size) {
  slices_.clear();
  for (std::size_t g = 0; g < data.groups().size(); ++g)
    for (std::int64_t b = 0; b < data.groups()[g].rows; b += batch_size)
      slices_.push_back({g, b, std::min(batch_size, data.groups()[g].rows - b)});
}

void Shuffle::prepare(const Dataset& data, std::int64_t batch_size, std::uint64_t seed, std::uint64_t epoch) {
  Rng rng(seed, "shuffle", epoch);
  order_.clear();
  for (const Dataset::Group& g : data.groups()) order_.push_back(rng.permutation(g.rows));
  cut(data, batch_size);
  if (data.groups().size() == 1) return;  // rows are in random order already
  std::vector<Slice> shuffled;
  shuffled.reserve(slices_.size());
  for (const std::int64_t i : rng.permutation(batches())) shuffled.push_back(slices_[static_cast<std::size_t>(i)]);
  slices_ = std::move(shuffled);
}

void Shuffle::prepare_in_order(const Dataset& data, std::int64_t batch_size) {
  order_.clear();
  for (const Dataset::Group& g : data.groups()) {
    order_.emplace_back(static_cast<std::size_t>(g.rows));
    std::iota(order_.back().begin(), order_.back().end(), std::int64_t{0});
  }
  cut(data, batch_size);
}

Simulations Shuffle::batch(const Dataset& data, std::int64_t index) const {
  const Slice& s = slices_[static_cast<std::size_t>(index)];
  return data.gather(s.group, std::span(order_[s.group]).subspan(static_cast<std::size_t>(s.first), static_cast<std::size_t>(s.count)));
}

}  // namespace bayesflow::training
