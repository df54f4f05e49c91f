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

/// `of_part`: the given latent is that of the parts with one of the user's.
Latent latent_from(const std::string& name, const LoadAmortizerOptions& parts, bool of_part) {
  if (parts.latent && !of_part) return *parts.latent;
  if (name == "gaussian") return gaussian_latent();
  constexpr std::string_view kStudent = "student_t(";
  if (name.starts_with(kStudent) && name.ends_with(")"))
    return student_t_latent(io::number_from(std::string_view(name).substr(kStudent.size(), name.size() - kStudent.size() - 1)));
  if (parts.latent) return *parts.latent;
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

namespace {

Json json_of(const Amortizer& amortizer) {
  const NormalizingFlow* flow = amortizer.inference_net().as_flow();
  Json out = {{"class", amortizer.kind().name},
              {"latent", flow ? Json(flow->latent().name) : Json()},
              {"summary_mmd_weight", amortizer.options().summary_mmd_weight},
              {"seed", amortizer.options().seed.value_or(0)},
              {"built_for", shapes_json(amortizer.built_for())},
              {"inference_net", network_json(amortizer.inference_net())},
              {"summary_net", network_json(amortizer.summary_net())}};
  if (amortizer.options().precision != Precision::float32) out["precision"] = "bfloat16";
  if (const auto adapter = amortizer.adapter()) out["adapter"] = io::parse_json(adapter->to_json());
  return out;
}

Json json_of(const AmortizerBase& amortizer) {
  if (const auto* single = dynamic_cast<const Amortizer*>(&amortizer)) return json_of(*single);
  Json parts = Json::array();
  for (const AmortizerGroup::Part& part : dynamic_cast<const AmortizerGroup&>(amortizer).parts())
    parts.push_back({{"name", part.name}, {"amortizer", json_of(*part.amortizer)}});
  return {{"class", amortizer.class_name()}, {"parts", std::move(parts)}};
}

Described::Single single_from(const Json& json, const LoadAmortizerOptions& parts, const io::OptionLimits& limits, const AmortizerKind* own,
                              const std::string& place) {
  const auto name = json.at("class").get<std::string>();
  const AmortizerKind& kind = kind_named(name, own);
  std::shared_ptr<InferenceNetwork> inference = inference_from(json.at("inference_net"), parts, limits);
  AmortizerOptions options{.summary_mmd_weight = json.at("summary_mmd_weight").get<double>(),
                           .seed = io::integer<std::uint64_t>(json.at("seed")),
                           .threads = parts.threads};
  if (json.contains("precision")) {
    if (json.at("precision") != "bfloat16") throw std::runtime_error("its precision is " + json.at("precision").dump());
    options.precision = Precision::bfloat16;
  }
  if (!json.at("latent").is_null()) options.latent = latent_from(json.at("latent").get<std::string>(), parts, !place.empty());
  if (json.contains("adapter")) options.adapter = Adapter::from_json(json.at("adapter").dump());
  BatchShapes built_for;
  for (const auto& [role, shape] : json.at("built_for").items())
    if (!shape.is_null()) built_for.push_back({role, shape_from(shape, limits.max_width)});  // earlier versions listed absent roles
  auto summary = summary_from(json.at("summary_net"), parts, limits);
  return {place, AmortizerAccess::make(kind, std::move(inference), std::move(summary), std::move(options)), std::move(built_for)};
}

std::string joined(const std::string& place, const std::string& name) { return place.empty() ? name : place + "." + name; }

std::shared_ptr<AmortizerBase> amortizer_from(const Json& json, const LoadAmortizerOptions& parts, const io::OptionLimits& limits,
                                              const AmortizerKind* own, const std::string& place, int depth,
                                              std::vector<Described::Single>& singles) {
  if (!json.contains("parts")) {
    singles.push_back(single_from(json, parts, limits, own, place));
    return in_own_class(singles.back().amortizer);
  }
  constexpr int kDeepest = 4;
  if (depth > kDeepest) throw std::runtime_error("it is made of parts of parts of parts");
  std::vector<AmortizerGroup::Part> of;
  for (const Json& part : json.at("parts")) {
    const auto name = part.at("name").get<std::string>();
    if (name.empty() || name.find_first_of("./") != std::string::npos) throw std::runtime_error("the name of a part cannot be");
    of.push_back({name, amortizer_from(part.at("amortizer"), parts, limits, own, joined(place, name), depth + 1, singles)});
  }
  return group_named(json.at("class").get<std::string>(), std::move(of));
}

/// Numbers of data sets and observations say nothing about the networks, nor does the precision of draws.
void remove_shapes(Json& json) {
  json.erase("built_for");
  json.erase("precision");
  if (json.contains("parts"))
    for (Json& part : json.at("parts")) remove_shapes(part.at("amortizer"));
}

/// The description of a part by its dotted place.
const Json& part_at(const Json& json, const std::string& place) {
  if (place.empty()) return json;
  const std::string name = place.substr(0, place.find('.'));
  std::string known;
  if (json.contains("parts"))
    for (const Json& part : json.at("parts")) {
      if (part.at("name") == name) return part_at(part.at("amortizer"), place.size() > name.size() ? place.substr(name.size() + 1) : "");
      known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", part.at("name").get<std::string>());
    }
  throw IoError(fmt::format("the model has no part \"{}\"; {}. Correct LoadAmortizerOptions::part", name,
                            known.empty() ? "it has no parts" : "its parts are " + known));
}

}  // namespace

void Described::build(std::int64_t max_values) {
  nn::ParameterStore& store = amortizer->store();
  store.set_limit(max_values);
  for (Single& single : singles) single.amortizer.build(single.built_for);
  store.set_limit(-1);
}

std::string architecture_of(const AmortizerBase& amortizer) { return json_of(amortizer).dump(1); }

Described from_architecture(const std::string& text, const LoadAmortizerOptions& parts, std::int64_t max_arrays, std::int64_t max_values,
                            const AmortizerKind* own, const std::string& part) {
  const Json json = io::parse_json(text);
  Described out;
  out.amortizer = amortizer_from(part_at(json, part), parts, {max_arrays, max_values}, own, part, 0, out.singles);
  return out;
}

}  // namespace bayesflow::detail

namespace bayesflow {

std::string AmortizerBase::architecture() const {
  if (!dynamic_cast<const Amortizer*>(this) && !dynamic_cast<const AmortizerGroup*>(this)) return {};  // a class of the user's
  detail::Json json = detail::json_of(*this);
  detail::remove_shapes(json);
  return json.dump();
}

}  // namespace bayesflow
