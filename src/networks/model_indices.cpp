#include "networks/model_indices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::networks {

void require_model_indices(const char* owner, std::int64_t num_models, std::int64_t target_width) {
  if (target_width != num_models)
    throw ConfigurationError(
        fmt::format("{}: num_models = {}, but the model indices have a width of {}; give one-hot rows, (batch, {}), or set it to {}", owner,
                    num_models, target_width, num_models, target_width));
}

void check_model_indices(const char* owner, Tensor targets) {
  const std::int64_t cols = targets.cols();
  for (std::int64_t i = 0; i < targets.rows(); ++i) {
    const float* row = targets.data() + i * cols;
    double sum = 0;
    for (std::int64_t j = 0; j < cols; ++j) sum += static_cast<double>(row[j]);
    if (!(std::fabs(sum - 1) < 1e-3) || *std::min_element(row, row + cols) < 0)
      throw ArgumentError(
          fmt::format("{}: model indices must be one-hot rows, or probabilities that sum to 1; row {} sums to {:.4g} and has a smallest "
                      "value of {:.4g}",
                      owner, i, sum, static_cast<double>(*std::min_element(row, row + cols))));
  }
}

Tensor smoothed(Tape& tape, Tensor one_hot, double e) {
  if (e == 0) return one_hot;
  return ops::add(ops::scale(one_hot, static_cast<float>(1 - e)),
                  tape.filled(one_hot.shape(), static_cast<float>(e / static_cast<double>(one_hot.cols()))));
}

void make_one_hot(Array& rows) {
  const std::int64_t cols = rows.dim(-1);
  for (double* row = rows.data(); row != rows.data() + rows.size(); row += cols) {
    const auto largest = std::max_element(row, row + cols) - row;
    for (std::int64_t j = 0; j < cols; ++j) row[j] = j == largest ? 1 : 0;
  }
}

}  // namespace bayesflow::networks
