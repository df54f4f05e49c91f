#include "figures/child_process.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

extern char** environ;

namespace bayesflow::figures {
namespace {

struct Close {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::string read_all(std::FILE* f) {
  std::string out;
  std::rewind(f);
  char block[1 << 14];
  for (std::size_t n = 0; (n = std::fread(block, 1, sizeof block, f)) > 0;) out.append(block, n);
  return out;
}

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  void redirect(std::FILE* file, int descriptor) { posix_spawn_file_actions_adddup2(&actions_, fileno(file), descriptor); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

ProcessResult run_program(const std::string& program, const std::vector<std::string>& arguments, const std::string& input) {
  ProcessResult result;
  const File in(std::tmpfile()), out(std::tmpfile()), error(std::tmpfile());
  if (!in || !out || !error || std::fwrite(input.data(), 1, input.size(), in.get()) != input.size() || std::fflush(in.get()) != 0) {
    result.error = std::string("no temporary file could be written: ") + std::strerror(errno);
    return result;
  }
  std::rewind(in.get());
  FileActions actions;
  actions.redirect(in.get(), STDIN_FILENO);
  actions.redirect(out.get(), STDOUT_FILENO);
  actions.redirect(error.get(), STDERR_FILENO);
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  if (const int code = posix_spawnp(&child, program.c_str(), actions.get(), nullptr, argv.data(), environ); code != 0) {
    result.error = std::strerror(code);
    return result;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) {
      result.error = std::strerror(errno);
      return result;
    }
  result.started = true;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  result.out = read_all(out.get());
  result.error = read_all(error.get());
  return result;
}

}  // namespace bayesflow::figures
