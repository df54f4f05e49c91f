"""Files go both ways between Python and C++, with the same bits: examples/load_model.cpp is the C++ side."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bayesflow_cpp as bf

PROGRAM = Path(os.environ.get("BAYESFLOW_BUILD") or Path(__file__).parents[2] / "build" / "release") / "examples" / "load_model"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"needs the C++ program {PROGRAM} (make build)")


def run(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def draws_in(text):
    """(B, S, P) float32 of "data set,parameter,..." lines."""
    rows = np.array([line.split(",") for line in text.split()])
    sets = rows[:, 0].astype(int)
    return rows[:, 1:].astype(np.float32).reshape(sets[-1] + 1, -1, rows.shape[1] - 1)


def draws_of(amortizer, data, seed):
    """What load_model does, in Python."""
    simulations = bf.SimulationStore(data).read()
    return amortizer.sample(bf.configuration.DefaultPosteriorConfigurator()(simulations), 100, seed=seed)


def flow(**options):
    coupling = {"dense_args": dict(units=16, kernel_regularizer=None), "dropout": False}
    if options.get("coupling_design") == "interleaved":
        coupling = {"affine": coupling, "spline": {**coupling, "bins": 4}}
    return bf.networks.InvertibleNetwork(4, 2, coupling_settings=coupling, **options)


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("options", [{}, {"coupling_design": "interleaved", "permutation": "learnable"}, {"use_soft_flow": True}])
def test_a_model_trained_in_python_draws_the_same_in_cpp(tmp_path, options, context):
    sizes = bf.simulation.ContextGenerator(non_batchable_context_fun=lambda rng: int(rng.integers(5, 15)))
    simulator = bf.simulation.Simulator(
        simulator_fun=(lambda theta, n, rng: rng.normal(theta, size=(n, 4))) if context else (lambda theta, rng: rng.normal(theta, size=(10, 4))),
        context_generator=sizes if context else None,
    )
    model = bf.simulation.GenerativeModel(bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4)), simulator)
    amortizer = bf.amortizers.AmortizedPosterior(flow(**options), bf.networks.DeepSet(5), latent_dist=bf.latents.MultivariateStudentT(10) if context else None)
    bf.trainers.Trainer(amortizer, model, progress=False).train_online(1, 20, 8)
    amortizer.save(tmp_path / "model.h5", description="trained in Python", param_names=list("abcd"))
    bf.save_simulations(model(6), tmp_path / "data.h5")
    expected = draws_of(amortizer, tmp_path / "data.h5", seed=11)
    assert len(np.unique(expected)) > 2000
    np.testing.assert_array_equal(draws_in(run(tmp_path / "model.h5", tmp_path / "data.h5", 11)), expected)


def test_simulations_stored_by_python_are_read_by_cpp(tmp_path, gaussian_model, small_amortizer):
    model, amortizer = gaussian_model(), small_amortizer()
    model.presimulate(tmp_path / "data.h5", 5, seed=2, progress=False)
    expected = draws_of(amortizer, tmp_path / "data.h5", seed=2**64 - 1)
    amortizer.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(draws_in(run(tmp_path / "model.h5", tmp_path / "data.h5", 2**64 - 1)), expected)


def test_files_of_cpp_are_read_in_python(tmp_path):
    run(tmp_path)
    amortizer = bf.load_amortizer(tmp_path / "model.h5")
    assert amortizer.info["description"] == "means of a Gaussian" and amortizer.info["param_names"] == ["mu_1", "mu_2"]
    data = bf.SimulationStore(tmp_path / "data.h5").read()
    assert data["sim_data"].shape == (5, 20, 2) and data["prior_draws"].shape == (5, 2)
    expected = draws_in((tmp_path / "draws.csv").read_text())
    np.testing.assert_array_equal(draws_of(amortizer, tmp_path / "data.h5", seed=7), expected)

    # And back again: what Python writes of what it read.
    amortizer.save(tmp_path / "again.h5")
    bf.save_simulations(data, tmp_path / "data_again.h5")
    np.testing.assert_array_equal(draws_in(run(tmp_path / "again.h5", tmp_path / "data_again.h5", 7)), expected)
