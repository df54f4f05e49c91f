#include "bayesflow/training/loss_terms.hpp"

#include <fmt/format.h>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

LossTerms::LossTerms(Names names) : names_(std::move(names)) {
  if (size() > kMost) throw ArgumentError(fmt::format("LossTerms: a loss has at most {} terms; got {}", kMost, size()));
}

LossTerms::LossTerms(std::initializer_list<std::pair<std::string_view, double>> terms) {
  auto names = std::make_shared<std::vector<std::string>>();
  for (const auto& [name, value] : terms) names->emplace_back(name);
  *this = LossTerms(std::move(names));
  std::size_t i = 0;
  for (const auto& [name, value] : terms) values_[i++] = value;
}

double LossTerms::operator[](std::string_view name) const {
  for (std::size_t i = 0; i < size(); ++i)
    if ((*names_)[i] == name) return values_[i];
  return 0;
}

double LossTerms::total() const {
  double sum = 0;
  for (const double value : values()) sum += value;
  return sum;
}

double LossTerms::objective() const {
  double sum = 0;
  for (std::size_t i = 0; i < size(); ++i)
    if ((*names_)[i] != kWeightDecay) sum += values_[i];
  return sum;
}

LossTerms LossTerms::under(const Names& names) const {
  LossTerms out(names);
  for (std::size_t i = 0; i < out.size(); ++i) out.values_[i] = (*this)[(*names)[i]];
  return out;
}

}  // namespace bayesflow
