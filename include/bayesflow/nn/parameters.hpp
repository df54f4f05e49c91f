/// All parameters of a model in flat, aligned buffers with a table of names.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/describe.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/shape.hpp"
#include "bayesflow/nn/weight_lock.hpp"

namespace bayesflow::nn {

namespace detail {
struct FreeFloats {
  std::size_t bytes = 0;
  void operator()(float* p) const;
};
}  // namespace detail

/// How a fresh kernel is drawn. fan_in and fan_out are its rows and columns.
enum class Initializer : std::uint8_t {
  zeros,
  ones,
  glorot_uniform,       ///< U(+-sqrt(6 / (fan_in + fan_out)))  (Glorot and Bengio 2010), v1's everywhere
  he_uniform,           ///< U(+-sqrt(6 / fan_in))  (He et al. 2015): the default inside coupling nets, see docs/design
  orthogonal,           ///< Q of a QR decomposition of a normal matrix, signs corrected; of its transpose if it is wide
  glorot_normal,        ///< variance 2 / (fan_in + fan_out); this and the next two: normal, cut at two standard deviations
  he_normal,            ///< variance 2 / fan_in
  lecun_normal,         ///< variance 1 / fan_in  (LeCun et al. 1998)
  lecun_uniform,        ///< U(+-sqrt(3 / fan_in))
  random_normal,        ///< N(0, 0.05^2): this and the next two are Keras' defaults
  random_uniform,       ///< U(+-0.05)
  truncated_normal,     ///< N(0, 0.05^2), cut at two standard deviations
  identity,             ///< ones on the diagonal
  fan_out_normal,       ///< variance 1 / fan_out, cut at two standard deviations; this and those below: Keras' VarianceScaling
  fan_out_uniform,      ///< U(+-sqrt(3 / fan_out))
  fan_in_untruncated,   ///< N(0, 1 / fan_in)
  fan_out_untruncated,  ///< N(0, 1 / fan_out)
  fan_avg_untruncated,  ///< N(0, 2 / (fan_in + fan_out))
};
inline constexpr Initializer kLastInitializer = Initializer::fan_avg_untruncated;
[[nodiscard]] const char* to_string(Initializer initializer);
/// The reverse; also takes Keras' "variance_scaling" (its default is lecun_normal). Throws ConfigurationError listing the names.
[[nodiscard]] EnumNames<Initializer> names_of(Initializer);
[[nodiscard]] Initializer initializer_from(std::string_view name);  ///< by its name; throws ConfigurationError

/// First values of a parameter: shift + gain w, with w from an initializer. Keras' RandomNormal(mean, stddev) is {random_normal,
/// stddev / 0.05, mean}, its Constant(c) is {zeros, 1, c}.
struct Start {
  Initializer initializer = Initializer::zeros;
  double gain = 1, shift = 0;
  std::int64_t seed = -1;  ///< -1: the network's
  constexpr Start() = default;
  constexpr Start(Initializer from, double times = 1, double plus = 0, std::int64_t own_seed = -1)  // NOLINT: an initializer is one
      : initializer(from), gain(times), shift(plus), seed(own_seed) {}
  friend bool operator==(const Start&, const Start&) = default;
};

/// A row of the table.
struct ParameterInfo {
  std::string name;  ///< dotted: "inference_net.coupling.0.net1.s.0.kernel"
  Shape shape;
  std::int64_t offset = 0;  ///< of the first value in the flat buffers
  float l2 = 0;             ///< weight of sum w^2 in the loss
  int group = 0;            ///< whose gradients are clipped by one norm: see ParameterStore::begin_group
};

/// Integers and floats that belong to the model but are not trained: permutations, vectors of power iterations.
struct Buffer {
  std::string name;
  std::vector<std::int32_t> integers;
  std::vector<float> floats;
};

/// The parameters of one model. Values, gradients and moments share one layout, so that reduction, clipping and the
/// optimizer are single passes, and a checkpoint is one block.
class ParameterStore {
 public:
  ParameterStore();
  ~ParameterStore();
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  /// Adds a parameter and returns its number. Its first values depend on the seed and on `stream`, its own name if that is empty. Throws
  /// ConfigurationError if the name is taken.
  int add(const std::string& name, const Shape& shape, const Start& start, float l2, std::uint64_t seed, const std::string& stream = "");
  /// Parameters that are added from now on belong to another group. The optimizer clips the gradients of each group by themselves, so that
  /// models that share a store, and nothing else, train as they would alone.
  void begin_group() { group_ += table_.empty() ? 0 : 1; }
  int add_buffer(Buffer buffer);
  /// From now on, `add` throws ConfigurationError where there would be more than this many values: for networks that are described
  /// by a file, which must not make a program allocate more than the file itself holds.
  void set_limit(std::int64_t values) { limit_ = values; }
  [[nodiscard]] std::int64_t limit() const { return limit_; }  ///< negative: none

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(table_.size()); }
  [[nodiscard]] std::int64_t size() const { return used_; }                          ///< floats in a flat buffer, padding included
  [[nodiscard]] std::int64_t number_of_values() const { return number_of_values_; }  ///< without padding
  [[nodiscard]] const std::vector<ParameterInfo>& table() const { return table_; }
  [[nodiscard]] std::vector<Buffer>& buffers() { return buffers_; }
  [[nodiscard]] const std::vector<Buffer>& buffers() const { return buffers_; }

  /// What reads or writes values and buffers while others may do so holds it: optimizers, trainers and amortizers do.
  [[nodiscard]] WeightLock& lock() const { return lock_; }
  /// Not 0 while a trainer trains the values.
  [[nodiscard]] std::atomic<std::uint64_t>& training_claim() { return training_claim_; }
  [[nodiscard]] float* values() { return values_.get(); }
  [[nodiscard]] const float* values() const { return values_.get(); }
  [[nodiscard]] std::span<float> value(int parameter);
  [[nodiscard]] int find(std::string_view name) const;  ///< throws ConfigurationError if there is none

  /// The parameter as a leaf of the tape.
  [[nodiscard]] Tensor tensor(Tape& tape, int parameter) const;

 private:
  std::atomic<std::uint64_t> training_claim_{0};
  using Floats = std::unique_ptr<float[], detail::FreeFloats>;
  friend class Optimizer;
  static Floats allocate(std::int64_t count);
  void reserve(std::int64_t count);

  std::vector<ParameterInfo> table_;
  std::vector<Buffer> buffers_;
  Floats values_;
  std::int64_t used_ = 0, capacity_ = 0;
  std::int64_t number_of_values_ = 0, limit_ = -1;  // none
  int group_ = 0;
  std::unordered_map<std::string, int> numbers_;  // by name
  mutable WeightLock lock_;
};

/// Gradient lanes for one store.
class GradientBuffers : public GradientLanes {
 public:
  explicit GradientBuffers(const ParameterStore& store) : GradientLanes(store.size(), store.count()) {}
};

/// Where a network registers its parameters: a store, a dotted prefix and the seed of initialization. A parameter's first
/// values depend on the seed and its own name alone. In a store of several models, the name there begins with the model's place.
class Builder {
 public:
  Builder(ParameterStore& store, std::uint64_t seed, std::string prefix = "", std::string place = "")
      : store_(&store), seed_(seed), prefix_(std::move(prefix)), place_(std::move(place)) {}
  [[nodiscard]] Builder scope(const std::string& name) const { return Builder(*store_, seed_, full(name), place_); }
  [[nodiscard]] std::string full(const std::string& name) const { return prefix_.empty() ? name : prefix_ + "." + name; }
  int add(const std::string& name, const Shape& shape, const Start& start, float l2 = 0) const {
    return store_->add(in_store(name), shape, start, l2, seed_, full(name));
  }
  int add_buffer(const std::string& name, std::vector<std::int32_t> integers, std::vector<float> floats = {}) const {
    return store_->add_buffer({in_store(name), std::move(integers), std::move(floats)});
  }
  [[nodiscard]] ParameterStore& store() const { return *store_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] Rng rng(const std::string& name) const { return Rng(seed_, full(name)); }

 private:
  [[nodiscard]] std::string in_store(const std::string& name) const { return place_.empty() ? full(name) : place_ + "." + full(name); }

  ParameterStore* store_;
  std::uint64_t seed_;
  std::string prefix_, place_;
};

}  // namespace bayesflow::nn
