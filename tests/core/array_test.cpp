/// Array's making, indexing, shapes and parts, against values worked out by hand.
#include "bayesflow/core/array.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

std::string shape_error(const std::function<void()>& f) { return sentence<ShapeError>(f); }
const Array k234 = Array::arange(24).reshape({2, 3, 4});

TEST(Array, IsMadeFromShapesAndValues) {
  EXPECT_EQ(Array().shape(), (Shape{0}));
  EXPECT_TRUE(Array().empty());
  EXPECT_EQ(Array({2, 2}), Array::of({{0, 0}, {0, 0}}));
  EXPECT_EQ(Array({3}, 1.5), Array::of({1.5, 1.5, 1.5}));
  const double values[] = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(Array({2, 3}, values), Array::of({{1, 2, 3}, {4, 5, 6}}));
  EXPECT_EQ(Array::scalar(4).rank(), 0);
  EXPECT_EQ(Array::scalar(4).size(), 1);
  EXPECT_EQ(Array::scalar(4).item(), 4);
  EXPECT_EQ(Array::arange(4), Array::of({0, 1, 2, 3}));
  EXPECT_EQ(Array::arange(0).shape(), (Shape{0}));
  EXPECT_EQ(Array::linspace(0, 1, 5), Array::of({0, 0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(Array::linspace(3, 9, 1), Array::of({3}));
  EXPECT_EQ(Array::linspace(3, 9, 0).size(), 0);
  EXPECT_EQ(Array::linspace(0, 0.7, 50)[49], 0.7);  // the end exactly, whatever rounding does
  EXPECT_EQ(uninitialized_array({2, 5}).shape(), (Shape{2, 5}));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(Array({5}).data()) % 64, 0U);
}

TEST(Array, MakingErrorsSayWhatIsWrong) {
  const double values[] = {1, 2, 3};
  EXPECT_EQ(shape_error([&] { Array({2, 2}, values); }), "Array: shape (2, 2) needs 4 values; got 3");
  EXPECT_EQ(shape_error([] { (void)Array::of({{1, 2, 3}, {1, 2}}); }), "Array::of: all rows must have the same length; got 3 and 2");
  EXPECT_EQ(shape_error([] { (void)Array::arange(-1); }), "Shape: extents must not be negative; got -1 for axis 0");
  const std::int64_t big = std::int64_t{1} << 40;
  EXPECT_EQ(shape_error([&] { Array({big, big}); }), "Shape: (1099511627776, 1099511627776) has more elements than can be counted");
  EXPECT_THROW(Array({std::int64_t{1} << 61}), std::bad_alloc);  // its bytes cannot be counted
}

TEST(Array, CopiesAndMoves) {
  Array a = k234;
  Array copy(a);
  copy(0, 0, 0) = 100;
  EXPECT_EQ(a, k234);
  const double* data = a.data();
  Array moved(std::move(a));
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(a.shape(), (Shape{0}));  // NOLINT: a moved-from array is an empty one
  EXPECT_TRUE(a.empty());
  a = moved;  // and can be used again
  EXPECT_EQ(a, k234);
  Array target({2});
  target = std::move(moved);
  EXPECT_EQ(target, k234);
  Array same_size({24}, 1.0);
  const double* kept = same_size.data();
  same_size = k234;  // no new memory for the same number of elements
  EXPECT_EQ(same_size.data(), kept);
  EXPECT_EQ(same_size, k234);
  same_size = Array();
  EXPECT_EQ(same_size, Array());
  same_size = Array::scalar(1);
  EXPECT_EQ(same_size.rank(), 0);
}

TEST(Array, SelfAssignmentChangesNothing) {
  Array a = k234;
  Array& alias = a;
  a = alias;
  EXPECT_EQ(a, k234);
  a = std::move(alias);
  EXPECT_EQ(a, k234);
  a = a.row(1);
  EXPECT_EQ(a(0, 0), 12);
  std::swap(a, alias);
  EXPECT_EQ(a(0, 0), 12);
}

TEST(Array, ElementsAreCheckedByIndex) {
  Array a = k234;
  const Array& c = a;
  EXPECT_EQ(c(1, 2, 3), 23);
  EXPECT_EQ(c[23], 23);
  a(1, 0, 2) = -1;
  a[0] = -2;
  EXPECT_EQ(c(1, 0, 2), -1);
  EXPECT_EQ(c(0, 0, 0), -2);
  Array scalar = Array::scalar(3);
  scalar() = 4;
  EXPECT_EQ(std::as_const(scalar)(), 4);
  EXPECT_EQ(a.dim(-1), 4);
  EXPECT_EQ(a.rank(), 3);
  EXPECT_EQ(a.values().size(), 24U);
  EXPECT_EQ(shape_error([&] { (void)c(0, 0); }), "Array: shape (2, 3, 4) needs 3 indices; got 2");
  EXPECT_EQ(shape_error([&] { (void)c(); }), "Array: shape (2, 3, 4) needs 3 indices; got 0");
  EXPECT_EQ(shape_error([&] { (void)a(0, 3, 0); }), "Array: index 3 is out of range for axis 1 of shape (2, 3, 4)");
  EXPECT_EQ(shape_error([&] { (void)c(0, 0, -1); }), "Array: index -1 is out of range for axis 2 of shape (2, 3, 4)");
  EXPECT_EQ(shape_error([&] { (void)c[24]; }), "Array: flat index 24 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([&] { (void)a[-1]; }), "Array: flat index -1 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([&] { (void)c.dim(3); }), "Shape: axis 3 is out of range for (2, 3, 4) (3 axes)");
  EXPECT_EQ(shape_error([&] { (void)c.item(); }), "Array::item: needs exactly one element; got shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)Array()[0]; }), "Array: flat index 0 is out of range for shape (0,)");
  EXPECT_EQ((Array({1, 1, 1}, 7.0).item()), 7);
}

TEST(Array, ShapesChange) {
  EXPECT_EQ(k234.reshape({6, 4})(5, 3), 23);
  EXPECT_EQ(k234.flatten(), Array::arange(24));
  EXPECT_EQ(Array::scalar(2).flatten(), Array::of({2}));
  EXPECT_EQ(k234.expand_dims(0).shape(), (Shape{1, 2, 3, 4}));
  EXPECT_EQ(k234.expand_dims(-1).shape(), (Shape{2, 3, 4, 1}));
  EXPECT_EQ(k234.expand_dims(-2).shape(), (Shape{2, 3, 1, 4}));
  EXPECT_EQ(k234.expand_dims(1).squeeze(1), k234);
  EXPECT_EQ(k234.expand_dims(3).squeeze(-1), k234);
  EXPECT_EQ(Array::scalar(2).expand_dims(0), Array::of({2}));
  EXPECT_EQ(Array({0, 5}).reshape({7, 0, 2}).shape(), (Shape{7, 0, 2}));
  EXPECT_EQ(shape_error([] {
              (void)k234.reshape({5, 5});
            }),
            "Array::reshape: 24 elements of shape (2, 3, 4) do not fit shape (5, 5) (25 elements)");
  EXPECT_EQ(shape_error([] { (void)k234.expand_dims(4); }), "Array::expand_dims: axis 4 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)k234.expand_dims(-5); }), "Array::expand_dims: axis -5 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)k234.squeeze(0); }), "Array::squeeze: axis 0 of shape (2, 3, 4) must have extent 1");
  EXPECT_EQ(shape_error([] { (void)k234.squeeze(3); }), "Array::squeeze: axis 3 is out of range for shape (2, 3, 4)");
}

TEST(Array, AxesChange) {
  EXPECT_EQ(Array::of({{1, 2, 3}, {4, 5, 6}}).transpose().row(2), Array::of({3, 6}));
  const Array t = k234.transpose(), s = k234.swap_axes(0, 1), u = k234.swap_axes(-1, 1);
  EXPECT_EQ(t.shape(), (Shape{4, 3, 2}));
  EXPECT_EQ(s.shape(), (Shape{3, 2, 4}));
  EXPECT_EQ(u.shape(), (Shape{2, 4, 3}));
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 3; ++j)
      for (std::int64_t k = 0; k < 4; ++k) {
        EXPECT_EQ(t(k, j, i), k234(i, j, k));
        EXPECT_EQ(s(j, i, k), k234(i, j, k));
        EXPECT_EQ(u(i, k, j), k234(i, j, k));
      }
  EXPECT_EQ(k234.swap_axes(1, 1), k234);
  EXPECT_EQ(Array::scalar(3).transpose(), Array::scalar(3));
  EXPECT_EQ(Array::of({1, 2}).transpose(), Array::of({1, 2}));
  EXPECT_EQ(Array({0, 3}).transpose().shape(), (Shape{3, 0}));
  EXPECT_EQ(shape_error([] { (void)k234.swap_axes(0, 3); }), "Array::swap_axes: axis 3 is out of range for shape (2, 3, 4)");
}

TEST(Array, Broadcasts) {
  EXPECT_EQ(Array::of({1, 2}).broadcast_to({3, 2}), Array::of({{1, 2}, {1, 2}, {1, 2}}));
  EXPECT_EQ(Array::of({1, 2}).expand_dims(1).broadcast_to({2, 2}), Array::of({{1, 1}, {2, 2}}));
  EXPECT_EQ(Array::scalar(5).broadcast_to({2, 2}), Array::of({{5, 5}, {5, 5}}));
  EXPECT_EQ(Array({1}).broadcast_to({0}).shape(), (Shape{0}));
  EXPECT_EQ(k234.broadcast_to({2, 3, 4}), k234);
  EXPECT_EQ(shape_error([] { (void)k234.broadcast_to({2, 3}); }), "Array::broadcast_to: shape (2, 3, 4) cannot be broadcast to (2, 3)");
  EXPECT_EQ(shape_error([] {
              (void)k234.broadcast_to({3, 3, 4});
            }),
            "Array::broadcast_to: shape (2, 3, 4) cannot be broadcast to (3, 3, 4)");
}

TEST(Array, RowsAreTakenAndSet) {
  EXPECT_EQ(k234.row(1)(2, 3), 23);
  EXPECT_EQ(Array::of({3, 4}).row(1), Array::scalar(4));
  EXPECT_EQ(k234.row_values(1)[0], 12);
  EXPECT_EQ(k234.row_values(1).size(), 12U);
  EXPECT_EQ(Array({2, 0}).row(1).shape(), (Shape{0}));
  Array a({2, 2});
  a.set_row(1, Array::of({5, 6}));
  EXPECT_EQ(a, Array::of({{0, 0}, {5, 6}}));
  a.set_row(0, a.row(1));
  EXPECT_EQ(a.row(0), Array::of({5, 6}));
  EXPECT_EQ(shape_error([] { (void)k234.row(2); }), "Array::row: row 2 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)k234.row(-1); }), "Array::row: row -1 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)Array::scalar(1).row(0); }), "Array::row: row 0 is out of range for shape ()");
  EXPECT_EQ(shape_error([] { (void)Array().row(0); }), "Array::row: row 0 is out of range for shape (0,)");
  EXPECT_EQ(shape_error([&] { a.set_row(0, Array({3})); }), "Array::set_row: a row of shape (2, 2) has 2 values; got shape (3,)");
}

TEST(Array, PartsAreTaken) {
  EXPECT_EQ(Array::arange(5).slice(1, 3), Array::of({1, 2}));
  EXPECT_EQ(k234.slice(1, 2).shape(), (Shape{1, 3, 4}));
  EXPECT_EQ(k234.slice(1, 2)[0], 12);
  EXPECT_EQ(k234.slice(2, 2).shape(), (Shape{0, 3, 4}));
  EXPECT_EQ(Array({0, 5}).slice(0, 0).shape(), (Shape{0, 5}));
  EXPECT_EQ(k234.columns(1, 3).shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(k234.columns(1, 3)(1, 2, 1), 22);
  EXPECT_EQ(k234.columns(4, 4).shape(), (Shape{2, 3, 0}));
  EXPECT_EQ(Array::arange(5).columns(3, 5), Array::of({3, 4}));
  EXPECT_EQ(Array({3, 0}).columns(0, 0).shape(), (Shape{3, 0}));
  const std::int64_t rows[] = {1, 1, 0};
  EXPECT_EQ(Array::of({{1, 2}, {3, 4}}).take(rows), Array::of({{3, 4}, {3, 4}, {1, 2}}));
  EXPECT_EQ(k234.take({}).shape(), (Shape{0, 3, 4}));
  EXPECT_EQ(Array::of({1, 2}).repeat(2, 0), Array::of({1, 1, 2, 2}));
  EXPECT_EQ(Array::of({{1, 2}, {3, 4}}).repeat(2, 1), Array::of({{1, 1, 2, 2}, {3, 3, 4, 4}}));
  EXPECT_EQ(Array::of({{1, 2}, {3, 4}}).repeat(2, -2), Array::of({{1, 2}, {1, 2}, {3, 4}, {3, 4}}));
  EXPECT_EQ(k234.repeat(0, 1).shape(), (Shape{2, 0, 4}));
  EXPECT_EQ(shape_error([] { (void)k234.slice(0, 3); }), "Array::slice: rows [0, 3) are out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)k234.slice(2, 1); }), "Array::slice: rows [2, 1) are out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)Array::scalar(1).slice(0, 0); }), "Array::slice: rows [0, 0) are out of range for shape ()");
  EXPECT_EQ(shape_error([] { (void)k234.columns(-1, 2); }), "Array::columns: columns [-1, 2) are out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([] { (void)Array::scalar(1).columns(0, 0); }), "Array::columns: columns [0, 0) are out of range for shape ()");
  const std::int64_t outside[] = {2};
  EXPECT_EQ(shape_error([&] { (void)k234.take(outside); }), "Array::row: row 2 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(shape_error([&] { (void)Array::scalar(1).take(outside); }), "Array::take: a scalar has no rows");
  EXPECT_EQ(shape_error([] { (void)k234.repeat(2, 3); }), "Array::repeat: axis 3 is out of range for shape (2, 3, 4)");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)k234.repeat(-1, 0); }), "Array::repeat: times must not be negative; got -1");
}

TEST(Array, ArraysAreJoined) {
  const Array a = Array::of({{1, 2}, {3, 4}}), b = Array::of({{5, 6}, {7, 8}});
  const Array both[] = {a, b};
  EXPECT_EQ(stack(both).shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(stack(both).row(1), b);
  EXPECT_EQ(concatenate(both, 0), Array::of({{1, 2}, {3, 4}, {5, 6}, {7, 8}}));
  EXPECT_EQ(concatenate({a, b}, 1), Array::of({{1, 2, 5, 6}, {3, 4, 7, 8}}));
  EXPECT_EQ(concatenate({a, b}, -1), concatenate({a, b}, 1));
  EXPECT_EQ(concatenate({a, Array({0, 2}), b}, 0), concatenate(both, 0));
  EXPECT_EQ(concatenate({a, Array({2, 0})}, 1), a);
  EXPECT_EQ(concatenate({Array(), Array::of({1})}, 0), Array::of({1}));
  const Array scalars[] = {Array::scalar(1), Array::scalar(2)};
  EXPECT_EQ(stack(scalars), Array::of({1, 2}));
  const Array uneven[] = {a, Array({3})};
  EXPECT_EQ(shape_error([&] { (void)stack(uneven); }), "stack: all arrays must have one shape; array 0 has (2, 2), array 1 has (3,)");
  EXPECT_EQ(shape_error([&] {
              (void)concatenate({a, Array({2, 3})}, 0);
            }),
            "concatenate: all axes but 0 must agree; got (2, 2) and (2, 3)");
  EXPECT_EQ(shape_error([&] { (void)concatenate({a, Array({2})}, 0); }), "concatenate: all axes but 0 must agree; got (2, 2) and (2,)");
  EXPECT_EQ(shape_error([&] { (void)concatenate({a, b}, 2); }), "Array::concatenate: axis 2 is out of range for shape (2, 2)");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)stack({}); }), "stack: needs at least one array");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)concatenate(std::span<const Array>(), 0); }), "concatenate: needs at least one array");
}

TEST(Array, EqualityNeedsShapeAndValues) {
  EXPECT_EQ(Array::of({1, 2}), Array::of({1, 2}));
  EXPECT_FALSE(Array::of({1, 2}) == Array::of({1, 3}));
  EXPECT_FALSE(Array::of({1, 2}) == Array::of({1, 2}).expand_dims(0));
  EXPECT_EQ(Array({0, 3}), Array({0, 3}));
  EXPECT_FALSE(Array({0, 3}) == Array({0, 2}));
  EXPECT_FALSE(Array::scalar(std::nan("")) == Array::scalar(std::nan("")));
  EXPECT_EQ(Array::scalar(0.0), Array::scalar(-0.0));
}

TEST(Array, IsPrintedWithLongAxesShortened) {
  EXPECT_EQ(Array::scalar(2.5).to_string(), "2.5");
  EXPECT_EQ(Array().to_string(), "[]");
  EXPECT_EQ(Array::of({1, 2.5, -3e10}).to_string(), "[1 2.5 -3e+10]");
  EXPECT_EQ(Array::of({{1, 2}, {3, 4}}).to_string(), "[[1 2]\n [3 4]]");
  EXPECT_EQ(Array::arange(8).reshape({2, 2, 2}).to_string(), "[[[0 1]\n  [2 3]]\n [[4 5]\n  [6 7]]]");
  EXPECT_EQ(Array::arange(12).to_string(), "[0 1 2 3 4 5 6 7 8 9 10 11]");
  EXPECT_EQ(Array::arange(100).to_string(), "[0 1 2 ... 97 98 99]");
  EXPECT_EQ(Array({100, 1}).to_string(), "[[0]\n [0]\n [0]\n ...\n [0]\n [0]\n [0]]");
  EXPECT_EQ(Array({2, 0}).to_string(), "[[]\n []]");
  EXPECT_EQ(Array::of({INFINITY, -INFINITY}).to_string(), "[inf -inf]");
}

}  // namespace
}  // namespace bayesflow
