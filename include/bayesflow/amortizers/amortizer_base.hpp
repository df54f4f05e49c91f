/// What single amortizers and groups of them have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/data/batch.hpp"
#include "bayesflow/data/seen_data.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/training/trainable.hpp"

namespace bayesflow {

struct SaveAmortizerOptions;

/// Settings of `AmortizerBase::check`.
struct CheckOptions {
  std::int64_t n_samples = 0;  ///< draws of each data set, for DataCheck::outside; 0: none
  std::uint64_t seed = 0;      ///< of draws
};

/// How data sets, and draws for them, compare with what was seen in training.
struct DataCheck {
  std::int64_t reference = 0;    ///< held-out simulations that p-values are ranks among; 0: none are known, and there are no p-values
  Typical typical;               ///< p-values
  std::vector<Foreign> foreign;  ///< as draws say it, at the level of checks
  Array outside;  ///< (batch, D): share of draws outside the range of the parameter's values in training, the prior's support
};

/// Networks that a model file can hold: an Amortizer, or an AmortizerGroup, which is made of such.
class AmortizerBase : public Trainable {
 public:
  using Trainable::build;
  /// The same for the shapes of a first batch.
  virtual void build(const BatchShapes& shapes, std::optional<std::uint64_t> seed) = 0;
  [[nodiscard]] virtual bool is_built() const = 0;
  [[nodiscard]] virtual std::int64_t num_weights() const = 0;         ///< numbers that training changes
  [[nodiscard]] virtual const char* class_name() const = 0;           ///< in messages and files
  [[nodiscard]] virtual bool reads(std::string_view role) const = 0;  ///< whether that block of a batch is of use here
  /// The blocks of a batch that are of use here.
  [[nodiscard]] Batch share_of(const Batch& batch) const;
  [[nodiscard]] std::string architecture() const override;
  [[nodiscard]] virtual std::int64_t summary_width() const = 0;  ///< columns of summaries_of; 0: there are none

  /// Mean loss without dropout, with "weight_decay" as its last term.
  [[nodiscard]] virtual LossTerms compute_loss(const Batch& batch) const = 0;
  /// How these data are unlike those of training, as draws and densities say it. Empty if no trainer or file told what was seen.
  [[nodiscard]] virtual std::vector<Foreign> foreign(const Batch& batch) const = 0;

  /// Whether draws are to be trusted for these data sets. Of a group the first part (member, posterior, global posterior) says it.
  [[nodiscard]] virtual DataCheck check(const Batch& batch, const CheckOptions& options = {}) const = 0;

  /// Draws and densities report data sets whose p-value among held-out simulations is not larger (see Typicality). 0: they are not looked
  /// at. Model files do not hold it. Throws ArgumentError unless it is in [0, 1).
  static constexpr double kCheckLevel = 0.01;
  virtual void set_check_level(double level) = 0;
  [[nodiscard]] virtual double check_level() const = 0;

  /// Writes everything that `load_amortizer` needs: see model_file.hpp.
  void save(const std::filesystem::path& path) const;
  void save(const std::filesystem::path& path, const SaveAmortizerOptions& options) const;

 protected:
  friend class AmortizerGroup;
  /// Makes the weights, which there are none of yet, part of another store, under names that begin with `place`. Throws ConfigurationError
  /// if there are some, or if they are part of another store than `from` already.
  virtual void join(const std::shared_ptr<nn::ParameterStore>& store, const std::string& place, const nn::ParameterStore* from) = 0;
};

}  // namespace bayesflow
