#include "adapter/regression.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bayesflow::adapter {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMostColumns = 512;  // the fit solves systems of this size
constexpr double kClip = 5;                 // standard deviations of the data, beyond which the line is not followed

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Lower triangle of a symmetric matrix's decomposition a = L L^T, in place. A pivot below `least` (of its row) becomes that.
void decompose(std::vector<double>& a, std::int64_t n, std::span<const double> least) {
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      double rest = a[index(i * n + j)];
      for (std::int64_t k = 0; k < j; ++k) rest -= a[index(i * n + k)] * a[index(j * n + k)];
      a[index(i * n + j)] = i == j ? std::sqrt(std::max(rest, least[index(i)])) : rest / a[index(j * n + j)];
    }
  for (std::int64_t i = 0; i < n; ++i) std::fill_n(a.begin() + i * n + i + 1, n - i - 1, 0.0);
}

/// b := L^-1 b, of a vector.
void solve_lower(std::span<const double> l, std::int64_t n, double* b) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < i; ++k) b[i] -= l[index(i * n + k)] * b[k];
    b[i] /= l[index(i * n + i)];
  }
}
/// b := L^-T b
void solve_upper(std::span<const double> l, std::int64_t n, double* b) {
  for (std::int64_t i = n; i-- > 0;) {
    for (std::int64_t k = i + 1; k < n; ++k) b[i] -= l[index(k * n + i)] * b[k];
    b[i] /= l[index(i * n + i)];
  }
}

/// Means and sums of squares and products of data (columns of unit variance) and parameters.
struct Moments {
  std::int64_t rows = 0, c = 0, p = 0;
  std::vector<double> mean_c = {}, sd_c = {}, mean_p = {};
  std::vector<double> cc = {}, cp = {}, pp = {};  // (c, c), (p, c), (p, p), about the means
};

const Array& data_of(const Simulations& in, const std::string& name, const Place& at) {
  const Array* found = in.find(name);
  if (!found || found->rank() != 2)
    at.refuse("it regresses on {}, which must be there with one row of numbers for each data set, (batch, columns); got {}", name,
              found ? "shape " + found->shape().to_string() : "none");
  return *found;
}

Moments moments_of(std::span<const Simulations> parts, const Regress& step, std::int64_t width, const Place& at) {
  Moments m{.c = data_of(parts.front(), step.on, at).dim(1), .p = width};
  if (m.c > kMostColumns) at.refuse("it can regress on at most {} columns; {} has {}", kMostColumns, step.on, m.c);
  m.mean_c.assign(index(m.c), 0);
  m.sd_c.assign(index(m.c), 0);
  m.mean_p.assign(index(m.p), 0);
  const auto for_rows = [&](const auto& f) {
    for (const Simulations& part : parts) {
      const Array &data = data_of(part, step.on, at), &values = *part.find(at.field);
      if (data.dim(1) != m.c) at.refuse("{} has {} columns here and {} there", step.on, data.dim(1), m.c);
      if (values.rank() != 2 || data.dim(0) != values.dim(0))
        at.refuse("parameters must be one row for each data set, (batch, P); got shape {}", values.shape().to_string());
      for (std::int64_t i = 0; i < data.dim(0); ++i) f(data.data() + i * m.c, values.data() + i * m.p);
    }
  };
  for_rows([&](const double* c, const double* p) {
    ++m.rows;
    for (std::int64_t j = 0; j < m.c; ++j) m.mean_c[index(j)] += c[j];
    for (std::int64_t j = 0; j < m.p; ++j) m.mean_p[index(j)] += p[j];
  });
  if (m.rows < 2) at.refuse("it needs at least two simulations; got {}", m.rows);
  for (double& v : m.mean_c) v /= static_cast<double>(m.rows);
  for (double& v : m.mean_p) v /= static_cast<double>(m.rows);
  for_rows([&](const double* c, const double*) {
    for (std::int64_t j = 0; j < m.c; ++j) m.sd_c[index(j)] += (c[j] - m.mean_c[index(j)]) * (c[j] - m.mean_c[index(j)]);
  });
  for (double& v : m.sd_c) v = v > 0 ? std::sqrt(v / static_cast<double>(m.rows)) : 1.0;
  m.cc.assign(index(m.c * m.c), 0);
  m.cp.assign(index(m.p * m.c), 0);
  m.pp.assign(index(m.p * m.p), 0);
  std::vector<double> z(index(m.c)), y(index(m.p)), sum(index(m.c), 0.0);
  for_rows([&](const double* c, const double* p) {
    for (std::int64_t j = 0; j < m.c; ++j) {
      z[index(j)] = std::clamp((c[j] - m.mean_c[index(j)]) / m.sd_c[index(j)], -kClip, kClip);
      sum[index(j)] += z[index(j)];
    }
    for (std::int64_t j = 0; j < m.p; ++j) y[index(j)] = p[j] - m.mean_p[index(j)];
    for (std::int64_t i = 0; i < m.c; ++i)
      for (std::int64_t j = 0; j <= i; ++j) m.cc[index(i * m.c + j)] += z[index(i)] * z[index(j)];
    for (std::int64_t i = 0; i < m.p; ++i) {
      for (std::int64_t j = 0; j < m.c; ++j) m.cp[index(i * m.c + j)] += y[index(i)] * z[index(j)];
      for (std::int64_t j = 0; j < m.p; ++j) m.pp[index(i * m.p + j)] += y[index(i)] * y[index(j)];
    }
  });
  // Clipping may have moved the means.
  for (std::int64_t i = 0; i < m.c; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      double& v = m.cc[index(i * m.c + j)];
      v -= sum[index(i)] * sum[index(j)] / static_cast<double>(m.rows);
      m.cc[index(j * m.c + i)] = v;
    }
  for (std::int64_t j = 0; j < m.c; ++j) sum[index(j)] /= static_cast<double>(m.rows);
  for (std::int64_t j = 0; j < m.c; ++j) m.mean_c[index(j)] += sum[index(j)] * m.sd_c[index(j)];
  return m;
}

/// Ridge regression with one penalty: coefficients (p, c), the sum of products of residuals (p, p), and the degrees of freedom.
struct Line {
  std::vector<double> coefficients = {}, residuals = {};
  double freedom = 0, score = kInfinity;
};
Line line_of(const Moments& m, double penalty) {
  std::vector<double> l = m.cc;
  for (std::int64_t j = 0; j < m.c; ++j) l[index(j * m.c + j)] += penalty;
  const std::vector<double> least(index(m.c), 1e-9 * static_cast<double>(m.rows));
  decompose(l, m.c, least);
  Line out{.coefficients = m.cp, .residuals = m.pp};
  for (std::int64_t i = 0; i < m.p; ++i) {
    double* row = out.coefficients.data() + i * m.c;
    solve_lower(l, m.c, row);
    solve_upper(l, m.c, row);
  }
  // trace of cc (cc + penalty)^-1 = c - penalty trace (cc + penalty)^-1
  double trace = 0;
  std::vector<double> e(index(m.c));
  for (std::int64_t j = 0; j < m.c && penalty > 0; ++j) {
    std::ranges::fill(e, 0.0);
    e[index(j)] = 1;
    solve_lower(l, m.c, e.data());
    for (const double v : e) trace += v * v;
  }
  out.freedom = static_cast<double>(m.c) - penalty * trace;
  // Y'Y - B'X'Y - Y'XB + B'X'XB = Y'Y - Y'XB - penalty B'B, with (X'X + penalty) B = X'Y
  for (std::int64_t i = 0; i < m.p; ++i)
    for (std::int64_t k = 0; k < m.p; ++k)
      for (std::int64_t j = 0; j < m.c; ++j)
        out.residuals[index(i * m.p + k)] -=
            out.coefficients[index(k * m.c + j)] * (m.cp[index(i * m.c + j)] + penalty * out.coefficients[index(i * m.c + j)]);
  // Generalized cross-validation, of all parameters in units of their own spread (Golub, Heath, Wahba 1979).
  const double left = static_cast<double>(m.rows) - 1 - out.freedom;
  if (left < 1) return out;
  out.score = 0;
  for (std::int64_t i = 0; i < m.p; ++i)
    if (const double spread = m.pp[index(i * m.p + i)]; spread > 0)
      out.score += std::max(0.0, out.residuals[index(i * m.p + i)]) / spread / (left * left);
  return out;
}

double location(const Regress& step, const double* data, std::int64_t parameter) {
  const std::size_t columns = step.low.size();
  const double* a = step.coefficients.data() + index(parameter) * columns;
  double out = step.location[index(parameter)];
  for (std::size_t j = 0; j < columns; ++j) out += a[j] * std::clamp(data[j], step.low[j], step.high[j]);
  return out;
}

/// f(a row of the field, its data) for every row.
template <class F>
void for_each_row(const Regress& step, Array& values, const Simulations& source, std::int64_t width, const Place& at, const F& f) {
  const Array& data = data_of(source, step.on, at);
  if (data.dim(1) != static_cast<std::int64_t>(step.low.size()))
    at.refuse("it was fitted to {} columns of {}; got {}", step.low.size(), step.on, data.dim(1));
  if (values.rank() < 2 || values.dim(0) != data.dim(0) || values.dim(-1) != width)
    throw ShapeError(fmt::format("{}: {} of shape {} and {} of shape {} do not go together", at.to_string(), at.field,
                                 values.shape().to_string(), step.on, data.shape().to_string()));
  const std::int64_t rows = values.size() / width, each = data.dim(0) == 0 ? 1 : rows / data.dim(0);
  for (std::int64_t row = 0; row < rows; ++row) f(row, values.data() + row * width, data.data() + row / each * data.dim(1));
}

}  // namespace

void validate(const Regress& step, const Place& at) {
  if (step.on.empty() || step.on == step.field) at.refuse("`on` must name the field of the data; got \"{}\"", step.on);
}

void check_fitted(const Regress& step, std::int64_t /*width*/, const Place& at) {
  const std::size_t p = step.location.size(), c = step.low.size();
  if (p == 0 || step.coefficients.size() != p * c || step.scale.size() != p * p || step.high.size() != c || c == 0)
    at.refuse("its numbers are not those of {} parameters and {} columns", p, c);
  for (std::size_t i = 0; i < p; ++i)
    if (!(step.scale[i * p + i] > 0)) at.refuse("its scale is not positive");
  for (std::size_t j = 0; j < c; ++j)
    if (!(step.low[j] <= step.high[j])) at.refuse("its bounds of the data are not in order");
}

void fit(Regress& step, std::span<const Simulations> parts, std::int64_t /*width*/, const Place& at, std::vector<std::string>& /*notes*/) {
  const Array* values = parts.front().find(at.field);
  if (!at.is_target() || !values) at.refuse("it acts on parameters, which must be there");
  const Moments m = moments_of(parts, step, values->dim(-1), at);
  Line best;
  for (const double share : {0.0, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0, 1000.0})
    if (Line line = line_of(m, share * static_cast<double>(m.rows)); best.coefficients.empty() || line.score < best.score)
      best = std::move(line);
  step.location = m.mean_p;
  step.coefficients = std::move(best.coefficients);
  step.low.clear();
  step.high.clear();
  for (std::int64_t j = 0; j < m.c; ++j) {
    step.low.push_back(m.mean_c[index(j)] - kClip * m.sd_c[index(j)]);
    step.high.push_back(m.mean_c[index(j)] + kClip * m.sd_c[index(j)]);
  }
  for (std::int64_t i = 0; i < m.p; ++i)
    for (std::int64_t j = 0; j < m.c; ++j) {
      double& a = step.coefficients[index(i * m.c + j)];
      a /= m.sd_c[index(j)];
      step.location[index(i)] -= a * m.mean_c[index(j)];
    }
  const double left = std::max(1.0, static_cast<double>(m.rows) - 1 - best.freedom);
  step.scale = std::move(best.residuals);
  std::vector<double> least(index(m.p));
  for (double& v : step.scale) v /= left;
  for (std::int64_t i = 0; i < m.p; ++i) {
    const double spread = m.pp[index(i * m.p + i)] / static_cast<double>(m.rows);
    least[index(i)] = spread > 0 ? 1e-12 * spread : 1.0;
  }
  decompose(step.scale, m.p, least);
}

void forward(const Regress& step, std::int64_t /*width*/, Fields& fields, const Place& at) {
  Array* values = find(fields.values, at);
  if (!values) return;
  const auto width = static_cast<std::int64_t>(step.location.size());
  double log_scale = 0;
  for (std::int64_t i = 0; i < width; ++i) log_scale += std::log(step.scale[index(i * width + i)]);
  Array* log_det = at.is_target() ? &log_det_of(fields, at.field, *values) : nullptr;
  for_each_row(step, *values, fields.values, width, at, [&](std::int64_t row, double* x, const double* data) {
    for (std::int64_t i = 0; i < width; ++i) x[i] -= location(step, data, i);
    solve_lower(step.scale, width, x);
    if (log_det) log_det->data()[row] -= log_scale;
  });
}

void inverse(const Regress& step, std::int64_t /*width*/, Fields& fields, const Place& at) {
  Array* values = find(fields.values, at);
  if (!values) return;
  const auto width = static_cast<std::int64_t>(step.location.size());
  std::vector<double> y(index(width));
  for_each_row(step, *values, *fields.before, width, at, [&](std::int64_t, double* x, const double* data) {
    std::copy_n(x, width, y.begin());
    for (std::int64_t i = 0; i < width; ++i) {
      x[i] = location(step, data, i);
      for (std::int64_t k = 0; k <= i; ++k) x[i] += step.scale[index(i * width + k)] * y[index(k)];
    }
  });
}

void keep(const Regress& step, const Simulations& before, Simulations& kept, const Place& /*at*/) {
  if (const Array* data = before.find(step.on)) put(kept, step.on, *data, FieldRole::per_simulation);
}

void rename(const Regress& step, std::map<std::string, std::vector<std::string>>& names) {
  const auto known = names.find(step.field);
  if (known == names.end()) return;
  for (std::size_t i = 0; i < known->second.size(); ++i) known->second[i] = fmt::format("residual_{}", i);
}

}  // namespace bayesflow::adapter
