/// Every operation of the op table, forward and with its derivative, and oneDNN's primitive beside it where there is one. Takes the options
/// of Google Benchmark (--benchmark_filter=..., --benchmark_out=FILE.json, ...) and ends with a table of ratios. One thread.
#include <benchmark/benchmark.h>
#include <dnnl.h>
#include <fmt/format.h>
#include <omp.h>

#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>

#include "kernels/product.hpp"
#include "measure/floats.hpp"
#include "measure/onednn.hpp"
#include "support/op_table.hpp"

namespace bf = bayesflow;
using bf::support::Op;
using bf::support::OpCase;

namespace {

constexpr const char* kForward = "forward";
constexpr const char* kWithGradient = "with gradient";
constexpr const char* kOneDnn = "onednn";

/// The inputs of a case as leaves of a tape, without a copy in the loop: those with a derivative are its parameters.
class Leaves {
 public:
  Leaves(const Op& op, const OpCase& c) {
    std::int64_t used = 0;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const bf::Array& x = c.inputs[i];
      leaves_.push_back({x.shape(), bench::filled(x.size(), 0), used, op.differentiable[std::min(i, op.differentiable.size() - 1)]});
      for (std::int64_t k = 0; k < x.size(); ++k) leaves_.back().values[static_cast<std::size_t>(k)] = static_cast<float>(x.data()[k]);
      used += (x.size() + kLine - 1) / kLine * kLine;
    }
    tensors_.resize(leaves_.size());
    gradients_ = std::make_unique<bf::GradientLanes>(used, static_cast<std::int64_t>(leaves_.size()));
  }
  std::span<const bf::Tensor> start(bf::Tape& tape, bool gradients) {
    tape.reset({.gradients = gradients, .lanes = gradients_.get()});
    gradients_->clear();
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      const Leaf& leaf = leaves_[i];
      tensors_[i] = leaf.differentiable ? tape.parameter(leaf.shape, leaf.values.get(), leaf.offset, static_cast<int>(i))
                                        : tape.wrap(leaf.shape, leaf.values.get());
    }
    return tensors_;
  }

 private:
  static constexpr std::int64_t kLine = 16;  // floats
  struct Leaf {
    bf::Shape shape;
    bench::Floats values;
    std::int64_t offset;  // of its gradient
    bool differentiable;
  };
  std::vector<Leaf> leaves_;
  std::unique_ptr<bf::GradientLanes> gradients_;
  std::vector<bf::Tensor> tensors_;
};

void run_op(benchmark::State& state, const Op& op, const OpCase& c, bool gradient) {
  Leaves leaves(op, c);
  bf::Tape tape;
  for (auto _ : state) {
    const bf::support::Tensors out = c.forward(tape, leaves.start(tape, gradient));
    if (!gradient) {
      benchmark::DoNotOptimize(out[0].data());
    } else if (out.size() == 1) {
      tape.backward(out[0]);
    } else {  // value and log-determinant
      tape.backward(bf::ops::add(bf::ops::sum(out[0]), bf::ops::sum(out[1])));
    }
  }
  if (c.flops > 0 && !gradient)
    state.counters["FLOP/s"] =
        benchmark::Counter(c.flops, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::OneK::kIs1000);
}

/// Two programs that are compared must do the same.
void require_same_result(const Op& op, const OpCase& c, const bench::OneDnnTwin& twin) {
  twin.run();
  Leaves leaves(op, c);
  bf::Tape tape;
  const bf::Tensor ours = c.forward(tape, leaves.start(tape, false))[0];
  double largest = 1, difference = static_cast<std::size_t>(ours.size()) == twin.result->size() ? 0 : INFINITY;
  for (std::int64_t i = 0; i < ours.size() && std::isfinite(difference); ++i) {
    const auto a = static_cast<double>(ours.data()[i]), b = static_cast<double>((*twin.result)[static_cast<std::size_t>(i)]);
    largest = std::max(largest, std::fabs(a));
    difference = std::max(difference, std::fabs(a - b));
  }
  constexpr double kTolerance = 1e-4;
  if (!(difference <= kTolerance * largest))
    throw std::runtime_error(
        fmt::format("{} {}: oneDNN and bayesflow differ by {}; they cannot be compared", op.name, c.shapes, difference));
}

void register_ops() {
  for (const Op& op : bf::support::op_table())
    for (const OpCase& c : op.cases) {
      if (!c.measured) continue;
      const std::string name = fmt::format("{} {}", op.name, c.shapes);
      benchmark::RegisterBenchmark((name + "/" + kForward).c_str(), [&op, &c](benchmark::State& s) { run_op(s, op, c, false); });
      bool differentiable = false;
      for (const bool d : op.differentiable) differentiable = differentiable || d;
      if (differentiable)
        benchmark::RegisterBenchmark((name + "/" + kWithGradient).c_str(), [&op, &c](benchmark::State& s) { run_op(s, op, c, true); });
      const bench::OneDnnTwin twin = bench::onednn_twin(op, c);
      if (!twin.run) continue;
      require_same_result(op, c, twin);
      benchmark::RegisterBenchmark((name + "/" + kOneDnn).c_str(), [twin](benchmark::State& s) {
        for (auto _ : s) twin.run();
      });
    }
}

void multiply(const float* a, const float* b, const float* b_transposed, float* c, std::int64_t rows, std::int64_t depth,
              std::int64_t cols) {
  bf::kernels::Product p{};
  p.a = a;
  p.b = b;
  p.c = c;
  p.b_transposed = b_transposed;
  p.rows = rows;
  p.lda = p.ldbt = p.depth = depth;
  p.ldb = p.ldc = p.cols = cols;
  bf::kernels::product(p);
}

/// The three products of a layer in training: forward, data gradient (by the kept transpose), weight gradient.
struct LayerShape {
  std::int64_t rows, in, out;
};

void register_products() {
  const LayerShape shapes[] = {{1600, 64, 64}, {128, 64, 64}, {128, 4, 64},    {32, 128, 128},
                               {32, 12, 128},  {32, 128, 2},  {256, 128, 128}, {4096, 128, 128}};
  for (const LayerShape& s : shapes) {
    struct Data {
      bench::Floats x, w, wt, y, dw;
    };
    const auto data = std::make_shared<Data>(Data{bench::filled(s.rows * s.in, 0.5f), bench::filled(s.in * s.out, 0.25f),
                                                  bench::filled(s.in * s.out, 0.25f), bench::filled(s.rows * s.out, 0.1f),
                                                  bench::filled(s.in * s.out, 0)});
    const auto add = [&](const std::string& kind, const std::string& who, auto run) {
      benchmark::RegisterBenchmark(
          fmt::format("{} {}x{}x{}/{}", kind, s.rows, s.in, s.out, who).c_str(), [run, data, s](benchmark::State& state) {
            for (auto _ : state) run(*data, s);
            state.counters["FLOP/s"] = benchmark::Counter(2.0 * static_cast<double>(s.rows * s.in * s.out),
                                                          benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::OneK::kIs1000);
          });
    };
    add("product", kForward,
        [](Data& d, const LayerShape& l) { multiply(d.x.get(), d.w.get(), d.wt.get(), d.y.get(), l.rows, l.in, l.out); });
    add("product", kOneDnn, [](Data& d, const LayerShape& l) {
      dnnl_sgemm('N', 'N', l.rows, l.out, l.in, 1, d.x.get(), l.in, d.w.get(), l.out, 0, d.y.get(), l.out);
    });
    add("data gradient", kForward,
        [](Data& d, const LayerShape& l) { multiply(d.y.get(), d.wt.get(), d.w.get(), d.x.get(), l.rows, l.out, l.in); });
    add("data gradient", kOneDnn, [](Data& d, const LayerShape& l) {
      dnnl_sgemm('N', 'T', l.rows, l.in, l.out, 1, d.y.get(), l.out, d.w.get(), l.out, 0, d.x.get(), l.in);
    });
    add("weight gradient", kForward, [](Data& d, const LayerShape& l) {
      bf::kernels::transposed_product({d.x.get(), l.in, d.y.get(), l.out, d.dw.get(), l.out, l.in, l.rows, l.out, false});
    });
    add("weight gradient", kOneDnn, [](Data& d, const LayerShape& l) {
      dnnl_sgemm('T', 'N', l.in, l.out, l.rows, 1, d.x.get(), l.in, d.y.get(), l.out, 0, d.dw.get(), l.out);
    });
  }
}

/// Google Benchmark 1.8 has another field.
template <class Run>
bool failed(const Run& run) {
  if constexpr (requires { run.error_occurred; })
    return run.error_occurred;
  else
    return run.skipped != decltype(run.skipped){};
}

/// Prints as usual, and remembers times to print what is compared side by side.
class Reporter final : public benchmark::ConsoleReporter {
 public:
  Reporter() : ConsoleReporter(OO_None) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    benchmark::ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (failed(run) || run.run_type != Run::RT_Iteration) continue;
      const std::string full = run.benchmark_name();
      const std::size_t slash = full.find_last_of('/');
      const std::string name = full.substr(0, slash), what = full.substr(slash + 1);
      if (!times_.contains(name)) order_.push_back(name);
      times_[name][what] = run.GetAdjustedCPUTime();
    }
  }
  void print_ratios() {
    fmt::print("\n{:<108} {:>12} {:>12} {:>8}\n", "against oneDNN, one thread, CPU time in ns", "bayesflow", "oneDNN", "ratio");
    for (const std::string& name : order_) {
      const auto& t = times_[name];
      if (!t.contains(kForward) || !t.contains(kOneDnn)) continue;
      fmt::print("{:<108} {:>12.0f} {:>12.0f} {:>8.2f}\n", name, t.at(kForward), t.at(kOneDnn), t.at(kOneDnn) / t.at(kForward));
    }
    fmt::print("ratio: oneDNN's time over bayesflow's; above one, bayesflow is faster.\n");
  }

 private:
  std::vector<std::string> order_;
  std::map<std::string, std::map<std::string, double>> times_;
};

}  // namespace

int main(int argc, char** argv) {
  omp_set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  register_products();
  register_ops();
  Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  reporter.print_ratios();
  return 0;
}
