"""v1's dictionaries of settings, brought into the engine's form."""

from __future__ import annotations

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
