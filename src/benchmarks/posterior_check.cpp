#include "bayesflow/benchmarks/posterior_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "io/csv.hpp"

namespace bayesflow::benchmarks {
namespace {

constexpr std::int64_t kObservations = 10;

using Path = std::filesystem::path;

/// The folder of an observation, wherever in sbibm `path` points to.
Path folder_of(const Benchmark& benchmark, const Path& path, std::int64_t observation) {
  const Path name = fmt::format("num_observation_{}", observation), task = benchmark.sbibm_task();
  std::error_code error;
  for (const Path& middle : {Path(), Path("files"), task / "files", "tasks" / task / "files", "sbibm" / Path("tasks") / task / "files"}) {
    Path folder = path / middle / name;
    if (std::filesystem::is_directory(folder, error)) return folder;
  }
  throw IoError(
      fmt::format("posterior_check: \"{}\" holds no folder {} of sbibm's problem {}; give the folder of the package sbibm (pip "
                  "download sbibm, and unzip it), its folder tasks, or tasks/{}",
                  path.string(), name.string(), task.string(), task.string()));
}

const char* observation_file(const Benchmark& benchmark) {
  if (benchmark.name() == "slcp_distractors") return "observation_distractors.csv";
  if (benchmark.name() == "bernoulli_glm_raw") return "observation_raw.csv";
  return "observation.csv";
}

Array read_numbers(const Path& path, std::int64_t width) {
  Array out = io::read_csv(path);
  if (out.dim(0) == 0) throw IoError(fmt::format("cannot read \"{}\": it has no line below its header", path.string()));
  if (out.dim(1) != width)
    throw ShapeError(fmt::format("\"{}\" must have {} columns, one for each parameter; got {}", path.string(), width, out.dim(1)));
  return out;
}

}  // namespace

Reference read_reference(const Benchmark& benchmark, const Path& path, std::int64_t observation) {
  if (observation < 1) throw ArgumentError(fmt::format("read_reference: observations are numbered from 1; got {}", observation));
  if (benchmark.sbibm_task().empty()) (void)benchmark.from_sbibm(Array());  // throws
  const Path folder = folder_of(benchmark, path, observation);
  const std::int64_t p = benchmark.num_params();
  const Path plain = folder / "reference_posterior_samples.csv";
  std::error_code error;
  const bool compressed = !std::filesystem::exists(plain, error);
  return {benchmark.from_sbibm(io::read_csv(folder / observation_file(benchmark))), read_numbers(folder / "true_parameters.csv", p).row(0),
          read_numbers(compressed ? Path(plain.string() + ".bz2") : plain, p)};
}

PosteriorCheck posterior_check(const Benchmark& benchmark, const PosteriorSampler& sampler, const Path& path,
                               const PosteriorCheckOptions& options) {
  if (options.n_samples < 0)
    throw ConfigurationError(fmt::format(
        "PosteriorCheckOptions::n_samples = {}; it must be positive, or 0 for as many as the reference has", options.n_samples));
  PosteriorCheck out;
  out.observations = options.observations;
  if (out.observations.empty())
    for (std::int64_t k = 1; k <= kObservations; ++k) out.observations.push_back(k);
  double sum = 0, square = 0;
  for (const std::int64_t k : out.observations) {
    const Reference reference = read_reference(benchmark, path, k);
    const std::int64_t n = options.n_samples ? options.n_samples : reference.posterior_samples.dim(0);
    const Array draws = sampler(reference.observation, n, options.seed + static_cast<std::uint64_t>(k));
    if (draws.shape() != Shape{n, benchmark.num_params()})
      throw ShapeError(fmt::format("posterior_check: draws for an observation must have the shape {}; got {}",
                                   Shape{n, benchmark.num_params()}.to_string(), draws.shape().to_string()));
    out.c2st.push_back(diagnostics::c2st(draws, reference.posterior_samples, options.c2st));
    const double accuracy = out.c2st.back().accuracy.value;
    sum += accuracy;
    square += accuracy * accuracy;
  }
  const auto n = static_cast<double>(out.c2st.size());
  out.mean.value = sum / n;
  out.mean.standard_error =
      n > 1 ? std::sqrt(std::max(square / n - out.mean.value * out.mean.value, 0.0) / (n - 1)) : std::numeric_limits<double>::quiet_NaN();
  return out;
}

PosteriorCheck posterior_check(const Benchmark& benchmark, const AmortizedPosterior& amortizer, const Path& path,
                               const PosteriorCheckOptions& options) {
  const PosteriorSampler sampler = [&](const Array& data, std::int64_t n_samples, std::uint64_t seed) {
    Simulations one;
    one.sim_data = data.expand_dims(0);
    return amortizer.sample(benchmark.posterior_inputs(one), n_samples, {.seed = seed}).row(0);
  };
  return posterior_check(benchmark, sampler, path, options);
}

std::vector<diagnostics::Table> PosteriorCheck::tables() const {
  std::vector<double> number, accuracy, error, p_value;
  for (std::size_t i = 0; i < c2st.size(); ++i) {
    number.push_back(static_cast<double>(observations[i]));
    accuracy.push_back(c2st[i].accuracy.value);
    error.push_back(c2st[i].accuracy.standard_error);
    p_value.push_back(c2st[i].p_value);
  }
  return {{"posterior_check", {{"observation", number}, {"c2st", accuracy}, {"standard_error", error}, {"p_value", p_value}}}};
}

}  // namespace bayesflow::benchmarks
