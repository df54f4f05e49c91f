#include "bayesflow/amortizers/amortizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "amortizers/amortizer_state.hpp"
#include "amortizers/kinds.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {

Amortizer::Amortizer(const AmortizerKind& kind, std::shared_ptr<InferenceNetwork> inference_net,
                     std::shared_ptr<SummaryNetwork> summary_net, AmortizerOptions options)
    : state_(std::make_shared<State>(kind, std::move(inference_net), std::move(summary_net), std::move(options))) {
  const AmortizerOptions& o = state_->options;
  const auto fail = [&kind](const std::string& text) { throw ConfigurationError(fmt::format("{}: {}", kind.name, text)); };
  const auto fail_option = [&kind](const std::string& text) { throw ConfigurationError(fmt::format("{}Options::{}", kind.name, text)); };
  if (!state_->inference) fail("the inference network is null; give one");
  if (!(o.summary_mmd_weight >= 0) || !std::isfinite(o.summary_mmd_weight))
    fail_option(fmt::format("summary_mmd_weight = {}; it must be finite and not negative", o.summary_mmd_weight));
  if (o.threads < 0) fail_option(fmt::format("threads = {}; it must not be negative (0: all)", o.threads));
  if (o.summary_mmd_weight > 0 && !state_->summary) fail("a summary loss needs a summary network; give one or set summary_mmd_weight = 0");
  if (o.adapter) state_->adapter.store(std::make_shared<const Adapter>(*o.adapter));
  if (!o.latent) return;
  if (!o.latent->log_density || !o.latent->sample)
    fail_option(fmt::format("latent \"{}\" lacks its {}; a latent needs both a log density and a sampler", o.latent->name,
                            o.latent->log_density ? "sampler" : "log density"));
  NormalizingFlow* flow = state_->inference->as_flow();
  if (!flow) fail_option("latent is that of a normalizing flow, which the inference network is not; leave it out");
  flow->set_latent(*o.latent);
}

Amortizer::Amortizer(const AmortizerKind& kind, const Amortizer& other) : state_(other.state_) {
  if (&state_->kind != &kind)
    throw ConfigurationError(fmt::format("{}: the given amortizer is an {}; use that class", kind.name, state_->kind.name));
}

AmortizerAccess::Own AmortizerAccess::own(const Amortizer& of) {
  const Amortizer::State& s = *of.state_;
  const auto at = [](auto i) { return static_cast<std::size_t>(i); };
  return {std::span(s.store->table()).subspan(at(s.first), at(s.last - s.first)), s.first,
          std::span(s.store->buffers()).subspan(s.first_buffer, s.last_buffer - s.first_buffer), s.place.empty() ? 0 : s.place.size() + 1};
}

nn::ParameterStore& Amortizer::store() { return *state_->store; }
const nn::ParameterStore& Amortizer::store() const { return *state_->store; }
const InferenceNetwork& Amortizer::inference_net() const { return *state_->inference; }
const SummaryNetwork* Amortizer::summary_net() const { return state_->summary.get(); }
const AmortizerOptions& Amortizer::options() const { return state_->options; }
const AmortizerKind& Amortizer::kind() const { return state_->kind; }
const BatchShapes& Amortizer::built_for() const { return state_->built_for; }
std::uint64_t Amortizer::unseeded_calls() const { return state_->unseeded_calls; }
void Amortizer::set_unseeded_calls(std::uint64_t count) { state_->unseeded_calls = count; }
bool Amortizer::is_built() const { return state_->built; }
std::int64_t Amortizer::num_weights() const {
  std::int64_t total = 0;
  for (std::int64_t i = state_->first; i < state_->last; ++i) total += state_->store->table()[static_cast<std::size_t>(i)].shape.size();
  return total;
}
double Amortizer::weight_decay() const { return weight_decay_of(*state_->store, state_->first, state_->last); }
std::int64_t Amortizer::target_width() const { return state_->inference->target_width(); }
bool Amortizer::standardizes_parameters() const { return state_->inference->standardizes_targets(); }

bool Amortizer::reads(std::string_view role) const {
  const State& s = *state_;
  return role == s.kind.target || role == s.kind.direct || std::ranges::any_of(s.sources, [&](const State::Source& source) {
           return source.data == role || source.mask == role || source.times == role;
         });
}

const std::string& Amortizer::place() const { return state_->place; }

std::int64_t Amortizer::summary_width() const { return state_->summary ? state_->summary->summary_dim() : 0; }

void Amortizer::join(const std::shared_ptr<nn::ParameterStore>& store, const std::string& place, const nn::ParameterStore* from) {
  State& s = *state_;
  const std::lock_guard lock(s.building.get());
  if (s.built || (!s.place.empty() && s.store.get() != from))
    throw ConfigurationError(fmt::format("{}: it has weights already, or is part of another group; make another one", s.kind.name));
  s.store = store;
  s.place = place;
}

void Amortizer::require_trainable() const {
  if (!state_->place.empty()) throw ConfigurationError(fmt::format(detail::kTrainTheWhole, state_->kind.name, state_->place));
}

const NormalizingFlow& Amortizer::flow(const char* what) const {
  if (const NormalizingFlow* flow = inference_net().as_flow()) return *flow;
  throw ConfigurationError(
      fmt::format("{}: needs a normalizing flow (InvertibleNetwork), which the inference network is not", call_of(state_->kind, what)));
}

void Amortizer::require_built(const char* what) const {
  if (!state_->built)
    throw ConfigurationError(
        fmt::format("{}: the networks have no weights yet; train first (or call build with a first batch)", call_of(state_->kind, what)));
}

/// Whether a mask has the data's leading axes: those of data sets and observations, and, if there are more, any of them but the last.
static bool leads(const Shape& mask, const Shape& data) {
  return mask.rank() >= 2 && mask.rank() < data.rank() && mask == data.slice(0, mask.rank());
}

void AmortizerAccess::set_threads(const Amortizer& of, int threads) {
  of.state_->options.threads = threads;
  of.state_->contexts.get().pool.reset();
}

void Amortizer::build(const Batch& first, std::optional<std::uint64_t> seed) { build(shapes_of(first), seed); }

/// A role that is misspelt, or of no use here, would be left out without a word.
void Amortizer::check_roles(const BatchShapes& shapes) const {
  const State& s = *state_;
  const Shape* direct = find_shape(shapes, s.kind.direct);
  std::vector<std::string> known{s.kind.target};
  for (const State::Source& source : s.sources) known.insert(known.end(), {source.data.str(), source.mask.str(), source.times.str()});
  known.emplace_back(s.kind.direct);
  for (const RoleShape& r : shapes)
    if (std::ranges::find(known, r.role) == known.end())
      throw ConfigurationError(
          fmt::format("{}: reads no {}; it reads {}. Leave it out, or correct the name", s.kind.name, r.role, fmt::join(known, ", ")));
  for (const State::Source& source : s.sources)
    if (s.summary && !find_shape(shapes, source.data))
      throw SummaryStatsError(
          fmt::format("{}: there is a summary network but no {}; set them in the configurator", s.kind.name, source.data.c_str()));
  if (!s.summary && !direct)
    throw SummaryStatsError(fmt::format(
        "{}: there are no {}{}", s.kind.name, s.kind.direct,
        s.kind.summary
            ? fmt::format(", and without a summary network {} cannot be used; give a summary network, or put the data into {} in "
                          "the configurator",
                          s.kind.summary, s.kind.direct)
            : std::string("; set them in the configurator")));
  if (!s.summary && s.kind.summary && find_shape(shapes, s.kind.summary))
    throw SummaryStatsError(
        fmt::format("{}: there are {} but no summary network, so they would be ignored; give a summary network, or put the data into {} in "
                    "the configurator",
                    s.kind.name, s.kind.summary, s.kind.direct));
  for (const State::Source& source : s.sources)
    for (const RoleName& role : {source.mask, source.times}) {
      const Shape *shape = find_shape(shapes, role), *data = find_shape(shapes, source.data);
      if (!shape) continue;
      if (!data) throw SummaryStatsError(fmt::format("{}: there is a {} but no {}", s.kind.name, role.c_str(), source.data.c_str()));
      if (!leads(*shape, *data))
        throw ShapeError(
            fmt::format("{}: {} of shape {} does not go with {} of shape {}; it must be (data sets, observations), and the data "
                        "(data sets, observations, ...); of nested data and images it may have more of their axes",
                        s.kind.name, role.c_str(), shape->to_string(), source.data.c_str(), data->to_string()));
    }
}

void Amortizer::build(const BatchShapes& shapes, std::optional<std::uint64_t> seed) {
  State& s = *state_;
  if (s.built) return;
  detail::OwnedMutex& building = s.building.get();
  if (building.is_mine())
    throw ConfigurationError(
        fmt::format("{}: one of its networks calls it while it is being built; a network's build must not use the amortizer",
                    call_of(s.kind, "build")));
  const std::lock_guard one_at_a_time(building);
  const nn::WeightLock::Writing writing(s.store->lock());
  if (s.built) return;
  s.first = s.store->count();
  s.first_buffer = s.store->buffers().size();
  s.store->begin_group();
  check_roles(shapes);
  const Shape *target = find_shape(shapes, s.kind.target), *direct = find_shape(shapes, s.kind.direct);
  const auto claim = [&](Network& network, const char* which) {
    if (const auto owner = network.owner_.of.lock(); owner && owner != state_)
      throw ConfigurationError(
          fmt::format("{}: the {} network was built by another amortizer, which would lose its weights; give each amortizer a network of "
                      "its own (a copy of the object, or another std::make_shared), or copy the amortizer to share both networks",
                      s.kind.name, which));
    network.owner_.of = state_;
  };
  const auto claim_parts = [&](const auto& self, const auto& network) -> void {
    for (const SummaryPart& part : network.parts()) {
      claim(*part.get(), "summary");
      self(self, *part.get());
    }
  };
  const std::uint64_t common = s.options.seed.value_or(seed.value_or(0));
  std::int64_t width = 0;
  if (s.summary) {
    claim(*s.summary, "summary");
    claim_parts(claim_parts, *s.summary);
    std::vector<SummaryShape> inputs;
    for (const State::Source& source : s.sources)
      inputs.emplace_back(*find_shape(shapes, source.data), find_shape(shapes, source.times) != nullptr);
    SummaryShape input = inputs.front();
    if (!s.summary->sources().empty()) {
      input = Shape{};
      input.sources = std::move(inputs);
    }
    s.summary->build(nn::Builder(*s.store, s.options.summary_seed.value_or(common), "summary_net", s.place), input);
    width += s.summary->summary_dim();
    for (const State::Source& source : s.sources)
      for (const bool mask : {true, false})
        if (const RoleName& role = mask ? source.mask : source.times; find_shape(shapes, role)) s.require_reads(source, mask);
  }
  claim(*s.inference, "inference");
  claim_parts(claim_parts, *s.inference);
  const std::int64_t own = s.inference->target_width();
  if (own == 0 && !target)
    throw ShapeError(
        fmt::format("{}: needs {}, from which the inference network takes their width", call_of(s.kind, "build"), s.kind.target));
  s.direct_width = direct ? (*direct)[-1] : 0;
  s.inference->build(nn::Builder(*s.store, s.options.inference_seed.value_or(common), "inference_net", s.place),
                     target ? (*target)[-1] : own, width + s.direct_width);
  s.built_for = shapes;
  s.last = s.store->count();
  s.last_buffer = s.store->buffers().size();
  s.built = true;
}

void Amortizer::State::require_reads(const Source& source, bool mask) const {
  if (mask ? source.reader->takes_mask() : source.reader->takes_times()) return;
  throw ConfigurationError(fmt::format("{}: the summary network{} does not read a {}; use one that does, or leave it out", kind.name,
                                       source.reader == summary.get() ? "" : " of that source",
                                       mask ? source.mask.c_str() : source.times.c_str()));
}

Tensor Amortizer::forward_of(const SummaryNetwork& net, Tape& tape, const SummaryInput& input) { return net.forward(tape, input); }

Tensor Amortizer::summarize(Tape& tape, const Batch& batch, Summarize by) const {
  const State& s = *state_;
  std::array<Tensor, 3 * SummaryInput::kMostSources> inputs;
  std::array<std::array<std::size_t, 3>, SummaryInput::kMostSources> at{};  // of data, mask and times of each source, + 1; 0: there is none
  std::size_t count = 0;
  std::int64_t rows = 0;
  const Block* data = nullptr;
  for (std::size_t i = 0; i < s.sources.size(); ++i) {
    const State::Source& source = s.sources[i];
    data = batch.find(source.data);
    if (!data)
      throw SummaryStatsError(
          fmt::format("{}: there is a summary network but no {}; set them in the configurator", s.kind.name, source.data.c_str()));
    rows += rows_per_item(data->shape());
    inputs[count++] = data->on(tape);
    at[i][0] = count;
    for (const bool mask : {true, false}) {
      const RoleName& role = mask ? source.mask : source.times;
      const Block* block = batch.find(role);
      if (!block) continue;
      s.require_reads(source, mask);
      if (!leads(block->shape(), data->shape()))
        throw ShapeError(fmt::format("{}: {} of shape {} does not go with {} of shape {}; it must be (data sets, observations)",
                                     s.kind.name, role.c_str(), block->shape().to_string(), source.data.c_str(),
                                     data->shape().to_string()));
      inputs[count++] = block->on(tape);
      at[i][mask ? 1 : 2] = count;
    }
  }
  const bool one = s.summary->sources().empty();
  const auto input = [&](std::span<const Tensor> part, std::size_t i) {
    const auto given = [&](std::size_t what) { return at[i][what] ? part[at[i][what] - 1] : Tensor(); };
    return SummaryInput(given(0), given(1), given(2));
  };
  return tape.map_rows(one ? s.summary->plan(data->shape()) : plan_rows(data->dim(0), rows), std::span<const Tensor>(inputs.data(), count),
                       [&](Tape& t, std::span<const Tensor> part) {
                         if (one) return by(*s.summary, t, input(part, 0));
                         std::array<SummaryInput, SummaryInput::kMostSources> sources;
                         for (std::size_t i = 0; i < s.sources.size(); ++i) sources[i] = input(part, i);
                         SummaryInput all;
                         all.sources = {sources.data(), s.sources.size()};
                         return by(*s.summary, t, all);
                       });
}

Tensor Amortizer::condition(Tape& tape, const Batch& batch, Tensor* summary) const {
  const State& s = *state_;
  Tensor parts[2];
  std::size_t n = 0;
  if (s.summary) {
    parts[n] = summarize(tape, batch);
    if (summary) *summary = parts[n];
    ++n;
  }
  const Block* given = batch.find(s.kind.direct);
  const std::int64_t direct = given ? given->dim(-1) : 0;
  if (direct != s.direct_width)
    throw ShapeError(fmt::format(
        "{}: was built with {} of width {}; got {}{}", s.kind.name, s.kind.direct, s.direct_width,
        given ? given->shape().to_string() : "none",
        // As the default configurator makes it of a list with a number for each data set.
        s.direct_width > 0 && given && direct == s.direct_width * given->dim(0)
            ? fmt::format(
                  ". A non-batchable context is shared by all data sets: for a value of each, give {} of shape ({}, {}) yourself, or one "
                  "dictionary for each value",
                  s.kind.direct, given->dim(0), s.direct_width)
            : std::string()));
  if (given) parts[n++] = given->on(tape);
  if (n == 0) throw SummaryStatsError(fmt::format("{}: there are neither summary nor direct conditions", s.kind.name));
  if (n == 1) return parts[0];
  if (parts[0].dim(0) != parts[1].dim(0))
    throw ShapeError(fmt::format("{}: summary and direct conditions must have the same number of data sets; got {} and {}", s.kind.name,
                                 parts[0].dim(0), parts[1].dim(0)));
  // Direct conditions per observation: the summary is repeated over them.
  if (parts[1].rank() == 3 && parts[0].rank() == 2) parts[0] = ops::repeat(parts[0], parts[1].dim(1));
  return ops::concat(parts);
}

std::vector<std::string> Amortizer::loss_names() const {
  if (state_->options.summary_mmd_weight > 0) return {"loss", "summary_loss"};
  return {"loss"};
}

Tensor Amortizer::losses(Tape& tape, Tensor targets, Tensor condition) const {
  const InferenceNetwork& net = inference_net();
  const Tensor in[] = {targets, condition};
  return tape.map_rows(net.plan(targets.shape()), in, [&net](Tape& t, std::span<const Tensor> x) { return net.loss(t, x[0], x[1]); });
}

Trainable::LossTensors Amortizer::loss(Tape& tape, const Batch& batch) const {
  require_built("loss");
  const State& s = *state_;
  const Block* targets = batch.find(s.kind.target);
  if (!targets || targets->rank() == 0 || targets->dim(0) != batch.batch_size())
    throw ShapeError(fmt::format("{}: needs one row of {} per data set ({}); got {}", s.kind.name, s.kind.target, batch.batch_size(),
                                 targets ? "shape " + targets->shape().to_string() : "none"));
  LossTensors out;
  Tensor summary;
  Tensor c = condition(tape, batch, &summary);
  Tensor theta = targets->on(tape);
  out.total = out.terms[0] = ops::mean(losses(tape, theta, c));
  if (s.options.summary_mmd_weight > 0) {
    Tensor normals = tape.filled(summary.shape(), 0);
    tape.rng().fill_normal(std::span<float>(normals.data(), static_cast<std::size_t>(normals.size())));
    out.terms[1] = ops::scale(ops::mmd(summary, normals), static_cast<float>(s.options.summary_mmd_weight));
    out.total = ops::add(out.terms[0], out.terms[1]);
  }
  return out;
}

void Amortizer::update_state() {
  const nn::WeightLock::Updating updating(state_->store->lock());
  if (state_->summary) state_->summary->update_state();
  state_->inference->update_state();
}

}  // namespace bayesflow
