/// Set transformers, transformers and recurrent networks of series, convolutional networks: what is theirs alone.
#include <gtest/gtest.h>

#include "bayesflow/core/errors.hpp"
#include "networks/support_networks.hpp"
#include "support/op_table.hpp"
#include "support/summary_cases.hpp"

namespace bayesflow {
namespace {

using support::sample;

struct Built {
  nn::ParameterStore store;
  SummaryPart net;
  Built(SummaryPart n, const Shape& input) : net(std::move(n)) { net->build(nn::Builder(store, 1), input); }
  Array operator()(const Array& x) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor y = net->forward(tape, tape.input(x));
    Array out(y.shape());
    for (std::int64_t i = 0; i < y.size(); ++i) out.data()[i] = static_cast<double>(y.data()[i]);
    return out;
  }
};

std::int64_t count(SummaryPart net, const Shape& input) { return Built(std::move(net), input).store.number_of_values(); }

template <class Options>
std::string sentence(const Options& o) {
  try {
    o.validate();
  } catch (const ConfigurationError& e) {
    return e.what();
  }
  return "nothing";
}

TEST(SetTransformer, InvariantUnderPermutationsOfObservations) {
  for (const bool induced : {true, false}) {
    SetTransformerOptions o;
    if (!induced) o.num_inducing_points.reset();
    const Built b(SetTransformer(o), {2, 30, 4});
    const Array x = sample("invariance", {2, 30, 4});
    Rng rng(3);
    for (int trial = 0; trial < 5; ++trial) EXPECT_LT(largest_difference(b(shuffled_observations(x, rng)), b(x)), 1e-5);
    EXPECT_GT(largest_difference(b(x * 1.5), b(x)), 1e-3);
  }
}

TEST(SetTransformer, ParameterCountsOfV1) {
  SetTransformerOptions o;
  o.summary_dim = 32;
  EXPECT_EQ(count(SetTransformer(o), {1, 1, 5}), 63400);
  o.use_layer_norm = true;
  EXPECT_EQ(count(SetTransformer(o), {1, 1, 5}), 63608);
}

TEST(SetTransformer, Errors) {
  SetTransformerOptions o;
  o.attention.key_dim = 0;
  EXPECT_EQ(sentence(o), "SetTransformerOptions::attention::key_dim = 0; it must be at least 1");
  o = {};
  o.num_inducing_points = 0;
  EXPECT_EQ(sentence(o), "SetTransformerOptions::num_inducing_points = 0; it must be at least 1");
  o = {};
  o.attention.dropout = 1;
  EXPECT_EQ(sentence(o), "SetTransformerOptions::attention::dropout = 1; it must be at least 0 and less than 1");
}

TEST(TimeSeriesTransformer, SeesTheOrderOfObservations) {
  // Without template and encoding, attention would not.
  const Array x = sample("order", {2, 20, 3});
  Rng rng(3);
  const Array shuffled = shuffled_observations(x, rng);
  for (const bool encoded : {true, false}) {
    TimeSeriesTransformerOptions o;
    o.time_encoding.enabled = encoded;
    const Built b(TimeSeriesTransformer(o), x.shape());
    EXPECT_GT(largest_difference(b(shuffled), b(x)), 1e-3) << encoded;
    EXPECT_EQ(b.net->takes_times(), encoded);
  }
}

TEST(TimeSeriesTransformer, Errors) {
  TimeSeriesTransformerOptions o;
  o.time_encoding.longest_period = 2;
  EXPECT_EQ(sentence(o), "TimeSeriesTransformerOptions::time_encoding::longest_period = 2; it must be at least shortest_period = 4");
  o = {};
  o.time_encoding.shortest_period = 0;
  EXPECT_EQ(sentence(o), "TimeSeriesTransformerOptions::time_encoding::shortest_period = 0; it must be positive and finite");
  o = {};
  o.template_dim = 0;
  EXPECT_EQ(sentence(o), "TimeSeriesTransformerOptions::template_dim = 0; it must be at least 1");
}

TEST(SequenceNetwork, ParameterCountsOfV1) {
  SequenceNetworkOptions o;
  o.conv.max_kernel_size = 2;  // v1's default says 3 and leaves it out
  EXPECT_EQ(count(SequenceNetwork(o), {1, 1, 1}), 91178);
}

TEST(SequenceNetwork, Errors) {
  SequenceNetworkOptions o;
  o.conv.max_kernel_size = 12;
  EXPECT_EQ(sentence(o), "SequenceNetworkOptions::conv: kernels of the sizes 1 to 12; there must be 1 to 8 sizes");
  o.conv.min_kernel_size = 13;
  EXPECT_EQ(sentence(o), "SequenceNetworkOptions::conv: kernels of the sizes 13 to 12; there must be 1 to 8 sizes");
  o.lstm_units = 0;
  EXPECT_EQ(sentence(o), "SequenceNetworkOptions::lstm_units = 0; it must be at least 1");
}

TEST(ConvNetwork, HalvesBetweenStagesAndTakesAnySize) {
  const Built b(ConvNetwork(support::tiny_conv_network()), {2, 8, 8, 1});
  for (const auto& [height, width] : {std::pair(1, 1), std::pair(5, 3), std::pair(16, 9)})
    EXPECT_EQ(b(sample("image", {2, height, width, 1})).shape(), (Shape{2, 4}));
}

TEST(ConvNetwork, MasksOfWholeRows) {
  const Built b(ConvNetwork(support::tiny_conv_network()), {2, 8, 8, 1});
  const Array x = sample("image", {2, 6, 5, 1});
  Array rows({2, 6}, 1.0), pixels({2, 6, 5}, 1.0);
  for (std::int64_t s = 0; s < 2; ++s)
    for (std::int64_t i = 4; i < 6; ++i) {
      rows(s, i) = 0;
      for (std::int64_t j = 0; j < 5; ++j) pixels(s, i, j) = 0;
    }
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  const Tensor a = b.net->forward(tape, {tape.input(x), tape.input(rows)}), c = b.net->forward(tape, {tape.input(x), tape.input(pixels)});
  for (std::int64_t i = 0; i < a.size(); ++i) EXPECT_EQ(a.data()[i], c.data()[i]);
}

TEST(ConvNetwork, Errors) {
  ConvNetworkOptions o;
  o.filters = {};
  EXPECT_EQ(sentence(o), "ConvNetworkOptions::filters is empty; it must have the number of filters of at least one stage");
  o.filters = {4, 0};
  EXPECT_EQ(sentence(o), "ConvNetworkOptions::filters = 0; it must be at least 1");
}

}  // namespace
}  // namespace bayesflow
