#include "bayesflow/simulation/generative_model.hpp"

#include <fmt/format.h>

#include <mutex>
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

}  // namespace bayesflow
