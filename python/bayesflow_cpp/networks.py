"""Networks: summaries of data sets, and conditional flows."""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._absent import absent, absent_of_version_2, page
from ._arrays import as_arguments, as_choice, as_count, as_flag, as_float64, as_number, as_numbers, is_whole, output, shown
from .default_settings import (
    DEFAULT_SETTING_AFFINE_COUPLING,
    DEFAULT_SETTING_ATTENTION,
    DEFAULT_SETTING_DENSE_ATTENTION,
    DEFAULT_SETTING_DENSE_DEEP_SET,
    DEFAULT_SETTING_INVERTIBLE_NET,
    DEFAULT_SETTING_MULTI_CONV,
    DEFAULT_SETTING_SPLINE_COUPLING,
    build_meta_dict,
)
from .exceptions import ConfigurationError, OperationNotSupportedError

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Function, Settings, Size
    from .building_blocks import SymbolicTensor

__all__ = ["ConvNetwork", "DeepSet", "InvariantNetwork", "InvertibleNetwork", "SequenceNetwork", "SequentialNetwork", "SetTransformer", "TimeSeriesNetwork",
           "TimeSeriesTransformer"]  # fmt: skip


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


def print_summary(model, print_fn, expand_nested):
    """Keras' table: networks, or all of their layers, with the shapes of their kernels and their numbers of weights."""
    if not model.is_built:
        raise ConfigurationError(f"{type(model).__name__}.summary: the networks have no weights yet; call the model on a batch first, or make its Trainer")
    weights, fixed = model._table()
    layers = {}
    for name, array in weights.items():
        stem = name.rpartition(".")[0] if expand_nested else name.partition(".")[0]
        layers.setdefault(stem or name, []).append(array)
    of_networks = {prefix: f"{net.name} ({type(net).__name__})" for prefix, net in model._parts()}
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
        state["_alone"], state["_amortizer"] = None, None
        return state


class _SummaryNetwork(_Network):
    """What the summary networks have in common: `_factory` makes the engine's network."""

    _prefix = "summary_net."

    def __call__(self, x: ArrayLike, *, training: bool = False) -> np.ndarray:
        """Summaries of data sets x (B, ..., d): float32 (B, summary_dim). Random weights are made at the first call."""
        if x is None:
            raise ConfigurationError(f"{type(self).__name__}: x must be data sets (B, ..., d); got None")
        require_inference(type(self).__name__, training)
        x = as_float64(x, f"{type(self).__name__}: x")
        owner = self._owner()
        if owner is not None:
            return output(owner.run_summary_net(x))
        if self._alone is None:
            self._alone = _core.StandaloneSummary(self._factory, x.shape, self._seed())
        return output(self._alone(x))

    def call(self, x: ArrayLike, *, training: bool = False) -> np.ndarray:
        """The same as calling the network."""
        return self(x, training=training)


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

    def __call__(self, x: ArrayLike | SymbolicTensor, *, training: bool = False) -> Any:
        """Summaries of data sets x (B, ..., d): float32 (B, summary_dim). Within the `call` of a SummaryNetwork, a part of that network."""
        from .building_blocks import SymbolicTensor

        return self._describe(x) if isinstance(x, SymbolicTensor) else super().__call__(x, training=training)

    call = __call__

    def _describe(self, x):
        """The same computation, of building blocks. Called twice, it uses the same weights twice."""
        from .building_blocks import concat, max_pool, mean_pool, repeat

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
        from .building_blocks import Dense

        def module(**stacks):
            made = {name: [Dense(**dense[stack]) for _ in range(count)] for stack, (name, count) in enumerate(stacks.items())}
            return types.SimpleNamespace(**made)

        self.equivariant = [module(s1=n1, s2=n2, s3=n3) for _ in range(num_equiv)]
        self.invariant = module(s1=n1, s2=n2)
        self.output = Dense(summary_dim)


def _stack(layers, x):
    for layer in layers:
        x = layer(x)
    return x


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

    def __init__(self, summary_dim: int = 10, *, filters: Size = (16, 32, 64), blocks_per_stage: int = 1, kernel_size: int = 3, activation: str = "relu",
                 use_layer_norm: bool = True, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        _few("ConvNetwork", blocks_per_stage=blocks_per_stage)
        super().__init__(
            seed, name, summary_dim=summary_dim, filters=filters, blocks_per_stage=blocks_per_stage, kernel_size=kernel_size,
            activation=_name(activation, "ConvNetwork", "activation"), use_layer_norm=as_flag(use_layer_norm, "ConvNetwork: use_layer_norm"),
        )  # fmt: skip


def _attention(settings, owner):
    """v1's dictionary: what is given is what Keras' layer would get, whose dropout is 0."""
    merged = build_meta_dict(settings, DEFAULT_SETTING_ATTENTION, f"{owner}: attention_settings")  # says what is wrong
    if settings is None:
        return merged
    for key in ("num_heads", "key_dim"):
        if key not in settings:
            raise ConfigurationError(f"{owner}: attention_settings: {key} is required")
    return {"dropout": 0.0, **settings}


def _dense_settings(settings, owner):
    return _dense(DEFAULT_SETTING_DENSE_ATTENTION if settings is None else settings, f"{owner}: dense_settings")


def _multi_conv(settings):
    """The engine's convolutions of several sizes from v1's settings. v1 leaves max_kernel_size out, the engine does not."""
    owner = "SequenceNetwork: conv_settings"
    merged = build_meta_dict(settings, DEFAULT_SETTING_MULTI_CONV, owner)
    layer = build_meta_dict(merged["layer_args"], DEFAULT_SETTING_MULTI_CONV["layer_args"], f"{owner}: layer_args")
    if layer["strides"] != 1 or layer["padding"] != "causal":
        raise OperationNotSupportedError(f'{owner}: layer_args: strides must be 1 and padding "causal"; got {shown(layer["strides"])} and {shown(layer["padding"])}')
    low, high = (as_count(merged[key], f"{owner}: {key}") for key in ("min_kernel_size", "max_kernel_size"))
    if high <= low:
        raise ConfigurationError(f"{owner}: max_kernel_size, which is left out, must be above min_kernel_size; got {low} and {high}")
    return {"filters": layer["filters"], "activation": _name(layer["activation"], f"{owner}: layer_args", "activation"), "min_kernel_size": low, "max_kernel_size": high - 1}


class InvertibleNetwork(_Network):
    """A conditional normalizing flow from coupling layers: z = f(theta; condition), invertible in theta.

    Parameters
    ----------
    num_params : int
        Width of the targets.
    num_coupling_layers : int
    coupling_design : "affine", "spline" or "interleaved"
    coupling_settings : dict, optional
        dense_args (as those of `DeepSet`), num_dense, dropout, dropout_prob, mc_dropout, spec_norm,
        residual, and soft_clamping (affine) or bins, default_domain and location_scale (spline: True puts a scale and a shift before each
        spline, without which draws now and then lie far off). What is not named keeps its default. Interleaved: a dictionary
        with the keys "affine" and "spline". Weight decay and dropout are on by default; switch them off for online training:
        ``{"dense_args": dict(kernel_regularizer=None), "dropout": False}``.
    permutation : "fixed", "learnable" or None
    use_act_norm : bool
    act_norm_init : array (n, P), optional
        Parameters from which act norm starts.
    use_soft_flow, soft_flow_bounds
        SoftFlow (Kim et al. 2020), for degenerate posteriors.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    available_designs = ("affine", "spline", "interleaved")
    _prefix = "inference_net."

    def __init__(self, num_params: int, num_coupling_layers: int = 6, coupling_design: str = "affine", coupling_settings: Settings | None = None,
                 permutation: str = "fixed", use_act_norm: bool = True, act_norm_init: ArrayLike | None = None, use_soft_flow: bool = False,
                 soft_flow_bounds: Size = (1e-3, 5e-2), *, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(seed, name)
        _few("InvertibleNetwork", num_coupling_layers=num_coupling_layers)
        as_choice(coupling_design, "InvertibleNetwork: coupling_design", self.available_designs)
        low, high = as_numbers(soft_flow_bounds, "InvertibleNetwork: soft_flow_bounds", 2)
        if not 0 < low <= high:
            raise ConfigurationError(f"InvertibleNetwork: soft_flow_bounds must be two positive numbers, the lower one first; got {shown(soft_flow_bounds)}")
        self.latent_dim, self.permutation, self.use_act_norm = num_params, permutation, use_act_norm
        self.soft_flow, self.soft_low, self.soft_high = as_flag(use_soft_flow, "InvertibleNetwork: use_soft_flow"), low, high
        spline = None
        if coupling_design == "interleaved":
            if coupling_settings is not None and set(as_arguments(coupling_settings, "coupling_settings")) != {"affine", "spline"}:
                raise ConfigurationError('InvertibleNetwork: coupling_settings of an interleaved flow need the keys "affine" and "spline", or None')
            settings = coupling_settings or {"affine": None, "spline": None}
            main, spline = _coupling(settings["affine"], "affine"), _coupling(settings["spline"], "spline")
        else:
            main = _coupling(coupling_settings, coupling_design)
        self._arguments = (num_params, num_coupling_layers, coupling_design, main, spline, permutation, use_act_norm,
                           as_float64(act_norm_init, "act_norm_init", ndim=(2, 3)), use_soft_flow, low, high)  # fmt: skip
        self._options = self._make()

    def __repr__(self):
        num_params, layers, design, main, spline, permutation, use_act_norm, *_ = self._arguments
        options = [f"num_params={num_params}", f"num_coupling_layers={layers}", f"coupling_design={design!r}"]
        options += [f"permutation={permutation!r}"] * (permutation != "fixed") + ["use_act_norm=False"] * (not use_act_norm)
        inner = " and ".join(_inner(settings) for settings in (main, spline) if settings is not None)
        return f"<InvertibleNetwork({', '.join(options)}), {inner}; {self._weights()}>"

    def _make(self):
        num_params, layers, design, main, spline, *rest = self._arguments
        return _core.InvertibleNetworkOptions(num_params, layers, design, _coupling_options(main), None if spline is None else _coupling_options(spline), *rest)

    def __getstate__(self):
        state = super().__getstate__()
        del state["_options"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._options = self._make()

    @staticmethod
    def create_config(**kwargs: Any) -> dict[str, Any]:
        """The constructor's arguments with v1's defaults: ``InvertibleNetwork(**create_config(num_params=4))``."""
        if "num_params" not in kwargs:
            raise ConfigurationError("InvertibleNetwork.create_config: num_params is required")
        return build_meta_dict(kwargs, {"num_params": None, **DEFAULT_SETTING_INVERTIBLE_NET}, "InvertibleNetwork.create_config")

    def __call__(self, targets: ArrayLike, condition: ArrayLike | None = None, inverse: bool = False, *,
                 training: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """(z, log_det_J), or the targets of latents if `inverse`. Targets (B, P) or (B, N, P); condition (B, C), (B, N, C) or None."""
        return self.inverse(targets, condition, training=training) if inverse else self.forward(targets, condition, training=training)

    call = __call__

    def forward(self, targets: ArrayLike, condition: ArrayLike | None = None, *, training: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Latents like the targets, and log-determinants (B,) or (B, N)."""
        require_inference("InvertibleNetwork", training)
        targets, condition, engine = self._prepare("targets", targets, condition)
        z, log_det_J = engine(True)(targets, condition)
        return output(z), output(log_det_J)

    def inverse(self, z: ArrayLike, condition: ArrayLike | None = None, *, training: bool = False) -> np.ndarray:
        """Targets whose latents are z."""
        require_inference("InvertibleNetwork", training)
        z, condition, engine = self._prepare("z", z, condition)
        return output(engine(False)(z, condition))

    def _prepare(self, name, x, condition):
        if x is None:
            raise ConfigurationError(f"InvertibleNetwork: {name} must be an array (B, P) or (B, N, P); got None")
        x = as_float64(x, f"InvertibleNetwork: {name}", ndim=(2, 3))
        condition = as_float64(condition, "InvertibleNetwork: condition", ndim=(2, 3))
        owner = self._owner()
        if owner is not None:
            return x, condition, lambda forward: owner.run_flow if forward else owner.run_inverse
        if self._alone is None:
            self._alone = _core.StandaloneFlow(self._options, 0 if condition is None else condition.shape[-1], self._seed())
        return x, condition, lambda forward: self._alone.forward if forward else self._alone.inverse


def _few(owner, **counts):
    """A slip here would be noticed when the machine has no memory left."""
    for name, value in counts.items():
        if is_whole(value) and value > 1000:
            raise ConfigurationError(f"{owner}: {name} may be at most 1000; got {value}")


def _layer(dense):
    decay = f" with weight decay {dense['kernel_regularizer']:g}" if dense["kernel_regularizer"] else ""
    return f"{dense['units']} {dense['activation']}{decay}"


def _inner(settings):
    dropout = f", dropout {settings['dropout_prob']:g}" if settings["dropout"] or settings["mc_dropout"] else ""
    bins = f", {settings['bins']} bins" if "bins" in settings else ""
    return f"{settings['num_dense']} x {_layer(settings['dense_args'])}{dropout}{bins}"


def _regularizer(value, owner):
    """Weight of the L2 penalty: None, a number, Keras' "l2" (0.01), or its object with an attribute `l2`."""
    if value is None:
        return 0.0
    if isinstance(value, str) and value.lower() == "l2":
        return 0.01
    if hasattr(value, "l2") and not as_number(getattr(value, "l1", 0.0), f"{owner}: kernel_regularizer.l1"):
        value = value.l2
    if not isinstance(value, (str, bool)) and not hasattr(value, "l1"):
        try:
            return as_number(value, owner)
        except ConfigurationError:
            pass
    raise ConfigurationError(f"{owner}: kernel_regularizer must be None or the weight of an L2 penalty (a number, or regularizers.l2 of Keras); got {value!r}")


_KERAS = ("bayesflow_cpp", "keras", "tensorflow", "tf_keras")
_OTHER_NAMES = {"exp": "exponential", "constant": "zeros"}  # Keras' Constant() is 0


def _name(value, owner, key):
    """The name of an activation or initializer: a text, or a function or object of Keras or TensorFlow that has no options of its own."""
    wanted = f"{owner}: {key} must be a name, such as {'relu' if key == 'activation' else 'he_uniform'!r}, or what Keras calls so"
    if isinstance(value, str):
        name = value
    elif type(value).__module__.partition(".")[0] in _KERAS and hasattr(value, "get_config"):
        name = type(value).__name__
        if value.get_config() != type(value)().get_config():
            raise ConfigurationError(f"{wanted}; got {name} with options of its own ({value.get_config()}), of which only the defaults are there")
    elif callable(value) and str(getattr(value, "__module__", "")).partition(".")[0] in _KERAS:
        name = value.__name__
    else:
        raise ConfigurationError(f"{wanted}; got {shown(value) if not callable(value) else 'a function of your own'}")
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if any(c.islower() for c in name) else name
    return _OTHER_NAMES.get(name, name)


def _dense(args, owner):
    known = ("units", "activation", "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer")
    absent = ("bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint")
    if not isinstance(args, dict):
        raise ConfigurationError(f"{owner} must be a dictionary; got {type(args).__name__}")
    unknown = sorted(key for key in args if key not in known and not (key in absent and args[key] is None))
    if unknown:
        raise ConfigurationError(f"{owner}: unknown key {unknown[0]!r}; there are {', '.join(known)}")
    if "units" not in args:
        raise ConfigurationError(f"{owner}: units is required")
    return {
        "units": args["units"],
        "activation": "linear" if args.get("activation") is None else _name(args["activation"], owner, "activation"),
        "kernel_initializer": _name(args.get("kernel_initializer", "glorot_uniform"), owner, "kernel_initializer"),
        "kernel_regularizer": _regularizer(args.get("kernel_regularizer"), owner),
        "use_bias": as_flag(args.get("use_bias", True), f"{owner}: use_bias"),
        "bias_initializer": _name(args.get("bias_initializer", "zeros"), owner, "bias_initializer"),
    }


def _coupling(settings, design):
    default = DEFAULT_SETTING_SPLINE_COUPLING if design == "spline" else DEFAULT_SETTING_AFFINE_COUPLING
    if settings is not None and {"s_args", "t_args"} & set(as_arguments(settings, "coupling_settings")):
        raise OperationNotSupportedError("coupling_settings: s_args and t_args are not there; dense_args, num_dense and so on hold for both networks")
    merged = build_meta_dict(settings, default, "coupling_settings")
    merged["dense_args"] = _dense(merged["dense_args"], "coupling_settings: dense_args")
    return merged


def _coupling_options(merged):
    left, right, bottom, top = as_numbers(merged.get("default_domain", (-5.0, 5.0, -5.0, 5.0)), "coupling_settings: default_domain", 4)
    if not (left < right and bottom < top):
        raise ConfigurationError(f"coupling_settings: default_domain must be left < right, bottom < top; got {left:g}, {right:g}, {bottom:g}, {top:g}")
    dropout, mc_dropout = as_flag(merged["dropout"], "coupling_settings: dropout"), as_flag(merged["mc_dropout"], "coupling_settings: mc_dropout")
    return _core.CouplingOptions(
        dense=_core.DenseOptions(**merged["dense_args"]),
        num_dense=merged["num_dense"],
        dropout_prob=merged["dropout_prob"] if dropout or mc_dropout else 0.0,
        mc_dropout=mc_dropout,
        spec_norm=merged["spec_norm"],
        residual=merged["residual"],
        soft_clamping=0.0 if merged.get("soft_clamping", 1.9) is None else as_number(merged.get("soft_clamping", 1.9), "coupling_settings: soft_clamping"),
        spline=_core.SplineOptions(merged.get("bins", 16), left, right, bottom, top),
        location_scale=as_flag(merged.get("location_scale", False), "coupling_settings: location_scale"),
    )


_OWN = f"write a SummaryNetwork of dense layers and pooling ({page('python_networks.md')})"
SplitNetwork = absent("SplitNetwork", _OWN)
EvidentialNetwork = absent("EvidentialNetwork", "model comparison is not there; train one AmortizedPosterior per model")
PMPNetwork = absent("PMPNetwork", "model comparison is not there; train one AmortizedPosterior per model")

globals().update(absent_of_version_2())

from . import building_blocks  # noqa: E402  (they use what is above)
from .building_blocks import *  # noqa: E402, F403

__all__ += building_blocks.__all__
