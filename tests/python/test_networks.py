import copy
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError, OperationNotSupportedError, ShapeError, SummaryStatsError


def test_summary_network_on_its_own(rng):
    x = rng.normal(size=(3, 50, 4))
    net = bf.networks.DeepSet(summary_dim=7)
    out = net(x)
    assert out.shape == (3, 7) and out.dtype == np.float32 and type(out.numpy()) is np.ndarray
    np.testing.assert_allclose(net(x[:, ::-1]), out, atol=1e-5)
    np.testing.assert_array_equal(bf.networks.DeepSet(summary_dim=7, seed=0)(x), out)
    assert not np.array_equal(bf.networks.DeepSet(summary_dim=7, seed=1)(x), out)


@pytest.mark.parametrize("design", ["affine", "spline", "interleaved"])
@pytest.mark.parametrize("permutation", ["fixed", "learnable", None])
def test_flow_inverts(rng, design, permutation):
    net = bf.networks.InvertibleNetwork(num_params=3, num_coupling_layers=2, coupling_design=design, permutation=permutation)
    theta, condition = rng.normal(size=(8, 3)), rng.normal(size=(8, 5))
    z, log_det = net(theta, condition)
    assert z.numpy().shape == (8, 3) and log_det.numpy().shape == (8,)
    np.testing.assert_allclose(net(z, condition, inverse=True), theta, atol=1e-4)


def test_the_seeds_settings_switch_regularization_off():
    on = bf.networks.InvertibleNetwork(num_params=4)._arguments[3]
    off = bf.networks.InvertibleNetwork(num_params=4, coupling_settings={"dense_args": dict(kernel_regularizer=None), "dropout": False})._arguments[3]
    assert on["dense_args"]["kernel_regularizer"] == 1e-4 and on["dropout"]
    assert off["dense_args"] == {**on["dense_args"], "kernel_regularizer": 0.0} and not off["dropout"]


def test_parameter_counts_are_v1s(small_amortizer):
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(4, 4), bf.networks.DeepSet())
    amortizer({"parameters": np.zeros((1, 4)), "summary_conditions": np.zeros((1, 5, 4))})
    assert amortizer.number_of_parameters == 362698


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: bf.networks.InvertibleNetwork(4, coupling_design="cubic"), "coupling_design"),
        (lambda: bf.networks.InvertibleNetwork(4, permutation="any"), "permutation"),
        (lambda: bf.networks.InvertibleNetwork(0), "num_params"),
        (lambda: bf.networks.InvertibleNetwork(4, coupling_settings={"dens_args": {}}), "unknown key 'dens_args'"),
        (lambda: bf.networks.InvertibleNetwork(4, coupling_settings={"dense_args": {"unit": 3}}), "unknown key 'unit'"),
        (lambda: bf.networks.InvertibleNetwork(4, coupling_settings={"dense_args": {"activation": "rlu"}}), "relu"),
        (lambda: bf.networks.DeepSet(dense_s1_args={"activation": "relu"}), "units is required"),
        (lambda: bf.networks.DeepSet(pooling_fun="median"), "pooling_fun"),
        (lambda: bf.networks.DeepSet(num_dense_s1=0), "num_dense_s1"),
    ],
)
def test_absurd_settings_are_named(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_absent_networks_name_what_to_use():
    with pytest.raises(OperationNotSupportedError, match="FlowMatchingNetwork"):
        bf.networks.FlowMatching(3)


def test_networks_take_the_amortizers_weights(rng, small_amortizer):
    amortizer = small_amortizer(seed=3)
    x, theta = rng.normal(size=(5, 10, 4)), rng.normal(size=(5, 4))
    (z, log_det), summary = amortizer({"parameters": theta, "summary_conditions": x}, return_summary=True)
    np.testing.assert_allclose(amortizer.summary_net(x), summary, atol=1e-6)
    np.testing.assert_allclose(amortizer.inference_net(theta, summary)[0], z, atol=1e-5)


def test_weights_that_were_shown_stay(rng, small_amortizer):
    amortizer = small_amortizer()
    x = rng.normal(size=(5, 10, 4))
    before = amortizer.summary_net(x)
    trainer = bf.trainers.Trainer(
        amortizer, bf.simulation.GenerativeModel(lambda: rng.normal(size=4), lambda p: rng.normal(p, size=(10, 4)), simulator_is_batched=False), seed=99
    )
    np.testing.assert_array_equal(trainer.amortizer.summary_net(x), before)


def test_copies_and_pickles_draw_the_same(rng, small_amortizer, tmp_path):
    amortizer = small_amortizer(seed=3)
    inputs = {"parameters": rng.normal(size=(5, 4)), "summary_conditions": rng.normal(size=(5, 10, 4))}
    amortizer(inputs)
    draws = amortizer.sample(inputs, 6, seed=1)
    assert draws.shape == (5, 6, 4) and draws.dtype == np.float32
    for twin in (pickle.loads(pickle.dumps(amortizer)), copy.deepcopy(amortizer)):
        np.testing.assert_array_equal(twin.sample(inputs, 6, seed=1), draws)
    amortizer.save(tmp_path / "model.h5", description="a test", param_names=list("abcd"), constants={"means": [1, 2]})
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    np.testing.assert_array_equal(loaded.sample(inputs, 6, seed=1), draws)
    assert loaded.info["param_names"] == list("abcd") and loaded.info["constants"]["means"].tolist() == [1, 2]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(loaded)).sample(inputs, 6, seed=1), draws)


def test_calls_differ(rng, small_amortizer):
    amortizer = small_amortizer()
    inputs = {"summary_conditions": rng.normal(size=(1, 10, 4))}
    first, second = amortizer.sample(inputs, 5), amortizer.sample(inputs, 5)
    assert first.shape == (5, 4) and not np.array_equal(first, second)
    np.testing.assert_array_equal(amortizer.sample(inputs, 5, seed=0), first)
    assert amortizer.sample_loop([inputs, inputs], 5).shape == (2, 5, 4)


def test_density_is_what_the_flow_says(rng, small_amortizer):
    amortizer = small_amortizer()
    inputs = {"parameters": rng.normal(size=(6, 4)), "summary_conditions": rng.normal(size=(6, 10, 4))}
    z, log_det = amortizer(inputs)
    expected = -0.5 * (z**2).sum(1) - 2 * np.log(2 * np.pi) + log_det
    np.testing.assert_allclose(amortizer.log_posterior(inputs), expected, atol=1e-4)
    np.testing.assert_allclose(amortizer.compute_loss(inputs), -expected.mean(), atol=1e-4)


@pytest.mark.parametrize("kind", ["list", "float32", "fortran", "strided", "readonly", "pandas", "int"])
def test_inputs_of_any_kind(kind, rng):
    direct = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2))
    x = np.round(rng.normal(size=(6, 3)) * 4)
    reference = direct.sample({"direct_conditions": x}, 4, seed=2)
    import pandas as pd

    readonly = x.copy()
    readonly.flags.writeable = False
    other = {
        "list": x.tolist(), "float32": x.astype(np.float32), "fortran": np.asfortranarray(x), "strided": np.repeat(x, 2, axis=0)[::2],
        "readonly": readonly, "pandas": pd.DataFrame(x), "int": x.astype(int),
    }[kind]  # fmt: skip
    np.testing.assert_array_equal(direct.sample({"direct_conditions": other}, 4, seed=2), reference)


def test_wrong_inputs_are_named(rng, small_amortizer):
    amortizer = small_amortizer()
    with pytest.raises(SummaryStatsError, match="summary_conditions"):
        amortizer.sample({"direct_conditions": np.zeros((2, 3))}, 5)
    with pytest.raises(ConfigurationError, match="dictionary"):
        amortizer.sample(np.zeros((2, 3)), 5)
    with pytest.raises(ConfigurationError, match="parameters"):
        amortizer({"summary_conditions": np.zeros((2, 10, 4))})
    with pytest.raises(ConfigurationError, match="dtype"):
        amortizer.sample({"summary_conditions": np.array([["a"]])}, 5)
    amortizer.sample({"summary_conditions": np.zeros((2, 10, 4))}, 5)
    with pytest.raises(ShapeError):
        amortizer.sample({"summary_conditions": np.zeros((2, 10, 5))}, 5)
    with pytest.raises(bf.exceptions.ArgumentError, match="nan"):
        amortizer.sample({"summary_conditions": np.full((2, 10, 4), np.nan)}, 5)


def test_arguments_that_mean_nothing_are_refused(small_amortizer):
    """v1's `training` is taken where it says what is so anyway."""
    amortizer, x = small_amortizer(), {"parameters": np.zeros((2, 4)), "summary_conditions": np.zeros((2, 10, 4))}
    flow, summary = bf.networks.InvertibleNetwork(4), bf.networks.DeepSet()
    for call in (lambda **k: amortizer(x, **k), lambda **k: amortizer.compute_loss(x, **k), lambda **k: flow(x["parameters"], **k),
                 lambda **k: flow.inverse(x["parameters"], **k), lambda **k: summary(x["summary_conditions"], **k)):  # fmt: skip
        call(training=False)
        with pytest.raises(bf.exceptions.OperationNotSupportedError, match="leave training out"):
            call(training=True)
        with pytest.raises(TypeError, match="trainign"):
            call(trainign=False)
    with pytest.raises(TypeError, match="n_draws"):
        amortizer.sample(x, 5, n_draws=3)
    joined = amortizer.sample_loop([x, x], 5, seed=4)
    np.testing.assert_array_equal(joined, np.concatenate([amortizer.sample(x, 5, seed=4), amortizer.sample(x, 5, seed=5)]))


def test_sampling_says_what_it_needs(small_amortizer, gaussian_model):
    amortizer = small_amortizer()
    with pytest.raises(SummaryStatsError, match="goes through trainer.configurator first"):
        amortizer.sample(gaussian_model()(3), 10)
    for wrong in (0, 10.5, "10"):
        with pytest.raises(bf.exceptions.ArgumentError, match="n_samples must be a positive integer"):
            amortizer.sample({"summary_conditions": np.zeros((3, 10, 4))}, wrong)
