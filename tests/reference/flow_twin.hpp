/// A flow in double precision, straight from the formulas, over the weights of a reference file: tells what of a difference between
/// the library and v1 is whose.
#pragma once

#include <cmath>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "reference/reference_file.hpp"
#include "support/spline_twin.hpp"

namespace bayesflow::reference {

class FlowTwin {
 public:
  FlowTwin(const File& file, InvertibleNetworkOptions options) : options_(std::move(options)) {
    for (const std::string& name : file.names("weights")) tensors[name] = file.read("weights/" + name);
    for (const std::string& name : file.names("inputs")) tensors["input " + name] = file.read("inputs/" + name);
  }

  struct Outputs {
    Array z, log_det;
  };
  [[nodiscard]] Outputs operator()() const {
    const Array &x = tensors.at("input targets"), *c = tensors.contains("input condition") ? &tensors.at("input condition") : nullptr;
    const std::int64_t width = x.dim(-1), rows = x.size() / width;
    Outputs out{Array(x.shape()), Array(Shape{rows})};
    rng_ = Rng(rounding, "rounding");
    for (std::int64_t r = 0; r < rows; ++r) {
      std::vector<double> v(x.data() + r * width, x.data() + (r + 1) * width), condition;
      if (c) {
        const std::int64_t cols = c->dim(-1), at = r / (rows / (c->size() / cols));
        condition.assign(c->data() + at * cols, c->data() + (at + 1) * cols);
      }
      for (std::int64_t l = 0; l < options_.num_coupling_layers; ++l) out.log_det[r] += layer(l, v, condition);
      std::copy(v.begin(), v.end(), out.z.data() + r * width);
    }
    return out;
  }
  /// Not 0: every number that a float32 flow would store is off as rounding makes it, the same way in every evaluation with this
  /// seed. Derivatives then show what rounding alone does to them.
  std::uint64_t rounding = 0;
  /// Weights by name, inputs as "input targets".
  std::map<std::string, Array> tensors;

 private:
  using Row = std::vector<double>;
  double layer(std::int64_t l, Row& v, const Row& condition) const {
    const std::string name = "coupling." + std::to_string(l) + ".";
    double log_det = 0;
    if (options_.use_act_norm)
      for (std::size_t j = 0; j < v.size(); ++j) {
        const double s = tensors.at(name + "act_norm.scale")[static_cast<std::int64_t>(j)];
        v[j] = s * v[j] + tensors.at(name + "act_norm.bias")[static_cast<std::int64_t>(j)];
        log_det += std::log(std::fabs(s));
      }
    Row from = v;
    if (options_.permutation == PermutationKind::fixed) {
      for (std::size_t j = 0; j < v.size(); ++j)
        v[j] = from[static_cast<std::size_t>(tensors.at(name + "permutation")[static_cast<std::int64_t>(j)])];
    } else if (options_.permutation == PermutationKind::learnable) {
      Array w = tensors.at(name + "orthogonal");
      for (std::size_t j = 0; j < v.size(); ++j) {
        v[j] = 0;
        for (std::size_t k = 0; k < v.size(); ++k) v[j] += from[k] * w(static_cast<std::int64_t>(k), static_cast<std::int64_t>(j));
      }
      log_det += log_abs_det(std::move(w));
    }
    store(v);
    const std::size_t first = v.size() / 2;
    Row a(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(first)), b(v.begin() + static_cast<std::ptrdiff_t>(first), v.end());
    const bool spline =
        options_.coupling_design == CouplingDesign::spline || (options_.coupling_design == CouplingDesign::interleaved && l % 2 == 1);
    const CouplingOptions& o = spline && options_.spline_coupling ? *options_.spline_coupling : options_.coupling;
    log_det += coupling(name + "net1.", spline, o, a, b, condition);
    log_det += coupling(name + "net2.", spline, o, b, a, condition);
    v = a;
    v.insert(v.end(), b.begin(), b.end());
    store(v);
    return log_det;
  }
  double coupling(const std::string& name, bool spline, const CouplingOptions& o, Row& u, const Row& given, const Row& condition) const {
    double log_det = 0;
    if (spline) {
      const Row raw = net(name + "spline.", o, given, condition);
      const std::size_t each = raw.size() / u.size();
      for (std::size_t j = 0; j < u.size(); ++j) {
        const support::SplineTwin twin(std::span<const double>(raw).subspan(j * each, each), o.spline);
        log_det += twin.log_slope(u[j]);
        u[j] = twin.value(u[j]);
      }
      return log_det;
    }
    const Row s = net(name + "s.", o, given, condition), t = net(name + "t.", o, given, condition);
    for (std::size_t j = 0; j < u.size(); ++j) {
      const double q = o.soft_clamping > 0 ? 2 * o.soft_clamping / std::acos(-1.0) * std::atan(s[j] / o.soft_clamping) : s[j];
      u[j] = u[j] * std::exp(q) + t[j];
      log_det += q;
    }
    return log_det;
  }
  [[nodiscard]] Row net(const std::string& name, const CouplingOptions& o, Row h, const Row& condition) const {
    if (o.dense.activation != Activation::relu || o.residual)
      throw std::runtime_error("the twin of a flow knows relu without residuals only");
    h.insert(h.end(), condition.begin(), condition.end());
    for (std::int64_t i = 0; i <= o.num_dense; ++i) {
      const Array &w = tensors.at(name + std::to_string(i) + ".kernel"), &bias = tensors.at(name + std::to_string(i) + ".bias");
      const std::int64_t cols = w.dim(1);
      Row next(bias.data(), bias.data() + cols), terms(next.size());
      for (std::size_t k = 0; k < h.size(); ++k)
        for (std::size_t j = 0; j < next.size(); ++j) {
          const double term = h[k] * w.data()[k * next.size() + j];
          next[j] += term;
          terms[j] += std::fabs(term);
        }
      // A sum in float32 is off by a share of its terms, which matters where they cancel.
      if (rounding != 0)
        for (std::size_t j = 0; j < next.size(); ++j) next[j] += rng_.uniform(-1.0, 1.0) * 0x1p-24 * terms[j];
      if (i < o.num_dense)
        for (double& x : next) x = std::max(x, 0.0);
      h = std::move(next);
    }
    return h;
  }
  /// By elimination with pivots.
  static double log_abs_det(Array a) {
    double out = 0;
    for (std::int64_t n = a.dim(0), k = 0; k < n; ++k) {
      std::int64_t p = k;
      for (std::int64_t i = k; i < n; ++i)
        if (std::fabs(a(i, k)) > std::fabs(a(p, k))) p = i;
      for (std::int64_t j = 0; j < n; ++j) std::swap(a(k, j), a(p, j));
      out += std::log(std::fabs(a(k, k)));
      for (std::int64_t i = k + 1; i < n; ++i) {
        const double f = a(i, k) / a(k, k);
        for (std::int64_t j = k; j < n; ++j) a(i, j) -= f * a(k, j);
      }
    }
    return out;
  }
  void store(Row& row) const {
    if (rounding == 0) return;
    for (double& x : row) x *= 1 + rng_.uniform(-1.0, 1.0) * 0x1p-23;
  }
  InvertibleNetworkOptions options_;
  mutable Rng rng_{0, "rounding"};
};

}  // namespace bayesflow::reference
