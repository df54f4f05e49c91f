"""Networks that are composed of others: hierarchies, splits, several sources of data; and engine networks within networks of one's own."""

import copy
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import BayesFlowError, ConfigurationError, OperationNotSupportedError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore::bayesflow_cpp.exceptions.ForeignDataWarning")
nets = bf.networks
ATTENTION, DENSE = dict(num_heads=2, key_dim=4), dict(units=8, activation="relu")
SETS = dict(dense_s1_args=DENSE, dense_s2_args=DENSE, dense_s3_args=DENSE, num_equiv=1)


def set_net(dim=3, **options):
    return nets.DeepSet(dim, **SETS, **options)


def transformer(dim=4, width=2):
    return nets.SetTransformer(width, ATTENTION, DENSE, summary_dim=dim, num_inducing_points=3)


def sequence(dim=4):
    return nets.SequenceNetwork(dim, lstm_units=6, conv_settings={"layer_args": {"filters": 4}})


def series_transformer(dim=4, width=2):
    return nets.TimeSeriesTransformer(width, ATTENTION, DENSE, summary_dim=dim, template_dim=6)


class Own(nets.SummaryNetwork):
    def __init__(self, dim=3):
        super().__init__()
        self.hidden, self.output_ = nets.Dense(6, "tanh"), nets.Dense(dim)

    def call(self, x):
        return self.output_(nets.mean_pool(self.hidden(x)))


class Around(nets.SummaryNetwork):
    """Engine networks and building blocks side by side."""

    def __init__(self):
        super().__init__()
        self.series, self.output_ = series_transformer(), nets.Dense(3)

    def call(self, x):
        return self.output_(nets.concat([self.series(x), nets.mean_pool(x)]))


GROUPS = {
    "sets": lambda **o: nets.HierarchicalNetwork([set_net(), set_net(4)], **o),
    "transformers": lambda **o: nets.HierarchicalNetwork([transformer(), set_net()], **o),
    "series": lambda **o: nets.HierarchicalNetwork([series_transformer(), transformer(5, 4)], **o),
    "own": lambda **o: nets.HierarchicalNetwork([Own(), transformer(5, 3)], **o),
    "recurrent": lambda **o: nets.HierarchicalNetwork([sequence(), Own(5)], **o),
}
MARKED = lambda i, x: nets.concat([nets.equal(x[..., 0:1], i), nets.equal(x[..., 0:1], i) * x[..., 1:2]])  # noqa: E731
SPLITS = {
    "column": lambda **o: nets.SplitNetwork(2, nets.SplitByColumn(0), nets.DeepSet, dict(summary_dim=3, **SETS), **o),
    "column_transformer": lambda **o: nets.SplitNetwork(2, nets.SplitByColumn(-2, [0, 1], shares=False), nets.SetTransformer, dict(input_dim=1, summary_dim=3), **o),
    "function": lambda **o: nets.SplitNetwork(2, MARKED, nets.DeepSet, dict(summary_dim=3, **SETS), **o),
    "function_transformer": lambda **o: nets.SplitNetwork(2, MARKED, transformer, **o),
}


def groups(rng, *shape):
    return rng.normal(size=(*shape, 2))


def split(rng, sets, n):
    x = rng.normal(size=(sets, n, 2))
    x[..., 0] = np.arange(n) % 2
    return x


def amortizer_of(net, **options):
    settings = {"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False}
    return bf.amortizers.AmortizedPosterior(nets.InvertibleNetwork(2, 2, coupling_settings=settings), net, **options)


def learn(amortizer, simulate, configure, tmp_path):
    """A few steps, and files and pickles that give the same afterwards; returns a configured test batch."""
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=simulate), skip_test=True)
    configurator = lambda f: {"parameters": f["prior_draws"], **configure(f["sim_data"])}  # noqa: E731
    trainer = bf.trainers.Trainer(amortizer, model, configurator=configurator, progress=False, seed=1)
    before = amortizer.weights()
    losses = np.asarray(trainer.train_online(1, 5, 8)).astype(float)
    assert losses.size == 5 and np.isfinite(losses).all()
    after = amortizer.weights()
    changed = [name for name in after if name.startswith("summary_net") and not np.array_equal(after[name], before[name])]
    assert len(changed) > len([name for name in after if name.startswith("summary_net")]) / 2
    inputs = configurator(model(4))
    amortizer.save(tmp_path / "model.h5")
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    for twin in (loaded, pickle.loads(pickle.dumps(amortizer))):
        np.testing.assert_array_equal(twin.sample(inputs, 6, seed=1), amortizer.sample(inputs, 6, seed=1))
        np.testing.assert_array_equal(twin.log_posterior(inputs), amortizer.log_posterior(inputs))
    return inputs


@pytest.mark.parametrize("kind", GROUPS)
def test_hierarchies(kind, rng, tmp_path):
    net = GROUPS[kind](seed=3)
    x = groups(rng, 3, 4, 5)
    out = net(x)
    assert out.shape == (3, net.summary_dim)
    levels = net(x, return_all=True)
    assert [level.shape[:-1] for level in levels] == [(3, 4), (3,)] and np.array_equal(levels[-1], out)
    np.testing.assert_allclose(net.call(x[:, ::-1]), out, rtol=1e-4, atol=1e-5)  # groups have no order in any of these
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), GROUPS[kind](seed=3)):
        np.testing.assert_array_equal(twin(x), out)
    amortizer = amortizer_of(GROUPS[kind](), seed=4)
    inputs = learn(amortizer, lambda t, rng: rng.normal(t, size=(4, 5, 2)), lambda x: {"summary_conditions": x}, tmp_path)
    trained = amortizer.summary_net(inputs["summary_conditions"], return_all=True)
    np.testing.assert_allclose(trained[1], amortizer.summary(inputs), rtol=1e-5, atol=1e-6)
    mask = np.ones((4, 4, 5))
    mask[1, 2:] = mask[2, :, 3:] = 0
    padded = {**inputs, "summary_conditions": np.where(mask[..., None] > 0, inputs["summary_conditions"], 1e3), "summary_mask": mask}
    densities = amortizer.log_posterior(padded)
    for i, (g, n) in enumerate(((4, 5), (2, 5), (4, 3), (4, 5))):
        alone = {"parameters": inputs["parameters"][i : i + 1], "summary_conditions": inputs["summary_conditions"][i : i + 1, :g, :n]}
        np.testing.assert_allclose(amortizer.log_posterior(alone), densities[i : i + 1], rtol=1e-4, atol=1e-4)


def test_three_levels_and_hierarchies_within_networks(rng):
    net = nets.HierarchicalNetwork([sequence(), transformer(3, 4), set_net()])
    assert [level.shape for level in net(groups(rng, 2, 3, 4, 5), return_all=True)] == [(2, 3, 4, 4), (2, 3, 3), (2, 3)]

    class Levels(nets.SummaryNetwork):
        def __init__(self):
            super().__init__()
            self.levels, self.output_ = nets.HierarchicalNetwork([transformer(), set_net()]), nets.Dense(2)

        def call(self, x):
            lower, upper = self.levels(x, return_all=True)
            return self.output_(nets.concat([nets.mean_pool(lower), upper]))

    assert Levels()(groups(rng, 2, 4, 5)).shape == (2, 2)


@pytest.mark.parametrize("kind", SPLITS)
def test_splits(kind, rng, tmp_path):
    net = SPLITS[kind](seed=3)
    x = split(rng, 3, 6)
    out = net(x)
    assert out.shape == (3, net.summary_dim)
    assert net.summary_dim == {"column": 8, "column_transformer": 6, "function": 6, "function_transformer": 8}[kind]
    if "column" in kind:
        for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
            np.testing.assert_array_equal(twin(x), out)
    # What belongs to one part changes its half of the summary only.
    other = x.copy()
    other[:, 1::2, 1] += 1
    width = out.shape[1] // 2 if "function" in kind or kind == "column_transformer" else 3
    np.testing.assert_allclose(net(other)[:, :width], out[:, :width], rtol=1e-5, atol=1e-6)
    assert np.abs(net(other)[:, width : 2 * width] - out[:, width : 2 * width]).max() > 1e-4
    column = np.arange(6) % 2
    simulate = lambda t, rng: np.stack([column, rng.normal(t[0], size=6)], axis=-1)  # noqa: E731
    amortizer = amortizer_of(SPLITS[kind](), seed=4)
    inputs = learn(amortizer, simulate, lambda x: {"summary_conditions": x}, tmp_path)
    mask = np.ones((4, 6))
    mask[1, 4:] = 0
    padded = {**inputs, "summary_conditions": np.where(mask[..., None] > 0, inputs["summary_conditions"], 1e3), "summary_mask": mask}
    alone = {"parameters": inputs["parameters"][1:2], "summary_conditions": inputs["summary_conditions"][1:2, :4]}
    np.testing.assert_allclose(amortizer.log_posterior(alone), amortizer.log_posterior(padded)[1:2], rtol=1e-4, atol=1e-4)


def test_sources(rng, tmp_path):
    make = lambda **o: nets.FusionNetwork({"series": series_transformer(), "table": set_net()}, **o)  # noqa: E731
    net, merged = make(seed=1), make(seed=1, summary_dim=5, dense_settings=DENSE)
    data = {"series": rng.normal(size=(4, 7, 2)), "table": rng.normal(size=(4, 3, 5))}
    assert net(data).shape == (4, 7) and net.summary_dim == 7 and merged(data).shape == (4, 5) and merged.summary_dim == 5
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), make(seed=1)):
        np.testing.assert_array_equal(twin(data), net(data))
    amortizer = amortizer_of(make(summary_dim=5), seed=4)

    def configure(x):
        mask = np.ones((len(x), 7))
        mask[::2, 5:] = 0
        sources = {"series": x[:, :14].reshape(-1, 7, 2), "table": x[:, 14:].reshape(-1, 3, 2)}
        return {"summary_conditions": sources, "summary_mask": {"series": mask}, "summary_times": {"series": np.tile(np.arange(7.0), (len(x), 1))}}

    inputs = learn(amortizer, lambda t, rng: rng.normal(t[0], size=20), configure, tmp_path)
    padded = copy.deepcopy(inputs)
    padded["summary_conditions"]["series"][::2, 5:] = 1e3
    density = amortizer.log_posterior(inputs)
    np.testing.assert_allclose(amortizer.log_posterior(padded), density, rtol=1e-4, atol=1e-4)
    assert amortizer.summary(inputs).shape == (4, 5)
    for source in ("series", "table"):
        changed = copy.deepcopy(inputs)
        changed["summary_conditions"][source][:, 0] += 1
        assert np.abs(amortizer.summary(changed) - amortizer.summary(inputs)).max() > 1e-5
    missing = {**inputs, "summary_conditions": {"series": inputs["summary_conditions"]["series"]}}
    with pytest.raises(BayesFlowError, match="summary_conditions.table"):
        amortizer.log_posterior(missing)
    with pytest.raises(BayesFlowError, match="of that source does not read a summary_times.table"):
        amortizer.log_posterior({**inputs, "summary_times": {**inputs["summary_times"], "table": np.zeros((4, 3))}})
    far = copy.deepcopy(inputs)
    far["summary_conditions"]["table"] += 1e4
    with pytest.warns(bf.exceptions.ForeignDataWarning, match="summary_conditions.table"):
        amortizer.sample(far, 2, seed=1)


def test_networks_within_a_network_of_ones_own(rng, tmp_path):
    amortizer = amortizer_of(Around(), seed=4)
    inputs = learn(amortizer, lambda t, rng: rng.normal(t, size=(6, 2)), lambda x: {"summary_conditions": x}, tmp_path)
    assert any(name.startswith("summary_net.series.attention") for name in amortizer.weights())
    mask = np.ones((4, 6))
    mask[1, 4:] = 0
    padded = {**inputs, "summary_conditions": np.where(mask[..., None] > 0, inputs["summary_conditions"], 1e3), "summary_mask": mask}
    alone = {"parameters": inputs["parameters"][1:2], "summary_conditions": inputs["summary_conditions"][1:2, :4]}
    np.testing.assert_allclose(amortizer.log_posterior(alone), amortizer.log_posterior(padded)[1:2], rtol=1e-4, atol=1e-4)


def test_parts_have_no_weights_of_their_own(rng):
    part = transformer()
    whole = nets.HierarchicalNetwork([part, set_net()])
    with pytest.raises(ConfigurationError, match="part of a HierarchicalNetwork, which has its weights"):
        part(groups(rng, 2, 5))
    assert copy.copy(part)(groups(rng, 2, 5)).shape == (2, 4) and whole(groups(rng, 2, 3, 5)).shape == (2, 3)


def test_pickles_of_earlier_versions():
    from bayesflow_cpp.building_blocks import _Described

    dense = dict(units=3, activation="linear", kernel_initializer="glorot_uniform", kernel_regularizer=0.0, use_bias=True, bias_initializer="zeros")
    nodes = [dict(name="mean", op="mean_pool", sources=["data"]), dict(name="output", op="dense", sources=["mean"], layer="output")]
    net = _Described(([("output", dense)], nodes), 1, "Mine")
    assert net(np.ones((2, 4, 3))).shape == (2, 3) and "<Mine: 2 operations, summary_dim 3" in repr(net)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: nets.HierarchicalNetwork([3]), ConfigurationError, "networks_list must be a list of summary networks"),
        (lambda: nets.HierarchicalNetwork([set_net(seed=1)])(np.zeros((2, 3, 2))), ConfigurationError, "a DeepSet within it has seed=1; give the seed to the whole"),
        (lambda: (lambda net: nets.HierarchicalNetwork([net, net])(np.zeros((1, 2, 3, 2))))(transformer()), ConfigurationError, "a network is given twice"),
        (lambda: nets.HierarchicalNetwork([set_net(), set_net()])(np.zeros((2, 3, 2))), ShapeError, "2 levels need data with 2 axes"),
        (lambda: nets.HierarchicalNetwork([set_net()])(np.zeros((2, 3, 2)), return_all="yes"), ConfigurationError, "return_all must be True or False"),
        (lambda: nets.HierarchicalNetwork([set_net()])(np.zeros((2, 3, 2)), training=True), OperationNotSupportedError, "dropout is on while a Trainer trains"),
        (lambda: nets.SplitNetwork(0, nets.SplitByColumn()), ConfigurationError, "num_splits must be a positive integer"),
        (lambda: nets.SplitNetwork(2, 0), ConfigurationError, "split_data_configurator must be a SplitByColumn or a function"),
        (lambda: nets.SplitNetwork(2, nets.SplitByColumn(), dict), ConfigurationError, "must be a class of summary networks"),
        (lambda: nets.SplitNetwork(2, nets.SplitByColumn(0, [1, 2, 3]))(np.zeros((2, 3, 2))), ConfigurationError, "SplitNetwork: values has 3 values for 2 networks"),
        (lambda: nets.SplitNetwork(2, nets.SplitByColumn())(np.full((2, 3, 2), 7.0)), BayesFlowError, "has 7 in column 0; the parts have 0 to 1"),
        (lambda: nets.SplitByColumn("group"), ConfigurationError, "column must be an integer; got 'group'"),
        (lambda: nets.SplitNetwork(2, lambda i, x: x > i)(np.zeros((2, 3, 2))), ConfigurationError, "a symbolic tensor has no values"),
        (lambda: nets.FusionNetwork([set_net()]), ConfigurationError, "networks must be a dictionary"),
        (lambda: nets.FusionNetwork({1: set_net()}), ConfigurationError, "the name of a source must be a text; got 1"),
        (lambda: nets.FusionNetwork({"a b": set_net()}), ConfigurationError, "FusionNetwork: .*a name has 1 to 28 letters"),
        (lambda: nets.FusionNetwork({"a": set_net()}, num_dense=2), ConfigurationError, "give summary_dim, or leave them out"),
        (lambda: nets.FusionNetwork({"a": nets.FusionNetwork({"b": set_net()})}), ConfigurationError, "reads several sources of data"),
        (lambda: nets.FusionNetwork({"a": set_net()})(np.zeros((2, 3, 2))), ConfigurationError, "x must be a dictionary of the sources a; got ndarray"),
        (lambda: nets.FusionNetwork({"a": set_net(), "b": set_net()})({"a": np.zeros((2, 3, 2)), "b": np.zeros((4, 3, 2))}), ShapeError, "the source b has 4 data sets"),
        (lambda: nets.FusionNetwork({"a": transformer()})({"a": np.zeros((2, 3, 5))}), ShapeError, "FusionNetwork: the source a: SetTransformer"),
    ],
)
def test_mistakes(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "::" not in str(caught.value)


def test_several_sources_of_one_simulator():
    """DefaultSourcesConfigurator cuts what the simulator returns, and a fusion network learns from it."""
    sources = {"series": (6, 1), "table": (2, 3)}
    configurator = bf.configuration.DefaultSourcesConfigurator(sources)
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(size=(batch_size, 2)))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=lambda theta, rng: rng.normal(theta[:, [0]], 1, (len(theta), 12))))
    forward = model(5)
    inputs = configurator(forward)
    assert inputs["summary_conditions"]["series"].dtype == np.float32 and inputs["direct_conditions"] is None
    np.testing.assert_array_equal(inputs["summary_conditions"]["series"], forward["sim_data"][:, :6, None].astype(np.float32))
    np.testing.assert_array_equal(inputs["summary_conditions"]["table"], forward["sim_data"][:, 6:].reshape(5, 2, 3).astype(np.float32))
    observed = configurator({"obs_data": forward["sim_data"], "sim_non_batchable_context": np.array([3.0])})
    assert "parameters" not in observed and observed["direct_conditions"].shape == (5, 1)
    net = nets.FusionNetwork({"series": nets.TimeSeriesNetwork(3), "table": set_net()}, summary_dim=4)
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(nets.InvertibleNetwork(2, 2), net), model, configurator, progress=False, seed=1)
    trainer.train_online(1, 5, 8)
    assert trainer.amortizer.sample(configurator({"obs_data": forward["sim_data"]}), 4).shape == (5, 4, 2)
    with pytest.raises(ConfigurationError, match=r"sim_data must be \(batch, 12\), the numbers of series \(6, 1\), table \(2, 3\) one after the other; got \(5, 11\)"):
        configurator({**forward, "sim_data": forward["sim_data"][:, 1:]})
    for wrong in ({}, [("a", (1,))], {"a": 3}, {"a": ()}, {"a": (0,)}, {1: (2,)}):
        with pytest.raises(BayesFlowError, match="DefaultSourcesConfigurator: "):
            bf.configuration.DefaultSourcesConfigurator(wrong)
