/// A trainer's state as a file. The layout is described in docs/training.md.
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "bayesflow/core/errors.hpp"
#include "io/archive.hpp"
#include "io/described_json.hpp"
#include "io/json_numbers.hpp"
#include "training/checkpoints.hpp"
#include "training/identity.hpp"
#include "training/run.hpp"
#include "training/seen_file.hpp"

namespace bayesflow::training {
namespace {

using Json = nlohmann::json;
// Version 1 had no names of loss terms: its losses are those of kFirstTerms. Versions 1 and 2 knew runs by a sentence, and no schedules.
constexpr io::Format kFormat{.kind = "checkpoint", .version = 3};
const std::vector<std::string> kFirstTerms = {"loss", "summary_loss", "weight_decay"};

// JSON has no infinities and no exact decimals by promise: numbers that must come back bit for bit go into arrays.
Json counters_to_json(const Counters& c) { return {c.simulated, c.validated, c.shuffled, c.steps}; }
Counters counters_from_json(const Json& j) {
  const auto [simulated, validated, shuffled, steps] = io::integers<std::uint64_t, 4>(j);
  return {simulated, validated, shuffled, steps};
}

/// The terms of a run's losses; none before its first step.
LossTerms::Names terms_of(const History& history) {
  return history.steps.empty() ? std::make_shared<const std::vector<std::string>>() : history.steps.front().losses.names();
}

/// A step is a row of `step_columns` numbers: the terms, the learning rate, the norm of the gradient. An epoch is one of `epoch_columns`:
/// the terms in training, 1 if there was a validation, the terms in validation, the number of steps, seconds.
std::size_t step_columns(const LossTerms::Names& terms) { return terms->size() + 2; }
std::size_t epoch_columns(const LossTerms::Names& terms) { return 2 * terms->size() + 3; }

/// Appends the values of `terms`; zeros if nothing has been measured.
void append(std::vector<double>& row, const LossTerms::Names& terms, const LossTerms& losses) {
  for (std::size_t i = 0; i < terms->size(); ++i) row.push_back(losses.size() ? losses.value(i) : 0.0);
}
LossTerms terms_from(const LossTerms::Names& terms, const double* values) {
  LossTerms out(terms);
  for (std::size_t i = 0; i < out.size(); ++i) out.set(i, values[i]);
  return out;
}

void append(std::vector<double>& rows, const LossTerms::Names& terms, const EpochRecord& e) {
  append(rows, terms, e.train);
  rows.push_back(e.validated ? 1.0 : 0.0);
  append(rows, terms, e.validation);
  rows.insert(rows.end(), {static_cast<double>(e.steps), e.seconds});
}
EpochRecord epoch_from(const io::ArchiveReader& in, const std::string& path, const LossTerms::Names& terms, const double* row) {
  const double* after = row + terms->size();
  const double steps = after[1 + terms->size()];
  if (!(steps >= 0 && steps < 9007199254740992.0)) in.refuse(path, fmt::format("holds an epoch of {} steps", steps));  // 2^53, or NaN
  return {terms_from(terms, row), after[0] != 0, terms_from(terms, after + 1), static_cast<std::int64_t>(steps), after[2 + terms->size()]};
}

Json summary_to_json(const TrainingSummary& t) {
  return {{"call", t.call},
          {"settings", t.settings.empty() ? Json() : Json::parse(t.settings)},
          {"identity", t.identity},
          {"loss_terms", *terms_of(t.history)},
          {"stop", static_cast<int>(t.stop)},
          {"reason", t.reason},
          {"warnings", t.warnings},
          {"simulations", t.simulations},
          {"dropped", t.dropped},
          {"redrawn", t.redrawn},
          {"resumed", t.resumed},
          {"checkpoint", t.checkpoint},
          {"kept_epoch", t.kept_epoch},
          {"seconds", {t.seconds, t.simulate_seconds, t.gradient_seconds, t.update_seconds, t.validate_seconds}},
          {"seed", t.seed},
          {"threads", t.threads},
          {"instruction_set", t.instruction_set}};
}

TrainingSummary summary_from_json(const io::ArchiveReader& in, const Json& j) {
  TrainingSummary t;
  t.call = j.at("call");
  if (in.format_version() > 2 && !j.at("settings").is_null()) {
    const Identity identity = identify(j.at("settings"));
    if (identity.hash != j.at("identity")) in.refuse("a summary", "has settings of another hash than it says");
    t.settings = identity.settings;
    t.identity = identity.hash;
  }
  const auto stop = io::integer<int>(j.at("stop"));
  if (stop < 0 || stop > static_cast<int>(TrainingSummary::Stop::plateau))
    in.refuse("a summary", fmt::format("ends for the unknown reason {}", stop));
  t.stop = static_cast<TrainingSummary::Stop>(stop);
  t.reason = j.at("reason");
  t.warnings = j.at("warnings").get<std::vector<std::string>>();
  t.simulations = io::integer<std::int64_t>(j.at("simulations"));
  t.dropped = io::integer<std::int64_t>(j.at("dropped"));
  t.redrawn = io::integer<std::int64_t>(j.at("redrawn"));
  t.resumed = io::integer<std::int64_t>(j.at("resumed"));
  t.checkpoint = j.at("checkpoint");
  if (j.contains("kept_epoch")) t.kept_epoch = io::integer<std::int64_t>(j.at("kept_epoch"));  // absent in older files
  const auto seconds = j.at("seconds").get<std::array<double, 5>>();
  t.seconds = seconds[0];
  t.simulate_seconds = seconds[1];
  t.gradient_seconds = seconds[2];
  t.update_seconds = seconds[3];
  t.validate_seconds = seconds[4];
  t.seed = io::integer<std::uint64_t>(j.at("seed"));
  t.threads = io::integer<int>(j.at("threads"));
  t.instruction_set = j.at("instruction_set");
  return t;
}

void put_text(io::ArchiveWriter& out, const std::string& path, const std::string& text) {
  out.array(path, {static_cast<std::int64_t>(text.size())}, std::vector<std::uint8_t>(text.begin(), text.end()));
}
std::string get_text(const io::ArchiveReader& in, const std::string& path) {
  const auto bytes = in.array<std::uint8_t>(path);
  return {bytes.begin(), bytes.end()};
}

void put_summary(io::ArchiveWriter& out, const std::string& group, const TrainingSummary& t) {
  put_text(out, group + "/summary", summary_to_json(t).dump(-1, ' ', false, Json::error_handler_t::replace));
  const LossTerms::Names terms = terms_of(t.history);
  std::vector<double> rows;
  rows.reserve(t.history.steps.size() * step_columns(terms));
  for (const StepRecord& s : t.history.steps) {
    append(rows, terms, s.losses);
    rows.insert(rows.end(), {s.learning_rate, s.gradient_norm});
  }
  out.array(group + "/steps", {static_cast<std::int64_t>(t.history.steps.size()), static_cast<std::int64_t>(step_columns(terms))},
            std::move(rows));
  std::vector<double> epochs;
  for (const EpochRecord& e : t.history.epochs) append(epochs, terms, e);
  out.array(group + "/epochs", {static_cast<std::int64_t>(t.history.epochs.size()), static_cast<std::int64_t>(epoch_columns(terms))},
            std::move(epochs));
  out.array(group + "/convergence", {2}, std::vector<double>{t.convergence.gain_per_doubling, t.convergence.standard_error});
  put_text(out, group + "/convergence_sentence", t.convergence.sentence);
}

/// `terms` gets the names of the run's loss terms.
TrainingSummary get_summary(const io::ArchiveReader& in, const std::string& group, LossTerms::Names& terms) {
  const Json json = io::parse_json(get_text(in, group + "/summary"));
  TrainingSummary t = summary_from_json(in, json);
  auto names = in.format_version() == 1 ? kFirstTerms : json.at("loss_terms").get<std::vector<std::string>>();
  if (names.size() > LossTerms::kMost) in.refuse(group + "/summary", fmt::format("names {} loss terms", names.size()));
  terms = std::make_shared<const std::vector<std::string>>(std::move(names));
  const auto steps = in.array<double>(group + "/steps"), epochs = in.array<double>(group + "/epochs");
  const std::size_t n = terms->size(), of_step = step_columns(terms), of_epoch = epoch_columns(terms);
  if (steps.size() % of_step != 0 || epochs.size() % of_epoch != 0)
    in.refuse(group, "holds losses of another number of terms than it names");
  for (std::size_t i = 0; i < steps.size(); i += of_step)
    t.history.steps.push_back({terms_from(terms, &steps[i]), steps[i + n], steps[i + n + 1]});
  for (std::size_t i = 0; i < epochs.size(); i += of_epoch)
    t.history.epochs.push_back(epoch_from(in, group + "/epochs", terms, &epochs[i]));
  if (in.has(group + "/convergence")) {  // absent in older files
    const auto numbers = in.array<double>(group + "/convergence");
    if (numbers.size() != 2) in.refuse(group + "/convergence", "does not hold 2 numbers");
    t.convergence = {numbers[0], numbers[1], get_text(in, group + "/convergence_sentence")};
  }
  return t;
}

template <class T>
void put(io::ArchiveWriter& out, const std::string& path, const std::vector<T>& values) {
  out.array(path, {static_cast<std::int64_t>(values.size())}, std::span<const T>(values));
}

void put_run(io::ArchiveWriter& out, const Run& run) {
  put_summary(out, "unfinished", run.summary);
  put_text(out, "unfinished/position",
           Json({{"first", counters_to_json(run.first)},
                 {"optimizer_first", run.optimizer_first},
                 {"keeps_optimizer", run.keeps_optimizer},
                 {"nonfinite", {run.nonfinite.simulated, run.nonfinite.dropped, run.nonfinite.redrawn}},
                 {"epoch", run.epoch},
                 {"step", run.step},
                 {"best", {{"step", run.best.step}, {"count", run.best.count}}},
                 {"best_epoch", run.best_epoch.epoch},
                 {"without_improvement", run.stopper.without_improvement},
                 {"adjuster",
                  {run.adjuster.seen, run.adjuster.next_fit, run.adjuster.plateau, run.adjuster.resets, run.adjuster.stopping ? 1 : 0}}})
               .dump(-1, ' ', false, Json::error_handler_t::replace));
  out.array("unfinished/numbers", {6},
            std::vector<double>{run.best.loss, run.best.sum, run.best_epoch.loss, run.stopper.reference, run.adjuster.factor,
                                run.adjuster.slope});
  std::vector<double> epoch;
  append(epoch, terms_of(run.summary.history), run.record);
  const auto columns = static_cast<std::int64_t>(epoch.size());
  out.array("unfinished/epoch", {columns}, std::move(epoch));
  put(out, "unfinished/best_weights", run.best.values);
  put(out, "unfinished/best_epoch_weights", run.best_epoch.values);
  put(out, "unfinished/adjuster_losses", run.adjuster.losses);
  for (std::size_t i = 0; i < run.marks.averages.size(); ++i) {
    const WeightMarks::Average& a = run.marks.averages[i];
    out.array(fmt::format("unfinished/marks/{}/step", i), {1}, std::vector<std::int64_t>{a.step});
    put(out, fmt::format("unfinished/marks/{}/values", i), a.values);
  }
}

Run get_run(const io::ArchiveReader& in) {
  Run run;
  LossTerms::Names terms;
  run.summary = get_summary(in, "unfinished", terms);
  const Json j = io::parse_json(get_text(in, "unfinished/position"));
  run.first = counters_from_json(j.at("first"));
  run.optimizer_first = io::integer<std::int64_t>(j.at("optimizer_first"));
  run.keeps_optimizer = j.at("keeps_optimizer");
  const auto bad = io::integers<std::int64_t, 3>(j.at("nonfinite"));
  run.nonfinite = {bad[0], bad[1], bad[2]};
  run.epoch = io::integer<std::int64_t>(j.at("epoch"));
  run.step = io::integer<std::int64_t>(j.at("step"));
  run.best.step = io::integer<std::int64_t>(j.at("best").at("step"));
  run.best.count = io::integer<std::int64_t>(j.at("best").at("count"));
  run.best_epoch.epoch = io::integer<std::int64_t>(j.at("best_epoch"));
  run.stopper.without_improvement = io::integer<std::int64_t>(j.at("without_improvement"));
  const auto adjuster = io::integers<std::int64_t, 5>(j.at("adjuster"));
  run.adjuster.seen = adjuster[0];
  run.adjuster.next_fit = adjuster[1];
  run.adjuster.plateau = adjuster[2];
  run.adjuster.resets = adjuster[3];
  run.adjuster.stopping = adjuster[4] != 0;
  const auto numbers = in.array<double>("unfinished/numbers");
  if (numbers.size() != 6) in.refuse("unfinished/numbers", "does not hold 6 numbers");
  run.best.loss = numbers[0];
  run.best.sum = numbers[1];
  run.best_epoch.loss = numbers[2];
  run.stopper.reference = numbers[3];
  run.adjuster.factor = numbers[4];
  run.adjuster.slope = numbers[5];
  const auto epoch = in.array<double>("unfinished/epoch");
  if (epoch.size() != epoch_columns(terms)) in.refuse("unfinished/epoch", fmt::format("does not hold {} numbers", epoch_columns(terms)));
  run.record = epoch_from(in, "unfinished/epoch", terms, epoch.data());
  run.best.values = in.array<float>("unfinished/best_weights");
  run.best_epoch.values = in.array<float>("unfinished/best_epoch_weights");
  run.adjuster.losses = in.array<double>("unfinished/adjuster_losses");
  for (std::size_t i = 0; i < run.marks.averages.size() && in.has(fmt::format("unfinished/marks/{}/step", i)); ++i) {
    const auto step = in.array<std::int64_t>(fmt::format("unfinished/marks/{}/step", i));
    if (step.size() != 1) in.refuse("unfinished/marks", "does not hold a step");
    run.marks.averages[i] = {step[0], in.array<float>(fmt::format("unfinished/marks/{}/values", i))};
  }
  return run;
}

/// All batches one after the other in one array; `layout` tells roles and shapes.
void put_replay(io::ArchiveWriter& out, const std::deque<ReplayBuffer::Stored>& batches) {
  Json layout = Json::array();
  std::vector<float> values;
  for (const auto& batch : batches) {
    Json entries = Json::array();
    for (const auto& [role, block] : batch->entries()) {
      entries.push_back({role.str(), std::vector<std::int64_t>(block.shape().begin(), block.shape().end())});
      values.insert(values.end(), block.values().begin(), block.values().end());
    }
    layout.push_back(std::move(entries));
  }
  put_text(out, "replay/layout", layout.dump(-1, ' ', false, Json::error_handler_t::replace));
  out.array("replay/numbers", {static_cast<std::int64_t>(values.size())}, std::move(values));
}

/// As format 1 wrote it: doubles, and for each batch the rank (-1: absent) and extents of three roles.
std::deque<ReplayBuffer::Stored> get_first_replay(const io::ArchiveReader& in) {
  const auto shapes = in.array<std::int64_t>("replay/shapes");
  const auto values = in.array<double>("replay/values");
  std::deque<ReplayBuffer::Stored> out;
  std::size_t s = 0, v = 0;
  const auto next = [&]() -> Block {
    if (s >= shapes.size()) in.refuse("replay/shapes", "ends within a batch");
    const std::int64_t rank = shapes[s++];
    if (rank < 0) return {};
    if (rank > Shape::kMaxRank || s + static_cast<std::size_t>(rank) > shapes.size())
      in.refuse("replay/shapes", "holds an impossible rank");
    Shape shape;
    for (std::int64_t i = 0; i < rank; ++i) shape.push_back(shapes[s++]);
    const auto count = static_cast<std::size_t>(shape.size());
    if (count > values.size() - v) in.refuse("replay/values", "is too short for its shapes");
    v += count;
    return Array(shape, std::span<const double>(values).subspan(v - count, count));
  };
  while (s < shapes.size()) {
    Batch batch;
    for (const char* role : {roles::parameters, roles::summary_conditions, roles::direct_conditions}) batch.set(role, next());
    out.push_back(std::make_shared<const Batch>(std::move(batch)));
  }
  return out;
}

std::deque<ReplayBuffer::Stored> get_replay(const io::ArchiveReader& in) {
  if (in.format_version() == 1) return get_first_replay(in);
  const auto values = in.array<float>("replay/numbers");
  std::deque<ReplayBuffer::Stored> out;
  std::size_t used = 0;
  for (const Json& entries : io::parse_json(get_text(in, "replay/layout"))) {
    Batch batch;
    for (const Json& entry : entries) {
      Shape shape;
      for (const std::int64_t extent : io::integers<std::int64_t>(entry.at(1))) shape.push_back(extent);
      const auto count = static_cast<std::size_t>(shape.size());
      if (count > values.size() - used) in.refuse("replay/numbers", "is too short for its shapes");
      batch.set(entry.at(0).get<std::string>(), Block(shape, std::span<const float>(values).subspan(used, count)));
      used += count;
    }
    out.push_back(std::make_shared<const Batch>(std::move(batch)));
  }
  return out;
}

Json table_to_json(const std::vector<nn::ParameterInfo>& table) {
  Json out = Json::array();
  for (const nn::ParameterInfo& p : table)
    out.push_back({{"name", p.name}, {"shape", std::vector<std::int64_t>(p.shape.begin(), p.shape.end())}, {"offset", p.offset}});
  return out;
}

std::vector<nn::ParameterInfo> table_from_json(const Json& j) {
  std::vector<nn::ParameterInfo> out;
  for (const Json& row : j) {
    nn::ParameterInfo p;
    p.name = row.at("name");
    for (const std::int64_t extent : io::integers<std::int64_t>(row.at("shape"))) p.shape.push_back(extent);
    p.offset = io::integer<std::int64_t>(row.at("offset"));
    out.push_back(std::move(p));
  }
  return out;
}

}  // namespace

void write_snapshot(const Snapshot& s, const std::filesystem::path& file) {
  io::ArchiveWriter out(kFormat);
  out.attribute("seed", s.seed);
  Json buffers = Json::array();
  for (const nn::Buffer& b : s.buffers) buffers.push_back(b.name);
  const Json state = {{"table", table_to_json(s.table)},          {"buffers", buffers},
                      {"counters", counters_to_json(s.counters)}, {"runs", s.runs.size()},
                      {"unfinished", s.unfinished.has_value()},   {"adapters", s.adapters.size()}};
  put_text(out, "state", state.dump(-1, ' ', false, Json::error_handler_t::replace));
  put(out, "weights", s.weights);
  for (std::size_t i = 0; i < s.buffers.size(); ++i) {
    put(out, fmt::format("buffers/{:06}/integers", i), s.buffers[i].integers);
    put(out, fmt::format("buffers/{:06}/floats", i), s.buffers[i].floats);
  }
  if (s.optimizer) {
    const nn::OptimizerOptions& o = s.optimizer->options;
    out.array("optimizer/options", {7},
              std::vector<double>{static_cast<double>(o.kind), o.beta1, o.beta2, o.epsilon, o.weight_decay, o.momentum, o.global_clipnorm});
    out.array("optimizer/steps", {2}, std::vector<std::int64_t>{s.optimizer->steps, o.learning_rate ? 1 : 0});
    put_text(out, "optimizer/described", io::OptionWriter::of(o).dump());
    put(out, "optimizer/first_moments", s.optimizer->first);
    put(out, "optimizer/second_moments", s.optimizer->second);
  }
  for (std::size_t i = 0; i < s.runs.size(); ++i) put_summary(out, fmt::format("runs/{:06}", i), s.runs[i]);
  if (s.unfinished) put_run(out, *s.unfinished);
  put_replay(out, s.replay);
  write_seen(out, s.seen);
  for (std::size_t i = 0; i < s.adapters.size(); ++i)
    if (!s.adapters[i].empty()) put_text(out, fmt::format("adapters/{:06}", i), s.adapters[i]);
  out.commit(file);
}

Snapshot read_snapshot(const std::filesystem::path& file) {
  const io::ArchiveReader in(file, kFormat);
  try {
    Snapshot s;
    s.seed = in.attribute<std::uint64_t>("seed");
    const Json state = io::parse_json(get_text(in, "state"));
    s.table = table_from_json(state.at("table"));
    s.counters = counters_from_json(state.at("counters"));
    s.weights = in.array<float>("weights");
    for (const Json& name : state.at("buffers")) {
      const std::string group = fmt::format("buffers/{:06}", s.buffers.size());
      s.buffers.push_back({name, in.array<std::int32_t>(group + "/integers"), in.array<float>(group + "/floats")});
    }
    if (in.has("optimizer/options")) {
      const auto o = in.array<double>("optimizer/options");
      const auto steps = in.array<std::int64_t>("optimizer/steps");
      if (o.size() != 7 || steps.size() != 2 || !(o[0] >= 0 && o[0] <= 2)) in.refuse("optimizer/options", "does not describe an optimizer");
      OptimizerState& optimizer = s.optimizer.emplace();
      optimizer.options = {static_cast<nn::OptimizerKind>(static_cast<int>(o[0])), {}, o[1], o[2], o[3], o[4], o[5], o[6]};
      // Former versions stored no schedule, but that there was one.
      if (in.format_version() > 2)
        io::OptionReader::fill(optimizer.options, io::parse_json(get_text(in, "optimizer/described")),
                               {.max_count = std::numeric_limits<std::int64_t>::max(), .max_width = 0});
      else if (steps[1])
        optimizer.options.learning_rate = nn::Schedule(nn::ScheduleOptions{.kind = nn::ScheduleKind::own});
      optimizer.steps = steps[0];
      optimizer.first = in.array<float>("optimizer/first_moments");
      optimizer.second = in.array<float>("optimizer/second_moments");
    }
    const auto runs = io::integer<std::size_t>(state.at("runs"));
    for (std::size_t i = 0; i < runs; ++i) {
      LossTerms::Names terms;
      s.runs.push_back(get_summary(in, fmt::format("runs/{:06}", i), terms));
    }
    if (state.at("unfinished").get<bool>()) s.unfinished = get_run(in);
    s.replay = get_replay(in);
    s.seen = read_seen(in).value_or(SeenData());
    const auto adapters = state.contains("adapters") ? io::integer<std::size_t>(state.at("adapters")) : 0;
    for (std::size_t i = 0; i < adapters; ++i) {
      const std::string path = fmt::format("adapters/{:06}", i);
      s.adapters.push_back(in.has(path) ? get_text(in, path) : std::string());
    }
    return s;
  } catch (const IoError&) {
    throw;
  } catch (const std::exception& error) {
    in.refuse("its description", error.what());
  }
}

}  // namespace bayesflow::training
