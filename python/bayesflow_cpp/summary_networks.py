"""v1's module of summary networks."""

from .networks import (  # noqa: F401
    DeepSet,
    HierarchicalNetwork,
    InvariantNetwork,
    SequenceNetwork,
    SequentialNetwork,
    SetTransformer,
    SplitNetwork,
    TimeSeriesTransformer,
)
