#include "bayesflow/simulation/multi_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>

#include "bayesflow/core/errors.hpp"
#include "simulation/batch.hpp"
#include "simulation/padding.hpp"

namespace bayesflow {
namespace {

constexpr const char* kOwner = "MultiGenerativeModel";
/// Fields that all models have or none has, of equal shapes.
constexpr const char* kEqual[] = {"prior_batchable_context", "sim_batchable_context"};

Shape row_shape(const Array& batch) { return batch.shape().slice(1, batch.rank()); }

/// What a batch of all models is laid out as.
struct Layout {
  Shape data;                    // of a row, padded
  std::int64_t parameters = -1;  // padded; -1: not all models have (batch, P)
  bool data_mask = false, parameter_mask = false, times = false;
};

/// Throws ConfigurationError if the models' simulations cannot be rows of one batch.
Layout layout_of(const std::vector<Simulations>& of) {
  Layout out;
  const auto fail = [](std::size_t model, const std::string& what) {
    throw ConfigurationError(fmt::format("{}: model {} {}", kOwner, model, what));
  };
  out.data = row_shape(of[0].sim_data);
  out.times = of[0].find(fields::sim_data_times) != nullptr;
  bool all_have_parameters = true;
  for (std::size_t m = 0; m < of.size(); ++m) {
    const Shape row = row_shape(of[m].sim_data);
    if (row.rank() != out.data.rank() || row[-1] != out.data[-1] || (row.rank() == 1 && row != out.data))
      fail(m, fmt::format("makes data of shape {}, and model 0 of shape {}; models may differ in numbers of observations, "
                          "(batch, n, d), but neither in the number of axes nor in the last one",
                          of[m].sim_data.shape().to_string(), of[0].sim_data.shape().to_string()));
    out.data_mask = out.data_mask || row != out.data || of[m].find(fields::sim_data_mask);
    for (int axis = 0; axis < row.rank(); ++axis) out.data.set(axis, std::max(out.data[axis], row[axis]));
    if (out.times != (of[m].find(fields::sim_data_times) != nullptr))
      fail(m, fmt::format("and model 0 differ in whether they have {}; give it to all models or to none", fields::sim_data_times));
    if (of[m].prior_draws.rank() == 2) {
      out.parameter_mask = out.parameter_mask || (m && of[m].prior_draws.dim(1) != out.parameters);
      out.parameters = std::max(out.parameters, of[m].prior_draws.dim(1));
    } else {
      all_have_parameters = false;
    }
    for (const char* name : kEqual) {
      const Array *first = of[0].find(name), *own = of[m].find(name);
      if (!first != !own || (own && row_shape(*own) != row_shape(*first)))
        fail(m, fmt::format("has {} of shape {}, and model 0 {}; contexts must be those of all models, or of none", name,
                            own ? own->shape().to_string() : "none", first ? first->shape().to_string() : "none"));
    }
  }
  if (!all_have_parameters) {
    out.parameters = -1;
    out.parameter_mask = false;
  }
  return out;
}

/// Rows of the models' fields `name`, padded with zeros to `row`; without the field, `fill` for every value that the shape `like` gives it.
template <class ShapeOf>
Array padded(const std::vector<Simulations>& of, const std::vector<Simulations::Row>& rows, const char* name, const Shape& row,
             const ShapeOf& like, double fill) {
  Array out(row.prepend(static_cast<std::int64_t>(rows.size())));
  const std::int64_t width = row.size();
  std::vector<double> filled;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto m = static_cast<std::size_t>(rows[i].of - of.data());
    const Array* values = of[m].find(name);
    double* to = out.data() + static_cast<std::int64_t>(i) * width;
    const Shape from = values ? row_shape(*values) : like(of[m]);
    if (!values) filled.assign(static_cast<std::size_t>(from.size()), fill);
    detail::copy_padded(values ? values->row_values(rows[i].index) : std::span<const double>(filled), from, to, row);
  }
  return out;
}

}  // namespace

struct MultiGenerativeModel::Parts {
  std::vector<GenerativeModel> models;
  MultiGenerativeModelOptions options;
  std::vector<double> cumulative;
  std::vector<Simulations> pilots;  // one simulation of each model
  Layout layout;

  [[nodiscard]] Simulations make(const BatchRequest& request) const;
  [[nodiscard]] Simulations simulate(std::size_t model, std::int64_t count, const BatchRequest& request,
                                     const std::optional<Array>& context) const;
};

Simulations MultiGenerativeModel::Parts::simulate(std::size_t model, std::int64_t count, const BatchRequest& request,
                                                  const std::optional<Array>& context) const {
  return models[model].make(
      {count, request.streams.branch(fmt::format("model {}", model)), request.first_index, {}, context, request.pool});
}

Simulations MultiGenerativeModel::Parts::make(const BatchRequest& request) const {
  const auto batch = static_cast<std::size_t>(request.batch_size);
  const std::size_t count = models.size();
  std::vector<std::size_t> model(batch);
  std::vector<std::int64_t> drawn(count, 0);
  std::vector<Simulations::Row> rows(batch);
  const Rng which = request.streams.branch("model");
  for (std::size_t i = 0; i < batch; ++i) {
    const double u = which.at(request.first_index + i).uniform();
    model[i] = std::min(static_cast<std::size_t>(std::ranges::upper_bound(cumulative, u) - cumulative.begin()), count - 1);
    rows[i].index = drawn[model[i]]++;
  }
  std::optional<Array> context = request.sim_non_batchable_context;
  if (!context)
    context =
        detail::draw_context(options.shared_context, kOwner, 1, request.streams.branch("shared"), request.first_index, {}).non_batchable;

  std::vector<Simulations> made(count);
  for (std::size_t m = 0; m < count; ++m)
    // With a shared context the shapes of a model are those of the batch, also of a model that was not drawn.
    made[m] = drawn[m] || context ? simulate(m, std::max<std::int64_t>(drawn[m], 1), request, context) : pilots[m];
  for (std::size_t i = 0; i < batch; ++i) rows[i].of = &made[model[i]];
  const Layout is = layout_of(made);
  if (is.data_mask != layout.data_mask || is.parameter_mask != layout.parameter_mask || (!context && is.data != layout.data) ||
      is.parameters != layout.parameters)
    throw SimulationError(
        fmt::format("{}: in the batch from simulation {} the models' shapes differ otherwise than when it was made; a model's shapes may "
                    "depend on the shared context alone",
                    kOwner, request.first_index));

  Simulations out;
  out.sim_non_batchable_context = std::move(context);
  const auto unused = [](const Simulations&) { return Shape{0}; };
  out.sim_data = padded(made, rows, "sim_data", is.data, unused, 0);
  if (is.parameters >= 0) out.prior_draws = padded(made, rows, "prior_draws", Shape{is.parameters}, unused, 0);
  for (const char* name : kEqual)
    if (const Array* first = made[0].find(name)) out.set(name, padded(made, rows, name, row_shape(*first), unused, 0));
  Array indices({request.batch_size, static_cast<std::int64_t>(count)});
  for (std::size_t i = 0; i < batch; ++i) indices(static_cast<std::int64_t>(i), static_cast<std::int64_t>(model[i])) = 1;
  out.set(fields::model_indices, std::move(indices));
  const Shape observations = is.data.slice(0, is.data.rank() - 1);
  const auto own_observations = [](const Simulations& s) {
    const Shape row = row_shape(s.sim_data);
    return row.slice(0, row.rank() - 1);
  };
  if (is.data_mask) out.set(fields::sim_data_mask, padded(made, rows, fields::sim_data_mask, observations, own_observations, 1));
  if (is.times) out.set(fields::sim_data_times, padded(made, rows, fields::sim_data_times, observations, own_observations, 0));
  if (is.parameter_mask)
    out.set(fields::prior_draws_mask, padded(
                                          made, rows, fields::prior_draws_mask, Shape{is.parameters},
                                          [](const Simulations& s) { return row_shape(s.prior_draws); }, 1));
  return out;
}

std::shared_ptr<const MultiGenerativeModel::Parts> MultiGenerativeModel::parts_of(std::vector<GenerativeModel> models,
                                                                                  MultiGenerativeModelOptions options) {
  const auto fail = [](const std::string& text) { throw ConfigurationError(fmt::format("{}: {}", kOwner, text)); };
  if (models.empty()) fail("there is no model; give at least one");
  std::vector<double>& probs = options.model_probs;
  if (probs.empty()) probs.assign(models.size(), 1.0 / static_cast<double>(models.size()));
  const double sum = std::accumulate(probs.begin(), probs.end(), 0.0);
  if (probs.size() != models.size() || !std::ranges::all_of(probs, [](double p) { return p >= 0; }) || !(std::abs(sum - 1) < 1e-6))
    fail(fmt::format("model_probs must hold one probability for each of the {} models, none negative, which sum to 1; got [{}]",
                     models.size(), fmt::join(probs, ", ")));
  for (double& p : probs) p /= sum;
  if (options.shared_context.has_batchable()) fail("shared_context has a batchable value; give it to each model, or make it non-batchable");
  for (std::size_t m = 0; m < models.size(); ++m)
    if (models[m].has_non_batchable_context())
      fail(
          fmt::format("model {} draws a non-batchable context of its own, which would differ between the rows of a batch; give it as "
                      "MultiGenerativeModelOptions::shared_context",
                      m));
  auto parts = std::make_shared<Parts>();
  parts->models = std::move(models);
  parts->cumulative.resize(probs.size());
  std::partial_sum(probs.begin(), probs.end(), parts->cumulative.begin());
  parts->options = std::move(options);
  const Rng streams(parts->options.model.seed, "shapes of models");
  std::optional<Array> context;
  try {
    context = detail::draw_context(parts->options.shared_context, kOwner, 1, streams.branch("shared"), 0, {}).non_batchable;
  } catch (const std::exception& error) {
    fail(fmt::format("the shared context cannot be drawn: {}", error.what()));
  }
  for (std::size_t m = 0; m < parts->models.size(); ++m) {
    try {
      parts->pilots.push_back(parts->simulate(m, 1, {.batch_size = 1, .streams = streams}, context));
    } catch (const std::exception& error) {
      fail(fmt::format("the pilot run of model {} failed: {}", m, error.what()));
    }
    if (!context && parts->pilots.back().has_shared()) fail(fmt::format("model {} has a non-batchable context of its own", m));
  }
  parts->layout = layout_of(parts->pilots);
  return parts;
}

namespace {

bool all(const std::vector<GenerativeModel>& models, bool (GenerativeModel::*is)() const) {
  return std::ranges::all_of(models, [is](const GenerativeModel& m) { return (m.*is)(); });
}

}  // namespace

MultiGenerativeModel::MultiGenerativeModel(std::vector<GenerativeModel> models, MultiGenerativeModelOptions options)
    : MultiGenerativeModel(parts_of(std::move(models), std::move(options))) {}

MultiGenerativeModel::MultiGenerativeModel(std::shared_ptr<const Parts> parts)
    : GenerativeModel([parts](const BatchRequest& request) { return parts->make(request); },
                      // A simulation's number within its model is counted from the start of its batch.
                      {.one_context_per_batch = parts->options.shared_context.has_non_batchable(),
                       .depends_on_batch = true,
                       .all_threads = all(parts->models, &GenerativeModel::simulates_on_all_threads),
                       .reproducible = all(parts->models, &GenerativeModel::is_reproducible)},
                      parts->options.model),
      parts_(std::move(parts)) {}

std::int64_t MultiGenerativeModel::num_models() const { return static_cast<std::int64_t>(parts_->models.size()); }
const std::vector<GenerativeModel>& MultiGenerativeModel::models() const { return parts_->models; }
const std::vector<double>& MultiGenerativeModel::model_probs() const { return parts_->options.model_probs; }

}  // namespace bayesflow
