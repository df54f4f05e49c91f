"""Files of simulations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_names, as_path, shown
from ..exceptions import ConfigurationError
from .forward import from_core, to_core

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import Names, Path, Simulations


class SimulationStore:
    """A file of simulations, as `GenerativeModel.presimulate` writes it.

    Raises IoError: no such file, another kind of file, a newer format, cut short, damaged.
    """

    def __init__(self, path: Path) -> None:
        self._core = _core.SimulationStore(as_path(path, "SimulationStore: path"))
        self.path, self.info = self._core.path, self._core.info

    def __reduce__(self):
        return SimulationStore, (self.path,)

    def __len__(self):
        return len(self._core)

    def __repr__(self):
        return f"<SimulationStore {self.path!r}: {len(self):,} simulations in {self.batches} {'batch' if self.batches == 1 else 'batches'}>"

    @property
    def batches(self) -> int:
        """Number of stored batches."""
        return self._core.batches

    def batch(self, index: int) -> dict[str, Any]:
        """A stored batch as a forward dictionary; its checksum is verified."""
        return from_core(self._core.batch(index))

    def read(self) -> dict[str, Any]:
        """Everything as one forward dictionary. Raises ArgumentError if batches differ in their contexts."""
        return from_core(self._core.read())


def save_simulations(simulations: Simulations, path: Path, *, model_name: str = "anonymous", param_names: Names | None = None,
                     precision: str = "float64") -> None:
    """Writes a forward dictionary as a file of simulations, at once or not at all."""
    _core.save_simulations(to_core(simulations), as_path(path, "save_simulations: path"), model_name, as_names(param_names, "save_simulations: param_names"), precision)


def join_simulations(parts: Sequence[Path], path: Path) -> int:
    """Writes the parts of a set of simulations (`presimulate(..., first=...)`, `python -m bayesflow_cpp simulate`) as one file, the same, byte for
    byte, that one process would have written. The parts stay. Returns how many simulations there are.

    Raises IoError, which names the part: not complete, missing, there twice, of another model or seed.
    """
    if isinstance(parts, (str, bytes)) or not isinstance(parts, Iterable):
        raise ConfigurationError(f"join_simulations: parts must be a list of paths; got {shown(parts)}")
    return _core.join_simulations([as_path(part, "join_simulations: parts") for part in parts], as_path(path, "join_simulations: path"))
