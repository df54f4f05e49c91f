#include "bayesflow/diagnostics/losses.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

/// "summary_loss" -> "Summary Loss"; weight decay has v1's short form.
std::string title(std::string_view term) {
  if (term == kWeightDecay) return "W.Decay";
  std::string out(term);
  bool starts = true;
  for (char& c : out) {
    if (c == '_') c = ' ';
    if (starts && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    starts = c == ' ';
  }
  return out;
}

/// Mean of the last `window` values; steps are correlated, so its error comes from the means of ten batches.
Estimate last_mean(const Array& train, std::int64_t column, std::int64_t window) {
  const std::int64_t n = train.dim(0), batches = 10;
  double sum = 0;
  for (std::int64_t i = n - window; i < n; ++i) sum += train(i, column) / real(window);
  if (window < 2 * batches) return {sum, kNaN};
  std::vector<double> means(index(batches));
  for (std::int64_t k = 0; k < batches; ++k) {
    const std::int64_t first = n - window + k * window / batches, last = n - window + (k + 1) * window / batches;
    for (std::int64_t i = first; i < last; ++i) means[index(k)] += train(i, column) / real(last - first);
  }
  return {sum, mean_estimate(means).standard_error};
}

}  // namespace

void LossesOptions::validate() const {
  require_option(ma_window_fraction > 0 && ma_window_fraction <= 1, "LossesOptions", "ma_window_fraction", ma_window_fraction,
                 "above 0 and at most 1");
}

LossCurves losses(std::vector<std::string> names, const Array& train, const Array& validation, std::vector<double> validation_steps,
                  const LossesOptions& options) {
  options.validate();
  LossCurves out;
  const auto columns = static_cast<std::int64_t>(names.size());
  const auto matrix = [&](const Array& x, const char* name) {
    Array m = x.rank() == 1 && columns > 0 ? x.reshape({x.size() / columns, columns}) : x;
    if (m.rank() != 2 || (m.dim(1) != columns && !m.empty()) || columns == 0)
      throw ShapeError(
          fmt::format("losses: {} must have shape (steps, {}), a column for each name; got {}", name, columns, x.shape().to_string()));
    return m;
  };
  out.train = matrix(train, "train");
  const std::int64_t n = out.train.dim(0);
  if (n == 0) throw ArgumentError("losses: there are no training steps; train first");
  out.validation = validation.empty() ? Array({0, columns}) : matrix(validation, "validation");
  if (static_cast<std::int64_t>(validation_steps.size()) != out.validation.dim(0))
    throw ShapeError(fmt::format("losses: got {} validation losses and {} validation steps; give one step each", out.validation.dim(0),
                                 validation_steps.size()));
  out.names = std::move(names);
  out.validation_steps = std::move(validation_steps);
  for (std::int64_t i = 1; i <= n; ++i) out.steps.push_back(real(i));
  out.window = std::max<std::int64_t>(1, static_cast<std::int64_t>(options.ma_window_fraction * real(n)));
  out.moving_average = Array({n, columns});
  for (std::int64_t c = 0; c < columns; ++c) {
    // Summed anew every window steps, so that rounding does not pile up over a long run.
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      if (i % out.window == 0) {
        sum = 0;
        for (std::int64_t k = std::max<std::int64_t>(0, i - out.window + 1); k <= i; ++k) sum += out.train.data()[k * columns + c];
      } else {
        sum += out.train.data()[i * columns + c];
        if (i >= out.window) sum -= out.train.data()[(i - out.window) * columns + c];
      }
      out.moving_average.data()[i * columns + c] = sum / real(std::min(i + 1, out.window));
    }
    out.last_average.push_back(last_mean(out.train, c, out.window));
  }
  return out;
}

LossCurves losses(const History& history, const LossesOptions& options) {
  if (history.steps.empty()) throw ArgumentError("losses: there are no training steps; train first");
  const LossTerms& first = history.steps.front().losses;
  const auto is_zero = [&](std::size_t k) {
    return std::all_of(history.steps.begin(), history.steps.end(), [k](const StepRecord& s) { return s.losses.value(k) == 0; });
  };
  std::vector<std::size_t> used;
  bool decays = false;
  for (std::size_t k = 0; k < first.size(); ++k) {
    if (is_zero(k)) continue;
    const bool decay = first.name(k) == kWeightDecay, only_term = first.size() == 2;
    decays = decays || decay;
    if (decay || (first.name(k) != "loss" && !only_term)) used.push_back(k);
  }
  std::vector<std::string> names{"Loss"};
  for (const std::size_t k : used) names.push_back(title(first.name(k)));
  if (decays) names.emplace_back("Total");
  const auto columns = static_cast<std::int64_t>(names.size());
  const auto matrix = [&](const std::vector<const LossTerms*>& rows) {
    Array m({static_cast<std::int64_t>(rows.size()), columns});
    for (std::size_t r = 0; r < rows.size(); ++r) {
      double* row = m.data() + static_cast<std::int64_t>(r) * columns;
      row[0] = rows[r]->objective();
      for (std::size_t c = 0; c < used.size(); ++c) row[1 + c] = rows[r]->value(used[c]);
      if (decays) row[1 + used.size()] = rows[r]->total();
    }
    return m;
  };
  std::vector<const LossTerms*> train, validation;
  for (const StepRecord& s : history.steps) train.push_back(&s.losses);
  std::vector<double> at;
  std::int64_t steps = 0;
  for (const EpochRecord& e : history.epochs) {
    steps += e.steps;
    if (!e.validated) continue;
    validation.push_back(&e.validation);
    at.push_back(real(steps));
  }
  return losses(std::move(names), matrix(train), matrix(validation), std::move(at), options);
}

std::vector<Table> LossCurves::tables() const {
  return {TableBuilder("losses").add("step", steps).add_columns("", names, train).add_columns("average ", names, moving_average),
          TableBuilder("validation_losses").add("step", validation_steps).add_columns("", names, validation)};
}

}  // namespace bayesflow::diagnostics
