#include "io/hdf5_memory.hpp"

#include <hdf5.h>

#include <algorithm>
#include <limits>
#include <new>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::io {

void Hdf5Memory::write(std::uint64_t offset, std::span<const std::byte> bytes) noexcept {
  try {
    while (!bytes.empty()) {
      const std::uint64_t within = offset % kPage, count = std::min<std::uint64_t>(kPage - within, bytes.size());
      std::ranges::copy(bytes.first(count), pages_[offset / kPage].begin() + static_cast<std::ptrdiff_t>(within));
      offset += count;
      bytes = bytes.subspan(count);
      length_ = std::max(length_, offset);
    }
  } catch (const std::bad_alloc&) {
    lost_ = true;
  }
}

void Hdf5Memory::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const std::uint64_t within = offset % kPage, count = std::min<std::uint64_t>(kPage - within, bytes.size());
    const auto page = pages_.find(offset / kPage);
    if (page == pages_.end()) {
      std::ranges::fill(bytes.first(count), std::byte{0});
    } else {
      std::ranges::copy(std::span(page->second).subspan(within, count), bytes.begin());
    }
    offset += count;
    bytes = bytes.subspan(count);
  }
}

std::vector<Hdf5Memory::Extent> Hdf5Memory::extents() const {
  std::vector<Extent> out;
  for (const auto& [number, page] : pages_) {
    const std::uint64_t offset = number * kPage;
    if (offset >= length_) break;
    const std::uint64_t bytes = std::min(kPage, length_ - offset);
    if (!out.empty() && out.back().offset + out.back().bytes == offset) {
      out.back().bytes += bytes;
    } else {
      out.push_back({offset, bytes});
    }
  }
  return out;
}

void Hdf5Memory::finish() const {
  if (lost_) throw std::bad_alloc();
}

/// The driver: an open file is HDF5's struct with ours behind it.
struct Hdf5MemoryDriver {
  H5FD_t base;  // first: HDF5 knows this address
  Hdf5Memory* memory;
  haddr_t end;  // of what HDF5 has given away

  static Hdf5MemoryDriver& of(H5FD_t* file) { return *reinterpret_cast<Hdf5MemoryDriver*>(file); }
  static const Hdf5MemoryDriver& of(const H5FD_t* file) { return *reinterpret_cast<const Hdf5MemoryDriver*>(file); }

  static H5FD_t* open(const char* /*name*/, unsigned flags, hid_t access, haddr_t /*most*/) {
    const void* info = H5Pget_driver_info(access);
    auto* file = info ? new (std::nothrow) Hdf5MemoryDriver() : nullptr;
    if (!file) return nullptr;
    file->memory = *static_cast<Hdf5Memory* const*>(info);
    if (flags & H5F_ACC_TRUNC) {
      file->memory->pages_.clear();
      file->memory->length_ = 0;
    }
    return &file->base;
  }
  static herr_t close(H5FD_t* file) {
    delete &of(file);
    return 0;
  }
  static herr_t query(const H5FD_t* /*file*/, unsigned long* flags) {
    // What the drivers of real files say too: it decides how metadata and small arrays are placed.
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_AGGREGATE_SMALLDATA |
             H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
  }
  static haddr_t get_end(const H5FD_t* file, H5FD_mem_t /*type*/) { return of(file).end; }
  static herr_t set_end(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t end) {
    of(file).end = end;
    return 0;
  }
  static haddr_t get_length(const H5FD_t* file, H5FD_mem_t /*type*/) { return of(file).memory->length_; }
  static herr_t read(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t offset, std::size_t size, void* to) {
    of(file).memory->read(offset, {static_cast<std::byte*>(to), size});
    return 0;
  }
  static herr_t write(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t offset, std::size_t size, const void* from) {
    of(file).memory->write(offset, {static_cast<const std::byte*>(from), size});
    return 0;
  }
  static herr_t truncate(H5FD_t* file, hid_t /*transfer*/, hbool_t /*closing*/) {
    of(file).memory->length_ = of(file).end;
    return 0;
  }

  static H5FD_class_t make() {
    H5FD_class_t c{};
#if H5_VERSION_GE(1, 13, 2)
    c.version = H5FD_CLASS_VERSION;
    c.value = static_cast<H5FD_class_value_t>(H5_VFD_RESERVED + 4711);
#endif
    c.name = "bayesflow_memory";
    c.maxaddr = static_cast<haddr_t>(std::numeric_limits<std::int64_t>::max());
    c.fc_degree = H5F_CLOSE_WEAK;
    c.fapl_size = sizeof(void*);
    c.open = open;
    c.close = close;
    c.query = query;
    c.get_eoa = get_end;
    c.set_eoa = set_end;
    c.get_eof = get_length;
    c.read = read;
    c.write = write;
    c.truncate = truncate;
    constexpr H5FD_mem_t kKinds[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
    std::ranges::copy(kKinds, c.fl_map);
    return c;
  }
};

std::int64_t Hdf5Memory::use_for(std::int64_t access) {
  static_assert(sizeof access == sizeof(hid_t));
  const H5FD_class_t driver = Hdf5MemoryDriver::make();
  const hid_t id = H5FDregister(&driver);
  Hdf5Memory* self = this;
  const herr_t status = id < 0 ? -1 : H5Pset_driver(access, id, &self);  // HDF5 copies the pointer
  if (status >= 0) return id;
  if (id >= 0) H5FDunregister(id);
  throw IoError("HDF5 could not make a driver for memory; this is a fault of the installation or of memory");
}

}  // namespace bayesflow::io
