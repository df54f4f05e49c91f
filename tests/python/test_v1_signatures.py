"""Every public signature is v1's: names, order and defaults of its arguments; what is further here comes after them and is named in calls."""

import ast
import importlib
import inspect
import pathlib
import types

import numpy as np
import pytest

import bayesflow_cpp as bf

HERE = pathlib.Path(__file__).resolve()
PAGE = HERE.parents[2] / "docs" / "coming_from_bayesflow_v1.md"


def _read(line):
    """name, [(argument, default or None)], [arguments that are named in calls]"""
    name, _, rest = line.partition("(")
    arguments = ast.parse(f"def f({rest}: pass").body[0].args
    positional = [a.arg for a in arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [ast.unparse(d) for d in arguments.defaults]
    return name, list(zip(positional, defaults)), [a.arg for a in arguments.kwonlyargs]


LINES = (HERE.parent / "v1_signatures.txt").read_text(encoding="utf-8").splitlines()
SIGNATURES = {name: (positional, named) for name, positional, named in (_read(line) for line in LINES if line and not line.startswith("#"))}

# Defaults that differ, each with a row of the page.
OTHER_DEFAULTS = {
    ("experimental.rectifiers.RectifiedDistribution.sample", "step_size"),  # a setting of the network
    ("experimental.rectifiers.RectifiedDistribution.log_density", "step_size"),
    ("losses.mmd_summary_space", "z_dist"),  # np.random.standard_normal for tf.random.normal
    ("networks.PMPNetwork", "output_activation"),  # "softmax" for tf.nn.softmax
    ("benchmarks.gaussian_linear.prior", "scale"),
    ("benchmarks.gaussian_linear.simulator", "scale"),
    ("benchmarks.gaussian_linear_uniform.simulator", "scale"),
    ("benchmarks.bernoulli_glm.simulator", "scale_by_T"),
    ("benchmarks.sir.simulator", "scale_by_total"),
}  # fmt: skip


def find(name):
    module, *rest = name.split(".")
    found = importlib.import_module(f"bayesflow_cpp.{module}")
    for part in rest:
        found = getattr(found, part)
    return found


def _rows():
    for line in PAGE.read_text(encoding="utf-8").split("## Where v1 goes wrong")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|\n").split(" | ")]
        if len(cells) >= 3 and cells[2].startswith(("there", "not there")):
            yield f"{cells[0]}.{cells[1]}", cells[2]


# Names that the page calls there, and their methods.
THERE = {name for name, status in _rows() if status.startswith("there") and not status.startswith("there, as")}
# Methods that are not there, each with a remark on the page.
NO_METHODS = {
    *(f"helper_classes.RegressionLRAdjuster.{name}" for name in ("get_slope", "reset", "save_to_file", "load_from_file")),
    *(f"wrappers.SpectralNormalization.{name}" for name in ("build", "normalize_weights", "get_config")),
    *(f"helper_classes.LossHistory.{name}" for name in ("start_new_run", "add_entry", "add_val_entry", "get_running_losses", "flush", "save_to_file", "load_from_file")),
}  # fmt: skip
PRESENT = [name for name in SIGNATURES if (name in THERE or name.rpartition(".")[0] in THERE) and name not in NO_METHODS]


def test_the_table_is_whole():
    assert len(SIGNATURES) == 284 and len(PRESENT) > 85
    without = {name for name in THERE if isinstance(find(name), (dict, list, float, types.ModuleType)) or name.startswith("exceptions.")} | {"configuration.DefaultCombiner"}
    assert THERE - without <= set(SIGNATURES)
    assert not [name for name in NO_METHODS if hasattr(find(name.rpartition(".")[0]), name.rpartition(".")[2])]


@pytest.mark.parametrize("name", PRESENT)
def test_signature(name):
    v1, named = SIGNATURES[name]
    found = find(name)
    if isinstance(found, property):
        assert v1 == []
        return
    ours = [p for p in inspect.signature(found).parameters.values() if p.name != "self"]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in ours)
    positional = [p for p in ours if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert [p.name for p in positional] == [n for n, _ in v1], f"{name}: the order of arguments; what is further must be named in calls (after *)"
    for parameter, (argument, default) in zip(positional, v1):
        if default is not None and (name, argument) not in OTHER_DEFAULTS:
            assert parameter.default is not parameter.empty, f"{name}: {argument} has a default in v1"
            assert _same(parameter.default, default), f"{name}: {argument} = {parameter.default!r}, v1 has {default}"
    keywords = {p.name for p in ours if p.kind is p.KEYWORD_ONLY}
    assert open_ended or set(named) <= keywords, f"{name}: lacks {set(named) - keywords}"


def _same(value, text):
    try:
        wanted = ast.literal_eval(text)
    except ValueError:
        return getattr(value, "__name__", None) == text.rpartition(".")[2] or value == getattr(np, text.rpartition(".")[2], None)
    return value == wanted or {repr(value), repr(wanted)} <= {"None", "{}", "[]"}
