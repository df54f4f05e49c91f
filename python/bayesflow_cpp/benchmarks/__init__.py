"""Benchmark problems: v1's eleven generative models, compiled, with the definitions of the package sbibm (docs/benchmarks.md).

    benchmark = bf.benchmarks.Benchmark("two_moons", mode="posterior", seed=1)
    trainer = bf.trainers.Trainer(amortizer, benchmark.generative_model, configurator=benchmark.configurator)
    trainer.train_online(epochs=10, iterations_per_epoch=1000, batch_size=128)
    benchmark.posterior_check(amortizer, "path/to/sbibm").mean

`run` fits all of sbibm's problems with `fit` and measures its posteriors.

Each problem is a module with v1's `prior`, `simulator`, `configurator` and `bayesflow_benchmark_info`.

Lueckmann, Boelts, Greenberg, Gonçalves, Macke (2021), Benchmarking simulation-based inference, AISTATS.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

import numpy as np

from .. import _core, simulation
from .._arrays import as_arguments, as_count, as_function, as_numbers, as_path, as_whole, shown
from ..exceptions import ConfigurationError
from . import _problem
from ._sbibm import run

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Sequence

    from .._types import Function, Path, Settings

#: The names of all problems.
available_benchmarks: list[str] = _core.available_benchmarks()

__all__ = ["Benchmark", "available_benchmarks", "get_benchmark_module", "run", *available_benchmarks]


def get_benchmark_module(benchmark_name: str) -> ModuleType:
    """The module of a problem. Raises ConfigurationError, naming all problems, for another name."""
    if not isinstance(benchmark_name, str) or benchmark_name not in available_benchmarks:
        raise ConfigurationError(f"Benchmark: there is no problem {shown(benchmark_name)}; there are {', '.join(available_benchmarks)}")
    return importlib.import_module(f"{__name__}.{benchmark_name}")


class Benchmark:
    """A problem as a generative model with a configurator.

    Parameters
    ----------
    name : str
        One of `available_benchmarks`.
    mode : "joint", "posterior" or "likelihood"
        What the configurator makes: inputs of a posterior network {"parameters", "direct_conditions" or "summary_conditions"}, of a likelihood
        network {"observables", "conditions"}, or both, {"posterior_inputs", "likelihood_inputs"}.
    seed : int, optional
        Of the generative model's own sequence; None: 0. Training has the trainer's seed.
    **kwargs
        `prior_kwargs` and `sim_kwargs`: arguments of the problem's `prior` and `simulator`.

    Attributes
    ----------
    generative_model : simulation.GenerativeModel
        Of compiled functions, so that all cores simulate, in training as well.
    configurator : callable
        Function of a forward dictionary; further arguments are those of the problem's `configurator`.
    benchmark_name, benchmark_module, benchmark_info
        As in v1.
    num_params : int
    data_shape : tuple of int
        Of one simulation.
    """

    def __init__(self, name: str, mode: str = "joint", seed: int | None = None, **kwargs: Any) -> None:
        _problem.checked_mode(mode, "Benchmark: ")
        settings = [dict(as_arguments(kwargs.pop(key, None), f"Benchmark: {key}")) for key in ("prior_kwargs", "sim_kwargs")]
        if kwargs:
            raise ConfigurationError(f"Benchmark: arguments go into prior_kwargs and sim_kwargs; got {', '.join(sorted(kwargs))}")
        seed = 0 if seed is None else as_count(seed, "Benchmark: seed", 0)
        self.benchmark_name, self.mode = name, mode
        self.benchmark_module = get_benchmark_module(name)
        self.benchmark_info: dict[str, Any] = self.benchmark_module.bayesflow_benchmark_info
        self._core = _problem.core_of(name, *settings)[0]
        self.num_params: int = self._core.num_params
        self.data_shape: tuple[int, ...] = tuple(self._core.data_shape)
        names = self.benchmark_info["parameter_names"]
        if names is not None and len(names) != self.num_params:
            names = _problem.names(r"\mu", self.num_params)  # gaussian_mixture has a dimension
        prior, simulator = (_problem.CompiledFunction(name, part, *settings) for part in ("prior", "simulator"))
        self.generative_model = simulation.GenerativeModel(
            simulation.Prior(prior_fun=prior, param_names=names), simulation.Simulator(simulator_fun=simulator), name=name, seed=seed
        )
        options: Settings = {"scale_data": self._core.scale_data} if name in _problem.SCALED_BY_SETTINGS else {}
        self._posterior_configurator = functools.partial(self.benchmark_module.configurator, mode="posterior", **options)
        self.configurator = functools.partial(self.benchmark_module.configurator, mode=mode, **options)

    def __repr__(self) -> str:
        return f"<Benchmark {self.benchmark_name!r}: {self.num_params} parameters, data of shape {self.data_shape}, mode {self.mode!r}>"

    def reference(self, observation: int, path: Path | None = None) -> dict[str, np.ndarray]:
        """One of sbibm's observations, numbered from 1: {"observation": as the simulator gives data, "true_parameters": (P,), "posterior_samples":
        (10000, P)}. `path`: as in `posterior_check`."""
        return self._core.read_reference(as_path(_problem.path_of_sbibm(path), "path"), as_count(observation, "observation"))

    def posterior_check(self, amortizer: Any, path: Path | None = None, *, observations: Sequence[int] | None = None, n_samples: int | None = None,
                        seed: int = 0, configurator: Function | None = None, to_parameters: Function | None = None, n_folds: int = 5,
                        hidden_units_per_dim: int = 16, max_epochs: int = 200, threads: int = 0) -> _core.PosteriorCheck:
        """Classifier two-sample tests (C2ST) of an amortizer's draws against sbibm's reference posteriors, for each of ten observations.

        Parameters
        ----------
        amortizer : AmortizedPosterior
            Or any object with ``sample(input_dict, n_samples)`` that returns (n_samples, P).
        path : path, optional
            Folder of sbibm's package, its folder `tasks`, or that of this problem in there; None: where sbibm is installed. Nothing of it is run.
        observations : list of int, optional
            Their numbers; None: 1 to 10.
        n_samples : int, optional
            Draws for each; None: as many as the reference has, 10,000.
        seed : int
            Of the draws.
        configurator : callable, optional
            What the amortizer was trained with, if that is not this benchmark's; the parameters that it is given are a draw from the prior.
        to_parameters : callable, optional
            Function of draws (n_samples, P) to parameters, for amortizers that were trained on other ones (logarithms, say).
        n_folds, hidden_units_per_dim, max_epochs, threads
            Of `diagnostics.c2st`.

        Returns PosteriorCheck with .mean (an estimate), .observations, .c2st (one result each) and .tables(): 0.5 is as good as the reference, 1
        entirely apart. Raises IoError for files that are missing or damaged, ConfigurationError for settings that make another model than sbibm's."""
        if configurator is None:
            configurator = self._posterior_configurator
        as_function(configurator, "posterior_check: configurator", "a forward dictionary")
        if to_parameters is not None:
            as_function(to_parameters, "posterior_check: to_parameters", "draws")
        prior_draw = self.generative_model.prior._function.run(1, None, None, None, _core.Rng(0, "posterior check"), 0)[0]
        sampler = _problem.sampler_of(amortizer, configurator, to_parameters, prior_draw)
        numbers = list(range(1, 11)) if observations is None else as_numbers(observations, "posterior_check: observations")
        if not numbers:
            raise ConfigurationError("posterior_check: observations must name at least one of 1 to 10; got an empty list")
        numbers = [as_count(as_whole(k, "posterior_check: observations"), "posterior_check: an observation's number") for k in numbers]
        return self._core.posterior_check(
            sampler, as_path(_problem.path_of_sbibm(path), "posterior_check: path"), numbers,
            0 if n_samples is None else as_count(n_samples, "posterior_check: n_samples"), as_whole(seed, "posterior_check: seed"),
            as_count(n_folds, "posterior_check: n_folds", 2), as_count(hidden_units_per_dim, "posterior_check: hidden_units_per_dim"),
            as_count(max_epochs, "posterior_check: max_epochs"), as_count(threads, "posterior_check: threads", 0),
        )  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """The module of a problem, which is imported when it is asked for."""
    if name in available_benchmarks:
        return get_benchmark_module(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
