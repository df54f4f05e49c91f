// What a run in a checkpoint is recognized by, and options as JSON.
#include "training/identity.hpp"

#include <csignal>

#include "io/described_json.hpp"
#include "training/support_resume.hpp"

namespace bayesflow {
namespace {

using Json = nlohmann::json;

const GenerativeModel& model() {
  static const GenerativeModel m = gaussian_model(2, 5);
  return m;
}

AmortizedPosterior posterior(Activation activation = Activation::relu) {
  CouplingOptions coupling = tiny_coupling();
  coupling.dense.activation = activation;
  return AmortizedPosterior(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2, .coupling = coupling}), tiny_deep_set());
}

using Call = std::function<TrainingSummary(Trainer&)>;

/// What the second of two programs is told, after the first one was interrupted in its first epoch.
std::string refusal(const Call& first, const Call& second, const TrainerOptions& changed = {}, Activation activation = Activation::relu) {
  const TemporaryFolder folder;
  {
    TrainerOptions options{.threads = 1};
    options.checkpoint_path = folder.path();
    options.progress = [](const Progress& p) {
      if (p.iteration == 1 && !p.epoch_done) std::raise(SIGINT);
      return Control::proceed;
    };
    Trainer trainer(posterior(), model(), options);
    EXPECT_EQ(first(trainer).stop, TrainingSummary::Stop::interrupted);
  }
  TrainerOptions options = changed;
  options.checkpoint_path = folder.path();
  Trainer trainer(posterior(activation), model(), options);
  const std::string text = error_text([&] { EXPECT_EQ(second(trainer).resumed, 1); });
  const std::string before = "Trainer: this call is not the checkpoint's unfinished run. ";
  if (!text.starts_with(before)) return text;
  return text.substr(before.size(), text.find("; repeat the call") - before.size());
}

Call online(OnlineOptions options) {
  options.iterations_per_epoch = 3;
  options.batch_size = 4;
  return [options](Trainer& t) { return t.train_online(options); };
}

const Call kOnline = online({.epochs = 2});

TEST(RunIdentity, NamesWhatDiffers) {
  const auto with_rate = [](double rate) { return online({.run = {.optimizer = {{.learning_rate = nn::constant(rate)}}}}); };
  EXPECT_EQ(refusal(with_rate(1e-3), with_rate(5e-4)), "optimizer.learning_rate.rates: the checkpoint has [0.001], this call [0.0005]");
  EXPECT_EQ(refusal(kOnline, kOnline, {.default_lr = 1e-3}), "default_lr: the checkpoint has 0.0005, this call 0.001");
  EXPECT_EQ(refusal(kOnline, online({.epochs = 3, .run = {.validation_sims = 10}})),
            "epochs: the checkpoint has 2, this call 3; validation_sims: the checkpoint has none, this call 10");
  EXPECT_EQ(refusal(kOnline, online({.epochs = 2, .run = {.early_stopping = EarlyStoppingOptions{}, .lr_adjuster = LRAdjusterOptions{}}})),
            "early_stopping: the checkpoint has none, this call {\"min_improvement\":0.001,\"patience\":5}; "
            "lr_adjuster: the checkpoint has none, this call {\"cooldown_factor\":2.0,\"num_resets\":3,\"patience\":10,\"peri...");
  EXPECT_EQ(
      refusal(kOnline, [](Trainer& t) { return t.train_rounds({.rounds = 2, .sim_per_round = 8, .epochs = 2, .batch_size = 4}); }),
      "function: the checkpoint has train_online, this call train_rounds; iterations_per_epoch: the checkpoint has 3, this call none; "
      "rounds: the checkpoint has none, this call 2; and 1 more");
}

// Networks of other options have the same table of parameters: what they compute differs all the same.
TEST(RunIdentity, KnowsTheNetworks) {
  EXPECT_EQ(refusal(kOnline, kOnline, {}, Activation::elu),
            "architecture.inference_net.options.coupling.dense.activation: the checkpoint has relu, this call elu");
}

TEST(RunIdentity, DependsOnNothingThatChangesNoResult) {
  EXPECT_EQ(refusal(kOnline, kOnline,
                    {.threads = 2, .handle_interrupt = false, .overlap = Overlap::on, .max_to_keep = 7, .checkpoint_minutes = 3}),
            "no error");
}

// Two functions are told apart by some of their values, other schedules by what they were made of.
TEST(RunIdentity, OfSchedules) {
  const auto with = [](nn::Schedule rate) { return online({.run = {.optimizer = {{.learning_rate = std::move(rate)}}}}); };
  const auto own = [](std::int64_t t) { return t < 50 ? 1e-3 : 1e-4; };
  EXPECT_EQ(refusal(with(own), with(own)), "no error");
  EXPECT_NE(refusal(with(own), with([](std::int64_t) { return 1e-3; })), "no error");
  // Equal at steps 0, 100 and 10,000.
  EXPECT_NE(refusal(with(nn::piecewise({50}, {1e-3, 1e-4})), with(nn::piecewise({60}, {1e-3, 1e-4}))), "no error");
}

TEST(RunIdentity, OfGivenData) {
  const auto offline = [](std::uint64_t seed, std::int64_t buffer_bytes = OfflineOptions().buffer_bytes) -> Call {
    return [=](Trainer& t) {
      return t.train_offline(model().simulate(12, seed, "data", 0), {.epochs = 2, .batch_size = 4, .buffer_bytes = buffer_bytes});
    };
  };
  EXPECT_EQ(refusal(offline(1), offline(1)), "no error");
  EXPECT_EQ(refusal(offline(1), offline(2)).substr(0, 34), "data.checksum: the checkpoint has ");
}

TEST(RunIdentity, AScheduleComesBackWithTheOptimizer) {
  const TemporaryFolder folder;
  const auto trainer = [&] {
    TrainerOptions options{.threads = 1, .resume = Resume::state};
    options.checkpoint_path = folder.path();
    return Trainer(posterior(), model(), options);
  };
  (void)trainer().train_online({.iterations_per_epoch = 3,
                                .batch_size = 4,
                                .run = {.optimizer = {{.learning_rate = nn::piecewise({2}, {1e-3, 1e-4})}}, .reuse_optimizer = true}});
  const TrainingSummary next = trainer().train_online({.iterations_per_epoch = 3, .batch_size = 4});
  EXPECT_EQ(next.history.steps[1].learning_rate, 1e-3);
  EXPECT_EQ(next.history.steps[2].learning_rate, 1e-4);
}

// --- options as JSON ---

template <class Options>
void expect_round_trip(const Options& options) {
  const Json json = io::OptionWriter::of(options);
  Options back;
  io::OptionReader::fill(back, json, {.max_count = std::numeric_limits<std::int64_t>::max(), .max_width = 0});
  EXPECT_EQ(io::OptionWriter::of(back), json);
  EXPECT_NE(io::OptionWriter::of(Options()), json) << "a test with defaults shows nothing";
}

TEST(TrainingOptions, GoThroughJson) {
  const RunOptions run{.validation_sims = 20,
                       .optimizer = nn::OptimizerOptions{.kind = nn::OptimizerKind::sgd, .learning_rate = nn::cosine(1e-3, 70)},
                       .reuse_optimizer = true,
                       .early_stopping = EarlyStoppingOptions{.patience = 2},
                       .lr_adjuster = LRAdjusterOptions{.tolerance = -0.25}};
  expect_round_trip(OnlineOptions{.epochs = 7, .run = run});
  expect_round_trip(OfflineOptions{.batch_size = 9, .buffer_bytes = 5000, .validation_split = 0.25, .run = run});
  expect_round_trip(ReplayOptions{.buffer_capacity = 9, .run = run});
  expect_round_trip(RoundsOptions{.rounds = 3, .sim_per_round = 5, .run = run});
  expect_round_trip(PresimulationOptions{.max_epochs = 3, .run = run});
  expect_round_trip(TrainerOptions{.seed = ~std::uint64_t{0},
                                   .threads = 3,
                                   .nonfinite = {NonFinite::redraw, 0.5},
                                   .overlap = Overlap::off,
                                   .checkpoint_path = "a/b",
                                   .resume = Resume::state});
}

TEST(TrainingOptions, ReadAsText) {
  EXPECT_EQ(
      described_text(OnlineOptions{.epochs = 2, .run = {.validation_sims = 5, .optimizer = {{.learning_rate = nn::constant(0.25)}}}}),
      "epochs = 2, iterations_per_epoch = 1000, batch_size = 32, validation_sims = 5, optimizer = (kind = adam, learning_rate = (kind = "
      "constant, rates = [0.25], steps = []), beta1 = 0.9, beta2 = 0.999, epsilon = 1e-07, weight_decay = 0.004, momentum = 0, "
      "global_clipnorm = 1), reuse_optimizer = false");
}

// --- files of formats 1 and 2 ---

// The sentences are what the library wrote before format 3.
TEST(OldCheckpoints, KnewRunsByASentence) {
  const auto sentence = [](const char* function, const Json& options, const Json& data = Json::object()) {
    return training::sentence_of_old_files(
        {{"function", function}, {"options", options}, {"data", data}, {"trainer", {{"default_lr", 5e-4}}}});
  };
  EXPECT_EQ(sentence("train_online", io::OptionWriter::of(OnlineOptions{.epochs = 2, .iterations_per_epoch = 3, .batch_size = 4})),
            "train_online(epochs = 2, iterations_per_epoch = 3, batch_size = 4, validation_sims = 0, default_lr = 0.0005)");
  const nn::OptimizerOptions adam{.learning_rate = nn::piecewise({50}, {1e-3, 1e-4})};
  EXPECT_EQ(
      sentence("train_rounds", io::OptionWriter::of(RoundsOptions{.rounds = 3,
                                                                  .run = {.validation_sims = 7,
                                                                          .optimizer = adam,
                                                                          .reuse_optimizer = true,
                                                                          .early_stopping = EarlyStoppingOptions{},
                                                                          .lr_adjuster = LRAdjusterOptions{}}})),
      "train_rounds(rounds = 3, sim_per_round = 1000, epochs = 1, batch_size = 32, validation_sims = 7, optimizer = adam(beta1 = 0.9, "
      "beta2 = 0.999, epsilon = 1e-07, weight_decay = 0.004, momentum = 0, global_clipnorm = 1, learning_rate = 0.001 ... 0.0001 ... "
      "0.0001), reuse_optimizer = true, early_stopping = (patience = 5, min_improvement = 0.001), lr_adjuster = (period = 1000, "
      "wait_between_fits = 10, patience = 10, tolerance = -0.05, reduction_factor = 0.25, cooldown_factor = 2, num_resets = 3))");
  const Json data = {{"simulations", 180}, {"checksum", "00000000000000ff"}};
  EXPECT_EQ(sentence("train_offline", io::OptionWriter::of(OfflineOptions{.validation_split = 0.1}), data),
            "train_offline(simulations = 180 with checksum 00000000000000ff, epochs = 1, batch_size = 32, validation_sims = 0, "
            "default_lr = 0.0005, validation_split = 0.1)");
  const Json file = {{"simulations", 37}, {"model", "m"}, {"seed", 3}};
  EXPECT_EQ(sentence("train_offline", io::OptionWriter::of(OfflineOptions{.buffer_bytes = 2000}), {{"file", file}, {"validation", data}}),
            "train_offline(file = 37 of model \"m\" with seed 3, epochs = 1, batch_size = 32, buffer_bytes = 2000, "
            "validation_sims = 180 with checksum 00000000000000ff, default_lr = 0.0005)");
  Json named = file;
  named["name"] = "a.h5";
  EXPECT_EQ(sentence("train_from_presimulation", io::OptionWriter::of(PresimulationOptions{}),
                     {{"files", {named, {{"name", "b"}}}}, {"epochs", 2}}),
            "train_from_presimulation(files = [\"a.h5\": 37 of model \"m\" with seed 3, \"b\"], epochs = 2, batch_size = 32, "
            "validation_sims = 0, default_lr = 0.0005)");
}

}  // namespace
}  // namespace bayesflow
