"""Defaults of networks, by v1's names. What users give is merged into them key by key."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

    from ._types import Settings

#: Names of the entries of forward and configured dictionaries, each under itself.
DEFAULT_KEYS = {
    key: key
    for key in (
        "prior_draws", "obs_data", "sim_data", "batchable_context", "non_batchable_context", "prior_batchable_context",
        "prior_non_batchable_context", "prior_context", "hyper_prior_draws", "shared_prior_draws", "local_prior_draws", "sim_batchable_context", "sim_non_batchable_context", "summary_conditions",
        "direct_conditions", "parameters", "hyper_parameters", "local_parameters", "shared_parameters", "observables", "targets", "conditions",
        "posterior_inputs", "likelihood_inputs", "model_outputs", "model_indices",
    )
}  # fmt: skip

#: Layers of `DeepSet` and of the modules of `helper_networks`.
DEFAULT_SETTING_DENSE_DEEP_SET = {"units": 64, "activation": "relu", "kernel_initializer": "glorot_uniform"}

#: Layers of the attention blocks and of `SetTransformer` and `TimeSeriesTransformer`.
DEFAULT_SETTING_DENSE_ATTENTION = {"units": 64, "activation": "relu", "kernel_initializer": "glorot_uniform"}
#: Attention of the attention blocks and of `SetTransformer` and `TimeSeriesTransformer`: numbers a head, heads, dropout rate.
DEFAULT_SETTING_ATTENTION = {"key_dim": 32, "num_heads": 4, "dropout": 0.01}
#: Convolutions of `MultiConv1D` and `SequenceNetwork`. max_kernel_size is left out, as in v1: the sizes are 1 and 2.
DEFAULT_SETTING_MULTI_CONV = {
    "layer_args": {"activation": "relu", "filters": 32, "strides": 1, "padding": "causal"},
    "min_kernel_size": 1,
    "max_kernel_size": 3,
}

#: Affine couplings. He instead of v1's Glorot initialization: with Glorot one run in ten learns a parameter late or not at all (docs/design/training.md).
DEFAULT_SETTING_AFFINE_COUPLING = {
    "dense_args": {"units": 128, "activation": "relu", "kernel_initializer": "he_uniform", "kernel_regularizer": 1e-4},
    "num_dense": 2,
    "spec_norm": False,
    "mc_dropout": False,
    "dropout": True,
    "residual": False,
    "dropout_prob": 0.05,
    "soft_clamping": 1.9,
}

#: Spline couplings. location_scale: a scale and a shift before each spline. v1 has none, and draws now and then lie far off: False for v1's splines.
DEFAULT_SETTING_SPLINE_COUPLING = {
    **{key: value for key, value in DEFAULT_SETTING_AFFINE_COUPLING.items() if key != "soft_clamping"},
    "bins": 16,
    "default_domain": (-5.0, 5.0, -5.0, 5.0),
    "location_scale": True,
}

#: Arguments of `InvertibleNetwork`.
DEFAULT_SETTING_INVERTIBLE_NET = {
    "num_coupling_layers": 6,
    "coupling_design": "affine",
    "coupling_settings": None,
    "permutation": "fixed",
    "use_act_norm": True,
    "act_norm_init": None,
    "use_soft_flow": False,
    "soft_flow_bounds": (1e-3, 5e-2),
}

#: Hidden layers of `EvidentialNetwork`.
DEFAULT_SETTING_DENSE_EVIDENTIAL = {"units": 64, "activation": "elu", "kernel_initializer": "glorot_uniform"}
#: Hidden layers of `PMPNetwork`.
DEFAULT_SETTING_DENSE_PMP = {"units": 64, "activation": "elu", "kernel_initializer": "glorot_uniform"}
#: Arguments of `EvidentialNetwork`. v1's table does not fit its constructor: another activation, other widths.
DEFAULT_SETTING_EVIDENTIAL_NET = {"dense_args": None, "num_dense": 3, "output_activation": "softplus"}
#: Arguments of `PMPNetwork`; of v1's table the same is true.
DEFAULT_SETTING_PMP_NET = {
    "dense_args": None,
    "num_dense": 3,
    "dropout": True,
    "mc_dropout": False,
    "dropout_prob": 0.05,
    "output_activation": "softmax",
}

#: Arguments of the trainer's own Adam beside its learning rate: gradients of all weights together are scaled down to this norm.
OPTIMIZER_DEFAULTS = {"global_clipnorm": 1.0}
#: Seconds between two updates of a progress bar.
TQDM_MININTERVAL = 0.1
#: Bandwidths of the kernels of `mmd_kernel`, whose mean is taken.
MMD_BANDWIDTH_LIST = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6]


def merge_left_into_right(left: Settings, right: Settings) -> dict[str, Any]:
    """A copy of `right` with what `left` says; nested dictionaries are merged key by key, everything else is replaced."""
    out = copy.deepcopy(right)
    for key, value in left.items():
        out[key] = merge_left_into_right(value, out[key]) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def build_meta_dict(user_dict: Settings, default: Any, owner: str = "settings") -> dict[str, Any]:
    """The user's settings merged into the defaults, a dictionary or a MetaDictSetting. Raises ConfigurationError for a key that means nothing, and for a
    mandatory one that is missing."""
    if isinstance(default, MetaDictSetting):
        mandatory, default = default.mandatory_fields, default.meta_dict
        missing = [key for key in mandatory if not isinstance(user_dict, dict) or user_dict.get(key) is None]
        if missing:
            raise ConfigurationError(f"{owner}: {', '.join(map(repr, missing))} must be given")
        default = {**dict.fromkeys(mandatory), **default}
    if user_dict is None:
        return copy.deepcopy(default)
    if not isinstance(user_dict, dict):
        raise ConfigurationError(f"{owner} must be a dictionary; got {type(user_dict).__name__}")
    unknown = sorted(set(user_dict) - set(default))
    if unknown:
        raise ConfigurationError(f"{owner}: unknown {'key' if len(unknown) == 1 else 'keys'} {', '.join(map(repr, unknown))}; there are {', '.join(default)}")
    return merge_left_into_right(user_dict, default)


class Setting:
    """What v1's tables of defaults derive from."""


class MetaDictSetting(Setting):
    """A table of defaults with fields that a user must give; `build_meta_dict` takes it."""

    def __init__(self, meta_dict: Settings, mandatory_fields: Any = []) -> None:
        if not isinstance(meta_dict, dict):
            raise ConfigurationError(f"MetaDictSetting: meta_dict must be a dictionary; got {type(meta_dict).__name__}")
        self.meta_dict, self.mandatory_fields = copy.deepcopy(meta_dict), list(mandatory_fields)


#: Arguments of `DeepSet`.
DEFAULT_SETTING_INVARIANT_NET = {"num_dense_s1": 2, "num_dense_s2": 2, "num_dense_s3": 2, "num_equiv": 2, "pooling_fun": "mean", "summary_dim": 10}
#: Layers of the experimental `DriftNetwork`.
DEFAULT_SETTING_DENSE_RECT = {"units": 256, "activation": "swish", "kernel_initializer": "glorot_uniform"}
