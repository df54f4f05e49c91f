"""Building blocks for summary networks of one's own.

A network is described in Python once, and computed by the engine ever after: `SummaryNetwork.call` is run a single time, on a symbolic tensor that
only writes down what is done with it. Training, sampling and files need no Python function, and files no code.
"""

from __future__ import annotations

import numbers
import re
import types
from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._absent import page
from ..exceptions import ConfigurationError, OperationNotSupportedError, ShapeError
from ._base import _SummaryNetwork
from ._settings import _dense

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import ArrayLike, Function

__all__ = ["Dense", "Dropout", "HierarchicalNetwork", "SummaryNetwork", "activation", "concat", "elu", "exponential", "flatten", "gelu", "hard_sigmoid", "leaky_relu",
           "max_pool", "mean_pool", "mish", "relu", "relu6", "repeat", "selu", "sigmoid", "softplus", "softsign", "sum_pool", "swish", "tanh"]  # fmt: skip

_THERE_IS = (
    "a network's `call` describes what the engine is to compute, with Dense, Dropout, mean_pool, max_pool, sum_pool, concat, repeat, flatten, "
    "activation, x[..., a:b], and + - * with tensors of the same shape or with numbers (" + page("python_networks.md") + ")"
)


class _Trace:
    """What `call` has done so far: nodes in order, as keyword arguments of `_core.GraphNode`, and the layers they use."""

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
                name = f"{self._names.get(id(layer), 'dense')}_{number}"
            self._layers[id(layer)] = name, layer
        return self._layers[id(layer)][0]

    def description(self, output):
        """Layers and nodes that `output` needs, as plain data."""
        needed, nodes = {output._name}, []
        for node in reversed(self.nodes):
            if node["name"] in needed:
                needed.update(node["sources"])
                nodes.append(node)
        used = {node.get("layer") for node in nodes}
        return [(name, dict(layer._arguments)) for name, layer in self._layers.values() if name in used], nodes[::-1]

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
        return self._with_number("shift", other) if _is_number(other) else self._with("add", other)

    __radd__ = __add__

    def __sub__(self, other):
        return self._with_number("shift", -other) if _is_number(other) else self._with("subtract", other)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        return self._with_number("scale", other) if _is_number(other) else self._with("multiply", other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        if not _is_number(other):
            raise OperationNotSupportedError("symbolic tensors can be divided by numbers only; give a Dense layer both as its input, and it learns what it needs")
        if other == 0:
            raise ZeroDivisionError("a symbolic tensor is divided by zero")
        return self._with_number("scale", 1 / other)

    def __neg__(self):
        return self._with_number("scale", -1)

    def __pow__(self, power):
        if not _is_number(power) or power != 2:
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
        if method == "__call__" and function.__name__ in operators and len(inputs) == 2 and inputs[1] is self and _is_number(inputs[0]):
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
        _same_trace(op, [self, other])
        return self._trace.node(op, self, other)

    def _with_number(self, op, number):
        return self._trace.node(op, self, number=float(number))


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def _spoken(key):
    parts = key if isinstance(key, tuple) else (key,)
    slice_text = lambda s: ":".join("" if b is None else str(b) for b in ((s.start, s.stop) if s.step is None else (s.start, s.stop, s.step)))  # noqa: E731
    return ", ".join("..." if p is Ellipsis else slice_text(p) if isinstance(p, slice) else repr(p) for p in parts)


def _same_trace(owner, tensors):
    for x in tensors:
        if not isinstance(x, SymbolicTensor):
            raise ConfigurationError(
                f"{owner} takes the symbolic tensors of a SummaryNetwork's `call`; got {type(x).__name__}. To compute with arrays, call the whole network"
            )
        if x._trace is not tensors[0]._trace:
            raise ConfigurationError(f"{owner}: a tensor comes from another run of `call`; keep no symbolic tensors in attributes")
    return tensors[0]._trace


class Dense:
    """A dense layer: y = activation(x W + b) over the last axis, (B, ..., d) -> (B, ..., units). Called twice, it uses the same weights twice.

    Parameters
    ----------
    units : int
    activation : str or function, optional
        relu, leaky_relu, elu, selu, tanh, sigmoid, swish, softplus, exponential, gelu, hard_sigmoid, mish, relu6, softsign; None: none.
    use_bias : bool
    kernel_initializer, bias_initializer : str
        glorot_, he_ or lecun_ with uniform or normal, random_uniform, random_normal, truncated_normal, variance_scaling, zeros, ones; for kernels also
        orthogonal and identity.
    kernel_regularizer : float, optional
        Weight of sum W^2 in the loss.
    """

    def __init__(self, units: int, activation: str | Function | None = None, *, use_bias: bool = True, kernel_initializer: str = "glorot_uniform",
                 bias_initializer: str = "zeros", kernel_regularizer: float | None = None) -> None:
        if not isinstance(units, numbers.Integral) or units < 1:
            raise ConfigurationError(f"Dense: units must be a positive integer; got {units!r}")
        options = dict(use_bias=use_bias, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer)
        self._arguments = _dense(dict(units=int(units), activation=activation, **options), "Dense")
        _core.DenseOptions(**self._arguments)  # unknown names are refused here, where they were written

    def __repr__(self):
        activation = self._arguments["activation"]
        return f"Dense({self._arguments['units']}{'' if activation == 'linear' else f', activation={activation!r}'})"

    def __call__(self, x: SymbolicTensor) -> SymbolicTensor:
        trace = _same_trace("Dense", [x])
        name = trace.layer(self)
        return trace.node("dense", x, stem=name, layer=name)


class Dropout:
    """In training, each element is dropped with probability `rate` and the others are divided by 1 - rate; elsewhere nothing happens."""

    def __init__(self, rate: float) -> None:
        if not _is_number(rate) or not 0 <= rate < 1:
            raise ConfigurationError(f"Dropout: rate must be at least 0 and below 1, so that something is kept; got {rate!r}")
        self._rate = float(rate)

    def __call__(self, x: SymbolicTensor) -> SymbolicTensor:
        return _same_trace("Dropout", [x]).node("dropout", x, number=self._rate)


def activation(x: SymbolicTensor, name: str) -> SymbolicTensor:
    """Elementwise: relu, leaky_relu, elu, selu, tanh, sigmoid, swish, softplus, exponential, gelu, hard_sigmoid, mish, relu6 or softsign."""
    if not isinstance(name, str):
        raise ConfigurationError(f"activation: the name must be a string; got {name!r}")
    _core.DenseOptions(units=1, activation=name, kernel_initializer="zeros", kernel_regularizer=0.0)  # refuses unknown names
    return _same_trace("activation", [x]).node("activation", x, stem=name, activation=name)


def _activation(name, formula):
    def function(x: SymbolicTensor) -> SymbolicTensor:
        return activation(x, name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{formula}, elementwise."
    return function


relu = _activation("relu", "max(x, 0)")
leaky_relu = _activation("leaky_relu", "x where positive, else 0.2 x")
elu = _activation("elu", "x where positive, else e^x - 1")
selu = _activation("selu", "1.0507 x where positive, else 1.0507 * 1.6733 (e^x - 1)")
tanh = _activation("tanh", "tanh x")
sigmoid = _activation("sigmoid", "1 / (1 + e^-x)")
swish = _activation("swish", "x / (1 + e^-x)")
softplus = _activation("softplus", "log(1 + e^x)")
exponential = _activation("exponential", "e^x")
gelu = _activation("gelu", "x P(Z < x) with Z standard normal")
hard_sigmoid = _activation("hard_sigmoid", "0.2 x + 0.5 between 0 and 1")
mish = _activation("mish", "x tanh(log(1 + e^x))")
relu6 = _activation("relu6", "x between 0 and 6")
softsign = _activation("softsign", "x / (1 + |x|)")


def mean_pool(x: SymbolicTensor) -> SymbolicTensor:
    """Mean over observations: (B, ..., N, d) -> (B, ..., d)."""
    return _same_trace("mean_pool", [x]).node("mean_pool", x)


def max_pool(x: SymbolicTensor) -> SymbolicTensor:
    """Maximum over observations: (B, ..., N, d) -> (B, ..., d)."""
    return _same_trace("max_pool", [x]).node("max_pool", x)


def sum_pool(x: SymbolicTensor) -> SymbolicTensor:
    """Sum over observations: (B, ..., N, d) -> (B, ..., d)."""
    return _same_trace("sum_pool", [x]).node("sum_pool", x)


def concat(tensors: Sequence[SymbolicTensor]) -> SymbolicTensor:
    """Side by side on the last axis; all other axes agree."""
    if isinstance(tensors, SymbolicTensor) or not isinstance(tensors, (list, tuple)) or not tensors:
        raise ConfigurationError("concat takes a list of symbolic tensors: concat([a, b])")
    tensors = list(tensors)
    trace = _same_trace("concat", tensors)
    while len(tensors) > 8:  # what the engine joins at once
        tensors = [trace.node("concat", *tensors[:8]), *tensors[8:]]
    return trace.node("concat", *tensors) if len(tensors) > 1 else tensors[0]


def repeat(vector: SymbolicTensor, like: SymbolicTensor) -> SymbolicTensor:
    """A vector for each observation of `like`: (B, ..., d), (B, ..., N, e) -> (B, ..., N, d). Next to `like` in a Dense layer's input,
    ``dense(concat([like, repeat(vector, like)]))``, the copies are never made."""
    return _same_trace("repeat", [vector, like]).node("repeat", vector, like)


def flatten(x: SymbolicTensor, axes: int | None = None) -> SymbolicTensor:
    """The last `axes` axes become one; None: all but the batch, (B, T, d) -> (B, T * d). The network then takes data of that T only."""
    if axes is not None and (not isinstance(axes, numbers.Integral) or axes < 2):
        raise ConfigurationError(f"flatten: axes must be an integer of at least 2, or None for all but the batch; got {axes!r}")
    return _same_trace("flatten", [x]).node("flatten", x, axes=0 if axes is None else int(axes))


def _layer_names(network):
    """Dotted names of the layers in a network's attributes, by id: the shortest way to each, through lists, dictionaries and objects."""
    names, seen, queue = {}, set(), [("", network)]
    while queue:
        following = []
        for path, value in queue:
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Dense):
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


class _Described(_SummaryNetwork):
    """A network from its description, without the class that made it: what pickle and copy give back."""

    def __init__(self, description, seed=None, made_by="SummaryNetwork"):
        super().__init__(seed)
        self._description, self._made_by = description, made_by
        layers, nodes = description
        self._factory, width = _core.graph_network([(name, _core.DenseOptions(**dense)) for name, dense in layers], [_core.GraphNode(**node) for node in nodes])
        self.summary_dim = width or None

    def __reduce__(self):
        return _Described, (self._description, self.seed, self._made_by)

    def __repr__(self):
        return f"<{self._made_by}: {len(self._description[1])} operations, summary_dim {self.summary_dim}; {self._weights()}>"


class SummaryNetwork(_SummaryNetwork):
    """A summary network of your own: make layers in `__init__`, and say in `call` what becomes of the data.

        class MeanAndSpread(bf.networks.SummaryNetwork):
            def __init__(self, units, summary_dim):
                super().__init__()
                self.hidden = bf.networks.Dense(units, activation="relu")
                self.output = bf.networks.Dense(summary_dim)

            def call(self, x):  # x: (B, N, d)
                h = self.hidden(x)
                return self.output(bf.networks.concat([bf.networks.mean_pool(h), bf.networks.max_pool(h)]))

    `call` runs once, on a symbolic tensor; it must return one of shape (B, summary_dim). From then on the engine computes the network: Python takes
    no part in training, and files, pickle and C++ need none of your code. (What pickle and copy give back is the network, not your class.)

    Parameters
    ----------
    seed : int, optional
        Of initialization; None: the trainer's.
    name : str, optional
        For `summary()`.
    """

    # Here too, for classes that forget super().__init__().
    seed = _alone = _amortizer = _traced = _declared = None
    name = "summary_network"

    def __init__(self, seed: int | None = None, *, name: str | None = None) -> None:
        super().__init__(seed, name)

    def __repr__(self):
        if self._traced is None:
            return f"<{type(self).__name__}: not called yet>"
        return f"<{type(self).__name__}: {len(self._traced._description[1])} operations, summary_dim {self._traced.summary_dim}; {self._weights()}>"

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """(B, ..., d) -> (B, summary_dim), of symbolic tensors."""
        raise ConfigurationError(f"{type(self).__name__} must have a method call(self, x) that returns its summaries ({page('python_networks.md')})")

    def __call__(self, x: ArrayLike | SymbolicTensor, *, training: bool = False) -> Any:
        """Summaries of data sets x (B, ..., d): float32 (B, summary_dim). Within another network's `call`, a part of that network."""
        return self.call(x) if isinstance(x, SymbolicTensor) else super().__call__(x, training=training)

    @property
    def summary_dim(self) -> int:
        """Width of the summaries; None if it depends on the data's."""
        return self._described.summary_dim

    @summary_dim.setter
    def summary_dim(self, value: int) -> None:
        self._declared = value

    @property
    def _described(self):
        if self._traced is None:
            name = type(self).__name__
            trace = _Trace(_layer_names(self))
            x = SymbolicTensor(trace, "data")
            y = self.call(x)
            if not isinstance(y, SymbolicTensor) or y._trace is not trace:
                got = "a symbolic tensor of another run" if isinstance(y, SymbolicTensor) else "None (is a return missing?)" if y is None else type(y).__name__
                raise ConfigurationError(f"{name}.call must return one symbolic tensor (B, summary_dim), made from its argument; got {got}")
            if y is x:
                raise ConfigurationError(f"{name}.call returns the data themselves; use no summary network then, and pass the data as direct_conditions")
            described = _Described(trace.description(y), self.seed, name)
            if self._declared is not None and self._declared != described.summary_dim:
                width = f"{described.summary_dim} wide" if described.summary_dim else "as wide as the data make it"
                raise ConfigurationError(f"{name}: summary_dim was set to {self._declared!r}, but what call returns is {width}; leave it out, or end with Dense(summary_dim)")
            self._traced = described
        return self._traced

    @property
    def _factory(self):
        return self._described._factory

    def __reduce__(self):
        return _Described, (self._described._description, self.seed, type(self).__name__)


class HierarchicalNetwork(SummaryNetwork):
    """v1's network for data of groups: each network of the list summarizes what the one before made, (B, G, N, d) -> (B, G, s1) -> (B, s2).

    Parameters
    ----------
    networks_list : list of DeepSet or SummaryNetwork
        From the lowest level up.
    """

    def __init__(self, networks_list: Sequence[_SummaryNetwork], *, name: str | None = None, seed: int | None = None) -> None:
        super().__init__(seed, name=name)
        if not isinstance(networks_list, (list, tuple)) or not networks_list or not all(isinstance(net, _SummaryNetwork) for net in networks_list):
            raise ConfigurationError("HierarchicalNetwork: networks_list must be a list of DeepSets and SummaryNetworks, the lowest level first")
        self.networks = list(networks_list)

    def call(self, x: SymbolicTensor, return_all: bool = False) -> SymbolicTensor:
        """(B, ..., N, d) -> (B, summary_dim), of symbolic tensors."""
        if return_all:
            raise OperationNotSupportedError("HierarchicalNetwork: return_all belongs to TwoLevelAmortizedPosterior, which is not there")
        for net in self.networks:
            x = net(x)
        return x
