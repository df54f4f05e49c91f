/// Masked autoregressive flows: what each column sees, determinants against derivatives, draws against densities.
#include "bayesflow/networks/autoregressive_flow.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "networks/support_networks.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

constexpr std::int64_t kConditions = 2;

AutoregressiveFlowOptions small(std::int64_t width, CouplingDesign design, std::int64_t layers = 3) {
  return {.num_params = width,
          .num_layers = layers,
          .design = design,
          .dense = {.units = 12, .activation = Activation::tanh},
          .order = width > 2 ? AutoregressiveOrder::shuffled : AutoregressiveOrder::reversed};
}

struct Built {
  nn::ParameterStore store;
  AutoregressiveFlow net;
  explicit Built(const AutoregressiveFlowOptions& options, double scale = 0.4) : net(options) {
    net.build(nn::Builder(store, 1), options.num_params, kConditions);
    nn::randomize(store, 2, scale);
  }
};

Array normals(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed, "numbers");
  return rng.normal(shape);
}
Array to_array(Tensor x) {
  Array out(x.shape());
  std::copy_n(x.data(), x.size(), out.data());
  return out;
}

struct Jacobian {
  Array matrix;  // (D, D): d z_i / d theta_j
  double log_det;
};
Jacobian jacobian(const AutoregressiveFlow& net, const Array& theta, const Array& condition) {
  const std::int64_t d = net.target_width();
  Jacobian out{Array({d, d}), 0};
  Tape tape;
  for (std::int64_t i = 0; i < d; ++i) {
    tape.reset({.gradients = true, .training = false});
    const Tensor x = tape.input(theta, true);
    const ops::Transformed f = net.forward(tape, x, tape.input(condition));
    std::vector<float> cotangent(static_cast<std::size_t>(d), 0.0f);
    cotangent[static_cast<std::size_t>(i)] = 1;
    tape.backward(f.value, cotangent.data());
    for (std::int64_t j = 0; j < d && x.grad(); ++j) out.matrix(i, j) = static_cast<double>(x.grad()[j]);
    out.log_det = static_cast<double>(f.log_det.data()[0]);
  }
  return out;
}

double determinant(Array a) {
  const std::int64_t n = a.dim(0);
  double det = 1;
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t pivot = k;
    for (std::int64_t i = k; i < n; ++i)
      if (std::fabs(a(i, k)) > std::fabs(a(pivot, k))) pivot = i;
    for (std::int64_t j = 0; j < n && pivot != k; ++j) std::swap(a(k, j), a(pivot, j));
    det *= pivot == k ? a(k, k) : -a(k, k);
    for (std::int64_t i = k + 1; i < n; ++i)
      for (std::int64_t j = n; j-- > k;) a(i, j) -= a(i, k) / a(k, k) * a(k, j);
  }
  return det;
}

class AutoregressiveFlows : public testing::TestWithParam<std::tuple<CouplingDesign, std::int64_t>> {};

TEST_P(AutoregressiveFlows, TheInverseUndoesIt) {
  const auto [design, width] = GetParam();
  const Built b(small(width, design));
  for (const bool each : {false, true}) {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Array theta = normals({4, 30, width}, 1), condition = each ? normals({4, 30, kConditions}, 2) : normals({4, kConditions}, 2);
    const Tensor c = tape.input(condition), z = b.net.forward(tape, tape.input(theta), c).value;
    EXPECT_GT(largest_difference(to_array(z), theta), 0.3);
    EXPECT_LT(largest_difference(to_array(b.net.inverse(tape, z, c)), theta), 5e-3);
  }
}

TEST_P(AutoregressiveFlows, DeterminantsAreThoseOfTheDerivatives) {
  const auto [design, width] = GetParam();
  const Built b(small(width, design));
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Jacobian j = jacobian(b.net, normals({1, width}, seed), normals({1, kConditions}, seed));
    EXPECT_NEAR(std::log(std::fabs(determinant(j.matrix))), j.log_det, 2e-3);
    EXPECT_GT(std::fabs(j.log_det), 1e-2);
  }
}

/// One layer: z_i depends on all columns up to i, and on none after it.
TEST_P(AutoregressiveFlows, ColumnsSeeThoseBeforeThem) {
  const auto [design, width] = GetParam();
  for (const bool linear : {true, false}) {
    AutoregressiveFlowOptions options = small(width, design, design == CouplingDesign::interleaved ? 2 : 1);
    options.linear_path = linear;
    const Built b(options);
    const Jacobian j = jacobian(b.net, normals({1, width}, 3), normals({1, kConditions}, 3));
    if (options.num_layers > 1) continue;  // permuted
    for (std::int64_t row = 0; row < width; ++row)
      for (std::int64_t col = 0; col < width; ++col)
        if (col > row)
          EXPECT_EQ(j.matrix(row, col), 0.0) << row << " " << col;
        else
          EXPECT_GT(std::fabs(j.matrix(row, col)), 1e-6) << row << " " << col;
  }
}

INSTANTIATE_TEST_SUITE_P(Designs, AutoregressiveFlows,
                         testing::Combine(testing::Values(CouplingDesign::affine, CouplingDesign::spline, CouplingDesign::interleaved),
                                          testing::Values(1, 2, 5)));

TEST(AutoregressiveFlow, MoreParametersThanUnits) {
  AutoregressiveFlowOptions options = small(9, CouplingDesign::affine);
  options.dense.units = 4;
  const Built b(options);
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  const Array theta = normals({10, 9}, 1);
  const Tensor c = tape.input(normals({10, kConditions}, 2));
  EXPECT_LT(largest_difference(to_array(b.net.inverse(tape, b.net.forward(tape, tape.input(theta), c).value, c)), theta), 5e-3);
  const Jacobian j = jacobian(b.net, theta.slice(0, 1), normals({1, kConditions}, 2));
  EXPECT_NEAR(std::log(std::fabs(determinant(j.matrix))), j.log_det, 2e-3);
}

TEST(AutoregressiveFlow, StartsAsTheIdentity) {
  nn::ParameterStore store;
  AutoregressiveFlow net(small(3, CouplingDesign::spline, 1));
  net.build(nn::Builder(store, 1), 3, kConditions);
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  const Array theta = normals({4, 3}, 1);
  const ops::Transformed f = net.forward(tape, tape.input(theta), tape.input(normals({4, kConditions}, 2)));
  EXPECT_LT(largest_difference(to_array(f.value), theta), 1e-5);
  EXPECT_LT(abs(to_array(f.log_det)).max(), 1e-5);
}

TEST(AutoregressiveFlow, SaysWhatDoesNotFit) {
  const auto said = [](const AutoregressiveFlowOptions& options) {
    return sentence<ConfigurationError>([&] { AutoregressiveFlow net(options); });
  };
  EXPECT_EQ(said({}), "AutoregressiveFlowOptions::num_params = 0; it must be the number of parameters, at least 1");
  EXPECT_EQ(said({.num_params = 2, .num_layers = 0}), "AutoregressiveFlowOptions::num_layers = 0; it must be at least 1 and at most 1000");
  EXPECT_EQ(said({.num_params = 2, .scale_gain = 0}), "AutoregressiveFlowOptions::scale_gain = 0; it must be positive and finite");
  EXPECT_NE(said({.num_params = 2, .dense = {.activation = Activation::softmax}}).find("dense.activation = softmax"), std::string::npos);
  EXPECT_NE(said({.num_params = 2, .spline = {.bins = 1}}).find("spline.bins = 1"), std::string::npos);
}

}  // namespace
}  // namespace bayesflow
