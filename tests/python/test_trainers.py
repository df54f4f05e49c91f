import logging
import os
import signal
import threading
import time

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError, OperationNotSupportedError, SimulationError


def weights(amortizer):
    return np.concatenate([w.ravel() for w in amortizer.weights().values()])


def trainer_for(model, amortizer, **options):
    return bf.trainers.Trainer(amortizer, model, progress=False, **options)


def test_history_has_v1s_shapes(gaussian_model, small_amortizer):
    trainer = trainer_for(gaussian_model(), small_amortizer())
    alone = trainer.train_online(epochs=2, iterations_per_epoch=5, batch_size=8)
    assert alone.shape == (10, 1) and list(alone.columns) == ["Default.Loss"]
    both = trainer.train_online(epochs=3, iterations_per_epoch=5, batch_size=8, validation_sims=20)
    assert both["train_losses"].shape == (25, 1) and both["val_losses"].shape == (3, 1)
    assert len(trainer.runs) == 2 and trainer.runs[0].simulations == 80
    assert trainer.loss_history.last_total_loss() == pytest.approx(both["train_losses"].iloc[-1, 0])


def test_weight_decay_has_a_column(gaussian_model):
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(4, 2), bf.networks.DeepSet())
    out = trainer_for(gaussian_model(), amortizer).train_online(1, 3, 8, validation_sims=5)
    assert list(out["train_losses"].columns) == ["Loss", "W.Decay"] and list(out["val_losses"].columns) == ["Loss"]


def test_loss_means_the_same_everywhere(gaussian_model):
    seen = []
    flow = bf.networks.InvertibleNetwork(4, 2, coupling_settings={"dense_args": {"kernel_regularizer": 1e-2}})
    amortizer = bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(), summary_loss_fun="MMD")
    trainer = bf.trainers.Trainer(amortizer, gaussian_model(), progress=lambda *p: seen.append(p) or True)
    out = trainer.train_online(1, 3, 8, validation_sims=5)
    (state,) = seen[-1]
    losses, average, validation = state.losses, state.average_loss, sum(value for name, value in state.validation.items() if name != "weight_decay")
    train, val = out["train_losses"], out["val_losses"]
    assert list(train.columns) == ["Loss", "Summary.Loss", "W.Decay"] and list(val.columns) == ["Loss", "Summary.Loss"]
    assert list(losses) == ["loss", "summary_loss", "weight_decay"] and losses["summary_loss"] > 0 and losses["weight_decay"] > 0
    assert train["Loss"].iloc[-1] == losses["loss"] + losses["summary_loss"] and train["Loss"].mean() == pytest.approx(average)
    assert val["Loss"].iloc[-1] == validation == trainer.loss_history.last_total_val_loss()
    assert trainer.loss_history.last_total_loss() == pytest.approx(sum(losses.values()))
    assert amortizer._trained["final_loss"] == pytest.approx(train["Loss"].mean())


def test_every_mode_trains(gaussian_model, small_amortizer, tmp_path):
    model = gaussian_model()
    data = model(64)
    model.presimulate(tmp_path / "sims" / "file_1.h5" if (tmp_path / "sims").mkdir() is None else "", 64, progress=False)
    runs = {
        "train_online": dict(epochs=2, iterations_per_epoch=4, batch_size=8),
        "train_experience_replay": dict(epochs=2, iterations_per_epoch=4, batch_size=8, buffer_capacity=3),
        "train_rounds": dict(rounds=2, sim_per_round=16, epochs=1, batch_size=8),
        "train_offline": dict(simulations_dict=data, epochs=2, batch_size=10),
        "train_from_presimulation": dict(presimulation_path=tmp_path / "sims", batch_size=8),
    }
    for mode, arguments in runs.items():
        amortizer = small_amortizer()
        trainer = trainer_for(model, amortizer)
        before = weights(amortizer)
        losses = getattr(trainer, mode)(**arguments)
        assert np.isfinite(losses.values).all(), mode
        assert not np.array_equal(before, weights(amortizer)), mode
        assert losses.shape[0] == {"train_rounds": 2 + 4, "train_offline": 14}.get(mode, 8), mode


@pytest.mark.parametrize("mode", ["train_online", "train_rounds"])
def test_one_seed_one_result_for_any_threads_and_overlap(gaussian_model, small_amortizer, mode):
    arguments = dict(train_online=(2, 6, 8), train_rounds=(2, 16, 2, 8))[mode]
    results = []
    for threads, overlap in ((1, "off"), (2, "off"), (2, "on"), (4, "auto")):
        amortizer = small_amortizer()
        getattr(trainer_for(gaussian_model(), amortizer, seed=7, threads=threads, overlap=overlap), mode)(*arguments)
        results.append(weights(amortizer))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_training_learns(gaussian_model):
    """The posterior of the means is known: N(50 mean / 51, 1 / 51)."""
    model = gaussian_model(n_obs=50)
    flow = bf.networks.InvertibleNetwork(4, 4, coupling_settings={"dense_args": dict(kernel_regularizer=None), "dropout": False})
    amortizer = bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet())
    trainer = trainer_for(model, amortizer)
    trainer.train_online(epochs=1, iterations_per_epoch=1500, batch_size=32)
    inputs = trainer.configurator(model(200))
    draws = amortizer.sample(inputs, 400)
    exact = inputs["summary_conditions"].sum(1) / 51
    error = (draws.mean(1) - exact) * 51**0.5
    assert np.sqrt((error**2).mean()) < 0.6
    assert abs(draws.std(1).mean() * 51**0.5 - 1) < 0.25


def test_configurator_and_arguments_reach_every_batch(small_amortizer):
    seen = []

    def configurator(forward, scale=1.0):
        seen.append(scale)
        assert isinstance(forward["sim_non_batchable_context"], int)
        return {"parameters": forward["prior_draws"], "summary_conditions": forward["sim_data"] * scale}

    prior = bf.simulation.Prior(prior_fun=lambda scale=1.0: np.full(4, scale))
    contexts = bf.simulation.ContextGenerator(non_batchable_context_fun=lambda: 5)
    simulator = bf.simulation.Simulator(simulator_fun=lambda p, n: np.tile(p, (n, 1)), context_generator=contexts)
    trainer = trainer_for(bf.simulation.GenerativeModel(prior, simulator), small_amortizer(), configurator=configurator)
    seen.clear()
    trainer.train_online(1, 4, 8, conf_args={"scale": 3.0}, model_args={"prior_args": {"scale": 0.5}})
    assert seen == [3.0] * 4
    assert trainer.runs[0].simulations == 32


def test_contexts_train_end_to_end(small_amortizer):
    contexts = bf.simulation.ContextGenerator(non_batchable_context_fun=lambda rng: int(rng.integers(5, 15)))
    simulator = bf.simulation.Simulator(simulator_fun=lambda p, n, rng: rng.normal(p, size=(n, 4)), context_generator=contexts)
    model = bf.simulation.GenerativeModel(bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4)), simulator)
    trainer = trainer_for(model, small_amortizer())
    trainer.train_online(1, 5, 8)
    inputs = trainer.configurator(model(3))
    assert inputs["direct_conditions"].shape == (3, 1)
    assert trainer.amortizer.sample(inputs, 5).shape == (3, 5, 4)
    trainer.train_rounds(2, 16, 1, 8)


def test_any_callable_is_a_model(small_amortizer, rng):
    def model(batch_size):
        theta = rng.normal(size=(batch_size, 4))
        return {"prior_draws": theta, "sim_data": rng.normal(theta[:, None], size=(batch_size, 10, 4))}

    trainer_for(model, small_amortizer()).train_online(1, 4, 8)


def test_offline_takes_files_and_lists(gaussian_model, small_amortizer, tmp_path):
    model = gaussian_model()
    model.presimulate(tmp_path / "s.h5", 40, progress=False)
    store = bf.SimulationStore(tmp_path / "s.h5")
    results = []
    for data in (str(tmp_path / "s.h5"), tmp_path / "s.h5", store, store.read(), [store.read()]):
        amortizer = small_amortizer()
        trainer_for(None, amortizer).train_offline(data, epochs=2, batch_size=8)
        results.append(weights(amortizer))
    for other in results[1:3]:
        np.testing.assert_array_equal(results[0], other)
    np.testing.assert_array_equal(results[3], results[4])


def test_early_stopping_and_optimizers(gaussian_model, small_amortizer, caplog):
    trainer = trainer_for(gaussian_model(), small_amortizer())
    optimizer = bf.optimizers.SGD(learning_rate=1e-12)
    out = trainer.train_online(50, 2, 8, validation_sims=10, optimizer=optimizer, early_stopping=True, early_stopping_args={"patience": 2})
    assert len(out["val_losses"]) == 3 and trainer.runs[0].stop == "stopped_early"
    np.testing.assert_allclose(trainer.runs[0].learning_rates, 1e-12)
    schedule = bf.optimizers.PiecewiseConstantDecay([3], [1e-3, 1e-4])
    trainer.train_online(1, 5, 8, optimizer=bf.optimizers.AdamW(schedule))
    np.testing.assert_allclose(trainer.runs[1].learning_rates, [1e-3] * 3 + [1e-4] * 2)
    trainer.train_online(1, 4, 8, optimizer=bf.optimizers.Adam(lambda step: 1e-3 / (1 + step)))
    np.testing.assert_allclose(trainer.runs[2].learning_rates, [1e-3, 5e-4, 1e-3 / 3, 2.5e-4])


def test_checkpoints_resume_to_the_same_bits(gaussian_model, small_amortizer, tmp_path):
    def run(path, stop_after=None):
        killed = []

        def progress(state):
            if stop_after == (state.epoch, state.iteration) and not killed:
                killed.append(os.kill(os.getpid(), signal.SIGINT))
            return True

        amortizer = small_amortizer()
        trainer = bf.trainers.Trainer(amortizer, gaussian_model(), checkpoint_path=path, seed=4, progress=progress)
        trainer.train_online(3, 4, 8)
        return weights(amortizer), trainer

    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_after=(2, 1))
    parts, trainer = run(tmp_path / "parts")
    np.testing.assert_array_equal(whole, parts)
    assert trainer.runs[0].resumed == 1 and trainer.load_pretrained_network()


def test_a_failing_simulator_ends_training_with_its_own_exception(small_amortizer):
    calls = []

    def simulator(params):
        calls.append(0)
        if len(calls) > 40:
            raise KeyError("lost")
        return np.tile(params, (10, 1))

    model = bf.simulation.GenerativeModel(lambda: np.zeros(4), simulator, simulator_is_batched=False)
    with pytest.raises(SimulationError, match="simulation .* failed: KeyError: 'lost'") as caught:
        trainer_for(model, small_amortizer()).train_online(1, 100, 8)
    assert isinstance(caught.value.__cause__, KeyError)


def test_simulations_that_are_not_finite(small_amortizer):
    def model(batch_size):
        data = np.random.default_rng(0).normal(size=(batch_size, 10, 4))
        data[0] = np.nan if batch_size > 2 else 0
        return {"prior_draws": np.zeros((batch_size, 4)), "sim_data": data}

    with pytest.raises(SimulationError, match="nan"):
        trainer_for(model, small_amortizer()).train_online(1, 4, 8)
    trainer = trainer_for(model, small_amortizer(), nonfinite="drop", max_dropped_share=0.5)
    trainer.train_online(1, 4, 8)
    assert trainer.runs[0].dropped == 4


def test_ctrl_c_ends_the_run_and_raises(gaussian_model, small_amortizer):
    trainer = trainer_for(gaussian_model(), small_amortizer())
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt, match="loss_history"):
        trainer.train_online(epochs=1, iterations_per_epoch=1000000, batch_size=8)
    assert trainer.runs[0].stop == "interrupted" and len(trainer.loss_history.total_loss) > 0


def test_a_second_ctrl_c_is_pythons(gaussian_model, small_amortizer):
    """It must not end the interpreter, as it ends a program in C++."""

    def progress(state):
        if state.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return True

    trainer = bf.trainers.Trainer(small_amortizer(), gaussian_model(), progress=progress)
    with pytest.raises(KeyboardInterrupt):
        trainer.train_online(1, 1000, 8)


def test_the_gil_is_free_while_training(gaussian_model, small_amortizer):
    counted = []

    def count():
        while not done:
            counted.append(time.perf_counter())
            time.sleep(0.001)

    done = False
    thread = threading.Thread(target=count)
    thread.start()
    trainer_for(gaussian_model(), small_amortizer()).train_online(1, 300, 8)
    done = True
    thread.join()
    assert len(counted) > 10


def test_progress_bars_say_what_v1s_say(gaussian_model, small_amortizer, capsys):
    trainer = bf.trainers.Trainer(small_amortizer(), gaussian_model())
    trainer.train_online(1, 5, 8, validation_sims=4)
    shown = capsys.readouterr().err
    assert "Epoch 1/1: 100%" in shown and "5/5" in shown and "Loss: " in shown and "Avg.Loss: " in shown and "LR: " in shown


def test_a_warning_is_said_once(small_amortizer, caplog):
    model = bf.simulation.GenerativeModel(lambda: np.random.normal(size=4), lambda theta: np.random.normal(theta[:3], 1, size=(5, 3)),
                                          simulator_is_batched=False)
    trainer = bf.trainers.Trainer(small_amortizer(), model, default_lr=5e-3)
    with caplog.at_level(logging.WARNING, logger="bayesflow_cpp"):
        trainer.train_online(1, 300, 16, validation_sims=100)
    assert [r.getMessage() for r in caplog.records if "not learnt" in r.getMessage()] == trainer.runs[-1].warnings
    assert any("theta_4 was not learnt" in w for w in trainer.runs[-1].warnings)


def test_messages_go_to_a_logger_of_the_package(gaussian_model, small_amortizer, caplog):
    with caplog.at_level(logging.INFO, logger="bayesflow_cpp"):
        trainer_for(gaussian_model(), small_amortizer())
    text = caplog.text
    assert "Performing 2 pilot runs with the anonymous model..." in text and "(batch_size = 2, 10, 4)" in text
    assert "Performing a consistency check with provided components..." in text and "Done." in text


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda t: t.train_online(0, 5, 8), ConfigurationError, "epochs"),
        (lambda t: t.train_online(1, 5, 8, validation_sims="many"), ConfigurationError, "validation_sims"),
        (lambda t: t.train_online(1, 5, 8, optimizer="adam"), ConfigurationError, "optimizers"),
        (lambda t: t.train_online(1, 5, 8, early_stopping_args={"patience": 2}), ConfigurationError, "early_stopping=True"),
        (lambda t: t.train_online(1, 5, 8, early_stopping=True, early_stopping_args={"patient": 2}), ConfigurationError, "patient"),
        (lambda t: t.train_online(1, 5, 8, conf_args={"a": 1}), ConfigurationError, "configurator"),
        (lambda t: t.train_online(1, 5, 8, net_args={"a": 1}), OperationNotSupportedError, "net_args"),
        (lambda t: t.train_online(1, 5, 8, learning_rate=1), TypeError, "learning_rate"),
        (lambda t: t.train_offline({"prior_draws": np.zeros((3, 4))}, 1, 8), ConfigurationError, "sim_data"),
        (lambda t: t.train_offline("nowhere.h5", 1, 8), bf.exceptions.IoError, "nowhere.h5"),
    ],
)
def test_wrong_calls_are_named(gaussian_model, small_amortizer, call, error, message):
    with pytest.raises(error, match=message):
        call(trainer_for(gaussian_model(), small_amortizer()))


def test_wrong_trainers_are_named(gaussian_model, small_amortizer):
    with pytest.raises(ConfigurationError, match="AmortizedPosterior"):
        bf.trainers.Trainer(gaussian_model())
    with pytest.raises(ConfigurationError, match="configurator must be callable"):
        bf.trainers.Trainer(small_amortizer(), gaussian_model(), configurator=3)
    with pytest.raises(ConfigurationError, match="consistency check failed"):
        bf.trainers.Trainer(small_amortizer(), gaussian_model(), configurator=lambda forward: {"parameters": forward["prior_draws"]})
    with pytest.raises(ConfigurationError, match="without a generative model"):
        bf.trainers.Trainer(small_amortizer()).train_online(1, 1, 1)
    with pytest.raises(ConfigurationError, match="nonfinite"):
        bf.trainers.Trainer(small_amortizer(), gaussian_model(), nonfinite="ignore")


def test_misspecification_test(gaussian_model, small_amortizer):
    model = gaussian_model()
    trainer = trainer_for(model, small_amortizer())
    trainer.train_online(1, 20, 8)
    shifted = trainer.configurator(model(20))
    shifted["summary_conditions"] = shifted["summary_conditions"] + 20
    null, observed = trainer.mmd_hypothesis_test(shifted, num_reference_simulations=100, num_null_samples=40)
    assert null.shape == (40,) and observed > null.max()
    result = trainer.mmd_hypothesis_test(trainer.configurator(model(20)), num_reference_simulations=100, num_null_samples=40)
    assert 0.025 < result.p_value <= 1


def test_model_files_say_what_training_did(tmp_path, gaussian_model, small_amortizer):
    amortizer = small_amortizer()
    trainer = bf.trainers.Trainer(amortizer, gaussian_model(), seed=7, progress=False)
    amortizer.save(tmp_path / "untrained.h5")
    assert bf.load_amortizer(tmp_path / "untrained.h5").info["simulations"] == 0
    trainer.train_online(1, 5, 8)
    losses = trainer.train_online(2, 3, 8, validation_sims=10)
    amortizer.save(tmp_path / "model.h5")
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    assert loaded.info["simulations"] == 5 * 8 + 6 * 8 and loaded.info["seed"] == 7
    components = [name for name in losses["train_losses"] if "Decay" not in name]
    assert loaded.info["final_loss"] == pytest.approx(losses["train_losses"][components].sum(axis=1)[-3:].mean())
    assert loaded.info["final_validation_loss"] == pytest.approx(losses["val_losses"].iloc[-1].sum())
    loaded.save(tmp_path / "again.h5")
    assert bf.load_amortizer(tmp_path / "again.h5").info == loaded.info


@pytest.mark.parametrize("wrong", [dict(epochs=0), dict(epochs=1.5), dict(iterations_per_epoch=-1), dict(batch_size="8")])
def test_counts_are_positive_integers(gaussian_model, small_amortizer, wrong):
    trainer = bf.trainers.Trainer(small_amortizer(), gaussian_model(), progress=False)
    (name,) = wrong
    with pytest.raises(bf.exceptions.ConfigurationError, match=f"train_online: {name} must be a positive integer; got {wrong[name]!r}"):
        trainer.train_online(**{**dict(epochs=1, iterations_per_epoch=1, batch_size=2), **wrong})
