/// The gradient check itself: it must find derivatives that are wrong, and accept those that are right.
#include "bayesflow/autodiff/gradient_check.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using detail::deliver;
using detail::grad_of;
using detail::grad_sink;
using Inputs = std::span<const Tensor>;
using support::sample;

/// y = x^3 elementwise with the derivative that `slope` says.
template <class Slope>
Tensor cube(Tensor x, Slope slope) {
  Tensor y = x.tape().result(x.shape(), {x});
  for (std::int64_t i = 0; i < x.size(); ++i) y.data()[i] = x.data()[i] * x.data()[i] * x.data()[i];
  x.tape().on_backward(y, [x, y, slope] {
    const auto d = grad_sink(x);
    for (std::int64_t i = 0; i < x.size(); ++i) d.data[i] = slope(x.data()[i], i) * grad_of(y)[i];
  });
  return y;
}

TEST(GradientCheck, AcceptsARightDerivativeClosely) {
  const auto f = [](Tape&, Inputs x) { return cube(x[0], [](float v, std::int64_t) { return 3 * v * v; }); };
  const GradientCheck check = check_gradient(f, {sample("x", {3, 4})}, {.tolerance = 1e-4});
  EXPECT_TRUE(check.passed()) << check.to_string();
  EXPECT_LT(check.worst_error, 1e-5);
  EXPECT_EQ(check.compared, 13);  // twelve elements and a direction
  EXPECT_EQ(check.unresolved, 0);
}

TEST(GradientCheck, FindsAWrongSign) {
  const auto f = [](Tape&, Inputs x) { return cube(x[0], [](float v, std::int64_t) { return -3 * v * v; }); };
  const GradientCheck check = check_gradient(f, {sample("x", {3, 4})});
  EXPECT_FALSE(check.passed());
  EXPECT_NEAR(check.worst_error, 2, 0.01);
}

TEST(GradientCheck, FindsASingleWrongElementAndNamesIt) {
  const auto f = [](Tape&, Inputs x) { return cube(x[0], [](float v, std::int64_t i) { return 3 * v * v * (i == 7 ? 1.05f : 1.0f); }); };
  Array x({3, 4}, 1.0);
  const GradientCheck check = check_gradient(f, {x});
  EXPECT_FALSE(check.passed());
  EXPECT_EQ(check.where, "input 0 at (1, 3)");
  EXPECT_NEAR(check.analytic / check.numeric, 1.05, 1e-3);
  EXPECT_NE(check.to_string().find("failed: of 13 derivatives (0 unresolved) the worst is that of input 0 at (1, 3)"), std::string::npos)
      << check.to_string();
}

TEST(GradientCheck, FindsAWrongElementThatWasNotDrawn) {
  // One element of 400 is varied alone; the direction moves all of them.
  const auto f = [](Tape&, Inputs x) { return cube(x[0], [](float v, std::int64_t i) { return 3 * v * v * (i == 123 ? -1.0f : 1.0f); }); };
  const GradientCheck check = check_gradient(f, {Array({400}, 1.0)}, {.max_elements = 1});
  EXPECT_FALSE(check.passed());
  EXPECT_EQ(check.where, "input 0 in direction 0");
  EXPECT_EQ(check.compared, 2);
}

/// a b with the derivative of one factor only.
Tensor product_missing_a_term(Tensor a, Tensor b) {
  Tensor y = a.tape().result(a.shape(), {a, b});
  for (std::int64_t i = 0; i < a.size(); ++i) y.data()[i] = a.data()[i] * b.data()[i];
  a.tape().on_backward(y, [a, b, y] {
    const auto d = grad_sink(a);
    for (std::int64_t i = 0; i < a.size(); ++i) d.data[i] = grad_of(y)[i] * b.data()[i];
  });
  return y;
}
TEST(GradientCheck, FindsAMissingTerm) {
  const auto f = [](Tape&, Inputs x) { return product_missing_a_term(x[0], x[1]); };
  const GradientCheck both = check_gradient(f, {sample("a", {5}), sample("b", {5})});
  EXPECT_FALSE(both.passed());
  EXPECT_EQ(both.where.substr(0, 7), "input 1");
  // With the same tensor in both places half of the derivative is missing.
  const GradientCheck same = check_gradient([](Tape&, Inputs x) { return product_missing_a_term(x[0], x[0]); }, {sample("a", {5})});
  EXPECT_FALSE(same.passed());
  EXPECT_NEAR(same.worst_error, 0.5, 0.01);
  // Left to what is right, it passes.
  EXPECT_TRUE(check_gradient(f, {sample("a", {5}), sample("b", {5})}, {}, {true, false}).passed());
}

/// x W with dW written transposed, or into its first row alone.
Tensor product_with_wrong_shape(Tensor x, Tensor w, bool transposed) {
  const std::int64_t rows = x.rows(), k = w.dim(0), n = w.dim(1);
  Tensor y = x.tape().result({rows, n}, {x, w});
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      y.data()[i * n + j] = 0;
      for (std::int64_t l = 0; l < k; ++l) y.data()[i * n + j] += x.data()[i * k + l] * w.data()[l * n + j];
    }
  x.tape().on_backward(y, [=] {
    const auto d = grad_sink(w);
    std::fill_n(d.data, k * n, 0.0f);
    for (std::int64_t l = 0; l < (transposed ? k : 1); ++l)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < rows; ++i) d.data[transposed ? j * k + l : l * n + j] += x.data()[i * k + l] * grad_of(y)[i * n + j];
  });
  return y;
}
TEST(GradientCheck, FindsAWrongShape) {
  for (const bool transposed : {true, false}) {
    const auto f = [transposed](Tape&, Inputs x) { return product_with_wrong_shape(x[0], x[1], transposed); };
    const GradientCheck check = check_gradient(f, {sample("x", {4, 3}), sample("w", {3, 2})}, {}, {false, true});
    EXPECT_FALSE(check.passed()) << check.to_string();
    EXPECT_GT(check.worst_error, 0.1);
  }
}

TEST(GradientCheck, FindsAGradientThatNeverArrives) {
  const auto f = [](Tape& tape, Inputs x) {
    Tensor y = tape.result(x[0].shape(), {x[0]});
    for (std::int64_t i = 0; i < y.size(); ++i) y.data()[i] = 2 * x[0].data()[i];
    return y;
  };
  const GradientCheck check = check_gradient(f, {sample("x", {3})});
  EXPECT_FALSE(check.passed());
  EXPECT_EQ(check.analytic, 0);
  EXPECT_GT(check.worst_error, 0.99);
}

TEST(GradientCheck, FindsASmallGradientThatIsWrong) {
  // Errors are relative to the gradient, so a mean over many elements is checked as closely as a sum.
  const auto f = [](Tape&, Inputs x) { return ops::scale(cube(x[0], [](float v, std::int64_t) { return 3.3f * v * v; }), 0.02f); };
  EXPECT_FALSE(check_gradient(f, {Array({5}, 1.0)}).passed());
}

TEST(GradientCheck, AcceptsAnOperationWithoutOutputs) {
  const auto f = [](Tape&, Inputs x) { return cube(x[0], [](float v, std::int64_t) { return 3 * v * v; }); };
  EXPECT_EQ(check_gradient(f, {Array({0, 3})}, {.directions = 0}).compared, 0);
}

TEST(GradientCheck, RejectsWhatIsNotFinite) {
  const auto f = [](Tape&, Inputs x) { return cube(x[0], [](float, std::int64_t i) { return i == 1 ? NAN : 3.0f; }); };
  const GradientCheck check = check_gradient(f, {Array({3}, 1.0)});
  EXPECT_FALSE(check.passed());
  EXPECT_TRUE(std::isinf(check.worst_error));
  EXPECT_EQ(check.where, "input 0 at (1)");
}

TEST(GradientCheck, KinkNextToThePointIsUnresolvedAndACloseOneIsNot) {
  const auto f = [](Tape&, Inputs x) { return ops::activate(x[0], Activation::relu); };
  // On the kink differences say 1/2, the chain rule 0: that is no error, but nothing is known either.
  const GradientCheck at = check_gradient(f, {Array::of({1.0, 1e-5})}, {.directions = 0});
  EXPECT_EQ(at.unresolved, 1) << at.to_string();
  EXPECT_FALSE(at.passed());
  EXPECT_TRUE(check_gradient(f, {Array::of({1.0, 1e-5})}, {.directions = 0, .unresolved = 0.5}).passed());
  const GradientCheck near = check_gradient(f, {Array::of({1.0, 0.01, -0.02, 0.05})});
  EXPECT_TRUE(near.passed()) << near.to_string();
  EXPECT_EQ(near.unresolved, 0);
}

TEST(GradientCheck, DropoutSeesTheSameNoiseAndOtherNoiseIsAnError) {
  const auto f = [](Tape&, Inputs x) { return ops::dropout(x[0], 0.5f); };
  EXPECT_TRUE(check_gradient(f, {sample("x", {40})}).passed());
  int calls = 0;
  const auto noisy = [&calls](Tape&, Inputs x) { return ops::scale(x[0], 1.0f + 0.1f * static_cast<float>(calls++)); };
  try {
    check_gradient(noisy, {sample("x", {4})});
    FAIL();
  } catch (const ArgumentError& e) {
    EXPECT_STREQ(e.what(), "check_gradient: two evaluations at the same point gave different results; noise must come from Tape::rng");
  }
}

TEST(GradientCheck, OptionsAreValidated) {
  const auto f = [](Tape&, Inputs x) { return ops::scale(x[0], 2); };
  const auto sentence = [&](const GradientCheckOptions& o) {
    try {
      check_gradient(f, {Array({1}, 1.0)}, o);
    } catch (const ConfigurationError& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  EXPECT_EQ(sentence({.tolerance = 0}), "GradientCheckOptions::tolerance = 0; it must be positive");
  EXPECT_EQ(sentence({.first_step = -1}), "GradientCheckOptions::first_step = -1; it must be positive");
  EXPECT_EQ(sentence({.steps = 3}), "GradientCheckOptions::steps = 3; it must be between 4 and 20");
  EXPECT_EQ(sentence({.unresolved = 2}), "GradientCheckOptions::unresolved = 2; it must be in [0, 1]");
  EXPECT_THROW(check_gradient(f, {Array({1}, 1.0)}, {}, {true, false}), ArgumentError);
}

TEST(GradientCheck, OfParametersFindsWhatIsMissingAndPutsThemBack) {
  nn::ParameterStore store;
  const int right = store.add("right", {2, 3}, nn::Initializer::glorot_uniform, 0, 1);
  const int wrong = store.add("wrong", {3}, nn::Initializer::ones, 0, 1);
  nn::randomize(store, 5);
  const std::vector<float> before(store.values(), store.values() + store.size());
  const auto good = [&](Tape& tape, Inputs x) {
    return std::vector<Tensor>{ops::dense(x[0], {store.tensor(tape, right), store.tensor(tape, wrong), Activation::tanh})};
  };
  EXPECT_TRUE(nn::check_gradient(store, good, {sample("x", {4, 2})}).passed());
  const auto bad = [&](Tape& tape, Inputs x) {
    Tensor y = good(tape, x)[0];
    return std::vector<Tensor>{product_missing_a_term(y, store.tensor(tape, wrong).size() ? ops::scale(y, 1) : y)};
  };
  EXPECT_FALSE(nn::check_gradient(store, bad, {sample("x", {4, 2})}).passed());
  EXPECT_EQ(before, std::vector<float>(store.values(), store.values() + store.size()));
}

}  // namespace
}  // namespace bayesflow
