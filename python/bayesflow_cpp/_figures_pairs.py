"""Pair grids: marginal and joint densities of a posterior, a prior, latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _numbers
from ._arrays import as_float64, shown
from ._panels import RED, checked_names, dress, parameter_names, pyplot
from .exceptions import ConfigurationError, ShapeError

if TYPE_CHECKING:
    from ._types import ArrayLike, Color, Figure, Names
    from .simulation import Prior

MASS = (0.95, 0.8, 0.65, 0.5, 0.35, 0.2, 0.08)  # shares of the draws inside the contours of a joint density


def _limits(densities, truth):
    """What the draws, the reference and the truth of one parameter cover."""
    ends = [] if truth is None else [truth]
    for density in densities:
        x, height = density.x, density.density
        if density.bandwidth > 0:
            covered = x[height > 0.004 * height.max()]
            ends += [covered[0], covered[-1]]
        else:
            ends += [x.mean() - 0.5, x.mean() + 0.5]
    low, high = min(ends), max(ends)
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _pale_to(color, alpha):
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    full = np.array(to_rgb(color))
    return LinearSegmentedColormap.from_list("bayesflow", [(*(0.85 + 0.15 * full), alpha), (*full, alpha)])


def _pair_grid(numbers, names, height, color, reference_color, label_fontsize, tick_fontsize, scatter, alpha=1.0, reference_alpha=0.7):
    """Histogram and density on the diagonal, joint densities below, the draws above if `scatter`. Many parameters: smaller panels."""
    count = len(names)
    height = min(height, max(30 / count, 0.7))
    dense, tiny = count > 8, count > 12
    if dense:
        label_fontsize, tick_fontsize = min(label_fontsize, 9), min(tick_fontsize, 6)
    figure = pyplot().figure(figsize=(height * count, height * count))
    grid = figure.add_gridspec(count, count)
    truth, reference = numbers.truth, numbers.reference
    layers = [(reference, reference_color, reference_alpha)] if reference is not None else []
    layers.append((numbers.main, color, alpha))
    marginals = [(layer.marginals, layer.histograms, layer.draws, shade, opacity) for layer, shade, opacity in layers]
    maps = [_pale_to(shade, opacity) for _, shade, opacity in layers]
    limits = [_limits([m[0][i] for m in marginals], None if truth is None else truth[i]) for i in range(count)]
    for row in range(count):
        for column in range(count if scatter else row + 1):
            axis = figure.add_subplot(grid[row, column])
            for (densities, histograms, draws, shade, opacity), (layer, _, _), cmap in zip(marginals, layers, maps):
                if row == column:
                    histogram = histograms[row]
                    axis.bar(histogram.edges[:-1], histogram.density, width=np.diff(histogram.edges), align="edge", color=shade, alpha=0.5 * opacity)
                    if densities[row].bandwidth > 0:
                        axis.plot(densities[row].x, densities[row].density, color=shade, alpha=opacity)
                elif row > column:
                    joint = layer.joint(row, column)
                    levels = np.unique(joint.levels(MASS))
                    top = joint.density.max()
                    if len(levels) and top > levels[-1]:
                        axis.contourf(joint.x, joint.y, joint.density, levels=np.append(levels, top), cmap=cmap)
                else:
                    axis.scatter(draws[:, column], draws[:, row], s=3 if dense else 12, color=shade, alpha=0.5 * opacity, linewidths=0)
            if truth is not None:
                axis.axvline(truth[column], color="black", linestyle="dashed", linewidth=1)
                if row != column:
                    axis.axhline(truth[row], color="black", linestyle="dashed", linewidth=1)
            axis.set_xlim(limits[column])
            if row == column:
                axis.set_yticks([])
            else:
                axis.set_ylim(limits[row])
            if tiny:  # ticks would be what takes the time, and nobody could read them
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[["right", "top"]].set_visible(False)
            else:
                dress(axis, tick_fontsize)
                axis.locator_params(axis="x" if row == column else "both", nbins=3 if dense else 5)
            if row == count - 1:
                axis.set_xlabel(names[column], fontsize=label_fontsize)
            else:
                axis.tick_params(labelbottom=False)
            if column == 0:
                axis.set_ylabel(names[row], fontsize=label_fontsize)
            if column > 0 or row == column:
                axis.tick_params(labelleft=False)
    if tiny:
        figure.subplots_adjust(left=0.03, right=0.99, bottom=0.03, top=0.99, wspace=0.1, hspace=0.1)
    else:
        figure.align_labels()
        figure.tight_layout()
    return figure


def _drawn(prior, count, function):
    out = prior(count)
    if not isinstance(out, dict) or out.get("prior_draws") is None:
        raise ConfigurationError(f'{function}: prior({count}) must return a dictionary with "prior_draws"; got {shown(out)}')
    return out["prior_draws"]


def plot_posterior_2d(posterior_draws: ArrayLike, prior: Prior | None = None, prior_draws: ArrayLike | None = None, param_names: Names | None = None,
                      height: float = 3, label_fontsize: float = 14, legend_fontsize: float = 16, tick_fontsize: float = 12, post_color: Color = RED,
                      prior_color: Color = "gray", post_alpha: float = 0.9, prior_alpha: float = 0.7, *, truth: ArrayLike | None = None) -> Figure:
    """Marginal and joint densities of one data set's posterior, over the prior if given.

    posterior_draws: (S, P); `prior_draws`: (N, P), or drawn S times from `prior` (which also lends its parameter names); `truth`: (P),
    marked. `height`: inches of a panel; many parameters get smaller ones. Returns the Figure; numbers: `posterior_2d`."""
    draws = as_float64(posterior_draws, "posterior_draws")
    if draws.ndim != 2:
        raise ShapeError(f"posterior_draws must have shape (draws, parameters), those of one data set; got {draws.shape}. "
                         "Take one of several: posterior_draws[0]")
    if prior is not None and not callable(prior):
        raise ConfigurationError(f"plot_posterior_2d: prior must be a Prior; got {shown(prior)}. Draws of a prior are given as prior_draws=...")
    if prior_draws is None and prior is not None:
        prior_draws = as_float64(_drawn(prior, len(draws), "plot_posterior_2d"), "prior draws")
    if param_names is None and prior is not None:
        param_names = getattr(prior, "param_names", None)
    names = parameter_names(param_names, draws.shape[1])
    numbers = _numbers.posterior_2d(draws, prior_draws, names, truth)
    figure = _pair_grid(numbers, names, height, post_color, prior_color, label_fontsize, tick_fontsize, False, post_alpha, prior_alpha)
    if numbers.reference is not None:
        from matplotlib.patches import Patch

        handles = [Patch(color=post_color, alpha=post_alpha, label="Posterior"), Patch(color=prior_color, alpha=prior_alpha, label="Prior")]
        figure.legend(handles=handles, fontsize=legend_fontsize, loc="upper right" if len(names) > 1 else "center right")
    return figure


def plot_prior2d(prior: Prior, param_names: Names | None = None, n_samples: int = 2000, height: float = 2.5, color: Color = RED) -> Figure:
    """Marginal and joint densities of a prior, with the draws themselves in the upper triangle.

    prior: a Prior, or a function of the number of draws that returns {"prior_draws": (n, P)}. Returns the Figure; numbers: `pairs`."""
    if not callable(prior):
        raise ConfigurationError(
            f"plot_prior2d: prior must be a Prior, or a function of the number of draws that returns {{\"prior_draws\": (n, P)}}; got {shown(prior)}. Draws are drawn by "
            "plot_posterior_2d(draws)"
        )
    draws = as_float64(_drawn(prior, n_samples, "plot_prior2d"), "prior draws")
    if draws.ndim > 2:
        draws = draws.reshape(-1, draws.shape[-1])
    if param_names is None:
        param_names = getattr(prior, "param_names", None)
    if param_names is None:
        names = [f"Prior Param. {i}" for i in range(1, draws.shape[-1] + 1)]
    else:
        names = [f"Prior {name}" for name in checked_names(param_names, draws.shape[-1], "param_names", "parameters")]
    return _pair_grid(_numbers.pairs(draws, names), names, height, color, "gray", 12, 9, True)


def plot_latent_space_2d(z_samples: ArrayLike, height: float = 2.5, color: Color = RED) -> Figure:
    """Marginal and joint densities of latents (or summaries) z_samples (n, P): independent standard normals look like round clouds.

    Returns the Figure; numbers: `pairs`, `latent_normality`."""
    z = as_float64(z_samples, "z_samples", (2,))
    names = [f"Latent Dim. {i}" for i in range(1, z.shape[1] + 1)]
    return _pair_grid(_numbers.pairs(z, names), names, height, color, "gray", 12, 9, True)
