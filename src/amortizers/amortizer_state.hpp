/// Inside an Amortizer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/amortizers/amortizer.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/in_use.hpp"

namespace bayesflow {

namespace detail {

/// Of a part that a trainer is given: the class, and the part's place in the whole.
inline constexpr const char* kTrainTheWhole =
    "{}: it is part (\"{}\") of another amortizer, whose parts are trained together; train that one";

}  // namespace detail

struct Amortizer::State {
  const AmortizerKind& kind;
  std::shared_ptr<InferenceNetwork> inference;
  std::shared_ptr<SummaryNetwork> summary;
  AmortizerOptions options;
  std::shared_ptr<nn::ParameterStore> store = std::make_shared<nn::ParameterStore>();
  std::string place;                 // of the weights in the store of a group; empty: the store is its own
  std::int64_t first = 0, last = 0;  // of its parameters there, once it is built
  std::size_t first_buffer = 0, last_buffer = 0;
  std::atomic<bool> built = false;  // the last thing that build sets
  std::int64_t direct_width = 0;
  /// What the summary network reads: the roles of its sources of data, or of the one that has no name.
  struct Source {
    RoleName data, mask, times;
    const SummaryNetwork* reader;  // null without a summary network
  };
  std::vector<Source> sources;  // none where the kind of amortizer has no summary network
  BatchShapes built_for;
  detail::SharedPointer<SeenData> seen;
  detail::SharedPointer<Typicality> typicality;  // of seen's reference; made when it is first needed
  std::atomic<double> check_level = kCheckLevel;
  detail::SharedPointer<Adapter> adapter;

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
      : kind(k), inference(std::move(i)), summary(std::move(s)), options(std::move(o)) {
    if (!kind.summary) return;
    const auto add = [&](std::string_view name, const SummaryNetwork* reader) {
      sources.push_back({roles::of_source(kind.summary, name), roles::of_source(roles::summary_mask, name),
                         roles::of_source(roles::summary_times, name), reader});
    };
    const std::span<const std::string> names = summary ? summary->sources() : std::span<const std::string>();
    if (!names.empty() && (names.size() > SummaryInput::kMostSources || names.size() != summary->parts().size()))
      throw ConfigurationError(std::string(kind.name) + ": the summary network reads " + std::to_string(names.size()) + " sources by " +
                               std::to_string(summary->parts().size()) + " networks; there must be one for each, and at most " +
                               std::to_string(SummaryInput::kMostSources));
    for (std::size_t n = 0; n < names.size(); ++n) add(names[n], summary->parts()[n].get());
    if (names.empty()) add("", summary.get());
  }
  /// Throws ConfigurationError if the network of the source does not read masks (times).
  void require_reads(const Source& source, bool mask) const;
};

/// "AmortizedPosterior::sample", for messages.
inline std::string call_of(const AmortizerKind& kind, const char* function) { return std::string(kind.name) + "::" + function; }

}  // namespace bayesflow
