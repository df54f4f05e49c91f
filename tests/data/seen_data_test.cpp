// Is what the networks are given like what they were trained on?
#include "bayesflow/data/seen_data.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "bayesflow/core/rng.hpp"

namespace bayesflow {
namespace {

/// Reaction times in seconds and choices, as a drift diffusion model gives them: (sets, trials, 2).
Batch trials(std::int64_t sets, std::int64_t n, std::uint64_t seed) {
  Rng rng(seed, "trials");
  Array data({sets, n, 2});
  Array parameters({sets, 2});
  for (std::int64_t b = 0; b < sets; ++b) {
    const double drift = rng.uniform(-3, 3), shift = rng.uniform(0.1, 0.6);
    parameters(b, 0) = drift;
    parameters(b, 1) = shift;
    for (std::int64_t i = 0; i < n; ++i) {
      data(b, i, 0) = shift + std::exp(rng.normal(-0.5, 0.6)) / (0.3 + std::abs(drift));
      data(b, i, 1) = rng.uniform(0, 1) < 1 / (1 + std::exp(-drift)) ? 1 : 0;
    }
  }
  return {{roles::parameters, parameters}, {roles::summary_conditions, data}};
}

SeenData seen_in_training(std::int64_t sets = 3000) {
  SeenData seen;
  for (std::int64_t i = 0; i < sets; i += 100) seen.add(trials(100, 100, 1000 + static_cast<std::uint64_t>(i)));
  seen.param_names = {"drift", "ndt"};
  return seen;
}

std::vector<Foreign::Kind> kinds(const std::vector<Foreign>& found) {
  std::vector<Foreign::Kind> out;
  for (const Foreign& f : found) out.push_back(f.kind);
  return out;
}
using Kind = Foreign::Kind;
using Kinds = std::vector<Foreign::Kind>;

TEST(SeenData, HasRangesAndMomentsOfEveryColumn) {
  Rng rng(1);
  Array x({40, 5, 3});
  for (std::int64_t i = 0; i < 200; ++i) {
    x.data()[3 * i] = rng.normal(1e4, 2);
    x.data()[3 * i + 1] = 7;
    x.data()[3 * i + 2] = std::exp(rng.normal());
  }
  x = Block(x).array();  // as networks are given them
  SeenData together, parts;
  together.add({{roles::parameters, rng.normal({40, 1})}, {roles::summary_conditions, x}});
  for (std::int64_t b = 0; b < 40; b += 10)
    parts.add({{roles::parameters, rng.normal({10, 1})}, {roles::summary_conditions, x.slice(b, b + 10)}});
  for (std::size_t j = 0; j < 3; ++j) {
    double mean = 0, square = 0, cube = 0;
    for (std::int64_t i = 0; i < 200; ++i) mean += x.data()[3 * i + static_cast<std::int64_t>(j)] / 200;
    for (std::int64_t i = 0; i < 200; ++i) {
      const double d = x.data()[3 * i + static_cast<std::int64_t>(j)] - mean;
      square += d * d / 199;
      cube += d * d * d / 200;
    }
    for (const SeenData* s : {&together, &parts}) {
      const SeenColumn& c = s->of(roles::summary_conditions)[j];
      EXPECT_EQ(c.count, 200);
      EXPECT_NEAR(c.mean(), mean, 1e-9 * mean);
      EXPECT_NEAR(c.sd(), std::sqrt(square), 1e-6 * std::sqrt(square) + 1e-9);
      EXPECT_NEAR(c.skewness(), j == 1 ? 0 : cube / std::pow(square, 1.5), 1e-5);
      EXPECT_LE(c.low, c.mean_low);
      EXPECT_LE(c.mean_high, c.high);
    }
  }
  EXPECT_EQ(together.of(roles::summary_conditions)[1].low, 7);
  EXPECT_EQ(together.sizes_of(roles::summary_conditions), (SeenData::Sizes{{5, 5}}));
}

TEST(SeenData, LeavesOutPaddingOfNestedData) {
  Rng rng(1);
  Array x({30, 4, 5, 2}, 1e6), mask({30, 4, 5}, 0.0);
  for (std::int64_t b = 0; b < 30; ++b)
    for (std::int64_t g = 0; g < 2 + b % 2; ++g)
      for (std::int64_t i = 0; i < 3; ++i) {
        mask(b, g, i) = 1;
        for (std::int64_t j = 0; j < 2; ++j) x(b, g, i, j) = rng.uniform(0, 1);
      }
  const Batch batch{{roles::parameters, rng.normal({30, 1})}, {roles::summary_conditions, x}, {roles::summary_mask, mask}};
  SeenData seen;
  seen.add(batch);
  for (const SeenColumn& c : seen.of(roles::summary_conditions)) {
    EXPECT_GE(c.low, 0);
    EXPECT_LE(c.high, 1);
    EXPECT_EQ(c.count, 15 * 2 * 3 + 15 * 3 * 3);
  }
  EXPECT_EQ(seen.sizes_of(roles::summary_conditions), (SeenData::Sizes{{2, 3}, {3, 3}}));
  EXPECT_TRUE(compare(seen, batch, nullptr).empty());
}

TEST(Foreign, DataLikeThoseOfTrainingRaiseNoAlarm) {
  const SeenData seen = seen_in_training();
  int alarms = 0;
  for (std::uint64_t i = 0; i < 200; ++i) alarms += !compare(seen, trials(1, 100, 50000 + i)).empty();
  EXPECT_LE(alarms, 2);
  for (std::uint64_t i = 0; i < 10; ++i) alarms += 10 * !compare(seen, trials(300, 100, 90000 + i)).empty();
  EXPECT_LE(alarms, 12);
}

TEST(Foreign, UnitsColumnsAndNumbersOfTrialsAreNoticed) {
  const SeenData seen = seen_in_training();
  for (const std::int64_t sets : {1, 5}) {
    const Batch fresh = trials(sets, 100, 7);
    const auto changed = [&](double (*f)(double, double), double (*g)(double, double)) {
      Batch out = fresh;
      out.update(roles::summary_conditions, [&](Array& data) {
        double* x = data.data();
        for (std::int64_t i = 0; i < sets * 100; ++i) {
          const double rt = x[2 * i], choice = x[2 * i + 1];
          x[2 * i] = f(rt, choice);
          x[2 * i + 1] = g(rt, choice);
        }
      });
      return compare(seen, out);
    };
    const auto first = [](double rt, double) { return rt; };
    const auto second = [](double, double choice) { return choice; };
    const auto milliseconds = changed([](double rt, double) { return 1000 * rt; }, second);
    ASSERT_EQ(kinds(milliseconds), Kinds{Kind::values}) << sets;
    EXPECT_EQ(milliseconds[0].name, "column 1 of summary_conditions");
    EXPECT_GT(milliseconds[0].high, 1000);
    EXPECT_LT(milliseconds[0].seen_high, 100);
    EXPECT_EQ(milliseconds[0].share, 1);
    EXPECT_EQ(milliseconds[0].sentence.find("Values of column 1 of summary_conditions range from "), 0U) << milliseconds[0].sentence;
    EXPECT_NE(milliseconds[0].sentence.find("; in training from 0."), std::string::npos) << milliseconds[0].sentence;
    const auto exchanged = changed(second, first);
    ASSERT_EQ(kinds(exchanged), Kinds{Kind::values}) << sets;
    EXPECT_EQ(kinds(changed([](double rt, double) { return 0.13 + 1e-3 * rt; }, second)), Kinds{Kind::averages}) << sets;
    EXPECT_EQ(kinds(changed(first, [](double, double choice) { return choice ? 1.0 : -1.0; })), Kinds{Kind::values}) << sets;
    EXPECT_TRUE(changed(first, second).empty());
    EXPECT_EQ(kinds(compare(seen, trials(sets, 1000, 8))), Kinds{Kind::size});
    const auto one = compare(seen, trials(sets, 1, 8));
    ASSERT_FALSE(one.empty());
    EXPECT_EQ(one[0].kind, Kind::size);
    EXPECT_EQ(one[0].sentence.find("Observations per data set: 1, in training always 100. "), 0U) << one[0].sentence;
  }
}

TEST(Foreign, ADirectConditionThatIsTheNumberOfObservationsMustBeIt) {
  Rng rng(3);
  SeenData seen;
  const auto sets = [&](std::int64_t n, double said) {
    return Batch{{roles::parameters, rng.normal({10, 1})},
                 {roles::summary_conditions, rng.normal({10, n, 2})},
                 {roles::direct_conditions, concatenate({Array({10, 1}, std::vector<double>(10, said)), rng.normal({10, 1})}, 1)}};
  };
  for (std::int64_t n = 4; n < 100; n += 3) seen.add(sets(n, static_cast<double>(n)));
  EXPECT_TRUE(compare(seen, sets(50, 50)).empty());
  const auto found = compare(seen, sets(5, 70));
  ASSERT_EQ(kinds(found), Kinds{Kind::count});
  EXPECT_EQ(found[0].sentence,
            "Column 1 of direct_conditions was the number of observations in all of training; here it is 70 for data sets of 5 "
            "observations. Give "
            "the number that there are.");
  EXPECT_EQ(kinds(compare(seen, sets(2, 2)))[0], Kind::size);
}

TEST(Foreign, DrawsOutsideThePriorAreCounted) {
  const SeenData seen = seen_in_training();
  Rng rng(5);
  std::vector<float> inside, outside;
  for (int b = 0; b < 4; ++b)
    for (int i = 0; i < 500; ++i) {
      const bool off = b == 2 && i % 2 == 0;
      inside.insert(inside.end(), {static_cast<float>(rng.uniform(-2.9, 2.9)), static_cast<float>(rng.uniform(0.11, 0.59))});
      outside.insert(outside.end(), {inside[inside.size() - 2], off ? 0.7f : inside.back()});
    }
  EXPECT_TRUE(compare_draws<float>(seen, roles::parameters, inside, 4).empty());
  const auto found = compare_draws<float>(seen, roles::parameters, outside, 4);
  ASSERT_EQ(kinds(found), Kinds{Kind::draws});
  EXPECT_EQ(found[0].name, "ndt");
  EXPECT_DOUBLE_EQ(found[0].share, 0.125);
  EXPECT_EQ(found[0].sentence.find("12.5 % of the draws of ndt lie outside 0.1"), 0U) << found[0].sentence;
  EXPECT_NE(found[0].sentence.find(", 50 % in data set 2."), std::string::npos) << found[0].sentence;
}

TEST(Foreign, FewDataSetsInTrainingSayLittle) {
  SeenData seen;
  EXPECT_TRUE(compare(seen, trials(3, 100, 1)).empty());
  seen.add(trials(10, 100, 2));
  EXPECT_TRUE(compare(seen, trials(100, 100, 1)).empty());
  EXPECT_EQ(kinds(compare(seen, trials(1, 7, 1))), Kinds{Kind::size});
}

}  // namespace
}  // namespace bayesflow
