"""What the figures have in common: panels, axes, names, colours. matplotlib is imported when the first figure is drawn."""

import numpy as np

from ._arrays import as_names
from .exceptions import ArgumentError, ConfigurationError

RED = "#8f2727"
LIGHT_RED = "#a34f4f"


def pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install matplotlib") from error
    return plt


def panels(count, n_row, n_col, fig_size, panel, function):
    """A figure with `count` panels by rows: ceil(count / 6) rows unless given, and no empty panels."""
    if count < 1:
        raise ArgumentError(f"{function}: there is nothing to draw; the numbers are of no parameter")
    if (n_row is not None and n_row < 1) or (n_col is not None and n_col < 1):
        raise ArgumentError(f"{function}: n_row = {n_row} and n_col = {n_col} must be at least 1")
    if n_row is None:
        n_row = -(-count // n_col) if n_col is not None else -(-count // 6)
    if n_col is None:
        n_col = -(-count // n_row)
    if n_row * n_col < count:
        raise ArgumentError(f"{function}: {n_row} rows of {n_col} panels have no room for {count} panels; give more, or leave n_row or n_col out")
    n_row = -(-count // n_col)  # rows that would stay empty
    size = fig_size if fig_size is not None else (panel * n_col, panel * n_row)
    figure, axes = pyplot().subplots(n_row, n_col, figsize=size, squeeze=False)
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.remove()
    return figure, flat[:count], n_col


def dress(axis, tick_fontsize, grid_alpha=0.5):
    axis.spines["right"].set_visible(False)
    axis.spines["top"].set_visible(False)
    axis.grid(alpha=grid_alpha)
    axis.set_axisbelow(True)
    axis.tick_params(axis="both", which="major", labelsize=tick_fontsize)


def label_axes(axes, n_col, xlabel, ylabel, fontsize):
    """x labels where no panel is beneath, y labels in the first column."""
    for i, axis in enumerate(axes):
        if i + n_col >= len(axes):
            axis.set_xlabel(xlabel, fontsize=fontsize)
        if i % n_col == 0:
            axis.set_ylabel(ylabel, fontsize=fontsize)


def decimals(value, places=3):
    return f"{value:.{places}f}" if np.isfinite(value) else "n/a"


def p_value_text(p):
    return "$p$ < 0.001" if p < 0.001 else f"$p$ = {decimals(p)}"


def zero_if_never_below(values):
    """The bound of a density of `values`: quantities of which none is negative (distances, spreads, shares) have no density below 0."""
    return None if np.min(values, initial=0) < 0 else 0.0


def percent(share):
    return f"{100 * share:.1f}".rstrip("0").rstrip(".")


def parameter_names(names, count):
    if names is None:
        return [rf"$\theta_{{{i}}}$" for i in range(1, count + 1)]
    return checked_names(names, count, "param_names", "parameters")


def checked_names(names, count, argument, what):
    names = as_names(names, argument)
    if len(names) != count:
        raise ConfigurationError(f"{argument} has {len(names)} names for {count} {what}; give one each")
    return names


def number_of_columns(samples):
    """The number of parameters, as far as the shape tells; the functions of numbers raise the error if it does not."""
    return np.shape(samples)[-1] if np.ndim(samples) else 0


def names_for(post_samples, names):
    return names if names is None else checked_names(names, number_of_columns(post_samples), "param_names", "parameters")
