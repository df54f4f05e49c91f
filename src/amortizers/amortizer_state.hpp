/// Inside an Amortizer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bayesflow/amortizers/amortizer.hpp"
#include "core/in_use.hpp"

namespace bayesflow {

struct Amortizer::State {
  const AmortizerKind& kind;
  std::shared_ptr<InferenceNetwork> inference;
  std::shared_ptr<SummaryNetwork> summary;
  AmortizerOptions options;
  nn::ParameterStore store;
  std::atomic<bool> built = false;  // the last thing that build sets
  std::int64_t direct_width = 0;
  BatchShapes built_for;
  detail::SharedPointer<SeenData> seen;

  std::atomic<std::uint64_t> unseeded_calls{0};
  detail::PerProcess<detail::OwnedMutex> building;

  /// The memory of a call of inference.
  struct Context {
    std::unique_ptr<Tape> tape;
    std::vector<std::unique_ptr<Tape>> block_tapes;  // of draws: one for each thread that makes them
  };
  /// Calls of inference may overlap. Each borrows a context; one at a time also has the threads, and the others run where they were called.
  struct Inference {
    std::mutex mutex;
    std::vector<std::unique_ptr<Context>> free;
    std::unique_ptr<ThreadPool> pool;  // made when it is first needed
    bool pool_is_used = false;
  };
  detail::PerProcess<Inference> contexts;

  State(const AmortizerKind& k, std::shared_ptr<InferenceNetwork> i, std::shared_ptr<SummaryNetwork> s, AmortizerOptions o)
      : kind(k), inference(std::move(i)), summary(std::move(s)), options(std::move(o)) {}
};

/// "AmortizedPosterior::sample", for messages.
inline std::string call_of(const AmortizerKind& kind, const char* function) { return std::string(kind.name) + "::" + function; }

}  // namespace bayesflow
