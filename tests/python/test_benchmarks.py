"""Benchmark problems: against simulators written here in NumPy, against sbibm's files where these are, and v1's way of using them."""

import importlib.util
import os
import pathlib
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, IoError, OperationNotSupportedError, ShapeError, SimulationError

DATA = pathlib.Path(__file__).resolve().parents[1] / "benchmarks" / "data"
NAMES = bf.benchmarks.available_benchmarks
rng = np.random.default_rng(5)

SBIBM = os.environ.get("BAYESFLOW_SBIBM") or (importlib.util.find_spec("sbibm") and importlib.util.find_spec("sbibm").submodule_search_locations[0])
needs_sbibm = pytest.mark.skipif(not SBIBM, reason="sbibm is not installed, and BAYESFLOW_SBIBM does not say where its files are")


# --- the problems once more, as sbibm has them: priors, simulators and log densities on batches ---


def design():
    stimulus = np.random.RandomState(42).randn(100).astype(np.float32).astype(float)
    lagged = [np.concatenate([np.zeros(j), stimulus[: 100 - j]]) for j in range(9)]
    return np.stack([np.ones(100), *lagged], axis=1)


def glm_factor():
    d = np.eye(9) - np.eye(9, k=-1)
    return d @ d + np.diag(np.sqrt(np.arange(9) / 9))


def solved(slope, state, times, step):
    """Logarithms of a state (d, B) at evenly spaced times, by small steps of Runge and Kutta's method of order 4."""
    out, steps = [state], round((times[1] - times[0]) / step)
    for _ in times[1:]:
        for _ in range(steps):
            k1 = slope(state)
            k2 = slope(state + step / 2 * k1)
            k3 = slope(state + step / 2 * k2)
            state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + slope(state + step * k3))
        out.append(state)
    return np.stack(out, axis=-1)  # (d, B, times)


def infected(theta):
    beta, gamma = theta.T
    start = np.log(np.array([1e6 - 1, 1.0]))[:, None] * np.ones(len(theta))
    path = solved(lambda y: np.stack([-beta * np.exp(y[1]) / 1e6, beta * np.exp(y[0]) / 1e6 - gamma]), start, 17.0 * np.arange(10), 0.25)
    return np.clip(np.exp(path[1]) / 1e6, 0, 1)


def populations(theta):
    alpha, beta, gamma, delta = theta.T
    start = np.log(np.array([30.0, 1.0]))[:, None] * np.ones(len(theta))
    path = solved(lambda y: np.stack([alpha - beta * np.exp(y[1]), delta * np.exp(y[0]) - gamma]), start, 2.1 * np.arange(10), 0.02)
    return np.clip(np.concatenate([path[0], path[1]], axis=1), np.log(1e-10), np.log(1e4))


def slcp_widths(theta):
    return theta[:, 2] ** 2, theta[:, 3] ** 2, np.tanh(theta[:, 4])


def simulate_slcp(theta):
    s1, s2, rho = (w[:, None] for w in slcp_widths(theta))
    u, v = rng.normal(size=(2, len(theta), 4))
    return np.stack([theta[:, :1] + s1 * u, theta[:, 1:2] + s2 * (rho * u + np.sqrt(1 - rho**2) * v)], axis=2).reshape(len(theta), 8)


def simulate_glm(theta):
    return (rng.uniform(size=(len(theta), 100)) < 1 / (1 + np.exp(-theta @ design().T))).astype(float)


def simulate_moons(theta):
    a, r = rng.uniform(-np.pi / 2, np.pi / 2, len(theta)), rng.normal(0.1, 0.01, len(theta))
    s, d = (theta[:, 0] + theta[:, 1]) / np.sqrt(2), (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    return np.stack([r * np.cos(a) + 0.25 - np.abs(s), r * np.sin(a) + d], axis=1)


def simulate_arm(t):
    a = np.cumsum(t[:, 1:], axis=1)
    lengths = np.array([0.5, 0.5, 1.0])
    return np.stack([t[:, 0] + np.sin(a) @ lengths, np.cos(a) @ lengths], axis=1)


def simulate_distractors(theta):
    """The mixture made as sbibm made it."""
    state = np.random.RandomState(42)
    means = np.array([15 * state.normal(size=92) for _ in range(20)])
    factors = 3 * np.array([np.tril(state.normal(size=(92, 92))) + np.diag(np.exp(state.normal(size=92))) for _ in range(20)])
    order = state.permutation(100)
    k = rng.integers(20, size=len(theta))
    t = np.einsum("bij,bj->bi", factors[k], rng.normal(size=(len(theta), 92))) / np.sqrt(rng.chisquare(2, size=(len(theta), 1)) / 2)
    return np.concatenate([simulate_slcp(theta), means[k] + t], axis=1)[:, order]


def log_normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))


def uniform_prior(low, high, p):
    return lambda n: rng.uniform(low, high, size=(n, p)), lambda t: np.where(np.all((t >= low) & (t <= high), axis=1), 0.0, -np.inf)


def log_normal_prior(mean, sd):
    mean, sd = np.array(mean), np.array(sd)
    density = lambda t: np.where(np.all(t > 0, axis=1), np.sum(log_normal(np.log(np.abs(t)), mean, sd**2) - np.log(np.abs(t)), axis=1), -np.inf)  # noqa: E731
    return lambda n: np.exp(rng.normal(mean, sd, size=(n, len(mean)))), density


def glm_prior():
    factor = glm_factor()

    def draws(n):
        return np.concatenate([np.sqrt(2) * rng.normal(size=(n, 1)), np.linalg.solve(factor, rng.normal(size=(9, n))).T], axis=1)

    return draws, lambda t: -0.25 * t[:, 0] ** 2 - 0.5 * np.sum((t[:, 1:] @ factor.T) ** 2, axis=1)


def log_likelihood_slcp(theta, x):
    s1, s2, rho = slcp_widths(theta)
    a, b, c = s1**2 + 1e-6, s2**2 + 1e-6, rho * s1 * s2
    u, v = (x.reshape(4, 2)[:, i][:, None] - theta[:, i] for i in (0, 1))
    determinant = a * b - c**2
    return np.sum(-0.5 * (b * u**2 - 2 * c * u * v + a * v**2) / determinant - 0.5 * np.log(determinant), axis=0)


def log_likelihood_sir(theta, x):
    p = np.maximum(infected(theta), 1e-300)
    return np.sum(x * np.log(p) + (1000 - x) * np.log1p(-p), axis=1)


def log_likelihood_glm(theta, z):
    psi = theta @ design().T
    return np.sum(z * psi - np.logaddexp(0, psi), axis=1)


PROBLEMS = {
    "gaussian_linear": ((lambda n: np.sqrt(0.1) * rng.normal(size=(n, 10)), None), lambda t: rng.normal(t, np.sqrt(0.1)), None),
    "gaussian_linear_uniform": (uniform_prior(-1, 1, 10), lambda t: rng.normal(t, np.sqrt(0.1)), lambda t, x: np.sum(log_normal(x, t, 0.1), axis=1)),
    "slcp": (uniform_prior(-3, 3, 5), simulate_slcp, log_likelihood_slcp),
    "slcp_distractors": (uniform_prior(-3, 3, 5), simulate_distractors, None),
    "bernoulli_glm": (glm_prior(), lambda t: simulate_glm(t) @ design(), None),
    "bernoulli_glm_raw": (glm_prior(), simulate_glm, log_likelihood_glm),
    "gaussian_mixture": (uniform_prior(-10, 10, 2), lambda t: rng.normal(t, np.where(rng.uniform(size=(len(t), 1)) < 0.5, 1, 0.1)),
                         lambda t, x: np.logaddexp(*(np.sum(log_normal(x, t, v), axis=1) for v in (1.0, 0.01)))),
    "two_moons": (uniform_prior(-1, 1, 2), simulate_moons, None),
    "sir": (log_normal_prior([np.log(0.4), np.log(0.125)], [0.5, 0.2]), lambda t: rng.binomial(1000, infected(t)), log_likelihood_sir),
    "lotka_volterra": (log_normal_prior([-0.125, -3, -0.125, -3], [0.5] * 4), lambda t: np.exp(rng.normal(populations(t), 0.1)),
                       lambda t, x: np.sum(log_normal(np.log(x), populations(t), 0.01), axis=1)),
    "inverse_kinematics": ((lambda n: rng.normal(size=(n, 4)) * [0.25, 0.5, 0.5, 0.5], None), simulate_arm, None),
}  # fmt: skip


def kolmogorov_smirnov(x, y):
    """sqrt(n m / (n + m)) D: above 2.7 with probability 1e-6."""
    values = np.sort(np.concatenate([x, y]))
    distance = np.abs(np.searchsorted(np.sort(x), values, "right") / len(x) - np.searchsorted(np.sort(y), values, "right") / len(y)).max()
    return distance * np.sqrt(len(x) * len(y) / (len(x) + len(y)))


@pytest.mark.parametrize("name", NAMES)
def test_prior_and_simulator_are_those_written_here(name):
    (prior, _), simulate, _ = PROBLEMS[name]
    n = 4000
    ours = bf.benchmarks.Benchmark(name, seed=1).generative_model(n)
    theta = prior(n)
    assert ours["prior_draws"].shape == theta.shape
    for j in range(theta.shape[1]):
        assert kolmogorov_smirnov(ours["prior_draws"][:, j], theta[:, j]) < 2.7, f"parameter {j}"
    here = simulate(theta)
    assert ours["sim_data"].shape == here.shape
    # Data, and how they depend on parameters and on each other: all columns, and products with the middle of neighbours taken off.
    center, middle = np.median(theta, axis=0), np.median(here, axis=0)

    def features(t, x):
        t, x = t - center, x - middle
        p = t.shape[1]
        return [*x.T, *(x[:, j] * t[:, j % p] for j in range(x.shape[1])), *(x[:, j] * x[:, j - 1] for j in range(x.shape[1]))]

    for j, (a, b) in enumerate(zip(features(ours["prior_draws"], ours["sim_data"]), features(theta, here))):
        assert kolmogorov_smirnov(a, b) < 2.9, f"feature {j}"


@needs_sbibm
@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if problem[2]])
@pytest.mark.parametrize("observation", [1, 2, 3])
def test_sbibms_posterior_is_that_of_the_densities_written_here(name, observation):
    """Steps of Metropolis' algorithm leave a posterior as it is: draws of the reference keep their means and widths."""
    (_, log_prior), _, log_likelihood = PROBLEMS[name]
    reference = bf.benchmarks.Benchmark(name).reference(observation, SBIBM)
    start, x = reference["posterior_samples"][:4000], reference["observation"]
    log_density = lambda t: log_prior(t) + log_likelihood(t, x)  # noqa: E731
    theta, now = start.copy(), log_density(start)
    assert np.isfinite(now).all()
    accepted = 0
    for _ in range(25):
        # Differences of two other draws as proposals: of the posterior's own shape (ter Braak 2006), from draws that do not move.
        i, j = rng.integers(len(start), size=(2, len(theta)))
        proposed = theta + 1.2 / np.sqrt(theta.shape[1]) * (start[i] - start[j])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            there = log_density(np.where(np.isfinite(log_prior(proposed))[:, None], proposed, start))
        there = np.where(np.isfinite(log_prior(proposed)), there, -np.inf)
        take = np.log(rng.uniform(size=len(theta))) < there - now
        theta[take], now[take] = proposed[take], there[take]
        accepted += take.mean() / 25
    assert accepted > 0.02
    sd = start.std(axis=0)
    assert np.abs((theta.mean(axis=0) - start.mean(axis=0)) / sd).max() < 5 * np.sqrt(2 / len(start))
    assert np.abs(theta.std(axis=0) / sd - 1).max() < 0.08


@needs_sbibm
def test_the_conjugate_posterior_passes_and_a_wide_one_does_not():
    benchmark = bf.benchmarks.Benchmark("gaussian_linear", mode="posterior")

    class Exact:
        def __init__(self, factor):
            self.factor = factor

        def sample(self, inputs, n):
            return np.random.default_rng(0).normal(inputs["direct_conditions"] / 2, self.factor * np.sqrt(0.05), size=(n, 10))

    options = dict(observations=[1, 2], n_samples=2000, max_epochs=30)
    assert abs(benchmark.posterior_check(Exact(1), SBIBM, **options).mean.value - 0.5) < 0.03
    assert benchmark.posterior_check(Exact(1.5), SBIBM, **options).mean.value > 0.65


# --- v1's way of using them ---


def test_names_are_v1s():
    assert NAMES == ["gaussian_linear", "gaussian_linear_uniform", "slcp", "slcp_distractors", "bernoulli_glm", "bernoulli_glm_raw", "gaussian_mixture",
                     "two_moons", "sir", "lotka_volterra", "inverse_kinematics"]  # fmt: skip
    for name in NAMES:
        module = bf.benchmarks.get_benchmark_module(name)
        assert module is getattr(bf.benchmarks, name) and set(module.bayesflow_benchmark_info) == {"simulator_is_batched", "parameter_names", "configurator_info"}
    assert bf.benchmarks.bernoulli_glm.bayesflow_benchmark_info["parameter_names"] == [r"$\beta$", *(rf"$f_{i}$" for i in range(1, 10))]


@pytest.mark.parametrize("name", NAMES)
def test_modules_have_functions_of_one_simulation(name):
    module = bf.benchmarks.get_benchmark_module(name)
    benchmark = bf.benchmarks.Benchmark(name)
    theta = module.prior(rng=np.random.default_rng(1))
    assert theta.shape == (benchmark.num_params,)
    assert np.array_equal(theta, module.prior(rng=np.random.default_rng(1))) and not np.array_equal(theta, module.prior())
    x = module.simulator(theta, rng=np.random.default_rng(2))
    assert x.shape == benchmark.data_shape
    assert np.array_equal(x, module.simulator(theta, rng=np.random.default_rng(2)))
    if name != "inverse_kinematics":
        generator = np.random.default_rng(2)
        draws = np.array([module.simulator(np.tile(theta, (40, 1)), rng=generator) for _ in range(2)])
        assert len(np.unique(draws.reshape(80, -1), axis=0)) > 1
    assert module.simulator(np.stack([theta, theta])).shape == (2, *benchmark.data_shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["posterior", "likelihood", "joint"])
def test_configurators(name, mode):
    benchmark = bf.benchmarks.Benchmark(name, mode=mode, seed=2)
    forward = benchmark.generative_model(3)
    out = benchmark.configurator(forward)
    scale = {"slcp": 30, "slcp_distractors": 50, "gaussian_mixture": 12, "lotka_volterra": 1000, "sir": 1000, "bernoulli_glm": 100}.get(name, 1)
    posterior = out["posterior_inputs"] if mode == "joint" else out
    likelihood = out["likelihood_inputs"] if mode == "joint" else out
    if mode != "likelihood":
        assert set(posterior) == {"parameters", "direct_conditions"} and all(v.dtype == np.float32 for v in posterior.values())
        np.testing.assert_array_equal(posterior["parameters"], forward["prior_draws"].astype(np.float32))
        np.testing.assert_allclose(posterior["direct_conditions"], forward["sim_data"] / scale, rtol=1e-6)
    if mode != "posterior":
        assert set(likelihood) == {"observables", "conditions"} and all(v.dtype == np.float32 for v in likelihood.values())
        if name == "bernoulli_glm_raw":
            np.testing.assert_array_equal(likelihood["observables"][:, :, 0], forward["sim_data"])
            np.testing.assert_allclose(likelihood["conditions"][:, :, :9], np.broadcast_to(design()[:, 1:], (3, 100, 9)), rtol=1e-6)
            np.testing.assert_allclose(likelihood["conditions"][:, :, 9:], np.repeat(forward["prior_draws"][:, None], 100, axis=1), rtol=1e-6)
        else:
            np.testing.assert_allclose(likelihood["observables"], forward["sim_data"] / scale, rtol=1e-6)
            np.testing.assert_array_equal(likelihood["conditions"], forward["prior_draws"].astype(np.float32))


def test_options_reach_priors_simulators_and_configurators():
    benchmark = bf.benchmarks.Benchmark("slcp", "posterior", sim_kwargs={"n_obs": 6, "flatten": False}, prior_kwargs={"lower_bound": 0})
    forward = benchmark.generative_model(50)
    assert benchmark.data_shape == (6, 2) and forward["prior_draws"].min() >= 0
    np.testing.assert_allclose(benchmark.configurator(forward, scale_data=2)["summary_conditions"], forward["sim_data"] / 2, rtol=1e-6)
    flat = bf.benchmarks.Benchmark("lotka_volterra", "posterior")
    forward = flat.generative_model(4)
    series = flat.configurator(forward, as_summary_condition=True)["summary_conditions"]
    np.testing.assert_allclose(series, np.swapaxes(forward["sim_data"].reshape(4, 2, 10), 1, 2) / 1000, rtol=1e-6)
    scaled = bf.benchmarks.Benchmark("sir", "posterior", seed=3, sim_kwargs={"scale_by_total": True})
    counts = bf.benchmarks.Benchmark("sir", "posterior", seed=3)
    a, b = scaled.configurator(scaled.generative_model(5)), counts.configurator(counts.generative_model(5))
    np.testing.assert_array_equal(a["direct_conditions"], b["direct_conditions"])
    assert counts.configurator(counts.generative_model(5), as_summary_condition=True)["summary_conditions"].shape == (5, 10, 1)
    three = bf.benchmarks.Benchmark("gaussian_mixture", prior_kwargs={"D": 3})
    assert three.generative_model.param_names == [r"$\mu_1$", r"$\mu_2$", r"$\mu_3$"] and three.data_shape == (3,)
    noisy = bf.benchmarks.inverse_kinematics.simulator(np.zeros((4000, 4)), noise=0.5)
    assert abs(noisy[:, 1].mean() - 2) < 0.05 and abs(noisy[:, 1].std() - 0.5) < 0.03
    arm = bf.benchmarks.Benchmark("inverse_kinematics", prior_kwargs={"scales": np.array([1, 2, 3, 4])})
    assert abs(arm.generative_model(4000)["prior_draws"].std(axis=0) / [1, 2, 3, 4] - 1).max() < 0.06
    assert bf.benchmarks.gaussian_linear.simulator(np.zeros((7, 3)), n_obs=5).shape == (7, 5, 3)


def test_v1s_helpers_of_the_distractors():
    module = bf.benchmarks.slcp_distractors
    student = module.get_random_student_t(3, mu_scale=0, shape_scale=0.04, rng=np.random.default_rng(1))
    draws = student.rvs(20_000)
    assert draws.shape == (20_000, 3) and student.rvs().shape == (3,)
    # Of 2 degrees of freedom half of the draws are within 0.8165 scales.
    assert abs(np.mean(np.abs(draws[:, 0]) < 0.2 * 0.81650) - 0.5) < 0.02
    assert module.draw_mixture_student_t(5, 11, 2, rng=np.random.default_rng(1)).shape == (11, 2)


def test_models_are_compiled_and_reproducible():
    for name in NAMES:
        model = bf.benchmarks.Benchmark(name, seed=4).generative_model
        assert model._is_native
        again = bf.benchmarks.Benchmark(name, seed=4).generative_model
        first, second = model(20), again(20)
        np.testing.assert_array_equal(first["sim_data"], second["sim_data"])
        assert not np.array_equal(first["prior_draws"], model(20)["prior_draws"])
        assert not np.array_equal(first["prior_draws"], bf.benchmarks.Benchmark(name, seed=5).generative_model(20)["prior_draws"])
        # One by one as all together.
        third = bf.benchmarks.Benchmark(name, seed=4).generative_model
        np.testing.assert_array_equal(np.concatenate([third(1)["sim_data"] for _ in range(3)]), first["sim_data"][:3])
    prior = pickle.loads(pickle.dumps(bf.benchmarks.Benchmark("sir").generative_model.prior))
    assert prior(3)["prior_draws"].shape == (3, 2)
    assert "benchmarks.sir.prior" in repr(prior)


@pytest.mark.parametrize("name", NAMES)
def test_every_problem_trains(name):
    benchmark = bf.benchmarks.Benchmark(name, "posterior")
    dense = {"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False}
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(benchmark.num_params, 2, coupling_settings=dense))
    trainer = bf.trainers.Trainer(amortizer, benchmark.generative_model, configurator=benchmark.configurator, progress=False)
    losses = trainer.train_online(1, 5, 8)
    assert np.isfinite(np.asarray(losses)).all()
    inputs = benchmark.configurator(benchmark.generative_model(2))
    assert amortizer.sample(inputs, 3).shape == (2, 3, benchmark.num_params)


# --- references ---


def exact_two_moons(inputs, n):
    x = inputs["direct_conditions"][0].astype(float)
    noise = simulate_moons(np.zeros((60 * n, 2)))
    s, d = noise[:, 0] - x[0], x[1] - noise[:, 1]
    s, d = s[s > 0], d[s > 0]
    s = s * rng.choice([-1, 1], len(s))
    theta = np.stack([s - d, s + d], axis=1) / np.sqrt(2)
    return theta[np.abs(theta).max(axis=1) <= 1][:n]


class Sampler:
    def __init__(self, function):
        self.sample = function


def test_posterior_check():
    benchmark = bf.benchmarks.Benchmark("two_moons")
    quick = dict(observations=[1, 2], max_epochs=30)
    right = benchmark.posterior_check(Sampler(exact_two_moons), DATA, **quick)
    assert abs(right.mean.value - 0.5) < 0.05 and list(right.observations) == [1, 2]
    assert right.c2st[0].num_per_class == 500
    table = right.tables()["posterior_check"]
    assert list(table.columns) == ["observation", "c2st", "standard_error", "p_value"] and len(table) == 2
    assert pickle.loads(pickle.dumps(right)).mean.value == right.mean.value
    wrong = benchmark.posterior_check(Sampler(lambda inputs, n: np.abs(exact_two_moons(inputs, n))), DATA, **quick)
    assert wrong.mean.value > 0.6
    # With transformed parameters and a configurator of one's own.
    tripled = Sampler(lambda inputs, n: 3 * exact_two_moons(inputs, n)[None])
    configurator = lambda f: {"direct_conditions": f["sim_data"], "parameters": 3 * f["prior_draws"]}  # noqa: E731
    mended = benchmark.posterior_check(tripled, DATA, configurator=configurator, to_parameters=lambda t: t / 3, **quick)
    assert abs(mended.mean.value - 0.5) < 0.05
    untrained = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2))
    assert benchmark.posterior_check(untrained, DATA, n_samples=100, **quick).mean.value > 0.65


def test_reference():
    reference = bf.benchmarks.Benchmark("two_moons").reference(2, DATA / "two_moons")
    assert {key: value.shape for key, value in reference.items()} == {"observation": (2,), "true_parameters": (2,), "posterior_samples": (500, 2)}


def test_run(tmp_path):
    arguments = dict(simulations=[100], observations=[1, 2], path=DATA, output=tmp_path / "rows.csv")
    rows = bf.benchmarks.run(["two_moons"], seeds=[3], **arguments)
    assert rows.task.tolist() == ["two_moons"] and rows.simulations[0] == 100 and rows.seed[0] == 3
    assert 0.5 < rows.least[0] <= rows.c2st[0] <= rows.most[0] <= 1
    assert "flow" in rows.network[0] and rows.members[0] >= 1 and rows.fit_seconds[0] > 0 and rows.fit_cpu_seconds[0] > 0 and rows.sample_seconds[0] > 0
    lines = arguments["output"].read_text().splitlines()
    arguments["output"].write_text("\n".join([lines[0], lines[1].replace(repr(float(rows.c2st[0])), "0.25")]) + "\n")
    again = bf.benchmarks.run(["two_moons"], seeds=[3], **arguments)
    assert again.c2st[0] == 0.25 and again.drop(columns="c2st").equals(rows.drop(columns="c2st"))  # of the file, not measured again
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for wrong, message in [
        (dict(tasks=["inverse_kinematics"]), "tasks must be among two_moons, .*; got 'inverse_kinematics'"),
        (dict(simulations=[10]), "simulations"),
        (dict(output=tmp_path / "other.csv"), "has other columns"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            bf.benchmarks.run(**(dict(tasks=["two_moons"]) | arguments | wrong))
    with pytest.raises(IoError, match="num_observation_3"):
        bf.benchmarks.run(["two_moons"], **(arguments | dict(observations=[3])))


@needs_sbibm
def test_every_reference_is_read():
    for name in NAMES[:-1]:
        benchmark = bf.benchmarks.Benchmark(name)
        reference = benchmark.reference(10, SBIBM)
        assert reference["posterior_samples"].shape == (10_000, benchmark.num_params) and reference["observation"].shape == benchmark.data_shape


Benchmark = bf.benchmarks.Benchmark
FORWARD = {"prior_draws": np.zeros((2, 2)), "sim_data": np.zeros((2, 2))}
REFUSED = [
    (lambda: Benchmark("two_suns"), ConfigurationError, "Benchmark: there is no problem 'two_suns'; there are gaussian_linear, gaussian_linear_uniform, slcp, "),
    (lambda: Benchmark(3), ConfigurationError, "Benchmark: there is no problem 3; there are gaussian_linear, "),
    (lambda: Benchmark("slcp", "both"), OperationNotSupportedError, "Benchmark: mode must be one of 'posterior', 'likelihood', 'joint'; got 'both'"),
    (lambda: Benchmark("slcp", "joint", -1), ConfigurationError, "Benchmark: seed must be an integer of at least 0; got -1"),
    (lambda: Benchmark("slcp", n_obs=3), ConfigurationError, "Benchmark: arguments go into prior_kwargs and sim_kwargs; got n_obs"),
    (lambda: Benchmark("slcp", sim_kwargs=3), ConfigurationError, "Benchmark: sim_kwargs must be a dictionary of arguments; got int"),
    (lambda: Benchmark("slcp", sim_kwargs={"n": 3}), ConfigurationError, 'Benchmark "slcp": its simulator has no setting "n"; it has n_obs, flatten'),
    (lambda: Benchmark("slcp", sim_kwargs={"n_obs": "4"}), ConfigurationError, "n_obs must be a number; got '4'"),
    (lambda: Benchmark("slcp", sim_kwargs={"n_obs": 0}), ConfigurationError, 'Benchmark "slcp": n_obs must be a whole number from 1 to 1000000; got 0'),
    (lambda: Benchmark("slcp", sim_kwargs={"flatten": 1}), ConfigurationError, 'Benchmark "slcp": flatten must be True or False; got 1'),
    (lambda: Benchmark("slcp", sim_kwargs={"n_obs": True}), ConfigurationError, 'Benchmark "slcp": n_obs must be a whole number from 1 to 1000000; got True'),
    (lambda: bf.benchmarks.slcp.prior(3, 2), ConfigurationError, "Benchmark: the prior's lower_bound must be below its upper_bound; got 3 and 2"),
    (lambda: bf.benchmarks.slcp.prior(rng=3), ConfigurationError, "rng must be a numpy.random.Generator, as numpy.random.default_rng(seed) makes them, or None; got 3"),
    (lambda: bf.benchmarks.slcp.simulator(np.zeros(4)), SimulationError, "it has 5 parameters; got 4"),
    (lambda: bf.benchmarks.slcp.simulator(2.0), ShapeError, "theta"),
    (lambda: bf.benchmarks.lotka_volterra.simulator([1, -1, 1, 1]), SimulationError, "the differential equation has no finite solution for these parameters"),
    (lambda: bf.benchmarks.two_moons.configurator(FORWARD, "x"), OperationNotSupportedError, "mode must be one of 'posterior', 'likelihood', 'joint'; got 'x'"),
    (lambda: bf.benchmarks.two_moons.configurator({}), ConfigurationError, 'configurator: "prior_draws" and "sim_data" are required'),
    (lambda: bf.benchmarks.two_moons.configurator({**FORWARD, "sim_data": np.zeros((3, 2))}), ShapeError, "as many rows; got the shapes (2, 2) and (3, 2)"),
    (lambda: bf.benchmarks.slcp_distractors.configurator(FORWARD, as_summary_condition=True), ConfigurationError,
     "neither a set nor a series, so as_summary_condition must be False; settings of the simulator (n_obs, flatten = False) make a set of them"),
    (lambda: bf.benchmarks.sir.configurator(FORWARD, scale_data=0), ConfigurationError, 'Benchmark "sir": scale_data must be a number above 0; got 0'),
    (lambda: Benchmark("two_moons").posterior_check(3, DATA), ConfigurationError, "posterior_check: amortizer.sample must be a function of (input_dict, n_samples); got None"),
    (lambda: Benchmark("two_moons").posterior_check(Sampler(exact_two_moons), "/nowhere"), IoError,
     'posterior_check: "/nowhere" holds no folder num_observation_1 of sbibm\'s problem two_moons'),
    (lambda: Benchmark("two_moons").posterior_check(Sampler(lambda i, n: np.zeros((n, 3))), DATA), ShapeError,
     "posterior_check: draws for an observation must have the shape (500, 2); got (500, 3)"),
    (lambda: Benchmark("two_moons").posterior_check(Sampler(exact_two_moons), DATA, observations=[0]), ConfigurationError,
     "posterior_check: an observation's number must be a positive integer; got 0"),
    (lambda: Benchmark("inverse_kinematics").reference(1, DATA), ConfigurationError, "it is none of sbibm's problems, and has no reference posteriors"),
    (lambda: Benchmark("two_moons", prior_kwargs={"upper_bound": 2}).reference(1, DATA), ConfigurationError,
     "sbibm's reference posteriors are those of its own settings; got upper_bound = 2 instead of 1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "sentence"), REFUSED, ids=[sentence[-50:] for _, _, sentence in REFUSED])
def test_what_makes_no_sense_is_refused_with_a_sentence(call, kind, sentence):
    with pytest.raises(kind) as error:
        call()
    assert sentence in str(error.value)


def test_a_user_s_exception_arrives_as_itself():
    def fails(inputs, n):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        bf.benchmarks.Benchmark("two_moons").posterior_check(Sampler(fails), DATA)


@pytest.mark.skipif(bool(importlib.util.find_spec("sbibm")), reason="sbibm is installed")
def test_without_a_path_sbibm_must_be_installed():
    with pytest.raises(ConfigurationError, match="posterior_check: sbibm is not installed; give the path of its files: pip download --no-deps sbibm"):
        bf.benchmarks.Benchmark("two_moons").posterior_check(Sampler(exact_two_moons))


def test_simulators_refuse_parameters_of_another_model():
    """They read no memory beyond a row."""
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4))
    simulator = bf.benchmarks.Benchmark("slcp").generative_model.simulator
    with pytest.raises(ConfigurationError, match="it has 5 parameters; got 4"):
        bf.simulation.GenerativeModel(prior, simulator)
    with pytest.raises((ArgumentError, SimulationError), match="it has 5 parameters; got 3"):
        simulator(np.zeros((2, 3)))
