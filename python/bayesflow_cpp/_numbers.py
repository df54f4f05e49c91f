"""The numbers behind the figures. Each function takes draws and truths and returns an object whose attributes are the numbers.

Every result has `.tables()` (a dictionary of pandas DataFrames), `.to_csv(folder)`, `.to_json([path])` and `.to_hdf5(path)`. Estimates have `.value` and
`.standard_error`, and answer to `float()`. B is the number of data sets, S of draws per data set, P of parameters. Draws or truths that
are not finite raise ArgumentError naming the first of them (for `verdict` they are a finding); shapes that do not fit raise ShapeError.
`threads=0` uses all cores; results are the same bits for any number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _core
from ._arrays import as_batch, as_array, as_count, as_draws, as_float64, as_function, as_names, as_number, shown
from .exceptions import ArgumentError, ConfigurationError, ShapeError

if TYPE_CHECKING:
    from typing import Any, Sequence, Union

    from ._types import ArrayLike, Function, Names, Simulations

_d = _core.diagnostics


def names_of(names):
    return as_names(names, "the names")


def _pair(post_samples, prior_samples):
    if getattr(post_samples, "ndim", 0) == 2 and getattr(prior_samples, "ndim", 0) == 3:
        raise ShapeError("posterior draws (data sets, draws, parameters) come first, then truths (data sets, parameters); exchange them")
    post = as_draws(post_samples, "post_samples", (3,), "data sets, draws, parameters")
    return post, as_float64(prior_samples, "prior_samples", (2,), "data sets, parameters")


def median_abs_deviation(samples: ArrayLike, axis: int = 0) -> np.ndarray:
    """Median distance from the median along `axis`, unscaled: the error bar of v1's recovery figure."""
    samples = as_array(samples, "samples")
    return np.median(np.abs(samples - np.median(samples, axis=axis, keepdims=True)), axis=axis)


def _named(function, default):
    """The library's own name of a summary, None for another function."""
    if function is default:
        return {np.median: "median", median_abs_deviation: "median absolute deviation"}[function]
    return "mean" if function is np.mean else "median" if function is np.median else None


def _applied(function, post, name):
    if not callable(function):
        raise ConfigurationError(f"{name} must be a function of (draws, axis), like numpy.mean; got {type(function).__name__}")
    out = as_float64(function(post.astype(np.float64), axis=1), f"the result of {name}")
    if out.shape != (post.shape[0], post.shape[2]):
        raise ShapeError(f"{name} must map draws of shape {post.shape} to shape {(post.shape[0], post.shape[2])}; got {out.shape}")
    return out


def recovery(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, point_agg: Function = np.median,
             uncertainty_agg: Function | None = median_abs_deviation, threads: int = 0) -> _core.diagnostics.Recovery:
    """Point estimates against truths: R^2, correlation, rmse, bias, each with a standard error.

    post_samples: (B, S, P); prior_samples: (B, P) truths. `point_agg` and `uncertainty_agg` (None: no error bars) are functions of
    (draws, axis) like numpy.mean. Returns Recovery with .truths, .estimates, .spreads (B, P) and .r2, .r, .rmse, .normalized_rmse,
    .bias (a list of P estimates)."""
    post, truths = _pair(post_samples, prior_samples)
    names = names_of(param_names)
    point = _named(point_agg, np.median)
    spread = None if uncertainty_agg is None else _named(uncertainty_agg, median_abs_deviation)
    if point and (spread or uncertainty_agg is None):
        return _d.recovery(post, truths, names, point, spread, threads)
    if post.shape[::2] != truths.shape:
        raise ShapeError(f"post_samples (data sets, draws, parameters) and prior_samples (data sets, parameters) do not fit: "
                         f"{post.shape} and {truths.shape}")
    spreads = None if uncertainty_agg is None else _applied(uncertainty_agg, post, "uncertainty_agg")
    spread_name = "" if uncertainty_agg is None else getattr(uncertainty_agg, "__name__", "spread")
    return _d.recovery_of_estimates(_applied(point_agg, post, "point_agg"), spreads, truths, names, getattr(point_agg, "__name__", "estimate"),
                                    spread_name, threads)


def z_score_contraction(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, prior_draws: ArrayLike | None = None,
                        threads: int = 0) -> _core.diagnostics.ZScoreContraction:
    """Posterior z-score (mean - truth) / sd and contraction 1 - posterior variance / prior variance.

    post_samples: (B, S, P); prior_samples: (B, P) truths. The prior variance is that of the truths, or of `prior_draws` (N, P).
    Returns ZScoreContraction with .z_score and .contraction (B, P)."""
    post, truths = _pair(post_samples, prior_samples)
    return _d.z_score_contraction(post, truths, names_of(param_names), as_float64(prior_draws, "prior_draws", (2,)), threads)


def sbc_ranks(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, seed: int = 0,
              threads: int = 0) -> _core.diagnostics.SbcRanks:
    """Ranks of the truths (B, P) among the draws (B, S, P): whole numbers 0 ... S in .ranks (B, P).

    `seed` breaks ties between truth and draws (discrete parameters)."""
    post, truths = _pair(post_samples, prior_samples)
    return _d.sbc_ranks(post, truths, names_of(param_names), seed, threads)


def sbc_histograms(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, num_bins: int | None = None,
                   binomial_interval: float = 0.99, simultaneous_interval: float = 0.95, seed: int = 0,
                   threads: int = 0) -> _core.diagnostics.SbcHistograms:
    """Histograms of the ranks with exact intervals: .counts (P, bins), .expected, .lower, .upper (bins), .inside (P bools).

    post_samples: (B, S, P); prior_samples: (B, P). `num_bins=None`: at most 20 bins that expect 10 data sets or more each."""
    ranks = sbc_ranks(post_samples, prior_samples, param_names, seed, threads)
    return _d.sbc_histograms(ranks, num_bins or 0, binomial_interval, simultaneous_interval)


def sbc_ecdf(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, difference: bool = False, confidence: float = 0.95,
             over_all_parameters: bool = False, max_points: int = 100, seed: int = 0, threads: int = 0) -> _core.diagnostics.SbcEcdf:
    """ECDFs of fractional ranks in a band that an exact posterior's curve stays inside with probability `confidence`, exactly.

    post_samples: (B, S, P); prior_samples: (B, P). Returns SbcEcdf with .ranks (B, P), .points (K), .ecdf (P, K), .band_lower and
    .band_upper (K), .inside (P bools), .p_value (P). `difference=True` subtracts the diagonal. `over_all_parameters=True`: the
    confidence holds for all P curves together."""
    ranks = sbc_ranks(post_samples, prior_samples, param_names, seed, threads)
    return _d.sbc_ecdf(ranks, confidence, over_all_parameters, difference, max_points)


def coverage(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, num_levels: int = 20, confidence: float = 0.95,
             seed: int = 0, threads: int = 0) -> _core.diagnostics.Coverage:
    """How often central credible intervals contain the truth: .levels (L), .coverage (P, L), .band_lower, .band_upper (L), .inside.

    post_samples: (B, S, P); prior_samples: (B, P). .calibration_error: P estimates."""
    return _d.coverage(sbc_ranks(post_samples, prior_samples, param_names, seed, threads), num_levels, confidence)


def joint_test(post_samples: ArrayLike, prior_samples: ArrayLike, log_posterior_draws: ArrayLike | None = None,
               log_posterior_truths: ArrayLike | None = None, num_projections: int = 10, error_rate: float = 0.05, seed: int = 0,
               threads: int = 0) -> _core.diagnostics.JointTest:
    """One test of the joint posterior, for faults that no single parameter shows: .passed, .overall_p_value, and .quantities,
    .p_value, .adjusted_p_value of each quantity tested.

    post_samples: (B, S, P); prior_samples: (B, P). With log densities of draws (B, S) and of truths (B) their ranks are tested too."""
    post, truths = _pair(post_samples, prior_samples)
    return _d.joint_test(post, truths, as_float64(log_posterior_draws, "log_posterior_draws", (2,)),
                         as_float64(log_posterior_truths, "log_posterior_truths", (1,)), num_projections, error_rate, seed, threads)


def tarp(post_samples: ArrayLike, prior_samples: ArrayLike, references: ArrayLike | None = None, confidence: float = 0.95, max_points: int = 100,
         seed: int = 0, threads: int = 0) -> _core.diagnostics.Tarp:
    """Coverage of balls around random points, one test of the joint posterior (TARP; Lemos et al. 2023): .credibility, .expected_coverage, .band_lower,
    .band_upper (K), .inside, .p_value, .upper_excess (negative: overconfident).

    post_samples: (B, S, P); prior_samples: (B, P). references: a point (B, P) for each data set, which may depend on the data and not on the truth; by
    default uniform in the box of the truths. The ball that holds the share c of the draws holds the truth of the share c of data sets if the posterior is
    exact; an exact posterior's whole curve stays inside the band with probability `confidence`."""
    post, truths = _pair(post_samples, prior_samples)
    return _d.tarp(post, truths, as_float64(references, "references", (2,)), confidence, max_points, seed, threads)


class Quantities(NamedTuple):
    """Test quantities in the place of parameters: the first arguments, and the names, of every diagnostic of ranks."""

    post_samples: np.ndarray
    prior_samples: np.ndarray
    param_names: list[str]


def sbc_quantities(post_samples: ArrayLike, prior_samples: ArrayLike, quantities: dict[str, Function], data: Simulations | ArrayLike | None = None) -> Quantities:
    """Numbers f(parameters, data) in the place of parameters, for SBC with test quantities (Modrák et al. 2023).

        q = bf.diagnostics.sbc_quantities(post, truths, {"log-likelihood": log_likelihood, "product": lambda theta, x: theta[:, 0] * theta[:, 1]}, data)
        bf.diagnostics.plot_sbc_ecdf(q.post_samples, q.prior_samples, param_names=q.param_names)

    post_samples: (B, S, P); prior_samples: (B, P). quantities: {name: function of parameters (n, P) and the data set they belong to that returns n numbers},
    each of its own row alone; it is called once for each data set, with the draws and, last, the truth. data: an array (B, ...) or a configured dictionary,
    of which functions are given entry b; None: they are given None. Ranks of an exact posterior are uniform whatever the function; equal values (counts,
    indicators) are ranked at random, infinite ones (a log-likelihood of impossible parameters) as the smallest or largest, NaN is an ArgumentError. The
    rank of the log-likelihood finds a posterior that does not use the data."""
    post, truths = (np.asarray(x, dtype=np.float64) for x in _pair(post_samples, prior_samples))
    if post.shape[::2] != truths.shape:
        raise ShapeError(f"post_samples (data sets, draws, parameters) and prior_samples (data sets, parameters) do not fit: {post.shape} and {truths.shape}")
    if not isinstance(quantities, dict) or not quantities:
        raise ConfigurationError(f"sbc_quantities: quantities must be a dictionary of functions, {{name: function of (parameters, data)}}; got {shown(quantities)}")
    for name, function in quantities.items():
        as_function(function, f"quantities[{name!r}]", "(parameters, data)")
    parts = data if isinstance(data, dict) else {"data": data}
    parts = {key: as_array(values, f"data[{key!r}]" if parts is data else "data") for key, values in parts.items() if values is not None}
    for key, values in parts.items():
        if values.ndim < 1 or len(values) != len(post):
            raise ShapeError(f"sbc_quantities: {key} must have {len(post)} data sets on axis 0, as post_samples; got shape {values.shape}")
    values = np.empty((*post.shape[:2], len(quantities))), np.empty((len(post), len(quantities)))
    largest = np.finfo(np.float64).max
    for b in range(len(post)):
        rows = np.concatenate([post[b], truths[b : b + 1]])
        seen = {key: part[b] for key, part in parts.items()} if isinstance(data, dict) else parts["data"][b] if parts else None
        for k, (name, function) in enumerate(quantities.items()):
            got = as_float64(function(rows.copy(), seen), f"what the test quantity {name} returns")
            if got.size != len(rows):
                raise ShapeError(f"sbc_quantities: {name} must return {len(rows)} numbers for parameters of shape {rows.shape}; got shape {got.shape}")
            if np.isnan(got).any():
                raise ArgumentError(f"sbc_quantities: {name} is NaN for data set {b}; it must be a number, or infinite")
            got = np.clip(got.reshape(-1), -largest, largest)
            values[0][b, :, k], values[1][b, k] = got[:-1], got[-1]
    return Quantities(*values, [str(name) for name in quantities])


def _two_levels(draws, truths):
    if not isinstance(draws, dict) or not {"global_samples", "local_samples"} <= set(draws):
        raise ConfigurationError(f'draws must be what TwoLevelAmortizedPosterior.sample returns, {{"global_samples", "local_samples"}}; got {shown(draws)}')
    if not isinstance(truths, dict):
        raise ConfigurationError(f'truths must be a dictionary with "hyper_parameters" and "local_parameters", as a configurator returns it; got {shown(truths)}')
    targets = {key: truths[key] for key in ("hyper_parameters", "local_parameters", "shared_parameters") if truths.get(key) is not None}
    return (as_float64(draws["global_samples"], "global_samples", (3,), "data sets, draws, parameters"),
            as_float64(draws["local_samples"], "local_samples", (4,), "data sets, groups, draws, parameters"), as_batch(targets, 'truths["{}"]'))  # fmt: skip


def two_level_recovery(draws: dict[str, np.ndarray], truths: Simulations, global_names: Names | None = None, local_names: Names | None = None,
                       threads: int = 0) -> _core.diagnostics.TwoLevelRecovery:
    """Point estimates against truths on both levels: .global_level and .local_level, each a Recovery (.r2, .r, .rmse, .bias, ...).

    draws: what TwoLevelAmortizedPosterior.sample returns (with keepdims=True for one data set); truths: the inputs, with "hyper_parameters" (B, H),
    "local_parameters" (B, groups, L), "shared_parameters" (B, S). A local point for each group that is there; as groups of a data set depend on each other,
    standard errors come from leaving out whole data sets."""
    return _d.two_level_recovery(*_two_levels(draws, truths), names_of(global_names), names_of(local_names), threads)


def two_level_sbc(draws: dict[str, np.ndarray], truths: Simulations, global_names: Names | None = None, local_names: Names | None = None,
                  difference: bool = False, confidence: float = 0.95, seed: int = 0, threads: int = 0) -> _core.diagnostics.TwoLevelSbc:
    """Ranks and their ECDFs on both levels: .global_level and .local_level, each an SbcEcdf; .global_ranks and .local_ranks.

    draws, truths: as for `two_level_recovery`. Local ranks are those of one group of each data set, chosen at random (`seed`): ranks of groups of one data
    set depend on each other, and the band would be too narrow for all of them."""
    return _d.two_level_sbc(*_two_levels(draws, truths), names_of(global_names), names_of(local_names), confidence, difference, seed, threads)


def latent_normality(z_samples: ArrayLike, names: Names | None = None, error_rate: float = 0.05) -> _core.diagnostics.LatentNormality:
    """Are latents z_samples (B, P) standard normal? .normal, .overall_p_value; .mean, .sd, .skewness, .excess_kurtosis (P estimates)."""
    return _d.latent_normality(as_float64(z_samples, "z_samples", (2,)), names_of(names), error_rate)


def verdict(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, family_wise_error: float = 0.05,
            expect_contraction: bool = True, min_contraction: float = 0.02, detectable_shift: float = 0.5, seed: int = 0,
            threads: int = 0, *, data: Simulations | ArrayLike | None = None, summaries: ArrayLike | None = None,
            harmless_nats: float = 0.02) -> _core.diagnostics.Verdict:
    """Can this posterior be trusted? .calibrated, .sentence, .findings (.kind, .parameter, .effect, .p_value, .sentence), .parameters.

    post_samples: (B, S, P); prior_samples: (B, P). At most the share `family_wise_error` of exact posteriors is found at fault.
    data: what the networks were given, a configured dictionary ("summary_conditions", "direct_conditions") or an array of data sets
    (B, ...). Only with it are posteriors found that do not use what the data say (.conditional); summaries (B, d): learned ones beside it.
    .severity: "none", "harmless" (findings that cost at most `harmless_nats` of log score each), "serious", "overwhelming"; .nats."""
    post, truths = _pair(post_samples, prior_samples)
    return _d.verdict(post, truths, names_of(param_names), family_wise_error, expect_contraction, min_contraction, detectable_shift, harmless_nats, seed,
                      threads, conditions_of(data, "data"), as_float64(summaries, "summaries", (2,)))


def conditions_of(data, name):
    """The conditions of a configured dictionary, or of an array of data sets; None: there are none."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        return {"summary_conditions": as_float64(data, name)}
    batch = as_batch({role: values for role, values in data.items() if role != "parameters"}, name + '["{}"]')
    if not {"summary_conditions", "direct_conditions"} & {role.partition(".")[0] for role in batch}:
        raise ConfigurationError(f'{name} must hold "summary_conditions" or "direct_conditions", as a configurator returns them; it has {sorted(map(str, data))}')
    return batch


def lc2st(post_samples: ArrayLike, prior_samples: ArrayLike, data: Simulations | ArrayLike, observed_samples: ArrayLike,
          observed_data: Simulations | ArrayLike, num_null: int = 50, hidden_units: int = 32, max_epochs: int = 100, seed: int = 0,
          threads: int = 0, *, confidence: float = 0.95) -> _core.diagnostics.Lc2st:
    """Is the posterior right at these observed data? A classifier learns to tell truths from draws, given the data (Linhart et al. 2023).

    post_samples (B, S, P), prior_samples (B, P) and data of simulated data sets; observed_samples (n, S', P) and observed_data of observed
    ones. Data are configured dictionaries or arrays of data sets. .p_value (n), exact; .statistic (n): mean squared distance of the class probability
    from 1/2 over the draws; .null (num_null, n): the same of classifiers trained after truths and draws were exchanged at random; .levels (K), .ecdf (n, K):
    distribution of the class probability over the draws, .band_lower, .band_upper (n, K): of the null's classifiers with probability `confidence`."""
    post, truths = _pair(post_samples, prior_samples)
    return _d.lc2st(post, truths, conditions_of(data, "data"), as_draws(observed_samples, "observed_samples", (3,), "data sets, draws, parameters"),
                    conditions_of(observed_data, "observed_data"), as_count(num_null, "lc2st: num_null"),
                    as_count(hidden_units, "lc2st: hidden_units"), as_count(max_epochs, "lc2st: max_epochs"), confidence, seed, threads)


def _loss_matrix(losses, name):
    """Column names (None: the user gave none) and values (N, C)."""
    if losses is None:
        return None, np.zeros((0, 0))
    columns = getattr(losses, "columns", None)
    if columns is None and getattr(losses, "name", None) is not None:  # a pandas Series
        columns = [losses.name]
    values = as_float64(losses, name, (1, 2))
    if values.ndim == 1:
        values = values[:, None]
    return (None if columns is None else [str(c) for c in columns]), values


def losses(train_losses: ArrayLike, val_losses: ArrayLike | None = None, ma_window_fraction: float = 0.01,
           validation_steps: ArrayLike | None = None) -> _core.diagnostics.LossCurves:
    """Loss curves with their moving average.

    train_losses: pandas DataFrame as `history["train_losses"]` (a row per step, a column per loss), or an array (N,) or (N, C).
    val_losses: the same per validated epoch. `validation_steps`: at which steps; None: evenly spread. Returns LossCurves with .steps (N),
    .train, .moving_average (N, C), .validation_steps (V), .validation (V, C; NaN in a column without validation losses)."""
    names, train = _loss_matrix(train_losses, "train_losses")
    columns = train.shape[1]
    if names is None:
        names = ["Loss"] if columns == 1 else [f"Loss {i + 1}" for i in range(columns)]
    val_names, val = _loss_matrix(val_losses, "val_losses")
    count = len(val)
    placed = np.full((count, columns), np.nan)
    if count:
        if val_names is not None and any(n in names for n in val_names):
            missing = [n for n in val_names if n not in names]
            if missing:
                raise ShapeError(f"val_losses has the column {missing[0]!r}, which train_losses lacks; its columns are {names}")
            placed[:, [names.index(n) for n in val_names]] = val
        elif val.shape[1] <= columns:
            placed[:, : val.shape[1]] = val
        else:
            raise ShapeError(f"val_losses has {val.shape[1]} columns, train_losses only {columns}; give a training column for each")
    if validation_steps is None:
        stride = len(train) // count if count else 1
        validation_steps = stride * np.arange(1, count + 1) if stride else np.linspace(1, len(train), count)
    steps = as_float64(validation_steps, "validation_steps", (1,))
    return _d.losses(names, train, placed, steps.tolist(), ma_window_fraction)


def simulate_by(simulator):
    """A function from parameters (S, P) to a float64 array (S, ...)."""
    simulator = getattr(simulator, "simulator", simulator)
    if not callable(simulator):
        raise ConfigurationError(f"simulator must be a Simulator, a GenerativeModel or a batched function of parameters; got {type(simulator).__name__}")

    def simulate(parameters):
        data = simulator(parameters)
        return as_float64(data["sim_data"] if isinstance(data, dict) else data, "the simulator's data")

    return simulate


def posterior_predictive(post_samples: ArrayLike, observed: ArrayLike, simulator: Function, statistics: Any = None, max_draws: int = 200,
                         probabilities: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> _core.diagnostics.PosteriorPredictive:
    """Do data simulated from the posterior look like the observed ones?

    post_samples: (B, S, P); observed: (B, ...) data. `simulator`: a Simulator or GenerativeModel, or a function from parameters (S, P)
    to data (S, ...). `statistics`: {name: function of one data set}, by default mean, standard deviation, minimum, maximum. Returns
    PosteriorPredictive with .observed (B, K), .simulated (B, S, K), .p_value (B, K) two-sided, .overall_p_value (K), and .bands: the
    quantiles of every data value."""
    if statistics is None:
        statistics = {"mean": np.mean, "standard deviation": np.std, "minimum": np.min, "maximum": np.max}
    wrapped = {str(name): (lambda data, f=function, name=name: as_number(f(data), f"what the statistic {name} returns")) for name, function in dict(statistics).items()}
    return _d.posterior_predictive(as_float64(post_samples, "post_samples", (3,)), as_float64(observed, "observed"), simulate_by(simulator), wrapped,
                                   max_draws, list(probabilities))


def pushforward(draws: ArrayLike, simulator: Function, max_draws: int = 200,
                probabilities: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> _core.diagnostics.Pushforward:
    """Quantiles of data simulated from draws (B, S, P), or (S, P) for example of the prior: .quantiles (B, Q, values)."""
    return _d.pushforward(as_float64(draws, "draws", (2, 3)), simulate_by(simulator), max_draws, list(probabilities))


def c2st(source_samples: ArrayLike, target_samples: ArrayLike, n_folds: int = 5, hidden_units_per_dim: int = 16, max_epochs: int = 200,
         seed: int = 123, threads: int = 0) -> _core.diagnostics.C2st:
    """Classifier two-sample test of source (N, d) and target (M, d): .accuracy (0.5 if they cannot be told apart), .p_value."""
    if as_count(hidden_units_per_dim, "c2st: hidden_units_per_dim") > 10_000:
        raise ArgumentError(f"c2st: hidden_units_per_dim may be at most 10,000; got {hidden_units_per_dim}")
    return _d.c2st(as_float64(source_samples, "source_samples", (2,)), as_float64(target_samples, "target_samples", (2,)), n_folds,
                   hidden_units_per_dim, max_epochs, seed, threads)


def mmd(source_samples: ArrayLike, target_samples: ArrayLike, kernel: str = "gaussian_median", permutations: int = 1000, seed: int = 0,
        threads: int = 0) -> _core.diagnostics.Mmd:
    """Squared maximum mean discrepancy of source (N, d) and target (M, d): .unbiased, .biased, .p_value, .null.

    kernel: "gaussian_median", or v1's "gaussian" and "inverse_multiquadratic"."""
    return _d.mmd(as_float64(source_samples, "source_samples", (2,)), as_float64(target_samples, "target_samples", (2,)), kernel, permutations,
                  seed, threads)


def mmd_hypothesis_test(observed: ArrayLike, reference: ArrayLike, null_pool: ArrayLike | None = None, kernel: str = "gaussian",
                        num_null_samples: int = 100, alpha_level: float = 0.05, seed: int = 0, threads: int = 0,
                        bootstrap: bool = False) -> _core.diagnostics.MmdHypothesisTest:
    """Are observed rows (n, d) as near to the reference (R, d) as fresh simulations of the same number are? .p_value, .misspecified,
    .mmd_null, .mmd_observed, .critical_value. Null sets come from `null_pool`, or from a part of the reference that is set aside;
    bootstrap: they are drawn with replacement."""
    return _d.mmd_hypothesis_test(as_float64(observed, "observed", (2,)), as_float64(reference, "reference", (2,)),
                                  as_float64(null_pool, "null_pool", (2,)), kernel, num_null_samples, alpha_level, seed, bootstrap, threads)


def log_score(log_posterior: ArrayLike, log_prior: ArrayLike | None = None) -> _core.diagnostics.LogScore:
    """Mean log density of the truths: .mean, .log_density (B), .worst_data_set, and .gain over log_prior (B) in nats if that is given."""
    return _d.log_score(as_float64(log_posterior, "log_posterior", (1,)), as_float64(log_prior, "log_prior", (1,)))


def calibration_curves(true_models: ArrayLike, pred_models: ArrayLike, model_names: Names | None = None, num_bins: int = 10,
                       confidence: float = 0.95) -> _core.diagnostics.CalibrationCurves:
    """Calibration of model probabilities: .error (J estimates), .noise_floor (J), .curves (.mean_prediction, .frequency, .lower, .upper).

    true_models: one-hot (n, J) or indices (n); pred_models: (n, J) probabilities."""
    return _d.expected_calibration_error(as_float64(true_models, "true_models", (1, 2)), as_float64(pred_models, "pred_models", (2,)),
                                         names_of(model_names), num_bins, confidence)


expected_calibration_error = calibration_curves


def confusion_matrix(true_models: ArrayLike, pred_models: ArrayLike, model_names: Names | None = None) -> _core.diagnostics.ConfusionMatrix:
    """Rows: true models, columns: most probable ones. .counts, .normalized (J, J), .accuracy.

    true_models: one-hot (n, J) or indices (n); pred_models: (n, J) probabilities."""
    return _d.confusion_matrix(as_float64(true_models, "true_models", (1, 2)), as_float64(pred_models, "pred_models", (2,)), names_of(model_names))


def model_verdict(true_models: ArrayLike, pred_models: ArrayLike, model_names: Names | None = None, error_rate: float = 0.05) -> _core.diagnostics.ModelVerdict:
    """Whether posterior model probabilities are right: .calibrated, .learnt, .sentence, .p_value, .slope (below 1: overconfident), .offsets, .score, .nats.

    true_models: one-hot (n, J) or indices (n); pred_models: (n, J) probabilities, as AmortizedModelComparison.posterior_probs gives them."""
    return _d.model_verdict(as_float64(true_models, "true_models", (1, 2)), as_float64(pred_models, "pred_models", (2,)), names_of(model_names), error_rate)


def pairs(draws: ArrayLike, param_names: Names | None = None, reference: ArrayLike | None = None, truth: ArrayLike | None = None,
          num_bins: int | None = None, max_scatter: int = 1000, points: int = 100, threads: int = 0) -> _core.diagnostics.Pairs:
    """Everything in a pair grid of draws (S, P), over `reference` (N, P) and with `truth` (P): .main and .reference with .histograms,
    .marginals, .joint(row, column), .mean, .sd, .correlation."""
    return _d.pairs(as_float64(draws, "draws", (2,)), names_of(param_names), as_float64(reference, "reference", (2,)),
                    as_float64(truth, "truth", (1,)), num_bins or 0, max_scatter, points, threads)


def posterior_2d(posterior_draws: ArrayLike, prior_draws: ArrayLike | None = None, param_names: Names | None = None, truth: ArrayLike | None = None,
                 threads: int = 0) -> _core.diagnostics.Pairs:
    """`pairs` of one data set's posterior (S, P) over its prior (N, P)."""
    return pairs(posterior_draws, param_names, prior_draws, truth, threads=threads)


def kde(x: ArrayLike, y: ArrayLike | None = None, points: int | None = None, bw_factor: float = 1.0, cut: float = 3.0, low: float | None = None,
        high: float | None = None, bound: float | None = None) -> Union[_core.diagnostics.Density1d, _core.diagnostics.Density2d]:
    """Gaussian kernel density estimate with Scott's bandwidth times `bw_factor`. Of samples x (N): .x, .density (points). Of pairs of
    x and y (N): .x, .y, .density (points in y, points in x), .levels(mass).

    low, high: ends of the grid. bound: no sample can lie below; what kernels put there is reflected."""
    if x is None:
        raise ArgumentError("kde: x must be samples (N,); got None")
    x = as_float64(x, "x", (1,)).tolist()
    if y is None:
        return _d.kde_1d(x, points or 200, bw_factor, cut, low, high, bound)
    if low is not None or high is not None or bound is not None:
        raise ArgumentError("kde: low, high and bound are for one dimension; leave them out, or leave out y")
    return _d.kde_2d(x, as_float64(y, "y", (1,)).tolist(), points or 100, bw_factor, cut)
