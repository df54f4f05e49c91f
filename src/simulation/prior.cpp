#include "bayesflow/simulation/prior.hpp"

#include <string>

#include "bayesflow/core/errors.hpp"
#include "simulation/batch.hpp"

namespace bayesflow {

Prior::Prior(Function function, BatchedFunction batched, PriorOptions options)
    : function_(std::move(function)), batched_(std::move(batched)), options_(std::move(options)) {
  if (!function_ && !batched_) throw ConfigurationError("Prior: the function is empty; give one that draws parameters");
}

PriorDraws Prior::draw(std::int64_t batch_size, const Rng& streams, std::uint64_t first_index, ThreadPool* pool,
                       const std::optional<Array>& non_batchable_context) const {
  detail::require_batch("Prior", batch_size);
  Context context = detail::draw_context(options_.context, "prior", batch_size, streams, first_index, non_batchable_context);
  PriorDraws out;
  if (batched_) {
    Rng rng = streams.at(first_index);
    Array draws;
    try {
      draws = batched_(batch_size, context, rng);
    } catch (...) {
      detail::rethrow_batch("prior", batch_size, first_index);
    }
    out.prior_draws = detail::checked_batch("prior", std::move(draws), batch_size);
  } else {
    out.prior_draws = detail::run_batch("prior", batch_size, first_index, options_.thread_safe, pool, nullptr, [&](std::int64_t i) {
      Rng rng = streams.at(first_index + static_cast<std::uint64_t>(i));
      if (!context.batchable) return function_(context, rng);
      return function_(Context{context.batchable->row(i), context.non_batchable}, rng);
    });
  }
  detail::require_finite("prior", out.prior_draws, nullptr, first_index);
  out.batchable_context = std::move(context.batchable);
  out.non_batchable_context = std::move(context.non_batchable);
  return out;
}

PriorDraws Prior::operator()(std::int64_t batch_size, std::uint64_t seed) const { return (*this)(batch_size, Rng(seed, "prior")); }

Prior::Moments Prior::estimate_means_and_stds(std::int64_t n_draws, std::uint64_t seed) const {
  if (n_draws < 2)
    throw ArgumentError("Prior::estimate_means_and_stds: n_draws must be at least 2, because the deviation has ddof 1; got " +
                        std::to_string(n_draws));
  const Array draws = (*this)(n_draws, seed).prior_draws;
  return {draws.mean(0, true), draws.std_along(0, 1, true)};
}

}  // namespace bayesflow
