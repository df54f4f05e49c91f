#include "training/file_sources.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "bayesflow/core/errors.hpp"
#include "training/calls.hpp"

namespace bayesflow::training {
namespace {

bool digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

std::int64_t batches_of(const SimulationStore& store, std::int64_t batch_size) {
  const auto cut = [batch_size](std::int64_t rows) { return (rows + batch_size - 1) / batch_size; };
  if (!store.info().one_context_per_batch) return cut(store.size());
  std::int64_t n = 0;
  for (std::int64_t b = 0; b < store.batches(); ++b) n += cut(store.rows(b));
  return n;
}

Dataset dataset(std::vector<Simulations> parts) {
  Dataset out;
  for (Simulations& part : parts) out.add(std::move(part));
  return out;
}

}  // namespace

Simulations FiniteRows::operator()(Simulations s, const std::filesystem::path& file) {
  std::string ignored;
  Simulations out = finite_rows(
      std::move(s), policy_, count_, [&](std::int64_t) { return fmt::format("a simulation of \"{}\"", file.string()); }, ignored);
  if (count_.dropped > 10 && static_cast<double>(count_.dropped) > policy_.max_share * static_cast<double>(count_.simulated))
    throw SimulationError(fmt::format(
        "Trainer: {} of {} simulations of \"{}\" so far were not finite: more than NonFinitePolicy::max_share = {}; mend the file, or "
        "raise max_share if this is meant",
        count_.dropped, count_.simulated, file.string(), policy_.max_share));
  return out;
}

StreamSource::StreamSource(SimulationStream stream, const Configurator& configurator, FiniteRows finite, std::uint64_t first_shuffle,
                           std::int64_t epochs)
    : stream_(std::move(stream)),
      configurator_(&configurator),
      finite_(finite),
      first_shuffle_(first_shuffle),
      epochs_(epochs),
      steps_(stream_.batches_per_epoch()) {}

namespace {

/// The first simulations of a file whose values are all finite; nothing if there are none.
std::optional<Simulations> first_of(const SimulationStore& store, std::int64_t count) {
  if (store.batches() == 0) return {};
  const Simulations all = store.batch(0);
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < all.batch_size() && static_cast<std::int64_t>(rows.size()) < count; ++i) {
    bool finite = true;
    all.for_each([&](std::string_view, FieldRole role, const Array& values) {
      finite = finite && (role == FieldRole::shared || values.row(i).all_finite());
    });
    if (finite) rows.push_back(i);
  }
  if (rows.empty()) return {};
  return all.take(rows);
}

}  // namespace

std::optional<Simulations> StreamSource::given(std::int64_t count) const { return first_of(stream_.store(), count); }

void StreamSource::make(std::int64_t epoch, std::int64_t step, ThreadPool*, PreparedBatch& batch) {
  if (epoch_ != epoch || next_ != step) stream_.start(static_cast<std::int64_t>(first_shuffle_) + epoch, step);
  epoch_ = epoch;
  next_ = step + 1;
  std::optional<Simulations> simulations = stream_.next();
  if (!simulations)
    throw IoError(fmt::format("\"{}\" ended before its last batch; it was changed while it was read", stream_.store().path().string()));
  const Simulations finite = finite_(std::move(*simulations), stream_.store().path());
  batch.count = finite_.count();
  batch.rows = finite.batch_size();
  if (batch.rows) batch.inputs = (*configurator_)(finite);
}

PresimulationSource::PresimulationSource(std::vector<std::filesystem::path> files, const Configurator& configurator, FiniteRows finite,
                                         Loader loader, std::int64_t epochs, std::int64_t batch_size)
    : files_(std::move(files)),
      configurator_(&configurator),
      finite_(finite),
      loader_(std::move(loader)),
      epochs_(epochs),
      batch_size_(batch_size) {
  // The schedule has to know the number of all steps.
  for (std::size_t i = 0; i < files_.size() && static_cast<std::int64_t>(i) < epochs_; ++i) {
    if (loader_) {
      const Dataset data = dataset(loader_(files_[i]));
      steps_.push_back(data.number_of_batches(batch_size_));
      rows_.push_back(data.size());
    } else {
      const SimulationStore store(files_[i]);
      steps_.push_back(batches_of(store, batch_size_));
      rows_.push_back(store.size());
    }
    if (steps_.back() == 0) throw IoError(fmt::format("\"{}\" holds no simulations; take it out of the folder", files_[i].string()));
  }
  files_.resize(steps_.size());
}

std::int64_t PresimulationSource::total_steps() const {
  std::int64_t total = 0;
  for (std::int64_t e = 0; e < epochs_; ++e) total += steps(e);
  return total;
}

std::int64_t PresimulationSource::seen(std::int64_t epoch, std::int64_t step) const {
  std::int64_t rows = 0;
  for (std::int64_t e = 0; e < epoch && e < static_cast<std::int64_t>(files_.size()); ++e) rows += rows_[static_cast<std::size_t>(e)];
  return epoch < static_cast<std::int64_t>(files_.size()) ? rows + seen_of(rows_[file_of(epoch)], steps(epoch), 0, step) : rows;
}

std::optional<Simulations> PresimulationSource::given(std::int64_t count) const {
  if (loader_) return {};  // user's code, which may be slow, reads a file once an epoch and no more
  return first_of(SimulationStore(files_.front()), count);
}

void PresimulationSource::make(std::int64_t epoch, std::int64_t step, ThreadPool*, PreparedBatch& batch) {
  const std::filesystem::path& file = files_[file_of(epoch)];
  if (loader_) {
    if (open_ != epoch) {
      data_ = dataset(loader_(file));
      order_.prepare_in_order(data_, batch_size_);
    }
  } else if (open_ != epoch || next_ != step) {
    stream_.emplace(SimulationStore(file), StreamOptions{.batch_size = batch_size_, .shuffle = false});
    stream_->start(0, step);
  }
  open_ = epoch;
  next_ = step + 1;
  std::optional<Simulations> simulations = loader_ ? order_.batch(data_, step) : stream_->next();
  if (!simulations) throw IoError(fmt::format("\"{}\" ended before its last batch; it was changed while it was read", file.string()));
  const Simulations finite = finite_(std::move(*simulations), file);
  batch.count = finite_.count();
  batch.rows = finite.batch_size();
  if (batch.rows) batch.inputs = (*configurator_)(finite);
}

bool natural_less(const std::string& a, const std::string& b) {
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const auto number = [](const std::string& s, std::size_t& at) {
        while (at + 1 < s.size() && s[at] == '0' && digit(s[at + 1])) ++at;
        const std::size_t first = at;
        while (at < s.size() && digit(s[at])) ++at;
        return s.substr(first, at - first);
      };
      const std::string x = number(a, i), y = number(b, j);
      if (x != y) return x.size() != y.size() ? x.size() < y.size() : x < y;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
  return a < b;  // "a01" and "a1"
}

std::vector<std::filesystem::path> presimulated_files(const std::filesystem::path& path, bool any_ending) {
  if (!std::filesystem::exists(path))
    throw IoError(fmt::format("\"{}\" does not exist; give a file of simulations, or a folder of such files", path.string()));
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    if (entry.is_regular_file() && (any_ending || entry.path().extension() == ".h5")) out.push_back(entry.path());
  if (out.empty()) throw IoError(fmt::format("the folder \"{}\" holds no files{}", path.string(), any_ending ? "" : " that end in .h5"));
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return natural_less(a.filename().string(), b.filename().string()); });
  return out;
}

nlohmann::json describe_data(const SimulationStore& store) {
  const SimulationStoreInfo& info = store.info();
  return {{"simulations", info.simulations}, {"model", info.model_name}, {"seed", info.seed}};
}

namespace {

/// The first simulations of a file, for adapters.
std::vector<Simulations> first_parts(const SimulationStore& store, const TrainerOptions& options) {
  std::vector<Simulations> parts;
  NonFiniteCount bad;
  std::string first;
  for (std::int64_t b = 0, rows = 0; b < store.batches() && rows < kMostFitted; rows += store.rows(b++)) parts.push_back(store.batch(b));
  return finite_dataset(parts, "the training data", options, bad, first).first_parts(kMostFitted);
}

}  // namespace
}  // namespace bayesflow::training

namespace bayesflow {

TrainingSummary Trainer::train_offline(const std::filesystem::path& file, const OfflineOptions& o) {
  State& s = *state_;
  return s.together([&] {
    const State::Use use(s, "train_offline");
    if (o.validation_split != 0)
      throw ConfigurationError(
          fmt::format("OfflineOptions::validation_split = {}; simulations in a file are not split: keep another file back, and "
                      "give what it holds as validation_sims",
                      o.validation_split));
    validate_described(o, "OfflineOptions");
    const SimulationStore store(file);
    if (store.size() == 0) throw IoError(fmt::format("\"{}\" holds no simulations; simulate some first", file.string()));
    training::require_countable("OfflineOptions", o.epochs, "epochs", store.size(), "batches", 1);
    if (!s.is_consistent) {
      s.fit_to([&] { return training::first_parts(store, s.options); });
      s.check_consistency([&] { return training::two_of(training::dataset({store.batch(0)})); });
    }
    const StreamOptions stream{.batch_size = o.batch_size, .buffer_bytes = o.buffer_bytes, .seed = s.options.seed};
    const training::RunSettings settings = training::run_settings(s, "train_offline", o, {{"file", training::describe_data(store)}});
    return s.train(settings, [&](const training::Run& run) {
      s.counters.shuffled = run.first.shuffled + static_cast<std::uint64_t>(o.epochs);
      return std::make_unique<training::StreamSource>(SimulationStream(store, stream), s.options.configurator,
                                                      training::FiniteRows(s.options.nonfinite, run.nonfinite), run.first.shuffled,
                                                      o.epochs);
    });
  });
}

TrainingSummary Trainer::train_from_presimulation(const std::filesystem::path& path, const PresimulationOptions& o) {
  State& s = *state_;
  return s.together([&] {
    const State::Use use(s, "train_from_presimulation");
    validate_described(o, "PresimulationOptions");
    const auto files = training::presimulated_files(path, static_cast<bool>(o.loader));
    const auto first_part = [&] {
      if (!o.loader) return training::dataset({SimulationStore(files.front()).batch(0)});
      return training::dataset(o.loader(files.front()));
    };
    if (!s.is_consistent) {
      s.fit_to([&] {
        if (!o.loader) return training::first_parts(SimulationStore(files.front()), s.options);
        NonFiniteCount bad;
        std::string first;
        return training::finite_dataset(o.loader(files.front()), "the training data", s.options, bad, first)
            .first_parts(training::kMostFitted);
      });
      s.check_consistency([&] { return training::two_of(first_part()); });
    }
    const std::int64_t epochs = o.max_epochs > 0 ? o.max_epochs : static_cast<std::int64_t>(files.size());
    nlohmann::json described = nlohmann::json::array();
    for (const auto& file : files) {
      nlohmann::json& one = described.emplace_back(o.loader ? nlohmann::json::object() : training::describe_data(SimulationStore(file)));
      one["name"] = file.filename().string();
    }
    const training::RunSettings settings =
        training::run_settings(s, "train_from_presimulation", o, {{"files", std::move(described)}, {"epochs", epochs}});
    return s.train(settings, [&](const training::Run& run) {
      return std::make_unique<training::PresimulationSource>(
          files, s.options.configurator, training::FiniteRows(s.options.nonfinite, run.nonfinite), o.loader, epochs, o.batch_size);
    });
  });
}

}  // namespace bayesflow
