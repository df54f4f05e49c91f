"""Ensembles of every class of amortizers; those of posteriors also in test_joint.py."""

import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import amortizers, networks, simulation

SMALL = {"dense_args": dict(units=16, kernel_regularizer=None), "dropout": False}


def flow(width=1):
    return networks.InvertibleNetwork(width, 2, coupling_settings=SMALL)


def deep_set():
    return networks.DeepSet(summary_dim=4, num_dense_s1=1, num_dense_s2=1, num_dense_s3=1, num_equiv=1)


def gaussian(mean=0.0):
    prior = simulation.Prior(batch_prior_fun=lambda batch_size, rng: rng.normal(mean, 1, size=(batch_size, 1)))
    return simulation.GenerativeModel(prior, simulation.Simulator(batch_simulator_fun=lambda theta, rng: rng.normal(theta[:, None], 1, (len(theta), 5, 1))))


def two_level():
    prior = simulation.TwoLevelPrior(lambda rng: rng.normal(size=1), lambda hyper, rng: rng.normal(hyper[0], 1, size=(rng.integers(2, 5), 1)))
    data = lambda theta, rng: rng.normal(theta[:, None], 1, (len(theta), 6, 1))  # noqa: E731
    return simulation.TwoLevelGenerativeModel(prior, data, simulator_is_batched=False, pad_to=(4, 6))


# What makes an amortizer; its model; what is asked.
CASES = {
    "AmortizedPosterior": (lambda **o: amortizers.AmortizedPosterior(flow(), deep_set(), **o), gaussian, "log_prob"),
    "AmortizedLikelihood": (lambda **o: amortizers.AmortizedLikelihood(flow(), **o), gaussian, "log_prob"),
    "AmortizedModelComparison": (
        lambda **o: amortizers.AmortizedModelComparison(networks.PMPNetwork(2), deep_set(), **o),
        lambda: simulation.MultiGenerativeModel([gaussian(), gaussian(1.0)]),
        "posterior_probs",
    ),
    "AmortizedPointEstimator": (lambda **o: amortizers.AmortizedPointEstimator(networks.PointNetwork(1, "quantiles"), deep_set(), **o), gaussian, "estimate"),
    "AmortizedPosteriorLikelihood": (
        lambda **o: amortizers.AmortizedPosteriorLikelihood(amortizers.AmortizedPosterior(flow(), deep_set(), **o), amortizers.AmortizedLikelihood(flow(), **o)),
        gaussian,
        None,
    ),
    "TwoLevelAmortizedPosterior": (
        lambda **o: amortizers.TwoLevelAmortizedPosterior(
            amortizers.AmortizedPosterior(flow(), **o), amortizers.AmortizedPosterior(flow(), **o), networks.HierarchicalNetwork([deep_set(), deep_set()])
        ),
        two_level,
        "log_prob",
    ),
}


def trained(name, steps=10):
    make, model, _ = CASES[name]
    ensemble = amortizers.Ensemble(make(), 3)
    trainer = bf.trainers.Trainer(ensemble, model(), seed=5, progress=False)
    history = trainer.train_online(epochs=1, iterations_per_epoch=steps, batch_size=16)
    return ensemble, trainer, history, trainer.configurator(model()(20))


def test_there_is_one_of_every_class():
    classes = {value for name, value in vars(amortizers).items() if isinstance(value, type) and getattr(value, "_kind", "") == name}
    assert {kind.__name__ for kind in classes} - {"Ensemble"} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_members_are_as_if_trained_alone(name, tmp_path):
    ensemble, _, history, inputs = trained(name)
    make, model, verb = CASES[name]
    assert [type(member).__name__ for member in ensemble.members] == [name] * 3
    alone = make(seed=6)  # of the second member: the trainer's, and one
    trainer = bf.trainers.Trainer(alone, model(), seed=5, progress=False)
    columns = trainer.train_online(epochs=1, iterations_per_epoch=10, batch_size=16).columns
    assert list(columns) == list(history.columns)
    weights, of_member = alone.weights(), ensemble.members[1].weights()
    assert weights.keys() == of_member.keys()
    for key, values in weights.items():
        np.testing.assert_array_equal(values, of_member[key])
    ensemble.save(tmp_path / "model.h5")
    for other in (bf.load_amortizer(tmp_path / "model.h5"), pickle.loads(pickle.dumps(ensemble))):
        assert type(other) is amortizers.Ensemble and [type(member).__name__ for member in other.members] == [name] * 3
        for a, b in zip(other.members, ensemble.members):
            for key, values in a.weights().items():
                np.testing.assert_array_equal(values, b.weights()[key])
        if verb is not None:
            np.testing.assert_array_equal(getattr(other, verb)(inputs), getattr(ensemble, verb)(inputs))
    losses = [member.compute_loss(inputs) for member in ensemble.members]
    whole = ensemble.compute_loss(inputs)
    if isinstance(whole, dict):
        assert list(whole) == list(columns)
        for key, value in whole.items():
            assert float(value) == pytest.approx(np.mean([loss[key] for loss in losses]), abs=1e-5)
    else:
        assert float(whole) == pytest.approx(np.mean(losses), abs=1e-5)


@pytest.mark.parametrize("name", ["AmortizedModelComparison", "AmortizedPointEstimator"])
def test_answers_are_means(name):
    ensemble, _, _, inputs = trained(name)
    verb = CASES[name][2]
    answers = np.stack([getattr(member, verb)(inputs) for member in ensemble.members])
    assert np.ptp(answers, axis=0).min() > 0
    np.testing.assert_allclose(getattr(ensemble, verb)(inputs), answers.mean(axis=0), atol=1e-6)
    if name == "AmortizedModelComparison":
        probs = answers.mean(axis=0)
        np.testing.assert_allclose(ensemble.log_bayes_factors(inputs)[:, 1], np.log(probs[:, 1] / probs[:, 0]), atol=1e-5)
        np.testing.assert_allclose(ensemble.bayes_factors(inputs, 1, model_priors=[0.2, 0.8])[:, 0], probs[:, 0] / probs[:, 1] * 4, rtol=1e-4)
        np.testing.assert_allclose(ensemble.log_prob(inputs), np.log((probs * inputs["model_indices"]).sum(axis=1)), atol=1e-5)
        with pytest.raises(bf.exceptions.ArgumentError, match="the reference must be the number of a model, 0 to 1; got 2"):
            ensemble.log_bayes_factors(inputs, 2)
        with pytest.raises(bf.exceptions.ArgumentError, match="model_priors must be 2 positive numbers"):
            ensemble.log_bayes_factors(inputs, model_priors=[1.0])


def test_two_level_posteriors_are_a_mixture():
    ensemble, _, _, inputs = trained("TwoLevelAmortizedPosterior")
    draws = ensemble.sample(inputs, 8, seed=3)
    assert draws["global_samples"].shape == (20, 8, 1) and draws["local_samples"].shape == (20, 4, 8, 1)
    for m, member in enumerate(ensemble.members):
        own = member.sample(inputs, 3, seed=3 + m)
        np.testing.assert_array_equal(draws["global_samples"][:, m::3], own["global_samples"][:, : len(range(m, 8, 3))])
        np.testing.assert_array_equal(draws["local_samples"][:, :, m::3], own["local_samples"][:, :, : len(range(m, 8, 3))])
    assert ensemble.sample(inputs, 2)["local_samples"].shape == (20, 4, 2, 1), "fewer draws than members"
    densities = np.stack([member.log_prob(inputs) for member in ensemble.members]).astype(float)
    np.testing.assert_allclose(ensemble.log_prob(inputs), np.log(np.exp(densities).mean(axis=0)), rtol=1e-5, atol=1e-5)
    one = {key: value[:1] for key, value in inputs.items()}
    assert ensemble.sample(one, 4)["global_samples"].shape == (4, 1) and ensemble.sample(one, 4, keepdims=True)["global_samples"].shape == (1, 4, 1)


def test_joint_amortizers_give_ensembles_of_their_parts():
    ensemble, _, _, inputs = trained("AmortizedPosteriorLikelihood")
    posterior, likelihood = ensemble.posterior(), ensemble.likelihood()
    wanted = np.stack([member.log_posterior(inputs) for member in ensemble.members]).astype(float)
    np.testing.assert_allclose(posterior.log_prob(inputs["posterior_inputs"]), np.log(np.exp(wanted).mean(axis=0)), atol=1e-5)
    assert likelihood.log_likelihood(inputs["likelihood_inputs"]).shape == (20, 5)


def test_adapters_belong_to_all_members():
    adapter = bf.adapters.Adapter().standardize("prior_draws").standardize("sim_data")
    ensemble = amortizers.Ensemble(amortizers.AmortizedPosterior(flow(), deep_set(), adapter=adapter), 2)
    bf.trainers.Trainer(ensemble, gaussian(), seed=1, progress=False).train_online(epochs=1, iterations_per_epoch=5, batch_size=16)
    assert all(member.adapter is not None for member in ensemble.members)


@pytest.mark.parametrize(
    ("name", "verb", "words"),
    [
        ("AmortizedPosterior", "estimate", "use log_prob"),
        ("AmortizedModelComparison", "sample", "use posterior_probs"),
        ("AmortizedPointEstimator", "log_prob", "use estimate"),
        ("AmortizedPosteriorLikelihood", "log_prob", r"use posterior\(\) or likelihood\(\)"),
    ],
)
def test_what_members_cannot_answer(name, verb, words):
    ensemble = amortizers.Ensemble(CASES[name][0](), 2)
    with pytest.raises(bf.exceptions.ConfigurationError, match=f"Ensemble.{verb}: the members are of the class {name}; {words}"):
        getattr(ensemble, verb)({}, *([1] if verb == "sample" else []))
    if name == "AmortizedPosteriorLikelihood":
        with pytest.raises(bf.exceptions.ConfigurationError, match="the members have no weights yet; train them first"):
            ensemble.posterior()
