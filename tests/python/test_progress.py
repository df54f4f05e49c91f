"""Which bar is shown where. Kernels are real IPython kernels, fed the cells of a notebook by nbclient."""

import subprocess
import sys

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
    notebook = nbclient.NotebookClient(nbformat.v4.new_notebook(cells=cells), kernel_name="python3", timeout=120)
    cells = notebook.execute().cells
    assert {o.name for o in cells[1].outputs} == {"stdout"}, cells[1].outputs  # messages are no errors
    return cells[2].outputs


def test_a_notebook_without_widgets_shows_a_clean_bar():
    shown = outputs("import sys; sys.modules['ipywidgets'] = sys.modules['IProgress'] = None")
    assert {(o.output_type, o.name) for o in shown} == {("stream", "stdout")}, shown  # no warning, no red background
    text = "".join(o.text for o in shown)
    assert "Training epoch 1: 100%" in text and "Epoch: 1, Iter: 5,Loss: " in text


def test_a_notebook_with_widgets_shows_a_widget():
    pytest.importorskip("ipywidgets")
    shown = outputs("")
    assert [o.output_type for o in shown] == ["display_data"], shown
    assert "application/vnd.jupyter.widget-view+json" in shown[0].data


def test_a_terminal_shows_a_bar_on_stderr():
    out = subprocess.run([sys.executable, "-c", TRAIN + "trainer.train_online(1, 5, 8)"], capture_output=True, text=True, timeout=120)
    assert "Training epoch 1: 100%" in out.stderr and out.stdout == "", out.stdout + out.stderr
