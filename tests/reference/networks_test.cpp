/// Networks against the numbers of the real BayesFlow v1.
#include "bayesflow/networks/coupling.hpp"
#include "reference/flow_twin.hpp"
#include "reference/reference_config.hpp"
#include "reference/reference_file.hpp"

namespace bayesflow::reference {
namespace {

class DeepSetReference : public testing::TestWithParam<const char*> {};
TEST_P(DeepSetReference, OutputsAndGradients) {
  const File file(GetParam());
  nn::ParameterStore store;
  DeepSet net(deep_set_options(file.config));
  const Array x = file.read("inputs/x");
  net.build(nn::Builder(store, 0), x.shape());
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients});
  Leaves leaves;
  Tensor y = net.forward(tape, leaves.add(tape, file, "x"));
  EXPECT_LE(error(to_array(y), file.read("outputs/summary")), kOutputs);
  tape.backward(contract(tape, y, file.read("cotangents/summary")));
  leaves.expect_gradients(file);
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file);
}
INSTANTIATE_TEST_SUITE_P(Cases, DeepSetReference,
                         testing::Values("deepset_mean", "deepset_max_options", "deepset_no_equivariant", "deepset_nested"));

class FlowReference : public testing::TestWithParam<const char*> {};
TEST_P(FlowReference, OutputsGradientsInverse) {
  const File file(GetParam());
  nn::ParameterStore store;
  InvertibleNetwork net(flow_options(file.config));
  const bool conditional = file.has("inputs/condition");
  net.build(nn::Builder(store, 0), net.target_width(), conditional ? file.read("inputs/condition").dim(-1) : 0);
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  ThreadPool pool(2);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients, .pool = &pool});
  Leaves leaves;
  Tensor x = leaves.add(tape, file, "targets"), c = leaves.add(tape, file, "condition");
  const ops::Transformed y = net.forward(tape, x, c);
  const bool spline = net.options().coupling_design != CouplingDesign::affine;
  const double gradients_within = spline ? kSplineGradients : kGradients;
  EXPECT_LE(error(to_array(y.value), file.read("outputs/z")), kOutputs);
  const Array log_det = file.read("outputs/log_det_J");
  // v1's log-determinants of splines may be off by their own distance from double precision.
  const double log_det_within = spline ? kSplineLogDet + error(log_det, FlowTwin(file, net.options())().log_det) : kOutputs;
  EXPECT_LE(error(to_array(y.log_det), log_det), log_det_within);
  Tensor loss = ops::add(contract(tape, y.value, file.read("cotangents/z")), contract(tape, y.log_det, file.read("cotangents/log_det_J")));
  tape.backward(loss);
  leaves.expect_gradients(file, gradients_within);
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file, gradients_within);

  tape.reset({.gradients = false, .training = false, .pool = &pool});
  c = conditional ? tape.input(file.read("inputs/condition")) : Tensor();
  EXPECT_LE(error(to_array(net.inverse(tape, tape.input(file.read("inputs/latent")), c)), file.read("outputs/inverse_of_latent")),
            kOutputs);
}
INSTANTIATE_TEST_SUITE_P(Cases, FlowReference,
                         testing::Values("flow_affine_4", "flow_affine_3", "flow_affine_2_no_clamp_no_act_norm", "flow_affine_residual",
                                         "flow_affine_set", "flow_affine_set_per_observation_condition", "flow_affine_unconditional",
                                         "flow_affine_learnable_permutation", "flow_spline_16", "flow_spline_4_set", "flow_interleaved"));

TEST(ActNormReference, DataInitialization) {
  const File file("act_norm_data_init");
  for (const std::string name : {"matrix", "sets"}) {
    const Array x = file.read("inputs/" + name);
    nn::ParameterStore store;
    InvertibleNetwork net({.num_params = x.dim(-1), .num_coupling_layers = 1, .permutation = PermutationKind::none, .act_norm_init = x});
    net.build(nn::Builder(store, 0), net.target_width(), 0);
    const auto parameter = [&](const char* p) {
      const std::span<float> v = store.value(store.find(std::string("coupling.0.act_norm.") + p));
      Array out({static_cast<std::int64_t>(v.size())});
      for (std::size_t i = 0; i < v.size(); ++i) out.data()[i] = static_cast<double>(v[i]);
      return out;
    };
    EXPECT_LE(error(parameter("scale"), file.read("outputs/" + name + "_scale")), kOutputs);
    EXPECT_LE(error(parameter("bias"), file.read("outputs/" + name + "_bias")), kOutputs);
    // Fresh couplings are the identity, so the whole layer is its act norm.
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const ops::Transformed y = net.forward(tape, tape.input(x));
    EXPECT_LE(error(to_array(y.value), file.read("outputs/" + name + "_z")), kOutputs);
    const double log_det = file.read("outputs/" + name + "_log_det_J").item();
    for (std::int64_t i = 0; i < y.log_det.size(); ++i)
      EXPECT_NEAR(static_cast<double>(y.log_det.data()[i]), log_det, kOutputs * std::max(1.0, std::fabs(log_det)));
  }
}

TEST(CouplingReference, SoftClamp) {
  const File file("soft_clamp");
  const Array target = file.read("inputs/target"), conditioner = file.read("inputs/conditioner");
  CouplingOptions options = unregularized_coupling();
  options.soft_clamping = file.config.at("a").get<double>();
  options.dense.units = file.read("weights/s.0.bias").size();
  Coupling coupling(CouplingDesign::affine, options, target.dim(-1));
  nn::ParameterStore store;
  coupling.build(nn::Builder(store, 0), conditioner.dim(-1), 0);
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients});
  Leaves leaves;
  const Tensor u = leaves.add(tape, file, "target"), given = leaves.add(tape, file, "conditioner");
  const ops::Transformed y = coupling.forward(tape, u, given, {});
  EXPECT_LE(error(to_array(y.value), file.read("outputs/v")), kOutputs);
  EXPECT_LE(error(to_array(y.log_det), file.read("outputs/log_det_J")), kOutputs);
  tape.backward(ops::add(contract(tape, y.value, file.read("cotangents/v")), contract(tape, y.log_det, file.read("cotangents/log_det_J"))));
  leaves.expect_gradients(file);
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file);
}

TEST(LossesReference, MaximumMeanDiscrepancyAndLatents) {
  const File file("losses_numbers");
  Tape tape;
  tape.reset({});
  const Tensor source = tape.input(file.read("inputs/source"), true), value = ops::mmd(source, tape.input(file.read("inputs/target")));
  const double mmd = static_cast<double>(value.data()[0]);
  tape.backward(value);
  EXPECT_LE(error(gradient_of(source), file.read("gradients/inputs/source_gaussian")), kGradients);
  const double want = file.read("outputs/maximum_mean_discrepancy_gaussian").item();
  EXPECT_NEAR(mmd, want, kOutputs * std::max(1.0, std::fabs(want)));
  // v1's latent loss drops the constant d/2 log(2 pi); the library's density has it.
  const Array z = file.read("inputs/z"), log_det = file.read("inputs/log_det_J");
  const Array density = to_array(ops::gaussian_log_density(tape.input(z)));
  const double constant = 0.5 * static_cast<double>(z.dim(1)) * std::log(2 * 3.14159265358979323846);
  EXPECT_NEAR(-(density + log_det).mean() - constant, file.read("outputs/kl_latent_space_gaussian").item(), 1e-5);
}

}  // namespace
}  // namespace bayesflow::reference
