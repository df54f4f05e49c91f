"""Networks: summaries of data sets, conditional flows, and building blocks for networks of one's own."""

from .._absent import absent, absent_of_version_2, page
from ._base import _Network, _SummaryNetwork, as_net_name, print_summary, require_inference  # noqa: F401
from .building_blocks import *  # noqa: F403
from .building_blocks import __all__ as _blocks
from .deep_set import DeepSet, InvariantNetwork
from .engine import ConvNetwork, SequenceNetwork, SequentialNetwork, SetTransformer, TimeSeriesNetwork, TimeSeriesTransformer
from .heads import EvidentialNetwork, PMPNetwork, PointNetwork
from .invertible import InvertibleNetwork

__all__ = ["ConvNetwork", "DeepSet", "EvidentialNetwork", "InvariantNetwork", "InvertibleNetwork", "PMPNetwork", "PointNetwork", "SequenceNetwork", "SequentialNetwork", "SetTransformer", "TimeSeriesNetwork",
           "TimeSeriesTransformer", *_blocks]  # fmt: skip

_OWN = f"write a SummaryNetwork of dense layers and pooling ({page('python_networks.md')})"
SplitNetwork = absent("SplitNetwork", _OWN)

globals().update(absent_of_version_2())
