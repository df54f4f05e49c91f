"""v1's helper classes and functions for training loops of one's own."""

import logging

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, ShapeError
from bayesflow_cpp.helper_classes import EarlyStopper, MemoryReplayBuffer, MultiSimulationDataset, SimulationDataset
from bayesflow_cpp.helper_functions import backprop_step, extract_current_lr

FORWARD = {"prior_draws": np.arange(20.0).reshape(10, 2), "sim_data": np.arange(30.0).reshape(10, 3, 1), "sim_non_batchable_context": 3, "prior_batchable_context": None}


def test_an_epoch_holds_every_simulation_once_in_a_new_order():
    dataset = SimulationDataset(FORWARD, 4)
    assert dataset.num_batches == len(dataset) == 3 and dataset.n_sim == 10
    epochs = [[batch for batch in dataset] for _ in range(2)]
    for epoch in epochs:
        assert [len(batch["prior_draws"]) for batch in epoch] == [4, 4, 2]
        assert all(batch["sim_non_batchable_context"] == 3 and batch["prior_batchable_context"] is None for batch in epoch)
        firsts = np.concatenate([batch["prior_draws"][:, 0] for batch in epoch])
        assert sorted(firsts) == list(range(0, 20, 2))
        np.testing.assert_array_equal(np.concatenate([batch["sim_data"][:, 0, 0] for batch in epoch]) / 3, firsts / 2)  # rows stay together
    assert not np.array_equal(epochs[0][0]["prior_draws"], epochs[1][0]["prior_draws"])
    np.testing.assert_array_equal(dataset([3, 1])["prior_draws"], FORWARD["prior_draws"][[3, 1]])


def test_several_models_are_yielded_whole():
    forward = {"model_outputs": [FORWARD, {**FORWARD, "prior_draws": np.zeros((10, 5))}], "model_indices": [0, 2], "n": 7}
    dataset = MultiSimulationDataset(forward, 6)
    counts = {0: 0, 2: 0}
    for batch in dataset:
        assert batch["n"] == 7
        for m, out in zip(batch["model_indices"], batch["model_outputs"]):
            assert out["prior_draws"].shape[1] == (5 if m == 2 else 2)
            counts[m] += len(out["sim_data"])
    assert counts == {0: 10, 2: 10} and dataset.num_batches == 4


def test_a_replay_buffer_keeps_the_latest_batches():
    buffer = MemoryReplayBuffer(3)
    with pytest.raises(ArgumentError, match="no batch yet"):
        buffer.sample()
    for i in range(5):
        buffer.store({"i": i})
    assert {buffer.sample()["i"] for _ in range(100)} == {2, 3, 4} and buffer.size_in_batches == 3


def test_early_stopping_compares_with_the_best_loss():
    stopper = EarlyStopper(patience=2, tolerance=0.1)
    assert [stopper.update_and_recommend(loss) for loss in (1.0, 0.8, 0.75, 0.6, 0.59, 0.58)] == [False, False, False, False, False, True]


def test_functions():
    records = []
    logger = logging.Logger("test")
    logger.addHandler(type("Keep", (logging.Handler,), {"emit": lambda self, record: records.append(record.getMessage())})())
    bf.helper_functions.check_tensor_sanity(np.array([1.0, np.nan, np.inf, np.nan]), logger)
    assert records == ["2 of 4 values are NaN.", "1 of 4 values are infinite."]
    assert bf.helper_functions.format_loss_string(1, 2, 0.1234, {"Avg.Loss": 0.5}, lr=5e-4) == "Epoch: 1, Iter: 2, Loss: 0.123, Avg.Loss: 0.500, LR: 5.00E-04"
    assert bf.helper_functions.format_loss_string(1, 2, {"A": 1.0, "B": 2.0}, {}) == "Epoch: 1, Iter: 2, A: 1.000, B: 2.000"
    assert bf.helper_functions.loss_to_string(3, 0.5) == "Validation, Epoch: 3, Loss: 0.500"
    bf.helper_functions.check_posterior_prior_shapes(np.zeros((4, 10, 2)), np.zeros((4, 2)))
    for draws, truths in (((4, 10), (4, 2)), ((4, 10, 2), (3, 2)), ((4, 10, 2), (4, 3))):
        with pytest.raises(ShapeError):
            bf.helper_functions.check_posterior_prior_shapes(np.zeros(draws), np.zeros(truths))


def test_tables_of_settings():
    setting = bf.default_settings.MetaDictSetting({"units": 3, "deep": {"a": 1, "b": 2}}, ["num_params"])
    assert bf.helper_functions.build_meta_dict({"num_params": 2, "deep": {"a": 5}}, setting) == {"num_params": 2, "units": 3, "deep": {"a": 5, "b": 2}}
    with pytest.raises(ConfigurationError, match="'num_params' must be given"):
        bf.helper_functions.build_meta_dict({"units": 1}, setting)


@pytest.mark.parametrize("make", [lambda: SimulationDataset(3, 4), lambda: SimulationDataset({"a": np.zeros(3), "b": np.zeros(4)}, 4), lambda: MultiSimulationDataset(FORWARD, 4),
                                  lambda: SimulationDataset({"a": None}, 4)])  # fmt: skip
def test_wrong_inputs(make):
    with pytest.raises(ConfigurationError):
        make()


def _amortizer(**coupling):
    settings = {"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False, **coupling}
    return bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(1, 2, coupling_settings=settings), bf.networks.DeepSet(2), seed=1)


def _batch(rng, n=64):
    theta = rng.normal(size=(n, 1))
    return {"parameters": theta, "summary_conditions": theta[:, None] + rng.normal(size=(n, 5, 1))}


def test_steps_of_ones_own_train_as_a_trainer_does(rng):
    data = _batch(rng, 320)
    optimizer, mine, theirs = bf.optimizers.Adam(bf.optimizers.CosineDecay(1e-2, 40)), _amortizer(), _amortizer()
    assert extract_current_lr(optimizer) == 1e-2 and optimizer.iterations == 0
    losses = []
    for i in range(20):
        losses.append(backprop_step({key: values[16 * i : 16 * i + 16] for key, values in data.items()}, mine, optimizer))
    assert optimizer.iterations == 20 and extract_current_lr(optimizer) == pytest.approx(5e-3) and extract_current_lr(optimizer, step=10) > 8e-3
    trainer = bf.trainers.Trainer(theirs, configurator=lambda forward: {"parameters": forward["prior_draws"], "summary_conditions": forward["sim_data"]}, seed=0)
    part = {"prior_draws": data["parameters"][:16], "sim_data": data["summary_conditions"][:16]}
    history = trainer.train_offline(part, 1, 16, optimizer=bf.optimizers.Adam(1e-2))
    assert losses[0] == pytest.approx(float(history.iloc[0, 0]), rel=1e-6)
    held_out = _batch(np.random.default_rng(5), 500)
    before, after = float(_amortizer().compute_loss(held_out)), float(mine.compute_loss(held_out))
    assert after < before - 0.2 and all(isinstance(loss, float) for loss in losses)
    # Another amortizer begins anew.
    backprop_step(_batch(rng), theirs, optimizer)
    assert optimizer.iterations == 1


def test_steps_give_terms_and_refuse_what_they_cannot_do(rng):
    decayed = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(1, 2), bf.networks.DeepSet(2))
    losses = backprop_step(_batch(rng), decayed, bf.optimizers.SGD(1e-3))
    assert set(losses) == {"Loss", "W.Decay"} and losses["W.Decay"] > 0
    assert extract_current_lr(bf.optimizers.Adam()) is None
    amortizer = _amortizer()
    for optimizer in (bf.optimizers.Adam(), None):
        with pytest.raises(ConfigurationError, match="backprop_step: optimizer must have a learning rate"):
            backprop_step(_batch(rng), amortizer, optimizer)
    with pytest.raises(ConfigurationError, match="backprop_step: amortizer must be one of the module amortizers; got None"):
        backprop_step(_batch(rng), None, bf.optimizers.Adam(1e-3))
    with pytest.raises(ArgumentError, match="the batch holds"):
        backprop_step({**_batch(rng), "parameters": np.full((64, 1), np.nan)}, amortizer, bf.optimizers.Adam(1e-3))
    with pytest.raises(bf.exceptions.OperationNotSupportedError, match="networks take no further arguments; got training"):
        backprop_step(_batch(rng), amortizer, bf.optimizers.Adam(1e-3), training=True)


def test_the_base_of_all_amortizers():
    amortizer = _amortizer()
    assert isinstance(amortizer, bf.amortizers.AmortizedTarget)
    for name in ("AmortizedLikelihood", "AmortizedPosteriorLikelihood", "AmortizedModelComparison", "AmortizedPointEstimator", "TwoLevelAmortizedPosterior", "Ensemble"):
        assert issubclass(getattr(bf.amortizers, name), bf.amortizers.AmortizedTarget)

    class Exact(bf.amortizers.AmortizedTarget):
        def sample(self, input_dict, **kwargs):
            return input_dict["x"]

    assert Exact().sample({"x": 3}) == 3
    with pytest.raises(bf.exceptions.OperationNotSupportedError, match="Exact defines no log_prob; a class derived from AmortizedTarget must"):
        Exact().log_prob({})
    with pytest.raises(ConfigurationError, match="amortizer must be"):
        bf.trainers.Trainer(Exact())
