"""Files: what is there already, foreign locales, what a model file says about its training."""
import os
import pathlib
import socket
import stat
import subprocess
import sys

import numpy as np
import pytest

import bayesflow_cpp as bf

LOCALES = pathlib.Path(__file__).parent.parent / "locale" / "make_locales.sh"


def memory():
    out = bf.helper_classes.SimulationMemory(capacity_in_batches=1)
    out.store({"parameters": np.ones((2, 3))})
    return out


def savers(small_amortizer, gaussian_model):
    amortizer = small_amortizer()
    amortizer({"parameters": np.zeros((2, 4)), "summary_conditions": np.zeros((2, 10, 4))})  # makes the weights
    model = gaussian_model()
    draws, truths = np.random.default_rng(1).normal(size=(30, 9, 2)), np.random.default_rng(2).normal(size=(30, 2))
    recovery = bf.diagnostics.recovery(draws, truths)
    return {
        "model.h5": amortizer.save,
        "simulations.h5": lambda path: bf.simulation.save_simulations(model(5), path),
        "presimulated.h5": lambda path: model.presimulate(path, 20, batch_size=10),
        "table.json": recovery.to_json,
        "table.h5": recovery.to_hdf5,
        "report.html": lambda path: bf.report(draws, truths, path),
        "memory.npz": lambda path: memory().save_to_file(os.path.dirname(path)),
    }


@pytest.mark.parametrize("name", ["model.h5", "simulations.h5", "presimulated.h5", "table.json", "table.h5", "report.html", "memory.npz"])
def test_only_regular_files_are_replaced(name, tmp_path, small_amortizer, gaussian_model):
    save = savers(small_amortizer, gaussian_model)[name]
    for kind, make in {
        "pipe": os.mkfifo,
        "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
        "character device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    }.items():
        folder = tmp_path / kind[:4]
        folder.mkdir()
        try:
            make(folder / name)
        except PermissionError:  # devices are root's to make
            continue
        before = os.lstat(folder / name).st_mode
        with pytest.raises(bf.exceptions.IoError, match=f"this is a {kind}; give the path of a file"):
            save(str(folder / name))
        assert os.lstat(folder / name).st_mode == before
        assert os.listdir(folder) == [name]


@pytest.mark.parametrize("name", ["model.h5", "simulations.h5", "presimulated.h5", "table.json", "table.h5", "report.html", "memory.npz"])
def test_links_are_followed(name, tmp_path, small_amortizer, gaussian_model):
    (tmp_path / "there").mkdir()
    os.symlink(os.path.join("there", name), tmp_path / name)
    savers(small_amortizer, gaussian_model)[name](str(tmp_path / name))
    assert (tmp_path / name).is_symlink()
    assert not (tmp_path / "there" / name).is_symlink()
    assert (tmp_path / "there" / name).stat().st_size > 0


def test_no_number_depends_on_the_locale(tmp_path):
    subprocess.run([LOCALES, tmp_path / "locales"], check=True)
    program = tmp_path / "program.py"
    program.write_text(
        """
import locale, sys
import numpy as np
import bayesflow_cpp as bf
if sys.argv[1] != "C":
    locale.setlocale(locale.LC_NUMERIC, sys.argv[1])
    assert locale.localeconv()["decimal_point"] != "."
folder = sys.argv[2]
amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(num_params=2, num_coupling_layers=2), latent_dist=bf.latents.MultivariateStudentT(2.5))
prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
simulator = bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, size=(2,)))
model = bf.simulation.GenerativeModel(prior, simulator)
def configurator(sims):
    return {"parameters": sims["prior_draws"], "direct_conditions": sims["sim_data"]}
trainer = bf.trainers.Trainer(amortizer, model, configurator=configurator)
trainer.train_online(1, 20, 16)
path = folder + "/model.h5"
amortizer.save(path)
loaded = bf.amortizers.load_amortizer(path)
inputs = {"parameters": np.ones((3, 2)), "direct_conditions": np.ones((3, 2))}
print(amortizer.log_posterior(inputs).tolist(), loaded.log_posterior(inputs).tolist(), loaded.info["final_loss"])
loaded.save(path)
print(bf.amortizers.load_amortizer(path).info["final_loss"])
recovery = bf.diagnostics.recovery(np.random.default_rng(1).normal(size=(30, 9, 2)), np.random.default_rng(2).normal(size=(30, 2)))
recovery.to_csv(folder)
import glob
for file in sorted(glob.glob(folder + "/*.csv")):
    print(open(file).read())
print(recovery.to_json(), amortizer)
page = bf.report(np.random.default_rng(1).normal(size=(30, 9, 2)), np.random.default_rng(2).normal(size=(30, 2)), folder + "/report.html")
print(open(folder + "/report.html").read())
"""
    )
    outputs = []
    for name in ("C", "comma", "arabic"):
        folder = tmp_path / name
        folder.mkdir()
        environment = {**os.environ, "LOCPATH": str(tmp_path / "locales"), "PYTHONUTF8": "1"}
        run = subprocess.run([sys.executable, program, name, folder], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        outputs.append(run.stdout.replace(str(folder), ""))
    assert outputs[1] == outputs[0]
    assert outputs[2] == outputs[0]


def configurator(simulations):
    return {"parameters": simulations["prior_draws"], "summary_conditions": simulations["sim_data"]}


def test_simulations_of_files_are_counted_in_models_and_reports(tmp_path, small_amortizer, gaussian_model):
    model = gaussian_model()
    (tmp_path / "parts").mkdir()
    bf.simulation.save_simulations(model(50), tmp_path / "parts" / "1.h5")
    bf.simulation.save_simulations(model(30), tmp_path / "parts" / "2.h5")
    for train, expected in {
        "dictionary": (lambda t: t.train_offline(model(45), epochs=2, batch_size=8), 45),
        "file": (lambda t: t.train_offline(tmp_path / "parts" / "1.h5", epochs=3, batch_size=8), 50),
        "folder": (lambda t: t.train_from_presimulation(tmp_path / "parts", None, max_epochs=2), 80),
        "folder, first epoch": (lambda t: t.train_from_presimulation(tmp_path / "parts", None, max_epochs=1), 50),
    }.values():
        amortizer = small_amortizer()
        trainer = bf.trainers.Trainer(amortizer, configurator=configurator)
        train(trainer)
        assert trainer.runs[0].simulations == expected
        amortizer.save(tmp_path / "model.h5")
        assert bf.amortizers.load_amortizer(tmp_path / "model.h5").info["simulations"] == expected
        page = tmp_path / "report.html"
        rng = np.random.default_rng(1)
        bf.report(rng.normal(size=(30, 9, 2)), rng.normal(size=(30, 2)), page, training=trainer.runs[-1])
        assert f"<dt>Simulations seen</dt><dd>{expected}</dd>" in page.read_text(encoding="utf-8")


def test_loaded_models_know_their_latent_and_summary_loss(tmp_path, small_amortizer):
    amortizer = small_amortizer(latent_dist=bf.latents.MultivariateStudentT(2.5), summary_loss_fun="MMD", summary_loss_weight=0.3)
    rng = np.random.default_rng(1)
    inputs = {"parameters": rng.normal(size=(3, 4)), "summary_conditions": rng.normal(size=(3, 10, 4))}
    losses = amortizer.compute_loss(inputs)
    amortizer.save(tmp_path / "model.h5")
    loaded = bf.amortizers.load_amortizer(tmp_path / "model.h5")
    assert loaded.latent_dist.df == 2.5
    assert "latents MultivariateStudentT(df=2.5), MMD of summaries x 0.3" in repr(loaded)
    assert str(loaded.compute_loss(inputs)) == str(losses)
    assert loaded.summary_loss is amortizer.summary_loss is not None
    plain = small_amortizer()
    plain(inputs)
    plain.save(tmp_path / "plain.h5")
    plain = bf.amortizers.load_amortizer(tmp_path / "plain.h5")
    assert plain.latent_dist is None and "MMD" not in repr(plain)
