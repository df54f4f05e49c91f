#include "bayesflow/data/simulations.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

constexpr std::size_t kLongestName = 31;

bool is_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && name.size() <= kLongestName && is_letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

bool Simulations::is_standard(std::string_view name) {
  return std::ranges::any_of(kStandardFields, [&](const StandardField& f) { return name == f.name; });
}

void Simulations::set(std::string_view name, Array values, std::optional<FieldRole> role) {
  for (std::size_t i = 0; i < kStandardFields.size(); ++i) {
    if (name != kStandardFields[i].name) continue;
    if (role && *role != kStandardFields[i].role)
      throw ArgumentError(fmt::format("Simulations::set: {} is {}", name,
                                      *role == FieldRole::shared ? "a field with a row for each simulation; it cannot be shared by them"
                                                                 : "shared by all simulations; it cannot have a row for each"));
    std::optional<Array>* const optional[] = {&prior_non_batchable_context, &prior_batchable_context, nullptr,
                                              &sim_non_batchable_context,   &sim_batchable_context,   nullptr};
    if (optional[i])
      *optional[i] = std::move(values);
    else
      (i == 2 ? prior_draws : sim_data) = std::move(values);
    return;
  }
  if (!is_name(name))
    throw ArgumentError(fmt::format("Simulations::set: a field's name must be of letters, digits and underscores, at most {}; got \"{}\"",
                                    kLongestName, name.substr(0, 60)));
  const FieldRole as = role.value_or(FieldRole::per_simulation);
  for (Further& field : further)
    if (field.name == name) {
      field.values = std::move(values);
      field.role = as;
      return;
    }
  further.push_back({std::string(name), as, std::move(values)});
}

const Array* Simulations::find(std::string_view name) const {
  const Array* found = nullptr;
  for_each([&](std::string_view is, FieldRole, const Array& values) {
    if (is == name) found = &values;
  });
  return found;
}

std::vector<Simulations::Field> Simulations::fields() const {
  std::vector<Field> out;
  for_each([&](std::string_view name, FieldRole role, const Array& values) { out.push_back({name, role, &values}); });
  return out;
}

bool Simulations::has_shared() const {
  bool out = false;
  for_each([&](std::string_view, FieldRole role, const Array&) { out = out || role == FieldRole::shared; });
  return out;
}

std::int64_t Simulations::batch_size() const {
  if (prior_draws.shape() != Shape{0}) return prior_draws.dim(0);
  std::int64_t rows = 0;
  bool found = false;
  for_each([&](std::string_view, FieldRole role, const Array& values) {
    if (found || role == FieldRole::shared || values.rank() == 0) return;
    rows = values.dim(0);
    found = true;
  });
  return rows;
}

void Simulations::check_rows(std::string_view owner) const {
  const std::int64_t rows = batch_size();
  for_each([&](std::string_view name, FieldRole role, const Array& values) {
    if (role == FieldRole::per_simulation && (values.rank() == 0 || values.dim(0) != rows))
      throw ShapeError(
          fmt::format("{}: {} must have {} rows, one for each simulation; got shape {}", owner, name, rows, values.shape().to_string()));
  });
}

/// The same fields, with what `make(name, role, values)` returns for each.
template <class Make>
Simulations Simulations::mapped(const Make& make) const {
  Simulations out;
  for_each([&](std::string_view name, FieldRole role, const Array& values) { out.set(name, make(name, role, values), role); });
  return out;
}

Simulations Simulations::take(const std::vector<std::int64_t>& rows) const {
  return mapped(
      [&](std::string_view, FieldRole role, const Array& values) { return role == FieldRole::shared ? values : values.take(rows); });
}

Simulations Simulations::gather(std::span<const Row> rows) {
  return rows.front().of->mapped([&](std::string_view name, FieldRole role, const Array& like) {
    if (role == FieldRole::shared) return like;
    Array to = uninitialized_array(like.shape().slice(1, like.rank()).prepend(static_cast<std::int64_t>(rows.size())));
    double* at = to.data();
    const Simulations* of = nullptr;
    const Array* from = nullptr;
    for (const Row& row : rows) {
      if (row.of != of) from = (of = row.of)->find(name);
      const std::span<const double> values = from->row_values(row.index);
      at = std::copy(values.begin(), values.end(), at);
    }
    return to;
  });
}

void Simulations::set_row(std::int64_t row, const Row& from) {
  for_each([&](std::string_view name, FieldRole role, Array& values) {
    if (role == FieldRole::per_simulation) values.set_row(row, from.of->find(name)->row(from.index));
  });
}

void Simulations::make_columns() {
  if (prior_draws.empty()) return;
  if (prior_draws.rank() == 1) prior_draws = prior_draws.expand_dims(1);
  if (sim_data.rank() == 1) sim_data = sim_data.expand_dims(1);
}

}  // namespace bayesflow
