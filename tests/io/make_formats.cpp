/// Makes the files of tests/io/data: make_formats FOLDER. Those of a released format are never made anew; for a new format, raise the
/// number in the names, run this once, and note the log densities that it prints in a new test of formats_test.cpp.
#include <cstdio>
#include <exception>
#include <filesystem>

#include "bayesflow/amortizers/model_file.hpp"
#include "io/support_amortizers.hpp"
#include "io/support_models.hpp"

using namespace bayesflow;

int main(int count, char** arguments) try {
  if (count != 2) {
    std::fprintf(stderr, "usage: make_formats FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = arguments[1];
  const AmortizedPosterior amortizer = small_amortizer();
  amortizer.save(folder / "model_format_1.h5",
                 {.info = {.param_names = {"a", "b", "c", "d"}, .simulations = 32000, .constants = {{"means", Array::of({0.5, -0.5})}}}});
  const Array density = amortizer.log_posterior(some_inputs());
  for (const double x : density.values()) std::printf("%.6g\n", x);
  PresimulateOptions options{.seed = 4, .batch_size = 8};
  gaussian_model({.name = "means"}).presimulate(folder / "simulations_format_1.h5", 20, options);
  options.progress = [](const PresimulationProgress& p) { return p.done < 40; };
  varying_model().presimulate(folder / "simulations_varying_format_1.h5", 60, options);
} catch (const std::exception& error) {
  std::fprintf(stderr, "make_formats: %s\n", error.what());
  return 1;
}
