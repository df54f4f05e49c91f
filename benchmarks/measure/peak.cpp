#include "measure/peak.hpp"

#include <dnnl.h>
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstdint>
#include <stdexcept>
#include <thread>

#include "kernels/product.hpp"
#include "measure/floats.hpp"
#include "measure/speed.hpp"

namespace bench {
namespace {

/// The operands of one product.
struct Operands {
  std::int64_t rows, depth, cols;
  Floats a, b, c;
  Operands(std::int64_t m, std::int64_t k, std::int64_t n)
      : rows(m), depth(k), cols(n), a(filled(m * k, 0.5f)), b(filled(k * n, 0.25f)), c(filled(m * n, 0.0f)) {}
  void ours() {
    bayesflow::kernels::Product p{};
    p.a = a.get();
    p.lda = depth;
    p.b = b.get();
    p.ldb = cols;
    p.c = c.get();
    p.ldc = cols;
    p.rows = rows;
    p.depth = depth;
    p.cols = cols;
    bayesflow::kernels::product(p);
  }
  void onednn() {
    if (dnnl_sgemm('N', 'N', rows, cols, depth, 1.0f, a.get(), depth, b.get(), cols, 0.0f, c.get(), cols) != dnnl_success)
      throw std::runtime_error("dnnl_sgemm failed");
  }
  void run(bool own) { own ? ours() : onednn(); }
  [[nodiscard]] double flop() const { return 2.0 * static_cast<double>(rows * depth * cols); }
};

/// Products that fill a window, from a few trial runs.
std::int64_t products_per_window(Operands& operands, bool own, double window_seconds) {
  for (int i = 0; i < 3; ++i) operands.run(own);
  const double start = now();
  for (int i = 0; i < 5; ++i) operands.run(own);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(window_seconds * 5 / std::max(now() - start, 1e-6)));
}

std::vector<double> side_by_side(bool own, int m, int k, int n, int threads, int windows, double window_seconds) {
  std::vector<double> gflops;
  std::int64_t count = 0;
  double start = 0;
  std::barrier line(threads);
  const auto work = [&](int thread) {
    omp_set_num_threads(1);  // of this thread: oneDNN then runs on it alone
    Operands operands(m, k, n);
    operands.run(own);
    if (thread == 0) count = products_per_window(operands, own, window_seconds);
    for (int w = 0; w < windows; ++w) {
      line.arrive_and_wait();
      if (thread == 0) start = now();
      for (std::int64_t i = 0; i < count; ++i) operands.run(own);
      line.arrive_and_wait();
      if (thread == 0) gflops.push_back(operands.flop() * static_cast<double>(count * threads) / (now() - start) * 1e-9);
    }
  };
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) pool.emplace_back(work, t);
  for (std::thread& t : pool) t.join();
  return gflops;
}

std::vector<double> own_threads(int m, int k, int n, int threads, int windows, double window_seconds) {
  std::vector<double> gflops;
  // On a thread of its own, so that OpenMP's workers end with it and spin for nobody.
  std::thread([&] {
    omp_set_num_threads(threads);
    Operands operands(m, k, n);
    const std::int64_t count = products_per_window(operands, false, window_seconds);
    for (int w = 0; w < windows; ++w) {
      const double start = now();
      for (std::int64_t i = 0; i < count; ++i) operands.onednn();
      gflops.push_back(operands.flop() * static_cast<double>(count) / (now() - start) * 1e-9);
    }
  }).join();
  return gflops;
}

}  // namespace

std::vector<ProductSpeed> measure_products(int threads, int windows, double window_seconds) {
  std::vector<ProductSpeed> out;
  for (const auto& [m, k, n] : {std::array{1600, 64, 64}, std::array{4096, 128, 128}}) {
    out.push_back({"bayesflow", m, k, n, threads, side_by_side(true, m, k, n, threads, windows, window_seconds)});
    out.push_back({"onednn", m, k, n, threads, side_by_side(false, m, k, n, threads, windows, window_seconds)});
    if (threads > 1) out.push_back({"onednn own threads", m, k, n, threads, own_threads(m, k, n, threads, windows, window_seconds)});
  }
  return out;
}

void append(std::vector<ProductSpeed>& all, const std::vector<ProductSpeed>& more) {
  for (const ProductSpeed& m : more) {
    const auto same = std::find_if(all.begin(), all.end(), [&](const ProductSpeed& a) {
      return a.library == m.library && a.rows == m.rows && a.threads == m.threads;
    });
    if (same == all.end())
      all.push_back(m);
    else
      same->gflops.insert(same->gflops.end(), m.gflops.begin(), m.gflops.end());
  }
}

Peak peak_of(const std::vector<ProductSpeed>& speeds) {
  Peak peak;
  for (const ProductSpeed& s : speeds) {
    const Spread spread = spread_of(s.gflops);
    peak.median = std::max(peak.median, spread.median);
    if (spread.max <= peak.best) continue;
    peak.best = spread.max;
    peak.best_case = fmt::format("{}, {} x {} x {}", s.library, s.rows, s.depth, s.cols);
  }
  return peak;
}

}  // namespace bench
