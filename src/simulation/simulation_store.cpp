#include "bayesflow/simulation/simulation_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <new>
#include <numeric>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "core/in_use.hpp"
#include "simulation/store_file.hpp"

namespace bayesflow {

struct SimulationStore::State {
  detail::StoreFile file;
  SimulationStoreInfo info;
  std::vector<std::int64_t> rows;   // of each batch
  std::vector<std::int64_t> bytes;  // in memory
};

SimulationStore::SimulationStore(const std::filesystem::path& path) {
  auto state = std::make_shared<State>(State{detail::StoreFile::open(path), {}, {}, {}});
  const detail::StoreFile& file = state->file;
  const detail::StoreDescription& d = file.description();
  const detail::CommitRecord& c = file.committed();
  state->info = {d.model_name,
                 d.param_names,
                 d.seed,
                 d.precision,
                 static_cast<std::int64_t>(c.rows),
                 static_cast<std::int64_t>(c.batches),
                 static_cast<std::int64_t>(d.batch_size),
                 static_cast<std::int64_t>(file.capacity_rows()),
                 {c.simulated, c.dropped, c.redrawn},
                 d.one_context_per_batch,
                 file.header().format_version,
                 file.header().library_version};
  std::int64_t total = 0;
  for (std::uint64_t b = 0; b < c.batches; ++b) {
    state->rows.push_back(static_cast<std::int64_t>(file.rows(b)));
    state->bytes.push_back(static_cast<std::int64_t>(file.array_bytes(b)));
    total += state->rows.back();
  }
  if (total != state->info.simulations)
    throw IoError(fmt::format("\"{}\" is damaged: its batches have {} simulations, and it claims {}; use another copy of this file",
                              path.string(), total, state->info.simulations));
  state_ = std::move(state);
}

const SimulationStoreInfo& SimulationStore::info() const { return state_->info; }
const std::filesystem::path& SimulationStore::path() const { return state_->file.path(); }

std::int64_t SimulationStore::rows(std::int64_t batch) const {
  if (batch < 0 || batch >= batches())
    throw ArgumentError(fmt::format("SimulationStore: \"{}\" has batches 0 to {}; got {}", path().string(), batches() - 1, batch));
  return state_->rows[static_cast<std::size_t>(batch)];
}

Simulations SimulationStore::batch(std::int64_t index) const {
  (void)rows(index);
  return state_->file.read(static_cast<std::uint64_t>(index));
}

Simulations SimulationStore::read() const {
  if (batches() == 0) throw ArgumentError(fmt::format("SimulationStore::read: \"{}\" holds no complete batch yet", path().string()));
  Simulations out = batch(0);
  if (batches() == 1) return out;
  if (info().one_context_per_batch)
    throw ArgumentError(
        fmt::format("SimulationStore::read: the {} batches of \"{}\" have contexts of their own; read them one by one with batch(i)",
                    batches(), path().string()));
  // Every field is enlarged once, and filled batch by batch.
  out.for_each([&](std::string_view, FieldRole, Array& field) {
    Shape shape = field.shape();
    shape.set(0, size());
    Array all = uninitialized_array(shape);
    std::ranges::copy(field.values(), all.data());
    field = std::move(all);
  });
  for (std::int64_t b = 1, row = rows(0); b < batches(); row += rows(b++)) {
    const Simulations part = batch(b);
    out.for_each([&](std::string_view name, FieldRole, Array& field) {
      const std::span<const double> values = part.find(name)->values();
      std::ranges::copy(values, field.data() + row * (field.size() / size()));
    });
  }
  return out;
}

void StreamOptions::validate() const {
  if (batch_size < 1) throw ConfigurationError(fmt::format("StreamOptions::batch_size = {}; it must be at least 1", batch_size));
  if (buffer_bytes < 1) throw ConfigurationError(fmt::format("StreamOptions::buffer_bytes = {}; it must be at least 1", buffer_bytes));
}

struct SimulationStream::State {
  /// A row of a batch of the window; or, if contexts belong to batches, where a training batch begins in `rows`, and its length.
  struct Place {
    std::uint32_t batch, row;
  };
  struct Window {
    std::vector<Simulations> batches;
    std::vector<Place> rows;                                  // in the order of use
    std::vector<std::pair<std::size_t, std::size_t>> pieces;  // of `rows`, if contexts belong to batches
  };

  SimulationStore store;
  StreamOptions options;
  std::vector<std::int64_t> order;   // of stored batches
  std::vector<std::size_t> borders;  // of windows, in `order`
  std::int64_t epoch = 0;
  std::size_t next_window = 0;  // the one that is being read
  std::future<Window> reading;
  std::optional<Window> window;
  std::size_t position = 0;  // in the window's rows or pieces
  detail::InUse in_use;
  std::uint64_t process = detail::process_generation();

  /// One call at a time; none in a forked child, which lacks the thread that reads.
  [[nodiscard]] detail::InUse::Scope use(const char* function) {
    if (process != detail::process_generation())
      throw ConfigurationError(
          fmt::format("{}: this stream was made in the parent process; make another one of the same store in this process", function));
    return {in_use, function, "stream is in use", "give each thread a stream of its own"};
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  State(SimulationStore s, StreamOptions o) : store(std::move(s)), options(o) {}
  ~State() {
    if (process != detail::process_generation())
      (void)new (std::nothrow) std::future<Window>(std::move(reading));  // never ready in a forked child, and a future's destructor waits
    else if (reading.valid())
      reading.wait();
  }
  [[nodiscard]] bool pieces() const { return store.info().one_context_per_batch; }
  [[nodiscard]] const std::vector<std::int64_t>& rows() const { return store.state_->rows; }
  [[nodiscard]] std::int64_t pieces_of(std::int64_t stored) const {
    return (rows()[static_cast<std::size_t>(stored)] + options.batch_size - 1) / options.batch_size;
  }

  [[nodiscard]] Window read(std::size_t index) const;
  void arrange(Window& out, std::size_t index) const;
  void prefetch();
  bool advance();
};

/// The order of use within a window: a function of seed, epoch and window.
void SimulationStream::State::arrange(Window& out, std::size_t index) const {
  Rng rng(options.seed, "stream of simulations: rows", static_cast<std::uint64_t>(epoch) << 32 | index);
  const auto shuffle = [&](auto& items) {
    if (!options.shuffle) return;
    for (std::size_t i = items.size(); i > 1; --i)
      std::swap(items[i - 1], items[static_cast<std::size_t>(rng.integers(0, static_cast<std::int64_t>(i)))]);
  };
  out.rows.clear();
  out.pieces.clear();
  for (std::size_t b = 0; b < out.batches.size(); ++b) {
    std::vector<Place> own(static_cast<std::size_t>(out.batches[b].batch_size()));
    for (std::size_t r = 0; r < own.size(); ++r) own[r] = {static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(r)};
    if (pieces()) {
      shuffle(own);
      const auto size = static_cast<std::size_t>(options.batch_size);
      for (std::size_t first = 0; first < own.size(); first += size)
        out.pieces.emplace_back(out.rows.size() + first, std::min(size, own.size() - first));
    }
    out.rows.insert(out.rows.end(), own.begin(), own.end());
  }
  if (pieces())
    shuffle(out.pieces);
  else
    shuffle(out.rows);
}

SimulationStream::State::Window SimulationStream::State::read(std::size_t index) const {
  Window out;
  for (std::size_t i = borders[index]; i < borders[index + 1]; ++i) out.batches.push_back(store.batch(order[i]));
  arrange(out, index);
  return out;
}

void SimulationStream::State::prefetch() {
  if (next_window + 1 < borders.size()) reading = std::async(std::launch::async, [this, index = next_window] { return read(index); });
}

/// To the next window; false at the end of the epoch. What comes after it is not read before `prefetch`.
bool SimulationStream::State::advance() {
  if (!reading.valid()) prefetch();
  if (!reading.valid()) return false;
  window = reading.get();
  ++next_window;
  position = 0;
  return true;
}

SimulationStream::SimulationStream(SimulationStore store, StreamOptions options) {
  options.validate();
  if (store.size() == 0) throw ArgumentError(fmt::format("SimulationStream: \"{}\" holds no complete batch yet", store.path().string()));
  state_ = std::make_unique<State>(std::move(store), options);
  start(0);
}

SimulationStream::~SimulationStream() = default;
SimulationStream::SimulationStream(SimulationStream&&) noexcept = default;
SimulationStream& SimulationStream::operator=(SimulationStream&&) noexcept = default;

const SimulationStore& SimulationStream::store() const { return state_->store; }

std::int64_t SimulationStream::batches_per_epoch() const {
  const State& s = *state_;
  if (!s.pieces()) return (s.store.size() + s.options.batch_size - 1) / s.options.batch_size;
  std::int64_t n = 0;
  for (std::int64_t b = 0; b < s.store.batches(); ++b) n += s.pieces_of(b);
  return n;
}

void SimulationStream::start(std::int64_t epoch, std::int64_t first_batch) {
  State& s = *state_;
  const detail::InUse::Scope use = s.use("SimulationStream::start");
  if (epoch < 0 || first_batch < 0 || first_batch > batches_per_epoch())
    throw ArgumentError(fmt::format("SimulationStream::start: needs an epoch from 0 on and a batch from 0 to {}; got {} and {}",
                                    batches_per_epoch(), epoch, first_batch));
  if (s.reading.valid()) s.reading.wait();
  const bool whole = s.borders.size() == 2 && (s.window || s.reading.valid());  // everything is in memory
  std::optional<State::Window> kept;
  if (whole) kept = s.window ? std::move(s.window) : std::optional(s.reading.get());
  s.window.reset();
  s.reading = {};
  s.epoch = epoch;
  s.order.resize(static_cast<std::size_t>(s.store.batches()));
  std::iota(s.order.begin(), s.order.end(), 0);
  if (s.options.shuffle && !whole)
    s.order = Rng(s.options.seed, "stream of simulations: batches", static_cast<std::uint64_t>(epoch)).permutation(s.store.batches());
  s.borders.assign(1, 0);
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < s.order.size(); ++i) {
    const std::int64_t more = s.store.state_->bytes[static_cast<std::size_t>(s.order[i])];
    if (i > s.borders.back() && bytes + more > s.options.buffer_bytes / 2) {
      s.borders.push_back(i);
      bytes = 0;
    }
    bytes += more;
  }
  s.borders.push_back(s.order.size());
  if (s.borders.size() == 2) std::iota(s.order.begin(), s.order.end(), 0);  // one window: its rows are shuffled, and it may be kept

  // Skip whole windows without reading them.
  std::int64_t left = s.pieces() ? first_batch : std::min(first_batch * s.options.batch_size, s.store.size());
  for (s.next_window = 0; s.next_window + 1 < s.borders.size(); ++s.next_window) {
    std::int64_t length = 0;
    for (std::size_t i = s.borders[s.next_window]; i < s.borders[s.next_window + 1]; ++i)
      length += s.pieces() ? s.pieces_of(s.order[i]) : s.rows()[static_cast<std::size_t>(s.order[i])];
    if (left < length) break;
    left -= length;
  }
  s.position = 0;
  if (kept) {
    s.arrange(*kept, 0);
    s.window = std::move(kept);
    s.position = static_cast<std::size_t>(left);
    if (s.next_window == 1) s.position = s.window->rows.size();
    s.next_window = 1;
    return;
  }
  s.prefetch();
  if (left == 0 || !s.advance()) return;
  s.position = static_cast<std::size_t>(left);
  s.prefetch();
}

std::optional<Simulations> SimulationStream::next() {
  State& s = *state_;
  const detail::InUse::Scope use = s.use("SimulationStream::next");
  std::vector<State::Window> spent;  // their last rows may share a training batch with the first of the next window
  const auto at_end = [&] { return !s.window || s.position >= (s.pieces() ? s.window->pieces.size() : s.window->rows.size()); };
  const auto to_rows = [&] {
    while (at_end()) {
      if (!s.reading.valid() && s.next_window + 1 >= s.borders.size()) return false;  // the last window may serve the next epoch
      if (s.window) spent.push_back(std::move(*s.window));
      s.window.reset();
      if (!s.advance()) return false;
    }
    return true;
  };
  std::vector<Simulations::Row> from;
  const auto add = [&](std::size_t row) {
    const State::Place at = s.window->rows[row];
    from.push_back({&s.window->batches[at.batch], at.row});
  };
  if (s.pieces()) {
    if (!to_rows()) return {};
    const auto [begin, length] = s.window->pieces[s.position++];
    for (std::size_t i = begin; i < begin + length; ++i) add(i);
  } else {
    while (static_cast<std::int64_t>(from.size()) < s.options.batch_size && to_rows()) add(s.position++);
    if (from.empty()) return {};
  }
  Simulations out = Simulations::gather(from);
  spent.clear();
  if (!s.reading.valid()) s.prefetch();
  return out;
}

}  // namespace bayesflow
