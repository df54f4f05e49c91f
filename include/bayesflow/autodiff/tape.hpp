/// Reverse-mode tape: records what happens in a forward pass and runs the derivatives backwards.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#include "bayesflow/autodiff/arena.hpp"
#include "bayesflow/autodiff/gradient_lanes.hpp"
#include "bayesflow/autodiff/plan.hpp"
#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"

namespace bayesflow {

namespace detail {
class Ranks;
}

/// What a tape does in its next pass.
struct TapeSettings {
  bool gradients = true;                     ///< record derivatives
  bool training = true;                      ///< dropout and the like are active
  std::uint64_t seed = 0;                    ///< of dropout and other noise
  std::uint64_t step = 0;                    ///< the training step: another step, other noise
  GradientLanes* lanes = nullptr;            ///< for gradients of parameters, which else need none; the tape's own is lane 0
  ThreadPool* pool = nullptr;                ///< threads for shards and sub-networks
  Precision precision = Precision::float32;  ///< of the products of sections whose plan has none of its own
  detail::Ranks* ranks = nullptr;            ///< processes that share out the lanes of each plan; null: this one alone has all
};

/// Operations in the order in which they are computed, and their derivatives: see the top of this header.
class alignas(64) Tape {  // those of two threads share no cache line
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Forgets the last pass; tensors of it become invalid. Keeps all memory.
  void reset(const TapeSettings& settings);

  [[nodiscard]] bool records() const { return settings_.gradients; }
  [[nodiscard]] bool training() const { return settings_.training; }
  [[nodiscard]] const GradientLanes* lanes() const { return settings_.lanes; }  ///< null for a shard or sub-network
  [[nodiscard]] Precision precision() const { return precision_; }
  [[nodiscard]] ThreadPool* pool() const { return settings_.pool; }  ///< null for a shard or sub-network
  /// Whether an operation may cut its rows and run the pieces on `pool()`: within a `map_rows` whose plan says so. It cuts by shapes alone,
  /// pool or none.
  [[nodiscard]] bool cuts_rows() const { return cuts_rows_; }
  [[nodiscard]] Arena& arena() { return *arena_; }
  /// Where derivatives put gradients and scratch: of a shard, memory that the next shard of the lane uses again while it lies in
  /// cache. Valid until the shard's backward pass ends.
  [[nodiscard]] Arena& backward_arena() { return *backward_arena_; }
  [[nodiscard]] Rng& rng() { return rng_; }  ///< another stream for every step and shard
  /// Noise from here on is that of a fresh pass: models that are recorded one after the other each get what they would alone.
  void restart_noise();

  // --- leaves ---
  Tensor input(const Array& values, bool needs_grad = false);                      ///< rounded to float32
  Tensor input(const Shape& shape, const float* values, bool needs_grad = false);  ///< copied
  Tensor wrap(const Shape& shape, const float* values);                            ///< not copied: must outlive the pass
  Tensor filled(const Shape& shape, float value);
  /// A parameter, the `number`-th of its model. Its gradient goes to the tape's lane from `offset` on; without a lane it needs none.
  Tensor parameter(const Shape& shape, const float* value, std::int64_t offset, int number);

  // --- for the authors of ops ---
  /// A tensor for the result of an op; needs a gradient if the tape records and one of the sources does.
  Tensor result(const Shape& shape, std::initializer_list<Tensor> sources);
  /// Registers the derivative of the op that was just computed: a callable that is trivially destructible (it captures
  /// tensors and numbers). It runs only if a gradient reached `of`.
  template <class F>
  void on_backward(Tensor of, F derivative) {
    static_assert(std::is_trivially_destructible_v<F>, "capture tensors, numbers and arena memory only");
    if (!of.needs_grad()) return;
    F* stored = new (arena_->bytes(sizeof(F))) F(derivative);
    ops_.push_back({of.node(), [](void* f) { (*static_cast<F*>(f))(); }, stored});
  }

  /// The same for an op with several results: runs if a gradient reached any of them; `grad_or_zero` tells which.
  template <class F>
  void on_backward_of_any(std::span<const Tensor> of, F derivative) {
    static_assert(std::is_trivially_destructible_v<F>, "capture tensors, numbers and arena memory only");
    bool needed = false;
    for (const Tensor& t : of) needed = needed || t.needs_grad();
    if (!needed) return;
    F* stored = new (arena_->bytes(sizeof(F))) F(derivative);
    detail::Node* gate = new_node({1});  // its users come later on the tape, so all gradients are complete when it runs
    gate->own_set = 1;
    ops_.push_back({gate, [](void* f) { (*static_cast<F*>(f))(); }, stored});
  }

  /// Runs all derivatives, from d(loss)/d(loss) = 1 for every element of `loss`.
  void backward(Tensor loss);
  /// The same from a given cotangent of the shape of `of`.
  void backward(Tensor of, const float* cotangent);

  // --- the planner's two ways to use threads ---
  /// y[i] = f(child tape, x1[i], x2[i], ...) for chunks of the leading axis; results are joined. Every chunk has its own
  /// tape; chunks of a lane share a gradient buffer. f must treat the items (data sets) independently. A plan of one chunk runs on this
  /// tape. Absent inputs (empty tensors) are passed on as such. Of several processes each has all inputs, runs the chunks of its own lanes,
  /// and is sent the results of the others, and in the backward pass the gradients of inputs: what lies outside of map_rows is computed
  /// by all of them alike.
  template <class F>
  Tensor map_rows(const Plan& plan, std::span<const Tensor> inputs, F&& f) {
    using Fn = std::remove_reference_t<F>;
    return map_rows_erased(
        plan, inputs, [](void* c, Tape& t, std::span<const Tensor> x) -> Tensor { return (*static_cast<Fn*>(c))(t, x); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }
  /// outputs[i] = f(i, child tape, imported inputs): sub-networks without common parameters run side by side over all rows,
  /// forward and backward, so that their gradients need no reduction.
  template <class F>
  void fork(std::span<const Tensor> inputs, std::span<Tensor> outputs, F&& f) {
    using Fn = std::remove_reference_t<F>;
    fork_erased(
        inputs, outputs,
        [](void* c, std::int64_t i, Tape& t, std::span<const Tensor> x) -> Tensor { return (*static_cast<Fn*>(c))(i, t, x); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

  [[nodiscard]] std::size_t reserved() const;  ///< bytes held by this tape and its children

  // --- what a pass costs ---
  /// Floating-point operations (2 rows depth cols each) of the matrix products made since the last reset, forward and backward,
  /// those of shards and sub-networks included. Products that are skipped, or made once per group of rows, count as they are made.
  [[nodiscard]] std::int64_t product_flops() const;
  [[nodiscard]] std::int64_t bfloat16_flops() const;  ///< those of them that were made in bfloat16
  void count_flops(std::int64_t flops, std::int64_t in_bfloat16 = 0) {
    product_flops_ += flops;
    bfloat16_flops_ += in_bfloat16;
  }
  void count_product(std::int64_t rows, std::int64_t depth, std::int64_t cols) { product_flops_ += 2 * rows * depth * cols; }

 private:
  struct Record {
    detail::Node* of;
    void (*run)(void*);
    void* context;
  };
  struct Import {
    detail::Node* copy;
    detail::Node* source;
    std::int64_t offset;
  };
  struct Parameter {
    detail::Node* node;
    int number;
  };
  detail::Node* new_node(const Shape& shape);
  Tensor import(Tensor source, std::int64_t first, std::int64_t count);
  Tensor import_all(Tensor source);
  std::size_t add_children(std::int64_t count);
  Tape& start_child(std::size_t number, detail::GradientLane* lane, Precision precision, Arena* shared = nullptr);
  void run_records();
  void seed_and_run(Tensor of, const float* cotangent);
  void return_imports();
  Tensor share_values(const Plan& plan, Tensor own);
  void share_gradients(const Plan& plan, std::size_t first_child, std::span<detail::Node* const> sources);
  void backward_of_subnetwork(const float* cotangent, float place);
  Tensor run_here(const Plan& plan, std::span<const Tensor> inputs, Tensor (*f)(void*, Tape&, std::span<const Tensor>), void* context);
  Tensor map_rows_erased(const Plan& plan, std::span<const Tensor> inputs, Tensor (*f)(void*, Tape&, std::span<const Tensor>),
                         void* context);
  void fork_erased(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                   Tensor (*f)(void*, std::int64_t, Tape&, std::span<const Tensor>), void* context);

  TapeSettings settings_;
  detail::GradientLane* lane_ = nullptr;
  Arena own_arena_;
  Arena* arena_ = &own_arena_;
  Arena* backward_arena_ = &own_arena_;
  Rng rng_;
  std::vector<Record> ops_;
  std::vector<Import> imports_;
  std::vector<Parameter> parameters_;  // of a sub-network of a fork
  std::vector<std::unique_ptr<Tape>> children_;
  std::size_t used_children_ = 0, first_of_noise_ = 0;
  std::vector<std::unique_ptr<ArenaGroup>> value_arenas_;  // of each map_rows of this pass: values of its groups of chunks
  std::size_t used_value_arenas_ = 0;
  std::vector<std::unique_ptr<Arena>> backward_arenas_;  // gradients of a lane's present chunk, or of a fork's sub-network
  std::int64_t product_flops_ = 0, bfloat16_flops_ = 0;
  Tensor output_;               // of a child
  bool is_child_ = false;       // shards are not cut again
  bool is_subnetwork_ = false;  // a child of a fork
  bool cuts_rows_ = false;
  Precision precision_ = Precision::float32;  // of the present section
};

namespace detail {
/// Where an op adds its part of a gradient: stored if `accumulate` is false.
struct GradSink {
  float* data;
  bool accumulate;
};
/// To be called once per contribution.
GradSink grad_sink(Tensor x);
/// The gradient that reached x (only valid inside a derivative of x's op).
inline const float* grad_of(Tensor x) { return x.node()->grad; }
/// The same for one of several results: zeros if nothing reached it.
const float* grad_or_zero(Tensor x);
/// Adds or stores `factor` times the values.
void deliver(Tensor x, const float* values, float factor = 1.0f);
}  // namespace detail

}  // namespace bayesflow
