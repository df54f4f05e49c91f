#include "simulation/store_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/version.hpp"
#include "core/float32_range.hpp"
#include "io/checksum.hpp"

namespace bayesflow::detail {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kSyncBytes = std::uint64_t{64} << 20;

std::uint64_t product(const std::vector<std::uint64_t>& extents) {
  std::uint64_t n = 1;
  for (const std::uint64_t e : extents) n *= e;
  return n;
}

std::vector<StoreField> standard_fields() {
  std::vector<StoreField> out;
  for (const StandardField& f : kStandardFields) out.push_back({.name = f.name, .per_batch = f.role == FieldRole::shared});
  return out;
}

/// Without the axis of the batch, if there is one.
std::vector<std::uint64_t> item_of(const Array& array, bool per_batch) {
  return {array.shape().begin() + (per_batch ? 0 : 1), array.shape().end()};
}

Shape to_shape(const std::vector<std::uint64_t>& extents) {
  Shape shape;
  for (const std::uint64_t e : extents) shape.push_back(static_cast<std::int64_t>(e));
  return shape;
}

std::uint64_t record_checksum(const CommitRecord& record) {
  return io::xxh64(io::bytes_of(record).first(offsetof(CommitRecord, checksum)));
}

}  // namespace

io::NumberType StoreFile::type() const {
  return description_.precision == StoredPrecision::float32 ? io::NumberType::float32 : io::NumberType::float64;
}

void StoreFile::damaged(const std::string& what) const {
  throw IoError(fmt::format("\"{}\" is damaged: {}; use another copy of this file, or delete it and simulate anew", path_.string(), what));
}

// --- making and enlarging ---

StoreFile StoreFile::create(const std::filesystem::path& path, StoreDescription description, std::uint64_t rows, std::uint64_t batches,
                            const Simulations& example) {
  StoreFile out;
  out.path_ = path;
  out.description_ = std::move(description);
  out.capacity_rows_ = rows;
  out.capacity_batches_ = batches;
  out.fields_ = standard_fields();
  for (const Simulations::Further& f : example.further) {
    for (const Simulations::Further& other : example.further)
      if (f.name == other.name + "_offset" || f.name == other.name + "_shape")
        throw ArgumentError(fmt::format("cannot write \"{}\": a file of simulations cannot have fields of the names {} and {}; rename one",
                                        path.string(), other.name, f.name));
    out.fields_.push_back({.name = f.name, .per_batch = f.role == FieldRole::shared, .further = true});
  }
  const Arrays arrays = out.arrays_of(example);
  for (std::size_t f = 0; f < out.fields_.size(); ++f) {
    StoreField& field = out.fields_[f];
    field.present = arrays[f] != nullptr;
    if (!field.present) continue;
    field.item = item_of(*arrays[f], field.per_batch);
    field.flat = field.item.size() + 1 > static_cast<std::size_t>(Shape::kMaxRank);
  }
  out.lay_out();
  out.commit({});
  return out;
}

StoreFile::Arrays StoreFile::arrays_of(const Simulations& simulations) const {
  Arrays out;
  for (const StoreField& field : fields_) out.push_back(simulations.find(field.name));
  for (const Simulations::Further& f : simulations.further)
    if (std::ranges::none_of(fields_, [&](const StoreField& field) { return field.name == f.name; }))
      throw IoError(
          fmt::format("\"{}\": {} is there in some batches and absent in others; use one file for each kind", path_.string(), f.name));
  return out;
}

/// The same, without a file.
StoreFile StoreFile::blank() const {
  StoreFile out;
  out.path_ = path_;
  out.description_ = description_;
  out.capacity_rows_ = capacity_rows_;
  out.capacity_batches_ = capacity_batches_;
  out.fields_ = fields_;
  return out;
}

/// A new file without contents.
void StoreFile::lay_out() {
  io::Index index;
  index.attributes = {{"bayesflow_format", std::string(kSimulationsFormat.kind)},
                      {"bayesflow_format_version", std::int64_t{1}},
                      {"bayesflow_library_version", std::string(version())},
                      {"model_name", description_.model_name},
                      {"param_names", description_.param_names},
                      {"seed", description_.seed},
                      {"batch_size", static_cast<std::int64_t>(description_.batch_size)},
                      {"dtype", std::string(io::to_string(type()))},
                      {"one_context_per_batch", static_cast<std::int64_t>(description_.one_context_per_batch)}};
  std::vector<std::string> further, shared;
  for (const StoreField& field : fields_)
    if (field.further) (field.per_batch ? shared : further).push_back(field.name);
  const bool has_further = !further.empty() || !shared.empty();
  if (has_further) {
    index.attributes["bayesflow_format_version"] = static_cast<std::int64_t>(kSimulationsFormat.version);
    index.attributes["further_fields"] = further;
    index.attributes["further_shared_fields"] = shared;
  }
  const auto plan = [&](const std::string& name, io::NumberType number, Extents extents) {
    index.entries[name] = {number, std::move(extents), 0};
  };
  plan("batches", io::NumberType::int64, {capacity_batches_, kLineColumns});
  plan("done", io::NumberType::int64, {2});
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    const StoreField& field = fields_[f];
    if (!field.present) continue;
    Extents extents = field.item;
    extents.insert(extents.begin(), field.per_batch ? capacity_batches_ : capacity_rows_);
    plan(field.path(), type(), field.flat ? Extents{field.capacity} : extents);
    if (!field.flat) continue;
    plan(field.offset_path(), io::NumberType::int64, {capacity_batches_});
    plan(field.shape_path(), io::NumberType::int64, {capacity_batches_, field.item.size() + (field.per_batch ? 0 : 1)});
  }
  // The index comes before all arrays, so that one checksum covers everything that never changes; it is given room for the longest offsets.
  for (auto& [name, entry] : index.entries) entry.offset = ~std::uint64_t{0};
  header_ = io::make_header({.kind = kSimulationsFormat.kind, .version = has_further ? kSimulationsFormat.version : 1});
  header_.index_bytes = io::to_json(index).size();
  pending_ = std::make_unique<io::AtomicFile>(path_);
  for (std::uint64_t metadata = 32768;; metadata *= 2) {
    io::Hdf5Skeleton skeleton(io::kUserBlock, metadata, kPage);
    for (const auto& [name, value] : index.attributes) skeleton.attribute(name, value);
    header_.index_offset = skeleton.text("bayesflow_index", header_.index_bytes);
    std::uint64_t first = ~std::uint64_t{0};
    for (auto& [name, entry] : index.entries) {
      const char* description = name == "batches" ? "columns: first_row, rows, next_index, simulated, dropped, redrawn, checksum"
                                : name == "done"  ? "complete simulations, complete batches; what lies beyond is not there yet"
                                                  : "";
      entry.offset = skeleton.dataset(name, entry.type, entry.extents, description);
      if (entry.offset) first = std::min(first, entry.offset);
    }
    header_.file_bytes = skeleton.finish();
    if (!std::ranges::all_of(skeleton.metadata(), [&](const auto& e) { return e.offset + e.bytes <= first; })) continue;
    header_.sealed_offset = io::kUserBlock;
    header_.sealed_bytes = first - io::kUserBlock;
    skeleton.copy_to(file());
    break;
  }
  std::string text = io::to_json(index);
  text.resize(header_.index_bytes, ' ');
  file().write(header_.index_offset, std::as_bytes(std::span(text.data(), text.size())));
  header_.seal = io::checksum_of(file(), header_.sealed_offset, header_.sealed_bytes);
  io::write_header(file(), header_);

  table_ = index.entries["batches"];
  done_ = index.entries["done"];
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    StoreField& field = fields_[f];
    if (!field.present) continue;
    field.values = index.entries[field.path()];
    if (!field.flat) continue;
    field.offsets = index.entries[field.offset_path()];
    field.shapes = index.entries[field.shape_path()];
  }
}

/// A field that is flat here and was not before has its values in the same order; its offsets and shapes are made.
void StoreFile::copy_contents(const StoreFile& old) {
  CommitRecord done = old.committed_;
  io::copy_range(old.file(), old.table_.offset, file(), table_.offset, done.batches * sizeof(BatchLine));
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    StoreField& field = fields_[f];
    const StoreField& before = old.fields_[f];
    if (!field.present) continue;
    const std::uint64_t numbers = before.flat ? before.used : product(field.item) * (field.per_batch ? done.batches : done.rows);
    io::copy_range(old.file(), before.values.offset, file(), field.values.offset, numbers * number_bytes());
    if (!field.flat) continue;
    field.used = numbers;
    Extents offsets, shapes;
    for (std::uint64_t b = 0, offset = 0; b < done.batches; ++b) {
      const Extents extents = old.shape(f, b, old.line(b));
      offsets.push_back(offset);
      offset += product(extents);
      shapes.insert(shapes.end(), extents.begin(), extents.end());
    }
    file().write(field.offsets.offset, std::as_bytes(std::span(offsets)));
    file().write(field.shapes.offset, std::as_bytes(std::span(shapes)));
  }
  commit(done);
}

void StoreFile::replace_by(StoreFile larger) {
  larger.lay_out();
  larger.copy_contents(*this);
  if (!pending_) larger.publish();
  *this = std::move(larger);
}

void StoreFile::reserve(std::uint64_t rows, std::uint64_t batches) {
  if (rows <= capacity_rows_ && batches <= capacity_batches_) return;
  StoreFile larger = blank();
  larger.capacity_rows_ = std::max(rows, capacity_rows_);
  larger.capacity_batches_ = std::max(batches, capacity_batches_);
  replace_by(std::move(larger));
}

void StoreFile::publish() {
  if (!pending_) return;
  io::Descriptor named = pending_->commit();
  pending_.reset();
  file_ = std::move(named);
}

// --- appending ---

void StoreFile::commit(CommitRecord record) {
  for (std::size_t f = 0; f < record.used.size(); ++f) record.used[f] = fields_[f].used;
  record.sequence = 2 * record.batches + (record.synced_batches == record.batches ? 1 : 0);
  record.checksum = record_checksum(record);
  newest_slot_ = 1 - newest_slot_;
  finished_ = false;
  file().write(kRecordOffsets[newest_slot_], io::bytes_of(record));
  const std::uint64_t done[] = {record.rows, record.batches};
  file().write(done_.offset, std::as_bytes(std::span(done)));
  committed_ = record;
}

/// Larger, or with a field made flat, if this batch needs it.
void StoreFile::make_room(const Arrays& arrays, std::uint64_t rows) {
  StoreFile larger = blank();
  bool needed = false;
  const auto grow = [&](std::uint64_t& capacity, std::uint64_t need) {
    if (need <= capacity) return;
    capacity = std::max(need, 2 * capacity);
    needed = true;
  };
  grow(larger.capacity_rows_, committed_.rows + rows);
  grow(larger.capacity_batches_, committed_.batches + 1);
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    StoreField& field = larger.fields_[f];
    if (field.present != (arrays[f] != nullptr))
      throw IoError(fmt::format("\"{}\": {} is there in some batches and absent in others; use one file for each kind", path_.string(),
                                fields_[f].name));
    if (!field.present) continue;
    const Extents item = item_of(*arrays[f], field.per_batch);
    if (item.size() != field.item.size())
      throw IoError(fmt::format("\"{}\": {} has {} axes in this batch and {} in the first; use one file for each kind", path_.string(),
                                fields_[f].name, item.size(), field.item.size()));
    if (!field.flat && item == field.item) continue;
    if (!field.flat) field.flat = needed = true;
    const std::uint64_t units = field.per_batch ? committed_.batches : committed_.rows,
                        all = field.per_batch ? larger.capacity_batches_ : larger.capacity_rows_;
    const std::uint64_t used = fields_[f].flat ? fields_[f].used : product(field.item) * units,
                        need = used + static_cast<std::uint64_t>(arrays[f]->size());
    if (need <= field.capacity) continue;
    // Room for all that is expected; unused room is a hole in the file.
    const double expected =
        1.25 * static_cast<double>(need) / static_cast<double>(units + (field.per_batch ? 1 : rows)) * static_cast<double>(all);
    field.capacity = std::max({2 * field.capacity, need, static_cast<std::uint64_t>(std::min(expected, 1e15))});
    needed = true;
  }
  if (needed) replace_by(std::move(larger));
}

std::uint64_t StoreFile::checksum(const BatchLine& line, const std::vector<Extents>& shapes,
                                  const std::vector<std::span<const std::byte>>& values) const {
  io::Xxh64 hash;
  hash.update(io::bytes_of(line).first(offsetof(BatchLine, checksum)));
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    if (!fields_[f].present) continue;
    const std::uint64_t axes = shapes[f].size();
    hash.update(io::bytes_of(axes));
    hash.update(std::as_bytes(std::span(shapes[f])));
    hash.update(values[f]);
  }
  return hash.digest();
}

void StoreFile::append(const Simulations& batch, std::uint64_t next_index, const NonFiniteCount& count) {
  CommitRecord next = committed_;
  next.next_index = next_index;
  next.simulated += count.simulated;
  next.dropped += count.dropped;
  next.redrawn += count.redrawn;
  const auto rows = static_cast<std::uint64_t>(batch.batch_size());
  if (rows == 0) return commit(next);
  const Arrays arrays = arrays_of(batch);
  if (description_.precision == StoredPrecision::float32)
    for (std::size_t f = 0; f < fields_.size(); ++f)
      if (const double* beyond = arrays[f] ? detail::beyond_float32(arrays[f]->values()) : nullptr)
        throw SimulationError(
            fmt::format("\"{}\": {} holds {}, {}, as which it is to be stored; store it as StoredPrecision::float64, or scale it",
                        path().string(), fields_[f].name, *beyond, detail::kBeyondFloat32));
  make_room(arrays, rows);
  BatchLine at{committed_.rows, rows, next.next_index, next.simulated, next.dropped, next.redrawn, 0};
  std::vector<Extents> shapes(fields_.size());
  std::vector<std::vector<float>> singles(fields_.size());
  std::vector<std::span<const std::byte>> values(fields_.size());
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    const StoreField& field = fields_[f];
    if (!field.present) continue;
    const Array& array = *arrays[f];
    shapes[f].assign(array.shape().begin(), array.shape().end());
    values[f] = std::as_bytes(array.values());
    if (description_.precision == StoredPrecision::float32) {
      singles[f].assign(array.values().begin(), array.values().end());
      values[f] = std::as_bytes(std::span(singles[f]));
    }
    if (field.flat) {
      file().write(field.offsets.offset + committed_.batches * 8, io::bytes_of(field.used));
      file().write(field.shapes.offset + committed_.batches * 8 * shapes[f].size(), std::as_bytes(std::span(shapes[f])));
    }
    file().write(place(f, committed_.batches, at), values[f]);
    unsynced_bytes_ += values[f].size();
  }
  for (std::size_t f = 0; f < fields_.size(); ++f)
    if (fields_[f].flat) fields_[f].used += static_cast<std::uint64_t>(arrays[f]->size());
  at.checksum = checksum(at, shapes, values);
  file().write(table_.offset + committed_.batches * sizeof at, io::bytes_of(at));
  ++next.batches;
  next.rows += rows;
  commit(next);
  require_name();
  if (unsynced_bytes_ < kSyncBytes) return;
  file().sync();
  unsynced_bytes_ = 0;
  next.synced_batches = next.batches;
  commit(next);
}

/// Writing to a file that was removed would lose everything, and silently.
void StoreFile::require_name() const {
  if (!pending_ && !file_.has_its_name())
    throw IoError(fmt::format("cannot go on writing \"{}\": it was removed or replaced meanwhile; leave it in its place, and start again",
                              path_.string()));
}

void StoreFile::finish() {
  require_name();
  file().sync();
  unsynced_bytes_ = 0;
  committed_.synced_batches = committed_.batches;
  commit(committed_);
  commit(committed_);
  file().sync();
  finished_ = true;
}

// --- opening and reading ---

StoreFile StoreFile::open(const std::filesystem::path& path) {
  StoreFile out;
  out.load(io::open_verified(path, kSimulationsFormat, O_RDONLY));
  return out;
}

StoreFile StoreFile::open_for_append(const std::filesystem::path& path) {
  for (;;) {
    io::Descriptor file(path, O_RDWR, "continue");
    if (!file.try_lock())
      throw IoError(
          fmt::format("\"{}\" is being written by another process; wait until it has finished, or choose another path", path.string()));
    if (!file.has_its_name()) continue;  // replaced by a larger one just now
    io::remove_leftovers(path);
    StoreFile out;
    out.load(io::open_verified(path, kSimulationsFormat, O_RDWR));
    out.file_ = file.duplicate(path);  // the one that is locked
    return out;
  }
}

void StoreFile::load(io::Opened opened) {
  path_ = opened.file.path();
  file_ = std::move(opened.file);
  header_ = opened.header;
  const auto text = [&]<class T>(const char* name, T& to) {
    const auto at = opened.index.attributes.find(name);
    const T* value = at == opened.index.attributes.end() ? nullptr : std::get_if<T>(&at->second);
    if (!value) damaged(fmt::format("\"{}\" is missing", name));
    to = *value;
  };
  const auto entry = [&](const std::string& name, io::NumberType number, std::size_t axes) -> const io::Entry& {
    const auto at = opened.index.entries.find(name);
    if (at == opened.index.entries.end() || at->second.type != number || (axes && at->second.extents.size() != axes) ||
        at->second.extents.empty())
      damaged(fmt::format("dataset \"{}\" is missing or of another kind", name));
    return at->second;
  };
  std::int64_t batch_size = 0, one_context = 0;
  std::string dtype;
  text("model_name", description_.model_name);
  text("param_names", description_.param_names);
  text("seed", description_.seed);
  text("batch_size", batch_size);
  text("one_context_per_batch", one_context);
  text("dtype", dtype);
  description_.batch_size = static_cast<std::uint64_t>(batch_size);
  description_.one_context_per_batch = one_context != 0;
  description_.precision = dtype == "float32" ? StoredPrecision::float32 : StoredPrecision::float64;
  table_ = entry("batches", io::NumberType::int64, 2);
  done_ = entry("done", io::NumberType::int64, 1);
  capacity_batches_ = table_.extents[0];
  if (table_.extents[1] != kLineColumns || done_.extents[0] != 2) damaged("its tables have other columns");
  capacity_rows_ = ~std::uint64_t{0};
  fields_ = standard_fields();
  const bool has_further = header_.format_version > 1;
  if (has_further) {
    for (const auto& [attribute, role] :
         {std::pair{"further_fields", FieldRole::per_simulation}, std::pair{"further_shared_fields", FieldRole::shared}}) {
      std::vector<std::string> names;
      text(attribute, names);
      Simulations valid;
      for (std::string& name : names) {
        try {
          if (Simulations::is_standard(name) || valid.find(name)) throw ArgumentError("a field that is there already");
          valid.set(name, Array(), role);
        } catch (const ArgumentError&) {
          damaged(fmt::format("\"{}\" cannot be the name of a further field", name));
        }
        fields_.push_back({.name = std::move(name), .per_batch = role == FieldRole::shared, .further = true});
      }
    }
  }
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    StoreField& field = fields_[f];
    field.present = opened.index.entries.contains(field.path());
    if (!field.present) {
      const bool needed = field.further || field.name == "sim_data" || (field.name == "prior_draws" && !has_further);
      if (needed) damaged(fmt::format("dataset \"{}\" is missing", field.path()));
      continue;
    }
    field.flat = opened.index.entries.contains(field.offset_path());
    field.values = entry(field.path(), type(), field.flat ? 1 : 0);
    if (field.flat) {
      field.capacity = field.values.extents[0];
      field.offsets = entry(field.offset_path(), io::NumberType::int64, 1);
      field.shapes = entry(field.shape_path(), io::NumberType::int64, 2);
      if (field.offsets.extents[0] != capacity_batches_ || field.shapes.extents[0] != capacity_batches_ ||
          field.shapes.extents[1] > static_cast<std::uint64_t>(Shape::kMaxRank) || (!field.per_batch && field.shapes.extents[1] == 0))
        damaged("its tables have other columns");
    } else {
      field.item.assign(field.values.extents.begin() + 1, field.values.extents.end());
      if (field.per_batch ? field.values.extents[0] != capacity_batches_
                          : capacity_rows_ != ~std::uint64_t{0} && field.values.extents[0] != capacity_rows_)
        damaged("its arrays have different lengths");
      if (!field.per_batch) capacity_rows_ = field.values.extents[0];
    }
  }
  recover();
}

void StoreFile::recover() {
  bool found = false;
  std::array<CommitRecord, 2> records;
  for (std::size_t slot = 0; slot < 2; ++slot) {
    CommitRecord& record = records[slot];
    file().read(kRecordOffsets[slot], std::as_writable_bytes(std::span(&record, 1)));
    if (record.checksum != record_checksum(record)) continue;
    if (found && std::tie(record.sequence, record.next_index) < std::tie(committed_.sequence, committed_.next_index)) continue;
    committed_ = record;
    newest_slot_ = slot;
    found = true;
  }
  if (!found) damaged("it does not say how many simulations it holds");
  CommitRecord& c = committed_;
  finished_ = std::ranges::equal(io::bytes_of(records[0]), io::bytes_of(records[1])) && c.synced_batches == c.batches;
  if (c.batches > capacity_batches_ || c.synced_batches > c.batches) damaged("it claims more batches than it has room for");
  if (c.rows > capacity_rows_) damaged("it claims more simulations than it has room for");
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    StoreField& field = fields_[f];
    if (!field.flat) continue;
    field.used = !field.further ? c.used[f] : c.batches ? used_up_to(f, c.batches - 1) : 0;
    if (field.used > field.capacity) damaged("it claims more numbers than it has room for");
    field.item = c.batches ? shape(f, 0, line(0)) : Extents(static_cast<std::size_t>(field.shapes.extents[1]), 0);
    if (!field.per_batch) field.item.erase(field.item.begin());
  }
  // A power failure may have left less on the disk than the record says.
  for (std::uint64_t b = c.synced_batches; b < c.batches; ++b) {
    try {
      const BatchLine before = b ? line(b - 1) : BatchLine{};
      if (line(b).first_row != before.first_row + before.rows) damaged("its batches overlap");
      (void)read(b);
    } catch (const IoError&) {
      const BatchLine before = b ? line(b - 1) : BatchLine{};
      CommitRecord kept;
      kept.batches = kept.synced_batches = b;
      kept.rows = before.first_row + before.rows;
      kept.next_index = before.next_index;
      kept.simulated = before.simulated;
      kept.dropped = before.dropped;
      kept.redrawn = before.redrawn;
      for (std::size_t f = 0; f < fields_.size(); ++f)
        if (fields_[f].flat) fields_[f].used = b ? used_up_to(f, b - 1) : 0;
      c = kept;
      return;
    }
  }
}

BatchLine StoreFile::line(std::uint64_t batch) const {
  BatchLine out;
  file().read(table_.offset + batch * sizeof out, std::as_writable_bytes(std::span(&out, 1)));
  if (out.rows == 0 || out.rows > capacity_rows_ || out.first_row > capacity_rows_ - out.rows)
    damaged(fmt::format("the line of batch {} makes no sense", batch));
  return out;
}

StoreFile::Extents StoreFile::shape(std::size_t f, std::uint64_t batch, const BatchLine& at) const {
  const StoreField& field = fields_[f];
  if (!field.flat) {
    Extents out = field.item;
    if (!field.per_batch) out.insert(out.begin(), at.rows);
    return out;
  }
  Extents out(static_cast<std::size_t>(field.shapes.extents[1]));
  file().read(field.shapes.offset + batch * out.size() * 8, std::as_writable_bytes(std::span(out)));
  bool fits = field.per_batch || out[0] == at.rows;
  std::uint64_t numbers = 1;
  for (const std::uint64_t extent : out) {
    fits = fits && (extent == 0 || numbers <= field.capacity / extent);
    numbers *= extent;
  }
  if (!fits) damaged(fmt::format("the shape of {} in batch {} makes no sense", fields_[f].name, batch));
  return out;
}

std::uint64_t StoreFile::used_up_to(std::size_t f, std::uint64_t batch) const {
  std::uint64_t offset = 0;
  file().read(fields_[f].offsets.offset + batch * 8, std::as_writable_bytes(std::span(&offset, 1)));
  if (offset > fields_[f].capacity) damaged(fmt::format("the place of {} in batch {} makes no sense", fields_[f].name, batch));
  return offset + product(shape(f, batch, line(batch)));
}

std::uint64_t StoreFile::place(std::size_t f, std::uint64_t batch, const BatchLine& at) const {
  const StoreField& field = fields_[f];
  if (!field.flat) return field.values.offset + product(field.item) * number_bytes() * (field.per_batch ? batch : at.first_row);
  std::uint64_t offset = 0;
  file().read(field.offsets.offset + batch * 8, std::as_writable_bytes(std::span(&offset, 1)));
  if (offset > field.capacity) damaged(fmt::format("the place of {} in batch {} makes no sense", fields_[f].name, batch));
  return field.values.offset + offset * number_bytes();
}

std::uint64_t StoreFile::array_bytes(std::uint64_t batch) const {
  const BatchLine at = line(batch);
  std::uint64_t numbers = 0;
  for (std::size_t f = 0; f < fields_.size(); ++f)
    if (fields_[f].present) numbers += product(shape(f, batch, at));
  return numbers * sizeof(double);
}

Simulations StoreFile::read(std::uint64_t batch) const {
  const BatchLine at = line(batch);
  std::vector<Extents> shapes(fields_.size());
  std::vector<std::vector<float>> singles(fields_.size());
  std::vector<std::optional<Array>> arrays(fields_.size());
  std::vector<std::span<const std::byte>> values(fields_.size());
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    if (!fields_[f].present) continue;
    shapes[f] = shape(f, batch, at);
    const std::uint64_t numbers = product(shapes[f]), from = place(f, batch, at);
    if (numbers * number_bytes() > header_.file_bytes || from > header_.file_bytes - numbers * number_bytes())
      damaged(fmt::format("{} of batch {} does not lie within the file", fields_[f].name, batch));
    arrays[f] = uninitialized_array(to_shape(shapes[f]));
    std::span<std::byte> to = std::as_writable_bytes(arrays[f]->values());
    if (description_.precision == StoredPrecision::float32) {
      singles[f].resize(static_cast<std::size_t>(numbers));
      to = std::as_writable_bytes(std::span(singles[f]));
    }
    file().read(from, to);
    values[f] = to;
  }
  if (checksum(at, shapes, values) != at.checksum)
    damaged(fmt::format("batch {} of {} does not match its checksum", batch, committed_.batches));
  for (std::size_t f = 0; f < fields_.size(); ++f) std::copy(singles[f].begin(), singles[f].end(), arrays[f] ? arrays[f]->data() : nullptr);
  Simulations out;
  for (std::size_t f = 0; f < fields_.size(); ++f)
    if (arrays[f]) out.set(fields_[f].name, std::move(*arrays[f]), fields_[f].per_batch ? FieldRole::shared : FieldRole::per_simulation);
  return out;
}

}  // namespace bayesflow::detail
