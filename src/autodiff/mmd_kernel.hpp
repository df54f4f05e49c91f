/// The kernel by which samples are compared.
#pragma once

#include <cmath>

namespace bayesflow::detail {

// v1's bandwidths; each acts as a variance.
inline constexpr double kBandwidths[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6};

/// Sum of the kernels at a squared distance, and its derivative with respect to that.
struct Kernel {
  double value, slope;
};
inline Kernel kernel(double squared) {
  Kernel k{0, 0};
  for (const double s : kBandwidths) {
    const double beta = 0.5 / s, e = std::exp(-beta * squared);
    k.value += e;
    k.slope -= beta * e;
  }
  return k;
}

}  // namespace bayesflow::detail
