/// The library's networks by name. A new one is a line in one of the two lists.
#pragma once

#include <memory>
#include <string>

#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/graph_network.hpp"
#include "bayesflow/networks/invertible_network.hpp"

namespace bayesflow::networks {

/// Calls visit.operator()<Network>(name) for every class with a constructor from its options, `options()`, and a `describe` of them.
template <class Visit>
void for_each_summary_network(Visit&& visit) {
  visit.template operator()<DeepSet>("DeepSet");
  visit.template operator()<GraphNetwork>("GraphNetwork");
}
template <class Visit>
void for_each_inference_network(Visit&& visit) {
  visit.template operator()<InvertibleNetwork>("InvertibleNetwork");
}

/// The options of a network's class.
template <class Net>
using OptionsOf = std::remove_cvref_t<decltype(std::declval<const Net&>().options())>;

}  // namespace bayesflow::networks
