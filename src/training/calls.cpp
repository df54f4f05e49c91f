#include "training/calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "io/checksum.hpp"

namespace bayesflow::training {

using Json = nlohmann::json;

namespace {

Json counted(std::int64_t simulations, std::uint64_t checksum) {
  return {{"simulations", simulations}, {"checksum", fmt::format("{:016x}", checksum)}};
}

/// Data of another checkpoint, or of another rank, are told by them.
bool needs_checksums(const TrainerState& state) { return state.keeps_checkpoints || state.ranks; }

/// How an item of `data` reads in the text of a call.
std::string text_of(const Json& data) {
  if (data.is_array()) return fmt::format("{} files", data.size());
  if (data.is_object() && data.contains("simulations")) return fmt::format("{} simulations", data.at("simulations").dump());
  return data.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void require_countable(const char* options, std::int64_t a, const char* a_name, std::int64_t b, const char* b_name,
                       std::int64_t simulations) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const bool steps = a <= kMost / b;
  if (!steps || a * b > kMost / simulations)
    throw ConfigurationError(fmt::format("{}: {} {} of {} {} are more {} than can be counted; use fewer", options, a, a_name, b, b_name,
                                         steps ? "simulations" : "steps"));
}

Json describe_data(const TrainerState& state, const Dataset& data) {
  return counted(data.size(), needs_checksums(state) ? checksum(data) : 0);
}

RunSettings run_settings(const TrainerState& state, const std::string& function, Json options, Json data, RunOptions run,
                         const std::string& text) {
  if (const auto* given = std::get_if<Simulations>(&run.validation_sims))
    data["validation"] = counted(given->prior_draws.rank() ? given->batch_size() : 0, needs_checksums(state) ? checksum(*given) : 0);
  std::string call;
  for (const auto& [name, item] : data.items())
    if (name != "checksum") call += fmt::format("{} = {}, ", name, text_of(item));
  Json trainer = io::OptionWriter::of_result(state.options);
  if (run.optimizer && run.optimizer->learning_rate) trainer.erase("default_lr");  // it is not used
  const std::string architecture = state.trainable->architecture();
  const Identity identity = identify({{"function", function},
                                      {"options", std::move(options)},
                                      {"data", std::move(data)},
                                      {"trainer", std::move(trainer)},
                                      {"architecture", architecture.empty() ? Json() : Json::parse(architecture)}});
  return {
      .call = fmt::format("{}({}{})", function, call, text), .identity = identity, .run = std::move(run), .given = {}, .first_given = {}};
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
  const auto* count = std::get_if<std::int64_t>(&o.run.validation_sims);
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
