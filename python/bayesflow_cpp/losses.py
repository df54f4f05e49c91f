"""v1's losses as functions of arrays, for evaluation. Training computes its own within the engine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import Scalar, as_flag, as_function, as_number, is_whole, output, required, shown
from .exceptions import ConfigurationError, ShapeError

if TYPE_CHECKING:
    from ._types import ArrayLike, Function


def _lgamma(x):
    return np.vectorize(math.lgamma, otypes=[np.float64])(x)


def _digamma(x):
    """By recurrence up to 8 and the asymptotic series beyond: 1e-13 for positive x."""
    x = np.array(x, dtype=np.float64)
    shift = np.zeros_like(x)
    while (x < 8).any():
        small = x < 8
        shift[small] -= 1 / x[small]
        x[small] += 1
    s = 1 / x**2
    return shift + np.log(x) - 0.5 / x - s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s * (1 / 132 - s * 691 / 32760)))))


def kl_latent_space_gaussian(z: ArrayLike, log_det_J: ArrayLike) -> Scalar:
    """Mean negative log density of latents z (..., P) under standard normals, with log determinants log_det_J (...). Unlike v1's it keeps
    the constant P / 2 log(2 pi), so that it is a density's."""
    z, log_det = _latents(z, log_det_J)
    return Scalar(np.mean(0.5 * (z**2).sum(-1) + 0.5 * z.shape[-1] * math.log(2 * math.pi) - log_det))


def kl_latent_space_student(v: ArrayLike, z: ArrayLike, log_det_J: ArrayLike) -> Scalar:
    """The same under independent Student-t latents with v degrees of freedom (a number, or one per data set (...))."""
    v, (z, log_det) = required(v, "v"), _latents(z, log_det_J)
    if v.ndim and v.shape != log_det.shape:
        raise ShapeError(f"v, the degrees of freedom, must be a number or of the shape of log_det_J, {log_det.shape}; got {v.shape}")
    _require_positive(v, "v, the degrees of freedom,")
    d = z.shape[-1]
    constant = d * (_lgamma(v / 2) - _lgamma((v + 1) / 2) + 0.5 * np.log(v * math.pi))
    return Scalar(np.mean(constant + (v + 1) / 2 * np.log1p(z**2 / v[..., None]).sum(-1) - log_det))


def _latents(z, log_det_J):
    z, log_det = required(z, "z"), required(log_det_J, "log_det_J")
    if z.ndim < 1 or z.shape[:-1] != log_det.shape:
        raise ShapeError(f"log_det_J must have the shape of z without its last axis; got {log_det.shape} for z of shape {z.shape}")
    _require_some(z, "z")
    return z, log_det


def _require_some(x, name):
    if x.size == 0:
        raise ShapeError(f"{name} must hold at least one row and one column; got shape {x.shape}")


def _require_positive(x, name):
    """The gamma function's logarithm overflows beyond 1e300."""
    wrong = ~((x > 0) & (x < 1e300))
    if wrong.any():
        raise ConfigurationError(f"{name} must be positive and below 1e300; got {x[wrong].flat[0]}")


def _models(model_indices, values, name):
    """One-hot rows of the true models, and a row of values for each."""
    one_hot, values = required(model_indices, "model_indices", (2,), "data sets, models"), required(values, name, (2,), "data sets, models")
    if one_hot.shape != values.shape:
        raise ShapeError(f"model_indices (one-hot) and {name} must have the same shape; got {one_hot.shape} and {values.shape}")
    _require_some(one_hot, "model_indices")
    return one_hot, values


def kl_dirichlet(model_indices: ArrayLike, alpha: ArrayLike) -> Scalar:
    """Mean divergence of Dirichlet(alpha (n, J)), without the evidence for the true model (one-hot model_indices (n, J)), from the uniform."""
    one_hot, alpha = _models(model_indices, alpha, "alpha")
    _require_positive(alpha, "alpha, the concentrations,")
    a = alpha * (1 - one_hot) + one_hot
    total = a.sum(1, keepdims=True)
    kl = ((a - 1) * (_digamma(a) - _digamma(total))).sum(1) + _lgamma(total)[:, 0] - _lgamma(a).sum(1) - math.lgamma(a.shape[1])
    return Scalar(kl.mean())


def mmd_summary_space(summary_outputs: ArrayLike, z_dist: Function = np.random.standard_normal, kernel: str = "gaussian") -> Scalar:
    """Squared MMD of summaries (n, d) and as many draws of `z_dist(shape)`."""
    summaries = required(summary_outputs, "summary_outputs", (2,), "data sets, summaries")
    draws = required(as_function(z_dist, "z_dist", "a shape")(summaries.shape), "what z_dist(shape) returns", (2,))
    return Scalar(_core.diagnostics.maximum_mean_discrepancy(summaries, draws, kernel, 1.0, 0.0))


def log_loss(model_indices: ArrayLike, preds: ArrayLike, evidential: bool = False, label_smoothing: float = 0.01) -> Scalar:
    """Mean cross-entropy of one-hot model_indices (n, J) and predictions (n, J): probabilities, or concentrations if `evidential`."""
    one_hot, preds = _models(model_indices, preds, "preds")
    if label_smoothing is not None:
        label_smoothing = as_number(label_smoothing, "label_smoothing")
        if not 0 <= label_smoothing <= 1:
            raise ConfigurationError(f"label_smoothing must be None or lie in [0, 1]; got {label_smoothing}")
        one_hot = one_hot * (1 - label_smoothing) + label_smoothing / one_hot.shape[1]
    if as_flag(evidential, "evidential"):
        preds = preds / preds.sum(1, keepdims=True)
    return Scalar(-(one_hot * np.log(np.clip(preds, 1e-15, 1 - 1e-15))).sum(1).mean())


def norm_diff(tensor_a: ArrayLike, tensor_b: ArrayLike, axis: int | None = None, ord: str | float = "euclidean") -> Scalar | np.ndarray:
    """Norm of the difference of two arrays, over all entries or along `axis`. ord: "euclidean" or what numpy.linalg.norm knows."""
    a, b = required(tensor_a, "tensor_a"), required(tensor_b, "tensor_b")
    try:
        difference = a - b
    except ValueError as error:
        raise ShapeError(f"tensor_a and tensor_b must have shapes that can be subtracted; got {a.shape} and {b.shape}") from error
    axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    if not all(is_whole(i) and -difference.ndim <= i < difference.ndim for i in axes) or len({i % difference.ndim for i in axes}) < len(axes):
        raise ConfigurationError(f"axis must be None or axes of a difference of shape {difference.shape}; got {shown(axis)}")
    if isinstance(ord, str) and ord == "euclidean":
        return output(np.sqrt((difference**2).sum(axis)))
    if axis is None:
        difference, axis = difference.ravel(), 0
    if not isinstance(ord, (str, int, float, np.number, type(None))):
        raise ConfigurationError(f'ord must be "euclidean" or an order that numpy.linalg.norm knows; got {shown(ord)}')
    try:
        return output(np.linalg.norm(difference, ord=ord, axis=axis))
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(f'ord must be "euclidean" or an order that numpy.linalg.norm knows; got {shown(ord)} for axis {shown(axis)}: {error}') from error
