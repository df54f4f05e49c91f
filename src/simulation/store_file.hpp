/// The file behind presimulate and SimulationStore.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/simulation/presimulation.hpp"
#include "io/atomic_file.hpp"
#include "io/header.hpp"

namespace bayesflow::detail {

/// How it works (docs/files.md has the layout as seen from outside): all arrays are made at once, with room for the simulations that
/// were asked for, and lie at fixed places; the file is sparse, so room that is not used takes none on the disk. A batch is appended
/// by writing its numbers, then its line in the table of batches with a checksum over both, then the commit record. Whatever is
/// beyond the record does not exist, so a kill at any moment loses at most the batch in flight. The record is kept twice and written in
/// turn. For power failures, it also says up to where everything is surely on the disk; batches beyond are verified before the file is
/// trusted. More room, or a shape that turns out to vary, is met by a new file that gets the old one's contents and name.
/// Version 2 has fields beyond v1's six; files without such are of version 1, which earlier libraries read.
inline constexpr io::Format kSimulationsFormat{.kind = "simulations", .version = 2};

/// A field of Simulations: the six, present or not, in their order; then further ones.
struct StoreField {
  std::string name{};
  bool present = false;
  bool per_batch = false;             ///< FieldRole::shared: one value per batch; else one row per simulation
  bool further = false;               ///< beyond the six
  bool flat = false;                  ///< shapes differ between batches: values one after the other, with a table of offsets and shapes
  std::vector<std::uint64_t> item{};  ///< shape of a row (or value); if flat, of the first one
  std::uint64_t capacity = 0;         ///< in numbers, if flat
  std::uint64_t used = 0;             ///< of these, by committed batches
  io::Entry values{}, offsets{}, shapes{};  ///< where it lies

  [[nodiscard]] std::string path() const { return further ? "further/" + name : name; }
  [[nodiscard]] std::string offset_path() const { return path() + "_offset"; }
  [[nodiscard]] std::string shape_path() const { return path() + "_shape"; }
};

/// Stored at kRecordOffsets. Sequence = 2 * batches + (everything synced): of two valid records the larger one counts.
struct CommitRecord {
  std::uint64_t sequence = 0;
  std::uint64_t batches = 0, rows = 0;
  std::uint64_t synced_batches = 0;
  std::uint64_t next_index = 0;  ///< of the next simulation
  std::int64_t simulated = 0, dropped = 0, redrawn = 0;
  std::array<std::uint64_t, kStandardFields.size()> used = {};  ///< numbers in each flat field of the six; of others the last batch tells
  std::uint64_t checksum = 0;
};
inline constexpr std::uint64_t kRecordOffsets[] = {1024, 2048};

/// What a file says about itself that does not change.
struct StoreDescription {
  std::string model_name;
  std::vector<std::string> param_names;
  std::uint64_t seed = 0;
  StoredPrecision precision = StoredPrecision::float64;
  std::uint64_t batch_size = 0;
  bool one_context_per_batch = false;
};

/// A line of the table of batches, as stored. Counts are those after the batch.
struct BatchLine {
  std::uint64_t first_row = 0, rows = 0;
  std::uint64_t next_index = 0;
  std::int64_t simulated = 0, dropped = 0, redrawn = 0;
  std::uint64_t checksum = 0;  ///< XXH64 of the six numbers before, the shapes of all fields, and their values
};
inline constexpr std::uint64_t kLineColumns = sizeof(BatchLine) / 8;

class StoreFile {
 public:
  /// A new file for simulations like `example`, locked, without a batch, and without a name until `publish`.
  static StoreFile create(const std::filesystem::path& path, StoreDescription description, std::uint64_t rows, std::uint64_t batches,
                          const Simulations& example);
  /// Throws IoError if somebody else is writing it.
  static StoreFile open_for_append(const std::filesystem::path& path);
  static StoreFile open(const std::filesystem::path& path);

  [[nodiscard]] const StoreDescription& description() const { return description_; }
  [[nodiscard]] const CommitRecord& committed() const { return committed_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const io::Header& header() const { return header_; }
  [[nodiscard]] std::uint64_t capacity_rows() const { return capacity_rows_; }
  [[nodiscard]] std::uint64_t file_bytes() const { return header_.file_bytes; }

  /// Makes room for that many simulations and batches in all.
  void reserve(std::uint64_t rows, std::uint64_t batches);
  /// Writes a batch and commits it. An empty batch only moves `next_index`. Everything is brought to the disk now and then.
  void append(const Simulations& batch, std::uint64_t next_index, const NonFiniteCount& count);
  /// Gives a new file its name.
  void publish();
  /// Brings everything to the disk, and says so in both records.
  void finish();
  [[nodiscard]] bool is_finished() const { return finished_; }

  [[nodiscard]] std::uint64_t rows(std::uint64_t batch) const { return line(batch).rows; }
  /// Index of the first simulation after a batch: those that were dropped count as well.
  [[nodiscard]] std::uint64_t first_index_after(std::uint64_t batch) const { return line(batch).next_index; }
  /// Of all simulations up to and with a batch.
  [[nodiscard]] NonFiniteCount count_up_to(std::uint64_t batch) const {
    const BatchLine at = line(batch);
    return {at.simulated, at.dropped, at.redrawn};
  }
  /// Memory that the values of a batch need as doubles.
  [[nodiscard]] std::uint64_t array_bytes(std::uint64_t batch) const;
  /// Throws IoError unless the checksum fits.
  [[nodiscard]] Simulations read(std::uint64_t batch) const;

 private:
  using Extents = std::vector<std::uint64_t>;
  [[nodiscard]] const io::Descriptor& file() const { return pending_ ? pending_->file() : file_; }
  [[nodiscard]] io::NumberType type() const;
  [[nodiscard]] std::uint64_t number_bytes() const { return io::bytes_per_number(type()); }
  [[nodiscard]] StoreFile blank() const;
  void lay_out();
  void copy_contents(const StoreFile& old);
  void replace_by(StoreFile larger);
  void load(io::Opened opened);
  void recover();
  void commit(CommitRecord record);
  void require_name() const;
  using Arrays = std::vector<const Array*>;  ///< of `fields_`, null where absent
  [[nodiscard]] Arrays arrays_of(const Simulations& simulations) const;
  void make_room(const Arrays& arrays, std::uint64_t rows);
  [[nodiscard]] BatchLine line(std::uint64_t batch) const;
  /// Numbers that a flat field takes up to and with a batch.
  [[nodiscard]] std::uint64_t used_up_to(std::size_t field, std::uint64_t batch) const;
  [[nodiscard]] std::uint64_t place(std::size_t field, std::uint64_t batch, const BatchLine& at) const;  ///< offset in the file
  [[nodiscard]] Extents shape(std::size_t field, std::uint64_t batch, const BatchLine& at) const;
  [[nodiscard]] std::uint64_t checksum(const BatchLine& line, const std::vector<Extents>& shapes,
                                       const std::vector<std::span<const std::byte>>& values) const;
  [[noreturn]] void damaged(const std::string& what) const;

  std::filesystem::path path_;
  io::Descriptor file_;
  std::unique_ptr<io::AtomicFile> pending_;
  io::Header header_;
  StoreDescription description_;
  std::uint64_t capacity_rows_ = 0, capacity_batches_ = 0;
  std::vector<StoreField> fields_;
  io::Entry table_, done_;
  CommitRecord committed_;
  std::size_t newest_slot_ = 0;
  bool finished_ = false;  // both records say that everything is on the disk
  std::uint64_t unsynced_bytes_ = 0;
};

}  // namespace bayesflow::detail
