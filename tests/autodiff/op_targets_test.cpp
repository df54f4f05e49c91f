/// Every operation of the table with every instruction set of this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/autodiff/gradient_check.hpp"
#include "kernels/support_targets.hpp"
#include "support/op_table.hpp"

namespace bayesflow::support {
namespace {

/// Values and gradients of one case, one after the other.
std::vector<std::vector<float>> pass(const Op& op, const OpCase& c) {
  Tape tape;
  tape.reset({});
  std::vector<Tensor> x;
  for (std::size_t i = 0; i < c.inputs.size(); ++i)
    x.push_back(tape.input(c.inputs[i], op.differentiable[std::min(i, op.differentiable.size() - 1)]));
  const Tensors y = c.forward(tape, x);
  std::vector<double> terms;
  detail::contract(tape, y, 7, true, terms);
  std::vector<std::vector<float>> out;
  for (const Tensor& t : y) out.emplace_back(t.data(), t.data() + t.size());
  for (const Tensor& t : x)
    if (t.grad()) out.emplace_back(t.grad(), t.grad() + t.size());
  return out;
}

TEST(OpTable, EveryInstructionSetGivesTheSameUpToRounding) {
  for (const Op& op : op_table())
    for (const OpCase& c : op.cases) {
      const auto want = pass(op, c);
      kernels::for_each_target([&] {
        const auto got = pass(op, c);
        ASSERT_EQ(got.size(), want.size());
        for (std::size_t r = 0; r < got.size(); ++r) {
          double worst = 0, scale = 1;
          for (std::size_t i = 0; i < want[r].size(); ++i) {
            worst = std::max(worst, std::fabs(static_cast<double>(got[r][i]) - static_cast<double>(want[r][i])));
            scale = std::max(scale, std::fabs(static_cast<double>(want[r][i])));
          }
          EXPECT_LE(worst / scale, 1e-5) << op.name << " of " << c.shapes << ", number " << r;
        }
      });
    }
}

}  // namespace
}  // namespace bayesflow::support
