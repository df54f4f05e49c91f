#include "bayesflow/core/shape.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

TEST(Shape, HasRankExtentsAndSize) {
  const Shape none, shape{2, 3, 4};
  EXPECT_EQ(none.rank(), 0);
  EXPECT_EQ(none.size(), 1);
  EXPECT_EQ(none.begin(), none.end());
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.size(), 24);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_EQ((Shape{5, 0, 7}.size()), 0);
  EXPECT_EQ((Shape{1, 2, 3, 4, 5, 6}.rank()), Shape::kMaxRank);
}

TEST(Shape, IsWrittenAsInPython) {
  EXPECT_EQ(Shape{}.to_string(), "()");
  EXPECT_EQ(Shape{3}.to_string(), "(3,)");
  EXPECT_EQ((Shape{32, 50, 4}.to_string()), "(32, 50, 4)");
}

TEST(Shape, ComparesRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2}), (Shape{2, 1}));
  EXPECT_EQ(Shape{}, Shape());
  Shape shrunk = Shape{2, 3, 4}.slice(0, 2);  // what once lay behind the rank does not count
  EXPECT_EQ(shrunk, (Shape{2, 3}));
}

TEST(Shape, GrowsAndChanges) {
  Shape shape{2};
  shape.push_back(5);
  shape.set(-2, 7);
  EXPECT_EQ(shape, (Shape{7, 5}));
  EXPECT_EQ(shape.prepend(3), (Shape{3, 7, 5}));
  EXPECT_EQ(Shape{}.prepend(3), (Shape{3}));
}

TEST(Shape, SlicesLikeAPythonTuple) {
  const Shape shape{2, 3, 4, 5};
  EXPECT_EQ(shape.slice(1, 3), (Shape{3, 4}));
  EXPECT_EQ(shape.slice(-2, 4), (Shape{4, 5}));
  EXPECT_EQ(shape.slice(0, -1), (Shape{2, 3, 4}));
  EXPECT_EQ(shape.slice(2, 2), Shape{});
  EXPECT_EQ(shape.slice(3, 1), Shape{});
  EXPECT_EQ(shape.slice(0, 9), shape);
}

TEST(Shape, ErrorsSayWhatIsWrong) {
  const auto says = [](auto f) { return sentence<ShapeError>(f); };
  EXPECT_EQ(says([] { Shape{2, -3}; }), "Shape: extents must not be negative; got -3 for axis 1");
  EXPECT_EQ(says([] { Shape{1, 2, 3, 4, 5, 6, 7}; }), "Shape: at most 6 axes are supported; got one more than (1, 2, 3, 4, 5, 6)");
  EXPECT_EQ(says([] { (void)Shape{1, 2, 3, 4, 5, 6}.prepend(7); }),
            "Shape: at most 6 axes are supported; got one more than (7, 1, 2, 3, 4, 5)");
  EXPECT_EQ(says([] { (void)Shape{2, 3}[2]; }), "Shape: axis 2 is out of range for (2, 3) (2 axes)");
  EXPECT_EQ(says([] { (void)Shape{2, 3}[-3]; }), "Shape: axis -3 is out of range for (2, 3) (2 axes)");
  EXPECT_EQ(says([] { (void)Shape{}[0]; }), "Shape: axis 0 is out of range for () (0 axes)");
  EXPECT_EQ(says([] { Shape{2}.set(1, 4); }), "Shape: axis 1 is out of range for (2,) (1 axes)");
  EXPECT_EQ(says([] { Shape{2}.set(0, -4); }), "Shape: extents must not be negative; got -4 for axis 0");
}

TEST(Shape, SizesThatCannotBeCountedAreErrors) {
  const std::int64_t big = std::int64_t{1} << 40;
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)Shape{big, big}.size();
            }),
            "Shape: (1099511627776, 1099511627776) has more elements than can be counted");
  EXPECT_EQ((Shape{big, big, 0}.size()), 0);
  EXPECT_EQ((Shape{std::numeric_limits<std::int64_t>::max(), 1}.size()), std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace bayesflow
