#include "support/op_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/rng.hpp"

namespace bayesflow::support {

Array sample(const std::string& name, const Shape& shape, double loc, double scale) {
  Rng rng(20240901, name);
  Array x = rng.normal(shape, loc, scale);
  for (double& v : x.values()) v = static_cast<double>(static_cast<float>(v));
  return x;
}

Array sample_away_from_zero(const std::string& name, const Shape& shape, double gap) {
  Array x = sample(name, shape);
  for (double& v : x.values()) v = static_cast<double>(static_cast<float>(v + std::copysign(gap, v)));
  return x;
}

const std::vector<Op>& op_table() {
  static const std::vector<Op> table = [] {
    std::vector<Op> all;
    for (const auto& family : {dense_ops, elementwise_ops, shape_ops, flow_ops, density_ops, axis_ops, attention_ops, series_ops})
      for (Op& op : family()) {
        // Shapes describe a case unless its author has said more.
        for (OpCase& c : op.cases) {
          std::string shapes;
          for (const Array& x : c.inputs) shapes += (shapes.empty() ? "" : " ") + x.shape().to_string();
          c.shapes = c.shapes.empty() ? shapes : shapes + ", " + c.shapes;
        }
        all.push_back(std::move(op));
      }
    return all;
  }();
  return table;
}

std::string op_table_markdown() {
  std::string text =
      "# Operations\n\n"
      "Generated from tests/support/op_table.cpp; `BAYESFLOW_UPDATE_DOCS=1 ctest -R autodiff.OpTable.DocumentationIsUpToDate` writes it "
      "anew.\n\n"
      "Free functions of `bayesflow::ops` on tensors of one tape. `...` stands for any leading axes. *Gradient* names the inputs through\n"
      "which derivatives flow. *Within* bounds max|got - want| / max(1, max|want|) against a double-precision twin, for the values and\n"
      "(against central differences) for the gradients, over every sample input of the table.\n\n"
      "| operation | inputs | gradient | value | FLOPs | within |\n|---|---|---|---|---|---|\n";
  for (const Op& op : op_table()) {
    std::string inputs, gradient;
    for (std::size_t i = 0; i < op.arguments.size(); ++i) {
      inputs += (i ? ", " : "") + op.arguments[i];
      if (op.differentiable[i]) gradient += (gradient.empty() ? "" : ", ") + op.arguments[i].substr(0, op.arguments[i].find(' '));
    }
    std::string formula = op.formula;
    for (std::size_t at = 0; (at = formula.find('|', at)) != std::string::npos; at += 2) formula.insert(at, "\\");
    text += fmt::format("| `{}` | {} | {} | {} | {} | {:.0e}, {:.0e} |\n", op.name, inputs, gradient.empty() ? "none" : gradient, formula,
                        op.cost, op.tolerance, op.gradient_tolerance);
  }
  return text;
}

}  // namespace bayesflow::support
