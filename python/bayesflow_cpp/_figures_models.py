"""Figures of model probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _numbers
from ._panels import RED, checked_names, decimals, dress, label_axes, number_of_columns, panels, pyplot

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Color, Figure, Names, Size


def _model_names(names, count):
    if names is None:
        return [rf"$M_{{{i}}}$" for i in range(1, count + 1)]
    return checked_names(names, count, "model_names", "models")


def plot_calibration_curves(true_models: ArrayLike, pred_models: ArrayLike, model_names: Names | None = None, num_bins: int = 10,
                            label_fontsize: float = 16, legend_fontsize: float = 14, title_fontsize: float = 18, tick_fontsize: float = 12,
                            epsilon: float = 0.02, fig_size: Size | None = None, color: Color = RED, n_row: int | None = None,
                            n_col: int | None = None) -> Figure:
    """Observed frequency against predicted model probability, with the distribution of predictions and the calibration error.

    true_models: one-hot (n, J) or indices (n); pred_models: (n, J). Returns the Figure; numbers: `calibration_curves`."""
    names = _model_names(model_names, number_of_columns(pred_models))
    numbers = _numbers.calibration_curves(true_models, pred_models, names, num_bins)
    figure, axes, n_col = panels(len(names), n_row, n_col, fig_size, 5, "plot_calibration_curves")
    edges = np.linspace(0, 1, numbers.num_bins + 1)
    for axis, name, curve, error in zip(axes, names, numbers.curves, numbers.error):
        axis.bar(edges[:-1], curve.histogram, width=np.diff(edges), align="edge", color="grey", alpha=0.3)
        axis.plot((0, 1), (0, 1), "--", color="black", alpha=0.7)
        axis.plot(curve.mean_prediction, curve.frequency, "o-", color=color)
        axis.set_xlim(-epsilon, 1 + epsilon)
        axis.set_ylim(-epsilon, 1 + epsilon)
        axis.set_xticks(np.linspace(0, 1, 6))
        axis.set_yticks(np.linspace(0, 1, 6))
        axis.text(0.1, 0.9, rf"$\widehat{{\mathrm{{ECE}}}}$ = {decimals(error.value)}", horizontalalignment="left", verticalalignment="center",
                  transform=axis.transAxes, size=legend_fontsize)
        axis.set_title(name, fontsize=title_fontsize)
        dress(axis, tick_fontsize)
    label_axes(axes, n_col, "Predicted probability", "True probability", label_fontsize)
    figure.tight_layout()
    return figure


def plot_confusion_matrix(true_models: ArrayLike, pred_models: ArrayLike, model_names: Names | None = None, fig_size: Size = (5, 5),
                          label_fontsize: float = 16, title_fontsize: float = 18, value_fontsize: float = 10, tick_fontsize: float = 12,
                          xtick_rotation: float | None = None, ytick_rotation: float | None = None, normalize: bool | str = True, cmap: Any = None,
                          title: bool | str = True) -> Figure:
    """How often each true model (rows) is taken for each model (columns): shares of the rows, or counts.

    true_models: one-hot (n, J) or indices (n); pred_models: (n, J). Returns the Figure; numbers: `confusion_matrix`."""
    from matplotlib.colors import LinearSegmentedColormap

    names = _model_names(model_names, number_of_columns(pred_models))
    numbers = _numbers.confusion_matrix(true_models, pred_models, names)
    values = numbers.normalized if normalize else numbers.counts
    figure, axis = pyplot().subplots(1, 1, figsize=fig_size)
    image = axis.imshow(values, vmin=0, interpolation="nearest", cmap=cmap or LinearSegmentedColormap.from_list("bayesflow", ["white", RED]))
    figure.colorbar(image, ax=axis, shrink=0.7)
    axis.set_xticks(range(len(names)), names, fontsize=tick_fontsize)
    axis.set_yticks(range(len(names)), names, fontsize=tick_fontsize)
    if xtick_rotation is not None:
        axis.tick_params(axis="x", labelrotation=xtick_rotation)
    if ytick_rotation is not None:
        axis.tick_params(axis="y", labelrotation=ytick_rotation)
    axis.set_xlabel("Predicted model", fontsize=label_fontsize)
    axis.set_ylabel("True model", fontsize=label_fontsize)
    threshold = np.nanmax(values) / 2
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            text = "–" if not np.isfinite(value) else f"{value:.2f}" if normalize else f"{value:.0f}"
            axis.text(j, i, text, ha="center", va="center", fontsize=value_fontsize, color="white" if value > threshold else "black")
    if title:
        axis.set_title("Confusion Matrix", fontsize=title_fontsize)
    figure.tight_layout()
    return figure
