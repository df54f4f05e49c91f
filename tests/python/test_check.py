"""Is what networks are given like what they were trained on: p-values among held-out simulations, and warnings."""

import copy
import warnings

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, ForeignDataWarning
from test_two_level import model as two_level_model
from test_two_level import two_level


def model(seed=1):
    rng = np.random.default_rng(seed)
    prior = bf.simulation.Prior(prior_fun=lambda: rng.normal(size=2))
    return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda t: t[0] + np.exp(0.3 * t[1]) * rng.normal(size=(30, 1))), skip_test=True)


@pytest.fixture(scope="module")
def trained():
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(summary_dim=4))
    trainer = bf.trainers.Trainer(amortizer, model(), seed=2, progress=False)
    trainer.train_offline(model(3)(1000), 3, 32, validation_sims=model(4)(2000))
    return amortizer, trainer.configurator


def data_of(configurator, seed, count):
    return {"summary_conditions": configurator(model(seed)(count))["summary_conditions"]}


def contaminated():
    x = 0.7 * np.random.default_rng(1).normal(size=(1, 30, 1))
    x[0, [3, 17], 0] = 5, -5
    return {"summary_conditions": x.astype(np.float32)}


def test_p_values_have_their_level(trained):
    amortizer, configurator = trained
    check = amortizer.check(data_of(configurator, 5, 2000))
    assert check.reference == 1500 and check.p_values.shape == (2000,) and check.foreign == []
    for p in (check.p_values, check.p_data, check.p_summaries):
        assert abs((p <= 0.05).mean() - 0.05) < 0.02  # of one reference
    assert check.p_value > 0.01 and check.p_together > 0.01 and check.outside is None


def test_strange_data_are_found_and_named(trained):
    amortizer, configurator = trained
    inputs = contaminated()
    check = amortizer.check(inputs)
    (p,) = check.p_values
    assert p <= 0.01 and check.strangest[0].name in ("skewness of summary_conditions", "log kurtosis of summary_conditions")
    assert not check.strangest[0].low <= check.strangest[0].value <= check.strangest[0].high
    for call in (lambda: amortizer.sample(inputs, 10), lambda: amortizer.log_prob({**inputs, "parameters": np.zeros((1, 2), np.float32)})):
        with pytest.warns(ForeignDataWarning, match="This data set is unlike the simulations of training: p-value 0.00.* among 1500 held-out ones"):
            call()
    (told,) = check.foreign
    assert told.kind == "distance" and told.name == check.strangest[0].name and told.share == 1
    scaled = data_of(configurator, 7, 100)
    scaled["summary_conditions"] *= 1.6
    assert amortizer.check(scaled).p_together < 0.01


def test_the_level_can_be_changed(trained):
    amortizer, configurator = trained
    inputs = contaminated()
    assert amortizer.check_level == 0.01
    try:
        amortizer.check_level = 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            amortizer.sample(inputs, 10)
        assert amortizer.check(inputs).p_value <= 0.01  # on request all the same
        with pytest.raises(ArgumentError, match="set_check_level: the level must be at least 0"):
            amortizer.check_level = 1
        with pytest.raises(ConfigurationError, match="check_level must be a number"):
            amortizer.check_level = "0.1"
    finally:
        amortizer.check_level = 0.01


def test_the_share_of_draws_outside_the_prior(trained):
    amortizer, configurator = trained
    inputs = data_of(configurator, 8, 5)
    inputs["summary_conditions"][0] = 20 + inputs["summary_conditions"][0] / 10
    outside = amortizer.check(inputs, n_samples=200, seed=1).outside
    draws, values = amortizer.sample(inputs, 200, seed=1), model(3)(1000)["prior_draws"].astype(np.float32)
    np.testing.assert_allclose(outside, ((draws < values.min(0)) | (draws > values.max(0))).mean(1), atol=1e-12)
    assert outside[0, 0] > 0.05 and outside.shape == (5, 2)
    with pytest.raises(ConfigurationError, match="check: n_samples"):
        amortizer.check(inputs, n_samples=-1)


def test_files_and_copies_have_the_reference(trained, tmp_path):
    amortizer, configurator = trained
    inputs = data_of(configurator, 9, 20)
    amortizer.save(tmp_path / "model.h5")
    for other in (bf.amortizers.load_amortizer(tmp_path / "model.h5"), copy.deepcopy(amortizer)):
        np.testing.assert_array_equal(other.check(inputs).p_values, amortizer.check(inputs).p_values)


def test_without_a_reference_there_are_no_p_values():
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(summary_dim=4))
    trainer = bf.trainers.Trainer(amortizer, model(), progress=False)
    trainer.train_online(1, 2, 8)
    check = amortizer.check({"summary_conditions": np.zeros((2, 30, 1), np.float32)})
    assert check.reference == 0 and check.p_values is None and check.strangest == [] and np.isnan(check.p_value) and np.isnan(check.p_together)


def test_raw_data_go_through_the_adapter():
    amortizer = bf.amortizers.AmortizedPosterior(
        bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(summary_dim=4), adapter=bf.Adapter(pilot=100).standardize().standardize("sim_data")
    )
    trainer = bf.trainers.Trainer(amortizer, model(), seed=2, progress=False)
    trainer.train_online(1, 100, 32)  # functions with random numbers of their own: the last data sets of training serve
    raw = model(5)(50)["sim_data"]
    check = amortizer.check({"sim_data": raw}, n_samples=10)
    assert check.reference > 1000 and check.p_value > 0.01 and check.outside.shape == (50, 2)
    np.testing.assert_array_equal(check.p_values, amortizer.check(trainer.configurator({"sim_data": raw, "prior_draws": np.zeros((50, 2))})).p_values)
    assert amortizer.check({"sim_data": raw[:1] * np.where(np.arange(30) % 10, 1, 4)[None, :, None]}).p_values[0] < 0.05


def test_calibration_at_one_data_set(trained):
    amortizer, configurator = trained
    observed, fresh = data_of(configurator, 10, 1), configurator(model(11)(2000))
    near = amortizer.local_calibration(observed, fresh, num_near=100, n_samples=50, param_names=["a", "b"], seed=1)
    assert near.ranks.shape == (100, 2) and near.p_values.shape == (2,) and len(near.near) == len(set(near.near)) == 100
    assert near.share == 0.05 and near.num_simulations == 2000 and near.p_value == min(1, 2 * near.p_values.min())
    # What is near has a posterior like the observed one.
    mean = amortizer.sample(observed, 500)[:, 0].mean()
    means = amortizer.sample({"summary_conditions": fresh["summary_conditions"][near.near]}, 100).mean(1)[:, 0]
    everywhere = amortizer.sample({"summary_conditions": fresh["summary_conditions"]}, 100).mean(1)[:, 0]
    assert np.abs(means - mean).mean() < 0.3 * np.abs(everywhere - mean).mean()
    assert near.verdict.parameters[0].name == "a" and isinstance(near.verdict.sentence, str)
    # A posterior of wrong parameters is found.
    wrong = {**fresh, "parameters": fresh["parameters"] + 1}
    assert amortizer.local_calibration(observed, wrong, num_near=100).p_value < 1e-4
    with pytest.raises(ArgumentError, match="2000 simulations are too few to pick the nearest 500 of them; give at least 2500"):
        amortizer.local_calibration(observed, fresh, num_near=500)
    with pytest.raises(ConfigurationError, match='the input needs "parameters"'):
        amortizer.local_calibration(observed, {"summary_conditions": fresh["summary_conditions"]})


def test_calibration_at_raw_data():
    amortizer = bf.amortizers.AmortizedPosterior(
        bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(summary_dim=4), adapter=bf.Adapter(pilot=100).standardize().standardize("sim_data")
    )
    trainer = bf.trainers.Trainer(amortizer, model(), seed=2, progress=False)
    trainer.train_online(1, 20, 32)
    fresh = model(11)(500)
    raw = amortizer.local_calibration({"sim_data": model(10)(1)["sim_data"]}, fresh, num_near=50, n_samples=20)
    configured = amortizer.local_calibration(trainer.configurator({**model(10)(1)}), trainer.configurator(fresh), num_near=50, n_samples=20)
    np.testing.assert_array_equal(raw.ranks, configured.ranks)


def test_groups_say_it_by_their_first_part(trained):
    _, configurator = trained
    simulations, held_out = model(3)(300), model(4)(400)

    def posterior():
        return bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(summary_dim=4))

    ensemble = bf.amortizers.Ensemble(posterior(), size=2)
    bf.trainers.Trainer(ensemble, model(), seed=2, progress=False).train_offline(simulations, 1, 32, validation_sims=held_out)
    inputs = data_of(configurator, 9, 20)
    check = ensemble.check(inputs, n_samples=10)
    assert check.reference == 267 and check.p_values.shape == (20,) and check.outside.shape == (20, 2)
    np.testing.assert_array_equal(check.p_values, ensemble.members[0].check(inputs).p_values)
    ensemble.check_level = 0.002
    assert ensemble.check_level == 0.002 == ensemble.members[1].check_level


def test_two_levels():
    amortizer = two_level()
    trainer = bf.trainers.Trainer(amortizer, two_level_model(), seed=1, progress=False)
    trainer.train_online(1, 100, 32)
    fresh = trainer.configurator(two_level_model()(200))
    data = {key: value for key, value in fresh.items() if key in ("summary_conditions", "summary_mask", "local_mask", "direct_global_conditions", "direct_local_conditions")}
    check = amortizer.check({key: value for key, value in data.items() if value is not None})
    assert check.reference > 60 and check.p_values.shape == (200,) and abs((check.p_values <= 0.2).mean() - 0.2) < 0.15
    far = {key: value.copy() for key, value in data.items() if value is not None}
    far["summary_conditions"][:, :, ::2] *= 4
    assert (amortizer.check(far).p_values <= 0.05).mean() > 0.5
