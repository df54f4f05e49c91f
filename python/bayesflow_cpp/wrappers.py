"""v1's wrapper of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._arrays import as_count, shown
from .exceptions import ConfigurationError, OperationNotSupportedError
from .networks.building_blocks import Dense

if TYPE_CHECKING:
    from .networks._tracing import SymbolicTensor

__all__ = ["SpectralNormalization"]


class SpectralNormalization:
    """A `networks.Dense` layer whose kernel is divided by its largest singular value, with derivatives through it (v1 overwrites the kernel instead).

    Parameters
    ----------
    layer : networks.Dense
    power_iterations : int
        Of each training step: 1.
    """

    def __init__(self, layer: Dense, power_iterations: int = 1) -> None:
        if not isinstance(layer, Dense):
            raise ConfigurationError(f"SpectralNormalization: layer must be a networks.Dense; got {shown(layer)}")
        if as_count(power_iterations, "SpectralNormalization: power_iterations") != 1:
            raise OperationNotSupportedError("SpectralNormalization: power_iterations must be 1: the direction is kept from step to step")
        self.layer = layer
        layer._spectral_norm = True

    def call(self, inputs: SymbolicTensor, training: bool = False) -> SymbolicTensor:
        """(..., d) -> (..., units). `training` means nothing: a trainer decides."""
        return self.layer(inputs)

    __call__ = call
