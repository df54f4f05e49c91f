"""Figures of data simulated from a posterior or a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _numbers
from ._arrays import as_array, as_float64, as_number
from ._panels import RED, checked_names, decimals, dress, label_axes, panels, percent, zero_if_never_below
from .exceptions import ArgumentError, ShapeError

if TYPE_CHECKING:
    from typing import Any, Sequence

    from . import _core
    from ._types import ArrayLike, Color, Figure, Function, Names, Size
    from .simulation import GenerativeModel


def plot_posterior_predictive(predictive: _core.diagnostics.PosteriorPredictive, data_set: int = 0, fig_size: Size | None = None,
                              label_fontsize: float = 16, title_fontsize: float = 18, legend_fontsize: float = 12, tick_fontsize: float = 12,
                              color: Color = RED, n_row: int | None = None, n_col: int | None = None) -> Figure:
    """A panel per statistic: its distribution in data simulated from the posterior, and the observed value.

    predictive: what `posterior_predictive` returns; `data_set`: which of the B. Returns the Figure."""
    _require_data_set(data_set, len(predictive.observed))
    figure, axes, n_col = panels(len(predictive.statistics), n_row, n_col, fig_size, 4, "plot_posterior_predictive")
    for k, axis in enumerate(axes):
        values = predictive.simulated[data_set, :, k]
        values = values[np.isfinite(values)]
        density = _numbers.kde(values, bound=zero_if_never_below(values)) if len(values) > 1 else None
        if density is not None and density.bandwidth > 0:
            axis.plot(density.x, density.density, color=color)
            axis.fill_between(density.x, 0, density.density, color=color, alpha=0.3, linewidth=0, label="Simulated")
        else:
            for value in values[:1]:
                axis.axvline(value, color=color, linewidth=3, alpha=0.5, label="Simulated")
        axis.axvline(predictive.observed[data_set, k], color="black", linestyle="dashed", label="Observed")
        p = predictive.p_value[data_set, k]
        axis.set_title(f"{predictive.statistics[k]} ($p$ = {decimals(p)})", fontsize=title_fontsize)
        axis.set_ylim(bottom=0)
        axis.set_yticks([])
        axis.legend(fontsize=legend_fontsize)
        dress(axis, tick_fontsize)
    label_axes(axes, n_col, "Value of the statistic", "Density", label_fontsize)
    figure.tight_layout()
    return figure


def _require_data_set(index, count):
    if not 0 <= index < count:
        raise ArgumentError(f"data_set = {index}; there are data sets 0 to {count - 1}")


def plot_predictive_bands(bands: _core.diagnostics.Pushforward, data_set: int = 0, fig_size: Size | None = None, label_fontsize: float = 16,
                          title_fontsize: float = 18, legend_fontsize: float = 12, tick_fontsize: float = 12, color: Color = RED,
                          n_row: int | None = None, n_col: int | None = None, max_panels: int = 12, *, times: ArrayLike | None = None,
                          variable_names: Names | None = None, xlabel: str | None = None, ylabel: str = "Value") -> Figure:
    """A panel per variable: quantile bands of simulated data along the first axis of a data set, with the observed data if there are.

    bands: what `pushforward` returns, or `.bands` of `posterior_predictive`. times: of the first axis, by default 0, 1, 2, ... Returns the Figure."""
    _require_data_set(data_set, len(bands.quantiles))
    levels = bands.probabilities
    length = bands.data_shape[0] if bands.data_shape else 1
    quantiles = bands.quantiles[data_set].reshape(len(levels), length, -1)
    observed = bands.observed[data_set].reshape(length, -1) if bands.observed.size else None
    variables = quantiles.shape[-1]
    figure, axes, n_col = panels(min(variables, max_panels), n_row, n_col, fig_size, 4, "plot_predictive_bands")
    index = np.arange(length) if times is None else as_float64(times, "times", (1,))
    if len(index) != length:
        raise ShapeError(f"times has {len(index)} numbers; a data set has {length} along its first axis")
    names = None if variable_names is None else checked_names(variable_names, variables, "variable_names", "variables")
    for v, axis in enumerate(axes):
        for q in range(len(levels) // 2):
            axis.fill_between(index, quantiles[q, :, v], quantiles[-1 - q, :, v], color=color, alpha=0.25, linewidth=0,
                              label=f"{percent(levels[-1 - q] - levels[q])} % of simulations")
        if len(levels) % 2:
            axis.plot(index, quantiles[len(levels) // 2, :, v], color=color, label="Median")
        if observed is not None:
            axis.plot(index, observed[:, v], "o", color="black", markersize=3, label="Observed")
        if names or variables > 1:
            axis.set_title(names[v] if names else f"Variable {v + 1}", fontsize=title_fontsize)
        dress(axis, tick_fontsize)
    axes[0].legend(fontsize=legend_fontsize)
    label_axes(axes, n_col, xlabel or ("Index in the data set" if times is None else "Time"), ylabel, label_fontsize)
    if variables > len(axes):
        figure.suptitle(f"The first {len(axes)} of {variables} variables", fontsize=title_fontsize)
    figure.tight_layout()
    return figure


def plot_pushforward(generative_model: GenerativeModel, parameter_draws: ArrayLike | None = None, funcs_list: Sequence[Function] | None = None,
                     funcs_labels: Names | None = None, batch_size: int = 1000, show_raw_sims: bool = True) -> dict[str, Any]:
    """What the model's data look like: raw simulations (if a data set is one series), and aggregates of them.

    parameter_draws: (n, P); None: `batch_size` draws of the prior. funcs_list: functions of one data set that return a number, by default its
    mean and standard deviation; funcs_labels: a name each. Returns a dictionary "parameter_draws", "simulations", "aggregated_data" (a list per
    function), "functions_used", "function_names", "figures"."""
    if parameter_draws is None:
        forward = generative_model(batch_size)
        draws, data = as_array(forward["prior_draws"], "prior_draws"), as_array(forward["sim_data"], "sim_data")
    else:
        draws = as_float64(parameter_draws, "parameter_draws")
        data = _numbers.simulate_by(generative_model)(draws)
    if funcs_list is None:
        functions, names = [np.mean, np.std], ["Simulation mean", "Simulation standard deviation"]
    else:
        functions = list(funcs_list)
        names = [f"Aggregator function {i + 1}" for i in range(len(functions))]
    if funcs_labels is not None:
        names = checked_names(funcs_labels, len(functions), "funcs_labels", "functions")
    aggregated = [
        [as_number(function(simulation.copy()), f"what {name} returns") for simulation in data] for function, name in zip(functions, names)
    ]
    figures = []
    if show_raw_sims and data.ndim == 2:
        side = min(int(np.ceil(np.sqrt(len(data)))), 7)
        count = min(side * side, len(data))
        figure, axes, _ = panels(count, None, side, (2 * side, 2 * -(-count // side)), 2, "plot_pushforward")
        for axis, simulation in zip(axes, data):
            axis.plot(simulation, color=RED, linewidth=1)
            dress(axis, 7)
        figure.suptitle(f"{count} simulated data sets", fontsize=14)
        figure.tight_layout()
        figures.append(figure)
    if functions:
        figure, axes, _ = panels(len(functions), None, 1, (10, 3 * len(functions)), 3, "plot_pushforward")
        for axis, name, values in zip(axes, names, aggregated):
            axis.plot(values, "o-" if len(values) == 1 else "-", color=RED, linewidth=1)
            axis.set_ylabel(name, fontsize=12)
            dress(axis, 10)
        axes[-1].set_xlabel("Simulation number", fontsize=12)
        figure.tight_layout()
        figures.append(figure)
    return {"parameter_draws": draws, "simulations": data, "aggregated_data": aggregated, "functions_used": functions, "function_names": names,
            "figures": figures}
