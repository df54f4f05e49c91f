"""Matplotlib figures of the library's own numbers. matplotlib is imported when the first figure is drawn."""

import numpy as np

from . import _numbers
from ._arrays import as_float64, as_names
from .exceptions import ArgumentError, ConfigurationError, ShapeError

RED = "#8f2727"
LIGHT_RED = "#a34f4f"
MASS = (0.95, 0.8, 0.65, 0.5, 0.35, 0.2, 0.08)  # shares of the draws inside the contours of a joint density


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install matplotlib") from error
    return plt


def _grid(count, n_row, n_col, fig_size, panel, function):
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
    figure, axes = _pyplot().subplots(n_row, n_col, figsize=size, squeeze=False)
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.remove()
    return figure, flat[:count], n_col


def _dress(axis, tick_fontsize, grid_alpha=0.5):
    axis.spines["right"].set_visible(False)
    axis.spines["top"].set_visible(False)
    axis.grid(alpha=grid_alpha)
    axis.set_axisbelow(True)
    axis.tick_params(axis="both", which="major", labelsize=tick_fontsize)


def _label(axes, n_col, xlabel, ylabel, fontsize):
    """x labels where no panel is beneath, y labels in the first column."""
    for i, axis in enumerate(axes):
        if i + n_col >= len(axes):
            axis.set_xlabel(xlabel, fontsize=fontsize)
        if i % n_col == 0:
            axis.set_ylabel(ylabel, fontsize=fontsize)


def _decimals(value, places=3):
    return f"{value:.{places}f}" if np.isfinite(value) else "n/a"


def _percent(share):
    return f"{100 * share:.1f}".rstrip("0").rstrip(".")


def _param_names(names, count):
    if names is None:
        return [rf"$\theta_{{{i}}}$" for i in range(1, count + 1)]
    return _checked(names, count, "param_names", "parameters")


def _checked(names, count, argument, what):
    names = as_names(names, argument)
    if len(names) != count:
        raise ConfigurationError(f"{argument} has {len(names)} names for {count} {what}; give one each")
    return names


def _width(samples):
    """The number of parameters, as far as the shape tells; the functions of numbers raise the error if it does not."""
    return np.shape(samples)[-1] if np.ndim(samples) else 0


def _names_for(post_samples, names):
    return names if names is None else _checked(names, _width(post_samples), "param_names", "parameters")


def plot_recovery(post_samples, prior_samples, point_agg=np.median, uncertainty_agg=_numbers.median_abs_deviation, param_names=None, fig_size=None,
                  label_fontsize=16, title_fontsize=18, metric_fontsize=16, tick_fontsize=12, add_corr=True, add_r2=True, color=RED, n_col=None,
                  n_row=None, xlabel="Ground truth", ylabel="Estimated", **kwargs):
    """Point estimates with error bars against the truths; R^2 and Pearson's r in each panel.

    post_samples: (B, S, P) draws; prior_samples: (B, P) truths. `point_agg` and `uncertainty_agg` (None: no error bars) are functions of
    (draws, axis). `kwargs` go to matplotlib's errorbar (scatter without error bars). Returns the Figure; numbers: `recovery`."""
    numbers = _numbers.recovery(post_samples, prior_samples, _names_for(post_samples, param_names), point_agg, uncertainty_agg)
    truths, estimates, spreads = numbers.truths, numbers.estimates, numbers.spreads
    names = _param_names(param_names, truths.shape[1])
    r2, r = numbers.r2, numbers.r
    figure, axes, n_col = _grid(len(names), n_row, n_col, fig_size, 4, "plot_recovery")
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
                axis.text(0.1, height, f"{symbol} = {_decimals(value)}", horizontalalignment="left", verticalalignment="center",
                          transform=axis.transAxes, size=metric_fontsize)
        axis.set_title(names[i], fontsize=title_fontsize)
        _dress(axis, tick_fontsize)
    _label(axes, n_col, xlabel, ylabel, label_fontsize)
    figure.tight_layout()
    return figure


def plot_z_score_contraction(post_samples, prior_samples, param_names=None, fig_size=None, label_fontsize=16, title_fontsize=18, tick_fontsize=12,
                             color=RED, n_col=None, n_row=None):
    """Posterior z-score against posterior contraction of every data set. The axis reaches down to negative contractions.

    post_samples: (B, S, P); prior_samples: (B, P). Returns the Figure; numbers: `z_score_contraction`."""
    numbers = _numbers.z_score_contraction(post_samples, prior_samples, _names_for(post_samples, param_names))
    contraction, z_score = numbers.contraction, numbers.z_score
    names = _param_names(param_names, z_score.shape[1])
    figure, axes, n_col = _grid(len(names), n_row, n_col, fig_size, 4, "plot_z_score_contraction")
    finite = contraction[np.isfinite(contraction)]
    lowest = min(0.0, finite.min()) if finite.size else 0.0
    for i, axis in enumerate(axes):
        axis.scatter(contraction[:, i], z_score[:, i], color=color, alpha=0.5)
        axis.set_xlim(lowest - 0.05 * (1 - lowest), 1.05)
        axis.set_title(names[i], fontsize=title_fontsize)
        _dress(axis, tick_fontsize)
    _label(axes, n_col, "Posterior contraction", "Posterior z-score", label_fontsize)
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


def plot_sbc_ecdf(post_samples, prior_samples, difference=False, stacked=False, fig_size=None, param_names=None, label_fontsize=16,
                  legend_fontsize=14, title_fontsize=18, tick_fontsize=12, rank_ecdf_color=LIGHT_RED, fill_color="grey", n_row=None, n_col=None,
                  ecdf_bands_kwargs=None):
    """ECDFs of the fractional ranks in a band that an exact posterior's curve stays inside with the given confidence, exactly.

    post_samples: (B, S, P); prior_samples: (B, P). `difference`: minus the diagonal; `stacked`: all parameters in one panel.
    `ecdf_bands_kwargs`: {"confidence": 0.95, "num_points": 100}; v1's "num_simulations" and "eps" are taken, and have no meaning for an exact
    band. Returns the Figure; numbers: `sbc_ecdf`."""
    numbers = _numbers.sbc_ecdf(post_samples, prior_samples, _names_for(post_samples, param_names), difference, **_band_options(ecdf_bands_kwargs))
    ecdf, points = numbers.ecdf, numbers.points
    names = _param_names(param_names, len(ecdf))
    if stacked:
        figure, axes, n_col = _grid(1, None, None, fig_size, 5, "plot_sbc_ecdf")
    else:
        figure, axes, n_col = _grid(len(names), n_row, n_col, fig_size, 5, "plot_sbc_ecdf")
    band = f"{_percent(numbers.confidence)} % Confidence Bands"
    for i, axis in enumerate(axes):
        for j in range(len(names)) if stacked else (i,):
            label = "Rank ECDFs" if stacked and j == 0 else None if stacked else "Rank ECDF"
            axis.plot(points, ecdf[j], color=rank_ecdf_color, alpha=0.95, label=label)
        axis.fill_between(points, numbers.band_lower, numbers.band_upper, color=fill_color, alpha=0.2, label=band, linewidth=0)
        axis.set_title("" if stacked else names[i], fontsize=title_fontsize)
        axis.legend(fontsize=legend_fontsize, loc="upper right" if difference else "upper left")
        _dress(axis, tick_fontsize)
        if difference:  # room for the legend above the band
            low, high = axis.get_ylim()
            axis.set_ylim(low, high + 0.45 * (high - low))
    _label(axes, n_col, "Fractional rank statistic", "ECDF difference" if difference else "ECDF", label_fontsize)
    figure.tight_layout()
    return figure


def plot_sbc_histograms(post_samples, prior_samples, param_names=None, fig_size=None, num_bins=None, binomial_interval=0.99, label_fontsize=16,
                        title_fontsize=18, tick_fontsize=12, hist_color=LIGHT_RED, n_row=None, n_col=None):
    """Histograms of the ranks, with the central binomial interval of each bar (grey) and its expectation (line).

    post_samples: (B, S, P); prior_samples: (B, P). `num_bins=None`: bins that divide S + 1 if possible, at most 20, expecting 10 data
    sets or more each. Returns the Figure; numbers: `sbc_histograms`."""
    numbers = _numbers.sbc_histograms(post_samples, prior_samples, _names_for(post_samples, param_names), num_bins, binomial_interval)
    counts, edges = numbers.counts, numbers.first_rank
    names = _param_names(param_names, len(counts))
    figure, axes, n_col = _grid(len(names), n_row, n_col, fig_size, 5, "plot_sbc_histograms")
    for i, axis in enumerate(axes):
        axis.fill_between(edges, np.append(numbers.lower, numbers.lower[-1]), np.append(numbers.upper, numbers.upper[-1]), step="post",
                          facecolor="gray", alpha=0.3)
        axis.step(edges, np.append(numbers.expected, numbers.expected[-1]), where="post", color="gray", alpha=0.9)
        axis.bar(edges[:-1], counts[i], width=np.diff(edges), align="edge", color=hist_color, alpha=0.95, edgecolor="white", linewidth=0.5, zorder=0.9)
        axis.set_xlim(edges[0], edges[-1])
        axis.set_title(names[i], fontsize=title_fontsize)
        _dress(axis, tick_fontsize)
        axis.grid(False)
    _label(axes, n_col, "Rank statistic", "Data sets", label_fontsize)
    figure.tight_layout()
    return figure


def plot_coverage(post_samples, prior_samples, param_names=None, fig_size=None, num_levels=20, confidence=0.95, label_fontsize=16,
                  legend_fontsize=14, title_fontsize=18, tick_fontsize=12, color=RED, fill_color="grey", n_row=None, n_col=None):
    """Share of truths in central credible intervals against the intervals' level, with the exact band of a right posterior.

    post_samples: (B, S, P); prior_samples: (B, P). Below the diagonal: overconfident. Returns the Figure; numbers: `coverage`."""
    numbers = _numbers.coverage(post_samples, prior_samples, _names_for(post_samples, param_names), num_levels, confidence)
    names = _param_names(param_names, len(numbers.coverage))
    figure, axes, n_col = _grid(len(names), n_row, n_col, fig_size, 5, "plot_coverage")
    for i, axis in enumerate(axes):
        axis.fill_between(numbers.levels, numbers.band_lower, numbers.band_upper, color=fill_color, alpha=0.2, linewidth=0,
                          label=f"{_percent(confidence)} % Confidence Band")
        axis.plot((0, 1), (0, 1), color="black", linestyle="dashed", alpha=0.9)
        axis.plot(numbers.levels, numbers.coverage[i], "o-", color=color, markersize=4, label="Truths inside")
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_title(names[i], fontsize=title_fontsize)
        axis.legend(fontsize=legend_fontsize, loc="upper left")
        _dress(axis, tick_fontsize)
    _label(axes, n_col, "Level of the interval", "Truths inside", label_fontsize)
    figure.tight_layout()
    return figure


def plot_losses(train_losses, val_losses=None, moving_average=False, ma_window_fraction=0.01, fig_size=None, train_color=RED, val_color="black",
                lw_train=2, lw_val=3, grid_alpha=0.5, legend_fontsize=14, label_fontsize=14, title_fontsize=16):
    """A panel per loss: the loss of every training step, validation losses with markers, and a moving average.

    train_losses, val_losses: `history["train_losses"]` and `history["val_losses"]` (pandas, a column per loss), or arrays (N,), (N, C).
    `ma_window_fraction`: window of the average as a share of the steps. Returns the Figure; numbers: `losses`."""
    numbers = _numbers.losses(train_losses, val_losses, ma_window_fraction)
    train, average, steps = numbers.train, numbers.moving_average, numbers.steps
    figure, axes, _ = _grid(len(numbers.names), None, 1, fig_size if fig_size is not None else (16, 4 * len(numbers.names)), 4, "plot_losses")
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
        _dress(axis, None, grid_alpha)
    axes[-1].set_xlabel("Training step #", fontsize=label_fontsize)
    figure.tight_layout()
    return figure


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
    figure = _pyplot().figure(figsize=(height * count, height * count))
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
                _dress(axis, tick_fontsize)
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


def plot_posterior_2d(posterior_draws, prior=None, prior_draws=None, param_names=None, height=3, label_fontsize=14, legend_fontsize=16,
                      tick_fontsize=12, post_color=RED, prior_color="gray", post_alpha=0.9, prior_alpha=0.7, truth=None):
    """Marginal and joint densities of one data set's posterior, over the prior if given.

    posterior_draws: (S, P); `prior_draws`: (N, P), or drawn S times from `prior` (which also lends its parameter names); `truth`: (P),
    marked. `height`: inches of a panel; many parameters get smaller ones. Returns the Figure; numbers: `posterior_2d`."""
    draws = as_float64(posterior_draws, "posterior_draws")
    if draws.ndim != 2:
        raise ShapeError(f"posterior_draws must have shape (draws, parameters), those of one data set; got {draws.shape}. "
                         "Take one of several: posterior_draws[0]")
    if prior_draws is None and prior is not None:
        prior_draws = as_float64(prior(len(draws))["prior_draws"], "prior draws")
    if param_names is None and prior is not None:
        param_names = getattr(prior, "param_names", None)
    names = _param_names(param_names, draws.shape[1])
    numbers = _numbers.posterior_2d(draws, prior_draws, names, truth)
    figure = _pair_grid(numbers, names, height, post_color, prior_color, label_fontsize, tick_fontsize, False, post_alpha, prior_alpha)
    if numbers.reference is not None:
        from matplotlib.patches import Patch

        handles = [Patch(color=post_color, alpha=post_alpha, label="Posterior"), Patch(color=prior_color, alpha=prior_alpha, label="Prior")]
        figure.legend(handles=handles, fontsize=legend_fontsize, loc="upper right" if len(names) > 1 else "center right")
    return figure


def plot_prior2d(prior, param_names=None, n_samples=2000, height=2.5, color=RED):
    """Marginal and joint densities of a prior, with the draws themselves in the upper triangle.

    prior: a Prior, or a function of the number of draws that returns {"prior_draws": (n, P)}. Returns the Figure; numbers: `pairs`."""
    draws = as_float64(prior(n_samples)["prior_draws"], "prior draws")
    if draws.ndim > 2:
        draws = draws.reshape(-1, draws.shape[-1])
    if param_names is None:
        param_names = getattr(prior, "param_names", None)
    if param_names is None:
        names = [f"Prior Param. {i}" for i in range(1, draws.shape[-1] + 1)]
    else:
        names = [f"Prior {name}" for name in _checked(param_names, draws.shape[-1], "param_names", "parameters")]
    return _pair_grid(_numbers.pairs(draws, names), names, height, color, "gray", 12, 9, True)


def plot_latent_space_2d(z_samples, height=2.5, color=RED):
    """Marginal and joint densities of latents (or summaries) z_samples (n, P): independent standard normals look like round clouds.

    Returns the Figure; numbers: `pairs`, `latent_normality`."""
    z = as_float64(z_samples, "z_samples", (2,))
    names = [f"Latent Dim. {i}" for i in range(1, z.shape[1] + 1)]
    return _pair_grid(_numbers.pairs(z, names), names, height, color, "gray", 12, 9, True)


def _model_names(names, count):
    if names is None:
        return [rf"$M_{{{i}}}$" for i in range(1, count + 1)]
    return _checked(names, count, "model_names", "models")


def plot_calibration_curves(true_models, pred_models, model_names=None, num_bins=10, label_fontsize=16, legend_fontsize=14, title_fontsize=18,
                            tick_fontsize=12, epsilon=0.02, fig_size=None, color=RED, n_row=None, n_col=None):
    """Observed frequency against predicted model probability, with the distribution of predictions and the calibration error.

    true_models: one-hot (n, J) or indices (n); pred_models: (n, J). Returns the Figure; numbers: `calibration_curves`."""
    names = _model_names(model_names, _width(pred_models))
    numbers = _numbers.calibration_curves(true_models, pred_models, names, num_bins)
    figure, axes, n_col = _grid(len(names), n_row, n_col, fig_size, 5, "plot_calibration_curves")
    edges = np.linspace(0, 1, numbers.num_bins + 1)
    for axis, name, curve, error in zip(axes, names, numbers.curves, numbers.error):
        axis.bar(edges[:-1], curve.histogram, width=np.diff(edges), align="edge", color="grey", alpha=0.3)
        axis.plot((0, 1), (0, 1), "--", color="black", alpha=0.7)
        axis.plot(curve.mean_prediction, curve.frequency, "o-", color=color)
        axis.set_xlim(-epsilon, 1 + epsilon)
        axis.set_ylim(-epsilon, 1 + epsilon)
        axis.set_xticks(np.linspace(0, 1, 6))
        axis.set_yticks(np.linspace(0, 1, 6))
        axis.text(0.1, 0.9, rf"$\widehat{{\mathrm{{ECE}}}}$ = {_decimals(error.value)}", horizontalalignment="left", verticalalignment="center",
                  transform=axis.transAxes, size=legend_fontsize)
        axis.set_title(name, fontsize=title_fontsize)
        _dress(axis, tick_fontsize)
    _label(axes, n_col, "Predicted probability", "True probability", label_fontsize)
    figure.tight_layout()
    return figure


def plot_confusion_matrix(true_models, pred_models, model_names=None, fig_size=(5, 5), label_fontsize=16, title_fontsize=18, value_fontsize=10,
                          tick_fontsize=12, xtick_rotation=None, ytick_rotation=None, normalize=True, cmap=None, title=True):
    """How often each true model (rows) is taken for each model (columns): shares of the rows, or counts.

    true_models: one-hot (n, J) or indices (n); pred_models: (n, J). Returns the Figure; numbers: `confusion_matrix`."""
    from matplotlib.colors import LinearSegmentedColormap

    names = _model_names(model_names, _width(pred_models))
    numbers = _numbers.confusion_matrix(true_models, pred_models, names)
    values = numbers.normalized if normalize else numbers.counts
    figure, axis = _pyplot().subplots(1, 1, figsize=fig_size)
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


def plot_mmd_hypothesis_test(mmd_null, mmd_observed=None, alpha_level=0.05, null_color=(0.16407, 0.020171, 0.577478), observed_color="red",
                             alpha_color="orange", truncate_vlines_at_kde=False, xmin=None, xmax=None, bw_factor=1.5):
    """The distribution of the MMD under the null hypothesis, its rejection area, and the observed value.

    mmd_null: (M) values; mmd_observed: a number or None. Returns the Figure."""
    null = as_float64(mmd_null, "mmd_null", (1,))
    if not 0 < alpha_level < 1:
        raise ArgumentError(f"alpha_level must be above 0 and below 1; got {alpha_level}")
    density = _numbers.kde(null, points=400, bw_factor=bw_factor)
    critical = float(np.quantile(null, 1 - alpha_level))
    figure, axis = _pyplot().subplots(1, 1, figsize=(8, 4))
    top = 1.05 * density.density.max()
    height_at = lambda x: float(np.interp(x, density.x, density.density, left=0, right=0)) if truncate_vlines_at_kde else top
    axis.plot(density.x, density.density, color=null_color)
    axis.fill_between(density.x, 0, density.density, color=null_color, alpha=0.25, linewidth=0, label="MMD distribution under the null hypothesis")
    tail = np.concatenate([[critical], density.x[density.x > critical]])
    axis.fill_between(tail, 0, np.interp(tail, density.x, density.density), color=alpha_color, alpha=0.5, linewidth=0,
                      label=f"{_percent(alpha_level)} % rejection area")
    axis.plot([critical, critical], [0, height_at(critical)], color=alpha_color, linestyle="dashed", linewidth=2, label="Critical value")
    if mmd_observed is not None:
        observed = float(mmd_observed)
        axis.plot([observed, observed], [0, height_at(observed)], color=observed_color, linewidth=2, label="Observed MMD")
    axis.set_xlabel("MMD", fontsize=14)
    axis.set_yticks([])
    axis.set_ylim(0, top)
    axis.set_xlim(xmin, xmax)
    axis.spines["left"].set_visible(False)
    _dress(axis, 12)
    axis.legend(fontsize=11)
    figure.tight_layout()
    return figure


def plot_posterior_predictive(predictive, data_set=0, fig_size=None, label_fontsize=16, title_fontsize=18, legend_fontsize=12, tick_fontsize=12,
                              color=RED, n_row=None, n_col=None):
    """A panel per statistic: its distribution in data simulated from the posterior, and the observed value.

    predictive: what `posterior_predictive` returns; `data_set`: which of the B. Returns the Figure."""
    _require_data_set(data_set, len(predictive.observed))
    figure, axes, n_col = _grid(len(predictive.statistics), n_row, n_col, fig_size, 4, "plot_posterior_predictive")
    for k, axis in enumerate(axes):
        values = predictive.simulated[data_set, :, k]
        values = values[np.isfinite(values)]
        density = _numbers.kde(values) if len(values) > 1 else None
        if density is not None and density.bandwidth > 0:
            axis.plot(density.x, density.density, color=color)
            axis.fill_between(density.x, 0, density.density, color=color, alpha=0.3, linewidth=0, label="Simulated")
        else:
            for value in values[:1]:
                axis.axvline(value, color=color, linewidth=3, alpha=0.5, label="Simulated")
        axis.axvline(predictive.observed[data_set, k], color="black", linestyle="dashed", label="Observed")
        p = predictive.p_value[data_set, k]
        axis.set_title(f"{predictive.statistics[k]} ($p$ = {_decimals(p)})", fontsize=title_fontsize)
        axis.set_ylim(bottom=0)
        axis.set_yticks([])
        axis.legend(fontsize=legend_fontsize)
        _dress(axis, tick_fontsize)
    _label(axes, n_col, "Value of the statistic", "Density", label_fontsize)
    figure.tight_layout()
    return figure


def _require_data_set(index, count):
    if not 0 <= index < count:
        raise ArgumentError(f"data_set = {index}; there are data sets 0 to {count - 1}")


def plot_predictive_bands(bands, data_set=0, fig_size=None, label_fontsize=16, title_fontsize=18, legend_fontsize=12, tick_fontsize=12, color=RED,
                          n_row=None, n_col=None, max_panels=12):
    """A panel per variable: quantile bands of simulated data along the first axis of a data set, with the observed data if there are.

    bands: what `pushforward` returns, or `.bands` of `posterior_predictive`. Returns the Figure."""
    _require_data_set(data_set, len(bands.quantiles))
    levels = bands.probabilities
    length = bands.data_shape[0] if bands.data_shape else 1
    quantiles = bands.quantiles[data_set].reshape(len(levels), length, -1)
    observed = bands.observed[data_set].reshape(length, -1) if bands.observed.size else None
    variables = quantiles.shape[-1]
    figure, axes, n_col = _grid(min(variables, max_panels), n_row, n_col, fig_size, 4, "plot_predictive_bands")
    index = np.arange(length)
    for v, axis in enumerate(axes):
        for q in range(len(levels) // 2):
            axis.fill_between(index, quantiles[q, :, v], quantiles[-1 - q, :, v], color=color, alpha=0.25, linewidth=0,
                              label=f"{_percent(levels[-1 - q] - levels[q])} % of simulations")
        if len(levels) % 2:
            axis.plot(index, quantiles[len(levels) // 2, :, v], color=color, label="Median")
        if observed is not None:
            axis.plot(index, observed[:, v], "o", color="black", markersize=3, label="Observed")
        if variables > 1:
            axis.set_title(f"Variable {v + 1}", fontsize=title_fontsize)
        _dress(axis, tick_fontsize)
    axes[0].legend(fontsize=legend_fontsize)
    _label(axes, n_col, "Index in the data set", "Value", label_fontsize)
    if variables > len(axes):
        figure.suptitle(f"The first {len(axes)} of {variables} variables", fontsize=title_fontsize)
    figure.tight_layout()
    return figure


def plot_pushforward(generative_model, parameter_draws=None, funcs_list=None, funcs_labels=None, batch_size=1000, show_raw_sims=True):
    """What the model's data look like: raw simulations (if a data set is one series), and aggregates of them.

    parameter_draws: (n, P); None: `batch_size` draws of the prior. funcs_list: functions of one data set that return a number, by default its
    mean and standard deviation; funcs_labels: a name each. Returns a dictionary "parameter_draws", "simulations", "aggregated_data" (a list per
    function), "functions_used", "function_names", "figures"."""
    if parameter_draws is None:
        forward = generative_model(batch_size)
        draws, data = np.asarray(forward["prior_draws"]), np.asarray(forward["sim_data"])
    else:
        draws = as_float64(parameter_draws, "parameter_draws")
        data = _numbers.simulate_by(generative_model)(draws)
    if funcs_list is None:
        functions, names = [np.mean, np.std], ["Simulation mean", "Simulation standard deviation"]
    else:
        functions = list(funcs_list)
        names = [f"Aggregator function {i + 1}" for i in range(len(functions))]
    if funcs_labels is not None:
        names = _checked(funcs_labels, len(functions), "funcs_labels", "functions")
    aggregated = [[float(function(simulation)) for simulation in data] for function in functions]
    figures = []
    if show_raw_sims and data.ndim == 2:
        side = min(int(np.ceil(np.sqrt(len(data)))), 7)
        count = min(side * side, len(data))
        figure, axes, _ = _grid(count, None, side, (2 * side, 2 * -(-count // side)), 2, "plot_pushforward")
        for axis, simulation in zip(axes, data):
            axis.plot(simulation, color=RED, linewidth=1)
            _dress(axis, 7)
        figure.suptitle(f"{count} simulated data sets", fontsize=14)
        figure.tight_layout()
        figures.append(figure)
    if functions:
        figure, axes, _ = _grid(len(functions), None, 1, (10, 3 * len(functions)), 3, "plot_pushforward")
        for axis, name, values in zip(axes, names, aggregated):
            axis.plot(values, "o-" if len(values) == 1 else "-", color=RED, linewidth=1)
            axis.set_ylabel(name, fontsize=12)
            _dress(axis, 10)
        axes[-1].set_xlabel("Simulation number", fontsize=12)
        figure.tight_layout()
        figures.append(figure)
    return {"parameter_draws": draws, "simulations": data, "aggregated_data": aggregated, "functions_used": functions, "function_names": names,
            "figures": figures}
