/// The reader of configurations: what it does not know is an error, never a default.
#include <gtest/gtest.h>

#include <tuple>

#include "reference/reference_config.hpp"

namespace bayesflow::reference {
namespace {

using nlohmann::json;

template <class F>
std::string problem(F f, const char* text) {
  try {
    std::ignore = f(json::parse(text));
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing";
}
const auto dense = [](const json& j) { return dense_options(j, {}); };

TEST(Config, MapsV1sNamesExactly) {
  const InvertibleNetworkOptions flow = flow_options(json::parse(R"({"network": "InvertibleNetwork", "num_params": 5, "permutation": null,
    "use_act_norm": false, "coupling_design": "interleaved", "coupling_settings": {"affine": {"soft_clamping": null, "residual": true},
    "spline": {"bins": 7, "dropout": false, "default_domain": [-1, 2, -3, 4]}}})"));
  EXPECT_EQ(flow.permutation, PermutationKind::none);
  EXPECT_EQ(flow.coupling_design, CouplingDesign::interleaved);
  EXPECT_FALSE(flow.use_act_norm);
  EXPECT_EQ(flow.num_coupling_layers, 6);
  EXPECT_EQ(flow.coupling.soft_clamping, 0);
  EXPECT_TRUE(flow.coupling.residual);
  EXPECT_EQ(flow.coupling.dropout_prob, 0.05);
  EXPECT_EQ(flow.spline_coupling->dropout_prob, 0);
  EXPECT_EQ(flow.spline_coupling->spline.bins, 7);
  EXPECT_EQ(flow.spline_coupling->spline.bottom, -3);
  const DenseOptions one =
      dense(json::parse(R"({"activation": "swish", "kernel_initializer": "he_uniform", "kernel_regularizer": {"L2": 0.5}})"));
  EXPECT_EQ(one.units, 64);
  EXPECT_EQ(one.activation, Activation::swish);
  EXPECT_EQ(one.kernel_initializer, nn::Initializer::he_uniform);
  EXPECT_EQ(one.kernel_regularizer, 0.5);
  EXPECT_EQ(deep_set_options(json::parse(R"({"network": "DeepSet", "pooling_fun": "max"})")).pooling, Pooling::max);
}

TEST(Config, WhatIsNotKnownIsAnError) {
  EXPECT_EQ(problem(dense, R"({"kernel_initializer": "lecun_normal"})"),
            "dense_args: kernel_initializer = \"lecun_normal\" is not known to this test");
  EXPECT_EQ(problem(dense, R"({"kernel_regularizer": {"L1": 1e-4}})"),
            "kernel_regularizer: option \"L1\" = 0.0001 is not known to this test");
  EXPECT_EQ(problem(dense, R"({"bias_initializer": "ones"})"),
            "dense_args: option \"bias_initializer\" = \"ones\" is not known to this test");
  EXPECT_EQ(problem(dense, R"({"units": 2.5})"), "dense_args: units = 2.5 is not known to this test");
  EXPECT_NE(problem(dense, R"({"activation": "sine"})").find("sine"), std::string::npos);
  EXPECT_EQ(problem(deep_set_options, R"({"network": "DeepSet", "pooling_fun": "sum"})"),
            "DeepSet: pooling_fun = \"sum\" is not known to this test");
  EXPECT_EQ(problem(deep_set_options, R"({"network": "SetTransformer"})"),
            "DeepSet: network = \"SetTransformer\" is not known to this test");
  EXPECT_EQ(problem(flow_options, R"({"network": "InvertibleNetwork", "num_params": 2, "coupling_design": "quadratic"})"),
            "InvertibleNetwork: coupling_design = \"quadratic\" is not known to this test");
  EXPECT_EQ(problem(flow_options, R"({"network": "InvertibleNetwork", "num_params": 2, "permutation": "shuffled"})"),
            "InvertibleNetwork: permutation = \"shuffled\" is not known to this test");
  EXPECT_EQ(problem(flow_options, R"({"network": "InvertibleNetwork"})"), "InvertibleNetwork: option \"num_params\" is missing");
  EXPECT_EQ(problem(coupling_options, R"({"default_domain": [1, 2]})"),
            "coupling_settings: default_domain needs left, right, bottom, top; got [1,2]");
  EXPECT_EQ(problem(latent_of, R"({"distribution": "Laplace", "df": 1})"), "latent: distribution = \"Laplace\" is not known to this test");
  EXPECT_EQ(problem(optimizer_options, R"({"name": "RMSprop"})"), "optimizer: name = \"RMSprop\" is not known to this test");
}

}  // namespace
}  // namespace bayesflow::reference
