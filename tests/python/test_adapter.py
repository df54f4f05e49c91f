"""Adapters: raw data in, draws and densities in the user's units out."""

import copy
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError

NAMES = ["p", "sigma"]


def prior(rng):
    return np.array([rng.uniform(), np.exp(0.5 * rng.normal())])


def simulator(theta, rng):
    return 1000 + 100 * (theta[0] + theta[1] * rng.normal(size=(5, 1)))


def model():
    return bf.simulation.GenerativeModel(
        bf.simulation.Prior(prior_fun=prior, param_names=NAMES), bf.simulation.Simulator(simulator_fun=simulator), skip_test=True
    )


def adapter():
    return bf.Adapter(pilot=200).bounds(columns="p", lower=0, upper=1).log(columns="sigma").standardize().standardize("sim_data")


def networks():
    return bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(summary_dim=4)


@pytest.fixture(scope="module")
def trained():
    amortizer = bf.amortizers.AmortizedPosterior(*networks(), adapter=adapter())
    trainer = bf.trainers.Trainer(amortizer, model(), seed=3, threads=1, progress=False)
    trainer.train_online(2, 30, 16)
    return amortizer, trainer


def test_draws_are_in_the_users_units_and_within_the_support(trained):
    amortizer, trainer = trained
    data = model()(20)
    draws = amortizer.sample({"sim_data": data["sim_data"]}, 200, seed=1)
    assert draws.shape == (20, 200, 2) and draws.dtype == np.float64
    assert ((draws[..., 0] > 0) & (draws[..., 0] < 1) & (draws[..., 1] > 0)).all()
    np.testing.assert_array_equal(amortizer.sample(data["sim_data"], 200, seed=1), draws)
    np.testing.assert_array_equal(amortizer.sample({"obs_data": data["sim_data"]}, 200, seed=1), draws)
    configured = trainer.configurator(data)
    by_hand = amortizer.adapter.inverse(amortizer.sample(configured, 200, seed=1), data)
    np.testing.assert_array_equal(by_hand, draws)
    assert amortizer.sample(data["sim_data"][:1], 7).shape == (7, 2)


def test_densities_are_those_of_the_users_units(trained):
    amortizer, trainer = trained
    data = model()(20)
    density = amortizer.log_prob(data)
    np.testing.assert_allclose(density, amortizer.log_prob(trainer.configurator(data)) + amortizer.adapter.log_det(data), rtol=1e-6)
    outside = {**data, "prior_draws": data["prior_draws"] + [1.0, 0.0]}
    assert (amortizer.log_prob(outside) == -np.inf).all()


def test_files_pickles_and_copies_hold_it(trained, tmp_path):
    amortizer, _ = trained
    amortizer.save(tmp_path / "model.h5")
    data = model()(3)["sim_data"]
    want = amortizer.sample(data, 50, seed=2)
    for other in (bf.load_amortizer(tmp_path / "model.h5"), pickle.loads(pickle.dumps(amortizer))):
        assert other.adapter == amortizer.adapter
        np.testing.assert_array_equal(other.sample(data, 50, seed=2), want)
    assert pickle.loads(pickle.dumps(amortizer.adapter)) == amortizer.adapter == copy.copy(amortizer.adapter)


def test_by_itself_it_is_a_configurator():
    data = model()(100)
    a = adapter().fit(data, NAMES)
    made = a(data)
    assert sorted(made) == ["parameters", "summary_conditions"] and made["parameters"].dtype == np.float32
    np.testing.assert_allclose(made["parameters"].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(made["summary_conditions"].std(axis=(0, 1)), 1, atol=1e-5)
    np.testing.assert_allclose(a.inverse(made["parameters"], data), data["prior_draws"], rtol=1e-5, atol=1e-6)
    assert bf.Adapter.from_json(a.to_json()) == a
    assert "1. bounds of prior_draws, column 0 (p)" in repr(a)


def test_without_steps_it_changes_nothing():
    data = model()(5)
    made, plain = bf.Adapter().fit(data)(data), bf.configuration.DefaultPosteriorConfigurator()(data)
    for role in made:
        np.testing.assert_array_equal(made[role], plain[role])


def test_constant_columns_are_named():
    data = model()(50)
    data["sim_data"] = np.concatenate([data["sim_data"], np.full((50, 5, 1), 7.0)], axis=-1)
    a = bf.Adapter().standardize("sim_data").fit(data)
    assert a.notes == [
        "Adapter: step 1 (standardize of sim_data): column 1 is always 7 in the first simulations, so that it is shifted and not divided by anything: "
        "it tells nothing if it stays so."
    ]


def test_bounds_from_data_and_arrays():
    rng = np.random.default_rng(1)
    highest = rng.uniform(1, 5, 40)
    draws = np.stack([rng.uniform(0, highest), rng.uniform(-1, 1, 40)], axis=-1)
    data = {"prior_draws": draws, "sim_data": rng.normal(size=(40, 3, 1)), "sim_batchable_context": highest}
    a = bf.Adapter().bounds(columns=0, lower=0, upper=("sim_batchable_context", 0)).bounds(columns=1, lower=[-1], upper=[1], interval="logit").fit(data)
    back = a.inverse(5 * rng.normal(size=(40, 100, 2)), data)
    assert (back[..., 0] < highest[:, None]).all() and (back[..., 0] > 0).all() and (abs(back[..., 1]) < 1).all()
    one_sided = bf.Adapter().bounds(lower=[None, -np.inf], upper=[6, 1.0]).fit(data)
    assert (one_sided.inverse(50 * rng.normal(size=(40, 10, 2)), data) < [6, 1]).all()


def test_the_trainer_reports_draws_outside_of_bounds():
    amortizer = bf.amortizers.AmortizedPosterior(*networks(), adapter=bf.Adapter().bounds(columns="sigma", lower=0, upper=1.1))
    with pytest.raises(ArgumentError, match=r"step 1 \(bounds of prior_draws\): column 1 \(sigma\) = .* it must be between 0 and 1.1"):
        bf.trainers.Trainer(amortizer, model(), seed=3, threads=1, progress=False)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: bf.Adapter().bounds(), "it has no bounds"),
        (lambda: bf.Adapter().bounds(lower=1, upper=0), "is not below the upper bound"),
        (lambda: bf.Adapter().bounds(lower="x", interval="tanh"), "interval must be one of 'probit', 'logit', 'barrier'"),
        (lambda: bf.Adapter().bounds(lower=("sim_data", 0, 1)), r'must be numbers, or \("field", column\)'),
        (lambda: bf.Adapter().log(columns=1.5), "columns must be a number or the name"),
        (lambda: bf.Adapter().log(3), "the field must be a text"),
        (lambda: bf.Adapter().standardize(robust="yes"), "robust must be"),
        (lambda: bf.Adapter().standardize(std=0), "a scale is 0"),
        (lambda: bf.Adapter(pilot=1), "pilot"),
        (lambda: bf.Adapter().log(columns="tau").fit(model()(5), NAMES), 'no column "tau"; there are p, sigma'),
        (lambda: bf.Adapter.from_json("{}"), "the text is no adapter"),
        (lambda: bf.Adapter()(model()(3)), "it is not fitted yet"),
        (lambda: bf.amortizers.AmortizedPosterior(*networks(), adapter="standardize"), "adapter must be an Adapter or None"),
    ],
)
def test_wrong_uses_end_in_sentences(make, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        make()


def test_configurators_and_memories_go_without_it():
    amortizer = bf.amortizers.AmortizedPosterior(*networks(), adapter=adapter())
    for arguments in ({"configurator": lambda forward: forward}, {"memory": True}):
        with pytest.raises(ConfigurationError, match="the amortizer has an adapter, which takes the place of a configurator"):
            bf.trainers.Trainer(amortizer, model(), progress=False, **arguments)


def test_raw_data_need_an_adapter():
    amortizer = bf.amortizers.AmortizedPosterior(*networks())
    with pytest.raises(bf.exceptions.SummaryStatsError, match="goes through trainer.configurator first"):
        amortizer.sample({"sim_data": np.zeros((1, 5, 1))}, 3)


def test_steps_of_vectors_and_fields_go_both_ways():
    rng = np.random.default_rng(3)
    n = 40
    shares, knots = rng.dirichlet([1.0, 2.0, 3.0], n), np.sort(rng.normal(size=(n, 2)), axis=-1)
    group = rng.integers(0, 3, n).astype(float)
    data = rng.normal(size=(n, 4))
    data[5, 2] = np.nan
    forward = {"shares": shares, "knots": knots, "group": group, "sim_data": data}
    a = bf.Adapter().simplex("shares").ordered("knots").join(["shares", "knots"], "prior_draws").standardize()
    a.as_set().standardize("sim_data").fill_missing().one_hot("group").rename("group", "direct_conditions")
    made = a.fit(forward)(forward)
    assert made["parameters"].shape == (n, 4) and made["summary_conditions"].shape == (n, 4, 2) and made["direct_conditions"].shape == (n, 3)
    assert np.isfinite(made["summary_conditions"]).all() and made["summary_conditions"][5, 2].tolist() == [0, 1]
    np.testing.assert_allclose(a.inverse(made["parameters"], forward), np.hstack([shares, knots]), rtol=1e-5, atol=1e-6)
    draws = a.inverse(3 * rng.normal(size=(n, 50, 4)), forward)
    np.testing.assert_allclose(draws[..., :3].sum(-1), 1, rtol=1e-12)
    assert (draws[..., :3] > 0).all() and (np.diff(draws[..., 3:], axis=-1) > 0).all()
    assert bf.Adapter.from_json(a.to_json()) == a
    forward["shares"] = 2 * shares
    with pytest.raises(ArgumentError, match="must not be negative, and sum to 1"):
        a(forward)


def test_infer_says_what_it_sees_and_works():
    data = model()(500)
    a = bf.Adapter.infer(data, NAMES, support={"p": (0, 1), "sigma": (0, None)}, pilot=200)
    assert a.inferred[:2] == ["prior_draws, column 0 (p): between 0 and 1, as stated", "prior_draws, column 1 (sigma): above 0, as stated"]
    assert not a.is_fitted and a.pilot == 200 and "standardize of prior_draws" in a.describe()
    amortizer = bf.amortizers.AmortizedPosterior(*networks(), adapter=a)
    bf.trainers.Trainer(amortizer, model(), seed=3, threads=1, progress=False).train_online(1, 10, 16)
    draws = amortizer.sample(data["sim_data"][:20], 300, seed=1)
    assert ((draws[..., 0] > 0) & (draws[..., 0] < 1) & (draws[..., 1] > 0)).all()
    assert amortizer.adapter.inferred == a.inferred
    guessed = bf.Adapter.infer(data, NAMES).describe()
    assert "pile up at an edge" in guessed and "state the support" in guessed


@pytest.mark.parametrize(
    "support, sentence",
    [
        ({"tau": (0, 1)}, "there is no column 'tau'; there are p, sigma"),
        ({"p": 1}, r"support of 'p' must be \(lower, upper\)"),
        ({"p": (0.5, 1)}, "is stated to be between 0.5 and 1, and its draws are from"),
        ({5: (0, 1)}, "there is no column 5"),
    ],
)
def test_infer_refuses_supports_that_cannot_be(support, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        bf.Adapter.infer(model()(300), NAMES, support=support)


def test_likelihoods_speak_the_users_units():
    def prior(rng):
        return rng.normal(size=1)

    def simulator(theta, rng):
        return np.exp(theta + 0.5 * rng.normal(size=1))

    generative = bf.simulation.GenerativeModel(bf.simulation.Prior(prior_fun=prior), bf.simulation.Simulator(simulator_fun=simulator), skip_test=True)
    a = bf.Adapter().log("sim_data").standardize("sim_data").standardize()
    amortizer = bf.amortizers.AmortizedLikelihood(bf.networks.InvertibleNetwork(1, num_coupling_layers=2, coupling_design="spline"), adapter=a)
    trainer = bf.trainers.Trainer(amortizer, generative, seed=3, threads=1, progress=False)
    trainer.train_online(3, 60, 64)
    grid = np.exp(np.linspace(-6, 6, 4001))
    density = np.exp(amortizer.log_likelihood({"prior_draws": np.full((4001, 1), 0.3), "sim_data": grid[:, None]}))
    np.testing.assert_allclose(((density[1:] + density[:-1]) / 2 * np.diff(grid)).sum(), 1, atol=0.01)
    draws = amortizer.sample({"prior_draws": np.full((2, 1), 0.3)}, 2000, seed=1)
    assert draws.shape == (2, 2000, 1) and (draws > 0).all() and abs(np.log(draws).mean() - 0.3) < 0.2
    with pytest.raises(ConfigurationError, match="adapter must be an Adapter or None"):
        bf.amortizers.AmortizedLikelihood(bf.networks.InvertibleNetwork(1), adapter=1)


def test_point_estimates_and_model_probabilities_take_raw_data():
    data = model()(200)
    net = bf.networks.PointNetwork(2, estimate="mean")
    amortizer = bf.amortizers.AmortizedPointEstimator(net, bf.networks.DeepSet(summary_dim=4), adapter=bf.Adapter().standardize().standardize("sim_data"))
    trainer = bf.trainers.Trainer(amortizer, model(), seed=3, threads=1, progress=False)
    trainer.train_online(1, 30, 16)
    got = amortizer.estimate(data)
    np.testing.assert_allclose(got, amortizer.adapter.inverse(amortizer.estimate(trainer.configurator(data)), data), rtol=1e-6)
    np.testing.assert_array_equal(amortizer.estimate(data["sim_data"]), got)
    both = bf.simulation.MultiGenerativeModel([model(), model()])
    comparison = bf.amortizers.AmortizedModelComparison(
        bf.networks.PMPNetwork(num_models=2), bf.networks.DeepSet(summary_dim=4), adapter=bf.Adapter().standardize("sim_data")
    )
    trainer = bf.trainers.Trainer(comparison, both, seed=3, threads=1, progress=False)
    trainer.train_online(1, 20, 16)
    raw = comparison.posterior_probs({"sim_data": data["sim_data"]})
    assert raw.shape == (200, 2) and np.isfinite(raw).all()
    np.testing.assert_allclose(raw.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(comparison.posterior_probs(data["sim_data"]), raw)
    scaled = (data["sim_data"] - data["sim_data"].mean()) / data["sim_data"].std()
    assert not np.array_equal(comparison.posterior_probs({"summary_conditions": scaled.astype(np.float32)}), raw)
