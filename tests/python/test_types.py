"""What the package says about the types of its functions."""

import ast
import importlib
import inspect
import pathlib
import sys
import typing

import pytest

import bayesflow_cpp as bf

MODULES = ["simulation", "networks", "amortizers", "trainers", "configuration", "diagnostics", "losses", "computational_utilities", "helper_classes",
           "default_settings", "sensitivity", "optimizers", "native", "latents", "benchmarks", *(f"benchmarks.{name}" for name in bf.benchmarks.available_benchmarks)]  # fmt: skip


def functions_of(value, name):
    """A function, or the public methods and properties of a class, of this package."""
    if inspect.isfunction(value):
        yield name, value
    elif inspect.isclass(value) and not issubclass(value, BaseException):
        for key, member in vars(value).items():
            member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(member) and (not key.startswith("_") or key in ("__init__", "__call__")):
                yield f"{name}.{key}", member


def public_functions():
    places = [(bf, name, "") for name in bf.__all__]
    for module in (importlib.import_module(f"bayesflow_cpp.{m}") for m in MODULES):
        own = [n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", None) == module.__name__]
        places += [(module, name, module.__name__ + ".") for name in getattr(module, "__all__", own)]
    for module, name, prefix in places:
        value = getattr(module, name)
        # What is not there yet is a class or function that raises, whatever it is given.
        if getattr(value, "__module__", "").startswith("bayesflow_cpp") and "Not there" not in (value.__doc__ or "Not there"):
            yield from functions_of(value, prefix + name)


FUNCTIONS = dict(public_functions())


def names_for_checkers(module):
    """The module's names and those that it imports for type checkers only."""
    names = dict(vars(module))
    for statement in ast.parse(pathlib.Path(module.__file__).read_text()).body:
        if isinstance(statement, ast.If) and getattr(statement.test, "id", "") == "TYPE_CHECKING":
            exec(compile(ast.Module(statement.body, []), module.__file__, "exec"), names)
    return names


def test_there_are_functions():
    assert len(FUNCTIONS) > 150
    assert "bayesflow_cpp.trainers.Trainer.train_online" in FUNCTIONS and "bayesflow_cpp.diagnostics.plot_recovery" in FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_and_result_has_a_type(name):
    function = FUNCTIONS[name]
    signature = inspect.signature(function)
    untyped = [p.name for p in signature.parameters.values() if p.name not in ("self", "cls") and p.annotation is p.empty]
    assert not untyped
    assert signature.return_annotation is not signature.empty
    # A constructor's documentation is its class's, a call's that of the class or of what it calls.
    assert function.__doc__ or name.endswith(("__init__", "__call__"))


@pytest.mark.skipif(sys.version_info < (3, 10), reason="types are written as X | Y, which Python evaluates from 3.10 on; type checkers read it anywhere")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_types_are_names_of_something_and_defaults_have_them(name):
    function = FUNCTIONS[name]
    hints = typing.get_type_hints(function, names_for_checkers(sys.modules[function.__module__]))
    for parameter in inspect.signature(function).parameters.values():
        kind = hints.get(parameter.name, typing.Any)
        default = parameter.default
        if default is None:
            assert kind is typing.Any or type(None) in typing.get_args(kind), f"{parameter.name} may be None, its type {kind} may not"
        elif default is not parameter.empty and kind in (bool, int, float, str):
            assert isinstance(default, (int, float) if kind is float else kind), f"{parameter.name} = {default!r} is no {kind}"
