"""Layers of other kinds than dense, for networks of one's own: normalization, convolutions, recurrent layers, attention."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

from .._arrays import as_choice, as_count, as_flag
from ..exceptions import ConfigurationError
from ._settings import _initializer, _name
from ._tracing import SymbolicTensor, Traceable, is_number
from .building_blocks import concat

if TYPE_CHECKING:
    from .._types import Function

__all__ = ["Conv1D", "Conv2D", "GRU", "LSTM", "LayerNormalization", "MultiHeadAttention", "Weights"]


class LayerNormalization(Traceable):
    """gain (x - mean) / sqrt(variance + 0.001) + bias over the last axis, with learnt gain and bias (Ba et al. 2016)."""

    _group, _op = "norms", "layer_norm"

    def __call__(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._node(x)

    def _description(self, name):
        return {"name": name}


class _Convolution(Traceable):
    _group, _op = "convolutions", "conv"

    def _set_up(self, filters, size, activation, padding, dilation_rate, paddings):
        owner = type(self).__name__
        self._settings = {
            "filters": as_count(filters, f"{owner}: filters"),
            "size": [as_count(s, f"{owner}: kernel_size") for s in size],
            "dilation": as_count(dilation_rate, f"{owner}: dilation_rate"),
            "causal": as_choice(padding, f"{owner}: padding", paddings) == "causal",
            "activation": "linear" if activation is None else _name(activation, owner, "activation"),
        }

    def __call__(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._node(x)

    def _description(self, name):
        return {"name": name, **self._settings}

    def __repr__(self):
        return f"{type(self).__name__}({self._settings['filters']}, {tuple(self._settings['size'])})"


class Conv1D(_Convolution):
    """A convolution along the observations, (B, ..., T, d) -> (B, ..., T, filters), without strides. Observations that a mask takes away count as 0.

    Parameters
    ----------
    filters, kernel_size, dilation_rate : int
    activation : str or function, optional
        As that of `Dense`.
    padding : "same" or "causal"
        Zeros on both sides, or only in front, so that a result sees nothing that comes later.
    """

    def __init__(self, filters: int, kernel_size: int = 3, *, activation: str | Function | None = None, padding: str = "same", dilation_rate: int = 1) -> None:
        self._set_up(filters, [kernel_size], activation, padding, dilation_rate, ("same", "causal"))


class Conv2D(_Convolution):
    """A convolution over images, (B, height, width, d) -> (B, height, width, filters), without strides, with zeros around the image.

    Parameters
    ----------
    filters, dilation_rate : int
    kernel_size : int or (height, width)
    activation : str or function, optional
        As that of `Dense`.
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int] = 3, *, activation: str | Function | None = None, dilation_rate: int = 1) -> None:
        size = [kernel_size] * 2 if isinstance(kernel_size, numbers.Integral) else list(kernel_size) if isinstance(kernel_size, (list, tuple)) else []
        if len(size) != 2:
            raise ConfigurationError(f"Conv2D: kernel_size must be an integer or a pair (height, width); got {kernel_size!r}")
        self._set_up(filters, size, activation, "same", dilation_rate, ("same",))


class _Cell(Traceable):
    """One direction."""

    _group, _op = "recurrents", "recurrent"

    def __init__(self, **settings):
        self._settings = settings

    def __call__(self, x):
        return self._node(x)

    def _description(self, name):
        return {"name": name, **self._settings}


class _Recurrent(_Cell):
    def __init__(self, units: int, *, return_sequences: bool = False, bidirectional: bool = False, go_backwards: bool = False) -> None:
        owner = type(self).__name__
        units, sequences = as_count(units, f"{owner}: units"), as_flag(return_sequences, f"{owner}: return_sequences")
        both, reverse = as_flag(bidirectional, f"{owner}: bidirectional"), as_flag(go_backwards, f"{owner}: go_backwards")
        if both and reverse:
            raise ConfigurationError(f"{owner}: bidirectional reads in both directions; leave go_backwards out")
        super().__init__(cell=owner.lower(), units=units, sequences=sequences, reverse=reverse)
        self._inline = both
        if both:
            self.forward, self.backward = _Cell(**self._settings), _Cell(**{**self._settings, "reverse": True})

    def __call__(self, x: SymbolicTensor) -> SymbolicTensor:
        return concat([self.forward(x), self.backward(x)]) if self._inline else super().__call__(x)

    def __repr__(self):
        return f"{type(self).__name__}({self._settings['units']})"


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997): the last state, (B, ..., T, d) -> (B, ..., units). Observations that a mask takes away
    leave the state as it is.

    Parameters
    ----------
    units : int
    return_sequences : bool
        The states at all observations, (B, ..., T, units), in the order of the observations.
    bidirectional : bool
        A second layer reads from the end; its states stand beside the first's: 2 units.
    go_backwards : bool
        From the last observation to the first.
    """


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014), in the form that Keras calls reset_after: options as those of `LSTM`."""


class MultiHeadAttention(Traceable):
    """Scaled dot-product attention (Vaswani et al. 2017): what the observations of `value` tell each observation of `query`,
    (B, ..., n, d), (B, ..., m, e) -> (B, ..., n, d), or one query (B, ..., d) -> (B, ..., d). A mask takes away observations of `value`.

    Parameters
    ----------
    num_heads, key_dim : int
        Heads, and the width of one.
    dropout : float
        Of the weights, in training.
    """

    _group, _op = "attentions", "attention"

    def __init__(self, num_heads: int, key_dim: int, *, dropout: float = 0.0) -> None:
        self._settings = {"num_heads": as_count(num_heads, "MultiHeadAttention: num_heads"), "key_dim": as_count(key_dim, "MultiHeadAttention: key_dim")}
        if not is_number(dropout) or not 0 <= dropout < 1:
            raise ConfigurationError(f"MultiHeadAttention: dropout must be at least 0 and below 1; got {dropout!r}")
        self._settings["dropout"] = float(dropout)

    def __call__(self, query: SymbolicTensor, value: SymbolicTensor) -> SymbolicTensor:
        return self._node(query, value)

    def _description(self, name):
        return {"name": name, "attention": self._settings}


class Weights(Traceable):
    """Rows of learnt numbers, the same for all data sets: (B, ..., rows, width), in the place of the observations of `like` (B, ..., N, d).

    Parameters
    ----------
    rows, width : int
    initializer : str
        As those of biases of `Dense`, and glorot_uniform.
    """

    _group, _op = "learnt", "learnt"

    def __init__(self, rows: int, width: int, *, initializer: str = "glorot_uniform") -> None:
        name, *options = _initializer(initializer, "Weights", "initializer")
        if options != [1.0, 0.0, -1]:
            raise ConfigurationError(f"Weights: initializer: its arguments are taken by dense layers alone; here {name} has its defaults")
        self._settings = {"rows": as_count(rows, "Weights: rows"), "width": as_count(width, "Weights: width"), "initializer": name}

    def __call__(self, like: SymbolicTensor) -> SymbolicTensor:
        return self._node(like)

    def _description(self, name):
        return {"name": name, **self._settings}
