/// From v1's option names, as the reference files hold them, to the library's. A name or a value that is not known is an error: mapped
/// silently, it would be a test of something else.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bayesflow/bayesflow.hpp"

namespace bayesflow::reference {

/// An object of options, of which every name must be known.
class Config {
 public:
  Config(const nlohmann::json& values, std::string what, std::initializer_list<const char*> known)
      : values_(values), what_(std::move(what)) {
    if (!values_.is_object()) throw std::runtime_error(what_ + ": needs an object of options; got " + values_.dump());
    for (const auto& [name, value] : values_.items())
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw std::runtime_error(what_ + ": option \"" + name + "\" = " + value.dump() + " is not known to this test");
  }
  [[nodiscard]] bool has(const char* name) const { return values_.contains(name); }
  [[nodiscard]] const nlohmann::json& operator[](const char* name) const {
    if (!has(name)) throw std::runtime_error(what_ + ": option \"" + name + "\" is missing");
    return values_.at(name);
  }
  /// Overwrites `to` if the option is there.
  template <class T>
  void read(const char* name, T& to) const {
    if (!has(name)) return;
    const nlohmann::json& value = values_.at(name);
    const bool fits = std::is_same_v<T, bool> ? value.is_boolean() : std::is_integral_v<T> ? value.is_number_integer() : value.is_number();
    if (!fits) unknown(name);
    to = value.get<T>();
  }
  /// The same for one of several names.
  template <class T>
  void choose(const char* name, T& to, std::initializer_list<std::pair<nlohmann::json, T>> values) const {
    if (!has(name)) return;
    for (const auto& [text, value] : values)
      if (values_.at(name) == text) {
        to = value;
        return;
      }
    unknown(name);
  }
  /// An option that the library has in one form only.
  void require(const char* name, const nlohmann::json& value) const {
    if ((*this)[name] != value) unknown(name);
  }

 private:
  [[noreturn]] void unknown(const char* name) const {
    throw std::runtime_error(what_ + ": " + name + " = " + values_.at(name).dump() + " is not known to this test");
  }
  nlohmann::json values_;
  std::string what_;
};

inline DenseOptions dense_options(const nlohmann::json& j, DenseOptions base) {
  const Config c(j, "dense_args", {"units", "activation", "kernel_initializer", "kernel_regularizer"});
  c.read("units", base.units);
  if (c.has("activation")) base.activation = activation_from(c["activation"].get<std::string>());
  using nn::Initializer;
  c.choose<Initializer>("kernel_initializer", base.kernel_initializer.initializer,
                        {{"glorot_uniform", Initializer::glorot_uniform},
                         {"he_uniform", Initializer::he_uniform},
                         {"zeros", Initializer::zeros},
                         {"ones", Initializer::ones},
                         {"orthogonal", Initializer::orthogonal}});
  if (c.has("kernel_regularizer")) {
    base.kernel_regularizer = 0;
    if (!c["kernel_regularizer"].is_null())
      Config(c["kernel_regularizer"], "kernel_regularizer", {"L2"}).read("L2", base.kernel_regularizer);
  }
  return base;
}

inline DeepSetOptions deep_set_options(const nlohmann::json& j) {
  const Config c(j, "DeepSet",
                 {"network", "summary_dim", "num_dense_s1", "num_dense_s2", "num_dense_s3", "num_equiv", "dense_s1_args", "dense_s2_args",
                  "dense_s3_args", "pooling_fun"});
  c.require("network", "DeepSet");
  DeepSetOptions o;
  c.read("summary_dim", o.summary_dim);
  c.read("num_dense_s1", o.num_dense_s1);
  c.read("num_dense_s2", o.num_dense_s2);
  c.read("num_dense_s3", o.num_dense_s3);
  c.read("num_equiv", o.num_equiv);
  if (c.has("dense_s1_args")) o.dense_s1 = dense_options(c["dense_s1_args"], o.dense_s1);
  if (c.has("dense_s2_args")) o.dense_s2 = dense_options(c["dense_s2_args"], o.dense_s2);
  if (c.has("dense_s3_args")) o.dense_s3 = dense_options(c["dense_s3_args"], o.dense_s3);
  c.choose<Pooling>("pooling_fun", o.pooling, {{"mean", Pooling::mean}, {"max", Pooling::max}});
  return o;
}

inline CouplingOptions coupling_options(const nlohmann::json& j) {
  const Config c(j, "coupling_settings",
                 {"dense_args", "num_dense", "dropout", "dropout_prob", "mc_dropout", "spec_norm", "residual", "soft_clamping", "bins",
                  "default_domain"});
  CouplingOptions o;
  if (c.has("dense_args")) o.dense = dense_options(c["dense_args"], o.dense);
  c.read("num_dense", o.num_dense);
  c.read("dropout_prob", o.dropout_prob);
  bool dropout = true;
  c.read("dropout", dropout);
  if (!dropout) o.dropout_prob = 0;
  c.read("mc_dropout", o.mc_dropout);
  c.read("spec_norm", o.spec_norm);
  c.read("residual", o.residual);
  if (c.has("soft_clamping") && c["soft_clamping"].is_null())
    o.soft_clamping = 0;
  else
    c.read("soft_clamping", o.soft_clamping);
  o.spline = ops::v1_spline_options();
  o.location_scale = false;  // v1 has none
  c.read("bins", o.spline.bins);
  if (c.has("default_domain")) {
    const auto domain = c["default_domain"].get<std::vector<float>>();
    if (domain.size() != 4)
      throw std::runtime_error("coupling_settings: default_domain needs left, right, bottom, top; got " + c["default_domain"].dump());
    o.spline.left = domain[0];
    o.spline.right = domain[1];
    o.spline.bottom = domain[2];
    o.spline.top = domain[3];
  }
  return o;
}

inline InvertibleNetworkOptions flow_options(const nlohmann::json& j) {
  const Config c(j, "InvertibleNetwork",
                 {"network", "num_params", "num_coupling_layers", "use_act_norm", "coupling_design", "permutation", "coupling_settings",
                  "use_soft_flow"});
  c.require("network", "InvertibleNetwork");
  InvertibleNetworkOptions o;
  o.num_params = c["num_params"].get<std::int64_t>();
  c.read("num_coupling_layers", o.num_coupling_layers);
  c.read("use_act_norm", o.use_act_norm);
  c.read("use_soft_flow", o.use_soft_flow);
  c.choose<CouplingDesign>(
      "coupling_design", o.coupling_design,
      {{"affine", CouplingDesign::affine}, {"spline", CouplingDesign::spline}, {"interleaved", CouplingDesign::interleaved}});
  c.choose<PermutationKind>(
      "permutation", o.permutation,
      {{"fixed", PermutationKind::fixed}, {"learnable", PermutationKind::learnable}, {nullptr, PermutationKind::none}});
  const nlohmann::json settings = c.has("coupling_settings") ? c["coupling_settings"] : nlohmann::json::object();
  if (o.coupling_design == CouplingDesign::interleaved) {
    const Config both(settings, "coupling_settings of an interleaved flow", {"affine", "spline"});
    o.coupling = coupling_options(both["affine"]);
    o.spline_coupling = coupling_options(both["spline"]);
  } else {
    o.coupling = coupling_options(settings);
  }
  return o;
}

inline Latent latent_of(const nlohmann::json& j) {
  const Config c(j, "latent", {"distribution", "df"});
  c.require("distribution", "multivariate Student-t");
  return student_t_latent(c["df"].get<double>());
}

inline nn::OptimizerOptions optimizer_options(const nlohmann::json& j) {
  const Config c(j, "optimizer", {"name", "beta_1", "beta_2", "epsilon", "global_clipnorm", "schedule"});
  nn::OptimizerOptions o;
  c.require("name", "Adam");
  c.read("beta_1", o.beta1);
  c.read("beta_2", o.beta2);
  c.read("epsilon", o.epsilon);
  c.read("global_clipnorm", o.global_clipnorm);
  const Config schedule(c["schedule"], "schedule", {"name", "initial_learning_rate", "decay_steps"});
  schedule.require("name", "CosineDecay");
  o.learning_rate = nn::cosine(schedule["initial_learning_rate"].get<double>(), schedule["decay_steps"].get<std::int64_t>());
  return o;
}

}  // namespace bayesflow::reference
