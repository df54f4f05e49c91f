// What networks are asked for in bfloat16.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "amortizers/support_posterior.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "io/support_files.hpp"

namespace bayesflow {
namespace {

constexpr Precision kHalf = Precision::bfloat16;

AmortizedPosterior wide(const Batch& inputs, AmortizedPosteriorOptions options = {}, CouplingDesign design = CouplingDesign::affine) {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 40;
  const DenseOptions dense{.units = 48};
  AmortizedPosterior amortizer(
      InvertibleNetwork({.num_params = 3, .num_coupling_layers = 2, .coupling_design = design, .coupling = coupling}),
      DeepSet({.summary_dim = 4, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense}), std::move(options));
  amortizer.build(inputs, 3);
  randomize(amortizer);
  return amortizer;
}

const Batch& inputs() {
  static const Batch batch = random_inputs({.sets = 7, .params = 3});
  return batch;
}

std::vector<double> numbers(const Array& a) { return {a.data(), a.data() + a.size()}; }

double largest_difference(const Array& a, const Array& b) {
  double most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a.data()[i] - b.data()[i]));
  return most;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const ArgumentError& error) {
    return error.what();
  }
  return "no error";
}

TEST(BFloat16, DrawsAreThoseOfFloat32ToRounding) {
  for (const CouplingDesign design : {CouplingDesign::affine, CouplingDesign::spline, CouplingDesign::interleaved}) {
    const AmortizedPosterior amortizer = wide(inputs(), {}, design);
    const Array plain = amortizer.sample(inputs(), 300, {.seed = 1}),
                half = amortizer.sample(inputs(), 300, {.seed = 1, .precision = kHalf});
    EXPECT_NE(numbers(plain), numbers(half));
    double difference = 0, magnitude = 0;
    for (std::int64_t i = 0; i < plain.size(); ++i)
      difference += std::abs(plain.data()[i] - half.data()[i]), magnitude += std::abs(plain.data()[i]);
    EXPECT_LT(difference, 0.02 * magnitude);
    EXPECT_EQ(numbers(amortizer.sample(inputs(), 300, {.seed = 1, .precision = Precision::float32})), numbers(plain));
    std::vector<float> into(static_cast<std::size_t>(plain.size()));
    amortizer.sample_into(into, inputs(), 300, {.seed = 1, .precision = kHalf});
    EXPECT_TRUE(std::equal(into.begin(), into.end(), half.data(), [](float a, double b) { return static_cast<double>(a) == b; }));
  }
}

TEST(BFloat16, OneResultForAnyNumberOfThreads) {
  const Array alone = wide(inputs(), {.threads = 1}).sample(inputs(), 700, {.seed = 1, .precision = kHalf});
  for (const int threads : {2, 4})
    EXPECT_EQ(numbers(wide(inputs(), {.threads = threads}).sample(inputs(), 700, {.seed = 1, .precision = kHalf})), numbers(alone));
}

TEST(BFloat16, AFlowIsInvertedByItsOwnPrecision) {
  const AmortizedPosterior amortizer = wide(inputs(), {.precision = kHalf});
  const Array z = amortizer.forward(inputs()).z, back = amortizer.sample_from_latent(inputs(), z.expand_dims(1)),
              theta = inputs().array(roles::parameters);
  EXPECT_LT(largest_difference(back.squeeze(1), theta), 1e-4);
}

TEST(BFloat16, AnAmortizersPrecisionIsThatOfAllItIsAskedFor) {
  const AmortizedPosterior plain = wide(inputs()), half = wide(inputs(), {.precision = kHalf});
  EXPECT_EQ(numbers(half.sample(inputs(), 10, {.seed = 1})), numbers(plain.sample(inputs(), 10, {.seed = 1, .precision = kHalf})));
  EXPECT_EQ(numbers(half.sample(inputs(), 10, {.seed = 1, .precision = Precision::float32})),
            numbers(plain.sample(inputs(), 10, {.seed = 1})));
  const auto close = [](const Array& a, const Array& b) { return numbers(a) != numbers(b) && largest_difference(a, b) < 0.3; };
  EXPECT_TRUE(close(half.summary(inputs()), plain.summary(inputs())));
  EXPECT_TRUE(close(half.log_posterior(inputs()), plain.log_posterior(inputs())));
  EXPECT_NE(half.compute_loss(inputs()).total(), plain.compute_loss(inputs()).total());
  EXPECT_NEAR(half.compute_loss(inputs()).total(), plain.compute_loss(inputs()).total(), 0.1);
}

TEST(BFloat16, AModelFileSaysIt) {
  const TemporaryFolder folder;
  const AmortizedPosterior half = wide(inputs(), {.precision = kHalf}), plain = wide(inputs());
  half.save(folder / "half.h5");
  plain.save(folder / "plain.h5");
  const auto loaded = [&](const char* name) { return load_amortizer<AmortizedPosterior>(folder / name); };
  EXPECT_EQ(loaded("half.h5").options().precision, kHalf);
  EXPECT_EQ(loaded("plain.h5").options().precision, Precision::float32);
  EXPECT_EQ(numbers(loaded("half.h5").sample(inputs(), 20, {.seed = 4})), numbers(half.sample(inputs(), 20, {.seed = 4})));
  EXPECT_EQ(half.architecture(), plain.architecture()) << "one kind of networks: a run may go on with either";
}

TEST(BFloat16, IsRefusedWhereItWouldChangeNothing) {
  const AmortizedPosterior narrow = random_posterior(inputs(), small_flow(3));
  EXPECT_EQ(error_of([&] { (void)narrow.sample(inputs(), 5, {.precision = kHalf}); }),
            "AmortizedPosterior::sample: precision is bfloat16, but these networks multiply nothing in it: that takes a dense layer with "
            "32 inputs and 5 outputs or more; leave it at float32");
  EXPECT_EQ(error_of([&] { (void)narrow.sample(inputs(), 5, {.precision = Precision::float32}); }), "no error");
}

}  // namespace
}  // namespace bayesflow
