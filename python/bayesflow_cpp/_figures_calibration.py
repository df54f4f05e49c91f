"""Figures of draws against truths: recovery, ranks, coverage, contraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _numbers
from ._panels import LIGHT_RED, RED, decimals, dress, label_axes, names_for, p_value_text, panels, parameter_names, percent, pyplot
from .exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from typing import Any, Sequence

    from . import _core
    from ._types import ArrayLike, Color, Figure, Function, Names, Settings, Simulations, Size


def plot_recovery(post_samples: ArrayLike, prior_samples: ArrayLike, point_agg: Function = np.median,
                  uncertainty_agg: Function | None = _numbers.median_abs_deviation, param_names: Names | None = None, fig_size: Size | None = None,
                  label_fontsize: float = 16, title_fontsize: float = 18, metric_fontsize: float = 16, tick_fontsize: float = 12,
                  add_corr: bool = True, add_r2: bool = True, color: Color = RED, n_col: int | None = None, n_row: int | None = None,
                  xlabel: str = "Ground truth", ylabel: str = "Estimated", **kwargs: Any) -> Figure:
    """Point estimates with error bars against the truths; R^2 and Pearson's r in each panel.

    post_samples: (B, S, P) draws; prior_samples: (B, P) truths. `point_agg` and `uncertainty_agg` (None: no error bars) are functions of
    (draws, axis). `kwargs` go to matplotlib's errorbar (scatter without error bars). Returns the Figure; numbers: `recovery`."""
    numbers = _numbers.recovery(post_samples, prior_samples, names_for(post_samples, param_names), point_agg, uncertainty_agg)
    names = parameter_names(param_names, numbers.truths.shape[1])
    figure, axes, n_col = panels(len(names), n_row, n_col, fig_size, 4, "plot_recovery")
    _draw_recovery(axes, numbers, names, color, add_r2, add_corr, title_fontsize, metric_fontsize, tick_fontsize, kwargs)
    label_axes(axes, n_col, xlabel, ylabel, label_fontsize)
    figure.tight_layout()
    return figure


def _draw_recovery(axes, numbers, names, color, add_r2, add_corr, title_fontsize, metric_fontsize, tick_fontsize, kwargs):
    truths, estimates, spreads = numbers.truths, numbers.estimates, numbers.spreads
    r2, r = numbers.r2, numbers.r
    for i, axis in enumerate(axes):
        x, y = truths[:, i], estimates[:, i]
        if spreads is None:
            axis.scatter(x, y, **{"alpha": 0.5, "color": color, **kwargs})
        else:
            axis.errorbar(x, y, yerr=spreads[:, i], **{"fmt": "o", "alpha": 0.5, "color": color, **kwargs})
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        margin = 0.1 * (high - low) if high > low else max(0.5, 0.05 * abs(low))
        limits = (low - margin, high + margin)
        axis.set_xlim(limits)
        axis.set_ylim(limits)
        axis.plot(limits, limits, color="black", alpha=0.9, linestyle="dashed")
        texts = [(add_r2, "$R^2$", r2[i].value, 0.9), (add_corr, "$r$", r[i].value, 0.8)]
        for wanted, symbol, value, height in texts:
            if wanted:
                axis.text(0.1, height, f"{symbol} = {decimals(value)}", horizontalalignment="left", verticalalignment="center",
                          transform=axis.transAxes, size=metric_fontsize)
        axis.set_title(names[i], fontsize=title_fontsize)
        dress(axis, tick_fontsize)


def plot_z_score_contraction(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, fig_size: Size | None = None,
                             label_fontsize: float = 16, title_fontsize: float = 18, tick_fontsize: float = 12, color: Color = RED,
                             n_col: int | None = None, n_row: int | None = None) -> Figure:
    """Posterior z-score against posterior contraction of every data set. The axis reaches down to negative contractions.

    post_samples: (B, S, P); prior_samples: (B, P). Returns the Figure; numbers: `z_score_contraction`."""
    numbers = _numbers.z_score_contraction(post_samples, prior_samples, names_for(post_samples, param_names))
    contraction, z_score = numbers.contraction, numbers.z_score
    names = parameter_names(param_names, z_score.shape[1])
    figure, axes, n_col = panels(len(names), n_row, n_col, fig_size, 4, "plot_z_score_contraction")
    finite = contraction[np.isfinite(contraction)]
    lowest = min(0.0, finite.min()) if finite.size else 0.0
    for i, axis in enumerate(axes):
        axis.scatter(contraction[:, i], z_score[:, i], color=color, alpha=0.5)
        axis.set_xlim(lowest - 0.05 * (1 - lowest), 1.05)
        axis.set_title(names[i], fontsize=title_fontsize)
        dress(axis, tick_fontsize)
    label_axes(axes, n_col, "Posterior contraction", "Posterior z-score", label_fontsize)
    figure.tight_layout()
    return figure


def _band_options(given):
    """v1's settings of its simulated bands as settings of the exact band; those of the simulation have no meaning here."""
    known = {"confidence": "confidence", "num_points": "max_points", "max_num_points": "max_points"}
    options = {}
    for key, value in (given or {}).items():
        if key in known:
            options[known[key]] = min(value, options.get(known[key], value))
        elif key not in ("num_simulations", "eps"):
            raise ConfigurationError(f"ecdf_bands_kwargs holds {key!r}; it may hold \"confidence\" and \"num_points\"")
    return options


def plot_sbc_ecdf(post_samples: ArrayLike, prior_samples: ArrayLike, difference: bool = False, stacked: bool = False, fig_size: Size | None = None,
                  param_names: Names | None = None, label_fontsize: float = 16, legend_fontsize: float = 14, title_fontsize: float = 18,
                  tick_fontsize: float = 12, rank_ecdf_color: Color = LIGHT_RED, fill_color: Color = "grey", n_row: int | None = None,
                  n_col: int | None = None, *, ecdf_bands_kwargs: Settings | None = None) -> Figure:
    """ECDFs of the fractional ranks in a band that an exact posterior's curve stays inside with the given confidence, exactly.

    post_samples: (B, S, P); prior_samples: (B, P). `difference`: minus the diagonal; `stacked`: all parameters in one panel.
    `ecdf_bands_kwargs`: {"confidence": 0.95, "num_points": 100}; v1's "num_simulations" and "eps" are taken, and have no meaning for an exact
    band. Returns the Figure; numbers: `sbc_ecdf`."""
    numbers = _numbers.sbc_ecdf(post_samples, prior_samples, names_for(post_samples, param_names), difference, **_band_options(ecdf_bands_kwargs))
    ecdf, points = numbers.ecdf, numbers.points
    names = parameter_names(param_names, len(ecdf))
    if stacked:
        figure, axes, n_col = panels(1, None, None, fig_size, 5, "plot_sbc_ecdf")
    else:
        figure, axes, n_col = panels(len(names), n_row, n_col, fig_size, 5, "plot_sbc_ecdf")
    band = f"{percent(numbers.confidence)} % Confidence Bands"
    for i, axis in enumerate(axes):
        for j in range(len(names)) if stacked else (i,):
            label = "Rank ECDFs" if stacked and j == 0 else None if stacked else "Rank ECDF"
            axis.plot(points, ecdf[j], color=rank_ecdf_color, alpha=0.95, label=label)
        axis.fill_between(points, numbers.band_lower, numbers.band_upper, color=fill_color, alpha=0.2, label=band, linewidth=0)
        axis.set_title("" if stacked else names[i], fontsize=title_fontsize)
        axis.legend(fontsize=legend_fontsize, loc="upper right" if difference else "upper left")
        dress(axis, tick_fontsize)
        if difference:  # room for the legend above the band
            low, high = axis.get_ylim()
            axis.set_ylim(low, high + 0.45 * (high - low))
    label_axes(axes, n_col, "Fractional rank statistic", "ECDF difference" if difference else "ECDF", label_fontsize)
    figure.tight_layout()
    return figure


def plot_sbc_histograms(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, fig_size: Size | None = None,
                        num_bins: int | None = None, binomial_interval: float = 0.99, label_fontsize: float = 16, title_fontsize: float = 18,
                        tick_fontsize: float = 12, hist_color: Color = LIGHT_RED, n_row: int | None = None, n_col: int | None = None) -> Figure:
    """Histograms of the ranks, with the central binomial interval of each bar (grey) and its expectation (line).

    post_samples: (B, S, P); prior_samples: (B, P). `num_bins=None`: bins that divide S + 1 if possible, at most 20, expecting 10 data
    sets or more each. Returns the Figure; numbers: `sbc_histograms`."""
    numbers = _numbers.sbc_histograms(post_samples, prior_samples, names_for(post_samples, param_names), num_bins, binomial_interval)
    counts, edges = numbers.counts, numbers.first_rank
    names = parameter_names(param_names, len(counts))
    figure, axes, n_col = panels(len(names), n_row, n_col, fig_size, 5, "plot_sbc_histograms")
    for i, axis in enumerate(axes):
        axis.fill_between(edges, np.append(numbers.lower, numbers.lower[-1]), np.append(numbers.upper, numbers.upper[-1]), step="post",
                          facecolor="gray", alpha=0.3)
        axis.step(edges, np.append(numbers.expected, numbers.expected[-1]), where="post", color="gray", alpha=0.9)
        axis.bar(edges[:-1], counts[i], width=np.diff(edges), align="edge", color=hist_color, alpha=0.95, edgecolor="white", linewidth=0.5, zorder=0.9)
        axis.set_xlim(edges[0], edges[-1])
        axis.set_title(names[i], fontsize=title_fontsize)
        dress(axis, tick_fontsize)
        axis.grid(False)
    label_axes(axes, n_col, "Rank statistic", "Data sets", label_fontsize)
    figure.tight_layout()
    return figure


def plot_coverage(post_samples: ArrayLike, prior_samples: ArrayLike, param_names: Names | None = None, fig_size: Size | None = None,
                  num_levels: int = 20, confidence: float = 0.95, label_fontsize: float = 16, legend_fontsize: float = 14, title_fontsize: float = 18,
                  tick_fontsize: float = 12, color: Color = RED, fill_color: Color = "grey", n_row: int | None = None,
                  n_col: int | None = None) -> Figure:
    """Share of truths in central credible intervals against the intervals' level, with the exact band of a right posterior.

    post_samples: (B, S, P); prior_samples: (B, P). Below the diagonal: overconfident. Returns the Figure; numbers: `coverage`."""
    numbers = _numbers.coverage(post_samples, prior_samples, names_for(post_samples, param_names), num_levels, confidence)
    names = parameter_names(param_names, len(numbers.coverage))
    figure, axes, n_col = panels(len(names), n_row, n_col, fig_size, 5, "plot_coverage")
    for i, axis in enumerate(axes):
        axis.fill_between(numbers.levels, numbers.band_lower, numbers.band_upper, color=fill_color, alpha=0.2, linewidth=0,
                          label=f"{percent(confidence)} % Confidence Band")
        axis.plot((0, 1), (0, 1), color="black", linestyle="dashed", alpha=0.9)
        axis.plot(numbers.levels, numbers.coverage[i], "o-", color=color, markersize=4, label="Truths inside")
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_title(names[i], fontsize=title_fontsize)
        axis.legend(fontsize=legend_fontsize, loc="upper left")
        dress(axis, tick_fontsize)
    label_axes(axes, n_col, "Level of the interval", "Truths inside", label_fontsize)
    figure.tight_layout()
    return figure


def plot_tarp(post_samples: ArrayLike, prior_samples: ArrayLike, references: ArrayLike | None = None, fig_size: Size | None = None,
              label_fontsize: float = 16, legend_fontsize: float = 14, title_fontsize: float = 18, tick_fontsize: float = 12, color: Color = RED,
              fill_color: Color = "grey", *, confidence: float = 0.95, seed: int = 0) -> Figure:
    """Expected coverage of balls around random points against their credibility, with the exact band of a right posterior.

    post_samples: (B, S, P); prior_samples: (B, P). Above the diagonal on the left and below on the right: overconfident. Numbers: `tarp`."""
    numbers = _numbers.tarp(post_samples, prior_samples, references, confidence, seed=seed)
    figure, (axis,), n_col = panels(1, None, None, fig_size, 5, "plot_tarp")
    axis.fill_between(numbers.credibility, numbers.band_lower, numbers.band_upper, color=fill_color, alpha=0.2, linewidth=0,
                      label=f"{percent(confidence)} % Confidence Band")
    axis.plot((0, 1), (0, 1), color="black", linestyle="dashed", alpha=0.9)
    axis.plot(numbers.credibility, numbers.expected_coverage, color=color, label="Truths inside")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_title(p_value_text(numbers.p_value), fontsize=title_fontsize)
    axis.legend(fontsize=legend_fontsize, loc="upper left")
    dress(axis, tick_fontsize)
    label_axes([axis], n_col, "Credibility level", "Expected coverage", label_fontsize)
    figure.tight_layout()
    return figure


def plot_lc2st(test: _core.diagnostics.Lc2st, data_sets: Sequence[int] | None = None, fig_size: Size | None = None, label_fontsize: float = 16,
               legend_fontsize: float = 12, title_fontsize: float = 18, tick_fontsize: float = 12, color: Color = RED, fill_color: Color = "grey",
               n_row: int | None = None, n_col: int | None = None) -> Figure:
    """A panel per observed data set: distribution of the class probability over the posterior's draws, with the band of classifiers under an exact
    posterior, at each level by itself.

    test: what `lc2st` returns; data_sets: which of the n, by default the first 12. Returns the Figure."""
    chosen = list(range(min(12, len(test.p_value)))) if data_sets is None else [int(b) for b in data_sets]
    for b in chosen:
        if not 0 <= b < len(test.p_value):
            raise ArgumentError(f"plot_lc2st: data_sets has {b}; there are data sets 0 to {len(test.p_value) - 1}")
    figure, axes, n_col = panels(len(chosen), n_row, n_col, fig_size, 4, "plot_lc2st")
    for b, axis in zip(chosen, axes):
        axis.fill_between(test.levels, test.band_lower[b], test.band_upper[b], color=fill_color, alpha=0.3, linewidth=0,
                          label=f"{percent(test.confidence)} % of the null")
        axis.axvline(0.5, color="black", linestyle="dashed", alpha=0.6)
        axis.plot(test.levels, test.ecdf[b], color=color, label="Draws")
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_title(f"Data set {b}: {p_value_text(test.p_value[b])}", fontsize=title_fontsize)
        dress(axis, tick_fontsize)
    axes[0].legend(fontsize=legend_fontsize, loc="lower right")
    label_axes(axes, n_col, "Class probability", "Share of draws below", label_fontsize)
    figure.tight_layout()
    return figure


def _level_axes(counts, fig_size, panel):
    """Panels of global parameters in the first rows and of local ones below; with the number of columns."""
    n_col = min(6, max(counts))
    rows = [-(-count // n_col) for count in counts]
    figure, axes = pyplot().subplots(sum(rows), n_col, figsize=fig_size or (panel * n_col, panel * sum(rows)), squeeze=False)
    levels = list(axes[: rows[0]].flat), list(axes[rows[0] :].flat)
    for level, count in zip(levels, counts):
        for spare in level[count:]:
            spare.remove()
    return figure, [level[:count] for level, count in zip(levels, counts)], n_col


def plot_two_level_recovery(draws: dict[str, np.ndarray], truths: Simulations, global_names: Names | None = None, local_names: Names | None = None,
                            fig_size: Size | None = None, label_fontsize: float = 16, title_fontsize: float = 18, metric_fontsize: float = 16,
                            tick_fontsize: float = 12, add_corr: bool = True, add_r2: bool = True, color: Color = RED, **kwargs: Any) -> Figure:
    """Recovery of both levels of a hierarchy: global parameters in the first rows, a point for each data set; then local ones, a point for each group.

    draws, truths: as for `two_level_recovery`, which has the numbers. `kwargs` go to matplotlib's errorbar."""
    numbers = _numbers.two_level_recovery(draws, truths, global_names, local_names)
    levels = numbers.global_level, numbers.local_level
    figure, axes, n_col = _level_axes([len(level.param_names) for level in levels], fig_size, 4)
    for level, part in zip(levels, axes):
        _draw_recovery(part, level, level.param_names, color, add_r2, add_corr, title_fontsize, metric_fontsize, tick_fontsize, kwargs)
        label_axes(part, n_col, "Ground truth", "Estimated", label_fontsize)
    figure.tight_layout()
    return figure


def plot_two_level_sbc(draws: dict[str, np.ndarray], truths: Simulations, global_names: Names | None = None, local_names: Names | None = None,
                       difference: bool = False, fig_size: Size | None = None, label_fontsize: float = 16, legend_fontsize: float = 12,
                       title_fontsize: float = 18, tick_fontsize: float = 12, rank_ecdf_color: Color = LIGHT_RED, fill_color: Color = "grey", *,
                       confidence: float = 0.95, seed: int = 0) -> Figure:  # fmt: skip
    """Rank ECDFs of both levels of a hierarchy with exact bands: global parameters in the first rows, then local ones, of one group of each data set.

    draws, truths: as for `two_level_sbc`, which has the numbers."""
    numbers = _numbers.two_level_sbc(draws, truths, global_names, local_names, difference, confidence, seed)
    levels = numbers.global_level, numbers.local_level
    figure, axes, n_col = _level_axes([len(level.param_names) for level in levels], fig_size, 4)
    for level, part in zip(levels, axes):
        for i, axis in enumerate(part):
            axis.fill_between(level.points, level.band_lower, level.band_upper, color=fill_color, alpha=0.2, linewidth=0,
                              label=f"{percent(confidence)} % Confidence Band")
            axis.plot(level.points, level.ecdf[i], color=rank_ecdf_color, label="Rank ECDF")
            axis.set_title(f"{level.param_names[i]} ({p_value_text(level.p_value[i])})", fontsize=title_fontsize)
            dress(axis, tick_fontsize)
        label_axes(part, n_col, "Fractional rank statistic", "ECDF difference" if difference else "ECDF", label_fontsize)
        if difference:  # room for the legend above the band
            low, high = part[0].get_ylim()
            part[0].set_ylim(low, high + 0.35 * (high - low))
    axes[0][0].legend(fontsize=legend_fontsize, loc="upper right" if difference else "upper left")
    figure.tight_layout()
    return figure
