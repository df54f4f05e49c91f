/// The one table of differentiable operations: name, formula, sample inputs, a double-precision twin, tolerances, FLOPs. It drives
/// the tests of values, the checks of gradients, the micro benchmarks and docs/reference/ops.md, so that none can fall behind.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/array.hpp"

namespace bayesflow::support {

using Tensors = std::vector<Tensor>;
using Arrays = std::vector<Array>;

/// One set of inputs to an operation.
struct OpCase {
  std::string shapes;                                              ///< "(7, 3) (3, 5)" or what is special about it
  Arrays inputs;                                                   ///< every value is a float32 number
  std::function<Tensors(Tape&, std::span<const Tensor>)> forward;  ///< the op on tensors of these inputs
  std::function<Arrays(std::span<const Array>)> reference;         ///< the same in plain double precision; empty: the result is random
  double flops = 0;                                                ///< of one forward pass: each +, *, / and elementary function is one
  bool measured = false;                                           ///< of the hot loop's size: timed by the benchmarks
};

/// A row of the table.
struct Op {
  std::string name;                    ///< as in ops.hpp; activations are "activate(relu)", ...
  std::string formula;                 ///< with shapes
  std::vector<std::string> arguments;  ///< names of the tensor inputs, in order
  std::vector<bool> differentiable;    ///< one per argument; the last one's also holds for further inputs (the layers of a chain)
  std::string cost;                    ///< FLOPs of a forward pass, as a formula
  double tolerance = 1e-6;             ///< of values: max|got - want| <= this times max(1, max|want|)
  double gradient_tolerance = 1e-3;    ///< of gradients against central differences, in the same measure
  std::vector<OpCase> cases;           ///< odd and degenerate ones too; at least one is `measured`
};

[[nodiscard]] const std::vector<Op>& op_table();

// Rows by family; op_table() joins them.
[[nodiscard]] std::vector<Op> dense_ops();
[[nodiscard]] std::vector<Op> elementwise_ops();
[[nodiscard]] std::vector<Op> shape_ops();
[[nodiscard]] std::vector<Op> flow_ops();
[[nodiscard]] std::vector<Op> density_ops();
[[nodiscard]] std::vector<Op> axis_ops();
[[nodiscard]] std::vector<Op> attention_ops();
[[nodiscard]] std::vector<Op> series_ops();

// --- for the authors of rows ---
/// Normal numbers rounded to float32, the same for the same name.
[[nodiscard]] Array sample(const std::string& name, const Shape& shape, double loc = 0, double scale = 1);
/// The same, but at least `gap` away from zero: for functions with a kink or a pole there.
[[nodiscard]] Array sample_away_from_zero(const std::string& name, const Shape& shape, double gap = 0.2);
/// The table as a page of documentation.
[[nodiscard]] std::string op_table_markdown();

}  // namespace bayesflow::support
