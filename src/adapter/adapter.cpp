#include "bayesflow/adapter/adapter.hpp"

#include <algorithm>
#include <utility>

#include "adapter/elementwise.hpp"

namespace bayesflow {

using adapter::Fields;
using adapter::Place;
using adapter::Step;

namespace {

/// Calls f(step, its place) for every step, in order. `names`: of the columns of fields before the first step.
template <class Steps, class F>
void for_each_step(Steps& steps, const std::vector<std::string>& targets, const std::vector<std::string>& param_names, const F& f) {
  std::map<std::string, std::vector<std::string>> names;
  if (!param_names.empty()) names["prior_draws"] = param_names;
  for (std::size_t i = 0; i < steps.size(); ++i)
    std::visit(
        [&](auto& step) {
          f(i, step, Place{i + 1, step.kName, step.field, std::set<std::string>(targets.begin(), targets.end()), &names});
        },
        steps[i]);
}

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
  for_each_step(fitted.steps_, fitted.targets_, fitted.param_names_, [&](std::size_t i, auto& step, const Place& at) {
    const Array* values = find(parts.front(), at);
    if (!values) at.refuse("there is no {}; give it, or name another field", at.field);
    const std::int64_t width = adapter::Rows(parts.front(), at.field, *values).width();
    fitted.widths_[i] = width;
    resolve(step.columns, step.names, width, at);
    adapter::fit(step, parts, width, at, fitted.notes_);
    for (Simulations& part : parts) {
      Fields fields{std::move(part), {}};
      adapter::forward(step, width, fields, at);
      part = std::move(fields.values);
    }
  });
  fitted.fitted_ = true;
  *this = std::move(fitted);
}

Adapted Adapter::forward(Simulations simulations, Outside outside) const {
  require_fitted("forward");
  simulations.make_columns();
  Fields fields{std::move(simulations), {}, outside};
  Adapted out;
  out.before.resize(steps_.size());
  for_each_step(steps_, targets_, param_names_, [&](std::size_t i, const auto& step, const Place& at) {
    keep(step, fields.values, out.before[i], at);
    adapter::forward(step, widths_[i], fields, at);
  });
  for (const std::string& target : targets_) {
    Array& log_det = out.log_det.emplace_back();
    const Array* values = fields.values.find(target);
    if (!values) continue;
    const auto found = fields.log_det.find(target);
    log_det =
        found != fields.log_det.end() ? std::move(found->second) : Array(values->shape().slice(0, std::max(0, values->rank() - 1)), 0.0);
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
    for_each_step(steps_, targets_, param_names_, [&](std::size_t k, const auto& step, const Place& at) {
      if (k != i || at.field != targets_[target]) return;
      fields.before = &of.before[i];
      adapter::inverse(step, widths_[i], fields, at);
    });
  return *fields.values.find(targets_[target]);
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
  if (of_role.empty()) return use.configure(rest);
  Batch out = use.configure(rest);
  for (const auto& [role, values] : of_role) out.set(role, values->rank() == 1 ? values->expand_dims(1) : *values);
  return out;
}

std::string Adapter::to_string() const {
  std::string out;
  for_each_step(steps_, targets_, param_names_, [&](std::size_t i, const auto& step, const Place& at) {
    std::string columns;
    for (const std::int64_t column : step.columns) columns += ", " + at.column(column);
    for (const std::string& name : step.names) columns += fmt::format(", \"{}\"", name);
    out += fmt::format("{}. {} of {}{}\n", i + 1, at.name, at.field, columns);
  });
  return out;
}

}  // namespace bayesflow
