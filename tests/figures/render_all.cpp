/// Writes every figure for given numbers of parameters: render_all FOLDER 1,4,40 png|svg|pdf...
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "figures/support_cases.hpp"

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s FOLDER PARAMETERS KIND...\n", argv[0]);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  std::istringstream counts(argv[2]);
  for (std::string count; std::getline(counts, count, ',');)
    for (const auto& [name, figure] : bayesflow::test::all_figures(std::stoll(count)))
      for (int k = 3; k < argc; ++k) figure.save(folder / (name + "_" + count + "." + argv[k]), {.dpi = 60});
  return 0;
}
