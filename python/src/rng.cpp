/// The library's random streams, and NumPy generators on top of them.
#include "bayesflow/core/rng.hpp"

#include <cstring>
#include <type_traits>

#include "arrays.hpp"
#include "bayesflow/core/errors.hpp"
#include "module.hpp"

namespace bayesflow::python {
namespace {

static_assert(std::is_trivially_copyable_v<Rng>, "streams go to worker processes as their bytes");

/// NumPy's interface between generators and their bits ("numpy/random/bitgen.h").
struct NumpyBits {
  void* state;
  std::uint64_t (*next_uint64)(void*);
  std::uint32_t (*next_uint32)(void*);
  double (*next_double)(void*);
  std::uint64_t (*next_raw)(void*);
};

/// A bit generator whose stream can be exchanged: numpy.random.Generator(bits) is made once, and seated on another stream for every
/// simulation, which costs a copy of a hundred bytes.
class BitGenerator {
 public:
  BitGenerator()
      : bits_{this, [](void* self) { return static_cast<BitGenerator*>(self)->rng_.bits(); },
              [](void* self) { return static_cast<BitGenerator*>(self)->half(); },
              [](void* self) { return static_cast<BitGenerator*>(self)->rng_.uniform(); },
              [](void* self) { return static_cast<BitGenerator*>(self)->rng_.bits(); }} {}
  BitGenerator(const BitGenerator&) = delete;
  BitGenerator& operator=(const BitGenerator&) = delete;

  void seat(const Rng& rng) {
    rng_ = rng;
    has_half_ = false;
  }
  [[nodiscard]] nb::capsule capsule() { return nb::capsule(&bits_, "BitGenerator"); }

 private:
  std::uint32_t half() {
    if (has_half_) {
      has_half_ = false;
      return half_;
    }
    const std::uint64_t bits = rng_.bits();
    half_ = static_cast<std::uint32_t>(bits >> 32);
    has_half_ = true;
    return static_cast<std::uint32_t>(bits);
  }

  NumpyBits bits_;
  Rng rng_;
  std::uint32_t half_ = 0;
  bool has_half_ = false;
};

}  // namespace

void bind_rng(nb::module_& m) {
  nb::class_<Rng>(m, "Rng", "A stream of random numbers named by (seed, purpose, index).")
      .def(nb::init<std::uint64_t, std::string_view, std::uint64_t>(), "seed"_a = 0, "purpose"_a = "user", "index"_a = 0)
      .def("at", &Rng::at, "index"_a, "The same seed and purpose, another index.")
      .def("branch", &Rng::branch, "name"_a, "index"_a = 0, "A stream that depends on this one's key and on the name.")
      .def("__getstate__", [](const Rng& self) { return nb::bytes(&self, sizeof self); })
      .def("__setstate__",
           [](Rng& self, const nb::bytes& state) {
             if (state.size() != sizeof self)
               throw ArgumentError("Rng: a pickled stream is read by the version of bayesflow_cpp that wrote it; got another one's");
             new (&self) Rng();
             std::memcpy(static_cast<void*>(&self), state.c_str(), sizeof self);
           })
      .def_prop_ro("seed", &Rng::seed)
      .def("bits", &Rng::bits)
      .def(
          "normal", [](Rng& self, const Shape& shape) { return self.normal(shape); }, "shape"_a)
      .def(
          "uniform", [](Rng& self, const Shape& shape) { return self.uniform(shape); }, "shape"_a);
  nb::class_<BitGenerator>(m, "BitGenerator", "What numpy.random.Generator takes its bits from.")
      .def(nb::init<>())
      .def("seat", &BitGenerator::seat, "rng"_a, "Goes to the start of a stream.")
      .def_prop_ro("capsule", &BitGenerator::capsule, "For as long as this object lives.");
}

}  // namespace bayesflow::python
