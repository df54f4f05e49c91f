"""Figures: the panels that v1 draws, none of them empty, from the library's own numbers."""

import subprocess
import sys

import numpy as np
import pytest

import bayesflow_cpp as bf

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")
pd = pytest.importorskip("pandas")
d = bf.diagnostics


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def case(rng, params=3, sets=60, draws=50):
    truths = rng.normal(size=(sets, params))
    return truths[:, None] * 0.9 + 0.3 * rng.normal(size=(sets, draws, params)), truths


def check(figure, panels):
    """It is a figure with so many panels, each with something in it that can be seen."""
    assert isinstance(figure, plt.Figure)
    assert len(figure.axes) == panels
    figure.set_dpi(25)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    height = len(pixels)
    for axis in figure.axes:
        assert axis.lines or axis.collections or axis.patches or axis.images
        box = axis.get_window_extent()
        inside = pixels[height - int(box.y1) + 1 : height - int(box.y0) - 1, int(box.x0) + 1 : int(box.x1) - 1]
        assert inside.size and (inside.max((0, 1)) - inside.min((0, 1))).max() > 60
    return figure


PER_PARAMETER = [d.plot_recovery, d.plot_z_score_contraction, d.plot_sbc_ecdf, d.plot_sbc_histograms, d.plot_coverage]


@pytest.mark.parametrize("function", PER_PARAMETER)
@pytest.mark.parametrize("params", [1, 7])
def test_a_panel_per_parameter_and_none_empty(function, params, rng):
    figure = check(function(*case(rng, params)), params)
    assert figure.axes[0].get_title() == r"$\theta_{1}$"
    # y labels in the first column, x labels where nothing is beneath.
    columns = 4 if params == 7 else 1
    assert [bool(a.get_ylabel()) for a in figure.axes] == [i % columns == 0 for i in range(params)]
    assert [bool(a.get_xlabel()) for a in figure.axes] == [i + columns >= params for i in range(params)]


@pytest.mark.parametrize("function", PER_PARAMETER)
def test_one_column_own_names_and_impossible_grids(function, rng):
    figure = check(function(*case(rng), param_names=["a", "b", "c"], n_col=1), 3)
    assert [a.get_title() for a in figure.axes] == ["a", "b", "c"]
    with pytest.raises(bf.exceptions.ArgumentError, match="no room for 3 panels"):
        function(*case(rng), n_row=1, n_col=2)
    with pytest.raises(bf.exceptions.ConfigurationError, match="param_names has 2 names for 3 parameters"):
        function(*case(rng), param_names=["a", "b"])
    with pytest.raises(bf.exceptions.ShapeError, match="post_samples must have 3 axes"):
        function(np.zeros((3, 2)), np.zeros((3, 2)))


def test_recovery_shows_the_numbers(rng):
    post, truths = case(rng)
    figure = d.plot_recovery(post, truths)
    numbers = d.recovery(post, truths)
    axis = figure.axes[1]
    assert [t.get_text() for t in axis.texts] == [f"$R^2$ = {numbers.r2[1].value:.3f}", f"$r$ = {numbers.r[1].value:.3f}"]
    points = next(line for line in axis.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(points.get_ydata(), numbers.estimates[:, 1])
    assert axis.get_xlim() == axis.get_ylim()
    plain = check(d.plot_recovery(post, truths, uncertainty_agg=None, add_corr=False, add_r2=False, xlabel="X", s=5), 3)
    assert not plain.axes[0].texts and plain.axes[0].get_xlabel() == "X"


def test_sbc_figures_show_the_numbers(rng):
    post, truths = case(rng)
    numbers = d.sbc_ecdf(post, truths, difference=True)
    figure = check(d.plot_sbc_ecdf(post, truths, difference=True), 3)
    np.testing.assert_array_equal(figure.axes[2].lines[0].get_ydata(), numbers.ecdf[2])
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["Rank ECDF", "95 % Confidence Bands"]
    stacked = check(d.plot_sbc_ecdf(post, truths, stacked=True, ecdf_bands_kwargs={"confidence": 0.57, "num_simulations": 10}), 1)
    assert len(stacked.axes[0].lines) == 3
    assert "57 % Confidence Bands" in [t.get_text() for t in stacked.axes[0].get_legend().get_texts()]  # v1: 56 %
    with pytest.raises(bf.exceptions.ConfigurationError, match="ecdf_bands_kwargs holds 'width'"):
        d.plot_sbc_ecdf(post, truths, ecdf_bands_kwargs={"width": 1})
    histogram = d.plot_sbc_histograms(post, truths, num_bins=5)
    heights = [p.get_height() for p in histogram.axes[0].patches]
    np.testing.assert_array_equal(heights, d.sbc_histograms(post, truths, num_bins=5).counts[0])
    check(d.plot_sbc_histograms(*case(rng, sets=20, draws=100)), 3)  # fewer data sets than draws: no bins in v1


def test_negative_contraction_stays_in_the_picture(rng):
    post, truths = case(rng)
    axis = d.plot_z_score_contraction(truths[:, None] + 3 * rng.normal(size=post.shape), truths).axes[0]
    assert axis.get_xlim()[0] < axis.collections[0].get_offsets()[:, 0].min()


def test_losses(rng):
    train = pd.DataFrame({"Loss": rng.normal(size=300), "Summary.Loss": rng.normal(size=300)})
    val = pd.DataFrame({"Loss": [1.0, 0.5, 0.2], "Summary.Loss": [0.1, 0.1, 0.1]})
    figure = check(d.plot_losses(train, val, moving_average=True), 2)
    assert [a.get_title() for a in figure.axes] == ["Loss", "Summary.Loss"]
    for axis in figure.axes:
        assert [t.get_text() for t in axis.get_legend().get_texts()] == ["Training", "Training (Moving Average)", "Validation"]
    np.testing.assert_array_equal(figure.axes[0].lines[2].get_xdata(), [100, 200, 300])
    # A column of another name has its average too, and more validations than steps are drawn.
    other = check(d.plot_losses(pd.DataFrame({"Default.Loss": [3.0, 2.0]}), pd.DataFrame({"Default.Loss": [3.0, 2.0, 1.0]}), moving_average=True), 1)
    assert len(other.axes[0].lines) == 3
    assert check(d.plot_losses(np.arange(9.0)), 1).axes[0].get_legend() is None


class Prior:
    param_names = ["a", "b", "c"]

    def __init__(self, rng):
        self.rng = rng

    def __call__(self, n):
        return {"prior_draws": self.rng.normal(size=(n, 3))}


def test_pair_grids(rng):
    draws = 0.2 * rng.normal(size=(200, 3))
    plain = check(d.plot_posterior_2d(draws), 6)
    assert not plain.legends
    prior = Prior(rng)
    both = check(d.plot_posterior_2d(draws, prior=prior, truth=[0, 0, 0]), 6)
    assert [t.get_text() for t in both.legends[0].get_texts()] == ["Posterior", "Prior"]
    assert [a.get_xlabel() for a in both.axes[-3:]] == ["a", "b", "c"]
    # The prior is wider, so the panels are.
    assert np.ptp(both.axes[-1].get_xlim()) > 2 * np.ptp(plain.axes[-1].get_xlim())
    check(d.plot_posterior_2d(draws, prior_draws=rng.normal(size=(50, 3))), 6)
    assert check(d.plot_prior2d(prior, n_samples=100), 9).axes[-1].get_xlabel() == "Prior c"
    assert check(d.plot_prior2d(lambda n: {"prior_draws": rng.normal(size=(n, 1))}), 1).axes[0].get_xlabel() == "Prior Param. 1"
    assert check(d.plot_latent_space_2d(rng.normal(size=(100, 2)).astype(np.float32)), 4).axes[-1].get_xlabel() == "Latent Dim. 2"
    with pytest.raises(bf.exceptions.ShapeError, match=r"posterior_draws must have shape \(draws, parameters\).*posterior_draws\[0\]"):
        d.plot_posterior_2d(draws[None])


def test_parameters_that_never_vary_are_drawn(rng):
    draws = rng.normal(size=(100, 2))
    draws[:, 1] = 3
    assert isinstance(d.plot_posterior_2d(draws), plt.Figure)
    d.plot_latent_space_2d(draws).canvas.draw()


def test_model_comparison(rng):
    p = rng.dirichlet(np.ones(7), size=400)
    truth = np.array([rng.choice(7, p=q) for q in p])
    figure = check(d.plot_calibration_curves(np.eye(7)[truth], p), 7)
    assert "ECE" in figure.axes[0].texts[0].get_text() and figure.axes[0].get_title() == "$M_{1}$"
    # A model that never occurs.
    p, truth = p[:, :3] / p[:, :3].sum(1, keepdims=True), np.minimum(truth, 1)
    matrix = check(d.plot_confusion_matrix(truth, p, ["A", "B", "C"], xtick_rotation=45, ytick_rotation=30), 2)
    texts = [t.get_text() for t in matrix.axes[0].texts]
    want = d.confusion_matrix(truth, p).normalized
    assert texts == ["–" if np.isnan(v) else f"{v:.2f}" for v in want.ravel()]
    counts = d.plot_confusion_matrix(np.eye(3)[truth], p, normalize=False, title=False)
    assert sum(int(t.get_text()) for t in counts.axes[0].texts) == 400 and counts.axes[0].get_title() == ""


def test_mmd(rng):
    null = rng.gamma(4, size=200)
    figure = check(d.plot_mmd_hypothesis_test(null, 20.0, alpha_level=0.29), 1)
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert "29 % rejection area" in labels and "Observed MMD" in labels  # v1: 28 %
    critical = next(line for line in figure.axes[0].lines if line.get_label() == "Critical value")
    assert critical.get_xdata()[0] == pytest.approx(np.quantile(null, 0.71))
    without = check(d.plot_mmd_hypothesis_test(null, truncate_vlines_at_kde=True, xmin=0, xmax=15), 1)
    assert "Observed MMD" not in [t.get_text() for t in without.axes[0].get_legend().get_texts()]
    assert without.axes[0].get_xlim() == (0, 15)
    cut_off = d.plot_mmd_hypothesis_test(np.maximum(rng.normal(size=100), 0), 1.0)  # as Trainer.mmd_hypothesis_test returns it
    assert cut_off.axes[0].lines[0].get_xdata().min() == 0
    with pytest.raises(bf.exceptions.ArgumentError, match="alpha_level must be above 0"):
        d.plot_mmd_hypothesis_test(null, alpha_level=5)


def test_predictive_checks(rng):
    post, truths = case(rng, sets=2)
    simulate = lambda theta: theta[:, None] + rng.normal(size=(len(theta), 12, 3))  # noqa: E731
    numbers = d.posterior_predictive(post, simulate(truths), simulate)
    figure = check(d.plot_posterior_predictive(numbers, data_set=1), 4)
    assert figure.axes[0].get_title() == f"mean ($p$ = {numbers.p_value[1, 0]:.3f})"
    check(d.plot_predictive_bands(numbers.bands), 3)
    check(d.plot_predictive_bands(numbers.bands, max_panels=2), 2)
    with pytest.raises(bf.exceptions.ArgumentError, match="there are data sets 0 to 1"):
        d.plot_posterior_predictive(numbers, data_set=2)


def test_pushforward(rng):
    model = lambda n: {"prior_draws": rng.normal(size=(n, 2)), "sim_data": rng.normal(size=(n, 15))}  # noqa: E731
    out = d.plot_pushforward(model, batch_size=10)
    assert list(out)[:5] == ["parameter_draws", "simulations", "aggregated_data", "functions_used", "function_names"]
    check(out["figures"][0], 10)
    check(out["figures"][1], 2)
    one = d.plot_pushforward(model, batch_size=1, funcs_list=[np.max])
    assert one["function_names"] == ["Aggregator function 1"] and one["aggregated_data"] == [[one["simulations"].max()]]


def test_sensitivity():
    first, second = {"name": "mu", "well_specified_value": 0}, {"name": "tau", "well_specified_value": 1}
    x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(0, 2, 4), indexing="ij")
    for name, title in (("posterior_error", "Posterior Error"), ("summary_mmd", "Summary MMD")):
        figure = check(bf.sensitivity.plot_model_misspecification_sensitivity({"P1": x, "P2": y, "values": x**2 + y, "name": name}, first, second), 2)
        assert figure.axes[1].get_ylabel() == title and figure.axes[0].get_xlabel() == "mu"
        np.testing.assert_array_equal(np.asarray(figure.axes[0].collections[0].get_array()).reshape(4, 5), (x**2 + y).T)
    with pytest.raises(NotImplementedError, match="posterior_error"):
        bf.sensitivity.plot_model_misspecification_sensitivity({"P1": x, "P2": y, "values": x, "name": "other"}, first, second)


def test_forty_parameters(rng):
    check(d.plot_sbc_histograms(*case(rng, 40)), 40)
    assert len(d.plot_posterior_2d(rng.normal(size=(60, 14))).axes) == 105


def test_importing_the_package_imports_no_plotting():
    code = "import sys, bayesflow_cpp; print([m for m in ('matplotlib', 'pandas', 'tqdm') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_figures_of_whole_posteriors_and_of_two_levels(rng):
    post, truths = case(rng)
    figure = check(d.plot_tarp(post, truths), 1)
    assert figure.axes[0].get_ylabel() == "Expected coverage"
    x = truths[:, None] + rng.normal(size=(60, 4, 3))
    test = d.lc2st(post[:50], truths[:50], x[:50], post[50:], x[50:], num_null=5, hidden_units=4, max_epochs=5)
    check(d.plot_lc2st(test), 10)
    assert check(d.plot_lc2st(test, data_sets=[3]), 1).axes[0].get_title().startswith("Data set 3: ")
    with pytest.raises(bf.exceptions.ArgumentError, match="plot_lc2st: data_sets has 10; there are data sets 0 to 9"):
        d.plot_lc2st(test, data_sets=[10])
    draws = {"global_samples": post, "local_samples": np.stack([post[..., :2], post[..., 1:]], 1)}
    inputs = {"hyper_parameters": truths[:, :2], "shared_parameters": truths[:, 2:], "local_parameters": np.stack([truths[:, :2], truths[:, 1:]], 1)}
    figure = check(d.plot_two_level_recovery(draws, inputs), 5)
    assert [a.get_title() for a in figure.axes] == ["hyper_1", "hyper_2", "shared_1", "local_1", "local_2"]
    assert figure.axes[3].get_position().y1 < figure.axes[0].get_position().y0
    check(d.plot_two_level_sbc(draws, inputs, global_names=["a", "b", "c"], difference=True), 5)


def test_bands_of_series_have_times_and_names(rng):
    series = lambda theta: theta[:, None, :1] * np.linspace(0, 1, 12)[None, :, None] * [1, 3]
    draws = rng.normal(size=(1, 50, 1))
    bands = d.posterior_predictive(draws, series(draws[0])[:1], series).bands
    figure = check(d.plot_predictive_bands(bands, times=np.arange(2000, 2012), variable_names=["cases", "deaths"]), 2)
    assert figure.axes[0].get_xlim()[0] > 1990 and figure.axes[0].get_xlabel() == "Time"
    assert [a.get_title() for a in figure.axes] == ["cases", "deaths"]
    with pytest.raises(bf.exceptions.ShapeError, match="times has 3 numbers; a data set has 12 along its first axis"):
        d.plot_predictive_bands(bands, times=[1, 2, 3])
