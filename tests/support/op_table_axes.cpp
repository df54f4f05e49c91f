/// Rows of the op table: axes, broadcasts, reductions with masks, gathers.
#include <algorithm>
#include <cmath>
#include <functional>

#include "support/op_table.hpp"

namespace bayesflow::support {
namespace {

using Numbers = std::span<const Array>;
using Inputs = std::span<const Tensor>;
using Index = std::vector<std::int64_t>;

/// y[index] = f(index) for every index of a shape.
Array filled(const Shape& shape, const std::function<double(const Index&)>& f) {
  Array y(shape);
  Index at(static_cast<std::size_t>(shape.rank()), 0);
  for (double& v : y.values()) {
    v = f(at);
    for (std::size_t k = at.size(); k-- > 0;) {
      if (++at[k] < shape[static_cast<int>(k)]) break;
      at[k] = 0;
    }
  }
  return y;
}
/// x[index]; axes of extent 1 and missing leading axes repeat.
double at(const Array& x, const Index& index) {
  std::int64_t offset = 0;
  const auto front = index.size() - static_cast<std::size_t>(x.shape().rank());
  for (int k = 0; k < x.shape().rank(); ++k) offset = offset * x.dim(k) + (x.dim(k) == 1 ? 0 : index[front + static_cast<std::size_t>(k)]);
  return x.data()[offset];
}

OpCase case_of(Arrays inputs, std::function<Tensors(Tape&, Inputs)> forward, std::function<Arrays(Numbers)> reference, double flops = 0,
               bool measured = false, std::string what = "") {
  return {std::move(what), std::move(inputs), std::move(forward), std::move(reference), flops, measured};
}

/// 1 where an observation is there; a third is not, in the middle as well as at the end, and the last set has none.
Array mask_of(const std::string& name, const Shape& shape) {
  Array mask = sample(name + "/mask", shape).map([](double v) { return v > -0.4 ? 1.0 : 0.0; });
  const std::int64_t n = shape[-1];
  for (std::int64_t i = shape.size() - n; shape.size() > n && i < shape.size(); ++i) mask.data()[i] = 0;
  return mask;
}

Op pool_op(const std::string& name, const std::string& formula, Tensor (*op)(Tensor, Tensor),
           const std::function<double(std::span<const double>)>& reduce) {
  Op row{name + "(mask)", formula, {"x (..., N, d)", "mask (..., N)"}, {true, false}, "N d per group", 2e-6, 1e-3, {}};
  for (const Shape& shape : {Shape{3, 5, 7}, Shape{4, 2}, Shape{2, 3, 4, 5}, Shape{2, 1, 33}, Shape{0, 3, 2}, Shape{8, 50, 64}})
    row.cases.push_back(case_of(
        {sample(name, shape), mask_of(name, shape.slice(0, -1))}, [op](Tape&, Inputs x) { return Tensors{op(x[0], x[1])}; },
        [reduce](Numbers x) {
          Shape out = x[0].shape().slice(0, -2);
          out.push_back(x[0].dim(-1));
          return Arrays{filled(out, [&](const Index& index) {
            std::vector<double> column;
            Index from(index);
            from.insert(from.end() - 1, 0);
            for (std::int64_t& i = from[from.size() - 2]; i < x[0].dim(-2); ++i)
              if (at(x[1], Index(from.begin(), from.end() - 1)) != 0) column.push_back(at(x[0], from));
            return column.empty() ? 0 : reduce(column);
          })};
        },
        static_cast<double>(shape.size()), shape[0] == 8));
  return row;
}

double total(std::span<const double> x) {
  double s = 0;
  for (const double v : x) s += v;
  return s;
}

}  // namespace

std::vector<Op> axis_ops() {
  std::vector<Op> rows;

  Op transpose{"transpose", "axis k of the result is axis axes[k] of x", {"x (...)"}, {true}, "0", 0, 1e-3, {}};
  struct Turn {
    Shape shape;
    std::vector<int> axes;
  };
  for (const Turn& t :
       {Turn{{3, 5}, {1, 0}}, Turn{{4}, {0}}, Turn{{2, 3, 4}, {2, 0, 1}}, Turn{{2, 3, 4, 5}, {0, 2, 1, 3}},
        Turn{{2, 3, 4, 5}, {3, 1, -2, 0}}, Turn{{2, 17, 33}, {0, 2, 1}}, Turn{{1, 3, 1, 2}, {3, 2, 1, 0}}, Turn{{0, 3}, {1, 0}},
        Turn{{2, 1, 3, 2, 2}, {4, 0, 3, 1, 2}}, Turn{{8, 50, 4, 32}, {0, 2, 1, 3}}, Turn{{8, 50, 64}, {0, 2, 1}}})
    transpose.cases.push_back(case_of(
        {sample("transpose", t.shape)}, [axes = t.axes](Tape&, Inputs x) { return Tensors{ops::transpose(x[0], axes)}; },
        [axes = t.axes](Numbers x) {
          Shape shape = x[0].shape();
          for (std::size_t k = 0; k < axes.size(); ++k) shape.set(static_cast<int>(k), x[0].dim(axes[k]));
          return Arrays{filled(shape, [&](const Index& index) {
            Index from(index.size());
            for (std::size_t k = 0; k < axes.size(); ++k)
              from[static_cast<std::size_t>(axes[k] < 0 ? axes[k] + x[0].shape().rank() : axes[k])] = index[k];
            return at(x[0], from);
          })};
        },
        0, t.shape[0] == 8));
  rows.push_back(std::move(transpose));

  Op slice{"slice", "indices first, first + step, ... below last of one axis", {"x (...)"}, {true}, "0", 0, 1e-3, {}};
  struct Cut {
    Shape shape;
    int axis;
    std::int64_t first, last, step;
  };
  for (const Cut& c : {Cut{{5, 7}, 0, 1, 4, 1}, Cut{{5, 7}, 1, 2, 7, 2}, Cut{{5, 7}, -1, 0, 7, 1}, Cut{{2, 6, 3}, 1, 0, 6, 3},
                       Cut{{2, 6, 3}, -2, 4, 4, 1}, Cut{{0, 3}, 1, 1, 2, 1}, Cut{{9}, 0, 0, 9, 4}, Cut{{8, 50, 64}, 1, 10, 40, 1}})
    slice.cases.push_back(case_of(
        {sample("slice", c.shape)}, [c](Tape&, Inputs x) { return Tensors{ops::slice(x[0], c.axis, c.first, c.last, c.step)}; },
        [c](Numbers x) {
          const int axis = c.axis < 0 ? c.axis + c.shape.rank() : c.axis;
          Shape shape = c.shape;
          shape.set(axis, (c.last - c.first + c.step - 1) / c.step);
          return Arrays{filled(shape, [&](Index index) {
            std::int64_t& i = index[static_cast<std::size_t>(axis)];
            i = c.first + i * c.step;
            return at(x[0], index);
          })};
        },
        0, c.shape[0] == 8,
        "axis " + std::to_string(c.axis) + ", [" + std::to_string(c.first) + ", " + std::to_string(c.last) + ") by " +
            std::to_string(c.step)));
  rows.push_back(std::move(slice));

  // Both join tensors along an axis; to stack is to join along one of extent 1 that is new.
  for (const bool stacks : {true, false}) {
    Op row{stacks ? "stack" : "concat(axis)",
           stacks ? "tensors of one shape along a new axis" : "tensors side by side along an axis",
           {"parts (...), any number"},
           {true},
           "0",
           0,
           1e-3,
           {}};
    struct Join {
      std::vector<Shape> shapes;
      int axis;
    };
    std::vector<Join> joins{{{{3, 5}}, 0},         {{{3, 5}, {3, 5}, {3, 5}}, 1},          {{{2, 3}, {2, 3}}, -1},
                            {{{0, 2}, {0, 2}}, 1}, {std::vector<Shape>(20, {2, 2, 2}), 1}, {std::vector<Shape>(16, {8, 64}), 1}};
    if (!stacks) joins.push_back({{{2, 3, 4}, {2, 1, 4}, {2, 5, 4}}, 1}), joins.push_back({{{2, 3}, {4, 3}, {0, 3}}, -2});
    for (const Join& join : joins) {
      Arrays inputs;
      for (const Shape& s : join.shapes) inputs.push_back(sample(row.name + std::to_string(inputs.size()), s));
      row.cases.push_back(case_of(
          std::move(inputs),
          [stacks, axis = join.axis](Tape&, Inputs x) { return Tensors{stacks ? ops::stack(x, axis) : ops::concat(x, axis)}; },
          [stacks, axis = join.axis](Numbers x) {
            const int rank = x[0].shape().rank() + (stacks ? 1 : 0), place = axis < 0 ? axis + rank : axis;
            Shape shape;
            for (int k = 0, from = 0; k < rank; ++k) shape.push_back(stacks && k == place ? 1 : x[0].dim(from++));
            std::int64_t length = 0;
            for (const Array& part : x) length += stacks ? 1 : part.dim(place);
            shape.set(place, length);
            return Arrays{filled(shape, [&](Index index) {
              std::int64_t& i = index[static_cast<std::size_t>(place)];
              std::size_t part = 0;
              for (; i >= (stacks ? 1 : x[part].dim(place)); ++part) i -= stacks ? 1 : x[part].dim(place);
              if (stacks) index.erase(index.begin() + place);
              return at(x[part], index);
            })};
          },
          0, join.shapes.size() == 16, "axis " + std::to_string(join.axis)));
    }
    rows.push_back(std::move(row));
  }

  Op broadcast{"broadcast", "axes of extent 1 and missing leading axes repeated", {"x (...)"}, {true}, "0", 0, 1e-3, {}};
  const std::pair<Shape, Shape> repeats[] = {
      {{1, 7}, {5, 7}}, {{3, 1}, {3, 17}}, {{4}, {2, 3, 4}},          {{1}, {3, 2}}, {{2, 1, 3, 1}, {2, 4, 3, 5}},
      {{3, 4}, {3, 4}}, {{1, 2}, {0, 2}},  {{1, 32, 64}, {8, 32, 64}}};
  for (const auto& [from, to] : repeats)
    broadcast.cases.push_back(case_of(
        {sample("broadcast", from)}, [shape = to](Tape&, Inputs x) { return Tensors{ops::broadcast(x[0], shape)}; },
        [shape = to](Numbers x) { return Arrays{filled(shape, [&](const Index& index) { return at(x[0], index); })}; }, 0, to[0] == 8,
        "to " + to.to_string()));
  rows.push_back(std::move(broadcast));

  Op mask_rows{"mask_rows", "x where the mask is not 0, else 0", {"x (..., d)", "mask (...)"}, {true, false}, "0", 0, 1e-3, {}};
  for (const Shape& shape : {Shape{5, 7}, Shape{2, 3, 17}, Shape{0, 3}, Shape{8, 50, 64}})
    mask_rows.cases.push_back(case_of(
        {sample("mask_rows", shape), mask_of("mask_rows", shape.slice(0, -1))},
        [](Tape&, Inputs x) { return Tensors{ops::mask_rows(x[0], x[1])}; },
        [](Numbers x) {
          return Arrays{filled(x[0].shape(), [&](const Index& index) {
            return at(x[1], Index(index.begin(), index.end() - 1)) != 0 ? at(x[0], index) : 0.0;
          })};
        },
        0, shape[0] == 8));
  rows.push_back(std::move(mask_rows));

  Op gather{"gather", "rows of a table by their numbers", {"table (entries, d)", "numbers (...)"}, {true, false}, "0", 0, 1e-3, {}};
  Op one_hot{"one_hot", "1 at the place that a number says, else 0: (..., entries)", {"numbers (...)"}, {false}, "0", 0, 1e-3, {}};
  struct Pick {
    Shape table, numbers;
  };
  for (const Pick& p : {Pick{{4, 3}, {6}}, Pick{{1, 17}, {2, 3}}, Pick{{5, 2}, {0}}, Pick{{20, 64}, {32, 50}}}) {
    const Array numbers = sample("gather/numbers", p.numbers).map([n = p.table[0]](double v) {
      return std::min(std::floor(std::fabs(v) * static_cast<double>(n) / 2), static_cast<double>(n - 1));
    });
    gather.cases.push_back(case_of(
        {sample("gather", p.table), numbers}, [](Tape&, Inputs x) { return Tensors{ops::gather(x[0], x[1])}; },
        [](Numbers x) {
          Shape shape = x[1].shape();
          shape.push_back(x[0].dim(1));
          return Arrays{filled(shape, [&](const Index& index) {
            return at(x[0], {static_cast<std::int64_t>(at(x[1], Index(index.begin(), index.end() - 1))), index.back()});
          })};
        },
        0, p.table[0] == 20));
    one_hot.cases.push_back(case_of(
        {numbers}, [n = p.table[0]](Tape&, Inputs x) { return Tensors{ops::one_hot(x[0], n)}; },
        [n = p.table[0]](Numbers x) {
          Shape shape = x[0].shape();
          shape.push_back(n);
          return Arrays{filled(shape, [&](const Index& index) {
            return static_cast<double>(index.back()) == at(x[0], Index(index.begin(), index.end() - 1)) ? 1.0 : 0.0;
          })};
        },
        0, p.table[0] == 20));
  }
  rows.push_back(std::move(gather));
  rows.push_back(std::move(one_hot));

  for (const bool average : {false, true}) {
    Op row{average ? "mean(axis)" : "sum(axis)",
           average ? "mean over one axis, which goes" : "sum over one axis, which goes",
           {"x (...)"},
           {true},
           "1 per element",
           2e-6,
           1e-3,
           {}};
    struct Over {
      Shape shape;
      int axis;
    };
    for (const Over& o : {Over{{5, 7}, 0}, Over{{5, 7}, -1}, Over{{3, 4, 17}, 1}, Over{{3, 1, 2}, 1}, Over{{9}, 0}, Over{{0, 3}, 1},
                          Over{{2, 3, 4, 5}, 2}, Over{{8, 50, 64}, 1}, Over{{8, 50, 64}, 2}})
      row.cases.push_back(case_of(
          {sample(row.name, o.shape)},
          [average, axis = o.axis](Tape&, Inputs x) { return Tensors{average ? ops::mean(x[0], axis) : ops::sum(x[0], axis)}; },
          [average, o](Numbers x) {
            const int axis = o.axis < 0 ? o.axis + o.shape.rank() : o.axis;
            Shape shape = o.shape.slice(0, axis);
            for (int k = axis + 1; k < o.shape.rank(); ++k) shape.push_back(o.shape[k]);
            return Arrays{filled(shape, [&](Index index) {
              index.insert(index.begin() + axis, 0);
              double s = 0;
              for (std::int64_t& i = index[static_cast<std::size_t>(axis)]; i < o.shape[axis]; ++i) s += at(x[0], index);
              return average ? s / static_cast<double>(o.shape[axis]) : s;
            })};
          },
          static_cast<double>(o.shape.size()), o.shape[0] == 8, "axis " + std::to_string(o.axis)));
    rows.push_back(std::move(row));
  }

  rows.push_back(pool_op("mean_pool", "mean of the observations that are there: (..., d)", ops::mean_pool,
                         [](std::span<const double> x) { return total(x) / static_cast<double>(x.size()); }));
  rows.push_back(pool_op("sum_pool", "sum of the observations that are there: (..., d)", ops::sum_pool, total));
  rows.push_back(pool_op("max_pool", "largest of the observations that are there: (..., d)", ops::max_pool,
                         [](std::span<const double> x) { return *std::max_element(x.begin(), x.end()); }));
  return rows;
}

}  // namespace bayesflow::support
