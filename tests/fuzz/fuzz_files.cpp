/// libFuzzer harness over the loaders of model files, stored simulations and checkpoints. The first byte says whether checksums are made
/// right first: without that, nearly everything ends at the checksum; with it, index, architecture, tables and records are reached.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "io/support_files.hpp"
#include "training/checkpoints.hpp"

namespace {

/// A file in memory, with a name that can be opened.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("fuzz", 0)), path_("/proc/self/fd/" + std::to_string(fd_)) {}
  void put(const std::string& bytes) const {
    if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const MemoryFile file;
  if (size < 1) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] & 1) bayesflow::reseal(bytes);
  file.put(bytes);
  try {
    const bayesflow::AmortizedPosterior amortizer = bayesflow::load_amortizer(file.path(), {.threads = 1, .verify = (data[0] & 2) != 0});
  } catch (const bayesflow::IoError&) {
  }
  try {
    const bayesflow::SimulationStore store(file.path());
    for (std::int64_t b = 0; b < store.batches() && b < 100; ++b) (void)store.batch(b);
  } catch (const bayesflow::IoError&) {
  }
  try {
    const bayesflow::training::Snapshot snapshot = bayesflow::training::read_snapshot(file.path());
  } catch (const bayesflow::IoError&) {
  }
  return 0;
}
