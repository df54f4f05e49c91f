/// From simulations to what networks learn from, and from networks' draws and densities to the user's units.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/adapter/steps.hpp"
#include "bayesflow/data/batch.hpp"
#include "bayesflow/data/configurator.hpp"

namespace bayesflow {

/// What an adapter is used for: the fields of which values are learnt, and how fields become roles behind the steps.
struct AdapterUse {
  std::vector<std::string> targets = {"prior_draws"};
  Configurator configure = default_configurator;
};

/// Simulations behind the steps, and what the other direction needs.
struct Adapted {
  Simulations simulations;
  /// Of each target: log |det dy/dx| of every row, y the network's and x the user's numbers: of the target's shape without its last axis;
  /// -infinity where x is outside of a bound. Empty for a target that is not there.
  std::vector<Array> log_det;
  std::vector<Simulations> before;  ///< for each step, the fields before it that its inverse reads
};

/// What the prior is known to allow of a column; an absent number: no bound.
struct Support {
  std::optional<double> lower = {}, upper = {};
};

/// What `Adapter::infer` may be told.
struct InferOptions {
  std::vector<std::string> param_names = {};  ///< of the columns of prior_draws
  /// Of each column of the first target; absent, or an empty list: not stated, so that edges are guessed from the draws, with room.
  std::vector<std::optional<Support>> support = {};
  AdapterUse use = {};
};

/// What happens to a target that a step cannot take.
enum class Outside : std::uint8_t {
  refuse,  ///< ArgumentError: in training it would be a lost part of the prior
  allow,   ///< its density is 0
};

/// An ordered list of steps, each of which acts on a named field of Simulations or some of its columns. Behind the steps fields become
/// roles as the amortizer's kind has it (`default_configurator` of posteriors), and a field with the name of a role is that role. Without
/// steps it is that configurator.
///
/// It is fitted once, to the first simulations, by trainers or by `fit`: steps learn locations and scales, and names of parameters become
/// numbers of columns. After that it does not change. All of it is described data: model files and checkpoints hold it, for C++ and Python.
///
/// Every error is a ConfigurationError, ShapeError or ArgumentError that names the step, the field, the column and the value.
class Adapter {
 public:
  Adapter() = default;
  Adapter(std::initializer_list<adapter::Step> steps);
  /// An adapter, not fitted yet, with the steps that pilot draws (some hundred at least) suggest: of targets bounds, logarithms, simplexes,
  /// order and scales, without columns that are constant or copies of others; of data and contexts of each data set logarithms, scales,
  /// missing values. What it saw and chose is in `inferred`; how it decides is in docs/adapter.md. Throws ConfigurationError for draws
  /// outside of the stated support.
  [[nodiscard]] static Adapter infer(std::span<const Simulations> pilot, const InferOptions& options = {});
  [[nodiscard]] static Adapter infer(const Simulations& pilot, const InferOptions& options = {}) {
    return infer(std::span<const Simulations>(&pilot, 1), options);
  }
  /// Sentences of `infer`; none for adapters made by hand.
  [[nodiscard]] const std::vector<std::string>& inferred() const { return inferred_; }
  /// One more step, behind the others. Throws ConfigurationError for options that cannot be, and after fitting.
  Adapter& add(adapter::Step step);
  [[nodiscard]] const std::vector<adapter::Step>& steps() const { return steps_; }

  /// Simulations that a trainer with a generative model makes to fit it to.
  std::int64_t pilot = 1024;

  /// `first`: batches of simulations; those with a non-batchable context may differ in shape. `param_names`: of the columns of prior_draws;
  /// none: not known. Throws ConfigurationError if it is fitted already.
  void fit(std::span<const Simulations> first, const std::vector<std::string>& param_names = {}, const AdapterUse& use = {});
  void fit(const Simulations& first, const std::vector<std::string>& param_names = {}, const AdapterUse& use = {}) {
    fit(std::span<const Simulations>(&first, 1), param_names, use);
  }
  [[nodiscard]] bool is_fitted() const { return fitted_; }
  /// Sentences about what was found when it was fitted: columns without spread.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// The steps as they were given, as text: equal for adapters that differ in what they were fitted to only.
  [[nodiscard]] std::string given() const;
  [[nodiscard]] const std::vector<std::string>& targets() const { return targets_; }
  /// Names of the parameters as they were when it was fitted; empty: not known.
  [[nodiscard]] const std::vector<std::string>& param_names() const { return param_names_; }

  /// Targets may be missing, as they are of observed data.
  [[nodiscard]] Adapted forward(Simulations simulations, Outside outside = Outside::refuse) const;
  /// Numbers of a target as networks have them, (batch, n, D), (batch, D) or (batch, groups, ..., D), in the user's units, for data sets
  /// that went forward before. `target`: its place among the targets.
  [[nodiscard]] Array inverse(Array values, const Adapted& of, std::size_t target = 0) const;
  /// What is given to networks: `use.configure` of the fields behind the steps, and fields that have the name of a role.
  [[nodiscard]] static Batch batch_of(const Adapted& adapted, const AdapterUse& use = {});
  /// The same of simulations: an adapter is a Configurator.
  [[nodiscard]] Batch operator()(const Simulations& simulations) const { return batch_of(forward(simulations)); }

  [[nodiscard]] std::string to_json() const;
  /// Throws ConfigurationError for a text that is no adapter's.
  [[nodiscard]] static Adapter from_json(std::string_view text);
  /// One line for each step: "1. log of prior_draws, column 1 (sigma)".
  [[nodiscard]] std::string to_string() const;

 private:
  void require_fitted(const char* what) const;
  void note_names();
  std::vector<adapter::Step> steps_;
  std::vector<std::int64_t> widths_;  ///< of each step's field before it, where it acts on columns
  std::vector<std::string> targets_, param_names_, notes_, inferred_;
  std::string given_;                                                   ///< once it is fitted
  std::vector<std::map<std::string, std::vector<std::string>>> names_;  ///< of columns, by field, before each step
  bool fitted_ = false;
};

}  // namespace bayesflow
