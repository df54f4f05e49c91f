"""v1's coupling layer, and its two halves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_arguments, as_choice, as_count, as_float64, output, required
from .exceptions import ConfigurationError, ShapeError
from .networks._base import as_net_name, require_inference
from .networks._settings import _coupling, _coupling_options
from .networks.invertible import InvertibleNetwork

if TYPE_CHECKING:
    from ._types import ArrayLike, Settings

__all__ = ["AffineCoupling", "CouplingLayer", "SplineCoupling"]


class CouplingLayer(InvertibleNetwork):
    """One layer of an `InvertibleNetwork`: act norm, permutation, and a coupling in both directions. It is an inference network of its own, too.

    Parameters
    ----------
    latent_dim : int
        Width of the targets.
    coupling_settings, coupling_design, permutation, use_act_norm, act_norm_init
        As those of `InvertibleNetwork`; the design is "affine" or "spline".
    """

    def __init__(self, latent_dim: int, coupling_settings: Settings | None = None, coupling_design: str = "affine", permutation: str | None = "fixed",
                 use_act_norm: bool = True, act_norm_init: ArrayLike | None = None, *, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        as_choice(coupling_design, "CouplingLayer: coupling_design", ("affine", "spline"))
        super().__init__(latent_dim, 1, coupling_design, coupling_settings, permutation, use_act_norm, act_norm_init, name=name, seed=seed)

    def __call__(self, target_or_z: ArrayLike, condition: ArrayLike | None, inverse: bool = False, *, training: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """(z, log_det_J) of targets, or the targets of latents if `inverse`."""
        return self.inverse(target_or_z, condition, training=training) if inverse else self.forward(target_or_z, condition, training=training)

    call = __call__

    def forward(self, target: ArrayLike, condition: ArrayLike | None, *, training: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Latents like the targets, and log-determinants (B,) or (B, N)."""
        return super().forward(target, condition, training=training)

    def inverse(self, latent: ArrayLike, condition: ArrayLike | None, *, training: bool = False) -> np.ndarray:
        """Targets whose latents are these."""
        return super().inverse(latent, condition, training=training)


class _Coupling:
    """One half of a coupling layer, by itself."""

    _design, _own_defaults = "affine", {}

    def __init__(self, dim_out: int, settings_dict: Settings, *, name: str | None = None, seed: int | None = None) -> None:
        self._own = type(self).__name__
        self.dim_out, self.seed = as_count(dim_out, f"{self._own}: dim_out"), seed
        self.name = as_net_name(name, self)
        given = {} if settings_dict is None else as_arguments(settings_dict, f"{self._own}: settings_dict")
        self._settings = _coupling({**self._own_defaults, **given}, self._design)
        _coupling_options(self._settings)  # raises what is wrong with them
        self._engine = None

    def __call__(self, split1: ArrayLike, split2: ArrayLike, condition: ArrayLike | None, inverse: bool = False, *,
                 training: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """`forward` of a target split1 given split2; if `inverse`, as in v1, `inverse` of a target split2 given split1."""
        return self.inverse(split1, split2, condition, training=training) if inverse else self.forward(split1, split2, condition, training=training)

    call = __call__

    def forward(self, target: ArrayLike, conditioner: ArrayLike, condition: ArrayLike | None, *, training: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """(v, log_det_J): targets (B, dim_out) or (B, N, dim_out) transformed given the conditioner (B, k) or (B, N, k) and a condition (B, C), (B, N, C) or None;
        log-determinants (B,) or (B, N). Weights are made at the first call."""
        v, log_det_J = self._ready(target, conditioner, condition, training).forward(*self._arrays)
        return output(v), output(log_det_J)

    def inverse(self, conditioner: ArrayLike, target: ArrayLike, condition: ArrayLike | None, *, training: bool = False) -> np.ndarray:
        """Targets that `forward` transforms to these, given the same conditioner and condition; v1's order of arguments."""
        return output(self._ready(target, conditioner, condition, training).inverse(*self._arrays))

    def weights(self) -> dict[str, np.ndarray]:
        """{name: values}, copies. The last layer starts at 0, so that a new coupling is the identity (of a spline: inside its domain, but for rounding)."""
        if self._engine is None:
            raise ConfigurationError(f"{self._own}.weights: the networks have no weights yet, because their widths are not known; call it first")
        return self._engine.weights()

    def set_weights(self, weights: dict[str, ArrayLike]) -> None:
        """Other values for all weights, or some of them, by the names of `weights()`."""
        now = self.weights()
        unknown = sorted(set(weights) - set(now))
        if unknown:
            raise ConfigurationError(f"{self._own}.set_weights: there are no weights {unknown[0]!r}; their names are {sorted(now)}")
        for name, values in weights.items():
            values = as_float64(values, f"{self._own}.set_weights: {name}")
            if values.shape != now[name].shape:
                raise ShapeError(f"{self._own}.set_weights: {name} must have shape {now[name].shape}; got {values.shape}")
            now[name] = values
        self._engine.set_weights(list(now.values()))

    def _ready(self, target, conditioner, condition, training):
        require_inference(self._own, training)
        target = required(target, f"{self._own}: the target", (2, 3), "data sets, ..., dimensions")
        conditioner = required(conditioner, f"{self._own}: the conditioner", (2, 3), "data sets, ..., dimensions")
        condition = as_float64(condition, f"{self._own}: condition", (2, 3))
        if target.shape[-1] != self.dim_out or target.shape[:-1] != conditioner.shape[:-1]:
            raise ShapeError(f"{self._own}: target (..., {self.dim_out}) and conditioner (..., k) must have the same axes but for the last; got {target.shape} and {conditioner.shape}")
        widths = conditioner.shape[-1], 0 if condition is None else condition.shape[-1]
        if self._engine is None:
            self._engine, self._widths = _core.StandaloneCoupling(self._design, _coupling_options(self._settings), self.dim_out, *widths, self.seed or 0), widths
        if condition is not None and condition.ndim == 2 and target.ndim == 3:
            condition = np.repeat(condition[:, None], target.shape[1], axis=1)
        if widths != self._widths or condition is not None and condition.shape[:-1] != target.shape[:-1]:
            raise ShapeError(f"{self._own}: conditioner and condition have widths {widths}, and shape {None if condition is None else condition.shape} the latter; "
                             f"the first call had widths {self._widths}, and axes must be those of the target, {target.shape}")  # fmt: skip
        self._arrays = target, conditioner, condition
        return self._engine

    def __getstate__(self):
        state = {**self.__dict__, "_engine": None, "_arrays": None}
        return state if self._engine is None else {**state, "_saved": self.weights()}

    def __setstate__(self, state):
        saved = state.pop("_saved", None)
        self.__dict__.update(state)
        if saved is not None:
            self._engine = _core.StandaloneCoupling(self._design, _coupling_options(self._settings), self.dim_out, *self._widths, self.seed or 0)
            self.set_weights(saved)

    def __repr__(self):
        return f"<{self._own}({self.dim_out}); {'no weights yet' if self._engine is None else f'{self._engine.number_of_parameters:,} weights'}>"


class AffineCoupling(_Coupling):
    """v = u exp(s(w, c)) + t(w, c) of a target u given a conditioner w and a condition c, with log-determinant sum s, and s clamped to
    (2 a / pi) atan(s / a), a = soft_clamping (Dinh et al. 2017; Ardizzone et al. 2019). s and t are dense networks.

    Parameters
    ----------
    dim_out : int
        Width of the target.
    settings_dict : dict or None
        As coupling_settings of `networks.InvertibleNetwork`; None: the defaults.
    seed : int, optional
        Of the first weights.
    """


class SplineCoupling(_Coupling):
    """A monotonic rational-quadratic spline of each component of a target, with straight tails, whose knots and slopes a dense network makes of a
    conditioner and a condition (Durkan et al. 2019). Parameters: those of `AffineCoupling`; of the settings bins and default_domain belong to the spline. By
    itself it is v1's: ``location_scale=True`` puts a scale and a shift before it, as `networks.InvertibleNetwork` does."""

    _design, _own_defaults = "spline", {"location_scale": False}
