/* Priors and simulators as compiled functions of C, C++, or any language that calls and is called like C.
 *
 *     void simulate(const double* params, const double* context, double* data, const int64_t* shape, bf_rng* rng);
 *
 * makes one simulation. It runs on several threads at once, so it must not write to anything but `data` and its own variables.
 *
 *   params    the parameters of this simulation, flattened in row-major order; NULL in a prior, which writes them to `data`
 *   context   the batchable values of this simulation, then the non-batchable ones of the batch, flattened; NULL without a context
 *   data      what the function fills, row-major. All of it is NaN before the call, so an entry that was forgotten is reported
 *   shape     the extents of `data`, as many as the Python side was told
 *   rng       random numbers that belong to the seed and to this simulation's number. Valid during the call only
 *
 * An argument outside a distribution's domain gives NaN (or 0) and makes the simulation fail with a sentence, as `fail` does. */
#ifndef BAYESFLOW_NATIVE_H
#define BAYESFLOW_NATIVE_H

#ifdef __cplusplus
#include <cstdint>
using std::int64_t;
using std::uint64_t;
extern "C" {
#else
#include <stdint.h>
#endif

typedef struct bf_rng bf_rng;

/* The library's side. Entries are only ever added at the end. */
struct bf_rng_functions {
  uint64_t (*bits)(bf_rng*);                              /* 64 uniform bits */
  double (*uniform)(bf_rng*, double low, double high);    /* [low, high) */
  double (*normal)(bf_rng*, double loc, double scale);
  double (*lognormal)(bf_rng*, double mean, double sigma);
  double (*exponential)(bf_rng*, double scale);
  double (*gamma)(bf_rng*, double shape, double scale);
  double (*beta)(bf_rng*, double a, double b);
  double (*student_t)(bf_rng*, double df);
  double (*cauchy)(bf_rng*, double loc, double scale);
  int64_t (*integers)(bf_rng*, int64_t low, int64_t high); /* [low, high) */
  int64_t (*poisson)(bf_rng*, double mean);
  int64_t (*binomial)(bf_rng*, int64_t trials, double probability);
  int64_t (*bernoulli)(bf_rng*, double probability);
  int64_t (*categorical)(bf_rng*, const double* weights, int64_t count); /* weights need not sum to one */
  void (*fill_uniform)(bf_rng*, double* out, int64_t count); /* what `count` calls of uniform(0, 1) give */
  void (*fill_normal)(bf_rng*, double* out, int64_t count);  /* what `count` calls of normal(0, 1) give, several times faster */
  void (*fail)(bf_rng*, const char* message);             /* the simulation failed; the first message counts. Return after it */
};

struct bf_rng {
  const struct bf_rng_functions* functions;
  void* state;

#ifdef __cplusplus
  uint64_t bits() { return functions->bits(this); }
  double uniform(double low = 0, double high = 1) { return functions->uniform(this, low, high); }
  double normal(double loc = 0, double scale = 1) { return functions->normal(this, loc, scale); }
  double lognormal(double mean = 0, double sigma = 1) { return functions->lognormal(this, mean, sigma); }
  double exponential(double scale = 1) { return functions->exponential(this, scale); }
  double gamma(double shape, double scale = 1) { return functions->gamma(this, shape, scale); }
  double beta(double a, double b) { return functions->beta(this, a, b); }
  double student_t(double df) { return functions->student_t(this, df); }
  double cauchy(double loc = 0, double scale = 1) { return functions->cauchy(this, loc, scale); }
  int64_t integers(int64_t low, int64_t high) { return functions->integers(this, low, high); }
  int64_t poisson(double mean) { return functions->poisson(this, mean); }
  int64_t binomial(int64_t trials, double probability) { return functions->binomial(this, trials, probability); }
  bool bernoulli(double probability) { return functions->bernoulli(this, probability) != 0; }
  int64_t categorical(const double* weights, int64_t count) { return functions->categorical(this, weights, count); }
  void fill_uniform(double* out, int64_t count) { functions->fill_uniform(this, out, count); }
  void fill_normal(double* out, int64_t count) { functions->fill_normal(this, out, count); }
  void fail(const char* message) { functions->fail(this, message); }

  /* For the distributions and algorithms of the standard library (whose results differ between its makers). */
  typedef uint64_t result_type;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()() { return bits(); }
#endif
};

#ifdef __cplusplus
}

namespace bf {
using Rng = ::bf_rng;
}
#endif

#endif
