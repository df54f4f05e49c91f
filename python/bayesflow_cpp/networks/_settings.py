"""v1's dictionaries of settings, brought into the engine's form."""

from __future__ import annotations

import math
import re

from .. import _core
from .._arrays import as_arguments, as_count, as_flag, as_number, as_numbers, is_whole, shown
from ..default_settings import (
    DEFAULT_SETTING_AFFINE_COUPLING,
    DEFAULT_SETTING_ATTENTION,
    DEFAULT_SETTING_DENSE_ATTENTION,
    DEFAULT_SETTING_MULTI_CONV,
    DEFAULT_SETTING_SPLINE_COUPLING,
    build_meta_dict,
)
from ..exceptions import ConfigurationError, OperationNotSupportedError


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


def _snake(name):
    """HeNormal: he_normal."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if any(c.islower() for c in name) else name


def _of_keras(value):
    return str(getattr(value if callable(value) and hasattr(value, "__name__") else type(value), "__module__", "")).partition(".")[0] in _KERAS


def _name(value, owner, key):
    """The name of an activation: a text, or a function or object of Keras or TensorFlow that has no options of its own."""
    wanted = f"{owner}: {key} must be a name, such as 'relu', or what Keras calls so"
    if isinstance(value, str):
        name = value
    elif type(value).__module__.partition(".")[0] in _KERAS and hasattr(value, "get_config"):
        name = type(value).__name__
        if value.get_config() != type(value)().get_config():
            raise ConfigurationError(f"{wanted}; got {name} with options of its own ({value.get_config()}), of which only the defaults are there")
    elif callable(value) and _of_keras(value):
        name = value.__name__.removesuffix("_v2")  # TensorFlow's softmax and leaky_relu
    else:
        raise ConfigurationError(f"{wanted}; got {shown(value) if not callable(value) else 'a function of your own'}")
    return {"exp": "exponential"}.get(_snake(name), _snake(name))


# Keras' initializers: what the engine calls them, and what their arguments are when they are left out.
_INITIALIZERS = {
    "zeros": {}, "ones": {}, "constant": {"value": 0.0}, "random_normal": {"mean": 0.0, "stddev": 0.05}, "truncated_normal": {"mean": 0.0, "stddev": 0.05},
    "random_uniform": {"minval": -0.05, "maxval": 0.05}, "orthogonal": {"gain": 1.0}, "identity": {"gain": 1.0},
    "variance_scaling": {"scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal"},
}  # fmt: skip
_SCALED = {
    ("fan_in", "truncated_normal"): "lecun_normal", ("fan_in", "uniform"): "lecun_uniform", ("fan_in", "untruncated_normal"): "fan_in_untruncated",
    ("fan_out", "truncated_normal"): "fan_out_normal", ("fan_out", "uniform"): "fan_out_uniform", ("fan_out", "untruncated_normal"): "fan_out_untruncated",
    ("fan_avg", "truncated_normal"): "glorot_normal", ("fan_avg", "uniform"): "glorot_uniform", ("fan_avg", "untruncated_normal"): "fan_avg_untruncated",
}  # fmt: skip


def _initializer(value, owner, key):
    """(name, gain, shift, seed) of the engine, from a name, or a class, an object or a configuration ({"class_name", "config"}) of Keras."""
    where = f"{owner}: {key}"
    config = {}
    if isinstance(value, str):
        name = value
    elif isinstance(value, dict) and set(value) <= {"class_name", "config", "module", "registered_name"} and isinstance(value.get("class_name"), str):
        name, config = value["class_name"], as_arguments(value.get("config") or {}, f"{where}: config")
    elif isinstance(value, type) and _of_keras(value):
        name = value.__name__
    elif _of_keras(value) and hasattr(value, "get_config"):
        name, config = type(value).__name__, value.get_config()
    elif callable(value) and _of_keras(value):
        name = value.__name__
    else:
        raise ConfigurationError(
            f"{where} must be a name, such as 'he_uniform', or what Keras calls so; got {shown(value) if not callable(value) else 'a function of your own'}"
        )
    name = _snake(name)
    usual = _INITIALIZERS.get(name, {})
    unknown = sorted(set(config) - set(usual) - {"seed", "dtype", "axes"})
    if unknown:
        raise ConfigurationError(f"{where}: {name} has no argument {unknown[0]!r}; there are {', '.join([*usual, 'seed'])}")
    seed = config.get("seed")
    seed = -1 if seed is None else as_count(seed, f"{where}: seed", 0)
    given = {argument: config.get(argument, default) for argument, default in usual.items()}
    numbers = {argument: as_number(number, f"{where}: {argument}") for argument, number in given.items() if argument not in ("mode", "distribution")}
    if name == "constant":
        return "zeros", 1.0, numbers["value"], seed
    if name in ("random_normal", "truncated_normal"):
        if numbers["stddev"] < 0:
            raise ConfigurationError(f"{where}: stddev must not be negative; got {numbers['stddev']:g}")
        return name, numbers["stddev"] / 0.05, numbers["mean"], seed
    if name == "random_uniform":
        low, high = numbers["minval"], numbers["maxval"]
        if not low <= high:
            raise ConfigurationError(f"{where}: minval must not be above maxval; got {low:g} and {high:g}")
        return name, (high - low) / 0.1, (high + low) / 2, seed
    if name == "variance_scaling":
        mode, distribution = given["mode"], {"normal": "truncated_normal"}.get(given["distribution"], given["distribution"])
        if (mode, distribution) not in _SCALED or numbers["scale"] <= 0:
            raise ConfigurationError(
                f'{where}: variance_scaling needs a positive scale, a mode "fan_in", "fan_out" or "fan_avg", and a distribution "truncated_normal", '
                f'"untruncated_normal" or "uniform"; got {shown(given)}'
            )
        return _SCALED[mode, distribution], math.sqrt(numbers["scale"]), 0.0, seed
    return name, numbers.get("gain", 1.0), 0.0, seed


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
    out = {
        "units": args["units"],
        "activation": "linear" if args.get("activation") is None else _name(args["activation"], owner, "activation"),
        "kernel_initializer": None,
        "kernel_regularizer": _regularizer(args.get("kernel_regularizer"), owner),
        "use_bias": as_flag(args.get("use_bias", True), f"{owner}: use_bias"),
        "bias_initializer": None,
    }
    for of, default in (("kernel", "glorot_uniform"), ("bias", "zeros")):
        key = f"{of}_initializer"
        out[key], *values = _initializer(args.get(key, default), owner, key)
        out.update({f"{of}_{what}": value for what, value, usual in zip(("gain", "shift", "seed"), values, (1.0, 0.0, -1)) if value != usual})
    return out


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


def _multi_conv(settings, owner="SequenceNetwork: conv_settings"):
    """The engine's convolutions of several sizes from v1's settings. v1 leaves max_kernel_size out, the engine does not."""
    merged = build_meta_dict(settings, DEFAULT_SETTING_MULTI_CONV, owner)
    layer = build_meta_dict(merged["layer_args"], DEFAULT_SETTING_MULTI_CONV["layer_args"], f"{owner}: layer_args")
    if layer["strides"] != 1 or layer["padding"] != "causal":
        raise OperationNotSupportedError(f'{owner}: layer_args: strides must be 1 and padding "causal"; got {shown(layer["strides"])} and {shown(layer["padding"])}')
    low, high = (as_count(merged[key], f"{owner}: {key}") for key in ("min_kernel_size", "max_kernel_size"))
    if high <= low:
        raise ConfigurationError(f"{owner}: max_kernel_size, which is left out, must be above min_kernel_size; got {low} and {high}")
    return {"filters": layer["filters"], "activation": _name(layer["activation"], f"{owner}: layer_args", "activation"), "min_kernel_size": low, "max_kernel_size": high - 1}


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
