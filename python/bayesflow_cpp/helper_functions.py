"""v1's helper functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import _core, default_settings
from ._arrays import as_array, as_count, shown
from ._log import logger
from .amortizers._base import Amortizer
from .amortizers._group import AmortizerGroup
from .exceptions import ConfigurationError, OperationNotSupportedError, ShapeError
from .optimizers import options_of

if TYPE_CHECKING:
    from typing import Any, Mapping

    from ._types import ArrayLike, Settings, Simulations
    from .amortizers import AmortizedTarget
    from .optimizers import SGD, Adam, AdamW

__all__ = ["backprop_step", "build_meta_dict", "check_posterior_prior_shapes", "check_tensor_sanity", "extract_current_lr", "format_loss_string", "loss_to_string", "merge_left_into_right"]


def merge_left_into_right(left_dict: Settings, right_dict: Settings) -> dict[str, Any]:
    """`default_settings.merge_left_into_right`"""
    return default_settings.merge_left_into_right(left_dict, right_dict)


def build_meta_dict(user_dict: Settings, default_setting: default_settings.MetaDictSetting | Settings) -> dict[str, Any]:
    """`default_settings.build_meta_dict`"""
    return default_settings.build_meta_dict(user_dict, default_setting)


def check_tensor_sanity(tensor: ArrayLike, logger: Any) -> None:
    """Warns of values that are not numbers, and of infinite ones."""
    values = np.asarray(tensor)
    for what, count in (("NaN", int(np.isnan(values).sum())), ("infinite", int(np.isinf(values).sum()))):
        if count:
            logger.warning("%d of %d values are %s.", count, values.size, what)


def _terms(loss, name):
    return ", ".join(f"{key}: {float(value):.3f}" for key, value in loss.items()) if isinstance(loss, dict) else f"{name}: {float(loss):.3f}"


def format_loss_string(ep: int, it: int, loss: Any, avg_dict: Mapping[str, Any], slope: float | None = None, lr: float | None = None, ep_str: str = "Epoch",
                       it_str: str = "Iter", scalar_loss_str: str = "Loss") -> str:  # fmt: skip
    """"Epoch: 1, Iter: 2, Loss: 0.123, Avg.Loss: 0.456, LR: 5.00E-04"."""
    parts = [f"{ep_str}: {ep}", f"{it_str}: {it}", _terms(loss, scalar_loss_str), *([_terms(dict(avg_dict), "")] if avg_dict else [])]
    parts += [] if slope is None else [f"L.Slope: {slope:.3f}"]
    parts += [] if lr is None else [f"LR: {lr:.2E}"]
    return ", ".join(parts)


def loss_to_string(ep: int, loss: Any, ep_str: str = "Epoch", scalar_loss_str: str = "Loss") -> str:
    """"Validation, Epoch: 1, Loss: 0.123"."""
    return f"Validation, {ep_str}: {ep}, {_terms(loss, scalar_loss_str)}"


def check_posterior_prior_shapes(post_samples: ArrayLike, prior_samples: ArrayLike) -> None:
    """Raises ShapeError unless draws are (B, S, P) and truths (B, P)."""
    post, prior = as_array(post_samples, "post_samples"), as_array(prior_samples, "prior_samples")
    if post.ndim != 3 or prior.ndim != 2 or post.shape[0] != prior.shape[0] or post.shape[2] != prior.shape[1]:
        raise ShapeError(f"post_samples must be (B, S, P) and prior_samples (B, P); got {post.shape} and {prior.shape}")


def extract_current_lr(optimizer: Adam | AdamW | SGD, *, step: int | None = None) -> float | None:
    """The learning rate of an optimizer's next step: its schedule there, or its number; None if it has none, and a trainer gives it one.

    step: another step, from 0; by default as many as `backprop_step` has taken. What a trainer's steps had is in its history's "learning_rate"."""
    options = options_of(optimizer)
    if options is None:
        raise ConfigurationError("extract_current_lr: optimizer must be one of the module optimizers; got None")
    step = optimizer.iterations if step is None else as_count(step, "extract_current_lr: step", 0)
    return options.rate(step)


def backprop_step(input_dict: Simulations, amortizer: AmortizedTarget, optimizer: Adam | AdamW | SGD, **kwargs: Any) -> float | dict[str, float]:
    """One step of training on a configured batch, for loops of your own: the loss before it, or {name: term} where there are several (weight decay is one,
    "W.Decay").

    input_dict: what a configurator returns; optimizer: its moments, and the step of its schedule, go on from call to call with one amortizer, and start
    anew with another. It needs a learning rate. A loss or gradient that is not finite changes no weights. A `trainers.Trainer` does this
    and all around it: simulation, validation, checkpoints, early stopping. kwargs: networks take no further arguments."""
    if not isinstance(amortizer, (Amortizer, AmortizerGroup)):
        raise ConfigurationError(f"backprop_step: amortizer must be one of the module amortizers; got {shown(amortizer)}")
    if kwargs:
        raise OperationNotSupportedError(f"backprop_step: networks take no further arguments; got {', '.join(kwargs)}")
    options = options_of(optimizer)
    if options is None or optimizer.learning_rate is None:
        raise ConfigurationError("backprop_step: optimizer must have a learning rate, optimizers.Adam(1e-3) say; only a trainer has a default one")
    if optimizer._steps is None or optimizer._steps[0] is not amortizer:
        optimizer._steps = amortizer, _core.TrainingSteps(amortizer._core, options, amortizer.seed or 0, getattr(amortizer, "_threads", 0))
    losses = optimizer._steps[1].step(amortizer._inputs(input_dict, True))
    if not math.isfinite(sum(losses.values())):
        logger.warning("backprop_step: the loss is not finite, so that no weights were changed.")
    decay = losses.pop("weight_decay")
    if not decay and len(losses) == 1:
        return next(iter(losses.values()))
    losses = {"Loss" if len(losses) == 1 else name: value for name, value in losses.items()}
    return {**losses, "W.Decay": decay} if decay else losses
