/// Amortizers that are trained together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/amortizers/amortizer_base.hpp"

namespace bayesflow {

/// Amortizers with one store of weights: one trainer trains them on the same simulations, and one checkpoint and one model file hold them.
/// Copies are handles of the same parts and weights; so are the parts that are taken out. Each part reads its own blocks of a batch.
///
/// The parts share no weights, and gradients are clipped for each by itself: a part gets, bit for bit, the weights that a trainer of the
/// same seed and settings would give it alone, on the same simulations.
///
/// Parts that have weights already (trained alone, or loaded) keep them. Such a group draws, evaluates and saves; to be trained further it
/// is saved and loaded again, or its parts are trained before.
class AmortizerGroup : public AmortizerBase {
 public:
  struct Part {
    std::string name;
    std::shared_ptr<AmortizerBase> amortizer;
  };  ///< A part, under the name that it has in files
  [[nodiscard]] const std::vector<Part>& parts() const;

  using AmortizerBase::build;
  void build(const Batch& first, std::optional<std::uint64_t> seed = {}) override;
  /// Builds each part for its share of the shapes. A role that no part reads is a ConfigurationError.
  void build(const BatchShapes& shapes, std::optional<std::uint64_t> seed = {}) override;
  [[nodiscard]] bool is_built() const override;
  [[nodiscard]] std::int64_t num_weights() const override;
  [[nodiscard]] const char* class_name() const override;
  [[nodiscard]] bool reads(std::string_view role) const override;
  [[nodiscard]] std::int64_t summary_width() const override;
  [[nodiscard]] LossTerms compute_loss(const Batch& batch) const override;
  [[nodiscard]] std::vector<Foreign> foreign(const Batch& batch) const override;
  [[nodiscard]] DataCheck check(const Batch& batch, const CheckOptions& options = {}) const override;
  /// Of the first part that knows, and the summaries of all parts.
  [[nodiscard]] std::shared_ptr<const SeenData> seen() const override;
  void set_check_level(double level) override;
  [[nodiscard]] double check_level() const override;
  void set_seen(const SeenData& seen) override;

  /// What each part makes of them.
  [[nodiscard]] Batch configure(const Simulations& simulations) const override;
  /// Each part has an adapter of its own, or none.
  [[nodiscard]] std::int64_t pilot() const override;
  std::vector<std::string> fit(std::span<const Simulations> first, const std::vector<std::string>& param_names) override;
  [[nodiscard]] bool fills_missing() const override;  ///< if all parts do
  [[nodiscard]] std::vector<std::string> adapters() const override;
  void set_adapters(std::span<const std::string> described) override;

  // --- for trainers and tests ---
  /// Throws ConfigurationError if the parts had weights before they came together.
  [[nodiscard]] nn::ParameterStore& store() override;
  [[nodiscard]] const nn::ParameterStore& store() const override;
  void require_trainable() const override;
  [[nodiscard]] double weight_decay() const override;
  [[nodiscard]] std::vector<std::string> loss_names() const override;  ///< "posterior_loss": the part's name, and its own term's
  [[nodiscard]] LossTensors loss(Tape& tape, const Batch& batch) const override;
  void update_state() override;
  /// Those of all parts, side by side: (batch, sum of their widths).
  [[nodiscard]] Array summaries_of(const Batch& batch) const override;
  [[nodiscard]] std::vector<double> losses_of(const Batch& batch) const override;
  [[nodiscard]] bool standardizes_parameters() const override;
  [[nodiscard]] std::vector<std::string> review(const Batch& held_out, const std::vector<std::string>& names) const override;

 protected:
  /// Parts with weights, or parts without; a mixture is a ConfigurationError.
  AmortizerGroup(const char* class_name, std::vector<Part> parts);
  /// Throws ConfigurationError if this is a group of another class.
  void require_class(const char* class_name) const;
  /// The blocks of a batch that a part reads. Throws ConfigurationError if there is one that no part reads.
  [[nodiscard]] virtual Batch share_of_part(const Batch& batch, std::size_t part) const;
  /// Seed of a part that has none of its own.
  [[nodiscard]] virtual std::uint64_t seed_of_part(std::uint64_t seed, std::size_t /*part*/) const { return seed; }
  void join(const std::shared_ptr<nn::ParameterStore>& store, const std::string& place, const nn::ParameterStore* from) override;

 private:
  friend struct AmortizerAccess;
  void check_role(std::string_view role) const;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bayesflow
