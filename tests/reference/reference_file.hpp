/// Reading the oracle: files of numbers that the real BayesFlow v1 produced.
#pragma once

#include <hdf5.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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
  store.refresh_transposed();
}

inline DenseOptions dense_options(const nlohmann::json& j, DenseOptions base) {
  if (j.contains("units")) base.units = j["units"];
  if (j.contains("activation")) base.activation = activation_from(j["activation"].get<std::string>());
  if (j.contains("kernel_initializer")) base.kernel_initializer = nn::Initializer::glorot_uniform;
  if (j.contains("kernel_regularizer")) base.kernel_regularizer = j["kernel_regularizer"].is_null() ? 0.0 : j["kernel_regularizer"]["L2"].get<double>();
  return base;
}

inline DeepSetOptions deep_set_options(const nlohmann::json& j) {
  DeepSetOptions o;
  o.summary_dim = j.value("summary_dim", o.summary_dim);
  o.num_dense_s1 = j.value("num_dense_s1", o.num_dense_s1);
  o.num_dense_s2 = j.value("num_dense_s2", o.num_dense_s2);
  o.num_dense_s3 = j.value("num_dense_s3", o.num_dense_s3);
  o.num_equiv = j.value("num_equiv", o.num_equiv);
  if (j.contains("dense_s1_args")) o.dense_s1 = dense_options(j["dense_s1_args"], o.dense_s1);
  if (j.contains("dense_s2_args")) o.dense_s2 = dense_options(j["dense_s2_args"], o.dense_s2);
  if (j.contains("dense_s3_args")) o.dense_s3 = dense_options(j["dense_s3_args"], o.dense_s3);
  if (j.value("pooling_fun", "mean") == "max") o.pooling = Pooling::max;
  return o;
}

inline CouplingOptions coupling_options(const nlohmann::json& j) {
  CouplingOptions o;
  if (j.contains("dense_args")) o.dense = dense_options(j["dense_args"], o.dense);
  o.num_dense = j.value("num_dense", o.num_dense);
  if (!j.value("dropout", true)) o.dropout_prob = 0;
  o.residual = j.value("residual", false);
  if (j.contains("soft_clamping")) o.soft_clamping = j["soft_clamping"].is_null() ? 0.0 : j["soft_clamping"].get<double>();
  o.spline = ops::v1_spline_options();
  o.spline.bins = j.value("bins", o.spline.bins);
  if (j.contains("default_domain")) {
    const auto d = j["default_domain"].get<std::vector<float>>();
    o.spline.left = d[0];
    o.spline.right = d[1];
    o.spline.bottom = d[2];
    o.spline.top = d[3];
  }
  return o;
}

inline InvertibleNetworkOptions flow_options(const nlohmann::json& j) {
  InvertibleNetworkOptions o;
  o.num_params = j["num_params"];
  o.num_coupling_layers = j.value("num_coupling_layers", o.num_coupling_layers);
  o.use_act_norm = j.value("use_act_norm", true);
  const std::string design = j.value("coupling_design", "affine"), permutation = j.value("permutation", "fixed");
  o.coupling_design = design == "affine" ? CouplingDesign::affine : design == "spline" ? CouplingDesign::spline : CouplingDesign::interleaved;
  if (permutation == "learnable") o.permutation = PermutationKind::learnable;
  const nlohmann::json settings = j.value("coupling_settings", nlohmann::json::object());
  if (settings.contains("spline")) {
    o.coupling = coupling_options(settings["affine"]);
    o.spline_coupling = coupling_options(settings["spline"]);
  } else {
    o.coupling = coupling_options(settings);
  }
  return o;
}

/// What the tests tolerate. v1 takes bin sizes as differences of float32 knots and so loses digits where bins are small; its
/// spline gradients carry that noise (4e-4 measured), the library's are checked to 1e-6 by differences in double precision.
inline constexpr double kOutputs = 1e-5, kSplineLogDet = 1e-4, kGradients = 1e-4, kSplineGradients = 1e-3;

/// Gradients of all parameters against the file's.
inline void expect_weight_gradients(const nn::ParameterStore& store, const GradientLane& lane, const File& file, double tolerance = kGradients) {
  for (std::size_t i = 0; i < store.table().size(); ++i) {
    const nn::ParameterInfo& p = store.table()[i];
    Array got(p.shape);
    if (lane.touched[i])
      for (std::int64_t k = 0; k < got.size(); ++k) got.data()[k] = static_cast<double>(lane.gradients[p.offset + k]);
    EXPECT_LE(error(got, file.read("gradients/weights/" + p.name)), tolerance) << p.name;
  }
}

}  // namespace bayesflow::reference
