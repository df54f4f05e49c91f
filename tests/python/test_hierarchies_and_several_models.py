"""TwoLevelPrior, TwoLevelGenerativeModel, MultiGenerativeModel."""

import re
from pathlib import Path

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError, SimulationError
from bayesflow_cpp.simulation.multi import SharedContext
from bayesflow_cpp.simulation import ContextGenerator, GenerativeModel, MultiGenerativeModel, Prior, Simulator, SimulationStore, TwoLevelGenerativeModel, TwoLevelPrior


def hyper(rng):
    return rng.normal(size=1)


def local(params, rng, scale=1.0):
    return rng.normal(params[0], scale, size=(4, 2))


def shared(rng):
    return rng.normal(100, 1, size=1)


def data_of(params, rng):
    groups, common = params
    return rng.normal(groups[:, None] + common, 0.1, size=(4, 6, 2))


def two_level(**options):
    return TwoLevelGenerativeModel(TwoLevelPrior(hyper, local, shared), data_of, simulator_is_batched=False, **options)


def test_a_two_level_prior_draws_v1s_dictionary():
    prior = TwoLevelPrior(hyper, local, shared)
    out = prior(3, local_args={"scale": 1e-9})
    assert {key: np.shape(value) for key, value in out.items() if value is not None} == {
        "hyper_parameters": (3, 1), "local_parameters": (3, 4, 2), "shared_parameters": (3, 1)}  # fmt: skip
    np.testing.assert_allclose(out["local_parameters"], np.broadcast_to(out["hyper_parameters"][:, None], (3, 4, 2)), atol=1e-6)
    assert prior.draw_hyper_parameters().shape == (1,) and prior.draw_local_parameters([5.0], scale=1e-9)[0, 0] == pytest.approx(5)
    assert prior.draw_shared_parameters().shape == (1,)
    assert "shared_parameters" not in TwoLevelPrior(hyper, local)(2)
    with pytest.raises(ConfigurationError, match="shared_prior_fun"):
        TwoLevelPrior(hyper, local).draw_shared_parameters()
    with pytest.raises(ConfigurationError, match="hyper_args, local_args"):
        prior(3, scale=2)


def test_a_two_level_model_makes_v1s_dictionary():
    model = two_level(seed=3)
    first, second = model(5), model(5)
    assert set(first) == {"sim_data", "hyper_prior_draws", "local_prior_draws", "shared_prior_draws", "sim_batchable_context", "sim_non_batchable_context",
                          "prior_batchable_context", "prior_non_batchable_context"}  # fmt: skip
    assert first["sim_data"].shape == (5, 4, 6, 2) and not np.array_equal(first["sim_data"], second["sim_data"])
    expected = first["local_prior_draws"][:, :, None] + first["shared_prior_draws"][:, None, None]
    assert np.abs(first["sim_data"] - expected).max() < 1
    np.testing.assert_array_equal(two_level(seed=3)(10)["sim_data"][5:], second["sim_data"])


def test_contexts_reach_local_prior_and_simulator():
    groups = ContextGenerator(non_batchable_context_fun=lambda rng: int(rng.integers(2, 7)))
    prior = TwoLevelPrior(hyper, lambda params, n, rng: rng.normal(params[0], size=(n, 1)), local_context_generator=groups)
    simulator = Simulator(simulator_fun=lambda groups, scale, rng: groups * scale, context_generator=ContextGenerator(batchable_context_fun=lambda rng: rng.uniform(1, 2)))
    out = TwoLevelGenerativeModel(prior, simulator)(3)
    assert out["sim_data"].shape == (3, out["prior_non_batchable_context"], 1)
    np.testing.assert_allclose(out["sim_data"], out["local_prior_draws"] * np.array(out["sim_batchable_context"])[:, None, None])


def test_groups_that_vary_are_padded():
    prior = TwoLevelPrior(hyper, lambda params, rng: rng.normal(9, 1, size=(rng.integers(1, 5), 2)))
    simulate = lambda groups, rng: rng.normal(9, 1, size=(len(groups), rng.integers(2, 4), 1))  # noqa: E731
    out = TwoLevelGenerativeModel(prior, simulate, simulator_is_batched=False, pad_to=(4, 3))(40)
    np.testing.assert_array_equal(out["sim_data_mask"] > 0, out["sim_data"][..., 0] != 0)
    np.testing.assert_array_equal(out["local_mask"] > 0, out["local_prior_draws"][..., 0] != 0)
    assert 0.3 < out["sim_data_mask"].mean() < 0.9
    with pytest.raises(SimulationError, match="cannot be padded to"):
        TwoLevelGenerativeModel(prior, simulate, True, False, pad_to=(3, 3))(40)
    with pytest.raises(SimulationError, match="one shape for all"):
        TwoLevelGenerativeModel(prior, simulate, True, False)(40)
    with pytest.raises(ConfigurationError, match="pilot runs failed.*returned 2 groups, and the local prior drew"):
        TwoLevelGenerativeModel(TwoLevelPrior(hyper, lambda params, rng: rng.normal(size=(3, 2))), lambda groups, rng: rng.normal(size=(2, 3, 1)), simulator_is_batched=False, pad_to=(4, 3))
    with pytest.raises(ConfigurationError, match="data need an axis more"):
        TwoLevelGenerativeModel(prior, simulate, simulator_is_batched=False, pad_to=(4, 3, 1))
    with pytest.raises(ConfigurationError, match="must be a sequence"):
        TwoLevelGenerativeModel(prior, simulate, simulator_is_batched=False, pad_to=8)
    for wrong in ((), (0, 3), (4.5,)):
        with pytest.raises((ConfigurationError, bf.exceptions.ArgumentError)):
            TwoLevelGenerativeModel(prior, simulate, simulator_is_batched=False, pad_to=wrong)


def test_files_hold_what_the_model_makes(tmp_path):
    model = two_level()
    model.presimulate(tmp_path / "s.h5", 20, progress=False)
    model.presimulate(tmp_path / "s.h5", 30, progress=False)
    back = SimulationStore(tmp_path / "s.h5").read()
    assert back["prior_draws"] is None and back["local_prior_draws"].shape == (30, 4, 2)
    assert np.abs(back["sim_data"] - back["local_prior_draws"][:, :, None] - back["shared_prior_draws"][:, None, None]).max() < 1


def test_hyper_parameters_are_learnt_by_an_ordinary_amortizer():
    """The posterior of the hyper parameter from the group means: as wide as it must be."""
    model = TwoLevelGenerativeModel(TwoLevelPrior(hyper, lambda params, rng: rng.normal(params[0], 1, size=(8, 1))), lambda groups: groups, simulator_is_batched=False)

    def configurator(forward):
        return {"parameters": forward["hyper_prior_draws"], "direct_conditions": forward["sim_data"].mean(axis=1)}

    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(1, 2))
    trainer = bf.trainers.Trainer(amortizer, model, configurator, progress=False)
    trainer.train_online(epochs=2, iterations_per_epoch=300, batch_size=64)
    test = model(200)
    draws = amortizer.sample(configurator(test), 500)
    mean = 8 * test["sim_data"].mean(axis=(1, 2)) / 9  # exact posterior N(8 m / 9, 1 / 9)
    assert np.abs(draws.mean(axis=1)[:, 0] - mean).mean() < 0.08
    assert draws.std(axis=1).mean() == pytest.approx(1 / 3, rel=0.1)


def model_at(center, parameters=1, observations=5, name="model"):
    prior = Prior(prior_fun=lambda rng: rng.normal(size=parameters))
    return GenerativeModel(prior, lambda params, rng, n=observations: rng.normal(center, 0.1, size=(n, 2)), simulator_is_batched=False, name=name)


def test_several_models_give_v1s_dictionary():
    model = MultiGenerativeModel([model_at(0, 1, 4), model_at(10, 3, 7), model_at(20)], [0.5, 0.4, 0.1], seed=1)
    assert model.num_models == 3 and model.model_prior.tolist() == [0.5, 0.4, 0.1]
    out = model(300)
    assert out["model_indices"] == [0, 1, 2]
    assert [o["sim_data"].shape[1:] for o in out["model_outputs"]] == [(4, 2), (7, 2), (5, 2)]
    assert [o["prior_draws"].shape[1] for o in out["model_outputs"]] == [1, 3, 1]
    counts = [len(o["sim_data"]) for o in out["model_outputs"]]
    assert sum(counts) == 300 and counts[0] > counts[2]
    for m, o in zip(out["model_indices"], out["model_outputs"]):
        assert np.abs(o["sim_data"] - 10 * m).max() < 1 and "sim_data_mask" not in o
    np.testing.assert_array_equal(MultiGenerativeModel(model.generative_models, [0.5, 0.4, 0.1], seed=1)(300)["model_outputs"][1]["sim_data"], out["model_outputs"][1]["sim_data"])


def test_simulations_of_several_models_survive_the_way_to_the_engine_and_back():
    model = MultiGenerativeModel([model_at(0, 1, 4), model_at(10, 3, 7)])
    out = model(50)
    flat = model.shared.flat(out, 2)
    assert flat["sim_data"].shape == (50, 7, 2) and flat["model_indices"].sum(axis=1).tolist() == [1] * 50
    flat.update({key: flat.get(key) for key in ("prior_batchable_context", "sim_batchable_context", "sim_non_batchable_context")})
    back = model.shared.by_model(flat)
    for a, b in zip(out["model_outputs"], back["model_outputs"]):
        np.testing.assert_array_equal(a["sim_data"], b["sim_data"])
        np.testing.assert_array_equal(a["prior_draws"], b["prior_draws"])


@pytest.mark.parametrize("indices", [["a", "b"], None, [0.0, 1.7], [0], [0, 2], [0, -1]])
def test_numbers_of_models_are_checked(indices):
    out = MultiGenerativeModel([model_at(0), model_at(10)])(20)
    with pytest.raises(ConfigurationError, match="must hold a whole number from 0 to 1"):
        SharedContext().flat({**out, "model_indices": indices}, 2)


def test_a_shared_context_is_given_to_every_simulator():
    draws = lambda rng: {"n": int(rng.integers(2, 9)), "weights": rng.normal(size=2)}  # noqa: E731
    seen = []

    def simulate(params, n, weights, rng):
        seen.append((n, tuple(weights)))
        return rng.normal(size=(n, 2))

    models = [GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=1)), simulate, True, False, False, name=name) for name in "ab"]
    model = MultiGenerativeModel(models, shared_context_gen=draws)
    sizes = set()
    for _ in range(12):
        seen.clear()
        out = model(6)
        assert len(set(seen)) == 1 and seen[0][0] == out["n"] and isinstance(out["n"], int)
        np.testing.assert_array_equal(out["weights"], seen[0][1])
        assert all(o["sim_data"].shape[1] == out["n"] for o in out["model_outputs"])
        sizes.add(out["n"])
    assert len(sizes) > 3
    with pytest.raises(ConfigurationError, match="same names and shapes"):
        ignores = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=1)), lambda params, n, rng: rng.normal(size=(3, 2)), True, False, False)
        MultiGenerativeModel([ignores], shared_context_gen=lambda k=[0]: {"n": np.zeros(k.append(0) or len(k))})(2)


@pytest.mark.parametrize(
    "models, options, text",
    [
        (lambda: [], {}, "no model"),
        (lambda: model_at(0), {}, "must be a list"),
        (lambda: [model_at(0), 3], {}, "number 1 is a int"),
        (lambda: [model_at(0), model_at(1)], {"model_probs": [0.7, 0.7]}, "sum to 1"),
        (lambda: [model_at(0), model_at(1)], {"model_probs": "uniform"}, '"equal"'),
        (lambda: [model_at(0), model_at(1)], {"shared_context_gen": lambda: 3}, "must return a dictionary"),
    ],
)
def test_what_cannot_be_is_refused(models, options, text):
    with pytest.raises(ConfigurationError, match=text):
        MultiGenerativeModel(models(), **options)


def test_an_ordinary_amortizer_refuses_simulations_of_several_models():
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(1, 2), bf.networks.DeepSet(2)), progress=False)
    with pytest.raises(ConfigurationError, match="several models"):
        trainer.train_offline(MultiGenerativeModel([model_at(0), model_at(1)])(20), 1, 4)


def test_the_documentation_runs():
    names = {}
    for code in re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "models.md").read_text(), flags=re.DOTALL):
        exec(code, names)  # noqa: S102
    assert names["schools"](3)["sim_data"].shape == (3, 8, 20, 1) and names["models"].num_models == 2


def test_models_are_copied():
    import copy

    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    single = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, size=(3, 2))), seed=4)
    levels = bf.simulation.TwoLevelGenerativeModel(
        bf.simulation.TwoLevelPrior(lambda rng: rng.normal(size=1), lambda hyper, rng: rng.normal(hyper, size=(3, 1))),
        bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta[:, None], size=(3, 4, 1))),
        seed=4,
    )
    for model in (single, levels, bf.simulation.MultiGenerativeModel([single, single], seed=4)):
        first, second = _leaves(copy.deepcopy(model)(5)), _leaves(model(5))
        assert len(first) > 1 and first.keys() == second.keys()
        for key, values in first.items():
            np.testing.assert_array_equal(values, second[key])


def _leaves(forward, at=()):
    if isinstance(forward, dict):
        return {k: v for key, value in forward.items() for k, v in _leaves(value, (*at, key)).items()}
    if isinstance(forward, list):
        return {k: v for key, value in enumerate(forward) for k, v in _leaves(value, (*at, key)).items()}
    return {} if forward is None else {at: np.asarray(forward)}
