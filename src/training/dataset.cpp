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

/// The fields with one row per simulation, absent ones as nullptr.
std::array<const Array*, 4> row_fields(const Simulations& s) {
  return {&s.prior_draws, &s.sim_data, s.prior_batchable_context ? &*s.prior_batchable_context : nullptr,
          s.sim_batchable_context ? &*s.sim_batchable_context : nullptr};
}
constexpr std::array<const char*, 4> kRowFields = {"prior_draws", "sim_data", "prior_batchable_context", "sim_batchable_context"};

bool has_shared_context(const Simulations& s) { return s.prior_non_batchable_context || s.sim_non_batchable_context; }

/// The first value of a row that is not finite, in words; empty if there is none.
std::string non_finite(const Simulations& s, std::int64_t row) {
  const auto fields = row_fields(s);
  for (std::size_t f = 0; f < fields.size(); ++f) {
    if (!fields[f] || fields[f]->empty()) continue;
    const auto values = fields[f]->row_values(row);
    const auto bad = std::find_if_not(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
    if (bad == values.end()) continue;
    std::string what = fmt::format("{} at entry {} of {}", detail::unsigned_nan(*bad), bad - values.begin(), kRowFields[f]);
    if (f != 0) {
      what += " with parameters [";
      const auto theta = s.prior_draws.row_values(row);
      for (std::size_t i = 0; i < theta.size() && i < 10; ++i) what += fmt::format("{}{:.6g}", i ? ", " : "", theta[i]);
      what += theta.size() > 10 ? ", ...]" : "]";
    }
    return what;
  }
  return {};
}

}  // namespace

Simulations finite_rows(Simulations s, const NonFinitePolicy& policy, NonFiniteCount& count,
                        const std::function<std::string(std::int64_t)>& where, std::string& first) {
  s.make_columns();
  const std::int64_t rows = s.batch_size();
  count.simulated += rows;
  const auto fields = row_fields(s);
  if (std::all_of(fields.begin(), fields.end(), [](const Array* a) { return !a || a->all_finite(); })) return s;
  std::vector<std::int64_t> good;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::string what = non_finite(s, row);
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
  const auto fields = row_fields(part);
  if (part.prior_draws.rank() == 0 || part.prior_draws.empty())
    throw ShapeError(
        fmt::format("training data: prior_draws must hold a row per simulation; got shape {}", part.prior_draws.shape().to_string()));
  const std::int64_t rows = part.prior_draws.dim(0);
  for (std::size_t f = 0; f < fields.size(); ++f)
    if (fields[f] && (fields[f]->rank() == 0 || fields[f]->dim(0) != rows))
      throw ShapeError(fmt::format("training data: {} needs one row per simulation ({}); got shape {}", kRowFields[f], rows,
                                   fields[f]->shape().to_string()));
  if (has_shared_context(part) || pool_ < 0) {
    if (!has_shared_context(part)) pool_ = static_cast<std::ptrdiff_t>(groups_.size());
    groups_.push_back({{parts_.size()}, {0}, rows});
  } else {
    Group& group = groups_[static_cast<std::size_t>(pool_)];
    const auto first = row_fields(parts_[group.parts.front()]);
    for (std::size_t f = 0; f < fields.size(); ++f)
      if (!fields[f] != !first[f] || (fields[f] && row_shape(*fields[f]) != row_shape(*first[f])))
        throw ShapeError(
            fmt::format("training data: {} of part {} has rows of shape {}, of the first part {}; parts may differ only if each has a "
                        "non-batchable context that tells them apart",
                        kRowFields[f], parts_.size(), fields[f] ? row_shape(*fields[f]).to_string() : "none",
                        first[f] ? row_shape(*first[f]).to_string() : "none"));
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

Simulations Dataset::gather(std::size_t group, std::span<const std::int64_t> rows) const {
  const Group& g = groups_[group];
  const Simulations& first = parts_[g.parts.front()];
  Simulations out;
  out.prior_non_batchable_context = first.prior_non_batchable_context;
  out.sim_non_batchable_context = first.sim_non_batchable_context;
  const auto part_of = [&](std::int64_t row) {
    return static_cast<std::size_t>(std::upper_bound(g.first.begin(), g.first.end(), row) - g.first.begin()) - 1;
  };
  const auto collect = [&](std::size_t field) {
    const Array& like = *row_fields(first)[field];
    Array to = uninitialized_array(row_shape(like).prepend(static_cast<std::int64_t>(rows.size())));
    double* at = to.data();
    for (const std::int64_t row : rows) {
      const std::size_t p = part_of(row);
      const auto values = row_fields(parts_[g.parts[p]])[field]->row_values(row - g.first[p]);
      at = std::copy(values.begin(), values.end(), at);
    }
    return to;
  };
  out.prior_draws = collect(0);
  out.sim_data = collect(1);
  if (first.prior_batchable_context) out.prior_batchable_context = collect(2);
  if (first.sim_batchable_context) out.sim_batchable_context = collect(3);
  return out;
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
