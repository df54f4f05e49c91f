"""v1's losses as functions of arrays, for evaluation. Training computes its own within the engine."""

import math

import numpy as np

from . import _core
from ._arrays import as_float64
from .exceptions import ConfigurationError, ShapeError


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


def kl_latent_space_gaussian(z, log_det_J):
    """Mean negative log density of latents z (..., P) under standard normals, with log determinants log_det_J (...). Unlike v1's it keeps
    the constant P / 2 log(2 pi), so that it is a density's."""
    z, log_det = as_float64(z, "z"), as_float64(log_det_J, "log_det_J")
    _require_log_det(z, log_det)
    return float(np.mean(0.5 * (z**2).sum(-1) + 0.5 * z.shape[-1] * math.log(2 * math.pi) - log_det))


def kl_latent_space_student(v, z, log_det_J):
    """The same under independent Student-t latents with v degrees of freedom (a number, or one per data set (...))."""
    v, z, log_det = as_float64(v, "v"), as_float64(z, "z"), as_float64(log_det_J, "log_det_J")
    _require_log_det(z, log_det)
    if not (v > 0).all():
        raise ConfigurationError(f"v, the degrees of freedom, must be positive; got {v.min()}")
    d = z.shape[-1]
    constant = d * (_lgamma(v / 2) - _lgamma((v + 1) / 2) + 0.5 * np.log(v * math.pi))
    return float(np.mean(constant + (v + 1) / 2 * np.log1p(z**2 / v[..., None]).sum(-1) - log_det))


def _require_log_det(z, log_det):
    if z.ndim < 1 or z.shape[:-1] != log_det.shape:
        raise ShapeError(f"log_det_J must have the shape of z without its last axis; got {log_det.shape} for z of shape {z.shape}")


def kl_dirichlet(model_indices, alpha):
    """Mean divergence of Dirichlet(alpha (n, J)), without the evidence for the true model (one-hot model_indices (n, J)), from the uniform."""
    one_hot, alpha = as_float64(model_indices, "model_indices", (2,)), as_float64(alpha, "alpha", (2,))
    if one_hot.shape != alpha.shape:
        raise ShapeError(f"model_indices (one-hot) and alpha must have the same shape; got {one_hot.shape} and {alpha.shape}")
    a = alpha * (1 - one_hot) + one_hot
    total = a.sum(1, keepdims=True)
    kl = ((a - 1) * (_digamma(a) - _digamma(total))).sum(1) + _lgamma(total)[:, 0] - _lgamma(a).sum(1) - math.lgamma(a.shape[1])
    return float(kl.mean())


def mmd_summary_space(summary_outputs, z_dist=np.random.standard_normal, kernel="gaussian"):
    """Squared MMD of summaries (n, d) and as many draws of `z_dist(shape)`."""
    summaries = as_float64(summary_outputs, "summary_outputs", (2,))
    return _core.diagnostics.maximum_mean_discrepancy(summaries, as_float64(z_dist(summaries.shape), "draws of z_dist", (2,)), kernel, 1.0, 0.0)


def log_loss(model_indices, preds, evidential=False, label_smoothing=0.01):
    """Mean cross-entropy of one-hot model_indices (n, J) and predictions (n, J): probabilities, or concentrations if `evidential`."""
    one_hot, preds = as_float64(model_indices, "model_indices", (2,)), as_float64(preds, "preds", (2,))
    if one_hot.shape != preds.shape:
        raise ShapeError(f"model_indices (one-hot) and preds must have the same shape; got {one_hot.shape} and {preds.shape}")
    if label_smoothing is not None:
        one_hot = one_hot * (1 - label_smoothing) + label_smoothing / one_hot.shape[1]
    if evidential:
        preds = preds / preds.sum(1, keepdims=True)
    return float(-(one_hot * np.log(np.clip(preds, 1e-15, 1 - 1e-15))).sum(1).mean())


def norm_diff(tensor_a, tensor_b, axis=None, ord="euclidean"):
    """Norm of the difference of two arrays, over all entries or along `axis`. ord: "euclidean" or what numpy.linalg.norm knows."""
    difference = as_float64(tensor_a, "tensor_a") - as_float64(tensor_b, "tensor_b")
    if ord == "euclidean":
        return np.sqrt((difference**2).sum(axis))
    if axis is None:
        difference, axis = difference.ravel(), 0
    return np.linalg.norm(difference, ord=ord, axis=axis)
