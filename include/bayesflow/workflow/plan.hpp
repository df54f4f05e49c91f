/// What `fit` trains, as described data: from it come the networks, the long program that does the same, and what is in files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/invertible_network.hpp"

namespace bayesflow {

/// What the data of one simulation are.
enum class DataKind : std::uint8_t {
  automatic,  ///< told from shapes and values
  vector,     ///< (d): directly to the inference network
  set,        ///< (n, d), rows in any order: to a DeepSet
  series,     ///< (n, d), rows in the order of time: to a SequenceNetwork
};
[[nodiscard]] EnumNames<DataKind> names_of(DataKind);

/// One way to learn a posterior: adapter, networks, training.
struct FitPlan {
  DataKind data = DataKind::vector;
  std::vector<std::int64_t> log_parameters = {}, log_data = {}, log1p_data = {};  ///< columns that pass through a logarithm
  std::vector<std::int64_t> sqrt_data = {};                                       ///< or a square root
  bool regress = false;                                                           ///< of vectors: adapter::Regress
  /// Of the prior, one of each parameter; absent: none. Draws outside are drawn again.
  std::vector<std::optional<double>> lower = {}, upper = {};
  CouplingDesign design = CouplingDesign::affine;
  std::int64_t layers = 6, units = 32;  ///< of the flow, and of the dense layers within
  double dropout = 0.2, weight_decay = 1e-3;
  std::int64_t summary_dim = 0;  ///< of a summary network; 0: there is none
  std::int64_t epochs = 60, batch_size = 128;
  double learning_rate = 1e-3;  ///< at first, with a cosine decay to 0
  std::int64_t members = 1;     ///< networks with other first weights, used together
};

template <class V>
void describe(V& v, FitPlan& o) {
  v("data", o.data);
  v("log_parameters", o.log_parameters, at_least(0));
  v("log_data", o.log_data, at_least(0));
  v("log1p_data", o.log1p_data, at_least(0));
  v.later("sqrt_data", o.sqrt_data, std::vector<std::int64_t>{}, at_least(0));
  v("regress", o.regress);
  v("lower", o.lower);
  v("upper", o.upper);
  v("design", o.design);
  v("layers", o.layers, at_least(1));
  v("units", o.units, width());
  v("dropout", o.dropout, probability());
  v("weight_decay", o.weight_decay, at_least(0));
  v("summary_dim", o.summary_dim, at_least(0));
  v("epochs", o.epochs, at_least(1));
  v("batch_size", o.batch_size, at_least(1));
  v("learning_rate", o.learning_rate, positive());
  v("members", o.members, at_least(1));
}

/// "spline flow, 5 x 64, dropout 0.2, weight decay 0.001, after a linear regression"
[[nodiscard]] std::string to_string(const FitPlan& plan);
/// All of it: {"data": "vector", ...}
[[nodiscard]] std::string to_json(const FitPlan& plan);
/// The plan's adapter, not fitted yet.
[[nodiscard]] Adapter adapter_of(const FitPlan& plan);
/// An amortizer of the plan, without weights.
[[nodiscard]] AmortizedPosterior amortizer_of(const FitPlan& plan, std::int64_t num_params, Adapter adapter, int threads = 0);

}  // namespace bayesflow
