"""Simulations by independent jobs, and by the executors of clusters."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import IoError
from bayesflow_cpp.simulation import GenerativeModel, Prior, SimulationStore, Simulator, join_simulations

PACKAGE = str(Path(bf.__file__).parents[1])
KILLS = int(os.environ.get("BAYESFLOW_KILLS", 8))
MODEL = """\
import time
import numpy as np
import bayesflow_cpp as bf

def likelihood(theta, rng):
    time.sleep(PAUSE)
    return rng.normal(theta, size=(5, 2)) / (theta[0] > LOWEST)

prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2), param_names=["a", "b"])
model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=likelihood), name="jobs", skip_test=True)
no_model = 3
"""


def write_model(folder, pause=0.0, lowest=-10):
    (folder / "model.py").write_text(MODEL.replace("PAUSE", str(pause)).replace("LOWEST", str(lowest)))


def command(*arguments, folder, **kwargs):
    environment = {**os.environ, "PYTHONPATH": PACKAGE + os.pathsep + os.environ.get("PYTHONPATH", ""), "PYTHONWARNINGS": "ignore"}
    environment.update(kwargs.pop("environment", {}))
    return subprocess.Popen(
        [sys.executable, "-m", "bayesflow_cpp", *map(str, arguments)], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


def outcome(*arguments, folder, **kwargs):
    process = command(*arguments, folder=folder, **kwargs)
    out, err = process.communicate(timeout=200)
    return process.returncode, out + err


def job(number, jobs=3, total=200, model="model.py:model", *more):
    return ["simulate", model, "--folder", "sims", "--total", total, "--jobs", jobs, "--job", number, "--seed", 7, "--batch-size", 16, *more]


def one_process(folder, total=200, **kwargs):
    names = {}
    exec((folder / "model.py").read_text(), names)
    names["model"].presimulate(folder / "one.h5", total, seed=7, batch_size=16, progress=False, **kwargs)
    return (folder / "one.h5").read_bytes()


def test_jobs_make_the_file_of_one_process(tmp_path):
    write_model(tmp_path)
    for number in (2, 0, 1):
        code, text = outcome(*job(number), folder=tmp_path)
        assert code == 0, text
    assert "job 1 of 3: simulations 64 to 127 are in sims/part-00001-of-00003.h5; 0 of them were there before" in text
    code, text = outcome("collect", "sims", "all.h5", folder=tmp_path)
    assert code == 0 and "200 simulations of 3 jobs are in all.h5" in text, text
    assert (tmp_path / "all.h5").read_bytes() == one_process(tmp_path)
    before = (tmp_path / "sims" / "part-00001-of-00003.h5").stat().st_mtime_ns
    code, text = outcome(*job(1), folder=tmp_path)
    assert code == 0 and "64 of them were there before" in text
    assert (tmp_path / "sims" / "part-00001-of-00003.h5").stat().st_mtime_ns == before, "a job that has finished does nothing"


def test_jobs_that_are_killed_and_run_again(tmp_path):
    """Eight jobs, killed at random moments: one complete file, no simulation twice, the bits of one process."""
    write_model(tmp_path, pause=0.01)
    jobs, kills, rng = 8, 0, random.Random(3)
    waiting = list(range(jobs))
    while waiting:
        number = waiting.pop(0)
        process = command(*job(number, jobs, 512), folder=tmp_path)
        if kills < KILLS:
            part = tmp_path / "sims" / f"part-{number:05d}-of-00008.h5"
            while kills % 2 == 0 and process.poll() is None and not part.exists():
                time.sleep(0.002)  # every second one once it has begun to write
            time.sleep(rng.uniform(0, 0.4))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        _, err = process.communicate(timeout=200)
        assert process.returncode in (0, -signal.SIGKILL), err
        if process.returncode != 0:
            waiting.append(number)
    assert kills >= min(KILLS, 4)
    code, text = outcome("collect", "sims", "all.h5", folder=tmp_path)
    assert code == 0, text
    assert (tmp_path / "all.h5").read_bytes() == one_process(tmp_path, 512)
    draws = SimulationStore(tmp_path / "all.h5").read()["prior_draws"]
    assert len(draws) == 512 and len(np.unique(draws[:, 0])) == 512


def test_two_processes_of_one_job(tmp_path):
    """A job that is submitted again while it still runs is refused, or makes the same file."""
    write_model(tmp_path, pause=0.005)
    both = [command(*job(0, 1, 96), folder=tmp_path) for _ in range(2)]
    texts = [process.communicate(timeout=200) for process in both]
    assert any(process.returncode == 0 for process in both), texts
    assert outcome("collect", "sims", "all.h5", folder=tmp_path)[0] == 0
    assert (tmp_path / "all.h5").read_bytes() == one_process(tmp_path, 96)


@pytest.mark.parametrize("policy", ["drop", "redraw"])
def test_simulations_that_are_not_finite(tmp_path, policy):
    write_model(tmp_path, lowest=-1)
    for number in range(3):
        code, text = outcome(*job(number, 3, 200, "model.py:model", "--nonfinite", policy, "--max-share", 0.9), folder=tmp_path)
        assert code == 0, text
    code, text = outcome("collect", "sims", "all.h5", folder=tmp_path)
    assert code == 0, text
    store = SimulationStore(tmp_path / "all.h5")
    one_process(tmp_path, nonfinite=policy, max_share=0.9)
    one = SimulationStore(tmp_path / "one.h5")
    assert np.isfinite(store.read()["sim_data"]).all()
    if policy == "redraw":
        assert len(store) == 200 and (tmp_path / "all.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()
    else:  # one process goes on until there are 200
        assert 150 < len(store) < 200
        np.testing.assert_array_equal(store.read()["sim_data"], one.read()["sim_data"][: len(store)])


def test_the_number_of_a_job_comes_from_slurm(tmp_path):
    write_model(tmp_path)
    without = [str(a) for a in job(0, 2, 64)]
    at = without.index("--job")
    code, text = outcome(*without[:at], *without[at + 2 :], folder=tmp_path, environment={"SLURM_ARRAY_TASK_ID": "1"})
    assert code == 0 and "job 1 of 2: simulations 32 to 63" in text, text


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (job(3), "--job must be one of 0 to 2 (--array=0-2); got 3"),
        (job(0, 20), "--jobs must be at most the number of batches, 13; got 20"),
        (job(0, model="model.py:no_model"), "model.py must have a generative model named no_model; it has a int"),
        (job(0, model="other.py:model"), 'there is no file "other.py"'),
        (job(0, model="model.py"), "the model must be given as file.py:name or package.module:name"),
        (["collect", "empty", "all.h5"], "empty must have the parts of one set of jobs; it has none"),
        (job(0, total=0), "must be at least 1; got 0"),
    ],
)
def test_mistakes(tmp_path, arguments, sentence):
    write_model(tmp_path)
    (tmp_path / "empty").mkdir()
    code, text = outcome(*arguments, folder=tmp_path)
    assert code != 0 and sentence in text and "Traceback" not in text, text


def test_what_is_missing_is_named(tmp_path):
    model = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=2)), Simulator(simulator_fun=lambda t, rng: rng.normal(t)), skip_test=True)
    make = lambda name, first, n=32, **kwargs: model.presimulate(tmp_path / name, n, batch_size=16, first=first, progress=False, **kwargs)  # noqa: E731
    make("a.h5", 0), make("b.h5", 32), make("c.h5", 64), make("seed.h5", 32, seed=1)
    join = lambda *names: join_simulations([tmp_path / name for name in names], tmp_path / "all.h5")  # noqa: E731
    assert join("c.h5", "a.h5", "b.h5") == 96
    for names, sentence in [
        (("a.h5", "c.h5"), r'c.h5" begins with simulation 64, but 32 is the next one: a part is missing or not complete; run its job again'),
        (("a.h5", "b.h5", "b.h5"), r'b.h5" begins with simulation 32, but 64 is the next one: a part is there twice'),
        (("b.h5",), r'begins with simulation 32, but 0 is the next one'),
        (("a.h5", "seed.h5"), r'seed.h5" is no part of the same file as .*: their seed is 1, not 0'),
    ]:
        with pytest.raises(IoError, match=sentence):
            join(*names)
    with pytest.raises(IoError, match="they begin with simulation 0, not 32"):
        make("a.h5", 32)
    model.presimulate(tmp_path / "short.h5", 64, batch_size=16, first=32, progress=False)
    data = (tmp_path / "all.h5").read_bytes()
    model.presimulate(tmp_path / "one.h5", 96, batch_size=16, progress=False)
    assert (tmp_path / "one.h5").read_bytes() == data


def test_an_unfinished_part_is_named(tmp_path):
    write_model(tmp_path, pause=0.02)
    process = command(*job(0, 1, 320), folder=tmp_path)
    part = tmp_path / "sims" / "part-00000-of-00001.h5"
    while process.poll() is None and not part.exists():
        time.sleep(0.002)
    time.sleep(0.5)
    process.kill()
    process.communicate()
    code, text = outcome("collect", "sims", "all.h5", folder=tmp_path)
    assert code != 0 and ("of its 320 simulations; run its job again" in text or "holds no simulations yet; run its job again" in text), text
    assert not (tmp_path / "all.h5").exists()
    code, text = outcome(*job(0, 2, 320), folder=tmp_path)
    code, text = outcome("collect", "sims", "all.h5", folder=tmp_path)
    assert "must have the parts of one set of jobs; it has those of [1, 2] jobs" in text


# --- executors of clusters ---


def simulations(simulator):
    model = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=2)), simulator, skip_test=True, seed=5)
    return np.concatenate([model(20)["sim_data"] for _ in range(3)])


def keyed(theta, rng):
    return rng.normal(theta, size=(3, 2))


def fails(theta, rng):
    raise ValueError(f"no solution at {theta.shape}")


@pytest.mark.slow
def test_dask(tmp_path):
    """A local cluster of the real dask.distributed with two worker processes; one of them is killed."""
    pytest.importorskip("cloudpickle")
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (pip install 'dask[distributed]')")
    expected = simulations(Simulator(simulator_fun=keyed))
    environment = {"PYTHONPATH": PACKAGE}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path), env=environment) as cluster:
        with distributed.Client(cluster) as client:
            executor = client.get_executor()
            offset = np.arange(2.0)
            np.testing.assert_array_equal(simulations(Simulator(simulator_fun=keyed, executor=executor)), expected)
            closure = lambda theta, rng: offset + keyed(theta, rng)  # noqa: E731
            np.testing.assert_array_equal(simulations(Simulator(simulator_fun=closure, executor=executor, rows_per_task=3)), expected + offset)
            with pytest.raises(bf.exceptions.SimulationError, match="simulation 0 with parameters .* ValueError: no solution"):
                simulations(Simulator(simulator_fun=fails, executor=executor))
            pids = list(client.run(os.getpid).values())
            assert len(pids) == 2 and os.getpid() not in pids
            os.kill(pids[0], signal.SIGKILL)
            np.testing.assert_array_equal(simulations(Simulator(simulator_fun=keyed, executor=executor, rows_per_task=2)), expected)


@pytest.mark.slow
def test_mpi4py(tmp_path):
    """`mpirun -n 3 python -m mpi4py.futures program`: two workers."""
    import shutil

    pytest.importorskip("mpi4py", reason="mpi4py is not installed (pip install mpi4py, with libopenmpi-dev)")
    pytest.importorskip("cloudpickle")
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed (Debian: apt install openmpi-bin)")
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            import numpy as np
            from mpi4py.futures import MPIPoolExecutor
            from bayesflow_cpp.simulation import GenerativeModel, Prior, Simulator

            def keyed(theta, rng):
                return rng.normal(theta, size=(3, 2))

            def simulations(simulator):
                model = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=2)), simulator, skip_test=True, seed=5)
                return np.concatenate([model(20)["sim_data"] for _ in range(3)])

            if __name__ == "__main__":
                with MPIPoolExecutor() as executor:
                    np.save("data.npy", simulations(Simulator(simulator_fun=keyed, executor=executor, rows_per_task=4)))
            """
        )
    )
    mpirun = ["mpirun", "-n", "3", "--oversubscribe", "--allow-run-as-root"]
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    run = subprocess.run([*mpirun, sys.executable, "-m", "mpi4py.futures", "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "data.npy"), simulations(Simulator(simulator_fun=keyed)))
