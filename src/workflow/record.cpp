#include "workflow/record.hpp"

#include <limits>

namespace bayesflow::workflow {

io::Json json_of(const FitRecord& r) {
  io::Json trials = io::Json::array();
  for (const FitTrial& t : r.trials)
    trials.push_back({{"plan", io::OptionWriter::of(t.plan)}, {"log_score", t.log_score}, {"epochs", t.epochs}, {"seconds", t.seconds}});
  return {{"simulations", r.simulations},
          {"held_out", r.held_out},
          {"seed", r.seed},
          {"trials", trials},
          {"log_score", r.log_score},
          {"member_log_scores", r.member_log_scores},
          {"first_member", r.first_member},
          {"prior_log_score", r.prior_log_score},
          {"plan", io::OptionWriter::of(r.plan)},
          {"seconds", r.seconds}};
}

FitRecord record_from(const io::Json& json) {
  // A score that is not finite is null.
  const auto number = [](const io::Json& value) {
    return value.is_null() ? -std::numeric_limits<double>::infinity() : value.get<double>();
  };
  FitRecord out;
  out.simulations = io::integer<std::int64_t>(json.at("simulations"));
  out.held_out = io::integer<std::int64_t>(json.at("held_out"));
  out.seed = json.at("seed").get<std::uint64_t>();
  out.first_member = io::integer<std::int64_t>(json.at("first_member"));
  out.log_score = number(json.at("log_score"));
  out.prior_log_score = number(json.at("prior_log_score"));
  out.seconds = number(json.at("seconds"));
  for (const io::Json& score : json.at("member_log_scores")) out.member_log_scores.push_back(number(score));
  io::OptionReader::fill(out.plan, json.at("plan"), kLimits);
  for (const io::Json& trial : json.at("trials")) {
    FitTrial& t = out.trials.emplace_back();
    io::OptionReader::fill(t.plan, trial.at("plan"), kLimits);
    t.log_score = number(trial.at("log_score"));
    t.epochs = io::integer<std::int64_t>(trial.at("epochs"));
    t.seconds = number(trial.at("seconds"));
  }
  return out;
}

}  // namespace bayesflow::workflow
