#include "bayesflow/simulation/generative_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <stdexcept>
#include <thread>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

Prior prior(PriorOptions options = {}) {
  return Prior([](Rng& rng) { return rng.normal({4}); }, std::move(options));
}
Simulator simulator(SimulatorOptions options = {}) {
  return Simulator([](const Array& theta, Rng& rng) { return rng.normal({50, 4}, theta); }, std::move(options));
}
ContextGenerator contexts() {
  return ContextGenerator(
      {.batchable = [](Rng& rng) { return rng.uniform({1}); }, .non_batchable = [](Rng& rng) { return Array::scalar(rng.uniform()); }});
}
GenerativeModel with_contexts() {
  return GenerativeModel(Prior([](const Context& c, Rng& rng) { return rng.normal({4}, c.non_batchable->item(), c.batchable->item()); },
                               {.context = contexts()}),
                         Simulator(
                             [](const Array& theta, const Context& c, Rng& rng) {
                               return rng.normal({9, 4}, theta, c.batchable->item());
                             },
                             {.context = contexts()}));
}

void expect_equal(const Simulations& a, const Simulations& b) {
  const auto fa = a.fields(), fb = b.fields();
  ASSERT_EQ(fa.size(), fb.size());
  for (std::size_t i = 0; i < fa.size(); ++i) {
    EXPECT_EQ(fa[i].name, fb[i].name);
    EXPECT_EQ(*fa[i].values, *fb[i].values) << fa[i].name;
  }
}

TEST(GenerativeModel, ReportsThePilotRuns) {
  std::vector<std::string> logged;
  GenerativeModelOptions options;
  options.logger = [&](LogLevel level, std::string_view line) {
    EXPECT_EQ(level, LogLevel::info);
    logged.emplace_back(line);
  };
  const GenerativeModel model(prior(), simulator(), options);
  const std::vector<std::string> expected = {
      "Performing 2 pilot runs with the anonymous model...",
      "Shape of parameter batch after 2 pilot simulations: (batch_size = 2, 4)",
      "Shape of simulation batch after 2 pilot simulations: (batch_size = 2, 50, 4)",
  };
  EXPECT_EQ(logged, expected);
  EXPECT_EQ(model.pilot_report(), expected);
}

TEST(GenerativeModel, ReportsTheShapesOfContexts) {
  const GenerativeModel model = with_contexts();
  const std::vector<std::string>& report = model.pilot_report();
  ASSERT_EQ(report.size(), 7U);
  EXPECT_EQ(report[3], "Shape of prior non-batchable context: ()");
  EXPECT_EQ(report[4], "Shape of prior batchable context: (2, 1)");
  EXPECT_EQ(report[5], "Shape of simulation non-batchable context: ()");
  EXPECT_EQ(report[6], "Shape of simulation batchable context: (2, 1)");
}

TEST(GenerativeModel, SkippingTheTestCallsNothing) {
  int calls = 0;
  const Prior counting([&](Rng& rng) {
    ++calls;
    return rng.normal({4});
  });
  const GenerativeModel skipped(counting, simulator(), {.skip_test = true});
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(skipped.pilot_report().empty());
  const GenerativeModel tested(counting, simulator());
  EXPECT_EQ(calls, 2);
}

TEST(GenerativeModel, WrapsFailuresOfThePilotRuns) {
  const Prior bad_prior([](Rng&) -> Array { throw std::runtime_error("boom"); });
  EXPECT_EQ(sentence<ConfigurationError>([&] { GenerativeModel model(bad_prior, simulator(), {.name = "decay"}); }),
            "GenerativeModel \"decay\": the pilot runs failed: prior: simulation 0 failed: boom");
  const Simulator bad_simulator([](const Array&, Rng&) -> Array { throw std::runtime_error("boom"); });
  const Prior one([](Rng&) { return 1.5; });
  EXPECT_EQ(sentence<ConfigurationError>([&] { GenerativeModel model(one, bad_simulator); }),
            "GenerativeModel \"anonymous\": the pilot runs failed: simulator: simulation 0 with parameters [1.5] failed: boom");
  const ContextGenerator bad_context({.batchable = [](Rng&) -> Array { throw std::runtime_error("boom"); }});
  EXPECT_EQ(sentence<ConfigurationError>([&] { GenerativeModel model(one, simulator({.context = bad_context})); }),
            "GenerativeModel \"anonymous\": the pilot runs failed: simulator: batchable context: simulation 0 failed: boom");
}

Simulations make_batch(const BatchRequest& request) {
  Simulations out;
  out.prior_draws = Array({request.batch_size, 4});
  for (std::int64_t i = 0; i < request.batch_size; ++i) {
    Rng rng = request.streams.branch("prior").at(request.first_index + static_cast<std::uint64_t>(i));
    out.prior_draws.set_row(i, rng.normal({4}));
  }
  out.sim_data = 2.0 * out.prior_draws;
  out.sim_non_batchable_context =
      request.sim_non_batchable_context ? *request.sim_non_batchable_context : Array::scalar(static_cast<double>(request.first_index));
  return out;
}

TEST(GenerativeModel, MayBeABatchFunction) {
  const GenerativeModel model(make_batch, {.param_names = {"a", "b", "c", "d"}, .one_context_per_batch = true, .depends_on_batch = false},
                              {.name = "foreign", .seed = 3});
  EXPECT_EQ(model.param_names().size(), 4u);
  EXPECT_TRUE(model.has_non_batchable_context());
  EXPECT_FALSE(model.depends_on_batch());
  EXPECT_FALSE(model.simulates_on_all_threads());
  EXPECT_EQ(model.pilot_report().at(1), "Shape of parameter batch after 2 pilot simulations: (batch_size = 2, 4)");
  const Simulations all = model.simulate(5, 3, "model", 0), last = model.simulate(2, 3, "model", 3);
  EXPECT_EQ(all.prior_draws.slice(3, 5), last.prior_draws);
  EXPECT_EQ(last.sim_non_batchable_context->item(), 3.0);
  EXPECT_NE(sentence<ConfigurationError>([&] { (void)model.prior(); }).find("batch function"), std::string::npos);
}

TEST(GenerativeModel, RefusesWhatIsNoBatch) {
  const auto model = [](auto change) {
    return GenerativeModel(
        [change](const BatchRequest& request) {
          Simulations out = make_batch(request);
          change(out);
          return out;
        },
        {}, {.skip_test = true});
  };
  EXPECT_NE(sentence<SimulationError>([&] {
              (void)model([](Simulations& s) { s.sim_data = Array({3, 4}); }).simulate(2, 0, "x", 0);
            }).find("simulator"),
            std::string::npos);
  EXPECT_NE(sentence<SimulationError>([&] {
              (void)model([](Simulations& s) { s.prior_batchable_context = Array({3, 1}); }).simulate(2, 0, "x", 0);
            }).find("prior_batchable_context must have 2 rows"),
            std::string::npos);
  EXPECT_NE(sentence<SimulationError>([&] {
              (void)model([](Simulations& s) { s.sim_data(1, 2) = std::nan(""); }).simulate(2, 0, "x", 7);
            }).find("simulation 8"),
            std::string::npos);
  EXPECT_NE(sentence<SimulationError>([&] {
              (void)model([](Simulations&) { throw std::runtime_error("boom"); }).simulate(2, 0, "x", 0);
            }).find("boom"),
            std::string::npos);
}

TEST(GenerativeModel, RedrawsOfABatchFunctionKeepItsContext) {
  const GenerativeModel model(
      [](const BatchRequest& request) {
        Simulations out = make_batch(request);
        if (!request.sim_non_batchable_context) out.sim_data(0, 0) = std::nan("");
        return out;
      },
      {}, {.skip_test = true});
  NonFiniteCount count;
  const Simulations out = model.simulate(4, 0, "x", 5, nullptr, {.action = NonFinite::redraw, .max_share = 0.5}, count);
  EXPECT_EQ(count.redrawn, 1);
  EXPECT_EQ(count.simulated, 5);
  EXPECT_TRUE(out.sim_data.all_finite());
  EXPECT_EQ(out.sim_non_batchable_context->item(), 5.0);
}

TEST(GenerativeModel, NeedsOneNamePerParameter) {
  EXPECT_EQ(sentence<ConfigurationError>([] {
              GenerativeModel model(prior({.param_names = {"a", "b"}}), simulator());
            }),
            "GenerativeModel \"anonymous\": param_names must hold one name per parameter (4); got 2");
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  EXPECT_EQ(GenerativeModel(prior({.param_names = names}), simulator()).param_names(), names);
}

TEST(GenerativeModel, CallsContinueOneAnother) {
  const GenerativeModel model(prior(), simulator(), {.seed = 12, .threads = 2});
  const Simulations first = model(3), second = model(5);
  expect_equal(first, model.simulate(3, 12, "model", 0));
  expect_equal(second, model.simulate(5, 12, "model", 3));
  const GenerativeModel again(prior(), simulator(), {.seed = 12, .threads = 1});
  expect_equal(again(3), first);
}

TEST(GenerativeModel, CopiesShareTheSequence) {
  const GenerativeModel model(prior(), simulator(), {.seed = 12, .threads = 1});
  const GenerativeModel copy = model;
  (void)model(4);
  expect_equal(copy(2), model.simulate(2, 12, "model", 4));
}

TEST(GenerativeModel, ConcurrentCallsTakeDisjointSimulations) {
  const GenerativeModel model(prior(), simulator(), {.threads = 2});
  std::vector<Simulations> got(6);
  {
    std::vector<std::jthread> callers;
    for (std::size_t i = 0; i < got.size(); ++i) callers.emplace_back([&, i] { got[i] = model(8); });
  }
  std::set<double> firsts, expected;
  for (const Simulations& s : got)
    for (int i = 0; i < 8; ++i) firsts.insert(s.prior_draws(i, 0));
  const Array all = model.simulate(48, 0, "model", 0).prior_draws;
  for (int i = 0; i < 48; ++i) expected.insert(all(i, 0));
  EXPECT_EQ(firsts, expected);
}

TEST(GenerativeModel, NumbersDoNotDependOnThreads) {
  const GenerativeModel model = with_contexts();
  const Simulations serial = model.simulate(33, 4, "training", 64);
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    expect_equal(model.simulate(33, 4, "training", 64, &pool), serial);
  }
}

TEST(GenerativeModel, SeedPurposeAndIndexNameTheSimulations) {
  const GenerativeModel model = with_contexts();
  const Simulations base = model.simulate(2, 4, "training", 0);
  EXPECT_NE(model.simulate(2, 5, "training", 0).prior_draws, base.prior_draws);
  EXPECT_NE(model.simulate(2, 4, "validation", 0).prior_draws, base.prior_draws);
  EXPECT_NE(model.simulate(2, 4, "training", 2).prior_draws, base.prior_draws);
  expect_equal(model.simulate(2, 4, "training", 0), base);
}

// The same generator in both places, and the same function of the stream as prior and simulator: still other numbers.
TEST(GenerativeModel, ContextsPriorAndSimulatorHaveIndependentStreams) {
  const auto draw = [](Rng& rng) { return rng.uniform({1}); };
  const ContextGenerator both({.batchable = draw, .non_batchable = draw});
  const GenerativeModel model(Prior([=](const Context&, Rng& rng) { return draw(rng); }, {.context = both}),
                              Simulator([=](const Array&, const Context&, Rng& rng) { return draw(rng); }, {.context = both}));
  const Simulations s = model.simulate(1, 0, "training", 0);
  std::set<double> values;
  for (const Simulations::Field& f : s.fields()) values.insert(f.values->item());
  EXPECT_EQ(values.size(), 6U);
}

TEST(GenerativeModel, TheNumberOfObservationsVariesBetweenBatches) {
  const ContextGenerator n({.non_batchable = [](Rng& rng) { return Array::scalar(static_cast<double>(rng.integers(10, 60))); }});
  const GenerativeModel model(prior(), Simulator(
                                           [](const Array& theta, const Context& c, Rng& rng) {
                                             return rng.normal({static_cast<std::int64_t>(c.non_batchable->item()), 4}, theta);
                                           },
                                           {.context = n}));
  std::set<std::int64_t> lengths;
  for (std::uint64_t step = 0; step < 10; ++step) {
    const Simulations s = model.simulate(4, 0, "training", 4 * step);
    EXPECT_EQ(static_cast<double>(s.sim_data.dim(1)), s.sim_non_batchable_context->item());
    lengths.insert(s.sim_data.dim(1));
  }
  EXPECT_GT(lengths.size(), 3U);
}

TEST(GenerativeModel, RejectsAnEmptyBatch) {
  const GenerativeModel model(prior(), simulator());
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)model(0); }), "GenerativeModel: batch_size must be at least 1; got 0");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)model.simulate(-1, 0, "training", 0); }),
            "GenerativeModel: batch_size must be at least 1; got -1");
}

TEST(GenerativeModel, AFailedCallLeavesTheModelUsable) {
  const Simulator picky([](const Array& theta, Rng&) -> Array {
    if (theta(0) > 3.0) throw std::runtime_error("boom");
    return theta;
  });
  const GenerativeModel model(Prior([](Rng& rng) { return rng.uniform({1}, 0.0, 3.5); }), picky, {.threads = 2, .skip_test = true});
  EXPECT_THROW((void)model(200), SimulationError);
  int good = 0;
  for (int i = 0; i < 50; ++i) {
    try {
      (void)model(1);
      ++good;
    } catch (const SimulationError&) {
    }
  }
  EXPECT_GT(good, 20);
}

}  // namespace
}  // namespace bayesflow
