"""The notebooks in examples/ run from top to bottom, quietly, and show what they promise."""

import json
import pathlib
import re
import shutil
import subprocess

import nbformat
import pytest

import notebooks
from test_seed import FEWER_STEPS, log, text

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
# Figures and reports that each shows, and what it prints at the end.
SHOWN = {
    "quickstart": (5, 1, "the same draws: True"),
    "varying_observations": (2, 0, None),
    "prior_sensitivity": (3, 0, None),
    "two_moons": (2, 0, "the density integrates to"),
    "model_comparison": (3, 0, "as it should be: True"),
    "epidemic": (5, 0, "reported cases of the first 30 days: "),
    "groups": (4, 0, None),
    "images": (3, 0, "TARP: p ="),
    "learned_likelihood": (3, 0, "R-hat"),
    "point_estimation": (1, 0, "own loss"),
    "from_cpp": (2, 0, "the same draws: True"),
}


def test_every_notebook_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_committed_without_outputs(name):
    text = (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)
    nbformat.validate(notebook)
    for cell in notebook["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)


@pytest.mark.parametrize("name", SHOWN)
def test_notebook(name, tmp_path):
    if name == "from_cpp" and not any(map(shutil.which, ("g++", "c++", "clang++"))):
        pytest.skip("no C++ compiler")
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    notebooks.run(notebook, tmp_path, BAYESFLOW_EXAMPLE_SMALL="1")
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    figures, reports, words = SHOWN[name]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == figures
    assert sum("<iframe" in o.get("data", {}).get("text/html", "") for o in outputs) == reports
    printed = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    assert words is None or words in printed
    # Log lines and progress bars, nothing else; so few steps may leave a parameter unlearnt, and draws outside of a uniform prior, and then that is said.
    expected = r"INFO:bayesflow_cpp:|WARNING:bayesflow_cpp:.+ was not learnt|Epoch \d+/\d+:"
    said = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stderr")
    said = re.sub(r"\S+: ForeignDataWarning: \S+ % of the draws of .*\n.*\n", "", said)  # with the line of the cell
    odd = [line for line in re.split(r"[\r\n]+", said) if line.strip() and not re.match(expected, line.strip("\x1b[A "))]
    assert odd == []
    # What it writes beside itself, git ignores.
    if (EXAMPLES.parent / ".git").exists() and shutil.which("git"):
        left = [f"examples/{path.relative_to(tmp_path)}" for path in [*tmp_path.rglob("*"), tmp_path / ".ipynb_checkpoints" / "x.ipynb"] if not path.is_dir()]
        ignored = subprocess.run(["git", "check-ignore", "--stdin"], input="\n".join(left), capture_output=True, text=True, cwd=EXAMPLES.parent)
        assert set(left) == set(ignored.stdout.split())


def test_the_readmes_program(tmp_path):
    """Its first example, in fewer steps."""
    program = re.search(r"```python\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(encoding="utf-8"), re.DOTALL).group(1)
    _, cell = notebooks.run_cells([FEWER_STEPS, program], folder=tmp_path)
    assert "1000 draws each" in text(cell) and "Validation, Epoch: 10, Loss: " in log([cell])
    assert (tmp_path / "recovery.png").stat().st_size > 1000
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
