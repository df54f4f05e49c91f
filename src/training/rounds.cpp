/// The growing data of train_rounds.
#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"
#include "io/archive.hpp"
#include "training/sources.hpp"

namespace bayesflow::training {
namespace {

constexpr io::Format kRoundFormat{.kind = "training round", .version = 1};

std::filesystem::path round_file(const std::filesystem::path& folder, std::uint64_t first) {
  return folder / fmt::format("simulations_{:012}.h5", first);
}

constexpr std::string_view kFurther = "further/", kShared = "further_shared/";

/// Where fields beyond v1's six lie, which tells their role.
std::string_view folder_of(std::string_view name, FieldRole role) {
  if (Simulations::is_standard(name)) return "";
  return role == FieldRole::shared ? kShared : kFurther;
}

void write_round(const std::filesystem::path& file, std::uint64_t seed, std::uint64_t first, std::int64_t asked,
                 const std::vector<Simulations>& parts, const NonFiniteCount& bad) {
  io::ArchiveWriter out(kRoundFormat);
  out.attribute("seed", seed);
  out.attribute("first_simulation", first);
  out.attribute("simulations", asked);
  out.attribute("parts", static_cast<std::int64_t>(parts.size()));
  out.attribute("dropped", bad.dropped);
  out.attribute("redrawn", bad.redrawn);
  out.attribute("simulated", bad.simulated);
  for (std::size_t p = 0; p < parts.size(); ++p)
    parts[p].for_each([&](std::string_view name, FieldRole role, const Array& values) {
      out.array(fmt::format("part_{:06}/{}{}", p, folder_of(name, role), name), values.shape(), values.values());
    });
  out.commit(file);
}

/// False if there is no such file or it holds something else. A damaged file throws IoError.
bool read_round(const std::filesystem::path& file, std::uint64_t seed, std::uint64_t first, std::int64_t asked,
                std::vector<Simulations>& parts, NonFiniteCount& bad) {
  if (!std::filesystem::exists(file)) return false;
  const io::ArchiveReader in(file, kRoundFormat);
  if (in.attribute<std::uint64_t>("seed") != seed || in.attribute<std::uint64_t>("first_simulation") != first ||
      in.attribute<std::int64_t>("simulations") != asked)
    return false;
  parts.clear();
  for (std::int64_t p = 0; p < in.attribute<std::int64_t>("parts"); ++p) {
    const std::string part = fmt::format("part_{:06}/", p);
    Simulations& to = parts.emplace_back();
    for (const std::string& path : in.paths(part)) {
      Array values = uninitialized_array(in.shape(path));
      in.read(path, values.shape(), values.values());
      std::string_view name = std::string_view(path).substr(part.size());
      std::optional<FieldRole> role;
      for (const auto& [folder, is] : {std::pair{kFurther, FieldRole::per_simulation}, std::pair{kShared, FieldRole::shared}})
        if (name.starts_with(folder)) {
          name.remove_prefix(folder.size());
          role = is;
        }
      to.set(name, std::move(values), role);
    }
  }
  bad = {in.attribute<std::int64_t>("simulated"), in.attribute<std::int64_t>("dropped"), in.attribute<std::int64_t>("redrawn")};
  return true;
}

}  // namespace

RoundsSource::RoundsSource(Simulating simulating, const Configurator& configurator, std::uint64_t seed, std::uint64_t first,
                           std::uint64_t first_shuffle, Settings settings, bool overlap, std::filesystem::path folder)
    : simulating_(simulating),
      configurator_(&configurator),
      seed_(seed),
      first_(first),
      first_shuffle_(first_shuffle),
      s_(settings),
      overlap_(overlap),
      folder_(std::move(folder)) {
  ragged_ = simulating.model().has_non_batchable_context();
}

std::int64_t RoundsSource::steps_of_round(std::int64_t round) const {
  const auto batches = [this](std::int64_t rows) { return (rows + s_.batch_size - 1) / s_.batch_size; };
  return ragged_ ? (round + 1) * batches(s_.sim_per_round) : batches((round + 1) * s_.sim_per_round);
}

std::int64_t RoundsSource::total_steps() const {
  std::int64_t total = 0;
  for (std::int64_t r = 0; r < s_.rounds; ++r) total += s_.epochs * steps_of_round(r);
  return total;
}

void RoundsSource::simulate_next(std::int64_t until, ThreadPool* pool) {
  until = std::min(until, s_.sim_per_round);
  // A batched or contextual model is asked for the same pieces whether they are made ahead or not.
  while (next_count_ < until) {
    const std::int64_t count = std::min(s_.batch_size, s_.sim_per_round - next_count_);
    const std::uint64_t first = first_ + static_cast<std::uint64_t>(rounds_ * s_.sim_per_round + next_count_);
    Simulations part = simulating_(count, first, pool);
    if (part.batch_size()) next_.push_back(std::move(part));
    next_count_ += count;
  }
}

/// Takes the round that begins with this simulation from its file. Of several ranks, number 0 has the folder.
bool RoundsSource::found_file(std::uint64_t first, PreparedBatch& batch) {
  bool stored = false;
  NonFiniteCount count;  // up to this round
  if (!folder_.empty()) {
    try {
      stored = read_round(round_file(folder_, first), seed_, first, s_.sim_per_round, next_, count);
    } catch (const io::NewerFormat&) {
      throw;
    } catch (const IoError& error) {
      batch.warnings.push_back(fmt::format("{} The round is simulated again.", error.what()));
    }
  }
  if (detail::Ranks* ranks = simulating_.ranks()) {
    const detail::Ranks::Numbers said =
        ranks->meet(detail::Meeting::simulations, {stored ? 1 : 0, static_cast<std::int64_t>(next_.size())})[0];
    stored = said[0] == 1;
    next_.resize(stored ? static_cast<std::size_t>(said[1]) : 0);
    for (std::size_t i = 0; i < next_.size(); ++i) {
      NonFiniteCount of_round;
      next_[i] = training::join(*ranks, {ranks->rank() == 0 ? next_[i] : Simulations(), i == 0 ? count : NonFiniteCount()}, of_round);
      if (i == 0) count = of_round;
    }
  }
  if (stored) simulating_.set_count(count);
  return stored;
}

void RoundsSource::complete(std::int64_t round, ThreadPool* pool, PreparedBatch& batch) {
  while (rounds_ <= round) {
    const std::uint64_t first = first_ + static_cast<std::uint64_t>(rounds_ * s_.sim_per_round);
    if (!found_file(first, batch)) {
      simulate_next(s_.sim_per_round, pool);
      if (!folder_.empty()) {
        try {
          write_round(round_file(folder_, first), seed_, first, s_.sim_per_round, next_, simulating_.count());
        } catch (const IoError& error) {
          batch.warnings.push_back(fmt::format("The simulations of round {} could not be kept: {}", rounds_ + 1, error.what()));
        }
      }
    }
    for (Simulations& part : next_) data_.add(std::move(part));
    counts_.push_back(simulating_.count());
    ++rounds_;
    next_.clear();
    next_count_ = 0;
  }
}

void RoundsSource::make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) {
  const std::int64_t round = epoch / s_.epochs;
  complete(round, pool, batch);
  batch.count = counts_[static_cast<std::size_t>(round)];
  if (shuffled_epoch_ != epoch) shuffle_.prepare(data_, s_.batch_size, seed_, first_shuffle_ + static_cast<std::uint64_t>(epoch));
  shuffled_epoch_ = epoch;
  if (step < shuffle_.batches()) {  // fewer than planned if simulations were dropped
    const Simulations simulations = shuffle_.batch(data_, step);
    batch.rows = simulations.batch_size();
    batch.inputs = (*configurator_)(simulations);
  }
  // Each step of this round makes its share of the next one ahead of time.
  if (!overlap_ || round + 1 >= s_.rounds) return;
  const std::int64_t steps = s_.epochs * steps_of_round(round), done = epoch % s_.epochs * steps_of_round(round) + step + 1;
  simulate_next((s_.sim_per_round * done + steps - 1) / steps, pool);
}

}  // namespace bayesflow::training
