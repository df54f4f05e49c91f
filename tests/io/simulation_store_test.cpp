#include "bayesflow/simulation/simulation_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "io/support_files.hpp"
#include "io/support_models.hpp"

namespace bayesflow {
namespace {

void expect_same(const Simulations& a, const Simulations& b) {
  const auto x = a.fields(), y = b.fields();
  ASSERT_EQ(x.size(), y.size());
  for (std::size_t f = 0; f < x.size(); ++f) {
    EXPECT_EQ(x[f].name, y[f].name);
    EXPECT_EQ(x[f].role, y[f].role) << x[f].name;
    EXPECT_EQ(*x[f].values, *y[f].values) << x[f].name;
  }
}

TEST(Presimulate, StoresWhatTheModelMakes) {
  const TemporaryFolder folder;
  const GenerativeModel model = gaussian_model({.name = "means"});
  const PresimulationSummary summary = model.presimulate(folder / "simulations.h5", 1000, {.seed = 3});
  EXPECT_EQ(summary.simulations, 1000);
  EXPECT_EQ(summary.found, 0);
  EXPECT_TRUE(summary.completed);
  EXPECT_EQ(summary.file_bytes, std::filesystem::file_size(folder / "simulations.h5"));
  const SimulationStore store(folder / "simulations.h5");
  EXPECT_EQ(store.info().model_name, "means");
  EXPECT_EQ(store.info().param_names, (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(store.info().seed, 3U);
  EXPECT_EQ(store.size(), 1000);
  EXPECT_EQ(store.info().reserved, 1000);
  EXPECT_FALSE(store.info().one_context_per_batch);
  expect_same(store.read(), model.simulate(1000, 3, "presimulation", 0));
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(Presimulate, IsTheSameFileForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  const GenerativeModel model = gaussian_model();
  model.presimulate(folder / "one.h5", 700, {.threads = 1});
  model.presimulate(folder / "three.h5", 700, {.threads = 3});
  EXPECT_TRUE(contents(folder / "one.h5") == contents(folder / "three.h5"));
}

TEST(Presimulate, PartsBecomeTheFileOfOneProcess) {
  for (const GenerativeModel& model : {gaussian_model(), varying_model(), further_model(true)}) {
    const TemporaryFolder folder;
    model.presimulate(folder / "whole.h5", 500, {.batch_size = 32});
    std::vector<std::filesystem::path> parts;
    for (const std::uint64_t first : {256U, 0U, 384U}) {
      parts.push_back(folder / ("part" + std::to_string(first) + ".h5"));
      PresimulateOptions options{.batch_size = 32, .first = first};
      const std::int64_t n = first == 0 ? 256 : first == 256 ? 128 : 116;
      options.progress = [](const PresimulationProgress& p) { return p.done < 64; };  // interrupted, and gone on with
      model.presimulate(parts.back(), n, options);
      EXPECT_THROW((void)join_simulations(parts, folder / "joined.h5"), IoError);
      EXPECT_FALSE(std::filesystem::exists(folder / "joined.h5"));
      options.progress = {};
      model.presimulate(parts.back(), n, options);
    }
    EXPECT_EQ(join_simulations(parts, folder / "joined.h5"), 500);
    EXPECT_TRUE(contents(folder / "joined.h5") == contents(folder / "whole.h5"));
    EXPECT_THROW((void)join_simulations({parts[0], parts[1], parts[1]}, folder / "other.h5"), IoError);
    EXPECT_THROW((void)join_simulations({}, folder / "other.h5"), ArgumentError);
  }
}

TEST(Presimulate, ContinuesWhereItStopped) {
  const TemporaryFolder folder;
  const GenerativeModel model = gaussian_model();
  model.presimulate(folder / "whole.h5", 1000, {.batch_size = 64});
  PresimulateOptions options{.batch_size = 64};
  options.progress = [](const PresimulationProgress& p) { return p.done < 300; };
  const PresimulationSummary part = model.presimulate(folder / "parts.h5", 1000, options);
  EXPECT_FALSE(part.completed);
  EXPECT_EQ(part.simulations, 320);
  {
    const SimulationStore store(folder / "parts.h5");
    EXPECT_EQ(store.size(), 320);
    EXPECT_EQ(store.info().reserved, 1000);
    expect_same(store.read(), model.simulate(320, 0, "presimulation", 0));
  }
  const PresimulationSummary rest = model.presimulate(folder / "parts.h5", 1000);  // the batch size is the file's
  EXPECT_EQ(rest.found, 320);
  EXPECT_EQ(rest.simulations, 1000);
  EXPECT_TRUE(contents(folder / "whole.h5") == contents(folder / "parts.h5"));
  EXPECT_EQ(model.presimulate(folder / "parts.h5", 1000).found, 1000);
  EXPECT_TRUE(contents(folder / "whole.h5") == contents(folder / "parts.h5"));
}

TEST(Presimulate, GrowsBeyondItsFormerSize) {
  const TemporaryFolder folder;
  const GenerativeModel model = gaussian_model();
  const auto path = folder / "simulations.h5";
  for (const std::int64_t n : {10, 100, 1000, 500}) model.presimulate(path, n);
  const SimulationStore store(path);
  EXPECT_EQ(store.size(), 1000);
  EXPECT_EQ(store.info().reserved, 1000);
  expect_same(store.read(), model.simulate(1000, 0, "presimulation", 0));
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(Presimulate, KeepsContextsAndShapesThatVary) {
  const TemporaryFolder folder;
  const GenerativeModel model = varying_model();
  const auto path = folder / "simulations.h5";
  model.presimulate(path, 200, {.batch_size = 16});
  model.presimulate(path, 1000, {.batch_size = 16});
  const SimulationStore store(path);
  EXPECT_TRUE(store.info().one_context_per_batch);
  EXPECT_EQ(store.size(), 1000);
  std::uint64_t index = 0;
  std::set<std::int64_t> lengths;
  for (std::int64_t b = 0; b < store.batches(); ++b) {
    expect_same(store.batch(b), model.simulate(store.rows(b), 0, "presimulation", index));
    lengths.insert(store.batch(b).sim_data.dim(1));
    index += static_cast<std::uint64_t>(store.rows(b));
  }
  EXPECT_GT(lengths.size(), 10U);
  EXPECT_THROW((void)store.read(), ArgumentError);
}

TEST(Presimulate, StoresContextsOfEveryKind) {
  const TemporaryFolder folder;
  const ContextGenerator both({.batchable =
                                   [](Rng& rng) {
                                     return rng.normal({2, 3});
                                   },
                               .non_batchable = [](Rng& rng) { return Array::scalar(rng.normal()); }});
  const ContextGenerator one({.batchable = [](Rng& rng) { return Array({1}, rng.uniform()); }});
  const GenerativeModel model(Prior([](const Context& c, Rng& rng) { return rng.normal({2}, c.batchable->item()); }, {.context = one}),
                              Simulator(
                                  [](const Array& theta, const Context&, Rng& rng) {
                                    return rng.normal({3, 2}, theta);
                                  },
                                  {.context = both}));
  model.presimulate(folder / "s.h5", 50, {.batch_size = 20});
  const SimulationStore store(folder / "s.h5");
  for (std::int64_t b = 0; b < 3; ++b)
    expect_same(store.batch(b), model.simulate(b < 2 ? 20 : 10, 0, "presimulation", static_cast<std::uint64_t>(20 * b)));
}

TEST(Presimulate, StoresFurtherFields) {
  for (const bool varying : {false, true}) {
    const TemporaryFolder folder;
    const GenerativeModel model = further_model(varying);
    const PresimulateOptions options{.seed = 2, .batch_size = 8};
    model.presimulate(folder / "whole.h5", 60, options);
    model.presimulate(folder / "parts.h5", 20, options);
    model.presimulate(folder / "parts.h5", 60, options);
    PresimulateOptions stopped = options;
    stopped.progress = [](const PresimulationProgress& p) { return p.done < 30; };
    EXPECT_FALSE(model.presimulate(folder / "stopped.h5", 60, stopped).completed);
    model.presimulate(folder / "stopped.h5", 60, options);
    EXPECT_TRUE(contents(folder / "whole.h5") == contents(folder / "stopped.h5"));
    const SimulationStore whole(folder / "whole.h5"), parts(folder / "parts.h5");
    EXPECT_EQ(whole.info().format_version, 2U);
    ASSERT_EQ(whole.size(), 60);
    for (std::int64_t b = 0; b < whole.batches(); ++b) {
      const Simulations s = whole.batch(b);
      expect_same(s, model.simulate(whole.rows(b), 2, "presimulation", static_cast<std::uint64_t>(8 * b)));
      if (b < 2) expect_same(s, parts.batch(b));
      EXPECT_TRUE(s.prior_draws.empty());
      EXPECT_EQ(s.find("design") != nullptr, varying);
    }
    if (!varying) {
      const Simulations all = whole.read();
      EXPECT_EQ(all.sim_data, *all.find(fields::local_prior_draws) * 2.0);
      EXPECT_EQ(all.batch_size(), 60);
      EXPECT_TRUE(all.prior_draws.empty());
      expect_same(all.take({16, 17}), whole.batch(2).take({0, 1}));
    }
    SimulationStream stream(whole, {.batch_size = 4});
    double sum = 0, expected = 0;
    while (const std::optional<Simulations> batch = stream.next()) {
      EXPECT_EQ(batch->sim_data, *batch->find(fields::local_prior_draws) * 2.0);  // rows of one simulation stay together
      sum += batch->find(fields::hyper_prior_draws)->sum();
    }
    for (std::int64_t b = 0; b < whole.batches(); ++b) expected += whole.batch(b).find(fields::hyper_prior_draws)->sum();
    EXPECT_NEAR(sum, expected, 1e-9);
  }
}

TEST(Presimulate, FilesWithoutFurtherFieldsAreOfVersionOne) {
  const TemporaryFolder folder;
  gaussian_model().presimulate(folder / "simulations.h5", 10);
  EXPECT_EQ(SimulationStore(folder / "simulations.h5").info().format_version, 1U);
}

TEST(SaveSimulations, KeepsFurtherFields) {
  const TemporaryFolder folder;
  Simulations s = further_model(true)(5);
  save_simulations(s, folder / "simulations.h5");
  expect_same(SimulationStore(folder / "simulations.h5").read(), s);
  s.set("hyper_prior_draws_shape", Array({5, 1}));
  EXPECT_THROW(save_simulations(s, folder / "other.h5"), ArgumentError);
  s.set("hyper_prior_draws_shape", Array({4, 1}));
  EXPECT_THROW(save_simulations(s, folder / "other.h5"), ShapeError);
  EXPECT_FALSE(std::filesystem::exists(folder / "other.h5"));
}

TEST(Presimulate, Float32HalvesTheFileAndRounds) {
  const TemporaryFolder folder;
  const GenerativeModel model = gaussian_model();
  model.presimulate(folder / "single.h5", 500, {.precision = StoredPrecision::float32});
  model.presimulate(folder / "single.h5", 1000, {.precision = StoredPrecision::float32});
  model.presimulate(folder / "double.h5", 1000);
  EXPECT_LT(std::filesystem::file_size(folder / "single.h5"), 0.55 * static_cast<double>(std::filesystem::file_size(folder / "double.h5")));
  const Simulations exact = SimulationStore(folder / "double.h5").read(), rounded = SimulationStore(folder / "single.h5").read();
  for (std::int64_t i = 0; i < exact.sim_data.size(); i += 97)
    EXPECT_EQ(rounded.sim_data[i], static_cast<double>(static_cast<float>(exact.sim_data[i])));
}

TEST(Presimulate, RefusesFilesOfAnotherModel) {
  const TemporaryFolder folder;
  const auto path = folder / "simulations.h5";
  gaussian_model({.name = "means"}).presimulate(path, 100);
  const std::string before = contents(path);
  EXPECT_IO_ERROR(gaussian_model({.name = "other"}).presimulate(path, 200), "they are of model \"means\", not \"other\"");
  EXPECT_IO_ERROR(gaussian_model({.name = "means"}).presimulate(path, 200, {.seed = 1}), "their seed is 0, not 1");
  EXPECT_IO_ERROR(gaussian_model({.name = "means"}).presimulate(path, 200, {.batch_size = 7}), "their batch_size is 256, not 7");
  EXPECT_IO_ERROR(gaussian_model({.name = "means"}).presimulate(path, 200, {.precision = StoredPrecision::float32}),
                  "they are stored as float64");
  EXPECT_IO_ERROR(gaussian_model({.name = "means"}, 0.1).presimulate(path, 200), "makes another prior_draws in its first simulation");
  EXPECT_TRUE(contents(path) == before);
}

TEST(Presimulate, ChecksItsSettings) {
  const GenerativeModel model = gaussian_model();
  const TemporaryFolder folder;
  EXPECT_THROW(model.presimulate(folder / "s.h5", 0), ArgumentError);
  EXPECT_THROW(model.presimulate(folder / "s.h5", 1, {.batch_size = -1}), ConfigurationError);
  EXPECT_THROW(model.presimulate(folder / "s.h5", 1, {.threads = -1}), ConfigurationError);
  EXPECT_THROW(model.presimulate(folder / "s.h5", 1, {.nonfinite = {.max_share = 1.5}}), ConfigurationError);
  EXPECT_EQ(folder.entries(), 0U);
}

TEST(Presimulate, KeepsWhatCameBeforeAFailure) {
  const TemporaryFolder folder;
  std::atomic<int> calls{0};
  const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([&calls](const Array& theta, Rng& rng) {
                                if (++calls > 300) throw std::runtime_error("out of reagents");
                                return rng.normal({3, 2}, theta);
                              }),
                              {.skip_test = true});
  EXPECT_THROW(model.presimulate(folder / "s.h5", 1000, {.batch_size = 32, .threads = 1}), SimulationError);
  EXPECT_EQ(SimulationStore(folder / "s.h5").size(), 288);
}

TEST(NonFinite, IsRefusedByDefault) {
  const TemporaryFolder folder;
  try {
    faulty_model().presimulate(folder / "s.h5", 1000);
    FAIL();
  } catch (const SimulationError& error) {
    EXPECT_NE(std::string(error.what()).find("with parameters ["), std::string::npos) << error.what();
  }
}

TEST(NonFinite, IsDroppedAndCounted) {
  const TemporaryFolder folder;
  const PresimulateOptions options{.batch_size = 50, .nonfinite = {.action = NonFinite::drop}};
  const PresimulationSummary summary = faulty_model().presimulate(folder / "s.h5", 1000, options);
  EXPECT_EQ(summary.simulations, 1000);
  EXPECT_EQ(summary.nonfinite.simulated, 1000 + summary.nonfinite.dropped);
  // Binomial(about 1050, 0.05): outside [20, 90] with probability < 1e-6.
  EXPECT_GT(summary.nonfinite.dropped, 20);
  EXPECT_LT(summary.nonfinite.dropped, 90);
  const SimulationStore store(folder / "s.h5");
  EXPECT_TRUE(store.read().sim_data.all_finite());
  EXPECT_EQ(store.info().nonfinite.dropped, summary.nonfinite.dropped);
  // In parts it is the same: what was dropped is remembered.
  PresimulateOptions stopping = options;
  stopping.progress = [](const PresimulationProgress& p) { return p.done < 400; };
  faulty_model().presimulate(folder / "parts.h5", 1000, stopping);
  faulty_model().presimulate(folder / "parts.h5", 1000, options);
  EXPECT_TRUE(contents(folder / "parts.h5") == contents(folder / "s.h5"));
}

TEST(NonFinite, IsRedrawn) {
  const GenerativeModel model = faulty_model();
  NonFiniteCount count;
  const Simulations s = model.simulate(1000, 1, "test", 0, nullptr, {.action = NonFinite::redraw}, count);
  EXPECT_EQ(s.batch_size(), 1000);
  EXPECT_TRUE(s.sim_data.all_finite());
  EXPECT_GT(count.redrawn, 20);
  EXPECT_EQ(count.simulated, 1000 + count.redrawn);
  // Simulation i is the same in a batch of any size.
  NonFiniteCount other;
  expect_same(model.simulate(10, 1, "test", 500, nullptr, {.action = NonFinite::redraw}, other),
              s.take({500, 501, 502, 503, 504, 505, 506, 507, 508, 509}));
}

TEST(NonFinite, IsLimited) {
  NonFiniteCount count;
  for (const NonFinite action : {NonFinite::drop, NonFinite::redraw}) try {
      (void)faulty_model(0.5).simulate(1000, 1, "test", 0, nullptr, {.action = action}, count);
      FAIL();
    } catch (const SimulationError& error) {
      EXPECT_NE(std::string(error.what()).find("were not finite: more than NonFinitePolicy::max_share = 0.1"), std::string::npos)
          << error.what();
    }
}

TEST(SaveSimulations, KeepsGivenOnes) {
  const TemporaryFolder folder;
  const Simulations s = gaussian_model().simulate(3000, 1, "test", 0);
  save_simulations(s, folder / "s.h5", {.model_name = "given", .param_names = {"a", "b", "c", "d"}});
  const SimulationStore store(folder / "s.h5");
  EXPECT_GT(store.batches(), 1);
  expect_same(store.read(), s);
  const Simulations varying = varying_model().simulate(100, 1, "test", 0);
  save_simulations(varying, folder / "s.h5");
  expect_same(SimulationStore(folder / "s.h5").read(), varying);
  EXPECT_EQ(folder.entries(), 1U);
  EXPECT_THROW(save_simulations({}, folder / "s.h5"), ArgumentError);
  Simulations odd = s;
  odd.sim_data = s.sim_data.slice(0, 10);
  EXPECT_THROW(save_simulations(odd, folder / "s.h5"), ShapeError);
  expect_same(SimulationStore(folder / "s.h5").read(), varying);
}

/// First parameter of every row of an epoch, in order.
std::vector<double> epoch_of(SimulationStream& stream, std::int64_t epoch, std::int64_t first = 0) {
  std::vector<double> out;
  stream.start(epoch, first);
  while (const auto batch = stream.next())
    for (std::int64_t i = 0; i < batch->batch_size(); ++i) {
      out.push_back(batch->prior_draws(i, 0));
    }
  return out;
}

TEST(Stream, YieldsEveryRowOncePerEpochInAnotherOrder) {
  const TemporaryFolder folder;
  const GenerativeModel model = gaussian_model();
  model.presimulate(folder / "s.h5", 1003, {.batch_size = 20});
  const SimulationStore store(folder / "s.h5");
  const Simulations all = store.read();
  std::multiset<double> want;
  for (std::int64_t i = 0; i < 1003; ++i) want.insert(all.prior_draws(i, 0));
  // Everything in one window; a buffer of 20 windows; less than a stored batch.
  for (const std::int64_t buffer : {std::int64_t{1} << 30, std::int64_t{170000}, std::int64_t{1}}) {
    SimulationStream stream(store, {.batch_size = 32, .buffer_bytes = buffer});
    EXPECT_EQ(stream.batches_per_epoch(), 32);
    const std::vector<double> first = epoch_of(stream, 0), second = epoch_of(stream, 1), again = epoch_of(stream, 0);
    EXPECT_EQ(std::multiset<double>(first.begin(), first.end()), want);
    EXPECT_EQ(std::multiset<double>(second.begin(), second.end()), want);
    EXPECT_NE(first, second);
    EXPECT_EQ(first, again);
    for (const std::int64_t k : {0, 1, 7, 20, 31, 32}) {
      std::vector<double> rest = epoch_of(stream, 1, k);
      EXPECT_EQ(rest, std::vector<double>(second.begin() + std::min<std::ptrdiff_t>(32 * k, 1003), second.end())) << k;
    }
    SimulationStream other(store, {.batch_size = 32, .buffer_bytes = buffer, .seed = 1});
    EXPECT_NE(epoch_of(other, 0), first);
  }
}

TEST(Stream, KeepsRowsTogether) {
  const TemporaryFolder folder;
  gaussian_model().presimulate(folder / "s.h5", 300, {.batch_size = 16});
  const SimulationStore store(folder / "s.h5");
  const Simulations all = store.read();
  std::map<double, std::int64_t> row_of;
  for (std::int64_t i = 0; i < 300; ++i) row_of[all.prior_draws(i, 0)] = i;
  SimulationStream stream(store, {.batch_size = 7, .buffer_bytes = 60000});
  while (const auto batch = stream.next())
    for (std::int64_t i = 0; i < batch->batch_size(); ++i)
      EXPECT_EQ(batch->sim_data.row(i), all.sim_data.row(row_of.at(batch->prior_draws(i, 0))));
}

TEST(Stream, StoredOrderOnRequest) {
  const TemporaryFolder folder;
  gaussian_model().presimulate(folder / "s.h5", 100, {.batch_size = 16});
  const SimulationStore store(folder / "s.h5");
  SimulationStream stream(store, {.batch_size = 10, .buffer_bytes = 60000, .shuffle = false});
  const Simulations all = store.read();
  const std::vector<double> got = epoch_of(stream, 3);
  for (std::int64_t i = 0; i < 100; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], all.prior_draws(i, 0));
}

TEST(Stream, NeverMixesContexts) {
  const TemporaryFolder folder;
  const GenerativeModel model = varying_model();
  model.presimulate(folder / "s.h5", 500, {.batch_size = 24});
  const SimulationStore store(folder / "s.h5");
  for (const std::int64_t buffer : {std::int64_t{1} << 30, std::int64_t{20000}}) {
    SimulationStream stream(store, {.batch_size = 10, .buffer_bytes = buffer});
    EXPECT_EQ(stream.batches_per_epoch(), 20 * 3 + 2);
    std::int64_t rows = 0, batches = 0;
    std::set<double> seen;
    while (const auto batch = stream.next()) {
      EXPECT_EQ(static_cast<double>(batch->sim_data.dim(1)), batch->sim_non_batchable_context->item());
      rows += batch->batch_size();
      ++batches;
      for (std::int64_t i = 0; i < batch->batch_size(); ++i) seen.insert(batch->prior_draws(i, 0));
    }
    EXPECT_EQ(rows, 500);
    EXPECT_EQ(seen.size(), 500U);
    EXPECT_EQ(batches, stream.batches_per_epoch());
    const std::vector<double> whole = epoch_of(stream, 5), rest = epoch_of(stream, 5, 30);
    ASSERT_LE(rest.size(), whole.size());
    EXPECT_EQ(rest, std::vector<double>(whole.end() - static_cast<std::ptrdiff_t>(rest.size()), whole.end()));
  }
}

/// With one window every position is equally likely: chi-square over where row 0 lands, 20 places, 400 epochs; critical value at 1e-6.
TEST(Stream, ShufflesUniformly) {
  const TemporaryFolder folder;
  gaussian_model().presimulate(folder / "s.h5", 20, {.batch_size = 5});
  const SimulationStore store(folder / "s.h5");
  const double row0 = store.read().prior_draws(0, 0);
  SimulationStream stream(store, {.batch_size = 4});
  std::vector<double> counts(20, 0);
  for (std::int64_t e = 0; e < 400; ++e) {
    const std::vector<double> order = epoch_of(stream, e);
    ++counts[static_cast<std::size_t>(std::find(order.begin(), order.end(), row0) - order.begin())];
  }
  double chi2 = 0;
  for (const double c : counts) chi2 += (c - 20) * (c - 20) / 20;
  EXPECT_LT(chi2, 64.0);
}

TEST(Stream, SaysWhatIsWrongWithItsSettings) {
  const TemporaryFolder folder;
  gaussian_model().presimulate(folder / "s.h5", 20);
  const SimulationStore store(folder / "s.h5");
  EXPECT_THROW(SimulationStream(store, {.batch_size = 0}), ConfigurationError);
  EXPECT_THROW(SimulationStream(store, {.buffer_bytes = 0}), ConfigurationError);
  SimulationStream stream(store, {});
  EXPECT_THROW(stream.start(0, 2), ArgumentError);
  EXPECT_THROW((void)store.batch(1), ArgumentError);
}

}  // namespace
}  // namespace bayesflow
