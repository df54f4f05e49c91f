"""Figures of draws against truths: recovery, ranks, coverage, contraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _numbers
from ._panels import LIGHT_RED, RED, decimals, dress, label_axes, names_for, panels, parameter_names, percent
from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Color, Figure, Function, Names, Settings, Size


def plot_recovery(post_samples: ArrayLike, prior_samples: ArrayLike, point_agg: Function = np.median,
                  uncertainty_agg: Function | None = _numbers.median_abs_deviation, param_names: Names | None = None, fig_size: Size | None = None,
                  label_fontsize: float = 16, title_fontsize: float = 18, metric_fontsize: float = 16, tick_fontsize: float = 12,
                  add_corr: bool = True, add_r2: bool = True, color: Color = RED, n_col: int | None = None, n_row: int | None = None,
                  xlabel: str = "Ground truth", ylabel: str = "Estimated", **kwargs: Any) -> Figure:
    """Point estimates with error bars against the truths; R^2 and Pearson's r in each panel.

    post_samples: (B, S, P) draws; prior_samples: (B, P) truths. `point_agg` and `uncertainty_agg` (None: no error bars) are functions of
    (draws, axis). `kwargs` go to matplotlib's errorbar (scatter without error bars). Returns the Figure; numbers: `recovery`."""
    numbers = _numbers.recovery(post_samples, prior_samples, names_for(post_samples, param_names), point_agg, uncertainty_agg)
    truths, estimates, spreads = numbers.truths, numbers.estimates, numbers.spreads
    names = parameter_names(param_names, truths.shape[1])
    r2, r = numbers.r2, numbers.r
    figure, axes, n_col = panels(len(names), n_row, n_col, fig_size, 4, "plot_recovery")
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
    label_axes(axes, n_col, xlabel, ylabel, label_fontsize)
    figure.tight_layout()
    return figure


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
