/// Set transformers, time series transformers, sequence networks and hierarchies against the numbers of the real BayesFlow v1.
#include "networks/registry.hpp"
#include "reference/reference_file.hpp"

namespace bayesflow::reference {
namespace {

/// Gradients of the summary with respect to weights and x.
void expect_as_v1(const File& file, SummaryNetwork&& net, double tolerance = kGradients, const std::string& weights = "weights/") {
  const Array x = file.read("inputs/x");
  nn::ParameterStore store;
  net.build(nn::Builder(store, 1), x.shape());
  load_weights(store, file, weights);
  nn::GradientBuffers gradients(store);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients});
  Leaves leaves;
  Tensor y = net.forward(tape, leaves.add(tape, file, "x"));
  EXPECT_LE(error(to_array(y), file.read("outputs/summary")), kOutputs);
  EXPECT_EQ(y.cols(), net.summary_dim());
  tape.backward(contract(tape, y, file.read("cotangents/summary")));
  leaves.expect_gradients(file);
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file, tolerance);
}

/// v1's settings that transformers share.
template <class Options>
Options transformer(const nlohmann::json& c) {
  Options o;
  const auto& attention = c.at("attention_settings");
  o.attention = {attention.at("num_heads").get<std::int64_t>(), attention.at("key_dim").get<std::int64_t>(), 0.0};
  o.dense.units = c.at("dense_settings").at("units").get<std::int64_t>();
  o.dense.activation = activation_from(c.at("dense_settings").at("activation").get<std::string>());
  o.use_layer_norm = c.value("use_layer_norm", o.use_layer_norm);
  o.summary_dim = c.value("summary_dim", o.summary_dim);
  o.num_attention_blocks = c.value("num_attention_blocks", o.num_attention_blocks);
  return o;
}

class SetTransformerReference : public testing::TestWithParam<const char*> {};
TEST_P(SetTransformerReference, OutputsAndGradients) {
  const File file(GetParam());
  auto o = transformer<SetTransformerOptions>(file.config);
  o.num_seeds = file.config.value("num_seeds", o.num_seeds);
  if (file.has("weights/attention_blocks.0.inducing_points"))
    o.num_inducing_points = file.read("weights/attention_blocks.0.inducing_points").dim(0);
  else
    o.num_inducing_points.reset();
  // Layer norm makes some gradients the small difference of large ones, which float32 rounds differently here and in v1.
  expect_as_v1(file, SetTransformer(o), o.use_layer_norm ? 5 * kGradients : kGradients);
}
INSTANTIATE_TEST_SUITE_P(Cases, SetTransformerReference, testing::Values("set_transformer", "set_transformer_full_attention"));

class TimeSeriesTransformerReference : public testing::TestWithParam<const char*> {};
TEST_P(TimeSeriesTransformerReference, OutputsAndGradients) {
  const File file(GetParam());
  auto o = transformer<TimeSeriesTransformerOptions>(file.config);
  o.bidirectional = file.config.value("bidirectional", false);
  o.template_dim = file.config.at("template_dim").get<std::int64_t>();
  o.template_type = file.config.at("template_type") == "gru" ? nn::CellKind::gru : nn::CellKind::lstm;
  o.time_encoding.enabled = false;  // the data hold it, as v1 wants
  expect_as_v1(file, TimeSeriesTransformer(o));
}
INSTANTIATE_TEST_SUITE_P(Cases, TimeSeriesTransformerReference,
                         testing::Values("time_series_transformer_lstm", "time_series_transformer_gru_bidirectional"));

TEST(SequenceNetworkReference, OutputsAndGradients) {
  const File file("sequence_network");
  SequenceNetworkOptions o;
  o.summary_dim = file.config.at("summary_dim").get<std::int64_t>();
  o.num_conv_layers = file.config.at("num_conv_layers").get<std::int64_t>();
  o.lstm_units = file.config.at("lstm_units").get<std::int64_t>();
  o.bidirectional = file.config.at("bidirectional").get<bool>();
  o.conv.filters = file.read("weights/convolutions.0.reduce.bias").size();
  o.conv.max_kernel_size = 2;  // what v1 makes of its "max_kernel_size": 3
  expect_as_v1(file, SequenceNetwork(o));
}

TEST(HierarchicalNetworkReference, OutputsAndGradients) {
  const File file("hierarchical");
  HierarchicalOptions o;
  for (const auto& level : file.config.at("levels")) {
    DeepSetOptions net;
    net.summary_dim = level.at("summary_dim").get<std::int64_t>();
    for (auto* dense : {&net.dense_s1, &net.dense_s2, &net.dense_s3})
      dense->units = level.at("dense_s1_args").at("units").get<std::int64_t>();
    o.networks.emplace_back(DeepSet(net));
  }
  expect_as_v1(file, HierarchicalNetwork(o));
}

}  // namespace
}  // namespace bayesflow::reference
