// Folders, locks and files of checkpoints: each failure gets a sentence, and nothing that was good before is harmed.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "bayesflow/core/errors.hpp"
#include "io/header.hpp"
#include "training/support_resume.hpp"

namespace bayesflow {
namespace {

namespace fs = std::filesystem;
const OnlineOptions kRun{.epochs = 5, .iterations_per_epoch = 3, .batch_size = 4};
constexpr double kFirstLoss = 3.5222954750061035, kLastLoss = 2.5985088348388672;  // of the stored checkpoint
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
/// What is on the disk, to the last byte.
std::vector<std::string> everything(const fs::path& folder) {
  std::vector<std::string> out;
  for (const std::string& name : files(folder)) out.push_back(name + contents(folder / name));
  return out;
}

TEST(Checkpoints, TheNewestAreKeptAndTheTrainerSaysThatItResumes) {
  const TemporaryFolder folder;
  std::vector<float> weights;
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    const TrainingSummary run = trainer.train_online(kRun);
    weights = weights_of(trainer.trained<AmortizedPosterior>());
    EXPECT_NE(run.checkpoint.find("checkpoint_0"), std::string::npos);
  }
  const auto names = files(folder.path());
  EXPECT_LE(names.size(), 4U);  // at most three, and the lock
  EXPECT_EQ(names.back(), "lock");
  std::vector<std::string> log;
  Trainer trainer(tiny_posterior(), model(), in(folder.path(), &log));
  EXPECT_EQ(weights_of(trainer.trained<AmortizedPosterior>()), weights);
  EXPECT_NE(log.back().find("Resumes from the checkpoint"), std::string::npos) << log.back();
}

TEST(Checkpoints, TwoTrainersDoNotShareAFolder) {
  const TemporaryFolder folder;
  std::vector<float> weights;
  {
    Trainer first(tiny_posterior(), model(), in(folder.path()));
    const auto refused = [&] {
      EXPECT_EQ(error_text([&] { Trainer second(tiny_posterior(), model(), in(folder.path())); }),
                "the checkpoint folder \"" + folder.path().string() +
                    "\" is in use by another trainer; wait for its end, or give this one a folder of its own");
    };
    refused();
    (void)first.train_online(kRun);
    const auto before = everything(folder.path());
    refused();
    EXPECT_EQ(everything(folder.path()), before);
    weights = weights_of(first.trained<AmortizedPosterior>());
  }
  Trainer third(tiny_posterior(), model(), in(folder.path()));
  EXPECT_EQ(weights_of(third.trained<AmortizedPosterior>()), weights);
}

TEST(Checkpoints, OfAnotherModelAreRefusedAndStay) {
  const TemporaryFolder folder;
  std::vector<float> weights;
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    (void)trainer.train_online(kRun);
    weights = weights_of(trainer.trained<AmortizedPosterior>());
  }
  const auto before = everything(folder.path());
  TrainerOptions seed = in(folder.path());
  seed.seed = 4;
  EXPECT_NE(error_text([&] { Trainer t(tiny_posterior(), model(), seed); }).find("is of another model: its seed is 0, this trainer's is 4"),
            std::string::npos);
  const AmortizedPosterior other(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 3, .coupling = tiny_coupling()}),
                                 tiny_deep_set());
  EXPECT_NE(error_text([&] { Trainer t(other, model(), in(folder.path())); }).find("is of another model: its parameter"),
            std::string::npos);
  EXPECT_NE(error_text([&] { Trainer t(tiny_posterior(3), gaussian_model(3, 3), in(folder.path())); }).find("is of another model: its "),
            std::string::npos);
  EXPECT_EQ(everything(folder.path()), before);
  Trainer trainer(tiny_posterior(), model(), in(folder.path()));
  EXPECT_EQ(weights_of(trainer.trained<AmortizedPosterior>()), weights);
}

// A later library wrote it. To go on from an older one would undo its work, and in the end remove the file.
TEST(Checkpoints, OfANewerFormatAreRefusedAndStay) {
  const TemporaryFolder folder;
  const RoundsOptions rounds{.rounds = 2, .sim_per_round = 12, .epochs = 1, .batch_size = 4};
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    (void)trainer.train_online(kRun);
    (void)trainer.train_rounds(rounds);
  }
  const auto make_newer = [&](const std::string& name) {
    std::string bytes = contents(folder / name);
    const std::uint32_t newer = 7;
    std::memcpy(bytes.data() + offsetof(io::Header, format_version), &newer, sizeof newer);
    reseal(bytes);
    put_contents(folder / name, bytes);
  };
  const auto names = files(folder.path());
  const std::string newest = *std::find_if(names.rbegin(), names.rend(), [](const std::string& n) { return n.starts_with("checkpoint_"); });
  const std::string old = contents(folder / newest);
  make_newer(newest);
  auto before = everything(folder.path());
  EXPECT_EQ(error_text([&] { Trainer t(tiny_posterior(), model(), in(folder.path())); }),
            "\"" + (folder / newest).string() +
                "\" has format 7 of a checkpoint file, written by version 0.1.0; this library, 0.1.0, reads formats up to 3: update it");
  EXPECT_EQ(everything(folder.path()), before);
  // Nor are the simulations of a round, which may have cost days, made anew and replaced.
  for (const std::string& name : names)
    if (name.starts_with("checkpoint_")) fs::remove(folder / name);
  const std::string round = *std::find_if(names.begin(), names.end(), [](const std::string& n) { return n.starts_with("simulations_"); });
  make_newer(round);
  before = everything(folder.path());
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    (void)trainer.train_online(kRun);
    EXPECT_NE(error_text([&] { (void)trainer.train_rounds(rounds); }).find(round + "\" has format 7 of a training round file"),
              std::string::npos);
  }
  EXPECT_EQ(everything(folder.path()).back(), before.back());
  EXPECT_EQ(round + contents(folder / round), before[1]);
  EXPECT_EQ(before[0], "lock");
}

TEST(Checkpoints, AFolderThatCannotBeUsedIsToldAtTheStart) {
  const TemporaryFolder folder;
  put_contents(folder / "file", "good");
  const auto refused = [](const fs::path& path, const std::string& sentence) {
    EXPECT_EQ(error_text([&] { Trainer t(tiny_posterior(), model(), in(path)); }), sentence);
  };
  refused(folder / "file", "cannot make the checkpoint folder \"" + (folder / "file").string() +
                               "\": Not a directory; a part of the path is a file, not a folder; check it");
  refused(folder / "file/below", "cannot make the checkpoint folder \"" + (folder / "file/below").string() +
                                     "\": Not a directory; a part of the path is a file, not a folder; check it");
  EXPECT_EQ(contents(folder / "file"), "good");
  {
    Trainer trainer(tiny_posterior(), model(), in(folder / "kept"));
    (void)trainer.train_online(kRun);
  }
  const auto before = everything(folder / "kept");
  fs::permissions(folder / "kept/lock", fs::perms(0666));
  for (const fs::path& path : {folder.path(), folder / "kept"}) fs::permissions(path, fs::perms(0555));
  {
    const Unprivileged nobody;
    if (!nobody) GTEST_SKIP() << "cannot give up being root here";
    const std::string advice = "\": Permission denied; change the permissions of the file and its folder, or choose another path";
    refused(folder / "new", "cannot make the checkpoint folder \"" + (folder / "new").string() + advice);
    refused(folder / "kept", "cannot write \"" + (folder / "kept/checkpoint_").string() + advice);
  }
  fs::permissions(folder.path(), fs::perms(0755));
  EXPECT_EQ(everything(folder / "kept"), before);
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
    EXPECT_EQ(weights_of(trainer.trained<AmortizedPosterior>()), weights[0]);
    EXPECT_TRUE(std::any_of(log.begin(), log.end(), [&](const std::string& l) {
      return l.find("cannot be used, and the one before it is tried") != std::string::npos && l.find(newest) != std::string::npos;
    }));
  }
  fs::resize_file(folder / files(folder.path())[0], 100);
  EXPECT_NE(error_text([&] { Trainer t(tiny_posterior(), model(), in(folder.path())); }).find("none of the 2 checkpoints"),
            std::string::npos);
  EXPECT_EQ(files(folder.path()).size(), 3U) << "they are left for whoever can mend them";
}

/// Trains in `folder` / "checkpoints", which becomes read-only during the second epoch, and then writable again.
void expect_that_a_read_only_folder_is_survived(const TemporaryFolder& folder, const std::string& reason,
                                                const std::function<void(bool read_only)>& change) {
  const fs::path path = folder / "disk/checkpoints";
  std::vector<std::string> log, before;
  TrainerOptions options = in(path, &log);
  std::vector<float> after_first;
  const RoundsOptions rounds{.rounds = 3, .sim_per_round = 8, .epochs = 1, .batch_size = 4};
  Trainer untouched(tiny_posterior(), model(), {.threads = 1});
  const std::vector<float> weights = [&] {
    (void)untouched.train_rounds(rounds);
    return weights_of(untouched.trained<AmortizedPosterior>());
  }();
  {
    Trainer* self = nullptr;
    options.progress = [&](const Progress& p) {
      if (p.epoch == 1 && p.epoch_done) after_first = weights_of(self->trained<AmortizedPosterior>());
      if (p.epoch != 2 || p.iteration != 3 || p.epoch_done) return Control::proceed;
      while (files(path) !=
             std::vector<std::string>{"checkpoint_000001.h5", "lock", "simulations_000000000000.h5", "simulations_000000000008.h5"})
        std::this_thread::yield();  // until the first epoch's checkpoint is written
      change(true);
      before = everything(path);
      return Control::proceed;
    };
    Trainer trainer(tiny_posterior(), model(), options);
    self = &trainer;
    const TrainingSummary run = trainer.train_rounds(rounds);
    EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
    EXPECT_EQ(weights_of(trainer.trained<AmortizedPosterior>()), weights) << "training itself must not notice";
    ASSERT_EQ(run.warnings.size(), 2U);
    EXPECT_NE(run.warnings[0].find("The simulations of round 3 could not be kept: cannot write"), std::string::npos) << run.warnings[0];
    EXPECT_NE(run.warnings[1].find("A checkpoint could not be written: cannot write"), std::string::npos) << run.warnings[1];
    for (const std::string& warning : run.warnings) EXPECT_NE(warning.find(reason), std::string::npos) << warning;
    EXPECT_EQ(everything(path), before);
  }
  change(false);
  options.progress = {};
  Trainer trainer(tiny_posterior(), model(), options);
  EXPECT_EQ(weights_of(trainer.trained<AmortizedPosterior>()), after_first);
  EXPECT_EQ(trainer.train_rounds(rounds).resumed, 1);
  EXPECT_EQ(weights_of(trainer.trained<AmortizedPosterior>()), weights);
}

TEST(Checkpoints, AFolderWithoutPermissionDoesNotEndTraining) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "disk");
  fs::permissions(folder.path(), fs::perms(0755));
  fs::permissions(folder / "disk", fs::perms(0777));
  const Unprivileged nobody;
  if (!nobody) GTEST_SKIP() << "cannot give up being root here";
  expect_that_a_read_only_folder_is_survived(
      folder, "Permission denied; change the permissions of the file and its folder",
      [&](bool read_only) { fs::permissions(folder / "disk/checkpoints", fs::perms(read_only ? 0555 : 0755)); });
}

TEST(Checkpoints, AReadOnlyDiskDoesNotEndTraining) {
  const TemporaryFolder folder;
  const fs::path disk = folder / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=4m") != 0) GTEST_SKIP() << "cannot mount here";
  fs::create_directory(disk / "checkpoints");
  const fs::path path = disk / "checkpoints";
  // The disk itself cannot become read-only while the trainer holds its lock; a read-only view of the folder can come before it.
  expect_that_a_read_only_folder_is_survived(folder, "Read-only file system; the disk is mounted read-only", [&](bool read_only) {
    if (read_only) {
      ASSERT_EQ(::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr), 0);
      ASSERT_EQ(::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
    } else {
      ASSERT_EQ(::umount(path.c_str()), 0);
    }
  });
  EXPECT_EQ(::umount2(disk.c_str(), MNT_DETACH), 0);
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

// --- files of every format that was ever released are read for ever ---

TrainingSummary run_of_the_stored_checkpoint(Trainer& trainer) {
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 4});
  return trainer.train_experience_replay(
      {.epochs = 2,
       .iterations_per_epoch = 5,
       .batch_size = 4,
       .buffer_capacity = 3,
       .run = {
           .validation_sims = 6, .early_stopping = EarlyStoppingOptions{.patience = 5}, .lr_adjuster = LRAdjusterOptions{.period = 4}}});
}

/// Names and shapes of what a file holds; texts (with seconds and paths in them) count as one.
std::map<std::string, std::vector<std::uint64_t>> layout(const fs::path& file) {
  std::map<std::string, std::vector<std::uint64_t>> out;
  for (const auto& [name, entry] : io::open_verified(file, {.kind = "checkpoint", .version = 3}, O_RDONLY).index.entries)
    out[name] = entry.type == io::NumberType::uint8 ? std::vector<std::uint64_t>{1} : entry.extents;
  return out;
}

// Whoever changes what a checkpoint holds needs a new version, a new file (BAYESFLOW_MAKE_DATA=FOLDER keeps the one that is made here;
// those of a released format are never made anew) and a test like the next.
TEST(CheckpointFormat, TheStoredRunStillMakesTheSameLayout) {
  const TemporaryFolder work;
  TrainerOptions options = in(work.path());
  options.progress = [](const Progress& p) {
    if (p.epochs == 2 && p.epoch == 2 && p.iteration == 3 && !p.epoch_done) std::raise(SIGINT);
    return Control::proceed;
  };
  Trainer trainer(tiny_posterior(), model(), options);
  const TrainingSummary run = run_of_the_stored_checkpoint(trainer);
  if (const char* folder = std::getenv("BAYESFLOW_MAKE_DATA")) {
    fs::copy_file(run.checkpoint, fs::path(folder) / "checkpoint_format_3.h5");
    std::printf("%.17g %.17g\n", trainer.runs()[0].history.steps[1].losses["loss"], run.history.steps[7].losses["loss"]);
  }
  const auto fresh = layout(run.checkpoint);
  EXPECT_GT(fresh.size(), 10U);
  EXPECT_EQ(fresh, layout(fs::path(BAYESFLOW_IO_DATA) / "checkpoint_format_3.h5"));
}

/// Version 1 had no names of loss terms.
class CheckpointFormats : public testing::TestWithParam<int> {};

TEST_P(CheckpointFormats, AreReadForEver) {
  const TemporaryFolder folder;
  fs::copy_file(fs::path(BAYESFLOW_IO_DATA) / ("checkpoint_format_" + std::to_string(GetParam()) + ".h5"), folder / "checkpoint_000012.h5");
  Trainer trainer(tiny_posterior(), model(), in(folder.path()));
  const TrainingSummary run = run_of_the_stored_checkpoint(trainer);
  EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
  EXPECT_EQ(run.resumed, 1);
  ASSERT_EQ(run.history.steps.size(), 10U);
  EXPECT_EQ(trainer.runs()[0].history.steps[1].losses["loss"], kFirstLoss);
  EXPECT_EQ(run.history.steps[7].losses["loss"], kLastLoss);
  // Made here from the beginning, it differs by what another processor rounds otherwise.
  Trainer straight(tiny_posterior(), model(), {.threads = 1});
  const TrainingSummary whole = run_of_the_stored_checkpoint(straight);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_NEAR(run.history.steps[i].losses.total(), whole.history.steps[i].losses.total(), 1e-4) << i;
}

INSTANTIATE_TEST_SUITE_P(Version, CheckpointFormats, testing::Values(1, 2, 3));

// Found by fuzzing: a number of steps that no integer can hold.
TEST(CheckpointFormat, ForgedNumbersOfStepsAreRefused) {
  const TemporaryFolder folder;
  const fs::path file = folder / "checkpoint_000001.h5";
  const std::string stored = contents(fs::path(BAYESFLOW_IO_DATA) / "checkpoint_format_1.h5");
  put_contents(file, stored);
  const io::Index index = io::open_verified(file, {.kind = "checkpoint", .version = 3}, O_RDONLY).index;
  for (const char* path : {"unfinished/epoch", "unfinished/epochs", "runs/000000/epochs"})
    for (const double steps : {-3.0e204, -1.0, 1e19, std::numeric_limits<double>::quiet_NaN()}) {
      std::string bytes = stored;
      std::memcpy(bytes.data() + index.entries.at(path).offset + 7 * sizeof steps, &steps, sizeof steps);
      reseal(bytes);
      put_contents(file, bytes);
      EXPECT_IO_ERROR(Trainer(tiny_posterior(), model(), in(folder.path())), std::string(path) + " holds an epoch of");
    }
}

TEST(CheckpointFormat, ForgedIntegersAreRefused) {
  const TemporaryFolder folder;
  std::string bytes = contents(fs::path(BAYESFLOW_IO_DATA) / "checkpoint_format_1.h5");
  const std::string stored = "\"offset\":112,", forged = "\"offset\":1e9,";
  const std::size_t at = bytes.find(stored);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, stored.size(), forged);
  reseal(bytes);
  put_contents(folder / "checkpoint_000001.h5", bytes);
  EXPECT_IO_ERROR(Trainer(tiny_posterior(), model(), in(folder.path())), "1000000000.0 is where an integer of 8 bytes should be");
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
