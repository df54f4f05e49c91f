/// Invertible networks: gradients against differences over all settings, and the properties of a flow.
#include "bayesflow/networks/invertible_network.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "networks/support_networks.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using support::sample;
using Inputs = std::span<const Tensor>;

Array to_array(Tensor x) {
  Array out(x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) out.data()[i] = static_cast<double>(x.data()[i]);
  return out;
}

enum class Condition { none, per_set, per_observation };

struct Setting {
  CouplingDesign design;
  PermutationKind permutation;
  bool act_norm, sets, residual;
  Condition condition;
  std::int64_t width;
  bool location_scale = true;
  [[nodiscard]] std::string text() const {
    return fmt::format("design {}, permutation {}, act norm {}, sets {}, residual {}, condition {}, width {}, location_scale {}",
                       static_cast<int>(design), static_cast<int>(permutation), act_norm, sets, residual, static_cast<int>(condition),
                       width, location_scale);
  }
};

std::vector<Setting> all_settings() {
  std::vector<Setting> all;
  for (const auto design : {CouplingDesign::affine, CouplingDesign::spline, CouplingDesign::interleaved})
    for (const auto permutation : {PermutationKind::fixed, PermutationKind::learnable, PermutationKind::none})
      for (const bool act_norm : {true, false})
        for (const bool sets : {false, true})
          for (const bool residual : {false, true})
            for (const auto condition : {Condition::none, Condition::per_set, Condition::per_observation})
              for (const std::int64_t width : {1, 2, 3, 5})
                for (const bool location_scale : {false, true})
                  if ((sets || condition != Condition::per_observation) && !(location_scale && design == CouplingDesign::affine))
                    all.push_back({design, permutation, act_norm, sets, residual, condition, width, location_scale});
  return all;
}

InvertibleNetworkOptions options_of(const Setting& s) {
  InvertibleNetworkOptions o;
  o.num_params = s.width;
  o.num_coupling_layers = 2;
  o.coupling_design = s.design;
  o.permutation = s.permutation;
  o.use_act_norm = s.act_norm;
  o.coupling = unregularized_coupling();
  o.coupling.dense.units = 6;
  o.coupling.dense.activation = Activation::tanh;
  o.coupling.residual = s.residual;
  o.coupling.spline.bins = 3;
  o.coupling.location_scale = s.location_scale;
  o.coupling.scale_gain = 1;  // the gain would make random weights into scales at their clamp, and rounding large
  return o;
}

/// A built network with random parameters, and its inputs.
struct Flow {
  nn::ParameterStore store;
  InvertibleNetwork net;
  std::vector<Array> inputs;
  explicit Flow(const Setting& s) : net(options_of(s)) {
    const std::int64_t c = s.condition == Condition::none ? 0 : 2;
    net.build(nn::Builder(store, 3), net.target_width(), c);
    nn::randomize(store, 4, 0.4);
    inputs.push_back(sample("flow/targets", s.sets ? Shape{2, 3, s.width} : Shape{3, s.width}));
    if (c)
      inputs.push_back(sample("flow/condition", s.condition == Condition::per_observation ? Shape{2, 3, c} : Shape{s.sets ? 2 : 3, c}));
  }
  std::vector<Tensor> operator()(Tape& tape, Inputs x) const {
    const ops::Transformed t = net.forward(tape, x[0], x.size() > 1 ? x[1] : Tensor());
    return {t.value, t.log_det};
  }
};

/// Differences of every setting take seconds; those of every eleventh are in the fast set. Eleven and the numbers of choices have no
/// common divisor, so that every choice of every option comes up.
std::vector<Setting> thinned() {
  const std::vector<Setting> all = all_settings();
  std::vector<Setting> some;
  for (std::size_t i = 0; i < all.size(); i += 11) some.push_back(all[i]);
  return some;
}

TEST(InvertibleNetwork, SettingsAreCountedAndThinnedOnesHaveEveryChoice) {
  EXPECT_EQ(all_settings().size(), (1U + 2 * 2) * 3 * 2 * 2 * 4 * (2 + 3));  // splines with and without a scale and a shift
  std::set<int> designs, permutations, conditions;
  std::set<std::int64_t> widths;
  std::set<std::tuple<bool, bool, bool>> switches;
  int scaled = 0;
  for (const Setting& s : thinned()) {
    designs.insert(static_cast<int>(s.design));
    permutations.insert(static_cast<int>(s.permutation));
    conditions.insert(static_cast<int>(s.condition));
    widths.insert(s.width);
    switches.insert({s.act_norm, s.sets, s.residual});
    scaled += s.location_scale;
  }
  EXPECT_GT(scaled, 20);
  EXPECT_EQ(std::vector<std::size_t>({designs.size(), permutations.size(), conditions.size(), widths.size(), switches.size()}),
            std::vector<std::size_t>({3, 3, 3, 4, 8}));
}

void expect_gradients(const std::vector<Setting>& settings) {
  for (const Setting& s : settings) {
    Flow flow(s);
    const GradientCheck check = nn::check_gradient(
        flow.store, [&](Tape& t, Inputs x) { return flow(t, x); }, flow.inputs,
        // Scales move points to the straight tails, where differences say little of splines.
        {.tolerance = 3e-3, .steps = 7, .max_elements = 1, .unresolved = s.location_scale ? 0.7 : 0.6, .floor = 0.1, .seed = 1});
    ASSERT_TRUE(check.passed()) << s.text() << ": " << check.to_string();
  }
}
TEST(InvertibleNetwork, GradientsAgreeWithDifferences) { expect_gradients(thinned()); }
TEST(InvertibleNetwork, GradientsAgreeWithDifferencesInEverySettingSlow) { expect_gradients(all_settings()); }

TEST(InvertibleNetwork, InverseUndoesForwardInEverySetting) {
  for (const Setting& s : all_settings()) {
    Flow flow(s);
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor x = tape.input(flow.inputs[0]), c = flow.inputs.size() > 1 ? tape.input(flow.inputs[1]) : Tensor();
    const ops::Transformed z = flow.net.forward(tape, x, c);
    EXPECT_EQ(z.value.shape(), x.shape());
    EXPECT_EQ(z.log_det.shape(), x.shape().slice(0, -1));
    // Random scales before splines stretch up to several times in each of four couplings, and rounding with it.
    const double stretch = s.location_scale ? 4 : 1;
    EXPECT_LT(largest_difference(to_array(flow.net.inverse(tape, z.value, c)), flow.inputs[0]), stretch * 1e-5) << s.text();
    // And the other way round.
    const Tensor back = flow.net.inverse(tape, x, c);
    EXPECT_LT(largest_difference(to_array(flow.net.forward(tape, back, c).value), flow.inputs[0]), stretch * 2e-5) << s.text();
  }
}

double log_abs_det(Array a) {
  const std::int64_t n = a.dim(0);
  double log_det = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t p = k;
    for (std::int64_t i = k; i < n; ++i)
      if (std::fabs(a(i, k)) > std::fabs(a(p, k))) p = i;
    for (std::int64_t j = 0; j < n; ++j) std::swap(a(k, j), a(p, j));
    log_det += std::log(std::fabs(a(k, k)));
    for (std::int64_t i = k + 1; i < n; ++i) {
      const double f = a(i, k) / a(k, k);
      for (std::int64_t j = k; j < n; ++j) a(i, j) -= f * a(k, j);
    }
  }
  return log_det;
}

TEST(InvertibleNetwork, LogDetIsThatOfTheJacobianInEverySetting) {
  // The Jacobian of each row comes from the tape, one cotangent per output. Sets: per observation, without a factor N.
  for (const Setting& s : all_settings()) {
    Flow flow(s);
    const std::int64_t rows = flow.inputs[0].size() / s.width, d = s.width;
    std::vector<Array> jacobians(static_cast<std::size_t>(rows), Array({d, d}));
    Array log_det;
    for (std::int64_t out = 0; out < d; ++out) {
      Tape tape;
      tape.reset({.training = false});
      const Tensor x = tape.input(flow.inputs[0], true), c = flow.inputs.size() > 1 ? tape.input(flow.inputs[1]) : Tensor();
      const ops::Transformed z = flow.net.forward(tape, x, c);
      log_det = to_array(z.log_det);
      std::vector<float> cotangent(static_cast<std::size_t>(rows * d), 0.0f);
      for (std::int64_t r = 0; r < rows; ++r) cotangent[static_cast<std::size_t>(r * d + out)] = 1;
      tape.backward(z.value, cotangent.data());
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = 0; j < d; ++j) jacobians[static_cast<std::size_t>(r)](out, j) = static_cast<double>(x.grad()[r * d + j]);
    }
    for (std::int64_t r = 0; r < rows; ++r) EXPECT_NEAR(log_det[r], log_abs_det(jacobians[static_cast<std::size_t>(r)]), 5e-5) << s.text();
  }
}

TEST(InvertibleNetwork, ExtremeSplineParametersStayFiniteAndInvertible) {
  Setting s{CouplingDesign::spline, PermutationKind::fixed, false, false, false, Condition::per_set, 4};
  for (const double scale : {5.0, 50.0, 500.0}) {
    Flow flow(s);
    nn::randomize(flow.store, 9, scale);
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor x = tape.input(flow.inputs[0]), c = tape.input(flow.inputs[1]);
    const ops::Transformed z = flow.net.forward(tape, x, c);
    EXPECT_TRUE(to_array(z.value).all_finite()) << scale;
    EXPECT_TRUE(to_array(z.log_det).all_finite()) << scale;
    EXPECT_TRUE(to_array(flow.net.inverse(tape, x, c)).all_finite()) << scale;
  }
}

TEST(InvertibleNetwork, FreshCouplingsAreTheIdentity) {
  for (const auto design : {CouplingDesign::affine, CouplingDesign::spline}) {
    InvertibleNetworkOptions o = options_of({design, PermutationKind::none, true, false, false, Condition::none, 3});
    nn::ParameterStore store;
    InvertibleNetwork net(o);
    net.build(nn::Builder(store, 1), net.target_width(), 0);
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Array x = sample("identity", {5, 3});
    const ops::Transformed z = net.forward(tape, tape.input(x));
    EXPECT_LT(largest_difference(to_array(z.value), x), 1e-6);
    EXPECT_LT(abs(to_array(z.log_det)).max(), 1e-6);
  }
}

// --- permutations ---

std::vector<std::vector<std::int32_t>> permutations(std::int64_t width, std::int64_t layers, std::uint64_t seed) {
  nn::ParameterStore store;
  InvertibleNetwork net({.num_params = width, .num_coupling_layers = layers, .coupling = unregularized_coupling()});
  net.build(nn::Builder(store, seed), net.target_width(), 0);
  std::vector<std::vector<std::int32_t>> all;
  for (const nn::Buffer& b : store.buffers())
    if (b.name.ends_with(".permutation")) all.push_back(b.integers);
  return all;
}

TEST(InvertibleNetwork, PermutationsAreNeverTheIdentityNeverRepeatedAndSeeded) {
  for (const std::int64_t width : {2, 3, 4, 10})
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const auto all = permutations(width, 5, seed);
      ASSERT_EQ(all.size(), 5u);
      for (std::size_t l = 0; l < all.size(); ++l) {
        EXPECT_FALSE(std::is_sorted(all[l].begin(), all[l].end())) << "the identity, width " << width << " seed " << seed;
        std::set<std::int32_t> members(all[l].begin(), all[l].end());
        EXPECT_EQ(members.size(), static_cast<std::size_t>(width));
        EXPECT_EQ(*members.rbegin(), width - 1);
        if (l && width > 2) {
          EXPECT_NE(all[l], all[l - 1]) << "width " << width << " seed " << seed;
        }
      }
      EXPECT_EQ(all, permutations(width, 5, seed));
    }
  EXPECT_NE(permutations(10, 5, 1), permutations(10, 5, 2));
  EXPECT_TRUE(permutations(1, 5, 1).empty());
}

// --- act norm ---

TEST(InvertibleNetwork, ActNormInitializationStandardizesWhatReachesEachLayer) {
  for (const auto permutation : {PermutationKind::fixed, PermutationKind::learnable, PermutationKind::none})
    for (const Shape& shape : {Shape{200, 3}, Shape{20, 10, 3}}) {
      Array data = sample("act norm", shape);
      for (std::int64_t i = 0; i < data.size(); ++i)
        data.data()[i] = 5 + static_cast<double>(i % 3 + 1) * data.data()[i] + (i % 3 ? 0.8 * data.data()[i - 1] : 0);
      // A network of l layers with the same seed shares its first l layers: its output is what reaches layer l + 1.
      for (std::int64_t layers = 1; layers <= 4; ++layers) {
        nn::ParameterStore store;
        InvertibleNetwork net({.num_params = 3,
                               .num_coupling_layers = layers,
                               .coupling = unregularized_coupling(),
                               .permutation = permutation,
                               .act_norm_init = data});
        net.build(nn::Builder(store, 7), net.target_width(), 0);
        Tape tape;
        tape.reset({.gradients = false, .training = false});
        Array z = to_array(net.forward(tape, tape.input(data)).value);
        z = z.reshape({z.size() / 3, 3});
        // The last layer mixes after its act norm; a learnable mix of standardized columns keeps mean 0.
        for (std::int64_t j = 0; j < 3; ++j) EXPECT_NEAR(z.mean(0)[j], 0, 1e-5);
        if (permutation != PermutationKind::learnable) {
          for (std::int64_t j = 0; j < 3; ++j) EXPECT_NEAR(z.std_along(0)[j], 1, 1e-5);
        } else {
          // Undo the mix: z W^-1 must be standardized.
          const std::span<float> w = store.value(store.find(fmt::format("coupling.{}.orthogonal", layers - 1)));
          Array transposed({3, 3});  // W is orthogonal here, so W^-1 is its transpose
          for (std::int64_t i = 0; i < 9; ++i) transposed(i % 3, i / 3) = static_cast<double>(w[static_cast<std::size_t>(i)]);
          const Array before = matmul(z, transposed);
          for (std::int64_t j = 0; j < 3; ++j) EXPECT_NEAR(before.std_along(0)[j], 1, 1e-5);
        }
      }
    }
}

TEST(InvertibleNetwork, ActNormInitializationNeedsColumnsThatVary) {
  Array data = sample("constant column", {10, 2});
  for (std::int64_t i = 0; i < 10; ++i) data(i, 1) = 3;
  InvertibleNetwork net({.num_params = 2, .act_norm_init = data});
  nn::ParameterStore store;
  try {
    net.build(nn::Builder(store, 0), net.target_width(), 0);
    FAIL();
  } catch (const ConfigurationError& e) {
    EXPECT_STREQ(e.what(), "act_norm_init: column 1 does not vary, so it cannot be standardized");
  }
}

// --- soft flow ---

TEST(InvertibleNetwork, SoftFlowIsDeterministicOutsideTrainingAndInvertsAtTheSameLevel) {
  for (const bool conditional : {true, false}) {
    InvertibleNetworkOptions o = options_of({CouplingDesign::affine, PermutationKind::fixed, true, false, false, Condition::none, 3});
    o.use_soft_flow = true;
    InvertibleNetwork net(o);
    nn::ParameterStore store;
    net.build(nn::Builder(store, 2), net.target_width(), conditional ? 2 : 0);
    nn::randomize(store, 3);
    const Array targets = sample("soft/x", {8, 3}), condition = sample("soft/c", {8, 2});
    const auto forward = [&](bool training, std::uint64_t seed) {
      Tape tape;
      tape.reset({.gradients = false, .training = training, .seed = seed});
      const ops::Transformed t = net.forward(tape, tape.input(targets), conditional ? tape.input(condition) : Tensor());
      return std::pair(to_array(t.value), to_array(t.log_det));
    };
    const auto density = forward(false, 1);
    EXPECT_EQ(density, forward(false, 2)) << "the density is random";
    EXPECT_NE(forward(true, 1).first, forward(true, 2).first) << "training adds no noise";
    EXPECT_GT(largest_difference(forward(true, 1).first, density.first), 1e-4);
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Array back = to_array(net.inverse(tape, tape.input(density.first), conditional ? tape.input(condition) : Tensor()));
    EXPECT_LT(largest_difference(back, targets), 1e-5) << "draws see another noise level than densities";
  }
}

// --- counts, errors, dropout, spectral norm ---

TEST(InvertibleNetwork, ParameterCountsOfV1) {
  const auto count = [](std::int64_t width, std::int64_t layers, std::int64_t condition) {
    nn::ParameterStore store;
    InvertibleNetwork net({.num_params = width, .num_coupling_layers = layers});
    net.build(nn::Builder(store, 0), net.target_width(), condition);
    std::int64_t integers = 0;
    for (const nn::Buffer& b : store.buffers()) integers += static_cast<std::int64_t>(b.integers.size());
    return std::pair(store.number_of_values(), integers);
  };
  EXPECT_EQ(count(4, 4, 10), std::pair(294976L, 32L));
  EXPECT_EQ(count(10, 6, 33), std::pair(531816L - 120, 120L));
  EXPECT_EQ(count(5, 4, 10), std::pair(297080L - 40, 40L));
  EXPECT_EQ(count(6, 5, 32), std::pair(430260L - 60, 60L));
}

template <class E, class F>
std::string sentence(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    return std::string("another exception: ") + e.what();
  }
  return "nothing";
}

TEST(InvertibleNetwork, OptionsAreValidated) {
  const auto error = [](const InvertibleNetworkOptions& o) { return sentence<ConfigurationError>([&] { InvertibleNetwork net(o); }); };
  EXPECT_EQ(error({}), "InvertibleNetworkOptions::num_params = 0; it must be the number of parameters, at least 1");
  EXPECT_EQ(error({.num_params = 2, .num_coupling_layers = 0}), "InvertibleNetworkOptions::num_coupling_layers = 0; it must be at least 1");
  EXPECT_EQ(error({.num_params = 2, .act_norm_init = Array({5, 3})}),
            "InvertibleNetworkOptions::act_norm_init has shape (5, 3); it must be (n, 2) or (n, N, 2)");
  InvertibleNetworkOptions o{.num_params = 2};
  o.coupling.spline.bins = 1;
  EXPECT_EQ(error(o), "CouplingOptions::spline.bins = 1; it must be at least 2");
  o.coupling.spline = {.min_bin = 1};
  EXPECT_EQ(error(o), "CouplingOptions::spline.min_bin = 1; it must be in [0, 1)");
  o.coupling.spline = {.min_slope = -0.5};
  EXPECT_EQ(error(o), "CouplingOptions::spline.min_slope = -0.5; it must be in [0, 1)");
  o = {.num_params = 2};
  o.coupling.dropout_prob = 1;
  EXPECT_EQ(error(o), "CouplingOptions::dropout_prob = 1; it must be in [0, 1)");
}

TEST(InvertibleNetwork, ShapesAreChecked) {
  nn::ParameterStore store;
  InvertibleNetwork net({.num_params = 2, .coupling = unregularized_coupling()});
  net.build(nn::Builder(store, 0), net.target_width(), 3);
  Tape tape;
  tape.reset({.gradients = false});
  const auto error = [&](const Shape& x, std::optional<Shape> c) {
    return sentence<ShapeError>([&] { std::ignore = net.forward(tape, tape.filled(x, 0), c ? tape.filled(*c, 0) : Tensor()); });
  };
  EXPECT_EQ(error({4, 3}, Shape{4, 3}), "InvertibleNetwork: targets must have shape (batch, 2) or (batch, n, 2); got (4, 3)");
  EXPECT_EQ(error({4, 2}, {}), "InvertibleNetwork: was built for conditions of width 3; got none");
  EXPECT_EQ(error({4, 2}, Shape{4, 2}), "InvertibleNetwork: was built for conditions of width 3; got (4, 2)");
  EXPECT_NE(error({4, 2}, Shape{5, 3}).find("condition (5, 3) does not go with targets (4, 2)"), std::string::npos);
  EXPECT_EQ(error({4, 6, 2}, Shape{4, 3}), "nothing");
}

TEST(InvertibleNetwork, DropoutAndSpectralNormGradients) {
  for (const bool spectral : {false, true}) {
    InvertibleNetworkOptions o = options_of({CouplingDesign::affine, PermutationKind::fixed, true, false, false, Condition::none, 4});
    o.coupling.dropout_prob = spectral ? 0 : 0.3;
    o.coupling.spec_norm = spectral;
    InvertibleNetwork net(o);
    nn::ParameterStore store;
    net.build(nn::Builder(store, 1), net.target_width(), 0);
    nn::randomize(store, 2, 1.5);
    // The derivative through sigma holds at its leading vector.
    for (int i = 0; i < 500; ++i) net.update_state();
    const GradientCheck check =
        nn::check_gradient(store,
                           [&](Tape& t, Inputs x) {
                             const ops::Transformed z = net.forward(t, x[0]);
                             return std::vector<Tensor>{z.value, z.log_det};
                           },
                           {sample("x", {3, 4})}, {.tolerance = 3e-3, .max_elements = 4, .unresolved = 0.6, .floor = 0.1});
    EXPECT_TRUE(check.passed()) << "spectral norm " << spectral << ": " << check.to_string();
  }
}

}  // namespace
}  // namespace bayesflow
