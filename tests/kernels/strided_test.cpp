#include "kernels/strided.hpp"

#include <functional>
#include <vector>

#include "support_numbers.hpp"
#include "support_targets.hpp"

namespace bayesflow::kernels {
namespace {

/// f(offset in what is read, offset in what is written) for every index of the nest, the last axis fastest.
void for_every_index(const Strided& s, const std::function<void(std::int64_t, std::int64_t)>& f, std::size_t axis = 0,
                     std::int64_t from = 0, std::int64_t to = 0) {
  if (axis == static_cast<std::size_t>(s.rank)) return f(from, to);
  for (std::int64_t i = 0; i < s.extents[axis]; ++i) for_every_index(s, f, axis + 1, from + i * s.from[axis], to + i * s.to[axis]);
}

struct Axis {
  std::int64_t extent, from, to;
};
Strided nest(std::initializer_list<Axis> axes) {
  Strided s;
  for (const Axis& a : axes) s.add(a.extent, a.from, a.to);
  return s;
}

TEST(Strided, CopiesAndSumsAreThoseOfAPlainLoopOnEveryTarget) {
  Rng rng(1, "strided");
  const Strided copies[] = {nest({}),
                            nest({{7, 1, 1}}),
                            nest({{3, 17, 20}, {17, 1, 1}}),                // a slice
                            nest({{5, 1, 33}, {33, 5, 1}}),                 // a transpose
                            nest({{2, 165, 165}, {5, 1, 33}, {33, 5, 1}}),  // of each of two
                            nest({{3, 0, 35}, {5, 0, 7}, {7, 1, 1}}),       // a broadcast
                            nest({{3, 1, 7}, {7, 0, 1}}),                   // over the last axis
                            nest({{4, 1, 1}, {0, 4, 4}}),
                            nest({{2, 24, 24}, {1, 5, 7}, {4, 6, 1}, {6, 1, 4}})};
  const Strided sums[] = {nest({{5, 7, 0}, {7, 1, 1}}), nest({{5, 7, 1}, {7, 1, 0}}), nest({{5, 1, 0}, {7, 5, 0}}),
                          nest({{2, 1, 3}, {3, 2, 1}}), nest({{4, 3, 0}, {3, 1, 2}}), nest({{6, 2, 0}})};
  const Numbers x(400, rng), start(400, rng);
  for (const Strided& s : copies) {
    for_each_target([&] {
      Numbers y = start, want = start;
      for_every_index(s, [&](std::int64_t from, std::int64_t to) { want[to] = x[from]; });
      copy_strided(s, x.data(), y.data());
      for (std::int64_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], want[i]);
    });
  }
  std::vector<Strided> all(std::begin(copies), std::end(copies));
  all.insert(all.end(), std::begin(sums), std::end(sums));
  for (const Strided& s : all)
    for_each_target([&] {
      Numbers y = start;
      std::vector<double> want(400);
      for (std::size_t i = 0; i < want.size(); ++i) want[i] = static_cast<double>(start[static_cast<std::int64_t>(i)]);
      for_every_index(s, [&](std::int64_t from, std::int64_t to) { want[static_cast<std::size_t>(to)] += static_cast<double>(x[from]); });
      add_strided(s, x.data(), y.data());
      for (std::int64_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], want[static_cast<std::size_t>(i)], 1e-5);
    });
}

}  // namespace
}  // namespace bayesflow::kernels
