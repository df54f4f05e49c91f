#include "bayesflow/simulation/two_level_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "simulation/batch.hpp"
#include "simulation/padding.hpp"

namespace bayesflow {

TwoLevelPrior::TwoLevelPrior(Hyper hyper, Local local, Shared shared, TwoLevelPriorOptions options)
    : hyper_(std::move(hyper)), local_(std::move(local)), shared_(std::move(shared)), options_(std::move(options)) {
  if (!hyper_ || !local_)
    throw ConfigurationError(
        fmt::format("TwoLevelPrior: the {} prior's function is empty; give one that draws", hyper_ ? "local" : "hyper"));
}

Array TwoLevelPrior::draw_shared(Rng& rng) const {
  if (!shared_)
    throw ConfigurationError("TwoLevelPrior::draw_shared: there are no shared parameters; give their function to the constructor");
  return shared_(rng);
}

struct TwoLevelGenerativeModel::Parts {
  TwoLevelPrior prior;
  TwoLevelSimulator simulator;
  TwoLevelGenerativeModelOptions options;

  [[nodiscard]] Simulations make(const BatchRequest& request) const;
  [[nodiscard]] bool thread_safe() const { return prior.options().thread_safe && options.simulator.thread_safe; }
};

namespace {

/// call(i) for every simulation of the batch, on the request's threads if the functions allow it.
template <class Call>
std::vector<Array> each(const char* what, const BatchRequest& request, bool parallel, const Array* parameters, const Call& call) {
  std::vector<Array> out(static_cast<std::size_t>(request.batch_size));
  const auto one = [&](std::int64_t i) {
    try {
      out[static_cast<std::size_t>(i)] = call(i);
    } catch (...) {
      detail::rethrow_simulation(what, parameters, request.first_index, i);
    }
  };
  if (parallel && request.pool)
    request.pool->for_each(request.batch_size, one);  // rethrows the failure of the lowest index
  else
    for (std::int64_t i = 0; i < request.batch_size; ++i) one(i);
  return out;
}

/// Rows of one shape as a batch; a single number of each becomes a column.
Array stacked(const char* what, std::vector<Array> rows, std::uint64_t first_index) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].shape() != rows[0].shape())
      detail::fail_shape(what, rows[i].shape(), rows[0].shape(), first_index, static_cast<std::int64_t>(i));
  if (rows[0].rank() == 0)
    for (Array& row : rows) row = row.expand_dims(0);
  return stack(rows);
}

Context of_row(const Context& context, std::int64_t row) {
  return context.batchable ? Context{context.batchable->row(row), context.non_batchable} : context;
}

}  // namespace

Simulations TwoLevelGenerativeModel::Parts::make(const BatchRequest& request) const {
  const Rng &streams = request.streams, prior_streams = streams.branch("prior"), sim_streams = streams.branch("simulator");
  const auto at = [&](const Rng& of, std::int64_t i) { return of.at(request.first_index + static_cast<std::uint64_t>(i)); };
  const bool prior_parallel = prior.options().thread_safe;
  Context local_context = detail::draw_context(prior.options().context, "local prior", request.batch_size, prior_streams,
                                               request.first_index, request.prior_non_batchable_context);
  Context sim_context = detail::draw_context(options.simulator.context, "simulator", request.batch_size, sim_streams, request.first_index,
                                             request.sim_non_batchable_context);
  Simulations out;
  const Array hyper = stacked("hyper prior",
                              each("hyper prior", request, prior_parallel, nullptr,
                                   [&](std::int64_t i) {
                                     Rng rng = at(prior_streams.branch("hyper"), i);
                                     return prior.draw_hyper(rng);
                                   }),
                              request.first_index);
  Array shared;
  if (prior.has_shared())
    shared = stacked("shared prior",
                     each("shared prior", request, prior_parallel, nullptr,
                          [&](std::int64_t i) {
                            Rng rng = at(prior_streams.branch("shared"), i);
                            return prior.draw_shared(rng);
                          }),
                     request.first_index);
  std::vector<Array> local = each("local prior", request, prior_parallel, &hyper, [&](std::int64_t i) {
    Rng rng = at(prior_streams.branch("local"), i);
    Array drawn = prior.draw_local(hyper.row(i), of_row(local_context, i), rng);
    if (drawn.rank() == 1) drawn = drawn.expand_dims(1);  // one parameter for each group
    if (drawn.rank() != 2)
      throw ShapeError(fmt::format("local parameters need shape (groups, parameters); got {}", drawn.shape().to_string()));
    return drawn;
  });
  const Array no_shared;
  std::vector<Array> data = each("simulator", request, options.simulator.thread_safe, &hyper, [&](std::int64_t i) {
    Rng rng = at(sim_streams, i);
    const Array& groups = local[static_cast<std::size_t>(i)];
    Array made = simulator(groups, shared.empty() ? no_shared : shared.row(i), of_row(sim_context, i), rng);
    if (made.rank() == 0 || made.dim(0) != groups.dim(0))
      throw ShapeError(fmt::format("data need one row for each of the {} groups; got shape {}", groups.dim(0), made.shape().to_string()));
    if (made.rank() == 1) made = made.expand_dims(1);
    return made;
  });

  if (const Shape& to = options.pad_to; to.rank() > 0) {
    detail::Padded padded = detail::pad("simulator", data, to, request.first_index);
    out.sim_data = std::move(padded.values);
    out.set(fields::sim_data_mask, std::move(padded.mask));
    detail::Padded groups = detail::pad("local prior", local, Shape{to[0]}, request.first_index);
    out.set(fields::local_prior_draws, std::move(groups.values));
    out.set(fields::local_mask, std::move(groups.mask));
  } else {
    out.sim_data = stacked("simulator", std::move(data), request.first_index);
    out.set(fields::local_prior_draws, stacked("local prior", std::move(local), request.first_index));
  }
  out.set(fields::hyper_prior_draws, hyper);
  if (!shared.empty()) out.set(fields::shared_prior_draws, std::move(shared));
  out.prior_non_batchable_context = std::move(local_context.non_batchable);
  out.prior_batchable_context = std::move(local_context.batchable);
  out.sim_non_batchable_context = std::move(sim_context.non_batchable);
  out.sim_batchable_context = std::move(sim_context.batchable);
  return out;
}

TwoLevelGenerativeModel::TwoLevelGenerativeModel(TwoLevelPrior prior, TwoLevelSimulator simulator, TwoLevelGenerativeModelOptions options)
    : TwoLevelGenerativeModel([&] {
        if (!simulator) throw ConfigurationError("TwoLevelGenerativeModel: the simulator's function is empty; give one that makes data");
        for (const std::int64_t extent : options.pad_to)
          if (extent < 1)
            throw ConfigurationError(
                fmt::format("TwoLevelGenerativeModelOptions::pad_to = {}; its extents must be positive", options.pad_to.to_string()));
        return std::make_shared<const Parts>(Parts{std::move(prior), std::move(simulator), std::move(options)});
      }()) {}

TwoLevelGenerativeModel::TwoLevelGenerativeModel(std::shared_ptr<const Parts> parts)
    : GenerativeModel([parts](const BatchRequest& request) { return parts->make(request); },
                      {.one_context_per_batch =
                           parts->prior.options().context.has_non_batchable() || parts->options.simulator.context.has_non_batchable(),
                       .depends_on_batch = false,
                       .all_threads = parts->thread_safe()},
                      parts->options.model),
      parts_(std::move(parts)) {}

const TwoLevelPrior& TwoLevelGenerativeModel::two_level_prior() const { return parts_->prior; }

}  // namespace bayesflow
