/// Options of networks from keyword arguments, and networks on their own.
#include "networks.hpp"

#include <algorithm>
#include <cmath>

#include "bayesflow/networks/coupling.hpp"
#include "described_dict.hpp"
#include "module.hpp"
#include "networks/registry.hpp"

namespace bayesflow::python {
namespace {

Array values_of(Tensor x) {
  Array out = uninitialized_array(x.shape());
  std::copy_n(x.data(), x.size(), out.data());
  if (std::ranges::any_of(out.values(), [](double value) { return !std::isfinite(value); }))
    throw ArgumentError(
        "the results of this network are not finite: its inputs must be finite, and small enough that the sums of float32 that it "
        "computes from them stay below 3.4e38; scale them to about mean 0 and standard deviation 1");
  return out;
}

CouplingDesign design_from(const std::string& name) {
  if (name == "affine") return CouplingDesign::affine;
  if (name == "spline") return CouplingDesign::spline;
  if (name == "interleaved") return CouplingDesign::interleaved;
  throw ConfigurationError("coupling_design must be \"affine\", \"spline\" or \"interleaved\"; got \"" + name + "\"");
}

PermutationKind permutation_from(const std::optional<std::string>& name) {
  if (!name) return PermutationKind::none;
  if (*name == "fixed") return PermutationKind::fixed;
  if (*name == "learnable") return PermutationKind::learnable;
  throw ConfigurationError("permutation must be \"fixed\", \"learnable\" or None; got \"" + *name + "\"");
}

SummaryFactory summary_network(const std::string& kind, const nb::dict& options) {
  SummaryFactory out;
  networks::for_each_summary_network([&]<class Net>(const char* name) {
    if (kind != name) return;
    networks::OptionsOf<Net> filled;
    DictReader::fill(filled, options, kind + "Options");
    out.part = Net(std::move(filled));
  });
  if (!out.part) throw ConfigurationError("there is no summary network \"" + kind + "\"");
  return out;
}

/// A Python function (estimates, targets), float64 (rows, P) each, to one number for each row. Its derivatives are central differences in
/// double precision: 2 P more calls with all rows at once.
std::function<Tensor(Tensor, Tensor)> loss_of(nb::object function) {
  if (function.is_none()) return {};
  const std::shared_ptr<nb::object> shared(new nb::object(std::move(function)), [](nb::object* object) {
    const nb::gil_scoped_acquire gil;  // the last copy may die on a thread without the GIL
    delete object;
  });
  return [shared](Tensor estimates, Tensor targets) {
    const nb::gil_scoped_acquire gil;
    const std::int64_t rows = estimates.rows(), cols = estimates.cols();
    const auto array_of = [&](Tensor x) {
      Array out = uninitialized_array({x.rows(), x.cols()});
      std::copy_n(x.data(), x.size(), out.data());
      return out;
    };
    const Array at = array_of(estimates), truth = array_of(targets);
    const auto value = [&](const Array& x) {
      try {
        Array out = array_from((*shared)(to_numpy(x), to_numpy(truth)));
        if (out.shape() != Shape{rows})
          throw ShapeError("loss_fun must return one number for each row, of shape " + Shape{rows}.to_string() + "; got " +
                           out.shape().to_string());
        return out;
      } catch (nb::python_error& error) {
        throw PythonFailure(error);
      }
    };
    const Array loss = value(at);
    Tensor y = estimates.tape().result(estimates.shape().slice(0, -1), {estimates});
    for (std::int64_t i = 0; i < rows; ++i) y.data()[i] = static_cast<float>(loss[i]);
    if (!y.needs_grad()) return y;
    float* slopes = estimates.tape().arena().floats(rows * cols);
    for (std::int64_t j = 0; j < cols; ++j) {
      Array up = at, down = at;
      std::vector<double> step(static_cast<std::size_t>(rows));
      for (std::int64_t i = 0; i < rows; ++i) {
        const double h = 1e-5 * (1 + std::abs(at(i, j)));
        up(i, j) += h;
        down(i, j) -= h;
        step[static_cast<std::size_t>(i)] = up(i, j) - down(i, j);
      }
      const Array above = value(up), below = value(down);
      for (std::int64_t i = 0; i < rows; ++i)
        slopes[i * cols + j] = static_cast<float>((above[i] - below[i]) / step[static_cast<std::size_t>(i)]);
    }
    estimates.tape().on_backward(y, [estimates, y, slopes, rows, cols] {
      float* part = estimates.tape().backward_arena().floats(rows * cols);
      for (std::int64_t i = 0; i < rows * cols; ++i) part[i] = detail::grad_of(y)[i / cols] * slopes[i];
      detail::deliver(estimates, part);
    });
    return y;
  };
}

InferenceFactory inference_network(const std::string& kind, const nb::dict& options, const nb::object& loss_fun) {
  InferenceFactory out;
  networks::for_each_inference_network([&]<class Net>(const char* name) {
    if (kind != name) return;
    networks::OptionsOf<Net> filled;
    DictReader::fill(filled, options, kind + "Options");
    if constexpr (requires { filled.loss_fun; }) filled.loss_fun = loss_of(loss_fun);
    const Net net(std::move(filled));
    out.make = [net] { return std::make_shared<Net>(net); };
  });
  if (!out.make) throw ConfigurationError("there is no inference network \"" + kind + "\"");
  return out;
}

/// A network with weights of its own, for calls outside of an amortizer.
struct StandaloneSummary {
  StandaloneSummary(const SummaryFactory& factory, const std::vector<Shape>& inputs, std::uint64_t seed) : network(factory.make()) {
    SummaryShape shape = inputs.at(0);
    if (!network->sources().empty()) {
      shape = Shape{};
      shape.sources.assign(inputs.begin(), inputs.end());
    }
    network->build(nn::Builder(store, seed, "summary_net"), shape);
  }
  std::shared_ptr<SummaryNetwork> network;
  nn::ParameterStore store;
};

struct StandaloneFlow {
  StandaloneFlow(const InvertibleNetworkOptions& options, std::int64_t condition_width, std::uint64_t seed) : network(options) {
    network.build(nn::Builder(store, seed, "inference_net"), options.num_params, condition_width);
  }
  InvertibleNetwork network;
  nn::ParameterStore store;
};

struct StandaloneCoupling {
  StandaloneCoupling(const std::string& design, const CouplingOptions& options, std::int64_t width, std::int64_t conditioner_width,
                     std::int64_t condition_width, std::uint64_t seed)
      : coupling(design_from(design), options, width) {
    options.validate();
    coupling.build(nn::Builder(store, seed), conditioner_width, condition_width);
  }
  Coupling coupling;
  nn::ParameterStore store;
};

struct StandaloneOutputs {
  StandaloneOutputs(const InferenceFactory& factory, std::int64_t condition_width, std::uint64_t seed) : network(factory.make()) {
    network->build(nn::Builder(store, seed, "inference_net"), network->target_width(), condition_width);
  }
  std::shared_ptr<InferenceNetwork> network;
  nn::ParameterStore store;
};

}  // namespace

nb::dict weights_of(const nn::ParameterStore& store) {
  std::vector<float> all;
  {
    const nb::gil_scoped_release nogil;  // the thread that holds the lock may need the GIL
    const nn::WeightLock::Reading reading(store.lock());
    all.assign(store.values(), store.values() + store.size());
  }
  nb::dict out;
  for (const nn::ParameterInfo& info : store.table()) {
    Array values = uninitialized_array(info.shape);
    std::copy_n(all.begin() + info.offset, values.size(), values.data());
    out[info.name.c_str()] = to_numpy_float32(values);
  }
  return out;
}

nb::dict buffers_of(const nn::ParameterStore& store) {
  nb::dict out;
  for (const nn::Buffer& buffer : store.buffers()) out[buffer.name.c_str()] = buffer.integers.size() + buffer.floats.size();
  return out;
}

Array run_summary(const SummaryNetwork& network, const std::vector<Array>& data) {
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  if (network.sources().empty()) return values_of(network.forward(tape, tape.input(data.at(0))));
  std::vector<SummaryInput> sources;
  for (const Array& x : data) sources.emplace_back(tape.input(x));
  SummaryInput all;
  all.sources = {sources.data(), sources.size()};
  return values_of(network.forward(tape, all));
}

std::vector<Array> run_levels(const SummaryNetwork& network, const Array& x) {
  const auto* levels = dynamic_cast<const HierarchicalNetwork*>(&network);
  if (!levels) throw ConfigurationError("return_all: the network has no levels");
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  std::vector<Tensor> out(levels->parts().size());
  levels->forward_all(tape, tape.input(x), out);
  std::vector<Array> arrays;
  for (const Tensor level : out) arrays.push_back(values_of(level));
  return arrays;
}

nb::list to_list(const std::vector<Array>& arrays) {
  nb::list out;
  for (const Array& array : arrays) out.append(to_numpy_float32(array));
  return out;
}

Array run_velocity(const InferenceNetwork& network, const Array& x, const Array& times, const std::optional<Array>& condition) {
  const auto* flow = dynamic_cast<const FlowMatchingNetwork*>(&network);
  if (!flow) throw ConfigurationError("only a FlowMatchingNetwork has a velocity");
  Shape of_times = x.shape();
  of_times.set(-1, 1);
  if (x.rank() != 2 || x.dim(1) != flow->target_width() || times.shape() != of_times)
    throw ShapeError("FlowMatchingNetwork: a velocity needs points (B, " + std::to_string(flow->target_width()) +
                     ") and times (B, 1); got " + x.shape().to_string() + " and " + times.shape().to_string());
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  return values_of(flow->velocity(tape, tape.input(x), tape.input(times), condition ? tape.input(*condition) : Tensor()));
}

Array run_outputs(const InferenceNetwork& network, const Array& condition, std::uint64_t seed) {
  Tape tape;
  tape.reset({.gradients = false, .training = false, .seed = seed});
  return values_of(network.outputs(tape, tape.input(condition)));
}

FlowResult run_flow(const NormalizingFlow& network, const Array& targets, const std::optional<Array>& condition) {
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  const auto out = network.forward(tape, tape.input(targets), condition ? tape.input(*condition) : Tensor());
  return {values_of(out.value), values_of(out.log_det)};
}

Array run_inverse(const NormalizingFlow& network, const Array& latent, const std::optional<Array>& condition) {
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  return values_of(network.inverse(tape, tape.input(latent), condition ? tape.input(*condition) : Tensor()));
}

void bind_networks(nb::module_& m) {
  nb::class_<DenseOptions>(m, "DenseOptions")
      .def(
          "__init__",
          [](DenseOptions* self, std::int64_t units, const std::string& activation, const std::string& kernel_initializer,
             double kernel_regularizer, bool use_bias, const std::string& bias_initializer, double kernel_gain, double kernel_shift,
             std::int64_t kernel_seed, double bias_gain, double bias_shift, std::int64_t bias_seed) {
            new (self)
                DenseOptions{.units = units,
                             .activation = activation_from(activation),
                             .kernel_initializer = {nn::initializer_from(kernel_initializer), kernel_gain, kernel_shift, kernel_seed},
                             .kernel_regularizer = kernel_regularizer,
                             .use_bias = use_bias,
                             .bias_initializer = {nn::initializer_from(bias_initializer), bias_gain, bias_shift, bias_seed}};
          },
          "units"_a, "activation"_a, "kernel_initializer"_a, "kernel_regularizer"_a, "use_bias"_a = true, "bias_initializer"_a = "zeros",
          "kernel_gain"_a = 1.0, "kernel_shift"_a = 0.0, "kernel_seed"_a = -1, "bias_gain"_a = 1.0, "bias_shift"_a = 0.0,
          "bias_seed"_a = -1);

  nb::class_<SummaryFactory>(m, "SummaryFactory")
      .def_prop_ro(
          "summary_dim", [](const SummaryFactory& self) { return self.part->summary_dim(); }, "0 if it depends on the data");
  m.def("summary_network", &summary_network, "kind"_a, "options"_a,
        "A network of the library by the name of its class; options: those that differ from the defaults, by their names in C++. Networks "
        "within it are SummaryFactory objects.");
  m.def(
      "deep_set",
      [](std::int64_t summary_dim, std::int64_t num_dense_s1, std::int64_t num_dense_s2, std::int64_t num_dense_s3, std::int64_t num_equiv,
         const DenseOptions& s1, const DenseOptions& s2, const DenseOptions& s3, const std::string& pooling, bool linear_path) {
        if (pooling != "mean" && pooling != "max")
          throw ConfigurationError("pooling_fun must be \"mean\" or \"max\"; got \"" + pooling + "\"");
        const DeepSetOptions options{.summary_dim = summary_dim,
                                     .num_dense_s1 = num_dense_s1,
                                     .num_dense_s2 = num_dense_s2,
                                     .num_dense_s3 = num_dense_s3,
                                     .num_equiv = num_equiv,
                                     .dense_s1 = s1,
                                     .dense_s2 = s2,
                                     .dense_s3 = s3,
                                     .pooling = pooling == "max" ? Pooling::max : Pooling::mean,
                                     .linear_path = linear_path};
        return SummaryFactory{DeepSet(options)};
      },
      "summary_dim"_a, "num_dense_s1"_a, "num_dense_s2"_a, "num_dense_s3"_a, "num_equiv"_a, "dense_s1"_a, "dense_s2"_a, "dense_s3"_a,
      "pooling"_a, "linear_path"_a);

  nb::class_<ops::SplineOptions>(m, "SplineOptions")
      .def(
          "__init__",
          [](ops::SplineOptions* self, std::int64_t bins, float left, float right, float bottom, float top) {
            new (self) ops::SplineOptions{.bins = bins, .left = left, .right = right, .bottom = bottom, .top = top};
          },
          "bins"_a, "left"_a, "right"_a, "bottom"_a, "top"_a);
  nb::class_<CouplingOptions>(m, "CouplingOptions")
      .def(
          "__init__",
          [](CouplingOptions* self, const DenseOptions& dense, std::int64_t num_dense, double dropout_prob, bool mc_dropout, bool spec_norm,
             bool residual, double soft_clamping, const ops::SplineOptions& spline, bool location_scale) {
            new (self) CouplingOptions{.dense = dense,
                                       .num_dense = num_dense,
                                       .dropout_prob = dropout_prob,
                                       .mc_dropout = mc_dropout,
                                       .spec_norm = spec_norm,
                                       .residual = residual,
                                       .soft_clamping = soft_clamping,
                                       .spline = spline,
                                       .location_scale = location_scale};
          },
          "dense"_a, "num_dense"_a, "dropout_prob"_a, "mc_dropout"_a, "spec_norm"_a, "residual"_a, "soft_clamping"_a, "spline"_a,
          "location_scale"_a);
  nb::class_<InvertibleNetworkOptions>(m, "InvertibleNetworkOptions")
      .def(
          "__init__",
          [](InvertibleNetworkOptions* self, std::int64_t num_params, std::int64_t num_coupling_layers, const std::string& coupling_design,
             const CouplingOptions& coupling, std::optional<CouplingOptions> spline_coupling, const std::optional<std::string>& permutation,
             bool use_act_norm, std::optional<Array> act_norm_init, bool use_soft_flow, double soft_flow_low, double soft_flow_high) {
            const InvertibleNetworkOptions options{.num_params = num_params,
                                                   .num_coupling_layers = num_coupling_layers,
                                                   .coupling_design = design_from(coupling_design),
                                                   .coupling = coupling,
                                                   .spline_coupling = std::move(spline_coupling),
                                                   .permutation = permutation_from(permutation),
                                                   .use_act_norm = use_act_norm,
                                                   .act_norm_init = std::move(act_norm_init),
                                                   .use_soft_flow = use_soft_flow,
                                                   .soft_flow_low = soft_flow_low,
                                                   .soft_flow_high = soft_flow_high};
            options.validate();
            new (self) InvertibleNetworkOptions(options);
          },
          "num_params"_a, "num_coupling_layers"_a, "coupling_design"_a, "coupling"_a, "spline_coupling"_a.none(), "permutation"_a.none(),
          "use_act_norm"_a, "act_norm_init"_a.none(), "use_soft_flow"_a, "soft_flow_low"_a, "soft_flow_high"_a);

  nb::class_<InferenceFactory>(m, "InferenceFactory");
  m.def(
      "inference_network", &inference_network, "kind"_a, "options"_a, "loss_fun"_a.none(),
      "An inference network of the library by the name of its class; options: those that differ from the defaults, by their names in C++. "
      "loss_fun: of a PointNetwork.");
  nb::class_<StandaloneOutputs>(m, "StandaloneOutputs")
      .def(nb::init<const InferenceFactory&, std::int64_t, std::uint64_t>(), "factory"_a, "condition_width"_a, "seed"_a)
      .def(
          "outputs",
          [](const StandaloneOutputs& self, const Array& condition, std::uint64_t seed) {
            return to_numpy(run_outputs(*self.network, condition, seed));
          },
          "condition"_a, "seed"_a)
      .def(
          "forward",
          [](const StandaloneOutputs& self, const Array& targets, const std::optional<Array>& condition) {
            const FlowResult out = run_flow(*self.network->as_flow(), targets, condition);
            return nb::make_tuple(to_numpy_float32(out.z), to_numpy_float32(out.log_det_J));
          },
          "targets"_a, "condition"_a.none(), "of a normalizing flow")
      .def(
          "inverse",
          [](const StandaloneOutputs& self, const Array& latent, const std::optional<Array>& condition) {
            return to_numpy_float32(run_inverse(*self.network->as_flow(), latent, condition));
          },
          "latent"_a, "condition"_a.none(), "of a normalizing flow")
      .def(
          "run_velocity",
          [](const StandaloneOutputs& self, const Array& x, const Array& times, const std::optional<Array>& condition) {
            return to_numpy_float32(run_velocity(*self.network, x, times, condition));
          },
          "x"_a, "times"_a, "condition"_a.none())
      .def("weights", [](const StandaloneOutputs& self) { return weights_of(self.store); })
      .def("buffers", [](const StandaloneOutputs& self) { return buffers_of(self.store); })
      .def_prop_ro("number_of_parameters", [](const StandaloneOutputs& self) { return self.store.number_of_values(); });

  nb::class_<StandaloneSummary>(m, "StandaloneSummary")
      .def(nb::init<const SummaryFactory&, const std::vector<Shape>&, std::uint64_t>(), "factory"_a, "inputs"_a, "seed"_a,
           "inputs: of each source, or of the only one")
      .def("__call__",
           [](const StandaloneSummary& self, const std::vector<Array>& data) { return to_numpy_float32(run_summary(*self.network, data)); })
      .def("levels", [](const StandaloneSummary& self, const Array& x) { return to_list(run_levels(*self.network, x)); })
      .def("weights", [](const StandaloneSummary& self) { return weights_of(self.store); })
      .def("buffers", [](const StandaloneSummary& self) { return buffers_of(self.store); })
      .def_prop_ro("number_of_parameters", [](const StandaloneSummary& self) { return self.store.number_of_values(); });
  nb::class_<StandaloneCoupling>(m, "StandaloneCoupling")
      .def(nb::init<const std::string&, const CouplingOptions&, std::int64_t, std::int64_t, std::int64_t, std::uint64_t>(), "design"_a,
           "options"_a, "width"_a, "conditioner_width"_a, "condition_width"_a, "seed"_a)
      .def(
          "forward",
          [](const StandaloneCoupling& self, const Array& u, const Array& conditioner, const std::optional<Array>& condition) {
            Tape tape;
            tape.reset({.gradients = false, .training = false});
            const ops::Transformed out =
                self.coupling.forward(tape, tape.input(u), tape.input(conditioner), condition ? tape.input(*condition) : Tensor());
            return nb::make_tuple(to_numpy_float32(values_of(out.value)), to_numpy_float32(values_of(out.log_det)));
          },
          "u"_a, "conditioner"_a, "condition"_a.none())
      .def(
          "inverse",
          [](const StandaloneCoupling& self, const Array& v, const Array& conditioner, const std::optional<Array>& condition) {
            Tape tape;
            tape.reset({.gradients = false, .training = false});
            return to_numpy_float32(values_of(
                self.coupling.inverse(tape, tape.input(v), tape.input(conditioner), condition ? tape.input(*condition) : Tensor())));
          },
          "v"_a, "conditioner"_a, "condition"_a.none())
      .def(
          "set_weights",
          [](StandaloneCoupling& self, const std::vector<Array>& weights) {
            const nn::WeightLock::Updating updating(self.store.lock());
            for (int i = 0; i < self.store.count(); ++i) {
              const auto values = weights.at(static_cast<std::size_t>(i)).values();
              std::copy(values.begin(), values.end(), self.store.values() + self.store.table()[static_cast<std::size_t>(i)].offset);
            }
            self.coupling.update_state();
          },
          "weights"_a, "in the order and the shapes of weights(), which the caller has checked")
      .def("weights", [](const StandaloneCoupling& self) { return weights_of(self.store); })
      .def_prop_ro("number_of_parameters", [](const StandaloneCoupling& self) { return self.store.number_of_values(); });
  nb::class_<StandaloneFlow>(m, "StandaloneFlow")
      .def(nb::init<const InvertibleNetworkOptions&, std::int64_t, std::uint64_t>(), "options"_a, "condition_width"_a, "seed"_a)
      .def(
          "forward",
          [](const StandaloneFlow& self, const Array& targets, const std::optional<Array>& condition) {
            const FlowResult out = run_flow(self.network, targets, condition);
            return nb::make_tuple(to_numpy_float32(out.z), to_numpy_float32(out.log_det_J));
          },
          "targets"_a, "condition"_a.none())
      .def(
          "inverse",
          [](const StandaloneFlow& self, const Array& latent, const std::optional<Array>& condition) {
            return to_numpy_float32(run_inverse(self.network, latent, condition));
          },
          "latent"_a, "condition"_a.none())
      .def("weights", [](const StandaloneFlow& self) { return weights_of(self.store); })
      .def("buffers", [](const StandaloneFlow& self) { return buffers_of(self.store); })
      .def_prop_ro("number_of_parameters", [](const StandaloneFlow& self) { return self.store.number_of_values(); });
}

}  // namespace bayesflow::python
