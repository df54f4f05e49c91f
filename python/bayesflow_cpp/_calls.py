"""What the engine's functions say about arguments of the wrong kind: one sentence that names the argument, instead of a list of C++ signatures."""

import collections.abc
import functools
import importlib
import re

import numpy as np

from . import _core
from ._words import argument, in_python, owner
from .exceptions import ArgumentError, BayesFlowError, OutOfMemoryError, ShapeError

_MISFIT = "incompatible function arguments"
_MAX_AXES = 6
_KINDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a text", "numpy.ndarray": "an array", "dict": "a dictionary", "None": "None"}
_PER_SIMULATION = ("BitGenerator", "Rng")  # methods that are called for every simulation, with arguments of ours


def set_up(core):
    """Lets every function, method and constructor of the engine explain itself."""
    for module in (core, core.diagnostics):
        for name, member in list(vars(module).items()):
            kind = type(member).__name__
            if kind == "nb_func":
                setattr(module, name, _explained(member, name))
            elif isinstance(member, type):
                if name not in _PER_SIMULATION:
                    for key, method in list(vars(member).items()):
                        if type(method).__name__ == "nb_method" and (key == "__call__" or not key.startswith("__")):
                            setattr(member, key, _explained(method, key))
                if "__getstate__" in vars(member):
                    member.__reduce__ = _pickled
                setattr(module, name, _Constructor(member))


def _pickled(self):
    """How a result of the engine is pickled: by the name of its class, which the module has wrapped, and its members."""
    cls = type(self)
    return _unpickled, (cls.__module__, cls.__name__, self.__getstate__())


def _unpickled(module, name, state):
    found = getattr(importlib.import_module(module), name)
    self = found._cls.__new__(found._cls)
    self.__setstate__(state)
    return self


class _Constructor:
    """A class of the engine: calls are explained, isinstance works as with the class."""

    def __init__(self, cls):
        self._cls, self._make = cls, _explained(cls, cls.__name__)
        self.__doc__ = cls.__doc__

    def __call__(self, *args, **kwargs):
        return self._make(*args, **kwargs)

    def __instancecheck__(self, value):
        return isinstance(value, self._cls)

    def __getattr__(self, name):
        return getattr(self._cls, name)


def _explained(function, name):
    @functools.wraps(function, assigned=("__name__", "__doc__"), updated=())
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if _MISFIT not in str(error):
                raise
            missing = _core.take_missing_bytes()
            reason = _no_memory(owner(name), missing) if missing else _explanation(str(error), name, args, kwargs)
        except BayesFlowError as error:
            error.args = (in_python(str(error), name), *error.args[1:])
            raise
        except (MemoryError, ValueError) as error:  # std::bad_alloc, std::length_error
            if not isinstance(error, MemoryError) and "vector" not in str(error):
                raise
            reason = _too_large(owner(name), (*args, *kwargs.values()))
        raise reason

    return call


def _no_memory(name, size):
    return OutOfMemoryError(f"{name}: there is not enough memory for an array of {size / 2**20:,.0f} MiB; use fewer or smaller data, or free some memory")


def _too_large(name, values):
    numbers = [v for value in values for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, (int, np.integer))]
    largest = max(numbers, default=0)
    hint = f"fewer or smaller: {largest} is among the arguments" if largest > 10_000 else "fewer or smaller data"
    return OutOfMemoryError(f"{name}: there is not enough memory for what is asked; use {hint}")


def _explanation(message, name, args, kwargs):
    """The exception that says what `message`, which lists the signatures, does not."""
    name = owner(name)
    signature = re.search(r"^\s*1\. \w+\((.*)\) -> .*$", message, re.MULTILINE)
    parameters = [] if signature is None else _split(signature.group(1), ", ")
    if parameters and parameters[0] == "self":
        parameters = parameters[1:]
        args = args if "__init__(" in message else args[1:]
    values = {}
    for i, parameter in enumerate(parameters):
        key, _, kind = parameter.partition(": ")
        kind = _split(kind, " = ")[0]
        if i < len(args):
            values[key] = (kind, args[i])
        elif key in kwargs:
            values[key] = (kind, kwargs[key])
    unknown = [key for key in kwargs if key not in values]
    if unknown or len(args) > len(parameters):
        return TypeError(f"{name}: unknown argument {unknown[0]!r}" if unknown else f"{name}: takes {len(parameters)} arguments; got {len(args)}")
    for key, (kind, value) in values.items():
        if isinstance(value, np.ndarray) and "numpy.ndarray" in kind and value.ndim > _MAX_AXES:
            return ShapeError(f"{name}: {argument(key)} may have at most {_MAX_AXES} axes; got shape {value.shape}")
        if not _fits(kind, value):
            return TypeError(f"{name}: {argument(key)} must be {_in_words(kind)}; got {_shown(value)}")
    for key, (kind, value) in values.items():  # of the right kind, and yet refused: it is beyond what the engine's numbers hold
        if "int" in kind and isinstance(value, (int, np.integer)) and not 0 <= value < 2**31:
            return ArgumentError(f"{name}: {argument(key)} must {'not be negative' if value < 0 else 'be smaller'}; got {value}")
    given = ", ".join(f"{key} = {_shown(value)}" for key, (_, value) in values.items())
    return TypeError(f"{name}: the arguments do not fit: {given}")


def _split(text, separator):
    """At separators that are in no brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "[(") - (c in "])")
        if depth == 0 and text.startswith(separator, i):
            parts.append(text[start:i])
            start = i + len(separator)
    return [*parts, text[start:]]


def _fits(kind, value):
    kinds = _split(kind, " | ")
    return any(_fits_one(k, value) for k in kinds)


def _fits_one(kind, value):
    if kind == "object":
        return True
    if kind == "None":
        return value is None
    if kind == "int":
        return isinstance(value, (int, np.integer))
    if kind == "float":
        return isinstance(value, (int, float, np.number)) and not isinstance(value, np.complexfloating)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "str":
        return isinstance(value, str)
    if kind.startswith("numpy.ndarray"):
        return isinstance(value, np.ndarray)
    if kind.startswith("dict") or "Mapping" in kind:
        return isinstance(value, collections.abc.Mapping)
    if "Callable" in kind:
        return callable(value)
    inner = re.fullmatch(r"(?:collections\.abc\.Sequence|list|tuple)\[(.*)\]", kind)
    if inner:
        if isinstance(value, (str, bytes)) or not isinstance(value, (collections.abc.Sequence, np.ndarray)):
            return False
        element = inner.group(1).replace(", ...", "")
        return "," in element or all(_fits(element, v) for v in value)
    return type(value).__name__ == kind.rpartition(".")[2]  # a class of the engine


def _in_words(kind):
    words = []
    for k in _split(kind, " | "):
        inner = re.fullmatch(r"(?:collections\.abc\.Sequence|list|tuple)\[(.*)\]", k)
        if inner:
            words.append("a list of " + {"str": "texts", "int": "whole numbers", "float": "numbers"}.get(inner.group(1).replace(", ...", ""), "such values"))
        elif "Callable" in k:
            words.append("a function")
        else:
            words.append(next((text for key, text in _KINDS.items() if k == key or k.startswith(key + "[")), k.rpartition(".")[2]))
    return " or ".join(words)


def _shown(value):
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
