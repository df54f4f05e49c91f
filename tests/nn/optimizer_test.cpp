/// Optimizers against the same formulas in double precision.
#include "bayesflow/nn/optimizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "autodiff/lanes.hpp"
#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow::nn {
namespace {

using bayesflow::detail::GradientLane;
using bayesflow::detail::lanes_of;

/// A matrix of several pieces with a penalty, a vector, and a parameter that is used in every third step only.
struct Model {
  ParameterStore store;
  GradientBuffers gradients;
  explicit Model(float l2 = 0, std::int64_t lanes = 3) : gradients(fill(store, l2)) { gradients.require(lanes); }
  static ParameterStore& fill(ParameterStore& store, float l2) {
    store.add("matrix", {90, 67}, Initializer::glorot_uniform, l2, 1);
    store.add("vector", {5}, Initializer::ones, 0, 1);
    store.add("sometimes", {11, 3}, Initializer::he_uniform, 0, 1);
    return store;
  }
  [[nodiscard]] bool used(std::size_t parameter, std::int64_t step) const { return parameter != 2 || step % 3 == 0; }
  /// Gradients of a step, spread over lanes of which one leaves the vector out.
  void write(std::int64_t step, double scale) {
    gradients.clear();
    for (std::size_t l = 0; l < lanes_of(gradients).size(); ++l)
      for (std::size_t p = 0; p < store.table().size(); ++p) {
        if (!used(p, step) || (l == 1 && p == 1)) continue;
        const ParameterInfo& info = store.table()[p];
        Rng rng(static_cast<std::uint64_t>(step), "gradient " + info.name + std::to_string(l));
        lanes_of(gradients)[l].touched[p] = 1;
        float* to = lanes_of(gradients)[l].gradients + info.offset;
        for (std::int64_t k = 0; k < info.shape.size(); ++k) to[k] = static_cast<float>(rng.normal(0.1, scale));
      }
  }
  [[nodiscard]] std::vector<double> values() const {
    std::vector<double> out;
    for (const ParameterInfo& p : store.table())
      for (std::int64_t k = 0; k < p.shape.size(); ++k) out.push_back(static_cast<double>(store.values()[p.offset + k]));
    return out;
  }
};

/// Keras' Adam, AdamW and SGD, word for word, over one flat vector.
struct Twin {
  OptimizerOptions o;
  std::vector<double> w, m, v, l2;
  std::int64_t t = 0;
  double norm = 0;
  Twin(const Model& model, const OptimizerOptions& options) : o(options), w(model.values()), m(w.size(), 0.0), v(w.size(), 0.0) {
    for (const ParameterInfo& p : model.store.table())
      l2.insert(l2.end(), static_cast<std::size_t>(p.shape.size()), static_cast<double>(p.l2));
  }
  void step(Model& model) {
    std::vector<double> g;
    for (std::size_t p = 0; p < model.store.table().size(); ++p)
      for (std::int64_t k = 0; k < model.store.table()[p].shape.size(); ++k) {
        double sum = 0;
        for (const GradientLane& lane : lanes_of(model.gradients))
          if (lane.touched[p]) sum += static_cast<double>(lane.gradients[model.store.table()[p].offset + k]);
        g.push_back(sum + 2 * l2[g.size()] * w[g.size()]);
      }
    norm = 0;
    for (const double x : g) norm += x * x;
    norm = std::sqrt(norm);
    const double factor = o.global_clipnorm > 0 ? std::min(1.0, o.global_clipnorm / norm) : 1, rate = o.learning_rate(t);
    ++t;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double x = g[i] * factor;
      if (o.kind == OptimizerKind::sgd) {
        m[i] = o.momentum * m[i] - rate * x;
        w[i] += m[i];
        continue;
      }
      if (o.kind == OptimizerKind::adamw) w[i] -= rate * o.weight_decay * w[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * x;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * x * x;
      const auto time = static_cast<double>(t);
      w[i] -= rate * std::sqrt(1 - std::pow(o.beta2, time)) / (1 - std::pow(o.beta1, time)) * m[i] / (std::sqrt(v[i]) + o.epsilon);
    }
  }
};

struct Case {
  const char* name;
  OptimizerOptions options;
  float l2;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class OptimizerPath : public testing::TestWithParam<Case> {};

TEST_P(OptimizerPath, FollowsATwinInDoublePrecisionOver200Steps) {
  Model model(GetParam().l2);
  Twin twin(model, GetParam().options);
  Optimizer optimizer(model.store, GetParam().options);
  ThreadPool pool(2);
  const std::vector<double> start = model.values();
  for (std::int64_t step = 0; step < 200; ++step) {
    model.write(step, step % 2 ? 1.0 : 0.01);  // clipped, not clipped
    twin.step(model);
    const StepResult result = optimizer.step(model.gradients, pool);
    ASSERT_NEAR(result.gradient_norm, twin.norm, 1e-5 * twin.norm) << step;
    ASSERT_EQ(result.learning_rate, GetParam().options.learning_rate(step));
    ASSERT_TRUE(result.finite);
  }
  EXPECT_EQ(optimizer.steps_taken(), 200);
  const std::vector<double> got = model.values();
  double worst = 0, moved = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::fabs(got[i] - twin.w[i]));
    moved = std::max(moved, std::fabs(got[i] - start[i]));
  }
  EXPECT_LT(worst, 2e-5);
  EXPECT_GT(moved, 0.05);
}
INSTANTIATE_TEST_SUITE_P(
    Kinds, OptimizerPath,
    testing::Values(
        Case{"adam", {.learning_rate = cosine(5e-3, 300)}, 0}, Case{"adam_penalty", {.learning_rate = constant(2e-3)}, 0.3f},
        Case{"adam_unclipped", {.learning_rate = constant(2e-3), .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .global_clipnorm = 0}, 0},
        Case{"adamw", {.kind = OptimizerKind::adamw, .learning_rate = constant(2e-3), .weight_decay = 0.3}, 0},
        Case{"sgd", {.kind = OptimizerKind::sgd, .learning_rate = constant(5e-2)}, 0},
        Case{"momentum", {.kind = OptimizerKind::sgd, .learning_rate = exponential(2e-2, 0.5, 100), .momentum = 0.9}, 0.1f}),
    [](const auto& p) { return std::string(p.param.name); });

TEST(Optimizer, ClipsByTheNormOfAllGradientsTogether) {
  for (const double clip : {0.0, 0.5, 1e6}) {
    Model model(0, 1);
    Optimizer optimizer(model.store, {.kind = OptimizerKind::sgd, .learning_rate = constant(1), .global_clipnorm = clip});
    ThreadPool pool(1);
    const std::vector<double> before = model.values();
    model.write(0, 1);
    const double norm = optimizer.step(model.gradients, pool).gradient_norm;
    const std::vector<double> after = model.values();
    double square = 0;
    for (std::size_t i = 0; i < after.size(); ++i) square += (after[i] - before[i]) * (after[i] - before[i]);
    EXPECT_GT(norm, 10);  // reported as it was before clipping
    EXPECT_NEAR(std::sqrt(square), clip == 0.5 ? 0.5 : norm, 1e-5 * norm);
  }
}

TEST(Optimizer, TakesKnownSquaresOnlyWhereTheyAreThoseOfTheWholeGradient) {
  // A square that is plainly wrong shows whether it was taken.
  const auto norm = [](float l2, std::int64_t lanes, bool known, double square) {
    Model model(l2, lanes);
    Optimizer optimizer(model.store, {.kind = OptimizerKind::sgd, .learning_rate = constant(1)});
    ThreadPool pool(2);
    model.write(0, 1);
    GradientLane& lane = lanes_of(model.gradients)[0];
    lane.squares[0] = square;
    if (known) lane.touched[0] = GradientLane::kSquareKnown;
    return optimizer.step(model.gradients, pool).gradient_norm;
  };
  const double plain = norm(0, 1, false, 1e8);
  EXPECT_LT(plain, 1e3);
  EXPECT_NEAR(norm(0, 1, true, 1e8), 1e4, 10);
  EXPECT_EQ(norm(0, 2, true, 1e8), norm(0, 2, false, 1e8));        // another lane has a part
  EXPECT_EQ(norm(0.1f, 1, true, 1e8), norm(0.1f, 1, false, 1e8));  // the penalty's derivative is not in it yet
  EXPECT_FALSE(std::isfinite(norm(0, 1, true, std::numeric_limits<double>::quiet_NaN())));
}

TEST(Optimizer, SameBitsWhereverPiecesAreUpdated) {
  const auto run = [](std::vector<float> places, int threads) {
    Model model(0.1f, 2);
    Optimizer optimizer(model.store, {.learning_rate = constant(1e-2)});
    ThreadPool pool(threads);
    for (std::int64_t step = 0; step < 3; ++step) {
      model.write(step, 2);
      for (std::size_t p = 0; p < places.size(); ++p) lanes_of(model.gradients)[0].places[p] = places[p];
      optimizer.step(model.gradients, pool);
    }
    return model.values();
  };
  const std::vector<double> want = run({}, 1);
  EXPECT_EQ(run({0.9f, 0.1f}, 2), want);
  EXPECT_EQ(run({0.75f}, 4), want);
  EXPECT_EQ(run({0.5f, 0.5f}, 2), want);
}

TEST(Optimizer, AddsTheDerivativeOfThePenaltyAlsoWhereNoGradientArrived) {
  ParameterStore store;
  const int w = store.add("w", {40, 2}, Initializer::glorot_uniform, 0.25f, 1), b = store.add("b", {2}, Initializer::ones, 0, 1);
  const std::vector<float> before(store.value(w).begin(), store.value(w).end());
  GradientBuffers gradients(store);
  gradients.require(2);
  gradients.clear();
  Optimizer optimizer(store, {.kind = OptimizerKind::sgd, .learning_rate = constant(0.1), .global_clipnorm = 0});
  ThreadPool pool(1);
  optimizer.step(gradients, pool);
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(store.value(w)[i], before[i] * (1 - 0.1f * 2 * 0.25f), 1e-7f);
  EXPECT_EQ(store.value(b)[0], 1.0f);
}

TEST(Optimizer, AGradientThatIsNotFiniteChangesNothingAndIsReported) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd}) {
      Model model(0.1f);
      Optimizer optimizer(model.store, {.kind = kind, .learning_rate = constant(1e-2), .momentum = 0.9});
      ThreadPool pool(2);
      for (std::int64_t step = 0; step < 3; ++step) {
        model.write(step, 1);
        optimizer.step(model.gradients, pool);
      }
      const auto state = [&] {
        std::vector<float> all(model.store.values(), model.store.values() + model.store.size());
        for (const std::span<float> moments : {optimizer.first_moments(), optimizer.second_moments()})
          all.insert(all.end(), moments.begin(), moments.end());
        return all;
      };
      const std::vector<float> before = state();
      model.write(3, 1);
      lanes_of(model.gradients)[2].gradients[model.store.table()[1].offset + 4] = bad;
      const StepResult result = optimizer.step(model.gradients, pool);
      EXPECT_FALSE(result.finite);
      EXPECT_FALSE(std::isfinite(result.gradient_norm));
      EXPECT_EQ(state(), before);
      EXPECT_EQ(optimizer.steps_taken(), 3);
      model.write(3, 1);
      EXPECT_TRUE(optimizer.step(model.gradients, pool).finite);  // and training goes on
      EXPECT_NE(state(), before);
    }
}

TEST(Optimizer, SameBitsForAnyNumberOfThreads) {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd}) {
    const auto run = [kind](int threads) {
      Model model(0.1f);
      Optimizer optimizer(model.store, {.kind = kind, .learning_rate = constant(1e-2), .momentum = 0.5});
      ThreadPool pool(threads);
      std::vector<double> out;
      for (std::int64_t step = 0; step < 20; ++step) {
        model.write(step, 1);
        out.push_back(optimizer.step(model.gradients, pool).gradient_norm);
      }
      const std::vector<double> values = model.values();
      out.insert(out.end(), values.begin(), values.end());
      return out;
    };
    const std::vector<double> one = run(1);
    EXPECT_EQ(run(2), one);
    EXPECT_EQ(run(4), one);
  }
}

TEST(Optimizer, ARateThatIsNoneIsAnErrorAndChangesNothing) {
  for (const double rate : {-1.0, std::numeric_limits<double>::quiet_NaN()}) {
    Model model;
    Optimizer optimizer(model.store, {.learning_rate = [rate](std::int64_t) { return rate; }});
    ThreadPool pool(1);
    const std::vector<double> before = model.values();
    model.write(0, 1);
    EXPECT_EQ(
        sentence<ConfigurationError>([&] { optimizer.step(model.gradients, pool); }),
        std::string("the learning rate schedule gave ") + (rate < 0 ? "-1" : "nan") + " at step 0; a rate must be finite and not negative");
    EXPECT_EQ(model.values(), before);
  }
}

TEST(Optimizer, OptionsAreValidated) {
  const auto problem = [](const OptimizerOptions& o) { return sentence<ConfigurationError>([&] { o.validate(); }); };
  EXPECT_EQ(problem({}), "no exception");
  EXPECT_EQ(problem({.beta1 = 1}), "OptimizerOptions::beta1 = 1; it must be at least 0 and less than 1");
  EXPECT_EQ(problem({.beta2 = -0.5}), "OptimizerOptions::beta2 = -0.5; it must be at least 0 and less than 1");
  EXPECT_EQ(problem({.epsilon = 0}), "OptimizerOptions::epsilon = 0; it must be positive and finite");
  EXPECT_EQ(problem({.weight_decay = -1}), "OptimizerOptions::weight_decay = -1; it must be at least 0");
  EXPECT_EQ(problem({.momentum = 1}), "OptimizerOptions::momentum = 1; it must be at least 0 and less than 1");
  EXPECT_EQ(problem({.global_clipnorm = -1}), "OptimizerOptions::global_clipnorm = -1; it must be at least 0 (0: no clipping)");
}

}  // namespace
}  // namespace bayesflow::nn
