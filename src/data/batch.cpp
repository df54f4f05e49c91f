#include "bayesflow/data/batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "core/float32_range.hpp"

namespace bayesflow {

RoleName roles::of_source(std::string_view role, std::string_view source) {
  if (source.empty()) return role;
  std::array<char, RoleName::kMost> text;
  if (role.size() + 1 + source.size() > text.size()) return RoleName(fmt::format("{}.{}", role, source));  // says how long names may be
  const auto end = fmt::format_to(text.data(), "{}.{}", role, source);  // not the heap: training asks in every step
  return std::string_view(text.data(), static_cast<std::size_t>(end - text.data()));
}

std::optional<std::string_view> roles::source_in(std::string_view role, std::string_view of) {
  if (!role.starts_with(of)) return {};
  role.remove_prefix(of.size());
  if (role.empty()) return role;
  if (role.front() != '.') return {};
  return role.substr(1);
}

Batch::Batch(std::initializer_list<std::pair<std::string_view, Block>> entries) {
  for (const auto& [role, values] : entries) set(role, values);
}

RoleName::RoleName(std::string_view text) {
  if (text.empty() || text.size() >= text_.size())
    throw ConfigurationError(fmt::format("Batch: the name of a role must have 1 to {} bytes; got \"{}\"", text_.size() - 1, text));
  std::ranges::copy(text, text_.begin());
}

void Batch::set(std::string_view role, Block values) {
  Entry* const end = entries_.data() + count_;
  Entry* const at = std::find_if(entries_.data(), end, [role](const Entry& e) { return e.role == role; });
  if (values.absent()) {
    if (at == end) return;
    std::move(at + 1, end, at);
    entries_[--count_] = {};
  } else if (at != end) {
    at->values = std::move(values);
  } else if (count_ == kMost) {
    throw ConfigurationError(fmt::format("Batch: {} roles are the most; there is no room for {}", kMost, role));
  } else {
    *at = {RoleName(role), std::move(values)};
    ++count_;
  }
}

void Batch::update(std::string_view role, const std::function<void(Array&)>& change) {
  Array values = array(role);
  change(values);
  set(role, values);
}

const Block* Batch::find(std::string_view role) const {
  for (const Entry& e : entries())
    if (e.role == role) return &e.values;
  return nullptr;
}

const Block& Batch::operator[](std::string_view role) const {
  if (const Block* block = find(role)) return *block;
  std::string known;
  for (const Entry& e : entries()) known += (known.empty() ? "" : ", ") + e.role.str();
  throw ConfigurationError(fmt::format("Batch: there are no {}; it has {}", role, known.empty() ? "nothing" : known));
}

std::int64_t Batch::batch_size() const {
  const Entry* from = nullptr;
  for (const Entry& e : entries())
    if (!from || from->role == roles::parameters) from = &e;
  if (!from) throw SummaryStatsError("Batch: there are neither summary conditions nor direct conditions; set at least one of them");
  if (from->values.rank() == 0)
    throw ShapeError(fmt::format("Batch: {} must have an axis of data sets, axis 0; got a single number", from->role.c_str()));
  return from->values.dim(0);
}

Batch Batch::rows(std::int64_t first, std::int64_t last) const {
  Batch out = *this;
  for (std::size_t i = 0; i < out.count_; ++i) out.entries_[i].values = entries_[i].values.slice(first, last);
  return out;
}

Batch Batch::take(std::span<const std::int64_t> rows) const {
  Batch out;
  for (const Entry& e : entries()) out.set(e.role, e.values.take(rows));
  return out;
}

Batch Batch::only(std::initializer_list<std::string_view> wanted) const {
  Batch out;
  for (const Entry& e : entries())
    if (std::ranges::find(wanted, std::string_view(e.role)) != wanted.end()) out.set(e.role, e.values);
  return out;
}

std::string Batch::non_finite() const {
  for (const auto& [role, values] : entries()) {
    const std::span<const float> all = values.values();
    const auto bad = std::ranges::find_if_not(all, [](float v) { return std::isfinite(v); });
    if (bad == all.end()) continue;
    const std::int64_t at = bad - all.begin(), stride = values.rank() ? values.size() / values.dim(0) : 1;
    const std::optional<Block::Beyond> beyond = values.beyond_float32();
    const bool finite_before = beyond && beyond->at == at;
    std::string text =
        fmt::format("{} in {} of data set {}", finite_before ? beyond->value : detail::unsigned_nan(*bad), role.c_str(), at / stride);
    if (values.rank() > 1 && values.dim(-1) > 1) text += fmt::format(", column {}", at % values.dim(-1));
    return finite_before ? fmt::format("{}, {}", text, detail::kBeyondFloat32) : text;
  }
  return {};
}

std::string Batch::wrong_mask() const {
  for (const auto& [role, values] : entries()) {
    if (!roles::source_in(role, roles::summary_mask) && std::string_view(role) != roles::local_mask) continue;
    const std::span<const float> all = values.values();
    const auto bad = std::ranges::find_if_not(all, [](float m) { return m == 0 || m == 1; });
    if (bad == all.end()) continue;
    return fmt::format("{} in {} of data set {}; masks must be 1 where something is there and 0 elsewhere", *bad, role.c_str(),
                       values.rank() ? (bad - all.begin()) / (values.size() / values.dim(0)) : 0);
  }
  return {};
}

void Batch::check(const char* owner) const {
  const std::int64_t batch = batch_size();
  if (batch == 0) throw ShapeError(fmt::format("{}: there are no data sets; axis 0 of the conditions must be at least 1", owner));
  for (const auto& [role, values] : entries())
    if (values.rank() == 0 || values.dim(0) != batch)
      throw ShapeError(fmt::format("{}: axis 0 of every field counts the data sets; got {} of shape {} where there are {}", owner,
                                   role.c_str(), values.shape().to_string(), batch));
  if (const std::string bad = wrong_mask(); !bad.empty()) throw ArgumentError(fmt::format("{}: {}", owner, bad));
  if (const std::string bad = non_finite(); !bad.empty()) {
    const bool beyond = bad.ends_with(detail::kBeyondFloat32);
    throw ArgumentError(fmt::format("{}: {}; every value must be finite{}: drop such data sets, or replace {}the values as in training",
                                    owner, bad, beyond ? " in float32, which networks compute in" : "", beyond ? "or scale " : ""));
  }
}

BatchShapes shapes_of(const Batch& batch) {
  BatchShapes out;
  for (const auto& [role, values] : batch.entries()) out.push_back({role.str(), values.shape()});
  return out;
}

const Shape* find_shape(const BatchShapes& shapes, std::string_view role) {
  const auto at = std::ranges::find(shapes, role, &RoleShape::role);
  return at == shapes.end() ? nullptr : &at->shape;
}

bool append(Batch& to, const Batch& more) {
  if (to.entries().size() != more.entries().size()) return false;
  Batch out;
  for (const auto& [role, values] : to.entries()) {
    const Block* other = more.find(role);
    if (!other || values.rank() == 0 || other->rank() != values.rank() ||
        other->shape().slice(1, other->rank()) != values.shape().slice(1, values.rank()))
      return false;
    const Block parts[] = {values, *other};
    out.set(role, concatenate_rows(parts));
  }
  to = std::move(out);
  return true;
}

}  // namespace bayesflow
