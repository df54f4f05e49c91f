/// What the machine's best matrix product reaches: the yardstick of all fractions of peak.
#pragma once

#include <string>
#include <vector>

namespace bench {

/// One library on one shape. A window is many products in a row, long enough for the clock and the scheduler to matter little.
struct ProductSpeed {
  std::string library;  ///< "bayesflow", "onednn" (a product per thread, side by side, on separate data), "onednn own threads"
  int rows = 0, depth = 0, cols = 0;
  int threads = 0;
  std::vector<double> gflops;  ///< of each window
};

/// The best library and shape. `best` is the fastest window, `median` the median window of the case with the highest median.
struct Peak {
  double best = 0, median = 0;
  std::string best_case;
};

/// Speeds of the library's own product and of oneDNN's dnnl_sgemm at 1600 x 64 x 64 and 4096 x 128 x 128.
[[nodiscard]] std::vector<ProductSpeed> measure_products(int threads, int windows, double window_seconds);
/// Joins windows of the same case.
void append(std::vector<ProductSpeed>& all, const std::vector<ProductSpeed>& more);
[[nodiscard]] Peak peak_of(const std::vector<ProductSpeed>& speeds);

}  // namespace bench
