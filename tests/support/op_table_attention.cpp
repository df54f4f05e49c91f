/// Rows of the op table: products of many matrices, softmax, normalization, attention.
#include <algorithm>
#include <cmath>

#include "support/op_table.hpp"

namespace bayesflow::support {
namespace {

using Numbers = std::span<const Array>;
using Inputs = std::span<const Tensor>;

/// e^x / sum e^x over what is there; the logarithm of the sum, or -infinity.
double softmax_row(const double* x, const double* mask, std::int64_t n, std::vector<double>& y) {
  double sum = 0, top = -INFINITY;
  for (std::int64_t j = 0; j < n; ++j)
    if (!mask || mask[j] != 0) top = std::max(top, x[j]);
  y.assign(static_cast<std::size_t>(n), 0.0);
  for (std::int64_t j = 0; j < n; ++j)
    if (!mask || mask[j] != 0) sum += y[static_cast<std::size_t>(j)] = std::exp(x[j] - top);
  for (double& v : y) v = sum > 0 ? v / sum : 0;
  return top + std::log(sum);
}

std::vector<Op> softmax_rows() {
  std::vector<Op> rows;
  for (const bool logarithm : {false, true}) {
    Op row{logarithm ? "log_softmax" : "softmax",
           logarithm ? "x - log sum exp(x) over the last axis; -1e30 where the mask is 0"
                     : "exp(x) / sum exp(x) over the last axis; 0 where the mask is",
           {"x (..., n)", "mask (..., n), optional, broadcast"},
           {true, false},
           "5 per element",
           2e-6,
           1e-3,
           {}};
    struct Masked {
      Shape shape, mask;
      double scale = 1;
    };
    for (const Masked& m : {Masked{{5, 7}, {}}, Masked{{1}, {}}, Masked{{3, 1}, {}}, Masked{{2, 3, 33}, {}}, Masked{{0, 4}, {}},
                            Masked{{4, 5}, {}, 40}, Masked{{5, 7}, {5, 7}}, Masked{{3, 5}, {5}}, Masked{{2, 3, 4, 19}, {2, 1, 1, 19}},
                            Masked{{2, 3, 4, 5}, {3, 1, 5}}, Masked{{4, 4, 50, 50}, {4, 1, 1, 50}}}) {
      OpCase c;
      c.inputs = {sample(row.name, m.shape, 0, m.scale)};
      if (m.mask.rank()) {
        c.inputs.push_back(sample(row.name + "/mask", m.mask).map([](double v) { return v > -0.4 ? 1.0 : 0.0; }));
        // One row has nothing left; not with logarithms, whose -1e30 would drown every error.
        if (m.mask.rank() == 2) std::fill_n(c.inputs[1].data(), m.mask[-1], 0.0);
      }
      c.forward = [logarithm](Tape&, Inputs x) {
        const Tensor mask = x.size() > 1 ? x[1] : Tensor();
        Tensor y = logarithm ? ops::log_softmax(x[0], mask) : ops::softmax(x[0], mask);
        // Logarithms of 0 would hide all errors, and have no differences: they are looked at in a test of their own.
        return Tensors{logarithm && mask ? ops::multiply(y, ops::broadcast(mask, y.shape())) : y};
      };
      c.reference = [logarithm](Numbers x) {
        const std::int64_t n = x[0].dim(-1);
        Array y(x[0].shape());
        std::vector<double> p;
        std::vector<std::int64_t> index(static_cast<std::size_t>(x[0].shape().rank() - 1), 0);
        for (std::int64_t i = 0; i < y.size(); i += n) {
          const double* mask = nullptr;
          if (x.size() > 1) {
            std::int64_t at = 0, left = i / n;
            for (int k = x[0].shape().rank() - 2; k >= 0; --k) index[static_cast<std::size_t>(k)] = left % x[0].dim(k), left /= x[0].dim(k);
            const int front = x[0].shape().rank() - x[1].shape().rank();
            for (int k = 0; k + 1 < x[1].shape().rank(); ++k)
              at = at * x[1].dim(k) + (x[1].dim(k) == 1 ? 0 : index[static_cast<std::size_t>(k + front)]);
            mask = x[1].data() + at * n;
          }
          const double log_sum = softmax_row(x[0].data() + i, mask, n, p);
          for (std::int64_t j = 0; j < n; ++j)
            y.data()[i + j] = !logarithm ? p[static_cast<std::size_t>(j)] : mask && mask[j] == 0 ? 0 : x[0].data()[i + j] - log_sum;
        }
        return Arrays{y};
      };
      c.flops = 5.0 * static_cast<double>(m.shape.size());
      c.measured = m.shape[-1] == 50;
      row.cases.push_back(std::move(c));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Op> norm_rows() {
  std::vector<Op> rows;
  for (const bool centre : {true, false}) {
    Op row{centre ? "layer_norm" : "rms_norm",
           centre ? "gain (x - mean) / sqrt(variance + epsilon) + bias over the last axis"
                  : "gain x / sqrt(mean x^2 + epsilon) over the last axis",
           {"x (..., d)", "gain (d), optional"},
           {true, true},
           "8 per element",
           4e-6,
           2e-3,
           {}};
    if (centre) row.arguments.push_back("bias (d), optional"), row.differentiable.push_back(true);
    for (const Shape& shape : {Shape{5, 7}, Shape{4, 2}, Shape{3, 1}, Shape{2, 3, 33}, Shape{0, 4}, Shape{6, 5}, Shape{512, 64}}) {
      if (!centre && shape[-1] == 1) continue;  // the sign of x: flat, but for epsilon
      OpCase c;
      const bool bare = shape[0] == 6;
      c.inputs = {sample(row.name, shape, 0.5)};
      if (!bare) c.inputs.push_back(sample(row.name + "/gain", {shape[-1]}, 1));
      if (!bare && centre) c.inputs.push_back(sample(row.name + "/bias", {shape[-1]}));
      c.shapes = bare ? "without parameters" : "";
      c.forward = [centre, bare](Tape&, Inputs x) {
        if (bare) return Tensors{centre ? ops::layer_norm(x[0]) : ops::rms_norm(x[0])};
        return Tensors{centre ? ops::layer_norm(x[0], x[1], x[2]) : ops::rms_norm(x[0], x[1])};
      };
      c.reference = [centre](Numbers x) {
        const std::int64_t d = x[0].dim(-1);
        Array y(x[0].shape());
        for (std::int64_t i = 0; i < y.size(); i += d) {
          const double* from = x[0].data() + i;
          double mean = 0, square = 0;
          for (std::int64_t j = 0; centre && j < d; ++j) mean += from[j] / static_cast<double>(d);
          for (std::int64_t j = 0; j < d; ++j) square += (from[j] - mean) * (from[j] - mean) / static_cast<double>(d);
          for (std::int64_t j = 0; j < d; ++j) {
            const double v = (from[j] - mean) / std::sqrt(square + static_cast<double>(centre ? 1e-3f : 1e-6f));
            y.data()[i + j] = v * (x.size() > 1 ? x[1].data()[j] : 1) + (x.size() > 2 ? x[2].data()[j] : 0);
          }
        }
        return Arrays{y};
      };
      c.flops = 8.0 * static_cast<double>(shape.size());
      c.measured = shape[0] == 512;
      row.cases.push_back(std::move(c));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Op matmul_row() {
  Op row{"batched_matmul",
         "a b, or with the transpose of either: (..., n, m), leading axes broadcast",
         {"a (..., n, k)", "b (..., k, m)"},
         {true, true},
         "2 n k m per product",
         4e-6,
         1e-3,
         {}};
  struct Product {
    Shape a, b;
    bool ta = false, tb = false;
  };
  for (const Product& p : {Product{{3, 4, 5}, {3, 5, 2}}, Product{{4, 5}, {5, 1}}, Product{{3, 4, 5}, {3, 2, 5}, false, true},
                           Product{{3, 5, 4}, {3, 5, 7}, true}, Product{{2, 5, 4}, {2, 7, 5}, true, true}, Product{{2, 3, 4, 5}, {5, 6}},
                           Product{{2, 3, 4, 5}, {6, 5}, false, true}, Product{{4, 5}, {3, 5, 6}}, Product{{2, 1, 4, 5}, {3, 5, 17}},
                           Product{{2, 1, 5, 4}, {1, 3, 6, 5}, true, true}, Product{{0, 4, 5}, {0, 5, 3}}, Product{{2, 0, 5}, {2, 5, 3}},
                           Product{{2, 4, 0}, {2, 0, 3}}, Product{{1, 9, 40}, {1, 2, 40}, false, true},
                           Product{{16, 50, 32}, {16, 50, 32}, false, true}, Product{{16, 50, 50}, {16, 50, 32}}}) {
    OpCase c;
    c.inputs = {sample("batched_matmul/a", p.a), sample("batched_matmul/b", p.b)};
    c.shapes = std::string(p.ta ? "a transposed" : "") + (p.tb ? p.ta ? ", b transposed" : "b transposed" : "");
    c.forward = [p](Tape&, Inputs x) { return Tensors{ops::batched_matmul(x[0], x[1], {p.ta, p.tb})}; };
    const std::int64_t n = p.a[p.ta ? -1 : -2], k = p.a[p.ta ? -2 : -1], m = p.b[p.tb ? -2 : -1];
    Shape lead;
    const int rank = std::max(p.a.rank(), p.b.rank()) - 2;
    const auto extent = [rank](const Shape& s, int axis) { return axis + s.rank() - 2 - rank >= 0 ? s[axis + s.rank() - 2 - rank] : 1; };
    for (int axis = 0; axis < rank; ++axis) lead.push_back(extent(p.a, axis) == 1 ? extent(p.b, axis) : extent(p.a, axis));
    c.reference = [=](Numbers x) {
      Shape shape = lead;
      shape.push_back(n), shape.push_back(m);
      Array y(shape);
      for (std::int64_t g = 0; g < lead.size(); ++g) {
        std::int64_t left = g, at_a = 0, at_b = 0, size_a = n * k, size_b = k * m;
        for (int axis = rank - 1; axis >= 0; --axis) {
          const std::int64_t i = left % lead[axis];
          left /= lead[axis];
          if (extent(p.a, axis) != 1) at_a += i * size_a;
          if (extent(p.b, axis) != 1) at_b += i * size_b;
          size_a *= extent(p.a, axis), size_b *= extent(p.b, axis);
        }
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t j = 0; j < m; ++j) {
            double s = 0;
            for (std::int64_t q = 0; q < k; ++q)
              s += x[0].data()[at_a + (p.ta ? q * n + i : i * k + q)] * x[1].data()[at_b + (p.tb ? j * k + q : q * m + j)];
            y.data()[(g * n + i) * m + j] = s;
          }
      }
      return Arrays{y};
    };
    c.flops = 2.0 * static_cast<double>(lead.size() * n * k * m);
    c.measured = p.a[0] >= 16;
    row.cases.push_back(std::move(c));
  }
  return row;
}

struct AttentionCase {
  std::string what;
  std::int64_t sets, n, m, heads, width, out;
  int mask = 0;         // 1: of keys, 2: of pairs
  bool shared = false;  // queries
  bool measured = false;
};

OpCase attention_case(const AttentionCase& s) {
  OpCase c;
  c.shapes = s.what;
  c.inputs = {sample("attention/q", s.shared ? Shape{s.n, s.heads * s.width} : Shape{s.sets, s.n, s.heads * s.width}),
              sample("attention/k", {s.sets, s.m, s.heads * s.width}), sample("attention/v", {s.sets, s.m, s.heads * s.out})};
  if (s.mask) {
    const Shape shape = s.mask == 1 ? Shape{s.sets, s.m} : Shape{s.sets, s.n, s.m};
    c.inputs.push_back(sample("attention/mask", shape).map([](double v) { return v > -0.4 ? 1.0 : 0.0; }));
    for (std::int64_t j = s.m - s.m / 3; j < s.m; ++j) c.inputs[3].data()[j] = 0;  // padding at the end of the first set
    std::fill_n(c.inputs[3].data() + (shape.size() - s.m), s.m, 0.0);              // and nothing in the last
  }
  c.forward = [s](Tape&, Inputs x) {
    return Tensors{ops::attention(x[0], x[1], x[2], {.heads = s.heads}, x.size() > 3 ? x[3] : Tensor())};
  };
  c.reference = [s](Numbers x) {
    Array y({s.sets, s.n, s.heads * s.out});
    std::vector<double> score(static_cast<std::size_t>(s.m)), p;
    for (std::int64_t b = 0; b < s.sets; ++b)
      for (std::int64_t h = 0; h < s.heads; ++h)
        for (std::int64_t i = 0; i < s.n; ++i) {
          const double* q = x[0].data() + ((s.shared ? 0 : b * s.n) + i) * s.heads * s.width + h * s.width;
          for (std::int64_t j = 0; j < s.m; ++j) {
            double dot = 0;
            for (std::int64_t d = 0; d < s.width; ++d) dot += q[d] * x[1].data()[(b * s.m + j) * s.heads * s.width + h * s.width + d];
            score[static_cast<std::size_t>(j)] = dot / std::sqrt(static_cast<double>(s.width));
          }
          const double* mask = s.mask ? x[3].data() + (s.mask == 1 ? b * s.m : (b * s.n + i) * s.m) : nullptr;
          softmax_row(score.data(), mask, s.m, p);
          for (std::int64_t d = 0; d < s.out; ++d) {
            double sum = 0;
            for (std::int64_t j = 0; j < s.m; ++j)
              sum += p[static_cast<std::size_t>(j)] * x[2].data()[(b * s.m + j) * s.heads * s.out + h * s.out + d];
            y.data()[(b * s.n + i) * s.heads * s.out + h * s.out + d] = sum;
          }
        }
    return Arrays{y};
  };
  c.flops = static_cast<double>(s.sets * s.heads * s.n * s.m) * static_cast<double>(2 * s.width + 2 * s.out + 5);
  c.measured = s.measured;
  return c;
}

}  // namespace

std::vector<Op> attention_ops() {
  std::vector<Op> rows;
  rows.push_back(matmul_row());
  for (Op& row : softmax_rows()) rows.push_back(std::move(row));
  for (Op& row : norm_rows()) rows.push_back(std::move(row));
  Op row{"attention",
         "softmax(q k^T / sqrt(a), mask) v for each head: (..., n, heads b)",
         {"q (..., n, heads a) or (n, heads a)", "k (..., m, heads a)", "v (..., m, heads b)", "mask (..., m) or (..., n, m), optional"},
         {true, true, true, false},
         "n m (2 a + 2 b + 5) per head",
         4e-6,
         2e-3,
         {}};
  for (const AttentionCase& s :
       {AttentionCase{"one head", 2, 5, 4, 1, 3, 2}, AttentionCase{"heads", 2, 5, 4, 3, 2, 4}, AttentionCase{"one key", 2, 3, 1, 2, 2, 2},
        AttentionCase{"queries shared", 3, 4, 6, 2, 3, 3, 0, true}, AttentionCase{"keys masked", 3, 4, 9, 2, 3, 3, 1},
        AttentionCase{"pairs masked", 3, 4, 5, 2, 3, 3, 2}, AttentionCase{"shared and masked", 2, 3, 9, 2, 3, 3, 1, true},
        AttentionCase{"blocks of queries", 1, 130, 5, 1, 2, 2, 1}, AttentionCase{"no sets", 0, 3, 4, 1, 2, 2},
        AttentionCase{"no queries", 2, 0, 4, 1, 2, 2}, AttentionCase{"", 4, 50, 50, 4, 32, 32, 1, false, true}})
    row.cases.push_back(attention_case(s));
  // One tensor as queries, keys and values: three contributions to one gradient.
  OpCase self;
  self.shapes = "queries, keys and values are one tensor";
  self.inputs = {sample("attention/self", {2, 70, 4})};
  self.forward = [](Tape&, Inputs x) { return Tensors{ops::attention(x[0], x[0], x[0], {.heads = 2})}; };
  self.reference = [c = attention_case({"", 2, 70, 70, 2, 2, 2})](Numbers x) { return c.reference(Arrays{x[0], x[0], x[0]}); };
  row.cases.push_back(std::move(self));
  rows.push_back(std::move(row));
  return rows;
}

}  // namespace bayesflow::support
