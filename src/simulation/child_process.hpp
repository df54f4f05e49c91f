/// A program that runs beside this one, with pipes to its standard streams.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bayesflow::detail {

/// A file descriptor that is closed with it.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { close(); }
  [[nodiscard]] int get() const { return fd_; }
  void close();

 private:
  int fd_;
};

class ChildProcess {
 public:
  enum class Outcome : std::uint8_t { answered, ended, timed_out, stopped };
  using Clock = std::chrono::steady_clock;

  /// Starts command[0], found in PATH, in a session of its own, with `environment` ("NAME=value") beside this process' variables. On Linux
  /// the kernel kills it when the thread that calls this ends. Throws ConfigurationError.
  ChildProcess(const std::vector<std::string>& command, const std::vector<std::string>& environment);
  ~ChildProcess() { end(std::chrono::milliseconds(0)); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Writes `request` and reads standard output until `complete` says of all that was read how many bytes the answer has (0: not yet
  /// there).
  Outcome exchange(std::string_view request, const std::function<std::size_t(std::string_view)>& complete, Clock::time_point deadline,
                   const std::atomic<bool>* stop);
  [[nodiscard]] std::string_view answer() const { return std::string_view(output_).substr(0, answer_bytes_); }
  [[nodiscard]] bool wrote_more() const { return output_.size() > answer_bytes_; }
  /// What was written to standard error since the last call, the end of it if that is long.
  [[nodiscard]] std::string take_errors();

  void close_input() { input_.close(); }  ///< a program that reads requests ends then
  /// Gives it `grace` to end by itself, then kills it and what it started. Returns waitpid's status, or -1.
  int end(std::chrono::milliseconds grace);
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  bool read_errors();

  Descriptor input_, out_, err_;
  pid_t pid_ = -1;
  int status_ = -1;
  std::string output_, errors_;
  std::size_t answer_bytes_ = 0;
};

/// "with exit status 3", "by SIGKILL".
[[nodiscard]] std::string how_it_ended(int status);

}  // namespace bayesflow::detail
