/// Posterior amortizers.
#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "module.hpp"
#include "networks.hpp"

namespace bayesflow::python {
namespace {

std::optional<Latent> latent_from(const std::optional<double>& student_t_df) {
  return student_t_df ? std::optional(student_t_latent(*student_t_df)) : std::nullopt;
}

/// f on inputs, without the GIL.
template <class F>
auto without_gil(F&& f) {
  const nb::gil_scoped_release nogil;
  return f();
}

/// f on the weights of one training step. The GIL is released first: a thread that waits for the lock with the GIL held could block the
/// thread that holds the lock.
template <class F>
auto reading(const AmortizedPosterior& amortizer, F&& f) {
  const nb::gil_scoped_release nogil;
  const nn::WeightLock::Reading lock(amortizer.store().lock());
  return f();
}

const NormalizingFlow& flow_of(const AmortizedPosterior& amortizer) {
  return dynamic_cast<const NormalizingFlow&>(amortizer.inference_net());
}

}  // namespace

void bind_amortizers(nb::module_& m) {
  using Maybe = std::optional<Array>;
  using Seed = std::optional<std::uint64_t>;
  nb::class_<Foreign>(m, "Foreign", "One way in which data sets, or draws, are unlike those of training.")
      .def_prop_ro("kind",
                   [](const Foreign& f) {
                     constexpr const char* kNames[] = {"size", "count", "values", "averages", "summaries", "draws"};
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
  nb::class_<AmortizedPosterior>(m, "AmortizedPosterior")
      .def(
          "__init__",
          [](AmortizedPosterior* self, const InvertibleNetworkOptions& flow, const SummaryFactory* summary, std::optional<double> df,
             double summary_mmd_weight, Seed seed, Seed inference_seed, Seed summary_seed, int threads) {
            new (self) AmortizedPosterior(InvertibleNetwork(flow), summary ? summary->make() : std::shared_ptr<SummaryNetwork>(),
                                          {.latent = latent_from(df),
                                           .summary_mmd_weight = summary_mmd_weight,
                                           .seed = seed,
                                           .inference_seed = inference_seed,
                                           .summary_seed = summary_seed,
                                           .threads = threads});
          },
          "flow"_a, "summary"_a.none(), "student_t_df"_a.none(), "summary_mmd_weight"_a, "seed"_a.none(), "inference_seed"_a.none(),
          "summary_seed"_a.none(), "threads"_a)
      .def(
          "build",
          [](AmortizedPosterior& self, const nb::dict& inputs) {
            const BatchShapes shapes = shapes_of(batch_of(inputs));
            without_gil([&] { self.build(shapes); });
          },
          "inputs"_a)
      .def_prop_ro("is_built", &AmortizedPosterior::is_built)
      .def_prop_ro("number_of_parameters", &AmortizedPosterior::num_weights)
      .def_prop_ro("num_params", &AmortizedPosterior::num_params)
      .def_prop_ro("latent", [](const AmortizedPosterior& self) { return flow_of(self).latent().name; })
      .def_prop_ro("summary_mmd_weight", [](const AmortizedPosterior& self) { return self.options().summary_mmd_weight; })
      .def_prop_ro("has_summary_net", [](const AmortizedPosterior& self) { return self.summary_net() != nullptr; })
      .def(
          "sample",
          [](const AmortizedPosterior& self, const nb::dict& inputs, std::int64_t n_samples, std::optional<std::uint64_t> seed) {
            const Batch batch = batch_of(inputs);
            std::vector<Foreign> foreign;
            nb::object draws = new_float32({batch.batch_size(), n_samples, self.num_params()}, [&](std::span<float> out) {
              without_gil([&] { self.sample_into(out, batch, n_samples, {.seed = seed, .foreign = &foreign}); });
            });
            return nb::make_tuple(draws, std::move(foreign));
          },
          "inputs"_a, "n_samples"_a, "seed"_a.none())
      .def_prop_rw("unseeded_calls", &AmortizedPosterior::unseeded_calls, &AmortizedPosterior::set_unseeded_calls)
      .def(
          "log_posterior",
          [](const AmortizedPosterior& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            std::vector<Foreign> foreign;
            nb::object out = to_numpy_float32(without_gil([&] { return self.log_posterior(batch, &foreign); }));
            return nb::make_tuple(out, std::move(foreign));
          },
          "inputs"_a)
      .def(
          "foreign",
          [](const AmortizedPosterior& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            return without_gil([&] { return self.foreign(batch); });
          },
          "inputs"_a)
      .def(
          "forward",
          [](const AmortizedPosterior& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            const auto out = without_gil([&] { return self.forward(batch); });
            return nb::make_tuple(to_numpy_float32(out.z), to_numpy_float32(out.log_det_J));
          },
          "inputs"_a)
      .def(
          "summary",
          [](const AmortizedPosterior& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            return to_numpy_float32(without_gil([&] { return self.summary(batch); }));
          },
          "inputs"_a)
      .def(
          "compute_loss",
          [](const AmortizedPosterior& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            const LossTerms losses = without_gil([&] { return self.compute_loss(batch); });
            return nb::make_tuple(losses["loss"], losses["summary_loss"], losses[kWeightDecay]);
          },
          "inputs"_a)
      .def(
          "run_summary_net",
          [](const AmortizedPosterior& self, const Array& x) {
            return to_numpy_float32(reading(self, [&] { return run_summary(*self.summary_net(), x); }));
          },
          "x"_a)
      .def(
          "run_flow",
          [](const AmortizedPosterior& self, const Array& targets, const Maybe& condition) {
            const FlowResult out = reading(self, [&] { return run_flow(flow_of(self), targets, condition); });
            return nb::make_tuple(to_numpy_float32(out.z), to_numpy_float32(out.log_det_J));
          },
          "targets"_a, "condition"_a.none())
      .def(
          "run_inverse",
          [](const AmortizedPosterior& self, const Array& latent, const Maybe& condition) {
            return to_numpy_float32(reading(self, [&] { return run_inverse(flow_of(self), latent, condition); }));
          },
          "latent"_a, "condition"_a.none())
      .def("weights", [](const AmortizedPosterior& self) { return weights_of(self.store()); })
      .def("buffers", [](const AmortizedPosterior& self) { return buffers_of(self.store()); })
      .def(
          "save",
          [](const AmortizedPosterior& self, const std::string& path, const std::string& description, std::vector<std::string> param_names,
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
            const nb::gil_scoped_release nogil;
            save_amortizer(self, path_of(path), options);
          },
          "path"_a, "description"_a, "param_names"_a, "constants"_a, "simulations"_a = 0, "final_loss"_a.none() = nb::none(),
          "final_validation_loss"_a.none() = nb::none(), "seed"_a = 0);
  m.def(
      "load_amortizer",
      [](const std::string& path, int threads, bool verify) {
        auto loaded = without_gil([&] { return load_amortizer_file(path_of(path), {.threads = threads, .verify = verify}); });
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
        return nb::make_tuple(std::move(loaded.amortizer), info);
      },
      "path"_a, "threads"_a, "verify"_a);
}

}  // namespace bayesflow::python
