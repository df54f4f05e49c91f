/// Two parameters on two crescents, and the arm of a robot.
#include <cmath>
#include <numbers>

#include "benchmarks/problem.hpp"

namespace bayesflow::benchmarks {

/// x = (r cos a + 1/4 - |t1 + t2| / sqrt 2, r sin a + (t2 - t1) / sqrt 2), a ~ U(-pi/2, pi/2), r ~ N(0.1, 0.01^2). Greenberg, Nonnenmacher,
/// Macke (2019), Automatic posterior transformation for likelihood-free inference.
Problem two_moons() {
  return {.name = "two_moons",
          .sbibm_task = "two_moons",
          .prior_settings = {{"lower_bound", -1.0, Domain::number}, {"upper_bound", 1.0, Domain::number}},
          .param_names = [](const Values&) { return numbered("theta", 2); },
          .prior = [](const Values& v) { return uniform_prior(v, 2); },
          .simulator = [](const Values&) -> Simulate {
            return [](const Array& theta, Rng& rng) {
              const double a = rng.uniform(-std::numbers::pi / 2, std::numbers::pi / 2), r = rng.normal(0.1, 0.01);
              return Array::of({r * std::cos(a) + 0.25 - std::abs(theta[0] + theta[1]) / std::numbers::sqrt2,
                                r * std::sin(a) + (theta[1] - theta[0]) / std::numbers::sqrt2});
            };
          }};
}

/// Where an arm of three segments ends that starts at height theta_1 and bends by the angles theta_2, theta_3, theta_4:
///   x_1 = theta_1 + l1 sin(theta_2) + l2 sin(theta_2 + theta_3) + l3 sin(theta_2 + theta_3 + theta_4),
///   x_2 = l1 cos(theta_2) + l2 cos(theta_2 + theta_3) + l3 cos(theta_2 + theta_3 + theta_4),
/// with noise N(0, noise^2) on both. Without noise, the default, x is a function of theta: posteriors have no density on R^4.
Problem inverse_kinematics() {
  return {.name = "inverse_kinematics",
          .prior_settings = {{"scales", {}, Domain::optional_four}},
          .simulator_settings = {{"l1", 0.5, Domain::number},
                                 {"l2", 0.5, Domain::number},
                                 {"l3", 1.0, Domain::number},
                                 {"noise", 0.0, Domain::non_negative}},
          .param_names = [](const Values&) { return numbered("theta", 4); },
          .prior = [](const Values& v) -> DrawParameters {
            const Array scales({4}, v.has("scales") ? v.numbers("scales") : std::vector<double>{0.25, 0.5, 0.5, 0.5});
            return [scales](Rng& rng) { return rng.normal({4}) * scales; };
          },
          .simulator = [](const Values& v) -> Simulate {
            return [l1 = v.number("l1"), l2 = v.number("l2"), l3 = v.number("l3"), noise = v.number("noise")](const Array& t, Rng& rng) {
              const double a = t[1], b = a + t[2], c = b + t[3];
              Array x = Array::of(
                  {t[0] + l1 * std::sin(a) + l2 * std::sin(b) + l3 * std::sin(c), l1 * std::cos(a) + l2 * std::cos(b) + l3 * std::cos(c)});
              if (noise > 0) x += rng.normal({2}, 0.0, noise);
              return x;
            };
          }};
}

}  // namespace bayesflow::benchmarks
