"""Likelihoods against an exact one, and what is refused."""

import copy
import pickle
import re

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError, ShapeError, SummaryStatsError

SD, N = np.array([0.5, 0.3]), 5


def mean_of(theta):
    """x_1 = theta_1 + 0.5 e, x_2 = 1.5 theta_2 - theta_1 + 0.3 e."""
    return np.stack([theta[..., 0], 1.5 * theta[..., 1] - theta[..., 0]], axis=-1)


def log_density(x, theta):
    return (-0.5 * ((x - mean_of(theta)) / SD) ** 2 - np.log(SD) - 0.5 * np.log(2 * np.pi)).sum(axis=-1)


def linear_model():
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(size=(batch_size, 2)))
    simulator = bf.simulation.Simulator(batch_simulator_fun=lambda theta, rng: rng.normal(mean_of(theta)[:, None], SD, size=(len(theta), N, 2)))
    return bf.simulation.GenerativeModel(prior, simulator, skip_test=True)


def flow(**options):
    settings = {"dense_args": dict(units=32, kernel_regularizer=None), "dropout": False}
    return bf.networks.InvertibleNetwork(2, 4, coupling_settings=settings, **options)


def inputs(n=6, seed=1):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, 2))
    return {"observables": rng.normal(mean_of(theta)[:, None], SD, size=(n, N, 2)), "conditions": theta}


@pytest.fixture(scope="module")
def trainer():
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedLikelihood(flow()), linear_model(), progress=False)
    trainer.train_online(1, 2000, 64)
    return trainer


def test_densities_and_draws_are_the_exact_ones(trainer):
    amortizer, some = trainer.amortizer, inputs(400)
    got = amortizer.log_likelihood(some)
    assert got.shape == (400, N) and got.dtype == np.float32
    exact = log_density(some["observables"], some["conditions"][:, None])
    other = log_density(some["observables"], np.roll(some["conditions"], 1, axis=0)[:, None])
    assert abs((exact - got).mean()) < 0.05
    assert (other - got).mean() < -1  # conditions of other data sets do not do as well
    single = amortizer.log_prob({"observables": some["observables"][:, 0], "conditions": some["conditions"]})
    assert single.shape == (400,)
    np.testing.assert_allclose(single, got[:, 0], atol=1e-5)
    assert amortizer.compute_loss(some) == pytest.approx(-got.mean(), abs=1e-4)

    theta = some["conditions"][:20]
    draws = amortizer.sample({"conditions": theta}, 4000, seed=1)
    assert draws.shape == (20, 4000, 2)
    np.testing.assert_array_less(np.abs(draws.mean(axis=1) - mean_of(theta)), np.broadcast_to(0.2 * SD, (20, 2)))
    np.testing.assert_array_less(np.abs(draws.std(axis=1) - SD), np.broadcast_to(0.12 * SD, (20, 2)))


def test_the_default_configurator_is_that_of_its_class(trainer):
    forward = linear_model()(3)
    assert isinstance(trainer.configurator, bf.configuration.DefaultLikelihoodConfigurator)
    configured = trainer.configurator(forward)
    assert list(configured) == ["observables", "conditions"] and all(array.dtype == np.float32 for array in configured.values())
    np.testing.assert_array_equal(configured["observables"], forward["sim_data"].astype(np.float32))
    np.testing.assert_array_equal(configured["conditions"], forward["prior_draws"].astype(np.float32))
    contexts = {"sim_batchable_context": np.arange(3.0), "prior_non_batchable_context": np.array(7.0)}
    np.testing.assert_array_equal(trainer.configurator({**forward, **contexts})["conditions"][:, 2:], [[0, 7], [1, 7], [2, 7]])
    with pytest.raises(ArgumentError, match="1e\\+300 in prior_draws of data set 0, column 1 is beyond the range of float32"):
        trainer.configurator({**forward, "prior_draws": np.array([[0, 1e300], [0, 0], [0, 0]])})
    with pytest.raises(ArgumentError, match="1e\\+300 in prior_non_batchable_context is beyond the range"):
        trainer.configurator({**forward, "prior_non_batchable_context": np.array(1e300)})
    with pytest.raises(ConfigurationError, match='needs "prior_draws", which are conditions of the likelihood'):
        trainer.configurator({"obs_data": forward["sim_data"]})


def test_own_configurator_gives_the_same_bits_as_the_default():
    def trained(configurator):
        trainer = bf.trainers.Trainer(bf.amortizers.AmortizedLikelihood(flow()), linear_model(), configurator, progress=False)
        trainer.train_online(1, 5, 8)
        return trainer.amortizer.weights()

    default, own = trained(None), trained(lambda f: {"observables": f["sim_data"], "conditions": f["prior_draws"]})
    assert all(np.array_equal(default[name], own[name]) for name in default)


@pytest.mark.parametrize("latent_dist", [None, bf.latents.MultivariateStudentT(5.0)])
def test_files_and_pickles_hold_it(tmp_path, latent_dist):
    amortizer, some = bf.amortizers.AmortizedLikelihood(flow(seed=3), latent_dist), inputs()
    density, draws = amortizer.log_likelihood(some), amortizer.sample(some, 7, seed=3)
    amortizer.save(tmp_path / "model.h5", description="linear")
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    assert loaded.info["description"] == "linear"
    again = pickle.loads(pickle.dumps(amortizer))
    for other in (loaded, again, pickle.loads(pickle.dumps(loaded))):
        assert type(other) is bf.amortizers.AmortizedLikelihood and other.latent_dim == 2
        np.testing.assert_array_equal(other.log_likelihood(some), density)
        np.testing.assert_array_equal(other.sample(some, 7, seed=3), draws)
        assert repr(other) == repr(amortizer)
    loaded.save(tmp_path / "again.h5")
    np.testing.assert_array_equal(bf.load_amortizer(tmp_path / "again.h5").sample(some, 7, seed=3), draws)


def test_calls_are_v1s(capsys):
    amortizer, some = bf.amortizers.AmortizedLikelihood(flow(), name="surrogate"), inputs()
    z, log_det_J = amortizer(some)
    assert z.shape == (6, N, 2) and log_det_J.shape == (6, N)
    expected = -0.5 * (z**2).sum(axis=-1) - np.log(2 * np.pi) + log_det_J
    np.testing.assert_allclose(amortizer.log_likelihood(some), expected, atol=1e-5)
    z, log_det_J = amortizer.call_loop([some, some])
    assert z.shape == (12, N, 2) and log_det_J.shape == (12, N)
    one = {"conditions": some["conditions"][:1]}
    assert amortizer.sample(one, 9).shape == (9, 2)
    assert amortizer.sample(one, 9, keepdims=True).shape == (1, 9, 2)
    assert amortizer.sample_loop([one, some], 9).shape == (7, 9, 2)
    assert amortizer.surrogate_net is amortizer.inference_net
    amortizer.summary()
    assert 'Model: "surrogate"' in capsys.readouterr().out
    assert re.fullmatch(r"<AmortizedLikelihood of 2 observables; [\d,]+ weights>", repr(amortizer))


def test_networks_are_shared_as_those_of_posteriors():
    net = flow()
    amortizer = bf.amortizers.AmortizedLikelihood(net)
    draws = amortizer.sample(inputs(), 3, seed=1)
    np.testing.assert_array_equal(bf.amortizers.AmortizedLikelihood(net).sample(inputs(), 3, seed=1), draws)
    with pytest.raises(ConfigurationError, match=r"AmortizedPosterior: inference_net carries the weights of an AmortizedLikelihood; give copy.copy\(inference_net\)"):
        bf.amortizers.AmortizedPosterior(net)
    bf.amortizers.AmortizedPosterior(copy.copy(net))


def test_a_network_that_a_posterior_has_before_there_are_weights_is_the_likelihoods():
    net = flow()
    posterior = bf.amortizers.AmortizedPosterior(net)
    bf.amortizers.AmortizedLikelihood(net).sample(inputs(), 3)
    with pytest.raises(ConfigurationError, match="its networks were given to another one"):
        posterior.sample({"direct_conditions": np.zeros((2, 2))}, 3)


REFUSED = [
    (lambda a: a.sample({"observables": np.zeros((4, 2))}, 2), SummaryStatsError, 'AmortizedLikelihood: the input needs "conditions"; got the keys ['),
    (lambda a: a.log_likelihood({"conditions": np.zeros((4, 2))}), ConfigurationError, 'AmortizedLikelihood: the input needs "observables"; got the keys ['),
    (lambda a: a.sample(np.zeros((4, 2)), 2), ConfigurationError, "AmortizedLikelihood: the input must be a dictionary, as a configurator makes it; got ndarray"),
    (lambda a: a.sample({"conditions": np.zeros((4, 5))}, 2), ShapeError, "AmortizedLikelihood: was built with conditions of width 2; got (4, 5)"),
    (lambda a: a.sample({"conditions": np.zeros((4, 3, 2))}, 2), ShapeError, "(4, 3, 2)"),
    (lambda a: a.sample({"conditions": np.full((4, 2), np.nan)}, 2), ArgumentError, "AmortizedLikelihood.sample: nan in conditions of data set 0, column 0; every value must be finite"),
    (lambda a: a.sample({**inputs(), "parameters": np.zeros((6, 2))}, 2), ConfigurationError, "AmortizedLikelihood: reads no parameters; it reads observables, conditions"),
    (lambda a: a.log_likelihood({"observables": np.zeros((4, 3)), "conditions": np.zeros((4, 2))}), ShapeError, "targets must have shape (batch, 2) or (batch, n, 2); got (4, 3)"),
    (lambda a: a.sample(inputs(), 0), ArgumentError, "AmortizedLikelihood.sample: n_samples must be a positive integer; got 0"),
    (lambda a: a.sample({"n": 1}, inputs()), ConfigurationError, "AmortizedLikelihood.sample: the inputs come first, then n_samples"),
    (lambda a: a(inputs(), training=True), OperationNotSupportedError, "AmortizedLikelihood"),
    (lambda a: a.call_loop([]), ConfigurationError, "AmortizedLikelihood.call_loop: the list of inputs is empty"),
    (lambda a: bf.amortizers.AmortizedLikelihood(bf.networks.DeepSet(2)), ConfigurationError, "AmortizedLikelihood: surrogate_net must be an InvertibleNetwork, AutoregressiveFlow, DiffusionNetwork, MixtureDensityNetwork, ShortcutNetwork or FlowMatchingNetwork; got DeepSet"),
    (lambda a: bf.amortizers.AmortizedLikelihood(flow(), "normal"), OperationNotSupportedError, "AmortizedLikelihood: latent_dist must be None or"),
    (lambda a: bf.amortizers.AmortizedLikelihood(flow(), threads=-1), ConfigurationError, "AmortizedLikelihood: threads must be an integer of at least 0; got -1"),
    (lambda a: bf.amortizers.AmortizedLikelihood(flow(), seed="x"), ConfigurationError, "AmortizedLikelihood: seed must be a whole number or None; got 'x'"),
    (
        lambda a: bf.trainers.Trainer(a, linear_model(), bf.configuration.DefaultPosteriorConfigurator(), progress=False),
        ConfigurationError,
        'configurator: it must return a dictionary with "observables" and "conditions"; got [',
    ),
]  # fmt: skip


@pytest.mark.parametrize("call, error, sentence", REFUSED, ids=[sentence[:50] for _, _, sentence in REFUSED])
def test_wrong_inputs(trainer, call, error, sentence):
    with pytest.raises(error) as raised:
        call(trainer.amortizer)
    assert sentence in str(raised.value)


def test_what_is_for_posteriors_is_refused(trainer):
    for call in (trainer.diagnose_latent2d, trainer.diagnose_sbc_histograms, lambda: trainer.mmd_hypothesis_test(np.zeros((3, N, 2)))):
        with pytest.raises(OperationNotSupportedError, match="it is for trainers of an AmortizedPosterior; this trainer.s amortizer is of class AmortizedLikelihood"):
            call()
    assert "Trainer of 2 observables" in repr(trainer)


def test_checkpoints_go_on(tmp_path):
    def trained(calls):
        trainer = bf.trainers.Trainer(bf.amortizers.AmortizedLikelihood(flow()), linear_model(), checkpoint_path=tmp_path / "kept", progress=False)
        for _ in range(calls):
            trainer.train_online(1, 5, 8)
        return trainer

    weights = trained(1).amortizer.weights()
    again = trained(0)
    assert again.load_pretrained_network()
    assert all(np.array_equal(weights[name], array) for name, array in again.amortizer.weights().items())
