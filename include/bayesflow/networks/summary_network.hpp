/// Summary networks: from data sets of any size to vectors of fixed length (sbi: embedding nets).
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/autodiff/plan.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/networks/network.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

class SummaryNetwork;

/// A summary network inside another. A copy has a network of its own, as copies of networks do; one of a class that the library does not
/// know, given as a shared pointer, is shared by the copies, and belongs to the first amortizer that builds it.
class SummaryPart {
 public:
  SummaryPart() = default;
  template <std::derived_from<SummaryNetwork> Net>
  SummaryPart(Net net)  // NOLINT(google-explicit-constructor): {.networks = {DeepSet(), DeepSet()}}
      : net_(std::make_shared<Net>(std::move(net))), copy_(&copy<Net>) {}
  template <std::derived_from<SummaryNetwork> Net>
  SummaryPart(std::shared_ptr<Net> net) : net_(std::move(net)) {}  // NOLINT(google-explicit-constructor)
  SummaryPart(const SummaryPart& other);
  SummaryPart(SummaryPart&&) noexcept = default;
  SummaryPart& operator=(const SummaryPart& other);
  SummaryPart& operator=(SummaryPart&&) noexcept = default;
  ~SummaryPart() = default;

  [[nodiscard]] SummaryNetwork* get() const { return net_.get(); }
  SummaryNetwork* operator->() const { return net_.get(); }
  [[nodiscard]] const std::shared_ptr<SummaryNetwork>& shared() const { return net_; }
  explicit operator bool() const { return net_ != nullptr; }
  friend bool operator==(const SummaryPart& a, const SummaryPart& b) { return a.net_ == b.net_; }  ///< the same object

 private:
  using Copy = std::shared_ptr<SummaryNetwork> (*)(const SummaryNetwork&);
  template <class Net>
  static std::shared_ptr<SummaryNetwork> copy(const SummaryNetwork& net) {
    return std::make_shared<Net>(static_cast<const Net&>(net));
  }
  std::shared_ptr<SummaryNetwork> net_;
  Copy copy_ = nullptr;
};

/// In files and to Python: {"class": its name, "options": those of the class}. Defined in src/networks/registry.hpp, which knows the
/// classes.
template <class V>
void describe(V& v, SummaryPart& part);

/// What a summary network is given of a batch.
struct SummaryInput {
  SummaryInput(Tensor d = {}, Tensor m = {}, Tensor t = {}) : data(d), mask(m), times(t) {}  // NOLINT(google-explicit-constructor)
  Tensor data;                                                                               ///< (batch, n, d), (batch, d), ...
  /// (batch, n), or more of the data's leading axes, but not its last: 1 where there is an observation, 0 where there is padding; no
  /// tensor: nothing is padding
  Tensor mask;
  Tensor times;  ///< axes as those of a mask: when each observation was made; no tensor: not known
  static constexpr std::size_t kMostSources = 8;
  /// Of a network that reads several sources: one for each, and no `data` of its own.
  struct Sources {
    const SummaryInput* first = nullptr;
    std::size_t count = 0;
    [[nodiscard]] std::size_t size() const { return count; }
    const SummaryInput& operator[](std::size_t i) const { return first[i]; }
  } sources;
};

/// Shapes of the first batch, from which widths are inferred.
struct SummaryShape {
  SummaryShape(const Shape& d, bool t = false) : data(d), has_times(t) {}  // NOLINT(google-explicit-constructor)
  Shape data;                                                              ///< (batch, ...)
  bool has_times;                                                          ///< there will be times
  std::vector<SummaryShape> sources = {};                                  ///< of a network that reads several; no `data` of its own
};

/// To write one of your own, derive from this class, register parameters in `build` (nn::Dense and nn::Mlp do it for you) and
/// compose operations of bayesflow::ops in `forward`; see examples/own_network.cpp.
class SummaryNetwork : public Network {
 public:
  /// Called once, with the shapes of a first batch: widths are inferred here.
  virtual void build(const nn::Builder& builder, const SummaryShape& input) = 0;
  /// (batch, ...) -> (batch, summary_dim). Treats data sets independently: the engine cuts batches into shards.
  [[nodiscard]] virtual Tensor forward(Tape& tape, const SummaryInput& input) const = 0;
  [[nodiscard]] virtual std::int64_t summary_dim() const = 0;
  /// How the engine cuts data of this shape: a function of the shape, never of the machine. Networks whose work on observations is done by
  /// chains of dense layers return plan_sets.
  [[nodiscard]] virtual Plan plan(const Shape& data) const { return plan_rows(data[0], rows_per_item(data)); }
  /// Whether `forward` reads the mask. Then padding must change nothing: results are those of the data set without it, up to rounding.
  /// Amortizers refuse masks where it is false.
  [[nodiscard]] virtual bool takes_mask() const { return false; }
  /// Whether `forward` reads the times. Amortizers refuse times where it is false.
  [[nodiscard]] virtual bool takes_times() const { return false; }
  /// Names of the sources of data that it reads, at most SummaryInput::kMostSources; none: it reads one that has no name. Each belongs to
  /// the network of `parts` at the same place.
  [[nodiscard]] virtual std::span<const std::string> sources() const { return {}; }
  /// Networks that it is composed of. They belong to the same amortizer.
  [[nodiscard]] virtual std::span<const SummaryPart> parts() const { return {}; }
  /// Where only some values have a meaning (numbers of groups): puts such into `data`, random numbers of the shape that the network was
  /// built for. Model files hold what the network makes of them.
  virtual void make_valid(Array& /*data*/) const {}
  void update_state() override {
    for (const SummaryPart& part : parts()) part->update_state();
  }
};

}  // namespace bayesflow
