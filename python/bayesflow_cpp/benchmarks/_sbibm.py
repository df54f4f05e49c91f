"""`fit` on the problems of sbibm, beside its reference posteriors."""

from __future__ import annotations

import csv
import pathlib
import time
from typing import TYPE_CHECKING

import numpy as np

from .._arrays import as_count, as_names, as_numbers, as_path, as_whole
from .._log import logger
from ..exceptions import ConfigurationError
from . import _problem

if TYPE_CHECKING:
    from typing import Sequence

    from .._types import DataFrame, Path

TASKS = ("two_moons", "slcp", "slcp_distractors", "sir", "lotka_volterra", "bernoulli_glm", "bernoulli_glm_raw", "gaussian_linear", "gaussian_linear_uniform",
         "gaussian_mixture")  # fmt: skip
_KEY = ("task", "simulations", "seed")
_COLUMNS = (*_KEY, "c2st", "least", "most", "log_score", "members", "network", "fit_seconds", "fit_cpu_seconds", "sample_seconds")


def run(tasks: Sequence[str] | None = None, simulations: Sequence[int] = (1_000, 10_000), *, seeds: Sequence[int] = (0, 1, 2),
        observations: Sequence[int] = (1, 2, 3, 4, 5), path: Path | None = None, output: Path | None = None, threads: int = 0) -> DataFrame:  # fmt: skip
    """`fit(model, simulations=n)` with no other option on the ten problems of sbibm, and classifier two-sample tests against its reference posteriors.

    C2ST is sbibm's: the accuracy of a network of two layers of 10 x dim units over 5 folds, draws and references in units of the latter; 0.5 is as good as
    the reference. Networks are chosen by `fit`, which sees simulations only.

    Parameters
    ----------
    tasks : list of str, optional
        Problems; None: all ten.
    simulations, seeds : list of int
        Each problem is fitted with each number of simulations and each seed, which is that of the model as well.
    observations : list of int
        sbibm's numbers, from 1.
    path : path, optional
        Folder of sbibm's package, as in `Benchmark.posterior_check`; None: where sbibm is installed.
    output : path, optional
        A CSV file: a row is written as soon as it is known. Rows that the file holds already are taken from there, so that a program that was ended is
        run again and goes on.
    threads : int
        0: as many as the machine has.

    Returns a row for each problem, number of simulations, and seed: the mean "c2st" over observations, its "least" and "most", the "log_score" of held-out
    simulations, the number of networks ("members") and their kind ("network"), and seconds: "fit_seconds", "fit_cpu_seconds" (of all threads), and
    "sample_seconds" of 10,000 draws for one observation (the median)."""
    import pandas as pd

    names = list(TASKS) if tasks is None else as_names(tasks, "benchmarks.run: tasks")
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise ConfigurationError(f"benchmarks.run: tasks must be among {', '.join(TASKS)}; got {unknown[0]!r}")
    counts, seeds, observations = (
        [as_count(as_whole(n, f"benchmarks.run: {what}"), f"benchmarks.run: {what}", least) for n in as_numbers(given, f"benchmarks.run: {what}")]
        for given, what, least in ((simulations, "simulations", 100), (seeds, "seeds", 0), (observations, "observations", 1))
    )
    folder, threads = as_path(_problem.path_of_sbibm(path), "benchmarks.run: path"), as_count(threads, "benchmarks.run: threads", 0)
    file = None if output is None else pathlib.Path(as_path(output, "benchmarks.run: output"))
    known = {} if file is None else _read(file)
    rows = []
    for key in [(name, count, seed) for name in names for count in counts for seed in seeds]:
        if key not in known:
            known[key] = dict(zip(_KEY, key)) | _measured(*key, observations, folder, threads)
            if file is not None:
                _append(file, known[key])
        rows.append(known[key])
    return pd.DataFrame(rows, columns=_COLUMNS)


def _measured(name, count, seed, observations, folder, threads):
    from ..workflow import fit
    from . import Benchmark

    benchmark = Benchmark(name, mode="posterior", seed=seed)
    for number in observations:  # a file that is missing is told before the work
        benchmark.reference(number, folder)
    begun, cpu, sampling = time.perf_counter(), time.process_time(), []
    posterior = fit(benchmark.generative_model, simulations=count, seed=seed, threads=threads)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu

    def sampler(data, n_samples, draw_seed):
        start = time.perf_counter()
        draws = posterior.sample(data, n_samples, seed=draw_seed)
        sampling.append((time.perf_counter() - start) * 10_000 / n_samples)
        return np.ascontiguousarray(draws)

    # 0 draws: as many as there are references. 5 folds, 10 units for each dimension, up to 200 epochs.
    check = benchmark._core.posterior_check(sampler, folder, observations, 0, 0, 5, 10, 200, threads)
    accuracies = [one.accuracy.value for one in check.c2st]
    row = {
        "c2st": float(np.mean(accuracies)), "least": min(accuracies), "most": max(accuracies), "log_score": posterior.log_score,
        "members": posterior.plan["members"], "network": posterior.trials[0]["network"], "fit_seconds": seconds, "fit_cpu_seconds": cpu,
        "sample_seconds": float(np.median(sampling)),
    }  # fmt: skip
    logger.info(
        f"benchmarks.run: {name}, {count} simulations, seed {seed}: C2ST {row['c2st']:.3f} ({row['least']:.3f} to {row['most']:.3f}), "
        f"fit in {seconds:.0f} s ({cpu:.0f} s of the processor)"
    )
    return row


def _read(file):
    if not file.exists():
        return {}
    with file.open(newline="") as text:
        table = csv.DictReader(text)
        if tuple(table.fieldnames or ()) != _COLUMNS:
            raise ConfigurationError(f'benchmarks.run: output "{file}" has other columns than these: {", ".join(_COLUMNS)}; name another file')
        rows = [
            {name: v if name in ("task", "network") else int(v) if name in ("simulations", "seed", "members") else float(v) for name, v in row.items()}
            for row in table
        ]
    return {tuple(row[name] for name in _KEY): row for row in rows}


def _append(file, row):
    new = not file.exists()
    with file.open("a", newline="") as text:
        table = csv.DictWriter(text, _COLUMNS)
        if new:
            table.writeheader()
        table.writerow(row)
