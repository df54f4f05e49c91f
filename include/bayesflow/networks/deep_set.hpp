/// Deep sets: permutation-invariant summaries of exchangeable observations.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/layers.hpp"

namespace bayesflow {

/// How observations are joined.
enum class Pooling : std::uint8_t { mean, max };
[[nodiscard]] EnumNames<Pooling> names_of(Pooling);

/// Settings of a DeepSet, v1's names and defaults.
struct DeepSetOptions {
  std::int64_t summary_dim = 10;  ///< width of the summary; not less than the number of parameters
  std::int64_t num_dense_s1 = 2;  ///< dense layers before pooling
  std::int64_t num_dense_s2 = 2;  ///< dense layers after pooling
  std::int64_t num_dense_s3 = 2;  ///< dense layers of an equivariant module, over each observation and the pooled vector
  std::int64_t num_equiv = 2;     ///< equivariant modules before the invariant one
  DenseOptions dense_s1 = {};     ///< 64 units, relu, Glorot uniform
  DenseOptions dense_s2 = {};
  DenseOptions dense_s3 = {};
  Pooling pooling = Pooling::mean;
  bool linear_path = false;  ///< the mean of the raw observations joins the last layer's input; see docs/design/training.md
  std::function<Tensor(Tensor)> pooling_fun = {};  ///< of your own, (..., N, d) -> (..., d); overrides `pooling`
  void validate() const;                           ///< throws ConfigurationError
};

template <class V>
void describe(V& v, DeepSetOptions& o) {
  v("summary_dim", o.summary_dim, width());
  v("num_dense_s1", o.num_dense_s1);
  v("num_dense_s2", o.num_dense_s2);
  v("num_dense_s3", o.num_dense_s3);
  v("num_equiv", o.num_equiv);
  v("dense_s1", o.dense_s1);
  v("dense_s2", o.dense_s2);
  v("dense_s3", o.dense_s3);
  v("pooling", o.pooling);
  v("linear_path", o.linear_path);
}

/// x: (batch, ..., N, d) -> (batch, ..., summary_dim); N may differ between batches.
/// Equivariant module: s3(concat(x, s2(pool(s1(x))))); invariant module: s2(pool(s1(x))); then a linear layer.
/// Zaheer et al. (2017), Deep sets; Bloem-Reddy and Teh (2020).
class DeepSet final : public SummaryNetwork {
 public:
  explicit DeepSet(DeepSetOptions options = {});
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override { return options_.summary_dim; }
  /// Of data (batch, n, d), unless there is a pooling function of your own.
  [[nodiscard]] bool takes_mask() const override { return !options_.pooling_fun; }
  [[nodiscard]] Plan plan(const Shape& data) const override { return plan_sets(data[0], rows_per_item(data)); }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const DeepSetOptions& options() const { return options_; }

 private:
  struct Invariant {
    nn::Mlp s1, s2;
  };
  struct Equivariant {
    Invariant invariant;
    nn::Mlp s3;
  };
  [[nodiscard]] Tensor invariant(const Invariant& module, Tape& tape, Tensor x, Tensor mask) const;

  DeepSetOptions options_;
  std::vector<Equivariant> equivariant_;
  Invariant invariant_;
  nn::Dense output_;
  std::int64_t width_ = 0;
};

}  // namespace bayesflow
