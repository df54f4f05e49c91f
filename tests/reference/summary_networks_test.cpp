/// Attention, recurrent and convolutional layers against the numbers of the real BayesFlow v1, in networks composed here as v1 composes its
/// own.
#include "bayesflow/nn/layers.hpp"

#include "bayesflow/nn/attention.hpp"
#include "bayesflow/nn/convolution.hpp"
#include "bayesflow/nn/recurrent.hpp"
#include "reference/reference_file.hpp"

namespace bayesflow::reference {
namespace {

using nn::Builder;

/// Gradients of the summary with respect to weights and x.
template <class Forward>
void expect_as_v1(const File& file, nn::ParameterStore& store, Forward forward, double tolerance = kGradients) {
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients});
  Leaves leaves;
  Tensor y = forward(tape, leaves.add(tape, file, "x"));
  EXPECT_LE(error(to_array(y), file.read("outputs/summary")), kOutputs);
  tape.backward(contract(tape, y, file.read("cotangents/summary")));
  leaves.expect_gradients(file);
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file, tolerance);
}

/// v1's settings of a transformer.
struct Settings {
  explicit Settings(const nlohmann::json& c)
      : attention{c.at("attention_settings").at("num_heads").get<std::int64_t>(),
                  c.at("attention_settings").at("key_dim").get<std::int64_t>(), 0.0},
        units(c.at("dense_settings").at("units").get<std::int64_t>()),
        activation(activation_from(c.at("dense_settings").at("activation").get<std::string>())) {}
  AttentionLayerOptions attention;
  std::int64_t units;
  Activation activation;
  bool norm = false;
};
nn::Mlp feed_forward(const Settings& s, std::int64_t out) {
  return nn::Mlp({{.units = s.units, .activation = s.activation},
                  {.units = s.units, .activation = s.activation},
                  {.units = out, .activation = Activation::identity}});
}

/// h = norm(x + attention(x, y)), norm(h + feed_forward(h))
struct Block {
  nn::MultiHeadAttention attention;
  nn::Mlp dense;
  nn::LayerNorm pre, post;
  bool norm = false;
  void build(const Builder& b, const Settings& s, std::int64_t width, std::int64_t inputs) {
    norm = s.norm;
    attention = nn::MultiHeadAttention(s.attention);
    attention.build(b.scope("attention"), width, inputs);
    dense = feed_forward(s, width);
    dense.build(b.scope("dense"), width);
    if (!norm) return;
    pre.build(b.scope("norm_pre"), width);
    post.build(b.scope("norm_post"), width);
  }
  Tensor operator()(Tape& t, Tensor x, Tensor y) const {
    Tensor h = attention(t, x, y);
    h = ops::add(x.shape() == h.shape() ? x : ops::broadcast(x, h.shape()), h);
    if (norm) h = pre(t, h);
    h = ops::add(h, dense(t, h));
    return norm ? post(t, h) : h;
  }
};

class SetTransformerReference : public testing::TestWithParam<const char*> {};
TEST_P(SetTransformerReference, OutputsAndGradients) {
  const File file(GetParam());
  Settings s(file.config);
  s.norm = file.config.value("use_layer_norm", false);
  const std::int64_t width = file.config.at("input_dim").get<std::int64_t>(), summary = file.config.value("summary_dim", 10);
  const std::int64_t seeds = file.config.value("num_seeds", 1), blocks = file.config.value("num_attention_blocks", 2);
  const bool induced = file.has("weights/attention_blocks.0.inducing_points");
  nn::ParameterStore store;
  const Builder b(store, 1);
  std::vector<Block> first(static_cast<std::size_t>(blocks)), second(first.size());
  std::vector<int> points(first.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    const Builder at = b.scope("attention_blocks." + std::to_string(i));
    if (induced)
      points[i] = at.add("inducing_points", file.read("weights/" + at.full("inducing_points")).shape(), nn::Initializer::glorot_uniform);
    first[i].build(at.scope(induced ? "mab0" : "mab"), s, width, width);
    if (induced) second[i].build(at.scope("mab1"), s, width, width);
  }
  nn::Mlp dense = feed_forward(s, summary);
  dense.build(b.scope("pooling.dense"), width);
  Block pool;
  pool.build(b.scope("pooling.mab"), s, summary, summary);
  const int seed = b.add("pooling.seeds", {seeds, summary}, nn::Initializer::glorot_uniform);
  expect_as_v1(
      file, store,
      [&](Tape& t, Tensor x) {
        for (std::size_t i = 0; i < first.size(); ++i)
          x = induced ? second[i](t, x, first[i](t, store.tensor(t, points[i]), x)) : first[i](t, x, x);
        Tensor y = pool(t, store.tensor(t, seed), dense(t, x));
        return ops::reshape(y, {y.dim(0), seeds * summary});
      },
      // Layer norm makes some gradients the small difference of large ones, which float32 rounds differently here and in v1.
      s.norm ? 5 * kGradients : kGradients);
}
INSTANTIATE_TEST_SUITE_P(Cases, SetTransformerReference, testing::Values("set_transformer", "set_transformer_full_attention"));

/// The last state, or both last states side by side.
struct Template {
  nn::Recurrent forward, backward;
  bool both;
  Template(const Builder& b, nn::CellKind kind, std::int64_t inputs, std::int64_t units, bool bidirectional) : both(bidirectional) {
    forward = nn::Recurrent(kind, units);
    forward.build(both ? b.scope("forward") : b, inputs);
    if (!both) return;
    backward = nn::Recurrent(kind, units, {.reverse = true});
    backward.build(b.scope("backward"), inputs);
  }
  Tensor operator()(Tape& t, Tensor x) const {
    if (!both) return forward(t, x);
    const Tensor states[] = {forward(t, x), backward(t, x)};
    return ops::concat(states);
  }
};

class TimeSeriesTransformerReference : public testing::TestWithParam<const char*> {};
TEST_P(TimeSeriesTransformerReference, OutputsAndGradients) {
  const File file(GetParam());
  Settings s(file.config);
  s.norm = file.config.value("use_layer_norm", true);
  const bool both = file.config.value("bidirectional", false);
  const std::int64_t inputs = file.config.at("input_dim").get<std::int64_t>(), units = file.config.at("template_dim").get<std::int64_t>();
  const std::int64_t width = both ? 2 * units : units;
  nn::ParameterStore store;
  const Builder b(store, 1);
  std::vector<Block> blocks(file.config.value("num_attention_blocks", 2));
  for (std::size_t i = 0; i < blocks.size(); ++i)
    blocks[i].build(b.scope("attention_blocks." + std::to_string(i) + ".mab"), s, inputs, inputs);
  const Template summary(b.scope("template"), file.config.at("template_type") == "gru" ? nn::CellKind::gru : nn::CellKind::lstm, inputs,
                         units, both);
  Block last;
  last.build(b.scope("output_attention"), s, width, inputs);
  nn::Dense output({.units = file.config.at("summary_dim").get<std::int64_t>(), .activation = Activation::identity});
  output.build(b.scope("output"), width);
  expect_as_v1(file, store, [&](Tape& t, Tensor x) {
    Tensor seen = x;
    for (const Block& block : blocks) seen = block(t, seen, seen);
    Tensor query = ops::reshape(summary(t, x), {x.dim(0), 1, width});
    return output(t, ops::reshape(last(t, query, seen), {x.dim(0), width}));
  });
}
INSTANTIATE_TEST_SUITE_P(Cases, TimeSeriesTransformerReference,
                         testing::Values("time_series_transformer_lstm", "time_series_transformer_gru_bidirectional"));

TEST(SequenceNetworkReference, OutputsAndGradients) {
  const File file("sequence_network");
  nn::ParameterStore store;
  const Builder b(store, 1);
  struct Level {
    std::vector<nn::Conv1d> branches;
    nn::Conv1d reduce;
  };
  std::vector<Level> levels(file.config.at("num_conv_layers").get<std::size_t>());
  std::int64_t inputs = file.read("inputs/x").dim(-1);
  const auto layer = [](const Builder& at, const File& f, std::int64_t in) {
    const Shape kernel = f.read("weights/" + at.full("kernel")).shape();
    nn::Conv1d conv({.filters = kernel[2], .size = kernel[0], .window = {.padding = ops::Padding::causal}, .activation = Activation::relu});
    conv.build(at, in);
    return conv;
  };
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const Builder at = b.scope("convolutions." + std::to_string(i));
    std::int64_t filters = 0;
    for (int k = 0; k < 2; ++k) {
      levels[i].branches.push_back(layer(at.scope("branches." + std::to_string(k)), file, inputs));
      filters += file.read("weights/" + at.full("branches." + std::to_string(k) + ".bias")).size();
    }
    levels[i].reduce = layer(at.scope("reduce"), file, filters);
    inputs = file.read("weights/" + at.full("reduce.bias")).size();
  }
  const bool both = file.config.at("bidirectional").get<bool>();
  const std::int64_t units = file.config.at("lstm_units").get<std::int64_t>();
  const Template recurrent(b.scope("recurrent"), nn::CellKind::lstm, inputs, units, both);
  nn::Dense output({.units = file.config.at("summary_dim").get<std::int64_t>(), .activation = Activation::identity});
  output.build(b.scope("output"), both ? 2 * units : units);
  expect_as_v1(file, store, [&](Tape& t, Tensor x) {
    for (const Level& level : levels) {
      std::vector<Tensor> parts;
      for (const nn::Conv1d& branch : level.branches) parts.push_back(branch(t, x));
      x = level.reduce(t, ops::concat(parts));
    }
    return output(t, recurrent(t, x));
  });
}

}  // namespace
}  // namespace bayesflow::reference
