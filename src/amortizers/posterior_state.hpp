/// Inside an AmortizedPosterior.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"

namespace bayesflow {

struct AmortizedPosterior::State {
  InvertibleNetwork inference;
  std::shared_ptr<SummaryNetwork> summary;
  AmortizedPosteriorOptions options;
  nn::ParameterStore store;
  std::atomic<bool> built = false;  // the last thing that build sets
  std::int64_t direct_width = 0;
  BuiltFor built_for;

  // Inference uses its own threads and tapes; one call at a time.
  std::mutex mutex;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Tape> tape;
  std::vector<std::unique_ptr<Tape>> block_tapes;

  State(const InvertibleNetwork& i, std::shared_ptr<SummaryNetwork> s, AmortizedPosteriorOptions o)
      : inference(i.options()), summary(std::move(s)), options(std::move(o)) {}
  ThreadPool& threads() {
    if (!pool) pool = std::make_unique<ThreadPool>(options.threads);
    return *pool;
  }
};

/// Rows of a network's input that belong to one data set.
inline std::int64_t rows_per_item(const Shape& shape) {
  std::int64_t n = 1;
  for (int i = 1; i + 1 < shape.rank(); ++i) n *= shape[i];
  return n;
}

}  // namespace bayesflow
