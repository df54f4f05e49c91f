#include "measure/onednn.hpp"

#include <dnnl.hpp>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

namespace bf = bayesflow;

namespace bench {
namespace {

using bf::Array;
using bf::Shape;
using dnnl::memory;
using dnnl::primitive;

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory::desc row_major(const memory::dims& dims) {
  memory::dims strides(dims.size(), 1);
  for (std::size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return memory::desc(dims, memory::data_type::f32, strides);
}

memory::dims dims_of(const Shape& shape) {
  memory::dims dims;
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

/// Owns operands and primitives, and runs these in order.
class Program {
 public:
  memory input(const Array& values, const memory::dims& dims) {
    memory m(row_major(dims), engine());
    auto* to = static_cast<float*>(m.get_data_handle());
    for (std::int64_t i = 0; i < values.size(); ++i) to[i] = static_cast<float>(values.data()[i]);
    return m;
  }
  memory input(const Array& values) { return input(values, dims_of(values.shape())); }
  memory room(const memory::dims& dims) { return memory(row_major(dims), engine()); }
  memory output(const memory::dims& dims) {
    std::size_t size = 1;
    for (const auto d : dims) size *= static_cast<std::size_t>(d);
    result = std::make_shared<std::vector<float>>(size);
    return memory(row_major(dims), engine(), result->data());
  }
  void add(primitive p, std::unordered_map<int, memory> arguments) { steps_.emplace_back(std::move(p), std::move(arguments)); }
  void run() {
    for (auto& [p, arguments] : steps_) p.execute(stream_, arguments);
    stream_.wait();
  }
  std::shared_ptr<std::vector<float>> result;

 private:
  dnnl::stream stream_{engine()};
  std::vector<std::pair<primitive, std::unordered_map<int, memory>>> steps_;
};

/// A primitive of this kind. oneDNN 3 has no descriptors of operations: what was given to them is given to the primitive's.
template <class Primitive, class... Arguments>
Primitive make(const dnnl::primitive_attr& attributes, const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return Primitive(typename Primitive::primitive_desc(engine(), arguments..., attributes));
#else
  return Primitive(typename Primitive::primitive_desc(typename Primitive::desc(arguments...), attributes, engine()));
#endif
}

void add_matmul(Program& program, const memory& x, const memory& w, const memory* bias, const memory& y, bool relu) {
  dnnl::primitive_attr attributes;
  if (relu) {
    dnnl::post_ops after;
#if DNNL_VERSION_MAJOR >= 3
    after.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
#else
    after.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
#endif
    attributes.set_post_ops(after);
  }
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}};
  if (bias) arguments.emplace(DNNL_ARG_BIAS, *bias);
  program.add(bias ? make<dnnl::matmul>(attributes, x.get_desc(), w.get_desc(), bias->get_desc(), y.get_desc())
                   : make<dnnl::matmul>(attributes, x.get_desc(), w.get_desc(), y.get_desc()),
              std::move(arguments));
}

/// Layers of a chain: kernels and biases in turn. The rows of a condition are joined to x beforehand, at no cost to oneDNN.
void dense_layers(Program& program, Array x, std::span<const Array> layers, bool relu_at_end) {
  memory h = program.input(x);
  for (std::size_t l = 0; l + 1 < layers.size(); l += 2) {
    const bool last = l + 2 >= layers.size();
    const memory::dims dims{x.dim(0), layers[l].dim(1)};
    const memory w = program.input(layers[l]), b = program.input(layers[l + 1], {1, layers[l + 1].size()});
    const memory y = last ? program.output(dims) : program.room(dims);
    add_matmul(program, h, w, &b, y, !last || relu_at_end);
    h = y;
  }
}

bool add_activation(Program& program, const std::string& name, const Array& x) {
  using dnnl::algorithm;
  struct Known {
    algorithm kind;
    float alpha;
  };
  static const std::map<std::string, Known> known{
      {"activate(relu)", {algorithm::eltwise_relu, 0}},         {"activate(leaky_relu)", {algorithm::eltwise_relu, 0.2f}},
      {"activate(elu)", {algorithm::eltwise_elu, 1}},           {"activate(tanh)", {algorithm::eltwise_tanh, 0}},
      {"activate(sigmoid)", {algorithm::eltwise_logistic, 0}},  {"activate(swish)", {algorithm::eltwise_swish, 1}},
      {"activate(softplus)", {algorithm::eltwise_soft_relu, 0}}};
  const auto found = known.find(name);
  if (found == known.end()) return false;
  const memory in = program.input(x), out = program.output(dims_of(x.shape()));
  const auto& [kind, alpha] = found->second;
#if DNNL_VERSION_MAJOR >= 3
  const auto activation =
      make<dnnl::eltwise_forward>({}, dnnl::prop_kind::forward_inference, kind, in.get_desc(), out.get_desc(), alpha, 0.0f);
#else
  const auto activation = make<dnnl::eltwise_forward>({}, dnnl::prop_kind::forward_inference, kind, in.get_desc(), alpha, 0.0f);
#endif
  program.add(activation, {{DNNL_ARG_SRC, in}, {DNNL_ARG_DST, out}});
  return true;
}

bool add_binary(Program& program, const std::string& name, std::span<const Array> inputs) {
  using dnnl::algorithm;
  static const std::map<std::string, algorithm> known{{"add", algorithm::binary_add},
                                                      {"subtract", algorithm::binary_sub},
                                                      {"multiply", algorithm::binary_mul},
                                                      {"add_scalar", algorithm::binary_add}};
  const auto found = known.find(name);
  if (found == known.end()) return false;
  const memory::dims one(static_cast<std::size_t>(inputs[0].rank()), 1);
  const memory a = program.input(inputs[0]), b = name == "add_scalar" ? program.input(inputs[1], one) : program.input(inputs[1]);
  const memory out = program.output(dims_of(inputs[0].shape()));
  program.add(make<dnnl::binary>({}, found->second, a.get_desc(), b.get_desc(), out.get_desc()),
              {{DNNL_ARG_SRC_0, a}, {DNNL_ARG_SRC_1, b}, {DNNL_ARG_DST, out}});
  return true;
}

bool add_reduction(Program& program, const std::string& name, const Array& x) {
  using dnnl::algorithm;
  struct Known {
    algorithm kind;
    int axis;  // 0: all
  };
  static const std::map<std::string, Known> known{
      {"mean_pool", {algorithm::reduction_mean, -2}}, {"max_pool", {algorithm::reduction_max, -2}},
      {"sum_pool", {algorithm::reduction_sum, -2}},   {"sum_columns", {algorithm::reduction_sum, -1}},
      {"mean", {algorithm::reduction_mean, 0}},       {"sum", {algorithm::reduction_sum, 0}}};
  const auto found = known.find(name);
  if (found == known.end()) return false;
  memory::dims dims = dims_of(x.shape());
  if (found->second.axis == 0)
    dims.assign(dims.size(), 1);
  else
    dims[dims.size() - static_cast<std::size_t>(-found->second.axis)] = 1;
  const memory in = program.input(x), out = program.output(dims);
  program.add(make<dnnl::reduction>({}, found->second.kind, in.get_desc(), out.get_desc(), 0.0f, 0.0f),
              {{DNNL_ARG_SRC, in}, {DNNL_ARG_DST, out}});
  return true;
}

bool add_concat(Program& program, const std::string& name, std::span<const Array> parts) {
  if (name != "concat") return false;
  std::vector<memory::desc> descs;
  std::unordered_map<int, memory> arguments;
  memory::dims dims = dims_of(parts[0].shape());
  dims.back() = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const memory part = program.input(parts[i]);
    descs.push_back(part.get_desc());
    arguments.emplace(DNNL_ARG_MULTIPLE_SRC + static_cast<int>(i), part);
    dims.back() += parts[i].dim(-1);
  }
  const memory out = program.output(dims);
  arguments.emplace(DNNL_ARG_DST, out);
  const int axis = static_cast<int>(dims.size()) - 1;
#if DNNL_VERSION_MAJOR >= 3
  program.add(dnnl::concat({engine(), out.get_desc(), axis, descs}), std::move(arguments));
#else
  program.add(dnnl::concat({out.get_desc(), axis, descs, engine()}), std::move(arguments));
#endif
  return true;
}

bool add_dense(Program& program, const std::string& name, std::span<const Array> inputs) {
  if (name == "matmul") {
    const memory x = program.input(inputs[0]), w = program.input(inputs[1]), y = program.output({inputs[0].dim(0), inputs[1].dim(1)});
    add_matmul(program, x, w, nullptr, y, false);
    return true;
  }
  if (name != "dense" && name != "dense_chain") return false;
  // The measured cases: relu layers, all of them in the rows' own width, or with a condition per row and a linear end.
  const bool conditional = inputs.size() % 2 == 0;
  const Array x = conditional ? bf::concatenate({inputs[0], inputs[1]}, -1) : inputs[0];
  dense_layers(program, x, inputs.subspan(conditional ? 2 : 1), !conditional);
  return true;
}

}  // namespace

OneDnnTwin onednn_twin(const bf::support::Op& op, const bf::support::OpCase& c) {
  auto program = std::make_shared<Program>();
  const bool known = add_dense(*program, op.name, c.inputs) || add_activation(*program, op.name, c.inputs[0]) ||
                     add_binary(*program, op.name, c.inputs) || add_reduction(*program, op.name, c.inputs[0]) ||
                     add_concat(*program, op.name, c.inputs);
  if (!known) return {};
  return {[program] { program->run(); }, program->result};
}

}  // namespace bench
