"""v1's coupling layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._absent import absent
from ._arrays import as_choice
from .networks.invertible import InvertibleNetwork

if TYPE_CHECKING:
    import numpy as np

    from ._types import ArrayLike, Settings

__all__ = ["CouplingLayer"]


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


_HALF = 'it is one half of a coupling and has no inverse of its own; CouplingLayer(latent_dim, coupling_design="affine" or "spline") has both halves'
AffineCoupling = absent("AffineCoupling", _HALF)
SplineCoupling = absent("SplineCoupling", _HALF)
