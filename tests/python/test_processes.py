"""Threads, signals and processes: trainings that overlap, Ctrl-C, forked children, process pools."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

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


def run(program, timeout=120, **options):
    """A program of its own, so that a crash or a hang is an outcome and not the end of the tests."""
    package = os.path.dirname(os.path.dirname(__import__("bayesflow_cpp").__file__))
    env = {**os.environ, "PYTHONPATH": package}
    return subprocess.run([sys.executable, "-c", SMALL + textwrap.dedent(program)], capture_output=True, text=True, timeout=timeout, env=env, **options)


def check(program, expected="", timeout=120):
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
        for _ in range(40):
            try:
                for thread in threads: thread.join()
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
            for thread in threads: thread.join()
            assert len(ended) == number, len(ended)
        for send in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            round_of(20, send)
        print("all ended")
        """,
        "all ended",
        300,
    )
