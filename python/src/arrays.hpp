/// NumPy arrays and the library's arrays and shapes.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "bayesflow/core/array.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace bayesflow::python {

/// A float64 array that owns its memory; nothing is copied.
inline nb::object to_numpy(Array array) {
  const std::size_t rank = static_cast<std::size_t>(array.rank());
  std::size_t shape[Shape::kMaxRank] = {};
  std::copy(array.shape().begin(), array.shape().end(), shape);
  auto owned = std::make_unique<Array>(std::move(array));
  double* data = owned->data();
  const nb::capsule owner(owned.release(), [](void* p) noexcept { delete static_cast<Array*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, double>(data, rank, shape, owner));
}

/// A float32 array that `fill(values)` fills.
template <class Fill>
nb::object new_float32(const Shape& shape, Fill&& fill) {
  std::size_t extents[Shape::kMaxRank] = {};
  std::copy(shape.begin(), shape.end(), extents);
  const auto size = static_cast<std::size_t>(shape.size());
  auto values = std::make_unique_for_overwrite<float[]>(size);
  fill(std::span<float>(values.get(), size));
  float* data = values.release();
  const nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<float*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, float>(data, static_cast<std::size_t>(shape.rank()), extents, owner));
}

/// An array's values rounded to float32, which is what networks compute in.
inline nb::object to_numpy_float32(const Array& array) {
  return new_float32(array.shape(), [&](std::span<float> out) {
    std::transform(array.data(), array.data() + array.size(), out.data(), [](double x) { return static_cast<float>(x); });
  });
}

}  // namespace bayesflow::python

namespace bayesflow::python {

/// Casters must not throw, so one that finds no memory leaves the number of bytes here; `_calls.py`, which words what nanobind says about
/// arguments that do not fit, takes it.
inline thread_local std::size_t bytes_that_were_missing = 0;

/// An argument that a caster did not take.
[[noreturn]] inline void throw_misfit() {
  if (std::exchange(bytes_that_were_missing, 0)) throw std::bad_alloc();
  throw nb::cast_error();
}

}  // namespace bayesflow::python

namespace nanobind::detail {

/// Float64 arrays; the package's Python side brings whatever users have into this form, with sentences for what does not fit.
template <>
struct type_caster<bayesflow::Array> {
  NB_TYPE_CASTER(bayesflow::Array, const_name("numpy.ndarray"))

  bool from_python(handle source, std::uint8_t flags, cleanup_list* cleanup) noexcept {
    // float32, what networks return, is taken as it is: its float64 copy need not be made twice.
    if (make_caster<ndarray<const float, c_contig, device::cpu>> single;
        single.from_python(source, flags & ~static_cast<std::uint8_t>(cast_flags::convert), cleanup))
      return copy(single.operator cast_t<ndarray<const float, c_contig, device::cpu>>());
    make_caster<ndarray<const double, c_contig, device::cpu>> caster;
    if (!caster.from_python(source, flags, cleanup)) return false;
    return copy(caster.operator cast_t<ndarray<const double, c_contig, device::cpu>>());
  }
  template <typename View>
  bool copy(const View& view) {
    if (view.ndim() > bayesflow::Shape::kMaxRank) return false;
    bayesflow::Shape shape;
    for (std::size_t i = 0; i < view.ndim(); ++i) shape.push_back(static_cast<std::int64_t>(view.shape(i)));
    try {
      value = bayesflow::uninitialized_array(shape);
    } catch (const std::exception&) {
      bayesflow::python::bytes_that_were_missing = view.size() * sizeof(double);
      return false;
    }
    std::copy_n(view.data(), view.size(), value.data());
    return true;
  }
  static handle from_cpp(const bayesflow::Array& array, rv_policy, cleanup_list*) noexcept {
    return guarded([&] { return bayesflow::python::to_numpy(array); });
  }
  static handle from_cpp(bayesflow::Array&& array, rv_policy, cleanup_list*) noexcept {
    return guarded([&] { return bayesflow::python::to_numpy(std::move(array)); });
  }
  template <typename Make>
  static handle guarded(Make&& make) noexcept {
    try {
      return make().release();
    } catch (python_error& error) {
      error.restore();
    } catch (const std::exception&) {
      PyErr_NoMemory();
    }
    return {};
  }
};

template <>
struct type_caster<bayesflow::Shape> {
  NB_TYPE_CASTER(bayesflow::Shape, const_name("tuple[int, ...]"))

  bool from_python(handle source, std::uint8_t flags, cleanup_list* cleanup) noexcept {
    make_caster<std::vector<std::int64_t>> caster;
    if (!caster.from_python(source, flags, cleanup)) return false;
    const auto& extents = static_cast<std::vector<std::int64_t>&>(caster);
    if (extents.size() > static_cast<std::size_t>(bayesflow::Shape::kMaxRank)) return false;
    value = bayesflow::Shape();
    for (const std::int64_t extent : extents) {
      if (extent < 0) return false;
      value.push_back(extent);
    }
    return true;
  }
  static handle from_cpp(const bayesflow::Shape& shape, rv_policy, cleanup_list*) noexcept {
    list out;
    for (const std::int64_t extent : shape) out.append(extent);
    return nanobind::tuple(out).release();
  }
};

}  // namespace nanobind::detail

namespace bayesflow::python {

/// An array of a user's function or dictionary. Throws std::bad_alloc if there is no memory for it.
inline Array array_from(const nb::handle& source) {
  Array out;
  if (!nb::try_cast(source, out)) throw_misfit();
  return out;
}

}  // namespace bayesflow::python
