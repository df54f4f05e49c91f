"""What all networks have in common: names, weights, tables of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_flag, as_float64, output, shown
from ..exceptions import ConfigurationError, OperationNotSupportedError
from ._tracing import SymbolicTensor, Traceable

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Function


def require_inference(owner, training):
    """v1's networks take `training`, which switches dropout on; here only a trainer does that."""
    if as_flag(training, f"{owner}: training"):
        raise OperationNotSupportedError(f"{owner}: dropout is on while a Trainer trains, and only then; leave training out, or use mc_dropout in coupling_settings")


def as_net_name(name, net):
    """Keras' names of models: what the user says, else the class' name in small letters."""
    if name is None:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(net).__name__.lstrip("_")).lower()
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{type(net).__name__}: name must be a text or None; got {shown(name)}")
    return name


def print_summary(model, print_fn, expand_nested, own_names=True):
    """Keras' table: networks, or all of their layers, with the shapes of their kernels and their numbers of weights. Parts of groups often have
    equal names: `own_names=False` calls them by their places."""
    if not model.is_built:
        raise ConfigurationError(f"{type(model).__name__}.summary: the networks have no weights yet; call the model on a batch first, or make its Trainer")
    weights, fixed = model._table()
    of_networks = {prefix: f"{net.name if own_names else prefix} ({type(net).__name__})" for prefix, net in model._parts()}
    layers = {}
    for name, array in weights.items():
        network = next((prefix for prefix in of_networks if name.startswith(prefix + ".")), name.partition(".")[0])
        stem = name.rpartition(".")[0] if expand_nested else network
        layers.setdefault(stem or name, []).append(array)
    rows = [("Layer", "Kernel", "Param #")]
    for stem, arrays in layers.items():
        kernel = max(arrays, key=lambda a: a.ndim) if expand_nested else None
        rows.append((of_networks.get(stem, stem), "multiple" if kernel is None else str(kernel.shape), f"{sum(a.size for a in arrays):,}"))
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(3)]
    line, double = "_" * sum(widths), "=" * sum(widths)
    trainable = sum(array.size for array in weights.values())
    text = ["".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    totals = [f"Total params: {trainable + fixed:,}", f"Trainable params: {trainable:,}", f"Non-trainable params: {fixed:,}"]
    for row in (f'Model: "{model.name}"', line, text[0], double, *text[1:], double, *totals, line):
        (print if print_fn is None else print_fn)(row)


class _Network:
    """A network is described in Python; its weights live in the engine: in the amortizer's, once there is one, else in its own."""

    name = "network"  # of pickles that are older than names

    def __init__(self, seed, name=None):
        self.name = as_net_name(name, self)
        self.seed = seed  # of initialization; None: the trainer's, or 0
        self._alone = None  # weights before there is an amortizer
        self._amortizer = None

    def _seed(self):
        """From now on this seed holds, because weights that were made with it have been shown."""
        if self.seed is None:
            self.seed = self._amortizer.seed if self._amortizer is not None and self._amortizer.seed is not None else 0
        return self.seed

    @property
    def is_built(self) -> bool:
        """Whether the weights are there: after the first call, or that of its amortizer."""
        return self._owner() is not None or self._alone is not None

    def summary(self, *, print_fn: Function | None = None, expand_nested: bool = False) -> None:
        """Prints Keras' table: the network and its number of weights; `expand_nested`: all layers; `print_fn` is given each line instead."""
        print_summary(self, print_fn, expand_nested)

    def _parts(self):
        return [(self._prefix[:-1], self)]

    def _table(self):
        engine = self._alone if self._owner() is None else self._owner()
        mine = {name: array for name, array in engine.weights().items() if name.startswith(self._prefix)}
        return mine, sum(count for name, count in engine.buffers().items() if name.startswith(self._prefix))

    def _owner(self):
        """The amortizer's engine, if the weights are there."""
        return self._amortizer._core if self._amortizer is not None and self._amortizer.is_built else None

    def _weights(self):
        """How many there are, in words."""
        if self._owner() is not None:
            count = sum(w.size for name, w in self._owner().weights().items() if name.startswith(self._prefix))
        elif self._alone is not None:
            count = self._alone.number_of_parameters
        else:
            return "no weights yet"
        return f"{count:,} weights"

    def __getstate__(self):
        state = dict(self.__dict__)
        state["_alone"], state["_amortizer"], state["_whole"] = None, None, None
        return state


class _SummaryNetwork(_Network, Traceable):
    """What the summary networks have in common: `_factory` makes the engine's network."""

    _prefix = "summary_net."
    _group, _op = "networks", "network"
    _axes = 1  # of observations, that it summarizes
    _whole = None  # the network that it is a part of

    def __call__(self, x: ArrayLike | SymbolicTensor, *, training: bool = False) -> Any:
        """Summaries of data sets x (B, ..., d): float32 (B, summary_dim). Random weights are made at the first call. Within the `call` of a
        SummaryNetwork, a part of that network."""
        if isinstance(x, SymbolicTensor):
            return self._node(x, axes=self._axes)
        require_inference(type(self).__name__, training)
        return output(self._run(self._sources(x)))

    def _sources(self, x):
        """The data of each source."""
        if x is None:
            raise ConfigurationError(f"{type(self).__name__}: x must be data sets (B, ..., d); got None")
        return [as_float64(x, f"{type(self).__name__}: x")]

    def _run(self, data, levels=False):
        owner = self._owner()
        if owner is not None:
            return owner.run_summary_levels(data[0]) if levels else owner.run_summary_net(data)
        if self._alone is None and self._whole is not None:
            raise ConfigurationError(
                f"{type(self).__name__}: this network is a part of a {self._whole}, which has its weights; call that one, or give it a copy (copy.copy) of this network"
            )
        if self._alone is None:
            self._alone = _core.StandaloneSummary(self._factory, [x.shape for x in data], self._seed())
        return self._alone.levels(data[0]) if levels else self._alone(data)

    def _as_part(self, whole):
        """The engine's network, for one that it is a part of."""
        if self.seed is not None:
            raise ConfigurationError(f"{whole}: a {type(self).__name__} within it has seed={self.seed!r}; give the seed to the whole, which all weights are made with")
        return self._factory

    def _description(self, name):
        return self

    def call(self, x: ArrayLike | SymbolicTensor, *, training: bool = False) -> Any:
        """The same as calling the network."""
        return self(x, training=training)
