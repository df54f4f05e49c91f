// Training in bfloat16.
#include <csignal>

#include "training/support_resume.hpp"

namespace bayesflow {
namespace {

const GenerativeModel& model() {
  static const GenerativeModel m = gaussian_model(3, 20);
  return m;
}

AmortizedPosterior wide() {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 48;
  const DenseOptions dense{.units = 40};
  return AmortizedPosterior(InvertibleNetwork({.num_params = 3, .num_coupling_layers = 2, .coupling = coupling}),
                            DeepSet({.summary_dim = 4, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense}));
}

constexpr OnlineOptions kRun = {.epochs = 2, .iterations_per_epoch = 12, .batch_size = 32, .run = {.validation_sims = 40}};

Outcome train(Precision precision, int threads, int stop = 0) {
  const TemporaryFolder folder;
  for (const bool second : {false, true}) {
    int steps = 0;
    TrainerOptions options{.threads = threads, .precision = precision};
    options.checkpoint_path = folder / "checkpoints";
    options.progress = [&](const Progress& p) {
      if (!second && !p.epoch_done && ++steps == stop) std::raise(SIGINT);
      return Control::proceed;
    };
    Trainer trainer(wide(), model(), options);
    const TrainingSummary run = trainer.train_online(kRun);
    if (run.stop != TrainingSummary::Stop::interrupted) return outcome_of(trainer, run, model());
  }
  return {};
}

TEST(BFloat16, OneResultForAnyNumberOfThreads) {
  const Outcome alone = train(Precision::bfloat16, 1);
  EXPECT_EQ(alone, train(Precision::bfloat16, 2));
  EXPECT_EQ(alone, train(Precision::bfloat16, 4));
  const Outcome plain = train(Precision::float32, 1);
  EXPECT_NE(alone.weights, plain.weights);
  ASSERT_EQ(alone.epochs.size(), plain.epochs.size());
  for (std::size_t i = 0; i < plain.epochs.size(); ++i) EXPECT_NEAR(alone.epochs[i], plain.epochs[i], 0.05);
}

TEST(BFloat16, ARunThatWasStoppedEndsWithTheSameBits) {
  const Outcome straight = train(Precision::bfloat16, 2);
  for (const int stop : {1, 7, 14}) EXPECT_EQ(straight, train(Precision::bfloat16, 1 + stop % 2, stop)) << stop;
}

TEST(BFloat16, IsPartOfWhatARunIsRecognizedBy) {
  const TemporaryFolder folder;
  const auto train = [&](Precision precision) {
    TrainerOptions options{.threads = 1, .precision = precision};
    options.checkpoint_path = folder / "checkpoints";
    options.progress = [](const Progress& p) {
      if (p.iteration == 1 && !p.epoch_done) std::raise(SIGINT);
      return Control::proceed;
    };
    (void)Trainer(wide(), model(), options).train_online(kRun);
  };
  train(Precision::bfloat16);
  const std::string text = error_text([&] { train(Precision::float32); });
  EXPECT_NE(text.find("precision: the checkpoint has bfloat16, this call none"), std::string::npos) << text;
}

TEST(BFloat16, IsRefusedWhereItWouldChangeNothing) {
  Trainer trainer(tiny_posterior(3), model(), {.threads = 1, .precision = Precision::bfloat16});
  EXPECT_EQ(error_text([&] { (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 8}); }),
            "Trainer: precision is bfloat16, but these networks multiply nothing in it: that takes a dense layer with 32 inputs and 5 "
            "outputs or more; leave it at float32");
}

}  // namespace
}  // namespace bayesflow
