/// Summary networks that users describe in Python: the description becomes a GraphNetwork, and Python is out of the loop.
#include <utility>

#include "bayesflow/networks/graph_network.hpp"
#include "module.hpp"
#include "networks.hpp"

namespace bayesflow::python {

void bind_building_blocks(nb::module_& m) {
  nb::class_<GraphNode>(m, "GraphNode")
      .def(
          "__init__",
          [](GraphNode* self, const std::string& name, const std::string& op, std::vector<std::string> sources, const std::string& layer,
             const std::string& activation, double number, std::int64_t first, std::int64_t last, std::int64_t axes) {
            new (self) GraphNode{.name = name,
                                 .op = graph_op_from(op),
                                 .sources = std::move(sources),
                                 .layer = layer,
                                 .activation = activation_from(activation),
                                 .number = number,
                                 .first = first,
                                 .last = last,
                                 .axes = axes};
          },
          "name"_a, "op"_a, "sources"_a, "layer"_a = "", "activation"_a = "linear", "number"_a = 0.0, "first"_a = 0, "last"_a = 0,
          "axes"_a = 0);

  m.def(
      "graph_network",
      [](const std::vector<std::pair<std::string, DenseOptions>>& layers, std::vector<GraphNode> nodes) {
        GraphOptions options;
        for (const auto& [name, dense] : layers) options.layers.push_back({name, dense});
        options.nodes = std::move(nodes);
        const SummaryFactory factory{GraphNetwork(std::move(options))};
        return std::pair(factory, factory.part->summary_dim());
      },
      "layers"_a, "nodes"_a, "The network, and its summary_dim: 0 if that depends on the data.");
}

}  // namespace bayesflow::python
