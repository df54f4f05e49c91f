"""v1's module of inference networks."""

from .networks import EvidentialNetwork, InvertibleNetwork, PMPNetwork, PointNetwork  # noqa: F401
