"""Inference networks with draws and densities beside v1's coupling flows."""

import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.amortizers import AmortizedLikelihood, AmortizedPosterior, load_amortizer
from bayesflow_cpp.exceptions import ConfigurationError
from bayesflow_cpp.networks import AutoregressiveFlow, DiffusionNetwork, FlowMatchingNetwork, MixtureDensityNetwork, ShortcutNetwork

SMALL = {"units": 16, "activation": "swish"}
NETWORKS = {
    "AutoregressiveFlow": lambda: AutoregressiveFlow(2, 2, dense_args=SMALL),
    "AutoregressiveFlow affine": lambda: AutoregressiveFlow(2, 2, "affine", SMALL, order="shuffled"),
    "DiffusionNetwork": lambda: DiffusionNetwork(2, {"units": 32, "activation": "swish"}, 3, solver="dopri5", tolerance=1e-3),
    "DiffusionNetwork stochastic": lambda: DiffusionNetwork(2, {"units": 32, "activation": "swish"}, 3, schedule="cosine", sampler="sde", steps=60),
    "ShortcutNetwork": lambda: ShortcutNetwork(2, {"units": 32, "activation": "swish"}, 3, finest=16, tolerance=1e-3),
    "FlowMatchingNetwork": lambda: FlowMatchingNetwork(2, {"units": 32, "activation": "swish"}, 3, solver="dopri5", tolerance=1e-3, coupling="optimal_transport",
                                                       trace_probes=4),
    "MixtureDensityNetwork": lambda: MixtureDensityNetwork(2, 3, dense_args=SMALL),
    "MixtureDensityNetwork diagonal": lambda: MixtureDensityNetwork(2, 3, "diagonal", SMALL),
}
FLOWS = [name for name in NETWORKS if name.startswith("AutoregressiveFlow")]


def model():
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    return bf.simulation.GenerativeModel(prior, lambda theta, rng: theta + rng.normal(size=2), simulator_is_batched=False)


def configurator(forward):
    return {"parameters": forward["prior_draws"], "direct_conditions": forward["sim_data"]}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_normal_posterior_is_learnt(name, tmp_path):
    """The exact posterior is N(x / 2, 1 / 2)."""
    amortizer = AmortizedPosterior(NETWORKS[name]())
    assert "no weights yet" in repr(amortizer.inference_net)
    trainer = bf.trainers.Trainer(amortizer, model(), configurator, progress=False, default_lr=2e-3)
    trainer.train_online(1, 1000, 64)
    x = np.random.default_rng(0).normal(scale=1.4, size=(300, 2))
    draws = amortizer.sample({"direct_conditions": x}, 200, seed=1)
    assert np.abs(draws.mean(axis=1) - x / 2).mean() < 0.15
    assert draws.std(axis=1).mean() == pytest.approx(0.5**0.5, rel=0.1)
    density = amortizer.log_posterior({"parameters": x / 2, "direct_conditions": x})
    assert density.mean() == pytest.approx(-np.log(np.pi), abs=0.2)  # at the mode
    assert type(amortizer.inference_net).__name__ in repr(amortizer.inference_net)
    amortizer.save(tmp_path / "model.h5")
    for other in (load_amortizer(tmp_path / "model.h5"), pickle.loads(pickle.dumps(amortizer))):
        np.testing.assert_array_equal(other.sample({"direct_conditions": x}, 5, seed=1), amortizer.sample({"direct_conditions": x}, 5, seed=1))
    assert "of a file" in repr(load_amortizer(tmp_path / "model.h5").inference_net)


@pytest.mark.parametrize("name", NETWORKS)
def test_likelihoods_take_it(name):
    likelihood = AmortizedLikelihood(NETWORKS[name]())
    inputs = {"observables": np.zeros((3, 4, 2)), "conditions": np.zeros((3, 2))}
    assert likelihood.log_likelihood(inputs).shape == (3, 4)
    assert likelihood.sample(inputs, 5).shape == (3, 5, 2)


@pytest.mark.parametrize("name", FLOWS)
def test_flows_work_both_ways(name):
    rng = np.random.default_rng(1)
    theta, condition = rng.normal(size=(5, 2)), rng.normal(size=(5, 3))
    net = NETWORKS[name]()
    z, log_det = net(theta, condition)
    assert z.shape == (5, 2) and log_det.shape == (5,)
    np.testing.assert_allclose(net(z, condition, inverse=True), theta, atol=1e-4)
    amortizer = AmortizedPosterior(net, latent_dist=bf.latents.MultivariateStudentT(5))
    assert amortizer.sample({"direct_conditions": condition}, 4, seed=1).shape == (5, 4, 2)
    z, log_det = amortizer({"parameters": theta, "direct_conditions": condition})
    assert z.shape == (5, 2) and log_det.shape == (5,)
    with pytest.raises(ConfigurationError, match="AutoregressiveFlow: targets must be an array"):
        net(None)


@pytest.mark.parametrize(("arguments", "text"), [
    (dict(num_params=0), "AutoregressiveFlow: num_params = 0; it must be the number of parameters, at least 1"),
    (dict(num_params=2, num_layers=0), "AutoregressiveFlow: num_layers = 0; it must be at least 1"),
    (dict(num_params=2, design="cubic"), "AutoregressiveFlow: design .*affine.*spline.*interleaved"),
    (dict(num_params=2, order="sorted"), "AutoregressiveFlow: order .*reversed.*shuffled"),
    (dict(num_params=2, dropout_prob=1.0), "AutoregressiveFlow: dropout_prob = 1"),
    (dict(num_params=2, bins=1), "bins = 1; it must be at least 2"),
    (dict(num_params=2, default_domain=(1, 0, 0, 1)), "AutoregressiveFlow: default_domain must be left < right"),
    (dict(num_params=2, dense_args={"units": 4, "activation": "softmax"}), "AutoregressiveFlow: dense_args: activation = softmax"),
    (dict(num_params=2, residual="yes"), "AutoregressiveFlow: residual"),
])  # fmt: skip
def test_wrong_options_of_autoregressive_flows(arguments, text):
    with pytest.raises((ConfigurationError, bf.exceptions.ArgumentError), match=text):
        AutoregressiveFlow(**arguments)


@pytest.mark.parametrize(("arguments", "text"), [
    (dict(num_params=0), "MixtureDensity.*num_params = 0; it must be the number of parameters, at least 1"),
    (dict(num_params=2, num_components=0), "MixtureDensity.*num_components = 0; it must be at least 1"),
    (dict(num_params=2, covariance="banded"), "MixtureDensity.*covariance .*full.*diagonal"),
])  # fmt: skip
def test_wrong_options_of_mixtures(arguments, text):
    with pytest.raises((ConfigurationError, bf.exceptions.ArgumentError), match=text):
        MixtureDensityNetwork(**arguments)


@pytest.mark.parametrize(("network", "arguments", "text"), [
    (DiffusionNetwork, dict(schedule="linear"), "DiffusionNetwork: schedule .*edm.*cosine"),
    (DiffusionNetwork, dict(sampler="heun"), "DiffusionNetwork: sampler .*ode.*sde"),
    (DiffusionNetwork, dict(sigma_min=0.0), "DiffusionNetwork: sigma_min = 0"),
    (DiffusionNetwork, dict(tolerance=1.0), "DiffusionNetwork: tolerance = 1"),
    (ShortcutNetwork, dict(steps=3), "ShortcutNetwork: finest and steps must be powers of two"),
    (ShortcutNetwork, dict(finest=8, steps=8), "ShortcutNetwork: finest and steps .* at most half of finest; got 8 and 8"),
    (ShortcutNetwork, dict(steps=0), "ShortcutNetwork: steps = 0"),
    (FlowMatchingNetwork, dict(coupling="hungarian"), "FlowMatchingNetwork: coupling"),
    (FlowMatchingNetwork, dict(trace_probes=-1), "FlowMatchingNetwork: trace_probes"),
    (FlowMatchingNetwork, dict(tolerance=0.0), "FlowMatchingNetwork: tolerance = 0"),
])  # fmt: skip
def test_wrong_options_of_equations(network, arguments, text):
    with pytest.raises((ConfigurationError, bf.exceptions.ArgumentError), match=text):
        network(2, **arguments)
