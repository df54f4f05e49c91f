"""The table of v1's names in docs/coming_from_bayesflow_v1.md says what is so."""

import importlib
import pathlib
import re

import pytest

import bayesflow_cpp as bf

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "coming_from_bayesflow_v1.md"
ROWS = [
    [cell.strip().replace("\\", "") for cell in line.strip("|\n").split(" | ")][:3]
    for line in PAGE.read_text(encoding="utf-8").split("## Where v1 goes wrong")[0].splitlines()
    if re.match(r"\| [a-z_.]+ \| [\w.\\]+ \| (not )?there", line)
]


def find(module, name):
    found = bf if module == "" else importlib.import_module(f"bayesflow_cpp.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    return found


def test_the_table_is_read():
    assert len(ROWS) == 154 and len({(module, name) for module, name, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("module", "name", "status"), ROWS, ids=[f"{m}.{n}" for m, n, _ in ROWS])
def test_name(module, name, status):
    if status.startswith("there, as "):
        module, _, name = status[len("there, as ") :].rpartition(".")
        find(module, name)
    elif status.startswith("there"):
        found = find(module, name)
        assert not getattr(found, "__module__", "").endswith("_absent") and "_absent" not in getattr(found, "__qualname__", "")
    else:
        assert status == "not there"
        try:
            found = find(module, name)
        except (AttributeError, ModuleNotFoundError):
            return
        with pytest.raises(bf.exceptions.OperationNotSupportedError):
            found(*[None] * (2 if name == "compute_jacobian_trace" else 0))


@pytest.mark.parametrize("module", sorted({module.split(".")[0] for module, _, status in ROWS} - {"simulation", "configuration", "amortizers", "networks", "losses",
                                           "trainers", "helper_classes", "helper_networks", "attention", "coupling_networks", "wrappers", "computational_utilities", "diagnostics", "sensitivity", "benchmarks", "default_settings", "exceptions", "experimental", "helper_functions", "mcmc"}))  # fmt: skip
def test_modules_that_are_not_there_say_what_to_use(module):
    with pytest.raises(AttributeError, match=f"bayesflow_cpp has no module {module}: "):
        getattr(bf, module)
