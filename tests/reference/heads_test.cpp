/// Networks for model comparison against the numbers of the real BayesFlow v1.
#include "bayesflow/networks/evidential_network.hpp"
#include "bayesflow/networks/pmp_network.hpp"
#include "reference/reference_config.hpp"
#include "reference/reference_file.hpp"

namespace bayesflow::reference {
namespace {

HeadOptions hidden_of(const Config& c, HeadOptions base) {
  base.dense = dense_options(c["dense_args"], base.dense);
  c.read("num_dense", base.num_dense);
  if (c.has("dropout")) c.require("dropout", false);
  base.dropout_prob = 0;
  return base;
}

TEST(PMPNetworkReference, OutputsAndGradients) {
  const File file("pmp_network");
  const Config c(file.config, "PMPNetwork", {"network", "num_models", "dense_args", "num_dense", "dropout", "output_activation"});
  c.require("output_activation", "softmax");
  PMPNetwork net({.num_models = c["num_models"].get<std::int64_t>(), .hidden = hidden_of(c, {})});
  nn::ParameterStore store;
  net.build(nn::Builder(store, 1), net.target_width(), file.read("inputs/condition").dim(-1));
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients});
  Leaves leaves;
  const Tensor logits = net.outputs(tape, leaves.add(tape, file, "condition")), probabilities = ops::softmax(logits);
  EXPECT_LE(error(to_array(logits), file.read("outputs/logits")), kOutputs);
  EXPECT_LE(error(to_array(probabilities), file.read("outputs/probabilities")), kOutputs);
  tape.backward(ops::add(contract(tape, logits, file.read("cotangents/logits")),
                         contract(tape, probabilities, file.read("cotangents/probabilities"))));
  leaves.expect_gradients(file);
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file);
}

TEST(EvidentialNetworkReference, OutputsAndGradients) {
  const File file("evidential_network");
  const Config c(file.config, "EvidentialNetwork", {"network", "num_models", "dense_args", "num_dense", "output_activation"});
  EvidentialNetwork net({.num_models = c["num_models"].get<std::int64_t>(),
                         .hidden = hidden_of(c, {}),
                         .output_activation = activation_from(c["output_activation"].get<std::string>())});
  nn::ParameterStore store;
  net.build(nn::Builder(store, 1), net.target_width(), file.read("inputs/condition").dim(-1));
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients});
  Leaves leaves;
  const Tensor condition = leaves.add(tape, file, "condition"), alpha = net.concentrations(tape, condition);
  const Array want = file.read("outputs/concentrations");
  EXPECT_LE(error(to_array(alpha), want), kOutputs);
  EXPECT_LE(error(to_array(net.outputs(tape, condition)), want.map([](double v) { return std::log(v); })), kOutputs);
  tape.backward(contract(tape, alpha, file.read("cotangents/concentrations")));
  leaves.expect_gradients(file);
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file);
}

/// The networks' losses are v1's functions of their outputs.
TEST(LossesReference, OfModelComparison) {
  const File file("losses_numbers");
  Tape tape;
  tape.reset({.gradients = false});
  const Array one_hot = file.read("inputs/one_hot"), alpha = file.read("inputs/concentrations");
  Array others = alpha;
  for (std::int64_t i = 0; i < others.size(); ++i) others.data()[i] = alpha.data()[i] * (1 - one_hot.data()[i]) + one_hot.data()[i];
  EXPECT_LE(error(to_array(ops::mean(ops::dirichlet_kl(tape.input(others)))), file.read("outputs/kl_dirichlet").reshape({1})), kOutputs);
}

}  // namespace
}  // namespace bayesflow::reference
