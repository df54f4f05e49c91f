/// Training and files of every amortizer, single ones and groups: all classes of the registry, by the cases of support/amortizer_cases.hpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "io/support_files.hpp"
#include "support/amortizer_cases.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

using support::AmortizerCase;

std::vector<float> weights(const Trainable& a) { return {a.store().values(), a.store().values() + a.store().size()}; }

/// Everything that two equal trainings must have in common.
struct Outcome {
  std::vector<float> weights;
  std::vector<double> history;
  std::vector<Array> answers;
  friend bool operator==(const Outcome& a, const Outcome& b) {
    return a.weights == b.weights && a.history == b.history && a.answers == b.answers;
  }
};

class AllAmortizers : public testing::TestWithParam<AmortizerCase> {
 protected:
  static Batch test_batch(const AmortizerBase& amortizer, std::int64_t sets) {
    return amortizer.configure(GetParam().model().simulate(sets, 9, "test", 0));
  }
  /// Weights that look trained.
  static std::shared_ptr<AmortizerBase> scrambled() {
    auto out = GetParam().make(1);
    out->build(test_batch(*out, 4), 3);
    Rng rng(3);
    for (std::size_t i = 0; i < out->store().table().size(); ++i)
      for (float& w : out->store().value(static_cast<int>(i))) w += static_cast<float>(rng.normal(0.0, 0.1));
    out->update_state();
    return out;
  }
  /// Trains on so many threads; interrupted after so many steps of each run, and taken up again.
  static Outcome trained(int threads, const std::vector<int>& stops) {
    const TemporaryFolder folder;
    for (std::size_t run_number = 0;; ++run_number) {
      int steps = 0;
      const std::shared_ptr<AmortizerBase> amortizer = GetParam().make(threads);
      TrainerOptions options{.seed = 4, .threads = threads};
      options.checkpoint_path = folder / "checkpoints";
      options.progress = [&](const Progress& p) {
        if (!p.epoch_done && run_number < stops.size() && ++steps == stops[run_number]) std::raise(SIGINT);
        return Control::proceed;
      };
      Trainer trainer(amortizer, GetParam().model(), options);
      const TrainingSummary run =
          trainer.train_online({.epochs = 2, .iterations_per_epoch = 4, .batch_size = 40, .run = {.validation_sims = 20}});
      if (run_number < stops.size()) {
        EXPECT_EQ(run.stop, TrainingSummary::Stop::interrupted);
        continue;
      }
      EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
      Outcome out{weights(*amortizer), {}, GetParam().answers(*amortizer, test_batch(*amortizer, 50))};
      for (const StepRecord& s : run.history.steps) {
        const auto terms = s.losses.values();
        out.history.insert(out.history.end(), terms.begin(), terms.end());
      }
      for (const EpochRecord& e : run.history.epochs) out.history.push_back(e.validation.total());
      EXPECT_TRUE(std::ranges::all_of(out.history, [](double v) { return std::isfinite(v); }));
      return out;
    }
  }
};

TEST_P(AllAmortizers, SameBitsForAnyNumberOfThreadsAndAfterInterruptions) {
  const Outcome straight = trained(1, {});
  EXPECT_GT(straight.history.size(), 8U);
  for (const int threads : support::cases({2, 4})) EXPECT_TRUE(trained(threads, {}) == straight) << threads << " threads";
  EXPECT_TRUE(trained(2, {3, 2}) == straight) << "interrupted twice";
}

TEST_P(AllAmortizers, FilesGiveTheSameAnswers) {
  const TemporaryFolder folder;
  const auto amortizer = scrambled();
  const Batch batch = test_batch(*amortizer, 6);
  amortizer->save(folder / "model.h5");
  const auto loaded = detail::load_model(folder / "model.h5", {}).amortizer;
  EXPECT_STREQ(loaded->class_name(), amortizer->class_name());
  EXPECT_TRUE(GetParam().answers(*loaded, batch) == GetParam().answers(*amortizer, batch));
  EXPECT_EQ(loaded->compute_loss(batch).total(), amortizer->compute_loss(batch).total());
  loaded->save(folder / "again.h5");
  EXPECT_TRUE(GetParam().answers(*detail::load_model(folder / "again.h5", {}).amortizer, batch) == GetParam().answers(*amortizer, batch));
}

/// Whatever an accident does to a file is found; whatever a forger does to it, checksums included, ends in an error or in an amortizer.
TEST_P(AllAmortizers, DamagedAndForgedFilesAreRefused) {
  const TemporaryFolder folder;
  const auto amortizer = scrambled();
  amortizer->save(folder / "model.h5");
  const std::string whole = contents(folder / "model.h5");
  const auto loads = [&](const std::string& bytes, bool verify) {
    put_contents(folder / "other.h5", bytes);
    try {
      (void)detail::load_model(folder / "other.h5", {.verify = verify});
      return true;
    } catch (const IoError& error) {
      EXPECT_NE(std::string(error.what()).find("other.h5"), std::string::npos) << error.what();
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
    return false;
  };
  ASSERT_TRUE(loads(whole, true));
  for (std::size_t length = 0; length < whole.size(); length += whole.size() / 40 + 1)
    EXPECT_FALSE(loads(whole.substr(0, length), true)) << "cut at " << length;
  Rng rng(1, "damage");
  const auto any = [&](std::uint64_t first, std::uint64_t length) {
    return static_cast<std::size_t>(first) + static_cast<std::size_t>(rng.integers(0, static_cast<std::int64_t>(length)));
  };
  for (std::int64_t i = 0; i < support::repetitions(200); ++i) {
    std::string bytes = whole;
    char& byte = bytes[any(0, bytes.size())];
    byte = static_cast<char>(byte ^ (1 << rng.integers(0, 8)));
    EXPECT_FALSE(loads(bytes, true));
  }
  io::Header header;
  std::memcpy(&header, whole.data(), sizeof header);
  for (std::int64_t i = 0; i < support::repetitions(200); ++i) {
    std::string bytes = whole;
    for (std::int64_t n = rng.integers(1, 5); n > 0; --n) {
      const bool index = rng.bernoulli(0.5);
      bytes[index ? any(header.index_offset, header.index_bytes) : any(0, bytes.size())] =
          static_cast<char>(index ? "0123456789\"{}[],-"[rng.integers(0, 17)] : rng.integers(0, 256));
    }
    reseal(bytes);
    (void)loads(bytes, false);
  }
}

TEST_P(AllAmortizers, MisuseEndsInSentences) {
  const auto says = [](const auto& f) {
    try {
      f();
    } catch (const Error& error) {
      EXPECT_GT(std::string(error.what()).size(), 20U);
      return true;
    }
    return false;
  };
  const AmortizerCase& c = GetParam();
  const auto fresh = c.make(1);
  const Batch batch = test_batch(*fresh, 4);
  EXPECT_TRUE(says([&] { (void)c.answers(*fresh, batch); })) << "without weights";
  const TemporaryFolder folder;
  EXPECT_TRUE(says([&] { fresh->save(folder / "model.h5"); })) << "without weights";
  const auto amortizer = scrambled();
  for (const auto& [role, values] : batch.entries()) {
    Batch fewer = batch, wider = batch, broken = batch;
    const Array array = values.array();
    fewer.set(role, array.slice(0, array.dim(0) - 1));
    EXPECT_TRUE(says([&] { (void)amortizer->compute_loss(fewer); })) << role.c_str() << " of fewer data sets";
    const std::int64_t last = array.rank() - 1;
    if (last > 0) {
      wider.set(role, concatenate({array, array}, last));
      EXPECT_TRUE(says([&] { (void)amortizer->compute_loss(wider); })) << role.c_str() << " twice as wide";
    }
    Array bad = array;
    bad.data()[0] = std::nan("");
    EXPECT_TRUE(says([&] {
      broken.set(role, bad);
      (void)amortizer->compute_loss(broken);
    })) << role.c_str()
        << " with a NaN";
  }
  Batch strange = batch;
  strange.set("strange", Array({4, 1}));
  EXPECT_TRUE(says([&] { (void)amortizer->compute_loss(strange); })) << "a block that nothing reads";
  // Models of the other kinds: data that do not fit are told before or at the first step.
  for (const AmortizerCase& other : support::amortizer_cases()) {
    const auto another = c.make(1);
    try {
      Trainer trainer(another, other.model(), {.threads = 1});
      (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 1, .batch_size = 4});
    } catch (const Error& error) {
      EXPECT_GT(std::string(error.what()).size(), 20U);
    }
  }
}

TEST_P(AllAmortizers, CheckpointsOfOtherAmortizersAreNotTakenUp) {
  const AmortizerCase& c = GetParam();
  const TemporaryFolder folder;
  const auto options = [&] {
    TrainerOptions out{.threads = 1};
    out.checkpoint_path = folder / "checkpoints";
    return out;
  };
  {
    Trainer trainer(c.make(1), c.model(), options());
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 8});
  }
  for (const AmortizerCase& other : support::amortizer_cases()) {
    if (other.name == c.name) continue;
    EXPECT_THROW(
        {
          Trainer trainer(other.make(1), other.model(), options());
          (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 8});
        },
        Error)
        << other.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AllAmortizers, testing::ValuesIn(support::amortizer_cases()), [](const auto& c) { return c.param.name; });

TEST(AmortizerCases, EveryClassHasACase) {
  std::set<std::string> known, covered;
  detail::for_each_kind([&]<class A>() { known.insert(A::kKind.name); });
  detail::for_each_group([&]<class G>() { known.insert(G::kClass); });
  for (const AmortizerCase& c : support::amortizer_cases()) {
    covered.insert(c.name);
    EXPECT_EQ(c.make(1)->class_name(), c.name);
  }
  EXPECT_EQ(covered, known);
}

}  // namespace
}  // namespace bayesflow
