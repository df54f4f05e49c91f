#include "io/hdf5_skeleton.hpp"

#include <fmt/format.h>
#include <hdf5.h>
#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::io {
namespace {

std::mutex library_mutex;
// A child that is forked while another thread calls HDF5 would find the library in the middle of something, and locked for ever.
[[maybe_unused]] const int registered =
    pthread_atfork([] { library_mutex.lock(); }, [] { library_mutex.unlock(); }, [] { library_mutex.unlock(); });

/// The right to call HDF5, silently.
class Hdf5Call {
 public:
  Hdf5Call() : lock_(library_mutex) {
    H5open();
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~Hdf5Call() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }
  Hdf5Call(const Hdf5Call&) = delete;
  Hdf5Call& operator=(const Hdf5Call&) = delete;

 private:
  std::lock_guard<std::mutex> lock_;
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// An HDF5 identifier, closed at the end.
class Id {
 public:
  Id() = default;
  Id(hid_t id, herr_t (*close)(hid_t), const char* what) : id_(id), close_(close) {
    if (id < 0) throw IoError(fmt::format("HDF5 could not {}; this is a fault of the installation or of memory", what));
  }
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Id& operator=(Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Id() { reset(); }
  void reset() {
    if (id_ >= 0) close_(std::exchange(id_, -1));
  }
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

void check(herr_t status, const char* what) {
  if (status < 0) throw IoError(fmt::format("HDF5 could not {}; this is a fault of the installation or of memory", what));
}

hid_t stored_type(NumberType type) {
  switch (type) {
    case NumberType::float64:
      return H5T_IEEE_F64LE;
    case NumberType::float32:
      return H5T_IEEE_F32LE;
    case NumberType::int64:
      return H5T_STD_I64LE;
    case NumberType::uint64:
      return H5T_STD_U64LE;
    case NumberType::int32:
      return H5T_STD_I32LE;
    case NumberType::uint8:
      return H5T_STD_U8LE;
  }
  return -1;
}

Id text_type(std::size_t size) {
  Id type(H5Tcopy(H5T_C_S1), H5Tclose, "make a type for text");
  check(H5Tset_size(type, size), "size a type for text");
  check(H5Tset_cset(type, H5T_CSET_UTF8), "set the character set of a text");
  check(H5Tset_strpad(type, size == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD), "set the padding of a text");
  return type;
}

/// `value` is null if the space is empty.
void write_attribute(hid_t object, const std::string& name, hid_t file_type, hid_t memory_type, hid_t space, const void* value) {
  const Id attribute(H5Acreate2(object, name.c_str(), file_type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "create an attribute");
  if (value) check(H5Awrite(attribute, memory_type, value), "write an attribute");
}

void write_text_attribute(hid_t object, const std::string& name, const std::string& text) {
  const Id type = text_type(H5T_VARIABLE), space(H5Screate(H5S_SCALAR), H5Sclose, "make a scalar");
  const char* pointer = text.c_str();
  write_attribute(object, name, type, type, space, &pointer);
}

}  // namespace

const char* to_string(NumberType type) {
  switch (type) {
    case NumberType::float64:
      return "float64";
    case NumberType::float32:
      return "float32";
    case NumberType::int64:
      return "int64";
    case NumberType::uint64:
      return "uint64";
    case NumberType::int32:
      return "int32";
    case NumberType::uint8:
      return "uint8";
  }
  return "";
}

std::uint64_t bytes_per_number(NumberType type) {
  switch (type) {
    case NumberType::float64:
    case NumberType::int64:
    case NumberType::uint64:
      return 8;
    case NumberType::float32:
    case NumberType::int32:
      return 4;
    case NumberType::uint8:
      return 1;
  }
  return 0;
}

std::uint64_t checked_bytes(const std::string& path, NumberType type, const std::vector<std::uint64_t>& extents) {
  std::uint64_t bytes = bytes_per_number(type);
  for (const std::uint64_t extent : extents) {
    if (extent != 0 && bytes > (std::uint64_t{1} << 62) / extent)
      throw IoError(fmt::format("dataset \"{}\" would be larger than any file; check its extents", path));
    bytes *= extent;
  }
  return bytes;
}

struct Hdf5Skeleton::Ids {
  Id driver;  // first: closed after the file that uses it
  Id file, creation, group_creation, links;
  std::set<std::string> groups;
};

Hdf5Skeleton::Hdf5Skeleton(std::uint64_t user_block, std::uint64_t metadata_bytes, std::uint64_t alignment) {
  const Hdf5Call call;
  auto ids = std::make_unique<Ids>();
  const Id file_creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "make a property list"),
      access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make a property list");
  check(H5Pset_userblock(file_creation, user_block), "set the user block");
  check(H5Pset_obj_track_times(file_creation, false), "leave out times");  // the same content is the same bytes
  // Metadata of HDF5 1.8, which every HDF5 in use can read, with checksums of its own.
  check(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18), "set the format");
  check(H5Pset_meta_block_size(access, metadata_bytes), "set the size of metadata blocks");
  check(H5Pset_small_data_block_size(access, 0), "set the size of data blocks");
  check(H5Pset_alignment(access, 1, alignment), "set the alignment");
  ids->driver = Id(memory_.use_for(access), H5FDunregister, "register a driver");
  ids->file = Id(H5Fcreate("layout", H5F_ACC_TRUNC, file_creation, access), H5Fclose, "create a file in memory");
  ids->creation = Id(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
  check(H5Pset_layout(ids->creation, H5D_CONTIGUOUS), "set the layout");
  check(H5Pset_alloc_time(ids->creation, H5D_ALLOC_TIME_EARLY), "set the time of allocation");
  check(H5Pset_fill_time(ids->creation, H5D_FILL_TIME_NEVER), "set the time of filling");
  check(H5Pset_obj_track_times(ids->creation, false), "leave out times");
  // Groups are made one by one: those that HDF5 makes on the way would hold the time of day.
  ids->group_creation = Id(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, "make a property list");
  check(H5Pset_obj_track_times(ids->group_creation, false), "leave out times");
  ids->links = Id(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "make a property list");
  check(H5Pset_char_encoding(ids->links, H5T_CSET_UTF8), "set the character set of names");
  ids_ = std::move(ids);
}

Hdf5Skeleton::~Hdf5Skeleton() {
  const Hdf5Call call;
  ids_.reset();
}

void Hdf5Skeleton::attribute(const std::string& name, const Attribute& value) {
  const Hdf5Call call;
  const Id scalar(H5Screate(H5S_SCALAR), H5Sclose, "make a scalar");
  const hid_t file = ids_->file;
  if (const auto* i = std::get_if<std::int64_t>(&value)) {
    write_attribute(file, name, H5T_STD_I64LE, H5T_NATIVE_INT64, scalar, i);
  } else if (const auto* u = std::get_if<std::uint64_t>(&value)) {
    write_attribute(file, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, scalar, u);
  } else if (const auto* d = std::get_if<double>(&value)) {
    write_attribute(file, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, scalar, d);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    write_text_attribute(file, name, *text);
  } else {
    const auto& list = std::get<std::vector<std::string>>(value);
    const hsize_t count = list.size();
    const Id type = text_type(H5T_VARIABLE), space(H5Screate_simple(1, &count, nullptr), H5Sclose, "make a list");
    std::vector<const char*> pointers;
    for (const std::string& t : list) pointers.push_back(t.c_str());
    write_attribute(file, name, type, type, space, pointers.empty() ? nullptr : pointers.data());
  }
}

std::uint64_t Hdf5Skeleton::dataset(const std::string& path, NumberType type, const std::vector<std::uint64_t>& extents,
                                    const std::string& description) {
  (void)checked_bytes(path, type, extents);
  const Hdf5Call call;
  return create(path, stored_type(type), extents, description);
}

std::uint64_t Hdf5Skeleton::text(const std::string& path, std::uint64_t bytes, const std::vector<std::uint64_t>& extents) {
  const Hdf5Call call;
  const Id type = text_type(bytes);
  return create(path, type, extents, {});
}

std::uint64_t Hdf5Skeleton::create(const std::string& path, std::int64_t type, const std::vector<std::uint64_t>& extents,
                                   const std::string& description) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string group = path.substr(0, slash);
    if (ids_->groups.insert(group).second)
      Id(H5Gcreate2(ids_->file, group.c_str(), ids_->links, ids_->group_creation, H5P_DEFAULT), H5Gclose, "create a group").reset();
  }
  const std::vector<hsize_t> dims(extents.begin(), extents.end());
  const Id space(dims.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), H5Sclose,
                 "make a shape");
  const Id set(H5Dcreate2(ids_->file, path.c_str(), type, space, ids_->links, ids_->creation, H5P_DEFAULT), H5Dclose, "create a dataset");
  if (!description.empty()) write_text_attribute(set, "description", description);
  if (std::find(dims.begin(), dims.end(), 0U) != dims.end()) return 0;
  const haddr_t offset = H5Dget_offset(set);
  if (offset == HADDR_UNDEF) throw IoError(fmt::format("HDF5 gave dataset \"{}\" no place in the file", path));
  return offset;
}

std::uint64_t Hdf5Skeleton::finish() {
  {
    const Hdf5Call call;
    check(H5Fflush(ids_->file, H5F_SCOPE_LOCAL), "finish a file");
    ids_.reset();
  }
  memory_.finish();
  return memory_.length();
}

void Hdf5Skeleton::copy_to(const Descriptor& file) const {
  file.resize(memory_.length());
  std::vector<std::byte> piece;
  for (const Hdf5Memory::Extent& extent : metadata()) {
    piece.resize(extent.bytes);
    memory_.read(extent.offset, piece);
    file.write(extent.offset, piece);
  }
}

}  // namespace bayesflow::io
