/// Posterior approximation by a conditional flow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/latent.hpp"
#include "bayesflow/configuration/configurator.hpp"
#include "bayesflow/configuration/seen_data.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/training/trainable.hpp"

namespace bayesflow {

/// Settings of an AmortizedPosterior.
struct AmortizedPosteriorOptions {
  Latent latent = gaussian_latent();
  double summary_mmd_weight = 0.0;         ///< > 0: this times MMD^2 between summaries and as many standard normals is added to the loss
  std::optional<std::uint64_t> seed = {};  ///< of initialization; none: the trainer's
  std::optional<std::uint64_t> inference_seed = {}, summary_seed = {};  ///< of one network alone; none: `seed`
  int threads = 0;                                                      ///< for sampling and densities; 0: as many as the machine has
  Logger logger = {};                                                   ///< receives warnings about data unlike those of training
};

struct SaveAmortizerOptions;

/// Settings of a sampling call.
struct SampleOptions {
  /// The same seed gives the same draws. None: the number of the call among those without a seed (0, 1, 2, ...), which copies of an
  /// amortizer share. So calls in a row give new draws, the same in every run of a program.
  std::optional<std::uint64_t> seed = {};
  std::vector<Foreign>* foreign = nullptr;  ///< receives how data and draws are unlike those of training; null: the amortizer's logger does
};

/// q(parameters | summary_net(summary_conditions), direct_conditions). Networks are copied into it: it has weights of its own. Copies of an
/// amortizer are handles of the same networks and weights.
/// Radev et al. (2020), BayesFlow: learning complex stochastic models with invertible neural networks.
///
/// Loss terms: "loss", the mean of -log p(z) - log |det J|, which is the negative log posterior density; "summary_loss" with
/// summary_mmd_weight > 0.
class AmortizedPosterior : public Trainable {
 public:
  /// With a summary network (any class derived from SummaryNetwork; it is copied).
  template <class Summary>
  requires std::derived_from<Summary, SummaryNetwork> AmortizedPosterior(const InvertibleNetwork& inference_net, Summary summary_net,
                                                                         AmortizedPosteriorOptions options = {})
      : AmortizedPosterior(inference_net, std::make_shared<Summary>(std::move(summary_net)), std::move(options)) {}
  /// Without: direct conditions only.
  explicit AmortizedPosterior(const InvertibleNetwork& inference_net, AmortizedPosteriorOptions options = {})
      : AmortizedPosterior(inference_net, std::shared_ptr<SummaryNetwork>(), std::move(options)) {}

  /// With a summary network that is chosen at run time (null: none). It belongs to the first amortizer that builds it: another one throws
  /// ConfigurationError as long as that one lives.
  AmortizedPosterior(const InvertibleNetwork& inference_net, std::shared_ptr<SummaryNetwork> summary_net,
                     AmortizedPosteriorOptions options = {});

  /// Shapes of the inputs of a first batch; absent where there are none.
  struct BuiltFor {
    std::optional<Shape> summary_conditions, direct_conditions;
  };
  /// Infers all widths from a first batch and initializes the weights, with the seed of the options, else this one, else 0. The trainer
  /// does it in its consistency check with its own seed. Threads that build at the same time wait for the first; networks that call it
  /// while they are being built get a ConfigurationError.
  void build(const Inputs& inputs, std::optional<std::uint64_t> seed = {}) override;
  void build(const BuiltFor& shapes, std::optional<std::uint64_t> seed = {});
  [[nodiscard]] bool is_built() const;
  [[nodiscard]] std::int64_t number_of_parameters() const;
  [[nodiscard]] std::int64_t num_params() const;  ///< width of the parameter vector
  [[nodiscard]] const InvertibleNetwork& inference_net() const;
  [[nodiscard]] const SummaryNetwork* summary_net() const;  ///< null: none

  // Inference may be called by several threads at a time, also while a trainer trains, and by children of a fork.
  // It throws ShapeError for widths other than those of training, or no data sets, and ArgumentError for values that are not finite.

  /// `n_samples` draws for each data set: always (batch, n_samples, P). Memory beyond the result does not grow with it. With one
  /// seed the first draws are the same for any n_samples, and for any number of threads.
  [[nodiscard]] Array sample(const Inputs& inputs, std::int64_t n_samples, SampleOptions options = {}) const;
  /// The same draws as float32, which is what networks compute in, into memory of yours of batch * n_samples * P values: half the size.
  void sample_into(std::span<float> out, const Inputs& inputs, std::int64_t n_samples, SampleOptions options = {}) const;
  /// The same from given latent draws (batch, n_samples, P): the inverse of `forward`.
  [[nodiscard]] Array sample_from_latent(const Inputs& inputs, const Array& latent) const;
  /// log q(parameters | conditions): (batch), or (batch, n) for 3-D parameters.
  [[nodiscard]] Array log_posterior(const Inputs& inputs, std::vector<Foreign>* foreign = nullptr) const;
  /// How these data are unlike those of training, as `sample` and `log_posterior` say it. Empty if no trainer or file told what was seen.
  [[nodiscard]] std::vector<Foreign> foreign(const Inputs& inputs) const;
  /// What the networks have seen in training: set by trainers, and kept in model files. Null: nothing is known.
  [[nodiscard]] std::shared_ptr<const SeenData> seen() const override;
  void set_seen(const SeenData& seen) override;
  struct Forward {
    Array z, log_det_J;
  };
  /// Latents and log-determinants of given parameters.
  [[nodiscard]] Forward forward(const Inputs& inputs) const;
  /// Outputs of the summary network: (batch, summary_dim).
  [[nodiscard]] Array summary(const Inputs& inputs) const;
  /// Mean loss without dropout, with "weight_decay" as its last term.
  [[nodiscard]] LossTerms compute_loss(const Inputs& inputs) const;

  /// Writes everything that `load_amortizer` needs: see model_file.hpp.
  void save(const std::filesystem::path& path) const;
  void save(const std::filesystem::path& path, const SaveAmortizerOptions& options) const;

  [[nodiscard]] const AmortizedPosteriorOptions& options() const;
  [[nodiscard]] const BuiltFor& built_for() const;

  // --- for trainers and tests ---
  [[nodiscard]] std::vector<std::string> loss_names() const override;
  [[nodiscard]] LossTensors loss(Tape& tape, const Inputs& inputs) const override;
  void update_state() override;
  /// Names parameters whose posterior is about as wide as the prior: a stalled run.
  [[nodiscard]] std::vector<std::string> review(const Inputs& held_out, const std::vector<std::string>& names) const override;
  [[nodiscard]] Array summaries_of(const Inputs& inputs) const override;
  [[nodiscard]] std::vector<double> losses_of(const Inputs& inputs) const override;
  [[nodiscard]] bool standardizes_parameters() const override;
  [[nodiscard]] nn::ParameterStore& store() override;
  [[nodiscard]] const nn::ParameterStore& store() const override;
  /// Calls of `sample` without a seed.
  [[nodiscard]] std::uint64_t unseeded_calls() const;
  void set_unseeded_calls(std::uint64_t count);

 private:
  [[nodiscard]] Tensor condition(Tape& tape, const Inputs& inputs, Tensor* summary = nullptr) const;
  void require_built(const char* what) const;
  /// What `of_flow` makes of the flow's result, for every row of the given parameters.
  using OfFlow = Tensor (*)(const Latent& latent, const ops::Transformed& flow);
  [[nodiscard]] Array evaluate(const char* what, const Inputs& inputs, OfFlow of_flow, std::vector<Foreign>* foreign = nullptr) const;
  void look_for_foreign(const Inputs& inputs, const Tensor& summary, std::vector<Foreign>& found) const;
  [[nodiscard]] bool looks_for_foreign(const std::vector<Foreign>* to) const { return to || options().logger; }
  void tell(std::vector<Foreign> found, std::vector<Foreign>* to) const;
  /// Fills the latents (draws, P) of a data set from a first draw on.
  using FillLatent = std::function<void(std::int64_t data_set, std::int64_t first, std::span<float> z)>;
  [[nodiscard]] FillLatent latent_draws(std::int64_t n_samples, const Inputs& inputs, std::uint64_t seed) const;
  [[nodiscard]] std::uint64_t seed_of(const SampleOptions& options) const;
  template <class Number>
  void invert(const Inputs& inputs, std::int64_t n_samples, SampleOptions options, const FillLatent& latent, Number* out,
              bool look = true) const;

  class Pass;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bayesflow
