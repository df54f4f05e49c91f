#include "adapter/step.hpp"

#include <algorithm>
#include <numeric>

namespace bayesflow::adapter {

EnumNames<Spread> names_of(Spread) {
  return {{Spread::mean_sd, "mean_sd"}, {Spread::median_mad, "median_mad"}, {Spread::quantiles, "quantiles"}};
}
EnumNames<Interval> names_of(Interval) {
  return {{Interval::probit, "probit"}, {Interval::logit, "logit"}, {Interval::barrier, "barrier"}};
}
EnumNames<HalfLine> names_of(HalfLine) { return {{HalfLine::log, "log"}, {HalfLine::softplus, "softplus"}}; }

std::string Place::column(std::int64_t column) const {
  const auto known = names ? names->find(field) : std::map<std::string, std::vector<std::string>>::const_iterator();
  const bool named = names && known != names->end() && static_cast<std::size_t>(column) < known->second.size();
  return named ? fmt::format("column {} ({})", column, known->second[static_cast<std::size_t>(column)]) : fmt::format("column {}", column);
}

Rows::Rows(const Simulations& of, std::string_view field, const Array& values) {
  bool shared = false;
  of.for_each(
      [&](std::string_view name, FieldRole role, const Array&) { shared = shared || (name == field && role == FieldRole::shared); });
  const bool is_column = values.rank() == 0 || (values.rank() == 1 && !shared);  // one number of each data set
  width_ = is_column ? 1 : values.dim(-1);
  rows_ = width_ == 0 ? 0 : values.size() / width_;
  const Array* mask = of.find(std::string(field) + "_mask");
  if (!mask || mask->empty() || mask->rank() >= values.rank() || values.shape().slice(0, mask->rank()) != mask->shape()) return;
  mask_ = mask;
  per_mask_ = rows_ / mask->size();
}

void require_width(const Rows& rows, const Array& values, std::int64_t width, const Place& at) {
  if (rows.width() != width)
    throw ShapeError(fmt::format("{}: {} of shape {} has {} columns; the adapter was fitted to {}", at.to_string(), at.field,
                                 values.shape().to_string(), rows.width(), width));
}

Shape shape_of_rows(const Array& values) { return values.rank() > 1 ? values.shape().slice(0, values.rank() - 1) : values.shape(); }

Array& log_det_of(Fields& fields, const std::string& field, const Array& values) {
  Array& out = fields.log_det[field];
  if (out.shape() == Shape{0}) out = Array(shape_of_rows(values), 0.0);
  return out;
}

void put(Simulations& in, const std::string& name, Array values, FieldRole role) {
  if (Simulations::is_standard(name)) return in.set(name, std::move(values));
  for (Simulations::Further& f : in.further)
    if (f.name == name) {
      f.values = std::move(values);
      f.role = role;
      return;
    }
  in.further.push_back({name, role, std::move(values)});
}

void erase(Simulations& from, std::string_view name) {
  if (name == "prior_draws") from.prior_draws = Array();
  if (name == "sim_data") from.sim_data = Array();
  if (name == "prior_non_batchable_context") from.prior_non_batchable_context.reset();
  if (name == "prior_batchable_context") from.prior_batchable_context.reset();
  if (name == "sim_non_batchable_context") from.sim_non_batchable_context.reset();
  if (name == "sim_batchable_context") from.sim_batchable_context.reset();
  std::erase_if(from.further, [&](const Simulations::Further& f) { return f.name == name; });
}

Array* find(Simulations& in, const Place& at) {
  if (const Array* found = in.find(at.field)) return const_cast<Array*>(found);
  if (at.is_target()) return nullptr;
  std::string known;
  in.for_each([&](std::string_view name, FieldRole, const Array&) { known += (known.empty() ? "" : ", ") + std::string(name); });
  at.refuse("there is no {}; there are {}. Give it, or name another field", at.field, known.empty() ? "no fields" : known);
}

void resolve(std::vector<std::int64_t>& columns, std::vector<std::string>& names, std::int64_t width, const Place& at) {
  if (!names.empty()) {
    const auto known = at.names ? at.names->find(at.field) : std::map<std::string, std::vector<std::string>>::const_iterator();
    if (!at.names || known == at.names->end() || known->second.empty())
      at.refuse("the columns of {} have no names, so that \"{}\" cannot be found; give numbers of columns, or param_names to the prior",
                at.field, names.front());
    for (const std::string& name : names) {
      const auto found = std::ranges::find(known->second, name);
      if (found == known->second.end()) at.refuse("there is no column \"{}\"; there are {}", name, fmt::join(known->second, ", "));
      columns.push_back(found - known->second.begin());
    }
    names.clear();
  }
  for (std::int64_t& column : columns) {
    if (column < -width || column >= width) at.refuse("there is no column {}; {} has {}", column, at.field, width);
    if (column < 0) column += width;
  }
  std::vector<std::int64_t> sorted = columns;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    at.refuse("{} is named twice; name each column once", at.column(*twice));
}

}  // namespace bayesflow::adapter
