"""Flow matching and v1's rectified flows."""

import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.amortizers import AmortizedLikelihood, AmortizedPosterior, load_amortizer
from bayesflow_cpp.exceptions import ConfigurationError, OperationNotSupportedError
from bayesflow_cpp.experimental.rectifiers import DriftNetwork, RectifiedDistribution
from bayesflow_cpp.networks import FlowMatchingNetwork

SMALL = {"units": 32, "activation": "swish"}


def model():
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    return bf.simulation.GenerativeModel(prior, lambda theta, rng: theta + rng.normal(size=2), simulator_is_batched=False)


def configurator(forward):
    return {"parameters": forward["prior_draws"], "direct_conditions": forward["sim_data"]}


@pytest.mark.parametrize("kind", ["flow matching", "rectified"])
def test_a_normal_posterior_is_learnt(kind, tmp_path):
    """The exact posterior is N(x / 2, 1 / 2)."""
    if kind == "rectified":
        amortizer = RectifiedDistribution(DriftNetwork(2, dense_args=SMALL, dropout=False, steps=100), loss_fun="squared")
    else:
        amortizer = AmortizedPosterior(FlowMatchingNetwork(2, SMALL, 3))
    trainer = bf.trainers.Trainer(amortizer, model(), configurator, progress=False, default_lr=2e-3)
    trainer.train_online(1, 2000, 64)
    x = np.random.default_rng(0).normal(scale=1.4, size=(300, 2))
    draws = amortizer.sample({"direct_conditions": x}, 200, seed=1)
    assert np.abs(draws.mean(axis=1) - x / 2).mean() < 0.15
    assert draws.std(axis=1).mean() == pytest.approx(0.5**0.5, rel=0.1)
    theta = x / 2
    density = amortizer.log_density({"parameters": theta, "direct_conditions": x}) if kind == "rectified" else amortizer.log_posterior({"parameters": theta, "direct_conditions": x})
    assert density.mean() == pytest.approx(-np.log(np.pi), abs=0.2)  # at the mode
    amortizer.save(tmp_path / "model.h5")
    for other in (load_amortizer(tmp_path / "model.h5"), pickle.loads(pickle.dumps(amortizer))):
        np.testing.assert_array_equal(other.sample({"direct_conditions": x}, 5, seed=1), amortizer.sample({"direct_conditions": x}, 5, seed=1))


def test_the_drift_is_that_of_the_engine():
    net = DriftNetwork(2, dense_args=SMALL, seed=1)
    x, z, t, c = np.ones((3, 2)), np.zeros((3, 2)), np.full((3, 1), 0.25), np.ones((3, 4))
    difference, velocity = net(x, z, t, c)
    np.testing.assert_array_equal(difference, x)
    np.testing.assert_array_equal(velocity, net.drift(0.25 * x, t, c))
    with pytest.raises(bf.exceptions.ShapeError, match="times"):
        net.drift(x, np.ones((2, 1)), c)


def test_likelihoods_take_it():
    likelihood = AmortizedLikelihood(FlowMatchingNetwork(2, SMALL, 2))
    inputs = {"observables": np.zeros((3, 4, 2)), "conditions": np.zeros((3, 2))}
    assert likelihood.log_likelihood(inputs).shape == (3, 4)
    assert likelihood.sample(inputs, 5).shape == (3, 5, 2)


def test_what_is_not_there_says_so():
    with pytest.raises(OperationNotSupportedError, match="mc_dropout"):
        DriftNetwork(2, mc_dropout=True)
    with pytest.raises(ConfigurationError, match="latent_dist"):
        AmortizedPosterior(FlowMatchingNetwork(2), latent_dist=bf.latents.MultivariateStudentT(3))
    rectified = RectifiedDistribution(DriftNetwork(2, dense_args=SMALL, steps=10))
    inputs = {"parameters": np.zeros((1, 2)), "direct_conditions": np.zeros((1, 2))}
    assert rectified.sample(inputs, 3, step_size=0.1).shape == (3, 2)
    with pytest.raises(OperationNotSupportedError, match="steps=1000"):
        rectified.sample(inputs, 3, step_size=1e-3)
    for size in (0, -0.1, 3):
        with pytest.raises(bf.exceptions.ArgumentError, match="above 0, and at most 1"):
            rectified.sample(inputs, 3, step_size=size)
    with pytest.raises(OperationNotSupportedError, match="loss_fun"):
        RectifiedDistribution(DriftNetwork(2), loss_fun=np.zeros(3))
    with pytest.raises(bf.exceptions.ShapeError, match="as many rows"):
        DriftNetwork(2)(np.zeros((3, 2)), np.zeros((2, 2)), np.zeros((3, 1)), np.zeros((3, 2)))
    with pytest.raises(OperationNotSupportedError, match="random training differences"):
        rectified(inputs)
    with pytest.raises(OperationNotSupportedError, match="loss_fun"):
        RectifiedDistribution(DriftNetwork(2), loss_fun=lambda a, b: a)
    for wrong in ({"solver": "rk45"}, {"loss": "huber"}, {"steps": 0}, {"num_dense": 0}, {"time_power": -1.0}):
        with pytest.raises((ConfigurationError, bf.exceptions.ArgumentError)):
            FlowMatchingNetwork(2, **wrong)
