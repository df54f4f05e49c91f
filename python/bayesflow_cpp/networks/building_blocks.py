"""Building blocks for summary networks of one's own.

A network is described in Python once, and computed by the engine ever after: `SummaryNetwork.call` is run a single time, on a symbolic tensor that
only writes down what is done with it. Training, sampling and files need no Python function, and files no code.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

from .. import _core
from .._absent import page
from ..exceptions import ConfigurationError
from ._base import _SummaryNetwork
from ._settings import _dense
from ._tracing import SymbolicTensor, Trace, Traceable, is_number, layer_names, same_trace

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import ArrayLike, Function

__all__ = ["Dense", "Dropout", "SummaryNetwork", "activation", "concat", "elu", "equal", "exponential", "flatten", "gelu", "hard_sigmoid", "leaky_relu",
           "max_pool", "mean_pool", "mish", "relu", "relu6", "repeat", "selu", "sigmoid", "softplus", "softsign", "sum_pool", "swish", "tanh"]  # fmt: skip


class Dense(Traceable):
    """A dense layer: y = activation(x W + b) over the last axis, (B, ..., d) -> (B, ..., units). Called twice, it uses the same weights twice.

    Parameters
    ----------
    units : int
    activation : str or function, optional
        relu, leaky_relu, elu, selu, tanh, sigmoid, swish, softplus, exponential, gelu, hard_sigmoid, mish, relu6, softsign, softmax; None: none.
    use_bias : bool
    kernel_initializer, bias_initializer : str, or an object or configuration of Keras
        glorot_, he_ or lecun_ with uniform or normal, random_uniform, random_normal, truncated_normal, variance_scaling, constant, zeros, ones; for kernels
        also orthogonal and identity. Arguments as in Keras: ``{"class_name": "RandomNormal", "config": {"stddev": 0.1}}``; a `seed` there goes before the
        network's.
    kernel_regularizer : float, optional
        Weight of sum W^2 in the loss.
    """

    def __init__(self, units: int, activation: str | Function | None = None, *, use_bias: bool = True, kernel_initializer: str = "glorot_uniform",
                 bias_initializer: str = "zeros", kernel_regularizer: float | None = None) -> None:
        if not isinstance(units, numbers.Integral) or units < 1:
            raise ConfigurationError(f"Dense: units must be a positive integer; got {units!r}")
        options = dict(use_bias=use_bias, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer)
        self._arguments = _dense(dict(units=int(units), activation=activation, **options), "Dense")
        self._spectral_norm = False  # wrappers.SpectralNormalization sets it
        _core.DenseOptions(**self._arguments)  # unknown names are refused here, where they were written

    @classmethod
    def _of(cls, arguments):
        """A layer of arguments that `_dense` has read already."""
        layer = cls(arguments["units"])
        layer._arguments = dict(arguments)
        return layer

    def __repr__(self):
        activation = self._arguments["activation"]
        return f"Dense({self._arguments['units']}{'' if activation == 'linear' else f', activation={activation!r}'})"

    def __call__(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._node(x)

    def _description(self, name):
        entry = {"name": name, "dense": dict(self._arguments)}
        return {**entry, "spectral_norm": True} if self._spectral_norm else entry


class Dropout:
    """In training, each element is dropped with probability `rate` and the others are divided by 1 - rate; elsewhere nothing happens."""

    def __init__(self, rate: float) -> None:
        if not is_number(rate) or not 0 <= rate < 1:
            raise ConfigurationError(f"Dropout: rate must be at least 0 and below 1, so that something is kept; got {rate!r}")
        self._rate = float(rate)

    def __call__(self, x: SymbolicTensor) -> SymbolicTensor:
        return same_trace("Dropout", [x]).node("dropout", x, number=self._rate)


def activation(x: SymbolicTensor, name: str) -> SymbolicTensor:
    """Elementwise: relu, leaky_relu, elu, selu, tanh, sigmoid, swish, softplus, exponential, gelu, hard_sigmoid, mish, relu6 or softsign; softmax, over the last
    axis."""
    if not isinstance(name, str):
        raise ConfigurationError(f"activation: the name must be a string; got {name!r}")
    _core.DenseOptions(units=1, activation=name, kernel_initializer="zeros", kernel_regularizer=0.0)  # refuses unknown names
    return same_trace("activation", [x]).node("activation", x, stem=name, activation=name)


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
    return same_trace("mean_pool", [x]).node("mean_pool", x)


def max_pool(x: SymbolicTensor) -> SymbolicTensor:
    """Maximum over observations: (B, ..., N, d) -> (B, ..., d)."""
    return same_trace("max_pool", [x]).node("max_pool", x)


def sum_pool(x: SymbolicTensor) -> SymbolicTensor:
    """Sum over observations: (B, ..., N, d) -> (B, ..., d)."""
    return same_trace("sum_pool", [x]).node("sum_pool", x)


def concat(tensors: Sequence[SymbolicTensor]) -> SymbolicTensor:
    """Side by side on the last axis; all other axes agree."""
    if isinstance(tensors, SymbolicTensor) or not isinstance(tensors, (list, tuple)) or not tensors:
        raise ConfigurationError("concat takes a list of symbolic tensors: concat([a, b])")
    tensors = list(tensors)
    trace = same_trace("concat", tensors)
    while len(tensors) > 8:  # what the engine joins at once
        tensors = [trace.node("concat", *tensors[:8]), *tensors[8:]]
    return trace.node("concat", *tensors) if len(tensors) > 1 else tensors[0]


def equal(x: SymbolicTensor, number: float) -> SymbolicTensor:
    """1 where x is the number, else 0: ``equal(x[..., 0:1], 2)`` says which observations are of group 2."""
    if not is_number(number):
        raise ConfigurationError(f"equal: a tensor is compared with a number; got {number!r}")
    return same_trace("equal", [x]).node("equal", x, number=float(number))


def repeat(vector: SymbolicTensor, like: SymbolicTensor) -> SymbolicTensor:
    """A vector for each observation of `like`: (B, ..., d), (B, ..., N, e) -> (B, ..., N, d). Next to `like` in a Dense layer's input,
    ``dense(concat([like, repeat(vector, like)]))``, the copies are never made."""
    return same_trace("repeat", [vector, like]).node("repeat", vector, like)


def flatten(x: SymbolicTensor, axes: int | None = None) -> SymbolicTensor:
    """The last `axes` axes become one; None: all but the batch, (B, T, d) -> (B, T * d). The network then takes data of that T only."""
    if axes is not None and (not isinstance(axes, numbers.Integral) or axes < 2):
        raise ConfigurationError(f"flatten: axes must be an integer of at least 2, or None for all but the batch; got {axes!r}")
    return same_trace("flatten", [x]).node("flatten", x, axes=0 if axes is None else int(axes))


class _Described(_SummaryNetwork):
    """A network from its description, without the class that made it: what pickle and copy give back."""

    def __init__(self, description, seed=None, made_by="SummaryNetwork"):
        super().__init__(seed)
        if isinstance(description, tuple):  # of pickles that are older than layers of other kinds
            layers, nodes = description
            description = {"layers": [{"name": layer, "dense": dense} for layer, dense in layers], "nodes": nodes}
        self._options, self._made_by = description, made_by
        parts = [net._as_part("SummaryNetwork") for net in description.get("networks", ())]
        self._factory = _core.summary_network("GraphNetwork", {**description, "networks": parts})
        self.summary_dim = self._factory.summary_dim or None

    def __reduce__(self):
        return _Described, (self._options, self.seed, self._made_by)

    def __repr__(self):
        return f"<{self._made_by}: {len(self._options['nodes'])} operations, summary_dim {self.summary_dim}; {self._weights()}>"


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
        return f"<{type(self).__name__}: {len(self._traced._options['nodes'])} operations, summary_dim {self._traced.summary_dim}; {self._weights()}>"

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """(B, ..., d) -> (B, summary_dim), of symbolic tensors."""
        raise ConfigurationError(f"{type(self).__name__} must have a method call(self, x) that returns its summaries ({page('python_networks.md')})")

    def __call__(self, x: ArrayLike | SymbolicTensor, *, training: bool = False) -> Any:
        """Summaries of data sets x (B, ..., d): float32 (B, summary_dim). Within another network's `call`, a part of that network."""
        return self.call(x) if isinstance(x, SymbolicTensor) else super().__call__(x, training=training)

    _inline = True

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
            trace = Trace(layer_names(self))
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
        return _Described, (self._described._options, self.seed, type(self).__name__)
