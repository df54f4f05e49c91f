"""v1's building blocks of networks, for `call` of a `networks.SummaryNetwork`: objects that are made in `__init__` and called on symbolic tensors.

Arguments `name` mean nothing: weights have the names of the attributes that hold the blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._arrays import as_arguments, as_choice, as_count, as_flag, shown
from .exceptions import ConfigurationError, OperationNotSupportedError
from .networks._settings import _coupling, _dense, _few, _multi_conv, _name
from .networks._tracing import is_number, same_trace
from .networks.building_blocks import Dense, Dropout, activation, concat, max_pool, mean_pool, repeat
from .networks.layers import Conv1D, Weights

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Function, Settings
    from .networks._tracing import SymbolicTensor

__all__ = ["ActNorm", "ConfigurableHiddenBlock", "ConfigurableMLP", "DenseCouplingNet", "EquivariantModule", "InvariantModule", "MCDropout", "MultiConv1D", "Orthogonal",
           "Permutation"]  # fmt: skip


def _stack(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def _module_settings(settings, owner, stacks, others):
    """v1 takes a dictionary with all of them."""
    settings = as_arguments(settings, f"{owner}: settings")
    for key in [f"num_dense_{s}" for s in stacks] + [f"dense_{s}_args" for s in stacks] + others:
        if key not in settings:
            raise ConfigurationError(f"{owner}: settings: {key} is required")
    _few(owner, **{f"num_dense_{s}": settings[f"num_dense_{s}"] for s in stacks})
    made = {s: [Dense._of(_dense(settings[f"dense_{s}_args"], f"{owner}: dense_{s}_args")) for _ in range(as_count(settings[f"num_dense_{s}"], f"{owner}: num_dense_{s}"))]
            for s in stacks}  # fmt: skip
    return settings, made


class InvariantModule:
    """s2(pool(s1(x))), blind to the order of observations: (B, ..., N, d) -> (B, ..., units of s2).

    Parameters
    ----------
    settings : dict
        num_dense_s1, num_dense_s2, dense_s1_args, dense_s2_args (as those of `DeepSet`), and pooling_fun: "mean", "max", or a function of a symbolic
        tensor (B, ..., N, d) that returns one (B, ..., d').
    name : str, optional
        Means nothing.
    """

    def __init__(self, settings: Settings, *, name: str | None = None) -> None:
        settings, made = _module_settings(settings, type(self).__name__, ("s1", "s2"), ["pooling_fun"])
        pool = settings["pooling_fun"]
        if not callable(pool):
            pool = {"mean": mean_pool, "max": max_pool}[as_choice(pool, f"{type(self).__name__}: pooling_fun", ("mean", "max"))]
        self.s1, self.s2, self._pool = made["s1"], made["s2"], pool

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """(B, ..., N, d) -> (B, ..., units of s2)"""
        return _stack(self.s2, self._pool(_stack(self.s1, x)))

    __call__ = call


class EquivariantModule:
    """s3 of each observation and what an `InvariantModule` makes of all: (B, ..., N, d) -> (B, ..., N, units of s3). `settings`: those of
    `InvariantModule`, num_dense_s3 and dense_s3_args."""

    def __init__(self, settings: Settings, *, name: str | None = None) -> None:
        settings, made = _module_settings(settings, "EquivariantModule", ("s3",), ["pooling_fun"])
        self.invariant, self.s3 = InvariantModule(settings), made["s3"]

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """(B, ..., N, d) -> (B, ..., N, units of s3)"""
        return _stack(self.s3, concat([x, repeat(self.invariant(x), x)]))

    __call__ = call


class MultiConv1D:
    """Causal convolutions of several sizes side by side, joined by one of size 1: (B, ..., T, d) -> (B, ..., T, filters) (Szegedy et al. 2015).

    Parameters
    ----------
    settings : dict
        As conv_settings of `SequenceNetwork`: layer_args, min_kernel_size, max_kernel_size, which is left out.
    name : str, optional
        Means nothing.
    """

    def __init__(self, settings: Settings, *, name: str | None = None) -> None:
        conv = _multi_conv(settings, "MultiConv1D: settings")
        make = lambda size: Conv1D(conv["filters"], size, activation=conv["activation"], padding="causal")  # noqa: E731
        self.branches = [make(size) for size in range(conv["min_kernel_size"], conv["max_kernel_size"] + 1)]
        self.reduce = make(1)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """(B, ..., T, d) -> (B, ..., T, filters)"""
        return self.reduce(concat([branch(x) for branch in self.branches]))

    __call__ = call


class ConfigurableHiddenBlock:
    """activation(dropout(dense(x)) + x), or without + x: (..., num_units) -> (..., num_units)."""

    def __init__(self, num_units: int, activation: str | Function = "relu", residual: bool = True, dropout_rate: float = 0.0) -> None:
        self.dense, self._dropout = Dense(num_units), Dropout(dropout_rate)
        self._activation = _name(activation, "ConfigurableHiddenBlock", "activation")
        self._residual = as_flag(residual, "ConfigurableHiddenBlock: residual")

    def call(self, inputs: SymbolicTensor) -> SymbolicTensor:
        """(..., d) -> (..., num_units); `residual`: d is num_units."""
        h = self._dropout(self.dense(inputs))
        return activation(h + inputs if self._residual else h, self._activation)

    __call__ = call


class ConfigurableMLP:
    """A dense layer with dropout, `num_hidden` hidden blocks, a linear layer: (..., d) -> (..., output_dim); output_dim None: input_dim."""

    def __init__(self, input_dim: int, hidden_dim: int = 512, output_dim: int | None = None, num_hidden: int = 2, activation: str | Function = "relu",
                 residual: bool = True, dropout_rate: float = 0.05, *, name: str | None = None) -> None:  # fmt: skip
        _few("ConfigurableMLP", num_hidden=num_hidden)
        input_dim = as_count(input_dim, "ConfigurableMLP: input_dim")
        self.input_layer, self._dropout = Dense(hidden_dim, activation), Dropout(dropout_rate)
        self.hidden = [ConfigurableHiddenBlock(hidden_dim, activation, residual, dropout_rate) for _ in range(as_count(num_hidden, "ConfigurableMLP: num_hidden", 0))]
        self.output_layer = Dense(input_dim if output_dim is None else output_dim)

    def call(self, inputs: SymbolicTensor) -> SymbolicTensor:
        """(..., d) -> (..., output_dim)"""
        return self.output_layer(_stack(self.hidden, self._dropout(self.input_layer(inputs))))

    __call__ = call


class MCDropout:
    """As `networks.Dropout`, but always, not only in training (Gal and Ghahramani 2016)."""

    def __init__(self, dropout_prob: float = 0.1, *, name: str | None = None) -> None:
        if not is_number(dropout_prob) or not 0 <= dropout_prob < 1:
            raise ConfigurationError(f"MCDropout: dropout_prob must be at least 0 and below 1; got {dropout_prob!r}")
        self._rate = float(dropout_prob)

    def call(self, inputs: SymbolicTensor) -> SymbolicTensor:
        """The same shape."""
        return same_trace("MCDropout", [inputs]).node("mc_dropout", inputs, number=self._rate)

    __call__ = call


class DenseCouplingNet:
    """The network inside a coupling, of a target and a condition side by side: (..., d), (..., c) -> (..., dim_out). Its last layer starts at 0.

    Parameters
    ----------
    settings : dict
        As coupling_settings of `InvertibleNetwork`: dense_args, num_dense, dropout, dropout_prob, mc_dropout, spec_norm, residual.
    dim_out : int
    name : str, optional
        Means nothing.
    """

    def __init__(self, settings: Settings, dim_out: int, *, name: str | None = None) -> None:
        merged = _coupling(settings, "affine")
        _few("DenseCouplingNet", num_dense=merged["num_dense"])
        self._rate = merged["dropout_prob"] if merged["dropout"] or merged["mc_dropout"] else 0.0
        self._always, spectral = bool(merged["mc_dropout"]), as_flag(merged["spec_norm"], "DenseCouplingNet: spec_norm")
        self.hidden = [Dense._of(merged["dense_args"]) for _ in range(as_count(merged["num_dense"], "DenseCouplingNet: num_dense"))]
        self.body = self.skip = None
        if as_flag(merged["residual"], "DenseCouplingNet: residual"):
            # v1 adds the target itself, which only fits where its width is dim_out.
            self.body, self.skip = Dense._of({**merged["dense_args"], "units": dim_out}), Dense(dim_out)
        self.output = Dense(dim_out, kernel_initializer="zeros")
        for layer in self.hidden:
            layer._spectral_norm = spectral

    def call(self, target: SymbolicTensor, condition: SymbolicTensor | None) -> SymbolicTensor:
        """Target and condition have the same axes: a vector is brought to those of observations by `networks.repeat`."""
        h = target if condition is None else concat([target, condition])
        drop = MCDropout(self._rate) if self._always else Dropout(self._rate)
        for layer in self.hidden:
            h = drop(layer(h)) if self._rate else layer(h)
        return self.output(h if self.body is None else self.body(h) + self.skip(target))

    __call__ = call


class Permutation:
    """Columns in another, fixed order: (..., input_dim) -> the same shape; `inverse`: back. The order is drawn from NumPy's global generator, as in v1,
    but never leaves all columns in place. `order`: the columns in their new order, to give one."""

    def __init__(self, input_dim: int, *, order: Any = None) -> None:
        n = as_count(input_dim, "Permutation: input_dim")
        if order is None:
            order = np.random.permutation(n)
            while n > 1 and np.array_equal(order, np.arange(n)):
                order = np.random.permutation(n)
        self._order = [int(i) for i in np.asarray(order).reshape(-1)]
        if sorted(self._order) != list(range(n)):
            raise ConfigurationError(f"Permutation: order must hold each of 0 to {n - 1} once; got {shown(order)}")

    def call(self, target: SymbolicTensor, inverse: bool = False) -> SymbolicTensor:
        """The columns in their new order, or back in the former one."""
        order = self._order
        if as_flag(inverse, "Permutation: inverse"):
            order = [int(i) for i in np.argsort(self._order)]
        return concat([target[..., i : i + 1] for i in order])

    __call__ = call


def _forward_only(owner, inverse):
    if as_flag(inverse, f"{owner}: inverse"):
        raise OperationNotSupportedError(f"{owner}: the inverse of learnt weights is there in networks.InvertibleNetwork and coupling_networks.CouplingLayer, not in a summary network")


class Orthogonal:
    """A learnt linear map x W, orthogonal at first: (..., input_dim) -> the same shape. Within a summary network there is no density, so the result is the
    tensor alone, without log |det W|."""

    def __init__(self, input_dim: int) -> None:
        self.W = Dense(input_dim, use_bias=False, kernel_initializer="orthogonal")

    def call(self, target: SymbolicTensor, inverse: bool = False) -> SymbolicTensor:
        """x W; `inverse` is refused."""
        _forward_only("Orthogonal", inverse)
        return self.W(target)

    __call__ = call


class ActNorm:
    """A learnt scale and shift of each column: scale x + bias, (B, ..., N, latent_dim) -> the same shape. Within a summary network there is no density, so
    the result is the tensor alone, without sum log |scale|. act_norm_init must be None: the layer starts as the identity. (An `InvertibleNetwork` takes one.)"""

    def __init__(self, latent_dim: int, act_norm_init: ArrayLike | None, *, name: str | None = None) -> None:
        if act_norm_init is not None:
            raise OperationNotSupportedError("ActNorm: act_norm_init must be None in a summary network, whose input it does not describe; scale the data in the configurator")
        self.scale, self.bias = Weights(1, latent_dim, initializer="ones"), Weights(1, latent_dim, initializer="zeros")

    def call(self, target: SymbolicTensor, inverse: bool = False) -> SymbolicTensor:
        """scale x + bias; `inverse` is refused."""
        _forward_only("ActNorm", inverse)
        scale, bias = (repeat(mean_pool(weights(target)), target) for weights in (self.scale, self.bias))
        return scale * target + bias

    __call__ = call
