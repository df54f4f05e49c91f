#include "bayesflow/amortizers/amortizer_group.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "amortizers/amortizer_state.hpp"
#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {

Batch AmortizerBase::share_of(const Batch& batch) const {
  Batch out;
  for (const Batch::Entry& e : batch.entries())
    if (reads(e.role)) out.set(e.role, e.values);
  return out;
}

struct AmortizerGroup::State {
  const char* class_name;
  std::vector<Part> parts;
  std::vector<std::size_t> terms;             // of the loss of each part
  std::shared_ptr<nn::ParameterStore> store;  // null: the parts had weights of their own
  std::string place;                          // in the store of another group
};

AmortizerGroup::AmortizerGroup(const char* class_name, std::vector<Part> parts) : state_(std::make_shared<State>()) {
  State& s = *state_;
  s.class_name = class_name;
  s.parts = std::move(parts);
  const auto fail = [&](const std::string& text) { throw ConfigurationError(fmt::format("{}: {}", class_name, text)); };
  if (s.parts.empty()) fail("it needs amortizers; none were given");
  std::set<std::string> names;
  std::size_t built = 0;
  for (const Part& part : s.parts) {
    if (!part.amortizer) fail(fmt::format("the part \"{}\" is null; give an amortizer", part.name));
    if (!names.insert(part.name).second) fail(fmt::format("two parts are called \"{}\"; give each another name", part.name));
    built += part.amortizer->is_built() ? 1 : 0;
    s.terms.push_back(part.amortizer->loss_names().size());
  }
  if (built == s.parts.size()) return;
  if (built) fail("some of its parts have weights, and others none; train or load all of them before, or none");
  s.store = std::make_shared<nn::ParameterStore>();
  for (const Part& part : s.parts) part.amortizer->join(s.store, part.name, nullptr);
}

void AmortizerGroup::join(const std::shared_ptr<nn::ParameterStore>& store, const std::string& place, const nn::ParameterStore* from) {
  State& s = *state_;
  if (!s.store || is_built() || (!s.place.empty() && s.store.get() != from))
    throw ConfigurationError(fmt::format("{}: it has weights already, or is part of another group; make another one", s.class_name));
  for (const Part& part : s.parts) part.amortizer->join(store, place + "." + part.name, s.store.get());
  s.store = store;
  s.place = place;
}

const std::vector<AmortizerGroup::Part>& AmortizerGroup::parts() const { return state_->parts; }
const char* AmortizerGroup::class_name() const { return state_->class_name; }

void AmortizerGroup::require_class(const char* wanted) const {
  if (std::string_view(wanted) != class_name())
    throw ConfigurationError(fmt::format("{}: the given amortizer is an {}; use that class", wanted, class_name()));
}

nn::ParameterStore& AmortizerGroup::store() { return const_cast<nn::ParameterStore&>(std::as_const(*this).store()); }
const nn::ParameterStore& AmortizerGroup::store() const {
  if (!state_->store)
    throw ConfigurationError(fmt::format(
        "{}: its parts had weights before they came together, each in a store of its own, so that one trainer cannot train them; make the "
        "group of amortizers without weights and train it, or save it and load the file, whose weights have one store",
        class_name()));
  return *state_->store;
}
void AmortizerGroup::require_trainable() const {
  (void)store();
  if (!state_->place.empty()) throw ConfigurationError(fmt::format(detail::kTrainTheWhole, class_name(), state_->place));
}

void AmortizerGroup::check_role(std::string_view role) const {
  if (reads(role)) return;
  throw ConfigurationError(fmt::format("{}: none of its parts reads {}. Leave it out, or correct the name", class_name(), role));
}

Batch AmortizerGroup::share_of_part(const Batch& batch, std::size_t part) const {
  for (const Batch::Entry& e : batch.entries()) check_role(e.role);
  return parts()[part].amortizer->share_of(batch);
}

void AmortizerGroup::build(const Batch& first, std::optional<std::uint64_t> seed) { build(shapes_of(first), seed); }

void AmortizerGroup::build(const BatchShapes& shapes, std::optional<std::uint64_t> seed) {
  for (const RoleShape& r : shapes) check_role(r.role);
  for (std::size_t i = 0; i < parts().size(); ++i) {
    BatchShapes share;
    for (const RoleShape& r : shapes)
      if (parts()[i].amortizer->reads(r.role)) share.push_back(r);
    parts()[i].amortizer->build(share, seed_of_part(seed.value_or(0), i));
  }
}

bool AmortizerGroup::is_built() const {
  return std::ranges::all_of(parts(), [](const Part& part) { return part.amortizer->is_built(); });
}
bool AmortizerGroup::reads(std::string_view role) const {
  return std::ranges::any_of(parts(), [&](const Part& part) { return part.amortizer->reads(role); });
}
std::int64_t AmortizerGroup::num_weights() const {
  std::int64_t total = 0;
  for (const Part& part : parts()) total += part.amortizer->num_weights();
  return total;
}
std::int64_t AmortizerGroup::summary_width() const {
  std::int64_t total = 0;
  for (const Part& part : parts()) total += part.amortizer->summary_width();
  return total;
}
double AmortizerGroup::weight_decay() const {
  double total = 0;
  for (const Part& part : parts()) total += part.amortizer->weight_decay();
  return total;
}
bool AmortizerGroup::standardizes_parameters() const {
  return std::ranges::all_of(
      parts(), [](const Part& part) { return part.amortizer->standardizes_parameters() || !part.amortizer->reads(roles::parameters); });
}

std::vector<std::string> AmortizerGroup::loss_names() const {
  std::vector<std::string> out;
  for (const Part& part : parts())
    for (const std::string& name : part.amortizer->loss_names()) out.push_back(part.name + "_" + name);
  if (out.size() >= LossTerms::kMost)
    throw ConfigurationError(fmt::format("{}: the losses of its parts have {} terms, and {} are the most; leave summary losses out",
                                         class_name(), out.size(), LossTerms::kMost - 1));
  return out;
}

Trainable::LossTensors AmortizerGroup::loss(Tape& tape, const Batch& batch) const {
  LossTensors out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < parts().size(); ++i) {
    tape.restart_noise();
    const LossTensors part = parts()[i].amortizer->loss(tape, batch);
    for (std::size_t k = 0; k < state_->terms[i]; ++k) out.terms[at++] = part.terms[k];
    out.total = i == 0 ? part.total : ops::add(out.total, part.total);
  }
  return out;
}

LossTerms AmortizerGroup::compute_loss(const Batch& batch) const {
  auto names = std::make_shared<std::vector<std::string>>(loss_names());
  names->emplace_back(kWeightDecay);
  LossTerms out(std::move(names));
  std::size_t at = 0;
  double decay = 0;
  for (std::size_t i = 0; i < parts().size(); ++i) {
    const LossTerms part = parts()[i].amortizer->compute_loss(share_of_part(batch, i));
    for (std::size_t k = 0; k < state_->terms[i]; ++k) out.set(at++, part.value(k));
    decay += part[kWeightDecay];
  }
  out.set(at, decay);
  return out;
}

void AmortizerGroup::update_state() {
  for (const Part& part : parts()) part.amortizer->update_state();
}

Batch AmortizerGroup::configure(const Simulations& simulations) const {
  Batch out;
  for (const Part& part : parts()) {
    const Batch of_part = part.amortizer->configure(simulations);
    for (const Batch::Entry& e : of_part.entries())
      if (!out.has(e.role)) out.set(e.role, e.values);
  }
  return out;
}

std::int64_t AmortizerGroup::pilot() const {
  std::int64_t out = 0;
  for (const Part& part : parts()) out = std::max(out, part.amortizer->pilot());
  return out;
}

std::vector<std::string> AmortizerGroup::fit(std::span<const Simulations> first, const std::vector<std::string>& param_names) {
  std::vector<std::string> out;
  for (const Part& part : parts())
    for (std::string& note : part.amortizer->fit(first, param_names))
      if (std::ranges::find(out, note) == out.end()) out.push_back(std::move(note));
  return out;
}

bool AmortizerGroup::fills_missing() const {
  return std::ranges::all_of(parts(), [](const Part& part) { return part.amortizer->fills_missing(); });
}

std::vector<std::string> AmortizerGroup::adapters() const {
  std::vector<std::string> out;
  for (const Part& part : parts())
    for (std::string& text : part.amortizer->adapters()) out.push_back(std::move(text));
  return out;
}

void AmortizerGroup::set_adapters(std::span<const std::string> described) {
  for (const Part& part : parts()) {
    const std::size_t count = std::min(part.amortizer->adapters().size(), described.size());
    part.amortizer->set_adapters(described.first(count));
    described = described.subspan(count);
  }
}

std::vector<Foreign> AmortizerGroup::foreign(const Batch& batch) const {
  std::vector<Foreign> out;
  for (std::size_t i = 0; i < parts().size(); ++i) {
    const Batch share = share_of_part(batch, i);
    if (share.empty()) continue;
    for (Foreign& f : parts()[i].amortizer->foreign(share))
      if (std::ranges::none_of(out, [&](const Foreign& known) { return known.sentence == f.sentence; })) out.push_back(std::move(f));
  }
  return out;
}

DataCheck AmortizerGroup::check(const Batch& batch, const CheckOptions& options) const {
  return parts().front().amortizer->check(share_of_part(batch, 0), options);
}

void AmortizerGroup::set_check_level(double level) {
  for (const Part& part : parts()) part.amortizer->set_check_level(level);
}
double AmortizerGroup::check_level() const { return parts().front().amortizer->check_level(); }

std::shared_ptr<const SeenData> AmortizerGroup::seen() const {
  std::shared_ptr<SeenData> out;
  for (const Part& part : parts()) {
    const std::shared_ptr<const SeenData> known = part.amortizer->seen();
    if (!known) continue;
    if (!out) {
      out = std::make_shared<SeenData>(*known);
      continue;
    }
    out->summaries.insert(out->summaries.end(), known->summaries.begin(), known->summaries.end());
    out->reference.join(known->reference);
    for (const auto& column : known->columns)  // of parts that were trained alone
      if (out->of(column.first).empty()) out->columns.push_back(column);
    if (out->sizes.empty()) out->sizes = known->sizes;
    if (out->is_size.empty()) out->is_size = known->is_size;
  }
  return out;
}

void AmortizerGroup::set_seen(const SeenData& seen) {
  const bool fits = static_cast<std::int64_t>(seen.summaries.size()) == summary_width();
  auto at = seen.summaries.begin();
  std::int64_t first = 0;
  for (const Part& part : parts()) {
    SeenData share = seen;
    share.summaries.clear();
    const std::int64_t last = first + part.amortizer->summary_width();
    share.reference = seen.reference.share(first, last);
    first = last;
    if (fits) {
      const auto end = at + part.amortizer->summary_width();
      share.summaries.assign(at, end);
      at = end;
    }
    part.amortizer->set_seen(share);
  }
}

Array AmortizerGroup::summaries_of(const Batch& batch) const {
  std::vector<Array> all;
  for (std::size_t i = 0; i < parts().size(); ++i)
    if (parts()[i].amortizer->summary_width() > 0) all.push_back(parts()[i].amortizer->summaries_of(share_of_part(batch, i)));
  if (all.empty()) return {};
  return all.size() == 1 ? all[0] : concatenate(all, -1);
}

std::vector<double> AmortizerGroup::losses_of(const Batch& batch) const {
  std::vector<double> out;
  for (std::size_t i = 0; i < parts().size(); ++i) {
    const std::vector<double> part = parts()[i].amortizer->losses_of(share_of_part(batch, i));
    if (part.empty()) return {};
    out.resize(part.size(), 0.0);
    for (std::size_t b = 0; b < part.size(); ++b) out[b] += part[b];
  }
  return out;
}

std::vector<std::string> AmortizerGroup::review(const Batch& held_out, const std::vector<std::string>& names) const {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < parts().size(); ++i)
    for (const std::string& sentence : parts()[i].amortizer->review(share_of_part(held_out, i), names))
      out.push_back(fmt::format("{}: {}", parts()[i].name, sentence));
  return out;
}

}  // namespace bayesflow
