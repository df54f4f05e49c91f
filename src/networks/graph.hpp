/// What the files of described networks share.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/graph_options.hpp"

namespace bayesflow::networks {

inline constexpr const char* kData = "data";
inline constexpr std::size_t kMaxChain = 8;   // of ops::dense_chain
inline constexpr std::size_t kMaxConcat = 8;  // of ops::concat
inline constexpr std::int64_t kMaxWidth = std::int64_t{1} << 31;

using Numbers = std::unordered_map<std::string, std::size_t>;

inline bool of_equal_shapes(GraphOp op) { return op == GraphOp::add || op == GraphOp::subtract || op == GraphOp::multiply; }
/// Whether nodes name a layer; and the names of those that an operation takes.
[[nodiscard]] bool has_layer(GraphOp op);
[[nodiscard]] std::vector<std::string> layer_names(const GraphOptions& options, GraphOp op);

inline std::string label(const GraphNode& node) { return fmt::format("GraphNetwork: node \"{}\" ({})", node.name, to_string(node.op)); }

template <class... Args>
[[noreturn]] void refuse(const GraphNode& node, fmt::format_string<Args...> text, Args&&... args) {
  throw ConfigurationError(label(node) + " " + fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void refuse_shape(const GraphNode& node, fmt::format_string<Args...> text, Args&&... args) {
  throw ShapeError(label(node) + " " + fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace bayesflow::networks
