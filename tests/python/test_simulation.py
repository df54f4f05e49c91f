import os

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError, IoError, SimulationError
from bayesflow_cpp.simulation import ContextGenerator, GenerativeModel, Prior, SimulationStore, Simulator, save_simulations

KEYS = ["prior_non_batchable_context", "prior_batchable_context", "prior_draws", "sim_non_batchable_context", "sim_batchable_context", "sim_data"]


def contextual(seed=0):
    prior = Prior(prior_fun=lambda scale, rng: rng.normal(scale=scale, size=2), context_generator=ContextGenerator(batchable_context_fun=lambda rng: rng.uniform(1, 2)))
    simulator = Simulator(
        simulator_fun=lambda theta, n_obs, rng: rng.normal(theta, size=(n_obs, 2)),
        context_generator=ContextGenerator(non_batchable_context_fun=lambda rng: int(rng.integers(3, 9))),
    )
    return GenerativeModel(prior, simulator, seed=seed)


def test_the_users_generator_is_called_in_v1s_order():
    ours, theirs = np.random.default_rng(2023), np.random.default_rng(2023)
    prior = Prior(prior_fun=lambda D=4: ours.normal(size=D))
    np.testing.assert_array_equal(prior(batch_size=10)["prior_draws"], [theirs.normal(size=4) for _ in range(10)])
    model = GenerativeModel(prior, Simulator(simulator_fun=lambda p, n_obs=50: ours.normal(loc=p, size=(n_obs, 4))))
    for size in (2, 3):  # the two pilot runs, then a call
        thetas = [theirs.normal(size=4) for _ in range(size)]
        data = [theirs.normal(loc=theta, size=(50, 4)) for theta in thetas]
    out = model(3)
    assert list(out) == KEYS
    np.testing.assert_array_equal(out["prior_draws"], thetas)
    np.testing.assert_array_equal(out["sim_data"], data)


def test_an_rng_belongs_to_the_simulation():
    a, b = contextual(seed=5), contextual(seed=5)
    whole, parts = a(6), [b(6)]
    np.testing.assert_array_equal(whole["prior_draws"], parts[0]["prior_draws"])
    prior = a.prior
    streams = bf._core.Rng(5, "model").branch("prior")
    late = prior._draw(2, streams, 4, None)
    np.testing.assert_array_equal(late["prior_draws"], whole["prior_draws"][4:])
    assert late["batchable_context"] == whole["prior_batchable_context"][4:]
    assert not np.array_equal(contextual(seed=6)(6)["prior_draws"], whole["prior_draws"])


def test_generators_follow_their_laws():
    prior = Prior(prior_fun=lambda rng: [rng.normal(), rng.random(), rng.integers(0, 6), rng.exponential(2.0)])
    draws = prior(20000)["prior_draws"]
    np.testing.assert_allclose(draws.mean(0), [0, 0.5, 2.5, 2.0], atol=0.06)
    np.testing.assert_allclose(draws.std(0), [1, 12**-0.5, (35 / 12) ** 0.5, 2.0], atol=0.06)
    assert set(np.unique(draws[:, 2])) == set(range(6))


def test_contexts_keep_their_kinds():
    out = contextual()(4)
    assert isinstance(out["sim_non_batchable_context"], int)
    assert out["sim_data"].shape == (4, out["sim_non_batchable_context"], 2)
    assert isinstance(out["prior_batchable_context"], list) and len(out["prior_batchable_context"]) == 4


def test_context_generator_feeds_one_into_the_other():
    contexts = ContextGenerator(batchable_context_fun=lambda n: n * 10, non_batchable_context_fun=lambda: 3, use_non_batchable_for_batchable=True)
    assert contexts(2) == {"non_batchable_context": 3, "batchable_context": [30, 30]}
    assert ContextGenerator()(2) == {"non_batchable_context": None, "batchable_context": None}


TWIN_CHECKSUM = 0x07D287AD1ED6EE43  # of tests/simulation/python_twin_test.cpp


def test_contexts_are_those_of_cpp():
    """Uniform numbers are the same bits in both languages; so are the streams, for batchable and non-batchable contexts of priors and simulators."""
    contexts = lambda: ContextGenerator(lambda rng: rng.random(), lambda rng: rng.random())  # noqa: E731
    prior = Prior(prior_fun=lambda batchable, shared, rng: np.array([rng.random() + batchable + shared]), context_generator=contexts())
    simulator = Simulator(simulator_fun=lambda theta, batchable, shared, rng: rng.random() + theta + batchable + shared, context_generator=contexts())
    model = GenerativeModel(prior, simulator, seed=11, skip_test=True)
    value = 0xcbf29ce484222325
    for batch_size in (3, 4):
        for array in model(batch_size).values():
            for byte in np.asarray(array, dtype=np.float64).tobytes():
                value = (value ^ byte) * 0x100000001B3 % 2**64
    assert value == TWIN_CHECKSUM

    # A generator alone, and one whose second function is given the first one's value.
    streams = bf._core.Rng(3, "context")
    drawn = ContextGenerator(lambda n, rng: n + rng.random(), lambda rng: rng.random(), use_non_batchable_for_batchable=True)._draw(2, streams, 4, None)
    shared = float(streams.branch("non_batchable", 4).uniform(()))
    assert drawn["non_batchable_context"] == shared
    assert drawn["batchable_context"] == [shared + float(streams.at(i).uniform(())) for i in (4, 5)]


def masked(values=(1.0, 777.0)):
    return np.ma.masked_equal(np.array(values), 777.0)


MASKED = {
    "prior of one": lambda: Prior(prior_fun=masked)(3),
    "prior of a batch": lambda: Prior(batch_prior_fun=lambda batch_size: np.ma.masked_less(np.zeros((batch_size, 2)), 1))(3),
    "a list of masked arrays": lambda: Prior(prior_fun=lambda: [masked(), masked()])(3),
    "a later one": lambda it=iter([np.ones(2), masked(), masked()]): Prior(prior_fun=lambda: next(it))(3),
    "simulator of one": lambda: Simulator(simulator_fun=lambda theta: masked())(np.zeros((3, 1))),
    "simulator of a batch": lambda: Simulator(batch_simulator_fun=lambda theta: np.ma.masked_less(theta, 1))(np.zeros((3, 1))),
    "parameters": lambda: Simulator(simulator_fun=lambda theta: np.random.normal(theta))(np.ma.masked_less(np.zeros((3, 1)), 1)),
    "a list of parameters": lambda: Simulator(simulator_fun=lambda theta: theta[0])([np.ma.masked_less(np.zeros((3, 1)), 1)]),
    "non-batchable context": lambda: ContextGenerator(non_batchable_context_fun=masked)(3),
    "batchable context": lambda: ContextGenerator(masked)(3),
    "contexts of the user's": lambda: Prior(
        prior_fun=lambda context: context, context_generator=lambda n: {"batchable_context": [masked()] * n, "non_batchable_context": None}
    )(3),
    "forward dictionary": lambda: bf.simulation.forward.to_core({"prior_draws": np.zeros((2, 1)), "sim_data": [masked(), masked()]}),
    "context in a forward dictionary": lambda: bf.simulation.forward.to_core(
        {"prior_draws": np.zeros((2, 1)), "sim_data": np.zeros((2, 2)), "sim_batchable_context": [masked(), masked()]}
    ),
    "statistic": lambda: bf.diagnostics.posterior_predictive(np.zeros((1, 5, 2)), np.zeros((1, 2)), lambda theta: theta, {"a": lambda x: np.ma.masked}),
    "aggregator": lambda: bf.diagnostics.plot_pushforward(GenerativeModel(Prior(prior_fun=lambda: np.ones(2)), Simulator(simulator_fun=lambda t: t)), funcs_list=[lambda x: np.ma.masked]),
    "samples": lambda: bf.diagnostics.median_abs_deviation([masked(), masked()]),
    "configured": lambda: bf.configuration.DefaultPosteriorConfigurator()({"sim_data": [masked(), masked()]}),
}


@pytest.mark.parametrize("call", MASKED.values(), ids=MASKED.keys())
def test_masked_values_are_refused(call):
    with pytest.raises((ConfigurationError, SimulationError), match="[0-9] masked values?; fill them in"):
        call()


def test_masks_without_masked_values_are_no_fault():
    draws = Prior(prior_fun=lambda: np.ma.masked_equal([1.0, 2.0], 3.0))(3)["prior_draws"]
    assert type(draws) is np.ndarray and draws.tolist() == [[1.0, 2.0]] * 3


def in_place(array, factor=100.0):
    array *= factor
    return array


def test_what_functions_change_in_place_stays_as_it_was_drawn(tmp_path, small_amortizer):
    truths = np.random.default_rng(0).normal(size=(5, 2))
    kept = truths.copy()
    for options in (dict(simulator_fun=in_place), dict(batch_simulator_fun=in_place)):
        data = Simulator(**options)(truths)["sim_data"]
        np.testing.assert_array_equal(truths, kept)
        np.testing.assert_array_equal(data, 100 * kept)
        Simulator(**{key: lambda theta: in_place(theta[0]) for key in options})([truths, truths.copy()])
        np.testing.assert_array_equal(truths, kept)

    # Models, files, training and the contexts.
    single = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=4)), Simulator(simulator_fun=lambda t: np.tile(in_place(t, 3.0), (5, 1))), seed=4)
    batched = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=4)), Simulator(batch_simulator_fun=lambda t: np.repeat(in_place(t, 3.0)[:, None], 5, 1)), seed=4)
    for model in (single, batched):
        out = model(50)
        np.testing.assert_allclose(out["sim_data"][:, 0], 3 * out["prior_draws"])
        model.presimulate(tmp_path / "s.h5", 50, progress=False)
        stored = SimulationStore(tmp_path / "s.h5").read()
        np.testing.assert_allclose(stored["sim_data"][:, 0], 3 * stored["prior_draws"])
        seen = []

        def configurator(forward):
            seen.append(np.abs(forward["sim_data"][:, 0] / forward["prior_draws"] - 3).max())
            in_place(forward["prior_draws"]), in_place(forward["sim_data"])
            return {"parameters": forward["prior_draws"] / 100, "summary_conditions": forward["sim_data"] / 100}

        trainer = bf.trainers.Trainer(small_amortizer(), model, configurator, progress=False)
        trainer.train_online(1, 3, 8, validation_sims=stored)
        trainer.train_offline(stored, 2, 25)
        trainer.diagnose_latent2d(stored)
        trainer.diagnose_sbc_histograms(stored, 20)
        assert max(seen) < 1e-9 and len(seen) > 8
        np.testing.assert_allclose(stored["sim_data"][:, 0], 3 * stored["prior_draws"])
        (tmp_path / "s.h5").unlink()

    contexts = ContextGenerator(lambda n: in_place(n) if n.ndim else n, lambda: np.ones(1), use_non_batchable_for_batchable=True)
    assert contexts(3)["non_batchable_context"].tolist() == [1.0]
    prior = Prior(prior_fun=lambda a, b: in_place(a) + in_place(b), context_generator=ContextGenerator(lambda: np.ones(1), lambda: np.ones(1)))
    drawn = prior(3)
    assert drawn["prior_draws"].tolist() == [[200.0]] * 3 and drawn["non_batchable_context"] == 1 and drawn["batchable_context"] == [1, 1, 1]
    batched = Prior(
        batch_prior_fun=lambda a, b, batch_size: np.stack([in_place(x) + b for x in a]), context_generator=ContextGenerator(lambda: np.ones(1), lambda: np.ones(1))
    )
    assert batched(3)["batchable_context"] == [1, 1, 1]


def test_a_function_may_return_the_same_array_again():
    buffer, values = np.zeros(2), [0.0, 0.0]

    def fill(rng):
        buffer[:] = rng.normal(size=2)
        return buffer

    def fill_list(rng):
        values[:] = rng.normal(size=2).tolist()
        return values

    fresh = Prior(prior_fun=lambda rng: rng.normal(size=2))(4)["prior_draws"]
    for function in (fill, lambda rng: fill(rng)[:], fill_list):
        np.testing.assert_array_equal(Prior(prior_fun=function)(4)["prior_draws"], fresh)


def test_kinds_of_results_that_differ_are_joined():
    results = [np.array([0.5, 1.5]), np.array([1, 2]), [3, 4], np.array([5, 6], np.float32)]
    for order in (results, results[::-1], results[1:] + results[:1]):
        it = iter(order)
        np.testing.assert_array_equal(Prior(prior_fun=lambda: next(it))(4)["prior_draws"], np.array([list(map(float, r)) for r in order]))


def test_batched_functions_and_arguments():
    prior = Prior(batch_prior_fun=lambda batch_size, scale=1.0: np.full((batch_size, 3), scale))
    simulator = Simulator(batch_simulator_fun=lambda params, shift=0.0: params[:, None, :] + shift)
    model = GenerativeModel(prior, simulator)
    out = model(5, prior_args={"scale": 2.0}, sim_args={"shift": 1.0})
    np.testing.assert_array_equal(out["sim_data"], np.full((5, 1, 3), 3.0))
    assert model.prior_is_batched and model.simulator_is_batched


def test_wrong_uses_are_named():
    with pytest.raises(ConfigurationError, match="exactly one function"):
        Prior()
    with pytest.raises(ConfigurationError, match="exactly one function"):
        Prior(prior_fun=np.zeros, batch_prior_fun=np.zeros)
    with pytest.raises(ConfigurationError, match="callable"):
        Prior(prior_fun=3)
    with pytest.raises(ConfigurationError, match="simulator_is_batched"):
        GenerativeModel(lambda: np.zeros(2), lambda p: p)
    with pytest.raises(ConfigurationError, match="positive integer"):
        Prior(prior_fun=lambda: 0.0)(0)


def test_a_failing_simulator_keeps_its_traceback_and_names_the_simulation():
    calls = []

    def fails_late(params):
        calls.append(0)
        if len(calls) > 4:
            raise ZeroDivisionError("oh no")
        return params

    model = GenerativeModel(Prior(prior_fun=lambda: np.array([1.5])), Simulator(simulator_fun=fails_late))
    with pytest.raises(SimulationError, match=r"simulation 2 with parameters \[1.5\] failed: ZeroDivisionError: oh no") as caught:
        model(5)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "fails_late" in "".join(frame.name for frame in caught.traceback[-1:]) or caught.value.__cause__.__traceback__.tb_next is not None


def test_a_failing_pilot_run_names_its_cause():
    with pytest.raises(ConfigurationError, match="pilot runs failed.*oh no") as caught:
        GenerativeModel(Prior(prior_fun=lambda: 1 / 0 if False else (_ for _ in ()).throw(ValueError("oh no"))), Simulator(simulator_fun=lambda p: p))
    assert "oh no" in str(caught.value.__cause__)


def test_varying_shapes_are_named():
    sizes = iter([3, 3, 3, 4])
    model = GenerativeModel(Prior(prior_fun=lambda: np.zeros(1)), Simulator(simulator_fun=lambda p: np.zeros(next(sizes))), skip_test=True)
    with pytest.raises(SimulationError, match=r"simulation 3 returned shape \(4,\)"):
        model(4)


def test_presimulated_files_go_on_and_are_read(tmp_path):
    path = tmp_path / "simulations.h5"
    model = contextual()
    assert model.presimulate(path, 50, seed=3, batch_size=10, progress=False)["simulations"] == 50
    first = path.read_bytes()
    again = contextual().presimulate(path, 50, seed=3, batch_size=10, progress=False)
    assert again["found"] == 50 and path.read_bytes() == first
    contextual().presimulate(path, 80, seed=3, batch_size=10, progress=False)
    store = SimulationStore(path)
    assert len(store) == 80 and store.batches == 8 and store.info["one_context_per_batch"]
    batch = store.batch(7)
    assert list(batch) == KEYS and batch["sim_data"].shape[1] == batch["sim_non_batchable_context"]
    with pytest.raises(IoError, match="seed"):
        model.presimulate(path, 90, seed=4, batch_size=10, progress=False)


def test_own_simulations_are_saved(tmp_path):
    out = GenerativeModel(Prior(prior_fun=lambda: np.zeros(2)), Simulator(simulator_fun=lambda p: np.ones((3, 2))), skip_test=True)(7)
    save_simulations(out, tmp_path / "s.h5", param_names=["a", "b"])
    store = SimulationStore(tmp_path / "s.h5")
    assert store.info["param_names"] == ["a", "b"]
    np.testing.assert_array_equal(store.read()["sim_data"], out["sim_data"])


def test_presimulate_and_save_makes_a_folder_for_training(tmp_path, gaussian_model, small_amortizer):
    model, folder = gaussian_model(), tmp_path / "sims" / "deep"
    paths = model.presimulate_and_save(8, folder, iterations_per_epoch=3, epochs=2, disable_user_input=True)
    assert [os.path.basename(path) for path in paths] == ["presim_file_1.h5", "presim_file_2.h5"]
    first, second = (bf.SimulationStore(path).read()["sim_data"] for path in paths)
    assert first.shape == second.shape == (24, 10, 4) and not np.isin(first, second).any()

    # More files for less memory, the later ones beside those that are there; three counts of which two are given.
    assert len(model.presimulate_and_save(8, folder, total_iterations=5, epochs=1, memory_limit=0.006, extend_from=2)) == 3
    assert [len(bf.SimulationStore(folder / f"presim_file_{i}.h5")) for i in (1, 2, 3, 4, 5)] == [24, 24, 16, 16, 8]
    again = gaussian_model().presimulate_and_save(8, tmp_path / "again", iterations_per_epoch=3, epochs=2)
    np.testing.assert_array_equal(bf.SimulationStore(again[1]).read()["sim_data"], second)

    trainer = bf.trainers.Trainer(small_amortizer(), model, progress=False)
    assert len(trainer.train_from_presimulation(folder, batch_size=8)) == 3 + 3 + 2 + 2 + 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(epochs=2), "at least two of total_iterations, iterations_per_epoch, epochs"),
        (dict(epochs=2, iterations_per_epoch=3, total_iterations=5), "got 5 and 3 x 2"),
        (dict(epochs=0, iterations_per_epoch=3), "epochs must be a positive integer; got 0"),
        (dict(epochs=2, iterations_per_epoch=3, memory_limit=1e-6), "no room for a batch of 8"),
        (dict(epochs=2, iterations_per_epoch=3, extend_from=-1), "extend_from must be"),
    ],
)
def test_presimulate_and_save_says_what_is_wrong(tmp_path, gaussian_model, arguments, words):
    with pytest.raises(bf.exceptions.ConfigurationError, match=words):
        gaussian_model().presimulate_and_save(8, tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "parts",
    [
        (Prior(prior_fun=lambda: None), Simulator(simulator_fun=lambda theta: theta)),
        (Prior(prior_fun=lambda: np.ones(2)), Simulator(simulator_fun=lambda theta: None)),
        (Prior(batch_prior_fun=lambda batch_size: None), Simulator(simulator_fun=lambda theta: theta)),
        (Prior(batch_prior_fun=lambda batch_size: np.ones((batch_size, 2))), Simulator(batch_simulator_fun=lambda theta: None)),
    ],
)
def test_a_forgotten_return_is_named(parts):
    with pytest.raises(ConfigurationError, match="returned None; end it with return"):
        GenerativeModel(*parts)
