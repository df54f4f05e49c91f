"""Mistakes that people make, and the sentences that they get: each names what is wrong and what to write."""

import importlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import _absent
from bayesflow_cpp.exceptions import BayesFlowError, ConfigurationError, OperationNotSupportedError
from bayesflow_cpp.simulation import GenerativeModel, Prior, Simulator
from test_names import ROWS

PRIOR = Prior(prior_fun=lambda rng: rng.normal(size=2))
SIMULATOR = Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, size=(5, 2)))


def model(prior=PRIOR, simulator=SIMULATOR):
    return GenerativeModel(prior, simulator)


def amortizer():
    flow = bf.networks.InvertibleNetwork(2, 1, coupling_settings={"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False})
    return bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(2, num_equiv=0))


def trainer(**options):
    return bf.trainers.Trainer(amortizer(), model(), progress=False, **options)


class Keras:
    """Of another package, with a name that is ours too."""


Keras.__module__, Keras.__qualname__ = "keras.src.optimizers.adam", "Adam"
RAGGED = [[1.0] * 5, [1.0] * 3]
X = np.zeros((4, 5, 2))

MISTAKES = {
    # what functions return
    "a dictionary of a prior": (lambda: model(Prior(prior_fun=lambda: {"a": 1.0, "b": 2.0})), r"prior: its function returned a dict with the keys 'a', 'b'; return the numbers as one array"),
    "a dictionary of a simulator": (lambda: model(simulator=Simulator(simulator_fun=lambda t: {"x": t})), "simulator: its function returned a dict with the keys 'x'"),
    "a text of a simulator": (lambda: model(simulator=Simulator(simulator_fun=lambda t: "x")), "simulator: its function returned a str"),
    "a dictionary of a batched prior": (lambda: model(Prior(batch_prior_fun=lambda batch_size: {"a": 1.0})), "prior: its function returned a dict"),
    "a tuple of unequal parts": (
        lambda: model(simulator=Simulator(simulator_fun=lambda t: (np.zeros(5), np.zeros(3)))), r"simulator: simulation 0 returned a tuple of the shapes \(5,\), \(3,\), which are no one array; join them"
    ),
    "a list of lists of unequal length": (lambda: model(simulator=Simulator(simulator_fun=lambda t: RAGGED)), r"simulation 0 returned a list of the shapes \(5,\), \(3,\)"),
    "a batch of unequal parts": (
        lambda: model(simulator=Simulator(batch_simulator_fun=lambda t: [np.zeros(5), np.zeros(3)])), r"simulator: its data must be a rectangular array.*the shapes \(5,\) and \(3,\)"
    ),
    # arrays
    "ragged simulations": (lambda: trainer().train_offline({"prior_draws": np.zeros((2, 2)), "sim_data": RAGGED}, 1, 2), r"^sim_data must be a rectangular array, all parts of one shape; got a list of the shapes \(5,\) and \(3,\)$"),
    "ragged observations": (lambda: bf.configuration.DefaultPosteriorConfigurator()({"obs_data": RAGGED}), "^obs_data must be a rectangular array"),
    "deeper raggedness": (lambda: bf.configuration.DefaultPosteriorConfigurator()({"obs_data": [RAGGED, RAGGED]}), r"a list of the shapes \(5,\) and \(3,\)$"),
    "observations for training": (lambda: bf.save_simulations({"prior_draws": np.zeros((2, 2)), "obs_data": RAGGED}, "s.h5"), "^obs_data must be"),
    "texts as objects": (lambda: amortizer().sample({"summary_conditions": np.array([[["1", "2"]]], object)}, 5), r"summary_conditions must hold numbers; got texts, '1' for one: convert them \(astype\(float\)\)"),
    "texts": (lambda: amortizer().sample({"summary_conditions": np.array([[["1", "2"]]])}, 5), r"must hold real numbers; got dtype <U1: convert them"),
    # arguments
    "True for a number of samples": (lambda: amortizer().sample({"summary_conditions": X}, True), "n_samples must be a positive integer; got True$"),
    "sample's arguments exchanged": (lambda: amortizer().sample(100, {"summary_conditions": X}), "the inputs come first, then n_samples"),
    "prior and simulator exchanged": (lambda: GenerativeModel(SIMULATOR, PRIOR), "the prior comes first, then the simulator; got a Simulator and a Prior: exchange them"),
    "amortizer and model exchanged": (lambda: bf.trainers.Trainer(model(), amortizer()), "the amortizer comes first, then the generative model; got a GenerativeModel first: exchange them"),
    "networks exchanged": (
        lambda: bf.amortizers.AmortizedPosterior(bf.networks.DeepSet(2), bf.networks.InvertibleNetwork(2)), "the inference network comes first, then the summary network; exchange them"
    ),
    "draws and truths exchanged": (lambda: bf.diagnostics.sbc_ranks(np.zeros((30, 2)), np.zeros((30, 20, 2))), "come first, then truths .*; exchange them"),
    "a function of one draw as the first argument": (lambda: model(Prior(lambda: np.zeros(2))), r"batch_prior_fun, draws a whole batch and takes batch_size; a function of one draw is given as Prior\(prior_fun=...\)"),
    "a prior of a prior": (lambda: Prior(prior_fun=PRIOR), "its function is a Prior; give the function that draws, or use the Prior itself"),
    "an optimizer of Keras": (lambda: trainer().train_online(1, 1, 4, optimizer=Keras()), r"one of bayesflow_cpp.optimizers \(Adam, AdamW, SGD\) or None; got keras.src.optimizers.adam.Adam$"),
    "an array for a prior": (lambda: bf.diagnostics.plot_prior2d(np.zeros((9, 2))), r"plot_prior2d: prior must be a Prior.*got an array of shape \(9, 2\)"),
    "an array for a prior of a posterior": (lambda: bf.diagnostics.plot_posterior_2d(np.zeros((9, 2)), np.zeros((9, 2))), r"prior must be a Prior; got an array of shape \(9, 2\). Draws of a prior are given as prior_draws=..."),
    "a function for a prior": (lambda: bf.diagnostics.plot_prior2d(lambda n: np.zeros((n, 2))), r"plot_prior2d: prior\(2000\) must return a dictionary with \"prior_draws\""),
    "no summary network": (
        lambda: bf.trainers.Trainer(
            bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 1)), model(), lambda f: {"parameters": f["prior_draws"], "direct_conditions": f["sim_data"][:, 0]}, progress=False
        ).mmd_hypothesis_test({"direct_conditions": np.zeros((4, 2))}),
        "it compares summaries, and this amortizer has no summary network; compare the data themselves by diagnostics.mmd_hypothesis_test",
    ),
    "a path that is not UTF-8": (lambda: bf.load_amortizer(os.fsdecode(b"model\xff.h5")), "load_amortizer: path must be a path in UTF-8; got 'model.udcff.h5'"),
    "a path of bytes that is not UTF-8": (lambda: bf.save_simulations(model()(3), b"s\xff.h5"), "must be a path in UTF-8"),
    "a folder that is not UTF-8": (lambda: trainer(checkpoint_path=b"kept\xff"), "Trainer: checkpoint_path must be a path in UTF-8"),
}


@pytest.mark.parametrize("call, words", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BayesFlowError, match=words) as caught:
        call()
    assert "inhomogeneous" not in str(caught.value) and "::" not in str(caught.value)
    assert os.listdir() == []


# --- names of BayesFlow v1 and 2 ---


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, n, status in ROWS if status == "not there"], ids=lambda v: v)
def test_names_of_v1_that_are_not_there_can_be_imported_or_say_why(module, name):
    first = name.split(".")[0]
    try:
        exec(f"from bayesflow_cpp{'.' + module if module else ''} import {first} as x", found := {})
    except ImportError as error:
        assert re.match(f"bayesflow_cpp has no module {module.split('.')[0]}: .{{15}}", str(error))
        return
    with pytest.raises(OperationNotSupportedError, match=f"{first}.* is not there|{first} differentiates"):
        found["x"](*[None] * (2 if name == "compute_jacobian_trace" else 0))


@pytest.mark.parametrize("name", [*_absent.MODULES, *_absent.VERSION_2])
def test_modules_and_names_that_are_not_there(name):
    for statement in (f"import bayesflow_cpp.{name}", f"from bayesflow_cpp import {name}", f"from bayesflow_cpp.{name} import anything"):
        with pytest.raises(ImportError, match=f"^bayesflow_cpp has no (module )?{name}"):
            exec(statement)
    with pytest.raises(AttributeError, match=f"^bayesflow_cpp has no (module )?{name}"):
        getattr(bf, name)
    assert not hasattr(bf, name)
    if name in _absent.VERSION_2:
        with pytest.raises(AttributeError) as caught:
            getattr(bf, name)
        assert "BayesFlow 2" in open(str(caught.value).split("beside ours: ")[1], encoding="utf-8").readline()


@pytest.mark.parametrize("name", [*_absent.VERSION_2_NETWORKS])
def test_networks_of_version_2(name):
    exec(f"from bayesflow_cpp.networks import {name} as x", found := {})
    with pytest.raises(OperationNotSupportedError, match=f"^{name} is not there; it is BayesFlow 2's: .*coming_from_bayesflow_v2.md"):
        found["x"](depth=3)
    with pytest.raises(OperationNotSupportedError):
        type("Mine", (found["x"],), {})


def test_other_names_have_pythons_own_words():
    with pytest.raises(ModuleNotFoundError, match="^No module named 'bayesflow_cpp.nothing'$"):
        importlib.import_module("bayesflow_cpp.nothing")
    with pytest.raises(AttributeError, match="^module 'bayesflow_cpp' has no attribute 'nothing'$"):
        bf.nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from bayesflow_cpp import nothing")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bf.networks.nothing


def test_pages_that_messages_name_are_there():
    with pytest.raises(OperationNotSupportedError) as caught:
        bf.networks.DeepSet(pooling_fun=max)
    page = re.search(r"\((.*python_networks.md)\)", str(caught.value)).group(1)
    assert os.path.isabs(page) and "Dense" in open(page, encoding="utf-8").read()
    for path in os.listdir(os.path.dirname(_absent.__file__)):
        if path.endswith(".py"):
            with open(os.path.join(os.path.dirname(_absent.__file__), path), encoding="utf-8") as file:
                messages = re.findall(r"(?:Error\(|absent\().*docs/\w+\.md", file.read())
            assert not messages, path  # pages are named by _absent.page


# --- programs without a terminal, and those that are run again ---


def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, **options)


TRAINS = """
import sys
import numpy as np
import bayesflow_cpp as bf
from bayesflow_cpp.simulation import GenerativeModel, Prior, Simulator
def trainer(folder=None):
    model = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=2)), Simulator(simulator_fun=lambda t, rng: rng.normal(t, size=(5, 2))))
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 1), bf.networks.DeepSet(2, num_equiv=0))
    return bf.trainers.Trainer(amortizer, model, checkpoint_path=folder)
"""


def test_a_program_without_stderr():
    done = run(TRAINS + "sys.stderr = None\nt = trainer()\nt.train_online(1, 3, 4)\nt.generative_model.presimulate('/dev/shm/bf_%d.h5' % __import__('os').getpid(), 8)\nprint(len(t.runs))"
                        "\n__import__('os').remove('/dev/shm/bf_%d.h5' % __import__('os').getpid())")
    assert done.stdout.strip() == "1", (done.stdout, done.stderr)


def test_a_program_that_is_run_again_says_that_it_trained_nothing(tmp_path):
    code = TRAINS + f"print(len(trainer({str(tmp_path)!r}).train_online(1, 3, 4)))"
    assert "trained nothing" not in run(code).stderr
    again = run(code)
    assert again.stdout.strip() == "3"
    said = next(line for line in again.stderr.splitlines() if "trained nothing" in line)
    assert said.startswith("WARNING:bayesflow_cpp:train_online trained nothing, because the checkpoint has it as a call that ended: Training completed.")
    assert 'set resume = "state"' in said and "another folder" in said


def test_a_cell_may_be_run_again(tmp_path):
    """The name still holds the trainer of the last time when the new one is made."""
    kept = trainer(checkpoint_path=tmp_path)
    kept.train_online(1, 3, 4)
    former, kept = kept, trainer(checkpoint_path=str(tmp_path) + "/.")
    assert len(kept.runs) == 1
    kept.train_online(1, 3, 4)
    assert len(kept.train_online(1, 2, 4)) == 5
    assert len(former.runs) == 1 and len(former.loss_history.total_loss) == 3
    with pytest.raises(ConfigurationError, match="train_online: another Trainer was made for the checkpoint folder .*, and has it now; train with that one"):
        former.train_online(1, 2, 4)
    del kept
    assert len(trainer(checkpoint_path=tmp_path).runs) == 2


def test_a_trainer_at_work_keeps_its_folder(tmp_path):
    caught = []

    def progress(*_):
        if not caught:
            with pytest.raises(bf.exceptions.IoError, match="is in use by another trainer") as error:
                trainer(checkpoint_path=tmp_path)
            caught.append(error)
        return True

    t = bf.trainers.Trainer(amortizer(), model(), progress=progress, checkpoint_path=tmp_path)
    t.train_online(1, 3, 4)
    assert caught and len(t.train_online(1, 3, 4)) == 6


def test_ctrl_c_is_what_the_page_says():
    text = open(_absent.page("training.md"), encoding="utf-8").read()
    assert "KeyboardInterrupt" in text.split("## Interruption")[1].split("##")[0]
    code = TRAINS + """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
t = trainer()
sent = []
def stop(*_):
    if not sent:  # a second one would end the process at once
        sent.append(os.kill(os.getpid(), signal.SIGINT))
    return True
model = t.generative_model
u = bf.trainers.Trainer(t.amortizer, model, progress=stop)
try:
    u.train_online(1, 1000, 4)
except KeyboardInterrupt as error:
    print(u.runs[-1].stop, len(u.loss_history.total_loss) < 1000, "trainer.loss_history" in str(error))
"""
    assert run(code).stdout.strip() == "interrupted True True"
