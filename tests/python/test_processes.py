"""Threads, signals and processes: trainings that overlap, Ctrl-C, forked children, process pools."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import bayesflow_cpp as bf

SMALL = """
import os, signal, sys, threading, time
import numpy as np
import bayesflow_cpp as bf

def model():
    return bf.simulation.GenerativeModel(lambda: np.random.normal(size=2), lambda theta: np.random.normal(theta, size=(4, 2)),
                                         simulator_is_batched=False, skip_test=True)

def amortizer(**options):
    dense = {"units": 8, "activation": "relu"}
    summary = bf.networks.DeepSet(summary_dim=4, num_dense_s1=1, num_dense_s2=1, num_dense_s3=1, num_equiv=0, dense_s1_args=dense, dense_s2_args=dense, dense_s3_args=dense)
    return bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(num_params=2, num_coupling_layers=2), summary, **options)

def trainer(**options):
    return bf.trainers.Trainer(amortizer(), model(), **{"progress": False, **options})

ENDLESS = dict(epochs=1, iterations_per_epoch=10**8, batch_size=2)
DATA = {"summary_conditions": np.ones((1, 4, 2), np.float32)}
"""


def run(program, timeout=300, **options):
    """A program of its own, so that a crash or a hang is an outcome and not the end of the tests."""
    package = os.path.dirname(os.path.dirname(__import__("bayesflow_cpp").__file__))
    env = {**os.environ, "PYTHONPATH": package}
    return subprocess.run([sys.executable, "-c", SMALL + textwrap.dedent(program)], capture_output=True, text=True, timeout=timeout, env=env, **options)


def check(program, expected="", timeout=300):
    out = run(program, timeout)
    assert out.returncode == 0, (out.returncode, out.stdout[-2000:], out.stderr[-4000:])
    assert expected in out.stdout, (out.stdout[-2000:], out.stderr[-2000:])
    return out


# --- signals ---


def test_after_overlapping_trainings_ctrl_c_is_pythons_again():
    check(
        """
        started, goes_on = [], {0: True, 1: True}
        def train(i):
            def progress(*args):
                started.append(i)
                return goes_on[i]
            trainer(progress=progress).train_online(**ENDLESS)
        threads = []
        for i in range(2):
            threads.append(threading.Thread(target=train, args=(i,)))
            threads[-1].start()
            while i not in started: time.sleep(0.01)
        for i in range(2):
            goes_on[i] = False
            threads[i].join()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
            print("ignored")
        except KeyboardInterrupt:
            print("Python's")
        """,
        "Python's",
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", ["a.sample(DATA, 400_000, seed=1)", "bf.diagnostics.c2st(x, x + 0.5, seed=1, n_folds=20, max_epochs=100)"])
def test_ctrl_c_ends_draws_and_diagnostics_before_they_are_done(call, threads):
    check(
        f"""
        a = amortizer(seed=1, threads={threads})
        x = np.random.default_rng(1).normal(size=(4000, 4))
        a.sample(DATA, 10)
        def seconds(interrupted):
            begun = time.process_time()
            if interrupted:
                signal.setitimer(signal.ITIMER_PROF, 0.06 * whole)  # of the processor's time, as everything here
            try:
                {call}
            except InterruptedError:
                assert interrupted
            return time.process_time() - begun
        def interrupt(*ignored):
            raise InterruptedError
        signal.signal(signal.SIGPROF, interrupt)
        whole = seconds(False)
        part = seconds(True)
        again = {call}
        print("ended" if part < 0.6 * whole else f"{{part}} of {{whole}} s")
        """,
        "ended",
    )


def test_ctrl_c_ends_trainings_of_all_threads_and_is_raised_in_the_main_thread_once():
    check(
        """
        started, ended, caught = [], [], 0
        def train(i):
            try:
                trainer(progress=lambda *args: started.append(i) or True).train_online(**ENDLESS)
            except KeyboardInterrupt:
                ended.append(i)
        threads = [threading.Thread(target=train, args=(i,)) for i in range(3)]
        for thread in threads: thread.start()
        while set(started) != {0, 1, 2}: time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        until, rest = time.time() + 240, 40
        while rest and time.time() < until:  # not by join: Python up to 3.12 takes a thread whose join was interrupted as ended
            try:
                rest -= len(ended) == 3  # a second interrupt would come now
                time.sleep(0.05)
            except KeyboardInterrupt:
                caught += 1
        assert sorted(ended) == [0, 1, 2], ended
        print("caught", caught)
        """,
        "caught 1\n",
    )


def test_ctrl_c_in_nested_trainings_is_a_keyboard_interrupt():
    check(
        """
        inner = trainer()
        seen = []
        def progress(*args):
            seen.append(args)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGINT)  # pending when the inner training begins
                inner.train_online(1, 10**8, 2)
            return True
        try:
            trainer(progress=progress).train_online(**ENDLESS)
        except KeyboardInterrupt:
            print("steps", len(inner.loss_history.total_loss), len(seen))
        """,
        "steps 1 2\n",
    )


@pytest.mark.slow
def test_twenty_overlapping_trainings_with_signals():
    check(
        """
        def round_of(number, send):
            started, ended = set(), []
            def train(i):
                try:
                    trainer(threads=1, progress=lambda *args: started.add(i) or True).train_online(**ENDLESS)
                except KeyboardInterrupt:
                    ended.append(i)
            threads = [threading.Thread(target=train, args=(i,)) for i in range(number)]
            try:
                for thread in threads: thread.start()
                while len(started) < number: time.sleep(0.01)
                os.kill(os.getpid(), send)
                for thread in threads: thread.join()
                raise SystemExit("the main thread was not interrupted")
            except KeyboardInterrupt:
                pass
            # Not by join: Python up to 3.12 takes a thread whose join was interrupted as ended.
            until = time.time() + 240
            while len(ended) < number and time.time() < until: time.sleep(0.01)
            assert len(ended) == number, len(ended)
        for send in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            round_of(20, send)
        print("all ended")
        """,
        "all ended",
        300,
    )


# --- one user at a time ---


def test_a_trainer_in_use_says_so():
    check(
        """
        busy = trainer(progress=lambda *args: attempt() if not seen else True)
        seen = []
        def attempt():
            seen.append(None)
            for where in (lambda: busy.train_online(1, 2, 2), lambda: busy.train_offline(data, 1, 2)):
                try:
                    where()
                except bf.exceptions.ConfigurationError as error:
                    seen.append(str(error))
            thread = threading.Thread(target=lambda: seen.append(len(busy.runs)))
            thread.start()
            thread.join()
            seen.append(busy.amortizer.sample(DATA, 5).shape)
            return True
        data = model()(8)
        busy.train_online(1, 5, 2, model_args=None)
        for line in seen[1:]: print(line)
        print("runs", len(busy.runs))
        """,
        "runs 1\n",
    )
    out = run("""
        def progress(*args):
            busy.train_online(1, 2, 2)
        busy = trainer(progress=progress)
        busy.train_online(1, 5, 2)
        """)
    assert out.returncode == 1
    assert out.stderr.rstrip().endswith(
        "ConfigurationError: Trainer.train_online: this trainer is training already, in another thread or in the function that makes this call; wait for its "
        "end, or make another trainer with an amortizer of its own"
    )


def test_two_threads_train_one_trainer():
    check(
        """
        shared, words = trainer(), []
        def train():
            try:
                shared.train_online(1, 2000, 2)
            except bf.exceptions.ConfigurationError as error:
                words.append(str(error))
        threads = [threading.Thread(target=train) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert len(words) == 1 and "is training already" in words[0], words
        print("runs", len(shared.runs))
        """,
        "runs 1\n",
    )


def test_unseeded_draws_of_many_threads_are_all_different_and_counted():
    check(
        """
        import pickle
        posterior = amortizer(threads=2)
        posterior.sample(DATA, 3, seed=0)
        draws = []
        def draw():
            for _ in range(25): draws.append(posterior.sample(DATA, 3).tobytes())
        threads = [threading.Thread(target=draw) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        expected = {posterior.sample(DATA, 3, seed=i).tobytes() for i in range(200)}
        assert set(draws) == expected and len(expected) == 200
        copy = pickle.loads(pickle.dumps(posterior))
        assert copy.sample(DATA, 3).tobytes() == posterior.sample(DATA, 3, seed=200).tobytes()
        print("counted")
        """,
        "counted",
    )


# --- processes ---


@pytest.mark.slow
def test_a_hundred_forked_children_use_free_or_leave_what_they_inherit():
    check(
        """
        trained = trainer(threads=2)
        trained.train_online(1, 3, 4)
        many = {"summary_conditions": np.ones((40, 4, 2), np.float32)}
        expected = trained.amortizer.sample(many, 300, seed=1).tobytes()
        failed = []
        for i in range(100):
            child = os.fork()
            if child == 0:
                signal.alarm(240)
                if i % 4 == 0:
                    sys.exit(0)  # with all that Python does at its end
                if i % 4 == 1:
                    assert trained.amortizer.sample(many, 300, seed=1).tobytes() == expected
                if i % 4 == 2:
                    trained.train_online(1, 2, 4)
                del trained
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            if status: failed.append((i, status))
        assert not failed, failed
        print("all ended")
        """,
        "all ended",
        600,
    )


@pytest.mark.slow
def test_children_forked_while_other_threads_draw_and_train():
    check(
        """
        trained = trainer(threads=2)
        trained.train_online(1, 3, 4)
        goes_on = True
        other = trainer(threads=2, progress=lambda *args: goes_on)
        def draw():
            while goes_on: trained.amortizer.sample(DATA, 600)
        threads = [threading.Thread(target=draw), threading.Thread(target=lambda: other.train_online(**ENDLESS))]
        for thread in threads: thread.start()
        time.sleep(0.3)
        failed = []
        for i in range(60):
            child = os.fork()
            if child == 0:
                signal.alarm(240)
                assert trained.amortizer.sample(DATA, 600).shape[-1] == 2
                assert other.amortizer.sample(DATA, 600).shape[-1] == 2
                sys.exit(0)
            status = os.waitpid(child, 0)[1]
            if status: failed.append((i, status))
        goes_on = False
        for thread in threads: thread.join()
        assert not failed, failed
        print("all ended")
        """,
        "all ended",
        600,
    )


POOL = """
import concurrent.futures, multiprocessing
def work(i):
    import numpy as np
    import bayesflow_cpp as bf
    own = bf.amortizers.load_amortizer({path!r})
    return own.sample({{"summary_conditions": np.ones((30, 4, 2), np.float32)}}, 300, seed=1).tobytes()
if __name__ == "__main__":
    trained = trainer(threads=2)
    trained.train_online(1, 3, 4)
    trained.amortizer.save({path!r})
    expected = work(0)
    context = multiprocessing.get_context({method!r})
    with context.Pool(4, maxtasksperchild={tasks}) as pool:
        got = pool.map(work, range(100), chunksize=1)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        got += list(pool.map(work, range(10)))
    assert all(g == expected for g in got)
    print("all the same")
"""


@pytest.mark.slow
@pytest.mark.parametrize("method, tasks", [("fork", 1), ("spawn", 20)])
def test_workers_of_process_pools_load_their_own_amortizer(method, tasks, tmp_path):
    """With fork a hundred children one after the other; those of spawn take a second each to import NumPy."""
    program = tmp_path / "program.py"
    program.write_text(SMALL + POOL.format(path=str(tmp_path / "model.h5"), method=method, tasks=tasks))
    package = os.path.dirname(os.path.dirname(__import__("bayesflow_cpp").__file__))
    out = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": package})
    assert out.returncode == 0 and "all the same" in out.stdout, (out.stdout[-1000:], out.stderr[-3000:])


# --- memory ---


def test_arrays_that_memory_does_not_suffice_for_are_an_error():
    check(
        """
        import resource
        posterior = amortizer(threads=1)
        posterior.sample(DATA, 3)
        trained = trainer(threads=1)
        rows = 2_000_000  # 64 MB as float32, 128 MB in the engine
        big = np.ones((rows, 4, 2), np.float32)
        double = np.ones((rows, 4, 2))
        forward = {"prior_draws": np.ones((rows, 2)), "sim_data": np.ones((rows, 4, 2))}
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20, resource.RLIM_INFINITY))
        caught = []
        for call in (lambda: posterior.sample({"summary_conditions": big}, 1), lambda: posterior.sample({"summary_conditions": double}, 1),
                     lambda: posterior.log_posterior({"summary_conditions": big, "parameters": big[:, 0]}),
                     lambda: trained.train_offline([forward], 1, 4), lambda: trained.train_online(1, 2, 4, validation_sims=forward),
                     lambda: posterior.save("/dev/shm/never.h5", constants={"big": np.ones((3, 4)), "more": big}),
                     lambda: bf.diagnostics.plot_recovery(big, big[:, 0])):
            try:
                call()
                caught.append("nothing")
            except MemoryError as error:
                caught.append(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(caught)
        assert posterior.sample(DATA, 3).shape[-1] == 2
        assert set(caught) == {"OutOfMemoryError"} and len(caught) == 7, caught
        print("goes on")
        """,
        "goes on",
    )


@pytest.mark.parametrize("what", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["prior", "simulator", "configurator"])
def test_the_end_of_a_program_is_no_failure_of_its_functions(what, where):
    """Ctrl-C in pilot runs and consistency checks arrives as what it is: `except Exception` must not catch it."""

    def ends(*_):
        raise what

    prior = bf.simulation.Prior(prior_fun=ends if where == "prior" else lambda: np.zeros(2))
    simulator = bf.simulation.Simulator(simulator_fun=ends if where == "simulator" else lambda theta: np.random.default_rng(1).normal(theta, size=(5, 2)))
    with pytest.raises(what):
        model = bf.simulation.GenerativeModel(prior, simulator)
        amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2), bf.networks.DeepSet())
        bf.trainers.Trainer(amortizer, model, configurator=ends)
