"""Posteriors of two-level (hierarchical) models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import as_flag, is_whole, output, shown
from .._log import warn_of_foreign
from ..configuration import DefaultTwoLevelConfigurator
from ..exceptions import ArgumentError, ConfigurationError
from ..networks import HierarchicalNetwork, require_inference
from ._base import checked_inputs
from ._group import AmortizerGroup
from .posterior import AmortizedPosterior

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import Simulations

_TARGETS = ("hyper_parameters", "local_parameters", "shared_parameters")


class TwoLevelAmortizedPosterior(AmortizerGroup):
    """q(hyper, shared | data) q(local | data of the group, hyper, shared), for data of shape (B, groups, n, ...) (Habermann et al. 2024).

    Parameters
    ----------
    local_amortizer : AmortizedPosterior
        Without summary network; its flow has the width of a group's parameters.
    global_amortizer : AmortizedPosterior
        Its flow has the width of hyper and shared parameters together.
    summary_net : HierarchicalNetwork, optional
        Of two levels: its first one summarizes groups for `local_amortizer`, its second one all of them for `global_amortizer`. None: the direct
        conditions are all there is.
    name : str, optional

    Inputs are dictionaries with `hyper_parameters` (B, H), `local_parameters` (B, groups, L), `shared_parameters` (B, S) or none, `summary_conditions`
    (B, groups, n, d), `direct_global_conditions` (B, c), `direct_local_conditions` (B, groups, c) or (B, c); with masks `summary_mask` (B, groups, n) and
    `local_mask` (B, groups) the numbers of groups and observations may differ between data sets.
    """

    _kind, _target, _given = "TwoLevelAmortizedPosterior", "hyper_parameters", ("summary_conditions", "direct_local_conditions")
    _part_names = ("local_amortizer", "global_amortizer")
    name = "two_level_amortized_posterior"

    def __init__(self, local_amortizer: AmortizedPosterior, global_amortizer: AmortizedPosterior, summary_net: HierarchicalNetwork | None = None, *,
                 name: str | None = None) -> None:  # fmt: skip
        for part, amortizer in (("local_amortizer", local_amortizer), ("global_amortizer", global_amortizer)):
            if not isinstance(amortizer, AmortizedPosterior):
                raise ConfigurationError(f"TwoLevelAmortizedPosterior: {part} must be an AmortizedPosterior; got {type(amortizer).__name__}")
        if local_amortizer is global_amortizer or local_amortizer.inference_net is global_amortizer.inference_net:
            raise ConfigurationError("TwoLevelAmortizedPosterior: local and global amortizer must be two, each with a network of its own")
        if summary_net is not None:
            if not isinstance(summary_net, HierarchicalNetwork):
                raise ConfigurationError(f"TwoLevelAmortizedPosterior: summary_net must be a HierarchicalNetwork of two levels; got {type(summary_net).__name__}")
            if global_amortizer.summary_net is not None or global_amortizer._engine is not None:
                raise ConfigurationError("TwoLevelAmortizedPosterior: the global amortizer must be new and without a summary network; summary_net is that of both")
            global_amortizer.summary_net = summary_net
            summary_net._amortizer = global_amortizer
        self.local_amortizer, self.global_amortizer = local_amortizer, global_amortizer
        self._set_up_group(name)

    @property
    def summary_net(self) -> HierarchicalNetwork | None:
        """The network of both levels."""
        return self.global_amortizer.summary_net

    def _learns(self):
        return "a two-level model"

    def _default_configurator(self):
        return DefaultTwoLevelConfigurator()

    def _join(self):
        return _core.TwoLevelAmortizedPosterior(self.local_amortizer._core, self.global_amortizer._core)

    def _take_parts(self):
        self.local_amortizer._engine, self.global_amortizer._engine = self._engine.local, self._engine.global_

    def __call__(self, input_dict: Simulations, *, training: bool = False) -> tuple[Any, Any]:
        """Latents and log-determinants: ((z, log_det_J) of local parameters, (B, groups, L) and (B, groups); (z, log_det_J) of hyper and shared ones)."""
        require_inference("TwoLevelAmortizedPosterior", training)
        local_z, local_log_det, z, log_det = map(output, self._ready(input_dict).forward(self._inputs(input_dict, True)))
        return (local_z, local_log_det), (z, log_det)

    call = __call__

    def sample(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None, keepdims: bool = False) -> dict[str, np.ndarray]:
        """{"global_samples": (B, n_samples, H + S), "local_samples": (B, groups, n_samples, L)}, float32; of one data set without the first axis, as in v1,
        unless `keepdims`. Local draw i of every group belongs to global draw i; groups that a mask takes away are NaN."""
        if not is_whole(n_samples) or n_samples < 1:
            raise ArgumentError(f"TwoLevelAmortizedPosterior.sample: n_samples must be a positive integer; got {shown(n_samples)}")
        keepdims = as_flag(keepdims, "TwoLevelAmortizedPosterior.sample: keepdims")
        global_draws, local_draws, foreign = self._ready(input_dict).sample(self._inputs(input_dict), n_samples, seed)
        warn_of_foreign(foreign)
        draws = {"global_samples": global_draws, "local_samples": local_draws}
        if len(global_draws) == 1 and not keepdims:
            draws = {key: value[0] for key, value in draws.items()}
        return draws if to_numpy else {key: output(value) for key, value in draws.items()}

    def sample_loop(self, input_list: Sequence[Simulations], n_samples: int, to_numpy: bool = True, *, seed: int | None = None) -> dict[str, np.ndarray]:
        """The same for a list of inputs with equal numbers of groups, joined on axis 0; with a `seed` the i-th has seed + i."""
        inputs = checked_inputs(input_list, "TwoLevelAmortizedPosterior.sample_loop")
        parts = [self.sample(part, n_samples, seed=None if seed is None else seed + i, keepdims=True) for i, part in enumerate(inputs)]
        groups = sorted({part["local_samples"].shape[1] for part in parts})
        if len(groups) > 1:
            raise ConfigurationError(f"TwoLevelAmortizedPosterior.sample_loop: the inputs have {groups} groups, whose draws make no one array; call sample for each")
        out = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        return out if to_numpy else {key: output(value) for key, value in out.items()}

    def log_densities(self, input_dict: Simulations) -> dict[str, np.ndarray]:
        """{"global": log q(hyper, shared | data), (B,), "local": log q(local | ...), (B, groups)}; 0 for groups that a mask takes away."""
        global_, local, foreign = self._ready(input_dict).log_densities(self._inputs(input_dict, True))
        warn_of_foreign(foreign)
        return {"global": global_, "local": local}

    def log_prob(self, input_dict: Simulations, *, to_numpy: bool = True) -> np.ndarray:
        """log q(hyper, shared, local | data): (B,)."""
        densities = self.log_densities(input_dict)
        out = densities["global"] + densities["local"].sum(axis=1)
        return out if to_numpy else output(out)

    log_posterior = log_prob

    def _inputs(self, input_dict, target=False):
        batch = super()._inputs(input_dict, target)
        missing = [key for key in _TARGETS[:2] if target and key not in batch]
        if missing:
            raise ConfigurationError(f'TwoLevelAmortizedPosterior: the input needs "{missing[0]}"; got the keys {sorted(input_dict)}')
        return batch if target else {key: value for key, value in batch.items() if key not in _TARGETS}
