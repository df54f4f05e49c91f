"""Whatever is wrong is named: never a list of C++ signatures, never a file called None, never a hang."""

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, BayesFlowError, ConfigurationError

POST, TRUTH = np.random.default_rng(0).normal(size=(30, 20, 2)), np.random.default_rng(1).normal(size=(30, 2))
WRONG = [None, "text", 1.5, [1, "a"], {"a": 1}, object(), lambda: 1 / 0, np.ones((2, 2)), 10**30]
nets, opt, d = bf.networks, bf.optimizers, bf.diagnostics


def small(n):
    """A count that a loop in Python would run to, and a wrong one in its place."""
    return -1 if isinstance(n, int) else n


# Each takes a whole number, or makes something of it.
COUNTS = {
    "summary_dim": lambda n: nets.DeepSet(summary_dim=n)(np.zeros((2, 4, 2))),
    "units": lambda n: nets.DeepSet(4, dense_s1_args={"units": n}),
    "num_coupling_layers": lambda n: nets.InvertibleNetwork(3, n),
    "num_dense": lambda n: nets.InvertibleNetwork(3, 1, coupling_settings={"num_dense": n}),
    "period": lambda n: bf.helper_classes.RegressionLRAdjuster(period=n),
    "decay_steps": lambda n: opt.CosineDecay(1e-3, None if isinstance(n, int) else n),
    "batch_size": lambda n: bf.simulation.Prior(prior_fun=lambda: [0.0])(small(n)),
    "context": lambda n: bf.simulation.ContextGenerator(lambda: 1)(small(n)),
    "num_levels": lambda n: d.coverage(POST, TRUTH, num_levels=small(n)),
    "seed": lambda n: d.sbc_ranks(POST, TRUTH, seed=n),
    "n_folds": lambda n: d.c2st(TRUTH, TRUTH, n_folds=n),
}
NUMBERS = {
    "learning_rate": lambda x: opt.Adam(x),
    "decay_rate": lambda x: opt.ExponentialDecay(1e-3, 5, x),
    "beta_1": lambda x: opt.Adam(1e-3, beta_1=x),
    "df": lambda x: bf.latents.MultivariateStudentT(x),
    "soft_clamping": lambda x: nets.InvertibleNetwork(3, 1, coupling_settings={"soft_clamping": x}),
    "soft_flow_bounds": lambda x: nets.InvertibleNetwork(3, 1, soft_flow_bounds=(1e-3, x)),
    "confidence": lambda x: d.coverage(POST, TRUTH, confidence=x),
}


def refused(call, value):
    with pytest.raises((BayesFlowError, TypeError)) as caught:
        call(value)
    text = str(caught.value)
    assert "incompatible function arguments" not in text and "do not fit" not in text
    assert 20 < len(text) < 400, text


@pytest.mark.parametrize("value", WRONG, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("name", COUNTS)
def test_counts(name, value):
    refused(COUNTS[name], value)


@pytest.mark.parametrize("value", [v for v in WRONG if not isinstance(v, (float, int))], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name, value):
    if value is None and name in ("learning_rate", "soft_clamping") or name == "learning_rate" and callable(value):
        pytest.skip("has a meaning")
    refused(NUMBERS[name], value)


@pytest.mark.parametrize("value", [None, 3, 1.5, {}, object(), "", "zero\0byte"], ids=str)
def test_paths(value, tmp_path, monkeypatch, small_amortizer, gaussian_model):
    monkeypatch.chdir(tmp_path)
    amortizer, model = small_amortizer(), gaussian_model()
    amortizer.summary({"summary_conditions": np.zeros((2, 10, 4))})
    calls = [
        lambda path: amortizer.save(path),
        lambda path: bf.load_amortizer(path),
        lambda path: bf.SimulationStore(path),
        lambda path: bf.save_simulations(model(2), path),
        lambda path: model.presimulate(path, 2, progress=False),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="path"):
            call(value)
    assert list(tmp_path.iterdir()) == []


def test_sentences():
    with pytest.raises(TypeError, match="^recovery: threads must be a whole number; got str 'many'$"):
        d.recovery(POST, TRUTH, threads="many")
    with pytest.raises(ArgumentError, match="^sbc_ranks: seed must not be negative; got -1$"):
        d.sbc_ranks(POST, TRUTH, seed=-1)
    with pytest.raises(ConfigurationError, match="list of texts"):
        bf.simulation.Prior(prior_fun=lambda: 0.0, param_names="ab")
    with pytest.raises(ConfigurationError, match="prior_args"):
        bf.simulation.GenerativeModel(lambda: np.zeros(2), lambda t: t, simulator_is_batched=False)(2, prior_args=[1])


def test_a_users_own_type_error_stays(small_amortizer):
    """Only the engine's complaints are put in other words."""
    with pytest.raises(bf.exceptions.SimulationError, match="unsupported operand"):
        bf.simulation.Prior(prior_fun=lambda: 1 + "a")(2)
