#include "core/fork.hpp"

#include <pthread.h>

namespace bayesflow::detail {

std::atomic<std::uint64_t> process_generation_counter{0};

namespace {
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { process_generation_counter.fetch_add(1, std::memory_order_relaxed); });
}  // namespace

}  // namespace bayesflow::detail
