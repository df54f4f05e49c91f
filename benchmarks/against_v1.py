"""Training and sampling speed of the tutorial's model, beside BayesFlow v1's in the same run.

    python benchmarks/against_v1.py [--quick] [--cpp build/release/benchmarks/bench_train]

The program of both is the tutorial's: pure-Python prior and simulator, one call per simulation, 4 coupling layers, batches of 32. v1 lives in an environment of its own,
which is made at the first run (BayesFlow 1.1.6 and TensorFlow 2.15 from PyPI, about 2 GB; Python 3.9, 3.10 or 3.11 is needed). Each side is a process that stays; they
work in turns, so that a disturbance of the machine hits both, and rest while the other works. Threads are each side's defaults. The first iterations do not count.
Then the same with a simulator that makes whole batches with NumPy, beside the C++ program `--cpp`, and 1,000 posterior draws for each of 500 data sets.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np

V1_PACKAGES = ("bayesflow==1.1.6", "tensorflow==2.15.1", "tensorflow-probability==0.23.0", "numpy==1.26.4")
BATCH, WARM_UP, SETS, DRAWS = 32, 50, 500, 1000
RNG = np.random.default_rng(2023)


# --- the tutorial's program ---


def prior_fun(D=4):
    return RNG.normal(size=D)


def likelihood_fun(params, n_obs=50):
    return RNG.normal(loc=params, size=(n_obs, params.shape[0]))


def batch_prior_fun(batch_size, D=4):
    return RNG.normal(size=(batch_size, D))


def batch_likelihood_fun(params, n_obs=50):
    return RNG.normal(loc=params[:, None], size=(len(params), n_obs, params.shape[1]))


def workflow(bf, batched):
    """The tutorial's model and amortizer, for either package."""
    if batched:
        prior, simulator = bf.simulation.Prior(batch_prior_fun=batch_prior_fun), bf.simulation.Simulator(batch_simulator_fun=batch_likelihood_fun)
    else:
        prior, simulator = bf.simulation.Prior(prior_fun=prior_fun), bf.simulation.Simulator(simulator_fun=likelihood_fun)
    model = bf.simulation.GenerativeModel(prior=prior, simulator=simulator)
    summary_net = bf.networks.DeepSet(summary_dim=10)
    inference_net = bf.networks.InvertibleNetwork(
        num_params=4, num_coupling_layers=4, coupling_settings={"dense_args": dict(kernel_regularizer=None), "dropout": False}
    )
    return model, bf.amortizers.AmortizedPosterior(inference_net, summary_net)


# --- the processes that work in turns ---


class Channel:
    """Commands come in by standard input, answers go out by what was standard output; what the packages print goes to the log."""

    def __init__(self):
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def next(self):
        line = sys.stdin.readline()
        return line.split() or ["end"]

    def answer(self, value):
        print(json.dumps(value), file=self._out, flush=True)


def time_sampling(channel, trainer, model):
    inputs = trainer.configurator(model(SETS))
    trainer.amortizer.sample(inputs, DRAWS)
    while channel.next()[0] == "sample":
        start = time.perf_counter()
        trainer.amortizer.sample(inputs, DRAWS)
        channel.answer(time.perf_counter() - start)


def work_cpp(channel, model, amortizer, **options):
    import bayesflow_cpp as bf

    trainer = bf.trainers.Trainer(amortizer=amortizer, generative_model=model, **options)
    trainer.train_online(epochs=1, iterations_per_epoch=WARM_UP, batch_size=BATCH)
    channel.answer(bf.__version__)
    while (command := channel.next())[0] == "train":
        start = time.perf_counter()  # bars and history included
        trainer.train_online(epochs=1, iterations_per_epoch=int(command[1]), batch_size=BATCH)
        channel.answer(time.perf_counter() - start)
    if command[0] == "sample":
        channel.answer(None)
        time_sampling(channel, trainer, model)


class End(Exception):
    pass


def work_v1(channel, model, amortizer, **options):
    """One call of train_online compiles the step anew, which takes seconds. So there is one, and the model waits for commands where a batch is asked for."""
    import bayesflow as bf

    count, start, stop = 0, 0.0, None

    def waiting(batch_size, **kwargs):
        nonlocal count, start, stop
        if count == stop:
            channel.answer(metadata.version("bayesflow") if start == 0 else time.perf_counter() - start)
            command = channel.next()
            if command[0] != "train":
                raise End(command[0])
            stop, start = count + int(command[1]), time.perf_counter()
        count += 1
        return model(batch_size, **kwargs)

    trainer = bf.trainers.Trainer(amortizer=amortizer, generative_model=waiting, **options)
    count, stop = 0, WARM_UP
    try:
        trainer.train_online(epochs=10**6, iterations_per_epoch=1000, batch_size=BATCH)
    except End as end:
        if str(end) == "sample":
            channel.answer(None)
            time_sampling(channel, trainer, model)


class Worker:
    def __init__(self, python, role, log, program=__file__):
        self._log = log
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONNOUSERSITE": "1"}
        if role == "v1":
            environment.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            [python, program, "--worker", role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        self.pid = self._process.pid
        self.version = self._answer()

    def ask(self, *command):
        print(*command, file=self._process.stdin, flush=True)
        return self._answer()

    def end(self):
        self._process.stdin.close()
        self._process.wait()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            sys.exit(f"{' '.join(map(str, self._process.args))} ended:\n{self._log.read()[-3000:]}")
        return json.loads(line)


# --- v1's environment ---


def environment_of_v1(folder):
    python = folder / "bin" / "python"
    mark = folder / "installed"
    wanted = "\n".join(V1_PACKAGES)
    if mark.exists() and mark.read_text() == wanted:
        return python
    names = [shutil.which(f"python{version}") for version in ("3.11", "3.10", "3.9")]
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.[19]*/bin/python"), reverse=True)
    for candidate in [sys.executable, *names, *pyenv]:
        version = candidate and subprocess.run([candidate, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True).stdout.split()
        if version and version[0] == "3" and version[1] in ("9", "10", "11"):
            break
    else:
        sys.exit("BayesFlow v1 needs Python 3.9, 3.10 or 3.11; install one, as python3.11 say, or with pyenv")
    print(f"installing {', '.join(V1_PACKAGES)} into {folder} (once, some minutes)", flush=True)
    subprocess.run([candidate, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *V1_PACKAGES], check=True)
    mark.write_text(wanted)
    return python


# --- what is printed ---


def line(name, values, unit, digits):
    print(f"  {name:44s} {min(values):10,.{digits}f} {statistics.median(values):10,.{digits}f} {max(values):10,.{digits}f}  {unit}")
    return statistics.median(values)


def ratio(name, values, references, wanted=None):
    """Median of the ratios of the turns, and the least of them."""
    turns = [a / b for a, b in zip(values, references)]
    goal = "" if wanted is None else f"   (wanted: at least {wanted})"
    print(f"  {name:44s} {min(turns):10.2f} {statistics.median(turns):10.2f} {max(turns):10.2f}  x{goal}", flush=True)


def cpp_speed(program, seconds):
    out = subprocess.run([program, "--seconds", str(seconds)], capture_output=True, text=True, check=True).stdout
    return float(out.strip().rpartition("=")[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short run: 3 turns of 40 iterations instead of 7 of 200")
    parser.add_argument("--iterations", type=int, help="of a turn")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--cpp", help="the C++ program to compare with: build/release/benchmarks/bench_train")
    parser.add_argument("--environment", type=Path, default=Path(__file__).resolve().parents[1] / "build" / "venv-v1", help="of v1")
    parser.add_argument("--worker", choices=("v1", "cpp", "batched"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        channel = Channel()
        if arguments.worker == "v1":
            import bayesflow

            return work_v1(channel, *workflow(bayesflow, False))
        import bayesflow_cpp

        return work_cpp(channel, *workflow(bayesflow_cpp, arguments.worker == "batched"))

    iterations, turns = arguments.iterations or (40 if arguments.quick else 200), arguments.turns or (3 if arguments.quick else 7)
    v1_python = environment_of_v1(arguments.environment)
    with tempfile.TemporaryFile("w+") as log:
        v1, ours, batched = Worker(v1_python, "v1", log), Worker(sys.executable, "cpp", log), Worker(sys.executable, "batched", log)
        print(f"bayesflow_cpp {ours.version} against BayesFlow {v1.version}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {turns} turns of each")
        print(f"  {'':44s} {'min':>10s} {'median':>10s} {'max':>10s}")

        rates = {"v1": [], "cpp": [], "batched": [], "program": []}
        for _ in range(turns):
            rates["v1"].append(iterations / v1.ask("train", iterations))
            rates["cpp"].append(iterations / ours.ask("train", iterations))
        line("v1, Python simulator", rates["v1"], f"it/s ({iterations} iterations of {BATCH} simulations)", 1)
        line("bayesflow_cpp, Python simulator", rates["cpp"], "it/s", 1)
        ratio("bayesflow_cpp / v1", rates["cpp"], rates["v1"], 6)

        long = 5 * iterations
        for _ in range(turns):
            rates["batched"].append(long / batched.ask("train", long))
            if arguments.cpp:
                rates["program"].append(cpp_speed(arguments.cpp, 1 if arguments.quick else 3))
        line("bayesflow_cpp, batched NumPy simulator", rates["batched"], f"it/s ({long} iterations)", 1)
        if arguments.cpp:
            line("C++", rates["program"], "it/s", 1)
            ratio("batched NumPy / C++", rates["batched"], rates["program"], 0.85)
        batched.end()

        seconds = {"v1": [], "cpp": []}
        v1.ask("sample"), ours.ask("sample")
        for _ in range(turns):
            seconds["v1"].append(v1.ask("sample"))
            seconds["cpp"].append(ours.ask("sample"))
        line(f"v1, {SETS} x {DRAWS:,} draws", seconds["v1"], "s", 3)
        line(f"bayesflow_cpp, {SETS} x {DRAWS:,} draws", seconds["cpp"], "s", 3)
        ratio("v1 / bayesflow_cpp", seconds["v1"], seconds["cpp"])
        v1.end(), ours.end()


if __name__ == "__main__":
    main()
