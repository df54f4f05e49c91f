/// Array's arithmetic and statistics, against values worked out by hand or by NumPy.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

std::string shape_error(const std::function<void()>& f) { return sentence<ShapeError>(f); }
const Array kTable = Array::of({{1, 2, 6}, {3, 8, 4}});
const double kNaN = std::nan("");

TEST(ArrayMath, Operators) {
  const Array a = Array::of({6, 8}), b = Array::of({2, 4});
  EXPECT_EQ(a + b, Array::of({8, 12}));
  EXPECT_EQ(a - b, Array::of({4, 4}));
  EXPECT_EQ(a * b, Array::of({12, 32}));
  EXPECT_EQ(a / b, Array::of({3, 2}));
  EXPECT_EQ(a + 1.0, Array::of({7, 9}));
  EXPECT_EQ(a - 1.0, Array::of({5, 7}));
  EXPECT_EQ(a * 2.0, Array::of({12, 16}));
  EXPECT_EQ(a / 2.0, Array::of({3, 4}));
  EXPECT_EQ(1.0 + a, Array::of({7, 9}));
  EXPECT_EQ(1.0 - a, Array::of({-5, -7}));
  EXPECT_EQ(2.0 * a, Array::of({12, 16}));
  EXPECT_EQ(24.0 / a, Array::of({4, 3}));
  EXPECT_EQ(-a, Array::of({-6, -8}));
  EXPECT_EQ(Array::of({1}) / 0.0, Array::of({INFINITY}));
}

TEST(ArrayMath, OperatorsBroadcast) {
  const Array column = Array::of({10, 20}).expand_dims(1);
  EXPECT_EQ(kTable + Array::of({1, 2, 3}), Array::of({{2, 4, 9}, {4, 10, 7}}));
  EXPECT_EQ(Array::of({1, 2, 3}) - kTable, Array::of({{0, 0, -3}, {-2, -6, -1}}));
  EXPECT_EQ(kTable + column, Array::of({{11, 12, 16}, {23, 28, 24}}));
  EXPECT_EQ(column * Array::of({1, 2}), Array::of({{10, 20}, {20, 40}}));
  EXPECT_EQ(Array::scalar(2) * kTable, kTable + kTable);
  EXPECT_EQ((Array({0, 3}) + Array({1, 3})).shape(), (Shape{0, 3}));
  EXPECT_EQ((Array({2, 1}) + Array({1, 0})).shape(), (Shape{2, 0}));
  EXPECT_EQ(shape_error([] { (void)(kTable + Array({2})); }), "Array: shapes (2, 3) and (2,) cannot be combined: axes must agree or be 1");
  EXPECT_EQ(shape_error([] { (void)(Array({3}) / Array({4})); }),
            "Array: shapes (3,) and (4,) cannot be combined: axes must agree or be 1");
}

TEST(ArrayMath, OperatorsInPlace) {
  Array a = kTable;
  const double* data = a.data();
  a += Array::of({1, 2, 3});
  EXPECT_EQ(a, kTable + Array::of({1, 2, 3}));
  a -= Array::of({1, 2, 3});
  EXPECT_EQ(a, kTable);
  a *= Array::of({2, 3}).expand_dims(1);
  EXPECT_EQ(a, Array::of({{2, 4, 12}, {9, 24, 12}}));
  a /= Array::of({2, 3}).expand_dims(1);
  EXPECT_EQ(a, kTable);
  a += 1;
  a *= 2;
  a -= 2;
  a /= 2;
  EXPECT_EQ(a, kTable);
  a += a;
  EXPECT_EQ(a, 2.0 * kTable);
  const Array& itself = a;
  a -= itself;
  EXPECT_EQ(a, Array({2, 3}));
  EXPECT_EQ(a.data(), data);
}

// As in NumPy: an assignment in place keeps the shape of its left side.
TEST(ArrayMath, OperatorsInPlaceNeverChangeTheShape) {
  Array a({2});
  EXPECT_EQ(shape_error([&] { a += Array({3, 2}); }), "Array::broadcast_to: shape (3, 2) cannot be broadcast to (2,)");
  EXPECT_EQ(shape_error([&] { a *= Array({3}); }), "Array::broadcast_to: shape (3,) cannot be broadcast to (2,)");
  EXPECT_EQ(a, Array({2}));
}

TEST(ArrayMath, Functions) {
  EXPECT_EQ(exp(Array::of({0, 1})), Array::of({1, std::exp(1.0)}));
  EXPECT_EQ(log(Array::of({1, 2})), Array::of({0, std::log(2.0)}));
  EXPECT_EQ(sqrt(Array::of({4, 2})), Array::of({2, std::sqrt(2.0)}));
  EXPECT_EQ(abs(Array::of({-4, 2})), Array::of({4, 2}));
  EXPECT_EQ(pow(Array::of({-2, 3}), 3), Array::of({-8, 27}));
  EXPECT_EQ(kTable.map([](double x) { return x * x; }), kTable * kTable);
  EXPECT_EQ(exp(Array({0, 2})).shape(), (Shape{0, 2}));
}

TEST(ArrayMath, SumsAndMeans) {
  EXPECT_EQ(kTable.sum(), 24);
  EXPECT_EQ(kTable.mean(), 4);
  EXPECT_EQ(kTable.min(), 1);
  EXPECT_EQ(kTable.max(), 8);
  EXPECT_NEAR(kTable.variance(), 34.0 / 6, 1e-15);
  EXPECT_NEAR(kTable.variance(1), 34.0 / 5, 1e-15);
  EXPECT_NEAR(kTable.std(1), std::sqrt(34.0 / 5), 1e-15);
  EXPECT_EQ(kTable.sum(0), Array::of({4, 10, 10}));
  EXPECT_EQ(kTable.sum(-1), Array::of({9, 15}));
  EXPECT_EQ(kTable.mean(1), Array::of({3, 5}));
  EXPECT_EQ(kTable.mean(1, true), Array::of({3, 5}).expand_dims(1));
  EXPECT_EQ(kTable.min(0), Array::of({1, 2, 4}));
  EXPECT_EQ(kTable.max(1, true), Array::of({6, 8}).expand_dims(1));
  EXPECT_EQ(kTable.std_along(0), Array::of({1, 3, 1}));
  EXPECT_EQ(kTable.std_along(0, 1, true), Array::of({std::sqrt(2.0), std::sqrt(18.0), std::sqrt(2.0)}).expand_dims(0));
  EXPECT_EQ(Array::of({1, 2, 3}).sum(0), Array::scalar(6));
  EXPECT_EQ(Array::arange(24).reshape({2, 3, 4}).sum(1), Array::of({{12, 15, 18, 21}, {48, 51, 54, 57}}));
  EXPECT_EQ(Array::scalar(3).mean(), 3);
}

// 49 times a mean is not the sum any more.
TEST(ArrayMath, SumsOfWholeNumbersAreExact) {
  Array a({49, 1});
  a[0] = 1;
  EXPECT_EQ(a.sum(0)[0], 1);
}

TEST(ArrayMath, TheSumOfNothingIsZero) {
  EXPECT_EQ(Array().sum(), 0);
  EXPECT_EQ(Array({0, 2}).sum(0), Array({2}));
  EXPECT_EQ(Array({0, 2}).sum(1).shape(), (Shape{0}));
  EXPECT_EQ(Array({2, 0}).sum(-1, true), Array({2, 1}));
}

TEST(ArrayMath, Quantiles) {
  const Array a = Array::of({3, 1, 4, 2});
  EXPECT_EQ(a.quantile(0.0, 0).item(), 1);
  EXPECT_EQ(a.quantile(1.0, 0).item(), 4);
  EXPECT_EQ(a.quantile(0.5, 0).item(), 2.5);
  EXPECT_NEAR(a.quantile(0.25, 0).item(), 1.75, 1e-15);
  EXPECT_NEAR(a.quantile(0.9, 0).item(), 3.7, 1e-15);
  EXPECT_EQ(kTable.median(1), Array::of({2, 4}));
  EXPECT_EQ(kTable.median(0, true), Array::of({{2, 5, 5}}));
  EXPECT_EQ(Array::of({7}).quantile(0.3, 0).item(), 7);
  EXPECT_EQ(Array::of({1, 2, INFINITY}).median(0).item(), 2);  // a rank that is a whole number needs no neighbour
  EXPECT_EQ(Array::of({INFINITY, INFINITY}).median(0).item(), INFINITY);
}

TEST(ArrayMath, NotANumberGoesThroughAsInNumPy) {
  for (const std::size_t place : {0U, 1U, 2U}) {
    double values[] = {1, 2, 3};
    values[place] = kNaN;
    const Array a({3}, values);
    for (const double x :
         {a.sum(), a.mean(), a.min(), a.max(), a.std(), a.min(0).item(), a.max(0).item(), a.median(0).item(), a.quantile(0.1, 0).item()})
      EXPECT_TRUE(std::isnan(x)) << place;
  }
}

TEST(ArrayMath, AllFinite) {
  EXPECT_TRUE(kTable.all_finite());
  EXPECT_TRUE(Array().all_finite());
  EXPECT_TRUE((Array({2}, std::numeric_limits<double>::max()).all_finite()));
  for (const double bad : {kNaN, double{INFINITY}, -double{INFINITY}})
    for (std::int64_t i = 0; i < 6; ++i) {
      Array a = kTable;
      a[i] = bad;
      EXPECT_FALSE(a.all_finite());
    }
  EXPECT_FALSE(Array::of({INFINITY, -INFINITY}).all_finite());
}

TEST(ArrayMath, MatrixProduct) {
  EXPECT_EQ(matmul(Array::of({{1, 2, 3}, {4, 5, 6}}), Array::of({{1, 2}, {3, 4}, {5, 6}})), Array::of({{22, 28}, {49, 64}}));
  EXPECT_EQ(matmul(Array({2, 0}), Array({0, 3})), Array({2, 3}));
  EXPECT_EQ(shape_error([] {
              (void)matmul(Array({2, 3}), Array({2, 3}));
            }),
            "matmul: needs shapes (m, k) and (k, n); got (2, 3) and (2, 3)");
  EXPECT_EQ(shape_error([] { (void)matmul(Array({3}), Array({3, 1})); }), "matmul: needs shapes (m, k) and (k, n); got (3,) and (3, 1)");
}

TEST(ArrayMath, AllFiniteSeesEveryEntry) {
  EXPECT_TRUE(Array().all_finite());
  for (std::int64_t size = 1; size <= 19; ++size) {
    EXPECT_TRUE(Array({size}, 1e308).all_finite());
    for (std::int64_t bad = 0; bad < size; ++bad)
      for (const double value : {kNaN, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
        Array a({size}, 1.0);
        a(bad) = value;
        EXPECT_FALSE(a.all_finite()) << size << ", " << bad;
      }
  }
}

TEST(ArrayMath, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(shape_error([] { (void)Array().mean(); }), "Array::mean: needs at least one element; got shape (0,)");
  EXPECT_EQ(shape_error([] { (void)Array({2, 0}).min(); }), "Array::min: needs at least one element; got shape (2, 0)");
  EXPECT_EQ(shape_error([] { (void)Array().max(); }), "Array::max: needs at least one element; got shape (0,)");
  EXPECT_EQ(shape_error([] { (void)Array().std(); }), "Array::variance: needs at least one element; got shape (0,)");
  EXPECT_EQ(shape_error([] { (void)kTable.sum(2); }), "Array::sum: axis 2 is out of range for shape (2, 3)");
  EXPECT_EQ(shape_error([] { (void)kTable.mean(-3); }), "Array::mean: axis -3 is out of range for shape (2, 3)");
  EXPECT_EQ(shape_error([] { (void)Array({2, 0}).mean(1); }), "Array::mean: axis 1 of shape (2, 0) is empty");
  EXPECT_EQ(shape_error([] { (void)Array({2, 0}).median(1); }), "Array::quantile: axis 1 of shape (2, 0) is empty");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)kTable.quantile(1.5, 0); }), "Array::quantile: probability must lie in [0, 1]; got 1.5");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)kTable.quantile(kNaN, 0); }), "Array::quantile: probability must lie in [0, 1]; got nan");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)Array::of({1}).std(1); }), "Array: a variance with ddof 1 needs more than 1 values; got 1");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)kTable.std_along(0, 2); }), "Array: a variance with ddof 2 needs more than 2 values; got 2");
}

}  // namespace
}  // namespace bayesflow
