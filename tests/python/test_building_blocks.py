"""Summary networks that users write in Python: traced once, computed by the engine."""

import copy
import pathlib
import pickle
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import networks as nets
from bayesflow_cpp.exceptions import ConfigurationError, OperationNotSupportedError, ShapeError


class Residual:
    """Any object may hold layers."""

    def __init__(self, units):
        self.inner, self.outer = nets.Dense(units, activation="relu"), nets.Dense(units)

    def __call__(self, x):
        return x + self.outer(self.inner(x))


class ResidualDeepSet(nets.SummaryNetwork):
    calls = 0

    def __init__(self, units=16, summary_dim=5, blocks=2, **kwargs):
        super().__init__(**kwargs)
        self.first = nets.Dense(units, activation="relu")
        self.blocks = [Residual(units) for _ in range(blocks)]
        self.dropout = nets.Dropout(0.05)
        self.output = nets.Dense(summary_dim)

    def call(self, x):
        type(self).calls += 1
        h = self.first(x)
        for block in self.blocks:
            h = self.dropout(block(h))
        return self.output(nets.concat([nets.mean_pool(h), nets.max_pool(h)]))


def network(call, **attributes):
    """A network from a function of (self, x)."""
    return type("Net", (nets.SummaryNetwork,), {"call": call})(**attributes)


def flow():
    return nets.InvertibleNetwork(num_params=4, num_coupling_layers=2, coupling_settings={"dense_args": dict(units=16, kernel_regularizer=None), "dropout": False})


def data(rng, n=10, batch=3):
    return rng.normal(size=(batch, n, 4))


def test_shapes_invariance_and_varying_numbers_of_observations(rng):
    net = ResidualDeepSet()
    assert net.summary_dim == 5
    for n in (10, 1, 37):
        x = data(rng, n)
        y = net(x)
        assert y.shape == (3, 5) and y.dtype == np.float32
        np.testing.assert_allclose(net(x[:, rng.permutation(n)]), y, atol=1e-5)
    assert np.abs(net(2 * x) - y).max() > 1e-3
    np.testing.assert_array_equal(net(x), y.numpy())  # dropout is for training


def test_values_are_those_of_numpy(rng):
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    relu = lambda a: np.maximum(a, 0)  # noqa: E731
    cases = {
        "pools": (lambda self, x: nets.concat([nets.mean_pool(x), nets.max_pool(x), nets.sum_pool(x)]), lambda x: np.concatenate([x.mean(1), x.max(1), x.sum(1)], -1)),
        "numbers": (lambda self, x: nets.mean_pool((2 - x) / 4 * np.float64(3) - 1 + np.float32(0.5)), lambda x: ((2 - x) / 4 * 3 - 0.5).mean(1)),
        "numpy scalars on the left": (lambda self, x: nets.mean_pool(np.float64(3) * x), lambda x: 3 * x.mean(1)),
        "square": (lambda self, x: nets.mean_pool(x**2) - nets.mean_pool(x) * nets.mean_pool(x), lambda x: x.var(1)),
        "centred": (lambda self, x: nets.max_pool(x - nets.repeat(nets.mean_pool(x), x)), lambda x: (x - x.mean(1, keepdims=True)).max(1)),
        "slices": (lambda self, x: nets.max_pool(nets.concat([x[..., 1:], x[..., :1], x[..., -1:], x[..., 0:-1], x[..., :]])),
                   lambda x: np.concatenate([x[..., 1:], x[..., :1], x[..., -1:], x[..., 0:-1], x], -1).max(1)),  # fmt: skip
        "flatten": (lambda self, x: nets.relu(nets.flatten(x)), lambda x: relu(x.reshape(2, -1))),
        "many parts": (lambda self, x: nets.mean_pool(nets.concat([x * k for k in range(1, 20)])), lambda x: np.concatenate([x * k for k in range(1, 20)], -1).mean(1)),
        "unused steps": (lambda self, x: (nets.sum_pool(x), nets.Dense(7)(x), nets.mean_pool(x))[2], lambda x: x.mean(1)),
    }  # fmt: skip
    for name, (call, numpy) in cases.items():
        np.testing.assert_allclose(network(call)(x), numpy(x), atol=1e-5, err_msg=name)
    formulas = {
        "relu": relu, "leaky_relu": lambda a: np.where(a > 0, a, 0.2 * a), "elu": lambda a: np.where(a > 0, a, np.expm1(a)),
        "selu": lambda a: 1.05070098 * np.where(a > 0, a, 1.67326324 * np.expm1(a)), "tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
        "swish": lambda a: a / (1 + np.exp(-a)), "softplus": lambda a: np.log1p(np.exp(a)),
    }  # fmt: skip
    for name, formula in formulas.items():
        for call in (lambda self, x: getattr(nets, name)(nets.flatten(x)), lambda self, x: nets.activation(nets.flatten(x), name)):
            np.testing.assert_allclose(network(call)(x), formula(x.reshape(2, -1)), atol=1e-5, err_msg=name)


def deep_set(s1, s2, s3, output):
    def call(self, x):
        def stack(layers, h):
            for layer in layers:
                h = layer(h)
            return h

        for module in (0, 1):
            pooled = stack(s2[module], nets.mean_pool(stack(s1[module], x)))
            x = stack(s3[module], nets.concat([x, nets.repeat(pooled, like=x)]))
        return output(stack(s2[2], nets.mean_pool(stack(s1[2], x))))

    return call


def test_a_deep_set_of_building_blocks_has_the_sizes_and_speaks_like_a_deep_set(rng):
    dense = lambda: [nets.Dense(16, activation="relu") for _ in range(2)]  # noqa: E731
    s1, s2, s3 = ([dense() for _ in range(3)] for _ in range(3))
    own = network(deep_set(s1, s2, s3, nets.Dense(5)), seed=3)
    args = dict(units=16, activation="relu")
    engine = nets.DeepSet(summary_dim=5, dense_s1_args=args, dense_s2_args=args, dense_s3_args=args, seed=3)
    x = data(rng)
    assert own(x).shape == engine(x).shape
    assert own._alone.number_of_parameters == engine._alone.number_of_parameters


def test_parameters_are_named_after_attributes_and_shared():
    class Shared(nets.SummaryNetwork):
        def __init__(self):
            super().__init__()
            self.embed = nets.Dense(4, activation="tanh")
            self.heads = {"a": nets.Dense(4), "b c": nets.Dense(4)}

        def call(self, x):
            h = self.embed(x)
            h = h + self.embed(h)  # the same weights again
            return nets.Dense(2)(nets.mean_pool(self.heads["a"](h) * self.heads["b c"](h)))

    amortizer = bf.amortizers.AmortizedPosterior(flow(), Shared())
    amortizer.summary({"summary_conditions": np.ones((2, 7, 4))})
    names = {name for name in amortizer.weights() if name.startswith("summary_net.")}
    layers = ("embed", "heads.a", "heads.b_c", "dense_1")
    assert names == {f"summary_net.{layer}.{kind}" for layer in layers for kind in ("kernel", "bias")}


def test_training_is_the_engines_alone(gaussian_model, rng):
    ResidualDeepSet.calls = 0
    amortizer = bf.amortizers.AmortizedPosterior(flow(), ResidualDeepSet())
    trainer = bf.trainers.Trainer(amortizer=amortizer, generative_model=gaussian_model(), seed=1)
    loss = trainer.train_online(epochs=2, iterations_per_epoch=150, batch_size=32).to_numpy().ravel()
    assert loss[-50:].mean() < loss[:10].mean() - 1
    assert ResidualDeepSet.calls == 1
    theta = rng.normal(size=(200, 4))
    draws = amortizer.sample({"summary_conditions": rng.normal(theta[:, None], size=(200, 10, 4))}, n_samples=50)
    assert np.corrcoef(draws.mean(1).ravel(), theta.ravel())[0, 1] > 0.7


def made(rng, net=None):
    amortizer = bf.amortizers.AmortizedPosterior(flow(), net or ResidualDeepSet(), seed=4)
    inputs = {"summary_conditions": data(rng)}
    return amortizer, inputs, amortizer.summary(inputs)


def test_files_need_no_code_of_the_user(tmp_path, rng):
    amortizer, inputs, summary = made(rng)
    amortizer.save(tmp_path / "model.h5")
    loaded = bf.amortizers.load_amortizer(tmp_path / "model.h5")
    np.testing.assert_array_equal(loaded.summary(inputs), summary)
    np.testing.assert_array_equal(loaded.summary_net(inputs["summary_conditions"]), summary)
    loaded.save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "model.h5").read_bytes()


def test_pickle_and_copy_need_no_code_of_the_user(tmp_path, rng):
    amortizer, inputs, summary = made(rng)
    np.testing.assert_array_equal(copy.deepcopy(amortizer).summary(inputs), summary)
    pickled = pickle.dumps(amortizer)
    assert b"ResidualDeepSet" in pickled  # as a label
    (tmp_path / "amortizer.pkl").write_bytes(pickled)
    np.save(tmp_path / "x.npy", inputs["summary_conditions"])
    np.save(tmp_path / "summary.npy", np.asarray(summary))
    program = f"""
        import pickle, sys
        import numpy as np
        amortizer = pickle.load(open({str(tmp_path / "amortizer.pkl")!r}, "rb"))
        assert "test_building_blocks" not in sys.modules
        x = np.load({str(tmp_path / "x.npy")!r})
        np.testing.assert_array_equal(amortizer.summary({{"summary_conditions": x}}), np.load({str(tmp_path / "summary.npy")!r}))
        np.testing.assert_array_equal(amortizer.summary_net(x), np.load({str(tmp_path / "summary.npy")!r}))
        print(amortizer.summary_net)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("<ResidualDeepSet: ")
    # A network alone, before it has weights: what is pickled is what it computes.
    net = ResidualDeepSet(seed=9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net))(inputs["summary_conditions"]), net(inputs["summary_conditions"]))


def test_networks_may_be_parts_of_networks(rng):
    class Outer(nets.SummaryNetwork):
        def __init__(self):
            super().__init__()
            self.inner, self.output = ResidualDeepSet(), nets.Dense(3)

        def call(self, x):
            return self.output(nets.tanh(self.inner(x)))

    amortizer, _, summary = made(rng, Outer())
    assert summary.shape == (3, 3)
    assert "summary_net.inner.blocks.1.outer.kernel" in amortizer.weights()


def test_a_class_that_forgets_super_init_works(rng):
    class Forgetful(nets.SummaryNetwork):
        def __init__(self):
            self.output = nets.Dense(3)

        def call(self, x):
            return self.output(nets.mean_pool(x))

    assert made(rng, Forgetful())[2].shape == (3, 3)


def test_time_series_of_fixed_length(rng):
    net = network(lambda self, x: nets.Dense(3)(nets.Dense(8, activation="relu")(nets.flatten(x))))
    assert net(rng.normal(size=(5, 20, 2))).shape == (5, 3)
    with pytest.raises(ShapeError, match=r"was built for data \(batch, 20, 2\); got \(5, 21, 2\)"):
        net(rng.normal(size=(5, 21, 2)))


def test_summary_dim():
    assert network(lambda self, x: nets.mean_pool(x)).summary_dim is None
    net = ResidualDeepSet(summary_dim=6)
    net.summary_dim = 6
    assert net.summary_dim == 6
    net = ResidualDeepSet(summary_dim=6)
    net.summary_dim = 7
    with pytest.raises(ConfigurationError, match="summary_dim was set to 7, but what call returns is 6 wide"):
        net.summary_dim
    net = network(lambda self, x: nets.mean_pool(x))
    net.summary_dim = 7
    with pytest.raises(ConfigurationError, match="as wide as the data make it"):
        net(np.ones((2, 3, 4)))


def branch(self, x):
    return nets.mean_pool(x if x > 0 else -x)


class Stash(nets.SummaryNetwork):
    def call(self, x):
        if not hasattr(self, "kept"):
            self.kept = x
            raise KeyError("first")
        return nets.mean_pool(x + self.kept)


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda self, x: np.mean(x, axis=1), ConfigurationError, "numpy.mean cannot compute with a symbolic tensor; a network's `call` describes"),
        (lambda self, x: np.exp(x), ConfigurationError, "numpy.exp cannot compute with a symbolic tensor"),
        (lambda self, x: np.asarray(x), ConfigurationError, "NumPy cannot compute with a symbolic tensor"),
        (lambda self, x: np.ones(4) * x, ConfigurationError, "numpy.multiply cannot compute with a symbolic tensor"),
        (lambda self, x: x * np.ones(4), ConfigurationError, "combined with each other and with numbers; got ndarray"),
        (lambda self, x: x + True, ConfigurationError, "combined with each other and with numbers; got bool"),
        (branch, ConfigurationError, "a symbolic tensor has no values: `call` runs once"),
        (lambda self, x: [h for h in x], ConfigurationError, "a symbolic tensor has no values"),
        (lambda self, x: nets.mean_pool(x) / len(x), ConfigurationError, "a symbolic tensor has no values"),
        (lambda self, x: nets.Dense(x.shape[-1])(x), ConfigurationError, "a symbolic tensor has no shape"),
        (lambda self, x: x.mean(1), AttributeError, "a symbolic tensor has no 'mean'; a network's `call` describes"),
        (lambda self, x: x @ x, OperationNotSupportedError, "this operator does not exist for symbolic tensors"),
        (lambda self, x: x / x, OperationNotSupportedError, "can be divided by numbers only"),
        (lambda self, x: x**3, OperationNotSupportedError, r"the only power of symbolic tensors is x \*\* 2; got 3"),
        (lambda self, x: x[:, 0], OperationNotSupportedError, r"sliced on the last axis only: x\[..., a:b\]; got x\[:, 0\]"),
        (lambda self, x: x[..., 0], OperationNotSupportedError, r"got x\[..., 0\]"),
        (lambda self, x: x[..., ::2], OperationNotSupportedError, r"got x\[..., ::2\]"),
        (lambda self, x: x[..., :0], ShapeError, "has no columns"),
        (lambda self, x: None, ConfigurationError, r"Net.call must return one symbolic tensor \(B, summary_dim\), made from its argument; got None \(is a return"),
        (lambda self, x: (x, x), ConfigurationError, "got tuple"),
        (lambda self, x: np.ones((2, 3)), ConfigurationError, "got ndarray"),
        (lambda self, x: x, ConfigurationError, "returns the data themselves"),
        (lambda self, x: nets.activation(x, "tahn"), ConfigurationError, 'activation "tahn" is not known; use one of: identity, relu'),
        (lambda self, x: nets.concat(x), ConfigurationError, "concat takes a list of symbolic tensors"),
        (lambda self, x: nets.concat([x, np.ones(3)]), ConfigurationError, "concat takes the symbolic tensors of a SummaryNetwork's `call`; got ndarray"),
        (lambda self, x: nets.flatten(x, axes=1), ConfigurationError, "axes must be an integer of at least 2, or None"),
        (lambda self, x: nets.Dense(4)(x), ShapeError, r"is the summary, which must be \(batch, width\); it is \(batch, \*, 4\). Pool or flatten"),
        (lambda self, x: nets.mean_pool(nets.mean_pool(x)), ShapeError, "has no observations to pool"),
        (lambda self, x: nets.mean_pool(x - nets.mean_pool(x)), ShapeError, "brought to the shape of observations by repeat"),
        (lambda self, x: nets.mean_pool(x[..., 2:9]), ShapeError, 'takes the columns from 2 to 9 of "data", which has 4'),
    ],
)  # fmt: skip
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        network(call)(np.ones((2, 3, 4)))


def test_errors_of_layers_and_classes():
    with pytest.raises(ConfigurationError, match='activation "rleu" is not known'):
        nets.Dense(4, activation="rleu")
    with pytest.raises(ConfigurationError, match="initializer \"normal\" is not known; use one of: zeros"):
        nets.Dense(4, kernel_initializer="normal")
    with pytest.raises(ConfigurationError, match="activation must be a name"):
        nets.Dense(4, activation=np.tanh)
    for units in (0, 2.5, "4"):
        with pytest.raises(ConfigurationError, match="units must be a positive integer"):
            nets.Dense(units)
    with pytest.raises(ConfigurationError, match="rate must be at least 0 and below 1"):
        nets.Dropout(1)
    with pytest.raises(ConfigurationError, match="Dense takes the symbolic tensors of a SummaryNetwork's `call`; got ndarray"):
        nets.Dense(4)(np.ones((2, 3)))
    with pytest.raises(ConfigurationError, match=r"must have a method call\(self, x\)"):
        nets.SummaryNetwork()(np.ones((2, 3, 4)))
    stash = Stash()
    with pytest.raises(KeyError):
        stash(np.ones((2, 3, 4)))
    with pytest.raises(ConfigurationError, match="comes from another run of `call`"):
        stash(np.ones((2, 3, 4)))
    shared = nets.Dense(5)
    with pytest.raises(ShapeError, match="inputs of width 5, but another node gives it 4; shared weights need equal widths"):
        network(lambda self, x: nets.mean_pool(shared(shared(x))))(np.ones((2, 3, 4)))


def test_the_page_of_documentation_says_the_truth(rng):
    page = (pathlib.Path(__file__).parents[2] / "docs" / "python_networks.md").read_text()
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.S):
        exec(block, scope)
    assert scope["ResidualDeepSet"]()(rng.normal(size=(3, 8, 2))).shape == (3, 10)
    assert scope["Mine"]()(rng.normal(size=(3, 8, 2))).shape == (3, 10)
    assert scope["FixedLengthSeries"]()(rng.normal(size=(3, 8, 2))).shape == (3, 10)
    scope["amortizer"].summary({"summary_conditions": data(rng)})
    assert "summary_net.blocks.0.inner.kernel" in scope["amortizer"].weights()
