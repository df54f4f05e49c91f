/// Priors and simulators that are compiled functions: they run on all cores without the interpreter.
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "../bayesflow_cpp/include/bayesflow_native.h"
#include "arrays.hpp"
#include "bayesflow/bayesflow.hpp"
#include "module.hpp"
#include "native_function.hpp"

namespace bayesflow::python {
namespace {

using NativeCall = void (*)(const double* params, const double* context, double* data, const std::int64_t* shape, bf_rng* rng);

/// What a bf_rng points to. Functions mostly draw one normal number after another; then it draws ahead, because the generator is several
/// times faster at many. What was drawn ahead and not used is given back before anything else is drawn, so the numbers are the stream's
/// own.
class Stream {
 public:
  explicit Stream(Rng& rng) : rng_(rng) {}

  Rng& rng() {
    if (next_ < count_) {
      rng_ = before_;
      rng_.fill_normal(std::span(ahead_, next_));
    }
    next_ = count_ = in_a_row_ = 0;
    return rng_;
  }
  double normal(double loc, double scale) {
    if (!(scale >= 0)) return rng().normal(loc, scale);  // throws
    if (next_ == count_) {
      if (in_a_row_ < 4) {
        ++in_a_row_;
        return rng_.normal(loc, scale);
      }
      count_ = in_a_row_ = std::min(2 * in_a_row_, std::size(ahead_));
      next_ = 0;
      before_ = rng_;
      rng_.fill_normal(std::span(ahead_, count_));
    }
    return loc + scale * ahead_[next_++];
  }

  void fail(const char* text) {
    if (!failed_) message_ = text;
    failed_ = true;
  }
  void rethrow_failure() const {
    if (failed_) throw SimulationError(message_);
  }

 private:
  Rng& rng_;
  Rng before_{};
  double ahead_[64];
  std::size_t next_ = 0, count_ = 0, in_a_row_ = 0;
  bool failed_ = false;
  std::string message_{};
};

/// No exception may leave towards C: it would end the process in code that was compiled without tables for unwinding. No stream at all is
/// what someone has who tries a function in the interpreter, with None.
template <class Draw>
auto guarded(bf_rng* rng, const Draw& draw) noexcept {
  using Result = decltype(draw(std::declval<Stream&>()));
  if (rng) {
    auto& stream = *static_cast<Stream*>(rng->state);
    try {
      return draw(stream);
    } catch (const std::exception& error) {
      stream.fail(error.what());
    }
  }
  if constexpr (std::is_floating_point_v<Result>)
    return std::numeric_limits<double>::quiet_NaN();
  else if constexpr (!std::is_void_v<Result>)
    return Result{};
}

std::span<double> output(double* out, std::int64_t count) {
  if (count < 0) throw ArgumentError("bf_rng: the count of numbers to fill in must not be negative; got " + std::to_string(count));
  if (!out && count > 0) throw ArgumentError("bf_rng: the numbers need an address to be filled in at; got none");
  return {out, static_cast<std::size_t>(count)};
}

using i64 = std::int64_t;
constexpr bf_rng_functions kFunctions = {
    .bits = [](bf_rng* r) { return guarded(r, [&](Stream& s) { return s.rng().bits(); }); },
    .uniform = [](bf_rng* r, double low, double high) { return guarded(r, [&](Stream& s) { return s.rng().uniform(low, high); }); },
    .normal = [](bf_rng* r, double loc, double scale) { return guarded(r, [&](Stream& s) { return s.normal(loc, scale); }); },
    .lognormal = [](bf_rng* r, double mean, double sigma) { return guarded(r, [&](Stream& s) { return s.rng().lognormal(mean, sigma); }); },
    .exponential = [](bf_rng* r, double scale) { return guarded(r, [&](Stream& s) { return s.rng().exponential(scale); }); },
    .gamma = [](bf_rng* r, double shape, double scale) { return guarded(r, [&](Stream& s) { return s.rng().gamma(shape, scale); }); },
    .beta = [](bf_rng* r, double a, double b) { return guarded(r, [&](Stream& s) { return s.rng().beta(a, b); }); },
    .student_t = [](bf_rng* r, double df) { return guarded(r, [&](Stream& s) { return s.rng().student_t(df); }); },
    .cauchy = [](bf_rng* r, double loc, double scale) { return guarded(r, [&](Stream& s) { return s.rng().cauchy(loc, scale); }); },
    .integers = [](bf_rng* r, i64 low, i64 high) { return guarded(r, [&](Stream& s) { return s.rng().integers(low, high); }); },
    .poisson = [](bf_rng* r, double mean) { return guarded(r, [&](Stream& s) { return s.rng().poisson(mean); }); },
    .binomial = [](bf_rng* r, i64 trials, double p) { return guarded(r, [&](Stream& s) { return s.rng().binomial(trials, p); }); },
    .bernoulli = [](bf_rng* r, double p) { return guarded(r, [&](Stream& s) { return static_cast<i64>(s.rng().bernoulli(p)); }); },
    .categorical =
        [](bf_rng* r, const double* weights, i64 count) {
          return guarded(r, [&](Stream& s) { return s.rng().categorical({weights, static_cast<std::size_t>(std::max<i64>(count, 0))}); });
        },
    .fill_uniform = [](bf_rng* r, double* out, i64 count) { guarded(r, [&](Stream& s) { s.rng().fill_uniform(output(out, count)); }); },
    .fill_normal = [](bf_rng* r, double* out, i64 count) { guarded(r, [&](Stream& s) { s.rng().fill_normal(output(out, count)); }); },
    .fail = [](bf_rng* r, const char* message) { static_cast<Stream*>(r->state)->fail(message ? message : "no message"); },
};

/// A user's function by its address. `keep` lives as long as the function may be called.
NativeFunction of_address(std::uintptr_t address, nb::object keep, int threads) {
  // The last copy may die on a thread without the GIL.
  const std::shared_ptr<nb::object> kept(new nb::object(std::move(keep)), [](nb::object* object) {
    const nb::gil_scoped_acquire gil;
    delete object;
  });
  const auto call = reinterpret_cast<NativeCall>(address);
  return NativeFunction(
      [call, kept](NativeFunction::Numbers params, NativeFunction::Numbers context, std::span<double> out, const Shape& shape, Rng& rng) {
        std::ranges::fill(out, std::numeric_limits<double>::quiet_NaN());
        Stream stream(rng);
        bf_rng handle{&kFunctions, &stream};
        call(params.data(), context.data(), out.data(), shape.begin(), &handle);
        stream.rethrow_failure();
      },
      threads);
}

/// The engine's own model of two functions without contexts.
GenerativeModel native_model(const NativeFunction& prior, const Shape& prior_shape, const NativeFunction& simulator,
                             const Shape& data_shape, std::vector<std::string> param_names, std::string name, std::uint64_t seed,
                             bool skip_test) {
  const nb::gil_scoped_release nogil;
  return GenerativeModel(Prior(
                             [prior, prior_shape](Rng& rng) {
                               Array out = uninitialized_array(prior_shape);
                               prior({}, {}, out.values(), prior_shape, rng);
                               return out;
                             },
                             {.param_names = std::move(param_names)}),
                         Simulator([simulator, data_shape](const Array& parameters, Rng& rng) {
                           Array out = uninitialized_array(data_shape);
                           simulator(parameters.values(), {}, out.values(), data_shape, rng);
                           return out;
                         }),
                         {.name = std::move(name), .seed = seed, .skip_test = skip_test, .logger = python_logger()});
}

}  // namespace

void bind_native(nb::module_& m) {
  nb::class_<NativeFunction>(m, "NativeFunction", "A compiled function by its address.")
      .def(
          "__init__",
          [](NativeFunction* self, std::uintptr_t address, nb::object keep, int threads) {
            new (self) NativeFunction(of_address(address, std::move(keep), threads));
          },
          "address"_a, "keep"_a.none(), "threads"_a = 0)
      .def("run", &NativeFunction::run, "batch_size"_a, "shape"_a, "parameters"_a.none(), "contexts"_a.none(), "streams"_a, "first"_a);
  m.def("native_model", &native_model, "prior"_a, "prior_shape"_a, "simulator"_a, "data_shape"_a, "param_names"_a, "name"_a, "seed"_a,
        "skip_test"_a);
  m.def(
      "native_draws",
      [] {
        nb::dict out;
        const auto add = [&out](const char* name, auto function) { out[name] = reinterpret_cast<std::uintptr_t>(function); };
        add("uniform", kFunctions.uniform);
        add("normal", kFunctions.normal);
        add("lognormal", kFunctions.lognormal);
        add("exponential", kFunctions.exponential);
        add("gamma", kFunctions.gamma);
        add("beta", kFunctions.beta);
        add("student_t", kFunctions.student_t);
        add("cauchy", kFunctions.cauchy);
        add("integers", kFunctions.integers);
        add("poisson", kFunctions.poisson);
        add("binomial", kFunctions.binomial);
        add("bernoulli", kFunctions.bernoulli);
        add("fill_uniform", kFunctions.fill_uniform);
        add("fill_normal", kFunctions.fill_normal);
        return out;
      },
      "Addresses of the drawing functions of bayesflow_native.h.");
}

}  // namespace bayesflow::python
