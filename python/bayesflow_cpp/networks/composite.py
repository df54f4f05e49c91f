"""Summary networks that are composed of others: for groups, for parts of a data set, for several sources of data."""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_count, as_flag, as_float64, as_number, output, shown
from ..exceptions import ConfigurationError
from ._base import _SummaryNetwork, require_inference
from ._settings import _dense_settings
from ._tracing import SymbolicTensor
from .building_blocks import SummaryNetwork, concat
from .deep_set import DeepSet

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    import numpy as np

    from .._types import ArrayLike, Function, Settings

__all__ = ["FusionNetwork", "HierarchicalNetwork", "SplitByColumn", "SplitNetwork"]


class _Composite(_SummaryNetwork):
    """The engine's network of the class' name, made of `networks`, a list."""

    networks, _made = (), None

    def _take(self, networks):
        self.networks = list(networks)
        if len({id(net) for net in self.networks}) < len(self.networks):
            raise ConfigurationError(f"{type(self).__name__}: a network is given twice, and its weights cannot serve twice; give a copy (copy.copy)")
        for net in self.networks:
            net._whole = type(self).__name__

    def _engine_options(self):
        return {}

    @property
    def _factory(self):
        if self._made is None:
            parts = [net._as_part(type(self).__name__) for net in self.networks]
            self._made = _core.summary_network(type(self).__name__, {"networks": parts, **self._engine_options()})
        return self._made

    @property
    def summary_dim(self) -> int:
        """Width of the summaries; None if it depends on the data's."""
        return self._factory.summary_dim or None

    def __repr__(self):
        return f"<{type(self).__name__} of {', '.join(type(net).__name__ for net in self.networks)}; {self._weights()}>"

    def __getstate__(self):
        return {**super().__getstate__(), "_made": None}


class HierarchicalNetwork(_Composite):
    """Summaries of data in groups, and in groups of groups: each network of the list makes one vector of what the one before gave,
    (B, G, N, d) -> (B, G, s1) -> (B, s2). Numbers of groups and observations may differ between batches; "summary_mask" (B, G, N) of a configured
    dictionary takes away observations, (B, G) groups (Elsemüller et al. 2024).

    Parameters
    ----------
    networks_list : list of summary networks
        Of any classes, from the lowest level up.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    _inline = True

    def __init__(self, networks_list: Sequence[Any], *, name: str | None = None, seed: int | None = None) -> None:
        super().__init__(seed, name)
        if not isinstance(networks_list, (list, tuple)) or not networks_list or not all(isinstance(net, _SummaryNetwork) for net in networks_list):
            raise ConfigurationError("HierarchicalNetwork: networks_list must be a list of summary networks, the lowest level first")
        self._take(networks_list)

    def __call__(self, x: ArrayLike | SymbolicTensor, return_all: bool = False, *, training: bool = False) -> Any:
        """Summaries (B, summary_dim) of data sets x (B, ..., N, d); `return_all`: a list of what every level gives, (B, G, s1), (B, s2)."""
        as_flag(return_all, "HierarchicalNetwork: return_all")
        if isinstance(x, SymbolicTensor):
            levels = []
            for net in self.networks:
                x = net(x)
                levels.append(x)
            return levels if return_all else x
        if not return_all:
            return super().__call__(x, training=training)
        require_inference("HierarchicalNetwork", training)
        return [output(level) for level in self._run(self._sources(x), levels=True)]

    call = __call__


class SplitByColumn:
    """How a `SplitNetwork` cuts data: the value of a column says to which part an observation belongs.

    Parameters
    ----------
    column : int
        Negative: counted from the last one. The networks see the other columns.
    values : list of float, optional
        That the column has in each part; None: 0, 1, 2, ...
    shares : bool
        The share of observations in each part joins the summary.
    """

    def __init__(self, column: int = 0, values: Sequence[float] | None = None, *, shares: bool = True) -> None:
        if isinstance(column, bool) or not hasattr(column, "__index__"):
            raise ConfigurationError(f"SplitByColumn: column must be an integer; got {shown(column)}")
        self._options = {"column": int(column), "shares": as_flag(shares, "SplitByColumn: shares")}
        if values is not None:
            self._options["values"] = [as_number(value, "SplitByColumn: values") for value in values]

    def __repr__(self):
        return f"SplitByColumn({', '.join(f'{key}={value!r}' for key, value in self._options.items())})"


class SplitNetwork(SummaryNetwork):
    """A network for each part of a data set (conditions of an experiment, say), whose summaries stand side by side: (B, N, d) -> (B, summary_dim).

    Parameters
    ----------
    num_splits : int
    split_data_configurator : SplitByColumn, or function (i, x) -> x_i
        How the data are cut. `SplitByColumn(0)`: each network sees the observations of its part, and no other. A function is run once, on a symbolic
        tensor, as `call` of a `SummaryNetwork` is; v1's example, which sets the observations of other parts to 0, becomes
        ``lambda i, x: concat([equal(x[..., 0:1], i), equal(x[..., 0:1], i) * x[..., 1:2]])``.
    network_type : class, or function of network_kwargs
        Of the networks, one for each part.
    network_kwargs : dict
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_splits: int, split_data_configurator: SplitByColumn | Function, network_type: Any = DeepSet, network_kwargs: Settings = {},  # noqa: B006
                 *, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(seed, name=name)
        if as_count(num_splits, "SplitNetwork: num_splits") > 1000:
            raise ConfigurationError(f"SplitNetwork: num_splits may be at most 1000; got {num_splits}")
        if not isinstance(split_data_configurator, SplitByColumn) and not callable(split_data_configurator):
            raise ConfigurationError(f"SplitNetwork: split_data_configurator must be a SplitByColumn or a function (i, x); got {shown(split_data_configurator)}")
        if not isinstance(network_kwargs, dict) or not callable(network_type):
            raise ConfigurationError("SplitNetwork: network_type must be a class of summary networks, and network_kwargs a dictionary of its arguments")
        self.networks = [network_type(**network_kwargs) for _ in range(num_splits)]
        for net in self.networks:
            if not isinstance(net, _SummaryNetwork):
                raise ConfigurationError(f"SplitNetwork: network_type must be a class of summary networks; it makes {shown(net)}")
            net._whole = "SplitNetwork"
        self.num_splits, self._split = num_splits, split_data_configurator

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """(B, N, d) -> (B, summary_dim), of symbolic tensors."""
        return concat([net(self._split(i, x)) for i, net in enumerate(self.networks)])

    @property
    def _by_column(self):
        return isinstance(self._split, SplitByColumn)

    @property
    def _inline(self):
        return not self._by_column

    def __call__(self, x: ArrayLike | SymbolicTensor, *, training: bool = False) -> Any:
        """Summaries of data sets x (B, N, d): float32 (B, summary_dim). Within another network's `call`, a part of that network."""
        return self._node(x, axes=1) if self._by_column and isinstance(x, SymbolicTensor) else super().__call__(x, training=training)

    @property
    def _factory(self):
        if not self._by_column:
            return super()._factory
        return _core.summary_network("SplitNetwork", {"networks": [net._as_part("SplitNetwork") for net in self.networks], **self._split._options})

    @property
    def summary_dim(self) -> int:
        """Width of the summaries; None if it depends on the data's."""
        return self._factory.summary_dim or None

    def __reduce__(self):
        if self._by_column:  # an ordinary object
            return copyreg.__newobj__, (type(self),), self.__getstate__()
        return super().__reduce__()

    def __repr__(self):
        return f"<SplitNetwork of {self.num_splits} x {type(self.networks[0]).__name__}; {self._weights()}>"


class FusionNetwork(_Composite):
    """Several sources of data (a series, an image, a table), each with a network of its own, whose summaries stand side by side, or are merged by
    dense layers. In a configured dictionary "summary_conditions" is a dictionary of the sources, {name: array (B, ...)}, and so are "summary_mask" and
    "summary_times", of those sources that have them. Numbers of observations of the sources have nothing to do with each other.

    Parameters
    ----------
    networks : dict
        {name of the source: summary network}, at most 8. Names have letters, digits and underscores.
    summary_dim : int, optional
        More than 0: dense layers merge the summaries into so many numbers. None: side by side.
    num_dense : int, optional
        Dense layers before the linear one of `summary_dim` units; None: 1.
    dense_settings : dict, optional
        Of these layers: as those of `DeepSet`. None: 64 units, relu.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, networks: Mapping[str, Any], *, summary_dim: int | None = None, num_dense: int | None = None, dense_settings: Settings | None = None,
                 name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(seed, name)
        if not isinstance(networks, dict) or not networks or not all(isinstance(net, _SummaryNetwork) for net in networks.values()):
            raise ConfigurationError("FusionNetwork: networks must be a dictionary {name of a source: summary network}")
        for source in networks:
            if not isinstance(source, str):
                raise ConfigurationError(f"FusionNetwork: the name of a source must be a text; got {shown(source)}")
        self._merge = None
        if summary_dim is not None:
            self._merge = {"summary_dim": as_count(summary_dim, "FusionNetwork: summary_dim"), "dense": _dense_settings(dense_settings, "FusionNetwork"),
                           "num_dense": as_count(1 if num_dense is None else num_dense, "FusionNetwork: num_dense", 0)}  # fmt: skip
        elif num_dense is not None or dense_settings is not None:
            raise ConfigurationError("FusionNetwork: num_dense and dense_settings belong to layers that merge; give summary_dim, or leave them out")
        self.sources = list(networks)
        self._take(networks.values())
        self._factory  # says what is wrong

    def _engine_options(self):
        return {"sources": self.sources, **({} if self._merge is None else {"merge": self._merge})}

    def __call__(self, x: Mapping[str, ArrayLike], *, training: bool = False) -> np.ndarray:
        """Summaries (B, summary_dim) of {name of a source: data sets (B, ...)}."""
        if isinstance(x, SymbolicTensor):
            raise ConfigurationError("FusionNetwork: it reads several sources of data, and can be a part of no other network")
        return super().__call__(x, training=training)

    call = __call__

    def _sources(self, x):
        if not isinstance(x, dict) or set(x) != set(self.sources):
            got = sorted(map(str, x)) if isinstance(x, dict) else type(x).__name__
            raise ConfigurationError(f"FusionNetwork: x must be a dictionary of the sources {', '.join(self.sources)}; got {got}")
        return [as_float64(x[source], f"FusionNetwork: x[{source!r}]") for source in self.sources]
