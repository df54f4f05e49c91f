"""Arrays of every kind that users have: taken, with the same numbers, or refused with a sentence."""

import numpy as np
import pandas as pd
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import BayesFlowError, ConfigurationError, ShapeError

X = np.round(np.random.default_rng(3).normal(size=(6, 10, 4)) * 4)  # whole numbers: every dtype holds them
THETA = np.round(np.random.default_rng(4).normal(size=(6, 4)) * 4)


class Tensor:
    """The protocol and nothing else, as a CPU tensor of another library has it."""

    def __init__(self, array, device=(1, 0)):
        self._array, self._device = array, device

    def __dlpack__(self, **options):
        if self._device[0] != 1:
            raise BufferError("the memory is on a device")
        return self._array.__dlpack__()

    def __dlpack_device__(self):
        return self._device


class Differentiated:
    """As torch behaves: numbers that are differentiated are given away only after `detach`."""

    requires_grad = True

    def __init__(self, array):
        self._array = array

    def detach(self):
        return Tensor(self._array)

    def __array__(self, *args, **kwargs):
        raise RuntimeError("requires grad")


def strided(x):
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]))
    wide[..., ::2] = x
    return wide[..., ::2]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


TAKEN = {
    "lists": lambda x: x.tolist(),
    "tuples of arrays": tuple,
    "Fortran order": np.asfortranarray,
    "negative strides": lambda x: x[::-1].copy()[::-1],
    "not contiguous": strided,
    "read-only": read_only,
    "big-endian": lambda x: x.astype(">f8"),
    "big-endian integers": lambda x: x.astype(">i2"),
    "float16": lambda x: x.astype(np.float16),
    "float32": lambda x: x.astype(np.float32),
    "long double": lambda x: x.astype(np.longdouble),
    "int8": lambda x: x.astype(np.int8),
    "objects that are numbers": lambda x: x.astype(object),
    "DLPack": Tensor,
    "a tensor with gradients": Differentiated,
    "a subclass": lambda x: x.astype(np.float32).view(bf._arrays.Output),
    "masked, nothing hidden": lambda x: np.ma.masked_array(x, np.zeros(x.shape, bool)),
}
REFUSED = {
    "complex": lambda x: x + 0j,
    "dates": lambda x: np.zeros(x.shape, "M8[D]"),
    "texts": lambda x: x.astype(str),
    "ragged lists": lambda x: [row.tolist() for row in x[:-1]] + [[[1.0]]],
    "objects": lambda x: np.full(x.shape, object()),
    "a tensor of a GPU": lambda x: Tensor(x, (2, 0)),
    "masked, one hidden": lambda x: np.ma.masked_array(x, np.arange(x.size).reshape(x.shape) == 3),
    "a dictionary": lambda x: {"x": x},
    "nine axes": lambda x: x.reshape(*x.shape, *[1] * (9 - x.ndim)),
}


@pytest.fixture(scope="module")
def trained():
    dense = dict(units=8, activation="relu")
    flow = bf.networks.InvertibleNetwork(4, 2, coupling_settings={"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False})
    amortizer = bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(5, dense_s1_args=dense, dense_s2_args=dense, dense_s3_args=dense), seed=1)
    amortizer.compute_loss({"parameters": THETA, "summary_conditions": X})
    return amortizer


# Where arrays go in: each takes data sets like X and parameters like THETA, and gives an array.
def of_amortizer(amortizer, x, theta):
    inputs = {"summary_conditions": x, "parameters": theta}
    return np.concatenate([amortizer.sample(inputs, 3, seed=1).ravel(), amortizer.log_posterior(inputs), *amortizer(inputs)[0]])


def of_networks(amortizer, x, theta):
    return np.concatenate([amortizer.summary_net(x).ravel(), amortizer.inference_net(theta, np.zeros((6, 5)))[0].ravel()])


def of_simulators(amortizer, x, theta):
    model = bf.simulation.GenerativeModel(
        bf.simulation.Prior(batch_prior_fun=lambda batch_size: theta), bf.simulation.Simulator(batch_simulator_fun=lambda t: x), skip_test=True
    )
    out = bf.configuration.DefaultPosteriorConfigurator()(model(6))
    return np.concatenate([out["parameters"].ravel(), out["summary_conditions"].ravel()])


def of_training(amortizer, x, theta):
    flow = bf.networks.InvertibleNetwork(4, 1, coupling_settings={"dense_args": dict(units=4, kernel_regularizer=None), "dropout": False})
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(4)), progress=False)
    return trainer.train_offline({"prior_draws": theta, "sim_data": x}, epochs=1, batch_size=4).values.ravel()


def of_diagnostics(amortizer, x, theta):
    return np.concatenate([bf.diagnostics.sbc_ranks(x, theta).ranks.ravel(), bf.diagnostics.mmd(theta, THETA + 1, permutations=5).null])


PLACES = [of_amortizer, of_networks, of_simulators, of_training, of_diagnostics]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", TAKEN)
def test_taken_with_the_same_numbers(trained, place, kind):
    given = TAKEN[kind](X), TAKEN[kind](THETA)
    np.testing.assert_array_equal(place(trained, *given), place(trained, X, THETA))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("which", ["data", "parameters"])
def test_refused_with_a_sentence(trained, place, kind, which):
    if which == "parameters" and kind == "ragged lists":
        x, theta = X, [*THETA.tolist()[:-1], [1.0]]
    else:
        x, theta = (REFUSED[kind](X), THETA) if which == "data" else (X, REFUSED[kind](THETA))
    with pytest.raises(BayesFlowError) as caught:
        place(trained, x, theta)
    assert 20 < len(str(caught.value)) < 600


@pytest.mark.parametrize("place", PLACES)
def test_torch(trained, place):
    torch = pytest.importorskip("torch")
    x, theta = torch.tensor(X).float(), torch.tensor(THETA).float()
    taken = [
        lambda t: t,
        lambda t: t.double(),
        lambda t: t.half(),
        lambda t: t.bfloat16(),
        lambda t: t.int(),
        lambda t: t.clone().requires_grad_(),
        torch.nn.Parameter,
        lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
        list,
    ]
    for kind in taken:
        np.testing.assert_array_equal(place(trained, kind(x), kind(theta)), place(trained, X, THETA))
    for kind in (lambda t: t.to_sparse(), lambda t: t + 0j, lambda t: t.to("meta")):
        for given in ((kind(x), theta), (x, kind(theta))):
            with pytest.raises(BayesFlowError):
                place(trained, *given)


def test_bool_counts_as_numbers(trained):
    x = X > 0
    np.testing.assert_array_equal(of_amortizer(trained, x, THETA > 0), of_amortizer(trained, x.astype(float), (THETA > 0).astype(float)))


def test_pandas(trained):
    frame = pd.DataFrame(THETA, columns=list("abcd"), index=list("uvwxyz"))
    np.testing.assert_array_equal(of_amortizer(trained, X, frame), of_amortizer(trained, X, THETA))
    np.testing.assert_array_equal(of_diagnostics(trained, X, frame), of_diagnostics(trained, X, THETA))
    np.testing.assert_array_equal(of_training(trained, X, frame.convert_dtypes()), of_training(trained, X, THETA))
    mixed = frame.assign(b="text")
    with pytest.raises(ConfigurationError, match="parameters"):
        of_amortizer(trained, X, mixed)


def test_empty_batches(trained):
    none = X[:0], THETA[:0]
    with pytest.raises(ShapeError, match="no data sets"):
        of_amortizer(trained, *none)
    with pytest.raises(BayesFlowError):
        of_training(trained, *none)
    with pytest.raises(BayesFlowError):
        of_diagnostics(trained, *none)


def test_users_arrays_are_not_changed(trained):
    x, theta = X.astype(np.float32), THETA.copy()
    for place in PLACES:
        place(trained, x, theta)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(theta, THETA)


def test_a_gpu_tensor_says_what_to_do():
    with pytest.raises(ConfigurationError, match="CPU"):
        bf.diagnostics.recovery(Tensor(X, (2, 0)), THETA)
    with pytest.raises(ConfigurationError) as caught:
        bf.diagnostics.recovery({"x": X}, THETA)
    assert "CPU" not in str(caught.value)  # only for what is elsewhere


def test_too_many_axes_say_so():
    with pytest.raises(ShapeError, match="at most 6 axes"):
        bf.networks.DeepSet(4)(np.zeros((1,) * 9))
