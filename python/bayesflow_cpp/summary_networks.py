"""v1's module of summary networks."""

from .networks import (  # noqa: F401
    ConvNetwork,
    DeepSet,
    HierarchicalNetwork,
    InvariantNetwork,
    SequenceNetwork,
    SequentialNetwork,
    SetTransformer,
    SplitNetwork,
    TimeSeriesNetwork,
    TimeSeriesTransformer,
)
