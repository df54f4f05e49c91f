#include "amortizers/architecture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "amortizers/kinds.hpp"
#include "bayesflow/core/errors.hpp"
#include "io/described_json.hpp"
#include "networks/registry.hpp"

namespace bayesflow::detail {
namespace {

using io::Json;

constexpr const char* kOwn = "own";  // a class that the library does not know

Json shapes_json(const BatchShapes& shapes) {
  Json out = Json::object();
  for (const auto& [role, shape] : shapes) out[role] = std::vector<std::int64_t>(shape.begin(), shape.end());
  return out;
}

Shape shape_from(const Json& json, std::int64_t max_width) {
  Shape shape;
  for (const std::int64_t extent : io::integers<std::int64_t>(json)) {
    if (extent < 1) throw std::runtime_error("the shape of the inputs cannot be");
    shape.push_back(extent);
  }
  if (shape.rank() < 2 || shape[-1] > max_width) throw std::runtime_error("the shape of the inputs cannot be");
  return shape;
}

/// What the file cannot hold, and the caller did not give.
[[noreturn]] void missing(const std::string& what, const char* option) {
  throw IoError(fmt::format("{}, which is code and so not in the file: give it as LoadAmortizerOptions::{}", what, option));
}

Latent latent_from(const std::string& name, const LoadAmortizerOptions& parts) {
  if (parts.latent) return *parts.latent;
  if (name == "gaussian") return gaussian_latent();
  constexpr std::string_view kStudent = "student_t(";
  if (name.starts_with(kStudent) && name.ends_with(")"))
    return student_t_latent(io::number_from(std::string_view(name).substr(kStudent.size(), name.size() - kStudent.size() - 1)));
  missing(fmt::format("the model has a latent of your own, \"{}\"", name), "latent");
}

/// What a network's options cannot hold, as functions of the user's: it is named in the file, and given again when loading.
void write_own_parts(const Network& net, Json& json) {
  if (const auto* set = dynamic_cast<const DeepSet*>(&net)) json["own_pooling_fun"] = static_cast<bool>(set->options().pooling_fun);
}
void read_own_parts(const Json& json, const LoadAmortizerOptions& parts, DeepSetOptions& options) {
  if (!json.at("own_pooling_fun").get<bool>()) return;
  if (!parts.pooling_fun) missing("the model's DeepSet has a pooling function of your own", "pooling_fun");
  options.pooling_fun = parts.pooling_fun;
}
/// Only training needs it, so that a file can be loaded without.
void read_own_parts(const Json& /*json*/, const LoadAmortizerOptions& parts, PointNetworkOptions& options) {
  if (options.estimate == PointEstimate::own) options.loss_fun = parts.loss_fun;
}
template <class Options>
void read_own_parts(const Json& /*json*/, const LoadAmortizerOptions& /*parts*/, Options& /*options*/) {}

/// Whether the library can make a network that is inside another: a class that it knows, without functions of the user's.
bool is_described(const SummaryNetwork& net) {
  bool known = false;
  networks::for_each_summary_network([&]<class Net>(const char*) {
    const auto* of_class = dynamic_cast<const Net*>(&net);
    if (!of_class) return;
    known = true;
    if constexpr (requires { of_class->options().pooling_fun; }) known = !of_class->options().pooling_fun;
  });
  return known && std::ranges::all_of(net.parts(), [](const SummaryPart& part) { return is_described(*part.get()); });
}

/// Visits a list of networks until one is the given object, or has the given name.
struct WriteNetwork {
  const Network& net;
  Json out = {};
  template <class Net>
  void operator()(const char* name) {
    const auto* known = dynamic_cast<const Net*>(&net);
    if (!known) return;
    for (const SummaryPart& part : known->parts())  // one with a part that is code is code
      if (!is_described(*part.get())) return;
    out = {{"class", name}, {"options", io::OptionWriter::of(known->options())}};
    write_own_parts(net, out);
  }
};
template <class Base>
struct ReadNetwork {
  const Json& json;
  const std::string name;
  const LoadAmortizerOptions& parts;
  io::OptionLimits limits;
  std::shared_ptr<Base> out = {};
  template <class Net>
  void operator()(const char* known) {
    if (name != known) return;
    networks::OptionsOf<Net> options;
    io::OptionReader::fill(options, json.at("options"), limits);
    read_own_parts(json, parts, options);
    out = std::make_shared<Net>(std::move(options));
  }
};

Json network_json(const InferenceNetwork& net) {
  WriteNetwork write{net};
  networks::for_each_inference_network(write);
  return write.out.is_null() ? Json{{"class", kOwn}, {"target_width", net.target_width()}} : write.out;
}
Json network_json(const SummaryNetwork* net) {
  if (!net) return {};
  WriteNetwork write{*net};
  networks::for_each_summary_network(write);
  return write.out.is_null() ? Json{{"class", kOwn}, {"summary_dim", net->summary_dim()}} : write.out;
}

/// A network of the user's own class, made by a function that was given to load it.
template <class Net>
std::shared_ptr<Net> own_network(const std::function<std::shared_ptr<Net>()>& make, const char* option, const char* what) {
  if (!make) missing(fmt::format("the model has {} of your own class", what), option);
  std::shared_ptr<Net> net = make();
  if (!net) throw ConfigurationError(fmt::format("LoadAmortizerOptions::{} returned no network", option));
  return net;
}
void require_width(const char* option, const char* width, std::int64_t got, const Json& json) {
  const auto wanted = io::integer<std::int64_t>(json.at(width));
  if (got != wanted && got != 0)
    throw std::runtime_error(
        fmt::format("LoadAmortizerOptions::{} makes a network with {} = {}, the model's has {}", option, width, got, wanted));
}

std::shared_ptr<SummaryNetwork> summary_from(const Json& json, const LoadAmortizerOptions& parts, const io::OptionLimits& limits) {
  if (json.is_null()) return nullptr;
  ReadNetwork<SummaryNetwork> read{json, json.at("class").get<std::string>(), parts, limits};
  if (read.name == kOwn) {
    read.out = own_network(parts.summary_net, "summary_net", "a summary network");
    require_width("summary_net", "summary_dim", read.out->summary_dim(), json);
  }
  networks::for_each_summary_network(read);
  if (!read.out) throw std::runtime_error(fmt::format("the summary network is a \"{}\"", read.name));
  return read.out;
}

std::shared_ptr<InferenceNetwork> inference_from(const Json& json, const LoadAmortizerOptions& parts, const io::OptionLimits& limits) {
  ReadNetwork<InferenceNetwork> read{json, json.at("class").get<std::string>(), parts, limits};
  if (read.name == kOwn) {
    read.out = own_network(parts.inference_net, "inference_net", "an inference network");
    require_width("inference_net", "target_width", read.out->target_width(), json);
  }
  networks::for_each_inference_network(read);
  if (!read.out) throw std::runtime_error(fmt::format("the inference network is a \"{}\"", read.name));
  return read.out;
}

}  // namespace

bool is_known(const Network& net) {
  WriteNetwork write{net};
  networks::for_each_inference_network(write);
  networks::for_each_summary_network(write);
  return !write.out.is_null();
}

std::string architecture_of(const Amortizer& amortizer) {
  const NormalizingFlow* flow = amortizer.inference_net().as_flow();
  Json json = {{"class", amortizer.kind().name},
               {"latent", flow ? Json(flow->latent().name) : Json()},
               {"summary_mmd_weight", amortizer.options().summary_mmd_weight},
               {"seed", amortizer.options().seed.value_or(0)},
               {"built_for", shapes_json(amortizer.built_for())},
               {"inference_net", network_json(amortizer.inference_net())},
               {"summary_net", network_json(amortizer.summary_net())}};
  return json.dump(1);
}

Described from_architecture(const std::string& text, const LoadAmortizerOptions& parts, std::int64_t max_arrays, std::int64_t max_values,
                            const AmortizerKind* own) {
  const Json json = io::parse_json(text);
  const io::OptionLimits limits{max_arrays, max_values};
  const AmortizerKind& kind = kind_named(json.at("class").get<std::string>(), own);
  std::shared_ptr<InferenceNetwork> inference = inference_from(json.at("inference_net"), parts, limits);
  AmortizerOptions options{.summary_mmd_weight = json.at("summary_mmd_weight").get<double>(),
                           .seed = io::integer<std::uint64_t>(json.at("seed")),
                           .threads = parts.threads};
  if (!json.at("latent").is_null()) options.latent = latent_from(json.at("latent").get<std::string>(), parts);
  BatchShapes built_for;
  for (const auto& [role, shape] : json.at("built_for").items())
    if (!shape.is_null()) built_for.push_back({role, shape_from(shape, max_values)});  // earlier versions listed absent roles
  auto summary = summary_from(json.at("summary_net"), parts, limits);
  return {AmortizerAccess::make(kind, std::move(inference), std::move(summary), std::move(options)), std::move(built_for)};
}

}  // namespace bayesflow::detail
