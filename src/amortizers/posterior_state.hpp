/// Inside an AmortizedPosterior.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "core/in_use.hpp"

namespace bayesflow {

struct AmortizedPosterior::State {
  InvertibleNetwork inference;
  std::shared_ptr<SummaryNetwork> summary;
  AmortizedPosteriorOptions options;
  nn::ParameterStore store;
  std::atomic<bool> built = false;  // the last thing that build sets
  std::int64_t direct_width = 0;
  BuiltFor built_for;
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

  State(const InvertibleNetwork& i, std::shared_ptr<SummaryNetwork> s, AmortizedPosteriorOptions o)
      : inference(i.options()), summary(std::move(s)), options(std::move(o)) {}
};

/// Rows of a network's input that belong to one data set.
inline std::int64_t rows_per_item(const Shape& shape) {
  std::int64_t n = 1;
  for (int i = 1; i + 1 < shape.rank(); ++i) n *= shape[i];
  return n;
}

}  // namespace bayesflow
