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
    Trainer trainer(amortizer, model, {.configurator = support::summary_configurator(GetParam()), .seed = 11, .threads = threads});
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
  Batch batch = support::with_sources(c, {{roles::parameters, rng.normal({4, 2})}, {roles::summary_conditions, c.data(4, 6)}});
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
  batch = support::with_sources(c, batch);
  same();
}

TEST_P(AllSummaryNetworksTraining, GoesOnBitForBit) {
  const TemporaryFolder folder;
  const GenerativeModel model = support::summary_model(GetParam());
  const auto train = [&](const std::filesystem::path& checkpoints, int stop_after) {
    AmortizedPosterior amortizer = amortizer_of(GetParam());
    int steps = 0;
    TrainerOptions options{.configurator = support::summary_configurator(GetParam()), .seed = 11, .threads = 1};
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
      described.build(max_values);
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

TEST(GraphFiles, RefuseLayersThatMakeNoSense) {
  AmortizedPosterior amortizer(tiny_flow(2), support::graph_of_layers());
  Rng rng(3);
  amortizer.build({{roles::parameters, rng.normal({4, 2})}, {roles::summary_conditions, rng.normal({4, 5, 3})}});
  const std::string text = detail::architecture_of(amortizer);
  const auto refusal = [&](const std::string& from, const std::string& to, std::int64_t max_values = 1000000) {
    std::string forged = text;
    EXPECT_NE(forged.find(from), std::string::npos) << from << " is not in " << text;
    forged.replace(forged.find(from), from.size(), to);
    try {
      detail::Described described = detail::from_architecture(forged, {}, 100, max_values);
      described.build(max_values);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const auto expect = [](const std::string& said, const std::string& part) { EXPECT_NE(said.find(part), std::string::npos) << said; };
  EXPECT_EQ(refusal("\"gru\"", "\"lstm\""), "nothing");
  expect(refusal("\"gru\"", "\"rnn\""), "cell is \"rnn\"");
  expect(refusal("\"dilation\": 2", "\"dilation\": 1000000000000"), "dilation is 1000000000000");
  expect(refusal("\"dilation\": 2", "\"dilation\": 900000"), "spans more than");
  expect(refusal("\"rows\": 3", "\"rows\": 1000000000000"), "rows is 1000000000000");
  expect(refusal("\"rows\": 3", "\"rows\": 900000"), "wider than its weights allow");
  expect(refusal("\"num_heads\": 2", "\"num_heads\": 900000"), "more than");
  expect(refusal("\"reverse\": true", "\"reverse\": true, \"other\": 1"), "options that this library does not know");
  expect(refusal("\"class\": \"DeepSet\"", "\"class\": \"Unknown\""), "options that this library does not know");
  expect(refusal("\"layer\": \"norm\"", "\"layer\": \"conv\""), "no layer of that name for layer_norm");
}

/// A set, padded, and a table of the same data sets.
Batch two_sources(std::uint64_t seed, std::int64_t sets = 40, double observations = 6) {
  Rng rng(seed);
  Array x({sets, 8, 1}, 1e6), mask({sets, 8}, 0.0), table = rng.normal({sets, 3});
  for (std::int64_t b = 0; b < sets; ++b)
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(observations) - b % 3; ++i) {
      x(b, i, 0) = rng.normal();
      mask(b, i) = 1;
    }
  return {{roles::parameters, rng.normal({sets, 2})},
          {"summary_conditions.set", x},
          {"summary_mask.set", mask},
          {"summary_conditions.table", table}};
}
GraphNetwork for_tables() {
  return GraphNetwork(
      {.layers = {{"last", {.units = 4}}}, .nodes = {{.name = "last", .op = GraphOp::dense, .sources = {"data"}, .layer = "last"}}});
}
FusionNetwork set_and_table() { return FusionNetwork({.sources = {"set", "table"}, .networks = {support::tiny_set(), for_tables()}}); }

TEST(Fusion, SourcesHaveShapesOfTheirOwn) {
  const TemporaryFolder folder;
  AmortizedPosterior amortizer(tiny_flow(2), set_and_table());
  const Batch batch = two_sources(1);
  amortizer.build(batch);
  Rng rng(2);
  for (std::size_t i = 0; i < amortizer.store().table().size(); ++i)
    for (float& w : amortizer.store().value(static_cast<int>(i))) w += static_cast<float>(rng.normal(0.0, 0.1));
  const Array draws = amortizer.sample(batch, 10, {.seed = 1});
  Batch changed = batch;
  changed.update("summary_conditions.table", [](Array& x) { x += 1.0; });
  EXPECT_FALSE(amortizer.sample(changed, 10, {.seed = 1}) == draws);
  changed = batch;
  changed.update("summary_conditions.set", [](Array& x) { x(0, 0, 0) += 1; });
  const Array other = amortizer.sample(changed, 10, {.seed = 1});
  EXPECT_FALSE(other.row(0) == draws.row(0));
  EXPECT_TRUE(other.row(1) == draws.row(1));
  save_amortizer(amortizer, folder / "model.h5");
  EXPECT_TRUE(load_amortizer(folder / "model.h5").sample(batch, 10, {.seed = 1}) == draws);
}

TEST(Fusion, SaysWhichSourceIsWrong) {
  const auto said = [](const std::function<void(Batch&)>& change, bool built = false) {
    AmortizedPosterior amortizer(tiny_flow(2), set_and_table());
    Batch batch = two_sources(1);
    if (built) amortizer.build(batch);
    change(batch);
    try {
      amortizer.build(batch);
      (void)amortizer.summary(batch);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const auto expect = [](const std::string& text, const char* part) { EXPECT_NE(text.find(part), std::string::npos) << text; };
  EXPECT_EQ(said([](Batch&) {}), "nothing");
  for (const bool built : {false, true}) {
    expect(said([](Batch& b) { b.set("summary_conditions.table", {}); }, built), "no summary_conditions.table");
    expect(said(
               [](Batch& b) {
                 b.set("summary_mask.table", Array({40, 3}, 1.0));
               },
               built),
           "summary_mask.table of shape (40, 3) does not go with");
    expect(said([](Batch& b) { b.set("summary_mask.set", Array({40, 5}, 1.0)); }, built), "summary_mask.set of shape (40, 5)");
    expect(said(
               [](Batch& b) {
                 b.set("summary_times.set", Array({40, 8}, 1.0));
               },
               built),
           "of that source does not read a summary_times.set");
  }
  expect(said([](Batch& b) { b.set("summary_conditions.table", Array({40, 4}, 1.0)); }, true), "the source table: GraphNetwork: was built");
  expect(said([](Batch& b) { b.set("summary_conditions.image", Array({40, 4}, 1.0)); }), "reads no summary_conditions.image; it reads");
  expect(said([](Batch& b) { b.set(roles::summary_conditions, Array({40, 4}, 1.0)); }), "reads no summary_conditions; it reads");
  const auto refused = [](FusionOptions options) {
    try {
      const FusionNetwork net(std::move(options));
    } catch (const ConfigurationError& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const DeepSet set = support::tiny_set();
  EXPECT_EQ(refused({.sources = {std::string(28, 'a')}, .networks = {set}}), "nothing");
  const std::string longest(28, 'a');
  EXPECT_EQ(RoleName(roles::of_source(roles::summary_conditions, longest)).str().size(), RoleName::kMost);
  expect(refused({.sources = {longest + "a"}, .networks = {set}}), "1 to 28 letters");
  expect(refused({.sources = {"a b"}, .networks = {set}}), "\"a b\"; a name has");
  expect(refused({.sources = {"a", "a"}, .networks = {set, set}}), "are both \"a\"");
  expect(refused({.sources = {"a"}, .networks = {set, set}}), "1 sources for 2 networks");
  expect(refused({.sources = {"a"}, .networks = {set_and_table()}}), "reads several sources");
  expect(refused({.sources = {"a"}, .networks = {set}, .merge = FusionMergeOptions{.summary_dim = 0}}), "merge::summary_dim = 0");
  expect(refused({.sources = std::vector<std::string>(9, "a"), .networks = std::vector<SummaryPart>(9, set)}), "there may be 8");
}

TEST(Fusion, WhatWasSeenIsThatOfEachSource) {
  SeenData seen;
  for (std::uint64_t i = 0; i < 5; ++i) seen.add(two_sources(i));
  EXPECT_EQ(seen.sizes_of("summary_conditions.set"), (SeenData::Sizes{{4, 6}}));
  EXPECT_LT(seen.of("summary_conditions.set")[0].high, 10) << "padding of 1e6 is left out";
  EXPECT_TRUE(seen.of("summary_mask.set").empty());
  EXPECT_TRUE(compare(seen, two_sources(9)).empty());
  const auto one = [&](const Batch& batch) {
    const std::vector<Foreign> found = compare(seen, batch);
    return found.empty() ? std::string("nothing") : found.front().sentence;
  };
  EXPECT_NE(one(two_sources(9, 40, 8)).find("Observations per data set of set: 8, in training 4 to 6"), std::string::npos);
  Batch strange = two_sources(9);
  strange.update("summary_conditions.table", [](Array& x) { x *= 100.0; });
  EXPECT_NE(one(strange).find("of summary_conditions.table"), std::string::npos) << one(strange);

  const TemporaryFolder folder;
  AmortizedPosterior amortizer(tiny_flow(2), set_and_table());
  amortizer.build(two_sources(1));
  amortizer.set_seen(seen);
  save_amortizer(amortizer, folder / "model.h5");
  const auto loaded = load_amortizer(folder / "model.h5").seen();
  EXPECT_EQ(loaded->sizes, seen.sizes);
  EXPECT_EQ(loaded->of("summary_conditions.set")[0].high, seen.of("summary_conditions.set")[0].high);
}

INSTANTIATE_TEST_SUITE_P(Cases, AllSummaryNetworksTraining, testing::ValuesIn(support::summary_cases()),
                         [](const auto& c) { return support::name_of(c.param); });

}  // namespace
}  // namespace bayesflow
