/// The folder of a trainer's checkpoints.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/ranks.hpp"
#include "io/descriptor.hpp"
#include "training/run.hpp"

namespace bayesflow::training {

/// One snapshot in a file; the layout is in docs/training.md. Throws IoError.
void write_snapshot(const Snapshot& snapshot, const std::filesystem::path& file);
[[nodiscard]] Snapshot read_snapshot(const std::filesystem::path& file);

/// Files checkpoint_000001.h5, checkpoint_000002.h5, ... of which the newest are kept. A thread of its own writes them, so that training
/// waits for no disk; a snapshot that comes while one is being written replaces one that waits. A file that is there is whole: it is
/// written under another name, synced and renamed.
class Checkpoints {
 public:
  /// Makes the folder if need be, and locks it while this object lives. Throws IoError.
  Checkpoints(std::filesystem::path folder, int max_to_keep);
  ~Checkpoints();  // writes what waits
  Checkpoints(const Checkpoints&) = delete;
  Checkpoints& operator=(const Checkpoints&) = delete;

  struct Found {
    Snapshot snapshot;
    std::string file;
  };
  /// The newest one that can be read. Sentences about damaged ones go to `remarks`; if none of several can be read, IoError. So is one of a
  /// newer format: to go on from an older one would undo what the newer library did, and in the end remove it.
  [[nodiscard]] std::optional<Found> newest(std::vector<std::string>& remarks) const;
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  void write(Snapshot snapshot);
  void wait();  ///< until nothing is waiting or being written
  /// What happened since the last call: files written, and sentences about those that could not be.
  struct Report {
    std::vector<std::string> written, failures;
  };
  [[nodiscard]] bool has_report() const { return reported_.load(std::memory_order_acquire); }
  [[nodiscard]] Report report();

 private:
  void loop();
  void write_now(const Snapshot& snapshot, Report& report);
  [[nodiscard]] std::vector<std::pair<std::uint64_t, std::filesystem::path>> files() const;  // the oldest first

  std::filesystem::path folder_;
  std::size_t max_to_keep_;
  io::Descriptor lock_;
  std::uint64_t number_ = 0;  // of the last file

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<Snapshot> waiting_;
  bool busy_ = false, stop_ = false;
  Report report_;
  std::atomic<bool> reported_{false};
};

/// What rank 0 has found, which all ranks go on from; none if it has found nothing.
[[nodiscard]] std::optional<Checkpoints::Found> found_by_rank_0(bayesflow::detail::Ranks& ranks, std::optional<Checkpoints::Found> found);

}  // namespace bayesflow::training
