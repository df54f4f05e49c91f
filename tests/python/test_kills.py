"""A training that is killed at random moments, and run again by the same script, ends as if nothing had happened.

BAYESFLOW_KILLS=30 kills more often than the five times of every test run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parent / "kills" / "train.py"
MODES = ("online", "offline", "rounds", "replay")
KILLS = int(os.environ.get("BAYESFLOW_KILLS", 5))


def start(mode, folder):
    folder.mkdir(exist_ok=True)
    with open(folder / "log", "a") as log:
        process = subprocess.Popen([sys.executable, SCRIPT, mode, folder, folder / "result.npz"], stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout.readline() == "started\n", (folder / "log").read_text()
    return process


def finish(mode, folder):
    """Its numbers, and how long it took."""
    process = start(mode, folder)
    begin = time.perf_counter()
    process.communicate()
    assert process.returncode == 0, (folder / "log").read_text()
    return dict(np.load(folder / "result.npz")), time.perf_counter() - begin


def kill_at_random(mode, folder, moments, most):
    """Runs the script `most` times and kills it each time, the first time once there is a checkpoint. Returns the kills that met it alive."""
    kills = 0
    for turn in range(most):
        process = start(mode, folder)
        while turn == 0 and process.poll() is None and "was written" not in (folder / "log").read_text():
            time.sleep(0.001)
        time.sleep(moments())
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), (folder / "log").read_text()
        if process.returncode == 0:
            break
    return kills


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_training_ends_with_the_bits_of_an_undisturbed_one(mode, tmp_path):
    expected, duration = finish(mode, tmp_path / "undisturbed")
    random_moments = random.Random(7)
    wanted, kills, attempt = max(1, KILLS // len(MODES) + (MODES.index(mode) < KILLS % len(MODES))), 0, 0
    while kills < wanted:
        folder = tmp_path / f"killed_{attempt}"
        here = kill_at_random(mode, folder, lambda: random_moments.uniform(0, 0.7 * duration), min(5, wanted - kills))
        kills += here
        actual, _ = finish(mode, folder)
        assert list(actual) == list(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(actual[name], values, err_msg=f"{name} after {kills} kills")
        log = (folder / "log").read_text()
        assert "cannot be used" not in log, "a kill left a damaged checkpoint"
        assert here == 0 or "Resumes from the checkpoint" in log
        attempt += 1
        assert attempt < 20 * wanted, "the training is over before it can be killed"
