#include "training/checkpoints.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>
#include <system_error>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "core/path.hpp"
#include "io/atomic_file.hpp"
#include "io/header.hpp"

namespace bayesflow::training {
namespace {

constexpr std::string_view kStem = "checkpoint_", kEnding = ".h5";

/// The number in "checkpoint_000012.h5"; 0 for anything else.
std::uint64_t number_of(const std::string& name) {
  if (!name.starts_with(kStem) || !name.ends_with(kEnding) || name.size() <= kStem.size() + kEnding.size()) return 0;
  const char *first = name.data() + kStem.size(), *last = name.data() + name.size() - kEnding.size();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(first, last, number);
  return error == std::errc() && end == last ? number : 0;
}

}  // namespace

Checkpoints::Checkpoints(std::filesystem::path folder, int max_to_keep)
    : folder_(std::move(folder)), max_to_keep_(static_cast<std::size_t>(max_to_keep)) {
  detail::require_name("cannot make the checkpoint folder", folder_);
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) io::fail("cannot make the checkpoint folder", folder_, error.value());
  lock_ = io::Descriptor(folder_ / "lock", O_RDWR | O_CREAT, "write");
  if (!lock_.try_lock())
    throw IoError(
        fmt::format("the checkpoint folder \"{}\" is in use by another trainer; wait for its end, or give this one a folder of its own",
                    folder_.string()));
  // The lock may be from better times.
  const io::AtomicFile writable(folder_ / kStem);
  // A new file never has the number of one that was there, readable or not.
  for (const auto& [number, file] : files()) number_ = std::max(number_, number);
  thread_ = std::thread([this] { loop(); });
}

Checkpoints::~Checkpoints() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::vector<std::pair<std::uint64_t, std::filesystem::path>> Checkpoints::files() const {
  std::vector<std::pair<std::uint64_t, std::filesystem::path>> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored))
    if (const std::uint64_t number = number_of(entry.path().filename().string())) out.emplace_back(number, entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<Checkpoints::Found> Checkpoints::newest(std::vector<std::string>& remarks) const {
  auto all = files();
  std::reverse(all.begin(), all.end());
  for (const auto& [number, file] : all) {
    try {
      return Found{read_snapshot(file), file.string()};
    } catch (const io::NewerFormat&) {
      throw;
    } catch (const IoError& error) {
      remarks.emplace_back(error.what());
    }
  }
  if (all.empty()) return {};
  std::string text;
  for (const std::string& remark : remarks) text += "\n  " + remark;
  throw IoError(
      fmt::format("none of the {} checkpoints in \"{}\" can be read; move them away to begin anew:{}", all.size(), folder_.string(), text));
}

void Checkpoints::write(Snapshot snapshot) {
  auto next = std::make_unique<Snapshot>(std::move(snapshot));
  {
    const std::lock_guard lock(mutex_);
    std::swap(waiting_, next);
  }
  changed_.notify_all();
}

void Checkpoints::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !waiting_ && !busy_; });
}

Checkpoints::Report Checkpoints::report() {
  const std::lock_guard lock(mutex_);
  reported_.store(false, std::memory_order_release);
  return std::exchange(report_, {});
}

void Checkpoints::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || waiting_; });
    if (!waiting_) return;
    const std::unique_ptr<Snapshot> snapshot = std::move(waiting_);
    busy_ = true;
    lock.unlock();
    Report now;
    write_now(*snapshot, now);
    lock.lock();
    busy_ = false;
    std::move(now.written.begin(), now.written.end(), std::back_inserter(report_.written));
    std::move(now.failures.begin(), now.failures.end(), std::back_inserter(report_.failures));
    reported_.store(true, std::memory_order_release);
    changed_.notify_all();
  }
}

void Checkpoints::write_now(const Snapshot& snapshot, Report& report) {
  const std::filesystem::path file = folder_ / fmt::format("{}{:06}{}", kStem, number_ + 1, kEnding);
  try {
    write_snapshot(snapshot, file);
  } catch (const std::exception& error) {
    report.failures.emplace_back(error.what());
    return;
  }
  ++number_;
  report.written.push_back(file.string());
  const auto all = files();
  for (std::size_t i = 0; i + max_to_keep_ < all.size(); ++i) {
    std::error_code error;
    std::filesystem::remove(all[i].second, error);
    if (error)
      report.failures.push_back(fmt::format("the old checkpoint \"{}\" cannot be removed: {}", all[i].second.string(), error.message()));
  }
}

std::optional<Checkpoints::Found> found_by_rank_0(bayesflow::detail::Ranks& ranks, std::optional<Checkpoints::Found> found) {
  std::vector<std::byte> bytes;
  if (found) {
    const io::Descriptor file(found->file, O_RDONLY, "read");
    bytes.resize(file.size());
    file.read(0, bytes);
  }
  const auto sent = ranks.gather_any(bayesflow::detail::Meeting::checkpoint, bytes);
  if (ranks.rank() == 0 || sent[0].empty()) return found;
  // A file in memory, which goes with its descriptor.
  const std::string name = "checkpoint of rank 0";
  const int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC);
  if (fd < 0) io::fail("cannot make a file in memory for the", name, errno);
  const io::Descriptor copy(name, fd);
  copy.write(0, sent[0]);
  return Checkpoints::Found{read_snapshot(fmt::format("/proc/self/fd/{}", fd)), name};
}

}  // namespace bayesflow::training
