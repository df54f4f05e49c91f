"""AmortizedModelComparison: PMPNetwork, EvidentialNetwork, exact Bayes factors, v1's calls, files."""

import copy
import functools
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError

N = 10
SHIFT, SD = 0.5, 1.5


def simulated(batch_size, rng=None):
    """mu ~ N(0, 1) in model 0, N(0.5, 1.5^2) in model 1; ten observations ~ N(mu, 1): a forward dictionary with the model as a parameter."""
    rng = np.random.default_rng() if rng is None else rng
    second = rng.random(batch_size) < 0.5
    mu = np.where(second, rng.normal(SHIFT, SD, batch_size), rng.normal(size=batch_size))
    return {"prior_draws": np.stack([second, mu], axis=1), "sim_data": rng.normal(mu[:, None, None], 1, (batch_size, N, 1))}


def configurator(forward):
    return {"summary_conditions": forward["sim_data"], "direct_conditions": None, "model_indices": np.eye(2)[forward["prior_draws"][:, 0].astype(int)]}


def exact(x):
    mean = x.mean(axis=(1, 2))
    log_normal = lambda at, variance: -0.5 * (mean - at) ** 2 / variance - 0.5 * np.log(variance)  # noqa: E731
    return log_normal(SHIFT, SD**2 + 1 / N) - log_normal(0, 1 + 1 / N)


def classifier(**arguments):
    return bf.networks.PMPNetwork(2, dense_args=dict(units=32, activation="elu"), num_dense=2, dropout=False, **arguments)


def summary():
    return bf.networks.DeepSet(4, num_equiv=0, dense_s1_args=dict(units=16, activation="relu"), dense_s2_args=dict(units=16, activation="relu"), linear_path=True)


def trained(net, iterations=1500, loss_fun=None):
    amortizer = bf.amortizers.AmortizedModelComparison(net, summary(), loss_fun)
    rng = np.random.default_rng(3)
    trainer = bf.trainers.Trainer(amortizer, lambda batch_size: simulated(batch_size, rng), configurator, progress=False, seed=1)
    trainer.train_online(1, iterations, 128)
    return amortizer


def test_bayes_factors_are_the_exact_ones():
    amortizer = trained(classifier())
    test = simulated(1000, np.random.default_rng(9))
    inputs = configurator(test)
    probabilities, factors = amortizer.posterior_probs(inputs), amortizer.log_bayes_factors(inputs)
    assert probabilities.shape == factors.shape == (1000, 2) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.abs(factors[:, 1] - exact(test["sim_data"])).mean() < 0.1
    assert (factors[:, 0] == 0).all()
    np.testing.assert_allclose(np.log(amortizer.bayes_factors(inputs, reference=1)), factors - factors[:, 1:], atol=1e-5)
    np.testing.assert_allclose(amortizer.log_bayes_factors(inputs, model_priors=[0.2, 0.8])[:, 1], factors[:, 1] - np.log(4), atol=1e-5)
    # Outputs go into the diagnostics as they are.
    calibration = bf.diagnostics.calibration_curves(inputs["model_indices"], probabilities)
    errors, *_ = bf.computational_utilities.expected_calibration_error(inputs["model_indices"], probabilities)
    assert errors[1] < 0.06 and calibration is not None
    assert bf.diagnostics.confusion_matrix(inputs["model_indices"], probabilities) is not None
    expected = np.log((probabilities * inputs["model_indices"]).sum(axis=1))
    np.testing.assert_allclose(amortizer.log_prob(inputs), expected, atol=1e-5)
    assert amortizer.compute_loss(inputs) == pytest.approx(-expected.mean(), abs=1e-5)
    assert bf.losses.log_loss(inputs["model_indices"], probabilities, label_smoothing=None) == pytest.approx(-expected.mean(), abs=1e-5)


def two_models(seed=0, model_probs="equal", observations=(N, N), **arguments):
    def model(loc, scale, n):
        prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(loc, scale, (batch_size, 1)))
        return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=lambda mu, rng: rng.normal(mu[:, None], 1, (len(mu), n, 1))))

    return bf.simulation.MultiGenerativeModel([model(0, 1, observations[0]), model(SHIFT, SD, observations[1])], model_probs, seed=seed, **arguments)


@pytest.mark.parametrize("combiner", [None, bf.configuration.DefaultCombiner().__call__], ids=["default", "own"])
def test_v1s_program_with_a_multi_generative_model(combiner):
    models = two_models(model_probs=[0.3, 0.7])
    amortizer = bf.amortizers.AmortizedModelComparison(classifier(), summary())
    configure = None if combiner is None else bf.configuration.DefaultModelComparisonConfigurator(2, combiner)
    trainer = bf.trainers.Trainer(amortizer, models, configure, progress=False, seed=1)
    trainer.train_online(1, 1000, 128)
    inputs = trainer.configurator(models(1000))
    factors = amortizer.log_bayes_factors(inputs, model_priors=models.model_prior)[:, 1]
    assert np.abs(factors - exact(inputs["summary_conditions"])).mean() < 0.15
    assert abs(inputs["model_indices"][:, 1].mean() - 0.7) < 0.06
    trainer.train_offline(models(200), 1, 64)
    real = trainer.configurator({"obs_data": inputs["summary_conditions"][:3]})
    np.testing.assert_array_equal(amortizer.posterior_probs(real), amortizer.posterior_probs({key: None if v is None else v[:3] for key, v in inputs.items()}))


def test_models_with_other_numbers_of_observations_are_padded():
    models = two_models(observations=(4, 9))
    amortizer = bf.amortizers.AmortizedModelComparison(classifier(), summary())
    trainer = bf.trainers.Trainer(amortizer, models, progress=False, seed=1)
    trainer.train_online(1, 50, 32)
    inputs = trainer.configurator(models(100))
    assert inputs["summary_conditions"].shape == (100, 9, 1) and set(inputs["summary_mask"].sum(axis=1)) == {4, 9}
    probabilities = amortizer.posterior_probs(inputs)
    padded = {**inputs, "summary_conditions": np.where(inputs["summary_mask"][..., None] == 1, inputs["summary_conditions"], 1e6)}
    np.testing.assert_allclose(amortizer.posterior_probs(padded), probabilities, atol=1e-5)


def test_a_user_s_configurator_is_given_v1s_dictionary():
    seen = []

    def mine(forward):
        seen.append(sorted(forward))
        return bf.configuration.DefaultModelComparisonConfigurator(2)(forward)

    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedModelComparison(classifier(), summary()), two_models(), mine, progress=False)
    trainer.train_online(1, 3, 32)
    assert all(keys == ["model_indices", "model_outputs"] for keys in seen) and len(seen) > 3


def test_calls_are_v1s(capsys):
    amortizer = bf.amortizers.AmortizedModelComparison(classifier(name="pmp"), summary())
    inputs = configurator(simulated(5, np.random.default_rng(1)))
    out, summaries = amortizer(inputs, return_summary=True)
    assert out.shape == (5, 2) and summaries.shape == (5, 4) and amortizer.num_models == 2
    np.testing.assert_array_equal(out, amortizer.posterior_probs(inputs))
    np.testing.assert_array_equal(summaries, amortizer.summary(inputs))
    # Networks carry their weights.
    np.testing.assert_allclose(amortizer.inference_net(summaries), out, atol=1e-6)
    np.testing.assert_allclose(amortizer.inference_net.logits(summaries), amortizer.compute_logits(inputs), atol=1e-5)
    np.testing.assert_allclose(amortizer.inference_net.posterior_probs(summaries), out, atol=1e-6)
    amortizer.summary()
    assert "pmp (PMPNetwork)" in capsys.readouterr().out
    assert repr(amortizer) == f"<AmortizedModelComparison of 2 model_indices, summary network DeepSet; {amortizer.number_of_parameters:,} weights>"
    net = bf.networks.PMPNetwork(2)
    net(np.zeros((3, 10)))
    assert net._alone.number_of_parameters == 9154  # v1's


def test_label_smoothing_is_v1s_on_request():
    smoothed = trained(classifier(), 300, bf.losses.log_loss)
    inputs = configurator(simulated(200, np.random.default_rng(5)))
    wanted = bf.losses.log_loss(inputs["model_indices"], smoothed.posterior_probs(inputs))
    assert smoothed.compute_loss(inputs) == pytest.approx(wanted, abs=1e-4)
    other = bf.amortizers.AmortizedModelComparison(classifier(), summary(), functools.partial(bf.losses.log_loss, label_smoothing=None, evidential=False))
    assert other.compute_loss(inputs) == pytest.approx(bf.losses.log_loss(inputs["model_indices"], other.posterior_probs(inputs), label_smoothing=None), abs=1e-5)
    with pytest.raises(OperationNotSupportedError, match="loss_fun must be None or losses.log_loss"):
        bf.amortizers.AmortizedModelComparison(classifier(), summary(), lambda y, p: 0)


def test_evidential_networks():
    amortizer = trained(bf.networks.EvidentialNetwork(2, dense_args=dict(units=32, activation="elu"), num_dense=2, kl_weight=0.1), 600)
    inputs = configurator(simulated(50, np.random.default_rng(5)))
    alpha = amortizer.evidence(inputs)
    assert alpha.shape == (50, 2) and (alpha >= 1 - 1e-6).all()
    np.testing.assert_array_equal(amortizer(inputs), alpha)
    np.testing.assert_allclose(amortizer.posterior_probs(inputs), alpha / alpha.sum(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(amortizer.uncertainty(inputs), 2 / alpha.sum(axis=1), rtol=1e-5)
    draws = amortizer.sample(inputs, 300, seed=2)
    assert draws.shape == (50, 300, 2)
    np.testing.assert_allclose(draws.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(draws.mean(axis=1), amortizer.posterior_probs(inputs), atol=0.15)
    condition = amortizer.summary(inputs)
    np.testing.assert_allclose(amortizer.inference_net(condition), alpha, rtol=1e-4)
    assert amortizer.inference_net.sample(condition, 7).shape == (7, 50, 2)
    loss = bf.losses.log_loss(inputs["model_indices"], alpha, evidential=True, label_smoothing=None) + 0.1 * bf.losses.kl_dirichlet(inputs["model_indices"], alpha)
    assert amortizer.compute_loss(inputs) == pytest.approx(loss, abs=1e-4)
    without = bf.amortizers.AmortizedModelComparison(bf.networks.EvidentialNetwork(2), summary())
    with pytest.raises(ConfigurationError, match="with kl_weight = 0 the loss says nothing about the amount of evidence"):
        without.uncertainty(inputs)
    with pytest.raises(ConfigurationError, match="with kl_weight = 0"):
        bf.networks.EvidentialNetwork(2).sample(np.zeros((1, 3)), 2)


@pytest.mark.parametrize("make", [classifier, lambda: bf.networks.EvidentialNetwork(2, kl_weight=0.1)], ids=["pmp", "evidential"])
def test_files_and_pickles_hold_it(tmp_path, make):
    amortizer = bf.amortizers.AmortizedModelComparison(make(), summary(), seed=4)
    inputs = configurator(simulated(6, np.random.default_rng(1)))
    wanted = amortizer.posterior_probs(inputs)
    amortizer.save(tmp_path / "model.h5", description="two models")
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    for other in (loaded, pickle.loads(pickle.dumps(amortizer)), pickle.loads(pickle.dumps(loaded))):
        assert type(other) is bf.amortizers.AmortizedModelComparison and other.num_models == 2
        np.testing.assert_array_equal(other.posterior_probs(inputs), wanted)
        np.testing.assert_array_equal(other(inputs), amortizer(inputs))
    assert loaded.info["description"] == "two models"
    copied = copy.copy(amortizer.inference_net)
    assert not copied.is_built and repr(copied).endswith("no weights yet>")
    again = bf.amortizers.AmortizedModelComparison(amortizer.inference_net, amortizer.summary_net)
    np.testing.assert_array_equal(again.posterior_probs(inputs), wanted)


def test_checkpoints_go_on(tmp_path):
    def run(folder, epochs):
        amortizer = bf.amortizers.AmortizedModelComparison(classifier(), summary())
        trainer = bf.trainers.Trainer(amortizer, checkpoint_path=folder, configurator=configurator, progress=False)
        data = simulated(256, np.random.default_rng(2))
        for _ in range(epochs):
            trainer.train_offline(data, 1, 64)
        return amortizer.weights()

    whole = run(tmp_path / "whole", 2)
    run(tmp_path / "parts", 1)
    parts = run(tmp_path / "parts", 2)
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_default_configurator_takes_v1s_dictionaries():
    make = bf.configuration.DefaultModelComparisonConfigurator(3)
    outputs = [{"prior_draws": np.zeros((2, 4)), "sim_data": np.ones((2, 5, 1))}, {"prior_draws": np.zeros((3, 1)), "sim_data": np.full((3, 5, 1), 2.0)}]
    configured = make({"model_outputs": outputs, "model_indices": [0, 2]})
    assert configured["summary_conditions"].shape == (5, 5, 1) and configured["direct_conditions"] is None and "summary_mask" not in configured
    np.testing.assert_array_equal(configured["model_indices"], np.eye(3, dtype=np.float32)[[0, 0, 2, 2, 2]])
    outputs[1]["sim_data"] = np.full((3, 2, 1), 2.0)
    configured = make({"model_outputs": outputs, "model_indices": [0, 2]})
    assert configured["summary_conditions"].shape == (5, 5, 1)
    np.testing.assert_array_equal(configured["summary_mask"].sum(axis=1), [5, 5, 2, 2, 2])
    one = make({"sim_data": np.ones((2, 5, 1)), "model_indices": np.eye(3)[:2]})
    assert one["model_indices"].shape == (2, 3) and one["summary_conditions"].shape == (2, 5, 1)
    with pytest.raises(ConfigurationError, match=r'"model_indices" must hold a whole number from 0 to 2 for each of the 2 "model_outputs"; got \[0, 3\]'):
        make({"model_outputs": outputs, "model_indices": [0, 3]})
    shared = make({"model_outputs": outputs, "model_indices": [0, 2], "n": 5})
    np.testing.assert_array_equal(shared["direct_conditions"], np.full((5, 1), 5, np.float32))
    own = bf.configuration.DefaultModelComparisonConfigurator(3, lambda forward: {"summary_conditions": forward["sim_data"][:, :2], "direct_conditions": None})
    configured = own({"model_outputs": outputs, "model_indices": [0, 2]})
    assert configured["summary_conditions"].shape == (5, 2, 1) and configured["model_indices"].shape == (5, 3)
    with pytest.raises(ConfigurationError, match=r"model_indices must hold the number of each model of model_outputs, 0 to 2; got \[0, 3\]"):
        own({"model_outputs": outputs, "model_indices": [0, 3]})
    with pytest.raises(ConfigurationError, match=r"model_indices must be \(B, 3\); got \(2, 2\)"):
        make({"sim_data": np.ones((2, 5, 1)), "model_indices": np.eye(2)})


def test_settings_fit_the_constructors():
    assert bf.networks.PMPNetwork(**bf.networks.PMPNetwork.create_config(num_models=3)).num_models == 3
    assert bf.networks.EvidentialNetwork(**bf.networks.EvidentialNetwork.create_config(num_models=3, num_dense=1)).num_models == 3
    with pytest.raises(ConfigurationError, match="num_models is required"):
        bf.networks.PMPNetwork.create_config()


def test_sentences():
    comparison = bf.amortizers.AmortizedModelComparison
    with pytest.raises(ConfigurationError, match="inference_net must be a PMPNetwork or an EvidentialNetwork; got InvertibleNetwork"):
        comparison(bf.networks.InvertibleNetwork(2))
    with pytest.raises(ConfigurationError, match="the inference network comes first, then the summary network; exchange them"):
        comparison(summary(), classifier())
    with pytest.raises(ConfigurationError, match="PMPNetwork: num_models must be an integer of at least 2; got 1"):
        bf.networks.PMPNetwork(1)
    with pytest.raises(OperationNotSupportedError, match='output_activation must be "softmax"'):
        bf.networks.PMPNetwork(2, output_activation="relu")
    with pytest.raises(ConfigurationError, match="evidence cannot be negative"):
        bf.networks.EvidentialNetwork(2, output_activation="tanh")
    inputs = configurator(simulated(4, np.random.default_rng(1)))
    wide = {**inputs, "model_indices": np.eye(3)[[0, 1, 2, 0]]}
    with pytest.raises(ConfigurationError, match="num_models = 2, but the model indices have a width of 3"):
        bf.trainers.Trainer(comparison(classifier(), summary()), lambda batch_size: simulated(batch_size), lambda forward: wide, progress=False)
    amortizer = comparison(classifier(), summary())
    with pytest.raises(ArgumentError, match="model indices must be one-hot rows, or probabilities that sum to 1; row 0 sums to 2"):
        amortizer.log_prob({**inputs, "model_indices": np.ones((4, 2))})
    with pytest.raises(ConfigurationError, match="needs an EvidentialNetwork, which the inference network is not"):
        amortizer.evidence(inputs)
    with pytest.raises(ArgumentError, match="the reference must be the number of a model, 0 to 1; got 2"):
        amortizer.log_bayes_factors(inputs, 2)
    with pytest.raises(OperationNotSupportedError, match="diagnose_latent2d: it is for trainers of an AmortizedPosterior"):
        bf.trainers.Trainer(amortizer, lambda b: simulated(b), configurator, progress=False).diagnose_latent2d(inputs)


def test_report_and_verdict(tmp_path):
    amortizer = bf.amortizers.AmortizedModelComparison(classifier(), summary())
    trainer = bf.trainers.Trainer(amortizer, two_models(), progress=False, seed=1)
    trainer.train_online(1, 1000, 128)
    page = bf.report(trainer, tmp_path / "report.html", num_data_sets=800, param_names=["narrow", "wide"])
    assert page.models.calibrated and page.models.learnt and page.models.model_names == ["narrow", "wide"]
    assert page.verdict.sentence == page.models.sentence and "no fault found" in page.models.sentence
    assert {"model_verdict", "confusion_matrix", "calibration_curves"} <= set(page.tables)
    assert "Can these model probabilities be trusted?" in page.html
    inputs = trainer.configurator(two_models(seed=5)(800))
    verdict = bf.diagnostics.model_verdict(inputs["model_indices"], amortizer.posterior_probs(inputs))
    assert verdict.calibrated and abs(verdict.slope.value - 1) < 4 * verdict.slope.standard_error
    sharp = np.exp(3 * amortizer.compute_logits(inputs).astype(float))
    sharp = bf.diagnostics.model_verdict(inputs["model_indices"], sharp / sharp.sum(axis=1, keepdims=True))
    assert not sharp.calibrated and "overconfident" in sharp.sentence and sharp.slope.value < 0.7
    swapped = bf.diagnostics.model_verdict(1 - inputs["model_indices"], amortizer.posterior_probs(inputs))
    assert "are the models' labels swapped?" in swapped.sentence
    assert pickle.loads(pickle.dumps(verdict)).sentence == verdict.sentence


# --- v1's notebooks ---

ITEMS = 25


def recognition_models():
    """Multinomial processing trees of recognition: an old item is recognized with probability r, or else guessed "old" with g. A new item is guessed "old" with
    g (one threshold), or with (1 - r) g (two thresholds). Data: (2 ITEMS, 2), whether the item is old, and the answer."""
    old = np.repeat([1.0, 0.0], ITEMS)

    def answers(hit, false_alarm, rng):
        p = np.where(old == 1, hit[:, None], false_alarm[:, None])
        return np.stack([np.broadcast_to(old, p.shape), rng.random(p.shape) < p], axis=-1)

    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.random((batch_size, 2)), param_names=["r", "g"])
    one = lambda theta, rng: answers(theta[:, 0] + (1 - theta[:, 0]) * theta[:, 1], theta[:, 1], rng)  # noqa: E731
    two = lambda theta, rng: answers(theta[:, 0] + (1 - theta[:, 0]) * theta[:, 1], (1 - theta[:, 0]) * theta[:, 1], rng)  # noqa: E731
    models = [bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=f)) for f in (one, two)]
    return bf.simulation.MultiGenerativeModel(models, seed=1)


def exact_recognition(x):
    """log Bayes factor of two thresholds against one, by quadrature over r and g."""
    grid = (np.arange(200) + 0.5) / 200
    r, g = np.meshgrid(grid, grid, indexing="ij")
    hits, alarms = (x[..., 0] * x[..., 1]).sum(axis=1), ((1 - x[..., 0]) * x[..., 1]).sum(axis=1)
    log = lambda p, k: k * np.log(p) + (ITEMS - k) * np.log1p(-p)  # noqa: E731
    out = np.empty(len(x))
    for i, (h, f) in enumerate(zip(hits, alarms)):
        hit = log(r + (1 - r) * g, h)
        out[i] = np.log(np.exp(hit + log((1 - r) * g, f)).mean()) - np.log(np.exp(hit + log(g, f)).mean())
    return out


def test_notebook_of_processing_trees():
    models = recognition_models()
    amortizer = bf.amortizers.AmortizedModelComparison(bf.networks.PMPNetwork(num_models=2, dropout=False), bf.networks.DeepSet(summary_dim=8, num_equiv=0))
    trainer = bf.trainers.Trainer(amortizer, models, progress=False, seed=1)
    trainer.train_online(epochs=2, iterations_per_epoch=500, batch_size=64)
    inputs = trainer.configurator(models(600))
    probabilities, exact_odds = amortizer.posterior_probs(inputs), exact_recognition(inputs["summary_conditions"])
    assert np.abs(probabilities[:, 1] - 1 / (1 + np.exp(-exact_odds))).mean() < 0.03
    assert np.abs(amortizer.log_bayes_factors(inputs)[:, 1] - exact_odds).mean() < 0.25
    assert bf.diagnostics.model_verdict(inputs["model_indices"], probabilities, error_rate=0.001).calibrated


def test_notebook_of_hierarchical_models():
    """Groups of observations: whether the groups' means differ."""

    def model(spread):
        prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(size=(batch_size, 1)))
        simulate = lambda mu, rng: rng.normal(mu[:, None, None] + spread * rng.normal(size=(len(mu), 6, 1, 1)), 1, (len(mu), 6, 10, 2))  # noqa: E731
        return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=simulate))

    dense = dict(units=16, activation="relu")
    levels = [bf.networks.DeepSet(dim, num_equiv=0, dense_s1_args=dense, dense_s2_args=dense) for dim in (6, 8)]
    amortizer = bf.amortizers.AmortizedModelComparison(bf.networks.PMPNetwork(2, dropout=False), bf.networks.HierarchicalNetwork(levels))
    models = bf.simulation.MultiGenerativeModel([model(0.0), model(1.0)], seed=1)
    trainer = bf.trainers.Trainer(amortizer, models, progress=False, seed=1, default_lr=2e-3)
    trainer.train_online(epochs=1, iterations_per_epoch=1500, batch_size=64)
    inputs = trainer.configurator(models(500))
    verdict = bf.diagnostics.model_verdict(inputs["model_indices"], amortizer.posterior_probs(inputs), error_rate=0.001)
    assert verdict.learnt and verdict.calibrated, verdict.sentence
    assert bf.diagnostics.confusion_matrix(inputs["model_indices"], amortizer.posterior_probs(inputs)).accuracy.value > 0.9
