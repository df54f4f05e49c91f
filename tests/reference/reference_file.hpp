/// Reading the oracle: files of numbers that the real BayesFlow v1 produced.
#pragma once

#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "autodiff/lanes.hpp"
#include "bayesflow/bayesflow.hpp"

namespace bayesflow::reference {

inline std::string folder() {
  const char* given = std::getenv("BAYESFLOW_REFERENCE_DIR");
  return given ? given : BAYESFLOW_REFERENCE_DEFAULT;
}

class File {
 public:
  explicit File(const std::string& name) : file_(H5Fopen((folder() + "/" + name + ".h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)) {
    if (file_ < 0) throw std::runtime_error("cannot open reference case " + name + " in " + folder());
    const hid_t a = H5Aopen(file_, "config", H5P_DEFAULT), type = H5Aget_type(a);
    char* text = nullptr;
    H5Aread(a, type, &text);
    config = nlohmann::json::parse(text);
    H5free_memory(text);
    H5Tclose(type);
    H5Aclose(a);
  }
  ~File() { H5Fclose(file_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] bool has(const std::string& path) const {
    std::string part;
    for (std::size_t i = 0; i <= path.size(); ++i)
      if (i == path.size() || path[i] == '/') {
        part = path.substr(0, i);
        if (H5Lexists(file_, part.c_str(), H5P_DEFAULT) <= 0) return false;
      }
    return true;
  }
  [[nodiscard]] Array read(const std::string& path) const {
    const hid_t d = H5Dopen2(file_, path.c_str(), H5P_DEFAULT);
    if (d < 0) throw std::runtime_error("reference file lacks " + path);
    const hid_t space = H5Dget_space(d);
    hsize_t dims[8];
    const int rank = H5Sget_simple_extent_dims(space, dims, nullptr);
    Shape shape;
    for (int i = 0; i < rank; ++i) shape.push_back(static_cast<std::int64_t>(dims[i]));
    Array out(shape);
    H5Dread(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data());
    H5Sclose(space);
    H5Dclose(d);
    return out;
  }
  /// Names of what a group holds; none if there is no such group.
  [[nodiscard]] std::vector<std::string> names(const std::string& group) const {
    std::vector<std::string> out;
    if (!has(group)) return out;
    const hid_t g = H5Gopen2(file_, group.c_str(), H5P_DEFAULT);
    H5Literate(
        g, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr,
        [](hid_t, const char* name, const H5L_info_t*, void* to) -> herr_t {
          static_cast<std::vector<std::string>*>(to)->emplace_back(name);
          return 0;
        },
        &out);
    H5Gclose(g);
    return out;
  }
  nlohmann::json config;

 private:
  hid_t file_;
};

/// err = max|got - want| / max(1, max|want|)
inline double error(const Array& got, const Array& want) {
  if (got.size() != want.size()) return INFINITY;
  double worst = 0, scale = 1;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::fabs(got.data()[i] - want.data()[i]));
    if (std::isnan(got.data()[i])) return INFINITY;
    scale = std::max(scale, std::fabs(want.data()[i]));
  }
  return worst / scale;
}

inline Array to_array(Tensor x) {
  Array out(x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) out.data()[i] = static_cast<double>(x.data()[i]);
  return out;
}
inline Array gradient_of(Tensor x) {
  Array out(x.shape());
  if (x.grad())
    for (std::int64_t i = 0; i < x.size(); ++i) out.data()[i] = static_cast<double>(x.grad()[i]);
  return out;
}

/// Weights and permutations from the file into the store, by name.
inline void load_weights(nn::ParameterStore& store, const File& file, const std::string& group = "weights/") {
  for (std::size_t i = 0; i < store.table().size(); ++i) {
    const nn::ParameterInfo& p = store.table()[i];
    const Array w = file.read(group + p.name);
    ASSERT_EQ(w.shape(), p.shape) << p.name;
    const std::span<float> to = store.value(static_cast<int>(i));
    for (std::int64_t k = 0; k < w.size(); ++k) to[static_cast<std::size_t>(k)] = static_cast<float>(w.data()[k]);
  }
  for (nn::Buffer& b : store.buffers()) {
    const std::size_t at = b.name.rfind("inverse_permutation");
    const bool inverse = at != std::string::npos;
    const Array p = file.read(group + (inverse ? b.name.substr(0, at) + "permutation" : b.name));
    for (std::int64_t k = 0; k < p.size(); ++k) {
      const auto value = static_cast<std::int32_t>(p.data()[k]);
      if (inverse)
        b.integers[static_cast<std::size_t>(value)] = static_cast<std::int32_t>(k);
      else
        b.integers[static_cast<std::size_t>(k)] = value;
    }
  }
}

/// What the tests tolerate. Spline gradients in float32 carry noise, v1's up to 1e-3: see spline_test.cpp, which holds the library's
/// against double precision.
inline constexpr double kOutputs = 1e-5, kSplineLogDet = 1e-4, kGradients = 1e-4, kSplineGradients = 1e-3;

/// Gradients of all parameters against the file's; neither may have one that the other lacks.
inline void expect_weight_gradients(const nn::ParameterStore& store, const detail::GradientLane& lane, const File& file,
                                    double tolerance = kGradients) {
  const std::vector<std::string> names = file.names("gradients/weights");
  EXPECT_EQ(static_cast<std::int64_t>(names.size()), store.count());
  for (const std::string& name : names) {
    const int at = store.find(name);
    const nn::ParameterInfo& p = store.table()[static_cast<std::size_t>(at)];
    Array got(p.shape);
    if (lane.touched[at])
      for (std::int64_t k = 0; k < got.size(); ++k) got.data()[k] = static_cast<double>(lane.gradients[p.offset + k]);
    EXPECT_LE(error(got, file.read("gradients/weights/" + name)), tolerance) << name;
  }
}

/// A network's inputs as leaves of a tape, by the file's names, so that every gradient in the file is looked at.
struct Leaves {
  std::vector<std::pair<std::string, Tensor>> all;
  Tensor add(Tape& tape, const File& file, const std::string& name) {
    if (!file.has("inputs/" + name)) return {};
    all.emplace_back(name, tape.input(file.read("inputs/" + name), true));
    return all.back().second;
  }
  void expect_gradients(const File& file, double tolerance = kGradients) const {
    const std::vector<std::string> names = file.names("gradients/inputs");
    EXPECT_EQ(names.size(), all.size());
    for (const auto& [name, leaf] : all) EXPECT_LE(error(gradient_of(leaf), file.read("gradients/inputs/" + name)), tolerance) << name;
  }
};

/// L = sum_k sum(c_k output_k), the scalar whose gradients the files hold: one of its terms.
inline Tensor contract(Tape& tape, Tensor y, const Array& cotangent) {
  return ops::sum(ops::multiply(y, tape.input(cotangent.reshape(y.shape()))));
}

}  // namespace bayesflow::reference
