"""Deep sets."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

from .. import _core
from .._absent import page
from ..default_settings import DEFAULT_SETTING_DENSE_DEEP_SET
from ..exceptions import OperationNotSupportedError
from ._base import _SummaryNetwork
from ._settings import _dense, _few, _layer
from ._tracing import SymbolicTensor
from .building_blocks import Dense, concat, max_pool, mean_pool, repeat

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Settings


class DeepSet(_SummaryNetwork):
    """Permutation-invariant summaries of exchangeable observations (Zaheer et al. 2017): (B, ..., N, d) -> (B, ..., summary_dim); N may differ
    between batches.

    Parameters
    ----------
    summary_dim : int
        Not less than the number of parameters.
    num_dense_s1, num_dense_s2, num_dense_s3, num_equiv : int
        Dense layers before and after pooling and of the equivariant modules, and the number of these modules.
    dense_s1_args, dense_s2_args, dense_s3_args : dict, optional
        units, activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer of the layers, with Keras' names, functions and objects.
    pooling_fun : "mean" or "max"
    linear_path : bool
        The mean of the raw observations joins the last layer's input; helps where posterior means are near to linear in it.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, summary_dim: int = 10, num_dense_s1: int = 2, num_dense_s2: int = 2, num_dense_s3: int = 2, num_equiv: int = 2,
                 dense_s1_args: Settings | None = None, dense_s2_args: Settings | None = None, dense_s3_args: Settings | None = None,
                 pooling_fun: str = "mean", *, name: str | None = None, linear_path: bool = False, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(seed, name)
        if callable(pooling_fun):
            raise OperationNotSupportedError(f'DeepSet: pooling_fun must be "mean" or "max"; for pooling of your own write a SummaryNetwork ({page("python_networks.md")})')
        _few("DeepSet", num_dense_s1=num_dense_s1, num_dense_s2=num_dense_s2, num_dense_s3=num_dense_s3, num_equiv=num_equiv)
        self.summary_dim = summary_dim
        dense = [_dense(DEFAULT_SETTING_DENSE_DEEP_SET if args is None else args, f"dense_{s}_args") for s, args in
                 zip(("s1", "s2", "s3"), (dense_s1_args, dense_s2_args, dense_s3_args))]  # fmt: skip
        self._arguments = (summary_dim, num_dense_s1, num_dense_s2, num_dense_s3, num_equiv, *dense, pooling_fun, linear_path)
        self._factory = self._make()
        self._layers = _DeepSetLayers(*self._arguments[:8])

    def __repr__(self):
        summary_dim, n1, n2, n3, num_equiv, *dense, pooling, linear = self._arguments
        layers = ", ".join(f"{name}: {count} x {_layer(args)}" for name, count, args in zip(("s1", "s2", "s3"), (n1, n2, n3), dense))
        path = ", linear_path=True" if linear else ""
        return f"<DeepSet(summary_dim={summary_dim}, num_equiv={num_equiv}, pooling_fun={pooling!r}{path}), {layers}; {self._weights()}>"

    _inline = True

    def __call__(self, x: ArrayLike | SymbolicTensor, *, training: bool = False) -> Any:
        """Summaries of data sets x (B, ..., d): float32 (B, summary_dim). Within the `call` of a SummaryNetwork, a part of that network."""
        return self._describe(x) if isinstance(x, SymbolicTensor) else super().__call__(x, training=training)

    call = __call__

    def _describe(self, x):
        """The same computation, of building blocks. Called twice, it uses the same weights twice."""
        *_, pooling, linear = self._arguments
        layers, raw = self._layers, x
        pool = mean_pool if pooling == "mean" else max_pool
        invariant = lambda module, x: _stack(module.s2, pool(_stack(module.s1, x)))  # noqa: E731
        for module in layers.equivariant:
            x = _stack(module.s3, concat([x, repeat(invariant(module, x), x)]))
        summary = invariant(layers.invariant, x)
        return layers.output(concat([summary, mean_pool(raw)]) if linear else summary)

    def _make(self):
        *counts, s1, s2, s3, pooling, linear = self._arguments
        return _core.deep_set(*counts, _core.DenseOptions(**s1), _core.DenseOptions(**s2), _core.DenseOptions(**s3), pooling, linear)

    def __getstate__(self):
        state = super().__getstate__()
        del state["_factory"], state["_layers"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._factory, self._layers = self._make(), _DeepSetLayers(*self._arguments[:8])


def InvariantNetwork(*args: Any, **kwargs: Any) -> DeepSet:
    """v1's former name of `DeepSet`."""
    import warnings

    warnings.warn("InvariantNetwork is the former name of DeepSet", DeprecationWarning, stacklevel=2)
    return DeepSet(*args, **kwargs)


class _DeepSetLayers:
    """Layers of a DeepSet within another network, by the names that they have in one."""

    def __init__(self, summary_dim, n1, n2, n3, num_equiv, *dense):
        def module(**stacks):
            made = {name: [Dense._of(dense[stack]) for _ in range(count)] for stack, (name, count) in enumerate(stacks.items())}
            return types.SimpleNamespace(**made)

        self.equivariant = [module(s1=n1, s2=n2, s3=n3) for _ in range(num_equiv)]
        self.invariant = module(s1=n1, s2=n2)
        self.output = Dense(summary_dim)


def _stack(layers, x):
    for layer in layers:
        x = layer(x)
    return x
