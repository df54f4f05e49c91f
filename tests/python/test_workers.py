"""Simulators in worker processes and executors."""

import concurrent.futures
import copy
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError, SimulationError
from bayesflow_cpp.simulation import ContextGenerator, GenerativeModel, Prior, Simulator, _elsewhere, _transport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")
cloudpickle = pytest.importorskip("cloudpickle")

PRIOR = Prior(prior_fun=lambda rng: rng.normal(size=2))


@pytest.fixture
def simulators():
    """Makes simulators and ends their workers."""
    made = []

    def make(*args, **kwargs):
        made.append(Simulator(*args, **kwargs))
        return made[-1]

    yield make
    for simulator in made:
        simulator.close()


def keyed(theta, rng):
    return rng.normal(theta, size=(3, 2))


def data(simulator, batches=3, size=7, prior=PRIOR):
    model = GenerativeModel(prior, simulator, skip_test=True, seed=5)
    return np.concatenate([model(size)["sim_data"] for _ in range(batches)])


def pids(simulator):
    return [worker.process.pid for worker in simulator._elsewhere._runner._workers]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


# --- the same simulations ---


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_simulations(simulators, workers):
    here = data(Simulator(simulator_fun=keyed))
    for rows in (None, 1, 5, 100):
        np.testing.assert_array_equal(data(simulators(simulator_fun=keyed, workers=workers, rows_per_task=rows)), here)


def test_contexts_and_further_arguments_reach_the_workers(simulators):
    contexts = ContextGenerator(batchable_context_fun=lambda rng: rng.uniform(1, 2), non_batchable_context_fun=lambda rng: int(rng.integers(3, 9)))
    function = lambda theta, scale, n, rng, shift=0: shift + rng.normal(theta, scale, size=(n, 2))  # noqa: E731
    for args in ({}, {"shift": 3}):
        expected, got = (
            GenerativeModel(PRIOR, simulators(simulator_fun=function, context_generator=contexts, **where), skip_test=True, seed=1)(9, sim_args=args)
            for where in ({}, {"workers": 2})
        )
        for key in expected:
            np.testing.assert_array_equal(got[key], expected[key])


def test_closures_and_objects_are_sent(simulators):
    offset = np.arange(2.0)

    class Adds:
        def __call__(self, theta, rng):
            return theta + offset + rng.normal(size=2)

    for function in (Adds(), lambda theta, rng: theta + offset + rng.normal(size=2)):
        np.testing.assert_array_equal(data(simulators(simulator_fun=function, workers=2)), data(Simulator(simulator_fun=function)))


def test_batched_functions_are_called_with_rows_of_their_own(simulators):
    function = lambda theta, rng: theta + rng.normal(size=theta.shape) + len(theta)  # noqa: E731
    one, two = (data(simulators(batch_simulator_fun=function, workers=k, rows_per_task=3)) for k in (1, 2))
    np.testing.assert_array_equal(one, two)
    model = GenerativeModel(PRIOR, simulators(batch_simulator_fun=function, workers=2, rows_per_task=3), skip_test=True)
    out = model(7)
    assert np.all(np.abs((out["sim_data"] - out["prior_draws"])[:6] - 3) < 6) and abs((out["sim_data"] - out["prior_draws"])[6, 0] - 1) < 6
    with pytest.raises(SimulationError, match="simulator: its function was given 3 simulations and returned shape \\(2,\\); it must return a row for each"):
        data(simulators(batch_simulator_fun=lambda theta: np.zeros(2), workers=1, rows_per_task=3))


def _library(theta):
    return theta + np.random.normal(size=2) + random.random()


def test_random_numbers_that_a_function_holds_differ_between_workers(simulators):
    held = np.random.default_rng(3)
    also = np.random.default_rng(4)
    for function in (lambda theta: theta + held.normal(size=2) + also.normal(size=2), lambda theta: theta + np.random.normal(size=2), _library):
        runs = [data(simulators(simulator_fun=function, workers=k), batches=4) - data(Simulator(simulator_fun=lambda theta: theta), batches=4) for k in (1, 2, 3)]
        np.testing.assert_array_equal(runs[0], runs[1])
        np.testing.assert_array_equal(runs[0], runs[2])
        assert len(np.unique(runs[0].round(12))) == runs[0].size, "no number comes twice"
        assert abs(runs[0].std() - 1) < 0.6


def test_generators_that_would_repeat_themselves_are_refused(tmp_path, monkeypatch):
    state = np.random.RandomState(1)
    with pytest.raises(ConfigurationError, match="Simulator: its function holds a numpy.random.*RandomState: workers would all draw the same numbers"):
        data(Simulator(simulator_fun=lambda theta: state.normal(size=2), workers=2))
    (tmp_path / "users_module.py").write_text(
        "import numpy as np\nRNG = np.random.default_rng(1)\ndef inner(theta):\n    return RNG.normal(theta)\ndef simulate(theta):\n    return inner(theta)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import users_module

    with pytest.raises(ConfigurationError, match="inner uses RNG, a Generator of the module users_module: workers would all draw the same numbers from it; give"):
        data(Simulator(simulator_fun=users_module.simulate, workers=2))


# --- errors ---


def test_errors_name_the_simulation_and_show_the_workers_traceback(simulators):
    def fails(theta, rng):
        if theta[0] > 0.5:
            raise ZeroDivisionError("too large")
        return theta

    with pytest.raises(SimulationError) as here:
        data(Simulator(simulator_fun=fails), size=20)
    for workers in (1, 3):
        simulator = simulators(simulator_fun=fails, workers=workers, rows_per_task=2)
        with pytest.raises(SimulationError) as there:
            data(simulator, size=20)
        assert str(there.value) == str(here.value) and "with parameters [" in str(there.value)
        assert isinstance(there.value.__cause__, ZeroDivisionError)
        assert "in fails" in str(there.value.__cause__.__cause__)
        before = pids(simulator)
        np.testing.assert_array_equal(simulator(np.zeros((4, 2)))["sim_data"], np.zeros((4, 2)))
        assert pids(simulator) == before, "an exception ends no worker"


def test_exceptions_that_cannot_be_sent_are_told(simulators):
    def fails(theta):
        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} {b}")
                self.lock = threading.Lock()

        raise Odd(1, 2)

    with pytest.raises(SimulationError, match="simulation 0 with parameters .* failed: Odd: 1 2"):
        data(simulators(simulator_fun=fails, workers=2))


def test_shapes_that_differ_between_tasks_are_told_as_without_workers(simulators):
    function = lambda theta, rng: np.zeros(3 if theta[0] < 1 else 2)  # noqa: E731
    texts = []
    for where in ({}, {"workers": 2, "rows_per_task": 1}, {"workers": 2, "rows_per_task": 3}):
        with pytest.raises(SimulationError) as told:
            data(simulators(simulator_fun=function, **where), size=30)
        texts.append(str(told.value))
    assert texts[0] == texts[1] and "returned shape" in texts[2]


def test_what_is_no_number_is_refused_as_without_workers(simulators):
    for function in (lambda theta: None, lambda theta: {"x": theta}):
        texts = []
        for where in ({}, {"workers": 1}):
            with pytest.raises(SimulationError) as told:
                data(simulators(simulator_fun=function, **where))
            texts.append(str(told.value))
        assert texts[0] == texts[1]


def test_wrong_arguments_end_in_sentences():
    f = lambda theta, rng: theta  # noqa: E731
    for arguments, text in (
        ({"workers": 0}, 'workers must be a number of processes, at least 1, "auto", or None for this process; got 0'),
        ({"workers": True}, "got True"),
        ({"workers": "all"}, "got 'all'"),
        ({"workers": 1.5}, "got 1.5"),
        ({"executor": 3}, "executor must be a concurrent.futures.Executor, with a method submit; got a int"),
        ({"rows_per_task": 3}, "rows_per_task is for workers or an executor"),
        ({"workers": 2, "rows_per_task": 0}, "rows_per_task must be a whole number of at least 1; got 0"),
    ):
        with pytest.raises(ConfigurationError, match="Simulator: ") as told:
            Simulator(simulator_fun=f, **arguments)
        assert text in str(told.value)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        with pytest.raises(ConfigurationError, match="give one of them"):
            Simulator(simulator_fun=f, workers=1, executor=threads)
        with pytest.raises(ConfigurationError, match="threads share the global random numbers"):
            Simulator(simulator_fun=lambda theta: theta, executor=threads)
    with pytest.raises(ConfigurationError, match="give rows_per_task"):
        Simulator(batch_simulator_fun=f, workers=2)
    with pytest.raises(ConfigurationError, match='workers="auto" is for a function of single simulations'):
        Simulator(batch_simulator_fun=f, workers="auto", rows_per_task=2)


def test_functions_that_cannot_be_sent_say_what_to_install(monkeypatch):
    lock = threading.Lock()
    with pytest.raises(ConfigurationError, match="Simulator: its function cannot be sent to worker processes: TypeError"):
        data(Simulator(simulator_fun=lambda theta: (lock, theta)[1], workers=1))
    code = """
        import sys
        sys.modules["cloudpickle"] = None
        import bayesflow_cpp as bf
        try:
            bf.simulation.Simulator(simulator_fun=lambda theta: theta, workers=1)([[1.0]])
        except bf.exceptions.ConfigurationError as error:
            print(error)
    """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True).stdout
    assert 'those of notebooks need cloudpickle (pip install "bayesflow-cpp[workers]")' in told


# --- processes ---

KILLS = int(os.environ.get("BAYESFLOW_KILLS", "10"))
BATCHES = 20 * KILLS


def test_workers_that_are_killed_lose_nothing(simulators):
    slow = lambda theta, rng: (time.sleep(0.002), rng.normal(theta, size=(3, 2)))[1]  # noqa: E731
    simulator = simulators(simulator_fun=slow, workers=2)
    model = GenerativeModel(PRIOR, simulator, skip_test=True, seed=5)
    parts, kills, end = [], 0, threading.Event()
    dice = random.Random(1)

    def kill():
        nonlocal kills
        while not end.wait(dice.uniform(0.01, 0.4)) and kills < KILLS:
            runner = simulator._elsewhere._runner
            if runner is None or not runner._workers:
                continue
            try:
                os.kill(dice.choice(list(runner._workers)).process.pid, signal.SIGKILL)
                kills += 1
            except (ProcessLookupError, IndexError):
                pass

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while len(parts) < BATCHES or (kills < KILLS and len(parts) < 10 * BATCHES):
            parts.append(model(16)["sim_data"])
    finally:
        end.set()
        killer.join()
    np.testing.assert_array_equal(np.concatenate(parts), data(Simulator(simulator_fun=keyed), batches=len(parts), size=16))
    assert kills == KILLS


def test_a_simulation_that_ends_its_worker_is_named(simulators):
    def dies(theta, rng):
        if theta[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if theta[0] == 4:
            os._exit(7)
        return theta

    simulator = simulators(simulator_fun=dies, workers=2)
    for bad, how in ((3.0, "by SIGKILL"), (4.0, "with exit status 7")):
        params = np.zeros((9, 2))
        params[5, 0] = bad
        with pytest.raises(SimulationError, match=rf"simulator: simulation \d+ with parameters \[{bad:.0f}. 0.\] ended its worker process 3 times \({how}\); run the"):
            simulator(params)
    np.testing.assert_array_equal(simulator(np.ones((9, 2)))["sim_data"], np.ones((9, 2)))


def test_close_and_the_end_of_a_simulator_end_the_workers(simulators):
    simulator = Simulator(simulator_fun=keyed, workers=2)
    data(simulator)
    first = pids(simulator)
    simulator.close()
    assert not any(map(is_alive, first))
    data(simulator)
    second = pids(simulator)
    assert len(set(first + second)) == 4
    del simulator
    assert wait_until(lambda: not any(map(is_alive, second)))


PROGRAM = """
    import os, signal, sys, time
    import numpy as np
    import bayesflow_cpp as bf
    signal.signal(signal.SIGINT, signal.default_int_handler)
    def slow(theta, rng):
        time.sleep(SECONDS)
        return theta
    simulator = bf.simulation.Simulator(simulator_fun=slow, workers=2)
    simulator(np.zeros((2, 1)))
    print(*[w.process.pid for w in simulator._elsewhere._runner._workers], flush=True)
    for _ in range(1000):
        simulator(np.zeros((256, 1)))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("seconds", [0.001, 0.5])
def test_workers_end_with_the_program(how, seconds):
    program = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROGRAM).replace("SECONDS", str(seconds))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in program.stdout.readline().split()]
    assert len(workers) == 2 and all(map(is_alive, workers))
    time.sleep(0.05)
    start = time.monotonic()
    program.send_signal(how)
    _, errors = program.communicate(timeout=120)
    assert wait_until(lambda: not any(map(is_alive, workers)))
    assert time.monotonic() - start < 50  # the simulations that were begun would take 64 seconds
    assert ("KeyboardInterrupt" in errors) == (how == signal.SIGINT)
    assert "Exception ignored" not in errors and "resource_tracker" not in errors


def test_a_forked_child_leaves_the_workers_alone_and_has_its_own(simulators):
    simulator = simulators(simulator_fun=keyed, workers=2)
    here = simulator(np.ones((5, 2)))["sim_data"]
    workers = pids(simulator)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            simulator._next = 0
            os.write(write, simulator(np.ones((5, 2)))["sim_data"].tobytes())
            status = 0 if not set(pids(simulator)) & set(workers) else 2
            simulator.close()
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        got = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert got == here.tobytes()
    assert all(map(is_alive, workers))
    simulator(np.ones((5, 2)))
    assert pids(simulator) == workers


def test_many_tasks_leave_nothing_behind(simulators):
    simulator = simulators(simulator_fun=lambda theta, rng: rng.normal(size=100), workers=2, rows_per_task=1)
    simulator(np.zeros((10, 1)))

    def used():
        return len(os.listdir("/proc/self/fd")), [int(open(f"/proc/{pid}/statm").read().split()[1]) for pid in pids(simulator)]

    simulator(np.zeros((500, 1)))
    handles, pages = used()
    for _ in range(8):
        simulator(np.zeros((500, 1)))
    handles_after, pages_after = used()
    assert handles_after == handles
    assert all(after - before < 500 for before, after in zip(pages, pages_after)), "pages of 4 KiB"


def test_interrupted_calls_leave_usable_workers(simulators):
    simulator = simulators(simulator_fun=lambda theta, rng: (time.sleep(0.02), theta)[1], workers=2)
    simulator(np.zeros((2, 1)))
    for _ in range(5):
        timer = threading.Timer(0.05, signal.raise_signal, (signal.SIGINT,))
        former = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                timer.start()
                simulator(np.zeros((1000, 1)))
        finally:
            timer.join()
            signal.signal(signal.SIGINT, former)
        np.testing.assert_array_equal(simulator(np.arange(6.0)[:, None])["sim_data"], np.arange(6.0)[:, None])


def test_large_and_odd_results_come_back_whole(simulators):
    large = lambda theta, rng: rng.normal(size=(300, 1000))  # noqa: E731
    np.testing.assert_array_equal(data(simulators(simulator_fun=large, workers=2), 1, 5), data(Simulator(simulator_fun=large), 1, 5))
    for function in (lambda theta, rng: rng.integers(0, 5, size=4), lambda theta, rng: rng.normal(size=3) > 0, lambda theta, rng: 3.5, lambda theta, rng: [1, 2.5]):
        a, b = data(simulators(simulator_fun=function, workers=2)), data(Simulator(simulator_fun=function))
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    shared = np.zeros(2)

    def same_array(theta, rng):
        shared[:] = theta
        return shared

    np.testing.assert_array_equal(data(simulators(simulator_fun=same_array, workers=2)), data(Simulator(simulator_fun=lambda theta: theta)))


def test_copies_have_workers_of_their_own(simulators):
    simulator = simulators(simulator_fun=keyed, workers=1)
    expected = data(simulator)
    for copied in (copy.deepcopy(simulator), pickle.loads(pickle.dumps(simulator))):
        copied._next = 0
        np.testing.assert_array_equal(data(copied), expected)
        assert pids(copied) != pids(simulator)
        copied.close()


# --- auto ---


def test_auto_uses_workers_where_they_pay(simulators, monkeypatch):
    monkeypatch.setattr(_elsewhere, "available_cores", lambda: 2)
    fast, slow = simulators(simulator_fun=keyed, workers="auto"), simulators(simulator_fun=lambda theta, rng: (time.sleep(0.001), keyed(theta, rng))[1], workers="auto")
    expected = data(Simulator(simulator_fun=keyed), batches=6)
    monkeypatch.setattr(_elsewhere, "_AUTO_SECONDS", 0.1)  # on a machine with much else to do
    np.testing.assert_array_equal(data(fast, batches=6), expected)
    monkeypatch.setattr(_elsewhere, "_AUTO_SECONDS", 9e-4)
    np.testing.assert_array_equal(data(slow, batches=6), expected)
    assert fast._elsewhere._runner is None and len(pids(slow)) == 2


# --- executors ---


def _executors():
    yield "threads", lambda: concurrent.futures.ThreadPoolExecutor(2)
    yield "spawned", lambda: concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    try:
        from loky import ProcessPoolExecutor

        yield "loky", lambda: ProcessPoolExecutor(2)
    except ImportError:
        pass


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in _executors()])
def test_executors_give_the_same_simulations(make):
    held = np.random.default_rng(1)
    with make() as executor:
        np.testing.assert_array_equal(data(Simulator(simulator_fun=keyed, executor=executor)), data(Simulator(simulator_fun=keyed)))
        random_once = data(Simulator(simulator_fun=lambda theta, rng: rng.normal(size=2) + held.normal(size=2), executor=executor, rows_per_task=1))
        assert len(np.unique(random_once)) == random_once.size

        def fails(theta, rng):
            raise ZeroDivisionError("never")

        with pytest.raises(SimulationError, match="simulation 0 with parameters .* failed: ZeroDivisionError: never"):
            data(Simulator(simulator_fun=fails, executor=executor))
        simulator = Simulator(simulator_fun=keyed, executor=executor)
    with pytest.raises(SimulationError, match="Simulator: its executor was shut down"):
        data(simulator)


def test_a_broken_executor_is_told():
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        with pytest.raises(SimulationError, match="Simulator: its executor is broken: BrokenProcessPool"):
            data(Simulator(simulator_fun=lambda theta, rng: os._exit(3), executor=executor))


# --- training and files ---


def test_training_and_files_are_the_same_with_workers(simulators, small_amortizer, tmp_path):
    prior = Prior(prior_fun=lambda rng: rng.normal(size=4))
    function = lambda theta, rng: rng.normal(theta, size=(10, 4))  # noqa: E731
    losses, files = [], []
    for where in ({}, {"workers": 2}):
        model = GenerativeModel(prior, simulators(simulator_fun=function, **where), seed=2)
        trainer = bf.trainers.Trainer(amortizer=small_amortizer(), generative_model=model, seed=1)
        losses.append(trainer.train_online(epochs=1, iterations_per_epoch=8, batch_size=16)["Default.Loss"].to_numpy())
        model.presimulate(tmp_path / f"{len(files)}.h5", 100, progress=False)
        files.append((tmp_path / f"{len(files)}.h5").read_bytes())
    np.testing.assert_array_equal(losses[0], losses[1])
    assert files[0] == files[1]


def test_the_transport_reads_what_it_writes():
    first, second = _transport.SharedBuffer(), _transport.SharedBuffer()
    other = _transport.SharedBuffer(os.dup(first.fd))
    for size in (3, 1 << 20, 5, 1 << 22):
        first.array((size,), np.float64)[:] = np.arange(size)
        np.testing.assert_array_equal(other.array((size,), np.float64), np.arange(size))
    for buffer in (first, second, other):
        buffer.close()
        buffer.close()
