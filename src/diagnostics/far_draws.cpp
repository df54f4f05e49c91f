#include "diagnostics/far_draws.hpp"

#include <algorithm>
#include <vector>

namespace bayesflow::diagnostics {

double far_draws(const Array& draws, const Sizes& n, std::int64_t parameter) {
  constexpr double kQuartiles = 1.3489795003921634;  // between the quartiles of a standard normal
  std::vector<double> x(index(n.draws));
  const auto nth = [&](std::int64_t k) {
    std::nth_element(x.begin(), x.begin() + k, x.end());
    return x[index(k)];
  };
  std::int64_t far = 0;
  for (std::int64_t b = 0; b < n.data_sets; ++b) {
    gather(draws, n, b, parameter, x);
    const double low = nth(n.draws / 4), middle = nth(n.draws / 2), high = nth(3 * n.draws / 4);
    const double reach = kFarSds * (high - low) / kQuartiles;
    if (reach > 0) far += std::ranges::count_if(x, [&](double v) { return std::abs(v - middle) > reach; });
  }
  return real(far) / real(n.data_sets * n.draws);
}

}  // namespace bayesflow::diagnostics
