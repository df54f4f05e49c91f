"""Training speed and memory of v1's other networks and amortizers with their default settings, beside BayesFlow v1's in the same run.

    python benchmarks/against_v1_networks.py [--quick] [--only set_transformer,sequence]

The same program for both packages: batches of 32, data made by NumPy a batch at a time, so that training is what is measured. The processes work in turns, as in
against_v1.py, which makes v1's environment. Memory is the most that each process held, the interpreter and its libraries included.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from against_v1 import BATCH, Channel, Worker, environment_of_v1, work_cpp, work_v1

RNG = np.random.default_rng(2023)
FLOW = dict(num_coupling_layers=4, coupling_settings={"dense_args": dict(kernel_regularizer=None), "dropout": False})


def prior_fun(batch_size):
    return RNG.normal(size=(batch_size, 4))


def around(*shape):
    """Data sets of this shape around the first parameters."""

    def simulate(params):
        width = shape[-1]
        return params[(slice(None), *(None,) * (len(shape) - 1), slice(width))] + RNG.normal(size=(len(params), *shape))

    return simulate


def posterior(bf, summary_net):
    return bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(num_params=4, **FLOW), summary_net)


def to_posterior(forward):
    return {"parameters": forward["prior_draws"].astype(np.float32), "summary_conditions": forward["sim_data"].astype(np.float32)}


def set_transformer(bf):
    """SetTransformer, sets of 50 x 4"""
    return prior_fun, around(50, 4), to_posterior, posterior(bf, bf.networks.SetTransformer(input_dim=4))


def time_series_transformer(bf):
    """TimeSeriesTransformer, series of 100 x 3"""
    return prior_fun, around(100, 3), to_posterior, posterior(bf, bf.networks.TimeSeriesTransformer(input_dim=3))


def sequence(bf):
    """SequenceNetwork, series of 100 x 2"""
    return prior_fun, around(100, 2), to_posterior, posterior(bf, bf.networks.SequenceNetwork())


def two_level(bf):
    """TwoLevelAmortizedPosterior, 20 groups of 30 x 2"""
    groups = 20

    def prior(batch_size):
        hyper = RNG.normal(size=(batch_size, 2))
        return np.concatenate([hyper, (hyper[:, None] + RNG.normal(size=(batch_size, groups, 2))).reshape(batch_size, -1)], axis=1)

    def simulate(params):
        return params[:, 2:].reshape(-1, groups, 1, 2) + RNG.normal(size=(len(params), groups, 30, 2))

    def configure(forward):
        draws = forward["prior_draws"].astype(np.float32)
        return {
            "hyper_parameters": draws[:, :2],
            "shared_parameters": None,
            "local_parameters": draws[:, 2:].reshape(-1, groups, 2),
            "summary_conditions": forward["sim_data"].astype(np.float32),
        }

    def single():
        return bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(num_params=2, **FLOW))

    summary_net = bf.networks.HierarchicalNetwork([bf.networks.DeepSet(), bf.networks.DeepSet()])
    return prior, simulate, configure, bf.amortizers.TwoLevelAmortizedPosterior(single(), single(), summary_net)


def model_comparison(bf):
    """AmortizedModelComparison, three models, sets of 50 x 4"""

    def prior(batch_size):
        return np.concatenate([RNG.integers(0, 3, size=(batch_size, 1)), RNG.normal(size=(batch_size, 3))], axis=1)

    def configure(forward):
        return {
            "model_indices": np.eye(3, dtype=np.float32)[forward["prior_draws"][:, 0].astype(int)],
            "summary_conditions": forward["sim_data"].astype(np.float32),
        }

    return prior, around(50, 4), configure, bf.amortizers.AmortizedModelComparison(bf.networks.PMPNetwork(num_models=3), bf.networks.DeepSet())


def likelihood(bf):
    """AmortizedLikelihood, 50 observations of 4"""

    def configure(forward):
        return {"conditions": forward["prior_draws"].astype(np.float32), "observables": forward["sim_data"].astype(np.float32)}

    return prior_fun, around(50, 4), configure, bf.amortizers.AmortizedLikelihood(bf.networks.InvertibleNetwork(num_params=4, **FLOW))


CASES = {case.__name__: case for case in (set_transformer, time_series_transformer, sequence, two_level, model_comparison, likelihood)}


def work(role):
    package, _, name = role.partition(":")
    channel = Channel()
    if package == "v1":
        import bayesflow as bf
    else:
        import bayesflow_cpp as bf
    prior, simulate, configure, amortizer = CASES[name](bf)
    model = bf.simulation.GenerativeModel(bf.simulation.Prior(batch_prior_fun=prior), bf.simulation.Simulator(batch_simulator_fun=simulate))
    (work_v1 if package == "v1" else work_cpp)(channel, model, amortizer, configurator=configure)


def peak_mib(worker):
    for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short run: 2 turns of 10 iterations instead of 5 of 60")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(CASES), help="some of: " + ", ".join(CASES))
    parser.add_argument("--environment", type=Path, default=Path(__file__).resolve().parents[1] / "build" / "venv-v1", help="of v1")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.worker)
    unknown = set(arguments.only) - set(CASES)
    if unknown:
        parser.error(f"--only must name some of {', '.join(CASES)}; got {', '.join(sorted(unknown))}")
    iterations, turns = (10, 2) if arguments.quick else (60, 5)
    v1_python = environment_of_v1(arguments.environment)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {turns} turns of each, iterations of {BATCH} simulations; median (least) it/s")
    print(f"  {'':52s} {'v1':>14s} {'bayesflow_cpp':>16s} {'ratio':>14s} {'MiB v1':>8s} {'MiB':>6s}")
    for name in arguments.only:
        with tempfile.TemporaryFile("w+") as log:
            v1, ours = (Worker(python, f"{package}:{name}", log, __file__) for package, python in (("v1", v1_python), ("cpp", sys.executable)))
            rates = {v1: [], ours: []}
            for _ in range(turns):
                for worker, count in ((v1, iterations), (ours, 4 * iterations)):
                    rates[worker].append(count / worker.ask("train", count))
            ratios = [b / a for a, b in zip(rates[v1], rates[ours])]
            spread = lambda values: f"{statistics.median(values):7.1f} ({min(values):.1f})"  # noqa: E731
            print(
                f"  {CASES[name].__doc__:52s} {spread(rates[v1]):>14s} {spread(rates[ours]):>16s} {spread(ratios):>14s} {peak_mib(v1):8.0f} {peak_mib(ours):6.0f}",
                flush=True,
            )
            v1.end(), ours.end()


if __name__ == "__main__":
    main()
