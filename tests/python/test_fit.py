"""fit: from prior and simulator to a posterior."""

import numpy as np
import pytest

import bayesflow_cpp as bf


def prior(rng):
    return np.array([rng.normal(), rng.uniform(-1, 1)])


def simulator(theta, rng):
    return theta @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]]) + 0.2 * rng.normal(size=3)


@pytest.fixture(scope="module")
def model():
    return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=simulator), seed=4)


@pytest.fixture(scope="module")
def fitted():
    return bf.fit(prior, simulator, simulations=600, seed=3, max_members=2)


def test_it_learns(fitted, model):
    assert fitted.log_score > fitted._core.prior_log_score + 2
    fresh = model(400)
    draws = fitted.sample(fresh["sim_data"], 200)
    assert draws.shape == (400, 200, 2)
    assert np.abs(draws[:, :, 1]).max() <= 1  # the bounds of the prior, found in its draws
    error = draws.mean(1) - fresh["prior_draws"]
    assert np.sqrt((error**2).mean(0)).max() < 0.25  # the exact posterior's standard deviations are 0.18 and 0.13
    assert fitted.verdict(fresh).severity != "overwhelming"  # 480 simulations are few


def test_densities_are_of_the_users_units(fitted, model):
    x = model(1)["sim_data"][0]
    low, high = (fitted.quantiles(x, [0.0], 2000)[:, 0], fitted.quantiles(x, [1.0], 2000)[:, 0])
    grid = np.stack(np.meshgrid(*(np.linspace(a - 0.3, b + 0.3, 60) for a, b in zip(low, high)), indexing="ij"), -1).reshape(-1, 2)
    log = fitted.log_prob(grid, np.broadcast_to(x, (len(grid), 3)))
    cell = np.prod([(b - a + 0.6) / 59 for a, b in zip(low, high)])
    assert np.exp(log).sum() * cell == pytest.approx(1, abs=0.05)
    assert np.all(log[np.abs(grid[:, 1]) > 1] == -np.inf)


def test_same_bits_for_any_number_of_threads(fitted):
    again = bf.fit(prior, simulator, simulations=600, seed=3, max_members=2, threads=1)
    x = np.zeros(3)
    assert np.array_equal(again.sample(x, 50), fitted.sample(x, 50)) and again.log_score == fitted.log_score


def test_the_recipe_gives_the_same_bits(fitted, tmp_path):
    names = {"prior": prior, "simulator": simulator}
    exec(compile(fitted.recipe(), "recipe", "exec"), names)
    fresh = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=simulator), seed=9)(20)
    rows = {"prior_draws": fresh["prior_draws"], "sim_data": fresh["sim_data"]}
    fitted.save(tmp_path / "fit.h5")
    mine, theirs = names["posterior"], bf.load_amortizer(tmp_path / "fit.h5")
    assert type(mine) is type(theirs)
    for one, other in zip(getattr(mine, "members", [mine]), getattr(theirs, "members", [theirs])):
        assert np.array_equal(one.log_prob(rows), other.log_prob(rows))


def test_files(fitted, tmp_path):
    fitted.save(tmp_path / "fit.h5")
    loaded = bf.load(tmp_path / "fit.h5")
    x = np.array([0.1, 0.2, 0.3])
    assert np.array_equal(loaded.sample(x, 20), fitted.sample(x, 20))
    assert loaded.log_prob([0.1, 0.2], x) == fitted.log_prob([0.1, 0.2], x)
    assert str(loaded) == str(fitted) and loaded.plan == fitted.plan and loaded.param_names == fitted.param_names
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2))
    amortizer.log_prob({"parameters": np.zeros((2, 2)), "direct_conditions": np.zeros((2, 3))})
    amortizer.save(tmp_path / "other.h5")
    with pytest.raises(bf.exceptions.IoError, match="did not make"):
        bf.load(tmp_path / "other.h5")


def test_it_goes_on_after_an_interruption(tmp_path, fitted):
    first = bf.fit(prior, simulator, simulations=600, seed=3, max_members=2, checkpoint_path=tmp_path)
    again = bf.fit(prior, simulator, simulations=600, seed=3, max_members=2, checkpoint_path=tmp_path)
    x = np.zeros(3)
    assert np.array_equal(first.sample(x, 9), fitted.sample(x, 9)) and np.array_equal(again.sample(x, 9), fitted.sample(x, 9))
    assert sum(trial["seconds"] for trial in again.trials) < 0.5 * sum(trial["seconds"] for trial in first.trials)


def test_shapes(fitted):
    x = np.zeros((3, 3))
    assert fitted.sample(x[0], 5).shape == (5, 2) and fitted.quantiles(x, [0.1, 0.9]).shape == (3, 2, 2)
    assert list(fitted.summary_table(x).columns) == ["mean", "sd", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95"]
    assert len(fitted.summary_table(x)) == 6 and list(fitted.summary_table(x[0]).index) == fitted.param_names
    assert fitted.check(x) == [] and "never saw such data" in " ".join(fitted.check(x + 100))
    with pytest.warns(bf.exceptions.ForeignDataWarning, match="never saw such data"):
        fitted.log_prob(np.zeros((3, 2)), x + 100)
    with pytest.warns(bf.exceptions.ForeignDataWarning, match="never saw such data"):
        fitted.sample(x + [3.5, 0, 0], 5)
    with pytest.raises(bf.exceptions.ShapeError, match="data must have the simulations' shape"):
        fitted.sample(np.zeros(4), 5)


def test_sets_and_series():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(300, 1))
    noise = rng.normal(size=(300, 12, 1))
    of_set = bf.fit({"prior_draws": theta, "sim_data": theta[:, None] + noise}, max_members=1)
    assert of_set.plan["data"] == "set" and "DeepSet" in of_set.recipe()
    walk = {"prior_draws": theta, "sim_data": np.cumsum(theta[:, None] + noise, axis=1)}
    plan = bf.fit(walk, max_members=1, param_names=["drift"]).plan
    assert plan["data"] == "series" and plan["summary_dim"] > 0


def test_logarithms_where_numbers_are_positive_and_skewed():
    rng = np.random.default_rng(0)
    theta = np.exp(rng.normal(size=(400, 1)))
    fitted = bf.fit({"prior_draws": theta, "sim_data": theta * np.exp(0.3 * rng.normal(size=(400, 2)))}, max_members=1)
    assert fitted.plan["log_parameters"] == [0] and fitted.plan["log_data"] == [0, 1]
    assert fitted.sample([1.0, 1.0], 500).min() > 0
    counts = np.random.default_rng(1).poisson(5 * theta, size=(400, 2))
    fitted = bf.fit({"prior_draws": theta, "sim_data": counts}, max_members=1)
    assert fitted.plan["sqrt_data"] == [0, 1] and '.sqrt("sim_data", columns=[0, 1])' in fitted.recipe() and "square root" in str(fitted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((prior, simulator), "must say how many"),
        ((prior,), "must say how many"),
        (({"prior_draws": np.zeros((50, 1)), "sim_data": np.zeros((50, 1))},), "at least 100 simulations"),
        (({"prior_draws": np.zeros((200, 1)), "sim_data": np.zeros((200, 2, 2, 2))},), "train other data with a Trainer"),
        (({"prior_draws": np.zeros((200, 1)), "sim_data": np.full((200, 2), np.nan)},), "not finite"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises((bf.exceptions.ConfigurationError, bf.exceptions.ArgumentError, bf.exceptions.ShapeError, bf.exceptions.SimulationError), match=message):
        bf.fit(*arguments)


def test_further_refusals():
    with pytest.raises(bf.exceptions.ConfigurationError, match="prior and a simulator"):
        bf.fit(prior, simulations=1000)
    with pytest.raises(bf.exceptions.ConfigurationError, match="all are used"):
        bf.fit({"prior_draws": np.zeros((200, 1)), "sim_data": np.zeros((200, 1))}, simulations=100)
    with pytest.raises(bf.exceptions.ConfigurationError, match="automatic"):
        bf.fit(prior, simulator, simulations=1000, data="tabular")
