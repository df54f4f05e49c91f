"""Summary networks of the engine's list, by the names of their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_choice, as_count, as_flag
from ..exceptions import OperationNotSupportedError
from ._base import _SummaryNetwork
from ._settings import _attention, _dense_settings, _few, _multi_conv, _name

if TYPE_CHECKING:
    from typing import Any

    from .._types import Settings, Size


class _EngineNetwork(_SummaryNetwork):
    """A network of the engine's list, by the name of its class. `options` are those of the engine, which says what is wrong with them."""

    def __init__(self, seed, name, **options):
        super().__init__(seed, name)
        for key, value in options.items():
            if key.startswith("num_"):
                _few(type(self).__name__, **{key: value})
        self.summary_dim = options["summary_dim"]
        self._options = options
        self._factory = self._make()

    def _make(self):
        return _core.summary_network(type(self).__name__, self._options)

    def __repr__(self):
        options = ", ".join(f"{key}={value!r}" for key, value in self._options.items() if not isinstance(value, dict))
        return f"<{type(self).__name__}({options}); {self._weights()}>"

    def __getstate__(self):
        state = super().__getstate__()
        del state["_factory"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._factory = self._make()


class SetTransformer(_EngineNetwork):
    """Permutation-invariant summaries by attention (Lee et al. 2019): (B, ..., N, d) -> (B, ..., num_seeds * summary_dim); N may differ between batches,
    and "summary_mask" (B, N) of a configured dictionary marks padding. Train with a small learning rate, such as 1e-4.

    Parameters
    ----------
    input_dim : int
        Width d of the data.
    attention_settings : dict, optional
        num_heads, key_dim (the width of one head), dropout. None: 4 heads, 32 wide, dropout 0.01. What is given replaces all of it; dropout is then 0.
    dense_settings : dict, optional
        Of the feed-forward parts: as those of `DeepSet`. None: 64 units, relu.
    use_layer_norm : bool
    num_dense_fc : int
        Dense layers of each feed-forward part.
    summary_dim : int
        Numbers that each seed gives.
    num_attention_blocks : int
    num_inducing_points : int or None
        Points by which observations attend to each other: cost grows with N. None: each attends to each, and cost grows with N^2.
    num_seeds : int
        Learnt queries of the pooling.
    embedding_dim : int
        More than 0: a linear layer first makes each observation this wide. 0: attention blocks are as wide as the data, as v1's are.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, input_dim: int, attention_settings: Settings | None = None, dense_settings: Settings | None = None, use_layer_norm: bool = False,
                 num_dense_fc: int = 2, summary_dim: int = 10, num_attention_blocks: int = 2, num_inducing_points: int | None = 32, num_seeds: int = 1, *,
                 name: str | None = None, embedding_dim: int = 0, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(
            seed, name, input_dim=as_count(input_dim, "SetTransformer: input_dim"), attention=_attention(attention_settings, "SetTransformer"),
            dense=_dense_settings(dense_settings, "SetTransformer"), use_layer_norm=as_flag(use_layer_norm, "SetTransformer: use_layer_norm"),
            num_dense_fc=num_dense_fc, summary_dim=summary_dim, num_attention_blocks=num_attention_blocks, num_inducing_points=num_inducing_points,
            num_seeds=num_seeds, embedding_dim=embedding_dim,
        )  # fmt: skip


class TimeSeriesTransformer(_EngineNetwork):
    """Summaries of series by attention: (B, ..., T, d) -> (B, ..., summary_dim); T may differ between batches. "summary_mask" (B, T) of a configured
    dictionary marks padding, and "summary_times" (B, T) says when observations were made. Train with a small learning rate, such as 5e-5.

    Parameters
    ----------
    input_dim : int
        Width d of the data, without the time encoding.
    attention_settings, dense_settings, use_layer_norm, num_dense_fc, summary_dim, num_attention_blocks
        As those of `SetTransformer`.
    template_type : "lstm" or "gru"
        The recurrent network whose last state asks what matters in the series.
    bidirectional : bool
        The template also reads the series from its end.
    template_dim : int
        Units of the template, in each direction.
    time_encoding : bool or dict
        Attention does not see the order of observations: True joins their times (0, 1, 2, ... without "summary_times") to the data, with sines and
        cosines; a dictionary sets frequencies (4), shortest_period (4) and longest_period (256). False: as in v1, for data that hold their times.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, input_dim: int, attention_settings: Settings | None = None, dense_settings: Settings | None = None, use_layer_norm: bool = True,
                 num_dense_fc: int = 2, summary_dim: int = 10, num_attention_blocks: int = 2, template_type: str = "lstm", bidirectional: bool = False,
                 template_dim: int = 64, *, name: str | None = None, time_encoding: bool | Settings = True, seed: int | None = None) -> None:  # fmt: skip
        if callable(template_type):
            raise OperationNotSupportedError('TimeSeriesTransformer: template_type must be "lstm" or "gru"; templates of your own are not there')
        if not isinstance(time_encoding, dict):
            time_encoding = {"enabled": as_flag(time_encoding, "TimeSeriesTransformer: time_encoding")}
        template_type = template_type.lower() if isinstance(template_type, str) else template_type  # v1 takes "LSTM" too
        super().__init__(
            seed, name, input_dim=as_count(input_dim, "TimeSeriesTransformer: input_dim"), attention=_attention(attention_settings, "TimeSeriesTransformer"),
            dense=_dense_settings(dense_settings, "TimeSeriesTransformer"), use_layer_norm=as_flag(use_layer_norm, "TimeSeriesTransformer: use_layer_norm"),
            num_dense_fc=num_dense_fc, summary_dim=summary_dim, num_attention_blocks=num_attention_blocks,
            template_type=as_choice(template_type, "TimeSeriesTransformer: template_type", ("lstm", "gru")),
            bidirectional=as_flag(bidirectional, "TimeSeriesTransformer: bidirectional"), template_dim=template_dim, time_encoding=time_encoding,
        )  # fmt: skip


class SequenceNetwork(_EngineNetwork):
    """Summaries of series by causal convolutions and an LSTM (Radev et al. 2020): (B, ..., T, d) -> (B, ..., summary_dim); T may differ between batches,
    and "summary_mask" (B, T) of a configured dictionary marks padding.

    Parameters
    ----------
    summary_dim : int
    num_conv_layers : int
        Each joins convolutions of several sizes by one of size 1.
    lstm_units : int
    bidirectional : bool
        A second LSTM reads the series from its end.
    conv_settings : dict, optional
        layer_args (a dict of filters and activation), min_kernel_size, and max_kernel_size, which is left out, as in v1: 1 and 3 make the sizes 1 and 2.
        What is not named keeps its default: 32 filters, relu, sizes 1 and 2.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, summary_dim: int = 10, num_conv_layers: int = 2, lstm_units: int = 128, bidirectional: bool = False,
                 conv_settings: Settings | None = None, *, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(
            seed, name, summary_dim=summary_dim, num_conv_layers=num_conv_layers, lstm_units=lstm_units,
            bidirectional=as_flag(bidirectional, "SequenceNetwork: bidirectional"), conv=_multi_conv(conv_settings),
        )  # fmt: skip


def SequentialNetwork(*args: Any, **kwargs: Any) -> SequenceNetwork:
    """v1's former name of `SequenceNetwork`."""
    import warnings

    warnings.warn("SequentialNetwork is the former name of SequenceNetwork", DeprecationWarning, stacklevel=2)
    return SequenceNetwork(*args, **kwargs)


class TimeSeriesNetwork(_EngineNetwork):
    """Summaries of long series by convolutions that halve them, and a recurrent network: (B, ..., T, d) -> (B, ..., summary_dim); T may differ between
    batches. "summary_mask" (B, T) of a configured dictionary marks padding, and "summary_times" (B, T) says when observations were made.

    Parameters
    ----------
    summary_dim : int
    num_conv_layers, filters, kernel_size : int
    activation : str
    halve : bool
        Means of pairs follow each convolution: the recurrent network sees T / 2^num_conv_layers steps.
    recurrent_type : "gru" or "lstm"
    recurrent_dim : int
        Units, in each direction.
    bidirectional : bool
        The series is also read from its end.
    mean : bool
        The mean of what the convolutions give joins the last states: what does not depend on the order.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, summary_dim: int = 10, *, num_conv_layers: int = 2, filters: int = 32, kernel_size: int = 3, activation: str = "relu",
                 halve: bool = True, recurrent_type: str = "gru", recurrent_dim: int = 64, bidirectional: bool = True, mean: bool = True,
                 name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(
            seed, name, summary_dim=summary_dim, num_conv_layers=num_conv_layers, filters=filters, kernel_size=kernel_size,
            activation=_name(activation, "TimeSeriesNetwork", "activation"), halve=as_flag(halve, "TimeSeriesNetwork: halve"),
            recurrent_type=as_choice(recurrent_type, "TimeSeriesNetwork: recurrent_type", ("gru", "lstm")), recurrent_dim=recurrent_dim,
            bidirectional=as_flag(bidirectional, "TimeSeriesNetwork: bidirectional"), mean=as_flag(mean, "TimeSeriesNetwork: mean"),
        )  # fmt: skip


class ConvNetwork(_EngineNetwork):
    """Summaries of images and fields by residual blocks of convolutions (He et al. 2016): (B, height, width, channels) -> (B, summary_dim); heights and
    widths may differ between batches. "summary_mask" (B, height, width) of a configured dictionary marks padding.

    Parameters
    ----------
    summary_dim : int
    filters : list of int
        Of each stage; from one to the next, height and width are halved.
    blocks_per_stage, kernel_size : int
    activation : str
    use_layer_norm : bool
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    _axes = 2

    def __init__(self, summary_dim: int = 10, *, filters: Size = (16, 32, 64), blocks_per_stage: int = 1, kernel_size: int = 3, activation: str = "relu",
                 use_layer_norm: bool = True, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        _few("ConvNetwork", blocks_per_stage=blocks_per_stage)
        super().__init__(
            seed, name, summary_dim=summary_dim, filters=filters, blocks_per_stage=blocks_per_stage, kernel_size=kernel_size,
            activation=_name(activation, "ConvNetwork", "activation"), use_layer_norm=as_flag(use_layer_norm, "ConvNetwork: use_layer_norm"),
        )  # fmt: skip
