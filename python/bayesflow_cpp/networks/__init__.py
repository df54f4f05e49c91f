"""Networks: summaries of data sets, conditional flows, and building blocks for networks of one's own."""

from .._absent import absent_of_version_2
from ._base import _Network, _SummaryNetwork, as_net_name, print_summary, require_inference  # noqa: F401
from .building_blocks import *  # noqa: F403
from .building_blocks import __all__ as _blocks
from .composite import FusionNetwork, HierarchicalNetwork, SplitByColumn, SplitNetwork
from .deep_set import DeepSet, InvariantNetwork
from .densities import AutoregressiveFlow, DensityNetwork, DiffusionNetwork, MixtureDensityNetwork, ShortcutNetwork, require_density, require_latents  # noqa: F401
from .engine import ConvNetwork, SequenceNetwork, SequentialNetwork, SetTransformer, TimeSeriesNetwork, TimeSeriesTransformer
from .flow_matching import FlowMatchingNetwork
from .heads import EvidentialNetwork, PMPNetwork, PointNetwork
from .invertible import InvertibleNetwork
from .layers import *  # noqa: F403
from .layers import __all__ as _layers

__all__ = ["AutoregressiveFlow", "ConvNetwork", "DeepSet", "DiffusionNetwork", "EvidentialNetwork", "FlowMatchingNetwork", "FusionNetwork", "HierarchicalNetwork", "InvariantNetwork", "InvertibleNetwork", "MixtureDensityNetwork", "PMPNetwork", "PointNetwork",
           "SequenceNetwork", "SequentialNetwork", "SetTransformer", "ShortcutNetwork", "SplitByColumn", "SplitNetwork", "TimeSeriesNetwork", "TimeSeriesTransformer", *_blocks,
           *_layers]  # fmt: skip

globals().update(absent_of_version_2())
