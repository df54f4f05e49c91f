"""What all normalizing flows have in common: both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._arrays import as_float64, output
from ..exceptions import ConfigurationError
from ._base import _Network, require_inference

if TYPE_CHECKING:
    import numpy as np

    from .._types import ArrayLike


class _Flow(_Network):
    """`_standalone(condition_width)` gives the engine's flow with weights of its own."""

    _kind = "InvertibleNetwork"  # in messages

    def __call__(self, targets: ArrayLike, condition: ArrayLike | None = None, inverse: bool = False, *,
                 training: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """(z, log_det_J), or the targets of latents if `inverse`. Targets (B, P) or (B, N, P); condition (B, C), (B, N, C) or None."""
        return self.inverse(targets, condition, training=training) if inverse else self.forward(targets, condition, training=training)

    call = __call__

    def forward(self, targets: ArrayLike, condition: ArrayLike | None = None, *, training: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Latents like the targets, and log-determinants (B,) or (B, N)."""
        require_inference(self._kind, training)
        targets, condition, engine = self._prepare("targets", targets, condition)
        z, log_det_J = engine(True)(targets, condition)
        return output(z), output(log_det_J)

    def inverse(self, z: ArrayLike, condition: ArrayLike | None = None, *, training: bool = False) -> np.ndarray:
        """Targets whose latents are z."""
        require_inference(self._kind, training)
        z, condition, engine = self._prepare("z", z, condition)
        return output(engine(False)(z, condition))

    def _prepare(self, name, x, condition):
        if x is None:
            raise ConfigurationError(f"{self._kind}: {name} must be an array (B, P) or (B, N, P); got None")
        x = as_float64(x, f"{self._kind}: {name}", ndim=(2, 3))
        condition = as_float64(condition, f"{self._kind}: condition", ndim=(2, 3))
        owner = self._owner()
        if owner is not None:
            return x, condition, lambda forward: owner.run_flow if forward else owner.run_inverse
        if self._alone is None:
            self._alone = self._standalone(0 if condition is None else condition.shape[-1])
        return x, condition, lambda forward: self._alone.forward if forward else self._alone.inverse
