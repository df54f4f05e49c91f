"""Priors, simulators, contexts, generative models.

A function of a prior, simulator or context with a parameter named `rng` is handed a `numpy.random.Generator` that belongs to the seed and to the
number of the simulation. Then any number of threads gives the same simulations, and training that was interrupted goes on to the same bits.
Functions with a generator of their own work as in BayesFlow v1; what they draw depends on the order of all calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._absent import absent
from ._arrays import as_arguments, as_array, as_count, as_float64, as_names, as_path, own, refuse_masked
from ._functions import KeyedFunction, name_of
from ._native import NativeFunction, native_or_keyed
from .exceptions import ConfigurationError, OperationNotSupportedError, SimulationError

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from ._types import ArrayLike, Figure, Function, Names, Path, Simulations

__all__ = ["ContextGenerator", "Prior", "Simulator", "GenerativeModel", "Shared", "SimulationStore", "save_simulations"]


class ContextGenerator:
    """Context variables of a prior or simulator.

    Parameters
    ----------
    batchable_context_fun : callable, optional
        One value for each simulation (a design, a power-scaling factor). Numbers or arrays of one shape.
    non_batchable_context_fun : callable, optional
        One value for each batch (a number of observations).
    use_non_batchable_for_batchable : bool
        The batch's value is the first argument of `batchable_context_fun`.
    """

    def __init__(self, batchable_context_fun: Function | None = None, non_batchable_context_fun: Function | None = None,
                 use_non_batchable_for_batchable: bool = False) -> None:
        self._batchable = None if batchable_context_fun is None else KeyedFunction(batchable_context_fun, "ContextGenerator")
        self._non_batchable = None if non_batchable_context_fun is None else KeyedFunction(non_batchable_context_fun, "ContextGenerator")
        self.batchable_context_fun = batchable_context_fun
        self.non_batchable_context_fun = non_batchable_context_fun
        self.use_non_batchable_for_batchable = use_non_batchable_for_batchable
        self._next = 0

    def __repr__(self):
        functions = {"batchable_context_fun": self.batchable_context_fun, "non_batchable_context_fun": self.non_batchable_context_fun}
        return f"ContextGenerator({', '.join(f'{key}={name_of(function)}' for key, function in functions.items() if function is not None)})"

    def non_batchable_context(self, *args: Any, **kwargs: Any) -> Any:
        """One value, or None without a function."""
        return self._draw_non_batchable(_core.Rng(0, "context"), self._advance(1), args, kwargs)

    def batchable_context(self, batch_size: int, *args: Any, **kwargs: Any) -> list[Any] | None:
        """A list of `batch_size` values, or None without a function."""
        return self._draw_batchable(batch_size, _core.Rng(0, "context"), self._advance(batch_size), args, kwargs)

    def generate_context(self, batch_size: int, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """{"non_batchable_context": ..., "batchable_context": [...]}; extra arguments reach `batchable_context_fun`."""
        if _overridden(self, "batchable_context", "non_batchable_context"):
            non_batchable = self.non_batchable_context()
            args = (non_batchable, *args) if self.use_non_batchable_for_batchable else args
            return {"non_batchable_context": non_batchable, "batchable_context": self.batchable_context(batch_size, *args, **kwargs)}
        return self._draw(batch_size, _core.Rng(0, "context"), self._advance(batch_size), None, args, kwargs)

    def __call__(self, batch_size: int, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.generate_context(batch_size, *args, **kwargs)

    @property
    def _takes_rng(self):
        return all(f is None or f.takes_rng for f in (self._batchable, self._non_batchable))

    def _advance(self, count):
        first, self._next = self._next, self._next + as_count(count, "ContextGenerator: batch_size")
        return first

    def _draw_non_batchable(self, streams, first, args=(), kwargs={}):
        if self._non_batchable is None:
            return None
        value = self._non_batchable(streams.branch("non_batchable").at(first), *args, **kwargs)
        refuse_masked(value, "non-batchable context: the value")
        return value

    def _draw_batchable(self, batch_size, streams, first, args, kwargs):
        """Value i draws from `streams.at(i)`, the batch's value from `streams.branch("non_batchable").at(first)`: as in C++."""
        if self._batchable is None:
            return None
        values = [self._batchable(streams.at(first + b), *map(own, args), **kwargs) for b in range(batch_size)]
        for b, value in enumerate(values):
            refuse_masked(value, f"batchable context: the value of simulation {first + b}")
        return values

    def _draw(self, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        if non_batchable is None:
            non_batchable = self._draw_non_batchable(streams, first)
        if self.use_non_batchable_for_batchable:
            args = (non_batchable, *args)
        return {"non_batchable_context": non_batchable, "batchable_context": self._draw_batchable(batch_size, streams, first, args, kwargs)}


class _OwnContexts:
    """A context generator of the user's, as v1 takes it: a function of a batch size that returns both contexts."""

    _takes_rng = False

    def __init__(self, function, owner):
        self._function, self._owner = function, owner
        self.batchable_context_fun = self.non_batchable_context_fun = function

    def _draw(self, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        out = self._function(batch_size, *args, **kwargs)
        if not isinstance(out, dict) or not {"batchable_context", "non_batchable_context"} <= set(out):
            got = sorted(out) if isinstance(out, dict) else type(out).__name__
            raise ConfigurationError(f'{self._owner}: its context_generator must return a dictionary with "batchable_context" and "non_batchable_context"; got {got}')
        for key in ("batchable_context", "non_batchable_context"):
            refuse_masked(out[key], f"{self._owner}: {key}")
        return {**out, "non_batchable_context": out["non_batchable_context"] if non_batchable is None else non_batchable}


def _overridden(generator, *methods):
    """Whether a subclass of ContextGenerator has its own of one of these methods."""
    return any(getattr(type(generator), m) is not getattr(ContextGenerator, m) for m in methods)


def _contexts_of(generator, owner):
    """What draws contexts for a prior or simulator; None: nothing does."""
    drawing = ("batchable_context", "non_batchable_context", "generate_context", "__call__")
    if generator is None or isinstance(generator, ContextGenerator) and not _overridden(generator, *drawing):
        return generator
    if callable(generator):
        return _OwnContexts(generator, owner)
    raise ConfigurationError(
        f'{owner}: context_generator must be a ContextGenerator, or a function of a batch size that returns {{"batchable_context": ..., '
        f'"non_batchable_context": ...}}; got {type(generator).__name__}'
    )


class _Part:
    """What priors and simulators have in common."""

    def __init__(self, owner, batched, single, context_generator):
        if (batched is None) == (single is None):
            raise ConfigurationError(f"{owner}: exactly one function is required, for single simulations or for batches; got {'both' if single else 'none'}")
        for function in (batched, single):
            if isinstance(function, _Part):
                raise ConfigurationError(f"{owner}: its function is a {type(function).__name__}; give the function that draws, or use the {type(function).__name__} itself")
        self.is_batched = batched is not None
        self.context_gen, self._contexts = context_generator, _contexts_of(context_generator, owner)
        self._function = native_or_keyed(batched if self.is_batched else single, owner)
        if self.is_batched and isinstance(self._function, NativeFunction):
            raise ConfigurationError(f"{owner}: compiled functions make one simulation at a time; give it as the function of single simulations")
        self._name = owner.lower()
        self._next = 0

    def __repr__(self):
        function = self._function if isinstance(self._function, NativeFunction) else self._function.function
        options = [f"{'batch_' if self.is_batched else ''}{self._name}_fun={name_of(function)}"]
        if self.context_gen is not None:
            options.append(f"context_generator={self.context_gen!r}")
        if getattr(self, "param_names", None) is not None:
            names = self.param_names
            options.append(f"param_names={names}" if len(names) <= 6 else f"param_names=[{names[0]!r}, ..., {names[-1]!r}] ({len(names)})")
        return f"{type(self).__name__}({', '.join(options)})"

    def _advance(self, count):
        first, self._next = self._next, self._next + as_count(count, f"{self._name}: batch_size")
        return first

    @property
    def _has_non_batchable_context(self):
        return self._contexts is not None and self._contexts.non_batchable_context_fun is not None

    @property
    def _depends_on_batch(self):
        return self.is_batched or isinstance(self._contexts, _OwnContexts)

    @property
    def _reproducible(self):
        return (isinstance(self._function, NativeFunction) or self._function.takes_rng) and (self._contexts is None or self._contexts._takes_rng)

    def _context(self, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        if self._contexts is None:
            return {"non_batchable_context": None, "batchable_context": None}
        return self._contexts._draw(batch_size, streams.branch("context"), first, non_batchable, args, kwargs)

    def _run(self, batch_size, parameters, context, streams, first, args, kwargs):
        """The user's function on a whole batch: (batch_size, ...). It is given copies, so that what it changes in place stays as it was drawn."""
        batchable, non_batchable = context["batchable_context"], context["non_batchable_context"]
        if isinstance(self._function, NativeFunction):
            if args or kwargs:
                raise ConfigurationError(f"{self._name}: compiled functions take no further arguments; got {(*args, *kwargs)}")
            return self._function.run(batch_size, parameters, batchable, non_batchable, streams, first)
        refuse_masked(parameters, f"{self._name}: params")
        given, parameters = parameters, own(parameters)
        if self.is_batched:
            shared = () if non_batchable is None else (own(non_batchable),)
            lead = () if batchable is None else (own(batchable),)
            if parameters is None:
                try:
                    draws = self._function(streams.at(first), *lead, *shared, *args, batch_size=batch_size, **kwargs)
                except TypeError as error:
                    if "batch_size" not in str(error):
                        raise
                    raise ConfigurationError(
                        f"Prior: {error}. The first argument, batch_prior_fun, draws a whole batch and takes batch_size; a function of one draw is given as "
                        "Prior(prior_fun=...)"
                    ) from error
                return as_array(self._returned(draws), self._name)
            out = self._returned(self._function(streams.at(first), parameters, *lead, *shared, *args, **kwargs))
            refuse_masked(out, f"{self._name}: its data")
            return as_array(out, f"{self._name}: its data") if isinstance(out, (list, tuple)) else out
        function, rows = self._function, _Rows(self._name, first, batch_size)
        keyed = function.takes_rng
        stream = streams
        for b in range(batch_size):
            lead = () if parameters is None else ((parameters[b],) if not isinstance(parameters, (list, tuple)) else ([p[b] for p in parameters],))
            if batchable is not None:
                lead = (*lead, own(batchable[b]))
            if non_batchable is not None:
                lead = (*lead, own(non_batchable))
            if keyed:
                stream = streams.at(first + b)
            try:
                result = function(stream, *lead, *args, **kwargs)
            except Exception as error:
                raise self._failure(first + b, given, b, error) from error
            rows.add(b, self._returned(result))
        return rows.stacked()

    def _returned(self, result):
        if result is None:
            raise SimulationError(f"{self._name}: its function returned None; end it with return and an array")
        if isinstance(result, (dict, set, str, bytes)):
            of = f" with the keys {', '.join(map(repr, list(result)[:6]))}" if isinstance(result, dict) else ""
            raise SimulationError(f"{self._name}: its function returned a {type(result).__name__}{of}; return the numbers as one array (np.array([...]))")
        return result

    def _failure(self, number, parameters, b, error):
        given = "" if parameters is None or isinstance(parameters, (list, tuple)) else f" with parameters {np.array2string(np.asarray(parameters[b]), threshold=10)}"
        return SimulationError(f"{self._name}: simulation {number}{given} failed: {type(error).__name__}: {error}")


class _Rows:
    """Results of a function of single simulations, one after the other -> one array. Each is copied when it comes: a function may return the same
    array again and again."""

    def __init__(self, name, first, count):
        self._name, self._first, self._count = name, first, count
        self._array, self._list = None, []

    def add(self, b, result):
        if type(result) is not np.ndarray:
            refuse_masked(result, f"{self._name}: simulation {self._first + b}")
        if b == 0 and isinstance(result, np.ndarray) and result.dtype == np.float64:
            self._array = np.empty((self._count, *result.shape))
        array = self._array
        if array is not None and isinstance(result, np.ndarray) and result.shape == array.shape[1:] and result.dtype.kind in "fiub":
            array[b] = result
            return
        if array is not None:
            self._list, self._array = [*array[:b]], None
        self._list.append(result.copy() if isinstance(result, (np.ndarray, list)) else result)

    def stacked(self):
        if self._array is not None:
            return self._array
        try:
            return np.array(self._list)
        except ValueError as error:
            self._refuse(error)

    def _refuse(self, error):
        shapes = []
        for b, result in enumerate(self._list):
            try:
                shapes.append(np.shape(result))
            except ValueError:
                parts = f"a {type(result).__name__} of the shapes {', '.join(str(np.shape(part)) for part in result)}"
                raise SimulationError(
                    f"{self._name}: simulation {self._first + b} returned {parts}, which are no one array; join them (np.concatenate, or columns of one array)"
                ) from error
        other = next((b for b, shape in enumerate(shapes) if shape != shapes[0]), None)
        if other is None:
            raise SimulationError(f"{self._name}: what its function returned cannot be stacked: {error}") from error
        raise SimulationError(
            f"{self._name}: simulation {self._first + other} returned shape {shapes[other]}, but simulation {self._first} returned {shapes[0]}; return one "
            "shape for all simulations of a batch (a size that varies belongs into a non-batchable context)"
        ) from None


class Prior(_Part):
    """A prior over parameters.

    Parameters
    ----------
    batch_prior_fun : callable, optional
        ``f([batchable_contexts], [non_batchable_context], batch_size=B)`` -> (B, P).
    prior_fun : callable, optional
        ``f([batchable_context], [non_batchable_context])`` -> (P,); called B times. Or a compiled function (see `compile_cpp`, `CFunction`).
    context_generator : ContextGenerator or callable, optional
        A callable gets a batch size and returns {"batchable_context", "non_batchable_context"}.
    param_names : list of str, optional
        For figures, reports and files.
    """

    def __init__(self, batch_prior_fun: Function | None = None, prior_fun: Function | None = None, context_generator: ContextGenerator | Function | None = None,
                 param_names: Names | None = None) -> None:
        super().__init__("Prior", batch_prior_fun, prior_fun, context_generator)
        self.prior, self.batched_prior = prior_fun, batch_prior_fun
        self.param_names = None if param_names is None else as_names(param_names, "Prior: param_names")

    def __call__(self, batch_size: int, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """{"prior_draws": (B, P), "batchable_context": list or None, "non_batchable_context": value or None}; extra arguments reach the function."""
        return self._draw(batch_size, _core.Rng(0, "prior"), self._advance(batch_size), None, args, kwargs)

    def _draw(self, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        context = self._context(batch_size, streams, first, non_batchable)
        draws = self._run(batch_size, None, context, streams, first, args, kwargs)
        return {"prior_draws": draws, "batchable_context": context["batchable_context"], "non_batchable_context": context["non_batchable_context"]}

    def estimate_means_and_stds(self, n_draws: int = 1000, *args: Any, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Monte-Carlo mean and standard deviation (ddof 1) of each parameter, (1, P) each: for standardizing in a configurator."""
        draws = self(n_draws, *args, **kwargs)["prior_draws"]
        return np.mean(draws, axis=0, keepdims=True), np.std(draws, axis=0, ddof=1, keepdims=True)

    def plot_prior2d(self, **kwargs: Any) -> Figure:
        """A pair grid of prior draws; see `diagnostics.plot_prior2d`."""
        from .diagnostics import plot_prior2d

        kwargs.setdefault("param_names", self.param_names)
        return plot_prior2d(self, **kwargs)

    def logpdf(self, prior_draws: ArrayLike) -> np.ndarray:
        """Not there: a prior is a program that draws."""
        raise OperationNotSupportedError("Prior.logpdf: a prior here is a program that draws; evaluate the density in your own code")


class Simulator(_Part):
    """A simulator: from parameters to data.

    Parameters
    ----------
    batch_simulator_fun : callable, optional
        ``f(params, [batchable_contexts], [non_batchable_context])`` with params (B, P) -> (B, ...).
    simulator_fun : callable, optional
        ``f(params, [batchable_context], [non_batchable_context])`` with params (P,) -> one data set; called B times. Or a compiled function,
        which runs on all cores (see `compile_cpp`, `CFunction`).
    context_generator : ContextGenerator or callable, optional
        A callable gets a batch size and returns {"batchable_context", "non_batchable_context"}.
    """

    def __init__(self, batch_simulator_fun: Function | None = None, simulator_fun: Function | None = None,
                 context_generator: ContextGenerator | Function | None = None) -> None:
        super().__init__("Simulator", batch_simulator_fun, simulator_fun, context_generator)
        self.simulator = batch_simulator_fun if self.is_batched else simulator_fun

    def __call__(self, params: ArrayLike, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """{"sim_data": (B, ...), "batchable_context": list or None, "non_batchable_context": value or None}; extra arguments reach the function."""
        first = params[0] if isinstance(params, (list, tuple)) and len(params) else params
        if np.ndim(first) == 0 or not hasattr(first, "__len__") or isinstance(first, (str, dict)):
            raise ConfigurationError(f"Simulator: params must be an array (B, P), or a list of such; got {type(params).__name__}")
        batch_size = len(first)
        return self._draw(params, batch_size, _core.Rng(0, "simulator"), self._advance(batch_size), None, args, kwargs)

    def _draw(self, params, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        context = self._context(batch_size, streams, first, non_batchable)
        data = self._run(batch_size, params, context, streams, first, args, kwargs)
        return {"sim_data": data, "batchable_context": context["batchable_context"], "non_batchable_context": context["non_batchable_context"]}


class _BatchMaker:
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


def to_core(forward):
    """A forward dictionary as the engine takes it: float64 arrays and None; further fields with a row for each simulation, or `Shared`."""
    if not isinstance(forward, dict):
        raise ConfigurationError(f"a generative model must return a dictionary with the keys of bayesflow_cpp's forward dictionary; got {type(forward).__name__}")
    data = "obs_data" if forward.get("sim_data") is None and forward.get("obs_data") is not None else "sim_data"
    names = {"sim_data": data}
    further = {key: value for key, value in forward.items() if key not in FORWARD_KEYS and key != "obs_data" and value is not None}
    for key in ("prior_draws", data):
        if forward.get(key) is None and not (key == "prior_draws" and further):
            raise ConfigurationError(f'forward dictionary: "{key}" is required; got the keys {sorted(map(str, forward))}')
    out = {key: as_float64(forward.get(names.get(key, key)), names.get(key, key)) for key in FORWARD_KEYS}
    for key, value in further.items():
        if not isinstance(key, str):
            raise ConfigurationError(f"forward dictionary: keys must be texts; got {key!r}")
        out[key] = as_further(value, key)
    return out


def as_further(value, key):
    """A field beyond v1's six, as the engine takes it."""
    return _core.Shared(value.values) if isinstance(value, Shared) else as_float64(value, key)


FORWARD_KEYS = (
    "prior_non_batchable_context",
    "prior_batchable_context",
    "prior_draws",
    "sim_non_batchable_context",
    "sim_batchable_context",
    "sim_data",
)


def restore(value):
    """A context that went through the engine as a user's function expects it: whole scalars as int, others as float, else an array."""
    if value is None or np.ndim(value) > 0:
        return value
    value = float(value)
    return int(value) if value.is_integer() else value


def from_core(forward):
    """The engine's dictionary as v1 has it: batchable contexts as lists."""
    out = dict(forward)
    for key in ("prior_non_batchable_context", "sim_non_batchable_context"):
        out[key] = restore(out[key])
    for key in ("prior_batchable_context", "sim_batchable_context"):
        if out[key] is not None:
            out[key] = [restore(value) for value in out[key]]
    return {key: Shared(value.values) if isinstance(value, _core.Shared) else value for key, value in out.items()}


class Shared:
    """The value of a further field of a forward dictionary that all simulations of a batch share: `{"design": Shared([0.5, 1.0])}`. Without it a
    further field has a row for each simulation. `.values` is the array."""

    def __init__(self, values: ArrayLike) -> None:
        self.values = as_float64(values, "Shared")

    def __repr__(self):
        return f"Shared({self.values!r})"

class GenerativeModel:
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
        if not isinstance(simulator, Simulator):
            if simulator_is_batched is None:
                raise ConfigurationError("GenerativeModel: a plain simulator function needs simulator_is_batched=True or False, or wrap it in a Simulator")
            simulator = Simulator(batch_simulator_fun=simulator) if simulator_is_batched else Simulator(simulator_fun=simulator)
        name = "anonymous" if name is None else name
        self.prior, self.simulator, self.name, self.seed = prior, simulator, name, seed
        self.param_names = prior.param_names
        self.prior_is_batched, self.simulator_is_batched = prior.is_batched, simulator.is_batched
        self._maker = _BatchMaker(prior, simulator)
        self._next = 0
        native = native_model(self, skip_test)
        self._is_native = native is not None
        self._core = native or _core.GenerativeModel(
            self._maker,
            param_names=self.param_names or [],
            one_context_per_batch=prior._has_non_batchable_context or simulator._has_non_batchable_context,
            depends_on_batch=prior._depends_on_batch or simulator._depends_on_batch,
            reproducible=prior._reproducible and simulator._reproducible,
            name=name,
            seed=seed,
            skip_test=skip_test,
        )

    def __repr__(self):
        compiled = ", compiled" if self._is_native else ""
        return f"<GenerativeModel {self.name!r}: {self.prior!r}, {self.simulator!r}, seed {self.seed}{compiled}>"

    def __call__(self, batch_size: int, *, prior_args: Mapping[str, Any] = {}, sim_args: Mapping[str, Any] = {}, **kwargs: Any) -> dict[str, Any]:
        """`batch_size` simulations as a forward dictionary of six fields; absent contexts are None."""
        prior_args, sim_args = as_arguments(prior_args, "prior_args"), as_arguments(sim_args, "sim_args")
        if kwargs:
            raise ConfigurationError(f"GenerativeModel: arguments for the functions go into prior_args and sim_args; got {sorted(kwargs)}")
        batch_size = as_count(batch_size, "GenerativeModel: batch_size")
        first, self._next = self._next, self._next + batch_size
        return self._maker.forward(batch_size, _core.Rng(self.seed, "model"), first, None, None, prior_args, sim_args)

    def presimulate(self, path: Path, n: int, *, seed: int = 0, batch_size: int = 0, precision: str = "float64", threads: int = 0,
                    nonfinite: str = "refuse", max_share: float = 0.1, progress: bool = True) -> dict[str, Any]:
        """Makes the file at `path` hold `n` simulations. A file that this model began with the same settings is continued, so a program that was
        interrupted may simply be run again; with functions that take an `rng` the file is then the same, byte for byte.

        Returns a dictionary of what was done. Raises IoError (disk full, another model's file: what was complete stays) and SimulationError.
        """
        from ._progress import presimulation_progress

        with presimulation_progress(n, progress) as report:
            return self._core.presimulate(as_path(path, "presimulate: path"), n, seed, batch_size, precision, threads, nonfinite, max_share, report)

    def plot_pushforward(self, parameter_draws: ArrayLike | None = None, funcs_list: Sequence[Function] | None = None,
                         funcs_labels: Names | None = None, batch_size: int = 1000, show_raw_sims: bool = True) -> dict[str, Any]:
        """Simulations and summaries of them; see `diagnostics.plot_pushforward`."""
        from .diagnostics import plot_pushforward

        return plot_pushforward(self, parameter_draws, funcs_list, funcs_labels, batch_size, show_raw_sims)

    def presimulate_and_save(self, batch_size: int, folder_path: Path, total_iterations: int | None = None, memory_limit: int | None = None,
                             iterations_per_epoch: int | None = None, epochs: int | None = None, extend_from: int = 0,
                             disable_user_input: bool = False) -> None:  # fmt: skip
        """v1's function with files of this library: `epochs` files of `iterations_per_epoch` batches in `folder_path`, presim_file_1.h5 and so on,
        for `train_from_presimulation`. At least two of the three counts are required; `memory_limit` (MB) bounds a file, and makes more of them.
        `extend_from`: the number of files that are there; new ones are numbered from the next. A program that was interrupted is run again.
        Nothing is asked: `disable_user_input` is taken so that programs for v1 run. Returns the files' paths."""
        from ._presimulation import presimulate_and_save

        return presimulate_and_save(self, batch_size, folder_path, total_iterations, memory_limit, iterations_per_epoch, epochs, extend_from)


def native_model(model, skip_test):
    """The engine's own model, if no Python function is in it: it simulates on all cores without the interpreter."""
    from ._native import engine_model

    return engine_model(model, skip_test)


class SimulationStore:
    """A file of simulations, as `GenerativeModel.presimulate` writes it.

    Raises IoError: no such file, another kind of file, a newer format, cut short, damaged.
    """

    def __init__(self, path: Path) -> None:
        self._core = _core.SimulationStore(as_path(path, "SimulationStore: path"))
        self.path, self.info = self._core.path, self._core.info

    def __reduce__(self):
        return SimulationStore, (self.path,)

    def __len__(self):
        return len(self._core)

    def __repr__(self):
        return f"<SimulationStore {self.path!r}: {len(self):,} simulations in {self.batches} {'batch' if self.batches == 1 else 'batches'}>"

    @property
    def batches(self) -> int:
        """Number of stored batches."""
        return self._core.batches

    def batch(self, index: int) -> dict[str, Any]:
        """A stored batch as a forward dictionary; its checksum is verified."""
        return from_core(self._core.batch(index))

    def read(self) -> dict[str, Any]:
        """Everything as one forward dictionary. Raises ArgumentError if batches differ in their contexts."""
        return from_core(self._core.read())


def save_simulations(simulations: Simulations, path: Path, *, model_name: str = "anonymous", param_names: Names | None = None,
                     precision: str = "float64") -> None:
    """Writes a forward dictionary as a file of simulations, at once or not at all."""
    _core.save_simulations(to_core(simulations), as_path(path, "save_simulations: path"), model_name, as_names(param_names, "save_simulations: param_names"), precision)


TwoLevelPrior = absent("TwoLevelPrior", "hierarchical models are not there yet; a flat Prior over (hyper, local) parameters can be trained")
TwoLevelGenerativeModel = absent("TwoLevelGenerativeModel", "hierarchical models are not there yet; use a GenerativeModel with a flat Prior")
MultiGenerativeModel = absent("MultiGenerativeModel", "model comparison is not there yet; train one AmortizedPosterior per model")
