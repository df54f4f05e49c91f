"""Data sets of different sizes, and missing observations."""

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, ShapeError


def sets(seed=1, sizes=(12, 30, 7)):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 2)) for n in sizes]


def test_batches_hold_the_data_sets_and_masks():
    data = sets()
    batch = bf.ragged.batch(data, times=[np.arange(len(one)) for one in data])
    assert batch["sim_data"].shape == (3, 30, 2) and batch["sim_data_mask"].sum(1).tolist() == [12, 30, 7]
    for i, one in enumerate(data):
        np.testing.assert_array_equal(batch["sim_data"][i, : len(one)], one)
        assert (batch["sim_data"][i, len(one) :] == 0).all() and batch["sim_data_times"][i, len(one) - 1] == len(one) - 1
    assert bf.ragged.batch([[1.0, 2.0], [3.0]])["sim_data"].tolist() == [[[1], [2]], [[3], [0]]]


def test_missing_observations_make_data_sets_smaller():
    data = sets()
    whole = bf.ragged.batch(data)
    gappy = [np.insert(one, [0, 3], np.nan, axis=0) for one in data]
    made = bf.ragged.batch(gappy, missing="mask", times=[np.arange(len(one)) for one in gappy])
    np.testing.assert_array_equal(made["sim_data"], whole["sim_data"])
    np.testing.assert_array_equal(made["sim_data_mask"], whole["sim_data_mask"])
    assert made["sim_data_times"][0, :5].tolist() == [1, 2, 3, 5, 6]


def test_padded_sets_give_the_draws_of_the_sets_alone():
    def prior(rng):
        return rng.normal(size=2)

    def simulator(theta, rng):
        return 5 + 3 * (theta + rng.normal(size=(10, 2)))

    model = bf.simulation.GenerativeModel(prior, simulator, prior_is_batched=False, simulator_is_batched=False, skip_test=True)
    amortizer = bf.amortizers.AmortizedPosterior(
        bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(summary_dim=4), adapter=bf.Adapter(pilot=100).standardize().standardize("sim_data")
    )
    bf.trainers.Trainer(amortizer, model, seed=3, threads=1, progress=False).train_online(1, 30, 16)
    data = [5 + 3 * one for one in sets(sizes=(10, 10, 6))]
    together = amortizer.sample(data, 200, seed=1)
    np.testing.assert_array_equal(amortizer.sample(bf.ragged.batch(data), 200, seed=1), together)
    for i, one in enumerate(data):
        np.testing.assert_allclose(amortizer.log_prob({"prior_draws": np.zeros((1, 2)), "sim_data": one[None]}),
                                   amortizer.log_prob({"prior_draws": np.zeros((3, 2)), **bf.ragged.batch(data)})[i], rtol=1e-5)  # fmt: skip
    assert together.shape == (3, 200, 2)


def test_long_frames_are_batches():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"who": list("bbaab"), "x": [1.0, 2, 3, 4, np.nan], "y": [5.0, 6, 7, 8, np.nan], "t": [2, 1, 5, 6, 3]})
    batch, names = bf.ragged.from_frame(frame, "who", ["x", "y"], times="t", missing="mask")
    assert names == ["b", "a"] and batch["sim_data"].tolist() == [[[2, 6], [1, 5]], [[3, 7], [4, 8]]] and batch["sim_data_times"].tolist() == [[1, 2], [5, 6]]
    with pytest.raises(ConfigurationError, match="there is no column 'z'; there are who, x, y, t"):
        bf.ragged.from_frame(frame, "who", "z")
    frame.loc[0, "who"] = None
    with pytest.raises(ArgumentError, match="1 rows have no who"):
        bf.ragged.from_frame(frame, "who", "x")


@pytest.mark.parametrize(
    "make, error, sentence",
    [
        (lambda: bf.ragged.batch([]), ArgumentError, "there are no data sets"),
        (lambda: bf.ragged.batch([[1.0, np.nan]]), ArgumentError, "data set 0 holds NaN in observation 1, column 0"),
        (lambda: bf.ragged.batch([[[1.0, np.nan]]], missing="mask"), ArgumentError, "misses some of its 2 numbers"),
        (lambda: bf.ragged.batch([[np.nan]], missing="mask"), ArgumentError, "data set 0 has no observations"),
        (lambda: bf.ragged.batch([[1.0], [[1.0, 2.0]]]), ShapeError, "data set 1 has the shape"),
        (lambda: bf.ragged.batch([[1.0]], times=[[1.0, 2.0]]), ShapeError, "times must be"),
        (lambda: bf.ragged.batch([[1.0]], missing="drop"), ConfigurationError, "missing must be one of 'error', 'mask'"),
    ],
)
def test_wrong_uses_end_in_sentences(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()
