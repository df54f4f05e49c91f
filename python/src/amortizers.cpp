/// Amortizers.
#include "amortizers.hpp"

#include <fmt/format.h>

#include <type_traits>

#include "bayesflow/amortizers/ensemble.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/diagnostics/local_calibration.hpp"
#include "bayesflow/mcmc/sampler.hpp"
#include "module.hpp"
#include "networks.hpp"

namespace bayesflow::python {
namespace {

std::optional<Latent> latent_from(const std::optional<double>& student_t_df) {
  return student_t_df ? std::optional(student_t_latent(*student_t_df)) : std::nullopt;
}

/// f on the weights of one training step. The GIL is released first: a thread that waits for the lock with the GIL held could block the
/// thread that holds the lock.
template <class F>
auto reading(const Amortizer& amortizer, F&& f) {
  const nb::gil_scoped_release nogil;
  const nn::WeightLock::Reading lock(amortizer.store().lock());
  return f();
}

/// Python calls it for flows only.
const NormalizingFlow& flow_of(const Amortizer& amortizer) { return *amortizer.inference_net().as_flow(); }

using Seed = std::optional<std::uint64_t>;
using PrecisionName = std::optional<std::string>;

/// The name of a precision is one that Python has looked at.
SampleOptions sample_options(Seed seed, const PrecisionName& precision, std::vector<Foreign>& foreign) {
  SampleOptions options{.seed = seed, .foreign = &foreign};
  for (const auto& [item, name] : names_of(Precision()))
    if (precision && *precision == name) options.precision = item;
  return options;
}

std::optional<Adapter> given(const Adapter* adapter) { return adapter ? std::optional(*adapter) : std::nullopt; }

/// A class of amortizers: what is public under the names of its own.
template <class A>
void bind_class(nb::module_& m, Array (A::*log_density)(const Batch&, std::vector<Foreign>*) const) {
  nb::class_<A, Amortizer> bound(m, A::kKind.name);
  bound
      .def(
          "__init__",
          [](A* self, const InvertibleNetworkOptions& flow, const SummaryFactory* summary, std::optional<double> df,
             double summary_mmd_weight, Seed seed, Seed inference_seed, Seed summary_seed, int threads, const Adapter* adapter) {
            const AmortizerOptions options{.latent = latent_from(df),
                                           .summary_mmd_weight = summary_mmd_weight,
                                           .seed = seed,
                                           .inference_seed = inference_seed,
                                           .summary_seed = summary_seed,
                                           .threads = threads,
                                           .adapter = given(adapter)};
            if constexpr (std::is_same_v<A, AmortizedPosterior>)
              new (self) A(InvertibleNetwork(flow), summary ? summary->make() : std::shared_ptr<SummaryNetwork>(), options);
            else
              new (self) A(InvertibleNetwork(flow), options);
          },
          "flow"_a, "summary"_a.none(), "student_t_df"_a.none(), "summary_mmd_weight"_a, "seed"_a.none(), "inference_seed"_a.none(),
          "summary_seed"_a.none(), "threads"_a, "adapter"_a.none())
      .def(
          "__init__",
          [](A* self, const InferenceFactory& inference, const SummaryFactory* summary, std::optional<double> df, double summary_mmd_weight,
             Seed seed, Seed inference_seed, Seed summary_seed, int threads, const Adapter* adapter) {
            const AmortizerOptions options{.latent = latent_from(df),
                                           .summary_mmd_weight = summary_mmd_weight,
                                           .seed = seed,
                                           .inference_seed = inference_seed,
                                           .summary_seed = summary_seed,
                                           .threads = threads,
                                           .adapter = given(adapter)};
            if constexpr (std::is_same_v<A, AmortizedPosterior>)
              new (self) A(inference.make(), summary ? summary->make() : std::shared_ptr<SummaryNetwork>(), options);
            else
              new (self) A(inference.make(), options);
          },
          "inference"_a, "summary"_a.none(), "student_t_df"_a.none(), "summary_mmd_weight"_a, "seed"_a.none(), "inference_seed"_a.none(),
          "summary_seed"_a.none(), "threads"_a, "adapter"_a.none())
      .def(
          "sample",
          [](const A& self, const nb::dict& inputs, std::int64_t n_samples, Seed seed, const PrecisionName& precision) {
            const Batch batch = batch_of(inputs);
            std::vector<Foreign> foreign;
            const SampleOptions options = sample_options(seed, precision, foreign);
            nb::object draws = new_float32({batch.batch_size(), n_samples, self.target_width()}, [&](std::span<float> out) {
              unlocked([&] { self.sample_into(out, batch, n_samples, options); });
            });
            return nb::make_tuple(draws, std::move(foreign));
          },
          "inputs"_a, "n_samples"_a, "seed"_a.none(), "precision"_a.none() = nb::none())
      .def(
          "log_density",
          [log_density](const A& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            std::vector<Foreign> foreign;
            nb::object out = to_numpy_float32(unlocked([&] { return (self.*log_density)(batch, &foreign); }));
            return nb::make_tuple(out, std::move(foreign));
          },
          "inputs"_a)
      .def(
          "forward",
          [](const A& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            const auto out = unlocked([&] { return self.forward(batch); });
            return nb::make_tuple(to_numpy_float32(out.z), to_numpy_float32(out.log_det_J));
          },
          "inputs"_a);
  bound
      .def(
          "sample_raw",
          [](const A& self, const nb::dict& data, std::int64_t n_samples, Seed seed, const PrecisionName& precision) {
            const Simulations simulations = simulations_from(data);
            std::vector<Foreign> foreign;
            const SampleOptions options = sample_options(seed, precision, foreign);
            Array draws = unlocked([&] { return self.sample(simulations, n_samples, options); });
            return nb::make_tuple(to_numpy(std::move(draws)), std::move(foreign));
          },
          "data"_a, "n_samples"_a, "seed"_a.none(), "precision"_a.none() = nb::none())
      .def(
          "log_density_raw",
          [](const A& self, const nb::dict& data) {
            const Simulations simulations = simulations_from(data);
            std::vector<Foreign> foreign;
            Array out = unlocked([&] {
              if constexpr (std::is_same_v<A, AmortizedPosterior>)
                return self.log_posterior(simulations, &foreign);
              else
                return self.log_likelihood(simulations, &foreign);
            });
            return nb::make_tuple(to_numpy(std::move(out)), std::move(foreign));
          },
          "data"_a);
  if constexpr (std::is_same_v<A, AmortizedLikelihood>)
    bound.def(
        "log_likelihood_gradient",
        [](const A& self, const nb::dict& inputs) {
          const Batch batch = batch_of(inputs);
          auto out = unlocked([&] { return self.log_likelihood_gradient(batch); });
          return nb::make_tuple(to_numpy(std::move(out.log_density)), to_numpy(std::move(out.gradient)));
        },
        "inputs"_a);
}

/// What f(batch, options) gives, and how the data are unlike those of training.
template <class F>
nb::tuple with_foreign(const nb::dict& inputs, Seed seed, F&& f) {
  const Batch batch = batch_of(inputs);
  std::vector<Foreign> foreign;
  const Array out = unlocked([&] { return f(batch, SampleOptions{.seed = seed, .foreign = &foreign}); });
  return nb::make_tuple(to_numpy_float32(out), std::move(foreign));
}

/// A class of amortizers whose inference network answers without draws.
template <class A>
nb::class_<A, Amortizer> bind_class_with_outputs(nb::module_& m) {
  return nb::class_<A, Amortizer>(m, A::kKind.name)
      .def(
          "__init__",
          [](A* self, const InferenceFactory& inference, const SummaryFactory* summary, std::optional<double> /*df*/,
             double summary_mmd_weight, Seed seed, Seed inference_seed, Seed summary_seed, int threads, const Adapter* adapter) {
            new (self) A(inference.make(), summary ? summary->make() : std::shared_ptr<SummaryNetwork>(),
                         AmortizerOptions{.summary_mmd_weight = summary_mmd_weight,
                                          .seed = seed,
                                          .inference_seed = inference_seed,
                                          .summary_seed = summary_seed,
                                          .threads = threads,
                                          .adapter = given(adapter)});
          },
          "inference"_a, "summary"_a.none(), "student_t_df"_a.none(), "summary_mmd_weight"_a, "seed"_a.none(), "inference_seed"_a.none(),
          "summary_seed"_a.none(), "threads"_a, "adapter"_a.none());
}

/// What `of_store` makes of the stores of all parts, by their names: {"posterior.inference_net...": ...}.
template <class OfStore>
nb::dict by_name(const AmortizerBase& amortizer, const OfStore& of_store, const std::string& place = "") {
  nb::dict out;
  if (const auto* group = dynamic_cast<const AmortizerGroup*>(&amortizer)) {
    for (const AmortizerGroup::Part& part : group->parts()) out.update(by_name(*part.amortizer, of_store, place + part.name + "."));
    return out;
  }
  const auto& single = dynamic_cast<const Amortizer&>(amortizer);
  const std::string in_store = single.place().empty() ? "" : single.place() + ".";
  for (const auto& [key, value] : of_store(single.store())) {
    const auto name = nb::cast<std::string>(key);
    if (name.starts_with(in_store)) out[(place + name.substr(in_store.size())).c_str()] = value;
  }
  return out;
}

/// A log density of Python: (n, P) -> (n).
LogPrior log_prior_of(nb::callable function) {
  return [function = std::move(function)](const Array& theta) {
    const nb::gil_scoped_acquire gil;
    try {
      return nb::cast<Array>(function(to_numpy(theta)));
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  };
}

template <class A>
nb::class_<Ensemble<A>, AmortizerGroup> bind_ensemble(nb::module_& m, const char* name) {
  using E = Ensemble<A>;
  return nb::class_<E, AmortizerGroup>(m, name)
      .def(nb::init<const std::vector<A>&>(), "members"_a)
      .def("member", &E::member, "index"_a)
      .def_prop_ro("size", [](const E& self) { return self.size(); });
}

/// An ensemble whose members have a density.
template <class A>
void bind_mixture(nb::module_& m, const char* name, Array (Ensemble<A>::*log_density)(const Batch&, std::vector<Foreign>*) const) {
  using E = Ensemble<A>;
  bind_ensemble<A>(m, name)
      .def(
          "sample",
          [](const E& self, const nb::dict& inputs, std::int64_t n_samples, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return self.sample(b, n_samples, o); });
          },
          "inputs"_a, "n_samples"_a, "seed"_a.none())
      .def(
          "log_density",
          [log_density](const E& self, const nb::dict& inputs) {
            return with_foreign(inputs, {}, [&](const Batch& b, SampleOptions o) { return (self.*log_density)(b, o.foreign); });
          },
          "inputs"_a);
}

/// An ensemble whose answer is the mean of its members' answers.
template <class A>
void bind_mean(nb::module_& m, const char* name, const char* verb, Array (Ensemble<A>::*answer)(const Batch&, SampleOptions) const) {
  bind_ensemble<A>(m, name).def(
      verb,
      [answer](const Ensemble<A>& self, const nb::dict& inputs, Seed seed) {
        return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return (self.*answer)(b, o); });
      },
      "inputs"_a, "seed"_a.none());
}

void bind_groups(nb::module_& m) {
  using Joint = AmortizedPosteriorLikelihood;
  nb::class_<Joint, AmortizerGroup>(m, Joint::kClass)
      .def(nb::init<const AmortizedPosterior&, const AmortizedLikelihood&>(), "posterior"_a, "likelihood"_a)
      .def_prop_ro("posterior", &Joint::posterior)
      .def_prop_ro("likelihood", &Joint::likelihood)
      .def(
          "log_marginal_likelihood",
          [](const Joint& self, const nb::dict& inputs, nb::callable log_prior, std::int64_t n_samples, Seed seed) {
            const Batch batch = batch_of(inputs);
            const LogPrior prior = log_prior_of(std::move(log_prior));
            std::vector<Foreign> foreign;
            MarginalLikelihood out = unlocked([&] {
              return self.log_marginal_likelihood(batch, prior, {.n_samples = n_samples, .sampling = {.seed = seed, .foreign = &foreign}});
            });
            return nb::make_tuple(to_numpy(std::move(out.value)), to_numpy(std::move(out.spread)), to_numpy(std::move(out.inside)),
                                  to_numpy(std::move(out.terms)), std::move(foreign));
          },
          "inputs"_a, "log_prior"_a, "n_samples"_a, "seed"_a.none());
  bind_mixture<AmortizedPosterior>(m, "EnsembleOfPosteriors", &Ensemble<AmortizedPosterior>::log_posterior);
  bind_mixture<AmortizedLikelihood>(m, "EnsembleOfLikelihoods", &Ensemble<AmortizedLikelihood>::log_likelihood);
  bind_mean<AmortizedModelComparison>(m, "EnsembleOfModelComparisons", "posterior_probs",
                                      &Ensemble<AmortizedModelComparison>::posterior_probs);
  bind_mean<AmortizedPointEstimator>(m, "EnsembleOfPointEstimators", "estimate", &Ensemble<AmortizedPointEstimator>::estimate);
  bind_ensemble<Joint>(m, "EnsembleOfJointAmortizers");
  bind_ensemble<TwoLevelAmortizedPosterior>(m, "EnsembleOfTwoLevelPosteriors");
}

/// Markov chains on a learned likelihood, and what they are worth.
void bind_mcmc(nb::module_& m) {
  m.def(
      "mcmc_posterior",
      [](const AmortizedLikelihood& likelihood, const Array& observables, nb::callable log_prior, std::optional<nb::callable> gradient,
         const std::optional<Array>& context, const Array& start, std::int64_t warmup, std::int64_t draws, double target_acceptance,
         std::uint64_t seed, const std::optional<Array>& lower, const std::optional<Array>& upper) {
        const LogPrior prior = log_prior_of(std::move(log_prior));
        const mcmc::LogPriorGradient slope = gradient ? mcmc::LogPriorGradient(log_prior_of(std::move(*gradient))) : nullptr;
        mcmc::Result r = unlocked([&] {
          return mcmc::sample(mcmc::posterior(likelihood, observables, prior, slope, context.value_or(Array())), start,
                              {.warmup = warmup,
                               .draws = draws,
                               .target_acceptance = target_acceptance,
                               .seed = seed,
                               .lower = lower.value_or(Array()),
                               .upper = upper.value_or(Array())});
        });
        nb::dict out;
        out["draws"] = to_numpy(std::move(r.draws));
        out["log_density"] = to_numpy(std::move(r.log_density));
        out["rhat"] = to_numpy(std::move(r.convergence.rhat));
        out["ess_bulk"] = to_numpy(std::move(r.convergence.ess_bulk));
        out["ess_tail"] = to_numpy(std::move(r.convergence.ess_tail));
        out["acceptance"] = r.acceptance;
        out["step"] = r.step;
        out["divergences"] = r.divergences;
        out["warnings"] = r.warnings;
        return out;
      },
      "likelihood"_a, "observables"_a, "log_prior"_a, "gradient"_a.none(), "context"_a.none(), "start"_a, "warmup"_a, "draws"_a,
      "target_acceptance"_a, "seed"_a, "lower"_a.none(), "upper"_a.none());
  m.def(
      "mcmc_convergence",
      [](const Array& draws) {
        mcmc::Convergence c = unlocked([&] { return mcmc::convergence_of(draws); });
        return nb::make_tuple(to_numpy(std::move(c.rhat)), to_numpy(std::move(c.ess_bulk)), to_numpy(std::move(c.ess_tail)));
      },
      "draws"_a);
}

}  // namespace

void bind_amortizers(nb::module_& m) {
  using Maybe = std::optional<Array>;
  nb::class_<Foreign>(m, "Foreign", "One way in which data sets, or draws, are unlike those of training.")
      .def_prop_ro("kind",
                   [](const Foreign& f) {
                     constexpr const char* kNames[] = {"size", "count", "values", "averages", "summaries", "distance", "draws"};
                     return kNames[static_cast<int>(f.kind)];
                   })
      .def_ro("name", &Foreign::name)
      .def_ro("low", &Foreign::low)
      .def_ro("high", &Foreign::high)
      .def_ro("seen_low", &Foreign::seen_low)
      .def_ro("seen_high", &Foreign::seen_high)
      .def_ro("share", &Foreign::share)
      .def_ro("sentence", &Foreign::sentence)
      .def("__repr__", [](const Foreign& f) { return "<Foreign: " + f.sentence + ">"; });
  nb::class_<Strangest>(m, "Strangest", "One number of a data set beside the same of the simulations.")
      .def_ro("name", &Strangest::name)
      .def_ro("value", &Strangest::value)
      .def_ro("low", &Strangest::low, "Quantile 0.025 of the simulations.")
      .def_ro("high", &Strangest::high, "Quantile 0.975 of the simulations.")
      .def_ro("alone", &Strangest::alone, "False: it is only strange beside the data set's other numbers.")
      .def("__repr__",
           [](const Strangest& s) { return fmt::format("<{}: {:.4g}, of simulations {:.4g} to {:.4g}>", s.name, s.value, s.low, s.high); });
  const auto numbers = [](const std::vector<double>& values) -> nb::object {
    return values.empty() ? nb::none() : to_numpy(Array({static_cast<std::int64_t>(values.size())}, values));
  };
  nb::class_<DataCheck>(m, "DataCheck", "How data sets, and draws for them, compare with what was seen in training.")
      .def_ro("reference", &DataCheck::reference, "Held-out simulations that p-values are ranks among; 0: none are known.")
      .def_prop_ro(
          "p_values", [=](const DataCheck& c) { return numbers(c.typical.p_values); },
          "Of each data set, (B): that it is one more simulation. None without a reference.")
      .def_prop_ro(
          "p_data", [=](const DataCheck& c) { return numbers(c.typical.p_data); }, "By the features of the data alone, (B).")
      .def_prop_ro(
          "p_summaries", [=](const DataCheck& c) { return numbers(c.typical.p_summaries); },
          "By the outputs of the summary network alone, (B). None without one.")
      .def_prop_ro(
          "p_value", [](const DataCheck& c) { return c.typical.p_value; }, "That all data sets are simulations (Simes).")
      .def_prop_ro(
          "p_together", [](const DataCheck& c) { return c.typical.p_together; },
          "That they are independent simulations, as a whole (Fisher). Says nothing where they are copies, or all of one kind.")
      .def_prop_ro(
          "strangest", [](const DataCheck& c) { return c.typical.strangest; }, "Of each data set, the number that is furthest off.")
      .def_ro("foreign", &DataCheck::foreign, "What draws warn of.")
      .def_prop_ro(
          "outside", [](const DataCheck& c) -> nb::object { return c.outside.empty() ? nb::none() : to_numpy(c.outside); },
          "(B, P): share of draws outside the range of each parameter in training, the prior's support. None without draws.");
  nb::class_<LocalCalibration>(m, "LocalCalibration", "What simulations near one data set say about its posterior.")
      .def_ro("p_value", &LocalCalibration::p_value, "That the posterior is calibrated there, over all parameters (Bonferroni).")
      .def_prop_ro(
          "p_values", [=](const LocalCalibration& c) { return numbers(c.p_values); }, "(P): of each parameter.")
      .def_prop_ro(
          "ranks", [](const LocalCalibration& c) { return to_numpy(c.ranks); }, "(num_near, P): draws below the truth.")
      .def_ro("near", &LocalCalibration::near, "Which simulations, the nearest first.")
      .def_ro("share", &LocalCalibration::share, "Of the simulations that were looked at: how local the answer is.")
      .def_ro("num_simulations", &LocalCalibration::num_simulations, "That were given.")
      .def_prop_ro(
          "verdict", [](const LocalCalibration& c) { return c.verdict; }, "What is wrong there: see diagnostics.verdict.");
  m.def(
      "local_calibration",
      [](const AmortizedPosterior& amortizer, const nb::dict& observed, const nb::dict& simulated, std::int64_t num_near,
         std::int64_t n_samples, std::vector<std::string> param_names, std::uint64_t seed) {
        const Batch one = batch_of(observed), all = batch_of(simulated);
        return unlocked([&] {
          return local_calibration(amortizer, one, all,
                                   {.num_near = num_near, .n_samples = n_samples, .param_names = std::move(param_names), .seed = seed});
        });
      },
      "amortizer"_a, "observed"_a, "simulated"_a, "num_near"_a, "n_samples"_a, "param_names"_a, "seed"_a);
  nb::class_<AmortizerBase>(m, "AmortizerBase")
      .def_prop_rw("check_level", &AmortizerBase::check_level, &AmortizerBase::set_check_level)
      .def(
          "build",
          [](AmortizerBase& self, const nb::dict& inputs) {
            const BatchShapes shapes = shapes_of(batch_of(inputs));
            unlocked([&] { self.build(shapes, {}); });
          },
          "inputs"_a)
      .def_prop_ro("is_built", &AmortizerBase::is_built)
      .def_prop_ro("number_of_parameters", &AmortizerBase::num_weights)
      .def_prop_ro("class_name", &AmortizerBase::class_name)
      .def(
          "configure",
          [](const AmortizerBase& self, const nb::dict& data) {
            const Simulations simulations = simulations_from(data);
            return to_dict(unlocked([&] { return self.configure(simulations); }));
          },
          "data"_a)
      .def(
          "check",
          [](const AmortizerBase& self, const nb::dict& inputs, std::int64_t n_samples, std::uint64_t seed) {
            const Batch batch = batch_of(inputs);
            return unlocked([&] { return self.check(batch, {.n_samples = n_samples, .seed = seed}); });
          },
          "inputs"_a, "n_samples"_a, "seed"_a)
      .def(
          "foreign",
          [](const AmortizerBase& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            return unlocked([&] { return self.foreign(batch); });
          },
          "inputs"_a)
      .def(
          "compute_loss",
          [](const AmortizerBase& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            const LossTerms losses = unlocked([&] { return self.compute_loss(batch); });
            nb::dict out;
            for (std::size_t i = 0; i < losses.size(); ++i) out[losses.name(i).c_str()] = losses.value(i);
            return out;
          },
          "inputs"_a)
      .def("weights", [](const AmortizerBase& self) { return by_name(self, weights_of); })
      .def("buffers", [](const AmortizerBase& self) { return by_name(self, buffers_of); })
      .def(
          "save",
          [](const AmortizerBase& self, const std::string& path, const std::string& description, std::vector<std::string> param_names,
             std::map<std::string, Array> constants, std::int64_t simulations, std::optional<double> final_loss,
             std::optional<double> final_validation_loss, std::uint64_t seed) {
            SaveAmortizerOptions options;
            options.info.description = description;
            options.info.param_names = std::move(param_names);
            options.info.constants = std::move(constants);
            options.info.simulations = simulations;
            options.info.final_loss = final_loss;
            options.info.final_validation_loss = final_validation_loss;
            options.info.seed = seed;
            unlocked([&] { save_amortizer(self, path_of(path), options); });
          },
          "path"_a, "description"_a, "param_names"_a, "constants"_a, "simulations"_a = 0, "final_loss"_a.none() = nb::none(),
          "final_validation_loss"_a.none() = nb::none(), "seed"_a = 0);
  nb::class_<Amortizer, AmortizerBase>(m, "Amortizer")
      .def(
          "check_raw",
          [](const Amortizer& self, const nb::dict& data, std::int64_t n_samples, std::uint64_t seed) {
            const Simulations raw = simulations_from(data);
            return unlocked([&] { return self.check(raw, {.n_samples = n_samples, .seed = seed}); });
          },
          "data"_a, "n_samples"_a, "seed"_a)
      .def_prop_ro("target_width", &Amortizer::target_width)
      .def_prop_ro("latent",
                   [](const Amortizer& self) { return self.inference_net().as_flow() ? flow_of(self).latent().name : std::string(); })
      .def_prop_ro("inference_net", [](const Amortizer& self) { return self.inference_net().to_string(); })
      .def_prop_ro("summary_mmd_weight", [](const Amortizer& self) { return self.options().summary_mmd_weight; })
      .def_prop_ro("adapter",
                   [](const Amortizer& self) {
                     const auto adapter = self.adapter();
                     return adapter ? std::optional<Adapter>(*adapter) : std::nullopt;
                   })
      .def_prop_ro("has_summary_net", [](const Amortizer& self) { return self.summary_net() != nullptr; })
      .def_prop_rw("unseeded_calls", &Amortizer::unseeded_calls, &Amortizer::set_unseeded_calls)
      .def(
          "summary",
          [](const Amortizer& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            return to_numpy_float32(unlocked([&] { return self.summary(batch); }));
          },
          "inputs"_a)
      .def(
          "run_summary_net",
          [](const Amortizer& self, const std::vector<Array>& data) {
            return to_numpy_float32(reading(self, [&] { return run_summary(*self.summary_net(), data); }));
          },
          "data"_a)
      .def(
          "run_summary_levels",
          [](const Amortizer& self, const Array& x) { return to_list(reading(self, [&] { return run_levels(*self.summary_net(), x); })); },
          "x"_a)
      .def(
          "run_flow",
          [](const Amortizer& self, const Array& targets, const Maybe& condition) {
            const FlowResult out = reading(self, [&] { return run_flow(flow_of(self), targets, condition); });
            return nb::make_tuple(to_numpy_float32(out.z), to_numpy_float32(out.log_det_J));
          },
          "targets"_a, "condition"_a.none())
      .def(
          "run_inverse",
          [](const Amortizer& self, const Array& latent, const Maybe& condition) {
            return to_numpy_float32(reading(self, [&] { return run_inverse(flow_of(self), latent, condition); }));
          },
          "latent"_a, "condition"_a.none())
      .def(
          "run_velocity",
          [](const Amortizer& self, const Array& x, const Array& times, const Maybe& condition) {
            return to_numpy_float32(reading(self, [&] { return run_velocity(self.inference_net(), x, times, condition); }));
          },
          "x"_a, "times"_a, "condition"_a.none())
      .def(
          "run_outputs",
          [](const Amortizer& self, const Array& condition, std::uint64_t seed) {
            return to_numpy(reading(self, [&] { return run_outputs(self.inference_net(), condition, seed); }));
          },
          "condition"_a, "seed"_a);
  nb::class_<AmortizerGroup, AmortizerBase>(m, "AmortizerGroup");
  bind_class<AmortizedPosterior>(m, &AmortizedPosterior::log_posterior);
  bind_class<AmortizedLikelihood>(m, &AmortizedLikelihood::log_likelihood);
  bind_groups(m);
  bind_mcmc(m);
  using Comparison = AmortizedModelComparison;
  bind_class_with_outputs<Comparison>(m)
      .def(
          "posterior_probs",
          [](const Comparison& self, const nb::dict& inputs, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return self.posterior_probs(b, o); });
          },
          "inputs"_a, "seed"_a.none())
      .def(
          "compute_logits",
          [](const Comparison& self, const nb::dict& inputs, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return self.compute_logits(b, o); });
          },
          "inputs"_a, "seed"_a.none())
      .def(
          "log_bayes_factors",
          [](const Comparison& self, const nb::dict& inputs, std::int64_t reference, std::vector<double> model_priors, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) {
              return self.log_bayes_factors(b, {.reference = reference, .model_priors = model_priors, .sample = o});
            });
          },
          "inputs"_a, "reference"_a, "model_priors"_a, "seed"_a.none())
      .def(
          "evidence",
          [](const Comparison& self, const nb::dict& inputs, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return self.evidence(b, o); });
          },
          "inputs"_a, "seed"_a.none())
      .def(
          "uncertainty",
          [](const Comparison& self, const nb::dict& inputs, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return self.uncertainty(b, o); });
          },
          "inputs"_a, "seed"_a.none())
      .def(
          "sample",
          [](const Comparison& self, const nb::dict& inputs, std::int64_t n_samples, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return self.sample(b, n_samples, o); });
          },
          "inputs"_a, "n_samples"_a, "seed"_a.none())
      .def(
          "log_density",
          [](const Comparison& self, const nb::dict& inputs) {
            return with_foreign(inputs, {}, [&](const Batch& b, SampleOptions o) { return self.log_prob(b, o.foreign); });
          },
          "inputs"_a);
  bind_class_with_outputs<AmortizedPointEstimator>(m)
      .def(
          "estimate",
          [](const AmortizedPointEstimator& self, const nb::dict& inputs, Seed seed) {
            return with_foreign(inputs, seed, [&](const Batch& b, SampleOptions o) { return self.estimate(b, o); });
          },
          "inputs"_a, "seed"_a.none())
      .def(
          "estimate_raw",
          [](const AmortizedPointEstimator& self, const nb::dict& data, Seed seed) {
            const Simulations simulations = simulations_from(data);
            std::vector<Foreign> foreign;
            Array out = unlocked([&] { return self.estimate(simulations, {.seed = seed, .foreign = &foreign}); });
            return nb::make_tuple(to_numpy(std::move(out)), std::move(foreign));
          },
          "data"_a, "seed"_a.none());
  using TwoLevel = TwoLevelAmortizedPosterior;
  nb::class_<TwoLevel, AmortizerGroup>(m, TwoLevel::kClass)
      .def(nb::init<const AmortizedPosterior&, const AmortizedPosterior&>(), "local_amortizer"_a, "global_amortizer"_a)
      .def_prop_ro("local", &TwoLevel::local)
      .def_prop_ro("global_", &TwoLevel::global)
      .def(
          "sample",
          [](const TwoLevel& self, const nb::dict& inputs, std::int64_t n_samples, Seed seed) {
            const Batch batch = batch_of(inputs);
            std::vector<Foreign> foreign;
            const TwoLevel::Draws draws = unlocked([&] { return self.sample(batch, n_samples, {.seed = seed, .foreign = &foreign}); });
            return nb::make_tuple(to_numpy_float32(draws.global), to_numpy_float32(draws.local), std::move(foreign));
          },
          "inputs"_a, "n_samples"_a, "seed"_a.none())
      .def(
          "log_densities",
          [](const TwoLevel& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            std::vector<Foreign> foreign;
            const TwoLevel::Densities out = unlocked([&] { return self.log_densities(batch, &foreign); });
            return nb::make_tuple(to_numpy_float32(out.global), to_numpy_float32(out.local), std::move(foreign));
          },
          "inputs"_a)
      .def(
          "forward",
          [](const TwoLevel& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            const TwoLevel::Forward out = unlocked([&] { return self.forward(batch); });
            return nb::make_tuple(to_numpy_float32(out.local_z), to_numpy_float32(out.local_log_det_J), to_numpy_float32(out.global.z),
                                  to_numpy_float32(out.global.log_det_J));
          },
          "inputs"_a);
  m.def(
      "load_amortizer",
      [](const std::string& path, int threads, bool verify) {
        auto loaded = unlocked([&] { return detail::load_model(path_of(path), {.threads = threads, .verify = verify}); });
        nb::dict info;
        info["description"] = loaded.info.description;
        info["param_names"] = loaded.info.param_names;
        info["simulations"] = loaded.info.simulations;
        info["final_loss"] = loaded.info.final_loss;
        info["final_validation_loss"] = loaded.info.final_validation_loss;
        info["seed"] = loaded.info.seed;
        nb::dict constants;
        for (auto& [name, value] : loaded.info.constants) constants[name.c_str()] = to_numpy(std::move(value));
        info["constants"] = constants;
        info["format_version"] = loaded.format_version;
        info["library_version"] = loaded.library_version;
        return nb::make_tuple(in_own_class(*loaded.amortizer, [](auto amortizer) { return nb::cast(std::move(amortizer)); }), info);
      },
      "path"_a, "threads"_a, "verify"_a);
}

}  // namespace bayesflow::python
