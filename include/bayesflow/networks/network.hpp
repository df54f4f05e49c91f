/// What summary networks and inference networks have in common.
#pragma once

#include <memory>
#include <string>

namespace bayesflow {

/// Part of an amortizer, in whose parameter store its weights are. Objects are copied into the amortizer; one that is given as a shared
/// pointer belongs to the first amortizer that builds it.
class Network {
 public:
  virtual ~Network() = default;
  /// Runs once per training step, before the forward pass (power iterations and the like).
  virtual void update_state() {}
  /// What it is, in a few words, for reports: "deep set with 2 equivariant modules, 64 units, 10 summaries".
  [[nodiscard]] virtual std::string to_string() const { return "a network of your own"; }

  /// The amortizer whose weights a network uses. A copy of a network belongs to none.
  struct Owner {
    Owner() = default;
    ~Owner() = default;
    Owner(const Owner&) {}
    Owner& operator=(const Owner&) { return *this; }  // NOLINT(bugprone-unhandled-self-assignment): it copies nothing
    std::weak_ptr<void> of;
  };

 protected:
  Network() = default;
  Network(const Network&) = default;
  Network& operator=(const Network&) = default;

 private:
  friend class Amortizer;
  Owner owner_;
};

}  // namespace bayesflow
