"""v1's helper classes and functions for training loops of one's own."""

import logging

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, ShapeError
from bayesflow_cpp.helper_classes import EarlyStopper, MemoryReplayBuffer, MultiSimulationDataset, SimulationDataset

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
