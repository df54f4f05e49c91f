"""Which bar is shown where. Kernels are real IPython kernels, fed the cells of a notebook by nbclient."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

TRAIN = """
import bayesflow_cpp as bf
model = bf.simulation.GenerativeModel(
    bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4)), bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, size=(10, 4))))
trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(4, 2), bf.networks.DeepSet()), model)
"""

def outputs(before):
    cells = [nbformat.v4.new_code_cell(source) for source in (before, TRAIN, "history = trainer.train_online(1, 5, 8)")]
    notebook = nbclient.NotebookClient(nbformat.v4.new_notebook(cells=cells), kernel_name="python3", timeout=300)
    cells = notebook.execute().cells
    assert {o.name for o in cells[1].outputs} == {"stdout"}, cells[1].outputs  # messages are no errors
    return cells[2].outputs


def test_a_notebook_without_widgets_shows_a_clean_bar():
    shown = outputs("import sys; sys.modules['ipywidgets'] = sys.modules['IProgress'] = None")
    assert {(o.output_type, o.name) for o in shown} == {("stream", "stdout")}, shown  # no warning, no red background
    text = "".join(o.text for o in shown)
    assert "Epoch 1/1: 100%" in text and ", Loss: " in text and text.count("Avg.Loss: ") >= 1


def test_a_notebook_with_widgets_shows_a_widget():
    pytest.importorskip("ipywidgets")
    shown = outputs("")
    assert [o.output_type for o in shown] == ["display_data"], shown
    assert "application/vnd.jupyter.widget-view+json" in shown[0].data


def test_a_terminal_shows_a_bar_on_stderr():
    out = subprocess.run([sys.executable, "-c", TRAIN + "trainer.train_online(1, 5, 8)"], capture_output=True, text=True, timeout=300)
    assert "Epoch 1/1: 100%" in out.stderr and out.stdout == "", out.stdout + out.stderr


def on_a_terminal(code, columns):
    """What a program shows on a terminal of so many columns: its lines, each as it was drawn last."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    child = subprocess.Popen([sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    text = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # the child has closed its end
            break
        if not part:
            break
        text += part
    os.close(controller)
    assert child.wait(240) == 0, text.decode()
    return text.decode().replace("\r\n", "\n").split("\n")


LONG = "import time\n" + TRAIN.replace("lambda theta, rng:", "lambda theta, rng: time.sleep(0.002) or")


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_bar_fits_into_the_terminal_and_shows_the_loss(columns):
    lines = on_a_terminal(LONG + "trainer.train_online(12, 60, 8, validation_sims=20)", columns)
    bars = [line for line in lines if "%|" in line.split("\r")[-1]]
    assert len(bars) == 12
    for line in bars:
        drawn = line.split("\r")
        assert max(map(len, drawn)) <= columns, max(drawn, key=len)
        assert " Loss: " in drawn[-1] and (" LR: " in drawn[-1]) == (columns == 160), drawn[-1]
        assert drawn[-1].count("60/60") == 1 and drawn[-1].startswith("Epoch "), drawn[-1]
    messages = [line for line in lines if "Validation, Epoch" in line]
    assert len(messages) == 12
    for line in messages:  # nothing but the message is left on its line
        assert line.split("\r")[-1].startswith("INFO:bayesflow_cpp:Validation"), line


def test_a_bar_of_simulations_that_were_found(tmp_path):
    code = TRAIN + f"model.presimulate({str(tmp_path / 's.h5')!r}, 40)"
    for _ in range(2):
        assert any("100%|" in line and "40/40" in line for line in on_a_terminal(code, 100))


def test_bars_of_tests_and_experiments():
    code = TRAIN + (
        "trainer.mmd_hypothesis_test(model(5)['sim_data'], num_reference_simulations=50, num_null_samples=25)\n"
        "one, two = dict(name='a', values=[0, 1]), dict(name='b', values=[0, 1, 2])\n"
        "bf.sensitivity.misspecification_experiment(trainer, lambda a, b: model, one, two, n_posterior_samples=5, n_sim=6)\n"
    )
    lines = on_a_terminal(code, 100)
    assert any("MMD under the model: 100%|" in line and "25/25" in line for line in lines)
    assert any("Misspecified models: 100%|" in line and "6/6" in line for line in lines)
    quiet = on_a_terminal(code.replace("bf.networks.DeepSet()), model)", "bf.networks.DeepSet()), model, progress=False)"), 100)
    assert not any("%|" in line for line in quiet)
