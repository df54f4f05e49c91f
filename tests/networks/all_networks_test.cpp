/// What every summary network must do: all classes of the registry, by the cases of support/summary_cases.hpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "networks/support_networks.hpp"
#include "support/op_table.hpp"
#include "support/summary_cases.hpp"

namespace bayesflow {
namespace {

using support::SummaryCase;

TEST(AllSummaryNetworks, HaveACase) {
  const std::vector<SummaryCase> cases = support::summary_cases();
  networks::for_each_summary_network([&]<class Net>(const char* name) {
    const auto made_here = [&](const SummaryCase& c) { return c.network == name && dynamic_cast<Net*>(c.make().get()); };
    EXPECT_TRUE(std::ranges::any_of(cases, made_here)) << name << ": add a case to tests/support/summary_cases.hpp";
  });
}

struct Built {
  nn::ParameterStore store;
  SummaryPart net;
  Built(const SummaryCase& c, bool times = false) : net(c.make()) {
    support::build(*net.get(), nn::Builder(store, 1), c.shape(2, 5), times);
    nn::randomize(store, 2, 0.3);
  }
  Array operator()(const Array& x, const Array* mask = nullptr, const Array* times = nullptr) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor y =
        support::forward(*net.get(), tape, tape.input(x), mask ? tape.input(*mask) : Tensor(), times ? tape.input(*times) : Tensor());
    Array out(y.shape());
    for (std::int64_t i = 0; i < y.size(); ++i) out.data()[i] = static_cast<double>(y.data()[i]);
    return out;
  }
};

/// Walks over the places (batch, observations ...) of data: f(place, coordinates on the axes of observations).
template <class F>
void for_each_place(const Shape& places, F&& f) {
  std::vector<std::int64_t> at(static_cast<std::size_t>(places.rank()), 0);
  for (std::int64_t place = 0; place < places.size(); ++place) {
    f(place, at);
    for (int axis = places.rank() - 1; axis >= 0 && ++at[static_cast<std::size_t>(axis)] == places[axis]; --axis)
      at[static_cast<std::size_t>(axis)] = 0;
  }
}

/// Data sets of several sizes, padded to the size of the largest and a little more by what is not data.
struct Padded {
  std::vector<Array> sets, set_times;  // each (1, ...)
  Array data, mask, times;
  explicit Padded(const SummaryCase& c) {
    const std::vector<std::int64_t> sizes = {5, 1, 4, 2};
    const auto count = static_cast<std::int64_t>(sizes.size());
    const Shape shape = c.shape(count, 7), places = shape.slice(0, -1);
    data = Array(shape, 1e6);
    mask = Array(places, 0.0);
    times = Array(places, -1e6);
    for (std::size_t s = 0; s < sizes.size(); ++s) {
      sets.push_back(c.data(1, sizes[s], s));
      Rng rng(s, "times");
      set_times.push_back(rng.uniform(sets[s].shape().slice(0, -1), 0.0, 20.0));
      std::int64_t from = 0;
      for_each_place(places, [&](std::int64_t place, const std::vector<std::int64_t>& at) {
        if (at[0] != static_cast<std::int64_t>(s) || *std::max_element(at.begin() + 1, at.end()) >= sizes[s]) return;
        std::copy_n(sets[s].data() + from * c.width, c.width, data.data() + place * c.width);
        mask.data()[place] = 1;
        times.data()[place] = set_times[s].data()[from++];
      });
    }
  }
};

class AllSummaryNetworksCase : public testing::TestWithParam<SummaryCase> {};

TEST_P(AllSummaryNetworksCase, PaddingChangesNothing) {
  const Built b(GetParam());
  ASSERT_TRUE(b.net->takes_mask());
  const Padded padded(GetParam());
  const Array together = b(padded.data, &padded.mask);
  for (std::size_t s = 0; s < padded.sets.size(); ++s) {
    const auto row = static_cast<std::int64_t>(s);
    const Array alone = b(padded.sets[s]);
    EXPECT_LE(largest_difference(together.slice(row, row + 1), alone), 1e-5 * std::max(1.0, abs(alone).max())) << "data set " << s;
  }
  const Array x = GetParam().data(3, 5), all(x.shape().slice(0, -1), 1.0);
  EXPECT_LE(largest_difference(b(x, &all), b(x)), 1e-5) << "a mask that takes nothing away";
  const Array none(x.shape().slice(0, -1), 0.0);
  EXPECT_TRUE(b(x, &none).all_finite()) << "no observation at all";
}

TEST_P(AllSummaryNetworksCase, PaddingChangesNothingBesideTimes) {
  const Built b(GetParam(), true);
  if (!b.net->takes_times()) return;
  const Padded padded(GetParam());
  const Array together = b(padded.data, &padded.mask, &padded.times);
  for (std::size_t s = 0; s < padded.sets.size(); ++s) {
    const auto row = static_cast<std::int64_t>(s);
    EXPECT_LE(largest_difference(together.slice(row, row + 1), b(padded.sets[s], nullptr, &padded.set_times[s])), 1e-5) << "data set " << s;
  }
  Array later = padded.set_times[0];
  later *= 1.5;
  EXPECT_GT(largest_difference(b(padded.sets[0], nullptr, &later), b(padded.sets[0], nullptr, &padded.set_times[0])), 1e-4)
      << "times are read";
  EXPECT_THROW((void)b(padded.sets[0]), ShapeError) << "built with times";
  const Built without(GetParam(), false);
  EXPECT_THROW((void)without(padded.sets[0], nullptr, &padded.set_times[0]), ShapeError) << "built without";
}

TEST_P(AllSummaryNetworksCase, TakesAnyNumberOfObservations) {
  const Built b(GetParam());
  for (const std::int64_t n : {1, 2, 7, 20}) {
    const Array x = GetParam().data(3, n), all = b(x);
    EXPECT_EQ(all.shape(), (Shape{3, b.net->summary_dim()}));
    for (std::int64_t s = 0; s < 3; ++s)
      EXPECT_LE(largest_difference(b(x.slice(s, s + 1)), all.slice(s, s + 1)), 1e-5) << "data sets do not see each other";
    // Not because the summary ignores its data.
    EXPECT_GT(largest_difference(b(GetParam().data(3, n, 2)), all), 1e-4);
  }
}

TEST_P(AllSummaryNetworksCase, CostGrowsWithTheNumberOfObservations) {
  const SummaryCase& c = GetParam();
  Built b(c);
  const auto flops = [&](std::int64_t n) {
    nn::GradientBuffers buffers(b.store);
    Tape tape;
    tape.reset({.lanes = &buffers});
    tape.backward(support::forward(*b.net.get(), tape, tape.input(c.data(2, n))));
    return static_cast<double>(tape.product_flops()) / static_cast<double>(c.shape(1, n).size());
  };
  const std::int64_t n = c.axes == 1 ? 64 : 8;
  const double growth = flops(2 * n) / flops(n);  // for each observation
  if (c.quadratic)
    EXPECT_GT(growth, 1.1) << "docs/networks.md says that it is quadratic";
  else
    EXPECT_LT(growth, 1.1);
}

TEST_P(AllSummaryNetworksCase, GradientsAgreeWithDifferences) {
  const auto check = [&](Built& b, const std::vector<Array>& inputs, const Array* mask, const Array* times, const char* what) {
    const GradientCheck result =
        nn::check_gradient(b.store,
                           [&](Tape& t, std::span<const Tensor> x) {
                             // The column that selects a part is no number to differentiate by.
                             Tensor data = x[0];
                             if (GetParam().parts > 0) {
                               const Tensor both[] = {ops::columns(t.input(inputs[0]), 0, 1), ops::columns(data, 1, data.cols())};
                               data = ops::concat(both);
                             }
                             return std::vector<Tensor>{support::forward(*b.net.get(), t, data, mask ? t.input(*mask) : Tensor(),
                                                                         times ? t.input(*times) : Tensor())};
                           },
                           inputs, {.tolerance = 2e-3, .max_elements = 4, .unresolved = 0.6, .floor = 0.1});
    EXPECT_TRUE(result.passed()) << what << ": " << result.to_string();
  };
  Built b(GetParam());
  check(b, {GetParam().data(3, 5)}, nullptr, nullptr, "no mask");
  const Padded padded(GetParam());
  Array data = padded.data;
  for (double& v : data.values()) v = v == 1e6 ? 0.5 : v;  // differences in float32 need numbers of order one
  check(b, {data}, &padded.mask, nullptr, "mask");
  Built timed(GetParam(), true);
  if (timed.net->takes_times()) check(timed, {data}, &padded.mask, &padded.times, "mask and times");
}

TEST_P(AllSummaryNetworksCase, GradientsDoNotSeePadding) {
  Built b(GetParam());
  const Padded padded(GetParam());
  const auto gradients = [&](double garbage) {
    Array data = padded.data;
    for (double& v : data.values()) v = v == 1e6 ? garbage : v;
    nn::GradientBuffers buffers(b.store);
    Tape tape;
    tape.reset({.training = false, .lanes = &buffers});
    const Tensor x = tape.input(data, true);
    tape.backward(support::forward(*b.net.get(), tape, x, tape.input(padded.mask)));
    Array out(Shape{b.store.size()});
    const std::span<const float> lane = buffers.lane(0);
    for (const nn::ParameterInfo& p : b.store.table())
      for (std::int64_t i = 0; i < p.shape.size(); ++i)
        out[p.offset + i] = static_cast<double>(lane[static_cast<std::size_t>(p.offset + i)]);
    EXPECT_TRUE(out.all_finite());
    for (std::int64_t i = 0; x.grad() && i < x.size(); ++i)
      EXPECT_TRUE(padded.mask.data()[i / x.cols()] != 0 || x.grad()[i] == 0.0F) << "element " << i;
    return out;
  };
  EXPECT_EQ(largest_difference(gradients(1e6), gradients(-3.0)), 0.0);
}

TEST_P(AllSummaryNetworksCase, RefusesWhatItWasNotBuiltFor) {
  const SummaryCase& c = GetParam();
  const Built b(c);
  const auto said = [&](const Array& x, const Array* mask = nullptr) {
    try {
      (void)b(x, mask);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const auto expect = [&](const std::string& text) { EXPECT_EQ(text.find(c.network + ":"), 0U) << text; };
  SummaryCase wider = c;
  wider.width += 1;
  expect(said(wider.data(2, 5)));
  expect(said(c.data(2, 5).reshape({2, c.shape(1, 5).size()})));
  expect(said(Array(c.shape(2, 0))));
  const Array mask({2, 4}, 1.0);
  const std::string text = said(c.data(2, 5), &mask);
  EXPECT_NE(text.find("mask"), std::string::npos) << text;
  EXPECT_NE(text.find("(2, 4)"), std::string::npos) << text;
  nn::ParameterStore store;
  EXPECT_THROW(c.make()->build(nn::Builder(store, 1), Shape{2, 5}), ShapeError);
}

TEST_P(AllSummaryNetworksCase, CopiesAreNetworksOfTheirOwn) {
  const SummaryPart first = GetParam().make(), copy = first;
  ASSERT_NE(first.get(), copy.get());
  EXPECT_EQ(networks::class_of(copy.get()), GetParam().network);
  EXPECT_EQ(copy->to_string(), first->to_string());
  for (std::size_t i = 0; i < first->parts().size(); ++i) EXPECT_NE(first->parts()[i].get(), copy->parts()[i].get());
}

INSTANTIATE_TEST_SUITE_P(Cases, AllSummaryNetworksCase, testing::ValuesIn(support::summary_cases()),
                         [](const auto& c) { return support::name_of(c.param); });

}  // namespace
}  // namespace bayesflow
