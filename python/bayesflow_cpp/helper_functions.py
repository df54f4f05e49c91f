"""v1's helper functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import default_settings
from ._absent import absent
from ._arrays import as_array
from .exceptions import ShapeError

if TYPE_CHECKING:
    from typing import Any, Mapping

    from ._types import ArrayLike, Settings

__all__ = ["build_meta_dict", "check_posterior_prior_shapes", "check_tensor_sanity", "format_loss_string", "loss_to_string", "merge_left_into_right"]


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


extract_current_lr = absent("extract_current_lr", "the progress bar shows the learning rate")
backprop_step = absent("backprop_step", "one step is trainer.train_online(epochs=1, iterations_per_epoch=1, ...)")
