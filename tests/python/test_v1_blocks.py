"""v1's building blocks, and layers that are not dense, in networks of one's own. Networks that are written with them give the numbers of the engine's,
which tests/reference holds to those of the real v1: first weights depend on the seed and the name alone."""

import copy
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import attention, coupling_networks, helper_networks, wrappers
from bayesflow_cpp.exceptions import BayesFlowError, ConfigurationError, OperationNotSupportedError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore::bayesflow_cpp.exceptions.ForeignDataWarning")
nets = bf.networks
ATTENTION, DENSE = dict(num_heads=2, key_dim=4), dict(units=8, activation="relu")
BLOCK = (ATTENTION, 2, DENSE)
DEEP = {"num_dense_s1": 2, "num_dense_s2": 1, "num_dense_s3": 2, "dense_s1_args": DENSE, "dense_s2_args": DENSE, "dense_s3_args": DENSE}
CONV = {"layer_args": {"filters": 4}, "min_kernel_size": 1, "max_kernel_size": 4}


def network(make, call, seed=3):
    """A SummaryNetwork whose attributes are those that `make` returns."""

    class Mine(nets.SummaryNetwork):
        def __init__(self):
            super().__init__(seed)
            self.__dict__.update(make())

        def call(self, x):
            return call(self, x)

    return Mine()


def chain(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def set_transformer(full, norm):
    def make():
        block = lambda: attention.SelfAttentionBlock(3, *BLOCK, norm) if full else attention.InducedSelfAttentionBlock(3, *BLOCK, norm, 4)  # noqa: E731
        return dict(attention_blocks=[block(), block()], pooling=attention.PoolingWithAttention(5, *BLOCK, norm, num_seeds=2))

    return network(make, lambda self, x: self.pooling(chain(self.attention_blocks, x)))


def series_transformer(cell, both):
    def make():
        return dict(attention_blocks=[attention.SelfAttentionBlock(3, *BLOCK, True)], template=cell(6, bidirectional=both),
                    output_attention=attention.MultiHeadAttentionBlock(12 if both else 6, *BLOCK, True), output=nets.Dense(5))  # fmt: skip

    return network(make, lambda self, x: self.output(self.output_attention(self.template(x), chain(self.attention_blocks, x))))


def sequence(both):
    make = lambda: dict(convolutions=[helper_networks.MultiConv1D(CONV) for _ in range(2)], recurrent=nets.LSTM(6, bidirectional=both), output=nets.Dense(5))  # noqa: E731
    return network(make, lambda self, x: self.output(self.recurrent(chain(self.convolutions, x))))


def deep_set(pool):
    settings = {**DEEP, "pooling_fun": pool}
    make = lambda: dict(equivariant=[helper_networks.EquivariantModule(settings)], invariant=helper_networks.InvariantModule(settings), output=nets.Dense(5))  # noqa: E731
    return network(make, lambda self, x: self.output(self.invariant(chain(self.equivariant, x))))


def series_of(template, both):
    return nets.TimeSeriesTransformer(3, *(ATTENTION, DENSE, True, 2, 5, 1), template_type=template, bidirectional=both, template_dim=6, time_encoding=False, seed=3)


TWINS = {
    "induced": (set_transformer(False, False), nets.SetTransformer(3, ATTENTION, DENSE, False, 2, 5, 2, 4, 2, seed=3)),
    "induced_norm": (set_transformer(False, True), nets.SetTransformer(3, ATTENTION, DENSE, True, 2, 5, 2, 4, 2, seed=3)),
    "full": (set_transformer(True, True), nets.SetTransformer(3, ATTENTION, DENSE, True, 2, 5, 2, None, 2, seed=3)),
    "series_lstm": (series_transformer(nets.LSTM, False), series_of("lstm", False)),
    "series_gru_both": (series_transformer(nets.GRU, True), series_of("gru", True)),
    "sequence": (sequence(False), nets.SequenceNetwork(5, 2, 6, False, CONV, seed=3)),
    "sequence_both": (sequence(True), nets.SequenceNetwork(5, 2, 6, True, CONV, seed=3)),
    "deep_set": (deep_set("mean"), nets.DeepSet(5, num_dense_s1=2, num_dense_s2=1, num_dense_s3=2, num_equiv=1, dense_s1_args=DENSE, dense_s2_args=DENSE, dense_s3_args=DENSE, seed=3)),
    "deep_set_max": (deep_set("max"), nets.DeepSet(5, num_dense_s1=2, num_dense_s2=1, num_dense_s3=2, num_equiv=1, dense_s1_args=DENSE, dense_s2_args=DENSE, dense_s3_args=DENSE, pooling_fun="max", seed=3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", TWINS)
def test_networks_of_blocks_are_the_engines(kind, rng):
    mine, engines = TWINS[kind]
    for n in (7, 1, 12):
        x = rng.normal(size=(4, n, 3))
        np.testing.assert_allclose(mine(x), engines(x), rtol=1e-5, atol=1e-6)
    ours, theirs = mine._table()[0], engines._table()[0]
    assert {name: w.shape for name, w in ours.items()} == {name: w.shape for name, w in theirs.items()}
    for twin in (pickle.loads(pickle.dumps(mine)), copy.deepcopy(mine)):
        np.testing.assert_array_equal(twin(x), mine(x))


@pytest.mark.parametrize("kind", TWINS)
def test_they_train_read_masks_and_are_in_files(kind, rng, tmp_path):
    net = copy.deepcopy(TWINS[kind][0])
    net.seed = None
    settings = {"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False}
    amortizer = bf.amortizers.AmortizedPosterior(nets.InvertibleNetwork(2, 2, coupling_settings=settings), net, seed=4)
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda t, rng: rng.normal(t[0], size=(6, 3))), skip_test=True)
    trainer = bf.trainers.Trainer(amortizer, model, progress=False, seed=1)
    before = amortizer.weights()
    assert np.isfinite(np.asarray(trainer.train_online(1, 5, 8)).astype(float)).all()
    mine = [name for name in before if name.startswith("summary_net")]
    assert len([name for name in mine if not np.array_equal(before[name], amortizer.weights()[name])]) > len(mine) / 2
    x, mask = rng.normal(size=(3, 6, 3)), np.ones((3, 6))
    mask[1, 4:] = 0
    inputs = {"parameters": rng.normal(size=(3, 2)), "summary_conditions": np.where(mask[..., None] > 0, x, 1e3), "summary_mask": mask}
    alone = {"parameters": inputs["parameters"][1:2], "summary_conditions": x[1:2, :4]}
    np.testing.assert_allclose(amortizer.log_posterior(alone), amortizer.log_posterior(inputs)[1:2], rtol=1e-4, atol=1e-4)
    amortizer.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(bf.load_amortizer(tmp_path / "model.h5").sample(inputs, 6, seed=1), amortizer.sample(inputs, 6, seed=1))


def run(make, call, x):
    return network(make, call)(x)


def test_layers_compute_what_they_say(rng):
    x = rng.normal(size=(2, 5, 4))
    flat = lambda y: nets.flatten(y)  # noqa: E731
    normed = run(lambda: dict(norm=nets.LayerNormalization()), lambda self, x: flat(self.norm(x)), x).reshape(x.shape)
    np.testing.assert_allclose(normed, (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3), rtol=1e-4, atol=1e-5)

    net = network(lambda: dict(conv=nets.Conv1D(2, 3, padding="causal", dilation_rate=2)), lambda self, x: flat(self.conv(x)))
    got, w = net(x).reshape(2, 5, 2), net._table()[0]
    kernel, padded = w["summary_net.conv.kernel"], np.pad(x, ((0, 0), (4, 0), (0, 0)))
    want = sum(padded[:, 2 * k : 2 * k + 5] @ kernel[k] for k in range(3)) + w["summary_net.conv.bias"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)

    image = rng.normal(size=(2, 6, 5, 1))
    net = network(lambda: dict(conv=nets.Conv2D(3, (3, 1), activation="relu")), lambda self, x: nets.max_pool(nets.max_pool(self.conv(x))))
    got, w = net(image), net._table()[0]
    padded = np.pad(image, ((0, 0), (1, 1), (0, 0), (0, 0)))
    want = sum(padded[:, k : k + 6] @ w["summary_net.conv.kernel"][k, 0] for k in range(3)) + w["summary_net.conv.bias"]
    np.testing.assert_allclose(got, np.maximum(want, 0).max((1, 2)), rtol=1e-4, atol=1e-5)
    assert net(image[:, :4, :3]).shape == (2, 3)

    forward = network(lambda: dict(cell=nets.GRU(3, return_sequences=True)), lambda self, x: flat(self.cell(x)))(x).reshape(2, 5, 3)
    last = network(lambda: dict(cell=nets.GRU(3)), lambda self, x: self.cell(x))(x)
    backward = network(lambda: dict(cell=nets.GRU(3, go_backwards=True)), lambda self, x: self.cell(x))(x[:, ::-1])
    np.testing.assert_allclose(forward[:, -1], last, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(backward, last, rtol=1e-5, atol=1e-6)

    rows = network(lambda: dict(rows=nets.Weights(3, 2)), lambda self, x: flat(self.rows(x)))
    np.testing.assert_allclose(rows(x), np.tile(rows._table()[0]["summary_net.rows"].reshape(1, 6), (2, 1)), rtol=1e-6)
    np.testing.assert_array_equal(run(dict, lambda self, x: nets.mean_pool(nets.equal(x, 2)), np.array([[[2.0], [1.0]]])), [[0.5]])


def test_small_blocks(rng):
    x = rng.normal(size=(3, 4))
    order = [2, 0, 3, 1]
    block = helper_networks.Permutation(4, order=order)
    np.testing.assert_array_equal(run(dict, lambda self, x: block(x) * 1, x), x.astype(np.float32)[:, order])
    np.testing.assert_array_equal(run(dict, lambda self, x: block(block(x), inverse=True) * 1, x), x.astype(np.float32))
    assert all(helper_networks.Permutation(2)._order == [1, 0] for _ in range(20))  # never the identity

    net = network(lambda: dict(map=helper_networks.Orthogonal(4)), lambda self, x: self.map(x))
    np.testing.assert_allclose(np.linalg.norm(net(x), axis=1), np.linalg.norm(x, axis=1), rtol=1e-4)
    net = network(lambda: dict(norm=helper_networks.ActNorm(4, None)), lambda self, x: nets.mean_pool(self.norm(x)))
    np.testing.assert_allclose(net(x[:, None]), x, rtol=1e-5, atol=1e-6)
    assert sorted(w.shape for w in net._table()[0].values()) == [(1, 4), (1, 4)]

    dropped = run(lambda: dict(drop=helper_networks.MCDropout(0.5)), lambda self, x: self.drop(x), np.ones((4, 50)))
    assert set(np.unique(dropped)) == {0.0, 2.0}

    mlp = network(lambda: dict(mlp=helper_networks.ConfigurableMLP(4, hidden_dim=8, activation="tanh")), lambda self, x: self.mlp(x))
    mlp(x)
    w = {name[len("summary_net.mlp.") :]: value for name, value in mlp._table()[0].items()}
    h = np.tanh(x @ w["input_layer.kernel"] + w["input_layer.bias"])
    for i in range(2):
        h = np.tanh(h @ w[f"hidden.{i}.dense.kernel"] + w[f"hidden.{i}.dense.bias"] + h)
    np.testing.assert_allclose(mlp(x), h @ w["output_layer.kernel"] + w["output_layer.bias"], rtol=1e-4, atol=1e-5)

    net = network(lambda: dict(net=helper_networks.DenseCouplingNet({"residual": True, "spec_norm": True}, 3)), lambda self, x: self.net(x, x[..., 0:2]))
    assert not net(x).any()  # the last layer starts at 0
    assert any("spectral_norm" in name for name in net._alone.buffers())
    own = lambda x: nets.sum_pool(x) * 0.5  # noqa: E731
    module = lambda: dict(m=helper_networks.InvariantModule({**DEEP, "pooling_fun": own}))  # noqa: E731
    assert run(module, lambda self, x: self.m(x), rng.normal(size=(2, 3, 4))).shape == (2, 8)


def test_spectral_norm(rng):
    net = network(lambda: dict(dense=wrappers.SpectralNormalization(nets.Dense(3, use_bias=False, kernel_initializer="ones"))), lambda self, x: self.dense(x))
    np.testing.assert_allclose(net(np.ones((1, 4))), np.full((1, 3), 4 / np.sqrt(12)), rtol=1e-3)  # the largest singular value of ones (4, 3) is sqrt(12)


def test_a_coupling_layer_is_one_layer_of_an_invertible_network(rng):
    theta, condition = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    for design in ("affine", "spline"):
        layer = coupling_networks.CouplingLayer(3, None, design, seed=2)
        flow = nets.InvertibleNetwork(3, 1, design, seed=2)
        z, log_det_J = layer(theta, condition)
        for ours, theirs in zip((z, log_det_J), flow(theta, condition)):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(layer(z, condition, inverse=True), theta, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer))(theta, condition)[0], z)


def _dense(h, weights, scope, count):
    """A stack of `count` relu layers and a linear one."""
    for i in range(count + 1):
        h = h @ weights[f"{scope}.{i}.kernel"] + weights[f"{scope}.{i}.bias"]
        h = np.maximum(h, 0) if i < count else h
    return h


def test_affine_coupling_alone_equals_the_formula(rng):
    u, w, c = rng.normal(size=(6, 2)), rng.normal(size=(6, 3)), rng.normal(size=(6, 4))
    coupling = coupling_networks.AffineCoupling(2, {"dense_args": dict(units=8), "num_dense": 2}, seed=3)
    v, log_det_J = coupling(u, w, c)
    np.testing.assert_array_equal(v, u.astype(np.float32))
    np.testing.assert_array_equal(log_det_J, 0)
    coupling.set_weights({name: 0.5 * rng.normal(size=values.shape) for name, values in coupling.weights().items()})
    weights = {name: values.astype(np.float64) for name, values in coupling.weights().items()}
    s = 2 * 1.9 / np.pi * np.arctan(_dense(np.hstack([w, c]), weights, "s", 2) / 1.9)
    t = _dense(np.hstack([w, c]), weights, "t", 2)
    v, log_det_J = coupling(u, w, c)
    np.testing.assert_allclose(v, u * np.exp(s) + t, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_det_J, s.sum(-1), rtol=1e-5, atol=1e-5)
    # v1's order of arguments turns round for the inverse; observations of a data set share its condition.
    np.testing.assert_allclose(coupling(w, v, c, inverse=True), u, atol=1e-5)
    many = coupling(u[:, None].repeat(5, 1), w[:, None].repeat(5, 1), c)
    np.testing.assert_allclose(many[0][:, 3], v, rtol=1e-6, atol=1e-6)
    assert many[1].shape == (6, 5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(coupling))(u, w, c)[0], v)
    assert repr(coupling) == f"<AffineCoupling(2); {sum(x.size for x in weights.values()):,} weights>"


def test_spline_coupling_alone_equals_numbers_of_the_formula():
    coupling = coupling_networks.SplineCoupling(1, {"bins": 2})
    x = np.array([-6, -4.6, -1, 0, 2.5, 7])[:, None]
    coupling(x, np.zeros((6, 1)), None)
    last = max(name for name in coupling.weights() if name.endswith("bias"))
    coupling.set_weights({last: [0.5, -0.25, 0.3, -0.2, -0.1, 0.4, 0.7]})  # the last kernel is 0: these are the spline's raw numbers
    y, log_det_J = coupling(x, np.ones((6, 1)), None)
    # Within what bins and slopes of at least 0.001 change.
    np.testing.assert_allclose(y[:, 0], [-6.7795169, -5.3519678, -2.3650921, -1.3794851, 1.8519858, 6.4762959], atol=5e-4)
    np.testing.assert_allclose(log_det_J, [0.0194868, 0.0194868, -0.1293681, 0.1155176, 0.1299728, 0.0194868], atol=5e-4)
    np.testing.assert_allclose(coupling(np.ones((6, 1)), y, None, inverse=True), x, atol=2e-5)


def test_couplings_say_what_does_not_fit(rng):
    coupling = coupling_networks.AffineCoupling(2, None)
    for call, kind, words in [
        (coupling.weights, ConfigurationError, "AffineCoupling.weights: the networks have no weights yet"),
        (lambda: coupling(np.zeros((3, 1)), np.zeros((3, 1)), None), ShapeError, r"target \(..., 2\) and conditioner"),
        (lambda: coupling(np.zeros((3, 2)), np.zeros((4, 1)), None), ShapeError, r"must have the same axes but for the last; got \(3, 2\) and \(4, 1\)"),
        (lambda: [coupling(np.zeros((3, 2)), np.zeros((3, 1)), None), coupling(np.zeros((3, 2)), np.zeros((3, 2)), None)][0], ShapeError, r"the first call had widths \(1, 0\)"),
        (lambda: coupling.set_weights({"s.9.kernel": 1}), ConfigurationError, "there are no weights 's.9.kernel'"),
        (lambda: coupling.set_weights({"s.0.bias": [1.0]}), ShapeError, r"s.0.bias must have shape \(128,\); got \(1,\)"),
        (lambda: coupling_networks.SplineCoupling(0, None), ConfigurationError, "SplineCoupling: dim_out"),
    ]:
        with pytest.raises(kind, match=words):
            call()


X = np.zeros((2, 5, 3))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: nets.Conv1D(0), ConfigurationError, "Conv1D: filters must be a positive integer; got 0"),
        (lambda: nets.Conv1D(2, padding="valid"), ConfigurationError, "Conv1D: padding must be one of 'same', 'causal'; got 'valid'"),
        (lambda: nets.Conv2D(2, (3, 3, 3)), ConfigurationError, r"Conv2D: kernel_size must be an integer or a pair"),
        (lambda: run(lambda: dict(c=nets.Conv2D(2)), lambda self, x: nets.mean_pool(self.c(x)), X), ShapeError, r"\(conv\) has no observations to go along"),
        (lambda: nets.LSTM(2, bidirectional=True, go_backwards=True), ConfigurationError, "bidirectional reads in both directions"),
        (lambda: nets.GRU("2"), ConfigurationError, "GRU: units must be a positive integer"),
        (lambda: nets.MultiHeadAttention(2, 3, dropout=1), ConfigurationError, "dropout must be at least 0 and below 1"),
        (lambda: nets.Weights(2, 2, initializer="orthogonal"), ConfigurationError, None),
        (lambda: nets.LSTM(2)(np.zeros((2, 3, 4))), ConfigurationError, "LSTM takes the symbolic tensors"),
        (lambda: nets.equal(X, 1), ConfigurationError, "equal takes the symbolic tensors"),
        (lambda: attention.SelfAttentionBlock(3, dict(heads=2), 2, DENSE, True), ConfigurationError, "MultiHeadAttentionBlock: attention_settings: unknown key 'heads'"),
        (lambda: attention.PoolingWithAttention(0, ATTENTION, 2, DENSE, True), ConfigurationError, "PoolingWithAttention: summary_dim"),
        (lambda: run(lambda: dict(b=attention.SelfAttentionBlock(4, *BLOCK, True)), lambda self, x: nets.mean_pool(self.b(x)), X), ShapeError, "two equal shapes"),
        (lambda: helper_networks.InvariantModule({**DEEP}), ConfigurationError, "InvariantModule: settings: pooling_fun is required"),
        (lambda: helper_networks.InvariantModule({**DEEP, "pooling_fun": "sum"}), ConfigurationError, "pooling_fun must be one of 'mean', 'max'"),
        (lambda: helper_networks.MultiConv1D({"max_kernel_size": 1}), ConfigurationError, "MultiConv1D: settings: max_kernel_size, which is left out"),
        (lambda: helper_networks.MCDropout(1.0), ConfigurationError, "dropout_prob must be at least 0 and below 1"),
        (lambda: helper_networks.Permutation(3, order=[0, 1, 1]), ConfigurationError, "order must hold each of 0 to 2 once"),
        (lambda: helper_networks.ActNorm(3, X), OperationNotSupportedError, "act_norm_init must be None"),
        (lambda: run(lambda: dict(o=helper_networks.Orthogonal(3)), lambda self, x: self.o(x, inverse=True), X), OperationNotSupportedError, "inverse of learnt weights"),
        (lambda: wrappers.SpectralNormalization(nets.LSTM(2)), ConfigurationError, "layer must be a networks.Dense"),
        (lambda: wrappers.SpectralNormalization(nets.Dense(2), 3), OperationNotSupportedError, "power_iterations must be 1"),
        (lambda: coupling_networks.CouplingLayer(2, None, "interleaved"), ConfigurationError, "coupling_design must be one of 'affine', 'spline'"),
    ],
)
def test_mistakes(make, error, message):
    with pytest.raises(error if message else BayesFlowError, match=message):
        net = make()
        run(lambda: dict(w=net), lambda self, x: nets.flatten(self.w(x)), X)
