#include "simulation/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "bayesflow/core/errors.hpp"
#if defined(__linux__)
#include <sys/prctl.h>
#endif

extern char** environ;

namespace bayesflow::detail {
namespace {

constexpr std::size_t kKeptErrors = 2000;  // bytes of standard error

/// Above the standard streams, so that none of them is overwritten while the child's are put in place.
Descriptor above_standard(int fd) {
  Descriptor lower(fd);
  return fd > 2 ? std::move(lower) : Descriptor(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

std::pair<Descriptor, Descriptor> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    throw ConfigurationError(fmt::format("ExternalProgram: no pipe can be made: {}; fewer workers need fewer", std::strerror(errno)));
  return {above_standard(ends[0]), above_standard(ends[1])};
}

void set_nonblocking(const Descriptor& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::string_view name_in(std::string_view variable) { return variable.substr(0, variable.find('=')); }

std::vector<std::string> whole_environment(const std::vector<std::string>& more) {
  std::vector<std::string> out = more;
  const auto has = [&out](std::string_view name) {
    return std::ranges::any_of(out, [&](const std::string& v) { return name_in(v) == name; });
  };
  for (char** variable = environ; variable && *variable; ++variable)
    if (!has(name_in(*variable))) out.emplace_back(*variable);
  // There are as many programs as cores.
  for (const char* library : {"OMP", "OPENBLAS", "MKL"})
    if (const std::string name = fmt::format("{}_NUM_THREADS", library); !has(name)) out.push_back(name + "=1");
  return out;
}

/// While one lives, writing to a program that has ended is an error of write() instead of a signal.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec now{};
    if (!was_pending_)
      while (sigtimedwait(&pipe_, nullptr, &now) == -1 && errno == EINTR) {
      }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
  bool was_pending_ = false;
};

}  // namespace

void Descriptor::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
  auto [child_in, in] = make_pipe();
  auto [out, child_out] = make_pipe();
  auto [err, child_err] = make_pipe();
  auto [started, failed] = make_pipe();  // closed when the child has become the program; else it gets errno
  std::vector<std::string> arguments = command, variables = whole_environment(environment);
  std::vector<char*> argv = pointers(arguments), envp = pointers(variables);
  const std::array<int, 3> streams = {child_in.get(), child_out.get(), child_err.get()};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // no handler of this process runs in the child
#if defined(__linux__)
  const pid_t parent = ::getpid();
#endif
  // Not fork(): handlers of pthread_atfork() of other libraries would run beside their threads. The child shares memory until it has become
  // the program, and calls only what may be called then.
  const pid_t child = ::vfork();  // NOLINT(clang-analyzer-security.insecureAPI.vfork)
  if (child == 0) {
    ::setsid();  // Ctrl-C in the terminal is this process' alone
#if defined(__linux__)
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it ended before
#endif
    for (int stream = 0; stream < 3; ++stream) ::dup2(streams[static_cast<std::size_t>(stream)], stream);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::execvpe(argv[0], argv.data(), envp.data());
    const int failure = errno;
    (void)!::write(failed.get(), &failure, sizeof failure);
    ::_exit(127);
  }
  int error = child < 0 ? errno : 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  failed.close();
#if !defined(__SANITIZE_THREAD__)  // which makes a fork of it: then the program may not run yet
  set_nonblocking(started);        // a child that another thread has forked meanwhile may hold the other end
#endif
  if (child > 0 && ::read(started.get(), &error, sizeof error) > 0) ::waitpid(child, nullptr, 0);
  if (error != 0)
    throw ConfigurationError(fmt::format("ExternalProgram: the program {} cannot be started: {}", command[0], std::strerror(error)));
  pid_ = child;
  input_ = std::move(in);
  out_ = std::move(out);
  err_ = std::move(err);
  for (const Descriptor* fd : {&input_, &out_, &err_}) set_nonblocking(*fd);
}

bool ChildProcess::read_errors() {
  std::array<char, 4096> buffer;
  const ssize_t got = ::read(err_.get(), buffer.data(), buffer.size());
  if (got > 0) {
    errors_.append(buffer.data(), static_cast<std::size_t>(got));
    if (errors_.size() > 2 * kKeptErrors) errors_.erase(0, errors_.size() - kKeptErrors);
  } else if (got == 0) {
    err_.close();
  }
  return got > 0;
}

ChildProcess::Outcome ChildProcess::exchange(std::string_view request, const std::function<std::size_t(std::string_view)>& complete,
                                             Clock::time_point deadline, const std::atomic<bool>* stop) {
  const NoSigpipe errors_instead_of_signals;
  std::array<char, 1 << 16> buffer;
  output_.clear();
  answer_bytes_ = 0;
  while (true) {
    if (stop && stop->load(std::memory_order_relaxed)) return Outcome::stopped;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left < 0) return Outcome::timed_out;
    std::array<pollfd, 3> fds = {pollfd{out_.get(), POLLIN, 0}, pollfd{err_.get(), POLLIN, 0},
                                 pollfd{request.empty() ? -1 : input_.get(), POLLOUT, 0}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(std::min<std::int64_t>(left + 1, 100))) <= 0) continue;
    if (fds[1].revents != 0) read_errors();
    if (fds[2].revents != 0) {
      const ssize_t sent = ::write(input_.get(), request.data(), request.size());
      if (sent > 0) request.remove_prefix(static_cast<std::size_t>(sent));
      if (sent < 0 && errno == EPIPE) request = {};  // it reads no more; its answer, or its end, comes through the other pipe
    }
    if (fds[0].revents == 0) continue;
    const ssize_t got = ::read(out_.get(), buffer.data(), buffer.size());
    if (got == 0) return Outcome::ended;
    if (got < 0) continue;
    output_.append(buffer.data(), static_cast<std::size_t>(got));
    answer_bytes_ = complete(output_);
    if (answer_bytes_ != 0) return Outcome::answered;
  }
}

std::string ChildProcess::take_errors() {
  while (err_.get() >= 0 && read_errors()) {
  }
  std::string out = std::exchange(errors_, {});
  if (out.size() > kKeptErrors) out.erase(0, out.size() - kKeptErrors);
  while (!out.empty() && std::strchr(" \n\r\t", out.back())) out.pop_back();
  return out;
}

int ChildProcess::end(std::chrono::milliseconds grace) {
  if (pid_ <= 0) return status_;
  input_.close();
  const auto last = Clock::now() + grace;
  const auto has_ended = [this] {
    siginfo_t info{};  // WNOWAIT: its number stays its own until what it has started is killed, too
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
  };
  while (!has_ended() && Clock::now() < last) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ::kill(-pid_, SIGKILL);
  pid_t ended = 0;
  while ((ended = ::waitpid(pid_, &status_, 0)) == -1 && errno == EINTR) {
  }
  if (ended < 0) status_ = -1;
  pid_ = -1;
  return status_;
}

std::string how_it_ended(int status) {
  if (status == -1) return "in an unknown way";
  if (WIFEXITED(status)) return fmt::format("with exit status {}", WEXITSTATUS(status));
  const char* name = ::sigabbrev_np(WTERMSIG(status));
  return name ? fmt::format("by SIG{}", name) : fmt::format("by signal {}", WTERMSIG(status));
}

}  // namespace bayesflow::detail
