/// Spline flows: the library, v1 and a twin in double precision. Slopes of narrow bins are steep in the spline's parameters, so that
/// rounding what float32 networks store moves some gradients by up to 3e-4, in the library and in v1. v1 also takes sizes of bins as
/// differences of cumulative sums in float32: its log-determinants are off by up to 2e-4 and its gradients by up to 1e-3.
#include "reference/flow_twin.hpp"
#include "reference/reference_config.hpp"
#include "reference/reference_file.hpp"
#include "support/sanitized.hpp"

namespace bayesflow::reference {
namespace {

class SplineReference : public testing::TestWithParam<const char*> {};

TEST_P(SplineReference, AgreesWithDoublePrecisionUpToRounding) {
  const File file(GetParam());
  nn::ParameterStore store;
  InvertibleNetwork net(flow_options(file.config));
  FlowTwin twin(file, net.options());
  net.build(nn::Builder(store, 0), net.target_width(), file.read("inputs/condition").dim(-1));
  load_weights(store, file);
  nn::GradientBuffers gradients(store);
  Tape tape;
  tape.reset({.training = false, .lanes = &gradients});
  Leaves leaves;
  const Tensor x = leaves.add(tape, file, "targets"), c = leaves.add(tape, file, "condition");
  const ops::Transformed y = net.forward(tape, x, c);
  const FlowTwin::Outputs exact = twin();
  EXPECT_LE(error(to_array(y.value), exact.z), kOutputs);
  EXPECT_LE(error(to_array(y.log_det), exact.log_det), kOutputs);
  // v1 may be off by its own distance from the formulas, and the library from it by what is fair.
  EXPECT_LE(error(to_array(y.log_det), file.read("outputs/log_det_J")),
            kSplineLogDet + error(file.read("outputs/log_det_J"), exact.log_det));

  const Array cz = file.read("cotangents/z"), cl = file.read("cotangents/log_det_J");
  tape.backward(ops::add(contract(tape, y.value, cz), contract(tape, y.log_det, cl)));
  const auto loss = [&] {
    const FlowTwin::Outputs out = twin();
    double total = 0;
    for (std::int64_t i = 0; i < cz.size(); ++i) total += cz[i] * out.z[i];
    for (std::int64_t i = 0; i < cl.size(); ++i) total += cl[i] * out.log_det[i];
    return total;
  };
  double worst = 0, worst_of_v1 = 0, worst_rounding = 0;
  // Of each tensor the element that the library and v1 disagree on most.
  const auto compare = [&](const std::string& in_twin, const Array& got, const Array& of_v1) {
    std::int64_t at = 0;
    double scale = 1;
    for (std::int64_t i = 0; i < got.size(); ++i) {
      if (std::fabs(got[i] - of_v1[i]) > std::fabs(got[at] - of_v1[at])) at = i;
      scale = std::max(scale, std::fabs(of_v1[i]));
    }
    const auto gradient = [&](std::uint64_t rounding) {
      double& w = twin.tensors.at(in_twin).data()[at];
      const double start = w, h = 1e-6;
      twin.rounding = rounding;
      w = start + h;
      const double above = loss();
      w = start - h;
      const double below = loss();
      w = start;
      return (above - below) / (2 * h);
    };
    const double right = gradient(0), off = std::fabs(got[at] - right) / scale;
    double rounding = 0;
    // The element is the worst of thousands, so its error is several standard deviations: eight samples, three times their largest.
    for (std::uint64_t seed = 1; seed <= 8; ++seed) rounding = std::max(rounding, std::fabs(gradient(seed) - right) / scale);
    EXPECT_LE(off, 1e-5 + 3 * rounding) << in_twin;
    worst = std::max(worst, off);
    worst_rounding = std::max(worst_rounding, rounding);
    worst_of_v1 = std::max(worst_of_v1, std::fabs(of_v1[at] - right) / scale);
  };
  for (const auto& [name, leaf] : leaves.all) compare("input " + name, gradient_of(leaf), file.read("gradients/inputs/" + name));
  for (const nn::ParameterInfo& p : store.table()) {
    if (support::kSanitized) break;  // what follows is the twin's work, minutes of it
    Array got(p.shape);
    for (std::int64_t k = 0; k < got.size(); ++k)
      got.data()[k] = static_cast<double>(detail::lanes_of(gradients)[0].gradients[p.offset + k]);
    compare(p.name, got, file.read("gradients/weights/" + p.name));
  }
  EXPECT_LE(worst, 5e-4);
  RecordProperty("error_of_library", std::to_string(worst));
  RecordProperty("error_of_v1", std::to_string(worst_of_v1));
  RecordProperty("rounding", std::to_string(worst_rounding));
}
INSTANTIATE_TEST_SUITE_P(Cases, SplineReference, testing::Values("flow_spline_16", "flow_spline_4_set", "flow_interleaved"));

}  // namespace
}  // namespace bayesflow::reference
