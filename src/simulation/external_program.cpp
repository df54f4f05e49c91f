#include "bayesflow/simulation/external_program.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "core/fork.hpp"
#include "simulation/batch.hpp"
#include "simulation/child_process.hpp"
#include "simulation/external_protocol.hpp"

namespace bayesflow {
namespace {

using detail::ChildProcess;
using Clock = ChildProcess::Clock;

constexpr int kAttempts = 3;  // a simulation whose program ends as often is given up
constexpr int kShownMessages = 10;

/// A thread that starts programs: the kernel ends them with the thread that has started them, and the threads that simulate come and go.
class Starter {
 public:
  ~Starter() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  std::unique_ptr<ChildProcess> start(const ExternalProgramOptions& options) {
    std::packaged_task<std::unique_ptr<ChildProcess>()> job(
        [&options] { return std::make_unique<ChildProcess>(options.command, options.environment); });
    auto result = job.get_future();
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    changed_.notify_all();
    return result.get();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<std::unique_ptr<ChildProcess>()>> jobs_;
  bool closing_ = false;
  std::thread thread_{[this] { run(); }};
};

/// The programs that run. A forked child has its own.
struct Programs {
  std::mutex mutex;
  std::condition_variable freed;
  Starter starter;
  std::vector<std::unique_ptr<ChildProcess>> idle;
  int running = 0, messages = 0;

  ~Programs() { close(); }
  void close() {
    const std::lock_guard lock(mutex);
    for (const auto& program : idle) program->close_input();
    const auto last = Clock::now() + std::chrono::seconds(1);
    for (const auto& program : idle)
      program->end(std::max(std::chrono::milliseconds(0), std::chrono::duration_cast<std::chrono::milliseconds>(last - Clock::now())));
    running -= static_cast<int>(idle.size());
    idle.clear();
  }
  /// One of at most `most` programs (0: without a limit).
  std::unique_ptr<ChildProcess> take(const ExternalProgramOptions& options) {
    {
      std::unique_lock lock(mutex);
      freed.wait(lock, [&] { return !idle.empty() || options.workers == 0 || running < options.workers; });
      if (!idle.empty()) {
        auto out = std::move(idle.back());
        idle.pop_back();
        return out;
      }
      ++running;
    }
    try {
      return starter.start(options);
    } catch (...) {
      lost();
      throw;
    }
  }
  void give_back(std::unique_ptr<ChildProcess> program) {
    {
      const std::lock_guard lock(mutex);
      idle.push_back(std::move(program));
    }
    freed.notify_one();
  }
  void lost() {
    {
      const std::lock_guard lock(mutex);
      --running;
    }
    freed.notify_one();
  }
};

/// A simulation was given up because the caller wants no more.
struct Stopped {};

/// A program that was taken, and is ended unless it is given back.
class Lease {
 public:
  Lease(Programs& programs, const ExternalProgramOptions& options) : programs_(programs), program_(programs.take(options)) {}
  ~Lease() {
    if (program_) end();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ChildProcess* operator->() const { return program_.get(); }
  void give_back() { programs_.give_back(std::move(program_)); }
  /// How it ended.
  std::string end(std::chrono::milliseconds grace = {}) {
    const int status = program_->end(grace);
    program_.reset();
    programs_.lost();
    return detail::how_it_ended(status);
  }

 private:
  Programs& programs_;
  std::unique_ptr<ChildProcess> program_;
};

}  // namespace

void ExternalProgramOptions::validate() const {
  if (command.empty() || command[0].empty())
    throw ConfigurationError(
        "ExternalProgramOptions::command must have a program and its arguments, like {\"Rscript\", \"model.R\"}; it is empty");
  if (workers < 0) throw ConfigurationError(fmt::format("ExternalProgramOptions::workers must be 0 or more; got {}", workers));
  if (!(timeout_seconds > 0 && timeout_seconds <= 1e9))
    throw ConfigurationError(
        fmt::format("ExternalProgramOptions::timeout_seconds must be above 0, and 1e9 at most; got {}", timeout_seconds));
  if (std::ranges::any_of(shape, [](std::int64_t extent) { return extent < 1; }))
    throw ConfigurationError(fmt::format("ExternalProgramOptions::shape must have extents of 1 and more; got {}", shape.to_string()));
  for (const std::string& variable : environment)
    if (variable.find('=') == std::string::npos || variable.front() == '=')
      throw ConfigurationError(fmt::format("ExternalProgramOptions::environment must have entries NAME=value; got \"{}\"", variable));
  for (const std::string& word : command)
    if (word.find('\0') != std::string::npos) throw ConfigurationError("ExternalProgramOptions::command must have no zero bytes");
}

struct ExternalProgram::State {
  explicit State(ExternalProgramOptions o) : options(std::move(o)), name(fmt::format("{}", fmt::join(options.command, " "))) {}

  const ExternalProgramOptions options;
  const std::string name;
  mutable detail::PerProcess<Programs> programs;

  [[nodiscard]] Array simulate(std::span<const double> parameters, std::span<const double> batchable, std::span<const double> non_batchable,
                               Rng& rng, const std::atomic<bool>* stop) const {
    const std::uint64_t simulation = Rng(rng).reserve(0).index;  // the stream's number is the simulation's
    const detail::ExternalRequest request{simulation, static_cast<std::uint32_t>(rng.bits() >> 33), parameters, batchable, non_batchable};
    std::string bytes;
    detail::write_request(options.format, request, bytes);
    for (int attempt = 1;; ++attempt) {
      Lease program(programs.get(), options);
      const auto deadline =
          Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.timeout_seconds));
      const auto outcome = program->exchange(
          bytes, [this](std::string_view output) { return detail::answer_bytes(options.format, output); }, deadline, stop);
      const std::string errors = program->take_errors();
      switch (outcome) {
        case ChildProcess::Outcome::stopped:
          throw Stopped();
        case ChildProcess::Outcome::timed_out:
          fail(fmt::format("did not answer within {} s and was ended; a longer timeout, or a faster program, is needed",
                           options.timeout_seconds),
               errors);
        case ChildProcess::Outcome::ended: {
          const std::string rest = program->take_errors();
          const std::string how = program.end(std::chrono::seconds(1));
          if (attempt == kAttempts)
            fail(fmt::format("ended {} before its answer, {} times; it must answer requests until its standard input ends", how, kAttempts),
                 errors + rest);
          continue;
        }
        case ChildProcess::Outcome::answered:
          break;
      }
      if (program->wrote_more())
        fail("wrote more than one answer to one request; standard output is for answers, everything else goes to standard error", errors);
      try {
        Array data = detail::data_of_answer(options.format, program->answer(), request.simulation, options.shape);
        report(request.simulation, errors);
        program.give_back();
        return data;
      } catch (const detail::ExternalFailure& failure) {
        program.give_back();
        fail(fmt::format("reports: {}", failure.text), errors);
      } catch (const std::runtime_error& error) {
        fail(error.what(), errors);
      }
    }
  }

 private:
  [[noreturn]] void fail(std::string_view what, std::string_view errors) const {
    throw SimulationError(fmt::format("the program {} {}{}{}", name, what, errors.empty() ? "" : ". Its standard error: ", errors));
  }
  /// Hands on what a program wrote to standard error although it has answered.
  void report(std::uint64_t simulation, const std::string& errors) const {
    if (errors.empty() || !options.logger) return;
    Programs& mine = programs.get();
    const std::lock_guard lock(report_mutex);
    if (mine.messages++ < kShownMessages)
      options.logger(LogLevel::warning, fmt::format("simulation {}: the program {} wrote to standard error: {}{}", simulation, name, errors,
                                                    mine.messages == kShownMessages ? " (what it writes from now on is not shown)" : ""));
  }
  mutable std::mutex report_mutex{};
};

ExternalProgram::ExternalProgram(ExternalProgramOptions options) {
  options.validate();
  state_ = std::make_shared<State>(std::move(options));
}

const ExternalProgramOptions& ExternalProgram::options() const { return state_->options; }

Array ExternalProgram::operator()(const Array& parameters, const Context& context, Rng& rng) const {
  const auto values = [](const std::optional<Array>& array) { return array ? array->values() : std::span<const double>(); };
  return state_->simulate(parameters.values(), values(context.batchable), values(context.non_batchable), rng, nullptr);
}

Array ExternalProgram::simulate(const Array& parameters, const std::optional<Array>& contexts, const Rng& streams, std::uint64_t first,
                                const std::function<void()>& waiting) const {
  if (parameters.rank() < 1) throw ShapeError("ExternalProgram: parameters need a batch axis; got a scalar");
  const std::int64_t count = parameters.dim(0);
  detail::require_batch("ExternalProgram", count);
  if (contexts && (contexts->rank() < 1 || contexts->dim(0) != count))
    throw ShapeError(fmt::format("ExternalProgram: contexts must have {} rows; got shape {}", count, contexts->shape().to_string()));
  const auto workers = std::min<std::int64_t>(
      count, state_->options.workers ? state_->options.workers : static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  std::vector<Array> rows(static_cast<std::size_t>(count));
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::int64_t next = 0, failed = count, busy = workers;  // failed: the lowest simulation that did
  std::exception_ptr failure;
  const auto work = [&] {
    std::unique_lock lock(mutex);
    while (next < failed && !stop) {
      const std::int64_t i = next++;
      lock.unlock();
      std::exception_ptr mine;
      try {
        Rng rng = streams.at(first + static_cast<std::uint64_t>(i));
        rows[static_cast<std::size_t>(i)] =
            state_->simulate(parameters.row_values(i), contexts ? contexts->row_values(i) : std::span<const double>(), {}, rng, &stop);
      } catch (const Stopped&) {
      } catch (const ConfigurationError&) {
        mine = std::current_exception();
      } catch (...) {
        try {
          detail::rethrow_simulation("simulator", &parameters, first, i);
        } catch (...) {
          mine = std::current_exception();
        }
      }
      lock.lock();
      if (mine && i < failed) {
        failed = i;
        failure = mine;
      }
    }
    if (--busy == 0) changed.notify_all();
  };
  std::exception_ptr interruption;
  {
    std::vector<std::jthread> threads;
    for (std::int64_t k = 0; k < workers; ++k) threads.emplace_back(work);
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, std::chrono::milliseconds(50), [&] { return busy == 0; })) {
      if (!waiting || stop) continue;
      lock.unlock();
      try {
        waiting();
      } catch (...) {
        interruption = std::current_exception();
        stop = true;
      }
      lock.lock();
    }
  }
  if (interruption) std::rethrow_exception(interruption);
  if (failure) std::rethrow_exception(failure);
  return detail::run_batch("simulator", count, first, false, nullptr, &parameters,
                           [&](std::int64_t i) { return std::move(rows[static_cast<std::size_t>(i)]); });
}

void ExternalProgram::close() const { state_->programs.get().close(); }

std::vector<std::int64_t> ExternalProgram::processes() const {
  Programs& programs = state_->programs.get();
  const std::lock_guard lock(programs.mutex);
  std::vector<std::int64_t> out;
  for (const auto& program : programs.idle) out.push_back(program->pid());
  return out;
}

}  // namespace bayesflow
