/// What inference networks that answer with numbers are made of: dense layers over the condition.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/nn/layers.hpp"

namespace bayesflow {

/// Hidden layers of a head, v1's defaults.
struct HeadOptions {
  DenseOptions dense = {.units = 64, .activation = Activation::elu};
  std::int64_t num_dense = 3;
  double dropout_prob = 0.05;  ///< after each hidden layer; 0: none, which is right for online training
  bool mc_dropout = false;     ///< dropout stays active at inference: answers with other seeds then differ
};

template <class V>
void describe(V& v, HeadOptions& o) {
  v("dense", o.dense);
  v("num_dense", o.num_dense, between(1, 100));
  v("dropout_prob", o.dropout_prob, probability());
  v("mc_dropout", o.mc_dropout);
}

/// Hidden layers, and a linear layer after them.
class Head {
 public:
  /// `owner` is the network's class, in messages.
  Head(const char* owner, const HeadOptions& options);
  /// Registers "dense.0.kernel", ..., "output.bias". Throws ConfigurationError if there are no conditions.
  void build(const nn::Builder& builder, std::int64_t condition_width, std::int64_t outputs);
  /// (batch, C) -> (batch, outputs), or (batch, n, C) -> (batch, n, outputs). Throws ShapeError for a condition of another width.
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor condition) const;
  /// The same for each target (batch, D) or (batch, n, D).
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor condition, Tensor targets, std::int64_t target_width) const {
    return matched(owner_, (*this)(tape, condition), targets, target_width);
  }
  /// Outputs (batch, W) or (batch, n, W) for each target (batch, D) or (batch, n, D): those that n targets share are repeated. Throws
  /// ShapeError, which begins with `owner`, for targets of another width than `target_width`, or that do not go with the outputs.
  [[nodiscard]] static Tensor matched(const char* owner, Tensor outputs, Tensor targets, std::int64_t target_width);
  [[nodiscard]] bool is_noisy_at_inference() const { return options_.mc_dropout && options_.dropout_prob > 0; }
  [[nodiscard]] std::string to_string() const;  ///< "3 hidden layers of 64 units"

 private:
  const char* owner_;
  HeadOptions options_;
  nn::Mlp hidden_;
  nn::Dense output_;
  std::int64_t condition_width_ = 0;
};

}  // namespace bayesflow
