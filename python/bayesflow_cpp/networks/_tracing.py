"""Symbolic tensors: a network's `call` runs once, on one, and what it does becomes a description that the engine computes."""

from __future__ import annotations

import numbers
import re
import types

import numpy as np

from .._absent import page
from ..exceptions import ConfigurationError, OperationNotSupportedError, ShapeError

_THERE_IS = (
    "a network's `call` describes what the engine is to compute, with layers and networks as Dense, Dropout, LSTM and DeepSet, mean_pool, max_pool, sum_pool, concat, repeat, flatten, "
    "activation, x[..., a:b], and + - * with tensors of the same shape or with numbers (" + page("python_networks.md") + ")"
)


class Traceable:
    """What a traced network may hold by name: layers, and networks that are parts of it. `_group`: the list of the description that it belongs to."""

    _group, _op = "layers", "dense"
    _inline = False  # of networks whose own layers become those of the network around them

    def _description(self, name):
        """As an entry of the list `_group`."""
        raise NotImplementedError

    def _node(self, *sources, **settings):
        trace = same_trace(type(self).__name__, list(sources))
        name = trace.layer(self)
        return trace.node(self._op, *sources, stem=name, layer=name, **settings)


class Trace:
    """What `call` has done so far: nodes in order, and the layers they use."""

    def __init__(self, names):
        self._names = names  # of layers, by id
        self._layers = {}  # id -> (name, layer)
        self._taken = {"data"}
        self.nodes = []

    def node(self, op, *sources, stem=None, **settings):
        name = self._unique(stem or op)
        self.nodes.append(dict(name=name, op=op, sources=[s._name for s in sources], **settings))
        return SymbolicTensor(self, name)

    def layer(self, layer):
        if id(layer) not in self._layers:
            taken = {name for name, _ in self._layers.values()}
            name, number = self._names.get(id(layer)), 0
            while name is None or name in taken:
                number += 1
                name = f"{self._names.get(id(layer), layer._op)}_{number}"
            self._layers[id(layer)] = name, layer
        return self._layers[id(layer)][0]

    def description(self, output):
        """Layers and nodes that `output` needs, as the options of the engine's GraphNetwork; parts are the networks' objects."""
        needed, nodes = {output._name}, []
        for node in reversed(self.nodes):
            if node["name"] in needed:
                needed.update(node["sources"])
                nodes.append(node)
        used = {node.get("layer") for node in nodes}
        out = {"layers": [], "nodes": nodes[::-1]}
        for name, layer in self._layers.values():
            if name not in used:
                continue
            if layer._group == "networks":
                out.setdefault("network_names", []).append(name)
            out.setdefault(layer._group, []).append(layer._description(name))
        return out

    def _unique(self, stem):
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name


class SymbolicTensor:
    """A value of the network that is being described. It has no numbers, and its numbers of data sets and observations are left open."""

    __slots__ = ("_name", "_trace")

    def __init__(self, trace, name):
        self._trace, self._name = trace, name

    # --- what there is ---
    def __add__(self, other):
        return self._with_number("shift", other) if is_number(other) else self._with("add", other)

    __radd__ = __add__

    def __sub__(self, other):
        return self._with_number("shift", -other) if is_number(other) else self._with("subtract", other)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        return self._with_number("scale", other) if is_number(other) else self._with("multiply", other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        if not is_number(other):
            raise OperationNotSupportedError("symbolic tensors can be divided by numbers only; give a Dense layer both as its input, and it learns what it needs")
        if other == 0:
            raise ZeroDivisionError("a symbolic tensor is divided by zero")
        return self._with_number("scale", 1 / other)

    def __neg__(self):
        return self._with_number("scale", -1)

    def __pow__(self, power):
        if not is_number(power) or power != 2:
            raise OperationNotSupportedError(f"the only power of symbolic tensors is x ** 2; got {power!r}. Products give others: x * x * x")
        return self * self

    def __getitem__(self, key):
        fits = isinstance(key, tuple) and len(key) == 2 and key[0] is Ellipsis and isinstance(key[1], slice) and key[1].step in (None, 1)
        if fits:
            first, last = key[1].start or 0, key[1].stop
            fits = all(isinstance(bound, numbers.Integral) for bound in (first, 0 if last is None else last))
        if not fits:
            raise OperationNotSupportedError(f"symbolic tensors are sliced on the last axis only: x[..., a:b]; got x[{_spoken(key)}]")
        if last == 0:
            raise ShapeError("x[..., a:0] has no columns")
        return self._trace.node("columns", self, first=int(first), last=0 if last is None else int(last))

    # --- what there is not ---
    def _no_values(self, *args, **kwargs):
        raise ConfigurationError(
            "a symbolic tensor has no values: `call` runs once, before there are data, so Python's if, for, len, float and comparisons cannot depend "
            f"on them; {_THERE_IS}"
        )

    __bool__ = __len__ = __iter__ = __float__ = __int__ = __index__ = __contains__ = _no_values
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _no_values
    __hash__ = object.__hash__

    def _not_there(self, *args, **kwargs):
        raise OperationNotSupportedError(f"this operator does not exist for symbolic tensors; {_THERE_IS}")

    __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __rpow__ = __matmul__ = __rmatmul__ = __abs__ = __setitem__ = _not_there

    def __array__(self, *args, **kwargs):
        raise ConfigurationError(f"NumPy cannot compute with a symbolic tensor; {_THERE_IS}")

    def __array_function__(self, function, types, args, kwargs):
        raise ConfigurationError(f"numpy.{function.__name__} cannot compute with a symbolic tensor; {_THERE_IS}")

    def __array_ufunc__(self, function, method, *inputs, **kwargs):
        operators = {"add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__"}
        if method == "__call__" and function.__name__ in operators and len(inputs) == 2 and inputs[1] is self and is_number(inputs[0]):
            return getattr(self, operators[function.__name__])(inputs[0])  # a scalar of NumPy on the left
        raise ConfigurationError(f"numpy.{function.__name__} cannot compute with a symbolic tensor; {_THERE_IS}")

    def __getattr__(self, name):
        if name == "shape" or name == "ndim":
            raise ConfigurationError(
                f"a symbolic tensor has no {name}: `call` runs once, before there are data, and numbers of observations may differ between them. Widths are "
                "found when the data come; give the units that you need as arguments of the network"
            )
        raise AttributeError(f"a symbolic tensor has no {name!r}; {_THERE_IS}")

    def __repr__(self):
        return f"SymbolicTensor({self._name!r})"

    def _with(self, op, other):
        if not isinstance(other, SymbolicTensor):
            raise ConfigurationError(f"symbolic tensors are combined with each other and with numbers; got {type(other).__name__}")
        same_trace(op, [self, other])
        return self._trace.node(op, self, other)

    def _with_number(self, op, number):
        return self._trace.node(op, self, number=float(number))


def is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def _spoken(key):
    parts = key if isinstance(key, tuple) else (key,)
    slice_text = lambda s: ":".join("" if b is None else str(b) for b in ((s.start, s.stop) if s.step is None else (s.start, s.stop, s.step)))  # noqa: E731
    return ", ".join("..." if p is Ellipsis else slice_text(p) if isinstance(p, slice) else repr(p) for p in parts)


def same_trace(owner, tensors):
    for x in tensors:
        if not isinstance(x, SymbolicTensor):
            raise ConfigurationError(
                f"{owner} takes the symbolic tensors of a SummaryNetwork's `call`; got {type(x).__name__}. To compute with arrays, call the whole network"
            )
        if x._trace is not tensors[0]._trace:
            raise ConfigurationError(f"{owner}: a tensor comes from another run of `call`; keep no symbolic tensors in attributes")
    return tensors[0]._trace


def layer_names(network):
    """Dotted names of the layers in a network's attributes, by id: the shortest way to each, through lists, dictionaries and objects."""
    names, seen, queue = {}, set(), [("", network)]
    while queue:
        following = []
        for path, value in queue:
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Traceable) and not value._inline:
                names[id(value)] = re.sub(r"[^A-Za-z0-9_.-]", "_", path)
                continue
            if isinstance(value, (list, tuple)):
                items = enumerate(value)
            elif isinstance(value, dict):
                items = value.items()
            elif hasattr(value, "__dict__") and not isinstance(value, (type, types.ModuleType, types.FunctionType)):
                items = [(key, item) for key, item in vars(value).items() if key not in ("_amortizer", "_alone", "_traced")]
            else:
                continue
            following.extend((f"{path}.{key}" if path else str(key), item) for key, item in items)
        queue = following
    return names
