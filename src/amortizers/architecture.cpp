#include "amortizers/architecture.hpp"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/graph_network.hpp"
#include "io/json_numbers.hpp"

namespace bayesflow::detail {
namespace {

using Json = nlohmann::json;

template <class Enum>
using Names = std::vector<std::pair<Enum, const char*>>;

/// The names of an enumeration whose values are 0 to `last`.
template <class Enum>
Names<Enum> names_up_to(Enum last) {
  Names<Enum> out;
  for (int i = 0; i <= static_cast<int>(last); ++i) out.emplace_back(static_cast<Enum>(i), to_string(static_cast<Enum>(i)));
  return out;
}
Names<Activation> names(Activation) { return names_up_to(kLastActivation); }
Names<nn::Initializer> names(nn::Initializer) { return names_up_to(nn::kLastInitializer); }
Names<GraphOp> names(GraphOp) { return names_up_to(GraphOp::repeat); }
Names<CouplingDesign> names(CouplingDesign) {
  return {{CouplingDesign::affine, "affine"}, {CouplingDesign::spline, "spline"}, {CouplingDesign::interleaved, "interleaved"}};
}
Names<PermutationKind> names(PermutationKind) {
  return {{PermutationKind::fixed, "fixed"}, {PermutationKind::learnable, "learnable"}, {PermutationKind::none, "none"}};
}
Names<Pooling> names(Pooling) { return {{Pooling::mean, "mean"}, {Pooling::max, "max"}}; }

/// What JSON holds as it is.
template <class T>
constexpr bool kIsPlain = std::is_arithmetic_v<T> || std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<std::string>>;

/// Options -> JSON.
struct Writer {
  Json json = Json::object();

  template <class T>
  void operator()(const char* name, const T& value) {
    if constexpr (std::is_enum_v<T>) {
      for (const auto& [item, text] : names(value))
        if (item == value) json[name] = text;
    } else if constexpr (kIsPlain<T>) {
      json[name] = value;
    } else {
      json[name] = of(value);
    }
  }
  template <class T>
  void operator()(const char* name, const std::optional<T>& value) {
    json[name] = value ? of(*value) : Json();
  }
  template <class T>
  requires(!kIsPlain<std::vector<T>>) void operator()(const char* name, const std::vector<T>& values) {
    Json& list = json[name] = Json::array();
    for (const T& value : values) list.push_back(of(value));
  }
  /// Options of later versions are in the file only where they are not the default, so that earlier ones read the other files.
  template <class T>
  void optional(const char* name, const T& value, const T& usual) {
    if (value != usual) (*this)(name, value);
  }
  template <class T>
  static Json of(const T& options) {
    Writer writer;
    visit(writer, const_cast<T&>(options));  // read only: one table of fields serves both directions
    return std::move(writer.json);
  }
};

/// JSON -> options. Every field must be there, and no other but the optional ones.
struct Reader {
  const Json& json;
  std::int64_t max_count, max_width;
  std::size_t seen = 0;

  template <class T>
  void operator()(const char* name, T& value) {
    ++seen;
    const Json& from = json.at(name);
    if constexpr (std::is_enum_v<T>) {
      const auto text = from.template get<std::string>();
      for (const auto& [item, known] : names(value))
        if (text == known) {
          value = item;
          return;
        }
      throw std::runtime_error(fmt::format("{} is \"{}\"", name, text));
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
      value = io::integer<std::int64_t>(from);
      if (std::string_view(name) == "first" || std::string_view(name) == "last") {  // columns; negative ones count from the end
        if (value < -max_width || value > max_width) throw std::runtime_error(fmt::format("{} is {}", name, value));
        return;
      }
      const bool width = std::string_view(name) == "units" || std::string_view(name) == "summary_dim" ||
                         std::string_view(name) == "num_params" || std::string_view(name) == "bins";
      if (value < 0 || value > (width ? max_width : max_count)) throw std::runtime_error(fmt::format("{} is {}", name, value));
    } else if constexpr (kIsPlain<T>) {
      value = from.template get<T>();
    } else {
      nested(from, value);
    }
  }
  template <class T>
  void operator()(const char* name, std::optional<T>& value) {
    ++seen;
    const Json& from = json.at(name);
    value.reset();
    if (!from.is_null()) nested(from, value.emplace());
  }
  template <class T>
  requires(!kIsPlain<std::vector<T>>) void operator()(const char* name, std::vector<T>& values) {
    ++seen;
    const Json& from = json.at(name);
    if (!from.is_array()) throw std::runtime_error(fmt::format("{} is no list", name));
    values.clear();
    for (const Json& item : from) nested(item, values.emplace_back());
  }
  /// A field that files of earlier versions lack.
  template <class T>
  void optional(const char* name, T& value, const T& usual) {
    if (json.contains(name))
      (*this)(name, value);
    else
      value = usual;
  }
  template <class T>
  void nested(const Json& from, T& options) const {
    Reader reader{from, max_count, max_width};
    visit(reader, options);
    if (reader.seen != from.size()) throw std::runtime_error("there are options that this library does not know");
  }
};

/// Fields of an aggregate: the most initializers that it takes.
struct Anything {
  template <class T>
  operator T() const {
    throw std::logic_error("only counted, never called");
  }
};
template <class T, class... Fields>
consteval std::size_t fields_of() {
  if constexpr (requires { T{Fields{}..., Anything{}}; })
    return fields_of<T, Fields..., Anything>();
  else
    return sizeof...(Fields);
}
// A new option must be stored as well: give it a line below, and raise the number here.
static_assert(fields_of<DenseOptions>() == 6);
static_assert(fields_of<DeepSetOptions>() == 11);  // with pooling_fun, which is no line below
static_assert(fields_of<GraphLayer>() == 2);
static_assert(fields_of<GraphNode>() == 9);
static_assert(fields_of<GraphOptions>() == 2);
static_assert(fields_of<ops::SplineOptions>() == 8);
static_assert(fields_of<CouplingOptions>() == 9);
static_assert(fields_of<InvertibleNetworkOptions>() == 11);  // with act_norm_init, which is none either

// One line per field, in both directions.
template <class V>
void visit(V& v, DenseOptions& o) {
  v("units", o.units);
  v("activation", o.activation);
  v("kernel_initializer", o.kernel_initializer);
  v("kernel_regularizer", o.kernel_regularizer);
  v.optional("use_bias", o.use_bias, true);
  v.optional("bias_initializer", o.bias_initializer, nn::Initializer::zeros);
}
template <class V>
void visit(V& v, DeepSetOptions& o) {
  v("summary_dim", o.summary_dim);
  v("num_dense_s1", o.num_dense_s1);
  v("num_dense_s2", o.num_dense_s2);
  v("num_dense_s3", o.num_dense_s3);
  v("num_equiv", o.num_equiv);
  v("dense_s1", o.dense_s1);
  v("dense_s2", o.dense_s2);
  v("dense_s3", o.dense_s3);
  v("pooling", o.pooling);
  v("linear_path", o.linear_path);
}
template <class V>
void visit(V& v, GraphLayer& o) {
  v("name", o.name);
  v("dense", o.dense);
}
template <class V>
void visit(V& v, GraphNode& o) {
  v("name", o.name);
  v("op", o.op);
  v("sources", o.sources);
  v("layer", o.layer);
  v("activation", o.activation);
  v("number", o.number);
  v("first", o.first);
  v("last", o.last);
  v("axes", o.axes);
}
template <class V>
void visit(V& v, GraphOptions& o) {
  v("layers", o.layers);
  v("nodes", o.nodes);
}
template <class V>
void visit(V& v, ops::SplineOptions& o) {
  v("bins", o.bins);
  v("left", o.left);
  v("right", o.right);
  v("bottom", o.bottom);
  v("top", o.top);
  v("log_offset", o.log_offset);
  v("min_bin", o.min_bin);
  v("min_slope", o.min_slope);
}
template <class V>
void visit(V& v, CouplingOptions& o) {
  v("dense", o.dense);
  v("num_dense", o.num_dense);
  v("dropout_prob", o.dropout_prob);
  v("mc_dropout", o.mc_dropout);
  v("spec_norm", o.spec_norm);
  v("residual", o.residual);
  v("soft_clamping", o.soft_clamping);
  v("spline", o.spline);
  v.optional("location_scale", o.location_scale, false);
}
/// What act_norm_init did is in the weights.
template <class V>
void visit(V& v, InvertibleNetworkOptions& o) {
  v("num_params", o.num_params);
  v("num_coupling_layers", o.num_coupling_layers);
  v("coupling_design", o.coupling_design);
  v("coupling", o.coupling);
  v("spline_coupling", o.spline_coupling);
  v("permutation", o.permutation);
  v("use_act_norm", o.use_act_norm);
  v("use_soft_flow", o.use_soft_flow);
  v("soft_flow_low", o.soft_flow_low);
  v("soft_flow_high", o.soft_flow_high);
}

Json shape_json(const std::optional<Shape>& shape) {
  return shape ? Json(std::vector<std::int64_t>(shape->begin(), shape->end())) : Json();
}

std::optional<Shape> shape_from(const Json& json, std::int64_t max_width) {
  if (json.is_null()) return {};
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

std::shared_ptr<SummaryNetwork> summary_from(const Json& json, const LoadAmortizerOptions& parts, const Reader& limits,
                                             const std::optional<Shape>& input) {
  if (json.is_null()) return nullptr;
  const auto kind = json.at("class").get<std::string>();
  if (kind == "own") {
    if (!parts.summary_net) missing("the model has a summary network of your own class", "summary_net");
    std::shared_ptr<SummaryNetwork> net = parts.summary_net();
    if (!net) throw ConfigurationError("LoadAmortizerOptions::summary_net returned no network");
    if (net->summary_dim() != io::integer<std::int64_t>(json.at("summary_dim")))
      throw std::runtime_error(fmt::format("LoadAmortizerOptions::summary_net makes a network with summary_dim = {}, the model's has {}",
                                           net->summary_dim(), io::integer<std::int64_t>(json.at("summary_dim"))));
    return net;
  }
  if (kind == "GraphNetwork") {
    GraphOptions options;
    limits.nested(json.at("options"), options);
    auto net = std::make_shared<GraphNetwork>(std::move(options));
    // Joining a value with itself again and again makes great widths from a small file.
    if (!input || net->widest(*input) > limits.max_width) throw std::runtime_error("the summary network is wider than its weights allow");
    return net;
  }
  if (kind != "DeepSet") throw std::runtime_error(fmt::format("the summary network is a \"{}\"", kind));
  DeepSetOptions options;
  limits.nested(json.at("options"), options);
  if (json.at("own_pooling_fun").get<bool>()) {
    if (!parts.pooling_fun) missing("the model's DeepSet has a pooling function of your own", "pooling_fun");
    options.pooling_fun = parts.pooling_fun;
  }
  return std::make_shared<DeepSet>(std::move(options));
}

}  // namespace

std::string architecture_of(const AmortizedPosterior& amortizer) {
  Json json = {{"class", "AmortizedPosterior"},
               {"latent", amortizer.options().latent.name},
               {"summary_mmd_weight", amortizer.options().summary_mmd_weight},
               {"seed", amortizer.options().seed.value_or(0)},
               {"built_for",
                {{"summary_conditions", shape_json(amortizer.built_for().summary_conditions)},
                 {"direct_conditions", shape_json(amortizer.built_for().direct_conditions)}}},
               {"inference_net", {{"class", "InvertibleNetwork"}, {"options", Writer::of(amortizer.inference_net().options())}}},
               {"summary_net", Json()}};
  if (const SummaryNetwork* net = amortizer.summary_net()) {
    if (const auto* deep_set = dynamic_cast<const DeepSet*>(net))
      json["summary_net"] = {{"class", "DeepSet"},
                             {"options", Writer::of(deep_set->options())},
                             {"own_pooling_fun", static_cast<bool>(deep_set->options().pooling_fun)}};
    else if (const auto* graph = dynamic_cast<const GraphNetwork*>(net))
      json["summary_net"] = {{"class", "GraphNetwork"}, {"options", Writer::of(graph->options())}};
    else
      json["summary_net"] = {{"class", "own"}, {"summary_dim", net->summary_dim()}};
  }
  return json.dump(1);
}

Described from_architecture(const std::string& text, const LoadAmortizerOptions& parts, std::int64_t max_arrays, std::int64_t max_values) {
  const Json json = io::parse_json(text);
  const Reader limits{json, max_arrays, max_values};
  if (json.at("class").get<std::string>() != "AmortizedPosterior") throw std::runtime_error("it is no AmortizedPosterior");
  InvertibleNetworkOptions flow;
  const Json& inference = json.at("inference_net");
  if (inference.at("class").get<std::string>() != "InvertibleNetwork") throw std::runtime_error("its inference network is unknown");
  limits.nested(inference.at("options"), flow);
  AmortizedPosteriorOptions options{.latent = latent_from(json.at("latent").get<std::string>(), parts),
                                    .summary_mmd_weight = json.at("summary_mmd_weight").get<double>(),
                                    .seed = io::integer<std::uint64_t>(json.at("seed")),
                                    .threads = parts.threads};
  const Json& shapes = json.at("built_for");
  AmortizedPosterior::BuiltFor built_for{shape_from(shapes.at("summary_conditions"), max_values),
                                         shape_from(shapes.at("direct_conditions"), max_values)};
  auto summary = summary_from(json.at("summary_net"), parts, limits, built_for.summary_conditions);
  return {AmortizedPosterior(InvertibleNetwork(std::move(flow)), std::move(summary), std::move(options)), built_for};
}

}  // namespace bayesflow::detail
