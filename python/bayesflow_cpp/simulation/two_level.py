"""Two-level (hierarchical) models: groups whose parameters have a common distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import as_arguments, as_count, as_float64, as_names, own
from .._functions import KeyedFunction, name_of
from ..exceptions import ConfigurationError, SimulationError
from ._rows import Rows
from .contexts import OwnContexts, contexts_of
from .forward import restore, to_core
from .model import Model, as_simulator, traits_of

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from .._types import Function, Names
    from .contexts import ContextGenerator
    from .simulator import Simulator


class TwoLevelPrior:
    """p(hyper) p(shared) p(local | hyper). Each function draws for one data set.

    Parameters
    ----------
    hyper_prior_fun : callable
        ``f()`` -> (H,): hyper parameters.
    local_prior_fun : callable
        ``f(hyper, [batchable_context], [non_batchable_context])`` -> (groups, L).
    shared_prior_fun : callable, optional
        ``f()`` -> (S,): parameters that all groups have in common.
    local_context_generator : ContextGenerator or callable, optional
        Contexts of the local prior: a number of groups as the non-batchable one, say.
    hyper_names, local_names, shared_names : list of str, optional
        For figures, reports and files.

    Functions with a parameter named `rng` are handed a Generator, as those of a Prior.
    """

    def __init__(self, hyper_prior_fun: Function, local_prior_fun: Function, shared_prior_fun: Function | None = None,
                 local_context_generator: ContextGenerator | Function | None = None, *, hyper_names: Names | None = None, local_names: Names | None = None,
                 shared_names: Names | None = None) -> None:  # fmt: skip
        self.hyper_prior, self.local_prior, self.shared_prior = hyper_prior_fun, local_prior_fun, shared_prior_fun
        self._hyper, self._local = KeyedFunction(hyper_prior_fun, "TwoLevelPrior"), KeyedFunction(local_prior_fun, "TwoLevelPrior")
        self._shared = None if shared_prior_fun is None else KeyedFunction(shared_prior_fun, "TwoLevelPrior")
        self.context_gen, self._contexts = local_context_generator, contexts_of(local_context_generator, "TwoLevelPrior")
        self.hyper_names, self.local_names, self.shared_names = (
            None if names is None else as_names(names, f"TwoLevelPrior: {what}_names")
            for what, names in (("hyper", hyper_names), ("local", local_names), ("shared", shared_names))
        )
        self._next = 0

    def __repr__(self):
        functions = {"hyper_prior_fun": self.hyper_prior, "local_prior_fun": self.local_prior, "shared_prior_fun": self.shared_prior}
        return f"TwoLevelPrior({', '.join(f'{key}={name_of(function)}' for key, function in functions.items() if function is not None)})"

    def __call__(self, batch_size: int, *, hyper_args: Mapping[str, Any] = {}, local_args: Mapping[str, Any] = {}, shared_args: Mapping[str, Any] = {},
                 **kwargs: Any) -> dict[str, Any]:  # fmt: skip
        """{"hyper_parameters": (B, H), "local_parameters": (B, groups, L), "shared_parameters": (B, S) where there are such, "batchable_context",
        "non_batchable_context"}; the arguments reach the functions."""
        if kwargs:
            raise ConfigurationError(f"TwoLevelPrior: arguments for the functions go into hyper_args, local_args and shared_args; got {sorted(kwargs)}")
        batch_size = as_count(batch_size, "TwoLevelPrior: batch_size")
        first, self._next = self._next, self._next + batch_size
        hyper, local, shared, context = self._draw(batch_size, _core.Rng(0, "prior"), first, None, hyper_args, local_args, shared_args)
        out = {"hyper_parameters": hyper, "local_parameters": stacked("local prior", local, first)}
        if shared is not None:
            out["shared_parameters"] = shared
        return {**out, **context}

    def draw_hyper_parameters(self, **kwargs: Any) -> Any:
        """One draw of the hyper parameters."""
        return self._hyper(self._stream("hyper"), **kwargs)

    def draw_local_parameters(self, hypers: Any, batchable_context: Any = None, non_batchable_context: Any = None, **kwargs: Any) -> Any:
        """One draw of the local parameters of all groups, given hyper parameters and contexts."""
        contexts = [own(context) for context in (batchable_context, non_batchable_context) if context is not None]
        return self._local(self._stream("local"), own(hypers), *contexts, **kwargs)

    def draw_shared_parameters(self, **kwargs: Any) -> Any:
        """One draw of the shared parameters."""
        if self._shared is None:
            raise ConfigurationError("TwoLevelPrior.draw_shared_parameters: there are no shared parameters; give shared_prior_fun")
        return self._shared(self._stream("shared"), **kwargs)

    def _stream(self, purpose):
        first, self._next = self._next, self._next + 1
        return _core.Rng(0, "prior").branch(purpose).at(first)

    @property
    def _has_non_batchable_context(self):
        return self._contexts is not None and self._contexts.non_batchable_context_fun is not None

    @property
    def _depends_on_batch(self):
        return isinstance(self._contexts, OwnContexts)

    @property
    def _reproducible(self):
        functions = [self._hyper, self._local, *([] if self._shared is None else [self._shared])]
        return all(function.takes_rng for function in functions) and (self._contexts is None or self._contexts._takes_rng)

    def _draw(self, batch_size, streams, first, non_batchable, hyper_args={}, local_args={}, shared_args={}):
        """(B, H), a list of (groups, L), (B, S) or None, the contexts."""
        arguments = [as_arguments(a, name) for a, name in ((hyper_args, "hyper_args"), (local_args, "local_args"), (shared_args, "shared_args"))]
        none = {"non_batchable_context": None, "batchable_context": None}
        context = none if self._contexts is None else self._contexts._draw(batch_size, streams.branch("context"), first, non_batchable)
        each = lambda purpose, function, given, kwargs: _each(f"{purpose} prior", function, streams.branch(purpose), first, batch_size, given, kwargs)  # noqa: E731
        hyper = stacked("hyper prior", each("hyper", self._hyper, lambda b: (), arguments[0]), first)
        shared = None if self._shared is None else stacked("shared prior", each("shared", self._shared, lambda b: (), arguments[2]), first)
        batchable, shared_context = context["batchable_context"], context["non_batchable_context"]
        lead = lambda b: (own(hyper[b]), *(() if batchable is None else (own(batchable[b]),)), *(() if shared_context is None else (own(shared_context),)))  # noqa: E731
        local = each("local", self._local, lead, arguments[1])
        for b, draw in enumerate(local):
            if draw.ndim == 1:
                local[b] = draw[:, None]  # one parameter of each group
            elif draw.ndim != 2:
                raise ConfigurationError(f"TwoLevelPrior: local_prior_fun must return (groups, parameters); simulation {first + b} returned shape {draw.shape}")
        return hyper, local, shared, context


def _each(what, function, streams, first, count, given, kwargs):
    out = []
    for b in range(count):
        result = function(streams.at(first + b), *given(b), **kwargs)
        out.append(np.array(as_float64(result, f"{what}: simulation {first + b}"), ndmin=1))
    return out


def stacked(what, rows, first):
    """Rows of one shape as an array; says which one differs."""
    out = Rows(what, first, len(rows))
    for b, row in enumerate(rows):
        out.add(b, row)
    return out.stacked()


class _TwoLevelMaker:
    """Makes batches for the engine, as BatchMaker does."""

    def __init__(self, prior, simulator, pad_to):
        self.prior, self.simulator, self.pad_to = prior, simulator, pad_to

    def forward(self, batch_size, streams, first, prior_context=None, sim_context=None, prior_args={}, sim_args={}):
        if not set(prior_args) <= {"hyper_args", "local_args", "shared_args"}:
            raise ConfigurationError(f"TwoLevelGenerativeModel: prior_args may hold hyper_args, local_args, shared_args; got {sorted(prior_args)}")
        hyper, local, shared, context = self.prior._draw(batch_size, streams.branch("prior"), first, prior_context, **prior_args)
        simulate = lambda params, count, start, given: self.simulator._draw(params, count, streams.branch("simulator"), start, given, (), sim_args)  # noqa: E731
        out = {}
        if self.pad_to is None:
            local = stacked("local prior", local, first)
            sim = simulate(local if shared is None else (local, shared), batch_size, first, sim_context)
        else:  # one data set after the other: their numbers of groups differ
            parts = []
            for b, draw in enumerate(local):
                given = sim_context if not parts else parts[0]["non_batchable_context"]
                parts.append(simulate(draw[None] if shared is None else (draw[None], shared[b : b + 1]), 1, first + b, given))
            batchable = parts[0]["batchable_context"]
            rows = [as_float64(part["sim_data"], "sim_data")[0] for part in parts]
            for b, (row, draw) in enumerate(zip(rows, local)):
                if row.ndim <= len(self.pad_to):
                    raise SimulationError(f"simulator: simulation {first + b} returned shape {row.shape}; pad_to has {len(self.pad_to)} extents, and data need an axis more")
                if len(row) != len(draw):
                    raise SimulationError(f"simulator: simulation {first + b} returned {len(row)} groups, and the local prior drew {len(draw)}; return one row for each group")
            data, mask = _core.pad("simulator", rows, list(self.pad_to), first)
            sim = {
                "sim_data": data,
                "non_batchable_context": parts[0]["non_batchable_context"],
                "batchable_context": None if batchable is None else [part["batchable_context"][0] for part in parts],
            }
            local, local_mask = _core.pad("local prior", local, [self.pad_to[0]], first)
            out = {"sim_data_mask": mask, "local_mask": local_mask}
        return {
            "sim_data": sim["sim_data"],
            "hyper_prior_draws": hyper,
            "local_prior_draws": local,
            "shared_prior_draws": shared,
            "sim_batchable_context": sim["batchable_context"],
            "sim_non_batchable_context": sim["non_batchable_context"],
            "prior_batchable_context": context["batchable_context"],
            "prior_non_batchable_context": context["non_batchable_context"],
            **out,
        }

    def __call__(self, batch_size, streams, first, prior_context, sim_context):
        return to_core(self.forward(batch_size, streams, first, restore(prior_context), restore(sim_context)))


class TwoLevelGenerativeModel(Model):
    """A two-level prior and a simulator. Construction makes two pilot simulations and reports every shape.

    Parameters
    ----------
    prior : TwoLevelPrior
    simulator : Simulator or callable
        Is given the local parameters (groups, L), or [local, shared] with shared parameters (S,); of a batch (B, groups, L), or (local, shared).
        A plain callable needs `simulator_is_batched`.
    skip_test : bool
        True: no pilot simulations.
    simulator_is_batched : bool, optional
        What a plain callable is.
    name : str, optional
    pad_to : sequence of int, optional
        Numbers of groups, of observations, ... to which data are padded with zeros. With it they may differ from data set to data set, and
        "sim_data_mask" (B, groups, observations) and "local_mask" (B, groups) tell what is there. The simulator is then called for single data sets.
    seed : int
        Of `model(batch_size)` for functions that take an `rng`; training has the trainer's seed.
    """

    def __init__(self, prior: TwoLevelPrior, simulator: Simulator | Function, skip_test: bool = False, simulator_is_batched: bool | None = None,
                 name: str | None = "anonymous", *, pad_to: Sequence[int] | None = None, seed: int = 0) -> None:  # fmt: skip
        if not isinstance(prior, TwoLevelPrior):
            raise ConfigurationError(f"TwoLevelGenerativeModel: prior must be a TwoLevelPrior; got {type(prior).__name__}")
        simulator = as_simulator(simulator, simulator_is_batched, "TwoLevelGenerativeModel")
        if pad_to is not None and not isinstance(pad_to, (list, tuple)):
            raise ConfigurationError(f"TwoLevelGenerativeModel: pad_to must be a sequence, (groups,), (groups, observations), ...; got {pad_to!r}")
        if pad_to is not None:
            pad_to = [as_count(extent, "TwoLevelGenerativeModel: pad_to") for extent in pad_to]
            if not pad_to or simulator.is_batched:
                problem = "it is empty" if not pad_to else "it needs a simulator of single data sets, simulator_fun"
                raise ConfigurationError(f"TwoLevelGenerativeModel: pad_to: {problem}")
        self.prior, self.simulator, self.pad_to, self.seed = prior, simulator, pad_to, seed
        self.name = "anonymous" if name is None else name
        self.simulator_is_batched = simulator.is_batched
        self._maker = _TwoLevelMaker(prior, simulator, pad_to)
        self._core = self._made(skip_test)

    def _traits(self):
        return traits_of(self.prior, self.simulator)

    def __repr__(self):
        return f"<TwoLevelGenerativeModel {self.name!r}: {self.prior!r}, {self.simulator!r}, seed {self.seed}>"

    def __call__(self, batch_size: int, *, prior_args: Mapping[str, Any] = {}, sim_args: Mapping[str, Any] = {}) -> dict[str, Any]:
        """`batch_size` simulations: sim_data (B, groups, ...), hyper_prior_draws (B, H), local_prior_draws (B, groups, L), shared_prior_draws (B, S) or
        None, four contexts. `prior_args`: {"hyper_args": {...}, "local_args": {...}, "shared_args": {...}}."""
        prior_args, sim_args = as_arguments(prior_args, "prior_args"), as_arguments(sim_args, "sim_args")
        batch_size, first = self._advance(batch_size)
        return self._maker.forward(batch_size, _core.Rng(self.seed, "model"), first, None, None, prior_args, sim_args)
