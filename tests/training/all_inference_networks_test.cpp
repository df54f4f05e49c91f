/// Training and files of every inference network: all classes of the registry, by the cases of support/inference_cases.hpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "amortizers/architecture.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "io/support_files.hpp"
#include "support/inference_cases.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

using support::InferenceCase;

Amortizer amortizer_of(const InferenceCase& c, int threads = 1) {
  return AmortizerAccess::make(*c.kind, c.make(), std::make_shared<DeepSet>(tiny_deep_set()), {.threads = threads});
}
std::function<Batch(const Simulations&)> configurator_of(const InferenceCase& c) {
  return [c](const Simulations& s) { return Batch{{c.kind->target, c.targets(s.prior_draws)}, {roles::summary_conditions, s.sim_data}}; };
}
Batch test_batch(const InferenceCase& c, std::int64_t sets) {
  return configurator_of(c)(gaussian_model(c.width, 6).simulate(sets, 1, "test", 0));
}
std::vector<float> weights(const Amortizer& a) { return {a.store().values(), a.store().values() + a.store().size()}; }

class AllInferenceNetworksTraining : public testing::TestWithParam<InferenceCase> {};

TEST_P(AllInferenceNetworksTraining, SameBitsForAnyNumberOfThreads) {
  const InferenceCase& c = GetParam();
  const auto trained = [&](int threads) {
    Amortizer amortizer = amortizer_of(c, threads);
    Trainer trainer(amortizer, gaussian_model(c.width, 6), {.configurator = configurator_of(c), .seed = 11, .threads = threads});
    const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 3, .batch_size = 500});
    EXPECT_TRUE(std::isfinite(run.history.steps.back().losses.total()));
    std::vector<Array> out = support::answers(amortizer, test_batch(c, 300));
    const std::vector<float> w = weights(amortizer);
    out.emplace_back(Shape{static_cast<std::int64_t>(w.size())});
    std::copy(w.begin(), w.end(), out.back().data());
    return out;
  };
  const std::vector<Array> one = trained(1);
  EXPECT_TRUE(trained(2) == one) << "two threads";
  EXPECT_TRUE(trained(4) == one) << "four threads";
}

TEST_P(AllInferenceNetworksTraining, LowersItsLoss) {
  const InferenceCase& c = GetParam();
  Amortizer amortizer = amortizer_of(c);
  const Batch test = test_batch(c, 200);
  Trainer trainer(amortizer, gaussian_model(c.width, 6), {.configurator = configurator_of(c), .seed = 11, .threads = 1});
  const double before = amortizer.compute_loss(test).objective();
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 150, .batch_size = 64});
  EXPECT_LT(amortizer.compute_loss(test).objective(), before - 0.02);
}

TEST_P(AllInferenceNetworksTraining, FilesGiveTheSameAnswers) {
  const TemporaryFolder folder;
  const InferenceCase& c = GetParam();
  Amortizer amortizer = amortizer_of(c);
  const Batch batch = test_batch(c, 4);
  amortizer.build(batch, 3);
  Rng rng(3);
  for (std::size_t i = 0; i < amortizer.store().table().size(); ++i)
    for (float& w : amortizer.store().value(static_cast<int>(i))) w += static_cast<float>(rng.normal(0.0, 0.1));
  save_amortizer(amortizer, folder / "model.h5");
  const Amortizer loaded = detail::single_of(detail::load_model(folder / "model.h5", {}, c.kind), *c.kind);
  EXPECT_EQ(loaded.inference_net().to_string(), amortizer.inference_net().to_string());
  EXPECT_EQ(detail::architecture_of(loaded), detail::architecture_of(amortizer));
  EXPECT_TRUE(support::answers(loaded, batch) == support::answers(amortizer, batch));
  EXPECT_EQ(loaded.compute_loss(batch).total(), amortizer.compute_loss(batch).total());
}

TEST_P(AllInferenceNetworksTraining, FilesOfOtherWeightsAreRefused) {
  const TemporaryFolder folder;
  const InferenceCase& c = GetParam();
  Amortizer amortizer = amortizer_of(c);
  amortizer.build(test_batch(c, 4), 3);
  EXPECT_NO_THROW(save_amortizer(amortizer, folder / "model.h5"));
  // The same file with another first weight, and its own checksum as it was: either is found.
  EXPECT_NO_THROW((void)detail::load_model(folder / "model.h5", {}, c.kind));
  const std::filesystem::path path = folder / "model.h5";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(path) / 2));
  file.write("\x7f\x7f\x7f\x7f", 4);
  file.close();
  EXPECT_THROW((void)detail::load_model(path, {}, c.kind), IoError);
}

/// Every option of the network as something that it cannot be: an error, or another network, but nothing worse.
TEST_P(AllInferenceNetworksTraining, ForgedOptionsAreRefused) {
  const InferenceCase& c = GetParam();
  Amortizer amortizer = amortizer_of(c);
  amortizer.build(test_batch(c, 4), 3);
  const nlohmann::json whole = nlohmann::json::parse(detail::architecture_of(amortizer));
  constexpr std::int64_t kMostValues = 100000;
  const auto outcome = [&](const nlohmann::json& forged) {
    try {
      detail::Described described = detail::from_architecture(forged.dump(), {}, 100, kMostValues, c.kind);
      described.build(kMostValues);
    } catch (const std::exception& error) {
      EXPECT_GT(std::string(error.what()).size(), 5U);
      return false;
    }
    return true;
  };
  ASSERT_TRUE(outcome(whole));
  int tried = 0;
  const std::vector<nlohmann::json> values = {
      -1, 0, 1000000000000, 1e300, -0.5, "nonsense", nullptr, nlohmann::json::array(), nlohmann::json::object(), true};
  const nlohmann::json flat = whole.at("inference_net").flatten();
  for (const auto& [place, value] : flat.items()) {
    nlohmann::json without = whole;
    const nlohmann::json::json_pointer at("/inference_net" + place);
    for (const nlohmann::json& other : values) {
      nlohmann::json forged = whole;
      forged[at] = other;
      const bool taken = outcome(forged);
      const bool never = other.is_object() || (other == "nonsense" && at.back() != "name");
      EXPECT_FALSE(taken && never) << place << " = " << other;
      ++tried;
    }
    if (at.back().find_first_not_of("0123456789") == std::string::npos) continue;  // an entry of a list
    without[at.parent_pointer()].erase(at.back());
    constexpr std::string_view kLater[] = {"use_bias", "bias_initializer", "location_scale", "scale_gain",
                                           "coupling", "condition_weight", "tolerance",      "trace_probes"};
    const bool has_default = std::ranges::find(kLater, at.back()) != std::end(kLater);
    EXPECT_TRUE(has_default || !outcome(without)) << place << " is missing";
  }
  EXPECT_GT(tried, 50);
}

TEST_P(AllInferenceNetworksTraining, GoesOnBitForBit) {
  const TemporaryFolder folder;
  const InferenceCase& c = GetParam();
  const auto train = [&](const std::filesystem::path& checkpoints, int stop_after) {
    Amortizer amortizer = amortizer_of(c);
    int steps = 0;
    TrainerOptions options{.configurator = configurator_of(c), .seed = 11, .threads = 1};
    options.checkpoint_path = checkpoints;
    options.progress = [&](const Progress& p) {
      if (!p.epoch_done && ++steps == stop_after) std::raise(SIGINT);
      return Control::proceed;
    };
    Trainer trainer(amortizer, gaussian_model(c.width, 6), options);
    (void)trainer.train_online({.epochs = 2, .iterations_per_epoch = 3, .batch_size = 16});
    return weights(amortizer);
  };
  const std::vector<float> whole = train(folder / "whole", 0), stopped = train(folder / "parts", 4);
  EXPECT_FALSE(stopped == whole);
  EXPECT_TRUE(train(folder / "parts", 0) == whole);
}

/// Data unlike those of training are told of by every verb.
TEST_P(AllInferenceNetworksTraining, TellsOfForeignData) {
  const InferenceCase& c = GetParam();
  Amortizer amortizer = amortizer_of(c);
  Trainer trainer(amortizer, gaussian_model(c.width, 6), {.configurator = configurator_of(c), .seed = 11, .threads = 1});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 20, .batch_size = 64});
  Batch far = test_batch(c, 4);
  far.update(roles::summary_conditions, [](Array& x) { x += 100.0; });
  const InferenceNetwork& net = amortizer.inference_net();
  std::vector<Foreign> found;
  if (net.has_outputs()) {
    (void)AmortizerAccess::outputs(amortizer, far, {.seed = 1, .foreign = &found});
    EXPECT_FALSE(found.empty()) << "outputs";
    std::vector<Foreign> none;
    (void)AmortizerAccess::outputs(amortizer, test_batch(c, 4), {.seed = 1, .foreign = &none});
    EXPECT_TRUE(none.empty()) << none[0].sentence;
  }
  if (net.has_density()) {
    found.clear();
    (void)AmortizerAccess::log_density(amortizer, far, &found);
    EXPECT_FALSE(found.empty()) << "density";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AllInferenceNetworksTraining, testing::ValuesIn(support::inference_cases()),
                         [](const auto& c) { return support::name_of(c.param); });

}  // namespace
}  // namespace bayesflow
