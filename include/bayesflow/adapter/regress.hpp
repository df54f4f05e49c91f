/// A step of an Adapter: parameters without what a linear regression on the data tells of them.
#pragma once

#include <string>
#include <vector>

namespace bayesflow::adapter {

/// What a ridge regression leaves of parameters x (P): y = L^-1 (x - a - B c), c the field `on` (batch, columns) of the data, each number
/// kept within five standard deviations of its mean. L is the lower triangle with L L^T the covariance of x - a - B c; the penalty is that
/// of the best generalized cross-validation (Golub, Heath, Wahba 1979, Generalized cross-validation as a method for choosing a good ridge
/// parameter). Where posteriors are narrow, networks then learn their shape and not their place. At most 512 columns.
struct Regress {
  static constexpr const char* kName = "regress";
  std::string field = "prior_draws", on = "sim_data";
  /// Fitted: a (P), B (P, columns) and L (P, P) by rows, and the bounds of each column of `on`.
  std::vector<double> location = {}, coefficients = {}, scale = {}, low = {}, high = {};
};

template <class V>
void describe(V& v, Regress& o) {
  v("field", o.field);
  v("on", o.on);
  v("location", o.location);
  v("coefficients", o.coefficients);
  v("scale", o.scale);
  v("low", o.low);
  v("high", o.high);
}

}  // namespace bayesflow::adapter
