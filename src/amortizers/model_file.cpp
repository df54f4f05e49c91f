#include "bayesflow/amortizers/model_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "amortizers/architecture.hpp"
#include "amortizers/kinds.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "io/archive.hpp"
#include "training/seen_file.hpp"

namespace bayesflow {
namespace {

constexpr io::Format kModelFormat{.kind = "model", .version = 1};
constexpr std::int64_t kProbes = 2, kProbeDraws = 10;
constexpr double kTolerance = 1e-4;
constexpr const char *kLogDensity = "probes/log_posterior", *kDraws = "probes/draws", *kOutputs = "probes/outputs";

/// What a model says about probes. Absent where networks or inputs do not allow it.
struct Outputs {
  std::optional<Array> log_density, draws, outputs;
};

Outputs outputs_of(const Amortizer& amortizer, const Batch& probes) {
  Outputs out;
  std::vector<Foreign> ignored;  // probes are made up
  const InferenceNetwork& net = amortizer.inference_net();
  const Block* direct = probes.find(amortizer.kind().direct);
  if (net.has_density() && probes.has(amortizer.kind().target)) out.log_density = AmortizerAccess::log_density(amortizer, probes, &ignored);
  if (net.has_draws() && (!direct || direct->rank() == 2))
    out.draws = AmortizerAccess::draws(amortizer, probes, kProbeDraws, {.seed = 0, .foreign = &ignored});
  if (net.has_outputs() && (!direct || direct->rank() == 2))
    out.outputs = AmortizerAccess::outputs(amortizer, probes, {.seed = 0, .foreign = &ignored});
  return out;
}

/// Standard normal numbers in the shapes that the networks were built for.
Batch make_probes(const Amortizer& amortizer) {
  const Rng streams(0, "probes of a model file");
  const AmortizerKind& kind = amortizer.kind();
  Batch out;
  const Shape* direct = find_shape(amortizer.built_for(), kind.direct);
  Shape target{kProbes, amortizer.target_width()};
  if (direct && direct->rank() == 3) target = {kProbes, (*direct)[1], amortizer.target_width()};
  Array targets = streams.branch(kind.target).normal(target);
  amortizer.inference_net().make_valid(targets);
  out.set(kind.target, targets);
  for (auto [role, shape] : amortizer.built_for()) {
    shape.set(0, kProbes);
    if (role == kind.target) continue;
    Array values = roles::source_in(role, roles::summary_mask) ? Array(shape, 1.0) : streams.branch(role).normal(shape);
    if (const SummaryNetwork* net = amortizer.summary_net(); net && kind.summary) {
      const std::span<const std::string> sources = net->sources();
      for (std::size_t i = 0; i < sources.size(); ++i)
        if (role == std::string_view(roles::of_source(kind.summary, sources[i]))) net->parts()[i]->make_valid(values);
      if (sources.empty() && role == kind.summary) net->make_valid(values);
    }
    out.set(role, values);
  }
  return out;
}

void write(io::ArchiveWriter& out, const std::string& path, const Array& array) {
  out.array(path, array.shape(), std::vector<double>(array.values().begin(), array.values().end()));
}

Array read(const io::ArchiveReader& in, const std::string& path) {
  Array out = uninitialized_array(in.shape(path));
  in.read(path, out.shape(), out.values());
  return out;
}

/// Largest difference, relative to the largest value; infinite where only one of them is finite.
double difference(const Array& got, const Array& want) {
  if (got.shape() != want.shape()) return INFINITY;
  double worst = 0, scale = 1;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double a = got.data()[i], b = want.data()[i];
    if (std::isnan(a) != std::isnan(b) || std::isinf(a) != std::isinf(b)) return INFINITY;
    if (!std::isfinite(a)) continue;
    worst = std::max(worst, std::abs(a - b));
    scale = std::max(scale, std::abs(b));
  }
  return worst / scale;
}

std::string weight_path(const nn::ParameterInfo& p) { return "weights/" + p.name; }
std::string integers_path(const nn::Buffer& b) { return "integer_buffers/" + b.name; }
std::string floats_path(const nn::Buffer& b) { return "float_buffers/" + b.name; }

/// The networks follow these numbers as indices: they must be a permutation, whatever the file says.
bool is_permutation(const std::vector<std::int32_t>& p) {
  std::vector<bool> seen(p.size(), false);
  for (const std::int32_t i : p) {
    if (i < 0 || static_cast<std::size_t>(i) >= p.size() || seen[static_cast<std::size_t>(i)]) return false;
    seen[static_cast<std::size_t>(i)] = true;
  }
  return true;
}

void read_weights(const io::ArchiveReader& in, nn::ParameterStore& store) {
  std::set<std::string> known;
  for (std::size_t i = 0; i < store.table().size(); ++i) {
    const nn::ParameterInfo& p = store.table()[i];
    in.read(weight_path(p), p.shape, store.value(static_cast<int>(i)));
    known.insert(weight_path(p));
  }
  for (nn::Buffer& b : store.buffers()) {
    if (!b.integers.empty()) {
      in.read(integers_path(b), {static_cast<std::int64_t>(b.integers.size())}, std::span<std::int32_t>(b.integers));
      if (b.name.ends_with("permutation") && !is_permutation(b.integers)) in.refuse(integers_path(b), "is no permutation");
      known.insert(integers_path(b));
    }
    if (!b.floats.empty()) {
      in.read(floats_path(b), {static_cast<std::int64_t>(b.floats.size())}, std::span<float>(b.floats));
      known.insert(floats_path(b));
    }
  }
  for (const char* group : {"weights/", "integer_buffers/", "float_buffers/"})
    for (const std::string& path : in.paths(group))
      if (!known.contains(path)) in.refuse(path, "belongs to no part of the networks that it describes");
}

/// Loads what was written, so that a file that cannot be loaded never takes the place of one that can. A network of a user's own class
/// cannot be made here; then the file itself is checked.
void verify_written(const Amortizer& amortizer, const std::filesystem::path& written, const std::filesystem::path& path) {
  LoadAmortizerOptions parts{.threads = 1};
  if (const NormalizingFlow* flow = amortizer.inference_net().as_flow()) parts.latent = flow->latent();
  const SummaryNetwork* summary = amortizer.summary_net();
  if (const auto* deep_set = dynamic_cast<const DeepSet*>(summary)) parts.pooling_fun = deep_set->options().pooling_fun;
  try {
    if (detail::is_known(amortizer.inference_net()) && (!summary || detail::is_known(*summary)))
      (void)detail::load_model(written, parts, &amortizer.kind());
    else
      (void)io::ArchiveReader(written, kModelFormat);
  } catch (const std::exception& error) {
    throw IoError(fmt::format("cannot save \"{}\": the new file cannot be loaded again ({}); what was there before is kept", path.string(),
                              error.what()));
  }
}

/// Everything but the writing of the file; the weights, the probes' outputs and the rest are copies of one training step.
io::ArchiveWriter collect(const Amortizer& amortizer, const SaveAmortizerOptions& options) {
  const nn::WeightLock::Reading reading(amortizer.store().lock());
  Batch probes;
  Outputs outputs;
  try {
    probes = options.probes ? *options.probes : make_probes(amortizer);
    outputs = outputs_of(amortizer, probes);
  } catch (const std::exception& error) {
    throw ConfigurationError(
        fmt::format("save_amortizer: the networks fail for {}: {}; give a few real inputs as SaveAmortizerOptions::probes",
                    options.probes ? "the given probes" : "normal numbers as inputs", error.what()));
  }

  io::ArchiveWriter out(kModelFormat);
  const ModelInfo& info = options.info;
  out.attribute("architecture", detail::architecture_of(amortizer));
  out.attribute("description", info.description);
  out.attribute("param_names", info.param_names);
  out.attribute("simulations", info.simulations);
  out.attribute("seed", info.seed);
  if (info.final_loss) out.attribute("final_loss", *info.final_loss);
  if (info.final_validation_loss) out.attribute("final_validation_loss", *info.final_validation_loss);
  out.attribute("probe_tolerance", kTolerance);
  const nn::ParameterStore& store = amortizer.store();
  for (const nn::ParameterInfo& p : store.table())
    out.array(weight_path(p), p.shape, std::vector<float>(store.values() + p.offset, store.values() + p.offset + p.shape.size()));
  for (const nn::Buffer& b : store.buffers()) {
    if (!b.integers.empty()) out.array(integers_path(b), {static_cast<std::int64_t>(b.integers.size())}, std::vector(b.integers));
    if (!b.floats.empty()) out.array(floats_path(b), {static_cast<std::int64_t>(b.floats.size())}, std::vector(b.floats));
  }
  for (const auto& [name, array] : info.constants) write(out, "constants/" + name, array);
  const std::shared_ptr<const SeenData> seen = amortizer.seen();
  if (seen) training::write_seen(out, *seen);
  for (const auto& [role, values] : probes.entries()) write(out, "probes/" + role.str(), values.array());
  if (outputs.log_density) write(out, kLogDensity, *outputs.log_density);
  if (outputs.draws) write(out, kDraws, *outputs.draws);
  if (outputs.outputs) write(out, kOutputs, *outputs.outputs);
  return out;
}

}  // namespace

void save_amortizer(const Amortizer& amortizer, const std::filesystem::path& path, const SaveAmortizerOptions& options) {
  if (!amortizer.is_built())
    throw ConfigurationError("save_amortizer: the networks have no weights yet; train first (or call build with a first batch)");
  collect(amortizer, options).commit(path, [&](const std::filesystem::path& written) { verify_written(amortizer, written, path); });
}

detail::LoadedModel detail::load_model(const std::filesystem::path& path, const LoadAmortizerOptions& options, const AmortizerKind* own) {
  const io::ArchiveReader in(path, kModelFormat);
  const auto& architecture = in.attribute<std::string>("architecture");
  std::int64_t arrays = 0, values = 0;
  for (const std::string& weights : in.paths("weights/")) {
    ++arrays;
    values += in.shape(weights).size();
  }
  std::optional<Amortizer> amortizer;
  try {
    detail::Described described = detail::from_architecture(architecture, options, arrays, values, own);
    described.amortizer.store().set_limit(values);
    described.amortizer.build(described.built_for);
    described.amortizer.store().set_limit(-1);
    amortizer = std::move(described.amortizer);
  } catch (const IoError& error) {
    throw IoError(fmt::format("\"{}\": {}", path.string(), error.what()));
  } catch (const std::exception& error) {
    throw IoError(fmt::format(
        "\"{}\": its networks cannot be rebuilt ({}); use another copy of the file, or the version of the library that wrote it ({})",
        path.string(), error.what(), in.library_version()));
  }
  read_weights(in, amortizer->store());

  LoadedModel out{*amortizer, {}, in.format_version(), in.library_version()};
  ModelInfo& info = out.info;
  info.description = in.attribute<std::string>("description");
  info.param_names = in.attribute<std::vector<std::string>>("param_names");
  info.simulations = in.attribute<std::int64_t>("simulations");
  info.seed = in.attribute<std::uint64_t>("seed");
  if (in.has_attribute("final_loss")) info.final_loss = in.attribute<double>("final_loss");
  if (in.has_attribute("final_validation_loss")) info.final_validation_loss = in.attribute<double>("final_validation_loss");
  constexpr std::string_view kConstants = "constants/";
  for (const std::string& name : in.paths(std::string(kConstants))) info.constants.emplace(name.substr(kConstants.size()), read(in, name));

  if (const std::optional<SeenData> known = training::read_seen(in)) out.amortizer.set_seen(*known);
  if (!options.verify) return out;
  Batch probes;
  for (const std::string& name : in.paths("probes/"))
    if (name != kLogDensity && name != kDraws && name != kOutputs)
      probes.set(name.substr(std::string_view("probes/").size()), read(in, name));
  double worst = 0;
  try {
    const Outputs got = outputs_of(out.amortizer, probes);
    for (const auto& [name, array] :
         {std::pair{kLogDensity, &got.log_density}, std::pair{kDraws, &got.draws}, std::pair{kOutputs, &got.outputs}})
      if (*array) worst = std::max(worst, difference(**array, read(in, name)));
  } catch (const IoError&) {
    throw;
  } catch (const std::exception& error) {
    throw IoError(
        fmt::format("\"{}\": the networks fail for the stored probes ({}); use another copy of the file, or the version of the library "
                    "that wrote it ({})",
                    path.string(), error.what(), in.library_version()));
  }
  if (worst > kTolerance)
    throw IoError(fmt::format(
        "\"{}\": the model no longer gives the stored answers for its probes: they differ by {:.2g} relative to their size, and {:.0e} is "
        "allowed. "
        "Use the version of the library that wrote it ({}), check the code that you give as LoadAmortizerOptions, or load it all the same "
        "with LoadAmortizerOptions::verify = false",
        path.string(), worst, kTolerance, in.library_version()));
  return out;
}

void Amortizer::save(const std::filesystem::path& path) const { save_amortizer(*this, path); }
void Amortizer::save(const std::filesystem::path& path, const SaveAmortizerOptions& options) const { save_amortizer(*this, path, options); }

}  // namespace bayesflow
