/// Every function that writes a file: what it does with what is there already.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/figures/figure.hpp"
#include "bayesflow/report/report.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "io/atomic_file.hpp"
#include "io/support_amortizers.hpp"
#include "io/support_files.hpp"
#include "io/support_models.hpp"

namespace bayesflow {
namespace {

namespace fs = std::filesystem;

struct Writer {
  std::string name, file;
  std::function<void(const fs::path&)> write;
};

const std::vector<Writer>& writers() {
  static const std::vector<diagnostics::Table> tables{{"t", {{"x", std::vector<double>{1.5, 2.5}}}}};
  static const std::vector<Writer> all{
      {"save_amortizer", "model.h5", [](const fs::path& p) { save_amortizer(small_amortizer(), p); }},
      {"presimulate", "sims.h5", [](const fs::path& p) { (void)gaussian_model().presimulate(p, 20, {.batch_size = 10}); }},
      {"save_simulations", "sims.h5", [](const fs::path& p) { save_simulations(gaussian_model().simulate(5, 1, "test", 0, nullptr), p); }},
      {"write_csv", "t.csv", [](const fs::path& p) { diagnostics::write_csv(tables[0], p.string()); }},
      {"write_json", "t.json", [](const fs::path& p) { diagnostics::write_json(tables, p.string()); }},
      {"write_hdf5", "t.h5", [](const fs::path& p) { diagnostics::write_hdf5(tables, p.string()); }},
      {"Figure::save", "f.svg", [](const fs::path& p) { Figure{.panels = {{}}}.save(p); }},
      {"report", "r.html",
       [](const fs::path& p) {
         (void)report(Rng(1).normal({20, 9, 2}), Rng(2).normal({20, 2}), p);
       }},
      {"write_file", "any", [](const fs::path& p) { io::write_file(p, "text"); }},
  };
  return all;
}

void make_socket(const fs::path& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(fd, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.string().size(), sizeof address.sun_path);
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
}

mode_t mode_of(const fs::path& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info.st_mode;
}

TEST(WholeFiles, RefuseWhatIsNoRegularFile) {
  for (const Writer& w : writers()) {
    SCOPED_TRACE(w.name);
    const TemporaryFolder folder;
    const auto refused = [&](const char* what, const fs::path& path) {
      const mode_t before = mode_of(path);
      EXPECT_IO_ERROR(w.write(path), what);
      EXPECT_EQ(mode_of(path), before) << what;
    };
    fs::create_directory(folder / "1");
    fs::create_directory(folder / "2");
    fs::create_directory(folder / "3");
    ASSERT_EQ(::mkfifo((folder / ("1/" + w.file)).c_str(), 0600), 0);
    refused("this is a pipe; give the path of a file", folder / ("1/" + w.file));
    make_socket(folder / ("2/" + w.file));
    refused("this is a socket; give the path of a file", folder / ("2/" + w.file));
    fs::create_directory(folder / ("3/" + w.file));
    refused("Is a directory; this is a folder; give the path of a file", folder / ("3/" + w.file));
    // Through a link as well: /dev/stdout is one.
    fs::create_symlink("1/" + w.file, folder / w.file);
    refused("this is a pipe", folder / w.file);
    fs::create_directory(folder / "4");
    if (::mknod((folder / ("4/" + w.file)).c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0)  // root's right
      refused("this is a character device; give the path of a file", folder / ("4/" + w.file));
    for (const char* sub : {"1", "2", "3"}) EXPECT_EQ(std::distance(fs::directory_iterator(folder / sub), {}), 1) << sub;
  }
}

TEST(WholeFiles, AreWrittenToWhereLinksLead) {
  for (const Writer& w : writers()) {
    SCOPED_TRACE(w.name);
    const TemporaryFolder folder;
    fs::create_directory(folder / "elsewhere");
    fs::create_symlink("elsewhere/" + w.file, folder / ("b_" + w.file));
    fs::create_symlink("b_" + w.file, folder / w.file);  // a link to a link, and to nothing yet
    w.write(folder / w.file);
    EXPECT_TRUE(fs::is_symlink(fs::symlink_status(folder / w.file)));
    EXPECT_TRUE(fs::is_symlink(fs::symlink_status(folder / ("b_" + w.file))));
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder / ("elsewhere/" + w.file))));
    EXPECT_GT(fs::file_size(folder / ("elsewhere/" + w.file)), 0U);
    if (w.name != "presimulate") w.write(folder / w.file);  // over the one that is there now
    EXPECT_TRUE(fs::is_symlink(fs::symlink_status(folder / w.file)));
    EXPECT_EQ(folder.entries(), 3U);  // no temporary file
    EXPECT_EQ(std::distance(fs::directory_iterator(folder / "elsewhere"), {}), 1);
  }
}

TEST(WholeFiles, LinksInACircleAreRefused) {
  const TemporaryFolder folder;
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  EXPECT_IO_ERROR(io::write_file(folder / "a", "text"), "Too many levels of symbolic links");
}

TEST(WholeFiles, KeepThePermissionsOfTheFileTheyReplace) {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.h5";
  io::write_file(path, "old");
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  save_amortizer(small_amortizer(), path);
  EXPECT_EQ(mode_of(path) & 07777U, 0600U);
  EXPECT_TRUE(load_amortizer(path).is_built());
}

TEST(WholeFiles, TextsAreThereWholeOrNotAtAll) {
  const TemporaryFolder folder;
  const fs::path path = folder / "t.csv";
  diagnostics::write_csv({"t", {{"x", std::vector<double>{1.5}}}}, path.string());
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  const fs::path opened_before = folder / "same";
  fs::create_hard_link(path, opened_before);  // what a reader has open
  diagnostics::write_csv({"t", {{"x", std::vector<double>{2.5}}}}, path.string());
  EXPECT_EQ(contents(opened_before), "x\n1.5\n");
  EXPECT_EQ(contents(path), "x\n2.5\n");
}

}  // namespace
}  // namespace bayesflow
