"""Compiled priors and simulators."""

import ctypes
import importlib.util
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import _core
from bayesflow_cpp.exceptions import ConfigurationError, SimulationError

# The model of native_twin.cpp and of tests/simulation/python_twin_test.cpp.
TWIN = """
void prior(const double*, const double*, double* theta, const int64_t* shape, bf_rng* rng) { rng->fill_normal(theta, shape[0]); }

void simulate(const double* theta, const double*, double* x, const int64_t* shape, bf_rng* rng) {
  for (int i = 0; i < shape[0] * shape[1]; ++i) {
    x[i] = rng->normal(theta[i % 3], 0.5);
    if (i % 7 == 6) x[i] += rng->uniform(-1, 1);
  }
}
"""
TWIN_CHECKSUM = 0x1039eade4e2bd6c9


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Compiles anew, once per session."""
    old = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if old is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = old


def function(body, **options):
    """A compiled function of this body."""
    head = "#include <cmath>\n#include <stdexcept>\nvoid simulate(const double* params, const double* context, double* data, const int64_t* shape, bf_rng* rng) {"
    return bf.compile_cpp(head + body + "}", **options)


def twin_model(**options):
    prior = bf.compile_cpp(TWIN, "prior", shape=(3,), **options)
    simulate = bf.compile_cpp(TWIN, "simulate", shape=(8, 3), **options)
    return bf.simulation.GenerativeModel(bf.simulation.Prior(prior_fun=prior), bf.simulation.Simulator(simulator_fun=simulate), seed=7)


def twin_amortizer():
    flow = bf.networks.InvertibleNetwork(
        num_params=3, num_coupling_layers=2, coupling_settings={"dense_args": dict(kernel_regularizer=None), "dropout": False}
    )
    return bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(summary_dim=6))


def run(compiled, batch_size, seed=0, first=0, parameters=None):
    return compiled.run(batch_size, parameters, None, None, _core.Rng(seed, "test"), first)


# --- the same numbers as C++ ---


def test_simulations_have_the_bits_of_a_cpp_program():
    model, checksum = twin_model(), 0xCBF29CE484222325
    for batch_size in (5, 6):
        forward = model(batch_size)
        for byte in forward["prior_draws"].tobytes() + forward["sim_data"].tobytes():
            checksum = (checksum ^ byte) * 0x100000001B3 % 2**64
    assert checksum == TWIN_CHECKSUM


def twin_program():
    build = Path(os.environ.get("BAYESFLOW_BUILD") or Path(__file__).parents[2] / "build" / "release")
    return build / "tests" / "native_twin"


@pytest.mark.skipif(not twin_program().exists(), reason="native_twin is not built (make build)")
@pytest.mark.parametrize("threads", [1, 2])
def test_weights_and_draws_have_the_bits_of_a_cpp_program(tmp_path, threads):
    subprocess.run([twin_program(), tmp_path / "twin"], check=True)
    expected = np.fromfile(tmp_path / "twin")
    model, amortizer = twin_model(threads=threads), twin_amortizer()
    assert model._is_native
    got = []
    for batch_size in (5, 6):
        forward = model(batch_size)
        got += [forward["prior_draws"].ravel(), forward["sim_data"].ravel()]
    trainer = bf.trainers.Trainer(amortizer, model, seed=11, threads=threads, progress=False)
    trainer.train_online(epochs=2, iterations_per_epoch=10, batch_size=16)
    got.append(amortizer.sample(trainer.configurator(model(2)), 50, seed=3).ravel())
    np.testing.assert_array_equal(np.concatenate(got), expected)


def test_single_draws_are_those_of_the_stream_in_any_order():
    # Drawing ahead must not show: runs of normals of every length, with other draws and fills between them.
    runs = list(range(30)) + [100, 1, 64, 4, 5, 129]
    body = "int n = 0;" + "".join(
        f"for (int i = 0; i < {length}; ++i) data[n++] = rng->normal(); "
        + ("data[n++] = rng->uniform();" if length % 3 else f"rng->fill_normal(data + n, {length % 5}); n += {length % 5};")
        for length in runs
    )
    stream, expected = _core.Rng(5, "test", 2), []
    for length in runs:
        expected.append(stream.normal([length]) if length else [])
        expected.append(stream.uniform([1]) if length % 3 else stream.normal([length % 5]) if length % 5 else [])
    expected = np.concatenate(expected)
    got = run(function(body, shape=len(expected)), 1, seed=5, first=2)
    np.testing.assert_array_equal(got[0], expected)


def test_bits_and_ranges():
    out = run(function("data[0] = double(rng->bits() >> 32); data[1] = rng->normal(3, 0); data[2] = double((*rng)() >> 32);", shape=(3,)), 1)
    stream = _core.Rng(0, "test", 0)
    first = stream.bits() >> 32
    np.testing.assert_array_equal(out[0], [first, 3, stream.bits() >> 32])


def test_distributions():
    expected = [  # draw, mean, variance
        ("uniform(-1, 3)", 1, 16 / 12),
        ("normal(2, 3)", 2, 9),
        ("lognormal(0.2, 0.5)", np.exp(0.2 + 0.125), (np.exp(0.25) - 1) * np.exp(0.4 + 0.25)),
        ("exponential(2)", 2, 4),
        ("gamma(3, 2)", 6, 12),
        ("beta(2, 3)", 0.4, 0.04),
        ("student_t(8)", 0, 8 / 6),
        ("integers(-2, 3)", 0, 2),
        ("poisson(30)", 30, 30),
        ("binomial(50, 0.3)", 15, 10.5),
        ("bernoulli(0.3)", 0.3, 0.21),
        ("categorical(weights, 3)", 1.4, 0.44),
    ]
    body = "const double weights[] = {1, 4, 5};" + "".join(f"data[{i}] = double(rng->{draw});" for i, (draw, _, _) in enumerate(expected))
    n = 40_000
    x = run(function(body, shape=len(expected)), n)
    for column, (draw, mean, variance) in zip(x.T, expected):
        assert abs(column.mean() - mean) < 5 * np.sqrt(variance / n), draw
        assert abs(column.var() / variance - 1) < 0.1, draw


def test_cauchy_median_and_standard_distributions():
    source = "#include <random>\nvoid simulate(const double*, const double*, double* x, const int64_t*, bf_rng* rng) { x[0] = rng->cauchy(2, 0.5); x[1] = std::poisson_distribution<int>(4)(*rng); }"
    x = run(bf.compile_cpp(source, shape=(2,)), 20_000)
    np.testing.assert_allclose(np.quantile(x[:, 0], [0.25, 0.5, 0.75]), [1.5, 2, 2.5], atol=0.05)
    assert abs(x[:, 1].mean() - 4) < 0.1


# --- threads, batches ---


def test_any_number_of_threads_and_any_batches_give_the_same():
    whole = twin_model(threads=1)(700)
    other = twin_model(threads=2)
    parts = [other(n) for n in (1, 299, 400)]
    for key in ("prior_draws", "sim_data"):
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), whole[key])


def test_runs_on_several_threads_without_the_gil():
    # Each simulation waits for another one to begin: on one thread, or with the GIL held by the counting thread below, none would end.
    body = """
      static int begun = 0; __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
      while (__atomic_load_n(&begun, __ATOMIC_SEQ_CST) < 2) {}
      data[0] = 1;"""
    assert run(function(body, shape=(1,), threads=2), 2).sum() == 2
    wait = function("const int* flag = *(int* const*)context; while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST)) {} data[0] = 2;", shape=(1,))
    flag = ctypes.c_int(0)
    pointer = np.frombuffer(struct.pack("P", ctypes.addressof(flag)))

    def set_flag():
        time.sleep(0.05)
        flag.value = 1

    thread = threading.Thread(target=set_flag)
    thread.start()
    assert wait.run(1, None, [pointer], None, _core.Rng(0), 0) == 2
    thread.join()


def test_python_interrupt_reaches_slow_simulations():
    program = """
import os, signal, threading, time
import bayesflow_cpp as bf
from bayesflow_cpp import _core
slow = bf.compile_cpp("#include <unistd.h>\\nvoid simulate(const double*, const double*, double* x, const int64_t*, bf_rng*) { usleep(10000); x[0] = 0; }", shape=(1,), threads=2)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
try:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    slow.run(100_000, None, None, None, _core.Rng(0), 0)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, env=_environment())
    assert done.stdout == "interrupted\n", done.stderr


def test_after_fork():
    program = """
import os
import bayesflow_cpp as bf
from bayesflow_cpp import _core
f = bf.compile_cpp("void simulate(const double*, const double*, double* x, const int64_t*, bf_rng* rng) { x[0] = rng->normal(); }", shape=(1,), threads=2)
draw = lambda: f.run(1000, None, None, None, _core.Rng(0), 0).sum()
before, (end, start) = draw(), os.pipe()
child = os.fork()
if child == 0:
    os.write(start, b"same" if draw() == before else b"other")
    del f
    os._exit(0)
os.waitpid(child, 0)
print(os.read(end, 10).decode(), draw() == before)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=300, env=_environment())
    assert done.stdout == "same True\n", done.stderr


def _environment():
    return {**os.environ, "PYTHONPATH": str(Path(bf.__file__).parents[1])}


# --- contexts ---


def test_contexts_reach_the_function_and_the_shape():
    simulate = function("data[0] = params[0]; for (int i = 1; i < shape[0]; ++i) data[i] = context[0] + 10 * context[1] + 100 * context[2];", shape=lambda n: (n,))
    contexts = bf.simulation.ContextGenerator(
        batchable_context_fun=lambda n, rng: rng.uniform(size=2), non_batchable_context_fun=lambda rng: int(rng.integers(3, 9)), use_non_batchable_for_batchable=True
    )
    simulator = bf.simulation.Simulator(simulator_fun=simulate, context_generator=contexts)
    prior = bf.compile_cpp(TWIN, "prior", shape=(3,))
    model = bf.simulation.GenerativeModel(bf.simulation.Prior(prior_fun=prior), simulator)
    assert not model._is_native
    sizes = set()
    for _ in range(10):
        forward = model(4)
        n, batchable = forward["sim_non_batchable_context"], np.array(forward["sim_batchable_context"])
        assert forward["sim_data"].shape == (4, n)
        np.testing.assert_array_equal(forward["sim_data"][:, 0], forward["prior_draws"][:, 0])
        np.testing.assert_allclose(forward["sim_data"][:, 1], batchable[:, 0] + 10 * batchable[:, 1] + 100 * n, rtol=1e-12)
        sizes.add(n)
    assert len(sizes) > 2


def test_prior_contexts_scale_a_compiled_prior():
    prior = function("data[0] = context[0]; data[1] = context ? 1 : 0;", shape=(2,))
    contexts = bf.simulation.ContextGenerator(batchable_context_fun=lambda rng: rng.uniform(1, 2))
    out = bf.simulation.Prior(prior_fun=prior, context_generator=contexts)(5)
    np.testing.assert_array_equal(out["prior_draws"][:, 0], out["batchable_context"])


def test_a_compiled_simulator_with_a_python_prior_trains_with_varying_sizes():
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=3))
    simulate = bf.compile_cpp(TWIN, "simulate", shape=lambda n: (n, 3))
    contexts = bf.simulation.ContextGenerator(non_batchable_context_fun=lambda rng: int(rng.integers(5, 12)))
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=simulate, context_generator=contexts))

    def train(threads):
        trainer = bf.trainers.Trainer(twin_amortizer(), model, seed=2, threads=threads, progress=False)
        return np.asarray(trainer.train_online(epochs=1, iterations_per_epoch=8, batch_size=8))

    losses = train(1)
    assert losses.size >= 8 and np.isfinite(losses).all()
    np.testing.assert_array_equal(train(2), losses)


# --- training ---


def test_training_learns_and_does_not_depend_on_threads():
    def train(threads):
        amortizer = twin_amortizer()
        trainer = bf.trainers.Trainer(amortizer, twin_model(), seed=1, threads=threads, progress=False)
        losses = np.asarray(trainer.train_online(epochs=2, iterations_per_epoch=60, batch_size=32)).ravel()
        return losses, amortizer.weights()

    (losses, weights), (other, others) = train(1), train(2)
    assert losses[-20:].mean() < losses[:10].mean() - 0.5
    np.testing.assert_array_equal(losses, other)
    for name in weights:
        np.testing.assert_array_equal(weights[name], others[name], err_msg=name)


def test_presimulated_files_are_those_of_python_functions(tmp_path):
    """A model with a Python function in it goes another way through the engine, and draws from the same streams."""
    simulator = bf.simulation.Simulator(simulator_fun=bf.compile_cpp(TWIN, shape=(8, 3)))
    compiled, draws = bf.simulation.Prior(prior_fun=bf.compile_cpp(TWIN, "prior", shape=(3,))), []
    for number, prior in enumerate((compiled, bf.simulation.Prior(prior_fun=lambda rng: np.zeros(3)))):
        model = bf.simulation.GenerativeModel(prior, simulator)
        assert model._is_native == (number == 0)
        model.presimulate(tmp_path / f"{number}.h5", 20, seed=4, progress=False)
        stored = bf.SimulationStore(tmp_path / f"{number}.h5").read()
        draws.append(stored["sim_data"] - stored["prior_draws"][:, None])
    np.testing.assert_allclose(*draws, atol=1e-12)


# --- errors ---

GOOD_PRIOR = "data[0] = rng->normal(); data[1] = rng->normal();"


def native_model(body, prior=GOOD_PRIOR, **options):
    return bf.simulation.GenerativeModel(
        bf.simulation.Prior(prior_fun=function(prior, shape=(2,))), bf.simulation.Simulator(simulator_fun=function(body, shape=(2, 2))), **options
    )


FILL = "for (int i = 0; i < 4; ++i) data[i] = params[0];"


@pytest.mark.parametrize(
    "body, text",
    [
        ('if (params[0] > 0) throw std::runtime_error("too hot"); ' + FILL, "failed: too hot"),
        ('if (params[0] > 0) throw 3; ' + FILL, "an exception that is not a std::exception"),
        ('if (params[0] > 0) { rng->fail("too cold"); rng->fail("second"); } ' + FILL, "failed: too cold"),
        (FILL + "data[1] = rng->normal(0, -params[0]);", "scale must not be negative"),
        (FILL + "data[1] = rng->gamma(-params[0]);", "shape must be positive"),
        (FILL + "if (params[0] > 0) data[1] = double(rng->poisson(-1));", "mean must lie in"),
        (FILL + "if (params[0] > 0) rng->fill_normal(data, -1);", "must not be negative; got -1"),
        (FILL + "if (params[0] > 0) rng->fill_uniform(nullptr, 2);", "need an address to be filled in at; got none"),
    ],
)
def test_failures_name_the_simulation(body, text):
    model = native_model(body, skip_test=True)
    with pytest.raises(SimulationError, match=r"simulator: simulation \d+ with parameters \[\S+, \S+\] failed.*") as caught:
        model(50)
    assert text in str(caught.value)
    with pytest.raises(SimulationError) as caught:  # the engine's own way
        _train(model)
    assert text in str(caught.value)


def _train(model):
    flow = bf.networks.InvertibleNetwork(num_params=2, num_coupling_layers=1, coupling_settings={"dense_args": dict(units=8), "dropout": False})
    amortizer = bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(summary_dim=2))
    bf.trainers.Trainer(amortizer, model, progress=False, seed=3).train_online(epochs=1, iterations_per_epoch=20, batch_size=50)


def test_nan_and_forgotten_entries_are_named(tmp_path):
    sometimes = native_model(FILL + "if (params[0] > 0) data[2] = std::sqrt(-1.0);", skip_test=True)
    forgotten = native_model("data[0] = data[1] = data[2] = 0; if (params[0] < 0) data[3] = 1;", skip_test=True)
    for model, entry in ((sometimes, 2), (forgotten, 3)):
        with pytest.raises(SimulationError, match=rf"simulation \d+ returned -?nan at entry {entry} with parameters \["):
            model.presimulate(tmp_path / f"{entry}.h5", 50, progress=False)
        assert np.isnan(model(50)["sim_data"]).any()
    with pytest.raises(ConfigurationError, match="pilot runs failed"):
        native_model("data[0] = 1;")
    dropped = sometimes.presimulate(tmp_path / "dropped.h5", 64, nonfinite="drop", max_share=0.9, progress=False)["dropped"]
    assert dropped > 10


def test_nan_in_a_prior_is_refused():
    with pytest.raises(ConfigurationError, match="prior.*nan"):
        native_model(FILL, prior="data[0] = 1;")


def test_compiler_errors_are_shown():
    with pytest.raises(ConfigurationError, match=r"could not compile the source of `simulate`(?s:.)*simulate:2:(?s:.)*nonsense"):
        bf.compile_cpp("\nvoid simulate(nonsense);", shape=(1,))
    with pytest.raises(ConfigurationError, match="missing"):
        bf.compile_cpp("void other() {}", "missing", shape=(1,))
    with pytest.raises(ConfigurationError, match="the call that compile_cpp makes"):  # another signature
        bf.compile_cpp("void simulate(double* data) {}", shape=(1,))
    with pytest.raises(ConfigurationError, match="name a function"):
        bf.compile_cpp("void f();", "not a name", shape=(1,))
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        bf.compile_cpp("double nowhere(); void simulate(const double*, const double*, double* x, const int64_t*, bf_rng*) { x[0] = nowhere(); }", shape=(1,))


def test_compilers_that_are_not_there(monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with pytest.raises(ConfigurationError, match=r"/nowhere/g\+\+ cannot be run"):
        bf.compile_cpp(TWIN, shape=(8, 3))
    monkeypatch.setenv("CXX", "")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"a C\+\+ compiler is needed.*CXX"):
        bf.compile_cpp(TWIN, shape=(8, 3))


def test_the_cache_and_flags(monkeypatch):
    body = "data[0] = FACTOR * rng->normal();"
    one, two = function(body, shape=(1,), flags=["-DFACTOR=1"]), function(body, shape=(1,), flags="-DFACTOR=2 -march=native")
    np.testing.assert_array_equal(2 * run(one, 5), run(two, 5))
    from bayesflow_cpp import _native

    monkeypatch.setattr(_native.subprocess, "run", None)  # no compiler from here on
    assert function(body, shape=(1,), flags=["-DFACTOR=1"]).address == one.address


def test_a_home_that_cannot_be_written_to(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert run(function("data[0] = 4;", shape=(1,)), 1) == 4


@pytest.mark.parametrize("shape", [(), (0,), (-1, 2), (2.5,), "4", None, (1, 1, 1, 1, 1, 1), (True,)])
def test_wrong_shapes(shape):
    with pytest.raises(ConfigurationError, match="the shape of a simulation must be a tuple of 1 to 5 positive integers"):
        bf.CFunction(1, shape)
    if shape is not None:
        compiled = bf.compile_cpp(TWIN, "simulate", shape=lambda n: shape)
        with pytest.raises(ConfigurationError, match=r"simulator: shape\(3\): the shape of a simulation must be"):
            compiled.run(2, np.zeros((2, 3)), None, 3, _core.Rng(0), 0)


def test_wrong_functions_and_uses():
    with pytest.raises(ConfigurationError, match=r"address \(int\), a ctypes function.*got str"):
        bf.CFunction("f", (1,))
    with pytest.raises(ConfigurationError, match="must be positive; got 0"):
        bf.CFunction(0, (1,))
    with pytest.raises(ConfigurationError, match="threads"):
        bf.CFunction(1, (1,), threads=-1)
    compiled = bf.compile_cpp(TWIN, shape=(8, 3))
    for part in (bf.simulation.Prior, bf.simulation.Simulator):
        with pytest.raises(ConfigurationError, match="one simulation at a time"):
            part(compiled)
    with pytest.raises(ConfigurationError, match="wrap it in CFunction"):
        bf.simulation.Simulator(simulator_fun=ctypes.CFUNCTYPE(None)(lambda: None))
    with pytest.raises(ConfigurationError, match="no further arguments"):
        bf.simulation.Simulator(simulator_fun=compiled)(np.zeros((2, 3)), 5)
    with pytest.raises(ConfigurationError, match="one array of parameters"):
        bf.simulation.Simulator(simulator_fun=compiled)([np.zeros((2, 3)), np.zeros((2, 1))])
    needs_context = bf.compile_cpp(TWIN, shape=lambda n: (n, 3))
    with pytest.raises(ConfigurationError, match="there is none; give a tuple"):
        bf.simulation.Simulator(simulator_fun=needs_context)(np.zeros((2, 3)))


# --- pointers from elsewhere ---


def test_pointers_of_ctypes_and_plain_addresses():
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)

    @signature
    def callback(params, context, data, shape, rng):  # Python behind a pointer: slow, but an honest C function
        out = ctypes.cast(data, ctypes.POINTER(ctypes.c_double))
        out[0] = bf.native.normal(rng, 3.0, 0.0)
        out[1] = bf.native.normal(rng, 0.0, 1.0)

    pointer = bf.CFunction(callback, (2,))
    address = bf.CFunction(ctypes.cast(callback, ctypes.c_void_p).value, (2,))
    expected = [_core.Rng(0, "test", i).normal([2])[1] for i in range(40)]
    for compiled in (pointer, address):
        out = run(compiled, 40)
        np.testing.assert_array_equal(out[:, 0], 3)
        np.testing.assert_array_equal(out[:, 1], expected)


def test_every_drawing_function_has_a_ctypes_form():
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)
    n = bf.native

    @signature
    def callback(params, context, data, shape, rng):
        out = ctypes.cast(data, ctypes.POINTER(ctypes.c_double))
        n.fill_normal(rng, data, 2)
        n.fill_uniform(rng, data + 16, 2)
        values = [
            n.uniform(rng, 0.0, 1.0), n.normal(rng, 0.0, 1.0), n.lognormal(rng, 0.0, 1.0), n.exponential(rng, 2.0), n.gamma(rng, 2.0, 1.0), n.beta(rng, 2.0, 2.0),
            n.student_t(rng, 5.0), n.cauchy(rng, 0.0, 1.0), n.integers(rng, 0, 9), n.poisson(rng, 20.0), n.binomial(rng, 50, 0.4), n.bernoulli(rng, 0.5),
        ]  # fmt: skip
        for i, value in enumerate(values):
            out[4 + i] = value

    in_cpp = function(
        """rng->fill_normal(data, 2); rng->fill_uniform(data + 2, 2); double* x = data + 4;
        *x++ = rng->uniform(); *x++ = rng->normal(); *x++ = rng->lognormal(); *x++ = rng->exponential(2); *x++ = rng->gamma(2); *x++ = rng->beta(2, 2);
        *x++ = rng->student_t(5); *x++ = rng->cauchy(); *x++ = double(rng->integers(0, 9)); *x++ = double(rng->poisson(20));
        *x++ = double(rng->binomial(50, 0.4)); *x++ = rng->bernoulli(0.5);""",
        shape=(16,),
    )
    np.testing.assert_array_equal(run(bf.CFunction(callback, (16,)), 20), run(in_cpp, 20))


def test_without_a_stream():
    """A slip in the interpreter; in a process of its own, which once ended with a segmentation fault."""
    code = "from bayesflow_cpp.native import *; print(normal(None, 0, 1), uniform(None, 0, 1), integers(None, 0, 5), fill_normal(None, None, 3))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and run.stdout.split() == ["nan", "nan", "0", "None"], run.stderr


def test_numba():
    numba = pytest.importorskip("numba")

    @numba.cfunc(bf.native.numba_signature())
    def simulate(params, context, data, shape, rng):
        for i in range(shape[0] * shape[1]):
            data[i] = bf.native.normal(rng, params[i % 3], 0.5)
            if i % 7 == 6:
                data[i] += bf.native.uniform(rng, -1.0, 1.0)

    compiled = bf.compile_cpp(TWIN, shape=(8, 3))
    parameters = np.arange(300.0).reshape(100, 3)
    np.testing.assert_array_equal(run(bf.CFunction(simulate, (8, 3)), 100, parameters=parameters), run(compiled, 100, parameters=parameters))
    with pytest.raises(ConfigurationError, match="numba_signature"):
        bf.CFunction(numba.njit(lambda x: x), (1,))


def test_the_header_is_plain_c(tmp_path):
    source = tmp_path / "f.c"
    source.write_text(
        '#include "bayesflow_native.h"\n'
        "void f(const double* params, const double* context, double* data, const int64_t* shape, bf_rng* rng) {\n"
        "  (void)params; (void)context;\n"
        "  rng->functions->fill_normal(rng, data, shape[0]);\n"
        "}\n"
    )
    library = tmp_path / "f.so"
    subprocess.run(["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC", f"-I{bf.native.include_dir()}", source, "-o", library], check=True)
    out = run(bf.CFunction(ctypes.CDLL(str(library)).f, (5,)), 3)
    np.testing.assert_array_equal(out, [_core.Rng(0, "test", i).normal([5]) for i in range(3)])


def test_pickles():
    compiled = bf.compile_cpp(TWIN, "prior", shape=(3,))
    copy = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(run(copy, 5), run(compiled, 5))
    with pytest.raises(TypeError, match="means nothing in another process"):
        pickle.dumps(bf.CFunction(compiled.address, (3,)))


def test_the_documentation_runs(tmp_path, monkeypatch):
    root = Path(__file__).parents[2]
    blocks = re.findall(r"```python([^\n]*)\n(.*?)```", (root / "docs" / "python_simulators.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 8
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for needs, code in blocks:
        if needs == " numba" and importlib.util.find_spec("numba") is None:
            continue
        if needs == " model.so":
            Path("model.c").write_text('#include "bayesflow_native.h"\nvoid simulate(const double* p, const double* c, double* x, const int64_t* s, bf_rng* r) {}\n')
            subprocess.run(["cc", "-shared", "-fPIC", f"-I{bf.native.include_dir()}", "model.c", "-o", "model.so"], check=True)
        exec(code, names)  # noqa: S102
    assert names["model"](3)["prior_draws"].shape == (3, 4)
