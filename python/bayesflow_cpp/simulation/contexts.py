"""Context variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_count, own, refuse_masked
from .._functions import KeyedFunction, name_of
from ..exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

    from .._types import Function


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


class OwnContexts:
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


def contexts_of(generator, owner):
    """What draws contexts for a prior or simulator; None: nothing does."""
    drawing = ("batchable_context", "non_batchable_context", "generate_context", "__call__")
    if generator is None or isinstance(generator, ContextGenerator) and not _overridden(generator, *drawing):
        return generator
    if callable(generator):
        return OwnContexts(generator, owner)
    raise ConfigurationError(
        f'{owner}: context_generator must be a ContextGenerator, or a function of a batch size that returns {{"batchable_context": ..., '
        f'"non_batchable_context": ...}}; got {type(generator).__name__}'
    )
