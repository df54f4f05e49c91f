/// Disks that are full, read-only or gone; files that were cut, flipped or never ours.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <functional>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "io/archive.hpp"
#include "io/atomic_file.hpp"
#include "io/checksum.hpp"
#include "io/header.hpp"
#include "io/support_amortizers.hpp"
#include "io/support_files.hpp"
#include "io/support_interpose.hpp"
#include "io/support_models.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

TEST(Checksum, IsXxh64) {
  // The numbers of the algorithm's specification and of its reference program.
  const auto of = [](std::string_view text, std::uint64_t seed = 0) { return io::xxh64(std::as_bytes(std::span(text)), seed); };
  EXPECT_EQ(of(""), 0xEF46DB3751D8E999U);
  EXPECT_EQ(of("a"), 0xD24EC4F1A98C6E5BU);
  EXPECT_EQ(of("abc"), 0x44BC2CF5AD770999U);
  EXPECT_EQ(of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1U);
  // In pieces of any size it is the same.
  std::string text;
  for (int i = 0; i < 300; ++i) text.push_back(static_cast<char>(i * 37));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    io::Xxh64 hash;
    hash.update(std::as_bytes(std::span(text.data(), cut)));
    hash.update({});  // as of an array without elements
    hash.update(std::as_bytes(std::span(text.data() + cut, text.size() - cut)));
    EXPECT_EQ(hash.digest(), of(text));
  }
}

class Faults : public ::testing::Test {
 protected:
  void TearDown() override { interpose::reset(); }
  TemporaryFolder folder_;
};

TEST_F(Faults, AFullDiskHarmsNoModel) {
  const AmortizedPosterior amortizer = small_amortizer();
  const auto path = folder_ / "model.h5";
  amortizer.save(path);
  const std::string before = contents(path);
  AmortizedPosterior other = small_amortizer();
  scramble(other);
  std::int64_t written = 0;  // what a save writes; holes are not
  for (std::int64_t room = 0; written == 0; room += 3000) {
    interpose::fail_writes_after(room);
    try {
      other.save(folder_ / "other.h5");
      written = room;
    } catch (const IoError&) {
      interpose::reset();
      ASSERT_EQ(folder_.entries(), 1U) << room;
    }
  }
  interpose::reset();
  std::filesystem::remove(folder_ / "other.h5");
  ASSERT_GT(written, 30000);
  for (std::int64_t room = 0; room + 3000 < written; room += 3000) {
    interpose::fail_writes_after(room);
    EXPECT_IO_ERROR(other.save(path), "No space left on device; free some room on this disk");
    interpose::reset();
    ASSERT_TRUE(contents(path) == before) << room;
    ASSERT_EQ(folder_.entries(), 1U) << room;
  }
  interpose::fail_next_sync();
  EXPECT_IO_ERROR(other.save(path), "hardware error");
  interpose::fail_next_rename();
  EXPECT_IO_ERROR(other.save(path), "cannot put the new file in the place of");
  EXPECT_TRUE(contents(path) == before);
  EXPECT_EQ(folder_.entries(), 1U);
  other.save(path);
  EXPECT_FALSE(contents(path) == before);
}

TEST_F(Faults, AFullDiskKeepsWhatWasSimulated) {
  const GenerativeModel model = gaussian_model();
  model.presimulate(folder_ / "whole.h5", 1000, {.batch_size = 50});
  const std::string whole = contents(folder_ / "whole.h5");
  for (std::int64_t room = 0; room < 1700000; room += 97001) {
    const auto path = folder_ / "parts.h5";
    std::filesystem::remove(path);
    interpose::fail_writes_after(room);
    EXPECT_IO_ERROR(model.presimulate(path, 1000, {.batch_size = 50}), "No space left on device");
    interpose::reset();
    if (std::filesystem::exists(path)) {
      const SimulationStore store(path);
      for (std::int64_t b = 0; b < store.batches(); ++b) EXPECT_NO_THROW((void)store.batch(b));
      EXPECT_GE(store.size() * 1632, std::min<std::int64_t>(room, 1632 * 1000) - 200000) << room;
    }
    model.presimulate(path, 1000, {.batch_size = 50});
    EXPECT_TRUE(contents(path) == whole) << room;
  }
}

TEST_F(Faults, GrowingOnAFullDiskKeepsTheOldFile) {
  const GenerativeModel model = gaussian_model();
  const auto path = folder_ / "s.h5";
  model.presimulate(path, 500);
  const std::string before = contents(path);
  interpose::fail_writes_after(2000);
  EXPECT_IO_ERROR(model.presimulate(path, 1000), "No space left on device");
  interpose::reset();
  EXPECT_TRUE(contents(path) == before);
  EXPECT_EQ(folder_.entries(), 1U);
  EXPECT_EQ(model.presimulate(path, 1000).simulations, 1000);
}

/// What HDF5 could not close it would complain about at the end of the program.
TEST_F(Faults, ALimitOnFileSizesIsToldAndLeavesNothingOpen) {
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit former {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &former), 0);
  for (const rlim_t most : {1000U, 10000U, 30000U}) {
    struct rlimit small = former;
    small.rlim_cur = most;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_IO_ERROR(small_amortizer().save(folder_ / "model.h5"), "File too large; raise the limit on file sizes");
    EXPECT_IO_ERROR(gaussian_model().presimulate(folder_ / "s.h5", 1000), "File too large; raise the limit on file sizes");
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &former), 0);
    EXPECT_EQ(H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL), 0) << most;
    EXPECT_EQ(folder_.entries(), 0U) << most;
  }
  std::signal(SIGXFSZ, handler);
}

/// The same with a disk of one megabyte, where the system lets us mount one.
TEST_F(Faults, ARealFullDisk) {
  const std::filesystem::path disk = folder_ / "disk";
  std::filesystem::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "cannot mount here";
  const GenerativeModel model = gaussian_model();
  EXPECT_IO_ERROR(model.presimulate(disk / "s.h5", 5000, {.batch_size = 50}), "No space left on device");
  EXPECT_GT(SimulationStore(disk / "s.h5").size(), 300);
  EXPECT_IO_ERROR(small_amortizer().save(disk / "model.h5"), "No space left on device");
  EXPECT_FALSE(std::filesystem::exists(disk / "model.h5"));
  EXPECT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
  EXPECT_IO_ERROR(small_amortizer().save(disk / "model.h5"), "Read-only file system; the disk is mounted read-only");
  EXPECT_IO_ERROR(model.presimulate(disk / "s.h5", 6000), "Read-only file system");
  EXPECT_GT(SimulationStore(disk / "s.h5").size(), 300);  // reading still works
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

TEST_F(Faults, FoldersThatAreGone) {
  std::filesystem::create_directory(folder_ / "gone");
  const auto path = folder_ / "gone" / "model.h5";
  std::filesystem::remove(folder_ / "gone");
  EXPECT_IO_ERROR(small_amortizer().save(path), "No such file or directory; check the path, and create the folder if it does not exist");
  EXPECT_IO_ERROR((void)gaussian_model().presimulate(path, 10), "No such file or directory");
  EXPECT_IO_ERROR((void)load_amortizer(path), "No such file or directory");
  EXPECT_IO_ERROR(small_amortizer().save(folder_.path()), "Is a directory");
  EXPECT_IO_ERROR(small_amortizer().save(folder_ / ""), "this names a folder; give the path of a file");
  // In the middle of writing.
  std::filesystem::create_directory(folder_ / "goes");
  PresimulateOptions options{.batch_size = 10};
  options.progress = [this](const PresimulationProgress&) {
    std::filesystem::remove_all(folder_ / "goes");
    return true;
  };
  EXPECT_IO_ERROR((void)gaussian_model().presimulate(folder_ / "goes" / "s.h5", 100, options), "it was removed or replaced meanwhile");
}

TEST_F(Faults, NamesWithAZeroByteAreRefused) {
  // The system would see "cut" and "cut", and a writer wait for ever for a name of its own.
  const std::filesystem::path path = folder_ / std::string("cut\0off.h5", 10), cut = folder_ / "cut";
  const Simulations simulations{.prior_draws = Array({2, 1}), .sim_data = Array({2, 1})};
  EXPECT_IO_ERROR(small_amortizer().save(path), "cut?off.h5\": the name contains a zero byte (shown as ?); give a name without it");
  EXPECT_IO_ERROR((void)load_amortizer(path), "the name contains a zero byte");
  EXPECT_IO_ERROR(save_simulations(simulations, path), "the name contains a zero byte");
  EXPECT_FALSE(std::filesystem::exists(cut));
}

TEST_F(Faults, TwoWritersOfOneFile) {
  const GenerativeModel model = gaussian_model();
  const auto path = folder_ / "s.h5";
  PresimulateOptions options{.batch_size = 10};
  options.progress = [&](const PresimulationProgress& p) {
    if (p.done == 50)
      EXPECT_IO_ERROR(gaussian_model().presimulate(path, 100), "is being written by another process; wait until it has finished");
    return true;
  };
  EXPECT_EQ(model.presimulate(path, 100, options).simulations, 100);
}

TEST_F(Faults, LeftoversOfAKilledWriterAreRemovedAndLiveOnesKept) {
  const auto path = folder_ / "model.h5";
  put_contents(folder_ / "model.h5.4711-0.tmp", "half a file");
  put_contents(folder_ / "model.h5.notes.tmp", "somebody's own");
  put_contents(folder_ / "other.h5.4711-0.tmp", "of another file");
  const io::AtomicFile live(path);
  small_amortizer().save(path);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "model.h5.4711-0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "model.h5.notes.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "other.h5.4711-0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(live.file().path()));
}

/// Refused with a sentence, or no difference at all.
template <class Load>
void expect_refused_or_same(const std::filesystem::path& path, const Load& load, bool may_be_same, const std::string& what) {
  try {
    load(path);
    EXPECT_TRUE(may_be_same) << what;
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find(path.filename().string()), std::string::npos) << what << ": " << error.what();
  }
}

struct Example {
  const char* name;
  std::string bytes;
  std::function<void(const std::filesystem::path&)> load;  // throws if anything differs
};

std::vector<Example> examples(const TemporaryFolder& folder) {
  const Array draws = small_amortizer().sample(some_inputs(), 5);
  small_amortizer().save(folder / "model.h5");
  const Array graph_draws = small_graph_amortizer().sample(some_inputs(), 5);
  small_graph_amortizer().save(folder / "graph.h5");
  gaussian_model().presimulate(folder / "fixed.h5", 40, {.batch_size = 8});
  varying_model().presimulate(folder / "varying.h5", 40, {.batch_size = 8});
  const auto read_all = [](const GenerativeModel& model) {
    return [model](const std::filesystem::path& path) {
      const SimulationStore store(path);
      EXPECT_EQ(store.size(), 40);
      std::uint64_t first = 0;
      for (std::int64_t b = 0; b < store.batches(); ++b, first += 8) {
        const Simulations got = store.batch(b), want = model.simulate(8, 0, "presimulation", first);
        EXPECT_EQ(got.prior_draws, want.prior_draws);
        EXPECT_EQ(got.sim_data, want.sim_data);
      }
    };
  };
  return {{"model", contents(folder / "model.h5"),
           [draws](const auto& path) { EXPECT_EQ(load_amortizer(path).sample(some_inputs(), 5), draws); }},
          {"model of a graph", contents(folder / "graph.h5"),
           [graph_draws](const auto& path) { EXPECT_EQ(load_amortizer(path).sample(some_inputs(), 5), graph_draws); }},
          {"fixed", contents(folder / "fixed.h5"), read_all(gaussian_model())},
          {"varying", contents(folder / "varying.h5"), read_all(varying_model())}};
}

TEST_F(Faults, EveryTruncationIsRefused) {
  for (const Example& e : examples(folder_))
    for (std::size_t length = 0; length < e.bytes.size(); length += 1024) {
      put_contents(folder_ / "cut.h5", e.bytes.substr(0, length));
      expect_refused_or_same(folder_ / "cut.h5", e.load, false, e.name + std::to_string(length));
    }
}

TEST_F(Faults, FlippedBitsAreRefusedOrHarmless) {
  Rng rng(1, "flips");
  for (const Example& e : examples(folder_)) {
    std::int64_t harmless = 0;
    for (std::int64_t i = 0; i < support::repetitions(2000); ++i) {
      std::string bytes = e.bytes;
      const auto at = static_cast<std::size_t>(rng.integers(0, static_cast<std::int64_t>(bytes.size())));
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.integers(0, 8)));
      put_contents(folder_ / "flipped.h5", bytes);
      try {
        e.load(folder_ / "flipped.h5");  // any difference is a failure of the test
        ++harmless;
      } catch (const IoError& error) {
        EXPECT_NE(std::string(error.what()).find("flipped.h5"), std::string::npos) << error.what();
      }
    }
    EXPECT_TRUE(!std::string_view(e.name).starts_with("model") || harmless == 0) << harmless;
    RecordProperty(std::string("harmless_") + e.name, static_cast<int>(harmless));
  }
}

/// Structure that no accident makes: the checksums are set right after each change.
TEST_F(Faults, ForgedFilesAreRefusedOrHarmless) {
  Rng rng(2, "forgeries");
  for (const Example& e : examples(folder_)) {
    io::Header header;
    std::memcpy(&header, e.bytes.data(), sizeof header);
    for (int i = 0; i < 400; ++i) {
      std::string bytes = e.bytes;
      for (std::int64_t n = rng.integers(1, 5); n > 0; --n) {
        // Half of them in the index, where they hurt most.
        const bool index = rng.bernoulli(0.5);
        const std::uint64_t first = index ? header.index_offset : 0, length = index ? header.index_bytes : bytes.size();
        bytes[static_cast<std::size_t>(first) + static_cast<std::size_t>(rng.integers(0, static_cast<std::int64_t>(length)))] =
            static_cast<char>(index ? "0123456789\"{}[],-"[rng.integers(0, 17)] : rng.integers(0, 256));
      }
      reseal(bytes);
      put_contents(folder_ / "forged.h5", bytes);
      try {
        if (std::string_view(e.name).starts_with("model")) {
          (void)load_amortizer_file(folder_ / "forged.h5", {.verify = false});
        } else {
          const SimulationStore store(folder_ / "forged.h5");
          for (std::int64_t b = 0; b < store.batches(); ++b) (void)store.batch(b);
        }
      } catch (const IoError&) {
      }
    }
  }
}

// Found by fuzzing: a JSON number that no integer can hold.
TEST_F(Faults, NumbersThatAreNoIntegersAreRefused) {
  const auto index = [](const std::string& shape, const std::string& offset, const std::string& attribute) {
    return io::index_from_json("a.h5",
                               R"({"attributes": {"seed": )" + attribute + R"(}, "datasets": {"x": {"type": "float64", "shape": [)" +
                                   shape + R"(], "offset": )" + offset + "}}}",
                               10000);
  };
  const std::string seed = R"({"uint64": 1})";
  EXPECT_EQ(index("2, 3", "4096", seed).entries.at("x").count(), 6U);
  for (const std::string bad : {"7e296", "-7e296", "-1", "2.0", "18446744073709551616", "\"2\"", "null", "true", "[]"}) {
    EXPECT_IO_ERROR((void)index(bad, "4096", seed), "its index makes no sense (");
    EXPECT_IO_ERROR((void)index("2, 3", bad, seed), "is where an integer of 8 bytes should be");
    EXPECT_IO_ERROR((void)index("2, 3", "4096", R"({"uint64": )" + bad + "}"), "is where an integer of 8 bytes should be");
  }
  EXPECT_IO_ERROR((void)index("2, 3", "4096", R"({"int64": 1e19})"), "1e+19 is where an integer of 8 bytes should be");
}

TEST_F(Faults, ForeignFilesAreRefused) {
  std::vector<std::filesystem::path> foreign;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(BAYESFLOW_IO_DATA) + "/../../reference/data"))
    foreign.push_back(entry.path());
  EXPECT_GT(foreign.size(), 20U);  // HDF5, but not ours
  for (const auto& [name, text] :
       {std::pair{"empty.h5", std::string()}, std::pair{"text.h5", std::string(5000, 'x')}, std::pair{"zeros.h5", std::string(5000, '\0')},
        std::pair{"magic.h5", std::string("\x89HDF\r\n\x1a\n")}}) {
    put_contents(folder_ / name, text);
    foreign.push_back(folder_ / name);
  }
  ASSERT_EQ(::mkfifo((folder_ / "pipe.h5").c_str(), 0600), 0);
  for (const auto& path : foreign) {
    EXPECT_IO_ERROR((void)load_amortizer(path), "is not a file of this library");
    EXPECT_IO_ERROR(SimulationStore{path}, "is not a file of this library");
  }
  EXPECT_IO_ERROR((void)load_amortizer(folder_ / "pipe.h5"), "cannot open");
  EXPECT_IO_ERROR((void)load_amortizer("/dev/zero"), "cannot open");
}

TEST_F(Faults, KindsAndFormatsAreTold) {
  small_amortizer().save(folder_ / "model.h5");
  gaussian_model().presimulate(folder_ / "s.h5", 10);
  EXPECT_IO_ERROR((void)load_amortizer(folder_ / "s.h5"), "is a simulations file; a model file is needed here");
  EXPECT_IO_ERROR(SimulationStore(folder_ / "model.h5"), "is a model file; a simulations file is needed here");
  EXPECT_IO_ERROR((void)gaussian_model().presimulate(folder_ / "model.h5", 10), "is a model file; a simulations file is needed here");
  for (const char* name : {"model.h5", "s.h5"}) {
    std::string bytes = contents(folder_ / name);
    const std::uint32_t newer = 7;
    std::memcpy(bytes.data() + offsetof(io::Header, format_version), &newer, sizeof newer);
    reseal(bytes);
    put_contents(folder_ / name, bytes);
  }
  EXPECT_IO_ERROR((void)load_amortizer(folder_ / "model.h5"),
                  "has format 7 of a model file, written by version 0.1.0; this library, 0.1.0, reads formats up to 2: update it");
  EXPECT_IO_ERROR(SimulationStore(folder_ / "s.h5"), "has format 7 of a simulations file");
  EXPECT_IO_ERROR((void)gaussian_model().presimulate(folder_ / "s.h5", 20), "has format 7 of a simulations file");
}

/// Less reached the disk than the commit record says: the batches that are whole are kept.
TEST_F(Faults, APowerFailureCostsTheUnsyncedEndOnly) {
  const GenerativeModel model = gaussian_model();
  const auto path = folder_ / "s.h5";
  PresimulateOptions options{.batch_size = 10};
  int snapshots = 0;
  options.progress = [&](const PresimulationProgress& p) {
    if (p.done == 60) std::filesystem::copy_file(path, folder_ / "torn.h5"), ++snapshots;  // the last batch may be in flight
    return true;
  };
  model.presimulate(path, 100, options);
  ASSERT_EQ(snapshots, 1);
  const std::int64_t size = SimulationStore(folder_ / "torn.h5").size();
  ASSERT_GE(size, 40);
  // Lose batch 2's data.
  std::string bytes = contents(folder_ / "torn.h5");
  const Simulations third = SimulationStore(folder_ / "torn.h5").batch(2);
  const std::string_view pattern(reinterpret_cast<const char*>(third.sim_data.data()), 64);
  const std::size_t at = bytes.find(pattern);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 64, std::string(64, '\0'));
  put_contents(folder_ / "torn.h5", bytes);
  EXPECT_EQ(SimulationStore(folder_ / "torn.h5").size(), 20);
  EXPECT_EQ(model.presimulate(folder_ / "torn.h5", 100).found, 20);
  EXPECT_TRUE(contents(folder_ / "torn.h5") == contents(path));
}

/// Killed after the last batch, but before its end was written twice.
TEST_F(Faults, AnEndThatWasNotQuiteWrittenIsWritten) {
  const GenerativeModel model = gaussian_model();
  model.presimulate(folder_ / "s.h5", 100, {.batch_size = 10});
  const std::string whole = contents(folder_ / "s.h5");
  for (const std::size_t slot : {1024U, 2048U}) {
    std::string bytes = whole;
    bytes[slot] = static_cast<char>(bytes[slot] ^ 1);
    put_contents(folder_ / "s.h5", bytes);
    model.presimulate(folder_ / "s.h5", 100);
    EXPECT_TRUE(contents(folder_ / "s.h5") == whole) << slot;
  }
}

TEST_F(Faults, ADamagedBatchIsToldByTheStream) {
  gaussian_model().presimulate(folder_ / "s.h5", 100, {.batch_size = 10});
  std::string bytes = contents(folder_ / "s.h5");
  const Simulations s = SimulationStore(folder_ / "s.h5").batch(7);
  const std::size_t at = bytes.find(std::string_view(reinterpret_cast<const char*>(s.sim_data.data()), 64));
  bytes[at + 3] = static_cast<char>(bytes[at + 3] ^ 1);
  put_contents(folder_ / "s.h5", bytes);
  SimulationStream stream(SimulationStore(folder_ / "s.h5"), {.buffer_bytes = 1});
  EXPECT_IO_ERROR(
      {
        while (stream.next()) {
        }
      },
      "batch 7 of 10 does not match its checksum");
}

}  // namespace
}  // namespace bayesflow
