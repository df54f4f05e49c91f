/// Training and files of every summary network: all classes of the registry, by the cases of support/summary_cases.hpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <string>

#include "amortizers/architecture.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "io/support_files.hpp"
#include "training/support_summary_models.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

using support::SummaryCase;

AmortizedPosterior amortizer_of(const SummaryCase& c, int threads = 1) { return {tiny_flow(2), c.make().shared(), {.threads = threads}}; }

class AllSummaryNetworksTraining : public testing::TestWithParam<SummaryCase> {};

TEST_P(AllSummaryNetworksTraining, SameBitsForAnyNumberOfThreads) {
  const GenerativeModel model = support::summary_model(GetParam());
  const auto trained = [&](int threads) {
    AmortizedPosterior amortizer = amortizer_of(GetParam(), threads);
    Trainer trainer(amortizer, model, {.seed = 11, .threads = threads});
    const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 3, .batch_size = 150});
    EXPECT_TRUE(std::isfinite(run.history.steps.back().losses.total()));
    const Array draws = amortizer.sample(trainer.configure(model.simulate(3, 1, "test", 0)), 300, {.seed = 0});
    std::vector<double> out(draws.data(), draws.data() + draws.size());
    for (const float w : weights_of(amortizer)) out.push_back(static_cast<double>(w));
    return out;
  };
  const std::vector<double> one = trained(1);
  EXPECT_TRUE(trained(2) == one) << "two threads";
  EXPECT_TRUE(trained(4) == one) << "four threads";
}

TEST_P(AllSummaryNetworksTraining, FilesGiveTheSameDraws) {
  const TemporaryFolder folder;
  const SummaryCase& c = GetParam();
  AmortizedPosterior amortizer = amortizer_of(c);
  Rng rng(3, "parameters");
  Batch batch{{roles::parameters, rng.normal({4, 2})}, {roles::summary_conditions, c.data(4, 6)}};
  amortizer.build(batch);
  for (std::size_t i = 0; i < amortizer.store().table().size(); ++i)
    for (float& w : amortizer.store().value(static_cast<int>(i))) w += static_cast<float>(rng.normal(0.0, 0.1));
  save_amortizer(amortizer, folder / "model.h5");
  const AmortizedPosterior loaded = load_amortizer(folder / "model.h5");
  EXPECT_EQ(loaded.summary_net()->to_string(), amortizer.summary_net()->to_string());
  EXPECT_EQ(detail::architecture_of(loaded), detail::architecture_of(amortizer));
  const auto same = [&] {
    EXPECT_TRUE(loaded.sample(batch, 20, {.seed = 5}) == amortizer.sample(batch, 20, {.seed = 5}));
    EXPECT_TRUE(loaded.log_posterior(batch) == amortizer.log_posterior(batch));
  };
  same();
  Array mask(c.shape(4, 6).slice(0, -1), 1.0);
  for (std::int64_t i = 5; i < mask.size(); i += 6) mask.data()[i] = 0;
  batch.set(roles::summary_mask, mask);
  same();
}

TEST_P(AllSummaryNetworksTraining, GoesOnBitForBit) {
  const TemporaryFolder folder;
  const GenerativeModel model = support::summary_model(GetParam());
  const auto train = [&](const std::filesystem::path& checkpoints, int stop_after) {
    AmortizedPosterior amortizer = amortizer_of(GetParam());
    int steps = 0;
    TrainerOptions options{.seed = 11, .threads = 1};
    options.checkpoint_path = checkpoints;
    options.progress = [&](const Progress& p) {
      if (!p.epoch_done && ++steps == stop_after) std::raise(SIGINT);
      return Control::proceed;
    };
    Trainer trainer(amortizer, model, options);
    (void)trainer.train_online({.epochs = 2, .iterations_per_epoch = 3, .batch_size = 16});
    return weights_of(amortizer);
  };
  const std::vector<float> whole = train(folder / "whole", 0), stopped = train(folder / "parts", 4);
  EXPECT_FALSE(stopped == whole);
  EXPECT_TRUE(train(folder / "parts", 0) == whole);
}

HierarchicalNetwork with_own_part() { return HierarchicalNetwork({.networks = {support::tiny_set(), support::OwnMeans()}}); }

TEST(CompositeFiles, OneWithAnOwnPartIsAnOwnClass) {
  const TemporaryFolder folder;
  AmortizedPosterior amortizer(tiny_flow(2), with_own_part());
  Rng rng(3);
  const Batch batch{{roles::parameters, rng.normal({4, 2})}, {roles::summary_conditions, rng.normal({4, 3, 5, 2})}};
  amortizer.build(batch);
  save_amortizer(amortizer, folder / "model.h5");
  try {
    (void)load_amortizer(folder / "model.h5");
    ADD_FAILURE() << "loaded without its code";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("give it as LoadAmortizerOptions::summary_net"), std::string::npos) << error.what();
  }
  const AmortizedPosterior loaded =
      load_amortizer(folder / "model.h5", {.summary_net = [] { return std::make_shared<HierarchicalNetwork>(with_own_part()); }});
  EXPECT_TRUE(loaded.sample(batch, 20, {.seed = 5}) == amortizer.sample(batch, 20, {.seed = 5}));
}

TEST(CompositeNetworks, AnOwnPartBelongsToOneAmortizer) {
  const auto own = std::make_shared<support::OwnMeans>();
  const HierarchicalNetwork net({.networks = {support::tiny_set(), own}});  // copies have a deep set each, and share the own part
  AmortizedPosterior first(tiny_flow(2), net), second(tiny_flow(2), net);
  Rng rng(3);
  const Batch batch{{roles::parameters, rng.normal({4, 2})}, {roles::summary_conditions, rng.normal({4, 3, 5, 2})}};
  first.build(batch);
  try {
    second.build(batch);
    ADD_FAILURE() << "built twice";
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find("was built by another amortizer"), std::string::npos) << error.what();
  }
  const HierarchicalNetwork known({.networks = {support::tiny_set(), support::tiny_set()}});
  AmortizedPosterior third(tiny_flow(2), known), fourth(tiny_flow(2), known);
  third.build(batch);
  EXPECT_NO_THROW(fourth.build(batch));
}

TEST(CompositeFiles, RefusesWhatMakesNoSense) {
  AmortizedPosterior amortizer(tiny_flow(2), HierarchicalNetwork({.networks = {support::tiny_set(), support::tiny_graph()}}));
  Rng rng(3);
  amortizer.build({{roles::parameters, rng.normal({4, 2})}, {roles::summary_conditions, rng.normal({4, 3, 5, 2})}});
  const std::string text = detail::architecture_of(amortizer);
  const auto refusal = [&](const std::string& from, const std::string& to, std::int64_t max_values = 1000000) {
    std::string forged = text;
    EXPECT_NE(forged.find(from), std::string::npos) << from << " is not in " << text;
    forged.replace(forged.find(from), from.size(), to);
    try {
      detail::Described described = detail::from_architecture(forged, {}, 100, max_values);
      described.amortizer.store().set_limit(max_values);
      described.amortizer.build(described.built_for);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const auto expect = [](const std::string& said, const std::string& part) { EXPECT_NE(said.find(part), std::string::npos) << said; };
  expect(refusal("\"tanh\"", "\"relu\""), "nothing");
  expect(refusal("\"DeepSet\"", "\"Unknown\""), "options that this library does not know");
  expect(refusal("\"GraphNetwork\"", "\"own\""), "options that this library does not know");
  expect(refusal("\"units\": 6", "\"units\": 600000"), "more than");
  // A hierarchy in a hierarchy, and so on, is no reason to run out of memory.
  std::string deep = R"({"class": "DeepSet", "options": 1})";
  for (int i = 0; i < 100000; ++i) deep = R"({"class": "HierarchicalNetwork", "options": {"networks": [)" + std::move(deep) + "]}}";
  const std::size_t at = text.find("\"summary_net\": ");
  const std::string last = text.substr(at);
  expect(refusal(last, "\"summary_net\": " + deep + ", \"summary_mmd_weight\": 0.0}"), "too deep");
}

INSTANTIATE_TEST_SUITE_P(Cases, AllSummaryNetworksTraining, testing::ValuesIn(support::summary_cases()),
                         [](const auto& c) { return support::name_of(c.param); });

}  // namespace
}  // namespace bayesflow
