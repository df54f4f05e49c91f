#include "bayesflow/nn/parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "bayesflow/core/errors.hpp"
#include "core/memory.hpp"

namespace bayesflow::nn {
namespace {

constexpr std::int64_t kPad = 16;  // floats: every parameter starts on a cache line

void orthogonal(std::span<float> out, std::int64_t rows, std::int64_t cols, Rng& rng) {
  // Gram-Schmidt on the columns of a normal matrix, twice for accuracy: Q of its QR with a positive diagonal of R. More columns than
  // rows cannot be orthogonal; then the rows are.
  const bool wide = cols > rows;
  const std::int64_t width = cols;
  if (wide) std::swap(rows, cols);
  std::vector<double> a(static_cast<std::size_t>(rows * cols));
  rng.fill_normal(std::span<double>(a));
  for (std::int64_t j = 0; j < cols; ++j) {
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t k = 0; k < j; ++k) {
        double s = 0;
        for (std::int64_t i = 0; i < rows; ++i) s += a[static_cast<std::size_t>(i * cols + j)] * a[static_cast<std::size_t>(i * cols + k)];
        for (std::int64_t i = 0; i < rows; ++i) a[static_cast<std::size_t>(i * cols + j)] -= s * a[static_cast<std::size_t>(i * cols + k)];
      }
    double s = 0;
    for (std::int64_t i = 0; i < rows; ++i) s += a[static_cast<std::size_t>(i * cols + j)] * a[static_cast<std::size_t>(i * cols + j)];
    for (std::int64_t i = 0; i < rows; ++i) a[static_cast<std::size_t>(i * cols + j)] /= std::sqrt(s);
  }
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j)
      out[static_cast<std::size_t>(wide ? j * width + i : i * cols + j)] = static_cast<float>(a[static_cast<std::size_t>(i * cols + j)]);
}

}  // namespace

const char* to_string(Initializer initializer) {
  switch (initializer) {
    case Initializer::zeros:
      return "zeros";
    case Initializer::ones:
      return "ones";
    case Initializer::glorot_uniform:
      return "glorot_uniform";
    case Initializer::he_uniform:
      return "he_uniform";
    case Initializer::orthogonal:
      return "orthogonal";
    case Initializer::glorot_normal:
      return "glorot_normal";
    case Initializer::he_normal:
      return "he_normal";
    case Initializer::lecun_normal:
      return "lecun_normal";
    case Initializer::lecun_uniform:
      return "lecun_uniform";
    case Initializer::random_normal:
      return "random_normal";
    case Initializer::random_uniform:
      return "random_uniform";
    case Initializer::truncated_normal:
      return "truncated_normal";
    case Initializer::identity:
      return "identity";
    case Initializer::fan_out_normal:
      return "fan_out_normal";
    case Initializer::fan_out_uniform:
      return "fan_out_uniform";
    case Initializer::fan_in_untruncated:
      return "fan_in_untruncated";
    case Initializer::fan_out_untruncated:
      return "fan_out_untruncated";
    case Initializer::fan_avg_untruncated:
      return "fan_avg_untruncated";
  }
  return "";
}

Initializer initializer_from(std::string_view name) {
  if (name == "variance_scaling") return Initializer::lecun_normal;
  std::string known;
  for (int i = 0; i <= static_cast<int>(kLastInitializer); ++i) {
    const char* text = to_string(static_cast<Initializer>(i));
    if (name == text) return static_cast<Initializer>(i);
    known += fmt::format("{}{}", known.empty() ? "" : ", ", text);
  }
  throw ConfigurationError(fmt::format("initializer \"{}\" is not known; use one of: {}", name, known));
}

void detail::FreeFloats::operator()(float* p) const { bayesflow::detail::release_block(p, bytes); }
ParameterStore::Floats ParameterStore::allocate(std::int64_t count) {
  const std::size_t bytes = static_cast<std::size_t>(std::max<std::int64_t>(count, kPad)) * sizeof(float);
  return Floats(static_cast<float*>(bayesflow::detail::allocate_block(bytes)), detail::FreeFloats{bytes});
}

ParameterStore::ParameterStore() = default;
ParameterStore::~ParameterStore() = default;

void ParameterStore::reserve(std::int64_t count) {
  if (count <= capacity_) return;
  const std::int64_t capacity = std::max<std::int64_t>(count, 2 * capacity_);
  Floats larger = allocate(capacity);
  if (used_) std::memcpy(larger.get(), values_.get(), static_cast<std::size_t>(used_) * sizeof(float));
  std::fill(larger.get() + used_, larger.get() + capacity, 0.0f);
  values_ = std::move(larger);
  capacity_ = capacity;
}

int ParameterStore::add(const std::string& name, const Shape& shape, const Start& start, float l2, std::uint64_t seed,
                        const std::string& stream) {
  if (numbers_.contains(name))
    throw ConfigurationError(fmt::format("parameter \"{}\" exists already; give every network its own place", name));
  ParameterInfo info{name, shape, used_, l2, group_};
  const std::int64_t n = shape.size();
  if (limit_ >= 0 && (n > limit_ || number_of_values_ > limit_ - n))
    throw ConfigurationError(fmt::format("parameter \"{}\" of shape {} would make more than {} values", name, shape.to_string(), limit_));
  reserve(used_ + (n + kPad - 1) / kPad * kPad);
  std::span<float> out(values_.get() + used_, static_cast<std::size_t>(n));
  used_ += (n + kPad - 1) / kPad * kPad;
  numbers_.emplace(name, static_cast<int>(table_.size()));
  number_of_values_ += n;
  table_.push_back(info);
  Rng rng(start.seed < 0 ? seed : static_cast<std::uint64_t>(start.seed), stream.empty() ? name : stream);
  // A kernel of more axes, of a convolution or of heads, is a matrix for each index of the leading ones.
  const double matrices = shape.rank() > 2 ? static_cast<double>(shape.slice(0, -2).size()) : 1;
  const double rows = shape.rank() ? matrices * static_cast<double>(shape[shape.rank() > 2 ? -2 : 0]) : 1;
  const double cols = shape.rank() ? matrices * static_cast<double>(shape[-1]) : 1;
  constexpr double kCut = 0.87962566103423978;  // standard deviation of a standard normal that is cut at +-2
  double limit = 0, deviation = 0, untruncated = 0;
  switch (start.initializer) {
    case Initializer::zeros:
      break;
    case Initializer::ones:
      std::fill(out.begin(), out.end(), 1.0f);
      break;
    case Initializer::glorot_uniform:
      limit = std::sqrt(6.0 / (rows + cols));
      break;
    case Initializer::he_uniform:
      limit = std::sqrt(6.0 / std::max(rows, 1.0));
      break;
    case Initializer::orthogonal:
      orthogonal(out, shape[0], shape[1], rng);
      break;
    case Initializer::glorot_normal:
      deviation = std::sqrt(2.0 / (rows + cols)) / kCut;
      break;
    case Initializer::he_normal:
      deviation = std::sqrt(2.0 / std::max(rows, 1.0)) / kCut;
      break;
    case Initializer::lecun_normal:
      deviation = std::sqrt(1.0 / std::max(rows, 1.0)) / kCut;
      break;
    case Initializer::lecun_uniform:
      limit = std::sqrt(3.0 / std::max(rows, 1.0));
      break;
    case Initializer::random_normal:
      untruncated = 0.05;
      break;
    case Initializer::random_uniform:
      limit = 0.05;
      break;
    case Initializer::truncated_normal:
      deviation = 0.05;
      break;
    case Initializer::identity:
      for (std::int64_t i = 0; i < std::min(shape[0], shape[1]); ++i) out[static_cast<std::size_t>(i * shape[1] + i)] = 1.0f;
      break;
    case Initializer::fan_out_normal:
      deviation = std::sqrt(1.0 / std::max(cols, 1.0)) / kCut;
      break;
    case Initializer::fan_out_uniform:
      limit = std::sqrt(3.0 / std::max(cols, 1.0));
      break;
    case Initializer::fan_in_untruncated:
      untruncated = std::sqrt(1.0 / std::max(rows, 1.0));
      break;
    case Initializer::fan_out_untruncated:
      untruncated = std::sqrt(1.0 / std::max(cols, 1.0));
      break;
    case Initializer::fan_avg_untruncated:
      untruncated = std::sqrt(2.0 / (rows + cols));
      break;
  }
  if (untruncated > 0)
    for (float& w : out) w = static_cast<float>(rng.normal(0.0, untruncated));
  if (deviation > 0)
    for (float& w : out) {
      double z = rng.normal();
      while (std::fabs(z) > 2) z = rng.normal();
      w = static_cast<float>(deviation * z);
    }
  if (limit > 0)
    for (float& w : out) w = static_cast<float>(rng.uniform(-limit, limit));
  if (start.gain != 1 || start.shift != 0)
    for (float& w : out) w = static_cast<float>(start.shift + start.gain * static_cast<double>(w));
  return static_cast<int>(table_.size()) - 1;
}

int ParameterStore::add_buffer(Buffer buffer) {
  buffers_.push_back(std::move(buffer));
  return static_cast<int>(buffers_.size()) - 1;
}

std::span<float> ParameterStore::value(int parameter) {
  const ParameterInfo& p = table_.at(static_cast<std::size_t>(parameter));
  return {values_.get() + p.offset, static_cast<std::size_t>(p.shape.size())};
}

int ParameterStore::find(std::string_view name) const {
  if (const auto at = numbers_.find(std::string(name)); at != numbers_.end()) return at->second;
  throw ConfigurationError(fmt::format("there is no parameter \"{}\" among the {} of this model", name, table_.size()));
}

Tensor ParameterStore::tensor(Tape& tape, int parameter) const {
  const ParameterInfo& p = table_[static_cast<std::size_t>(parameter)];
  return tape.parameter(p.shape, values_.get() + p.offset, p.offset, parameter);
}

EnumNames<Initializer> names_of(Initializer) { return bayesflow::detail::names_up_to(kLastInitializer); }

}  // namespace bayesflow::nn
