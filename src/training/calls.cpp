#include "training/calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "io/checksum.hpp"

namespace bayesflow::training {

void CallCheck::at_least_one(std::int64_t value, const char* name) const {
  if (value < 1) throw ConfigurationError(fmt::format("{}::{} = {}; it must be at least 1", options, name, value));
}

void CallCheck::countable(std::int64_t a, const char* a_name, std::int64_t b, const char* b_name, std::int64_t simulations) const {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const bool steps = a <= kMost / b;
  if (!steps || a * b > kMost / simulations)
    throw ConfigurationError(fmt::format("{}: {} {} of {} {} are more {} than can be counted; use fewer", options, a, a_name, b, b_name,
                                         steps ? "simulations" : "steps"));
}

std::string complete_call(const TrainerState& state, std::string call, const RunSettings& s) {
  if (const auto* given = std::get_if<Simulations>(&s.validation_sims))
    call += fmt::format(", validation_sims = {} with checksum {:016x}", given->prior_draws.rank() ? given->batch_size() : 0,
                        state.checkpoints ? checksum(*given) : 0);
  else
    call += fmt::format(", validation_sims = {}", std::get<std::int64_t>(s.validation_sims));
  if (s.optimizer) {
    const nn::OptimizerOptions& o = *s.optimizer;
    const char* kinds[] = {"adam", "adamw", "sgd"};
    call += fmt::format(", optimizer = {}(beta1 = {}, beta2 = {}, epsilon = {}, weight_decay = {}, momentum = {}, global_clipnorm = {}",
                        kinds[static_cast<int>(o.kind)], o.beta1, o.beta2, o.epsilon, o.weight_decay, o.momentum, o.global_clipnorm);
    // A schedule is any callable: it is told by its values.
    if (o.learning_rate)
      call += fmt::format(", learning_rate = {} ... {} ... {}", o.learning_rate(0), o.learning_rate(100), o.learning_rate(10'000));
    call += ")";
  }
  if (!s.optimizer || !s.optimizer->learning_rate) call += fmt::format(", default_lr = {}", state.options.default_lr);
  if (s.reuse_optimizer) call += ", reuse_optimizer = true";
  if (s.early_stopping)
    call += fmt::format(", early_stopping = (patience = {}, min_improvement = {})", s.early_stopping->patience,
                        s.early_stopping->min_improvement);
  if (s.lr_adjuster) {
    const LRAdjusterOptions& a = *s.lr_adjuster;
    call += fmt::format(
        ", lr_adjuster = (period = {}, wait_between_fits = {}, patience = {}, tolerance = {}, reduction_factor = {}, cooldown_factor = {}, "
        "num_resets = {})",
        a.period, a.wait_between_fits, a.patience, a.tolerance, a.reduction_factor, a.cooldown_factor, a.num_resets);
  }
  return call + ")";
}

Dataset finite_dataset(const std::vector<Simulations>& parts, const char* what, const TrainerOptions& options, NonFiniteCount& bad,
                       std::string& first_bad) {
  if (parts.empty()) throw ConfigurationError("Trainer: there are no simulations to train on");
  Dataset data;
  for (const Simulations& given : parts) {
    {
      Dataset shapes_are_right;
      shapes_are_right.add(given);
    }
    const auto where = [&, before = bad.simulated](std::int64_t row) { return fmt::format("simulation {} of {}", before + row, what); };
    Simulations part = finite_rows(given, options.nonfinite, bad, where, first_bad);
    if (part.batch_size() > 0) data.add(std::move(part));
  }
  if (static_cast<double>(bad.dropped) > options.nonfinite.max_share * static_cast<double>(bad.simulated) || data.size() == 0)
    throw SimulationError(fmt::format(
        "Trainer: {} of {} given simulations are not finite, while NonFinitePolicy::max_share is {}; mend the data, or allow more. "
        "The first: {}",
        bad.dropped, bad.simulated, options.nonfinite.max_share, first_bad));
  return data;
}

Simulations finite_part(const Simulations& part, const char* what, const TrainerOptions& options, NonFiniteCount& bad,
                        std::string& first_bad) {
  if (part.prior_draws.empty() && part.further.empty()) return part;
  return finite_dataset({part}, what, options, bad, first_bad).parts().front();
}

Simulations hold_out(Dataset& data, const OfflineOptions& o, std::uint64_t seed) {
  const auto fail = [&](const std::string& why) {
    throw ConfigurationError(fmt::format("OfflineOptions::validation_split = {}; {}", o.validation_split, why));
  };
  const std::int64_t rows = data.size(), held = std::llround(o.validation_split * static_cast<double>(rows));
  if (!(o.validation_split > 0 && o.validation_split < 1)) fail("it must be at least 0 and below 1");
  const auto* count = std::get_if<std::int64_t>(&o.validation_sims);
  if (!count || *count != 0) fail("with validation_sims there is no need of it: leave one of them out");
  if (data.groups().size() > 1)
    fail("parts with contexts of their own cannot be split: hold simulations back, and give them as validation_sims");
  if (held < 1 || held >= rows) fail(fmt::format("of {} simulations {} would be held out; give more, or another share", rows, held));
  Rng rng(seed, "validation split");
  const std::vector<std::int64_t> order = rng.permutation(rows);
  const auto gather = [&](std::int64_t from, std::int64_t to) {
    std::vector<std::int64_t> chosen(order.begin() + from, order.begin() + to);
    std::sort(chosen.begin(), chosen.end());
    return data.gather(0, chosen);
  };
  Simulations validation = gather(0, held), training = gather(held, rows);
  data = Dataset();
  data.add(std::move(training));
  return validation;
}

Simulations two_of(const Dataset& data) { return data.first(2); }

std::uint64_t checksum(const Simulations& simulations, std::uint64_t seed) {
  io::Xxh64 sum(seed);
  simulations.for_each([&](std::string_view name, FieldRole, const Array& values) {
    sum.update(std::as_bytes(std::span(name.data(), name.size())));
    for (const std::int64_t extent : values.shape()) sum.update(io::bytes_of(extent));
    sum.update(std::as_bytes(values.values()));
  });
  return sum.digest();
}

std::uint64_t checksum(const Dataset& data) {
  std::uint64_t sum = 0;
  for (const Simulations& part : data.parts()) sum = checksum(part, sum);
  return sum;
}

}  // namespace bayesflow::training
