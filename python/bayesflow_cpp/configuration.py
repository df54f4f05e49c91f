"""From forward dictionaries to what the networks are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_count, as_float64, as_function, is_whole, shown
from .exceptions import ArgumentError, ConfigurationError, ShapeError
from .simulation.forward import FORWARD_KEYS, as_further
from .simulation.multi import SharedContext

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from ._types import Function, Simulations

__all__ = ["DefaultPosteriorConfigurator", "DefaultLikelihoodConfigurator", "DefaultJointConfigurator", "DefaultModelComparisonConfigurator", "DefaultTwoLevelConfigurator", "DefaultSourcesConfigurator", "DefaultCombiner"]


class DefaultCombiner:
    """Forward dictionary -> {"summary_conditions", "direct_conditions"}, float64.

    The data are the summary conditions; batchable contexts are broadcast over the observations and joined on the last axis. Non-batchable
    contexts are repeated over the batch and become direct conditions: a number of observations becomes (B, 1).
    """

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        configured = _configure(forward_dict)
        return {name: configured.get(name) for name in _conditions(configured)}


class DefaultPosteriorConfigurator:
    """Forward dictionary -> {"summary_conditions", "direct_conditions", "parameters"} of float32 arrays, absent ones None. Real data may come
    as {"obs_data": x}, without parameters."""

    def __init__(self, default_float_type: Any = np.float32) -> None:
        self.default_float_type = default_float_type
        self.combiner = DefaultCombiner()

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        configured = _configure(forward_dict)
        return {name: _cast(configured.get(name), name, self.default_float_type) for name in (*_conditions(configured), "parameters")}


class DefaultLikelihoodConfigurator:
    """Forward dictionary -> {"observables", "conditions"} of float32 arrays: the data, and the parameters with the contexts that there are, batchable
    ones first, joined on the last axis."""

    def __init__(self, default_float_type: Any = np.float32) -> None:
        self.default_float_type = default_float_type

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        arrays = _arrays_of(forward_dict)[0]
        if arrays["prior_draws"] is None:
            raise ConfigurationError('configurator: the forward dictionary needs "prior_draws", which are conditions of the likelihood')
        for name, array in arrays.items():
            if array is not None and not isinstance(array, _core.Shared):
                _cast(array, name, np.float32)
        configured = _core.likelihood_configurator(arrays)
        return {name: _cast(configured[name], name, self.default_float_type) for name in ("observables", "conditions")}


class DefaultModelComparisonConfigurator:
    """Simulations of several models -> {"summary_conditions", "direct_conditions", "model_indices"} of float32 arrays, absent ones None.

    Parameters
    ----------
    num_models : int
    combiner : callable, optional
        Forward dictionary of one model -> {"summary_conditions", "direct_conditions"}; None: `DefaultCombiner`, and data of fewer observations than those of
        other models are padded, with a "summary_mask".

    Takes what a MultiGenerativeModel returns, {"model_outputs": [forward dictionary of each drawn model], "model_indices": [their numbers]} and shared contexts,
    which become direct conditions; and one forward dictionary with "model_indices" (B, num_models), one-hot, or without, for real data.
    """

    def __init__(self, num_models: int, combiner: Function | None = None, default_float_type: Any = np.float32) -> None:
        self.num_models = as_count(num_models, "DefaultModelComparisonConfigurator: num_models", 2)
        self.combiner = DefaultCombiner() if combiner is None else as_function(combiner, "DefaultModelComparisonConfigurator: combiner", "a forward dictionary")
        self.default_float_type = default_float_type
        self._own_combiner = combiner is not None and type(combiner) is not DefaultCombiner

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        if not isinstance(forward_dict, dict):
            raise ConfigurationError(f"configurator: a forward dictionary is required; got {type(forward_dict).__name__}")
        by_model = forward_dict.get("model_outputs") is not None
        if by_model and not self._own_combiner:
            forward_dict, by_model = SharedContext().flat(forward_dict, self.num_models), False
        if by_model:
            combined, indices = self._each(forward_dict["model_outputs"], forward_dict.get("model_indices"))
        else:
            # Parameters differ between models, and play no part.
            combined = dict(self.combiner({key: value for key, value in forward_dict.items() if key not in ("model_indices", "prior_draws", "prior_draws_mask")}))
            indices = as_float64(forward_dict.get("model_indices"), "model_indices", ndim=(2,))
            if indices is not None and indices.shape[1] != self.num_models:
                raise ConfigurationError(f"configurator: model_indices must be (B, {self.num_models}); got {indices.shape}")
        if indices is not None:
            combined["model_indices"] = indices
        names = dict.fromkeys(("summary_conditions", "direct_conditions", *combined))
        return {name: _cast(combined.get(name), name, self.default_float_type) for name in names}

    def _each(self, outputs, numbers):
        """What the user's combiner makes of each model, joined."""
        if numbers is None or len(numbers) != len(outputs) or not all(is_whole(n) and 0 <= n < self.num_models for n in numbers):
            raise ConfigurationError(f"configurator: model_indices must hold the number of each model of model_outputs, 0 to {self.num_models - 1}; got {shown(numbers)}")
        parts = [dict(self.combiner(out)) for out in outputs]
        given = sorted({name for part in parts for name, value in part.items() if value is not None})
        for name in given:
            shapes = {None if part.get(name) is None else np.shape(part[name])[1:] for part in parts}
            if len(shapes) > 1:
                raise ConfigurationError(f"configurator: {name} must be there for all models, with the same shape but for the number of data sets; a combiner of your own must pad")
        rows = [len(part[given[0]]) for part in parts]
        return {name: np.concatenate([part[name] for part in parts]) for name in given}, np.repeat(np.eye(self.num_models)[list(numbers)], rows, axis=0)


def _conditions(configured):
    """v1's two conditions, and a mask and times where there are such."""
    return ("summary_conditions", "direct_conditions", *(role for role in ("summary_mask", "summary_times") if role in configured))


def _cast(array, name, float_type):
    if array is None:
        return None
    with np.errstate(over="ignore"):
        out = array.astype(float_type)
    lost = np.isinf(out) & np.isfinite(array)
    if lost.any():
        at = tuple(np.argwhere(lost)[0])
        place = f" of data set {at[0]}" if at else ""
        place += f", column {at[-1]}" if len(at) > 1 else ""
        raise ArgumentError(
            f"configurator: {array[at]:g} in {name}{place} is beyond the range of {out.dtype} ({np.finfo(out.dtype).max:.2g}); scale such "
            "values, in training and here"
        )
    return out


def _arrays_of(forward, data_needed=True):
    """The fields as float64 arrays, data by the name of sim_data; and the name that they were given by."""
    if not isinstance(forward, dict):
        raise ConfigurationError(f"configurator: a forward dictionary is required; got {type(forward).__name__}")
    given = [name for name in ("sim_data", "obs_data") if forward.get(name) is not None]
    if len(given) == 2:
        raise ConfigurationError('configurator: the forward dictionary holds both "sim_data" and "obs_data"; keep the one that is meant')
    if not given and data_needed:
        raise ConfigurationError('configurator: the forward dictionary needs "sim_data" or "obs_data"')
    arrays = {key: as_float64(forward.get(key), key) for key in FORWARD_KEYS if key != "sim_data"}
    arrays["sim_data"] = as_float64(forward[given[0]], given[0]) if given else None
    further = {key: value for key, value in forward.items() if key not in FORWARD_KEYS and key != "obs_data" and value is not None}
    arrays.update({key: as_further(value, str(key)) for key, value in further.items()})
    return arrays, given[0] if given else None


def _configure(forward):
    arrays, given = _arrays_of(forward)
    data, known = arrays["sim_data"], arrays["prior_draws"] is not None
    if not known:  # real data
        if data.ndim < 2:
            raise ShapeError(f"configurator: {given} of shape {data.shape} needs the axis of data sets first: one data set x is x[None], many of one number x[:, None]")
        arrays["prior_draws"] = np.zeros((len(data), 1))
    configured = _core.default_configurator(arrays)
    if not known:
        configured.pop("parameters")
    return configured


class DefaultJointConfigurator:
    """Forward dictionary -> {"posterior_inputs", "likelihood_inputs"}: what DefaultPosteriorConfigurator and DefaultLikelihoodConfigurator make of it."""

    def __init__(self, default_float_type: Any = np.float32) -> None:
        self.default_float_type = default_float_type
        self.posterior_config, self.likelihood_config = DefaultPosteriorConfigurator(default_float_type), DefaultLikelihoodConfigurator(default_float_type)

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        return {"posterior_inputs": self.posterior_config(forward_dict), "likelihood_inputs": self.likelihood_config(forward_dict)}


class DefaultTwoLevelConfigurator:
    """Simulations of a TwoLevelGenerativeModel -> {"hyper_parameters", "local_parameters", "shared_parameters", "summary_conditions", "summary_mask", ...} of
    float32 arrays, of those that there are. Non-batchable contexts become direct_global_conditions and direct_local_conditions. Real data may come as
    {"obs_data": x}, without parameters."""

    def __init__(self, default_float_type: Any = np.float32) -> None:
        self.default_float_type = default_float_type

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        arrays = _arrays_of(forward_dict)[0]
        targets = {"hyper_prior_draws": "hyper_parameters", "local_prior_draws": "local_parameters", "shared_prior_draws": "shared_parameters", "local_mask": "local_mask"}
        own = {role: arrays.pop(field, None) for field, role in targets.items()}
        arrays["prior_draws"] = None
        configured = _core.default_configurator(arrays)
        configured.pop("parameters", None)
        direct = configured.pop("direct_conditions", None)
        configured.update(direct_global_conditions=direct, direct_local_conditions=direct)
        return {role: _cast(values, role, self.default_float_type) for role, values in {**own, **configured}.items() if values is not None}


class DefaultSourcesConfigurator:
    """Simulations of several sources of data -> {"summary_conditions": {name: array}, "direct_conditions", "parameters"} of float32 arrays, for a FusionNetwork.

    Parameters
    ----------
    sources : dict
        The shape of a data set of each source, {"series": (50, 1), "table": (10, 2)}. A simulator returns the numbers of all sources, one source after the
        other, as one row: sim_data is (B, 70) here.

    Contexts belong to no source and become direct conditions, (B, c). Real data may come as {"obs_data": x}, without parameters. Sources with masks or times
    need a configurator of their own.
    """

    def __init__(self, sources: Mapping[str, Sequence[int]], default_float_type: Any = np.float32) -> None:
        owner = "DefaultSourcesConfigurator"
        if not isinstance(sources, dict) or not sources:
            raise ConfigurationError(f'{owner}: sources must be a dictionary {{"name": shape of a data set}}; got {shown(sources)}')
        for name, shape in sources.items():
            if not isinstance(name, str) or not isinstance(shape, (tuple, list)) or not 1 <= len(shape) <= 5:
                raise ConfigurationError(f"{owner}: a name and a shape of one to five whole numbers are required; got {shown(name)}: {shown(shape)}")
        self.sources = {name: tuple(as_count(extent, f"{owner}: shape of {name}") for extent in shape) for name, shape in sources.items()}
        self.default_float_type = default_float_type

    def __call__(self, forward_dict: Simulations) -> dict[str, Any]:
        arrays = _arrays_of(forward_dict)[0]
        known = arrays["prior_draws"] is not None
        if not known:  # real data
            arrays["prior_draws"] = np.zeros((len(arrays["sim_data"]), 1))
        configured = _core.sources_configurator(list(self.sources.items()), arrays)
        of = {name: configured[f"summary_conditions.{name}" if name else "summary_conditions"] for name in self.sources}
        out = {"summary_conditions": {name: _cast(values, f"summary_conditions.{name}", self.default_float_type) for name, values in of.items()}}
        for role in ("direct_conditions", *(("parameters",) if known else ())):
            out[role] = _cast(configured.get(role), role, self.default_float_type)
        return out
