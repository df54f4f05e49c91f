#include "bayesflow/workflow/posterior.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bayesflow/core/errors.hpp"
#include "io/described_json.hpp"
#include "workflow/density.hpp"
#include "workflow/record.hpp"

namespace bayesflow {
namespace {

constexpr std::int64_t kMostDrawn = 1000;  // for each draw that is wanted

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

Posterior::Posterior(std::vector<AmortizedPosterior> members, FitPlan plan, FitRecord record, std::vector<std::string> param_names,
                     Shape data_shape)
    : members_(std::move(members)),
      plan_(std::move(plan)),
      record_(std::move(record)),
      param_names_(std::move(param_names)),
      data_shape_(data_shape) {
  if (members_.empty()) throw ConfigurationError("Posterior: it needs at least one trained network");
}

Simulations Posterior::data_sets(const char* what, const Array& data) const {
  Simulations out;
  if (data.shape() == data_shape_)
    out.sim_data = data.expand_dims(0);
  else if (data.rank() == data_shape_.rank() + 1 && data.shape().slice(1, data.rank()) == data_shape_)
    out.sim_data = data;
  else
    throw ShapeError(fmt::format("Posterior::{}: data must have the simulations' shape {}, or (data sets, ...) of it; got {}", what,
                                 data_shape_.to_string(), data.shape().to_string()));
  if (out.sim_data.empty()) throw ShapeError(fmt::format("Posterior::{}: there are no data sets", what));
  return out;
}

Array Posterior::network_draws(std::size_t member, const Simulations& data, std::int64_t n, const SampleOptions& options) const {
  std::vector<Foreign> found;
  return members_[member].sample(data, n, {.seed = options.seed, .foreign = &found, .precision = options.precision});
}

Array Posterior::sample(const Array& data, std::int64_t n_samples, SampleOptions options) const {
  if (n_samples < 1) throw ArgumentError(fmt::format("Posterior::sample: n_samples must be at least 1; got {}", n_samples));
  const Simulations given = data_sets("sample", data);
  if (options.foreign) *options.foreign = check(data);
  const std::int64_t batch = given.sim_data.dim(0), width = num_params(), k = static_cast<std::int64_t>(members_.size());
  Array out({batch, n_samples, width});
  const std::uint64_t seed = options.seed.value_or(0);
  std::vector<std::int64_t> filled(index(batch), 0), open(index(batch));
  std::iota(open.begin(), open.end(), std::int64_t{0});
  // Round r asks every network for its share of what is wanted, and takes in turns what lies within the bounds. Later rounds make about
  // as many as the data set that lacks most needs, by the share that has been within bounds so far.
  std::int64_t each = (n_samples + k - 1) / k, drawn = 0;
  for (std::int64_t round = 0; !open.empty(); ++round) {
    if (drawn >= kMostDrawn * n_samples)
      throw ArgumentError(
          fmt::format("Posterior::sample: of {} draws for data set {} only {} lie within the prior's bounds; such data are unlike all "
                      "simulations: check them",
                      drawn, open.front(), filled[index(open.front())]));
    Simulations rows;
    rows.sim_data = given.sim_data.take(open);
    std::vector<Array> draws;
    for (std::int64_t m = 0; m < k; ++m)
      draws.push_back(network_draws(
          index(m), rows, each,
          {.seed = Rng(seed, "posterior", static_cast<std::uint64_t>(round * k + m)).bits(), .precision = options.precision}));
    std::vector<std::int64_t> rest;
    for (std::size_t i = 0; i < open.size(); ++i) {
      std::int64_t& count = filled[index(open[i])];
      for (std::int64_t s = 0; s < each * k && count < n_samples; ++s) {
        const double* draw = draws[index(s % k)].data() + (static_cast<std::int64_t>(i) * each + s / k) * width;
        if (workflow::inside(plan_, draw)) std::copy_n(draw, width, out.data() + (open[i] * n_samples + count++) * width);
      }
      if (count < n_samples) rest.push_back(open[i]);
    }
    open = std::move(rest);
    drawn += each * k;
    std::int64_t least = n_samples;
    for (const std::int64_t b : open) least = std::min(least, filled[index(b)]);
    const double rate = (static_cast<double>(least) + 1) / static_cast<double>(drawn), lacking = static_cast<double>(n_samples - least);
    each = std::min((n_samples + k - 1) / k, static_cast<std::int64_t>(1.1 * lacking / rate / static_cast<double>(k)) + 8);
  }
  return out;
}

Array Posterior::log_prob(const Array& parameters, const Array& data, SampleOptions options) const {
  if (options.precision)
    throw ArgumentError("Posterior::log_prob: precision is an option of draws; densities are computed in that of the networks");
  Simulations given = data_sets("log_prob", data);
  const std::int64_t batch = given.sim_data.dim(0), width = num_params();
  given.prior_draws = parameters.rank() == 1 && batch == 1 ? parameters.expand_dims(0) : parameters;
  if (given.prior_draws.shape() != Shape{batch, width})
    throw ShapeError(fmt::format("Posterior::log_prob: parameters must have shape ({}, {}), a row for each data set; got {}", batch, width,
                                 parameters.shape().to_string()));
  if (options.foreign) *options.foreign = check(data);
  std::vector<workflow::MemberDensity> densities;
  for (const AmortizedPosterior& member : members_) densities.push_back(workflow::member_density(member, plan_, given, kAcceptanceDraws));
  return workflow::log_mixture(densities, plan_, given.prior_draws);
}

Array Posterior::quantiles(const Array& data, const std::vector<double>& probabilities, std::int64_t n_samples,
                           SampleOptions options) const {
  if (probabilities.empty()) throw ArgumentError("Posterior::quantiles: there are no probabilities; give some, 0.05 and 0.95, say");
  for (const double p : probabilities)
    if (!(p >= 0 && p <= 1)) throw ArgumentError(fmt::format("Posterior::quantiles: probabilities must be between 0 and 1; got {:g}", p));
  const Array draws = sample(data, n_samples, options);
  const std::int64_t count = static_cast<std::int64_t>(probabilities.size());
  Array out({draws.dim(0), draws.dim(2), count});
  for (std::int64_t q = 0; q < count; ++q) {
    const Array at = draws.quantile(probabilities[index(q)], 1);
    for (std::int64_t i = 0; i < at.size(); ++i) out.data()[i * count + q] = at.data()[i];
  }
  return out;
}

diagnostics::Table Posterior::summary_table(const Array& data, std::int64_t n_samples, SampleOptions options) const {
  const std::vector<double> probabilities = {0.05, 0.25, 0.5, 0.75, 0.95};
  const Array draws = sample(data, n_samples, options);
  const std::int64_t batch = draws.dim(0), width = draws.dim(2);
  const Array mean = draws.mean(1), sd = draws.std_along(1);
  std::vector<double> set;
  std::vector<std::string> names;
  std::vector<std::vector<double>> numbers(2 + probabilities.size());
  std::vector<Array> at;
  for (const double p : probabilities) at.push_back(draws.quantile(p, 1));
  for (std::int64_t i = 0; i < batch * width; ++i) {
    const std::int64_t number = i / width;
    set.push_back(static_cast<double>(number));
    names.push_back(param_names_[index(i % width)]);
    numbers[0].push_back(mean.data()[i]);
    numbers[1].push_back(sd.data()[i]);
    for (std::size_t q = 0; q < at.size(); ++q) numbers[2 + q].push_back(at[q].data()[i]);
  }
  diagnostics::Table out{"summary", {{"data_set", set}, {"parameter", names}, {"mean", numbers[0]}, {"sd", numbers[1]}}};
  for (std::size_t q = 0; q < probabilities.size(); ++q) out.columns.push_back({fmt::format("q{:g}", probabilities[q]), numbers[2 + q]});
  return out;
}

std::vector<Foreign> Posterior::check(const Array& data) const {
  return members_.front().foreign(members_.front().configure(data_sets("check", data)));
}

diagnostics::Verdict Posterior::verdict(const Simulations& fresh, std::int64_t n_samples) const {
  const Array draws = sample(fresh.sim_data, n_samples, {.seed = 0});
  Simulations data;
  data.sim_data = fresh.sim_data;
  return diagnostics::verdict(draws, fresh.prior_draws, members_.front().configure(data), {.param_names = param_names_});
}

std::string Posterior::story() const {
  const FitRecord& r = record_;
  std::string out = fmt::format("{} simulations, {} of them held out; data of shape {} taken as a {}.\n", r.simulations, r.held_out,
                                data_shape_.to_string(), names_of(plan_.data)[index(static_cast<std::int64_t>(plan_.data))].second);
  const auto named = [&](const std::vector<std::int64_t>& columns, bool parameters) {
    std::vector<std::string> names;
    for (const std::int64_t c : columns) names.push_back(parameters ? param_names_[index(c)] : std::to_string(c));
    return fmt::format("{}", fmt::join(names, ", "));
  };
  if (!plan_.log_parameters.empty())
    out += fmt::format("The logarithm was taken of the parameters {}: they are positive and skewed.\n", named(plan_.log_parameters, true));
  if (!plan_.log_data.empty())
    out += fmt::format("The logarithm was taken of the data's columns {}: they are positive and skewed.\n", named(plan_.log_data, false));
  if (!plan_.log1p_data.empty())
    out +=
        fmt::format("log(1 + x) was taken of the data's columns {}: they are not negative, and skewed.\n", named(plan_.log1p_data, false));
  if (!plan_.sqrt_data.empty())
    out += fmt::format("The square root was taken of the data's columns {}: they are skewed counts.\n", named(plan_.sqrt_data, false));
  std::vector<std::string> bounds;
  for (std::size_t i = 0; i < plan_.lower.size(); ++i)
    if (plan_.lower[i] || plan_.upper[i])
      bounds.push_back(fmt::format("{} in [{}, {}]", param_names_[i], plan_.lower[i] ? fmt::format("{:g}", *plan_.lower[i]) : "-inf",
                                   plan_.upper[i] ? fmt::format("{:g}", *plan_.upper[i]) : "inf"));
  if (!bounds.empty())
    out +=
        fmt::format("The prior ends abruptly ({}): draws beyond are drawn again, and densities allow for it.\n", fmt::join(bounds, ", "));
  out += "Tried, with the mean log posterior density of held-out simulations (higher is better):\n";
  for (const FitTrial& t : r.trials)
    out += fmt::format("  {:9.4f}  {} ({} epochs, {:.1f} s)\n", t.log_score, to_string(t.plan), t.epochs, t.seconds);
  out += fmt::format(
      "The best two were trained for up to {} epochs; the first here was then better. {} networks with other first weights: {:.4f}",
      plan_.epochs, r.member_log_scores.size(), fmt::join(r.member_log_scores, ", "));
  out += members_.size() > 1 ? fmt::format("; all together {:.4f}, so all are used.\n", r.log_score)
                             : fmt::format("; the best alone is used, with {:.4f}.\n", r.log_score);
  out += fmt::format("A normal density with the prior's moments has {:.4f}: the data tell {:.2f} nats. {:.1f} s in all.\n",
                     r.prior_log_score, r.log_score - r.prior_log_score, r.seconds);
  return out;
}

void Posterior::save(const std::filesystem::path& path) const {
  io::Json text = {{"plan", io::OptionWriter::of(plan_)}, {"record", workflow::json_of(record_)}, {"data_shape", io::Json::array()}};
  for (int axis = 0; axis < data_shape_.rank(); ++axis) text["data_shape"].push_back(data_shape_[axis]);
  SaveAmortizerOptions options;
  options.info = {.description = story(),
                  .param_names = param_names_,
                  .simulations = record_.simulations,
                  .final_validation_loss = -record_.log_score,
                  .seed = record_.seed,
                  .workflow = text.dump(-1, ' ', false, io::Json::error_handler_t::replace)};
  if (members_.size() == 1)
    save_amortizer(members_.front(), path, options);
  else
    save_amortizer(Ensemble<AmortizedPosterior>(members_), path, options);
}

Posterior load_posterior(const std::filesystem::path& path, const LoadAmortizerOptions& options) {
  const detail::LoadedModel model = detail::load_model(path, options);
  if (model.info.workflow.empty())
    throw IoError(fmt::format("\"{}\": it holds an {} that `fit` did not make; read it with load_amortizer", path.string(),
                              model.amortizer->class_name()));
  try {
    const io::Json text = io::parse_json(model.info.workflow);
    FitPlan plan;
    io::OptionReader::fill(plan, text.at("plan"), workflow::kLimits);
    std::vector<std::int64_t> extents = io::integers<std::int64_t>(text.at("data_shape"));
    if (extents.empty() || extents.size() > 4) throw std::runtime_error("the data have no shape");
    for (const std::int64_t extent : extents)
      if (extent < 0) throw std::runtime_error("an extent of the data is negative");
    Shape shape;
    for (const std::int64_t extent : extents) shape.push_back(extent);
    FitRecord record = workflow::record_from(text.at("record"));
    if (record.trials.empty()) throw std::runtime_error("nothing was tried");
    std::vector<AmortizedPosterior> members;
    if (const auto* group = dynamic_cast<const AmortizerGroup*>(model.amortizer.get())) {
      const Ensemble<AmortizedPosterior> ensemble(*group);
      for (std::size_t m = 0; m < ensemble.size(); ++m) members.push_back(ensemble.member(m));
    } else {
      members.emplace_back(detail::single_of(model, AmortizedPosterior::kKind));
    }
    const auto width = static_cast<std::size_t>(members.front().num_params());
    for (const AmortizedPosterior& member : members)
      if (!member.adapter() || static_cast<std::size_t>(member.num_params()) != width) throw std::runtime_error("its networks do not fit");
    if (model.info.param_names.size() != width || plan.lower.size() != width || plan.upper.size() != width)
      throw std::runtime_error("there is not one name and one bound for each parameter");
    for (const std::int64_t column : plan.log_parameters)
      if (column < 0 || static_cast<std::size_t>(column) >= width)
        throw std::runtime_error("it takes the logarithm of a parameter that is not there");
    return Posterior(std::move(members), std::move(plan), std::move(record), model.info.param_names, shape);
  } catch (const IoError&) {
    throw;
  } catch (const std::exception& error) {
    throw IoError(
        fmt::format("\"{}\": what fit wrote about it cannot be read ({}); use another copy of the file", path.string(), error.what()));
  }
}

}  // namespace bayesflow
