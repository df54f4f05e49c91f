"""The report, and sensitivity to misspecification, of a small trained network."""

import html
import os
import re

import numpy as np
import pytest

import bayesflow_cpp as bf


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(2)
    truths = rng.normal(size=(150, 2))
    data = truths + rng.normal(size=truths.shape) / 2
    return 0.8 * data[:, None] + np.sqrt(0.2) * rng.normal(size=(150, 100, 2)), truths


def test_of_draws(draws, tmp_path):
    path = tmp_path / "page.html"
    folder = tmp_path / "csv"
    out = bf.report(*draws, path, title="A page of mine", param_names=["mu", "nu"], facts={"machine": "abacus"}, data_folder=folder)
    assert out.path == str(path) and out.verdict.calibrated
    page = path.read_text(encoding="utf-8")
    for text in ("A page of mine", "abacus", "mu", out.verdict.sentence.split(":")[0][1:]):
        assert text in page
    assert out.html == page and {"verdict", "recovery", "sbc_ecdf"} <= set(out.tables)
    assert (folder / "recovery.csv").exists()
    assert repr(out).endswith(f"Page: {path}>")


def test_a_notebook_shows_the_page(draws):
    out = bf.report(*draws)
    path = out.path
    shown = out._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', shown).group(1)) == out.html
    assert os.path.exists(path)
    del out
    assert not os.path.exists(path)  # a page without a path goes with its object


def test_of_a_trainer(gaussian_model, small_amortizer, tmp_path):
    trainer = bf.trainers.Trainer(small_amortizer(), gaussian_model(), progress=False)
    trainer.train_online(epochs=1, iterations_per_epoch=30, batch_size=16)
    out = bf.report(trainer, tmp_path / "trained.html", num_data_sets=60, num_draws=50)
    assert out.verdict.num_data_sets == 60 and out.verdict.num_draws == 50
    page = out.html
    assert "What was trained" in page and {"losses", "latent_normality", "log_score"} <= set(out.tables)
    assert bf.report(trainer, num_data_sets=30, num_draws=20).verdict.num_data_sets == 30
    # What a report of draws is told beside them.
    rng = np.random.default_rng(4)
    truths = rng.normal(size=(40, 2))
    told = bf.report(truths[:, None] + rng.normal(size=(40, 30, 2)), truths, training=trainer.runs[-1], latents=rng.normal(size=(40, 2)),
                     log_posterior=rng.normal(size=40), predictive=bf.diagnostics.posterior_predictive(truths[:1, None] + np.zeros((1, 20, 1)),
                     np.zeros((1, 5)), lambda theta: rng.normal(size=(len(theta), 5))))  # fmt: skip
    assert {"losses", "latent_normality", "log_score", "posterior_predictive"} <= set(told.tables)

    # The same network under data that are not from its model.
    def generator(shift, noise):
        prior = bf.simulation.Prior(prior_fun=lambda rng: shift + rng.normal(size=4))
        simulator = bf.simulation.Simulator(simulator_fun=lambda theta, rng: theta + noise * rng.normal(size=(10, 4)))
        return bf.simulation.GenerativeModel(prior, simulator, seed=3)

    first, second = {"name": "shift", "values": np.array([0.0, 5.0])}, {"name": "noise", "values": np.array([1.0, 2.0, 4.0])}
    error, mmd = bf.sensitivity.misspecification_experiment(trainer, generator, first, second, n_posterior_samples=20, n_sim=50)
    assert (error["name"], mmd["name"]) == ("posterior_error", "summary_mmd")
    for result in (error, mmd):
        assert list(result) == ["P1", "P2", "values", "name"] and result["values"].shape == (2, 3)
        np.testing.assert_array_equal(result["P1"][1], 5)
        np.testing.assert_array_equal(result["P2"][:, 2], 4)
    assert (error["values"][1] > error["values"][0]).all() and mmd["values"][1, 0] > mmd["values"][0, 0]


def test_bad_arguments_are_told(draws, tmp_path):
    with pytest.raises(bf.exceptions.ConfigurationError, match=r"report needs a Trainer, or draws \(B, S, P\) and truths"):
        bf.report(draws[0])
    with pytest.raises(bf.exceptions.ShapeError, match="draws must have 3 axes"):
        bf.report(draws[1], draws[1])
    with pytest.raises(bf.exceptions.IoError, match="missing"):
        bf.report(*draws, tmp_path / "missing" / "page.html")
    with pytest.raises(bf.exceptions.ArgumentError, match="nan"):
        bf.report(draws[0], np.full_like(draws[1], np.nan))


def test_of_likelihoods_and_of_two_levels(gaussian_model, tmp_path):
    flow = lambda width: bf.networks.InvertibleNetwork(width, 1, coupling_settings={"dense_args": dict(units=8), "num_dense": 1})
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedLikelihood(flow(4)), gaussian_model(), progress=False)
    trainer.train_online(epochs=1, iterations_per_epoch=10, batch_size=16)
    page = bf.report(trainer, tmp_path / "likelihood.html", num_data_sets=60, num_draws=50)
    assert "Can this likelihood be trusted?" in page.html and page.verdict.parameters[0].name == "x_1" and page.verdict.num_data_sets == 60

    def groups(hyper, rng):
        return rng.normal(hyper[0], 1, size=(3, 1))

    model = bf.simulation.TwoLevelGenerativeModel(bf.simulation.TwoLevelPrior(lambda rng: rng.normal(size=1), groups),
                                                  lambda local, rng: local[:, None] + rng.normal(size=(3, 4, 1)), simulator_is_batched=False)  # fmt: skip
    summary = bf.networks.HierarchicalNetwork([bf.networks.DeepSet(2, 1, 1, 1, 0), bf.networks.DeepSet(2, 1, 1, 1, 0)])
    amortizer = bf.amortizers.TwoLevelAmortizedPosterior(bf.amortizers.AmortizedPosterior(flow(1)), bf.amortizers.AmortizedPosterior(flow(1)), summary)
    trainer = bf.trainers.Trainer(amortizer, model, progress=False)
    trainer.train_online(epochs=1, iterations_per_epoch=10, batch_size=16)
    page = bf.report(trainer, tmp_path / "levels.html", num_data_sets=60, num_draws=50)
    assert "Both levels, all groups" in page.html and {"global_recovery", "local_recovery", "local_sbc_ecdf", "verdict"} <= set(page.tables)
    assert [p.name for p in page.verdict.parameters] == ["hyper_1", "local_1"]
    lines = []
    amortizer.summary(print_fn=lines.append)
    assert [line.split()[0] for line in lines[4:7]] == ["global.summary_net", "global.inference_net", "local.inference_net"]
    assert lines[8] == f"Total params: {amortizer.number_of_parameters:,}"
    with pytest.raises(bf.exceptions.OperationNotSupportedError, match="report: it is for trainers of an AmortizedPosterior"):
        bf.report(bf.trainers.Trainer(bf.amortizers.Ensemble(bf.amortizers.AmortizedPosterior(flow(4), bf.networks.DeepSet(2)), 2), gaussian_model(), progress=False))
