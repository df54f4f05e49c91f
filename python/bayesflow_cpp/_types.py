"""Names for what arguments may be, for type checkers and readers.

No program imports this module when it runs: it would load matplotlib and pandas.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, Sequence, Tuple, Union

from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from pandas import DataFrame

__all__ = ["ArrayLike", "Color", "DataFrame", "Figure", "Function", "Names", "Path", "Settings", "Simulations", "Size"]

Color = Union[str, Tuple[float, ...]]  # of matplotlib
Function = Callable[..., Any]
Names = Sequence[str]  # of parameters, one each
Path = Union[str, os.PathLike[str]]
Settings = Mapping[str, Any]  # options by name
Simulations = Mapping[str, Any]  # a forward dictionary, or what a configurator makes of one
Size = Tuple[float, float]
