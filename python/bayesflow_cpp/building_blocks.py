"""The former place of `networks.building_blocks`, which pickles of earlier versions name."""

from .networks.building_blocks import *  # noqa: F403
from .networks.building_blocks import _Described  # noqa: F401
