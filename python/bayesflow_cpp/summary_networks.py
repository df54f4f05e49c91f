"""v1's module of summary networks."""

from .networks import (  # noqa: F401
    ConvNetwork,
    DeepSet,
    FusionNetwork,
    HierarchicalNetwork,
    InvariantNetwork,
    SequenceNetwork,
    SequentialNetwork,
    SetTransformer,
    SplitByColumn,
    SplitNetwork,
    TimeSeriesNetwork,
    TimeSeriesTransformer,
)
