#include "bayesflow/amortizers/model_file.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "amortizers/architecture.hpp"
#include "io/archive.hpp"
#include "io/support_amortizers.hpp"
#include "io/support_files.hpp"

namespace bayesflow {
namespace {

void expect_same_answers(const AmortizedPosterior& a, const AmortizedPosterior& b, const Batch& inputs) {
  EXPECT_EQ(a.sample(inputs, 300, {.seed = 9}), b.sample(inputs, 300, {.seed = 9}));
  EXPECT_EQ(a.log_posterior(inputs), b.log_posterior(inputs));
  EXPECT_EQ(a.compute_loss(inputs).total(), b.compute_loss(inputs).total());
}

void expect_round_trip(const AmortizedPosterior& amortizer, const LoadAmortizerOptions& parts = {}, const Batch& inputs = some_inputs()) {
  const TemporaryFolder folder;
  amortizer.save(folder / "model.h5");
  const AmortizedPosterior loaded = load_amortizer(folder / "model.h5", parts);
  expect_same_answers(amortizer, loaded, inputs);
  loaded.save(folder / "again.h5");
  EXPECT_TRUE(contents(folder / "model.h5") == contents(folder / "again.h5"));
  EXPECT_EQ(folder.entries(), 2U);
}

TEST(ModelFile, GivesTheSameDrawsBitForBit) { expect_round_trip(small_amortizer()); }

TEST(ModelFile, RebuildsEveryKindOfNetwork) {
  expect_round_trip(small_amortizer({.coupling_design = CouplingDesign::spline, .permutation = PermutationKind::learnable}));
  CouplingOptions spline;
  spline.spline = {.bins = 5, .left = -4, .right = 6.5f, .bottom = -7, .top = 8, .log_offset = 1e-10, .min_bin = 1e-2, .min_slope = 2e-3};
  spline.dense.units = 12;
  expect_round_trip(
      small_amortizer({.coupling_design = CouplingDesign::interleaved, .spline_coupling = spline, .permutation = PermutationKind::none}));
  InvertibleNetworkOptions flow{.use_act_norm = false, .use_soft_flow = true, .soft_flow_low = 0.002, .soft_flow_high = 0.1};
  flow.coupling = {.num_dense = 3, .dropout_prob = 0.1, .spec_norm = true, .residual = true, .soft_clamping = 0};
  expect_round_trip(small_amortizer(flow));
  DeepSetOptions deep_set = small_deep_set();
  deep_set.pooling = Pooling::max;
  deep_set.num_equiv = 0;
  deep_set.linear_path = true;
  deep_set.dense_s2 = {
      .units = 7, .activation = Activation::tanh, .kernel_initializer = nn::Initializer::he_uniform, .kernel_regularizer = 0.25};
  expect_round_trip(small_amortizer({}, deep_set, {.latent = student_t_latent(7.3), .summary_mmd_weight = 0.5, .seed = 99}));
  expect_round_trip(small_amortizer({.act_norm_init = some_inputs(20).array(roles::parameters)}));
}

TEST(ModelFile, WorksWithDirectConditionsAloneAndBoth) {
  const Batch both = some_inputs(5, 12, 3, 2), alone = some_inputs(5, 12, 0, 2);
  AmortizedPosterior a(InvertibleNetwork({.num_params = 4, .num_coupling_layers = 2}), DeepSet(small_deep_set()));
  a.build(both);
  scramble(a);
  expect_round_trip(a, {}, both);
  AmortizedPosterior b(InvertibleNetwork({.num_params = 4, .num_coupling_layers = 2}));
  b.build(alone);
  scramble(b);
  expect_round_trip(b, {}, alone);
}

TEST(ModelFile, KeepsWhatIsKnownAboutTheModel) {
  const TemporaryFolder folder;
  const ModelInfo info{.description = "means of Gaussians; \xc2\xb5",
                       .param_names = {"a", "b", "c", "d"},
                       .simulations = 320000,
                       .final_loss = -2.125,
                       .final_validation_loss = std::numeric_limits<double>::quiet_NaN(),
                       .seed = 18446744073709551615U,
                       .constants = {{"prior_means", Array::of({1.5, 2.5})}, {"n", Array::scalar(50)}}};
  small_amortizer().save(folder / "model.h5", {.info = info});
  const auto loaded = load_amortizer_file(folder / "model.h5");
  EXPECT_EQ(loaded.info.description, info.description);
  EXPECT_EQ(loaded.info.param_names, info.param_names);
  EXPECT_EQ(loaded.info.simulations, info.simulations);
  EXPECT_EQ(loaded.info.final_loss, info.final_loss);
  EXPECT_TRUE(std::isnan(*loaded.info.final_validation_loss));
  EXPECT_EQ(loaded.info.seed, info.seed);
  EXPECT_EQ(loaded.info.constants.at("prior_means"), Array::of({1.5, 2.5}));
  EXPECT_EQ(loaded.info.constants.at("n").item(), 50);
  EXPECT_EQ(loaded.format_version, 1U);
  EXPECT_EQ(loaded.library_version, "0.1.0");
}

/// A summary network of the user: mean over observations, then a dense layer.
class MeanNet final : public SummaryNetwork {
 public:
  explicit MeanNet(std::int64_t dim) : output_({.units = dim}), dim_(dim) {}
  void build(const nn::Builder& builder, const SummaryShape& input) override { output_.build(builder.scope("output"), input.data[-1]); }
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& given) const override {
    const Tensor x = given.data;
    return output_(tape, ops::mean_pool(x));
  }
  [[nodiscard]] std::int64_t summary_dim() const override { return dim_; }

 private:
  nn::Dense output_;
  std::int64_t dim_;
};

TEST(ModelFile, NeedsTheUsersOwnNetwork) {
  AmortizedPosterior amortizer(InvertibleNetwork({.num_params = 4, .num_coupling_layers = 2}), MeanNet(5));
  amortizer.build(some_inputs());
  scramble(amortizer);
  expect_round_trip(amortizer, {.summary_net = [] { return std::make_shared<MeanNet>(5); }});
  const TemporaryFolder folder;
  amortizer.save(folder / "model.h5");
  EXPECT_IO_ERROR((void)load_amortizer(folder / "model.h5"),
                  "the model has a summary network of your own class, which is code and so not in the file: give it as "
                  "LoadAmortizerOptions::summary_net");
  EXPECT_IO_ERROR((void)load_amortizer(folder / "model.h5", {.summary_net = [] { return std::make_shared<MeanNet>(6); }}),
                  "makes a network with summary_dim = 6, the model's has 5");
}

TEST(ModelFile, NeedsTheUsersOwnPoolingAndLatent) {
  DeepSetOptions deep_set = small_deep_set();
  deep_set.pooling_fun = [](Tensor x) { return ops::sum_pool(x); };
  const Latent own{"wide", [](Tensor z) { return ops::gaussian_log_density(ops::scale(z, 0.5f)); },
                   [](Rng& rng, std::span<float> z, std::int64_t) {
                     for (float& v : z) v = static_cast<float>(2 * rng.normal());
                   }};
  const AmortizedPosterior amortizer = small_amortizer({}, deep_set, {.latent = own});
  const LoadAmortizerOptions parts{.pooling_fun = deep_set.pooling_fun, .latent = own};
  expect_round_trip(amortizer, parts);
  const TemporaryFolder folder;
  amortizer.save(folder / "model.h5");
  EXPECT_IO_ERROR((void)load_amortizer(folder / "model.h5", {.latent = own}), "give it as LoadAmortizerOptions::pooling_fun");
  EXPECT_IO_ERROR((void)load_amortizer(folder / "model.h5", {.pooling_fun = deep_set.pooling_fun}), "a latent of your own, \"wide\"");
  // Another pooling function than the one it was trained with is noticed.
  LoadAmortizerOptions wrong = parts;
  wrong.pooling_fun = [](Tensor x) { return ops::mean_pool(x); };
  EXPECT_IO_ERROR((void)load_amortizer(folder / "model.h5", wrong), "the model no longer gives the stored answers for its probes");
  wrong.verify = false;
  EXPECT_NO_THROW((void)load_amortizer(folder / "model.h5", wrong));
}

TEST(ModelFile, RebuildsGraphsWithoutAnyCode) {
  expect_round_trip(small_graph_amortizer());
  // Extents that were flattened are part of the network.
  GraphOptions flat{.layers = {{"output", {.units = 5}}},
                    .nodes = {{.name = "flat", .op = GraphOp::flatten, .sources = {"data"}, .axes = 2},
                              {.name = "output", .op = GraphOp::dense, .sources = {"flat"}, .layer = "output"}}};
  AmortizedPosterior amortizer(InvertibleNetwork({.num_params = 4, .num_coupling_layers = 2}), GraphNetwork(flat));
  amortizer.build(some_inputs());
  scramble(amortizer);
  expect_round_trip(amortizer);
  const TemporaryFolder folder;
  amortizer.save(folder / "model.h5");
  EXPECT_THROW((void)load_amortizer(folder / "model.h5").sample(some_inputs(5, 13), 3), ShapeError);
}

TEST(ModelFile, RefusesGraphsThatMakeNoSense) {
  const std::string text = detail::architecture_of(small_graph_amortizer());
  const auto refusal = [&](const std::string& from, const std::string& to, std::int64_t max_values = 1000000) {
    std::string forged = text;
    if (const std::size_t at = forged.find(from); at != std::string::npos)
      forged.replace(at, from.size(), to);
    else
      ADD_FAILURE() << from << " is not in " << text;
    try {
      detail::Described described = detail::from_architecture(forged, {}, 100, max_values);
      described.build(max_values);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const auto expect = [](const std::string& said, const std::string& part) { EXPECT_NE(said.find(part), std::string::npos) << said; };
  EXPECT_EQ(refusal("softplus", "tanh"), "nothing");
  expect(refusal("\"mean_pool\"", "\"telepathy\""), "op is \"telepathy\"");
  expect(refusal("\"shorter\"\n", "\"longer\"\n"), "there is no node of that name");
  expect(refusal("\"units\": 8", "\"units\": 1000000000000"), "units is 1000000000000");
  expect(refusal("\"units\": 8", "\"units\": 7e296"), "7e+296 is where an integer of 8 bytes should be");
  expect(refusal("\"first\": -5", "\"first\": -5000000000000"), "first is -5000000000000");
  expect(refusal("\"first\": -5", "\"first\": -1"), "takes the columns from 7 to 7");
  expect(refusal("\"axes\": 0", "\"axes\": 101"), "axes is 101");
  expect(refusal("\"number\": 0.1", "\"number\": 1.5"), "has the probability 1.5");
  expect(refusal("\"number\": 0.1", "\"number\": null"), "type must be number");
  expect(refusal("\"number\": 0.1", "\"number\": 0.1, \"other\": 1"), "options that this library does not know");
  // Eight times itself, again and again: small in the file, large in memory.
  std::string wide, source = "bent";
  for (int i = 0; i < 7; ++i) {
    const std::string name = "w" + std::to_string(i), q = "\"" + source + "\"";
    wide += R"({"activation": "identity", "axes": 0, "first": 0, "last": 0, "layer": "", "number": 0.0, "op": "concat", "name": ")" + name +
            R"(", "sources": [)" + q + "," + q + "," + q + "," + q + "," + q + "," + q + "," + q + "," + q + "]},";
    source = name;
  }
  const std::string last = text.substr(text.find("{", text.find("\"bent\",\n")));
  expect(refusal(last, wide + std::string(last).replace(last.find("\"bent\""), 6, "\"w6\"")), "wider than its weights allow");
}

TEST(ModelFile, UsesGivenProbes) {
  const TemporaryFolder folder;
  const Batch real = some_inputs(3, 40);
  small_amortizer().save(folder / "model.h5", {.probes = real});
  const io::ArchiveReader in(folder / "model.h5", {.kind = "model"});
  EXPECT_EQ(in.shape("probes/summary_conditions"), (Shape{3, 40, 3}));
  EXPECT_EQ(in.shape("probes/draws"), (Shape{3, 10, 4}));
  EXPECT_NO_THROW((void)load_amortizer(folder / "model.h5"));
  EXPECT_THROW(small_amortizer().save(folder / "model.h5", {.probes = some_inputs(3, 40, 2)}), ConfigurationError);
}

TEST(ModelFile, NeedsWeights) {
  const TemporaryFolder folder;
  const AmortizedPosterior fresh(InvertibleNetwork({.num_params = 4}), DeepSet(small_deep_set()));
  EXPECT_THROW(fresh.save(folder / "model.h5"), ConfigurationError);
  EXPECT_EQ(folder.entries(), 0U);
}

}  // namespace
}  // namespace bayesflow
