/// The code of docs/networks.md.
#include <gtest/gtest.h>

#include "bayesflow/bayesflow.hpp"
#include "bayesflow/engine.hpp"

namespace bf = bayesflow;

namespace {

/// Width of what it gives for data of this shape.
std::int64_t width(bf::SummaryNetwork& net, const bf::Shape& data) {
  bf::nn::ParameterStore store;
  net.build(bf::nn::Builder(store, 1), data);
  bf::Tape tape;
  tape.reset({.gradients = false, .training = false});
  return net.forward(tape, tape.filled(data, 0.5F)).cols();
}

TEST(NetworksPage, SetTransformer) {
  bf::SetTransformerOptions options;
  options.summary_dim = 16;
  options.embedding_dim = 32;
  bf::SetTransformer set_transformer(options);
  EXPECT_EQ(width(set_transformer, {2, 20, 3}), 16);
}

TEST(NetworksPage, TimeSeriesTransformer) {
  bf::TimeSeriesTransformerOptions options;
  options.time_encoding.shortest_period = 2;  // days
  options.time_encoding.longest_period = 365;
  options.template_type = bf::nn::CellKind::gru;
  bf::TimeSeriesTransformer transformer(options);
  EXPECT_EQ(width(transformer, {2, 20, 3}), 10);
}

TEST(NetworksPage, Series) {
  bf::SequenceNetwork sequence_network({.summary_dim = 16, .bidirectional = true});
  EXPECT_EQ(width(sequence_network, {2, 20, 3}), 16);
  bf::TimeSeriesNetwork series({.summary_dim = 16, .num_conv_layers = 3});
  EXPECT_EQ(width(series, {2, 20, 3}), 16);
}

TEST(NetworksPage, Images) {
  bf::ConvNetwork images({.summary_dim = 16, .filters = {16, 32, 64}, .blocks_per_stage = 2});
  EXPECT_EQ(width(images, {2, 20, 30, 1}), 16);
}

TEST(NetworksPage, Compositions) {
  bf::SplitNetwork split({.networks = {bf::DeepSet({.summary_dim = 8}), bf::DeepSet({.summary_dim = 8})}, .column = 0, .values = {0, 1}});
  bf::nn::ParameterStore store;
  split.build(bf::nn::Builder(store, 1), bf::Shape{2, 20, 3});
  EXPECT_EQ(split.summary_dim(), 18);
  bf::HierarchicalNetwork hierarchy({.networks = {bf::SequenceNetwork({.summary_dim = 8}), bf::DeepSet({.summary_dim = 16})}});
  EXPECT_EQ(width(hierarchy, {2, 5, 20, 3}), 16);
}

TEST(NetworksPage, Fusion) {
  bf::FusionNetwork fusion({.sources = {"series", "table"},
                            .networks = {bf::TimeSeriesNetwork({.summary_dim = 8}), bf::DeepSet({.summary_dim = 8})},
                            .merge = bf::FusionMergeOptions{.summary_dim = 12}});
  bf::TrainerOptions training;
  training.configurator = bf::sources_configurator({{"series", {50, 1}}, {"table", {10, 2}}});  // 50 times, then 10 rows of 2
  const bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return rng.normal({2}); }),
                                  bf::Simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({70}, theta[0]); }));
  bf::AmortizedPosterior amortizer(bf::InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2}), fusion);
  bf::Trainer trainer(amortizer, model, training);
  EXPECT_EQ(amortizer.summary(trainer.configure(model.simulate(3, 1, "test", 0))).shape(), (bf::Shape{3, 12}));
}

}  // namespace
