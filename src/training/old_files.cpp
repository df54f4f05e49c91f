/// The sentence by which files of formats 1 and 2 knew a run. Its words never change.
#include <fmt/format.h>

#include <map>
#include <vector>

#include "bayesflow/nn/schedule.hpp"
#include "io/described_json.hpp"
#include "training/identity.hpp"

namespace bayesflow::training {
namespace {

using Json = nlohmann::json;

std::string number(const Json& value) { return value.is_number_float() ? fmt::format("{}", value.get<double>()) : value.dump(); }

/// "a = 1, b = 2" of these fields.
std::string fields(const Json& from, const std::vector<const char*>& names) {
  std::string out;
  for (const char* name : names) out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", name, number(from.at(name)));
  return out;
}

std::string file(const Json& of) {
  return fmt::format("{} of model \"{}\" with seed {}", number(of.at("simulations")), of.at("model").get<std::string>(),
                     number(of.at("seed")));
}

std::string with_checksum(const Json& data) {
  return fmt::format("{} with checksum {}", number(data.at("simulations")), data.at("checksum").get<std::string>());
}

/// The function, its data and its own options.
std::string beginning(const Json& settings) {
  const std::string function = settings.at("function");
  const Json &options = settings.at("options"), &data = settings.at("data");
  std::string out = function + "(";
  if (function == "train_online") return out + fields(options, {"epochs", "iterations_per_epoch", "batch_size"});
  if (function == "train_experience_replay")
    return out + fields(options, {"epochs", "iterations_per_epoch", "batch_size", "buffer_capacity"});
  if (function == "train_rounds") return out + fields(options, {"rounds", "sim_per_round", "epochs", "batch_size"});
  if (function == "train_offline") {
    out += data.contains("file") ? "file = " + file(data.at("file")) : "simulations = " + with_checksum(data);
    out += ", " + fields(options, {"epochs", "batch_size"});
    return options.contains("buffer_bytes") ? out + ", " + fields(options, {"buffer_bytes"}) : out;
  }
  std::string files;
  for (const Json& f : data.at("files")) {
    files += fmt::format("{}\"{}\"", files.empty() ? "" : ", ", f.at("name").get<std::string>());
    if (f.contains("simulations")) files += ": " + file(f);
  }
  return out + fmt::format("files = [{}], ", files) + fields(data, {"epochs"}) + ", " + fields(options, {"batch_size"});
}

std::string optimizer(const Json& o) {
  std::string out = fmt::format(", optimizer = {}(", o.at("kind").get<std::string>()) +
                    fields(o, {"beta1", "beta2", "epsilon", "weight_decay", "momentum", "global_clipnorm"});
  if (const Json& rate = o.at("learning_rate"); !rate.is_null()) {
    nn::ScheduleOptions schedule;
    io::OptionReader::fill(schedule, rate, {.max_count = std::numeric_limits<std::int64_t>::max(), .max_width = 0});
    const auto at = [&](std::int64_t step, std::size_t sampled) {
      return schedule.kind == nn::ScheduleKind::own ? schedule.rates.at(sampled) : nn::Schedule(schedule)(step);
    };
    out += fmt::format(", learning_rate = {} ... {} ... {}", at(0, 0), at(100, 3), at(10'000, 5));
  }
  return out + ")";
}

}  // namespace

std::string sentence_of_old_files(const Json& settings) {
  const Json &options = settings.at("options"), &data = settings.at("data");

  std::string out = beginning(settings) + ", validation_sims = ";
  if (data.contains("validation"))
    out += with_checksum(data.at("validation"));
  else
    out += options.contains("validation_sims") ? number(options.at("validation_sims")) : "0";
  const Json& o = options.at("optimizer");
  if (!o.is_null()) out += optimizer(o);
  if (o.is_null() || o.at("learning_rate").is_null()) out += ", " + fields(settings.at("trainer"), {"default_lr"});
  if (options.at("reuse_optimizer").get<bool>()) out += ", reuse_optimizer = true";
  if (const Json& e = options.at("early_stopping"); !e.is_null())
    out += fmt::format(", early_stopping = ({})", fields(e, {"patience", "min_improvement"}));
  if (const Json& a = options.at("lr_adjuster"); !a.is_null())
    out += fmt::format(", lr_adjuster = ({})", fields(a, {"period", "wait_between_fits", "patience", "tolerance", "reduction_factor",
                                                          "cooldown_factor", "num_resets"}));
  if (options.contains("validation_split")) out += ", " + fields(options, {"validation_split"});
  return out + ")";
}

}  // namespace bayesflow::training
