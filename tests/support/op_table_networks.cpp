/// Rows of the op table: dense layers, parts of flows, densities.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

#include "autodiff/ops/gaussian_mixture.hpp"
#include "autodiff/ops/mean_of_chain.hpp"
#include "bayesflow/core/rng.hpp"
#include "support/op_table.hpp"
#include "support/spline_twin.hpp"
#include "support/twins.hpp"

namespace bayesflow::support {
namespace {

using Numbers = std::span<const Array>;
using Inputs = std::span<const Tensor>;

double dot_cost(std::int64_t rows, std::int64_t in, std::int64_t out) { return 2.0 * static_cast<double>(rows * in * out); }
std::int64_t rows_of(const Array& x) { return x.shape().slice(0, -1).size(); }
Shape with_cols(Shape shape, std::int64_t cols) {
  shape.set(-1, cols);
  return shape;
}

struct ChainCase {
  std::string about;
  Shape x;
  Shape condition;  // rank 0: none
  std::vector<std::int64_t> widths;
  std::vector<Activation> activations;
  bool bias = true, measured = false;
  bool mean = false;  // of the last layer's outputs over axis -2
};

OpCase chain_case(const ChainCase& chain) {
  OpCase c;
  c.shapes = chain.about;
  c.measured = chain.measured;
  const bool conditional = chain.condition.rank() > 0;
  c.inputs.push_back(sample("dense_chain/x", chain.x));
  if (conditional) c.inputs.push_back(sample("dense_chain/condition", chain.condition));
  std::int64_t width = chain.x[-1] + (conditional ? chain.condition[-1] : 0);
  const std::int64_t rows = chain.x.slice(0, -1).size();
  for (std::size_t l = 0; l < chain.widths.size(); ++l) {
    const std::string name = "dense_chain/" + std::to_string(l);
    c.inputs.push_back(
        sample(name + "/kernel", {width, chain.widths[l]}, 0, std::sqrt(1.5 / static_cast<double>(std::max<std::int64_t>(width, 1)))));
    if (chain.bias) c.inputs.push_back(sample(name + "/bias", {chain.widths[l]}, 0, 0.3));
    c.flops += dot_cost(rows, width, chain.widths[l]);
    width = chain.widths[l];
  }
  c.forward = [conditional, activations = chain.activations, bias = chain.bias, mean = chain.mean](Tape&, Inputs x) {
    std::vector<ops::Layer> layers;
    std::size_t at = conditional ? 2 : 1;
    for (const Activation a : activations) {
      const Tensor kernel = x[at++];
      layers.push_back({kernel, bias ? x[at++] : Tensor(), a});
    }
    return Tensors{(mean ? ops::mean_of_chain : ops::dense_chain)(layers, x[0], conditional ? x[1] : Tensor())};
  };
  c.reference = [conditional, activations = chain.activations, bias = chain.bias, mean = chain.mean](Numbers x) {
    Array h = x[0];
    std::size_t at = 1;
    if (conditional) {
      const Array& condition = x[at++];
      const std::int64_t n = rows_of(h), period = n / rows_of(condition), a = h.dim(-1), b = condition.dim(-1);
      Array joined(with_cols(h.shape(), a + b));
      for (std::int64_t i = 0; i < n; ++i) {
        std::copy_n(h.data() + i * a, a, joined.data() + i * (a + b));
        std::copy_n(condition.data() + i / period * b, b, joined.data() + i * (a + b) + a);
      }
      h = joined;
    }
    for (const Activation a : activations) {
      const Array& kernel = x[at++];
      h = dense_twin(h, kernel, bias ? &x[at++] : nullptr, a);
    }
    return Arrays{mean ? h.mean(-2) : h};
  };
  return c;
}

using enum Activation;

Array affine_twin(const Array& x, const Array& s, const Array& b, bool inverse) {
  Array y(x.shape());
  const std::int64_t d = s.size();
  for (std::int64_t i = 0; i < x.size(); ++i)
    y.data()[i] = inverse ? (x.data()[i] - b.data()[i % d]) / s.data()[i % d] : x.data()[i] * s.data()[i % d] + b.data()[i % d];
  return y;
}

/// A random matrix that is far from singular.
Array regular(const std::string& name, std::int64_t n) {
  Array w = sample(name, {n, n}, 0, 0.3);
  for (std::int64_t i = 0; i < n; ++i) w(i, i) = static_cast<double>(static_cast<float>(w(i, i) + (i % 2 ? -1.5 : 1.5)));
  return w;
}

/// Inverse and log|det| by Gauss-Jordan elimination.
struct Eliminated {
  Array inverse;
  double log_abs_det = 0;
};
Eliminated eliminate(Array a) {
  const std::int64_t n = a.dim(0);
  Eliminated out{Array({n, n}), 0};
  for (std::int64_t i = 0; i < n; ++i) out.inverse(i, i) = 1;
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t p = k;
    for (std::int64_t i = k; i < n; ++i)
      if (std::fabs(a(i, k)) > std::fabs(a(p, k))) p = i;
    for (std::int64_t j = 0; j < n; ++j) {
      std::swap(a(k, j), a(p, j));
      std::swap(out.inverse(k, j), out.inverse(p, j));
    }
    const double pivot = a(k, k);
    out.log_abs_det += std::log(std::fabs(pivot));
    for (std::int64_t j = 0; j < n; ++j) {
      a(k, j) /= pivot;
      out.inverse(k, j) /= pivot;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const double f = i == k ? 0 : a(i, k);
      for (std::int64_t j = 0; j < n; ++j) {
        a(i, j) -= f * a(k, j);
        out.inverse(i, j) -= f * out.inverse(k, j);
      }
    }
  }
  return out;
}

Tensors both(const ops::Transformed& t) { return {t.value, t.log_det}; }

/// f(row) over the last axis.
template <class F>
Array by_row(const Array& x, F f) {
  Array y(x.shape().slice(0, -1));
  const auto d = static_cast<std::size_t>(x.dim(-1));
  for (std::int64_t i = 0; i < y.size(); ++i) y.data()[i] = f(std::span<const double>(x.data() + i * static_cast<std::int64_t>(d), d));
  return y;
}

double squared_norm(std::span<const double> z) {
  double s = 0;
  for (const double v : z) s += v * v;
  return s;
}

double mean_kernel(const Array& a, const Array& b) {
  double s = 0;
  for (std::int64_t i = 0; i < a.dim(0); ++i)
    for (std::int64_t j = 0; j < b.dim(0); ++j) {
      double distance = 0;
      for (std::int64_t k = 0; k < a.dim(1); ++k) distance += (a(i, k) - b(j, k)) * (a(i, k) - b(j, k));
      for (const double sigma :
           {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 100.0, 1e3, 1e4, 1e5, 1e6})
        s += std::exp(-distance / (2 * sigma));
    }
  return s / static_cast<double>(a.dim(0) * b.dim(0));
}

}  // namespace

std::vector<Op> dense_ops() {
  std::vector<Op> rows;
  const std::vector<Activation> relu2 = {relu, relu}, smooth3 = {tanh, swish, identity};
  Op chain{"dense_chain",
           "h_0 = concat(x, c of the row's group), h_l = activation_l(h_{l-1} W_l + b_l)",
           {"x (..., d)", "c (groups, k), optional", "W_l (in, out)", "b_l (out), optional"},
           {true, true, true, true},
           "2 rows sum(in out)",
           4e-6,
           2e-3,
           {}};
  for (const ChainCase& c :
       {ChainCase{"one layer", {5, 3}, {}, {7}, {identity}}, ChainCase{"no bias", {5, 3}, {}, {7, 2}, {tanh, identity}, false},
        ChainCase{"three layers", {2, 9, 4}, {}, {17, 16, 33}, smooth3}, ChainCase{"one row", {1, 1}, {}, {1, 1}, {softplus, sigmoid}},
        ChainCase{"a vector", {6}, {}, {5}, {elu}}, ChainCase{"no rows", {0, 3}, {}, {4, 2}, relu2},
        ChainCase{"kinks", {3, 5}, {}, {6, 3}, {selu, leaky_relu}}, ChainCase{"across row blocks", {131, 5}, {}, {6, 3}, {sigmoid, elu}},
        ChainCase{"a condition per row", {6, 2}, {6, 5}, {9, 4}, {elu, identity}},
        ChainCase{"a condition per group", {4, 3, 2}, {4, 5}, {8, 3}, {swish, tanh}},
        ChainCase{"groups across row blocks", {3, 50, 2}, {3, 4}, {6}, {softplus}},
        ChainCase{"nothing but a condition", {4, 0}, {4, 3}, {5, 2}, {tanh, identity}},
        ChainCase{"few outputs of many inputs", {7, 40}, {}, {2}, {identity}},
        ChainCase{"eight layers", {3, 4}, {}, {4, 5, 4, 3, 4, 5, 4, 2}, {tanh, tanh, tanh, tanh, tanh, tanh, tanh, identity}},
        ChainCase{"relu twice, as in a deep set", {128, 64}, {}, {64, 64}, relu2, true, true},
        ChainCase{"the nets of a coupling", {32, 2}, {32, 10}, {128, 128, 2}, {relu, relu, identity}, true, true}})
    chain.cases.push_back(chain_case(c));
  rows.push_back(std::move(chain));

  Op mean{"mean_of_chain",
          "mean over axis -2 of dense_chain: (..., d_last)",
          {"x (..., N, d)", "c (groups, k), optional", "W_l (in, out)", "b_l (out), optional"},
          {true, true, true, true},
          "2 rows sum(in out)",
          4e-6,
          2e-3,
          {}};
  for (ChainCase c :
       {ChainCase{"no activation", {3, 4, 5}, {}, {7}, {identity}}, ChainCase{"relu", {2, 5, 3}, {}, {6, 17}, {tanh, relu}},
        ChainCase{"an activation that needs its outputs", {2, 3, 4}, {}, {5}, {tanh}}, ChainCase{"one row", {2, 1, 3}, {}, {4}, {relu}},
        ChainCase{"one set", {9, 4}, {}, {35}, {relu}}, ChainCase{"no sets", {0, 4, 3}, {}, {5}, {relu}},
        ChainCase{"sets across row blocks", {3, 71, 2}, {}, {5, 3}, {sigmoid, identity}},
        ChainCase{"more axes", {2, 3, 4, 2}, {}, {5}, {relu}}, ChainCase{"few outputs of many inputs", {3, 4, 40}, {}, {2}, {relu}},
        ChainCase{"a condition per set", {4, 3, 2}, {4, 5}, {8, 3}, {swish, relu}},
        ChainCase{"a condition per row", {2, 3, 2}, {6, 2}, {8}, {identity}},
        ChainCase{"as in a deep set", {2, 50, 64}, {}, {64, 64}, relu2, true, true}}) {
    c.mean = true;
    mean.cases.push_back(chain_case(c));
  }
  rows.push_back(std::move(mean));

  Op dense{
      "dense", "activation(x W + b)", {"x (..., in)", "W (in, out)", "b (out), optional"}, {true, true, true}, "2 rows in out", 4e-6, 2e-3,
      {}};
  for (const ChainCase& chosen : {ChainCase{"", {4, 3}, {}, {5}, {tanh}}, ChainCase{"", {2, 3, 1}, {}, {1}, {swish}},
                                  ChainCase{"", {128, 64}, {}, {64}, {relu}, true, true}}) {
    OpCase c = chain_case(chosen);
    c.forward = [a = chosen.activations[0]](Tape&, Inputs x) { return Tensors{ops::dense(x[0], {x[1], x[2], a})}; };
    dense.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(dense));

  Op matmul{"matmul", "x W", {"x (..., in)", "W (in, out)"}, {true, true}, "2 rows in out", 4e-6, 1e-3, {}};
  for (const ChainCase& chosen : {ChainCase{"", {4, 3}, {}, {5}, {identity}, false}, ChainCase{"", {1, 1}, {}, {1}, {identity}, false},
                                  ChainCase{"", {2, 3, 6}, {}, {6}, {identity}, false}, ChainCase{"", {0, 2}, {}, {2}, {identity}, false},
                                  ChainCase{"", {128, 64}, {}, {64}, {identity}, false, true}}) {
    OpCase c = chain_case(chosen);
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::matmul(x[0], x[1])}; };
    matmul.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(matmul));
  return rows;
}

std::vector<Op> flow_ops() {
  std::vector<Op> rows;
  for (const bool inverse : {false, true}) {
    Op row{inverse ? "affine_columns_inverse" : "affine_columns",
           inverse ? "(y - b) / s" : "s x + b",
           {inverse ? "y (..., d)" : "x (..., d)", "s (d)", "b (d)"},
           {!inverse, !inverse, !inverse},
           "2 per element",
           2e-6,
           1e-3,
           {}};
    for (const Shape& shape : {Shape{5, 4}, Shape{2, 3, 1}, Shape{1, 17}, Shape{0, 3}, Shape{1600, 4}}) {
      OpCase c;
      c.inputs = {sample(row.name, shape), sample_away_from_zero(row.name + "/s", {shape[-1]}, 0.3), sample(row.name + "/b", {shape[-1]})};
      c.forward = [inverse](Tape&, Inputs x) {
        return Tensors{(inverse ? ops::affine_columns_inverse : ops::affine_columns)(x[0], x[1], x[2])};
      };
      c.reference = [inverse](Numbers x) { return Arrays{affine_twin(x[0], x[1], x[2], inverse)}; };
      c.flops = 2.0 * static_cast<double>(shape.size());
      c.measured = shape[0] == 1600;
      row.cases.push_back(std::move(c));
    }
    rows.push_back(std::move(row));
  }

  Op log_abs{"log_abs_sum", "sum log |s_i|: (1)", {"s (...)"}, {true}, "3 per element", 1e-6, 1e-3, {}};
  for (const Shape& shape : {Shape{5}, Shape{1}, Shape{0}, Shape{64}}) {
    OpCase c;
    c.inputs = {sample_away_from_zero("log_abs_sum", shape, 0.4)};
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::log_abs_sum(x[0])}; };
    c.reference = [](Numbers x) { return Arrays{Array::of({x[0].map([](double v) { return std::log(std::fabs(v)); }).sum()})}; };
    c.flops = 3.0 * static_cast<double>(shape.size());
    c.measured = shape.size() == 64;
    log_abs.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(log_abs));

  for (const bool inverse : {false, true}) {
    Op row{inverse ? "inverse_matrix" : "log_abs_det",
           inverse ? "W^-1" : "log |det W|: (1)",
           {"W (d, d)"},
           {!inverse},
           inverse ? "2 d^3" : "2/3 d^3",
           2e-6,
           1e-3,
           {}};
    for (const std::int64_t n : {1, 2, 3, 5, 16}) {
      OpCase c;
      c.inputs = {regular(row.name, n)};
      if (n == 3) {  // a zero in front: elimination must swap rows
        c.inputs[0](0, 0) = 0;
        c.shapes = "needs a pivot";
      }
      c.forward = [inverse](Tape&, Inputs x) { return Tensors{(inverse ? ops::inverse_matrix : ops::log_abs_det)(x[0])}; };
      c.reference = [inverse](Numbers x) {
        const Eliminated e = eliminate(x[0]);
        return Arrays{inverse ? e.inverse : Array::of({e.log_abs_det})};
      };
      c.flops = (inverse ? 2.0 : 2.0 / 3) * static_cast<double>(n * n * n);
      c.measured = n == 16;
      row.cases.push_back(std::move(c));
    }
    rows.push_back(std::move(row));
  }

  for (const bool inverse : {false, true}) {
    Op row{inverse ? "affine_coupling_inverse" : "affine_coupling",
           inverse ? "(v - t) exp(-q), q = (2a/pi) atan(s/a)"
                   : "u exp(q) + t and sum of q over the last axis, q = (2a/pi) atan(s/a) with clamp a, or q = s",
           {inverse ? "v (..., d)" : "u (..., d)", "s (..., d)", "t (..., d)"},
           {!inverse, !inverse, !inverse},
           "7 per element",
           2e-6,
           1e-3,
           {}};
    struct Clamped {
      Shape shape;
      float clamp;
    };
    for (const Clamped& k : {Clamped{{5, 3}, 1.9f}, Clamped{{5, 3}, 0.0f}, Clamped{{1, 1}, 0.9f}, Clamped{{2, 3, 17}, 1.9f},
                             Clamped{{0, 2}, 1.9f}, Clamped{{1600, 2}, 1.9f}}) {
      OpCase c;
      c.shapes = k.clamp > 0 ? "clamped" : "no clamp";
      c.inputs = {sample(row.name + "/u", k.shape), sample(row.name + "/s", k.shape), sample(row.name + "/t", k.shape)};
      c.forward = [inverse, clamp = k.clamp](Tape&, Inputs x) {
        return inverse ? Tensors{ops::affine_coupling_inverse(x[0], x[1], x[2], clamp)}
                       : both(ops::affine_coupling(x[0], x[1], x[2], clamp));
      };
      c.reference = [inverse, clamp = static_cast<double>(k.clamp)](Numbers x) {
        const Array q = x[1].map([clamp](double s) { return soft_clamp(s, clamp); });
        if (inverse) return Arrays{(x[0] - x[2]) * exp(-q)};
        return Arrays{x[0] * exp(q) + x[2], by_row(q, [](std::span<const double> values) {
                        double s = 0;
                        for (const double v : values) s += v;
                        return s;
                      })};
      };
      c.flops = 7.0 * static_cast<double>(k.shape.size());
      c.measured = k.shape[0] == 1600;
      row.cases.push_back(std::move(c));
    }
    rows.push_back(std::move(row));
  }

  for (const bool inverse : {false, true}) {
    Op row{inverse ? "spline_coupling_inverse" : "spline_coupling",
           inverse ? "the x whose spline is v" : "rational-quadratic spline of K bins and the sum of log-slopes over the last axis",
           {inverse ? "v (..., d)" : "u (..., d)", "raw (..., d (3K + 1))"},
           {!inverse, !inverse},
           "about 35 K per element",
           4e-6,
           2e-3,
           {}};
    struct Bins {
      Shape shape;
      std::int64_t bins;
      double spread;  // of the raw numbers
    };
    for (const Bins& k : {Bins{{4, 2}, 4, 1}, Bins{{3, 1}, 2, 1}, Bins{{2, 3, 2}, 3, 0.5}, Bins{{3, 1}, 16, 0}, Bins{{0, 2}, 4, 1},
                          Bins{{256, 2}, 16, 1}}) {
      ops::SplineOptions o{.bins = k.bins};
      if (k.bins == 3) o = ops::v1_spline_options(3), o.left = -3, o.right = 4, o.bottom = -2, o.top = 5;
      OpCase c;
      c.shapes = std::to_string(k.bins) + " bins" + (k.spread > 0 ? k.bins == 3 ? ", as v1" : "" : ", identity");
      // Some values lie outside the domain, where the spline is a straight line.
      c.inputs = {sample(row.name + "/u", k.shape, 0, 4),
                  sample(row.name + "/raw", with_cols(k.shape, k.shape[-1] * (3 * k.bins + 1)), 0, k.spread)};
      c.forward = [inverse, o](Tape&, Inputs x) {
        return inverse ? Tensors{ops::spline_coupling_inverse(x[0], x[1], o)} : both(ops::spline_coupling(x[0], x[1], o));
      };
      c.reference = [inverse, o](Numbers x) {
        Array y(x[0].shape()), log_det(x[0].shape().slice(0, -1));
        const std::int64_t width = 3 * o.bins + 1, d = y.dim(-1);
        for (std::int64_t i = 0; i < y.size(); ++i) {
          const SplineTwin spline(std::span<const double>(x[1].data() + i * width, static_cast<std::size_t>(width)), o);
          y.data()[i] = inverse ? spline.inverse(x[0].data()[i]) : spline.value(x[0].data()[i]);
          if (!inverse) log_det.data()[i / d] += spline.log_slope(x[0].data()[i]);
        }
        return inverse ? Arrays{y} : Arrays{y, log_det};
      };
      c.flops = 35.0 * static_cast<double>(k.bins * k.shape.size());
      c.measured = k.shape[0] == 256;
      row.cases.push_back(std::move(c));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Op> density_ops() {
  std::vector<Op> rows;
  constexpr double kPi = 3.14159265358979323846;
  Op gaussian{"gaussian_log_density", "log N(z; 0, I): -(|z|^2 + d log(2 pi)) / 2", {"z (..., d)"}, {true}, "2 d per row", 2e-6, 1e-3, {}};
  Op student{"student_t_log_density", "log t_df(z; 0, I), d-variate", {"z (..., d)"}, {true}, "2 d per row", 2e-6, 1e-3, {}};
  for (const Shape& shape : {Shape{5, 4}, Shape{3}, Shape{2, 3, 1}, Shape{0, 2}, Shape{1600, 4}}) {
    OpCase c;
    c.inputs = {sample("density", shape)};
    c.flops = 2.0 * static_cast<double>(shape.size());
    c.measured = shape[0] == 1600;
    OpCase t = c;
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::gaussian_log_density(x[0])}; };
    c.reference = [](Numbers x) {
      return Arrays{by_row(x[0], [](std::span<const double> z) {
        return -0.5 * squared_norm(z) - 0.5 * static_cast<double>(z.size()) * std::log(2 * kPi);
      })};
    };
    gaussian.cases.push_back(std::move(c));
    t.shapes = "df 7";
    t.forward = [](Tape&, Inputs x) { return Tensors{ops::student_t_log_density(x[0], 7.0f)}; };
    t.reference = [](Numbers x) {
      return Arrays{by_row(x[0], [](std::span<const double> z) {
        const double v = 7, d = static_cast<double>(z.size());
        return std::lgamma((v + d) / 2) - std::lgamma(v / 2) - d / 2 * std::log(v * kPi) - (v + d) / 2 * std::log1p(squared_norm(z) / v);
      })};
    };
    student.cases.push_back(std::move(t));
  }
  rows.push_back(std::move(gaussian));
  rows.push_back(std::move(student));

  struct NormRow {
    ops::Norm kind;
    const char *name, *formula;
  };
  for (const NormRow& n :
       {NormRow{ops::Norm::one, "norm(one)", "sum of |x_i|"}, NormRow{ops::Norm::two, "norm(two)", "square root of the sum of x_i^2"},
        NormRow{ops::Norm::max, "norm(max)", "largest |x_i|"}}) {
    Op row{n.name, n.formula, {"x (..., d)"}, {true}, "2 d per row", 2e-6, 1e-3, {}};
    for (const Shape& shape : {Shape{5, 4}, Shape{3}, Shape{2, 3, 1}, Shape{0, 2}, Shape{1600, 4}}) {
      OpCase c;
      c.inputs = {sample_away_from_zero("norm", shape)};
      for (std::int64_t i = 0; i < c.inputs[0].size(); ++i)  // no two of a size
        c.inputs[0].data()[i] =
            static_cast<double>(static_cast<float>(c.inputs[0].data()[i] * (1 + 0.5 * static_cast<double>(i % shape[-1]))));
      c.forward = [kind = n.kind](Tape&, Inputs x) { return Tensors{ops::norm(x[0], kind)}; };
      c.reference = [kind = n.kind](Numbers x) {
        return Arrays{by_row(x[0], [kind](std::span<const double> v) {
          double out = 0;
          for (const double e : v)
            out = kind == ops::Norm::max ? std::max(out, std::fabs(e)) : out + (kind == ops::Norm::one ? std::fabs(e) : e * e);
          return kind == ops::Norm::two ? std::sqrt(out) : out;
        })};
      };
      c.flops = 2.0 * static_cast<double>(shape.size());
      c.measured = shape[0] == 1600;
      row.cases.push_back(std::move(c));
    }
    rows.push_back(std::move(row));
  }

  Op dirichlet{"dirichlet_kl", "KL(Dirichlet(alpha) || Dirichlet(1, ..., 1))", {"alpha (..., d)"}, {true}, "40 d per row", 2e-6, 1e-3, {}};
  for (const Shape& shape : {Shape{5, 4}, Shape{3}, Shape{2, 3, 1}, Shape{0, 2}, Shape{400, 4}}) {
    OpCase c;
    c.inputs = {sample("dirichlet", shape).map([](double v) { return static_cast<double>(static_cast<float>(std::exp(v) + 0.3)); })};
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::dirichlet_kl(x[0])}; };
    c.reference = [](Numbers x) {
      return Arrays{by_row(x[0], [](std::span<const double> a) {
        // psi as the derivative of log Gamma
        const auto psi = [](double v) { return (std::lgamma(v + 1e-5) - std::lgamma(v - 1e-5)) / 2e-5; };
        double total = 0, kl = -std::lgamma(static_cast<double>(a.size()));
        for (const double v : a) total += v;
        for (const double v : a) kl += (v - 1) * (psi(v) - psi(total)) - std::lgamma(v);
        return kl + std::lgamma(total);
      })};
    };
    c.flops = 40.0 * static_cast<double>(shape.size());
    c.measured = shape[0] == 400;
    dirichlet.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(dirichlet));

  Op mixture{
      "gaussian_mixture_log_density",
      "log sum_k w_k N(x; m_k, (L_k^T L_k)^-1), w = softmax of logits, raw = logits, means, logs of diagonals of L and rows below them",
      {"x (..., d)", "raw (..., k (1 + d + d (d + 1) / 2))"},
      {true, true},
      "k (10 + 2 d^2) per row",
      1e-5,
      2e-3,
      {}};
  struct MixtureSizes {
    Shape rows;
    ops::Mixture mixture;
  };
  for (const MixtureSizes& s : {MixtureSizes{{5}, {3, 2, true}}, MixtureSizes{{2, 3}, {2, 3, true}}, MixtureSizes{{4}, {1, 1, true}},
                                MixtureSizes{{3}, {3, 3, false}}, MixtureSizes{{0}, {2, 2, true}}, MixtureSizes{{400}, {8, 4, true}}}) {
    OpCase c;
    Shape of_x = s.rows, of_raw = s.rows;
    of_x.push_back(s.mixture.width);
    of_raw.push_back(s.mixture.numbers());
    c.inputs = {sample("mixture/x", of_x), sample("mixture/raw", of_raw, 0.3)};
    c.forward = [m = s.mixture](Tape&, Inputs x) { return Tensors{ops::gaussian_mixture_log_density(x[0], x[1], m)}; };
    c.reference = [m = s.mixture, rows = s.rows](Numbers x) {
      const std::int64_t d = m.width, k = m.components;
      Array out(rows);
      for (std::int64_t r = 0; r < rows.size(); ++r) {
        const double *at = x[0].data() + r * d, *p = x[1].data() + r * m.numbers();
        double weights = 0, density = 0;
        for (std::int64_t i = 0; i < k; ++i) {
          Array factor({d, d}, 0.0);
          const double *mean = p + k + i * d, *of_factor = p + k + k * d + i * m.factor();
          for (std::int64_t a = 0, next = d; a < d; ++a) {
            factor(a, a) = std::exp(of_factor[a]);
            for (std::int64_t b = 0; m.full && b < a; ++b) factor(a, b) = of_factor[next++];
          }
          double one = std::exp(p[i]);
          weights += one;
          for (std::int64_t a = 0; a < d; ++a) {
            double z = 0;
            for (std::int64_t b = 0; b < d; ++b) z += factor(a, b) * (at[b] - mean[b]);
            one *= factor(a, a) * std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
          }
          density += one;
        }
        out.data()[r] = std::log(density / weights);
      }
      return Arrays{out};
    };
    const auto d = static_cast<double>(s.mixture.width);
    c.flops = static_cast<double>(s.rows.size() * s.mixture.components) * (10 + 2 * d * d);
    c.measured = s.rows[0] == 400;
    mixture.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(mixture));

  Op mmd{"mmd",
         "mean k(x, x') + mean k(y, y') - 2 mean k(x, y): (1), k = sum of 19 Gaussian kernels",
         {"x (n, d)", "y (m, d)"},
         {true, true},
         "(n^2 + m^2 + n m) (3 d + 57)",
         2e-6,
         2e-3,
         {}};
  struct Sizes {
    std::int64_t n, m, d;
  };
  for (const Sizes& s : {Sizes{4, 6, 3}, Sizes{1, 1, 2}, Sizes{3, 2, 1}, Sizes{32, 32, 10}}) {
    OpCase c;
    c.inputs = {sample("mmd/x", {s.n, s.d}), sample("mmd/y", {s.m, s.d}, 0.5)};
    c.forward = [](Tape&, Inputs x) { return Tensors{ops::mmd(x[0], x[1])}; };
    c.reference = [](Numbers x) {
      return Arrays{Array::of({mean_kernel(x[0], x[0]) + mean_kernel(x[1], x[1]) - 2 * mean_kernel(x[0], x[1])})};
    };
    c.flops = static_cast<double>((s.n * s.n + s.m * s.m + s.n * s.m) * (3 * s.d + 57));
    c.measured = s.n == 32;
    mmd.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(mmd));

  Op spectral{"spectral_normalize",
              "W / max(1, sigma), sigma by one power iteration from u (out)",
              {"W (in, out)"},
              {true},
              "7 in out",
              2e-6,
              2e-3,
              {}};
  struct Matrix {
    Shape shape;
    double scale;
  };
  for (const Matrix& m : {Matrix{{4, 3}, 1}, Matrix{{4, 3}, 0.1}, Matrix{{1, 1}, 3}, Matrix{{2, 9}, 1}, Matrix{{64, 64}, 1}}) {
    OpCase c;
    c.shapes = m.scale < 1 ? "sigma below one" : "sigma above one";
    c.inputs = {m.shape.size() == 1 ? Array({1, 1}, m.scale) : sample("spectral_normalize", m.shape, 0, m.scale)};
    // The vector that a user of the op keeps: close to the leading right singular vector, where the derivative through sigma holds.
    const auto u = std::make_shared<std::vector<float>>();
    {
      const Array w = c.inputs[0];
      Array v({w.dim(1), 1}, 1.0);
      for (int i = 0; i < 500; ++i) {
        v = matmul(w.transpose(), matmul(w, v));
        v /= std::sqrt((v * v).sum());
      }
      for (const double x : v.values()) u->push_back(static_cast<float>(x));
    }
    c.forward = [u](Tape&, Inputs x) { return Tensors{ops::spectral_normalize(x[0], *u)}; };
    c.reference = [u](Numbers x) {
      Array right({x[0].dim(1), 1});
      for (std::size_t i = 0; i < u->size(); ++i) right.data()[i] = static_cast<double>((*u)[i]);
      const auto unit = [](Array v) { return v / std::sqrt((v * v).sum()); };
      const Array left = unit(matmul(x[0], right));
      right = unit(matmul(x[0].transpose(), left));
      const double sigma = (left * matmul(x[0], right)).sum();
      return Arrays{x[0] / std::max(1.0, sigma)};
    };
    c.flops = 7.0 * static_cast<double>(m.shape.size());
    c.measured = m.shape[0] == 64;
    spectral.cases.push_back(std::move(c));
  }
  rows.push_back(std::move(spectral));
  return rows;
}

}  // namespace bayesflow::support
