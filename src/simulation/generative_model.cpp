#include "bayesflow/simulation/generative_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <span>
#include <string_view>

#include "bayesflow/core/errors.hpp"
#include "simulation/batch.hpp"

namespace bayesflow {

struct GenerativeModel::State {
  Prior prior;
  Simulator simulator;
  GenerativeModelOptions options;
  std::vector<std::string> report;
  std::atomic<std::uint64_t> next{0};
  std::mutex pool_mutex;  // a pool runs one section at a time
  std::unique_ptr<ThreadPool> pool;

  void say(std::string line) {
    if (options.logger) options.logger(LogLevel::info, line);
    report.push_back(std::move(line));
  }
  void say_shape(const char* what, const std::optional<Array>& context) {
    say(context ? fmt::format("Shape of {}: {}", what, context->shape().to_string()) : fmt::format("No optional {} provided.", what));
  }
};

GenerativeModel::GenerativeModel(Prior prior, Simulator simulator, GenerativeModelOptions options)
    : state_(new State{std::move(prior), std::move(simulator), std::move(options), {}, {}, {}, {}}) {
  State& s = *state_;
  if (s.options.skip_test) return;
  s.say(fmt::format("Performing 2 pilot runs with the {} model...", s.options.name));
  PriorDraws draws;
  SimulatedData data;
  const char* part = "prior";
  try {
    const Rng streams(s.options.seed, "pilot");
    draws = s.prior(2, streams.branch("prior"));
    part = "simulator";
    data = s.simulator(draws.prior_draws, streams.branch("simulator"));
  } catch (const std::exception& error) {
    throw ConfigurationError(
        fmt::format("GenerativeModel \"{}\": the {} failed in the pilot runs: {}", s.options.name, part, error.what()));
  }
  const std::size_t names = s.prior.param_names().size();
  if (names && static_cast<std::int64_t>(names) != draws.prior_draws.dim(-1))
    throw ConfigurationError(fmt::format("GenerativeModel \"{}\": param_names must hold one name per parameter ({}); got {}",
                                         s.options.name, draws.prior_draws.dim(-1), names));
  const auto shape = [](const Array& a) {
    std::string text = "(batch_size = " + std::to_string(a.dim(0));
    for (int i = 1; i < a.rank(); ++i) text += ", " + std::to_string(a.dim(i));
    return text + ")";
  };
  s.say("Shape of parameter batch after 2 pilot simulations: " + shape(draws.prior_draws));
  s.say("Shape of simulation batch after 2 pilot simulations: " + shape(data.sim_data));
  s.say_shape("prior non-batchable context", draws.non_batchable_context);
  s.say_shape("prior batchable context", draws.batchable_context);
  s.say_shape("simulation non-batchable context", data.non_batchable_context);
  s.say_shape("simulation batchable context", data.batchable_context);
}

const Prior& GenerativeModel::prior() const { return state_->prior; }
const Simulator& GenerativeModel::simulator() const { return state_->simulator; }
const std::vector<std::string>& GenerativeModel::param_names() const { return state_->prior.param_names(); }
const GenerativeModelOptions& GenerativeModel::options() const { return state_->options; }
const std::vector<std::string>& GenerativeModel::pilot_report() const { return state_->report; }

Simulations GenerativeModel::operator()(std::int64_t batch_size) const {
  detail::require_batch("GenerativeModel", batch_size);
  State& s = *state_;
  const std::uint64_t first = s.next.fetch_add(static_cast<std::uint64_t>(batch_size));
  const std::lock_guard lock(s.pool_mutex);
  if (!s.pool) s.pool = std::make_unique<ThreadPool>(s.options.threads);
  return simulate(batch_size, s.options.seed, "model", first, s.pool.get());
}

Simulations GenerativeModel::simulate(std::int64_t batch_size, std::uint64_t seed, std::string_view purpose, std::uint64_t first_index,
                                      ThreadPool* pool) const {
  detail::require_batch("GenerativeModel", batch_size);
  const Rng streams(seed, purpose);
  PriorDraws draws = state_->prior(batch_size, streams.branch("prior"), first_index, pool);
  SimulatedData data = state_->simulator(draws.prior_draws, streams.branch("simulator"), first_index, pool);
  return {std::move(draws.non_batchable_context), std::move(draws.batchable_context), std::move(draws.prior_draws),
          std::move(data.non_batchable_context),  std::move(data.batchable_context),  std::move(data.sim_data)};
}

namespace {
constexpr std::uint64_t kMaxRedraws = 1000;
}

Simulations GenerativeModel::simulate(std::int64_t batch_size, std::uint64_t seed, std::string_view purpose, std::uint64_t first_index,
                                      ThreadPool* pool, const NonFinitePolicy& policy, NonFiniteCount& count) const {
  policy.validate();
  if (policy.action == NonFinite::refuse) {
    Simulations out = simulate(batch_size, seed, purpose, first_index, pool);
    count.simulated += batch_size;
    return out;
  }
  detail::require_batch("GenerativeModel", batch_size);
  const Rng streams(seed, purpose);
  const auto attempt = [&](const Rng& from, std::int64_t size, std::uint64_t first, ThreadPool* on, const Simulations* fixed) {
    const std::optional<Array> none;
    PriorDraws draws = state_->prior.draw(size, from.branch("prior"), first, on, fixed ? fixed->prior_non_batchable_context : none);
    SimulatedData data =
        state_->simulator.draw(draws.prior_draws, from.branch("simulator"), first, on, fixed ? fixed->sim_non_batchable_context : none);
    count.simulated += size;
    return Simulations{std::move(draws.non_batchable_context), std::move(draws.batchable_context), std::move(draws.prior_draws),
                       std::move(data.non_batchable_context),  std::move(data.batchable_context),  std::move(data.sim_data)};
  };
  Simulations out = attempt(streams, batch_size, first_index, pool, nullptr);
  if (out.sim_data.all_finite()) return out;
  const auto finite = [](std::span<const double> row) { return std::ranges::all_of(row, [](double x) { return std::isfinite(x); }); };
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
      const Simulations one = attempt(streams.branch("redraw " + std::to_string(again)), 1, index, nullptr, &out);
      if (!finite(one.sim_data.values())) continue;
      is_good = true;
      out.prior_draws.set_row(i, one.prior_draws.row(0));
      out.sim_data.set_row(i, one.sim_data.row(0));
      if (out.prior_batchable_context) out.prior_batchable_context->set_row(i, one.prior_batchable_context->row(0));
      if (out.sim_batchable_context) out.sim_batchable_context->set_row(i, one.sim_batchable_context->row(0));
    }
    if (is_good) good.push_back(i);
  }
  return static_cast<std::int64_t>(good.size()) == batch_size ? out : out.take(good);
}

void NonFinitePolicy::validate() const {
  if (!(max_share >= 0 && max_share < 1))
    throw ConfigurationError(fmt::format("NonFinitePolicy::max_share = {}; it must be in [0, 1)", max_share));
}

}  // namespace bayesflow
