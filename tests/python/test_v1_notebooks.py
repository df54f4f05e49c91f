"""The notebooks of BayesFlow v1 with this package: their models, networks and settings, in fewer steps; with BAYESFLOW_FULL_NOTEBOOKS=1 also with all of them (an hour).
Model comparison is in test_model_comparison.py, point estimation in test_point_estimator.py, the quickstart in test_seed.py."""

import os
import shutil

import numpy as np
import pytest
from scipy import stats

import bayesflow_cpp as bf

WANTED = pytest.mark.skipif("BAYESFLOW_FULL_NOTEBOOKS" not in os.environ, reason="BAYESFLOW_FULL_NOTEBOOKS=1 runs it, for minutes")
FULL = pytest.mark.parametrize("full", [False, pytest.param(True, marks=[pytest.mark.slow, WANTED])], ids=["fewer_steps", "full"])
UNREGULARIZED = {"dense_args": dict(kernel_regularizer=None), "dropout": False}


def calibrated(draws, inputs):
    """At an error rate at which an exact posterior fails once in a thousand times."""
    v = bf.diagnostics.verdict(draws, inputs["parameters"], family_wise_error=1e-3)
    return v.calibrated, v.sentence


# --- Two moons ---


def moons(theta, rng):
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, len(theta)), rng.normal(0.1, 0.01, len(theta))
    total, difference = theta.sum(axis=1), theta[:, 1] - theta[:, 0]
    return np.stack([radius * np.cos(angle) + 0.25 - np.abs(total) / np.sqrt(2), radius * np.sin(angle) + difference / np.sqrt(2)], axis=1)


@FULL
def test_two_moons(full):
    """Four spline layers, a learnable permutation, 10,000 given simulations, 50 epochs of batches of 32."""
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.uniform(-1, 1, (batch_size, 2)))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=moons), seed=1)

    def configurator(simulations):
        return {"parameters": 3 * simulations["prior_draws"], "direct_conditions": simulations["sim_data"]}

    network = bf.networks.InvertibleNetwork(2, 4, coupling_design="spline", permutation="learnable", coupling_settings=UNREGULARIZED)
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(network), model, configurator, progress=False, seed=1, default_lr=5e-4 if full else 2e-3)
    trainer.train_offline(model(10000), epochs=50 if full else 12, batch_size=32 if full else 64)
    amortizer, inputs = trainer.amortizer, configurator(model(500))
    draws = amortizer.sample(inputs, 250)
    assert bf.diagnostics.sbc_ecdf(draws, inputs["parameters"], confidence=0.999).inside == [True, True] or not full
    ranks = np.mean(draws < inputs["parameters"][:, None], axis=1)
    assert max(stats.kstest(ranks[:, k], "uniform").statistic for k in range(2)) < 0.15
    # The map of the density at x = 0: two crescents of the same weight, on the arcs of radius 0.1.
    grid = np.linspace(-1, 1, 201)
    points = 3 * np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    density = 9 * np.exp(amortizer.log_posterior({"parameters": points, "direct_conditions": np.zeros((len(points), 2))}))
    mass = density * (grid[1] - grid[0]) ** 2
    assert abs(mass.sum() - 1) < 0.1 and abs(mass[points.sum(axis=1) > 0].sum() / mass.sum() - 0.5) < 0.1
    theta = amortizer.sample({"direct_conditions": np.zeros((1, 2))}, 2000) / 3
    radius = np.hypot(np.abs(theta.sum(axis=1)) / np.sqrt(2) - 0.25, (theta[:, 1] - theta[:, 0]) / np.sqrt(2))
    assert abs(np.median(radius) - 0.1) < 0.02 and np.mean(np.abs(radius - 0.1) < 0.05) > (0.95 if full else 0.85)


# --- Model misspecification ---


@FULL
def test_misspecification(full):
    """A deep set of two summaries, two layers, summaries regularized by MMD, 15 epochs of 500 steps, a memory of simulations; a test of 10 observed data sets
    against 500 of the null distribution; posteriors over a grid of wrong priors."""

    def model(prior_scale=1.0, noise=1.0):
        prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(0, prior_scale, (batch_size, 2)))
        simulate = lambda theta, rng: rng.normal(theta[:, None], noise, (len(theta), 50, 2))  # noqa: E731
        return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=simulate), seed=2)

    summary_net = bf.networks.DeepSet(summary_dim=2)
    network = bf.networks.InvertibleNetwork(2, 2, coupling_settings=UNREGULARIZED)
    amortizer = bf.amortizers.AmortizedPosterior(network, summary_net, summary_loss_fun="MMD")
    trainer = bf.trainers.Trainer(amortizer, model(), memory=True, progress=False, seed=1)
    trainer.train_online(epochs=15 if full else 2, iterations_per_epoch=500, batch_size=32)
    tests = {
        name: trainer.mmd_hypothesis_test(trainer.configurator(observed(10)), trainer.configurator(model()(1000)), num_null_samples=500 if full else 100, bootstrap=False)
        for name, observed in {"the same": model(), "a wide prior": model(prior_scale=4.0), "other noise": model(noise=6.0)}.items()
    }
    assert tests["the same"].p_value > 0.005
    assert tests["a wide prior"].p_value < 0.05 and tests["other noise"].p_value < 0.05
    scales = np.linspace(0.5, 4, 20) if full else np.array([1.0, 4.0])
    noises = np.linspace(0.5, 4, 20) if full else np.array([1.0, 4.0])
    axes = dict(name="prior scale", values=scales), dict(name="noise", values=noises)
    error, mmd = bf.sensitivity.misspecification_experiment(trainer, model, *axes, n_posterior_samples=100, n_sim=200, progress=False)
    right = np.argmin(np.abs(scales - 1)), np.argmin(np.abs(noises - 1))
    for values in (error["values"], mmd["values"]):
        assert values.shape == (len(scales), len(noises)) and values[-1, -1] > 2 * values[right] and values[right] < 1.5 * values.min() + 0.1
    assert bf.sensitivity.plot_model_misspecification_sensitivity(error, *(dict(axis, well_specified_value=1.0) for axis in axes)).axes


# --- A leaky competing accumulator, in conditions and with a varying number of trials ---


# Two accumulators with inputs, leak and inhibition race to a threshold (Usher, McClelland 2001), by Euler steps of 10 ms and at most 2 s. Rows: the time, which of the two
# (one-hot), and the condition (one-hot), in which the inputs change places.
RACE = """
#include <algorithm>
#include <cmath>
void race(const double* p, const double* condition, double* data, const int64_t* shape, bf_rng* rng) {
  for (int64_t n = 0; n < shape[0]; ++n) {
    const int swapped = condition[n] > 0.5;
    const double in[2] = {p[swapped], p[1 - swapped]};
    double x[2] = {0, 0}, noise[2];
    int steps = 0, winner = 0;
    while (steps < 200 && std::max(x[0], x[1]) <= p[3]) {
      rng->fill_normal(noise, 2);
      const double next0 = x[0] + 0.01 * (in[0] - p[2] * x[0] - 0.5 * x[1]) + 0.1 * noise[0];
      const double next1 = x[1] + 0.01 * (in[1] - p[2] * x[1] - 0.5 * x[0]) + 0.1 * noise[1];
      x[0] = std::max(next0, 0.0), x[1] = std::max(next1, 0.0);
      ++steps;
    }
    winner = x[1] > x[0];
    const double row[5] = {0.01 * steps + p[4], double(winner == 0), double(winner == 1), double(swapped == 0), double(swapped == 1)};
    std::copy(row, row + 5, data + 5 * n);
  }
}
"""


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler")
@FULL
def test_leaky_competing_accumulator(full, tmp_path):
    """A context generator for the number of trials, 200 to 300, and the condition of each; a set transformer of 32 summaries; the square root of the number as a direct condition;
    six layers; 60 epochs of 500 batches of 16; checkpoints."""
    low, high = (200, 300) if full else (20, 30)
    contexts = bf.simulation.ContextGenerator(
        non_batchable_context_fun=lambda rng: int(rng.integers(low, high + 1)),
        batchable_context_fun=lambda n_trials, rng: rng.integers(0, 2, n_trials),
        use_non_batchable_for_batchable=True,
    )
    lower, upper = np.array([0.5, 0.5, 0.1, 0.4, 0.1]), np.array([3.0, 3.0, 2.0, 1.0, 0.5])
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.uniform(lower, upper, (batch_size, 5)), param_names=["v1", "v2", "leak", "a", "t0"])
    race = bf.compile_cpp(RACE, "race", shape=lambda n_trials: (n_trials, 5))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=race, context_generator=contexts), seed=3)

    def configurator(simulations):
        data = simulations["sim_data"]
        return {
            "parameters": stats.norm.ppf((simulations["prior_draws"] - lower) / (upper - lower)),  # uniform priors on the whole line: a flow has no edges
            "summary_conditions": data,
            "direct_conditions": np.full((len(data), 1), np.sqrt(data.shape[1])),
        }

    summary_net = bf.networks.SetTransformer(input_dim=5, summary_dim=32)
    network = bf.networks.InvertibleNetwork(5, num_coupling_layers=6, coupling_settings=UNREGULARIZED)
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(network, summary_net), model, configurator, checkpoint_path=str(tmp_path), progress=False, seed=1)
    trainer.train_online(epochs=60 if full else 1, iterations_per_epoch=500 if full else 250, batch_size=16, save_checkpoint=True)
    inputs = configurator(model(300))
    draws = trainer.amortizer.sample(inputs, 200)
    recovery = bf.diagnostics.recovery(draws, inputs["parameters"])
    r2 = np.array([estimate.value for estimate in recovery.r2])
    assert (r2[4] > 0.9 and np.median(r2) > 0.5) if full else r2[4] > 0.4, r2  # the time before the race is easiest
    passed, sentence = calibrated(draws, inputs)
    assert passed or not full, sentence
    again = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(
        bf.networks.InvertibleNetwork(5, num_coupling_layers=6, coupling_settings=UNREGULARIZED), bf.networks.SetTransformer(input_dim=5, summary_dim=32)
    ), model, configurator, checkpoint_path=str(tmp_path), progress=False, seed=1)  # fmt: skip
    np.testing.assert_array_equal(again.amortizer.log_posterior(inputs), trainer.amortizer.log_posterior(inputs))


# --- An epidemic ---

POPULATION, DAYS = 83e6, 14


def epidemic_prior(batch_size, rng):
    return np.stack([
        rng.lognormal(np.log(0.4), 0.5, batch_size), rng.lognormal(np.log(1 / 8), 0.2, batch_size), rng.lognormal(np.log(8), 0.2, batch_size),
        rng.gamma(2, 20, batch_size), rng.exponential(5, batch_size),
    ], axis=1)  # fmt: skip


def epidemic(theta, rng):
    """Susceptible, infected, recovered; new infections are reported after a delay, from the day on which the first of them are, and counts are negative binomial."""
    rate, recovery, delay, infected, dispersion = theta.T
    delay = np.round(delay).astype(int)
    days = DAYS + delay.max()
    s, i = POPULATION - infected, infected.copy()
    new = np.empty((len(theta), days))
    for day in range(days):
        arrive = rate * i * s / POPULATION
        s, i = s - arrive, i + arrive - recovery * i
        new[:, day] = arrive
    reported = np.clip(np.take_along_axis(new, np.arange(DAYS) + delay[:, None], axis=1), 1e-5, 1e7)
    success = dispersion[:, None] / (dispersion[:, None] + reported)
    with np.errstate(invalid="ignore"):
        counts = rng.negative_binomial(np.maximum(dispersion[:, None], 1e-3), np.clip(success, 1e-9, 1 - 1e-12)).astype(float)
    counts[rng.random(len(theta)) < 0.01] = np.nan  # now and then a simulation breaks down
    return counts[..., None]


@FULL
def test_epidemic(full):
    """Five standardized parameters, the logarithm of counts of 14 days, a sequence network; rows that are not finite leave in the configurator; 10,000 given simulations, 30 epochs; posterior
    predictive checks."""
    prior = bf.simulation.Prior(batch_prior_fun=epidemic_prior, param_names=["rate", "recovery", "delay", "infected", "dispersion"])
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=epidemic), skip_test=True, seed=4)
    means, deviations = prior.estimate_means_and_stds(n_draws=5000)

    def configurator(simulations):
        x = np.log1p(simulations["sim_data"])
        keep = np.isfinite(x).all(axis=(1, 2))
        return {"parameters": ((simulations["prior_draws"] - means) / deviations)[keep], "summary_conditions": x[keep]}

    network = bf.networks.InvertibleNetwork(5, num_coupling_layers=4, coupling_settings=UNREGULARIZED)
    amortizer = bf.amortizers.AmortizedPosterior(network, bf.networks.SequenceNetwork())
    trainer = bf.trainers.Trainer(amortizer, configurator=configurator, progress=False, seed=1, nonfinite="drop")
    trainer.train_offline(model(10000 if full else 4000), epochs=30 if full else 8, batch_size=32)
    inputs = configurator(model(400))
    draws = amortizer.sample(inputs, 200)
    correlation = [stats.spearmanr(draws.mean(axis=1)[:, k], inputs["parameters"][:, k]).statistic for k in range(5)]
    assert correlation[0] > 0.9 and correlation[4] > 0.8, correlation  # the data say little about the others
    # Replicated data of the first data sets lie around the observed ones.
    theta = draws[:20] * deviations + means
    theta = np.maximum(theta, 1e-2)
    theta[..., 2] = np.clip(theta[..., 2], 1, 40)
    replicated = np.log1p(np.nan_to_num(np.stack([epidemic(t, np.random.default_rng(k)) for k, t in enumerate(theta)])))[..., 0]
    low, high = np.quantile(replicated, [0.025, 0.975], axis=1)
    observed = inputs["summary_conditions"][:20, :, 0]
    assert np.mean((observed >= low) & (observed <= high)) > 0.8
    passed, sentence = calibrated(draws, inputs)
    assert passed or not full, sentence


# --- A linear system of differential equations, a summary network of one's own ---


class LastStateOfAnLSTM(bf.networks.SummaryNetwork):
    def __init__(self, units=32):
        self.lstm = bf.networks.LSTM(units)

    def call(self, x):
        return self.lstm(x)


@FULL
def test_linear_differential_equations(full):
    """dx/dt = A x in two dimensions: the entries of A and the first state, from 50 noisy states; an LSTM of 32 units; five layers."""
    times = np.linspace(0, 2, 50)

    def simulate(theta, rng):
        a, x = theta[:, :4].reshape(-1, 2, 2), theta[:, 4:]
        values, vectors = np.linalg.eig(a.astype(complex))
        weights = np.linalg.solve(vectors, x[..., None].astype(complex))[..., 0]
        path = np.einsum("bij,bj,bjt->bti", vectors, weights, np.exp(values[..., None] * times)).real
        return path + rng.normal(0, 0.05, path.shape)

    bound = np.array([1, 1, 1, 1, 2, 2])
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.uniform(-bound, bound, (batch_size, 6)))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=simulate), seed=5)

    def configurator(simulations):  # uniform priors on the whole line: a flow has no edges
        return {"parameters": stats.norm.ppf((simulations["prior_draws"] / bound + 1) / 2), "summary_conditions": simulations["sim_data"]}

    network = bf.networks.InvertibleNetwork(6, num_coupling_layers=5, coupling_settings=UNREGULARIZED)
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(network, LastStateOfAnLSTM()), model, configurator, progress=False, seed=1, default_lr=5e-4 if full else 2e-3)
    trainer.train_online(epochs=40 if full else 2, iterations_per_epoch=1000, batch_size=32)
    inputs = configurator(model(1000))
    draws = trainer.amortizer.sample(inputs, 200)
    own_units = lambda theta: bound * (2 * stats.norm.cdf(theta) - 1)  # noqa: E731
    r2 = np.array([estimate.value for estimate in bf.diagnostics.recovery(own_units(draws), own_units(inputs["parameters"])).r2])
    assert (r2[4:].min() > 0.95 and r2[:4].min() > 0.5) if full else r2[4:].min() > 0.8, r2
    passed, sentence = calibrated(draws, inputs)
    assert passed or not full, sentence


# --- Sensitivity to the prior: its power as a context ---


@FULL
def test_power_scaled_prior(full):
    """p(theta)^alpha is normal with variance 1 / alpha for a standard normal prior. alpha is a batchable context of the prior, and a direct condition."""
    contexts = bf.simulation.ContextGenerator(batchable_context_fun=lambda rng: np.exp(rng.uniform(np.log(0.25), np.log(4))))
    prior = bf.simulation.Prior(prior_fun=lambda alpha, rng: rng.normal(0, alpha**-0.5, size=1), context_generator=contexts)
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, 1, size=(5, 1))), seed=6)

    def configurator(simulations):
        alpha = np.asarray(simulations["prior_batchable_context"]).reshape(-1, 1)
        return {"parameters": simulations["prior_draws"], "summary_conditions": simulations["sim_data"], "direct_conditions": np.log(alpha)}

    network = bf.networks.InvertibleNetwork(1, num_coupling_layers=4, coupling_settings=UNREGULARIZED)
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(network, bf.networks.DeepSet(summary_dim=4)), model, configurator, progress=False, seed=1, default_lr=5e-4 if full else 2e-3)
    trainer.train_online(epochs=10 if full else 1, iterations_per_epoch=1000 if full else 700, batch_size=64)
    x = np.full((3, 5, 1), 1.2) + np.array([-0.4, -0.2, 0.0, 0.2, 0.4])[:, None]
    alpha = np.array([0.25, 1.0, 4.0])
    draws = trainer.amortizer.sample({"summary_conditions": x, "direct_conditions": np.log(alpha)[:, None]}, 4000)[..., 0]
    tolerance = 0.05 if full else 0.12
    np.testing.assert_allclose(draws.mean(axis=1), 5 * 1.2 / (5 + alpha), atol=tolerance)
    np.testing.assert_allclose(draws.std(axis=1), (5 + alpha) ** -0.5, rtol=2 * tolerance)
