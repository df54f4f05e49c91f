/// Trained amortizers in files.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/amortizer_group.hpp"

namespace bayesflow {

/// What is worth knowing about a trained amortizer, beside its weights. All of it is optional.
struct ModelInfo {
  std::string description = {};  ///< in your words
  std::vector<std::string> param_names = {};
  std::int64_t simulations = 0;           ///< seen in training
  std::optional<double> final_loss = {};  ///< average training loss of the last epoch
  std::optional<double> final_validation_loss = {};
  std::uint64_t seed = 0;
  std::string workflow = {};                    ///< how `fit` made it, as described data (see workflow/posterior.hpp); empty: it did not
  std::map<std::string, Array> constants = {};  ///< numbers that the configurator needs: means and scales for standardizing, ...
};

/// Settings of save_amortizer.
struct SaveAmortizerOptions {
  ModelInfo info = {};
  std::optional<Batch> probes =
      {};  ///< inputs whose outputs are stored and compared on loading; none: made from the shapes that were seen in training
};

/// Writes networks, weights, and probes with their outputs to `path` (by custom, "model.h5"): at once or not at all. Throws IoError, and
/// ConfigurationError if the amortizer has no weights yet.
void save_amortizer(const AmortizerBase& amortizer, const std::filesystem::path& path, const SaveAmortizerOptions& options = {});

/// Parts that are your own code, and so cannot come from a file. A missing one is an IoError that says which.
struct LoadAmortizerOptions {
  std::function<std::shared_ptr<SummaryNetwork>()> summary_net = {};      ///< for a summary network of your own class
  std::function<std::shared_ptr<InferenceNetwork>()> inference_net = {};  ///< for an inference network of your own class
  std::function<Tensor(Tensor)> pooling_fun = {};                         ///< for DeepSetOptions::pooling_fun
  std::function<Tensor(Tensor estimates, Tensor targets)> loss_fun = {};  ///< for PointNetworkOptions::loss_fun; needed for training only
  std::optional<Latent> latent = {};                                      ///< for a latent of your own
  int threads = 0;                                                        ///< of the amortizer, as AmortizedPosteriorOptions::threads
  /// Loads one part of a group alone, by its name ("posterior"; of parts of parts "member_0.posterior"). Empty: all of the file.
  std::string part = {};
  bool verify = true;  ///< false: load even if the probes' outputs differ from the stored ones (after a change of your own code, say)
};

/// An amortizer of class A, and what its file says about it.
template <class A = AmortizedPosterior>
struct LoadedAmortizer {
  A amortizer;
  ModelInfo info;
  std::uint32_t format_version = 0;
  std::string library_version;  ///< that wrote the file
};

namespace detail {
using LoadedModel = LoadedAmortizer<std::shared_ptr<AmortizerBase>>;
/// `own`: a kind that the library does not know, or null.
[[nodiscard]] LoadedModel load_model(const std::filesystem::path& path, const LoadAmortizerOptions& options,
                                     const AmortizerKind* own = nullptr);
[[nodiscard]] Amortizer single_of(const LoadedModel& model, const AmortizerKind& kind);
[[nodiscard]] const AmortizerGroup& group_of(const LoadedModel& model, const char* class_name);
}  // namespace detail

/// Rebuilds an amortizer (A: a class of the library, or one of your own that derives from Amortizer and has a kKind): on the same kind of
/// CPU it gives the same draws, bit for bit. Throws IoError: no such file, another kind of file, a newer format, cut short, damaged, parts
/// missing, or the probes' outputs differ by more than 1e-4 relative to their size; and ConfigurationError if the file holds an amortizer
/// of another class than A.
template <class A = AmortizedPosterior>
[[nodiscard]] LoadedAmortizer<A> load_amortizer_file(const std::filesystem::path& path, const LoadAmortizerOptions& options = {}) {
  if constexpr (std::derived_from<A, AmortizerGroup>) {
    detail::LoadedModel model = detail::load_model(path, options);
    return {A(detail::group_of(model, A::kClass)), std::move(model.info), model.format_version, std::move(model.library_version)};
  } else {
    detail::LoadedModel model = detail::load_model(path, options, &A::kKind);
    return {A(detail::single_of(model, A::kKind)), std::move(model.info), model.format_version, std::move(model.library_version)};
  }
}
/// The amortizer alone.
template <class A = AmortizedPosterior>
[[nodiscard]] A load_amortizer(const std::filesystem::path& path, const LoadAmortizerOptions& options = {}) {
  return load_amortizer_file<A>(path, options).amortizer;
}

}  // namespace bayesflow
