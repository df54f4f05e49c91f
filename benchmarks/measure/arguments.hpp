/// Arguments of the measuring programs: --name value, --name=value, --flag.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// Each getter takes its argument out of the list; `done` complains about what is left. Errors print the usage and end the
/// program with status 2.
class Arguments {
 public:
  Arguments(int argc, char** argv, std::string usage);
  [[nodiscard]] bool flag(const std::string& name);
  [[nodiscard]] std::string text(const std::string& name, const std::string& fallback);
  /// One of `allowed`.
  [[nodiscard]] std::string choice(const std::string& name, const std::string& fallback, const std::vector<std::string>& allowed);
  [[nodiscard]] std::int64_t integer(const std::string& name, std::int64_t fallback, std::int64_t least);
  [[nodiscard]] std::vector<std::int64_t> integers(const std::string& name, const std::vector<std::int64_t>& fallback, std::int64_t least);
  /// The next argument that is not an option; call it after the options were taken.
  [[nodiscard]] std::string positional(const std::string& fallback);
  void done();

 private:
  [[noreturn]] void fail(const std::string& why) const;
  [[nodiscard]] std::int64_t parse(const std::string& name, const std::string& text, std::int64_t least) const;
  std::vector<std::string> rest_;
  std::string usage_;
};

}  // namespace bench
