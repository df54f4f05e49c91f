"""The Python programs of the documentation run, with fewer training steps than they name. Blocks of other packages' programs are marked ```python theirs."""

import pathlib
import re

import numpy as np
import pytest

import bayesflow_cpp as bf
from test_two_level import model as two_level_model
from test_two_level import two_level

SOME_OF_SBIBM = pathlib.Path(__file__).resolve().parents[1] / "benchmarks" / "data"
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
# Run by other tests, with what they need; files.md has an excerpt of tests/io/read_with_h5py.py and tests/report/tables_test.py, for files of C++ programs.
ELSEWHERE = {"python_simulators.md": "test_native.py", "python_networks.md": "test_building_blocks.py", "models.md": "test_hierarchies_and_several_models.py", "files.md": None}
BLOCKS = {
    page.relative_to(DOCS).as_posix(): blocks
    for page in sorted(DOCS.rglob("*.md"))
    if (blocks := re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M))
}


def normal_model(loc=0.0):
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(loc, 1, size=2))
    return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, 1, size=(10, 2))))


def what_pages_have():
    """What fragments of programs take for granted: a model of two parameters, an amortizer, simulations."""
    model = normal_model()
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, num_coupling_layers=2), bf.networks.DeepSet(4))
    trainer = bf.trainers.Trainer(amortizer, model, seed=1, progress=False)
    trainer.train_online(epochs=1, iterations_per_epoch=5, batch_size=8)
    likelihood = bf.amortizers.AmortizedLikelihood(bf.networks.InvertibleNetwork(2, num_coupling_layers=2))
    bf.trainers.Trainer(likelihood, model, seed=1, progress=False).train_online(epochs=1, iterations_per_epoch=5, batch_size=8)
    test_sims = trainer.configurator(model(60))
    return {
        "bf": bf, "np": np, "model": model, "prior": model.prior, "amortizer": amortizer, "trainer": trainer, "test_sims": test_sims, "post": amortizer.sample(test_sims, 50),
        "amortized_posterior": bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2), bf.networks.DeepSet(4)),
        "amortized_likelihood": bf.amortizers.AmortizedLikelihood(bf.networks.InvertibleNetwork(2, 2)), "likelihood": likelihood,
        "rng": np.random.default_rng(1), "observations": np.zeros((10, 2)), "log_prior": lambda theta: -0.5 * np.sum(theta**2, axis=-1), "data": np.zeros((3, 10, 2)),
        **{f"model_{k}": normal_model(float(k)) for k in range(3)},
    }  # fmt: skip


def test_every_page_with_programs_is_run():
    assert set(ELSEWHERE) <= set(BLOCKS) and len(BLOCKS) > 10
    for page, test in ELSEWHERE.items():
        assert test is None or page in (pathlib.Path(__file__).parent / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted(set(BLOCKS) - set(ELSEWHERE)))
def test_page(page, tmp_path, monkeypatch):
    online, offline = bf.trainers.Trainer.train_online, bf.trainers.Trainer.train_offline

    def few_online(self, epochs, iterations_per_epoch, *rest, **named):
        return online(self, 1, min(iterations_per_epoch, 5), *rest, **named)

    def few_offline(self, simulations_dict, epochs, *rest, **named):
        return offline(self, simulations_dict, 1, *rest, **named)

    monkeypatch.setattr(bf.trainers.Trainer, "train_online", few_online)
    monkeypatch.setattr(bf.trainers.Trainer, "train_offline", few_offline)
    monkeypatch.chdir(tmp_path)
    names = what_pages_have()
    if page == "diagnostics/two_level.md":
        names["amortizer"] = two_level()
        trainer = bf.trainers.Trainer(names["amortizer"], two_level_model(), progress=False)
        trainer.train_online(epochs=1, iterations_per_epoch=5, batch_size=8)
        names["inputs"] = trainer.configurator(two_level_model()(60))
    if page == "adapter.md":
        prior = bf.simulation.Prior(prior_fun=lambda rng: np.array([rng.random(), rng.gamma(2)]), param_names=["p", "sigma"])
        names["model"] = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta[0], theta[1], size=(10, 1))))
        names["data"], names["parameters"] = names["model"](3)["sim_data"], names["model"](3)["prior_draws"]
    for code in BLOCKS[page]:
        if "pm." in code:
            names["pm"] = pytest.importorskip("pymc")
            code = code.replace("pm.sample()", "pm.sample(draws=20, tune=20, chains=2, cores=1, progressbar=False)")
        code = code.replace('"path/to/sbibm")', f"{str(SOME_OF_SBIBM)!r}, observations=[1], max_epochs=1)")
        code = code.replace('"path/to/sbibm"', repr(str(SOME_OF_SBIBM))).replace("simulations=[1_000]", "simulations=[100]")
        exec(compile(code, page, "exec"), names)  # noqa: S102
