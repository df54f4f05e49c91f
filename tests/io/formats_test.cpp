/// A file of every format that was ever released is read for ever. tests/io/data holds them, make_formats.cpp made them; they are never
/// made anew.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "io/support_amortizers.hpp"
#include "io/support_files.hpp"
#include "io/support_models.hpp"

namespace bayesflow {
namespace {

const std::string kData = BAYESFLOW_IO_DATA;

TEST(Formats, Model1) {
  const auto loaded = load_amortizer_file(kData + "/model_format_1.h5");
  EXPECT_EQ(loaded.format_version, 1U);
  EXPECT_EQ(loaded.library_version, "0.1.0");
  EXPECT_EQ(loaded.info.param_names, (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(loaded.info.simulations, 32000);
  EXPECT_EQ(loaded.info.constants.at("means"), Array::of({0.5, -0.5}));
  const double noted[] = {-6.2394, -8.05828, -5.73535, -4.46667, -4.29373};
  const Array density = loaded.amortizer.log_posterior(some_inputs());
  for (std::int64_t i = 0; i < density.size(); ++i) EXPECT_NEAR(density[i], noted[i], 1e-4 * std::abs(noted[i]));
}

TEST(Formats, Simulations1) {
  const SimulationStore store(kData + "/simulations_format_1.h5");
  EXPECT_EQ(store.info().format_version, 1U);
  EXPECT_EQ(store.info().model_name, "means");
  EXPECT_EQ(store.info().seed, 4U);
  EXPECT_EQ(store.size(), 20);
  EXPECT_EQ(store.batches(), 3);
  const Simulations s = store.read();
  EXPECT_EQ(s.sim_data.shape(), (Shape{20, 50, 4}));
  EXPECT_EQ(s.prior_draws(0, 0), 1.3942070296603997);
  EXPECT_EQ(s.sim_data(19, 49, 3), -0.2338836218434175);
  const SimulationStore varying(kData + "/simulations_varying_format_1.h5");
  EXPECT_TRUE(varying.info().one_context_per_batch);
  EXPECT_EQ(varying.size(), 40);
  EXPECT_EQ(varying.info().reserved, 60);
  for (std::int64_t b = 0; b < varying.batches(); ++b)
    EXPECT_EQ(static_cast<double>(varying.batch(b).sim_data.dim(1)), varying.batch(b).sim_non_batchable_context->item());
}

}  // namespace
}  // namespace bayesflow
