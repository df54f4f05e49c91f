#include "bayesflow/networks/deep_set.hpp"

#include <fmt/format.h>

#include "bayesflow/core/errors.hpp"
#include "nn/mean_of_mlp.hpp"

namespace bayesflow {

void DeepSetOptions::validate() const {
  const auto check = [](std::int64_t value, std::int64_t least, const char* name) {
    if (value < least) throw ConfigurationError(fmt::format("DeepSetOptions::{} = {}; it must be at least {}", name, value, least));
  };
  check(summary_dim, 1, "summary_dim");
  check(num_dense_s1, 1, "num_dense_s1");
  check(num_dense_s2, 1, "num_dense_s2");
  check(num_dense_s3, 1, "num_dense_s3");
  check(num_equiv, 0, "num_equiv");
  dense_s1.validate("DeepSetOptions::dense_s1");
  dense_s2.validate("DeepSetOptions::dense_s2");
  dense_s3.validate("DeepSetOptions::dense_s3");
}

namespace {
nn::Mlp stack(std::int64_t depth, const DenseOptions& dense) {
  return nn::Mlp(std::vector<DenseOptions>(static_cast<std::size_t>(depth), dense));
}
}  // namespace

DeepSet::DeepSet(DeepSetOptions options) : options_(std::move(options)) {
  options_.validate();
  const auto invariant = [&] {
    return Invariant{stack(options_.num_dense_s1, options_.dense_s1), stack(options_.num_dense_s2, options_.dense_s2)};
  };
  for (std::int64_t i = 0; i < options_.num_equiv; ++i)
    equivariant_.push_back({invariant(), stack(options_.num_dense_s3, options_.dense_s3)});
  invariant_ = invariant();
  output_ = nn::Dense({.units = options_.summary_dim, .activation = Activation::identity});
}

void DeepSet::build(const nn::Builder& builder, const SummaryShape& shape) {
  const Shape& input = shape.data;
  if (input.rank() < 3)
    throw ShapeError(
        fmt::format("DeepSet: needs data of shape (batch, ..., observations, width); got {}. Add an axis for observations, or use no "
                    "summary network and pass the data as direct_conditions",
                    input.to_string()));
  std::int64_t width = width_ = input[-1];
  const auto build_invariant = [](Invariant& m, const nn::Builder& b, std::int64_t in) {
    m.s1.build(b.scope("s1"), in);
    m.s2.build(b.scope("s2"), m.s1.units());
  };
  for (std::size_t i = 0; i < equivariant_.size(); ++i) {
    const nn::Builder b = builder.scope("equivariant." + std::to_string(i));
    build_invariant(equivariant_[i].invariant, b.scope("invariant"), width);
    equivariant_[i].s3.build(b.scope("s3"), width + equivariant_[i].invariant.s2.units());
    width = equivariant_[i].s3.units();
  }
  build_invariant(invariant_, builder.scope("invariant"), width);
  output_.build(builder.scope("output"), invariant_.s2.units() + (options_.linear_path ? width_ : 0));
}

Tensor DeepSet::invariant(const Invariant& module, Tape& tape, Tensor x, Tensor mask) const {
  if (options_.pooling_fun) return module.s2(tape, options_.pooling_fun(module.s1(tape, x)));
  if (options_.pooling == Pooling::max) {
    const Tensor each = module.s1(tape, x);
    return module.s2(tape, mask ? ops::max_pool(each, mask) : ops::max_pool(each));
  }
  return module.s2(tape, mask ? ops::mean_pool(module.s1(tape, x), mask) : nn::detail::mean_of(module.s1, tape, x));
}

std::string DeepSet::to_string() const {
  return fmt::format("deep set with {} equivariant modules, {} units, {} summaries", options_.num_equiv, options_.dense_s1.units,
                     options_.summary_dim);
}

Tensor DeepSet::forward(Tape& tape, const SummaryInput& input) const {
  Tensor x = input.data;
  if (x.rank() < 3 || x.cols() != width_ || x.dim(-2) < 1)
    throw ShapeError(fmt::format("DeepSet: was built for data (batch, ..., observations, {}); got {}", width_, x.shape().to_string()));
  for (const Equivariant& m : equivariant_) x = m.s3(tape, x, invariant(m.invariant, tape, x, input.mask));
  const Tensor summary = invariant(invariant_, tape, x, input.mask);
  if (!options_.linear_path) return output_(tape, summary);
  const Tensor both[] = {summary, input.mask ? ops::mean_pool(input.data, input.mask) : ops::mean_pool(input.data)};
  return output_(tape, ops::concat(both));
}

EnumNames<Pooling> names_of(Pooling) { return {{Pooling::mean, "mean"}, {Pooling::max, "max"}}; }

}  // namespace bayesflow
