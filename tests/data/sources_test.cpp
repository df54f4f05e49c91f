#include "bayesflow/data/sources.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

Simulations example(std::int64_t width) {
  Simulations s;
  s.sim_data = Array::arange(3 * width).reshape({3, width});
  s.prior_draws = Array::arange(6).reshape({3, 2});
  return s;
}

template <class F>
std::string refusal(F&& f) {
  try {
    (void)f();
  } catch (const ConfigurationError& error) {
    return error.what();
  }
  return "no ConfigurationError";
}

TEST(SourcesConfigurator, CutsRowsIntoSources) {
  const Simulations s = example(10);
  const Batch inputs = sources_configurator({{"series", {4, 1}}, {"table", {3, 2}}})(s);
  EXPECT_EQ(inputs[roles::parameters], s.prior_draws);
  const Array series = inputs.array("summary_conditions.series"), table = inputs.array("summary_conditions.table");
  ASSERT_EQ(series.shape(), (Shape{3, 4, 1}));
  ASSERT_EQ(table.shape(), (Shape{3, 3, 2}));
  EXPECT_EQ(series(2, 1, 0), 21);
  EXPECT_EQ(table(2, 1, 1), 27);
  EXPECT_FALSE(inputs.has(roles::direct_conditions));
  EXPECT_FALSE(inputs.has(roles::summary_conditions));
}

TEST(SourcesConfigurator, ContextsAreDirectConditions) {
  Simulations s = example(6);
  s.sim_batchable_context = Array::of({1, 2, 3});
  s.prior_batchable_context = Array::arange(6).reshape({3, 2});
  s.sim_non_batchable_context = Array::of({7});
  const Array direct = sources_configurator({{"a", {6}}})(s).array(roles::direct_conditions);
  ASSERT_EQ(direct.shape(), (Shape{3, 4}));
  const double wanted[] = {2, 3, 2, 7};
  for (std::int64_t j = 0; j < 4; ++j) EXPECT_EQ(direct(1, j), wanted[j]);
}

TEST(SourcesConfigurator, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refusal([] { return sources_configurator({}); }), "sources configurator: at least one source is required");
  EXPECT_EQ(refusal([] {
              return sources_configurator({{"a", {2}}, {"a", {3}}});
            }),
            "sources configurator: there are two sources named \"a\"; give each a name of its own");
  EXPECT_EQ(refusal([] {
              return sources_configurator({{"a", {0, 2}}});
            }),
            "sources configurator: the source \"a\" has the shape (0, 2); one to 5 axes with at least one number are required");
  const Configurator two = sources_configurator({{"a", {4, 1}}, {"b", {2}}});
  EXPECT_EQ(refusal([&] { return two(example(7)); }),
            "sources configurator: sim_data must be (batch, 6), the numbers of a (4, 1), b (2,) one after the other; got (3, 7)");
  Simulations s = example(6);
  s.sim_batchable_context = Array::arange(12).reshape({3, 2, 2});
  EXPECT_EQ(refusal([&] { return two(s); }),
            "sources configurator: the simulator's batchable context of shape (3, 2, 2) needs shape (batch,) or (batch, c); write a "
            "configurator of your own for anything else");
  s = example(6);
  s.set(fields::sim_data_mask, Array::arange(6).reshape({3, 2}));
  EXPECT_EQ(refusal([&] { return two(s); }),
            "sources configurator: it does not read sim_data_mask; take it out of the simulations, or write a configurator of your own");
}

}  // namespace
}  // namespace bayesflow
