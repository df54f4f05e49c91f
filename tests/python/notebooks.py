"""Runs code cells in a real Jupyter kernel, with the package that the tests import."""

import os
import pathlib

import nbclient
import nbformat

import bayesflow_cpp as bf


def run(notebook, folder=None, timeout=3600, **environment):
    """Executes a notebook in place, in `folder`; raises CellExecutionError, with the traceback, for a cell that fails."""
    package = str(pathlib.Path(bf.__file__).resolve().parents[1])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "JUPYTER_PLATFORM_DIRS": "1", **environment}
    client = nbclient.NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(folder or os.getcwd())}})
    client.execute(env=variables)
    return notebook


def run_cells(sources, **options):
    """Executes code cells; returns them with their outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.rstrip("\n")) for source in sources])
    return run(notebook, **options).cells
