"""v1's numbers on plain arrays, with v1's names and arguments. What v1 got wrong is right here: see docs/diagnostics.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _core, _numbers
from ._arrays import Scalar, as_array, as_choice, as_count, as_flag, as_float64, as_function, as_number, output, required
from .exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError, ShapeError

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Function

_d = _core.diagnostics


def _samples(x, name):
    x = required(x, name, (2,), "rows, columns")
    if x.size == 0:
        raise ShapeError(f"{name} must have at least one row and one column; got shape {x.shape}")
    return x


def _same_width(x, y, names):
    if x.shape[1] != y.shape[1]:
        raise ShapeError(f"{names[0]} and {names[1]} must have equally many columns; got shapes {x.shape} and {y.shape}")


def _few(value, name):
    """A number of bins, levels, points: what is allocated for each must not end the process."""
    if as_count(value, name) > 100_000:
        raise ArgumentError(f"{name} may be at most 100,000; got {value}")
    return int(value)


def _variances(sigmas):
    sigmas = as_float64(sigmas, "sigmas", (1,))
    if not len(sigmas) or not (sigmas > 0).all():
        raise ArgumentError(f"sigmas must be None or a list of positive variances; got {sigmas.tolist() if len(sigmas) < 10 else 'some that are not positive'}")
    return sigmas


def posterior_calibration_error(posterior_samples: ArrayLike, prior_samples: ArrayLike, alpha_resolution: int = 20,
                                aggregator_fun: Function = np.median, min_quantile: float = 0.005, max_quantile: float = 0.995) -> np.ndarray:
    """|coverage - level| of central intervals between quantiles of the draws, joined over the levels by `aggregator_fun(errors, axis=0)`.

    posterior_samples: (B, S, P); prior_samples: (B, P). Returns (P), or (levels, P) if aggregator_fun is None. An exact posterior does
    not show zero: see diagnostics.coverage for errors with their Monte-Carlo uncertainty."""
    post = required(posterior_samples, "posterior_samples", (3,), "data sets, draws, parameters")
    truths = required(prior_samples, "prior_samples", (2,), "data sets, parameters")
    if aggregator_fun is not None:
        as_function(aggregator_fun, "aggregator_fun", "(errors, axis), like numpy.median, or None")
    errors = _d.posterior_calibration_errors(post, truths, _few(alpha_resolution, "alpha_resolution"), min_quantile, max_quantile, 0)
    return errors if aggregator_fun is None else aggregator_fun(errors, axis=0)


def compute_jacobian_trace(function: Function, inputs: ArrayLike, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
    """The value of a function of rows, and the trace of its Jacobian: (outputs, trace).

    function: of an array like `inputs`, and of kwargs, that returns one of the same shape, each row of its own row alone; inputs (B, D) or (B, N, D). The trace,
    sum_j d f_j / d x_j, is (B,) or (B, N). v1 differentiates a TensorFlow function; here derivatives are differences of fourth order,

        (8 (f(x + h) - f(x - h)) - (f(x + 2 h) - f(x - 2 h))) / (12 h),  h = eps^(1/5) max(1, |x_j|),

    with eps that of the type of the outputs: 4 D calls. Of smooth functions they are right to about 12 digits in float64, and to 5 in float32, which is what the
    networks of this package return."""
    as_function(function, "function", "an array like inputs")
    x = required(inputs, "inputs", (2, 3), "data sets, ..., dimensions")

    def call(at):
        out = as_array(function(at, **kwargs), "what function returns")
        if out.shape != x.shape:
            raise ShapeError(f"compute_jacobian_trace: function must return an array of the shape of its inputs, {x.shape}; got {out.shape}")
        return out

    outputs = call(x.copy())
    eps = np.finfo(outputs.dtype).eps if np.issubdtype(outputs.dtype, np.floating) else np.finfo(np.float64).eps
    trace = np.zeros(x.shape[:-1])
    for j in range(x.shape[-1]):
        step = eps**0.2 * np.maximum(1, np.abs(x[..., j]))

        def difference(size):
            sides = []
            for sign in (1, -1):
                at = x.copy()
                at[..., j] += sign * size * step
                sides.append(call(at)[..., j].astype(np.float64))
            return sides[0] - sides[1]

        trace += (8 * difference(1) - difference(2)) / (12 * step)
    return outputs, trace


def _squared_distances(x, y):
    return np.maximum(((x[:, None, :] - y[None, :, :]) ** 2).sum(-1), 0)


def gaussian_kernel_matrix(x: ArrayLike, y: ArrayLike, sigmas: ArrayLike | None = None) -> np.ndarray:
    """Kernel values sum over s of exp(-|x - y|^2 / (2 s)), (N, M), of x (N, d) and y (M, d). `sigmas`: variances; None: v1's 19."""
    x, y = _samples(x, "x"), _samples(y, "y")
    _same_width(x, y, ("x", "y"))
    if sigmas is None:
        return output(_d.kernel_matrix(x, y, "gaussian"))
    squares = _squared_distances(x, y)
    return output(sum(np.exp(-squares / (2 * s)) for s in _variances(sigmas)))


def inverse_multiquadratic_kernel_matrix(x: ArrayLike, y: ArrayLike, sigmas: ArrayLike | None = None) -> np.ndarray:
    """Kernel values sum over s of s / (s + |x - y|^2), (N, M), of x (N, d) and y (M, d). `sigmas=None`: v1's 19."""
    x, y = _samples(x, "x"), _samples(y, "y")
    _same_width(x, y, ("x", "y"))
    if sigmas is None:
        return output(_d.kernel_matrix(x, y, "inverse_multiquadratic"))
    squares = _squared_distances(x, y)
    return output(sum(s / (s + squares) for s in _variances(sigmas)))


def mmd_kernel(x: ArrayLike, y: ArrayLike, kernel: Function) -> Scalar:
    """Biased estimate of the squared MMD of x (N, d) and y (M, d): mean k(x, x) + mean k(y, y) - 2 mean k(x, y).

    kernel: a function such as `gaussian_kernel_matrix`."""
    x, y = _samples(x, "x"), _samples(y, "y")
    as_function(kernel, "kernel", "two samples (N, d) and (M, d), such as gaussian_kernel_matrix")
    return Scalar(np.mean(_gram(kernel, x, x)) + np.mean(_gram(kernel, y, y)) - 2 * np.mean(_gram(kernel, x, y)))


def _gram(kernel, x, y):
    """The kernel may be a user's, which is given copies."""
    return as_array(kernel(x.copy(), y.copy()), "what kernel returns")


def mmd_kernel_unbiased(x: ArrayLike, y: ArrayLike, kernel: Function) -> Scalar:
    """Unbiased estimate of the squared MMD: sums over different rows only, divided by n (n - 1). It may be negative."""
    x, y = _samples(x, "x"), _samples(y, "y")
    as_function(kernel, "kernel", "two samples (N, d) and (M, d), such as gaussian_kernel_matrix")
    n, m = len(x), len(y)
    if n < 2 or m < 2:
        raise ShapeError(f"mmd_kernel_unbiased needs at least two rows of each sample; got {n} and {m}")
    within = lambda k, size: (np.sum(k) - np.trace(k)) / (size * (size - 1))
    return Scalar(within(_gram(kernel, x, x), n) + within(_gram(kernel, y, y), m) - 2 * np.mean(_gram(kernel, x, y)))


def expected_calibration_error(m_true: ArrayLike, m_pred: ArrayLike, num_bins: int = 10) -> tuple[list[float], list[np.ndarray], list[np.ndarray]]:
    """Calibration error of each of J models' probabilities: sum over bins of |frequency - mean prediction| count / n.

    m_true: one-hot (n, J) or indices (n); m_pred: (n, J). Returns three lists of length J: errors, frequencies of the non-empty bins,
    mean predictions of the non-empty bins."""
    out = _d.expected_calibration_error(required(m_true, "m_true", (1, 2)), required(m_pred, "m_pred", (2,)), [], _few(num_bins, "num_bins"), 0.95)
    curves = out.curves
    return [e.value for e in out.error], [c.frequency for c in curves], [c.mean_prediction for c in curves]


def maximum_mean_discrepancy(source_samples: ArrayLike, target_samples: ArrayLike, kernel: str = "gaussian", mmd_weight: float = 1.0,
                             minimum: float = 0.0) -> float:
    """Weighted squared MMD (biased, not below `minimum`) of source (N, d) and target (M, d).

    kernel: "gaussian", "inverse_multiquadratic" or "gaussian_median"; ArgumentError for another."""
    weight, minimum = as_number(mmd_weight, "mmd_weight"), as_number(minimum, "minimum")
    if not (np.isfinite(weight) and np.isfinite(minimum)):
        raise ArgumentError(f"mmd_weight and minimum must be finite; got {weight} and {minimum}")
    source, target = _samples(source_samples, "source_samples"), _samples(target_samples, "target_samples")
    return Scalar(_d.maximum_mean_discrepancy(source, target, kernel, weight, minimum))


def get_coverage_probs(z: ArrayLike, u: ArrayLike) -> np.ndarray:
    """For each row of uniforms u (M, N): twice the smallest binomial tail probability of its ECDF over the points z (K). Returns (M)."""
    return _d.coverage_probs(required(z, "z", (1,)), required(u, "u", (2,)))


def simultaneous_ecdf_bands(num_samples: int, num_points: int | None = None, num_simulations: int = 1000, confidence: float = 0.95, eps: float = 1e-5,
                            max_num_points: int = 1000) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """A band that the ECDF of `num_samples` uniforms stays inside at all points z with probability `confidence`.

    Returns (alpha, z, L, U): alpha = 1 - confidence, z (K) from eps to 1 - eps, limits L and U (K). The band is exact where v1 simulates
    it: num_simulations has no meaning here, and is taken so that programs for v1 run. For ranks use diagnostics.sbc_ecdf, whose points are
    the ranks' own."""
    num_samples = as_count(num_samples, "num_samples")
    if num_samples > 1_000_000:
        raise ArgumentError(f"num_samples may be at most 1,000,000, because the exact band takes long for more; got {num_samples}")
    count = min(num_samples if num_points is None else _few(num_points, "num_points"), _few(max_num_points, "max_num_points"))
    eps, confidence = as_number(eps, "eps"), as_number(confidence, "confidence")
    if not 0 < eps < 0.5:
        raise ArgumentError(f"eps, the first point, must be above 0 and below 0.5; got {eps}")
    z = np.linspace(eps, 1 - eps, count)
    band = _d.ecdf_band(num_samples, [*z, 1.0], confidence)
    return 1 - confidence, z, band.lower[:-1], band.upper[:-1]


def mean_squared_error(x_true: ArrayLike, x_pred: ArrayLike) -> float:
    """Mean squared distance of estimates x_pred (M, ...) from one truth x_true (...), over estimates and components."""
    x_true, x_pred = required(x_true, "x_true"), required(x_pred, "x_pred")
    if x_pred.size == 0:
        raise ShapeError(f"x_pred must hold at least one estimate; got shape {x_pred.shape}")
    try:
        return float(np.mean((x_true[None] - x_pred) ** 2))
    except ValueError as error:
        raise ShapeError(f"x_pred must be estimates of x_true along its first axis; got shapes {x_pred.shape} and {x_true.shape}") from error


def root_mean_squared_error(x_true: ArrayLike, x_pred: ArrayLike) -> float:
    """Square root of `mean_squared_error`."""
    return float(np.sqrt(mean_squared_error(x_true, x_pred)))


def aggregated_error(x_true: ArrayLike, x_pred: ArrayLike, inner_error_fun: Function = root_mean_squared_error,
                     outer_aggregation_fun: Function = np.mean) -> Any:
    """`inner_error_fun(truth, estimates)` for each of B data sets, joined by `outer_aggregation_fun`.

    x_true: (B, ...); x_pred: (B, M, ...): data sets come first."""
    x_true, x_pred = required(x_true, "x_true"), required(x_pred, "x_pred")
    if not x_true.ndim or not x_pred.ndim or not len(x_true) or len(x_true) != len(x_pred):
        raise ShapeError(f"x_true and x_pred must be of equally many data sets, along the first axis, and at least one; got shapes {x_true.shape} and {x_pred.shape}")
    as_function(inner_error_fun, "inner_error_fun", "a truth and its estimates")
    as_function(outer_aggregation_fun, "outer_aggregation_fun", "a list of errors")
    return outer_aggregation_fun([inner_error_fun(truth.copy(), estimates.copy()) for truth, estimates in zip(x_true, x_pred)])


def aggregated_rmse(x_true: ArrayLike, x_pred: ArrayLike) -> float:
    """Mean over data sets of the root mean squared distance of draws x_pred (B, M, P) from truths x_true (B, P)."""
    return aggregated_error(x_true, x_pred, root_mean_squared_error, np.mean)


def c2st(source_samples: ArrayLike, target_samples: ArrayLike, n_folds: int = 5, scoring: str = "accuracy", normalize: bool = True, seed: int = 123,
         hidden_units_per_dim: int = 16, aggregate_output: bool = True) -> float | np.ndarray:
    """Accuracy of a classifier that tells source (N, d) from target (M, d), on rows it has not seen: 0.5 if it cannot.

    Returns a float, or with aggregate_output=False the accuracies of the folds (n_folds). Samples are always normalized and balanced.
    diagnostics.c2st also gives the p-value."""
    as_choice(scoring, "scoring", ("accuracy",))
    if not as_flag(normalize, "normalize"):
        raise ConfigurationError("normalize must be True: the classifier's optimizer is set for normalized columns")
    source, target = _samples(source_samples, "source_samples"), _samples(target_samples, "target_samples")
    aggregate = as_flag(aggregate_output, "aggregate_output")
    out = _numbers.c2st(source, target, n_folds, hidden_units_per_dim, seed=seed)
    return out.accuracy.value if aggregate else out.fold_accuracy
