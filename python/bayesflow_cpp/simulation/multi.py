"""Several generative models at once, for model comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import as_float64, is_whole, shown
from .._functions import KeyedFunction
from ..exceptions import ConfigurationError
from .forward import restore, to_core
from .model import Model

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import Function


class MultiGenerativeModel(Model):
    """Simulations of models that are drawn from prior probabilities. Construction simulates each model and reports every shape.

    Parameters
    ----------
    generative_models : list of GenerativeModel
    model_probs : "equal" or sequence of float
        Prior probability of each model.
    shared_context_gen : callable, optional
        ``f()`` -> {name: value}, drawn once for each batch; every simulator is given the values as keyword arguments (a number of observations, say).
        Names and shapes are the same in every call. With a parameter named `rng` it is handed a Generator.
    name : str, optional
    seed : int
        Of `model(batch_size)`.

    Models may differ in numbers of observations and of parameters. The networks are given data that are padded with zeros, and "summary_mask" tells
    what is there. A non-batchable context of one model alone is refused: it would differ between the rows of a batch.
    """

    def __init__(self, generative_models: Sequence[Model], model_probs: str | Sequence[float] = "equal", shared_context_gen: Function | None = None, *,
                 name: str | None = "anonymous", seed: int = 0, skip_test: bool = False) -> None:  # fmt: skip
        if not isinstance(generative_models, (list, tuple)):
            raise ConfigurationError(f"MultiGenerativeModel: generative_models must be a list of GenerativeModels; got {type(generative_models).__name__}")
        models = list(generative_models)
        for m, model in enumerate(models):
            if not isinstance(model, Model):
                raise ConfigurationError(f"MultiGenerativeModel: generative_models must be GenerativeModels; number {m} is a {type(model).__name__}")
        if isinstance(model_probs, str) and model_probs != "equal":
            raise ConfigurationError(f'MultiGenerativeModel: model_probs must be "equal" or one probability for each model; got {model_probs!r}')
        self.generative_models, self.num_models, self.seed = models, len(models), seed
        self.name = "anonymous" if name is None else name
        self.shared_context_gen = shared_context_gen
        self.shared = SharedContext()
        self.model_prior = np.empty(0) if isinstance(model_probs, str) else as_float64(model_probs, "MultiGenerativeModel: model_probs")
        self._core = self._made(skip_test)
        self.model_prior = np.array(self._core.model_probs)

    def _made(self, skip_test):
        engines = [model._core for model in self.generative_models]
        draw = None
        if self.shared_context_gen is not None:
            function = KeyedFunction(self.shared_context_gen, "MultiGenerativeModel")
            draw = lambda stream: self.shared.joined(function(stream))  # noqa: E731
            engines = [self._with_shared_context(model) for model in self.generative_models]
        return _core.MultiGenerativeModel(engines, self.model_prior.tolist(), draw, self.name, self.seed, skip_test)

    def _with_shared_context(self, model):
        if model._maker is None:
            raise ConfigurationError(f"MultiGenerativeModel: model {model.name!r} takes no keyword arguments, which a shared context is given as")

        def make(batch_size, streams, first, prior_context, sim_context):
            return to_core(model._maker.forward(batch_size, streams, first, restore(prior_context), None, sim_args=self.shared.split(sim_context)))

        return _core.GenerativeModel(make, param_names=[], **model._traits(), name=model.name, seed=model.seed, skip_test=True)

    def __repr__(self):
        probs = ", ".join(f"{p:.3g}" for p in self.model_prior)
        return f"<MultiGenerativeModel {self.name!r}: {', '.join(repr(m.name) for m in self.generative_models)} with probabilities {probs}, seed {self.seed}>"

    def __call__(self, batch_size: int) -> dict[str, Any]:
        """{"model_outputs": a forward dictionary of each model that was drawn, "model_indices": their numbers, ascending}, and the shared context."""
        batch_size, first = self._advance(batch_size)
        return self.shared.by_model(self._core.simulate(batch_size, self.seed, "model", first))


class SharedContext:
    """The values of a shared context as one array and back, and v1's form of simulations by model."""

    def __init__(self):
        self.shapes = None  # {name: shape}

    def joined(self, values):
        if not isinstance(values, dict) or not values:
            raise ConfigurationError(f"MultiGenerativeModel: shared_context_gen must return a dictionary of at least one name and value; got {values!r}")
        arrays = {name: as_float64(value, f"shared context {name!r}") for name, value in values.items()}
        shapes = {name: array.shape for name, array in arrays.items()}
        if self.shapes is None:
            self.shapes = shapes
        if shapes != self.shapes:
            raise ConfigurationError(f"MultiGenerativeModel: shared_context_gen must return the same names and shapes in every call; got {shapes}, and before {self.shapes}")
        return np.concatenate([arrays[name].ravel() for name in self.shapes])

    def split(self, joined):
        if joined is None:
            return {}
        joined, out, at = np.ravel(joined), {}, 0
        for name, shape in self.shapes.items():
            size = int(np.prod(shape))
            out[name] = restore(joined[at : at + size].reshape(shape))
            at += size
        return out

    def by_model(self, flat):
        """v1's dictionary: rows grouped by model, without padding."""
        indices = np.argmax(flat["model_indices"], axis=1)
        present = [int(m) for m in np.unique(indices)]
        return {"model_outputs": [self._output(flat, np.flatnonzero(indices == m)) for m in present], "model_indices": present, **self.split(flat["sim_non_batchable_context"])}

    def flat(self, forward, num_models):
        """The inverse: rows of all models, padded, as the engine takes them."""
        outputs, given = forward["model_outputs"], forward.get("model_indices")
        indices = list(given) if isinstance(given, (list, tuple, np.ndarray)) else []
        if not outputs or len(outputs) != len(indices) or not all(is_whole(m) and 0 <= m < num_models for m in indices):
            raise ConfigurationError(
                f'forward dictionary: "model_indices" must hold a whole number from 0 to {num_models - 1} for each of the {len(outputs)} "model_outputs"; got {shown(given)}'
            )
        parts = [to_core(output) for output in outputs]
        counts = [len(part["sim_data"]) for part in parts]
        out = {"model_indices": np.repeat(np.eye(num_models)[indices], counts, axis=0)}
        rows = lambda key: [row for part in parts for row in part[key]]  # noqa: E731
        observations = lambda array: list(array.shape[1:-1])  # noqa: E731
        for part in parts:
            own = [key for key in ("prior_non_batchable_context", "sim_non_batchable_context") if part[key] is not None]
            if own:
                raise ConfigurationError(f"forward dictionary: a model's output has a {own[0]} of its own, which would differ between the rows of a batch; write a configurator of your own")
            known = set(part) - set(to_core({"prior_draws": 0, "sim_data": 0})) - {"sim_data_mask", "sim_data_times"}
            if known:
                raise ConfigurationError(f"forward dictionary: of a model's output {sorted(known)} cannot be joined to that of other models; take it out")
        to = [max(extents) for extents in zip(*(observations(part["sim_data"]) for part in parts))]
        if len({(part["sim_data"].ndim, part["sim_data"].shape[-1]) for part in parts}) > 1:
            shapes = ", ".join(str(part["sim_data"].shape) for part in parts)
            raise ConfigurationError(f"forward dictionary: data of models may differ in numbers of observations, but neither in the number of axes nor in the last one; got {shapes}")
        masks = [part.get("sim_data_mask") for part in parts]
        if any(mask is not None for mask in masks) or any(observations(part["sim_data"]) != to for part in parts):
            for part, mask in zip(parts, masks):
                part["sim_data_mask"] = np.ones(part["sim_data"].shape[:-1]) if mask is None else mask
            out["sim_data"] = _core.pad("sim_data", rows("sim_data"), to, 0)[0]
            out["sim_data_mask"] = _core.pad("sim_data_mask", rows("sim_data_mask"), to, 0)[0]
        else:
            out["sim_data"] = np.concatenate([part["sim_data"] for part in parts])
        for key in ("prior_batchable_context", "sim_batchable_context", "sim_data_times"):
            there = [part.get(key) is not None for part in parts]
            if any(there) and not all(there):
                raise ConfigurationError(f"forward dictionary: {key} is there for some models and absent for others; give it to all or to none")
            if all(there):
                padded = key == "sim_data_times"
                out[key] = _core.pad(key, rows(key), to, 0)[0] if padded else np.concatenate([part[key] for part in parts])
        if all(part["prior_draws"] is not None and part["prior_draws"].ndim == 2 for part in parts):
            widths = [part["prior_draws"].shape[1] for part in parts]
            draws, mask = _core.pad("prior_draws", rows("prior_draws"), [max(widths)], 0)
            out["prior_draws"] = draws
            if len(set(widths)) > 1:
                out["prior_draws_mask"] = mask
        shared = {key: value for key, value in forward.items() if key not in ("model_outputs", "model_indices") and value is not None}
        if shared:
            out["sim_non_batchable_context"] = self.joined(shared)
        return out

    def _output(self, flat, rows):
        take = lambda key: None if flat.get(key) is None else flat[key][rows]  # noqa: E731
        data, mask, draws, draws_mask = take("sim_data"), take("sim_data_mask"), take("prior_draws"), take("prior_draws_mask")
        out = {
            "prior_non_batchable_context": None,
            "prior_batchable_context": _rows_of(take("prior_batchable_context")),
            "prior_draws": draws if draws_mask is None else draws[:, : int(draws_mask.sum(axis=1).max())],
            "sim_non_batchable_context": None,
            "sim_batchable_context": _rows_of(take("sim_batchable_context")),
            "sim_data": data,
        }
        if mask is not None:
            there = np.nonzero(mask.any(axis=0))
            ends = tuple(slice(int(axis.max()) + 1 if len(axis) else 0) for axis in there)
            out["sim_data"], mask = data[(slice(None), *ends)], mask[(slice(None), *ends)]
            if not mask.all():
                out["sim_data_mask"] = mask
        if flat.get("sim_data_times") is not None:
            out["sim_data_times"] = take("sim_data_times")[(slice(None), *(slice(n) for n in out["sim_data"].shape[1:-1]))]
        return out


def _rows_of(values):
    return None if values is None else [restore(value) for value in values]
