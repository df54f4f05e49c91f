"""Imports, leaks, processes, exits."""

import ast
import gc
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import bayesflow_cpp as bf

ROOT = pathlib.Path(__file__).resolve().parents[2]


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, **options)


def test_imports_nothing_heavy():
    out = python("import sys, bayesflow_cpp; print([m for m in ('matplotlib', 'tqdm', 'pandas', 'scipy', 'torch', 'IPython') if m in sys.modules])")
    assert out.stdout.strip() == "[]", out.stderr


def test_modules_have_v1s_names():
    for name in ("simulation", "networks", "inference_networks", "summary_networks", "amortizers", "trainers", "configuration", "diagnostics", "losses",
                 "computational_utilities", "helper_classes", "exceptions", "default_settings"):  # fmt: skip
        assert hasattr(bf, name), name


def test_nothing_leaks(gaussian_model, small_amortizer):
    """Objects and memory after training, sampling, failing and pickling again and again."""

    def work():
        amortizer = small_amortizer()
        trainer = bf.trainers.Trainer(amortizer, gaussian_model(), progress=False)
        trainer.train_online(1, 3, 8)
        amortizer.sample({"summary_conditions": np.zeros((20, 10, 4))}, 50)
        with pytest.raises(bf.exceptions.ConfigurationError):
            bf.trainers.Trainer(small_amortizer(), gaussian_model(), configurator=lambda f: 1 / 0, progress=False)

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(3):
        work()
    gc.collect()
    counts, memory = len(gc.get_objects()), resident()
    engines = sum(type(o).__module__ == "bayesflow_cpp._core" for o in gc.get_objects())
    for _ in range(15):
        work()
    gc.collect()
    assert len(gc.get_objects()) - counts < 300
    assert sum(type(o).__module__ == "bayesflow_cpp._core" for o in gc.get_objects()) <= engines + 2
    assert resident() - memory < 12e6


def test_type_stubs_are_python(tmp_path):
    """A default before a parameter without one is possible in bindings, and stops type checkers at the first file."""
    pytest.importorskip("nanobind")
    # As for a wheel: the module in a package of its own, because the real one wraps what it finds in it.
    (tmp_path / "bayesflow_cpp").mkdir()
    (tmp_path / "bayesflow_cpp" / "__init__.py").touch()
    shutil.copy(bf._core.__file__, tmp_path / "bayesflow_cpp")
    libraries = os.path.join(os.path.dirname(bf.__file__), "..", "bayesflow_cpp.libs")  # of a wheel
    if os.path.isdir(libraries):
        shutil.copytree(libraries, tmp_path / "bayesflow_cpp.libs")
    command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-r", "-i", str(tmp_path), "-m", "bayesflow_cpp._core", "-O", str(tmp_path)]
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})
    stubs = {stub.stem: ast.parse(stub.read_text()) for stub in tmp_path.rglob("*.pyi")}
    assert set(stubs) == {"__init__", "diagnostics"}
    described = {node.name for tree in stubs.values() for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assert {"AmortizedPosterior", "sample", "Trainer", "Recovery", "sbc_ecdf"} <= described
    assert os.path.exists(os.path.join(os.path.dirname(bf.__file__), "py.typed"))


WITHOUT_EXTRAS = """
import sys
for name in ("pandas", "matplotlib", "tqdm", "IPython"):
    sys.modules[name] = None
import bayesflow_cpp as bf
model = bf.simulation.GenerativeModel(
    bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4)), bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, size=(10, 4))))
amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(4, 2), bf.networks.DeepSet())
trainer = bf.trainers.Trainer(amortizer, model)
history = trainer.train_online(1, 5, 8, validation_sims=4)
draws = amortizer.sample(trainer.configurator(model(3)), 7)
path = sys.argv[1] + "/model.h5"
amortizer.save(path)
print({name: losses.shape for name, losses in history.items()}, draws.shape, bf.load_amortizer(path).sample(trainer.configurator(model(3)), 7).shape)
"""


def test_nothing_but_numpy_is_needed(tmp_path):
    out = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert out.stdout.strip() == "{'train_losses': (5, 2), 'val_losses': (1, 1)} (3, 7, 4) (3, 7, 4)", out.stdout + out.stderr


EXIT = """
import threading, time, numpy as np, bayesflow_cpp as bf
model = bf.simulation.GenerativeModel(lambda: np.zeros(4), lambda p: np.random.default_rng(0).normal(p, size=(10, 4)), simulator_is_batched=False)
amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(4, 2), bf.networks.DeepSet())
trainer = bf.trainers.Trainer(amortizer, model, progress=False)
threading.Thread(target=lambda: trainer.train_online(1, 10**9, 8), daemon=True).start()
time.sleep(0.5)
print("end")
"""


def test_the_interpreter_may_end_while_a_thread_trains():
    out = python(EXIT)
    assert out.returncode == 0 and "end" in out.stdout, out.stderr[-2000:]


def draw(seed):
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2))
    return amortizer.sample({"direct_conditions": np.ones((600, 3))}, 10, seed=seed)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes(method):
    """Fork works as long as it happens before the engine's threads are started, or the child makes its own objects."""
    here = draw(3)
    with multiprocessing.get_context(method).Pool(1) as pool:
        there = pool.apply(draw, (3,))
    np.testing.assert_array_equal(here, there)


@pytest.mark.skipif(not (ROOT / "build/release/libbayesflow.a").exists() or not shutil.which("cmake"), reason="the library is not in build/release")
def test_pip_uses_the_library_that_make_has_built(tmp_path):
    """pip's configuration of a build, without the build: with the compiler of build/release its library is taken, with another one it is not."""

    def configure(*options):
        command = ["cmake", "-S", ROOT, "-B", tmp_path / f"tree{len(options)}", "-DSKBUILD=ON", "-DBAYESFLOW_PYTHON=ON", "-DBAYESFLOW_DEVELOPER=OFF",
                   f"-DPython_EXECUTABLE={sys.executable}", *options]  # fmt: skip
        run = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert run.returncode == 0, run.stdout + run.stderr
        return "The library in" in run.stdout

    cache = (ROOT / "build/release/CMakeCache.txt").read_text()
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.MULTILINE).group(1)
    assert configure(f"-DCMAKE_CXX_COMPILER={compiler}")
    other = tmp_path / "other-compiler"
    other.symlink_to(shutil.which(compiler))
    assert not configure(f"-DCMAKE_CXX_COMPILER={other}", "-DBAYESFLOW_TESTS=OFF")
