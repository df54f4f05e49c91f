#include <gtest/gtest.h>

#include "amortizers/support_random_network.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/shortcut_network.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

double largest_difference(const Array& a, const Array& b) { return abs(a - b).max(); }

ShortcutOptions small(std::int64_t width) {
  return {.num_params = width, .dense = {.units = 16, .activation = Activation::tanh}, .num_dense = 2, .finest = 16, .tolerance = 1e-5};
}
using Random = RandomNetwork<ShortcutNetwork>;

TEST(Shortcut, DensitiesIntegrateToOne) {
  EXPECT_NEAR(integral_of(Random(small(1)), 10, 0.02), 1, 0.02);
  EXPECT_NEAR(integral_of(Random(small(2)), 8, 0.1), 1, 0.02);
}

TEST(Shortcut, DrawsDependOnTheNumberOfStepsAndOnNoOtherDraw) {
  ShortcutOptions one = small(2), eight = small(2);
  one.steps = 1;
  eight.steps = 8;
  const Array few = Random(one).draws(300), many = Random(eight).draws(300), first = Random(eight).draws(100);
  EXPECT_GT(largest_difference(few, many), 1e-3);
  EXPECT_EQ(largest_difference(many.slice(0, 100), first), 0);
}

TEST(Shortcut, SaysWhatDoesNotFit) {
  EXPECT_THROW(ShortcutNetwork({}), ConfigurationError);
  const auto said = [](std::int64_t finest, std::int64_t steps) {
    return sentence<ConfigurationError>([=] { ShortcutNetwork({.num_params = 2, .finest = finest, .steps = steps}); });
  };
  const std::string rule = "ShortcutOptions: finest and steps must be powers of two (1, 2, 4, ...), and steps at most half of finest; got ";
  EXPECT_EQ(said(48, 4), rule + "48 and 4");
  EXPECT_EQ(said(64, 3), rule + "64 and 3");
  EXPECT_EQ(said(64, 64), rule + "64 and 64");
  EXPECT_EQ(said(64, 32), "no exception");
}

}  // namespace
}  // namespace bayesflow
