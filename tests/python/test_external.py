"""Simulators that are programs of their own."""

import copy
import ctypes
import logging
import os
import pickle
import shutil
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
from bayesflow_cpp.simulation import ContextGenerator, GenerativeModel, Prior, Simulator
from test_workers import is_alive, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")

PRIOR = Prior(prior_fun=lambda rng: rng.normal(size=2))
N_OBS = 10


def needs(program, package=None):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed (Debian: apt install {package or program})")


# The same model in all of them: 10 observations of two normal variables with standard deviation SD and the parameters as means.

SHELL = """\
while IFS=, read -r number seed count a b; do
  awk -v n="$number" -v s="$seed" -v a="$a" -v b="$b" 'BEGIN {
    srand(s); printf "%s", n
    for (i = 0; i < 10; ++i) for (k = 0; k < 2; ++k)
      printf ",%.17g", (k ? b : a) + SD * sqrt(-2 * log(1 - rand())) * cos(6.283185307179586 * rand())
    printf "\\n" }'
done
"""

C = """\
#include <math.h>
#include <stdint.h>
#include <stdio.h>
static uint64_t state;
static double uniform(void) {
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}
int main(void) {
  int64_t head[4];
  double theta[2], data[20];
  while (fread(head, sizeof head, 1, stdin) == 1 && fread(theta, sizeof theta, 1, stdin) == 1) {
    state = (uint64_t)head[1];
    for (int i = 0; i < 20; ++i) data[i] = theta[i % 2] + SD * sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
    const int64_t answer[2] = {head[0], 20};
    fwrite(answer, sizeof answer, 1, stdout);
    fwrite(data, sizeof data, 1, stdout);
    fflush(stdout);
  }
  return 0;
}
"""

FORTRAN = """\
program gaussian
  use, intrinsic :: iso_fortran_env, only: real64, output_unit
  implicit none
  integer :: number, seed, count, n, i, status
  real(real64) :: theta(2), u(20), v(20), x(20)
  integer, allocatable :: state(:)
  call random_seed(size=n)
  allocate(state(n))
  do
    read (*, *, iostat=status) number, seed, count, theta
    if (status /= 0) exit
    state = [(ieor(seed, i * 7919), i = 1, n)]
    call random_seed(put=state)
    call random_number(u)
    call random_number(v)
    x = SD * sqrt(-2 * log(1 - u)) * cos(6.283185307179586_real64 * v)
    do i = 1, 20
      x(i) = x(i) + theta(merge(1, 2, mod(i, 2) == 1))
    end do
    write (*, '(i0, 20(",", es24.16e3))') number, x
    flush (output_unit)
  end do
end program
"""

FORTRAN_LIBRARY = """\
module model
  use, intrinsic :: iso_c_binding
  implicit none
  type, bind(c) :: bf_rng
    type(c_ptr) :: functions, state
  end type
  type, bind(c) :: bf_rng_functions  ! the first of bayesflow_native.h
    type(c_funptr) :: bits, uniform, normal
  end type
  abstract interface
    function draw(rng, loc, scale) bind(c) result(value)
      import :: bf_rng, c_double
      type(bf_rng), intent(in) :: rng
      real(c_double), value :: loc, scale
      real(c_double) :: value
    end function
  end interface
contains
  subroutine simulate(params, context, values, extents, rng) bind(c)
    real(c_double), intent(in) :: params(2)
    type(c_ptr), value :: context
    integer(c_int64_t), intent(in) :: extents(2)
    real(c_double), intent(out) :: values(extents(2), extents(1))  ! Fortran's first axis is C's last one
    type(bf_rng), intent(in) :: rng
    type(bf_rng_functions), pointer :: functions
    procedure(draw), pointer :: normal
    integer :: i, k
    call c_f_pointer(rng%functions, functions)
    call c_f_procpointer(functions%normal, normal)
    do i = 1, int(extents(1))
      do k = 1, int(extents(2))
        values(k, i) = normal(rng, params(k), real(SD, c_double))
      end do
    end do
  end subroutine
end module
"""

R = """\
source(file.path(Sys.getenv("BAYESFLOW_PROGRAMS"), "bayesflow.R"))
bayesflow_simulate(function(parameters, context) {
  print(parameters)
  rbind(1:2)[rep(1, 10), ] * 0 + cbind(rnorm(10, parameters[1], SD), rnorm(10, parameters[2], SD))
})
"""

OCTAVE = """\
addpath(getenv("BAYESFLOW_PROGRAMS"));
bayesflow_simulate(@(parameters, context) parameters + SD * randn(10, 2));
"""

PYTHON = """\
import json, random, sys
for line in sys.stdin:
    request = json.loads(line)
    rng = random.Random(request["seed"])
    data = [[rng.gauss(m, SD) for m in request["parameters"]] for _ in range(10)]
    print(json.dumps({"simulation": request["simulation"], "data": data}), flush=True)
"""


def compiled(command, source, target):
    source_file = target.with_suffix(target.suffix + (".c" if command[0] == "cc" else ".f90"))
    source_file.write_text(source)
    subprocess.run([*command, str(source_file), "-o", str(target), "-lm"], check=True, cwd=target.parent)
    return target


def program(language, folder, sd="1.0"):
    """Arguments of a Simulator."""
    def text(source, name):
        path = folder / name
        path.write_text(source.replace("SD", sd))
        return str(path)

    if language == "shell":
        return {"command": ["sh", text(SHELL, "model.sh")], "protocol": "csv", "shape": (10, 2)}
    if language == "C":
        return {"command": [str(compiled(["cc", "-O1"], C.replace("SD", sd), folder / "model"))], "protocol": "binary", "shape": (10, 2)}
    if language == "Fortran":
        return {"command": [str(compiled(["gfortran"], FORTRAN.replace("SD", sd), folder / "model_f"))], "protocol": "csv", "shape": (10, 2)}
    if language == "Fortran library":
        library = compiled(["gfortran", "-shared", "-fPIC"], FORTRAN_LIBRARY.replace("SD", sd), folder / f"model_{sd}.so")
        return {"simulator_fun": bf.CFunction(ctypes.CDLL(str(library)).simulate, shape=(10, 2))}
    if language == "R":
        return {"command": ["Rscript", "--vanilla", text(R, "model.R")], "protocol": "csv", "shape": (10, 2)}
    if language == "Octave":
        return {"command": ["octave-cli", "--norc", "--quiet", text(OCTAVE, "model.m")], "protocol": "binary", "shape": (10, 2)}
    return {"command": [sys.executable, text(PYTHON, "model.py")]}


@pytest.fixture
def simulators():
    made = []

    def make(*args, **kwargs):
        if "command" in kwargs:
            kwargs.setdefault("timeout", 60)
        made.append(Simulator(*args, **kwargs))
        return made[-1]

    yield make
    for simulator in made:
        simulator.close()


def pids(simulator):
    return simulator._function._core.processes()


def run(simulator, batches=3, size=8):
    model = GenerativeModel(PRIOR, simulator, skip_test=True, seed=5)
    return np.concatenate([model(size)["sim_data"] for _ in range(batches)])


LANGUAGES = [
    pytest.param("shell", marks=needs("awk", "mawk")),
    pytest.param("C", marks=needs("cc", "gcc")),
    pytest.param("Fortran", marks=needs("gfortran")),
    pytest.param("Fortran library", marks=needs("gfortran")),
    pytest.param("R", marks=needs("Rscript", "r-base-core")),
    pytest.param("Octave", marks=needs("octave-cli", "octave")),
    "Python",
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_languages_give_one_verdict(simulators, tmp_path, language):
    """The exact posterior of normal means fits the program's data, and not those of a program with another standard deviation."""

    def judged(simulator):
        out = GenerativeModel(PRIOR, simulator, skip_test=True, seed=2)(400)
        x = out["sim_data"]
        assert x.shape == (400, N_OBS, 2)
        draws = np.random.default_rng(1).normal(x.sum(1) / (N_OBS + 1), (N_OBS + 1) ** -0.5, size=(200, 400, 2)).transpose(1, 0, 2)
        return bf.diagnostics.verdict(draws, out["prior_draws"])

    verdict = judged(simulators(**program(language, tmp_path), workers=None if language == "Fortran library" else 2))
    assert verdict.severity == "none", verdict.sentence
    verdict = judged(simulators(**program(language, tmp_path, sd="2.0")))
    assert verdict.severity != "none", "a wrong program was not found"


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != LANGUAGES[3]])
def test_any_number_of_programs_gives_the_same_simulations(simulators, tmp_path, language):
    given = program(language, tmp_path)
    expected = run(simulators(**given, workers=1))
    assert len(np.unique(expected)) == expected.size
    for workers in (2, 3):
        simulator = simulators(**given, workers=workers)
        np.testing.assert_array_equal(run(simulator), expected)
        assert 1 <= len(pids(simulator)) <= workers, "started once"


def test_killed_programs_are_started_again(simulators, tmp_path):
    given = program("Python", tmp_path)
    expected = run(simulators(**given, workers=2), 30)
    simulator = simulators(**given, workers=2)
    done, killed = threading.Event(), [0]

    def kills():
        rng = np.random.default_rng(1)
        while not done.is_set():
            for pid in pids(simulator)[:1]:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed[0] += 1
                except OSError:
                    pass
            time.sleep(0.05 * rng.uniform())

    killer = threading.Thread(target=kills)
    killer.start()
    try:
        got = run(simulator, 30)
    finally:
        done.set()
        killer.join()
    np.testing.assert_array_equal(got, expected)


# --- what can go wrong; the program misbehaves at simulation 3 ---

MISBEHAVES = """\
import json, os, signal, sys, time
HOW = sys.argv[1]
for line in sys.stdin:
    request = json.loads(line)
    number = request["simulation"]
    answer = {"simulation": number, "data": [1.0, 2.0, 3.0]}
    if number == 3:
        if HOW == "exits":
            sys.exit("cannot open the table")
        if HOW == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if HOW == "hangs":
            print("iteration 10000", file=sys.stderr, flush=True)
            time.sleep(1000)
        answer = {
            "prints": "Loading model ...", "lists": [1, 2], "another": {"simulation": 2, "data": [1, 2, 3]}, "fewer": {"simulation": 3, "data": [1, 2]},
            "ragged": {"simulation": 3, "data": [[1, 2], [3]]}, "text": {"simulation": 3, "data": [1, "two", 3]}, "error": {"simulation": 3, "error": "no convergence"},
            "nan": {"simulation": 3, "data": [1, float("nan"), 3]}, "twice": '{"simulation": 3, "data": [1, 2, 3]}\\n{"simulation": 3, "data": [1, 2, 3]}',
            "nothing": {"simulation": 3}, "deep": {"simulation": 3, "data": [[[[[[[1]]]]]]]}, "huge": {"simulation": 1e300, "data": [1, 2, 3]},
        }.get(HOW, answer)
        if HOW == "warns":
            print("step size is small", file=sys.stderr, flush=True)
    print(answer if isinstance(answer, str) else json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize(
    "how, sentence",
    [
        ("exits", r"ended with exit status 1 before its answer, 3 times; it must answer requests until its standard input ends. Its standard error: cannot open the table"),
        ("crashes", r"ended by SIGSEGV before its answer, 3 times; it must"),
        ("hangs", r"did not answer within 6 s and was ended; a longer timeout, or a faster program, is needed. Its standard error: iteration 10000"),
        ("prints", r'wrote a line that is not JSON: "Loading model ...". Standard output is for answers; write everything else to standard error'),
        ("lists", r'answered with "\[1, 2\]"; {"simulation": 3, "data": \[...\]} or {"simulation": 3, "error": "..."} is required'),
        ("nothing", r'answered with "{"simulation": 3}"; .* is required'),
        ("another", r"answered simulation 2; it was asked for 3. It must write one answer for each request"),
        ("huge", r"answered simulation 9000000000000000000; it was asked for 3"),
        ("fewer", r"answered with 2 values; the simulator's shape \(3,\) has 3"),
        ("ragged", r"answered with lists of different lengths; the first ones have the shape \(2, 2\)"),
        ("deep", r"answered with lists in more than 6 levels"),
        ("text", r'answered with ""two"" where a number should be'),
        ("error", r"reports: no convergence"),
        ("twice", r"wrote more than one answer to one request"),
    ],
)
def test_failures_name_the_simulation(simulators, tmp_path, how, sentence):
    path = tmp_path / "model.py"
    path.write_text(MISBEHAVES)
    simulator = simulators(command=[sys.executable, str(path), how], shape=(3,), workers=2, timeout=6 if how == "hangs" else 60)
    with pytest.raises(SimulationError, match=rf"^simulator: simulation 3 with parameters \[.*\] failed: the program {sys.executable} {path} {how} {sentence}"):
        run(simulator, 1)
    assert wait_until(lambda: all(is_alive(pid) for pid in pids(simulator)))
    out = simulator(np.zeros((3, 2)))  # the next ones are made
    np.testing.assert_array_equal(out["sim_data"], np.tile([1.0, 2, 3], (3, 1)))


def test_values_that_are_not_finite_follow_the_policy(simulators, tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MISBEHAVES)
    simulator = simulators(command=[sys.executable, str(path), "nan"])
    out = simulator(np.zeros((8, 2)))["sim_data"]
    assert np.isnan(out[3, 1]) and np.isfinite(np.delete(out, 3, axis=0)).all()
    model = GenerativeModel(PRIOR, simulator, skip_test=True)
    with pytest.raises(SimulationError, match=r"simulation 3 returned nan at entry 1 with parameters"):
        model.presimulate(tmp_path / "refused.h5", 8, progress=False)
    assert model.presimulate(tmp_path / "dropped.h5", 8, nonfinite="drop", max_share=0.5, progress=False)["dropped"] == 1


def test_standard_error_is_logged_with_the_simulations_number(simulators, tmp_path, caplog):
    path = tmp_path / "model.py"
    path.write_text(MISBEHAVES)
    with caplog.at_level(logging.WARNING, "bayesflow_cpp"):
        run(simulators(command=[sys.executable, str(path), "warns"]), 1)
    assert [r.getMessage() for r in caplog.records] == [f"simulation 3: the program {sys.executable} {path} warns wrote to standard error: step size is small"]


CSV = """\
import sys
for line in sys.stdin:
    number = line.split(",")[0]
    print({"garbage": "hello, world", "words": f"{number},1,x", "error": f"{number},error,no, convergence", "fewer": f"{number},1",
           "numbers": f"{number}, +1.5 , NA,-inf,1e-999,1E+02"}[sys.argv[1]], flush=True)
"""


@pytest.mark.parametrize(
    "how, sentence",
    [
        ("garbage", 'wrote a line that does not begin with the number of a simulation: "hello, world"'),
        ("words", 'answered with "x" where value 2 should be'),
        ("error", "reports: no, convergence"),
        ("fewer", r"answered with 1 values; the simulator's shape \(5,\) has 5"),
    ],
)
def test_failures_of_csv(simulators, tmp_path, how, sentence):
    path = tmp_path / "model.py"
    path.write_text(CSV)
    with pytest.raises(SimulationError, match=sentence):
        run(simulators(command=[sys.executable, str(path), how], protocol="csv", shape=(5,)), 1)


def test_numbers_of_csv(simulators, tmp_path):
    path = tmp_path / "model.py"
    path.write_text(CSV)
    out = simulators(command=[sys.executable, str(path), "numbers"], protocol="csv")(np.zeros((1, 2)))["sim_data"]
    np.testing.assert_array_equal(out, [[1.5, np.nan, -np.inf, 0, 100]])


BINARY = """\
import struct, sys
import numpy as np
while head := sys.stdin.buffer.read(32):
    number, seed, p, c = struct.unpack("<4q", head)
    values = np.frombuffer(sys.stdin.buffer.read(8 * (p + c)))
    how = sys.argv[1]
    if how == "echo":
        answer = struct.pack("<2q", number, 3 + p + c) + np.concatenate([[seed, p, c], values]).tobytes()
    if how == "error":
        answer = struct.pack("<2q", number, -9) + b"no memory"
    if how == "garbage":
        answer = b"Hello, world, 1234"
    if how == "large":
        answer = struct.pack("<2q", number, 500_000) + np.full(500_000, values[0]).tobytes()
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
"""


def test_the_binary_protocol(simulators, tmp_path):
    path = tmp_path / "model.py"
    path.write_text(BINARY)
    make = lambda how: simulators(command=[sys.executable, str(path), how], protocol="binary")  # noqa: E731
    theta = np.array([[0.1, 1e-300], [2, 3]])
    out = make("echo")(theta)["sim_data"]
    np.testing.assert_array_equal(out[:, 1:], [[2, 0, 0.1, 1e-300], [2, 0, 2, 3]])
    assert np.all((out[:, 0] >= 0) & (out[:, 0] < 2**31)) and out[0, 0] != out[1, 0]
    with pytest.raises(SimulationError, match="reports: no memory"):
        make("error")(theta)
    with pytest.raises(SimulationError, match="answered with the count .*; the number of the simulation, the count of its values, both as int64"):
        make("garbage")(theta)
    np.testing.assert_array_equal(make("large")(theta)["sim_data"][:, [0, -1]], np.repeat(theta[:, :1], 2, axis=1))


def test_long_requests_and_contexts_arrive(simulators, tmp_path):
    path = tmp_path / "model.py"
    path.write_text(
        'import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(json.dumps({"simulation": r["simulation"], "data": [len(r["parameters"]), *r["context"]]}), flush=True)\n'
    )
    contexts = ContextGenerator(batchable_context_fun=lambda rng: rng.uniform(size=2), non_batchable_context_fun=lambda rng: 7)
    out = simulators(command=[sys.executable, str(path)], context_generator=contexts)(np.zeros((3, 50_000)))
    assert out["sim_data"].shape == (3, 4) and np.all(out["sim_data"][:, [0, 3]] == [50_000, 7])
    np.testing.assert_array_equal(out["sim_data"][:, 1:3], out["batchable_context"])


@pytest.mark.parametrize("language", [LANGUAGES[4], LANGUAGES[5]])
def test_errors_of_helpers(simulators, tmp_path, language):
    given = program(language, tmp_path)
    source = {"R": R, "Octave": OCTAVE}[language].replace("SD", "stop('no convergence')" if language == "R" else "error('no convergence')")
    (tmp_path / given["command"][-1]).write_text(source)
    with pytest.raises(SimulationError, match="simulation 0 .* reports: no convergence"):
        run(simulators(**given))


# --- processes ---


def test_programs_end_with_close_and_start_again(simulators, tmp_path):
    simulator = simulators(**program("Python", tmp_path), workers=2)
    first = run(simulator)
    started = pids(simulator)
    assert started and all(is_alive(pid) for pid in started)
    simulator.close()
    assert not pids(simulator) and not any(is_alive(pid) for pid in started)
    np.testing.assert_array_equal(run(simulator), first)


def test_nothing_is_left_open(simulators, tmp_path):
    given = program("Python", tmp_path)
    files = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731
    run(simulators(**given, workers=2))
    before = files()
    for _ in range(20):
        simulator = Simulator(**given, workers=2)
        run(simulator, 1, 4)
        simulator.close()
    assert files() <= before
    simulator = simulators(**given, workers=2)
    run(simulator, 1, 4)
    opened = files()
    run(simulator, 20, 100)
    assert files() <= opened


SPINS = "import json, sys\nfor line in sys.stdin:\n    while True:\n        pass\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_programs_at_work_end_with_this_one(tmp_path, how):
    (tmp_path / "spins.py").write_text(SPINS)
    code = textwrap.dedent(
        """
        import sys, threading, time, os
        import numpy as np
        from bayesflow_cpp.simulation import Simulator
        simulator = Simulator(command=[sys.executable, "spins.py"], workers=2)
        print("ready", flush=True)
        try:
            simulator(np.zeros((4, 2)))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    programs = lambda: [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if _runs(p, "spins.py", tmp_path)]  # noqa: E731
    try:
        assert child.stdout.readline() == "ready\n"
        assert wait_until(lambda: len(programs()) == 2)
        started = time.monotonic()
        child.send_signal(how)
        child.wait(100)
        took = time.monotonic() - started
        assert wait_until(lambda: not programs(), 60), "programs outlive the one that started them"
        if how == signal.SIGINT:
            assert child.stdout.readline() == "interrupted\n" and took < 60
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def _runs(pid, name, folder):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return name in file.read().split("\0") and os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:
        return False


def test_a_forked_child_has_programs_of_its_own(simulators, tmp_path):
    simulator = simulators(**program("Python", tmp_path), workers=1)
    theta = np.zeros((2, 2))
    simulator(theta)
    (mine,) = pids(simulator)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        status = 1
        try:
            out = simulator(theta)["sim_data"]
            status = 0 if pids(simulator) != [mine] and np.isfinite(out).all() else 2
            simulator.close()
        finally:
            os._exit(status)
    os.close(read)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert is_alive(mine)
    simulator(theta)
    assert pids(simulator) == [mine]


def test_copies_and_pickles(simulators, tmp_path):
    simulator = simulators(**program("Python", tmp_path), workers=1)
    expected = run(simulator)
    for other in (copy.deepcopy(simulator), pickle.loads(pickle.dumps(simulator))):
        np.testing.assert_array_equal(run(other), expected)
        assert pids(other) != pids(simulator)
        other.close()


def test_files_and_training(simulators, tmp_path):
    simulator = simulators(**program("Python", tmp_path), workers=2)
    model = GenerativeModel(PRIOR, simulator)
    for name, threads in (("a.h5", 1), ("b.h5", 2)):
        model.presimulate(tmp_path / name, 40, batch_size=10, threads=threads, progress=False)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(num_params=2, num_coupling_layers=1), bf.networks.DeepSet(summary_dim=2))
    trainer = bf.trainers.Trainer(amortizer=amortizer, generative_model=model)
    losses = trainer.train_online(epochs=1, iterations_per_epoch=3, batch_size=4)
    assert np.isfinite(np.asarray(losses)).all()


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"command": []}, "command must be a list of a program and its arguments"),
        ({"command": "Rscript model.R"}, r"command must be a list, because no shell reads it: command=\['Rscript', 'model.R'\]"),
        ({"command": ["a"], "protocol": "xml"}, 'protocol must be "json", "csv" or "binary"; got \'xml\''),
        ({"command": ["a"], "shape": (0,)}, "positive integers"),
        ({"command": ["a"], "timeout": 0}, "timeout must be the seconds that one simulation may take, above 0; got 0"),
        ({"command": ["a"], "workers": 0}, "workers must be a number of programs, at least 1"),
        ({"command": ["a"], "rows_per_task": 2}, "leave out executor and rows_per_task"),
        ({"command": ["a"], "simulator_fun": len}, "leave out the function, or the command"),
        ({"simulator_fun": len, "timeout": 3}, "protocol, shape and timeout are those of a program; give its command"),
    ],
)
def test_mistakes(given, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Simulator(**given)


def test_a_program_that_is_not_there():
    with pytest.raises(ConfigurationError, match="the program ./no_such_program cannot be started: No such file or directory"):
        Simulator(command=["./no_such_program"])(np.zeros((5, 2)))
    with pytest.raises(ConfigurationError, match="further arguments"):
        Simulator(command=["cat"])(np.zeros((5, 2)), 3)
