"""Summary networks of the engine's list: v1's and those beyond, with masks and times."""

import copy
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import BayesFlowError, ConfigurationError, OperationNotSupportedError, ShapeError

nets = bf.networks
SMALL = {"attention_settings": dict(num_heads=2, key_dim=4), "dense_settings": dict(units=8, activation="relu")}
SERIES = {
    "set_transformer": lambda **o: nets.SetTransformer(2, **SMALL, summary_dim=4, num_inducing_points=4, num_seeds=2, embedding_dim=8, **o),
    "set_transformer_full": lambda **o: nets.SetTransformer(2, **SMALL, summary_dim=4, num_inducing_points=None, use_layer_norm=True, **o),
    "time_series_transformer": lambda **o: nets.TimeSeriesTransformer(2, **SMALL, summary_dim=4, template_dim=8, template_type="gru", **o),
    "sequence": lambda **o: nets.SequenceNetwork(4, lstm_units=8, bidirectional=True, conv_settings={"layer_args": {"filters": 4}}, **o),
    "time_series": lambda **o: nets.TimeSeriesNetwork(4, filters=4, recurrent_dim=8, **o),
}
READ_TIMES = ("time_series_transformer", "time_series")


def amortizer_of(net, **options):
    settings = {"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False}
    return bf.amortizers.AmortizedPosterior(nets.InvertibleNetwork(2, 2, coupling_settings=settings), net, **options)


@pytest.mark.parametrize("kind", SERIES)
def test_on_its_own(kind, rng):
    net = SERIES[kind](seed=3)
    out = net(rng.normal(size=(3, 7, 2)))
    assert out.shape == (3, 8 if kind == "set_transformer" else 4) and np.isfinite(out).all() and net.summary_dim == 4
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), SERIES[kind](seed=3)):
        x = rng.normal(size=(2, 5, 2))
        np.testing.assert_array_equal(twin(x), net(x))
        assert repr(twin) == repr(net) and type(net).__name__ in repr(net)
    with pytest.raises(ShapeError, match="needs data of shape"):
        SERIES[kind]()(np.zeros((3, 2)))


def test_order_matters_for_series_only(rng):
    x = rng.normal(size=(3, 7, 2))
    for kind, make in SERIES.items():
        net = make()
        same = np.allclose(net(x), net(x[:, ::-1]), atol=1e-5)
        assert same == kind.startswith("set_transformer"), kind


def test_images(rng):
    net = nets.ConvNetwork(5, filters=(4, 8))
    assert net(rng.normal(size=(3, 9, 6, 1))).shape == (3, 5) and net(rng.normal(size=(2, 4, 4, 1))).shape == (2, 5)


@pytest.mark.filterwarnings("ignore::bayesflow_cpp.exceptions.ForeignDataWarning")
@pytest.mark.parametrize("kind", SERIES)
def test_trains_and_files_give_the_same(kind, rng, tmp_path):
    amortizer = amortizer_of(SERIES[kind](), seed=4)

    def configurator(forward):
        theta, x = forward["prior_draws"], forward["sim_data"]
        mask = np.ones(x.shape[:2])
        mask[::2, 5:] = 0
        out = {"parameters": theta, "summary_conditions": x, "summary_mask": mask}
        return {**out, "summary_times": np.cumsum(np.ones(x.shape[:2]), axis=1)} if kind in READ_TIMES else out

    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda t, rng: rng.normal(t, size=(8, 2))), skip_test=True)
    trainer = bf.trainers.Trainer(amortizer, model, configurator=configurator, progress=False, seed=1)
    first = {name: value.copy() for name, value in amortizer.summary_net._table()[0].items()}
    losses = np.asarray(trainer.train_online(1, 5, 8))
    assert losses.size == 5 and np.isfinite(losses.astype(float)).all()
    changed = [name for name, value in amortizer.summary_net._table()[0].items() if not np.array_equal(value, first[name])]
    assert len(changed) > len(first) / 2

    x, mask = rng.normal(size=(3, 8, 2)), np.ones((3, 8))
    mask[1, 5:] = mask[2, 3:] = 0
    inputs = {"parameters": rng.normal(size=(3, 2)), "summary_conditions": x, "summary_mask": mask}
    if kind in READ_TIMES:
        inputs["summary_times"] = np.cumsum(rng.uniform(0.5, 2, size=(3, 8)), axis=1)
    amortizer.save(tmp_path / "model.h5")
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    np.testing.assert_array_equal(loaded.sample(inputs, 6, seed=1), amortizer.sample(inputs, 6, seed=1))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(amortizer)).sample(inputs, 6, seed=1), amortizer.sample(inputs, 6, seed=1))

    padded = {**inputs, "summary_conditions": np.where(mask[:, :, None] > 0, x, 1e3)}
    densities = amortizer.log_posterior(padded)
    for i, n in enumerate((8, 5, 3)):
        alone = {key: value[i : i + 1] if key == "parameters" else value[i : i + 1, :n] for key, value in inputs.items()}
        np.testing.assert_allclose(amortizer.log_posterior(alone), densities[i : i + 1], rtol=1e-4, atol=1e-4)
    if kind in READ_TIMES:
        later = {**padded, "summary_times": inputs["summary_times"] ** 2}
        assert not np.allclose(amortizer.log_posterior(later), densities, atol=1e-5)


def test_times_that_nothing_reads_are_refused(rng):
    inputs = {"parameters": np.zeros((2, 2)), "summary_conditions": np.zeros((2, 5, 2)), "summary_times": np.zeros((2, 5))}
    for kind in set(SERIES) - set(READ_TIMES):
        with pytest.raises(BayesFlowError, match="times"):
            amortizer_of(SERIES[kind]()).log_posterior(inputs)
    with pytest.raises(BayesFlowError, match="times"):
        amortizer_of(nets.TimeSeriesTransformer(2, time_encoding=False)).log_posterior(inputs)


@pytest.mark.parametrize(
    "make, width, count",
    [
        (lambda: nets.SetTransformer(5, summary_dim=32), 5, 63400),
        (lambda: nets.SetTransformer(5, summary_dim=32, use_layer_norm=True), 5, 63608),
        (lambda: nets.SequenceNetwork(), 1, 91178),
    ],
)
def test_parameter_counts_are_v1s(make, width, count):
    net = make()
    net(np.zeros((1, 4, width)))
    assert sum(array.size for array in net._table()[0].values()) == count


def test_sizes_of_kernels_are_v1s(rng):
    """v1's max_kernel_size is left out: 3 makes the sizes 1 and 2."""
    net = nets.SequenceNetwork(conv_settings={"min_kernel_size": 2, "max_kernel_size": 5})
    net(rng.normal(size=(1, 9, 3)))
    shapes = {name: value.shape for name, value in net._table()[0].items() if "branches" in name and "kernel" in name and ".0.branches" in name}
    assert len(shapes) == 3, shapes
    default = nets.SequenceNetwork()
    default(rng.normal(size=(1, 9, 3)))
    assert len([name for name in default._table()[0] if ".0.branches" in name and "kernel" in name]) == 2


def test_former_name():
    with pytest.warns(DeprecationWarning, match="former name of SequenceNetwork"):
        assert isinstance(nets.SequentialNetwork(3), nets.SequenceNetwork)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: nets.SetTransformer(0), ConfigurationError, "SetTransformer: input_dim must be a positive integer; got 0"),
        (lambda: nets.SetTransformer(2, summary_dim=0), ConfigurationError, "SetTransformer: summary_dim = 0; it must be at least 1"),
        (lambda: nets.SetTransformer(2, summary_dim="4"), ConfigurationError, "SetTransformer: summary_dim must be an integer; got '4'"),
        (lambda: nets.SetTransformer(2, summary_dim=True), ConfigurationError, "SetTransformer: summary_dim must be an integer; got True"),
        (lambda: nets.SetTransformer(2, summary_dim=2**70), ConfigurationError, "SetTransformer: summary_dim must be an integer below 2^63; got 1180591620717411303424"),
        (lambda: nets.SetTransformer(2, num_dense_fc=1001), ConfigurationError, "SetTransformer: num_dense_fc may be at most 1000; got 1001"),
        (lambda: nets.SetTransformer(2, use_layer_norm="yes"), ConfigurationError, "SetTransformer: use_layer_norm must be True or False; got 'yes'"),
        (lambda: nets.SetTransformer(2, [3]), ConfigurationError, "SetTransformer: attention_settings must be a dictionary; got list"),
        (lambda: nets.SetTransformer(2, dict(heads=3)), ConfigurationError, "SetTransformer: attention_settings: unknown key 'heads'; there are key_dim, num_heads, dropout"),
        (lambda: nets.SetTransformer(2, dict(num_heads=3)), ConfigurationError, "SetTransformer: attention_settings: key_dim is required"),
        (lambda: nets.SetTransformer(2, dict(num_heads=0, key_dim=3)), ConfigurationError, "SetTransformer: attention_settings: num_heads = 0; it must be at least 1"),
        (lambda: nets.SetTransformer(2, dict(num_heads=1.5, key_dim=3)), ConfigurationError, "SetTransformer: attention_settings: num_heads must be an integer; got 1.5"),
        (lambda: nets.SetTransformer(2, None, dict(units=0)), ConfigurationError, "SetTransformer: dense_settings: units = 0; it must be at least 1"),
        (lambda: nets.SetTransformer(2, None, dict(unit=4)), ConfigurationError, "SetTransformer: dense_settings: unknown key 'unit'"),
        (lambda: nets.TimeSeriesTransformer(2, template_type="rnn"), ConfigurationError, "TimeSeriesTransformer: template_type must be one of 'lstm', 'gru'; got 'rnn'"),
        (lambda: nets.TimeSeriesTransformer(2, template_type=len), OperationNotSupportedError, "templates of your own are not there"),
        (lambda: nets.TimeSeriesTransformer(2, time_encoding=3), ConfigurationError, "TimeSeriesTransformer: time_encoding must be True or False; got 3"),
        (lambda: nets.TimeSeriesTransformer(2, time_encoding={"period": 3}), ConfigurationError,
         "TimeSeriesTransformer: time_encoding: unknown key 'period'; there are enabled, frequencies, shortest_period, longest_period"),
        (lambda: nets.TimeSeriesTransformer(2, time_encoding={"longest_period": 3}), ConfigurationError, "TimeSeriesTransformer: time_encoding: longest_period = 3; it must be"),
        (lambda: nets.SequenceNetwork(lstm_units=0), ConfigurationError, "SequenceNetwork: lstm_units = 0; it must be at least 1"),
        (lambda: nets.SequenceNetwork(conv_settings={"filters": 3}), ConfigurationError, "SequenceNetwork: conv_settings: unknown key 'filters'; there are layer_args"),
        (lambda: nets.SequenceNetwork(conv_settings={"layer_args": {"filters": 0}}), ConfigurationError, "SequenceNetwork: conv_settings: filters = 0; it must be at least 1"),
        (lambda: nets.SequenceNetwork(conv_settings={"layer_args": {"strides": 2}}), OperationNotSupportedError, 'strides must be 1 and padding "causal"; got 2 and'),
        (lambda: nets.SequenceNetwork(conv_settings={"min_kernel_size": 3}), ConfigurationError, "max_kernel_size, which is left out, must be above min_kernel_size; got 3 and 3"),
        (lambda: nets.ConvNetwork(filters=3), ConfigurationError, "ConvNetwork: filters must be a list; got 3"),
        (lambda: nets.ConvNetwork(filters=(3, "4")), ConfigurationError, "ConvNetwork: filters must be an integer; got '4'"),
        (lambda: nets.SetTransformer(3)(np.zeros((2, 5, 2))), ShapeError, "SetTransformer: input_dim = 3, but the data (2, 5, 2) are 2 wide; input_dim must be their last axis"),
    ],
)  # fmt: skip
def test_sentences(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value) and "::" not in str(caught.value)


def test_series_have_the_exact_posterior():
    """x_t = 0.7 x_(t-1) + a + b t / 20 + e_t: given the series, a and b have the normal posterior of a linear regression."""
    phi, sd, times = 0.7, 0.5, np.arange(1, 21) / 20

    def simulate(theta, rng):
        x, last = np.empty((len(theta), 20)), np.zeros(len(theta))
        for t in range(20):
            last = x[:, t] = phi * last + theta[:, 0] + theta[:, 1] * times[t] + sd * rng.normal(size=len(theta))
        return x[..., None]

    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(size=(batch_size, 2)))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=simulate))
    flow = bf.networks.InvertibleNetwork(2, 3, coupling_settings={"dense_args": dict(units=32, kernel_regularizer=None), "dropout": False})
    amortizer = bf.amortizers.AmortizedPosterior(flow, bf.networks.SequenceNetwork(summary_dim=6, lstm_units=16))
    trainer = bf.trainers.Trainer(amortizer, model, default_lr=2e-3, progress=False, seed=1)
    trainer.train_online(epochs=1, iterations_per_epoch=3000, batch_size=64)
    inputs = trainer.configurator(model(200))
    draws = amortizer.sample(inputs, 400, seed=1)
    design = np.stack([np.ones(20), times], axis=1)
    x = inputs["summary_conditions"][..., 0]
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / sd**2)
    mean = (x - phi * np.pad(x, ((0, 0), (1, 0)))[:, :-1]) @ design / sd**2 @ covariance
    spread = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(axis=1) - mean) / spread).mean() < 0.2
    np.testing.assert_allclose(draws.std(axis=1).mean(axis=0) / spread, 1, atol=0.12)
    verdict = lambda d: bf.diagnostics.verdict(d, inputs["parameters"], family_wise_error=1e-3)  # noqa: E731
    assert verdict(draws).calibrated, verdict(draws).sentence
    assert not verdict(mean[:, None] + 0.6 * (draws - mean[:, None])).calibrated, "a posterior that is too narrow"
    assert not verdict(np.roll(draws, 1, axis=0)).calibrated, "posteriors of other series"
