/// Every operation of the table: values against double precision, gradients against differences.
#include "support/op_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "bayesflow/autodiff/gradient_check.hpp"

namespace bayesflow::support {
namespace {

Array to_array(Tensor x) {
  Array out(x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) out.data()[i] = static_cast<double>(x.data()[i]);
  return out;
}

/// max|got - want| / max(1, max|want|)
double error(const Array& got, const Array& want) {
  double worst = 0, scale = 1;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got.data()[i])) return INFINITY;
    worst = std::max(worst, std::fabs(got.data()[i] - want.data()[i]));
    scale = std::max(scale, std::fabs(want.data()[i]));
  }
  return worst / scale;
}

std::vector<Tensor> tensors_of(Tape& tape, const OpCase& c, const std::vector<bool>& needs_grad) {
  std::vector<Tensor> x;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) x.push_back(tape.input(c.inputs[i], needs_grad[i]));
  return x;
}

std::vector<bool> differentiable_inputs(const Op& op, const OpCase& c) {
  std::vector<bool> flags;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) flags.push_back(op.differentiable[std::min(i, op.differentiable.size() - 1)]);
  return flags;
}

class OpTable : public testing::TestWithParam<std::size_t> {
 protected:
  const Op& op() const { return op_table()[GetParam()]; }
};

TEST_P(OpTable, ValuesAgreeWithDoublePrecision) {
  for (const OpCase& c : op().cases) {
    if (!c.reference) continue;
    SCOPED_TRACE(op().name + " of " + c.shapes);
    const Arrays want = c.reference(c.inputs);
    for (const bool record : {true, false}) {  // some ops keep less when nothing is recorded
      Tape tape;
      tape.reset({.gradients = record});
      const std::vector<Tensor> x = tensors_of(tape, c, std::vector<bool>(c.inputs.size(), true));
      const Tensors got = c.forward(tape, x);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t r = 0; r < got.size(); ++r) {
        ASSERT_EQ(got[r].shape(), want[r].shape());
        EXPECT_LE(error(to_array(got[r]), want[r]), op().tolerance) << "result " << r;
      }
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(to_array(x[i]), c.inputs[i]) << "an op changed its input " << i;
    }
  }
}

TEST_P(OpTable, GradientsAgreeWithDifferences) {
  for (const OpCase& c : op().cases) {
    if (c.shapes.find("up to") != std::string::npos) continue;  // flat there: nothing but rounding
    const GradientCheckOptions options{
        .tolerance = op().gradient_tolerance, .max_elements = c.measured ? 5 : 60, .unresolved = c.measured ? 0.8 : 0.1};
    const GradientCheck check = check_gradient(c.forward, c.inputs, options, differentiable_inputs(op(), c));
    EXPECT_TRUE(check.passed()) << op().name << " of " << c.shapes << ": " << check.to_string();
    bool some = false;
    const std::vector<bool> flags = differentiable_inputs(op(), c);
    for (std::size_t i = 0; i < flags.size(); ++i) some = some || (flags[i] && !c.inputs[i].empty());
    EXPECT_EQ(check.compared > 0, some) << op().name << " of " << c.shapes;
  }
}

/// Gradients of all inputs at once.
Arrays gradients(const OpCase& c, const std::vector<bool>& flags, int uses) {
  Tape tape;
  tape.reset({});
  const std::vector<Tensor> x = tensors_of(tape, c, flags);
  std::vector<Tensor> results;
  for (int u = 0; u < uses; ++u)
    for (const Tensor& y : c.forward(tape, x)) results.push_back(y);
  std::vector<double> terms;
  detail::contract(tape, results, 7, true, terms);
  Arrays out;
  for (const Tensor& t : x) {
    Array g(t.shape());
    for (std::int64_t i = 0; t.grad() && i < t.size(); ++i) g.data()[i] = static_cast<double>(t.grad()[i]);
    out.push_back(std::move(g));
  }
  return out;
}

TEST_P(OpTable, GradientOfOneInputDoesNotDependOnTheOthers) {
  for (const OpCase& c : op().cases) {
    const std::vector<bool> flags = differentiable_inputs(op(), c);
    const Arrays all = gradients(c, flags, 1);
    for (std::size_t i = 0; i < flags.size(); ++i) {
      std::vector<bool> alone(flags.size(), false);
      alone[i] = flags[i];
      const Array only = gradients(c, alone, 1)[i];
      EXPECT_EQ(only, all[i]) << op().name << " of " << c.shapes << ", input " << i;
    }
  }
}

TEST_P(OpTable, GradientsOfTwoUsesAddUp) {
  // The second contribution is added to the first, the first is stored: two code paths in every op.
  for (const OpCase& c : op().cases) {
    if (op().name == "dropout") continue;  // two uses, two draws
    const std::vector<bool> flags = differentiable_inputs(op(), c);
    const Arrays twice = gradients(c, flags, 2);
    Tape tape;
    tape.reset({});
    // The same cotangents, one use at a time.
    const std::size_t results = c.forward(tape, tensors_of(tape, c, flags)).size();
    Arrays sum;
    for (std::size_t use = 0; use < 2; ++use) {
      Tape one;
      one.reset({});
      const std::vector<Tensor> x = tensors_of(one, c, flags);
      std::vector<Tensor> y = c.forward(one, x);
      // Constants take the places of the other use's results, so that each result meets the same cotangent.
      std::vector<Tensor> all;
      for (std::size_t u = 0; u < 2; ++u)
        for (std::size_t r = 0; r < results; ++r) all.push_back(u == use ? y[r] : one.filled(y[r].shape(), 0));
      std::vector<double> terms;
      detail::contract(one, all, 7, true, terms);
      for (std::size_t i = 0; i < x.size(); ++i) {
        Array g(x[i].shape());
        for (std::int64_t k = 0; x[i].grad() && k < x[i].size(); ++k) g.data()[k] = static_cast<double>(x[i].grad()[k]);
        if (use == 0)
          sum.push_back(std::move(g));
        else
          sum[i] += g;
      }
    }
    for (std::size_t i = 0; i < sum.size(); ++i)
      EXPECT_LE(error(twice[i], sum[i]), 2e-6) << op().name << " of " << c.shapes << ", input " << i;
  }
}

std::string test_name(const testing::TestParamInfo<std::size_t>& info) {
  std::string name = op_table()[info.param].name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(Ops, OpTable, testing::Range<std::size_t>(0, op_table().size()), test_name);

std::string read_file(const std::string& path) {
  std::ifstream in(std::string(BAYESFLOW_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(OpTable, HasEveryOperationOfTheHeaders) {
  std::set<std::string> rows;
  for (const Op& op : op_table()) rows.insert(op.name.substr(0, op.name.find('(')));
  const std::regex declaration("(?:^|\n)(?:Tensor|Transformed) (\\w+)\\(");
  const std::string all = read_file("include/bayesflow/autodiff/ops.hpp");
  int found = 0;
  for (const auto& file : std::filesystem::directory_iterator(std::string(BAYESFLOW_SOURCE_DIR) + "/include/bayesflow/autodiff/ops")) {
    const std::string name = "bayesflow/autodiff/ops/" + file.path().filename().string(), header = read_file("include/" + name);
    EXPECT_NE(all.find("#include \"" + name + "\""), std::string::npos) << "ops.hpp does not include " << name;
    for (auto m = std::sregex_iterator(header.begin(), header.end(), declaration); m != std::sregex_iterator(); ++m, ++found)
      EXPECT_TRUE(rows.count((*m)[1])) << (*m)[1] << " of " << name << " has no row in tests/support/op_table*.cpp";
  }
  EXPECT_GE(found, 30);
}

TEST(OpTable, RowsAreComplete) {
  std::set<std::string> names;
  for (const Op& op : op_table()) {
    EXPECT_TRUE(names.insert(op.name).second) << op.name << " occurs twice";
    EXPECT_EQ(op.arguments.size(), op.differentiable.size()) << op.name;
    EXPECT_TRUE(std::any_of(op.cases.begin(), op.cases.end(), [](const OpCase& c) { return c.measured; }))
        << op.name << " has nothing to measure";
    EXPECT_GE(op.cases.size(), 3u) << op.name;
    for (const OpCase& c : op.cases)
      for (const Array& x : c.inputs)
        for (const double v : x.values()) ASSERT_EQ(v, static_cast<double>(static_cast<float>(v))) << op.name;
  }
}

TEST(OpTable, DocumentationIsUpToDate) {
  const std::string want = op_table_markdown();
  if (std::getenv("BAYESFLOW_UPDATE_DOCS")) std::ofstream(std::string(BAYESFLOW_SOURCE_DIR) + "/docs/reference/ops.md") << want;
  EXPECT_EQ(read_file("docs/reference/ops.md"), want) << "run again with BAYESFLOW_UPDATE_DOCS=1 and commit the page";
}

}  // namespace
}  // namespace bayesflow::support
