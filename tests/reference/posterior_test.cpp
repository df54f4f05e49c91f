/// Posterior amortizers, optimizer paths and the trained quickstart against the numbers of the real BayesFlow v1.
#include <algorithm>

#include "reference/reference_config.hpp"
#include "reference/reference_file.hpp"

namespace bayesflow::reference {
namespace {

AmortizedPosterior make_amortizer(const File& file) {
  const Config config(file.config, "amortizer", {"amortizer", "summary_net", "inference_net", "latent", "optimizer"});
  config.require("amortizer", "AmortizedPosterior");
  AmortizedPosteriorOptions options;
  if (config.has("latent")) options.latent = latent_of(config["latent"]);
  InvertibleNetwork flow(flow_options(config["inference_net"]));
  if (config.has("summary_net")) return AmortizedPosterior(flow, DeepSet(deep_set_options(config["summary_net"])), options);
  return AmortizedPosterior(flow, options);
}

Batch read_inputs(const File& file) {
  Batch in;
  in.set(roles::parameters, file.read("inputs/parameters"));
  if (file.has("inputs/summary_conditions")) in.set(roles::summary_conditions, file.read("inputs/summary_conditions"));
  if (file.has("inputs/direct_conditions")) in.set(roles::direct_conditions, file.read("inputs/direct_conditions"));
  return in;
}

class PosteriorReference : public testing::TestWithParam<const char*> {};
TEST_P(PosteriorReference, DensityAndLoss) {
  const File file(GetParam());
  AmortizedPosterior amortizer = make_amortizer(file);
  const Batch in = read_inputs(file);
  amortizer.build(in);
  load_weights(amortizer.store(), file);
  const double loss = file.read("outputs/loss").item();
  EXPECT_NEAR(amortizer.compute_loss(in)["loss"], loss, 1e-5 * std::max(1.0, std::fabs(loss)));
  if (file.has("outputs/z")) {
    const AmortizedPosterior::Forward f = amortizer.forward(in);
    EXPECT_LE(error(f.z, file.read("outputs/z")), kOutputs);
    EXPECT_LE(error(f.log_det_J, file.read("outputs/log_det_J")), kOutputs);
    EXPECT_LE(error(amortizer.log_posterior(in), file.read("outputs/log_posterior")), kOutputs);
  }
  if (file.has("outputs/weight_decay")) {
    EXPECT_NEAR(amortizer.compute_loss(in)["weight_decay"], file.read("outputs/weight_decay").item(), 1e-6);
  }
  if (file.has("outputs/summary")) {
    EXPECT_LE(error(amortizer.summary(in), file.read("outputs/summary")), kOutputs);
  }
  if (file.has("inputs/latent_draws")) {
    const Array draws = amortizer.sample_from_latent(in, file.read("inputs/latent_draws"));
    EXPECT_LE(error(draws, file.read("outputs/samples_of_latent_draws")), kOutputs);
  }
}
INSTANTIATE_TEST_SUITE_P(Cases, PosteriorReference,
                         testing::Values("posterior_small", "posterior_student_t", "weight_decay", "trained_quickstart"));

class GradientReference : public testing::TestWithParam<const char*> {};
TEST_P(GradientReference, OfTheLoss) {
  const File file(GetParam());
  AmortizedPosterior amortizer = make_amortizer(file);
  const Batch in = read_inputs(file);
  amortizer.build(in);
  load_weights(amortizer.store(), file);
  // L = c_loss loss + sum(c_density log_posterior) + c_decay weight_decay. The loss is the one that training uses; what depends on the
  // inputs is made from the networks themselves, since the library takes inputs as numbers.
  const auto factor = static_cast<float>(file.read("cotangents/loss").item());
  const nn::ParameterStore& store = amortizer.store();
  nn::GradientBuffers gradients(store);
  Tape tape;
  Leaves leaves;
  const auto log_posterior = [&] {
    leaves.all.clear();
    const Tensor theta = leaves.add(tape, file, "parameters"), x = leaves.add(tape, file, "summary_conditions");
    std::vector<Tensor> parts;
    if (x) parts.push_back(amortizer.summary_net()->forward(tape, x));
    if (const Tensor direct = leaves.add(tape, file, "direct_conditions")) parts.push_back(direct);
    return amortizer.inference_net().log_density(tape, theta, ops::concat(parts));
  };
  const auto weighted = [&](Tensor density, Tensor loss) {
    Tensor total = ops::scale(loss, factor);
    if (!file.has("cotangents/log_posterior")) return total;
    return ops::add(ops::reshape(total, {1}), ops::reshape(contract(tape, density, file.read("cotangents/log_posterior")), {1}));
  };
  tape.reset({.training = false, .lanes = &gradients});
  tape.backward(weighted(log_posterior(), amortizer.loss(tape, in).total));
  const double decay = file.has("cotangents/weight_decay") ? file.read("cotangents/weight_decay").item() : 0.0;
  for (const nn::ParameterInfo& p : store.table())
    for (std::int64_t k = 0; k < p.shape.size(); ++k)
      detail::lanes_of(gradients)[0].gradients[p.offset + k] +=
          static_cast<float>(decay * 2 * static_cast<double>(p.l2)) * store.values()[p.offset + k];
  expect_weight_gradients(store, detail::lanes_of(gradients)[0], file);

  gradients.clear();
  tape.reset({.training = false, .lanes = &gradients});
  const Tensor density = log_posterior();
  tape.backward(weighted(density, ops::scale(ops::mean(density), -1.0f)));
  leaves.expect_gradients(file);
}
INSTANTIATE_TEST_SUITE_P(Cases, GradientReference, testing::Values("posterior_small", "posterior_student_t", "weight_decay"));

/// v1's first optimizer steps on stored batches: losses, norms before clipping, learning rates, weights.
class AdamReference : public testing::TestWithParam<const char*> {};
TEST_P(AdamReference, FollowsThePath) {
  const File file(GetParam());
  const bool small = std::string(GetParam()) == "adam_small";
  AmortizedPosterior amortizer = make_amortizer(file);
  const Array parameters = file.read("inputs/parameters"), data = file.read("inputs/summary_conditions");
  const std::int64_t steps = parameters.dim(0);
  const auto batch = [&](std::int64_t i) {
    Batch in;
    in.set(roles::parameters, parameters.row(i));
    in.set(roles::summary_conditions, data.row(i));
    return in;
  };
  amortizer.build(batch(0));
  nn::ParameterStore& store = amortizer.store();
  load_weights(store, file);
  nn::Optimizer optimizer(store, optimizer_options(file.config.at("optimizer")));
  nn::GradientBuffers gradients(store);
  ThreadPool pool(2);
  Tape tape;
  const Array losses = file.read("outputs/loss"), norms = file.read("outputs/gradient_norm"), rates = file.read("outputs/learning_rate");
  const auto compare = [&](const std::string& group, double most, double typical) {
    std::vector<double> all;
    for (std::size_t i = 0; i < store.table().size(); ++i) {
      const Array want = file.read(group + store.table()[i].name);
      const std::span<float> got = store.value(static_cast<int>(i));
      for (std::int64_t k = 0; k < want.size(); ++k)
        all.push_back(std::fabs(static_cast<double>(got[static_cast<std::size_t>(k)]) - want.data()[k]));
    }
    std::sort(all.begin(), all.end());
    EXPECT_LE(all.back(), most) << group;
    EXPECT_LE(all[static_cast<std::size_t>(0.999 * static_cast<double>(all.size()))], typical) << group;
  };
  // Adam's first step is rate g / (|g| + e), e = epsilon / sqrt(1 - beta2). Where g is next to nothing it is steep in g, and passes
  // on float32's rounding of the sum that g is: 2^-23 of the largest gradient of the tensor.
  const double factor = std::min(1.0, 1 / norms[0]);
  const auto compare_first_step = [&](const nn::OptimizerOptions& o) {
    const double e = o.epsilon / std::sqrt(1 - o.beta2), rate = o.learning_rate(0);
    for (std::size_t i = 0; i < store.table().size(); ++i) {
      const std::string& name = store.table()[i].name;
      const Array want = file.read("outputs/weights_after_1/" + name), g = file.read("gradients/weights/" + name) * factor;
      const double rounding = abs(g).max() * 0x1p-23;
      for (std::int64_t k = 0; k < want.size(); ++k) {
        const double slope = rate * e / std::pow(std::fabs(g[k]) + e, 2);
        EXPECT_NEAR(static_cast<double>(store.value(static_cast<int>(i))[static_cast<std::size_t>(k)]), want[k], 1e-6 + slope * rounding)
            << name;
      }
    }
  };
  for (std::int64_t i = 0; i < steps; ++i) {
    gradients.clear();
    tape.reset({.step = static_cast<std::uint64_t>(i), .lanes = &gradients, .pool = &pool});
    const auto t = amortizer.loss(tape, batch(i));
    tape.backward(t.total);
    EXPECT_NEAR(static_cast<double>(t.total.data()[0]), losses[i], 1e-5 * std::max(1.0, std::fabs(losses[i]))) << "step " << i;
    const nn::StepResult result = optimizer.step(gradients, pool);  // leaves the sum of all lanes in the first
    if (i == 0) {
      std::vector<std::uint8_t> written(store.table().size(), 1);
      expect_weight_gradients(store, {detail::lanes_of(gradients)[0].gradients, written.data()}, file);
    }
    EXPECT_NEAR(result.gradient_norm, norms[i], 1e-4 * std::max(1.0, norms[i])) << "step " << i;
    // v1 reports the rate of the step before (its weights follow the schedule itself, as the comparison below shows).
    EXPECT_NEAR(optimizer.options().learning_rate(std::max<std::int64_t>(i - 1, 0)), rates[i], 1e-6 * rates[i] + 1e-12) << "step " << i;
    if (i == 0) compare_first_step(optimizer.options());
  }
  compare("outputs/weights_after_" + std::to_string(steps) + "/", small ? 1e-5 : 1e-4, 1e-5);
}
TEST_P(AdamReference, FirstStepFromTheFilesOwnGradients) {
  const File file(GetParam());
  AmortizedPosterior amortizer = make_amortizer(file);
  Batch in;
  in.set(roles::parameters, file.read("inputs/parameters").row(0));
  in.set(roles::summary_conditions, file.read("inputs/summary_conditions").row(0));
  amortizer.build(in);
  nn::ParameterStore& store = amortizer.store();
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  gradients.require(1);
  const detail::GradientLane& lane = detail::lanes_of(gradients)[0];
  for (std::size_t i = 0; i < store.table().size(); ++i) {
    const nn::ParameterInfo& p = store.table()[i];
    const Array g = file.read("gradients/weights/" + p.name);
    for (std::int64_t k = 0; k < g.size(); ++k) lane.gradients[p.offset + k] = static_cast<float>(g[k]);
    lane.touched[i] = 1;
  }
  ThreadPool pool(2);
  nn::Optimizer(store, optimizer_options(file.config.at("optimizer"))).step(gradients, pool);
  for (std::size_t i = 0; i < store.table().size(); ++i) {
    const std::string& name = store.table()[i].name;
    const Array want = file.read("outputs/weights_after_1/" + name);
    for (std::int64_t k = 0; k < want.size(); ++k)
      EXPECT_NEAR(static_cast<double>(store.value(static_cast<int>(i))[static_cast<std::size_t>(k)]), want[k], 5e-7) << name;
  }
}
INSTANTIATE_TEST_SUITE_P(Cases, AdamReference, testing::Values("adam_small", "adam_quickstart"));

}  // namespace
}  // namespace bayesflow::reference
