"""AmortizedPointEstimator: means, medians, quantiles against exact ones, losses of a user's own, v1's calls, files."""

import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError

N = 10


def model():
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(size=(batch_size, 2)))
    return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=lambda theta, rng: rng.normal(theta[:, None], 1, (len(theta), N, 2))))


def summary():
    dense = dict(units=32, activation="relu")
    return bf.networks.DeepSet(6, num_equiv=0, dense_s1_args=dense, dense_s2_args=dense, linear_path=True)


def point(estimate=None, num_params=2, **arguments):
    return bf.networks.PointNetwork(num_params, estimate, dense_args=dict(units=32, activation="elu"), num_dense=2, **arguments)


def trained(net, iterations=1500, **arguments):
    amortizer = bf.amortizers.AmortizedPointEstimator(net, summary(), **arguments)
    trainer = bf.trainers.Trainer(amortizer, model(), progress=False, seed=1)
    trainer.train_online(1, iterations, 64)
    return amortizer, trainer


def exact_mean(inputs):
    return inputs["summary_conditions"].sum(axis=1) / (N + 1)


SD = 1 / np.sqrt(N + 1)


@pytest.mark.parametrize("norm_ord", [1, 2, np.inf])
def test_v1s_norms(norm_ord):
    amortizer, trainer = trained(point(), 800, norm_ord=norm_ord)
    inputs = trainer.configurator(model()(300))
    estimate = amortizer.estimate(inputs)
    assert estimate.shape == (300, 2) and estimate.dtype == np.float32
    assert np.abs(estimate - exact_mean(inputs)).mean() / SD < 0.2
    wanted = bf.losses.norm_diff(estimate, inputs["parameters"], axis=-1, ord=norm_ord).mean()
    assert amortizer.compute_loss(inputs) == pytest.approx(wanted, abs=1e-5)
    np.testing.assert_array_equal(amortizer(inputs), estimate)
    out, summaries = amortizer(inputs, return_summary=True)
    assert summaries.shape == (300, 6) and out.shape == (300, 2)
    np.testing.assert_allclose(amortizer.inference_net(summaries), estimate, atol=1e-5)


def test_means_standard_deviations_and_quantiles():
    amortizer, trainer = trained(point("mean_and_sd"))
    inputs = trainer.configurator(model()(500))
    mean, sd = amortizer.estimate(inputs).transpose(1, 0, 2)
    assert np.abs(mean - exact_mean(inputs)).mean() / SD < 0.2 and np.abs(sd / SD - 1).mean() < 0.1
    levels = (0.1, 0.5, 0.9)
    amortizer, _ = trained(point("quantiles", levels=levels), 2500)
    quantiles = amortizer.estimate(inputs)
    assert quantiles.shape == (500, 3, 2) and (np.diff(quantiles, axis=1) >= 0).all()
    z = np.array([-1.2815515655446004, 0, 1.2815515655446004])
    assert np.abs(quantiles - exact_mean(inputs)[:, None] - SD * z[:, None]).mean() / SD < 0.2
    below = (inputs["parameters"][:, None] < quantiles).mean(axis=(0, 2))
    np.testing.assert_allclose(below, levels, atol=0.06)


def test_a_loss_of_ones_own():
    """Asymmetric squared errors: an underestimate costs four times as much."""

    def expectile(estimates, truths):
        error = truths - estimates
        return (np.where(error > 0, 4.0, 1.0) * error**2).sum(axis=-1)

    amortizer, trainer = trained(point(), 500, loss_fun=expectile)
    inputs = trainer.configurator(model()(400))
    estimate = amortizer.estimate(inputs)
    assert amortizer.compute_loss(inputs) == pytest.approx(expectile(estimate.astype(float), inputs["parameters"]).mean(), abs=1e-4)
    assert 0.1 * SD < (estimate - exact_mean(inputs)).mean() < SD, "above the mean"
    with pytest.raises(ConfigurationError, match=r"Cause: loss_fun must return one number for each row, of shape \(2,\), for estimates of shape \(2, 2\); got shape \(2, 2\)"):
        trained(point(), 1, loss_fun=lambda a, b: (a - b) ** 2)

    class Mine(Exception):
        pass

    def fails(estimates, truths):
        raise Mine("of the user")

    with pytest.raises(ConfigurationError, match="of the user") as caught:
        trained(point(), 1, loss_fun=fails)
    assert isinstance(caught.value.__cause__, Mine)


def test_derivatives_of_own_losses_are_right():
    """The same norm as the engine has it, and as a NumPy function: the same weights but for the last digits."""
    weights = [trained(point(seed=3), 20, **arguments)[0].weights() for arguments in (dict(norm_ord=2), dict(loss_fun=lambda a, b: np.linalg.norm(a - b, axis=-1)))]
    for name, array in weights[0].items():
        np.testing.assert_allclose(weights[1][name], array, atol=2e-4)


def test_networks_of_building_blocks_take_the_place_of_v1s(tmp_path):
    class Body(bf.networks.SummaryNetwork):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = bf.networks.Dense(32, "elu"), bf.networks.Dense(2)

        def call(self, x):
            return self.out(self.hidden(x))

    amortizer, trainer = trained(Body(), 800, norm_ord=1)
    inputs = trainer.configurator(model()(300))
    estimate = amortizer.estimate(inputs)
    assert np.abs(estimate - exact_mean(inputs)).mean() / SD < 0.25
    amortizer.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(bf.load_amortizer(tmp_path / "model.h5").estimate(inputs), estimate)


def test_files_and_pickles_hold_it(tmp_path):
    for net in (point(), point("quantiles")):
        amortizer = bf.amortizers.AmortizedPointEstimator(net, summary(), seed=2)
        inputs = {"parameters": np.zeros((4, 2)), "summary_conditions": np.random.default_rng(1).normal(size=(4, N, 2))}
        wanted = amortizer.estimate(inputs)
        amortizer.save(tmp_path / "model.h5")
        loaded = bf.load_amortizer(tmp_path / "model.h5")
        for other in (loaded, pickle.loads(pickle.dumps(amortizer)), pickle.loads(pickle.dumps(loaded))):
            assert type(other) is bf.amortizers.AmortizedPointEstimator
            np.testing.assert_array_equal(other.estimate(inputs), wanted)


def test_sentences():
    estimator = bf.amortizers.AmortizedPointEstimator
    with pytest.raises(ConfigurationError, match="inference_net must be a PointNetwork, or a SummaryNetwork of building blocks"):
        estimator(bf.networks.InvertibleNetwork(2))
    with pytest.raises(ConfigurationError, match="norm_ord must be 1, 2 or numpy.inf; got 3"):
        estimator(point(), norm_ord=3)
    with pytest.raises(ConfigurationError, match='the network estimates "mean", which norm_ord = 1 is not'):
        estimator(point("mean"), norm_ord=1)
    with pytest.raises(ConfigurationError, match='the network estimates "mean" by a loss of its own'):
        estimator(point("mean"), loss_fun=lambda a, b: 0)
    with pytest.raises(ConfigurationError, match="levels = {0.5, 0.2}; there must be at least one, and they must ascend"):
        point("quantiles", levels=(0.5, 0.2))
    with pytest.raises(ConfigurationError, match="estimate must be one of 'mean'"):
        point("median")
    with pytest.raises(ConfigurationError, match="num_params = 3, but the targets have a width of 2; set it to 2"):
        bf.trainers.Trainer(estimator(point(num_params=3), summary()), model(), progress=False)


@pytest.mark.parametrize(("norm_ord", "estimate", "factor"), [(1, None, 2 ** (1 / 9)), (2, None, 2 ** (1 / 9)), (2, "mean", 9 / 8)])
def test_v1s_notebook_of_pareto_and_uniform(norm_ord, estimate, factor):
    """theta ~ Pareto(4, 1), five x ~ U(0, theta): the posterior is Pareto(9, max(1, largest x)), whose median and mean are known."""
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: 1 + rng.pareto(4, (batch_size, 1)))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=lambda theta, rng: rng.random((len(theta), 5, 1)) * theta[:, None]))
    dense = dict(units=32, activation="relu")
    summary_net = bf.networks.DeepSet(6, num_equiv=0, dense_s1_args=dense, dense_s2_args=dense, pooling_fun="max", linear_path=True)
    amortizer = bf.amortizers.AmortizedPointEstimator(point(estimate, num_params=1), summary_net, norm_ord=norm_ord)
    trainer = bf.trainers.Trainer(amortizer, model, progress=False, seed=1)
    trainer.train_online(1, 2500, 64)
    inputs = trainer.configurator(model(1000))
    ratio = amortizer.estimate(inputs)[:, 0] / np.maximum(1, inputs["summary_conditions"].max(axis=(1, 2)))
    assert abs(ratio.mean() / factor - 1) < 0.015, "mean and median differ by 4 %"


def test_levels_are_of_quantiles_alone():
    with pytest.raises(ConfigurationError, match='PointNetwork: levels are of estimate="quantiles"; got estimate=\'mean\''):
        bf.networks.PointNetwork(2, "mean", levels=[0.1, 0.9])
