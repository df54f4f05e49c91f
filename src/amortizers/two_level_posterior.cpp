#include "bayesflow/amortizers/two_level_posterior.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "amortizers/amortizer_state.hpp"
#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

constexpr const char *kGlobal = "global", *kLocal = "local";
constexpr std::size_t kGlobalPart = 0, kLocalPart = 1;

const HierarchicalNetwork* levels_of(const Amortizer& global) { return dynamic_cast<const HierarchicalNetwork*>(global.summary_net()); }

/// Both levels in one row for each data set: (batch, groups * s1 + s2), so that the engine can cut the batch.
Tensor forward_both_levels(const SummaryNetwork& net, Tape& tape, const SummaryInput& input) {
  std::array<Tensor, 2> level;
  dynamic_cast<const HierarchicalNetwork&>(net).forward_all(tape, input, level);
  const Tensor parts[] = {ops::reshape(level[0], {level[0].dim(0), level[0].dim(1) * level[0].dim(2)}), level[1]};
  return ops::concat(parts);
}

/// "TwoLevelAmortizedPosterior::sample", of which messages speak.
std::string owner_of(const char* function) { return std::string(TwoLevelAmortizedPosterior::kClass) + "::" + function; }

ShapeError misfit(const char* function, const char* role, const char* wanted, const Block* got) {
  return ShapeError(
      fmt::format("{}: {} must be of shape {}; got {}", owner_of(function), role, wanted, got ? got->shape().to_string() : "none"));
}

/// Values of a block repeated over the groups, or of each group: (batch, groups, c).
Tensor over_groups(Tensor x, std::int64_t groups) { return x.rank() == 2 ? ops::repeat(x, groups) : x; }

}  // namespace

struct TwoLevelAmortizedPosterior::Own {
  detail::SharedPointer<SeenData> seen;
};

/// What is known of the groups of a batch before their parameters are looked at.
struct TwoLevelAmortizedPosterior::Groups {
  std::int64_t sets = 0, count = 0;       // data sets, and groups of each
  std::vector<std::int64_t> there;        // places b * count + g of the groups that are there
  std::vector<std::vector<float>> given;  // the conditions of each place but hyper and shared parameters
};

TwoLevelAmortizedPosterior::TwoLevelAmortizedPosterior(const AmortizedPosterior& local, const AmortizedPosterior& global)
    : AmortizerGroup(kClass,
                     {{kGlobal, std::make_shared<AmortizedPosterior>(global)}, {kLocal, std::make_shared<AmortizedPosterior>(local)}}),
      own_(std::make_shared<Own>()) {
  check();
}

TwoLevelAmortizedPosterior::TwoLevelAmortizedPosterior(const AmortizerGroup& other) : AmortizerGroup(other), own_(std::make_shared<Own>()) {
  require_class(kClass);
  if (const auto* same = dynamic_cast<const TwoLevelAmortizedPosterior*>(&other)) own_ = same->own_;
  if (parts().size() != 2 || parts()[kGlobalPart].name != kGlobal || parts()[kLocalPart].name != kLocal)
    throw ConfigurationError(fmt::format("{}: its parts must be \"{}\" and \"{}\"", kClass, kGlobal, kLocal));
  check();
}

void TwoLevelAmortizedPosterior::check() const {
  const auto fail = [](const char* text) { throw ConfigurationError(fmt::format("{}: {}", kClass, text)); };
  if (local().summary_net()) fail("the local amortizer must have no summary network; data are summarized by the global one's");
  if (global().summary_net() && (!levels_of(global()) || levels_of(global())->parts().size() != 2))
    fail("the global amortizer's summary network must be a HierarchicalNetwork of two levels: of observations and of groups");
  if (local().adapter() || global().adapter())
    fail("its parts must have no adapter; let a configurator bring parameters and data to unit scale");
  if (global().options().summary_mmd_weight > 0) fail("summary_mmd_weight is of no use here; leave it 0");
}

AmortizedPosterior TwoLevelAmortizedPosterior::local() const {
  return AmortizedPosterior(dynamic_cast<const Amortizer&>(*parts()[kLocalPart].amortizer));
}
AmortizedPosterior TwoLevelAmortizedPosterior::global() const {
  return AmortizedPosterior(dynamic_cast<const Amortizer&>(*parts()[kGlobalPart].amortizer));
}

bool TwoLevelAmortizedPosterior::reads(std::string_view role) const {
  constexpr std::string_view kOwn[] = {roles::hyper_parameters,        roles::local_parameters,         roles::shared_parameters,
                                       roles::direct_local_conditions, roles::direct_global_conditions, roles::local_mask};
  if (std::ranges::find(kOwn, role) != std::end(kOwn)) return true;
  return role != roles::parameters && role != roles::direct_conditions && parts()[kGlobalPart].amortizer->reads(role);
}

void TwoLevelAmortizedPosterior::build(const BatchShapes& shapes, std::optional<std::uint64_t> seed) {
  if (is_built()) return;
  for (const RoleShape& r : shapes)
    if (!reads(r.role))
      throw ConfigurationError(fmt::format("{}: reads no {}; leave it out, or correct the name", owner_of("build"), r.role));
  const auto shape = [&](const char* role) { return find_shape(shapes, role); };
  const Shape *hyper = shape(roles::hyper_parameters), *local_targets = shape(roles::local_parameters),
              *shared = shape(roles::shared_parameters), *direct_global = shape(roles::direct_global_conditions),
              *direct_local = shape(roles::direct_local_conditions);
  if (!hyper || hyper->rank() != 2) throw ShapeError(fmt::format("{}: hyper_parameters must be of shape (batch, H)", owner_of("build")));
  if (!local_targets || local_targets->rank() != 3)
    throw ShapeError(fmt::format("{}: local_parameters must be of shape (batch, groups, L)", owner_of("build")));
  if (shared && shared->rank() != 2) throw ShapeError(fmt::format("{}: shared_parameters must be of shape (batch, S)", owner_of("build")));
  const std::int64_t batch = (*hyper)[0], width = (*hyper)[1] + (shared ? (*shared)[1] : 0);
  BatchShapes of_global{{roles::parameters, {batch, width}}};
  for (const RoleShape& r : shapes)
    if (parts()[kGlobalPart].amortizer->reads(r.role)) of_global.push_back(r);
  if (direct_global) of_global.push_back({roles::direct_conditions, *direct_global});
  parts()[kGlobalPart].amortizer->build(of_global, seed);
  const HierarchicalNetwork* levels = levels_of(global());
  const std::int64_t given = (levels ? levels->parts()[0]->summary_dim() : 0) + (direct_local ? (*direct_local)[-1] : 0) + width;
  parts()[kLocalPart].amortizer->build({{roles::parameters, {batch, (*local_targets)[2]}}, {roles::direct_conditions, {batch, given}}},
                                       seed);
}

/// What the global part is given. Without the target, as for draws.
Batch TwoLevelAmortizedPosterior::global_batch(const Batch& batch, bool with_target, const char* function) const {
  Batch out;
  for (const Batch::Entry& e : batch.entries()) {
    if (!reads(e.role))
      throw ConfigurationError(fmt::format("{}: reads no {}; leave it out, or correct the name", owner_of(function), e.role.c_str()));
    if (parts()[kGlobalPart].amortizer->reads(e.role)) out.set(e.role, e.values);
  }
  if (const Block* direct = batch.find(roles::direct_global_conditions)) out.set(roles::direct_conditions, *direct);
  if (!with_target) return out;
  const Block *hyper = batch.find(roles::hyper_parameters), *shared = batch.find(roles::shared_parameters);
  if (!hyper || hyper->rank() != 2) throw misfit(function, roles::hyper_parameters, "(batch, H)", hyper);
  if (shared && (shared->rank() != 2 || shared->dim(0) != hyper->dim(0)))
    throw misfit(function, roles::shared_parameters, "(batch, S)", shared);
  out.set(roles::parameters, shared ? Block(concatenate({hyper->array(), shared->array()}, -1)) : *hyper);
  return out;
}

namespace {

/// Writes to `out`, (batch, groups), 1 where a group is there and 0 elsewhere. False, and nothing is written, without a mask.
bool fill_mask(const Batch& batch, std::int64_t sets, std::int64_t groups, std::span<float> out, const char* function) {
  const Block *local = batch.find(roles::local_mask), *summary = batch.find(roles::summary_mask);
  if (local && local->shape() != Shape{sets, groups}) throw misfit(function, roles::local_mask, "(batch, groups)", local);
  if (summary && (summary->rank() < 2 || summary->dim(0) != sets || summary->dim(1) != groups))
    throw misfit(function, roles::summary_mask, "(batch, groups, ...)", summary);
  if (!local && !summary) return false;
  if (const std::string bad = batch.wrong_mask(); !bad.empty()) throw ArgumentError(fmt::format("{}: {}", owner_of(function), bad));
  const std::size_t each = summary ? summary->values().size() / out.size() : 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool observed = summary && std::ranges::any_of(summary->values().subspan(i * each, each), [](float m) { return m != 0; });
    out[i] = local ? local->values()[i] : observed ? 1.0f : 0.0f;
    if (observed && out[i] == 0)
      throw ArgumentError(fmt::format(
          "{}: group {} of data set {} is not there by local_mask, but summary_mask leaves observations of it; make the masks agree",
          owner_of(function), i % static_cast<std::size_t>(groups), i / static_cast<std::size_t>(groups)));
  }
  return true;
}

}  // namespace

TwoLevelAmortizedPosterior::Groups TwoLevelAmortizedPosterior::groups_of(const Batch& batch, const char* function) const {
  Groups out;
  const AmortizedPosterior global = this->global();
  const Block* direct = batch.find(roles::direct_local_conditions);
  Array levels;
  std::int64_t width = 0;
  if (const HierarchicalNetwork* net = levels_of(global)) {
    const Batch given = global_batch(batch, false, function);
    levels = global.summary_by(given, forward_both_levels);
    width = net->parts()[0]->summary_dim();
    out.sets = levels.dim(0);
    out.count = (levels.dim(1) - net->summary_dim()) / width;
  } else {
    if (!direct || direct->rank() != 3) throw misfit(function, roles::direct_local_conditions, "(batch, groups, c)", direct);
    out.sets = direct->dim(0);
    out.count = direct->dim(1);
  }
  if (direct && (direct->dim(0) != out.sets || (direct->rank() != 2 && (direct->rank() != 3 || direct->dim(1) != out.count))))
    throw misfit(function, roles::direct_local_conditions, "(batch, groups, c) or (batch, c)", direct);
  std::vector<float> mask(static_cast<std::size_t>(out.sets * out.count), 1.0f);
  (void)fill_mask(batch, out.sets, out.count, mask, function);
  for (std::int64_t b = 0; b < out.sets; ++b)
    for (std::int64_t g = 0; g < out.count; ++g) {
      const std::int64_t place = b * out.count + g;
      if (mask[static_cast<std::size_t>(place)] != 0) out.there.push_back(place);
      std::vector<float>& given = out.given.emplace_back();
      if (width > 0) {
        const double* from = levels.data() + b * levels.dim(1) + g * width;
        given.insert(given.end(), from, from + width);
      }
      if (direct) {
        const std::int64_t c = direct->dim(-1);
        const float* from = direct->values().data() + (direct->rank() == 2 ? b : place) * c;
        given.insert(given.end(), from, from + c);
      }
    }
  if (out.there.empty()) throw ShapeError(fmt::format("{}: no group is there; the masks leave nothing", owner_of(function)));
  return out;
}

/// The groups that are there as data sets of the local part.
Batch TwoLevelAmortizedPosterior::local_rows(const Batch& batch, const Groups& groups, bool with_target, const char* function) const {
  const Array hyper = global_batch(batch, true, function).array(roles::parameters);
  const std::int64_t rows = static_cast<std::int64_t>(groups.there.size()), own = static_cast<std::int64_t>(groups.given[0].size());
  if (hyper.dim(0) != groups.sets) throw misfit(function, roles::hyper_parameters, "(batch, H)", batch.find(roles::hyper_parameters));
  Array conditions({rows, own + hyper.dim(1)});
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t place = groups.there[static_cast<std::size_t>(r)];
    double* to = std::ranges::copy(groups.given[static_cast<std::size_t>(place)], conditions.data() + r * conditions.dim(1)).out;
    std::ranges::copy(hyper.row_values(place / groups.count), to);
  }
  Batch out{{roles::direct_conditions, conditions}};
  if (!with_target) return out;
  const Block* targets = batch.find(roles::local_parameters);
  if (!targets || targets->rank() != 3 || targets->dim(0) != groups.sets || targets->dim(1) != groups.count)
    throw misfit(function, roles::local_parameters, "(batch, groups, L), with as many groups as the data", targets);
  out.set(roles::parameters,
          targets->array().reshape({groups.sets * groups.count, targets->dim(2)}).take(std::span<const std::int64_t>(groups.there)));
  return out;
}

Batch TwoLevelAmortizedPosterior::share_of_part(const Batch& batch, std::size_t part) const {
  constexpr const char* function = "loss";
  return part == kGlobalPart ? global_batch(batch, true, function) : local_rows(batch, groups_of(batch, function), true, function);
}

Trainable::LossTensors TwoLevelAmortizedPosterior::loss(Tape& tape, const Batch& batch) const {
  constexpr const char* function = "loss";
  const AmortizedPosterior global = this->global(), local = this->local();
  const Block *hyper = batch.find(roles::hyper_parameters), *shared = batch.find(roles::shared_parameters),
              *targets = batch.find(roles::local_parameters), *direct_global = batch.find(roles::direct_global_conditions),
              *direct_local = batch.find(roles::direct_local_conditions);
  if (!hyper || hyper->rank() != 2) throw misfit(function, roles::hyper_parameters, "(batch, H)", hyper);
  if (!targets || targets->rank() != 3 || targets->dim(0) != hyper->dim(0))
    throw misfit(function, roles::local_parameters, "(batch, groups, L)", targets);
  const std::int64_t sets = targets->dim(0), groups = targets->dim(1);
  const auto joined = [](std::span<const Tensor> parts) { return parts.size() == 1 ? parts[0] : ops::concat(parts); };

  std::array<Tensor, 2> globals{hyper->on(tape)};
  if (shared) globals[1] = shared->on(tape);
  const Tensor theta = joined(std::span(globals.data(), shared ? 2 : 1));

  std::array<Tensor, 2> of_global;
  std::array<Tensor, 3> of_local;
  std::size_t n_global = 0, n_local = 0;
  if (const HierarchicalNetwork* net = levels_of(global)) {
    const Tensor both = global.summarize(tape, batch, forward_both_levels);
    const std::int64_t width = net->parts()[0]->summary_dim(), split = groups * width;
    if (both.cols() != split + net->summary_dim())
      throw misfit(function, roles::local_parameters, "(batch, groups, L), with as many groups as the data", targets);
    of_local[n_local++] = ops::reshape(ops::columns(both, 0, split), {sets, groups, width});
    of_global[n_global++] = ops::columns(both, split, both.cols());
  }
  if (direct_global) of_global[n_global++] = direct_global->on(tape);
  if (direct_local) of_local[n_local++] = over_groups(direct_local->on(tape), groups);
  of_local[n_local++] = ops::repeat(theta, groups);
  if (n_global == 0)
    throw SummaryStatsError(
        fmt::format("{}: there is neither a summary network nor direct_global_conditions; give one of them", owner_of(function)));

  LossTensors out;
  out.terms[kGlobalPart] = ops::mean(global.losses(tape, theta, joined(std::span(of_global.data(), n_global))));
  tape.restart_noise();
  const Tensor each = local.losses(tape, targets->on(tape), joined(std::span(of_local.data(), n_local)));  // (batch, groups)
  Tensor mask = tape.filled({sets, groups}, 1.0f);
  const std::span<float> there(mask.data(), static_cast<std::size_t>(mask.size()));
  if (!fill_mask(batch, sets, groups, there, function)) {
    out.terms[kLocalPart] = ops::mean(each);
  } else {
    const auto count = static_cast<float>(std::ranges::count(there, 1.0f));
    if (count == 0) throw ShapeError(fmt::format("{}: no group is there; the masks leave nothing", owner_of(function)));
    out.terms[kLocalPart] = ops::scale(ops::sum(ops::multiply(each, mask)), 1.0f / count);
  }
  out.total = ops::add(out.terms[kGlobalPart], out.terms[kLocalPart]);
  return out;
}

std::vector<double> TwoLevelAmortizedPosterior::losses_of(const Batch& batch) const {
  constexpr const char* function = "losses_of";
  const Groups groups = groups_of(batch, function);
  std::vector<double> out = global().losses_of(global_batch(batch, true, function));
  const std::vector<double> rows = local().losses_of(local_rows(batch, groups, true, function));
  std::vector<double> sum(out.size(), 0.0), count(out.size(), 0.0);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto b = static_cast<std::size_t>(groups.there[r] / groups.count);
    sum[b] += rows[r];
    ++count[b];
  }
  for (std::size_t b = 0; b < out.size(); ++b)
    if (count[b] > 0) out[b] += sum[b] / count[b];
  return out;
}

bool TwoLevelAmortizedPosterior::standardizes_parameters() const {
  return global().standardizes_parameters() && local().standardizes_parameters();
}

TwoLevelAmortizedPosterior::Draws TwoLevelAmortizedPosterior::sample(const Batch& batch, std::int64_t n_samples,
                                                                     SampleOptions options) const {
  constexpr const char* function = "sample";
  const AmortizedPosterior global = this->global(), local = this->local();
  const std::uint64_t seed = global.seed_of(options);
  Draws out;
  out.global = global.sample(global_batch(batch, false, function), n_samples,
                             {.seed = seed, .foreign = options.foreign, .precision = options.precision});
  const Groups groups = groups_of(batch, function);
  const std::int64_t width = local.num_params(), count = groups.count, of_global = out.global.dim(2),
                     own = static_cast<std::int64_t>(groups.given[0].size());
  out.local = Array({groups.sets, count, n_samples, width}, std::numeric_limits<double>::quiet_NaN());
  std::vector<Foreign> ignored;
  for (std::size_t first = 0; first < groups.there.size();) {
    const std::int64_t b = groups.there[first] / count;
    std::size_t last = first;
    while (last < groups.there.size() && groups.there[last] / count == b) ++last;
    const auto present = static_cast<std::int64_t>(last - first);
    // Draw after draw, so that the first ones do not depend on how many there are.
    Array conditions = uninitialized_array({1, n_samples * present, own + of_global});
    double* to = conditions.data();
    for (std::int64_t s = 0; s < n_samples; ++s)
      for (std::size_t i = first; i < last; ++i) {
        to = std::ranges::copy(groups.given[static_cast<std::size_t>(groups.there[i])], to).out;
        to = std::copy_n(out.global.data() + (b * n_samples + s) * of_global, of_global, to);
      }
    Rng streams(seed, "local draws", static_cast<std::uint64_t>(b));
    const Array drawn = local.draws_each({{roles::direct_conditions, conditions}},
                                         {.seed = streams.bits(), .foreign = &ignored, .precision = options.precision});
    for (std::int64_t s = 0; s < n_samples; ++s)
      for (std::size_t i = first; i < last; ++i)
        std::copy_n(drawn.data() + (s * present + static_cast<std::int64_t>(i - first)) * width, width,
                    out.local.data() + (groups.there[i] * n_samples + s) * width);
    first = last;
  }
  return out;
}

TwoLevelAmortizedPosterior::Densities TwoLevelAmortizedPosterior::log_densities(const Batch& batch, std::vector<Foreign>* foreign) const {
  constexpr const char* function = "log_densities";
  Densities out;
  out.global = global().log_posterior(global_batch(batch, true, function), foreign);
  const Groups groups = groups_of(batch, function);
  std::vector<Foreign> ignored;
  const Array rows = local().log_posterior(local_rows(batch, groups, true, function), &ignored);
  out.local = Array({groups.sets, groups.count});
  for (std::int64_t r = 0; r < rows.size(); ++r) out.local.data()[groups.there[static_cast<std::size_t>(r)]] = rows.data()[r];
  return out;
}

Array TwoLevelAmortizedPosterior::log_posterior(const Batch& batch, std::vector<Foreign>* foreign) const {
  const Densities d = log_densities(batch, foreign);
  return d.global + d.local.sum(1);
}

TwoLevelAmortizedPosterior::Forward TwoLevelAmortizedPosterior::forward(const Batch& batch) const {
  constexpr const char* function = "forward";
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const Groups groups = groups_of(batch, function);
  const AmortizedPosterior::Forward rows = local().forward(local_rows(batch, groups, true, function));
  const std::int64_t width = rows.z.dim(1);
  Forward out{global().forward(global_batch(batch, true, function)), Array({groups.sets, groups.count, width}, kNone),
              Array({groups.sets, groups.count}, kNone)};
  for (std::int64_t r = 0; r < rows.log_det_J.size(); ++r) {
    const std::int64_t place = groups.there[static_cast<std::size_t>(r)];
    std::copy_n(rows.z.data() + r * width, width, out.local_z.data() + place * width);
    out.local_log_det_J.data()[place] = rows.log_det_J.data()[r];
  }
  return out;
}

std::vector<Foreign> TwoLevelAmortizedPosterior::foreign(const Batch& batch) const {
  return global().foreign(global_batch(batch, false, "foreign"));
}

DataCheck TwoLevelAmortizedPosterior::check(const Batch& batch, const CheckOptions& options) const {
  return global().check(global_batch(batch, false, "check"), options);
}

std::shared_ptr<const SeenData> TwoLevelAmortizedPosterior::seen() const { return own_->seen.load(); }

void TwoLevelAmortizedPosterior::set_seen(const SeenData& seen) {
  own_->seen.store(std::make_shared<const SeenData>(seen));
  // By the roles of the global part, whose draws and data are looked at.
  SeenData share = seen;
  share.columns.clear();
  std::vector<SeenColumn> globals;
  for (const auto& [role, columns] : seen.columns) {
    if (role == roles::hyper_parameters || role == roles::shared_parameters) {
      const auto at = role == roles::hyper_parameters ? globals.begin() : globals.end();
      globals.insert(at, columns.begin(), columns.end());
    } else if (role == roles::direct_global_conditions) {
      share.columns.emplace_back(roles::direct_conditions, columns);
    } else if (role != roles::local_parameters && role != roles::direct_local_conditions) {
      share.columns.emplace_back(role, columns);
    }
  }
  if (!globals.empty()) share.columns.emplace_back(roles::parameters, std::move(globals));
  parts()[kGlobalPart].amortizer->set_seen(share);
}

Batch TwoLevelAmortizedPosterior::configure(const Simulations& simulations) const { return two_level_configurator(simulations); }

}  // namespace bayesflow
