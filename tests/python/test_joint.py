"""Posterior and likelihood together, ensembles, and Markov chains on a learned likelihood."""

import copy
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import amortizers, configuration, mcmc, networks, simulation, trainers

SD = np.array([0.8, 0.6])


def means(theta):
    return np.stack([theta[..., 0], 1.5 * theta[..., 1] - theta[..., 0]], -1)


def model(n=6):
    prior = simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(size=(batch_size, 2)))
    simulator = simulation.Simulator(batch_simulator_fun=lambda theta, rng: means(theta)[:, None] + SD * rng.normal(size=(len(theta), n, 2)))
    return simulation.GenerativeModel(prior, simulator)


def flow(units=32, layers=4):
    return networks.InvertibleNetwork(num_params=2, num_coupling_layers=layers, coupling_settings={"dense_args": {"units": units, "kernel_regularizer": None}, "dropout": False})


def posterior(**options):
    return amortizers.AmortizedPosterior(flow(), networks.DeepSet(summary_dim=8, num_dense_s1=1, num_dense_s2=1, num_dense_s3=1, num_equiv=1), **options)


def normal_log_prior(theta):
    return -0.5 * (theta**2).sum(-1) - np.log(2 * np.pi)


def exact_log_marginal(x):
    """One observation of each data set after the other, by the Gaussian of all of them."""
    n = x.shape[1]
    A = np.array([[1, 0], [-1, 1.5]])
    covariance = np.kron(np.ones((n, n)), A @ A.T) + np.kron(np.eye(n), np.diag(SD**2))
    flat = x.reshape(len(x), -1)
    _, log_det = np.linalg.slogdet(covariance)
    return -0.5 * ((flat @ np.linalg.inv(covariance)) * flat).sum(1) - 0.5 * log_det - 0.5 * flat.shape[1] * np.log(2 * np.pi)


@pytest.fixture(scope="module")
def trained():
    joint = amortizers.AmortizedPosteriorLikelihood(posterior(), amortizers.AmortizedLikelihood(flow()))
    trainer = trainers.Trainer(joint, model(), seed=1, progress=False)
    losses = trainer.train_online(epochs=1, iterations_per_epoch=1500, batch_size=64)
    return joint, trainer, losses, model()(100)


def test_joint_has_v1s_interface(trained, tmp_path):
    joint, trainer, losses, forward = trained
    assert list(losses.columns) == ["Post.Loss", "Lik.Loss"]
    inputs = configuration.DefaultJointConfigurator()(forward)
    assert set(inputs) == {"posterior_inputs", "likelihood_inputs"} and isinstance(trainer.configurator, configuration.DefaultJointConfigurator)
    assert set(joint.compute_loss(inputs)) == {"Post.Loss", "Lik.Loss"}
    assert joint.log_posterior(inputs).shape == (100,) and joint.log_likelihood(inputs).shape == (100, 6)
    assert set(joint.log_prob(inputs)) == {"log_posterior", "log_likelihood"}
    flat = {**inputs["posterior_inputs"], **inputs["likelihood_inputs"]}
    np.testing.assert_array_equal(joint.log_posterior(flat), joint.log_posterior(inputs))
    draws = joint.sample(inputs, 7, 5, seed=1)
    assert draws["posterior_samples"].shape == (100, 7, 2) and draws["likelihood_samples"].shape == (100, 5, 2)
    (z, _), (x, _) = joint(inputs)
    assert z.shape == (100, 2) and x.shape == (100, 6, 2)
    joint.save(tmp_path / "joint.h5")
    again = amortizers.load_amortizer(tmp_path / "joint.h5")
    assert isinstance(again, amortizers.AmortizedPosteriorLikelihood) and again.number_of_parameters == joint.number_of_parameters
    for other in (again, pickle.loads(pickle.dumps(joint))):
        np.testing.assert_array_equal(other.log_posterior(inputs), joint.log_posterior(inputs))
        np.testing.assert_array_equal(other.sample_data(inputs, 3, seed=2), joint.sample_data(inputs, 3, seed=2))
    assert "AmortizedPosteriorLikelihood of" in repr(again)


def test_marginal_likelihood_is_within_its_error_bar(trained):
    joint, _, _, forward = trained
    inputs = configuration.DefaultJointConfigurator()(forward)
    m = joint.log_marginal_likelihood(inputs, normal_log_prior, 100, seed=3)
    z = (m.value - exact_log_marginal(forward["sim_data"])) / m.spread
    assert np.sqrt(np.mean(z**2)) < 1.5 and m.terms.shape == (100, 100) and (m.inside == 1).all()
    wrong = joint.log_marginal_likelihood(inputs, lambda theta: np.zeros(len(theta)), 100, seed=3)
    assert np.sqrt(np.mean(((wrong.value - exact_log_marginal(forward["sim_data"])) / wrong.spread) ** 2)) > 2
    with pytest.raises(bf.exceptions.ArgumentError, match="log_prior must be a function"):
        joint.log_marginal_likelihood(inputs, 3)
    with pytest.raises(ZeroDivisionError):
        joint.log_marginal_likelihood(inputs, lambda theta: 1 / 0)


def test_parts_get_the_weights_that_they_would_have_alone():
    def train(amortizer):
        trainer = trainers.Trainer(amortizer, model(), seed=5, progress=False)
        trainer.train_online(epochs=1, iterations_per_epoch=5, batch_size=8)
        return amortizer

    joint = train(amortizers.AmortizedPosteriorLikelihood(posterior(), amortizers.AmortizedLikelihood(flow())))
    alone, likelihood = train(posterior()), train(amortizers.AmortizedLikelihood(flow()))
    for name, weights in alone.weights().items():
        np.testing.assert_array_equal(joint.weights()["posterior." + name], weights)
        np.testing.assert_array_equal(joint.amortized_posterior.weights()[name], weights)
    for name, weights in likelihood.weights().items():
        np.testing.assert_array_equal(joint.weights()["likelihood." + name], weights)


def test_own_configurators_may_nest():
    joint = amortizers.AmortizedPosteriorLikelihood(posterior(), amortizers.AmortizedLikelihood(flow()))
    nested = lambda forward: configuration.DefaultJointConfigurator()(forward)  # noqa: E731
    trainer = trainers.Trainer(joint, model(), nested, seed=1, progress=False)
    assert len(trainer.train_online(epochs=1, iterations_per_epoch=3, batch_size=8, validation_sims=20)["val_losses"]) == 1
    with pytest.raises(bf.exceptions.ConfigurationError, match='must return a dictionary with "parameters"'):
        trainers.Trainer(amortizers.AmortizedPosteriorLikelihood(posterior(), amortizers.AmortizedLikelihood(flow())), model(), lambda f: {"likelihood_inputs": {}}, progress=False)


def test_joint_says_what_does_not_fit():
    with pytest.raises(bf.exceptions.ConfigurationError, match="the posterior comes first"):
        amortizers.AmortizedPosteriorLikelihood(amortizers.AmortizedLikelihood(flow()), posterior())
    with pytest.raises(bf.exceptions.ConfigurationError, match="amortized_likelihood must be an AmortizedLikelihood"):
        amortizers.AmortizedPosteriorLikelihood(posterior(), posterior())
    part = posterior()
    amortizers.AmortizedPosteriorLikelihood(part, amortizers.AmortizedLikelihood(flow()))
    with pytest.raises(bf.exceptions.ConfigurationError, match="train that one"):
        trainers.Trainer(part, model(), progress=False)


def test_ensembles_are_mixtures(tmp_path):
    ensemble = amortizers.Ensemble(posterior(), 3)
    trainer = trainers.Trainer(ensemble, model(), seed=5, progress=False)
    losses = trainer.train_online(epochs=1, iterations_per_epoch=20, batch_size=16)
    inputs = trainer.configurator(model()(30))
    assert losses.shape[1] == 1 and len(ensemble) == 3
    densities = np.stack([member.log_posterior(inputs) for member in ensemble.members]).astype(float)
    assert np.ptp(densities, axis=0).min() > 0
    np.testing.assert_allclose(ensemble.log_posterior(inputs), np.log(np.exp(densities).mean(0)), atol=1e-5)
    assert ensemble.sample(inputs, 7, seed=1).shape == (30, 7, 2)
    np.testing.assert_array_equal(ensemble.sample(inputs, 7, seed=1), ensemble.sample(inputs, 20, seed=1)[:, :7])
    ensemble.save(tmp_path / "ensemble.h5")
    again = amortizers.load_amortizer(tmp_path / "ensemble.h5")
    for other in (again, pickle.loads(pickle.dumps(ensemble))):
        np.testing.assert_array_equal(other.log_prob(inputs), ensemble.log_prob(inputs))
    two = amortizers.Ensemble([ensemble.members[0], again.members[2]])
    assert two.log_prob(inputs).shape == (30,)
    # The second member alone: the trainer's seed + 1.
    alone = posterior(seed=6)
    trainers.Trainer(alone, model(), seed=5, progress=False).train_online(epochs=1, iterations_per_epoch=20, batch_size=16)
    np.testing.assert_array_equal(alone.log_posterior(inputs), ensemble.members[1].log_posterior(inputs))
    for wrong, sentence in (((3,), "members must be"), (([posterior()],), "at least two"), ((ensemble.members[0],), "has weights already"), (([posterior(), 3],), "members must be")):
        with pytest.raises(bf.exceptions.ConfigurationError, match=sentence):
            amortizers.Ensemble(*wrong)
    with pytest.raises(bf.exceptions.ConfigurationError, match="use log_prob"):
        ensemble.log_likelihood(inputs)


def exact_posterior(x):
    A = np.array([[1, 0], [-1, 1.5]])
    precision = np.eye(2) + len(x) * A.T @ np.diag(SD**-2) @ A
    covariance = np.linalg.inv(precision)
    return covariance @ A.T @ np.diag(SD**-2) @ x.sum(0), np.sqrt(np.diag(covariance))


def test_surrogate_likelihoods_have_values_and_gradients(trained):
    joint, _, _, forward = trained
    likelihood = joint.amortized_likelihood
    surrogate = mcmc.MCMCSurrogateLikelihood(likelihood, lambda theta, x: {"observables": x[None], "conditions": theta[None]})
    theta, x = forward["prior_draws"][0], forward["sim_data"][0]
    value, gradient = surrogate.log_likelihood(theta, x), surrogate.log_likelihood_grad(theta, x)
    np.testing.assert_allclose(value, likelihood.log_likelihood({"observables": x[None], "conditions": theta[None]}).sum(), rtol=1e-5)
    assert gradient.shape == (1, 2)
    slopes = [np.mean([(surrogate.log_likelihood(theta + h * e, x) - surrogate.log_likelihood(theta - h * e, x)) / (2 * h) for h in (0.01, 0.02, 0.03)]) for e in np.eye(2)]
    np.testing.assert_allclose(gradient[0], slopes, rtol=0.15, atol=0.3)
    twice = mcmc.MCMCSurrogateLikelihood(likelihood, surrogate.configurator, lambda l: 2 * l.sum(), lambda g: 2 * g[0])
    np.testing.assert_allclose(twice.log_likelihood(theta, x), 2 * value)
    np.testing.assert_allclose(twice.log_likelihood_grad(theta, x), 2 * gradient[0])
    with pytest.raises(bf.exceptions.ConfigurationError, match="must be an AmortizedLikelihood"):
        mcmc.MCMCSurrogateLikelihood(3)


def test_chains_find_the_exact_posterior(trained):
    joint, _, _, forward = trained
    x = forward["sim_data"][0]
    start = np.random.default_rng(1).normal(size=(8, 2))
    chains = mcmc.sample_posterior(joint.amortized_likelihood, x, normal_log_prior, start, draws=500, seed=2)
    mean, sd = exact_posterior(x)
    draws = chains.draws.reshape(-1, 2)
    assert chains.draws.shape == (8, 500, 2) and (chains.rhat < 1.02).all()
    assert (np.abs(draws.mean(0) - mean) / sd).max() < 0.35 and np.abs(draws.std(0) / sd - 1).max() < 0.25
    np.testing.assert_array_equal(mcmc.convergence(chains.draws)["rhat"], chains.rhat)
    apart = chains.draws.copy()
    apart[0] += 3 * sd
    assert mcmc.convergence(apart)["rhat"].min() > 1.1


def test_pymc_samples_the_learned_likelihood(trained):
    pm = pytest.importorskip("pymc")
    joint, _, _, forward = trained
    x = forward["sim_data"][0]
    with pm.Model():
        theta = pm.Normal("theta", shape=2)
        pm.Potential("likelihood", mcmc.PyMCSurrogateLikelihood(joint.amortized_likelihood, x)(theta))
        trace = pm.sample(300, tune=300, chains=2, cores=1, progressbar=False, random_seed=1)
    draws = trace.posterior["theta"].values.reshape(-1, 2)
    mean, sd = exact_posterior(x)
    assert (np.abs(draws.mean(0) - mean) / sd).max() < 0.4 and np.abs(draws.std(0) / sd - 1).max() < 0.3


def test_copies_have_weights_of_their_own():
    one = posterior()
    assert amortizers.Ensemble(one, 2).members[1].inference_net is not one.inference_net
    assert copy.copy(one.inference_net) is not one.inference_net
