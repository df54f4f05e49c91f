"""How do posteriors fare when the model that made the data is not the one of training?"""

import numpy as np

from . import _core
from ._arrays import as_float64
from ._figures import _pyplot
from .computational_utilities import aggregated_error
from .exceptions import ConfigurationError, OperationNotSupportedError


def _config(config, name, needed):
    for key in needed:
        if key not in config:
            raise ConfigurationError(f"{name} must hold {' and '.join(repr(k) for k in needed)}; got the keys {sorted(config)}")
    return config


def misspecification_experiment(trainer, generator, first_config_dict, second_config_dict, error_function=aggregated_error, n_posterior_samples=500,
                                n_sim=200, configurator=None):
    """Posterior error and summary MMD on a grid of two misspecified quantities.

    trainer: a Trainer with a generative model; generator: function of (value1, value2) that returns a generative model; config dicts:
    {"name": ..., "values": (n)}; error_function: of (truths (n_sim, P), draws (n_sim, n_posterior_samples, P)); configurator: by default
    the trainer's. For every pair of values n_sim data sets are simulated. Returns two dictionaries {"P1", "P2", "values", "name"} with
    arrays (n1, n2), named "posterior_error" and "summary_mmd" (square root of the squared MMD to summaries of well-specified data)."""
    first = np.asarray(_config(first_config_dict, "first_config_dict", ("name", "values"))["values"])
    second = np.asarray(_config(second_config_dict, "second_config_dict", ("name", "values"))["values"])
    amortizer, configure = trainer.amortizer, configurator or trainer.configurator
    if trainer.generative_model is None:
        raise ConfigurationError("misspecification_experiment compares with the trainer's generative model, and it has none: Trainer(generative_model=...)")
    if amortizer.summary_net is None:
        raise ConfigurationError("misspecification_experiment compares summaries, and the amortizer has no summary network")

    def summaries(conditions):
        return as_float64(amortizer.summary(conditions), "summaries", (2,))

    well_specified = summaries(configure(trainer.generative_model(n_sim)))
    error, mmd = np.zeros((len(first), len(second))), np.zeros((len(first), len(second)))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            conditions = configure(generator(a, b)(n_sim))
            draws = as_float64(amortizer.sample(conditions, n_posterior_samples), "draws")
            error[i, j] = error_function(as_float64(conditions["parameters"], "parameters"), draws)
            mmd[i, j] = np.sqrt(_core.diagnostics.maximum_mean_discrepancy(summaries(conditions), well_specified, "gaussian", 1.0, 0.0))
    p2, p1 = np.meshgrid(second, first)
    return ({"P1": p1, "P2": p2, "values": error, "name": "posterior_error"}, {"P1": p1, "P2": p2, "values": mmd, "name": "summary_mmd"})


def plot_model_misspecification_sensitivity(results_dict, first_config_dict, second_config_dict, plot_config=None):
    """Colour map of one result of `misspecification_experiment`, with the well-specified values as dashed lines.

    Config dicts: {"name": ..., "well_specified_value": ...}; plot_config overrides arguments of `plot_color_grid`. Returns the Figure."""
    defaults = {"posterior_error": ("inferno", "Posterior Error"), "summary_mmd": ("viridis", "Summary MMD")}
    if results_dict["name"] not in defaults:
        raise OperationNotSupportedError(f"results_dict is named {results_dict['name']!r}; known are {sorted(defaults)}. Use plot_color_grid for others")
    first = _config(first_config_dict, "first_config_dict", ("name", "well_specified_value"))
    second = _config(second_config_dict, "second_config_dict", ("name", "well_specified_value"))
    cmap, title = defaults[results_dict["name"]]
    options = {"cmap": cmap, "cbar_title": title, "vmin": 0, "xlabel": first["name"], "ylabel": second["name"],
               "vline_location": first["well_specified_value"], "hline_location": second["well_specified_value"], **(plot_config or {})}
    return plot_color_grid(results_dict["P1"], results_dict["P2"], results_dict["values"], **options)


def _edges(centers):
    """Borders of the cells around increasing or decreasing centres."""
    centers = np.asarray(centers, dtype=np.float64)
    if len(centers) == 1:
        return centers[0] + np.array([-0.5, 0.5])
    middle = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middle[0]], middle, [2 * centers[-1] - middle[-1]]])


def plot_color_grid(x_grid, y_grid, z_grid, cmap="viridis", vmin=None, vmax=None, xlabel="x", ylabel="y", cbar_title="z", xticks=None, yticks=None,
                    hline_location=None, vline_location=None):
    """Values z_grid (n1, n2) as colours at x_grid, y_grid (n1, n2), x along the first axis; with dashed reference lines. Returns the Figure."""
    x, y, z = (as_float64(v, name, (2,)) for v, name in ((x_grid, "x_grid"), (y_grid, "y_grid"), (z_grid, "z_grid")))
    if not x.shape == y.shape == z.shape:
        raise ConfigurationError(f"x_grid, y_grid and z_grid must have the same shape; got {x.shape}, {y.shape} and {z.shape}")
    figure, axis = _pyplot().subplots(1, 1, figsize=(10, 5))
    colors = axis.pcolormesh(_edges(x[:, 0]), _edges(y[0, :]), z.T, cmap=cmap, vmin=vmin, vmax=vmax)
    lines = {"linestyle": "--", "color": "lightgreen", "alpha": 0.8}
    if hline_location is not None:
        axis.axhline(hline_location, **lines)
    if vline_location is not None:
        axis.axvline(vline_location, **lines)
    axis.set_xlabel(xlabel, fontsize=16)
    axis.set_ylabel(ylabel, fontsize=16)
    axis.tick_params(labelsize=12)
    if xticks is not None:
        axis.set_xticks(xticks)
    if yticks is not None:
        axis.set_yticks(yticks)
    bar = figure.colorbar(colors, ax=axis)
    bar.ax.set_ylabel(cbar_title, fontsize=14)
    figure.tight_layout()
    return figure
