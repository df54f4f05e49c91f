"""Calls of a user's function of single simulations, one after the other, as one array."""

from __future__ import annotations

import numpy as np

from .._arrays import own, refuse_masked
from ..exceptions import SimulationError


def run_rows(name, function, streams, first, count, parameters, batchable, non_batchable, args=(), kwargs={}, before=None):
    """Simulations `first` to `first + count` (count, ...): row b of `parameters` (None: a prior) and of `batchable` belongs to simulation first + b,
    whose stream is `streams.at(first + b)`. The function is given copies, so that what it changes in place stays as it was drawn. `before`: called
    with each stream before the function is."""
    given, parameters = parameters, own(parameters)
    rows = Rows(name, first, count)
    stream = streams
    for b in range(count):
        lead = () if parameters is None else ((parameters[b],) if not isinstance(parameters, (list, tuple)) else ([p[b] for p in parameters],))
        if batchable is not None:
            lead = (*lead, own(batchable[b]))
        if non_batchable is not None:
            lead = (*lead, own(non_batchable))
        if function.takes_rng or before is not None:
            stream = streams.at(first + b)
        if before is not None:
            before(stream)
        try:
            result = function(stream, *lead, *args, **kwargs)
        except Exception as error:
            raise _failure(name, first + b, given, b, error) from error
        rows.add(b, returned(name, result))
    return rows.stacked()


def returned(name, result):
    """`result` of a user's function, or an exception if it is no numbers."""
    if result is None:
        raise SimulationError(f"{name}: its function returned None; end it with return and an array")
    if isinstance(result, (dict, set, str, bytes)):
        of = f" with the keys {', '.join(map(repr, list(result)[:6]))}" if isinstance(result, dict) else ""
        raise SimulationError(f"{name}: its function returned a {type(result).__name__}{of}; return the numbers as one array (np.array([...]))")
    return result


def refuse_shapes(name, first, shape, other, other_shape):
    """Simulation `first` has another shape than simulation `other`."""
    raise SimulationError(
        f"{name}: simulation {other} returned shape {other_shape}, but simulation {first} returned {shape}; return one "
        "shape for all simulations of a batch (a size that varies belongs into a non-batchable context)"
    )


def with_parameters(parameters, b):
    """" with parameters [...]" of row b, for messages."""
    return "" if parameters is None or isinstance(parameters, (list, tuple)) else f" with parameters {np.array2string(np.asarray(parameters[b]), threshold=10)}"


def _failure(name, number, parameters, b, error):
    return SimulationError(f"{name}: simulation {number}{with_parameters(parameters, b)} failed: {type(error).__name__}: {error}")


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
        refuse_shapes(self._name, self._first, shapes[0], self._first + other, shapes[other])
