"""How do posteriors fare when the model that made the data is not the one of training?"""

from __future__ import annotations

import inspect
import itertools
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_arguments, as_count, as_float64, as_function, as_number, required, shown
from ._panels import pyplot
from ._progress import counted
from .computational_utilities import aggregated_error
from .exceptions import ConfigurationError, OperationNotSupportedError, ShapeError
from .trainers import Trainer

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Figure, Function, Settings


def _config(config, name, needed):
    wanted = f"{name} must be a dictionary with {' and '.join(repr(k) for k in needed)}"
    if not isinstance(config, dict):
        raise ConfigurationError(f"{wanted}; got {shown(config)}")
    if not set(needed) <= set(config):
        raise ConfigurationError(f"{wanted}; got the keys {', '.join(map(repr, config)) or 'of an empty one'}")
    return config


def _values(config, name):
    """What the quantity takes: as the user has them, because the generator is given them."""
    values = _config(config, name, ("name", "values"))["values"]
    numbers = required(values, f"{name}['values']", (1,))
    if not len(numbers):
        raise ShapeError(f"{name}['values'] must hold at least one value")
    return np.asarray(values)


def misspecification_experiment(trainer: Trainer, generator: Function, first_config_dict: Settings, second_config_dict: Settings,
                                error_function: Function = aggregated_error, n_posterior_samples: int = 500, n_sim: int = 200,
                                configurator: Function | None = None, *, progress: bool | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Posterior error and summary MMD on a grid of two misspecified quantities.

    trainer: a Trainer with a generative model; generator: function of (value1, value2) that returns a generative model; config dicts:
    {"name": ..., "values": (n)}; error_function: of (truths (n_sim, P), draws (n_sim, n_posterior_samples, P)); configurator: by default
    the trainer's; progress: a bar, None: as in training. For every pair of values n_sim data sets are simulated. Returns two dictionaries {"P1", "P2", "values", "name"} with
    arrays (n1, n2), named "posterior_error" and "summary_mmd" (square root of the squared MMD to summaries of well-specified data)."""
    first, second = _values(first_config_dict, "first_config_dict"), _values(second_config_dict, "second_config_dict")
    if not isinstance(trainer, Trainer):
        raise ConfigurationError(f"misspecification_experiment: trainer must be a Trainer; got {shown(trainer)}")
    as_function(generator, "generator", "(value1, value2) that returns a generative model")
    as_function(error_function, "error_function", "(truths, draws)")
    configure = trainer.configurator if configurator is None else as_function(configurator, "configurator", "a forward dictionary")
    n_sim, n_posterior_samples = as_count(n_sim, "n_sim"), as_count(n_posterior_samples, "n_posterior_samples")
    amortizer = trainer.amortizer
    if trainer.generative_model is None:
        raise ConfigurationError("misspecification_experiment compares with the trainer's generative model, and it has none: Trainer(generative_model=...)")
    if amortizer.summary_net is None:
        raise ConfigurationError("misspecification_experiment compares summaries, and the amortizer has no summary network")

    def summaries(conditions):
        return as_float64(amortizer.summary(conditions), "summaries", (2,))

    well_specified = summaries(configure(trainer._as_trained(trainer.generative_model(n_sim))))
    error, mmd = np.zeros((len(first), len(second))), np.zeros((len(first), len(second)))
    with counted(error.size, "Misspecified models", "model", trainer._shows(progress, "misspecification_experiment")) as report:
        for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second)):
            conditions = configure(trainer._as_trained(as_function(generator(a, b), f"what generator({a}, {b}) returns", "a batch size")(n_sim)))
            draws = as_float64(amortizer.sample(conditions, n_posterior_samples, keepdims=True), "draws")
            error[i, j] = as_number(error_function(required(conditions.get("parameters"), 'the configurator\'s "parameters"'), draws), "what error_function returns")
            mmd[i, j] = np.sqrt(_core.diagnostics.maximum_mean_discrepancy(summaries(conditions), well_specified, "gaussian", 1.0, 0.0))
            if report is not None:
                report(i * len(second) + j + 1, error.size)
    p2, p1 = np.meshgrid(second, first)
    return ({"P1": p1, "P2": p2, "values": error, "name": "posterior_error"}, {"P1": p1, "P2": p2, "values": mmd, "name": "summary_mmd"})


def plot_model_misspecification_sensitivity(results_dict: Settings, first_config_dict: Settings, second_config_dict: Settings,
                                            plot_config: Settings | None = None) -> Figure:
    """Colour map of one result of `misspecification_experiment`, with the well-specified values as dashed lines.

    Config dicts: {"name": ..., "well_specified_value": ...}; plot_config overrides arguments of `plot_color_grid`. Returns the Figure."""
    defaults = {"posterior_error": ("inferno", "Posterior Error"), "summary_mmd": ("viridis", "Summary MMD")}
    _config(results_dict, "results_dict", ("P1", "P2", "values", "name"))
    if not isinstance(results_dict["name"], str) or results_dict["name"] not in defaults:
        raise OperationNotSupportedError(f"results_dict is named {shown(results_dict['name'])}; known are {sorted(defaults)}. Use plot_color_grid for others")
    first = _config(first_config_dict, "first_config_dict", ("name", "well_specified_value"))
    second = _config(second_config_dict, "second_config_dict", ("name", "well_specified_value"))
    cmap, title = defaults[results_dict["name"]]
    options = {"cmap": cmap, "cbar_title": title, "vmin": 0, "xlabel": first["name"], "ylabel": second["name"],
               "vline_location": first["well_specified_value"], "hline_location": second["well_specified_value"], **as_arguments(plot_config, "plot_config")}
    unknown = sorted(set(options) - set(inspect.signature(plot_color_grid).parameters))
    if unknown:
        raise ConfigurationError(f"plot_config holds {unknown[0]!r}, which is no argument of plot_color_grid")
    return plot_color_grid(results_dict["P1"], results_dict["P2"], results_dict["values"], **options)


def _edges(centers):
    """Borders of the cells around increasing or decreasing centres."""
    centers = np.asarray(centers, dtype=np.float64)
    if len(centers) == 1:
        return centers[0] + np.array([-0.5, 0.5])
    middle = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middle[0]], middle, [2 * centers[-1] - middle[-1]]])


def plot_color_grid(x_grid: ArrayLike, y_grid: ArrayLike, z_grid: ArrayLike, cmap: Any = "viridis", vmin: float | None = None,
                    vmax: float | None = None, xlabel: str = "x", ylabel: str = "y", cbar_title: str = "z", xticks: ArrayLike | None = None,
                    yticks: ArrayLike | None = None, hline_location: float | None = None, vline_location: float | None = None) -> Figure:
    """Values z_grid (n1, n2) as colours at x_grid, y_grid (n1, n2), x along the first axis; with dashed reference lines. Returns the Figure."""
    x, y, z = (required(v, name, (2,)) for v, name in ((x_grid, "x_grid"), (y_grid, "y_grid"), (z_grid, "z_grid")))
    if not x.shape == y.shape == z.shape:
        raise ConfigurationError(f"x_grid, y_grid and z_grid must have the same shape; got {x.shape}, {y.shape} and {z.shape}")
    if not x.size:
        raise ShapeError(f"x_grid, y_grid and z_grid must hold at least one value; got shape {x.shape}")
    vmin, vmax, hline_location, vline_location = (None if v is None else as_number(v, name) for v, name in (
        (vmin, "vmin"), (vmax, "vmax"), (hline_location, "hline_location"), (vline_location, "vline_location")))  # fmt: skip
    xticks, yticks = as_float64(xticks, "xticks", (1,)), as_float64(yticks, "yticks", (1,))
    try:
        cmap = pyplot().get_cmap(cmap)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"cmap must be a colour map of matplotlib or its name; got {shown(cmap)}") from error
    figure, axis = pyplot().subplots(1, 1, figsize=(10, 5))
    colors = axis.pcolormesh(_edges(x[:, 0]), _edges(y[0, :]), z.T, cmap=cmap, vmin=vmin, vmax=vmax)
    lines = {"linestyle": "--", "color": "lightgreen", "alpha": 0.8}
    if hline_location is not None:
        axis.axhline(hline_location, **lines)
    if vline_location is not None:
        axis.axvline(vline_location, **lines)
    axis.set_xlabel(str(xlabel), fontsize=16)
    axis.set_ylabel(str(ylabel), fontsize=16)
    axis.tick_params(labelsize=12)
    if xticks is not None:
        axis.set_xticks(xticks)
    if yticks is not None:
        axis.set_yticks(yticks)
    bar = figure.colorbar(colors, ax=axis)
    bar.ax.set_ylabel(str(cbar_title), fontsize=14)
    figure.tight_layout()
    return figure
