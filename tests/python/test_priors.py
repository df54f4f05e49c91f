"""Priors with names."""

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import priors as p
from bayesflow_cpp.exceptions import ConfigurationError

CONTINUOUS = [
    p.Normal(1, 2), p.LogNormal(0.2, 0.7), p.HalfNormal(2), p.Uniform(-1, 3), p.Exponential(2), p.Gamma(2.5, 3), p.InverseGamma(3, 2), p.Beta(2, 3), p.StudentT(5, 1, 2),
    p.Cauchy(0, 1), p.HalfCauchy(2), p.Laplace(1, 2), p.Truncated(p.Normal(0, 1), 2.5), p.Truncated(p.Normal(0, 1), -3, -2), p.Truncated(p.LogNormal(), 0.5, 3),
    p.Truncated(p.Cauchy(), -1, 20), p.Truncated(p.Exponential(), 1), p.Truncated(p.Laplace(), -1, 2), p.Truncated(p.Uniform(), 0.2, 0.9),
]  # fmt: skip


@pytest.mark.parametrize("of", CONTINUOUS, ids=repr)
def test_densities_integrate_to_one_and_are_those_of_the_draws(of):
    low, high = of.support
    draws = of.draw(np.random.default_rng(1), 20000)
    assert draws.shape == (20000,) and (draws >= low).all() and (draws <= high).all()
    # On a grid of the place u between the bounds, stretched onto the line where there are none.
    u = (np.arange(200000) + 0.5) / 200000
    if np.isfinite(low) and np.isfinite(high):
        x, slope = low + (high - low) * u, np.full_like(u, high - low)
    elif np.isfinite(low):
        x, slope = low + u / (1 - u), 1 / (1 - u) ** 2
    else:
        x, slope = np.tan(np.pi * (u - 0.5)), np.pi / np.cos(np.pi * (u - 0.5)) ** 2
    cells = np.exp(of.log_prob(x)) * slope / len(u)
    np.testing.assert_allclose(cells.sum(), 1, atol=1e-3)
    ranks = np.sort(np.interp(draws, x, np.cumsum(cells)))
    assert np.abs(ranks - (np.arange(20000) + 0.5) / 20000).max() < 0.014  # Kolmogorov: false in 1 of 1,500
    assert (of.log_prob(np.array([np.nan, np.inf])) == -np.inf).all()
    if np.isfinite(low):
        assert of.log_prob(low - 1e-3) == -np.inf
    if np.isfinite(high):
        assert of.log_prob(high + 1e-3) == -np.inf


def test_integers_and_vectors():
    k = np.arange(60.0)
    assert np.exp(p.Poisson(3).log_prob(k)).sum() == pytest.approx(1) and p.Poisson(3).log_prob(1.5) == -np.inf == p.Poisson(3).log_prob(-1)
    categorical = p.Categorical([0.2, 0.5, 0.3])
    np.testing.assert_allclose(np.exp(categorical.log_prob([0, 1, 2])), [0.2, 0.5, 0.3])
    assert np.bincount(categorical.draw(np.random.default_rng(1), 10000).astype(int)) / 10000 == pytest.approx([0.2, 0.5, 0.3], abs=0.02)
    assert p.Dirichlet([1, 1, 1]).log_prob([[0.2, 0.3, 0.5]]) == pytest.approx(np.log(2)) and p.Dirichlet([1, 1]).log_prob([[0.2, 0.3]]) == -np.inf
    cov = np.array([[2.0, 0.6], [0.6, 1.0]])
    normal = p.MultivariateNormal([1, 2], cov)
    np.testing.assert_allclose(np.cov(normal.draw(np.random.default_rng(1), 100000).T), cov, atol=0.03)
    x = np.array([0.3, -0.2])
    want = -0.5 * (x - [1, 2]) @ np.linalg.solve(cov, x - [1, 2]) - 0.5 * np.log(np.linalg.det(2 * np.pi * cov))
    assert normal.log_prob(x[None]) == pytest.approx(want)


def test_joint_priors_are_ordinary_ones_and_give_adapters_their_bounds():
    prior = p.Joint(mu=p.Normal(0, 5), sigma=p.HalfNormal(2), theta=lambda mu, sigma: p.Normal(mu, sigma), w=p.Dirichlet([1, 2]), u=lambda sigma: p.Uniform(0, sigma))
    assert prior.param_names == ["mu", "sigma", "theta", "w_0", "w_1", "u"]
    assert prior.support == [(None, None), (0, None), (None, None), (0, 1), (0, 1), (0, None)]
    draws = prior(50)["prior_draws"]
    assert draws.shape == (50, 6) and np.isfinite(prior.log_prob(draws)).all()
    mu, sigma, theta, w, _, u = draws.T
    want = p.Normal(0, 5).log_prob(mu) + p.HalfNormal(2).log_prob(sigma) + p.Normal(mu, sigma).log_prob(theta) + p.Dirichlet([1, 2]).log_prob(draws[:, 3:5]) - np.log(sigma)
    np.testing.assert_allclose(prior.log_prob(draws), want)
    np.testing.assert_allclose(prior.logpdf(draws[0]), want[:1])
    draws[3, 1], draws[5, 5] = -1, 1e3
    assert np.flatnonzero(prior.log_prob(draws) == -np.inf).tolist() == [3, 5]
    generative = bf.simulation.GenerativeModel(prior, lambda theta, rng: rng.normal(theta[:1], size=(3, 1)), simulator_is_batched=False, skip_test=True)
    adapter = bf.Adapter.infer(generative(400), prior.param_names, support=prior.support)
    assert "column 1 (sigma): above 0, as stated" in adapter.describe()


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: p.Normal(0, 0), "sd must be above 0"),
        (lambda: p.Normal(np.nan, 1), "mean must be finite"),
        (lambda: p.Uniform(1, 1), "lower must be below upper"),
        (lambda: p.Categorical([0.5, 0.6]), "sum to 1"),
        (lambda: p.MultivariateNormal([0, 0], [[1, 2], [2, 1]]), "positive definite"),
        (lambda: p.Truncated(p.Normal(), 50), "at least 0.001"),
        (lambda: p.Truncated(p.Gamma(2), 1), "no distribution function of Gamma"),
        (lambda: p.Truncated(p.Poisson(2), 1), "a continuous distribution of one number"),
        (lambda: p.Joint(), "name at least one parameter"),
        (lambda: p.Joint(a=1), "a must be a distribution"),
        (lambda: p.Joint(a=p.Normal), "a must be a distribution"),
        (lambda: p.Joint(a=lambda b: p.Normal(b), b=p.Normal()), '"b", which is not named before'),
        (lambda: p.Joint(a=p.Normal(), b=lambda a: a), "must return a distribution"),
    ],
)
def test_wrong_uses_end_in_sentences(make, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        make()
