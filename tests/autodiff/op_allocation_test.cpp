/// A pass that has been made once allocates nothing the second time, whatever the operation.
#include <gtest/gtest.h>

#include "support/allocations.hpp"
#include "support/op_table.hpp"

namespace bayesflow::support {
namespace {

TEST(OpTable, WarmPassesAllocateNothing) {
#if BAYESFLOW_COUNTS_ALLOCATIONS
  for (const Op& op : op_table()) {
    const auto c = std::find_if(op.cases.begin(), op.cases.end(), [](const OpCase& k) { return k.measured; });
    Tape tape;
    std::vector<Tensor> x(c->inputs.size());
    const auto pass = [&] {
      tape.reset({});
      for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = tape.input(c->inputs[i], op.differentiable[std::min(i, op.differentiable.size() - 1)]);
      const Tensors y = c->forward(tape, x);
      for (const Tensor& t : y) tape.backward(t);
    };
    pass();
    pass();
    const long before = allocations::count;
    pass();
    // The table's own lists: of results; of a chain's layers.
    EXPECT_EQ(allocations::count - before, op.name.ends_with("chain") ? 3 : 1) << op.name;
  }
#endif
}

}  // namespace
}  // namespace bayesflow::support
