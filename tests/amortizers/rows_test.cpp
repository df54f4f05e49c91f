// What is computed for a data set: its bits depend neither on its place in a batch nor on the other data sets.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#include "amortizers/support_posterior.hpp"
#include "kernels/support_targets.hpp"

namespace bayesflow {
namespace {

/// The first row of f(inputs) whose bits differ from f of that row alone; -1: none does.
std::int64_t differs(const Batch& inputs, const std::function<Array(const Batch&)>& f) {
  const Array together = f(inputs);
  for (std::int64_t b = 0; b < inputs.batch_size(); ++b) {
    const Array alone = f(inputs.rows(b, b + 1));
    if (std::memcmp(together.data() + b * alone.size(), alone.data(), static_cast<std::size_t>(alone.size()) * sizeof(double)) != 0)
      return b;
  }
  return -1;
}

const char* const kDesigns[] = {"affine", "spline", "interleaved"};

TEST(Rows, DensitiesAndDrawsDependOnNoOtherRow) {
  for (const CouplingDesign design : {CouplingDesign::affine, CouplingDesign::spline, CouplingDesign::interleaved})
    for (const std::int64_t params : {2, 3, 5, 17})
      for (const std::int64_t sets : {2, 9, 19, 38, 67, 257}) {
        SCOPED_TRACE(std::string(kDesigns[static_cast<int>(design)]) + ", parameters " + std::to_string(params) + ", data sets " +
                     std::to_string(sets));
        const Batch inputs = random_inputs({.sets = sets, .params = params, .direct = 2});
        const AmortizedPosterior amortizer =
            random_posterior(inputs, small_flow(params, design, PermutationKind::learnable), {.threads = 2});
        kernels::for_each_target([&] {
          EXPECT_EQ(differs(inputs, [&](const Batch& x) { return amortizer.log_posterior(x); }), -1) << "log_posterior";
          EXPECT_EQ(differs(inputs, [&](const Batch& x) { return amortizer.forward(x).z; }), -1) << "z";
          EXPECT_EQ(differs(inputs, [&](const Batch& x) { return amortizer.forward(x).log_det_J; }), -1) << "log_det_J";
          EXPECT_EQ(differs(inputs, [&](const Batch& x) { return amortizer.summary(x); }), -1) << "summary";
          // Latents that are the parameters.
          EXPECT_EQ(
              differs(inputs, [&](const Batch& x) { return amortizer.sample_from_latent(x, x.array(roles::parameters).expand_dims(1)); }),
              -1)
              << "draws";
        });
        if (HasFailure()) return;
      }
}

TEST(Rows, SummariesOfAnyNumberOfObservationsDependOnNoOtherRow) {
  for (const std::int64_t width : {3, 16, 40, 130})
    for (const std::int64_t observations : {1, 5, 7, 50, 127, 129, 200, 301})
      for (const Pooling pooling : {Pooling::mean, Pooling::max}) {
        SCOPED_TRACE("width " + std::to_string(width) + ", observations " + std::to_string(observations));
        const std::int64_t sets = observations > 50 ? 5 : 23;
        const DenseOptions dense{.units = width};
        Rng rng(3, "rows");
        const Batch inputs{{roles::parameters, rng.normal({sets, 2})}, {roles::summary_conditions, rng.normal({sets, observations, 3})}};
        AmortizedPosterior amortizer(
            small_flow(2),
            DeepSet({.summary_dim = 4, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense, .pooling = pooling}),
            {.threads = 2});
        amortizer.build(inputs, 3);
        randomize(amortizer);
        kernels::for_each_target([&] { EXPECT_EQ(differs(inputs, [&](const Batch& x) { return amortizer.summary(x); }), -1); });
        if (HasFailure()) return;
      }
}

}  // namespace
}  // namespace bayesflow
