"""Forward dictionaries: what generative models return."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import as_float64
from ..exceptions import ConfigurationError

if TYPE_CHECKING:
    from .._types import ArrayLike


class Shared:
    """The value of a further field of a forward dictionary that all simulations of a batch share: `{"design": Shared([0.5, 1.0])}`. Without it a
    further field has a row for each simulation. `.values` is the array."""

    def __init__(self, values: ArrayLike) -> None:
        if values is None:
            raise ConfigurationError("Shared: values must be an array or a number; got None: leave the field out where there is nothing")
        self.values = as_float64(values, "Shared")

    def __repr__(self):
        return f"Shared({self.values!r})"


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
