#include "bayesflow/adapter/adapter.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <type_traits>
#include <utility>

#include "adapter/elementwise.hpp"
#include "adapter/regression.hpp"
#include "adapter/structure.hpp"
#include "adapter/vectors.hpp"

namespace bayesflow {

using adapter::Fields;
using adapter::Place;
using adapter::Step;

namespace {

/// Of which fields, in order, a target behind the steps `first`, `first` + 1, ... is made.
std::vector<std::string> origins_of(const std::vector<Step>& steps, std::size_t first, const std::string& target) {
  std::vector<std::string> out{target};
  for (std::size_t i = steps.size(); i-- > first;) {
    std::vector<std::string> before;
    for (const std::string& field : out)
      for (std::string& origin : std::visit([&](const auto& step) { return adapter::origins(step, field); }, steps[i]))
        before.push_back(std::move(origin));
    out = std::move(before);
  }
  return out;
}

using Names = std::map<std::string, std::vector<std::string>>;

/// Calls f(step, its place) for step `i`.
template <class Steps, class F>
void at_step(Steps& steps, std::size_t i, const std::vector<std::string>& targets, const Names& names, const F& f) {
  std::visit(
      [&](auto& step) {
        Place at{i + 1, step.kName, step.field, {}, &names};
        for (const std::string& target : targets)
          for (std::string& origin : origins_of(steps, i, target)) at.targets.insert(std::move(origin));
        f(step, at);
      },
      steps[i]);
}

Names names_of(const std::vector<std::string>& param_names) {
  Names out;
  if (!param_names.empty()) out["prior_draws"] = param_names;
  return out;
}
/// Of the columns of fields before each step.
std::vector<Names> names_before(const std::vector<Step>& steps, const std::vector<std::string>& param_names) {
  std::vector<Names> out{names_of(param_names)};
  for (const Step& step : steps) {
    out.push_back(out.back());
    std::visit([&](const auto& s) { rename(s, out.back()); }, step);
  }
  return out;
}

/// Without the columns that have no number in any row: those of parameters that are dropped.
Array without_missing(Array values) {
  if (values.rank() == 0 || values.empty()) return values;
  const std::int64_t width = values.dim(-1), rows = values.size() / width;
  std::vector<std::int64_t> kept;
  for (std::int64_t c = 0; c < width; ++c)
    for (std::int64_t row = 0; row < rows; ++row)
      if (!std::isnan(values.data()[row * width + c])) {
        kept.push_back(c);
        break;
      }
  if (static_cast<std::int64_t>(kept.size()) == width || kept.empty()) return values;
  std::vector<Array> columns;
  for (const std::int64_t c : kept) columns.push_back(values.columns(c, c + 1));
  return concatenate(columns, -1);
}

/// Whether a step names columns of a field that must have the width that it was fitted to.
template <class S>
constexpr bool kHasColumns = requires(const S& s) {
  s.columns;
};

/// Fields that networks know as they are: those with the name of a role.
bool is_role(std::string_view name) {
  for (const char* role :
       {roles::parameters, roles::direct_conditions, roles::observables, roles::conditions, roles::hyper_parameters,
        roles::local_parameters, roles::shared_parameters, roles::direct_global_conditions, roles::direct_local_conditions})
    if (name == role) return true;
  for (const char* role : {roles::summary_conditions, roles::summary_mask, roles::summary_times})
    if (roles::source_in(name, role)) return true;
  return false;
}

}  // namespace

Adapter::Adapter(std::initializer_list<Step> steps) {
  for (const Step& step : steps) add(step);
}

Adapter& Adapter::add(Step step) {
  if (fitted_) throw ConfigurationError("Adapter: it is fitted, and networks may rely on it; make another one to have other steps");
  std::visit(
      [&](const auto& s) {
        if (s.field.empty()) throw ConfigurationError(fmt::format("Adapter: step {} ({}) names no field", steps_.size() + 1, s.kName));
        validate(s, Place{steps_.size() + 1, s.kName, s.field, {}});
      },
      step);
  steps_.push_back(std::move(step));
  return *this;
}

void Adapter::require_fitted(const char* what) const {
  if (!fitted_)
    throw ConfigurationError(fmt::format(
        "Adapter::{}: it is not fitted yet; train the amortizer, which fits it to the first simulations, or call fit with some", what));
}

void Adapter::fit(std::span<const Simulations> first, const std::vector<std::string>& param_names, const AdapterUse& use) {
  if (fitted_) throw ConfigurationError("Adapter::fit: it is fitted already; make another one with the same steps");
  if (first.empty()) throw ArgumentError("Adapter::fit: there are no simulations; give some");
  std::vector<Simulations> parts(first.begin(), first.end());
  for (Simulations& part : parts) part.make_columns();
  Adapter fitted = *this;
  fitted.targets_ = use.targets;
  fitted.given_ = given();
  const Array* draws = parts.front().find("prior_draws");
  if (draws && draws->rank() > 0 && static_cast<std::int64_t>(param_names.size()) == draws->dim(-1)) fitted.param_names_ = param_names;
  fitted.widths_.assign(steps_.size(), 0);
  Names names = names_of(fitted.param_names_);
  for (std::size_t i = 0; i < steps_.size(); ++i)
    at_step(fitted.steps_, i, fitted.targets_, names, [&](auto& step, const Place& at) {
      std::int64_t width = 0;
      if constexpr (kHasColumns<std::decay_t<decltype(step)>>) {
        const Array* values = find(parts.front(), at);
        if (!values) at.refuse("there is no {}; give it, or name another field", at.field);
        width = adapter::Rows(parts.front(), at.field, *values).width();
        resolve(step.columns, step.names, width, at);
      }
      fitted.widths_[i] = width;
      adapter::fit(step, parts, width, at, fitted.notes_);
      for (Simulations& part : parts) {
        Fields fields{std::move(part), {}};
        adapter::forward(step, width, fields, at);
        part = std::move(fields.values);
      }
      rename(step, names);
    });
  fitted.fitted_ = true;
  fitted.note_names();
  *this = std::move(fitted);
}

Adapted Adapter::forward(Simulations simulations, Outside outside) const {
  require_fitted("forward");
  simulations.make_columns();
  Fields fields{std::move(simulations), {}, outside};
  Adapted out;
  out.before.resize(steps_.size());
  for (std::size_t i = 0; i < steps_.size(); ++i)
    at_step(steps_, i, targets_, names_[i], [&](const auto& step, const Place& at) {
      keep(step, fields.values, out.before[i], at);
      adapter::forward(step, widths_[i], fields, at);
    });
  for (const std::string& target : targets_) {
    Array& log_det = out.log_det.emplace_back();
    const Array* values = fields.values.find(target);
    if (!values) continue;
    const auto found = fields.log_det.find(target);
    log_det = found != fields.log_det.end() ? std::move(found->second) : Array(adapter::shape_of_rows(*values), 0.0);
  }
  out.simulations = std::move(fields.values);
  return out;
}

Array Adapter::inverse(Array values, const Adapted& of, std::size_t target) const {
  require_fitted("inverse");
  if (target >= targets_.size() || of.before.size() != steps_.size())
    throw ArgumentError("Adapter::inverse: the data sets did not go forward through this adapter; give what its forward returned");
  Fields fields;
  fields.outside = Outside::allow;
  fields.values.set(targets_[target], std::move(values));
  for (std::size_t i = steps_.size(); i-- > 0;)
    at_step(steps_, i, {targets_[target]}, names_[i], [&](const auto& step, const Place& at) {
      bool concerned = at.is_target();
      if constexpr (std::same_as<std::decay_t<decltype(step)>, adapter::Join>) concerned = fields.values.find(step.field) != nullptr;
      if (!concerned) return;
      fields.before = &of.before[i];
      adapter::inverse(step, widths_[i], fields, at);
    });
  std::vector<Array> parts;
  for (const std::string& field : origins_of(steps_, 0, targets_[target])) parts.push_back(*fields.values.find(field));
  return without_missing(parts.size() == 1 ? std::move(parts.front()) : concatenate(parts, -1));
}

Batch Adapter::batch_of(const Adapted& adapted, const AdapterUse& use) {
  Simulations rest;
  std::vector<std::pair<std::string, const Array*>> of_role;
  adapted.simulations.for_each([&](std::string_view name, FieldRole role, const Array& values) {
    if (is_role(name))
      of_role.emplace_back(name, &values);
    else
      rest.set(name, values, role);
  });
  // Without data the configurator has nothing to make its roles of: it gets numbers whose roles are taken away again.
  const bool has_data = rest.find("sim_data") != nullptr;
  if (!has_data)
    rest.sim_data = Array({std::max(rest.batch_size(), of_role.empty() ? std::int64_t{0} : of_role.front().second->dim(0)), 1});
  Batch out = use.configure(rest);
  if (!has_data)
    for (const char* role : {roles::summary_conditions, roles::observables}) out.set(role, {});
  for (const auto& [role, values] : of_role) {
    const Array columns = values->rank() == 1 ? values->expand_dims(1) : *values;
    const Block* there = out.find(role);
    out.set(role, there && role == roles::direct_conditions ? concatenate({there->array(), columns}, -1) : columns);
  }
  return out;
}

std::string Adapter::to_string() const {
  const std::vector<Names> names = fitted_ ? names_ : std::vector<Names>(steps_.size());
  std::string out;
  for (std::size_t i = 0; i < steps_.size(); ++i)
    at_step(steps_, i, targets_, names[i], [&](const auto& step, const Place& at) {
      std::string more;
      if constexpr (kHasColumns<std::decay_t<decltype(step)>>) {
        for (const std::int64_t column : step.columns) more += ", " + at.column(column);
        for (const std::string& name : step.names) more += fmt::format(", \"{}\"", name);
      }
      if constexpr (requires { step.to; }) more += " to " + step.to;
      if constexpr (requires { step.fields; }) more += fmt::format(" from {}", fmt::join(step.fields, ", "));
      out += fmt::format("{}. {} of {}{}\n", i + 1, at.name, at.field, more);
    });
  return out;
}

void Adapter::note_names() { names_ = names_before(steps_, param_names_); }

}  // namespace bayesflow
