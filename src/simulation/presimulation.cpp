#include "bayesflow/simulation/presimulation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/generative_model.hpp"
#include "core/fork.hpp"
#include "simulation/store_file.hpp"

namespace bayesflow {
namespace {

constexpr const char* kPurpose = "presimulation";
constexpr std::int64_t kBatchBytes = std::int64_t{1} << 20;
constexpr std::int64_t kMaxDefaultBatch = 256;  // what a kill costs at most, of a slow simulator
constexpr std::int64_t kContextBatch = 32;      // v1's batch

/// Appends batches on a thread of its own, so that the next one is simulated meanwhile. A failure comes back at the next call.
class BackgroundWriter {
 public:
  explicit BackgroundWriter(detail::StoreFile file) : file_(std::move(file)), thread_([this] { run(); }) {}
  ~BackgroundWriter() {
    if (thread_.joinable()) stop();
  }
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  void append(Simulations batch, std::uint64_t next_index, const NonFiniteCount& count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !item_ || error_; });
    if (error_) std::rethrow_exception(error_);
    item_ = Item{std::move(batch), next_index, count};
    changed_.notify_all();
  }
  /// Waits until everything is written, and gives the file back.
  detail::StoreFile& finish() {
    if (thread_.joinable()) stop();
    if (error_) std::rethrow_exception(error_);
    return file_;
  }

 private:
  struct Item {
    Simulations batch;
    std::uint64_t next_index = 0;
    NonFiniteCount count;
  };
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return item_ || stop_; });
      if (!item_) return;
      const Item item = std::move(*item_);
      item_.reset();
      changed_.notify_all();
      lock.unlock();
      std::exception_ptr error;
      try {
        file_.append(item.batch, item.next_index, item.count);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (!error) continue;
      error_ = error;
      item_.reset();
      changed_.notify_all();
      return;
    }
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  detail::StoreFile file_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Item> item_;
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;
};

bool same_bits(const Array& a, const Array& b) {
  return a.shape() == b.shape() && std::ranges::equal(std::as_bytes(a.values()), std::as_bytes(b.values()));
}

/// What storing in this precision does to a number.
Array stored(Array array, StoredPrecision precision) {
  if (precision == StoredPrecision::float32)
    for (double& x : array.values()) x = static_cast<double>(static_cast<float>(x));
  return array;
}

/// Index of the first simulation in a file.
std::uint64_t first_index(const detail::StoreFile& file) {
  const detail::CommitRecord& c = file.committed();
  return c.next_index - c.rows - static_cast<std::uint64_t>(c.dropped);
}

/// The first setting in which a file differs, as a sentence; empty if there is none.
std::string difference(const detail::StoreDescription& is, const detail::StoreDescription& wanted) {
  if (is.model_name != wanted.model_name) return fmt::format("they are of model \"{}\", not \"{}\"", is.model_name, wanted.model_name);
  if (is.param_names != wanted.param_names) return "their parameters have other names";
  if (is.seed != wanted.seed) return fmt::format("their seed is {}, not {}", is.seed, wanted.seed);
  if (is.precision != wanted.precision)
    return fmt::format("they are stored as {}", is.precision == StoredPrecision::float32 ? "float32" : "float64");
  if (is.batch_size != wanted.batch_size) return fmt::format("their batch_size is {}, not {}", is.batch_size, wanted.batch_size);
  if (is.one_context_per_batch != wanted.one_context_per_batch) return "one of them has a non-batchable context";
  return {};
}

/// Throws IoError unless the file was begun by this model with these settings: the first simulations are made again and compared.
void require_same(const detail::StoreFile& file, const detail::StoreDescription& wanted, std::uint64_t first,
                  const std::function<Simulations(std::int64_t)>& simulate, const GenerativeModel& model) {
  const auto refuse = [&](const std::string& what) {
    throw IoError(fmt::format("\"{}\" holds other simulations: {}; choose another path, or delete this file", file.path().string(), what));
  };
  if (const std::string what = difference(file.description(), wanted); !what.empty()) refuse(what);
  if (const std::uint64_t is = first_index(file); file.committed().next_index > 0 && is != first)
    refuse(fmt::format("they begin with simulation {}, not {}", is, first));
  if (file.committed().batches == 0 || !model.is_reproducible()) return;
  // A simulation does not depend on the size of its batch, unless a function makes the whole batch.
  const Simulations old = file.read(0);
  const auto attempted = static_cast<std::int64_t>(file.first_index_after(0) - first);
  Simulations fresh;
  for (std::int64_t size = model.depends_on_batch() ? attempted : 1;; size = std::min(2 * size, attempted)) {
    fresh = simulate(size);
    if (fresh.batch_size() > 0 || size >= attempted) break;
  }
  fresh.for_each([&](std::string_view name, FieldRole, const Array&) {
    if (!old.find(name)) refuse(fmt::format("{} is there in one of them only", name));
  });
  old.for_each([&](std::string_view name, FieldRole role, const Array& a) {
    const Array* b = fresh.find(name);
    if (!b) refuse(fmt::format("{} is there in one of them only", name));
    if (!same_bits(role == FieldRole::shared ? a : a.slice(0, std::min(a.dim(0), b->dim(0))), stored(*b, wanted.precision)))
      refuse(fmt::format("with this seed, the model makes another {} in its first simulation", name));
  });
}

std::int64_t numbers_per_simulation(const Simulations& s) {
  std::int64_t numbers = 0;
  s.for_each([&](std::string_view, FieldRole role, const Array& values) {
    if (role == FieldRole::per_simulation) numbers += values.shape().slice(1, values.rank()).size();
  });
  return std::max<std::int64_t>(numbers, 1);
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

void PresimulateOptions::validate() const {
  if (batch_size < 0)
    throw ConfigurationError(fmt::format("PresimulateOptions::batch_size = {}; it must be at least 1, or 0 for the default", batch_size));
  if (threads < 0) throw ConfigurationError(fmt::format("PresimulateOptions::threads = {}; it must not be negative (0: all)", threads));
  nonfinite.validate();
}

PresimulationSummary GenerativeModel::presimulate(const std::filesystem::path& path, std::int64_t n,
                                                  const PresimulateOptions& options) const {
  const auto start = std::chrono::steady_clock::now();
  options.validate();
  if (n < 1) throw ArgumentError(fmt::format("GenerativeModel::presimulate: n must be at least 1; got {}", n));
  ThreadPool pool(options.threads);
  const std::uint64_t first = options.first.value_or(0);
  detail::StoreDescription wanted{
      this->options().name,       param_names(), options.seed, options.precision, static_cast<std::uint64_t>(options.batch_size),
      has_non_batchable_context()};
  const auto simulate_first = [&](std::int64_t size) {
    NonFiniteCount unused;
    NonFinitePolicy policy = options.nonfinite;
    policy.max_share = std::nextafter(1.0, 0.0);  // judged when it counts
    return simulate(size, options.seed, kPurpose, first, &pool, policy, unused);
  };

  std::optional<detail::StoreFile> file;
  if (std::filesystem::exists(path)) {
    file = detail::StoreFile::open_for_append(path);
    if (wanted.batch_size == 0) wanted.batch_size = file->description().batch_size;
    require_same(*file, wanted, first, simulate_first, *this);
  } else if (wanted.batch_size == 0) {
    wanted.batch_size = wanted.one_context_per_batch
                            ? kContextBatch
                            : static_cast<std::uint64_t>(std::clamp<std::int64_t>(
                                  kBatchBytes / (8 * numbers_per_simulation(simulate_first(1))), 1, kMaxDefaultBatch));
  }
  const auto batch_size = static_cast<std::int64_t>(wanted.batch_size);
  const auto batches_for = [&](std::int64_t rows) { return static_cast<std::uint64_t>((rows + batch_size - 1) / batch_size); };

  PresimulationSummary summary;
  std::uint64_t next_index = first;
  NonFiniteCount count;
  // Simulations that are still to be made: of a part, up to its end; otherwise until there are n.
  const auto missing = [&] { return options.first ? n - static_cast<std::int64_t>(next_index - first) : n - summary.simulations; };
  if (file) {
    const detail::CommitRecord& c = file->committed();
    summary.found = summary.simulations = static_cast<std::int64_t>(c.rows);
    if (c.next_index > 0) next_index = c.next_index;
    count = {c.simulated, c.dropped, c.redrawn};
    // Only for more rows, so that what was interrupted becomes the same file as what was not.
    if (missing() <= 0 && !file->is_finished()) file->finish();
    if (missing() <= 0 && options.progress) options.progress({summary.found, n, 0, 0});
    if (static_cast<std::uint64_t>(n) > file->capacity_rows())
      file->reserve(static_cast<std::uint64_t>(n), c.batches + batches_for(missing()));
  }
  const NonFiniteCount before = count;
  detail::ProcessUnique<BackgroundWriter> writer;
  if (file && missing() > 0) writer = detail::make_in_process<BackgroundWriter>(std::move(*file));
  const std::uint64_t process = detail::process_generation();
  try {
    while (missing() > 0) {
      const NonFiniteCount former = count;
      const std::int64_t size = std::min(batch_size, missing());
      Simulations batch = simulate(size, options.seed, kPurpose, next_index, &pool, options.nonfinite, count);
      if (process != detail::process_generation())
        throw SimulationError(
            "presimulate: the model forked this process, and only the parent process can go on writing the file; end the child where it "
            "was forked");
      next_index += static_cast<std::uint64_t>(size);
      summary.simulations += batch.batch_size();
      if (!writer) {
        detail::StoreFile fresh = detail::StoreFile::create(path, wanted, static_cast<std::uint64_t>(n), batches_for(n), batch);
        fresh.publish();
        writer = detail::make_in_process<BackgroundWriter>(std::move(fresh));
      }
      writer->append(std::move(batch), next_index,
                     {count.simulated - former.simulated, count.dropped - former.dropped, count.redrawn - former.redrawn});
      if (!options.progress) continue;
      PresimulationProgress progress{summary.simulations, n, 0, 0};
      progress.simulations_per_second = static_cast<double>(summary.simulations - summary.found) / std::max(since(start), 1e-9);
      progress.seconds_left = static_cast<double>(missing()) / std::max(progress.simulations_per_second, 1e-9);
      if (options.progress(progress)) continue;
      summary.completed = missing() <= 0;
      break;
    }
    if (writer) writer->finish().finish();
  } catch (...) {
    // What was simulated before the failure is kept, as far as it can be.
    if (writer && process == detail::process_generation()) {
      try {
        writer->finish().finish();
      } catch (const std::exception&) {
      }
    }
    throw;
  }
  summary.nonfinite = {count.simulated - before.simulated, count.dropped - before.dropped, count.redrawn - before.redrawn};
  summary.seconds = since(start);
  summary.file_bytes = std::filesystem::file_size(path);
  return summary;
}

std::int64_t join_simulations(const std::vector<std::filesystem::path>& parts, const std::filesystem::path& path) {
  if (parts.empty()) throw ArgumentError("join_simulations: there are no parts; give the files that presimulate has written");
  std::vector<detail::StoreFile> files;
  for (const std::filesystem::path& part : parts) files.push_back(detail::StoreFile::open(part));
  const auto begin = [](const detail::StoreFile& file) { return file.committed().batches ? first_index(file) : ~std::uint64_t{0}; };
  std::ranges::stable_sort(files, {}, begin);
  std::uint64_t next = 0, rows = 0;
  for (const detail::StoreFile& file : files) {
    const auto refuse = [&](const std::string& what) {
      throw IoError(fmt::format("join_simulations: \"{}\" {}", file.path().string(), what));
    };
    const detail::CommitRecord& c = file.committed();
    if (c.batches == 0) refuse("holds no simulations yet; run its job again");
    if (const std::string what = difference(file.description(), files[0].description()); !what.empty())
      refuse(fmt::format("is no part of the same file as \"{}\": {}", files[0].path().string(), what));
    if (first_index(file) != next)
      refuse(fmt::format("begins with simulation {}, but {} is the next one: a part is {}", first_index(file), next,
                         first_index(file) < next ? "there twice" : "missing or not complete; run its job again"));
    if (const std::uint64_t made = c.next_index - first_index(file); made < file.capacity_rows())
      refuse(fmt::format("has {} of its {} simulations; run its job again", made, file.capacity_rows()));
    next = c.next_index;
    rows += c.rows;
  }
  const auto batch_size = files[0].description().batch_size;
  std::optional<detail::StoreFile> joined;
  for (const detail::StoreFile& file : files) {
    NonFiniteCount former;
    for (std::uint64_t b = 0; b < file.committed().batches; ++b) {
      const Simulations batch = file.read(b);
      const NonFiniteCount count = file.count_up_to(b);
      if (!joined) joined = detail::StoreFile::create(path, file.description(), next, (next + batch_size - 1) / batch_size, batch);
      joined->append(batch, file.first_index_after(b),
                     {count.simulated - former.simulated, count.dropped - former.dropped, count.redrawn - former.redrawn});
      former = count;
    }
    // Batches at the end of which nothing was left.
    const detail::CommitRecord& c = file.committed();
    joined->append({}, c.next_index, {c.simulated - former.simulated, c.dropped - former.dropped, c.redrawn - former.redrawn});
  }
  joined->finish();
  joined->publish();
  return static_cast<std::int64_t>(rows);
}

void save_simulations(const Simulations& simulations, const std::filesystem::path& path, const SaveSimulationsOptions& options) {
  const std::int64_t rows = simulations.prior_draws.rank() ? simulations.batch_size() : 0;
  if (rows < 1) throw ArgumentError("save_simulations: there are no simulations; prior_draws must have at least one row");
  simulations.check_rows("save_simulations");
  const bool context = simulations.has_shared();
  const std::int64_t batch = context ? rows : std::clamp<std::int64_t>(kBatchBytes / (8 * numbers_per_simulation(simulations)), 1, rows);
  detail::StoreFile file = detail::StoreFile::create(
      path, {options.model_name, options.param_names, 0, options.precision, static_cast<std::uint64_t>(batch), context},
      static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>((rows + batch - 1) / batch), simulations);
  std::vector<std::int64_t> part;
  for (std::int64_t first = 0; first < rows; first += batch) {
    part.resize(static_cast<std::size_t>(std::min(batch, rows - first)));
    std::iota(part.begin(), part.end(), first);
    file.append(simulations.take(part), static_cast<std::uint64_t>(first) + part.size(), {static_cast<std::int64_t>(part.size()), 0, 0});
  }
  file.finish();
  file.publish();
}

}  // namespace bayesflow
