/// Networks that are composed of others: parts of a data set, levels of a hierarchy.
#include <gtest/gtest.h>

#include <functional>

#include "bayesflow/core/errors.hpp"
#include "networks/support_networks.hpp"
#include "support/op_table.hpp"
#include "support/summary_cases.hpp"

namespace bayesflow {
namespace {

using support::OwnMeans;
using support::sample;
using support::tiny_set;

std::string sentence(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing";
}

Array values_of(Tensor y) {
  Array out(y.shape());
  for (std::int64_t i = 0; i < y.size(); ++i) out.data()[i] = static_cast<double>(y.data()[i]);
  return out;
}
Array run(const SummaryNetwork& net, const Array& x, const Array* mask = nullptr) {
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  return values_of(net.forward(tape, {tape.input(x), mask ? tape.input(*mask) : Tensor()}));
}

TEST(SplitNetwork, EachPartIsSummarizedAsIfItWereAlone) {
  SplitNetwork net({.networks = {tiny_set(3), tiny_set(2)}, .column = -1, .values = {7, -1.5}});
  nn::ParameterStore store;
  net.build(nn::Builder(store, 1), Shape{1, 6, 3});
  ASSERT_EQ(net.summary_dim(), 7);
  Array x = sample("split", {1, 6, 3}), first({1, 4, 2}), second({1, 2, 2});
  for (std::int64_t i = 0; i < 6; ++i) {
    const bool is_second = i == 1 || i == 4;
    x(0, i, 2) = is_second ? -1.5 : 7;
    for (std::int64_t j = 0; j < 2; ++j)
      (is_second ? second(0, i / 2 - (i == 4), j) : first(0, i == 0 ? 0 : i == 5 ? 3 : i - 1, j)) = x(0, i, j);
  }
  const Array y = run(net, x);
  EXPECT_LT(largest_difference(y.columns(0, 3), run(*net.parts()[0].get(), first)), 1e-6);
  EXPECT_LT(largest_difference(y.columns(3, 5), run(*net.parts()[1].get(), second)), 1e-6);
  EXPECT_LT(largest_difference(y.columns(5, 7), Array::of({4.0 / 6, 2.0 / 6}).expand_dims(0)), 1e-6) << "shares";
  // A part without observations is none that fails.
  for (std::int64_t i = 0; i < 6; ++i) x(0, i, 2) = 7;
  EXPECT_TRUE(run(net, x).all_finite());
  x(0, 3, 2) = 2;
  EXPECT_EQ(sentence([&] { (void)run(net, x); }), "SplitNetwork: an observation has 2 in column -1; the parts have 7, -1.5");
}

TEST(SplitNetwork, Errors) {
  EXPECT_EQ(sentence([] { SplitNetwork net(SplitOptions{}); }), "SplitOptions::networks is empty; it must have at least one network");
  EXPECT_EQ(sentence([] {
              SplitNetwork net({.networks = {tiny_set(), tiny_set()}, .values = {1}});
            }),
            "SplitOptions::values has 1 values for 2 networks; give one for each, or none for 0, 1, 2, ...");
  EXPECT_EQ(sentence([] {
              SplitNetwork net({.networks = {tiny_set(), tiny_set()}, .values = {1, 1}});
            }),
            "SplitOptions::values[0] and [1] are equal: 1");
  nn::ParameterStore store;
  EXPECT_EQ(sentence([&] {
              SplitNetwork({.networks = {tiny_set()}, .column = 3}).build(nn::Builder(store, 1), Shape{2, 5, 3});
            }),
            "SplitNetwork: column 3 says to which part an observation belongs, and there must be another one; got data of shape (2, 5, 3)");
  EXPECT_EQ(sentence([&] {
              SplitNetwork({.networks = {OwnMeans()}}).build(nn::Builder(store, 1), Shape{2, 5, 3});
            }),
            "SplitNetwork: networks[0] (a network of your own) does not read masks, by which its part is told from the others");
}

TEST(HierarchicalNetwork, LevelsSeeWhatTheLevelBelowGives) {
  HierarchicalNetwork net({.networks = {SequenceNetwork(support::tiny_sequence_network()), tiny_set(2), OwnMeans()}});
  nn::ParameterStore store;
  const Array x = sample("levels", {2, 3, 4, 5, 2});
  net.build(nn::Builder(store, 1), x.shape());
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  Tensor all[3];
  net.forward_all(tape, tape.input(x), all);
  EXPECT_EQ(all[0].shape(), (Shape{2, 3, 4, 4}));
  EXPECT_EQ(all[1].shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(all[2].shape(), (Shape{2, 2}));
  EXPECT_EQ(net.summary_dim(), 2);
  EXPECT_LT(largest_difference(values_of(all[0]), run(*net.parts()[0].get(), x.reshape({24, 5, 2})).reshape({2, 3, 4, 4})), 1e-6);
  EXPECT_LT(largest_difference(values_of(all[1]), run(*net.parts()[1].get(), values_of(all[0]).reshape({6, 4, 4})).reshape({2, 3, 2})),
            1e-6);
  EXPECT_LT(largest_difference(values_of(all[2]), values_of(all[1]).mean(1)), 1e-6);
  EXPECT_FALSE(net.takes_mask()) << "the highest level does not read it";
  EXPECT_EQ(net.to_string(),
            "3 levels: sequence network with 2 convolutional layers, LSTM of 5 units, 4 summaries; then deep set with 1 equivariant "
            "modules, 6 units, 2 summaries; then a network of your own");
}

TEST(HierarchicalNetwork, MasksOfGroups) {
  HierarchicalNetwork net({.networks = {tiny_set(3), tiny_set(2)}});
  nn::ParameterStore store;
  const Array x = sample("groups", {2, 3, 4, 2});
  net.build(nn::Builder(store, 1), x.shape());
  Array more({2, 5, 4, 2}, 1e6), groups({2, 5}, 0.0), observations({2, 5, 4}, 0.0);
  for (std::int64_t s = 0; s < 2; ++s)
    for (std::int64_t g = 0; g < 3; ++g) {
      groups(s, g) = 1;
      for (std::int64_t i = 0; i < 4; ++i) {
        observations(s, g, i) = 1;
        for (std::int64_t j = 0; j < 2; ++j) more(s, g, i, j) = x(s, g, i, j);
      }
    }
  EXPECT_LT(largest_difference(run(net, more, &groups), run(net, x)), 1e-5);
  EXPECT_LT(largest_difference(run(net, more, &observations), run(net, x)), 1e-5);
}

TEST(HierarchicalNetwork, Errors) {
  const auto set = std::make_shared<DeepSet>(tiny_set());
  const auto own = std::make_shared<OwnMeans>();
  EXPECT_EQ(sentence([] { HierarchicalNetwork net(HierarchicalOptions{}); }),
            "HierarchicalOptions::networks is empty; it must have at least one network");
  EXPECT_EQ(sentence([&] {
              HierarchicalNetwork net({.networks = {set, SummaryPart()}});
            }),
            "HierarchicalOptions::networks[1] is no network");
  EXPECT_EQ(sentence([&] {
              HierarchicalNetwork net({.networks = {own, own}});
            }),
            "HierarchicalOptions::networks[0] and [1] are the same object, whose weights cannot serve twice; give a copy");
  EXPECT_EQ(sentence([&] { HierarchicalNetwork net({.networks = {set, set}}); }), "nothing") << "known classes are copied";
  nn::ParameterStore store;
  EXPECT_EQ(sentence([&] {
              HierarchicalNetwork({.networks = {tiny_set(), tiny_set()}}).build(nn::Builder(store, 1), Shape{2, 5, 3});
            }),
            "HierarchicalNetwork: 2 levels need data with 2 axes of groups and observations, (batch, ..., observations, width); got (2, 5, "
            "3)");
}

}  // namespace
}  // namespace bayesflow
