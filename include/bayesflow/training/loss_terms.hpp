/// A loss and the terms that it is the sum of.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bayesflow {

/// The name of the term that a trainer adds: sum over parameters of l2 |w|^2. It regularizes and says nothing about new data.
inline constexpr std::string_view kWeightDecay = "weight_decay";

/// Values of named loss terms, in a fixed order: {"loss": -2.14, "weight_decay": 0.02}. Copies share the names and touch no heap, so that
/// a training step may record them.
class LossTerms {
 public:
  static constexpr std::size_t kMost = 6;  ///< terms
  using Names = std::shared_ptr<const std::vector<std::string>>;

  LossTerms() = default;  ///< no terms
  /// All zero. Throws ArgumentError for more than kMost terms.
  explicit LossTerms(Names names);
  LossTerms(std::initializer_list<std::pair<std::string_view, double>> terms);

  [[nodiscard]] std::size_t size() const { return names_ ? names_->size() : 0; }
  [[nodiscard]] const std::string& name(std::size_t term) const { return (*names_)[term]; }
  [[nodiscard]] double value(std::size_t term) const { return values_[term]; }
  void set(std::size_t term, double value) { values_[term] = value; }
  [[nodiscard]] std::span<const double> values() const { return {values_.data(), size()}; }
  [[nodiscard]] const Names& names() const { return names_; }

  /// The value of a term, 0 if there is none of that name.
  [[nodiscard]] double operator[](std::string_view name) const;
  /// The sum of all terms: what training lowers.
  [[nodiscard]] double total() const;
  /// The sum without weight decay: what early stopping and comparisons between epochs judge by.
  [[nodiscard]] double objective() const;

  /// The values of the terms of these names, in their order; 0 where there is none.
  [[nodiscard]] LossTerms under(const Names& names) const;

 private:
  Names names_;
  std::array<double, kMost> values_{};
};

}  // namespace bayesflow
