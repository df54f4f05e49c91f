/// Rows of the op table: elementwise operations, shapes and reductions.
#include <cmath>
#include <functional>
#include <memory>

#include "support/op_table.hpp"
#include "support/twins.hpp"

namespace bayesflow::support {
namespace {

using Numbers = std::span<const Array>;
using Inputs = std::span<const Tensor>;

double count(const Array& x) { return static_cast<double>(x.size()); }
std::int64_t rows_of(const Array& x) { return x.shape().slice(0, -1).size(); }

/// Shapes that find what goes wrong in vector loops: one element, one less and one more than a vector, no rows.
const std::vector<Shape> kOddShapes = {{5, 7}, {1}, {3, 1}, {17}, {2, 3, 33}, {0, 4}};
const Shape kHotShape = {128, 64};

/// Cases of a function of one tensor.
std::vector<OpCase> unary_cases(const std::string& name, const std::function<Tensor(Tensor)>& op,
                                const std::function<Array(const Array&)>& twin, double flops_per_element, double gap = 0) {
  std::vector<Shape> shapes = kOddShapes;
  shapes.push_back(kHotShape);
  std::vector<OpCase> cases;
  for (const Shape& shape : shapes) {
    OpCase c;
    c.inputs = {gap > 0 ? sample_away_from_zero(name, shape, gap) : sample(name, shape)};
    c.forward = [op](Tape&, Inputs x) { return Tensors{op(x[0])}; };
    c.reference = [twin](Numbers x) { return Arrays{twin(x[0])}; };
    c.flops = flops_per_element * static_cast<double>(shape.size());
    c.measured = shape == kHotShape;
    cases.push_back(std::move(c));
  }
  return cases;
}

std::vector<OpCase> binary_cases(const std::string& name, Tensor (*op)(Tensor, Tensor), Array (*twin)(const Array&, const Array&)) {
  std::vector<Shape> shapes = kOddShapes;
  shapes.push_back(kHotShape);
  std::vector<OpCase> cases;
  for (const Shape& shape : shapes) {
    OpCase c;
    c.inputs = {sample(name + "/a", shape), sample(name + "/b", shape)};
    c.forward = [op](Tape&, Inputs x) { return Tensors{op(x[0], x[1])}; };
    c.reference = [twin](Numbers x) { return Arrays{twin(x[0], x[1])}; };
    c.flops = static_cast<double>(shape.size());
    c.measured = shape == kHotShape;
    cases.push_back(std::move(c));
  }
  // The same tensor twice: both derivatives reach one gradient.
  OpCase same;
  same.shapes = "both the same tensor";
  same.inputs = {sample(name + "/same", {3, 5})};
  same.forward = [op](Tape&, Inputs x) { return Tensors{op(x[0], x[0])}; };
  same.reference = [twin](Numbers x) { return Arrays{twin(x[0], x[0])}; };
  same.flops = 15;
  cases.push_back(std::move(same));
  return cases;
}

struct ActivationRow {
  Activation kind;
  const char* formula;
  double flops, tolerance;
};
const ActivationRow kActivationRows[] = {
    {Activation::identity, "x", 0, 0},
    {Activation::relu, "max(x, 0)", 1, 0},
    {Activation::leaky_relu, "x > 0 ? x : 0.2 x", 2, 1e-7},
    {Activation::elu, "x > 0 ? x : exp(x) - 1", 3, 2e-7},
    {Activation::selu, "1.0507 (x > 0 ? x : 1.6733 (exp(x) - 1))", 4, 4e-7},
    {Activation::tanh, "tanh(x)", 1, 2e-7},
    {Activation::sigmoid, "1 / (1 + exp(-x))", 3, 2e-7},
    {Activation::swish, "x / (1 + exp(-x))", 4, 2e-7},
    {Activation::softplus, "log(1 + exp(x))", 4, 2e-7},
    {Activation::exponential, "exp(x)", 1, 5e-7},
    {Activation::gelu, "x P(Z < x), Z standard normal", 18, 1e-6},
    {Activation::hard_sigmoid, "min(max(0.2 x + 0.5, 0), 1)", 4, 2e-7},
    {Activation::mish, "x tanh(log(1 + exp(x)))", 6, 5e-7},
    {Activation::relu6, "min(max(x, 0), 6)", 2, 0},
    {Activation::softsign, "x / (1 + |x|)", 3, 2e-7},
};

/// Reduces axis -2.
Array pool(const Array& x, const std::function<double(std::span<const double>)>& reduce) {
  const std::int64_t n = x.dim(-2), d = x.dim(-1), groups = x.shape().slice(0, -2).size();
  Shape shape = x.shape().slice(0, -2);
  shape.push_back(d);
  Array y(shape);
  std::vector<double> column(static_cast<std::size_t>(n));
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t j = 0; j < d; ++j) {
      for (std::int64_t i = 0; i < n; ++i) column[static_cast<std::size_t>(i)] = x.data()[(g * n + i) * d + j];
      y.data()[g * d + j] = reduce(column);
    }
  return y;
}

Op pool_op(const std::string& name, const std::string& formula, Tensor (*op)(Tensor),
           const std::function<double(std::span<const double>)>& reduce) {
  Op row{name, formula, {"x (..., N, d)"}, {true}, "N d per group", 2e-6, 1e-3, {}};
  for (const Shape& shape :
       {Shape{3, 5, 7}, Shape{4, 2}, Shape{1, 1}, Shape{2, 3, 4, 5}, Shape{2, 1, 9}, Shape{0, 3, 2}, Shape{32, 50, 64}}) {
    OpCase c;
    c.inputs = {sample(name, shape)};
    c.forward = [op](Tape&, Inputs x) { return Tensors{op(x[0])}; };
    c.reference = [reduce](Numbers x) { return Arrays{pool(x[0], reduce)}; };
    c.flops = count(c.inputs[0]);
    c.measured = shape[0] == 32;
    row.cases.push_back(std::move(c));
  }
  return row;
}

}  // namespace

std::vector<Op> elementwise_ops() {
  std::vector<Op> rows;
  for (const ActivationRow& a : kActivationRows) {
    const std::string name = std::string("activate(") + to_string(a.kind) + ")";
    const Activation kind = a.kind;
    rows.push_back({name,
                    a.formula,
                    {"x (...)"},
                    {true},
                    std::to_string(static_cast<int>(a.flops)) + " per element",
                    a.tolerance,
                    1e-3,
                    unary_cases(
                        name, [kind](Tensor x) { return ops::activate(x, kind); },
                        [kind](const Array& x) { return x.map([kind](double v) { return activation_twin(kind, v); }); }, a.flops, 0.2)});
    // Far out, where a careless formula overflows.
    OpCase extreme;
    const double far = kind == Activation::exponential ? 60 : 200;  // e^89 is infinite
    extreme.shapes = kind == Activation::exponential ? "up to +-60" : "up to +-200";
    extreme.inputs = {Array::of({-far, -0.45 * far, -30, 30, 0.45 * far, far})};
    extreme.forward = rows.back().cases[0].forward;
    extreme.reference = rows.back().cases[0].reference;
    extreme.flops = 6 * a.flops;
    rows.back().cases.push_back(std::move(extreme));
  }
  rows.push_back({"add",
                  "a + b",
                  {"a (...)", "b as a"},
                  {true, true},
                  "1 per element",
                  1e-7,
                  1e-3,
                  binary_cases("add", ops::add, [](const Array& a, const Array& b) { return a + b; })});
  rows.push_back({"subtract",
                  "a - b",
                  {"a (...)", "b as a"},
                  {true, true},
                  "1 per element",
                  1e-7,
                  1e-3,
                  binary_cases("subtract", ops::subtract, [](const Array& a, const Array& b) { return a - b; })});
  rows.push_back({"multiply",
                  "a b",
                  {"a (...)", "b as a"},
                  {true, true},
                  "1 per element",
                  1e-7,
                  1e-3,
                  binary_cases("multiply", ops::multiply, [](const Array& a, const Array& b) { return a * b; })});
  rows.push_back({"scale",
                  "factor x",
                  {"x (...)"},
                  {true},
                  "1 per element",
                  1e-7,
                  1e-3,
                  unary_cases(
                      "scale", [](Tensor x) { return ops::scale(x, -1.75f); }, [](const Array& x) { return x * -1.75; }, 1)});
  Op log{"log", "natural logarithm of x > 0", {"x (...)"}, {true}, "1 per element", 2e-7, 1e-3, {}};
  for (const Shape& shape : {Shape{5, 7}, Shape{1}, Shape{17}, Shape{0, 4}, kHotShape}) {
    OpCase c;
    c.inputs = {sample("log", shape).map([](double v) { return static_cast<double>(static_cast<float>(std::fabs(v) + 0.1)); })};
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::log(x[0])}; };
    c.reference = [](Numbers x) { return Arrays{x[0].map([](double v) { return std::log(v); })}; };
    c.flops = count(c.inputs[0]);
    c.measured = shape == kHotShape;
    log.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(log));

  Op add_scalar{"add_scalar", "x + s", {"x (...)", "s (one element)"}, {true, true}, "1 per element", 1e-7, 1e-3, {}};
  for (const Shape& shape : {Shape{5, 7}, Shape{1}, Shape{0, 4}, kHotShape}) {
    OpCase c;
    c.inputs = {sample("add_scalar", shape), sample("add_scalar/s", {1})};
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::add_scalar(x[0], x[1])}; };
    c.reference = [](Numbers x) { return Arrays{x[0] + x[1].item()}; };
    c.flops = static_cast<double>(shape.size());
    c.measured = shape == kHotShape;
    add_scalar.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(add_scalar));
  // The kept elements are drawn from the tape's stream; a test of its own looks at them.
  Op dropout{"dropout",
             "x / (1 - p) with probability 1 - p, else 0",
             {"x (...)"},
             {true},
             "1 per element",
             1e-7,
             1e-3,
             unary_cases(
                 "dropout", [](Tensor x) { return ops::dropout(x, 0.4f); }, [](const Array& x) { return x; }, 1)};
  for (OpCase& c : dropout.cases) c.reference = nullptr;
  OpCase off = unary_cases(
      "dropout/off", [](Tensor x) { return ops::dropout(x, 0.0f); }, [](const Array& x) { return x; }, 0)[0];
  off.shapes = "p = 0";
  dropout.cases.push_back(std::move(off));
  rows.push_back(std::move(dropout));
  return rows;
}

std::vector<Op> shape_ops() {
  std::vector<Op> rows;

  Op reshape{"reshape", "the same elements in another shape", {"x (...)"}, {true}, "0", 0, 1e-3, {}};
  const std::pair<Shape, Shape> changes[] = {
      {{6, 4}, {2, 3, 4}}, {{8}, {2, 2, 2}}, {{1}, {1, 1}}, {{0, 3}, {3, 0}}, {{32, 50, 64}, {1600, 64}}};
  for (const auto& [from, to] : changes) {
    OpCase c;
    c.inputs = {sample("reshape", from)};
    c.forward = [shape = to](Tape&, Inputs x) { return Tensors{ops::reshape(x[0], shape)}; };
    c.reference = [shape = to](Numbers x) { return Arrays{x[0].reshape(shape)}; };
    c.measured = from.rank() == 3;
    reshape.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(reshape));

  Op concat{"concat", "parts side by side on the last axis", {"parts (..., d_k), 1 to 8"}, {true}, "0", 0, 1e-3, {}};
  const std::vector<std::vector<Shape>> joins = {
      {{3, 2}, {3, 5}},        {{4, 1}},         {{2, 3, 1}, {2, 3, 4}, {2, 3, 2}},
      {{2, 0}, {2, 3}},        {{0, 2}, {0, 3}}, {{2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}},
      {{1600, 64}, {1600, 64}}};
  for (const auto& shapes : joins) {
    OpCase c;
    for (const Shape& s : shapes) c.inputs.push_back(sample("concat/" + std::to_string(c.inputs.size()), s));
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::concat(x)}; };
    c.reference = [](Numbers x) { return Arrays{concatenate(x, -1)}; };
    c.measured = shapes[0][0] == 1600;
    concat.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(concat));

  Op columns{"columns", "x[..., first:last]", {"x (..., d)"}, {true}, "0", 0, 1e-3, {}};
  struct Range {
    Shape shape;
    std::int64_t first, last;
  };
  for (const Range& r : {Range{{3, 5}, 1, 4}, Range{{2, 3, 4}, 0, 4}, Range{{3, 5}, 2, 2}, Range{{7}, 6, 7}, Range{{0, 3}, 1, 2},
                         Range{{1600, 64}, 0, 32}}) {
    OpCase c;
    c.shapes = std::to_string(r.first) + ":" + std::to_string(r.last);
    c.inputs = {sample("columns", r.shape)};
    c.forward = [r](Tape&, Inputs x) { return Tensors{ops::columns(x[0], r.first, r.last)}; };
    c.reference = [r](Numbers x) { return Arrays{x[0].columns(r.first, r.last)}; };
    c.measured = r.shape[0] == 1600;
    columns.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(columns));

  Op gather{"gather_columns", "y[..., j] = x[..., index[j]]", {"x (..., d)"}, {true}, "0", 0, 1e-3, {}};
  struct Gather {
    Shape shape;
    std::vector<std::int32_t> index;
  };
  for (const Gather& g : {Gather{{3, 4}, {2, 0, 3, 1}}, Gather{{2, 3, 2}, {1, 0}}, Gather{{5, 1}, {0}}, Gather{{3, 3}, {1, 1, 0}},
                          Gather{{0, 2}, {1, 0}}, Gather{{1600, 4}, {3, 2, 0, 1}}}) {
    OpCase c;
    c.inputs = {sample("gather_columns", g.shape)};
    const auto index = std::make_shared<const std::vector<std::int32_t>>(g.index);
    c.forward = [index](Tape&, Inputs x) { return Tensors{ops::gather_columns(x[0], index->data())}; };
    c.reference = [index](Numbers x) {
      Array y(x[0].shape());
      const std::int64_t d = y.dim(-1);
      for (std::int64_t i = 0; i < rows_of(y); ++i)
        for (std::int64_t j = 0; j < d; ++j) y.data()[i * d + j] = x[0].data()[i * d + (*index)[static_cast<std::size_t>(j)]];
      return Arrays{y};
    };
    c.measured = g.shape[0] == 1600;
    gather.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(gather));

  Op repeat{"repeat", "(..., d) -> (..., times, d)", {"x (..., d)"}, {true}, "0", 0, 1e-3, {}};
  struct Times {
    Shape shape;
    std::int64_t times;
  };
  for (const Times& r : {Times{{3, 4}, 5}, Times{{2, 3, 2}, 1}, Times{{1, 1}, 17}, Times{{5}, 3}, Times{{0, 2}, 3}, Times{{32, 64}, 50}}) {
    OpCase c;
    c.shapes = std::to_string(r.times) + " times";
    c.inputs = {sample("repeat", r.shape)};
    c.forward = [times = r.times](Tape&, Inputs x) { return Tensors{ops::repeat(x[0], times)}; };
    c.reference = [times = r.times](Numbers x) { return Arrays{x[0].expand_dims(-2).repeat(times, -2)}; };
    c.measured = r.shape[0] == 32;
    repeat.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(repeat));

  const auto total = [](std::span<const double> v) {
    double s = 0;
    for (const double x : v) s += x;
    return s;
  };
  rows.push_back(pool_op("mean_pool", "mean over axis -2: (..., d)", ops::mean_pool,
                         [total](std::span<const double> v) { return total(v) / static_cast<double>(v.size()); }));
  rows.push_back(pool_op("max_pool", "maximum over axis -2: (..., d); the gradient goes to the first largest", ops::max_pool,
                         [](std::span<const double> v) { return *std::max_element(v.begin(), v.end()); }));
  rows.push_back(pool_op("sum_pool", "sum over axis -2: (..., d)", ops::sum_pool, total));

  rows.push_back(
      {"sum_columns",
       "sum over the last axis: (...)",
       {"x (..., d)"},
       {true},
       "d per row",
       2e-6,
       1e-3,
       unary_cases(
           "sum_columns", ops::sum_columns, [](const Array& x) { return x.rank() == 1 ? Array::scalar(x.sum()) : x.sum(-1); }, 1)});
  const auto one = [](double v) { return Array::of({v}); };
  Op mean{"mean",
          "mean of all elements: (1)",
          {"x (...), not empty"},
          {true},
          "1 per element",
          2e-6,
          1e-3,
          unary_cases(
              "mean", [](Tensor x) { return ops::mean(x); }, [one](const Array& x) { return one(x.mean()); }, 1)};
  std::erase_if(mean.cases, [](const OpCase& c) { return c.inputs[0].empty(); });
  rows.push_back(std::move(mean));
  rows.push_back({"sum",
                  "sum of all elements: (1)",
                  {"x (...)"},
                  {true},
                  "1 per element",
                  2e-6,
                  1e-3,
                  unary_cases(
                      "sum", [](Tensor x) { return ops::sum(x); }, [one](const Array& x) { return one(x.sum()); }, 1)});
  return rows;
}

}  // namespace bayesflow::support
