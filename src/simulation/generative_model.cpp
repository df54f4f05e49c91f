#include "bayesflow/simulation/generative_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include "bayesflow/core/errors.hpp"
#include "core/in_use.hpp"
#include "simulation/batch.hpp"

namespace bayesflow {

struct GenerativeModel::State {
  std::optional<Prior> prior;
  std::optional<Simulator> simulator;
  BatchFunction function;  // instead of these two
  BatchTraits traits;
  GenerativeModelOptions options;
  std::vector<std::string> report{};
  std::atomic<std::uint64_t> next{0};

  /// Calls of the model itself. They wait for each other where prior or simulator must not run in several threads.
  struct Calls {
    explicit Calls(int threads) : pool(threads) {}
    ThreadPool pool;
    detail::OwnedMutex one_at_a_time;
  };
  detail::PerProcess<Calls> calls{};

  void say(std::string line) {
    if (options.logger) options.logger(LogLevel::info, line);
    report.push_back(std::move(line));
  }
  void say_shape(const char* what, const std::optional<Array>& context) {
    if (context) say(fmt::format("Shape of {}: {}", what, context->shape().to_string()));
  }
};

namespace {

/// What a batch function returned must be a batch.
Simulations checked(Simulations out, const BatchRequest& request) {
  if (!out.prior_draws.empty() || out.further.empty())  // parameters may be further fields
    out.prior_draws = detail::checked_batch("prior", std::move(out.prior_draws), request.batch_size);
  out.sim_data = detail::checked_batch("simulator", std::move(out.sim_data), request.batch_size);
  out.for_each([&](std::string_view name, FieldRole role, const Array& array) {
    if (role == FieldRole::per_simulation && (array.rank() == 0 || array.dim(0) != request.batch_size))
      throw SimulationError(fmt::format("generative model: {} must have {} rows, one for each simulation of the batch; got shape {}", name,
                                        request.batch_size, array.shape().to_string()));
    const bool is_context = role == FieldRole::shared || name == "prior_batchable_context" || name == "sim_batchable_context";
    if (name != "sim_data" && !is_context)
      detail::require_finite(name == "prior_draws" ? "prior" : std::string(name).c_str(), array, nullptr, request.first_index);
  });
  return out;
}

}  // namespace

GenerativeModel::GenerativeModel(Prior prior, Simulator simulator, GenerativeModelOptions options) {
  const auto contextual = [](const auto& part) { return part.options().context.has_non_batchable(); };
  BatchTraits traits{.param_names = prior.param_names(),
                     .one_context_per_batch = contextual(prior) || contextual(simulator),
                     .depends_on_batch = prior.is_batched() || simulator.is_batched()};
  state_ = std::shared_ptr<State>(new State{std::move(prior), std::move(simulator), {}, std::move(traits), std::move(options)});
  pilot();
}

GenerativeModel::GenerativeModel(BatchFunction function, BatchTraits traits, GenerativeModelOptions options) {
  if (!function) throw ConfigurationError("GenerativeModel: the batch function is empty; give one that makes simulations");
  state_ = std::shared_ptr<State>(new State{{}, {}, std::move(function), std::move(traits), std::move(options)});
  pilot();
}

void GenerativeModel::pilot() {
  State& s = *state_;
  if (s.options.skip_test) return;
  s.say(fmt::format("Performing 2 pilot runs with the {} model...", s.options.name));
  Simulations two;
  try {
    two = make({2, Rng(s.options.seed, "pilot")});
    detail::require_finite("simulator", two.sim_data, &two.prior_draws, 0);
  } catch (const std::exception& error) {
    // Data that are not finite may be what a trainer's policy is for.
    const bool of_policy = !two.sim_data.empty() && !two.sim_data.all_finite();
    throw ConfigurationError(
        fmt::format("GenerativeModel \"{}\": the pilot runs failed: {}{}", s.options.name, error.what(),
                    of_policy ? "; a model of which that is expected is made with GenerativeModelOptions::skip_test = true" : ""));
  }
  const std::size_t names = s.traits.param_names.size();
  if (names && !two.prior_draws.empty() && static_cast<std::int64_t>(names) != two.prior_draws.dim(-1))
    throw ConfigurationError(fmt::format("GenerativeModel \"{}\": param_names must hold one name per parameter ({}); got {}",
                                         s.options.name, two.prior_draws.dim(-1), names));
  const auto shape = [](const Array& a) {
    std::string text = "(batch_size = " + std::to_string(a.dim(0));
    for (int i = 1; i < a.rank(); ++i) text += ", " + std::to_string(a.dim(i));
    return text + ")";
  };
  if (!two.prior_draws.empty()) s.say("Shape of parameter batch after 2 pilot simulations: " + shape(two.prior_draws));
  for (const Simulations::Further& f : two.further)
    s.say(fmt::format("Shape of {} after 2 pilot simulations: {}", f.name,
                      f.role == FieldRole::shared ? f.values.shape().to_string() : shape(f.values)));
  s.say("Shape of simulation batch after 2 pilot simulations: " + shape(two.sim_data));
  s.say_shape("prior non-batchable context", two.prior_non_batchable_context);
  s.say_shape("prior batchable context", two.prior_batchable_context);
  s.say_shape("simulation non-batchable context", two.sim_non_batchable_context);
  s.say_shape("simulation batchable context", two.sim_batchable_context);
}

const Prior& GenerativeModel::prior() const {
  if (!state_->prior) throw ConfigurationError("GenerativeModel::prior: this model is a batch function, and has no prior of its own");
  return *state_->prior;
}
const Simulator& GenerativeModel::simulator() const {
  if (!state_->simulator)
    throw ConfigurationError("GenerativeModel::simulator: this model is a batch function, and has no simulator of its own");
  return *state_->simulator;
}
const std::vector<std::string>& GenerativeModel::param_names() const { return state_->traits.param_names; }
const GenerativeModelOptions& GenerativeModel::options() const { return state_->options; }
const std::vector<std::string>& GenerativeModel::pilot_report() const { return state_->report; }
bool GenerativeModel::has_non_batchable_context() const { return state_->traits.one_context_per_batch; }
bool GenerativeModel::depends_on_batch() const { return state_->traits.depends_on_batch; }
bool GenerativeModel::is_reproducible() const { return state_->traits.reproducible; }
bool GenerativeModel::simulates_on_all_threads() const {
  if (state_->function) return state_->traits.all_threads;
  return !depends_on_batch() && state_->prior->options().thread_safe && state_->simulator->options().thread_safe;
}

Simulations GenerativeModel::make(const BatchRequest& request) const {
  const auto& [batch_size, streams, first_index, prior_context, sim_context, pool] = request;
  detail::require_batch("GenerativeModel", batch_size);
  if (state_->function) {
    try {
      return checked(state_->function(request), request);
    } catch (const Error&) {
      throw;
    } catch (...) {
      detail::rethrow_batch("generative model", batch_size, first_index);
    }
  }
  PriorDraws draws = state_->prior->draw(batch_size, streams.branch("prior"), first_index, pool, prior_context);
  SimulatedData data = state_->simulator->draw(draws.prior_draws, streams.branch("simulator"), first_index, pool, sim_context);
  return {std::move(draws.non_batchable_context), std::move(draws.batchable_context), std::move(draws.prior_draws),
          std::move(data.non_batchable_context),  std::move(data.batchable_context),  std::move(data.sim_data)};
}

Simulations GenerativeModel::operator()(std::int64_t batch_size) const {
  detail::require_batch("GenerativeModel", batch_size);
  State& s = *state_;
  const std::uint64_t first = s.next.fetch_add(static_cast<std::uint64_t>(batch_size));
  State::Calls& calls = s.calls.get([&s] { return std::make_unique<State::Calls>(s.options.threads); });
  if (simulates_on_all_threads()) return simulate(batch_size, s.options.seed, "model", first, &calls.pool);
  if (calls.one_at_a_time.is_mine())
    throw ConfigurationError(fmt::format(
        "GenerativeModel \"{}\": its own prior or simulator calls it; call another model, or the functions themselves", s.options.name));
  const std::lock_guard lock(calls.one_at_a_time);
  return simulate(batch_size, s.options.seed, "model", first, &calls.pool);
}

Simulations GenerativeModel::simulate(std::int64_t batch_size, std::uint64_t seed, std::string_view purpose, std::uint64_t first_index,
                                      ThreadPool* pool) const {
  Simulations out = make({batch_size, Rng(seed, purpose), first_index, {}, {}, pool});
  detail::require_finite("simulator", out.sim_data, &out.prior_draws, first_index);
  return out;
}

namespace {
constexpr std::uint64_t kMaxRedraws = 1000;
}

Simulations GenerativeModel::simulate(std::int64_t batch_size, std::uint64_t seed, std::string_view purpose, std::uint64_t first_index,
                                      ThreadPool* pool, const NonFinitePolicy& policy, NonFiniteCount& count) const {
  policy.validate();
  if (policy.action == NonFinite::refuse) {
    Simulations out = make({batch_size, Rng(seed, purpose), first_index, {}, {}, pool});
    detail::require_finite("simulator", out.sim_data, &out.prior_draws, first_index, policy.missing);
    count.simulated += batch_size;
    return out;
  }
  const Rng streams(seed, purpose);
  Simulations out = make({batch_size, streams, first_index, {}, {}, pool});
  count.simulated += batch_size;
  if (out.sim_data.all_finite()) return out;
  const auto finite = [&](std::span<const double> row) { return std::ranges::all_of(row, [&](double x) { return policy.allows(x); }); };
  const auto check_share = [&](std::uint64_t index) {
    const std::int64_t bad = count.dropped + count.redrawn;
    if (bad <= 10 || static_cast<double>(bad) <= policy.max_share * static_cast<double>(count.simulated)) return;
    throw SimulationError(fmt::format(
        "simulator: {} of {} simulations, the last of them number {}, were not finite: more than NonFinitePolicy::max_share = {}. What is "
        "learnt "
        "from the rest is the posterior given a finite simulation; mend the simulator or the prior, or raise max_share if this is meant",
        bad, count.simulated, index, policy.max_share));
  };
  std::vector<std::int64_t> good;
  for (std::int64_t i = 0; i < batch_size; ++i) {
    const std::uint64_t index = first_index + static_cast<std::uint64_t>(i);
    bool is_good = finite(out.sim_data.row_values(i));
    if (!is_good && policy.action == NonFinite::drop) {
      ++count.dropped;
      check_share(index);
    }
    for (std::uint64_t again = 1; !is_good && policy.action == NonFinite::redraw; ++again) {
      ++count.redrawn;
      check_share(index);
      if (again > kMaxRedraws)
        throw SimulationError(
            fmt::format("simulator: simulation {} was not finite in {} attempts; mend the simulator or the prior", index, again));
      const Simulations one = make(
          {1, streams.branch("redraw " + std::to_string(again)), index, out.prior_non_batchable_context, out.sim_non_batchable_context});
      ++count.simulated;
      if (!finite(one.sim_data.values())) continue;
      is_good = true;
      out.set_row(i, {&one, 0});
    }
    if (is_good) good.push_back(i);
  }
  return static_cast<std::int64_t>(good.size()) == batch_size ? out : out.take(good);
}

void NonFinitePolicy::validate() const { validate_described(*this, "NonFinitePolicy"); }

EnumNames<NonFinite> names_of(NonFinite) {
  return {{NonFinite::refuse, "refuse"}, {NonFinite::drop, "drop"}, {NonFinite::redraw, "redraw"}};
}

}  // namespace bayesflow
