"""Figures of a training's losses, and of the test whether observed data are like those of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _numbers
from ._arrays import as_float64
from ._panels import RED, dress, panels, percent, pyplot, zero_if_never_below
from .exceptions import ArgumentError

if TYPE_CHECKING:
    from ._types import ArrayLike, Color, Figure, Size


def plot_losses(train_losses: ArrayLike, val_losses: ArrayLike | None = None, moving_average: bool = False, ma_window_fraction: float = 0.01,
                fig_size: Size | None = None, train_color: Color = RED, val_color: Color = "black", lw_train: float = 2, lw_val: float = 3,
                grid_alpha: float = 0.5, legend_fontsize: float = 14, label_fontsize: float = 14, title_fontsize: float = 16) -> Figure:
    """A panel per loss: the loss of every training step, validation losses with markers, and a moving average.

    train_losses, val_losses: `history["train_losses"]` and `history["val_losses"]` (pandas, a column per loss), or arrays (N,), (N, C).
    `ma_window_fraction`: window of the average as a share of the steps. Returns the Figure; numbers: `losses`."""
    numbers = _numbers.losses(train_losses, val_losses, ma_window_fraction)
    train, average, steps = numbers.train, numbers.moving_average, numbers.steps
    figure, axes, _ = panels(len(numbers.names), None, 1, fig_size if fig_size is not None else (16, 4 * len(numbers.names)), 4, "plot_losses")
    for i, axis in enumerate(axes):
        axis.plot(steps, train[:, i], color=train_color, linewidth=lw_train, alpha=0.4 if moving_average else 0.9, label="Training")
        if moving_average:
            axis.plot(steps, average[:, i], color="dimgrey", linewidth=lw_train, label="Training (Moving Average)")
        validation = numbers.validation[:, i]
        validated = bool(np.isfinite(validation).any())
        if validated:
            axis.plot(numbers.validation_steps, validation, linestyle="--", marker="o", color=val_color, linewidth=lw_val, label="Validation")
        axis.set_ylabel("Loss value", fontsize=label_fontsize)
        axis.set_title(numbers.names[i], fontsize=title_fontsize)
        if moving_average or validated:
            axis.legend(fontsize=legend_fontsize)
        dress(axis, None, grid_alpha)
    axes[-1].set_xlabel("Training step #", fontsize=label_fontsize)
    figure.tight_layout()
    return figure


def plot_mmd_hypothesis_test(mmd_null: ArrayLike, mmd_observed: float | None = None, alpha_level: float = 0.05,
                             null_color: Color = (0.16407, 0.020171, 0.577478), observed_color: Color = "red", alpha_color: Color = "orange",
                             truncate_vlines_at_kde: bool = False, xmin: float | None = None, xmax: float | None = None,
                             bw_factor: float = 1.5) -> Figure:
    """The distribution of the MMD under the null hypothesis, its rejection area, and the observed value.

    mmd_null: (M) values; mmd_observed: a number or None. Returns the Figure."""
    null = as_float64(mmd_null, "mmd_null", (1,))
    if not 0 < alpha_level < 1:
        raise ArgumentError(f"alpha_level must be above 0 and below 1; got {alpha_level}")
    density = _numbers.kde(null, points=400, bw_factor=bw_factor, bound=zero_if_never_below(null))
    critical = float(np.quantile(null, 1 - alpha_level))
    figure, axis = pyplot().subplots(1, 1, figsize=(8, 4))
    top = 1.05 * density.density.max()
    height_at = lambda x: float(np.interp(x, density.x, density.density, left=0, right=0)) if truncate_vlines_at_kde else top
    axis.plot(density.x, density.density, color=null_color)
    axis.fill_between(density.x, 0, density.density, color=null_color, alpha=0.25, linewidth=0, label="MMD distribution under the null hypothesis")
    tail = np.concatenate([[critical], density.x[density.x > critical]])
    axis.fill_between(tail, 0, np.interp(tail, density.x, density.density), color=alpha_color, alpha=0.5, linewidth=0,
                      label=f"{percent(alpha_level)} % rejection area")
    axis.plot([critical, critical], [0, height_at(critical)], color=alpha_color, linestyle="dashed", linewidth=2, label="Critical value")
    if mmd_observed is not None:
        observed = float(mmd_observed)
        axis.plot([observed, observed], [0, height_at(observed)], color=observed_color, linewidth=2, label="Observed MMD")
    axis.set_xlabel("MMD", fontsize=14)
    axis.set_yticks([])
    axis.set_ylim(0, top)
    axis.set_xlim(xmin, xmax)
    axis.spines["left"].set_visible(False)
    dress(axis, 12)
    axis.legend(fontsize=11)
    figure.tight_layout()
    return figure
