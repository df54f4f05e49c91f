"""Latent distributions of flows."""

from __future__ import annotations

from ._arrays import as_number
from .exceptions import ConfigurationError


class MultivariateStudentT:
    """Student-t with location 0 and scale I: for posteriors with heavier tails than a Gaussian latent gives."""

    def __init__(self, df: float) -> None:
        self.df = as_number(df, "MultivariateStudentT: df")
        if not self.df > 0:
            raise ConfigurationError(f"MultivariateStudentT: df must be positive; got {df}")

    def __repr__(self):
        return f"MultivariateStudentT(df={self.df:g})"
