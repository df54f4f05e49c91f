#include "bayesflow/amortizers/model_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <set>

#include "amortizers/architecture.hpp"
#include "amortizers/kinds.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "io/archive.hpp"
#include "training/seen_file.hpp"

namespace bayesflow {
namespace {

constexpr io::Format kModelFormat{.kind = "model", .version = 2};  // the newest
constexpr std::uint32_t kWithoutAdapter = 1;                       // what a model without an adapter is written as
constexpr std::int64_t kProbes = 2, kProbeDraws = 10;
constexpr double kTolerance = 1e-4;
constexpr const char *kLogDensity = "log_posterior", *kDraws = "draws", *kOutputs = "outputs";

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

/// A single amortizer of those that a model is made of, and where it stands in the file: "" if it is all of it, or "posterior", ...
struct Single {
  std::string place;
  const Amortizer& amortizer;
};
std::vector<Single> singles_of(const AmortizerBase& amortizer, const std::string& place = "") {
  if (const auto* single = dynamic_cast<const Amortizer*>(&amortizer)) return {{place, *single}};
  std::vector<Single> out;
  for (const AmortizerGroup::Part& part : dynamic_cast<const AmortizerGroup&>(amortizer).parts())
    for (Single& single : singles_of(*part.amortizer, place.empty() ? part.name : place + "." + part.name))
      out.push_back(std::move(single));
  return out;
}

/// The paths of a single amortizer's arrays.
class Paths {
 public:
  explicit Paths(const Single& single) : place_(single.place), own_(AmortizerAccess::own(single.amortizer)) {}
  [[nodiscard]] const AmortizerAccess::Own& own() const { return own_; }
  [[nodiscard]] std::string weights(const nn::ParameterInfo& p) const { return "weights/" + name(p.name); }
  [[nodiscard]] std::string integers(const nn::Buffer& b) const { return "integer_buffers/" + name(b.name); }
  [[nodiscard]] std::string floats(const nn::Buffer& b) const { return "float_buffers/" + name(b.name); }

 private:
  [[nodiscard]] std::string name(const std::string& in_store) const {
    return (place_.empty() ? "" : place_ + ".") + in_store.substr(own_.place);
  }
  const std::string& place_;
  const AmortizerAccess::Own own_;
};
/// Of probes and what is said about them.
std::string probes_path(const Single& single) { return "probes/" + (single.place.empty() ? "" : single.place + "/"); }

/// The networks follow these numbers as indices: they must be a permutation, whatever the file says.
bool is_permutation(const std::vector<std::int32_t>& p) {
  std::vector<bool> seen(p.size(), false);
  for (const std::int32_t i : p) {
    if (i < 0 || static_cast<std::size_t>(i) >= p.size() || seen[static_cast<std::size_t>(i)]) return false;
    seen[static_cast<std::size_t>(i)] = true;
  }
  return true;
}

/// `part`: all arrays of the file whose names begin with this part's must be read; empty: all of the file's.
void read_weights(const io::ArchiveReader& in, const std::vector<detail::Described::Single>& singles, const std::string& part) {
  std::set<std::string> known;
  for (const detail::Described::Single& described : singles) {
    Amortizer amortizer = described.amortizer;
    const Single single{described.place, amortizer};
    const Paths paths(single);
    const AmortizerAccess::Own& own = paths.own();
    for (std::size_t i = 0; i < own.parameters.size(); ++i) {
      const nn::ParameterInfo& p = own.parameters[i];
      in.read(paths.weights(p), p.shape, amortizer.store().value(static_cast<int>(own.first) + static_cast<int>(i)));
      known.insert(paths.weights(p));
    }
    for (nn::Buffer& b : own.buffers) {
      if (!b.integers.empty()) {
        in.read(paths.integers(b), {static_cast<std::int64_t>(b.integers.size())}, std::span<std::int32_t>(b.integers));
        if (b.name.ends_with("permutation") && !is_permutation(b.integers)) in.refuse(paths.integers(b), "is no permutation");
        known.insert(paths.integers(b));
      }
      if (!b.floats.empty()) {
        in.read(paths.floats(b), {static_cast<std::int64_t>(b.floats.size())}, std::span<float>(b.floats));
        known.insert(paths.floats(b));
      }
    }
  }
  for (const char* group : {"weights/", "integer_buffers/", "float_buffers/"})
    for (const std::string& path : in.paths(std::string(group) + (part.empty() ? "" : part + ".")))
      if (!known.contains(path)) in.refuse(path, "belongs to no part of the networks that it describes");
}

/// Loads what was written, so that a file that cannot be loaded never takes the place of one that can. A network of a user's own class
/// cannot be made here; then the file itself is checked.
void verify_written(const AmortizerBase& amortizer, const std::filesystem::path& written, const std::filesystem::path& path) {
  try {
    for (const Single& single : singles_of(amortizer)) {
      LoadAmortizerOptions parts{.threads = 1, .part = single.place};
      if (const NormalizingFlow* flow = single.amortizer.inference_net().as_flow()) parts.latent = flow->latent();
      const SummaryNetwork* summary = single.amortizer.summary_net();
      if (const auto* deep_set = dynamic_cast<const DeepSet*>(summary)) parts.pooling_fun = deep_set->options().pooling_fun;
      if (detail::is_known(single.amortizer.inference_net()) && (!summary || detail::is_known(*summary)))
        (void)detail::load_model(written, parts, &single.amortizer.kind());
      else
        (void)io::ArchiveReader(written, kModelFormat);
    }
  } catch (const std::exception& error) {
    throw IoError(fmt::format("cannot save \"{}\": the new file cannot be loaded again ({}); what was there before is kept", path.string(),
                              error.what()));
  }
}

/// Weights, and probes with what the networks say about them.
void collect(io::ArchiveWriter& out, const Single& single, const SaveAmortizerOptions& options) {
  const Amortizer& amortizer = single.amortizer;
  Batch probes;
  Outputs outputs;
  try {
    probes = options.probes ? amortizer.share_of(*options.probes) : make_probes(amortizer);
    outputs = outputs_of(amortizer, probes);
  } catch (const std::exception& error) {
    throw ConfigurationError(
        fmt::format("save_amortizer: the networks fail for {}: {}; give a few real inputs as SaveAmortizerOptions::probes",
                    options.probes ? "the given probes" : "normal numbers as inputs", error.what()));
  }
  const Paths paths(single);
  const float* values = amortizer.store().values();
  for (const nn::ParameterInfo& p : paths.own().parameters)
    out.array(paths.weights(p), p.shape, std::vector<float>(values + p.offset, values + p.offset + p.shape.size()));
  for (const nn::Buffer& b : paths.own().buffers) {
    if (!b.integers.empty()) out.array(paths.integers(b), {static_cast<std::int64_t>(b.integers.size())}, std::vector(b.integers));
    if (!b.floats.empty()) out.array(paths.floats(b), {static_cast<std::int64_t>(b.floats.size())}, std::vector(b.floats));
  }
  for (const auto& [role, block] : probes.entries()) write(out, probes_path(single) + role.str(), block.array());
  if (outputs.log_density) write(out, probes_path(single) + kLogDensity, *outputs.log_density);
  if (outputs.draws) write(out, probes_path(single) + kDraws, *outputs.draws);
  if (outputs.outputs) write(out, probes_path(single) + kOutputs, *outputs.outputs);
}

/// Largest difference between what the networks say about the stored probes and what they said when they were stored.
double difference_at_probes(const io::ArchiveReader& in, const detail::Described::Single& single) {
  const std::string group = probes_path({single.place, single.amortizer});
  Batch probes;
  for (const std::string& path : in.paths(group))
    if (const std::string name = path.substr(group.size()); name != kLogDensity && name != kDraws && name != kOutputs)
      probes.set(name, read(in, path));
  const Outputs got = outputs_of(single.amortizer, probes);
  double worst = 0;
  for (const auto& [name, array] :
       {std::pair{kLogDensity, &got.log_density}, std::pair{kDraws, &got.draws}, std::pair{kOutputs, &got.outputs}})
    if (*array) worst = std::max(worst, difference(**array, read(in, group + name)));
  return worst;
}

/// Everything but the writing of the file; the weights, the probes' outputs and the rest are copies of one training step.
io::ArchiveWriter collect(const AmortizerBase& amortizer, const SaveAmortizerOptions& options) {
  const std::vector<Single> singles = singles_of(amortizer);
  std::list<nn::WeightLock::Reading> readings;
  for (const Single& single : singles) readings.emplace_back(single.amortizer.store().lock());

  // A library that knows no adapters would give draws in another unit.
  io::Format format = kModelFormat;
  if (std::ranges::all_of(amortizer.adapters(), &std::string::empty)) format.version = kWithoutAdapter;
  io::ArchiveWriter out(format);
  const ModelInfo& info = options.info;
  out.attribute("architecture", detail::architecture_of(amortizer));
  out.attribute("description", info.description);
  out.attribute("param_names", info.param_names);
  out.attribute("simulations", info.simulations);
  out.attribute("seed", info.seed);
  if (info.final_loss) out.attribute("final_loss", *info.final_loss);
  if (info.final_validation_loss) out.attribute("final_validation_loss", *info.final_validation_loss);
  if (!info.workflow.empty()) out.attribute("workflow", info.workflow);
  out.attribute("probe_tolerance", kTolerance);
  for (const auto& [name, array] : info.constants) write(out, "constants/" + name, array);
  const std::shared_ptr<const SeenData> seen = amortizer.seen();
  if (seen) training::write_seen(out, *seen);
  for (const Single& single : singles) collect(out, single, options);
  return out;
}

}  // namespace

void save_amortizer(const AmortizerBase& amortizer, const std::filesystem::path& path, const SaveAmortizerOptions& options) {
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
  detail::Described described;
  try {
    described = detail::from_architecture(architecture, options, arrays, values, own, options.part);
    described.build(values);
  } catch (const IoError& error) {
    throw IoError(fmt::format("\"{}\": {}", path.string(), error.what()));
  } catch (const std::exception& error) {
    throw IoError(fmt::format(
        "\"{}\": its networks cannot be rebuilt ({}); use another copy of the file, or the version of the library that wrote it ({})",
        path.string(), error.what(), in.library_version()));
  }
  read_weights(in, described.singles, options.part);

  LoadedModel out{described.amortizer, {}, in.format_version(), in.library_version()};
  ModelInfo& info = out.info;
  info.description = in.attribute<std::string>("description");
  info.param_names = in.attribute<std::vector<std::string>>("param_names");
  info.simulations = in.attribute<std::int64_t>("simulations");
  info.seed = in.attribute<std::uint64_t>("seed");
  if (in.has_attribute("final_loss")) info.final_loss = in.attribute<double>("final_loss");
  if (in.has_attribute("final_validation_loss")) info.final_validation_loss = in.attribute<double>("final_validation_loss");
  if (in.has_attribute("workflow")) info.workflow = in.attribute<std::string>("workflow");
  constexpr std::string_view kConstants = "constants/";
  for (const std::string& name : in.paths(std::string(kConstants))) info.constants.emplace(name.substr(kConstants.size()), read(in, name));

  if (const std::optional<SeenData> known = training::read_seen(in)) out.amortizer->set_seen(*known);
  if (!options.verify) return out;
  double worst = 0;
  try {
    for (const detail::Described::Single& single : described.singles) worst = std::max(worst, difference_at_probes(in, single));
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

Amortizer detail::single_of(const LoadedModel& model, const AmortizerKind& kind) {
  if (const auto* single = dynamic_cast<const Amortizer*>(model.amortizer.get())) return *single;
  throw ConfigurationError(
      fmt::format("{}: the given amortizer is an {}; use that class, or name one of its parts as LoadAmortizerOptions::part", kind.name,
                  model.amortizer->class_name()));
}

const AmortizerGroup& detail::group_of(const LoadedModel& model, const char* class_name) {
  if (const auto* group = dynamic_cast<const AmortizerGroup*>(model.amortizer.get())) return *group;
  throw ConfigurationError(fmt::format("{}: the given amortizer is an {}; use that class", class_name, model.amortizer->class_name()));
}

void AmortizerBase::save(const std::filesystem::path& path) const { save_amortizer(*this, path); }
void AmortizerBase::save(const std::filesystem::path& path, const SaveAmortizerOptions& options) const {
  save_amortizer(*this, path, options);
}

}  // namespace bayesflow
