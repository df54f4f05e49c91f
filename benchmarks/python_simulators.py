"""Simulations per second of the tutorial's model (4 means, 50 observations), written in each of the ways of docs/python_simulators.md.

    python benchmarks/python_simulators.py [--seconds 1] [--batch-size 1000]

Every way simulates through `model(batch_size)`, in turns of a tenth of a second; the best turn counts. numba is measured if it is installed.
"""

import argparse
import importlib.util
import logging
import os
import time

import numpy as np

import bayesflow_cpp as bf

logging.getLogger("bayesflow_cpp").setLevel(logging.ERROR)
D, N = 4, 50
RNG = np.random.default_rng(2023)

SOURCE = """
void prior(const double*, const double*, double* theta, const int64_t* shape, bf_rng* rng) {
  rng->fill_normal(theta, shape[0]);
}

void simulate(const double* theta, const double*, double* x, const int64_t* shape, bf_rng* rng) {
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t k = 0; k < shape[1]; ++k) x[i * shape[1] + k] = rng->normal(theta[k], 1.0);
}

void simulate_filling(const double* theta, const double*, double* x, const int64_t* shape, bf_rng* rng) {
  rng->fill_normal(x, shape[0] * shape[1]);
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t k = 0; k < shape[1]; ++k) x[i * shape[1] + k] += theta[k];
}
"""


def single(prior, simulator):
    return bf.simulation.Prior(prior_fun=prior), bf.simulation.Simulator(simulator_fun=simulator)


def batched(prior, simulator):
    return bf.simulation.Prior(batch_prior_fun=prior), bf.simulation.Simulator(batch_simulator_fun=simulator)


def with_numba():
    import numba

    @numba.cfunc(bf.native.numba_signature())
    def prior(params, context, data, shape, rng):
        for k in range(D):
            data[k] = bf.native.normal(rng, 0.0, 1.0)

    @numba.cfunc(bf.native.numba_signature())
    def simulate(params, context, data, shape, rng):
        x = numba.carray(data, (N, D))
        for i in range(N):
            for k in range(D):
                x[i, k] = bf.native.normal(rng, params[k], 1.0)

    return single(bf.CFunction(prior, (D,)), bf.CFunction(simulate, (N, D)))


def compiled(name, threads=0):
    return single(bf.compile_cpp(SOURCE, "prior", shape=(D,), threads=threads), bf.compile_cpp(SOURCE, name, shape=(N, D), threads=threads))


def ways():
    yield "Python, own generator", single(lambda: RNG.normal(size=D), lambda theta: RNG.normal(theta, size=(N, D)))
    yield "Python, rng", single(lambda rng: rng.normal(size=D), lambda theta, rng: rng.normal(theta, size=(N, D)))
    yield "batched NumPy, own generator", batched(
        lambda batch_size: RNG.normal(size=(batch_size, D)), lambda theta: RNG.normal(theta[:, None], size=(len(theta), N, D))
    )
    yield "batched NumPy, rng", batched(
        lambda batch_size, rng: rng.normal(size=(batch_size, D)), lambda theta, rng: rng.normal(theta[:, None], size=(len(theta), N, D))
    )
    if importlib.util.find_spec("numba"):
        yield "numba cfunc", with_numba()
    yield "C++, one thread", compiled("simulate", threads=1)
    yield "C++", compiled("simulate")
    yield "C++, fill_normal", compiled("simulate_filling")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=1000)
    arguments = parser.parse_args()
    start = time.perf_counter()
    compiled("simulate")
    print(f"compile_cpp of prior and simulator: {time.perf_counter() - start:.2f} s (nothing if they are in the cache)")
    print(f"{os.cpu_count()} cores, {bf.instruction_set()}, batches of {arguments.batch_size}")
    models = {name: bf.simulation.GenerativeModel(*parts) for name, parts in ways()}
    best = dict.fromkeys(models, 0.0)
    for _ in range(max(1, round(10 * arguments.seconds))):  # turns, so that a disturbance hits all of them
        for name, model in models.items():
            made, start = 0, time.perf_counter()
            while time.perf_counter() - start < 0.1:
                model(arguments.batch_size)
                made += arguments.batch_size
            best[name] = max(best[name], made / (time.perf_counter() - start))
    baseline = best["Python, own generator"]
    for name, rate in best.items():
        print(f"{name:30s} {rate:12,.0f} simulations/s {rate / baseline:8.1f} x")


if __name__ == "__main__":
    main()
