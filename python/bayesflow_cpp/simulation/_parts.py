"""What priors and simulators have in common."""

from __future__ import annotations

import numpy as np

from .._arrays import as_array, as_count, own, refuse_masked
from .._functions import name_of
from .._native import NativeFunction, native_or_keyed
from ..exceptions import ConfigurationError, SimulationError
from .contexts import OwnContexts, contexts_of


class Part:
    """What priors and simulators have in common."""

    def __init__(self, owner, batched, single, context_generator):
        if (batched is None) == (single is None):
            raise ConfigurationError(f"{owner}: exactly one function is required, for single simulations or for batches; got {'both' if single else 'none'}")
        for function in (batched, single):
            if isinstance(function, Part):
                raise ConfigurationError(f"{owner}: its function is a {type(function).__name__}; give the function that draws, or use the {type(function).__name__} itself")
        self.is_batched = batched is not None
        self.context_gen, self._contexts = context_generator, contexts_of(context_generator, owner)
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
        return self.is_batched or isinstance(self._contexts, OwnContexts)

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
        function, rows = self._function, Rows(self._name, first, batch_size)
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


class Rows:
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
