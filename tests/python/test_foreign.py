"""What amortizers and trainers say about data unlike those of training."""

import pickle
import warnings

import numpy as np
import pytest

import bayesflow_cpp as bf

ForeignDataWarning = bf.exceptions.ForeignDataWarning


def diffusion(batch_size, rng, trials=100):
    """Reaction times and choices by a closed form that is near enough: (B, trials, 2)."""
    theta = np.stack([rng.uniform(-3, 3, batch_size), rng.uniform(0.5, 2.5, batch_size), rng.uniform(0.1, 0.6, batch_size)], 1)
    drift, boundary, ndt = (theta[:, i, None] for i in range(3))
    decision = rng.wald(boundary / (np.abs(drift) + 0.3), boundary**2, size=(batch_size, trials))
    choice = rng.uniform(size=(batch_size, trials)) < 1 / (1 + np.exp(-drift * boundary))
    return theta, np.stack([ndt + decision, choice], -1)


NAMES = ["drift", "boundary", "ndt"]


@pytest.fixture(scope="module")
def trained():
    prior = bf.simulation.Prior(batch_prior_fun=lambda batch_size, rng: diffusion(batch_size, rng)[0], param_names=NAMES)

    def simulate(theta, rng):
        drift, boundary, ndt = (theta[:, i, None] for i in range(3))
        size = (len(theta), 100)
        decision = rng.wald(boundary / (np.abs(drift) + 0.3), boundary**2, size=size)
        choice = rng.uniform(size=size) < 1 / (1 + np.exp(-drift * boundary))
        return np.stack([ndt + decision, choice], -1)

    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(batch_simulator_fun=simulate))
    amortizer = bf.amortizers.AmortizedPosterior(
        bf.networks.InvertibleNetwork(3, 2, coupling_settings={"dense_args": dict(units=32, kernel_regularizer=None), "dropout": False}), bf.networks.DeepSet(4)
    )
    trainer = bf.trainers.Trainer(amortizer, model, progress=False)
    trainer.train_online(epochs=1, iterations_per_epoch=80, batch_size=32)
    return trainer, amortizer, trainer.configurator(model(3))


def kinds(foreign):
    return [one.kind for one in foreign]


def test_data_like_those_of_training_are_silent(trained):
    _, amortizer, inputs = trained
    with warnings.catch_warnings():
        warnings.simplefilter("error", ForeignDataWarning)
        amortizer.log_posterior(inputs)
    assert set(kinds(amortizer.foreign(inputs))) <= {"draws"}


@pytest.mark.parametrize("change, kind", [
    (lambda x: x * [1000, 1], "values"),
    (lambda x: x[..., ::-1], "values"),
    (lambda x: x[:, :1], "size"),
    (lambda x: np.concatenate([x] * 10, 1), "size"),
])  # fmt: skip
def test_foreign_data_are_said_once_a_kind_at_the_callers_line(trained, change, kind):
    _, amortizer, inputs = trained
    changed = {"summary_conditions": change(np.asarray(inputs["summary_conditions"]))}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        amortizer.sample(changed, 10)
    mine = [w for w in caught if w.category is ForeignDataWarning]
    said = amortizer.foreign(changed)
    assert kind in kinds(said) and len(set(kinds(said))) == len(said)
    assert {one.sentence for one in said} <= {str(w.message) for w in mine} and len(mine) <= len(said) + 1
    assert all(w.filename == __file__ for w in mine)
    if kind == "values":
        values = next(one for one in said if one.kind == "values")
        assert values.name.startswith("column ") and values.high > values.seen_high and values.share == 1


def test_draws_outside_a_uniform_prior_are_counted(trained):
    _, amortizer, inputs = trained
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draws = amortizer.sample(inputs, 2000)
    outside = ((draws < [-3, 0.5, 0.1]) | (draws > [3, 2.5, 0.6])).mean((0, 1))
    assert outside.max() > 0.05  # after 80 steps
    text = next(str(w.message) for w in caught if "of the draws of" in str(w.message))
    worst = NAMES[int(outside.argmax())]
    assert f"% of the draws of {worst}" in text and "lie outside" in text
    assert float(text.split(" %")[0]) == pytest.approx(100 * outside.max(), rel=0.1)


def test_files_and_pickles_know_what_was_seen(trained, tmp_path):
    _, amortizer, inputs = trained
    changed = {"summary_conditions": np.asarray(inputs["summary_conditions"]) * [1000, 1]}
    said = [one.sentence for one in amortizer.foreign(changed)]
    amortizer.save(tmp_path / "model.h5")
    for again in (bf.load_amortizer(tmp_path / "model.h5"), pickle.loads(pickle.dumps(amortizer))):
        assert [one.sentence for one in again.foreign(changed)] == said
        with pytest.warns(ForeignDataWarning):
            again.log_posterior({**changed, "parameters": np.asarray(inputs["parameters"])})


def test_the_mmd_test_says_it_too(trained):
    trainer, _, inputs = trained
    with pytest.warns(ForeignDataWarning, match="Observations per data set: 4, in training always 100"):
        trainer.mmd_hypothesis_test(np.asarray(inputs["summary_conditions"])[:, :4], num_reference_simulations=50, num_null_samples=20)


def test_a_context_that_contradicts_the_number_of_observations(small_amortizer):
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4))
    number = bf.simulation.ContextGenerator(non_batchable_context_fun=lambda rng: int(rng.integers(5, 50)))
    simulator = bf.simulation.Simulator(simulator_fun=lambda theta, n, rng: rng.normal(theta, size=(n, 4)), context_generator=number)
    model = bf.simulation.GenerativeModel(prior, simulator)
    amortizer = small_amortizer()
    trainer = bf.trainers.Trainer(amortizer, model, progress=False)
    trainer.train_online(1, 40, 16)
    data = {"prior_draws": np.zeros((5, 4)), "sim_data": np.random.default_rng(1).normal(size=(5, 10, 4)), "sim_non_batchable_context": 10}
    assert "count" not in kinds(amortizer.foreign(trainer.configurator(data)))
    wrong = trainer.configurator({**data, "sim_non_batchable_context": 30})
    with pytest.warns(ForeignDataWarning, match="here it is 30 for data sets of 10 observations"):
        amortizer.sample(wrong, 5)
    with pytest.raises(bf.exceptions.ShapeError, match=r"give direct_conditions of shape \(5, 1\) yourself"):
        amortizer.sample(trainer.configurator({**data, "sim_non_batchable_context": [10] * 5}), 5)


def test_trainers_look_back_without_validation_data(small_amortizer, caplog):
    prior = bf.simulation.Prior(prior_fun=lambda rng: 1e-9 * rng.normal(size=4))
    simulator = bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(1e9 * theta, size=(10, 4)))
    trainer = bf.trainers.Trainer(small_amortizer(), bf.simulation.GenerativeModel(prior, simulator), progress=False)
    trainer.train_online(1, 80, 32)
    said = trainer.runs[0].warnings
    assert any("In the configurator write parameters = (parameters - " in text for text in said)
    assert any("has not the scale of its values in training" in text for text in said)
    for text in said:
        assert [r.getMessage() for r in caplog.records].count(text) <= 1


def test_functions_with_numbers_of_their_own_are_not_called_after_training(small_amortizer):
    rng, calls = np.random.default_rng(1), []
    prior = bf.simulation.Prior(prior_fun=lambda: calls.append(1) or rng.normal(size=4))
    simulator = bf.simulation.Simulator(simulator_fun=lambda theta: rng.normal(1e-3 * theta, size=(10, 4)))
    trainer = bf.trainers.Trainer(small_amortizer(), bf.simulation.GenerativeModel(prior, simulator), progress=False)
    before = len(calls)
    trainer.train_online(1, 60, 32)
    assert len(calls) - before == 60 * 32
    assert any("was not learnt" in text for text in trainer.runs[0].warnings)


def test_validation_split(small_amortizer, gaussian_model):
    trainer = bf.trainers.Trainer(small_amortizer(), gaussian_model(), progress=False)
    out = trainer.train_offline(gaussian_model()(200), epochs=3, batch_size=10, validation_split=0.1)
    assert len(out["val_losses"]) == 3 and len(out["train_losses"]) == 3 * 18
    with pytest.raises(bf.exceptions.ConfigurationError, match="validation_split = 1"):
        trainer.train_offline(gaussian_model()(200), 1, 10, validation_split=1)


def test_convergence_and_kept_epoch(small_amortizer, gaussian_model):
    trainer = bf.trainers.Trainer(small_amortizer(), gaussian_model(), progress=False)
    trainer.train_online(1, 300, 32)
    run = trainer.runs[0]
    assert run.convergence.startswith("A run of twice as many steps would gain about ") and run.gain_per_doubling >= 0 and run.gain_standard_error > 0
    assert run.kept_epoch == 0
