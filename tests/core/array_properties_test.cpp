/// What Array does to shapes, against twins that work by index, on shapes that RapidCheck makes up and shrinks.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "bayesflow/core/array.hpp"

namespace bayesflow {
namespace {

using Index = std::vector<std::int64_t>;

/// The same cases in every run, unless RC_PARAMS asks for others.
const int kSeeded = ::setenv("RC_PARAMS", "seed=1 max_success=200", 0);

std::int64_t pick(std::int64_t first, std::int64_t last) { return *rc::gen::inRange<std::int64_t>(first, last + 1); }

Index pick_extents(std::int64_t most_axes = 4, std::int64_t least = 0) {
  Index out(static_cast<std::size_t>(pick(1, most_axes)));
  for (std::int64_t& extent : out) extent = pick(least, 4);
  return out;
}

Shape shape_of(const Index& extents) {
  Shape out;
  for (const std::int64_t extent : extents) out.push_back(extent);
  return out;
}
Index extents_of(const Array& a) { return {a.shape().begin(), a.shape().end()}; }

/// All values differ: from `first` on.
Array numbered(const Index& extents, double first = 0) {
  Array out(shape_of(extents));
  std::iota(out.values().begin(), out.values().end(), first);
  return out;
}

/// The twin of indexing: row-major, by Horner's rule.
double at(const Array& a, const Index& i) {
  std::int64_t flat = 0;
  for (std::size_t k = 0; k < i.size(); ++k) {
    RC_ASSERT(i[k] >= 0 && i[k] < a.dim(static_cast<int>(k)));
    flat = flat * a.dim(static_cast<int>(k)) + i[k];
  }
  return a.values()[static_cast<std::size_t>(flat)];
}

/// The array has these extents, and at each index the expected value.
template <class Expected>
void expect_array(const Array& a, const Index& extents, Expected expected) {
  RC_ASSERT(extents_of(a) == extents);
  RC_ASSERT(a.size() == std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>()));
  if (a.size() == 0) return;
  Index i(extents.size(), 0);
  for (;;) {
    RC_ASSERT(at(a, i) == expected(i));
    std::size_t k = i.size();
    while (k > 0 && ++i[k - 1] == extents[k - 1]) i[--k] = 0;
    if (k == 0) return;
  }
}

/// Some of the target's axes, to be broadcast to it: leading ones left out, others of extent one.
Index pick_narrower(const Index& target) {
  Index out(target.begin() + pick(0, static_cast<std::int64_t>(target.size()) - 1), target.end());
  for (std::int64_t& extent : out)
    if (pick(0, 2) == 0) extent = 1;
  return out;
}
Index narrowed(const Index& i, const Array& a) {
  Index out(i.end() - a.rank(), i.end());
  for (std::size_t k = 0; k < out.size(); ++k)
    if (a.dim(static_cast<int>(k)) == 1) out[k] = 0;
  return out;
}

RC_GTEST_PROP(ArrayProperties, ReshapingKeepsTheOrder, ()) {
  const Index extents = pick_extents();
  const Array a = numbered(extents);
  Index other = extents;  // with an axis more, or two axes joined
  if (other.size() > 1 && pick(0, 1) == 1) {
    const auto k = static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(other.size()) - 2));
    other[k] *= other[k + 1];
    other.erase(other.begin() + static_cast<std::ptrdiff_t>(k) + 1);
    expect_array(a.reshape(shape_of(other)), other, [&](const Index& i) {
      Index from = i;
      from[k] = i[k] / extents[k + 1];
      from.insert(from.begin() + static_cast<std::ptrdiff_t>(k) + 1, i[k] % extents[k + 1]);
      return at(a, from);
    });
  } else {
    const std::int64_t k = pick(0, static_cast<std::int64_t>(other.size()));
    other.insert(other.begin() + k, 1);
    const Array wider = a.expand_dims(static_cast<int>(k));
    expect_array(wider, other, [&](Index i) {
      i.erase(i.begin() + k);
      return at(a, i);
    });
    RC_ASSERT(wider.squeeze(static_cast<int>(k)) == a);
    RC_ASSERT(wider == a.reshape(shape_of(other)));
  }
  RC_ASSERT(a.reshape(shape_of(other)).reshape(a.shape()) == a);
  expect_array(a.flatten(), {a.size()}, [](const Index& i) { return static_cast<double>(i[0]); });
}

RC_GTEST_PROP(ArrayProperties, TransposingSwapsIndices, ()) {
  const Index extents = pick_extents();
  const Array a = numbered(extents);
  Index reversed(extents.rbegin(), extents.rend());
  expect_array(a.transpose(), reversed, [&](const Index& i) { return at(a, {i.rbegin(), i.rend()}); });
  RC_ASSERT(a.transpose().transpose() == a);
  const auto p = static_cast<std::size_t>(pick(0, a.rank() - 1)), q = static_cast<std::size_t>(pick(0, a.rank() - 1));
  Index swapped = extents;
  std::swap(swapped[p], swapped[q]);
  expect_array(a.swap_axes(static_cast<int>(p), static_cast<int>(q)), swapped, [&](Index i) {
    std::swap(i[p], i[q]);
    return at(a, i);
  });
}

RC_GTEST_PROP(ArrayProperties, BroadcastingRepeats, ()) {
  const Index target = pick_extents();
  const Array a = numbered(pick_narrower(target)), whole = numbered(target, 100);
  expect_array(a.broadcast_to(shape_of(target)), target, [&](const Index& i) { return at(a, narrowed(i, a)); });
  expect_array(a - whole, target, [&](const Index& i) { return at(a, narrowed(i, a)) - at(whole, i); });
  // Both sides narrower, whatever shape comes of it.
  const Array b = numbered(pick_narrower(target), 7);
  const Array& longer = a.rank() >= b.rank() ? a : b;
  const Array& shorter = a.rank() >= b.rank() ? b : a;
  Index joint = extents_of(longer);
  for (int k = 1; k <= shorter.rank(); ++k) {
    std::int64_t& extent = joint[joint.size() - static_cast<std::size_t>(k)];
    if (extent == 1) extent = shorter.dim(-k);
  }
  expect_array(a * b, joint, [&](const Index& i) { return at(a, narrowed(i, a)) * at(b, narrowed(i, b)); });
}

RC_GTEST_PROP(ArrayProperties, ConcatenatedPartsAreFoundAgain, ()) {
  Index extents = pick_extents();
  const auto axis = static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(extents.size()) - 1));
  std::vector<Array> parts;
  std::vector<std::int64_t> owner, first;  // of each index along the axis
  for (std::int64_t p = 0, count = pick(1, 3); p < count; ++p) {
    extents[axis] = pick(0, 3);
    first.insert(first.end(), static_cast<std::size_t>(extents[axis]), static_cast<std::int64_t>(owner.size()));
    owner.insert(owner.end(), static_cast<std::size_t>(extents[axis]), p);
    parts.push_back(numbered(extents, 1000.0 * static_cast<double>(p)));
  }
  extents[axis] = static_cast<std::int64_t>(owner.size());
  const Array joined = concatenate(parts, static_cast<int>(axis));
  expect_array(joined, extents, [&](Index i) {
    const auto k = static_cast<std::size_t>(i[axis]);
    i[axis] -= first[k];
    return at(parts[static_cast<std::size_t>(owner[k])], i);
  });
}

RC_GTEST_PROP(ArrayProperties, PartsAreWhereTheyWere, ()) {
  const Index extents = pick_extents();
  const Array a = numbered(extents);
  const std::int64_t first = pick(0, extents.front()), last = pick(first, extents.front());
  Index part = extents;
  part.front() = last - first;
  expect_array(a.slice(first, last), part, [&](Index i) {
    i.front() += first;
    return at(a, i);
  });
  const std::int64_t left = pick(0, extents.back()), right = pick(left, extents.back());
  part = extents;
  part.back() = right - left;
  expect_array(a.columns(left, right), part, [&](Index i) {
    i.back() += left;
    return at(a, i);
  });
  const int axis = static_cast<int>(pick(0, a.rank() - 1));
  const std::int64_t times = pick(1, 3);
  part = extents;
  part[static_cast<std::size_t>(axis)] *= times;
  expect_array(a.repeat(times, axis), part, [&](Index i) {
    i[static_cast<std::size_t>(axis)] /= times;
    return at(a, i);
  });
  if (extents.front() == 0) return;
  std::vector<std::int64_t> rows(static_cast<std::size_t>(pick(1, 5)));
  for (std::int64_t& row : rows) row = pick(0, extents.front() - 1);
  part = extents;
  part.front() = static_cast<std::int64_t>(rows.size());
  const auto taken = [&](Index i) {
    i.front() = rows[static_cast<std::size_t>(i.front())];
    return at(a, i);
  };
  expect_array(a.take(rows), part, taken);
  std::vector<Array> single;
  for (const std::int64_t row : rows) single.push_back(a.row(row));
  expect_array(stack(single), part, taken);
}

RC_GTEST_PROP(ArrayProperties, SumsGoAlongTheirAxis, ()) {
  const Index extents = pick_extents(4, 1);
  const Array a = numbered(extents, -20);
  const auto axis = static_cast<std::size_t>(pick(0, a.rank() - 1));
  Index kept = extents;
  kept[axis] = 1;
  const auto along = [&](Index i) {
    double sum = 0;  // of whole numbers: exact in any order
    for (i[axis] = 0; i[axis] < extents[axis]; ++i[axis]) sum += at(a, i);
    return sum;
  };
  expect_array(a.sum(static_cast<int>(axis), true), kept, along);
  RC_ASSERT(a.sum(static_cast<int>(axis)).size() == a.size() / extents[axis]);
  expect_array(a.max(static_cast<int>(axis), true), kept, [&](Index i) {  // numbers grow along every axis
    i[axis] = extents[axis] - 1;
    return at(a, i);
  });
}

}  // namespace
}  // namespace bayesflow
