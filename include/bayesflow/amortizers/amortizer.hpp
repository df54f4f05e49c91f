/// What all amortizers are made of: an inference network, a summary network where there is one, and their weights.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/adapter/adapter.hpp"
#include "bayesflow/amortizers/amortizer_base.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/data/batch.hpp"
#include "bayesflow/data/configurator.hpp"
#include "bayesflow/data/seen_data.hpp"
#include "bayesflow/networks/inference_network.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/training/trainable.hpp"

namespace bayesflow {

/// Settings of an amortizer.
struct AmortizerOptions {
  std::optional<Latent> latent = {};       ///< of a normalizing flow; none: as the network has it (standard normal)
  double summary_mmd_weight = 0.0;         ///< > 0: this times MMD^2 between summaries and as many standard normals is added to the loss
  std::optional<std::uint64_t> seed = {};  ///< of initialization; none: the trainer's
  std::optional<std::uint64_t> inference_seed = {}, summary_seed = {};  ///< of one network alone; none: `seed`
  int threads = 0;                                                      ///< for draws and densities; 0: as many as the machine has
  Logger logger = {};                                                   ///< receives warnings about data unlike those of training
  std::optional<Adapter> adapter = {};  ///< what simulations go through in training, and draws and densities of raw data; none: nothing
  Precision precision = Precision::float32;  ///< of draws, densities, summaries, not of training: that is the trainer's
};

/// Settings of a sampling call, and of others that may need random numbers.
struct SampleOptions {
  /// The same seed gives the same draws. None: the number of the call among those without a seed (0, 1, 2, ...), which copies of an
  /// amortizer share. So calls in a row give new draws, the same in every run of a program.
  std::optional<std::uint64_t> seed = {};
  std::vector<Foreign>* foreign = nullptr;  ///< receives how data and draws are unlike those of training; null: the amortizer's logger does
  std::optional<Precision> precision = {};  ///< none: the amortizer's. ArgumentError if the networks have no layer that bfloat16 changes
};

/// Which blocks of a batch an amortizer reads, and as what.
struct AmortizerKind {
  const char* name;     ///< of the class, in messages and files
  const char* target;   ///< role of what is learnt
  const char* summary;  ///< role that the summary network is given; null: there is no summary network
  const char* direct;   ///< role of conditions that are taken as they are
  const char* density;  ///< name of the density's function, in messages
  Batch (*configure)(const Simulations&) = default_configurator;  ///< what simulations become
  const char* target_field = "prior_draws";  ///< which of their fields becomes the target; null: none that an adapter inverts
};

/// q(target | summary_net(summary conditions), direct conditions). Networks are copied into it: it has weights of its own. Copies of an
/// amortizer are handles of the same networks and weights. AmortizedPosterior and AmortizedLikelihood say what is learnt given what.
///
/// Loss terms: "loss", the mean of the inference network's loss; "summary_loss" with summary_mmd_weight > 0.
class Amortizer : public AmortizerBase {
 public:
  /// Infers all widths from a first batch and initializes the weights, with the seed of the options, else this one, else 0. The trainer
  /// does it in its consistency check with its own seed. Threads that build at the same time wait for the first; networks that call it
  /// while they are being built get a ConfigurationError.
  void build(const Batch& first, std::optional<std::uint64_t> seed = {}) override;
  void build(const BatchShapes& shapes, std::optional<std::uint64_t> seed = {}) override;
  [[nodiscard]] bool is_built() const override;
  [[nodiscard]] const BatchShapes& built_for() const;  ///< shapes of the first batch
  [[nodiscard]] std::int64_t num_weights() const override;
  [[nodiscard]] const char* class_name() const override { return kind().name; }
  [[nodiscard]] bool reads(std::string_view role) const override;
  [[nodiscard]] std::int64_t summary_width() const override;
  [[nodiscard]] std::int64_t target_width() const;
  [[nodiscard]] const InferenceNetwork& inference_net() const;
  [[nodiscard]] const SummaryNetwork* summary_net() const;  ///< null: none
  [[nodiscard]] const AmortizerOptions& options() const;
  [[nodiscard]] const AmortizerKind& kind() const;

  // Inference may be called by several threads at a time, also while a trainer trains, and by children of a fork.
  // It throws ShapeError for widths other than those of training, or no data sets, and ArgumentError for values that are not finite.

  /// Outputs of the summary network: (batch, summary_dim).
  [[nodiscard]] Array summary(const Batch& batch) const;
  [[nodiscard]] LossTerms compute_loss(const Batch& batch) const override;
  [[nodiscard]] std::vector<Foreign> foreign(const Batch& batch) const override;
  [[nodiscard]] DataCheck check(const Batch& batch, const CheckOptions& options = {}) const override;
  /// Of raw data, which go through the adapter.
  [[nodiscard]] DataCheck check(const Simulations& data, const CheckOptions& options = {}) const;
  void set_check_level(double level) override;
  [[nodiscard]] double check_level() const override;
  /// What the networks have seen in training: set by trainers, and kept in model files. Null: nothing is known.
  [[nodiscard]] std::shared_ptr<const SeenData> seen() const override;
  void set_seen(const SeenData& seen) override;

  /// The adapter, fitted once a trainer has begun; null: there is none.
  [[nodiscard]] std::shared_ptr<const Adapter> adapter() const;
  /// Simulations, or observed data in their form, as the networks get them: through the adapter, if there is one.
  [[nodiscard]] Batch configure(const Simulations& simulations) const override;

  // --- for trainers and tests ---
  [[nodiscard]] std::vector<std::string> loss_names() const override;
  [[nodiscard]] LossTensors loss(Tape& tape, const Batch& batch) const override;
  void update_state() override;
  [[nodiscard]] Array summaries_of(const Batch& batch) const override;
  [[nodiscard]] std::vector<double> losses_of(const Batch& batch) const override;
  [[nodiscard]] bool standardizes_parameters() const override;
  [[nodiscard]] nn::ParameterStore& store() override;
  [[nodiscard]] const nn::ParameterStore& store() const override;  ///< of a part of a group: the group's
  void require_trainable() const override;
  [[nodiscard]] const std::string& place() const;  ///< in a group's store, its weights' names begin with this and a dot; empty: no group
  [[nodiscard]] double weight_decay() const override;
  [[nodiscard]] std::int64_t pilot() const override;
  std::vector<std::string> fit(std::span<const Simulations> first, const std::vector<std::string>& param_names) override;
  [[nodiscard]] bool fills_missing() const override;
  [[nodiscard]] std::vector<std::string> adapters() const override;
  void set_adapters(std::span<const std::string> described) override;
  /// Calls of `sample` without a seed.
  [[nodiscard]] std::uint64_t unseeded_calls() const;
  void set_unseeded_calls(std::uint64_t count);

 protected:
  /// The networks become the amortizer's own.
  Amortizer(const AmortizerKind& kind, std::shared_ptr<InferenceNetwork> inference_net, std::shared_ptr<SummaryNetwork> summary_net,
            AmortizerOptions options);
  /// Another handle of `other`. Throws ConfigurationError if that is of another kind.
  Amortizer(const AmortizerKind& kind, const Amortizer& other);

  void join(const std::shared_ptr<nn::ParameterStore>& store, const std::string& place, const nn::ParameterStore* from) override;

  // The verbs of amortizers, under the names that they give them.
  [[nodiscard]] Array draws(const Batch& batch, std::int64_t n_samples, SampleOptions options) const;
  void draws_into(std::span<float> out, const Batch& batch, std::int64_t n_samples, SampleOptions options) const;
  [[nodiscard]] Array log_density(const Batch& batch, std::vector<Foreign>* foreign) const;
  /// The same of raw data, which go through the adapter, in the user's units. Throw ConfigurationError without an adapter.
  [[nodiscard]] Array draws(const Simulations& data, std::int64_t n_samples, SampleOptions options) const;
  [[nodiscard]] Array log_density(const Simulations& data, std::vector<Foreign>* foreign) const;
  /// The inference network's outputs for every data set, (batch, W); `function` is the caller's name, in messages. The seed is that of
  /// dropout that stays active.
  [[nodiscard]] Array outputs(const char* function, const Batch& batch, SampleOptions options) const;
  /// The same of raw data, in the networks' numbers; `adapted` becomes what the adapter needs for the other direction.
  [[nodiscard]] Array outputs(const char* function, const Simulations& data, SampleOptions options, Adapted& adapted) const;
  struct Latents {
    Array z, log_det_J;
  };  ///< Latents of the targets, and the log-determinants of their Jacobians
  [[nodiscard]] Latents latents(const Batch& batch) const;
  [[nodiscard]] Array draws_from_latent(const Batch& batch, const Array& latent) const;
  struct DensityGradient {
    Array log_density;  ///< as log_density gives it
    Array gradient;     ///< of its sum over the rows of a data set, by the direct conditions: of their shape
  };                    ///< A log density and its gradient
  /// Without a summary network.
  [[nodiscard]] DensityGradient density_gradient(const char* what, const Batch& batch) const;

 private:
  friend struct AmortizerAccess;
  friend class TwoLevelAmortizedPosterior;
  /// What a summary network makes of its input; other than `forward` where several of its outputs are wanted.
  using Summarize = Tensor (*)(const SummaryNetwork& net, Tape& tape, const SummaryInput& input);
  [[nodiscard]] static Tensor forward_of(const SummaryNetwork& net, Tape& tape, const SummaryInput& input);
  [[nodiscard]] Tensor condition(Tape& tape, const Batch& batch, Tensor* summary = nullptr) const;
  [[nodiscard]] Tensor summarize(Tape& tape, const Batch& batch, Summarize by = forward_of) const;
  [[nodiscard]] Array summary_by(const Batch& batch, Summarize by) const;
  /// The inference network's loss of every row of targets.
  [[nodiscard]] Tensor losses(Tape& tape, Tensor targets, Tensor condition) const;
  /// Direct conditions (batch, n, c): one draw for each row, (batch, n, D).
  [[nodiscard]] Array draws_each(const Batch& batch, SampleOptions options) const;
  [[nodiscard]] const NormalizingFlow& flow(const char* what) const;
  void require_built(const char* what) const;
  [[nodiscard]] std::shared_ptr<const Adapter> require_adapter(const char* what) const;
  void require_valid(const Batch& batch, const char* what) const;
  void check_roles(const BatchShapes& shapes) const;
  /// What `make` records for a part of the targets, for every row of them.
  template <class Make>
  [[nodiscard]] Array evaluate(const char* what, const Batch& batch, std::vector<Foreign>* foreign, const Make& make) const;
  /// `typical`: what is known of the data sets as a whole; null: it is looked for at the level of checks.
  void look_for_foreign(const Batch& batch, const Tensor& summary, std::vector<Foreign>& found, Typical* typical = nullptr) const;
  [[nodiscard]] std::shared_ptr<const Typicality> typicality() const;
  [[nodiscard]] bool looks_for_foreign(const std::vector<Foreign>* to) const { return to || options().logger; }
  void tell(std::vector<Foreign> found, std::vector<Foreign>* to) const;
  [[nodiscard]] std::uint64_t seed_of(const SampleOptions& options) const;
  void check_draws(const Batch& batch, std::int64_t n_samples) const;
  template <class Number>
  void make_draws(const Batch& batch, std::int64_t n_samples, SampleOptions options, const Array* latent, Number* out) const;

  class Pass;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bayesflow
