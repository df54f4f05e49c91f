#include "io/archive.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

#include "bayesflow/core/errors.hpp"
#include "io/support_files.hpp"

namespace bayesflow::io {
namespace {

std::vector<float> numbers(std::size_t count) {
  std::vector<float> out(count);
  std::iota(out.begin(), out.end(), 0.5f);
  return out;
}

void write_example(const std::filesystem::path& path, float first = 0.5f) {
  std::vector<float> w = numbers(640);
  w[0] = first;
  ArchiveWriter out({.kind = "model", .version = 2});
  out.attribute("seed", std::uint64_t{0xFFFFFFFFFFFFFFFF});
  out.attribute("simulations", std::int64_t{-3});
  out.attribute("loss", 0.1);
  out.attribute("worst_loss", std::numeric_limits<double>::infinity());
  out.attribute("no_loss", std::numeric_limits<double>::quiet_NaN());
  out.attribute("names", std::vector<std::string>{"\xce\xb1", "beta"});
  out.attribute("architecture", std::string(100000, 'x'));
  out.array("weights/output.kernel", {64, 10}, w);
  out.array("steps", {2}, std::vector<std::int64_t>{1, -2});
  out.array("scalar", {}, std::vector<double>{7});
  out.array("empty", {0, 3}, std::vector<double>{});
  out.array("bytes", {3}, std::vector<std::uint8_t>{1, 2, 255});
  out.commit(path);
}

TEST(Archive, GivesBackEveryBit) {
  const TemporaryFolder folder;
  const auto path = folder / "model.h5";
  write_example(path);
  const ArchiveReader in(path, {.kind = "model", .version = 2});
  EXPECT_EQ(in.format_version(), 2U);
  EXPECT_EQ(in.attribute<std::uint64_t>("seed"), 0xFFFFFFFFFFFFFFFFU);
  EXPECT_EQ(in.attribute<std::int64_t>("simulations"), -3);
  EXPECT_EQ(in.attribute<double>("loss"), 0.1);
  EXPECT_EQ(in.attribute<double>("worst_loss"), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(in.attribute<double>("no_loss")));
  EXPECT_EQ(in.attribute<std::vector<std::string>>("names"), (std::vector<std::string>{"\xce\xb1", "beta"}));
  EXPECT_EQ(in.attribute<std::string>("architecture").size(), 100000U);
  EXPECT_EQ(in.array<float>("weights/output.kernel"), numbers(640));
  EXPECT_EQ(in.shape("weights/output.kernel"), (Shape{64, 10}));
  EXPECT_EQ(in.array<std::int64_t>("steps"), (std::vector<std::int64_t>{1, -2}));
  EXPECT_EQ(in.array<double>("scalar"), std::vector<double>{7});
  EXPECT_TRUE(in.array<double>("empty").empty());
  EXPECT_EQ(in.array<std::uint8_t>("bytes").back(), 255);
  EXPECT_EQ(in.paths("weights/"), std::vector<std::string>{"weights/output.kernel"});
}

TEST(Archive, SameContentsAreTheSameBytes) {
  const TemporaryFolder folder;
  write_example(folder / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1050));  // HDF5 would note the second
  write_example(folder / "b.h5");
  EXPECT_TRUE(contents(folder / "a.h5") == contents(folder / "b.h5"));
}

TEST(Archive, SaysWhatIsMissingOrOfAnotherTypeOrShape) {
  const TemporaryFolder folder;
  write_example(folder / "model.h5");
  const ArchiveReader in(folder / "model.h5", {.kind = "model", .version = 2});
  EXPECT_IO_ERROR((void)in.array<float>("weights/none"), "weights/none is missing; the file does not fit this model format 2");
  EXPECT_IO_ERROR((void)in.array<double>("weights/output.kernel"), "weights/output.kernel holds float32 instead of float64");
  EXPECT_IO_ERROR((void)in.attribute<double>("seed"), "seed is of another type");
  EXPECT_IO_ERROR((void)in.attribute<double>("none"), "none is missing");
  std::vector<float> w(640);
  EXPECT_IO_ERROR(in.read("weights/output.kernel", {10, 64}, std::span<float>(w)), "has shape (64, 10) instead of (10, 64)");
}

TEST(Archive, RefusesMistakesOfTheCaller) {
  ArchiveWriter out({.kind = "model"});
  out.array("a", {1}, std::vector<double>{1});
  EXPECT_THROW(out.array("a", {1}, std::vector<double>{1}), ArgumentError);
  EXPECT_THROW(out.array("b", {2}, std::vector<double>{1}), ShapeError);
  out.attribute("c", 1.0);
  EXPECT_THROW(out.attribute("c", 1.0), ArgumentError);
}

TEST(Archive, TellsOtherKindsAndNewerFormats) {
  const TemporaryFolder folder;
  write_example(folder / "model.h5");
  EXPECT_IO_ERROR(ArchiveReader(folder / "model.h5", {.kind = "checkpoint"}), "is a model file; a checkpoint file is needed here");
  EXPECT_IO_ERROR(ArchiveReader(folder / "model.h5", {.kind = "model", .version = 1}),
                  "has format 2 of a model file, written by version 0.1.0");
  EXPECT_IO_ERROR(ArchiveReader(folder / "none.h5", {.kind = "model"}), "No such file or directory; check the path");
  EXPECT_IO_ERROR(ArchiveReader(folder / ".", {.kind = "model"}), "Is a directory");
}

}  // namespace
}  // namespace bayesflow::io
