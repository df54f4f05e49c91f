#include "bayesflow/nn/optimizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/lanes.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/denormals.hpp"
#include "kernels/elementwise.hpp"
#include "nn/lanes_of_ranks.hpp"

namespace bayesflow::nn {

using bayesflow::detail::GradientLane;

void OptimizerOptions::validate() const { validate_described(*this, "OptimizerOptions"); }

EnumNames<OptimizerKind> names_of(OptimizerKind) {
  return {{OptimizerKind::adam, "adam"}, {OptimizerKind::adamw, "adamw"}, {OptimizerKind::sgd, "sgd"}};
}

Optimizer::~Optimizer() = default;

Optimizer::Optimizer(ParameterStore& store, OptimizerOptions options, std::shared_ptr<Communicator> communicator)
    : store_(&store), lanes_of_ranks_(std::make_unique<LanesOfRanks>(store, std::move(communicator))), options_(std::move(options)) {
  options_.validate();
  // Small enough to share out, large enough that a task costs nothing.
  constexpr std::int64_t kPiece = 4096;
  for (std::size_t i = 0; i < store.table().size(); ++i) {
    const ParameterInfo& p = store.table()[i];
    for (std::int64_t b = 0, n = p.shape.size(); b < n; b += kPiece)
      pieces_.push_back({static_cast<int>(i), p.offset + b, std::min(kPiece, n - b)});
  }
  squares_.resize(pieces_.size());
  squares_of_groups_.resize(store.table().empty() ? 1 : static_cast<std::size_t>(store.table().back().group) + 1);
  factors_.resize(squares_of_groups_.size());
  const auto zeros = [&] {
    ParameterStore::Floats p = ParameterStore::allocate(store.size());
    std::fill_n(p.get(), store.size(), 0.0f);
    return p;
  };
  m_ = zeros();
  if (options_.kind != OptimizerKind::sgd) v_ = zeros();
}

/// Lays pieces out so that each thread updates what it has in its caches: those of a sub-network at the place of the task that makes their
/// gradient, the others, which all threads use, evenly between them. On two cores without a common cache, what another core wrote
/// takes some five times as long to reach as on two with one.
void Optimizer::place_pieces(Lanes lanes) {
  const auto place = [&](const Piece& piece) { return lanes[0].places[piece.parameter]; };
  std::int64_t anywhere = 0, seen = 0;
  for (const Piece& piece : pieces_)
    if (place(piece) < 0) anywhere += piece.count;
  std::vector<double> at;
  for (const Piece& piece : pieces_) {
    const bool known = place(piece) >= 0;
    at.push_back(known ? static_cast<double>(place(piece))
                       : (static_cast<double>(seen) + 0.5 * static_cast<double>(piece.count)) / static_cast<double>(anywhere));
    if (!known) seen += piece.count;
  }
  order_.resize(pieces_.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::ranges::stable_sort(order_, {}, [&](int piece) { return at[static_cast<std::size_t>(piece)]; });
  open_.reserve(pieces_.size());
}

/// Sets the squares that the tape has summed already, and lists the other pieces.
void Optimizer::find_open_pieces(Lanes lanes) {
  open_.clear();
  for (const int i : order_) {
    const Piece& piece = pieces_[static_cast<std::size_t>(i)];
    const ParameterInfo& parameter = store_->table()[static_cast<std::size_t>(piece.parameter)];
    // Sub-networks of the flow sum their squares while gradients lie in the cache: nothing is left to do for them.
    const bool known = lanes[0].touched[piece.parameter] == GradientLane::kSquareKnown && !(parameter.l2 > 0) &&
                       std::ranges::none_of(lanes.subspan(1), [&](const GradientLane& lane) { return lane.touched[piece.parameter] != 0; });
    if (known)
      squares_[static_cast<std::size_t>(i)] = piece.first == parameter.offset ? lanes[0].squares[piece.parameter] : 0.0;
    else
      open_.push_back(i);
  }
}

StepResult Optimizer::step(GradientBuffers& gradients, ThreadPool& pool) {
  gradients.require(1);
  return update(reduce((*lanes_of_ranks_)(bayesflow::detail::lanes_of(gradients)), pool), pool);
}

/// Leaves the sum in the first lane.
Optimizer::Reduced Optimizer::reduce(Lanes lanes, ThreadPool& pool) {
  float* total = lanes[0].gradients;
  const float* weights = store_->values();
  if (order_.empty()) place_pieces(lanes);
  find_open_pieces(lanes);
  bayesflow::detail::engine_for_each(&pool, static_cast<std::int64_t>(open_.size()), [&](std::int64_t k) {
    const auto i = static_cast<std::size_t>(open_[static_cast<std::size_t>(k)]);
    const Piece& piece = pieces_[i];
    const ParameterInfo& parameter = store_->table()[static_cast<std::size_t>(piece.parameter)];
    const float* parts[kMaxLanes];
    int count = 0;
    for (const GradientLane& lane : lanes)
      if (lane.touched[piece.parameter]) parts[count++] = lane.gradients + piece.first;
    if (count == 0) {  // not used in this step
      std::fill_n(total + piece.first, piece.count, 0.0f);
      parts[count++] = total + piece.first;
    }
    const float l2 = parameter.l2;
    squares_[i] =
        kernels::reduce_gradient(total + piece.first, parts, count, l2 > 0 ? weights + piece.first : nullptr, 2 * l2, piece.count);
  });
  std::ranges::fill(squares_of_groups_, 0.0);
  for (std::size_t i = 0; i < pieces_.size(); ++i) squares_of_groups_[group_of(pieces_[i])] += squares_[i];
  double square = 0;
  for (const double s : squares_of_groups_) square += s;
  return {total, square};
}

StepResult Optimizer::update(const Reduced& reduced, ThreadPool& pool) {
  const float* total = reduced.gradients;
  const double square = reduced.square;
  StepResult result;
  result.learning_rate = options_.learning_rate(step_);
  if (!(result.learning_rate >= 0) || !std::isfinite(result.learning_rate))
    throw ConfigurationError(
        fmt::format("the learning rate schedule gave {} at step {}; a rate must be finite and not negative", result.learning_rate, step_));
  result.gradient_norm = std::sqrt(square);
  result.finite = std::isfinite(square);
  if (!result.finite) return result;
  ++step_;
  const double clip = options_.global_clipnorm;
  for (std::size_t g = 0; g < factors_.size(); ++g) {
    const double norm = std::sqrt(squares_of_groups_[g]);
    factors_[g] = clip > 0 && norm > clip ? static_cast<float>(clip / norm) : 1.0f;
  }
  kernels::AdamStep adam{};
  if (options_.kind != OptimizerKind::sgd) {
    // Keras takes the powers of its float32 betas; doing the same follows v1's paths to the last digits.
    const auto power = [t = static_cast<double>(step_)](double beta) { return std::pow(static_cast<double>(static_cast<float>(beta)), t); };
    const double corrected = result.learning_rate * std::sqrt(1 - power(options_.beta2)) / (1 - power(options_.beta1));
    const double shrink = options_.kind == OptimizerKind::adamw ? result.learning_rate * options_.weight_decay : 0.0;
    adam = {1.0f,
            static_cast<float>(options_.beta1),
            static_cast<float>(1 - options_.beta1),
            static_cast<float>(options_.beta2),
            static_cast<float>(1 - options_.beta2),
            static_cast<float>(corrected),
            static_cast<float>(options_.epsilon),
            static_cast<float>(shrink)};
  }
  const WeightLock::Updating updating(store_->lock());
  float* values = store_->values();
  bayesflow::detail::engine_for_each(&pool, static_cast<std::int64_t>(order_.size()), [&](std::int64_t k) {
    const Piece& piece = pieces_[static_cast<std::size_t>(order_[static_cast<std::size_t>(k)])];
    float* w = values + piece.first;
    const float factor = factors_[group_of(piece)];
    kernels::AdamStep of_group = adam;
    of_group.factor = factor;
    if (options_.kind == OptimizerKind::sgd)
      kernels::sgd(factor, static_cast<float>(options_.momentum), static_cast<float>(result.learning_rate), w, m_.get() + piece.first,
                   total + piece.first, piece.count);
    else
      kernels::adam(of_group, w, m_.get() + piece.first, v_.get() + piece.first, total + piece.first, piece.count);
  });
  return result;
}

}  // namespace bayesflow::nn
