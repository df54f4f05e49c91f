"""Numbers of the diagnostics: against formulas, and against cases whose answer is known."""

import json
import threading

import numpy as np
import pytest

import bayesflow_cpp as bf

d = bf.diagnostics


def exact(rng, sets=200, draws=100, params=3, width=1.0, shift=0.0, observations=4):
    """Draws from the exact posterior of a Gaussian mean, or from one that is too narrow or shifted."""
    truths = rng.normal(size=(sets, params))
    mean = (truths + rng.normal(size=truths.shape) / np.sqrt(observations)) * observations / (observations + 1)
    sd = 1 / np.sqrt(observations + 1)
    return (mean + sd * shift)[:, None] + width * sd * rng.normal(size=(sets, draws, params)), truths


@pytest.fixture
def case(rng):
    return exact(rng)


def values(estimates):
    assert all(isinstance(e.standard_error, float) for e in estimates)
    return np.array([e.value for e in estimates])


def test_recovery_equals_the_formulas(case):
    post, truths = case
    out = d.recovery(post, truths, ["a", "b", "c"])
    estimates = np.median(post, axis=1)
    error = estimates - truths
    np.testing.assert_allclose(out.estimates, estimates)
    np.testing.assert_allclose(out.spreads, np.median(np.abs(post - estimates[:, None]), axis=1))
    np.testing.assert_allclose(values(out.r2), 1 - (error**2).sum(0) / ((truths - truths.mean(0)) ** 2).sum(0))
    np.testing.assert_allclose(values(out.r), [np.corrcoef(estimates[:, i], truths[:, i])[0, 1] for i in range(3)])
    np.testing.assert_allclose(values(out.bias), error.mean(0))
    assert out.param_names == ["a", "b", "c"] and 0 < out.r2[0].standard_error < 0.1
    assert float(out.r2[0]) == out.r2[0].value and "±" in repr(out.r2[0])


def test_recovery_takes_functions_of_the_user(case):
    post, truths = case
    out = d.recovery(post, truths, point_agg=np.mean, uncertainty_agg=np.std)
    np.testing.assert_allclose(out.estimates, post.mean(1))
    np.testing.assert_allclose(out.spreads, post.std(1))
    np.testing.assert_allclose(values(out.rmse), np.sqrt(((post.mean(1) - truths) ** 2).mean(0)))
    assert (out.point_name, out.spread_name) == ("mean", "std")
    assert d.recovery(post, truths, uncertainty_agg=None).spreads is None
    with pytest.raises(bf.exceptions.ShapeError, match=r"point_agg must map draws of shape \(200, 100, 3\) to shape \(200, 3\); got \(200, 100\)"):
        d.recovery(post, truths, point_agg=lambda x, axis: x.mean(-1))


def test_z_score_and_contraction_equal_the_formulas(case):
    post, truths = case
    out = d.z_score_contraction(post, truths)
    np.testing.assert_allclose(out.z_score, (post.mean(1) - truths) / post.std(1, ddof=1))
    np.testing.assert_allclose(out.contraction, 1 - post.var(1, ddof=1) / truths.var(0, ddof=1))
    assert abs(out.sd_z_score[0].value - 1) < 0.2


def test_ranks_and_what_is_made_of_them(case):
    post, truths = case
    ranks = (post < truths[:, None]).sum(1)
    np.testing.assert_array_equal(d.sbc_ranks(post, truths).ranks, ranks)
    ecdf = d.sbc_ecdf(post, truths)
    np.testing.assert_array_equal(ecdf.ranks, ranks)
    k = 37
    np.testing.assert_allclose(ecdf.ecdf[:, k], (ranks < ecdf.points[k] * 101 - 1e-9).mean(0))
    assert ecdf.inside == [True, True, True] and all(isinstance(i, bool) for i in ecdf.inside)
    assert ecdf.coverage >= 0.95 and ecdf.band_lower.shape == ecdf.band_upper.shape == ecdf.points.shape
    minus = d.sbc_ecdf(post, truths, difference=True)
    np.testing.assert_allclose(minus.ecdf, ecdf.ecdf - ecdf.points, atol=1e-12)
    histogram = d.sbc_histogram(post, truths, num_bins=10)
    np.testing.assert_array_equal(histogram.counts, [np.histogram(ranks[:, p], bins=histogram.first_rank)[0] for p in range(3)])
    assert histogram.first_rank[0] == 0 and histogram.first_rank[-1] == 101
    coverage = d.coverage(post, truths)
    assert coverage.coverage.shape == (3, 20) and coverage.inside == [True] * 3


def test_faults_are_found_and_named(rng):
    good = d.verdict(*exact(rng))
    assert good.calibrated and good.findings == [] and "calibrated" in good.sentence
    narrow = d.verdict(*exact(rng, width=0.5), param_names=["mu", "tau", "nu"])
    assert not narrow.calibrated and {f.kind for f in narrow.findings} == {"overconfident"}
    first = narrow.findings[0]
    assert first.sentence.split()[0] in ("mu", "tau", "nu") and abs(first.effect.value - 0.5) < 0.1 and first.p_value < 0.01
    assert sorted(f.parameter for f in narrow.findings) == [0, 1, 2]
    assert {f.kind for f in d.verdict(*exact(rng, shift=1.0)).findings} == {"shifted"}
    post, truths = exact(rng)
    post[0, 0, 0] = np.nan
    assert d.verdict(post, truths).findings[0].kind == "non-finite"


def test_joint_test_and_latents(rng):
    post, truths = exact(rng)
    assert d.joint_test(post, truths).passed
    tied = post.copy()
    tied[..., 1] = tied[..., 0]  # right marginals of a wrong joint
    assert not d.joint_test(tied, truths).passed
    z = rng.normal(size=(500, 2))
    out = d.latent_normality(z, ["one", "two"])
    assert out.normal and out.names == ["one", "two"]
    np.testing.assert_allclose(values(out.mean), z.mean(0), atol=1e-12)
    assert not d.latent_normality(z * 1.5).normal


def test_losses_of_tables_and_arrays(rng):
    pd = pytest.importorskip("pandas")
    train = pd.DataFrame({"Loss": rng.normal(size=400), "Summary.Loss": rng.normal(size=400), "W.Decay": rng.normal(size=400)})
    val = pd.DataFrame({"Summary.Loss": [1.0, 2, 3, 4], "Loss": [5.0, 6, 7, 8]})
    out = d.losses(train, val)
    assert out.names == list(train.columns) and out.window == 4
    np.testing.assert_allclose(out.moving_average[50, 0], train["Loss"].iloc[47:51].mean())
    np.testing.assert_array_equal(out.validation_steps, [100, 200, 300, 400])
    np.testing.assert_array_equal(out.validation[:, :2], [[5, 1], [6, 2], [7, 3], [8, 4]])
    assert np.isnan(out.validation[:, 2]).all()
    assert d.losses(np.arange(10.0)).names == ["Loss"]
    assert len(d.losses(np.arange(3.0), np.arange(5.0)).validation_steps) == 5  # more validations than steps
    with pytest.raises(bf.exceptions.ShapeError, match="val_losses has the column 'Total', which train_losses lacks"):
        d.losses(train, pd.DataFrame({"Loss": [1.0], "Total": [2.0]}))


def test_samples(rng):
    x, y = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 2
    far = d.c2st(x, y)
    assert far.accuracy.value > 0.85 and far.fold_accuracy.shape == (5,) and far.p_value < 1e-6
    same = d.mmd(x[:100], x[100:])
    assert same.p_value > 0.01 and d.mmd(x, y).p_value < 0.01 and same.null.shape == (1000,)
    test = d.mmd_hypothesis_test(y[:20], x)
    assert test.misspecified and test.mmd_observed > test.critical_value
    density = d.kde(x[:, 0])
    assert abs(np.trapezoid(density.density, density.x) - 1) < 1e-3 if hasattr(np, "trapezoid") else True
    grid = d.pairs(x, ["a", "b"], truth=[0, 0])
    np.testing.assert_allclose(grid.main.correlation, np.corrcoef(x.T))
    assert grid.reference is None and grid.main.joint(1, 0).density.shape == (100, 100)
    main = d.posterior_2d(x, prior_draws=y).main
    assert main.num_draws == 200  # it keeps what it belongs to alive


def test_model_comparison(rng):
    p = rng.dirichlet(np.ones(3), size=500)
    truth = np.array([rng.choice(3, p=q) for q in p])
    curves = d.calibration_curves(truth, p, ["A", "B", "C"])
    assert curves.model_names == ["A", "B", "C"] and len(curves.curves) == 3 and curves.error[0].value < 0.15
    confusion = d.confusion_matrix(np.eye(3)[truth], p)
    np.testing.assert_array_equal(confusion.counts, [[(p.argmax(1)[truth == i] == j).sum() for j in range(3)] for i in range(3)])
    score = d.log_score(np.array([1.0, 3.0]), log_prior=[0.0, 0.5])
    assert score.mean.value == 2 and score.gain.value == 1.75 and score.worst_data_set == 0
    assert d.log_score([1.0, 2.0]).gain is None


def test_posterior_predictive_with_python_functions(rng):
    post, truths = exact(rng, sets=3)
    observed = truths[:, None] + rng.normal(size=(3, 20, 3))
    simulate = lambda theta: theta[:, None] + rng.normal(size=(len(theta), 20, 3))  # noqa: E731
    out = d.posterior_predictive(post, observed, simulate, {"mean": np.mean, "largest": np.max}, max_draws=50)
    assert out.statistics == ["mean", "largest"] and out.simulated.shape == (3, 50, 2)
    np.testing.assert_allclose(out.observed[:, 0], observed.mean((1, 2)))
    assert out.bands.data_shape == (20, 3) and (out.p_value > 0.001).all()
    assert d.pushforward(post[0], simulate).quantiles.shape == (1, 5, 60)

    def broken(theta):
        raise KeyError("mine")

    with pytest.raises(bf.exceptions.SimulationError, match="simulations 0 to 99 failed: 'mine'") as caught:
        d.posterior_predictive(post, observed, broken)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(bf.exceptions.ConfigurationError, match="simulator must be a Simulator, a GenerativeModel or a batched function"):
        d.posterior_predictive(post, observed, 3)


def test_a_v1_model_is_a_simulator(rng, gaussian_model):
    model = gaussian_model()
    forward = model(5)
    post = forward["prior_draws"][:, None] + 0.1 * rng.normal(size=(5, 30, 4))
    out = d.posterior_predictive(post, forward["sim_data"], model)
    assert out.simulated.shape == (5, 30, 4)


def test_tables_and_files(case, tmp_path):
    pd = pytest.importorskip("pandas")
    out = d.sbc_ecdf(*case)
    tables = out.tables()
    assert list(tables) == ["sbc_ecdf", "sbc_ecdf_verdicts"] and isinstance(tables["sbc_ecdf"], pd.DataFrame)
    np.testing.assert_array_equal(tables["sbc_ecdf_verdicts"]["p_value"], out.p_value)
    out.to_csv(str(tmp_path / "new" / "folder"))
    read = pd.read_csv(tmp_path / "new" / "folder" / "sbc_ecdf.csv")
    np.testing.assert_allclose(read.select_dtypes("number"), tables["sbc_ecdf"].select_dtypes("number"), rtol=1e-15)
    assert list(json.loads(out.to_json())) == list(tables)
    out.to_json(str(tmp_path / "all.json"))
    assert json.loads((tmp_path / "all.json").read_text()) == json.loads(out.to_json())
    h5py = pytest.importorskip("h5py")
    out.to_hdf5(str(tmp_path / "all.h5"))
    with h5py.File(tmp_path / "all.h5") as file:
        np.testing.assert_array_equal(file["sbc_ecdf_verdicts/p_value"], out.p_value)
    with pytest.raises(bf.exceptions.IoError, match="missing"):
        out.to_hdf5(str(tmp_path / "missing" / "all.h5"))


def test_inputs_of_other_kinds(case):
    post, truths = case
    want = d.sbc_ranks(post, truths).ranks
    np.testing.assert_array_equal(d.sbc_ranks(post.tolist(), truths.tolist()).ranks, want)
    np.testing.assert_array_equal(d.sbc_ranks(np.asfortranarray(post), truths).ranks, want)
    frozen = post.astype(np.float32)
    frozen.flags.writeable = False
    assert d.sbc_ranks(frozen, truths.astype(np.float32)).ranks.shape == want.shape


@pytest.mark.parametrize("function", [d.recovery, d.z_score_contraction, d.sbc_ranks, d.sbc_histograms, d.sbc_ecdf, d.coverage, d.verdict, d.joint_test])
def test_bad_input_is_told(function, case):
    post, truths = case
    with pytest.raises(bf.exceptions.ShapeError, match=r"post_samples must have 3 axes \(data sets, draws, parameters\); got shape \(200, 3\)"):
        function(truths, truths)
    with pytest.raises(bf.exceptions.ShapeError, match="200"):
        function(post, truths[:-1])
    with pytest.raises(bf.exceptions.ConfigurationError, match="real numbers"):
        function(post.astype(complex), truths)
    if function is not d.verdict:
        post[3, 2, 1] = np.inf
        with pytest.raises(bf.exceptions.ArgumentError, match="inf"):
            function(post, truths)


def test_bad_options_are_told(case):
    with pytest.raises(ValueError, match="confidence"):
        d.sbc_ecdf(*case, confidence=1.5)
    with pytest.raises(bf.exceptions.ConfigurationError, match="1 names for 3"):
        d.recovery(*case, param_names=["one"])
    with pytest.raises(bf.exceptions.ArgumentError, match="kernel must be"):
        d.mmd(np.zeros((3, 1)), np.ones((3, 1)), kernel="linear")


def test_python_runs_while_numbers_are_computed(rng):
    """The GIL is released: another thread gets on with its work during one long call."""
    post, truths = exact(rng, sets=300, draws=300, params=10)
    d.verdict(post[:60], truths[:60])
    ticks, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            ticks[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before = ticks[0]
        d.verdict(post, truths, threads=1)
        during = ticks[0] - before
    finally:
        stop.set()
        thread.join()
    assert during > 1000


def test_float32_draws_are_taken_as_they_are(rng):
    """What `sample` returns, in any layout, gives the numbers that its float64 copy gives."""
    draws, truths = rng.normal(size=(60, 40, 3)).astype(np.float32), rng.normal(size=(60, 3))
    for layout in (draws, np.asfortranarray(draws), draws[:, ::2], draws[::-1]):
        for numbers in (bf.diagnostics.recovery, bf.diagnostics.z_score_contraction, bf.diagnostics.sbc_ecdf):
            a, b = (numbers(x, truths).to_json() for x in (layout, layout.astype(np.float64)))
            assert a == b
    by_hand = bf.diagnostics.recovery(draws, truths, point_agg=lambda x, axis: np.median(x, axis=axis))
    np.testing.assert_array_equal(by_hand.estimates, np.median(draws.astype(np.float64), axis=1))


def halves(rng, sets=200, used=10):
    """Draws of the exact posterior given the first `used` of 20 observations."""
    truths = rng.normal(size=(sets, 2))
    x = rng.normal(truths[:, None], 1, size=(sets, 20, 2))
    mean, sd = x[:, :used].sum(1) / (used + 1), 1 / np.sqrt(used + 1)
    return mean[:, None] + sd * rng.normal(size=(sets, 100, 2)), truths, x


def test_verdict_with_data(rng):
    draws, truths, x = halves(rng, used=4)
    assert d.verdict(draws, truths).conditional is None
    for data in (x, {"summary_conditions": x.astype(np.float32), "direct_conditions": None, "parameters": truths}):
        v = d.verdict(draws, truths, data=data)
        assert v.severity == "overwhelming" and v.nats > 0.8 and {f.kind for f in v.findings} == {"data not used"}
        assert v.conditional.p_value < 0.01 and v.conditional.aspects[0].aspect == "location"
        assert all(0.7 < p.share < 0.95 for p in v.conditional.parameters)
        assert {"conditional_calibration", "learnable"} <= set(v.tables())
    passed = 0
    for seed in range(8):  # each passes with a probability of 0.95
        exact, truths, x = halves(np.random.default_rng(seed), used=20)
        passed += d.verdict(exact, truths, data=x, summaries=x.mean(1)).severity == "none"
    assert passed >= 6
    with pytest.raises(bf.exceptions.ShapeError, match="summary_conditions of the data must have shape"):
        d.verdict(exact, truths, data=x[:9])
    with pytest.raises(bf.exceptions.ConfigurationError, match="must hold .summary_conditions. or .direct_conditions."):
        d.verdict(exact, truths, data={"sim_data": x})
    local = d.lc2st(exact[:150], truths[:150], x[:150], exact[150:155], x[150:155], num_null=9)
    assert local.p_value.shape == (5,) and local.null.shape == (9, 5)
    assert local.ecdf.shape == local.band_lower.shape == (5, 101) and np.all(local.ecdf[:, -1] == 1) and np.all(local.band_lower <= local.band_upper)
    assert local.confidence == 0.95 and {"lc2st", "lc2st_ecdf"} == set(local.tables())


def within_band(alarms):
    """Of 200 tests of level 0.05: as many false alarms as 999 of 1,000 such series have at most, and some."""
    return 2 <= alarms <= 20


def test_tarp_has_its_level_and_finds_faults(rng):
    assert within_band(sum(not d.tarp(*exact(rng, 100, 49), seed=seed).inside for seed in range(200)))
    post, truths = exact(rng, 300, width=0.6)
    out = d.tarp(post, truths)
    assert out.p_value < 1e-4 and out.upper_excess.value < 0 and {"tarp", "tarp_verdict"} == set(out.tables())
    # The formula, of given points.
    references = rng.normal(size=truths.shape)
    spans = np.ptp(truths, axis=0)
    distance = lambda x: np.sqrt((((x - references[:, None]) / spans) ** 2).sum(-1))
    ranks = (distance(post) < distance(truths[:, None])).sum(1)
    np.testing.assert_array_equal(d.tarp(post, truths, references).ranks, ranks)
    with pytest.raises(bf.exceptions.ShapeError, match=r"tarp: references must have shape \(300, 3\)"):
        d.tarp(post, truths, references[:5])


def test_quantities_have_their_level_and_find_what_parameters_do_not_show(rng):
    def log_likelihood(theta, x):
        return -0.5 * ((x - theta[:, None]) ** 2).sum((1, 2))

    def impossible(theta, x):
        return np.where(theta[:, 0] > 0, 0.0, -np.inf)

    alarms = np.zeros(2)
    for seed in range(200):
        truths = rng.normal(size=(100, 2))
        x = truths[:, None] + rng.normal(size=(100, 4, 2))
        post = x.mean(1)[:, None] * 0.8 + rng.normal(size=(100, 49, 2)) / np.sqrt(5)
        q = d.sbc_quantities(post, truths, {"log-likelihood": log_likelihood, "impossible": impossible}, x)
        alarms += ~np.array(d.sbc_ecdf(q.post_samples, q.prior_samples, q.param_names, seed=seed).inside)
    assert within_band(alarms[0]) and within_band(alarms[1])
    prior = rng.normal(size=(100, 49, 2))
    assert min(d.sbc_ecdf(prior, truths).p_value) > 0.01
    q = d.sbc_quantities(prior, truths, {"log-likelihood": lambda theta, data: log_likelihood(theta, data["x"])}, {"x": x})
    assert d.sbc_ecdf(*q).p_value[0] < 1e-4 and q.param_names == ["log-likelihood"]
    for functions, kind, words in [
        ({}, bf.exceptions.ConfigurationError, "quantities must be a dictionary of functions"),
        ({"mean": lambda theta, x: theta.mean()}, bf.exceptions.ShapeError, "mean must return 50 numbers for parameters of shape"),
        ({"log": lambda theta, x: np.full(len(theta), np.nan)}, bf.exceptions.ArgumentError, "log is NaN for data set 0"),
    ]:
        with pytest.raises(kind, match=words):
            d.sbc_quantities(post, truths, functions, x)


def two_levels(rng, sets=100, draws=49, width=1.0, groups=4):
    """Exact draws of mu ~ N(0, 1), theta_g ~ N(mu, 1), two observations N(theta_g, 1); the last group of every other data set is not there."""
    mu = rng.normal(size=(sets, 1))
    theta = mu[..., None] + rng.normal(size=(sets, groups, 1))
    there = np.ones((sets, groups, 1))
    there[::2, -1] = 0
    mean = theta + rng.normal(size=theta.shape) / np.sqrt(2)
    precision = 1 + there.sum((1, 2)) / 1.5
    drawn = ((mean * there).sum((1, 2)) / 1.5 / precision)[:, None] + rng.normal(size=(sets, draws)) / np.sqrt(precision)[:, None]
    local = (drawn[:, None] + 2 * mean) / 3 + width * rng.normal(size=(sets, groups, draws)) / np.sqrt(3)
    local[::2, -1] = np.nan
    return {"global_samples": drawn[..., None], "local_samples": local[..., None]}, {"hyper_parameters": mu, "local_parameters": theta}


def test_two_levels_have_their_level_and_the_wrong_one_is_found(rng):
    sbcs = [d.two_level_sbc(*two_levels(rng), seed=seed) for seed in range(200)]
    assert within_band(sum(not s.global_level.inside[0] for s in sbcs)) and within_band(sum(not s.local_level.inside[0] for s in sbcs))
    draws, truths = two_levels(rng, 300, 99, width=0.5)
    out = d.two_level_sbc(draws, truths, ["mu"], ["theta"])
    assert out.local_level.p_value[0] < 1e-3 and out.global_level.p_value[0] > 1e-3
    assert out.global_level.param_names == ["mu"] and out.local_ranks.param_names == ["theta"]
    recovered = d.two_level_recovery(draws, truths)
    assert recovered.local_level.truths.shape == (150 * 7, 1) and recovered.global_level.truths.shape == (300, 1)
    assert recovered.local_level.param_names == ["local_1"] and recovered.global_level.param_names == ["hyper_1"]
    assert {"global_recovery", "local_recovery", "local_groups"} < set(recovered.tables())
    with pytest.raises(bf.exceptions.ConfigurationError, match="draws must be what TwoLevelAmortizedPosterior.sample returns"):
        d.two_level_sbc(draws["global_samples"], truths)


def test_report_with_data(rng):
    draws, truths, x = halves(rng, used=4)
    assert "much of what the data say is lost" in bf.report(draws, truths, data=x).html
    assert "because the data were not given" in bf.report(draws, truths).html


MASKED = np.ma.masked_array(np.full((40, 9, 2), 777.0, dtype=np.float32), mask=np.arange(720).reshape(40, 9, 2) % 7 == 0)


@pytest.mark.parametrize("name", ["verdict", "recovery", "sbc_ecdf", "sbc_histograms", "z_score_contraction", "plot_recovery"])
def test_masked_float32_draws_are_refused(name):
    with pytest.raises(bf.exceptions.ConfigurationError, match="103 masked values; fill them in"):
        getattr(d, name)(MASKED, np.zeros((40, 2)))
