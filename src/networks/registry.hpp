/// The library's networks by name. A new one is a line in one of the two lists.
#pragma once

#include <memory>
#include <string>

#include "bayesflow/networks/autoregressive_flow.hpp"
#include "bayesflow/networks/conv_network.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/diffusion_network.hpp"
#include "bayesflow/networks/evidential_network.hpp"
#include "bayesflow/networks/flow_matching.hpp"
#include "bayesflow/networks/fusion_network.hpp"
#include "bayesflow/networks/graph_network.hpp"
#include "bayesflow/networks/hierarchical_network.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/networks/mixture_density_network.hpp"
#include "bayesflow/networks/pmp_network.hpp"
#include "bayesflow/networks/point_network.hpp"
#include "bayesflow/networks/sequence_network.hpp"
#include "bayesflow/networks/set_transformer.hpp"
#include "bayesflow/networks/shortcut_network.hpp"
#include "bayesflow/networks/split_network.hpp"
#include "bayesflow/networks/time_series_network.hpp"
#include "bayesflow/networks/time_series_transformer.hpp"

namespace bayesflow {
namespace networks {

/// Calls visit.operator()<Network>(name) for every class with a constructor from its options, `options()`, and a `describe` of them.
template <class Visit>
void for_each_summary_network(Visit&& visit) {
  visit.template operator()<DeepSet>("DeepSet");
  visit.template operator()<SetTransformer>("SetTransformer");
  visit.template operator()<TimeSeriesTransformer>("TimeSeriesTransformer");
  visit.template operator()<SequenceNetwork>("SequenceNetwork");
  visit.template operator()<TimeSeriesNetwork>("TimeSeriesNetwork");
  visit.template operator()<ConvNetwork>("ConvNetwork");
  visit.template operator()<SplitNetwork>("SplitNetwork");
  visit.template operator()<HierarchicalNetwork>("HierarchicalNetwork");
  visit.template operator()<FusionNetwork>("FusionNetwork");
  visit.template operator()<GraphNetwork>("GraphNetwork");
}
template <class Visit>
void for_each_inference_network(Visit&& visit) {
  visit.template operator()<InvertibleNetwork>("InvertibleNetwork");
  visit.template operator()<AutoregressiveFlow>("AutoregressiveFlow");
  visit.template operator()<FlowMatchingNetwork>("FlowMatchingNetwork");
  visit.template operator()<DiffusionNetwork>("DiffusionNetwork");
  visit.template operator()<ShortcutNetwork>("ShortcutNetwork");
  visit.template operator()<MixtureDensityNetwork>("MixtureDensityNetwork");
  visit.template operator()<PMPNetwork>("PMPNetwork");
  visit.template operator()<EvidentialNetwork>("EvidentialNetwork");
  visit.template operator()<PointNetwork>("PointNetwork");
}

/// The options of a network's class.
template <class Net>
using OptionsOf = std::remove_cvref_t<decltype(std::declval<const Net&>().options())>;

/// "DeepSet"; empty for a class that the library does not know.
[[nodiscard]] inline std::string class_of(const SummaryNetwork* net) {
  std::string name;
  for_each_summary_network([&]<class Net>(const char* known) {
    if (dynamic_cast<const Net*>(net)) name = known;
  });
  return name;
}

}  // namespace networks

template <class V>
void describe(V& v, SummaryPart& part) {
  std::string name = networks::class_of(part.get());
  v("class", name);
  networks::for_each_summary_network([&]<class Net>(const char* known) {
    if (name != known) return;
    if (const auto* net = dynamic_cast<const Net*>(part.get()))
      v("options", const_cast<networks::OptionsOf<Net>&>(net->options()));  // only read
    else if (!part) {
      networks::OptionsOf<Net> options;
      v("options", options);
      part = Net(std::move(options));
    }
  });
}

}  // namespace bayesflow
