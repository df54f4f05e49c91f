"""From forward dictionaries to what the networks are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_float64
from .exceptions import ConfigurationError, OperationNotSupportedError
from .simulation import FORWARD_KEYS

if TYPE_CHECKING:
    from typing import Any

    from ._types import Simulations

__all__ = ["DefaultPosteriorConfigurator", "DefaultCombiner"]


class DefaultCombiner:
    """Forward dictionary -> {"summary_conditions", "direct_conditions"}, float64.

    The data are the summary conditions; batchable contexts are broadcast over the observations and joined on the last axis. Non-batchable
    contexts are repeated over the batch and become direct conditions: a number of observations becomes (B, 1).
    """

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        _, summary, direct = _configure(forward_dict)
        return {"summary_conditions": summary, "direct_conditions": direct}


class DefaultPosteriorConfigurator:
    """Forward dictionary -> {"summary_conditions", "direct_conditions", "parameters"} of float32 arrays, absent ones None. Real data may come
    as {"obs_data": x}, without parameters."""

    def __init__(self, default_float_type: Any = np.float32) -> None:
        self.default_float_type = default_float_type
        self.combiner = DefaultCombiner()

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        parameters, summary, direct = _configure(forward_dict)
        cast = lambda x: None if x is None else x.astype(self.default_float_type)  # noqa: E731
        return {"summary_conditions": cast(summary), "direct_conditions": cast(direct), "parameters": cast(parameters)}


def _configure(forward):
    if not isinstance(forward, dict):
        raise ConfigurationError(f"configurator: a forward dictionary is required; got {type(forward).__name__}")
    data = forward.get("sim_data")
    if data is None:
        data = forward.get("obs_data")
    elif forward.get("obs_data") is not None:
        raise ConfigurationError('configurator: the forward dictionary holds both "sim_data" and "obs_data"; keep the one that is meant')
    if data is None:
        raise ConfigurationError('configurator: the forward dictionary needs "sim_data" or "obs_data"')
    arrays = {key: as_float64(forward.get(key), key) for key in FORWARD_KEYS}
    arrays["sim_data"] = as_float64(data, "sim_data")
    known = arrays["prior_draws"] is not None
    if not known:  # real data
        arrays["prior_draws"] = np.zeros((arrays["sim_data"].shape[0] if arrays["sim_data"].ndim else 0, 1))
    parameters, summary, direct = _core.default_configurator(arrays)
    return parameters if known else None, summary, direct


def _absent(name):
    def configurator(*args, **kwargs):
        raise OperationNotSupportedError(f"{name} belongs to an amortizer that is not there yet; AmortizedPosterior has DefaultPosteriorConfigurator")

    return configurator


DefaultLikelihoodConfigurator = _absent("DefaultLikelihoodConfigurator")
DefaultJointConfigurator = _absent("DefaultJointConfigurator")
DefaultModelComparisonConfigurator = _absent("DefaultModelComparisonConfigurator")
