// Folders, locks and files of checkpoints: each failure gets a sentence, and nothing that was good before is harmed.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "bayesflow/core/errors.hpp"
#include "training/support_resume.hpp"

namespace bayesflow {
namespace {

namespace fs = std::filesystem;
const OnlineOptions kRun{.epochs = 5, .iterations_per_epoch = 3, .batch_size = 4};
GenerativeModel& model() {
  static GenerativeModel m = gaussian_model(2, 3);
  return m;
}
TrainerOptions in(const fs::path& folder, std::vector<std::string>* log = nullptr) {
  TrainerOptions o{.threads = 1};
  o.checkpoint_path = folder;
  if (log) o.logger = [log](LogLevel, std::string_view text) { log->emplace_back(text); };
  return o;
}
std::vector<std::string> files(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& e : fs::directory_iterator(folder)) out.push_back(e.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}
TEST(Checkpoints, TheNewestAreKeptAndTheTrainerSaysThatItResumes) {
  const TemporaryFolder folder;
  std::vector<float> weights;
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    const TrainingSummary run = trainer.train_online(kRun);
    weights = weights_of(trainer.amortizer());
    EXPECT_NE(run.checkpoint.find("checkpoint_0"), std::string::npos);
  }
  const auto names = files(folder.path());
  EXPECT_LE(names.size(), 4U);  // at most three, and the lock
  EXPECT_EQ(names.back(), "lock");
  std::vector<std::string> log;
  Trainer trainer(tiny_posterior(), model(), in(folder.path(), &log));
  EXPECT_EQ(weights_of(trainer.amortizer()), weights);
  EXPECT_NE(log.back().find("Resumes from the checkpoint"), std::string::npos) << log.back();
}

TEST(Checkpoints, TwoTrainersDoNotShareAFolder) {
  const TemporaryFolder folder;
  Trainer first(tiny_posterior(), model(), in(folder.path()));
  EXPECT_EQ(error_text([&] { Trainer second(tiny_posterior(), model(), in(folder.path())); }),
            "the checkpoint folder \"" + folder.path().string() +
                "\" is in use by another trainer; wait for its end, or give this one a folder of its own");
}

TEST(Checkpoints, OfAnotherModelAreRefused) {
  const TemporaryFolder folder;
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    (void)trainer.train_online(kRun);
  }
  const auto before = files(folder.path());
  TrainerOptions seed = in(folder.path());
  seed.seed = 4;
  EXPECT_NE(error_text([&] { Trainer t(tiny_posterior(), model(), seed); }).find("is of another model: its seed is 0, this trainer's is 4"),
            std::string::npos);
  const AmortizedPosterior other(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 3, .coupling = tiny_coupling()}),
                                 tiny_deep_set());
  EXPECT_NE(error_text([&] { Trainer t(other, model(), in(folder.path())); }).find("is of another model: its parameter"),
            std::string::npos);
  EXPECT_EQ(files(folder.path()), before);
}

TEST(Checkpoints, ADamagedOneIsReportedAndTheOneBeforeIsUsed) {
  const TemporaryFolder folder;
  std::vector<std::vector<float>> weights;
  {
    TrainerOptions options = in(folder.path());
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, model(), options);
    for (int i = 0; i < 2; ++i) {
      (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 4 + i});
      weights.push_back(weights_of(amortizer));
    }
  }
  const std::string newest = files(folder.path())[1];
  for (const bool truncate : {false, true}) {
    if (truncate) {
      fs::resize_file(folder / newest, fs::file_size(folder / newest) / 2);
    } else {
      std::fstream f(folder / newest, std::ios::in | std::ios::out | std::ios::binary);
      f.seekp(static_cast<std::streamoff>(fs::file_size(folder / newest) / 2));
      f.put('\x5a');
      f.put('\x17');
    }
    std::vector<std::string> log;
    Trainer trainer(tiny_posterior(), model(), in(folder.path(), &log));
    EXPECT_EQ(weights_of(trainer.amortizer()), weights[0]);
    EXPECT_TRUE(std::any_of(log.begin(), log.end(), [&](const std::string& l) {
      return l.find("cannot be used, and the one before it is tried") != std::string::npos && l.find(newest) != std::string::npos;
    }));
  }
  fs::resize_file(folder / files(folder.path())[0], 100);
  EXPECT_NE(error_text([&] { Trainer t(tiny_posterior(), model(), in(folder.path())); }).find("none of the 2 checkpoints"),
            std::string::npos);
  EXPECT_EQ(files(folder.path()).size(), 3U) << "they are left for whoever can mend them";
}

TEST(Checkpoints, AVanishedFolderDoesNotEndTraining) {
  const TemporaryFolder folder;
  std::vector<std::string> log;
  TrainerOptions options = in(folder / "gone", &log);
  options.progress = [&](const Progress& p) {
    if (p.epoch == 2) fs::remove_all(folder / "gone");
    return Control::proceed;
  };
  Trainer trainer(tiny_posterior(), model(), options);
  const TrainingSummary run = trainer.train_online(kRun);
  EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
  EXPECT_EQ(run.history.steps.size(), 15U);
  ASSERT_FALSE(run.warnings.empty());
  EXPECT_NE(run.warnings.back().find("A checkpoint could not be written: cannot write"), std::string::npos) << run.warnings.back();
}

TEST(Checkpoints, AFullDiskDoesNotEndTrainingAndHarmsNoFile) {
  const TemporaryFolder folder;
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 4});
  }
  const auto before = files(folder.path());
  // Files of this process may not grow beyond a few bytes, as on a full disk.
  struct rlimit former {};
  getrlimit(RLIMIT_FSIZE, &former);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit tiny = former;
  tiny.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &tiny);
  TrainingSummary run;
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    run = trainer.train_online(kRun);
  }
  setrlimit(RLIMIT_FSIZE, &former);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(run.history.steps.size(), 15U);
  ASSERT_FALSE(run.warnings.empty());
  EXPECT_NE(run.warnings.back().find("A checkpoint could not be written"), std::string::npos);
  EXPECT_EQ(files(folder.path()), before);
  Trainer trainer(tiny_posterior(), model(), in(folder.path()));
  EXPECT_EQ(trainer.runs().size(), 1U);
}

TEST(Interruption, ASecondSignalEndsAtOnce) {
  EXPECT_EXIT(
      {
        TrainerOptions options{.threads = 1};
        options.progress = [](const Progress&) {
          std::raise(SIGINT);
          std::raise(SIGINT);
          return Control::proceed;
        };
        Trainer trainer(tiny_posterior(), model(), options);
        (void)trainer.train_online(kRun);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace bayesflow
