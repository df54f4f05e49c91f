/// What amortizers do with raw data: through the adapter to the networks, and back into the user's units.
#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "amortizers/amortizer_state.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

AdapterUse use_of(const AmortizerKind& kind) {
  return {kind.target_field ? std::vector<std::string>{kind.target_field} : std::vector<std::string>(), kind.configure};
}

}  // namespace

std::shared_ptr<const Adapter> Amortizer::adapter() const { return state_->adapter.load(); }

std::shared_ptr<const Adapter> Amortizer::require_adapter(const char* what) const {
  std::shared_ptr<const Adapter> out = adapter();
  if (!out)
    throw ConfigurationError(
        fmt::format("{}: raw simulations and data need an adapter, and this amortizer has none; give it one (AmortizerOptions::adapter; "
                    "Adapter() leaves "
                    "everything as it is), or give a batch that the configurator of training made",
                    call_of(state_->kind, what)));
  return out;
}

Batch Amortizer::configure(const Simulations& simulations) const {
  const AmortizerKind& kind = state_->kind;
  const std::shared_ptr<const Adapter> by = adapter();
  return by ? Adapter::batch_of(by->forward(simulations), use_of(kind)) : kind.configure(simulations);
}

DataCheck Amortizer::check(const Simulations& data, const CheckOptions& options) const {
  const std::shared_ptr<const Adapter> by = require_adapter("check");
  Batch batch = Adapter::batch_of(by->forward(data, Outside::allow), use_of(state_->kind));
  batch.set(state_->kind.target, {});
  return check(batch, options);
}

std::int64_t Amortizer::pilot() const {
  const std::shared_ptr<const Adapter> of = adapter();
  return of && !of->is_fitted() ? of->pilot : 0;
}

std::vector<std::string> Amortizer::fit(std::span<const Simulations> first, const std::vector<std::string>& param_names) {
  const std::shared_ptr<const Adapter> of = adapter();
  if (!of || of->is_fitted()) return {};
  Adapter fitted = *of;
  fitted.fit(first, param_names, use_of(state_->kind));
  state_->adapter.store(std::make_shared<const Adapter>(fitted));
  return fitted.notes();
}

bool Amortizer::fills_missing() const {
  const std::shared_ptr<const Adapter> of = adapter();
  return of && std::ranges::any_of(of->steps(), [](const adapter::Step& step) {
           const auto* fill = std::get_if<adapter::FillMissing>(&step);
           return fill && fill->field == "sim_data";
         });
}

std::vector<std::string> Amortizer::adapters() const {
  const std::shared_ptr<const Adapter> of = adapter();
  return {of ? of->to_json() : std::string()};
}

void Amortizer::set_adapters(std::span<const std::string> described) {
  const std::shared_ptr<const Adapter> of = adapter();
  const std::string text = described.empty() ? std::string() : described.front();
  if (described.size() > 1 || text.empty() != !of)
    throw ConfigurationError(
        fmt::format("its amortizer had {} adapter, and this one has {}", text.empty() ? "no" : "an", of ? "one" : "none"));
  if (!of) return;
  Adapter theirs = Adapter::from_json(text);
  if (theirs.given() != of->given()) throw ConfigurationError("its adapter had other steps or settings of them than this amortizer's");
  state_->adapter.store(std::make_shared<const Adapter>(std::move(theirs)));
}

Array Amortizer::draws(const Simulations& data, std::int64_t n_samples, SampleOptions options) const {
  const std::shared_ptr<const Adapter> by = require_adapter("sample");
  const Adapted adapted = by->forward(data, Outside::allow);
  Batch batch = Adapter::batch_of(adapted, use_of(state_->kind));
  batch.set(state_->kind.target, {});  // draws do not look at it
  return by->inverse(draws(batch, n_samples, options), adapted);
}

Array Amortizer::outputs(const char* function, const Simulations& data, SampleOptions options, Adapted& adapted) const {
  const std::shared_ptr<const Adapter> by = require_adapter(function);
  adapted = by->forward(data, Outside::allow);
  Batch batch = Adapter::batch_of(adapted, use_of(state_->kind));
  batch.set(state_->kind.target, {});
  return outputs(function, batch, options);
}

Array Amortizer::log_density(const Simulations& data, std::vector<Foreign>* foreign) const {
  const std::shared_ptr<const Adapter> by = require_adapter(state_->kind.density);
  const Adapted adapted = by->forward(data, Outside::allow);
  Array out = log_density(Adapter::batch_of(adapted, use_of(state_->kind)), foreign);
  if (adapted.log_det.empty()) return out;
  if (out.shape() != adapted.log_det.front().shape())
    throw ShapeError(fmt::format("{}: densities of shape {} and log-determinants of shape {} do not go together",
                                 call_of(state_->kind, state_->kind.density), out.shape().to_string(),
                                 adapted.log_det.front().shape().to_string()));
  return out += adapted.log_det.front();
}

}  // namespace bayesflow
