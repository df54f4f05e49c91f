"""Generative models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_arguments, as_count, as_path
from ..exceptions import ConfigurationError
from .forward import restore, to_core
from .prior import Prior
from .simulator import Simulator

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from .._types import ArrayLike, Function, Names, Path


class BatchMaker:
    """Makes batches for the engine: its simulations are numbered, and number i is a function of the seed and of i."""

    def __init__(self, prior, simulator):
        self.prior, self.simulator = prior, simulator

    def forward(self, batch_size, streams, first, prior_context=None, sim_context=None, prior_args={}, sim_args={}):
        prior = self.prior._draw(batch_size, streams.branch("prior"), first, prior_context, (), prior_args)
        sim = self.simulator._draw(prior["prior_draws"], batch_size, streams.branch("simulator"), first, sim_context, (), sim_args)
        return {
            "prior_non_batchable_context": prior["non_batchable_context"],
            "prior_batchable_context": prior["batchable_context"],
            "prior_draws": prior["prior_draws"],
            "sim_non_batchable_context": sim["non_batchable_context"],
            "sim_batchable_context": sim["batchable_context"],
            "sim_data": sim["sim_data"],
        }

    def __call__(self, batch_size, streams, first, prior_context, sim_context):
        return to_core(self.forward(batch_size, streams, first, restore(prior_context), restore(sim_context)))


class Model:
    """What generative models have in common: simulations are numbered, in files and in training. A class sets `name`, `seed`, `param_names`, `_core`, and
    `_maker`, whose `forward` makes batches; None: the engine does."""

    param_names = None
    _maker, _is_native, _next = None, False, 0

    def __getstate__(self):
        """For copies and pickles: the engine's model is made again, without pilot simulations."""
        return {key: value for key, value in self.__dict__.items() if key != "_core"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._core = self._made(True)

    def _made(self, skip_test):
        return self._engine(skip_test)

    def _engine(self, skip_test):
        """The engine's model whose batches `_maker` makes."""
        return _core.GenerativeModel(self._maker, param_names=self.param_names or [], **self._traits(), name=self.name, seed=self.seed, skip_test=skip_test)

    def _advance(self, batch_size):
        batch_size = as_count(batch_size, f"{type(self).__name__}: batch_size")
        first, self._next = self._next, self._next + batch_size
        return batch_size, first

    def presimulate(self, path: Path, n: int, *, seed: int = 0, batch_size: int = 0, precision: str = "float64", threads: int = 0,
                    nonfinite: str = "refuse", max_share: float = 0.1, progress: bool = True, first: int | None = None) -> dict[str, Any]:
        """Makes the file at `path` hold `n` simulations. A file that this model began with the same settings is continued, so a program that was
        interrupted may simply be run again; with functions that take an `rng` the file is then the same, byte for byte.

        `first`: the file is a part of a larger one, and gets simulations `first` to `first` + `n`, less those that `nonfinite="drop"` leaves out; parts that
        begin at multiples of `batch_size` become one file by `join_simulations`. `python -m bayesflow_cpp simulate` does both for jobs of a cluster.

        Returns a dictionary of what was done. Raises IoError (disk full, another model's file: what was complete stays) and SimulationError.
        """
        from .._progress import presimulation_progress

        first = None if first is None else as_count(first, "presimulate: first", 0)
        with presimulation_progress(n, progress) as report:
            return self._core.presimulate(as_path(path, "presimulate: path"), n, seed, batch_size, precision, threads, nonfinite, max_share, report, first)

    def presimulate_and_save(self, batch_size: int, folder_path: Path, total_iterations: int | None = None, memory_limit: int | None = None,
                             iterations_per_epoch: int | None = None, epochs: int | None = None, extend_from: int = 0,
                             disable_user_input: bool = False) -> None:  # fmt: skip
        """v1's function with files of this library: `epochs` files of `iterations_per_epoch` batches in `folder_path`, presim_file_1.h5 and so on,
        for `train_from_presimulation`. At least two of the three counts are required; `memory_limit` (MB) bounds a file, and makes more of them.
        `extend_from`: the number of files that are there; new ones are numbered from the next. A program that was interrupted is run again.
        Nothing is asked: `disable_user_input` is taken so that programs for v1 run. Returns the files' paths."""
        from .._presimulation import presimulate_and_save

        return presimulate_and_save(self, batch_size, folder_path, total_iterations, memory_limit, iterations_per_epoch, epochs, extend_from)


def traits_of(prior, simulator):
    """What the engine must know of a model with these parts."""
    return {
        "one_context_per_batch": prior._has_non_batchable_context or simulator._has_non_batchable_context,
        "depends_on_batch": prior._depends_on_batch or simulator._depends_on_batch,
        "reproducible": prior._reproducible and simulator._reproducible,
    }


def as_simulator(simulator, is_batched, owner):
    """A Simulator, also of a plain function."""
    if isinstance(simulator, Simulator):
        return simulator
    if is_batched is None:
        raise ConfigurationError(f"{owner}: a plain simulator function needs simulator_is_batched=True or False, or wrap it in a Simulator")
    return Simulator(batch_simulator_fun=simulator) if is_batched else Simulator(simulator_fun=simulator)


class GenerativeModel(Model):
    """Prior and simulator together. Construction makes two pilot simulations and reports every shape.

    Parameters
    ----------
    prior : Prior or callable
    simulator : Simulator or callable
        A plain callable needs `simulator_is_batched`.
    skip_test : bool
        True: no pilot simulations.
    prior_is_batched, simulator_is_batched : bool
        What plain callables are.
    name : str, optional
    seed : int
        Of `model(batch_size)` for functions that take an `rng`; training has the trainer's seed.
    """

    def __init__(self, prior: Prior | Function, simulator: Simulator | Function, skip_test: bool = False, prior_is_batched: bool = False,
                 simulator_is_batched: bool | None = None, name: str | None = "anonymous", *, seed: int = 0) -> None:
        if isinstance(prior, Simulator) or isinstance(simulator, Prior):
            raise ConfigurationError(
                f"GenerativeModel: the prior comes first, then the simulator; got a {type(prior).__name__} and a {type(simulator).__name__}: exchange them"
            )
        if not isinstance(prior, Prior):
            prior = Prior(batch_prior_fun=prior) if prior_is_batched else Prior(prior_fun=prior)
        simulator = as_simulator(simulator, simulator_is_batched, "GenerativeModel")
        name = "anonymous" if name is None else name
        self.prior, self.simulator, self.name, self.seed = prior, simulator, name, seed
        self.param_names = prior.param_names
        self.prior_is_batched, self.simulator_is_batched = prior.is_batched, simulator.is_batched
        self._maker = BatchMaker(prior, simulator)
        self._core = self._made(skip_test)

    def _made(self, skip_test):
        native = native_model(self, skip_test)
        self._is_native = native is not None
        return native or self._engine(skip_test)

    def _traits(self):
        return traits_of(self.prior, self.simulator)

    def __repr__(self):
        compiled = ", compiled" if self._is_native else ""
        return f"<GenerativeModel {self.name!r}: {self.prior!r}, {self.simulator!r}, seed {self.seed}{compiled}>"

    def __call__(self, batch_size: int, *, prior_args: Mapping[str, Any] = {}, sim_args: Mapping[str, Any] = {}, **kwargs: Any) -> dict[str, Any]:
        """`batch_size` simulations as a forward dictionary of six fields; absent contexts are None."""
        prior_args, sim_args = as_arguments(prior_args, "prior_args"), as_arguments(sim_args, "sim_args")
        if kwargs:
            raise ConfigurationError(f"GenerativeModel: arguments for the functions go into prior_args and sim_args; got {sorted(kwargs)}")
        batch_size, first = self._advance(batch_size)
        return self._maker.forward(batch_size, _core.Rng(self.seed, "model"), first, None, None, prior_args, sim_args)

    def plot_pushforward(self, parameter_draws: ArrayLike | None = None, funcs_list: Sequence[Function] | None = None,
                         funcs_labels: Names | None = None, batch_size: int = 1000, show_raw_sims: bool = True) -> dict[str, Any]:
        """Simulations and summaries of them; see `diagnostics.plot_pushforward`."""
        from ..diagnostics import plot_pushforward

        return plot_pushforward(self, parameter_draws, funcs_list, funcs_labels, batch_size, show_raw_sims)


def native_model(model, skip_test):
    """The engine's own model, if no Python function is in it: it simulates on all cores without the interpreter."""
    from .._native import engine_model

    return engine_model(model, skip_test)
