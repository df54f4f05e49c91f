"""v1's attention blocks, for `call` of a `networks.SummaryNetwork` (Lee et al. 2019, Set transformer)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._arrays import as_count, as_flag
from .networks._settings import _attention, _dense_settings, _few
from .networks.building_blocks import Dense, flatten
from .networks.layers import LayerNormalization, MultiHeadAttention, Weights

if TYPE_CHECKING:
    from ._types import Settings
    from .networks._tracing import SymbolicTensor

__all__ = ["InducedSelfAttentionBlock", "MultiHeadAttentionBlock", "PoolingWithAttention", "SelfAttentionBlock"]


def _feed_forward(width, num_dense_fc, dense_settings, owner):
    _few(owner, num_dense_fc=num_dense_fc)
    hidden = _dense_settings(dense_settings, owner)
    return [Dense._of(hidden) for _ in range(as_count(num_dense_fc, f"{owner}: num_dense_fc", 0))] + [Dense(width)]


def _stack(layers, x):
    for layer in layers:
        x = layer(x)
    return x


class MultiHeadAttentionBlock:
    """h = norm(x + attention(x, y)), norm(h + feed_forward(h)): x (B, ..., n, input_dim), y (B, ..., m, e) -> (B, ..., n, input_dim). A mask takes away
    observations of y.

    Parameters
    ----------
    input_dim : int
        Width of x.
    attention_settings : dict
        num_heads, key_dim, dropout (0).
    num_dense_fc : int
        Dense layers of the feed-forward part, before a linear one.
    dense_settings : dict
        Of these layers: as those of `DeepSet`.
    use_layer_norm : bool
    name : str, optional
        Means nothing: weights have the names of the attributes that hold the blocks.
    """

    def __init__(self, input_dim: int, attention_settings: Settings, num_dense_fc: int, dense_settings: Settings, use_layer_norm: bool, *,
                 name: str | None = None) -> None:  # fmt: skip
        owner = type(self).__name__
        width = as_count(input_dim, f"{owner}: input_dim")
        self.attention = MultiHeadAttention(**_attention(attention_settings, owner))
        self.dense = _feed_forward(width, num_dense_fc, dense_settings, owner)
        normed = as_flag(use_layer_norm, f"{owner}: use_layer_norm")
        self.norm_pre, self.norm_post = (LayerNormalization(), LayerNormalization()) if normed else (None, None)

    def call(self, x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor:
        """What y tells x."""
        h = x + self.attention(x, y)
        h = h if self.norm_pre is None else self.norm_pre(h)
        h = h + _stack(self.dense, h)
        return h if self.norm_post is None else self.norm_post(h)

    __call__ = call


class SelfAttentionBlock:
    """Each observation attends to each: (B, ..., N, input_dim) -> the same shape; time grows with N^2. Arguments as those of `MultiHeadAttentionBlock`."""

    def __init__(self, input_dim: int, attention_settings: Settings, num_dense_fc: int, dense_settings: Settings, use_layer_norm: bool, *,
                 name: str | None = None) -> None:  # fmt: skip
        self.mab = MultiHeadAttentionBlock(input_dim, attention_settings, num_dense_fc, dense_settings, use_layer_norm)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """block(x, x)"""
        return self.mab(x, x)

    __call__ = call


class InducedSelfAttentionBlock:
    """Observations attend to each other by learnt points: block1(x, block0(points, x)); (B, ..., N, input_dim) -> the same shape, and time grows with N.
    Arguments as those of `MultiHeadAttentionBlock`, and num_inducing_points."""

    def __init__(self, input_dim: int, attention_settings: Settings, num_dense_fc: int, dense_settings: Settings, use_layer_norm: bool,
                 num_inducing_points: int, *, name: str | None = None) -> None:  # fmt: skip
        self.inducing_points = Weights(num_inducing_points, input_dim)
        self.mab0, self.mab1 = (MultiHeadAttentionBlock(input_dim, attention_settings, num_dense_fc, dense_settings, use_layer_norm) for _ in range(2))

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """block1(x, block0(points, x))"""
        return self.mab1(x, self.mab0(self.inducing_points(x), x))

    __call__ = call


class PoolingWithAttention:
    """Learnt queries ask the observations: block(seeds, feed_forward(x)), whose rows are put side by side, (B, ..., N, d) ->
    (B, ..., num_seeds * summary_dim). Arguments as those of `MultiHeadAttentionBlock`, and num_seeds."""

    def __init__(self, summary_dim: int, attention_settings: Settings, num_dense_fc: int, dense_settings: Settings, use_layer_norm: bool, num_seeds: int = 1, *,
                 name: str | None = None) -> None:  # fmt: skip
        self.dense = _feed_forward(as_count(summary_dim, "PoolingWithAttention: summary_dim"), num_dense_fc, dense_settings, "PoolingWithAttention")
        self.mab = MultiHeadAttentionBlock(summary_dim, attention_settings, num_dense_fc, dense_settings, use_layer_norm)
        self.seeds = Weights(num_seeds, summary_dim)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        """(B, ..., N, d) -> (B, ..., num_seeds * summary_dim)"""
        return flatten(self.mab(self.seeds(x), _stack(self.dense, x)), axes=2)

    __call__ = call
