/// Priors and simulators that are compiled functions, as objects of Python.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "arrays.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "core/fork.hpp"
#include "module.hpp"
#include "simulation/batch.hpp"

namespace bayesflow::python {

/// A compiled function of one simulation, and the threads that it runs on outside of training.
class NativeFunction {
 public:
  /// Fills `out`, of `shape`, for one simulation; a prior has no parameters.
  using Numbers = std::span<const double>;
  using One = std::function<void(Numbers params, Numbers context, std::span<double> out, const Shape& shape, Rng& rng)>;

  NativeFunction(One one, int threads) : one_(std::move(one)), threads_(threads) {}

  void operator()(Numbers params, Numbers context, std::span<double> out, const Shape& shape, Rng& rng) const {
    one_(params, context, out, shape, rng);
  }

  /// Simulations first, first + 1, ...: (batch_size, ...shape). Row i of `parameters` and `contexts` belongs to simulation first + i.
  [[nodiscard]] Array run(std::int64_t batch_size, const Shape& shape, const std::optional<Array>& parameters,
                          const std::optional<Array>& contexts, const Rng& streams, std::uint64_t first) const {
    using Clock = std::chrono::steady_clock;
    const char* what = parameters ? "simulator" : "prior";
    const nb::gil_scoped_release nogil;
    Array out = detail::allocate_batch(what, shape, batch_size);
    const std::int64_t width = shape.size();
    const auto row = [](const std::optional<Array>& array, std::int64_t i) { return array ? array->row_values(i) : Numbers(); };
    const auto one = [&](std::int64_t i) {
      Rng rng = streams.at(first + static_cast<std::uint64_t>(i));
      try {
        (*this)(row(parameters, i), row(contexts, i), {out.data() + i * width, static_cast<std::size_t>(width)}, shape, rng);
      } catch (...) {
        detail::rethrow_simulation(what, parameters ? &*parameters : nullptr, first, i);
      }
    };
    ThreadPool& pool = *this->pool();
    // In pieces of about 0.1 seconds, so that a user can interrupt slow simulations.
    for (std::int64_t done = 0, piece = 64; done < batch_size;) {
      const std::int64_t count = std::min(piece, batch_size - done);
      const auto start = Clock::now();
      pool.for_each(count, [&](std::int64_t i) { one(done + i); });
      done += count;
      piece = Clock::now() - start < std::chrono::milliseconds(50) ? 2 * piece : std::max<std::int64_t>(piece / 2, pool.threads());
      if (done == batch_size) break;
      check_signals();
    }
    return out;
  }

 private:
  [[nodiscard]] ThreadPool* pool() const {
    return &pool_->get([this] { return std::make_unique<ThreadPool>(threads_); });
  }

  One one_;
  std::shared_ptr<detail::PerProcess<ThreadPool>> pool_ = std::make_shared<detail::PerProcess<ThreadPool>>();
  int threads_ = 0;
};

}  // namespace bayesflow::python
