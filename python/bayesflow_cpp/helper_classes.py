"""Loss histories, and what trainers are given beside data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._absent import absent

if TYPE_CHECKING:
    from typing import Any, Iterable

    from ._types import DataFrame

__all__ = ["LossHistory", "RegressionLRAdjuster"]


class LossHistory:
    """Losses of all runs of a trainer.

    "Loss" is what bars, messages and `compute_loss` call so, and what early stopping judges: it holds the summary loss, and no weight decay.
    "Summary.Loss" is the summary loss alone, "W.Decay" the weight decay; what is zero throughout is left out, and "Loss" alone is called "Default.Loss".
    """

    def __init__(self, runs: Iterable[Any]) -> None:
        self._runs = list(runs)

    @property
    def number_of_runs(self) -> int:
        """Calls of training functions."""
        return len(self._runs)

    def _in_words(self):
        steps, runs = sum(len(run.train_losses) for run in self._runs), self.number_of_runs
        last = f", last loss {self.last_total_loss():.4g}" if steps else ""
        return f"{steps:,} {'step' if steps == 1 else 'steps'} in {runs} {'run' if runs == 1 else 'runs'}{last}"

    def __repr__(self):
        return f"<LossHistory: {self._in_words()}>"

    @property
    def total_loss(self) -> np.ndarray:
        """The loss with weight decay, one number per step."""
        return self._components("train_losses").sum(axis=1)

    @property
    def total_val_loss(self) -> np.ndarray:
        """The loss without weight decay, one number per validated epoch."""
        return self._components("val_losses")[:, :2].sum(axis=1)

    def last_total_loss(self) -> float:
        """That of the last step, in nats per data set."""
        return float(self.total_loss[-1])

    def last_total_val_loss(self) -> float:
        """That of the last validated epoch, without weight decay."""
        return float(self.total_val_loss[-1])

    def get_plottable(self) -> DataFrame | dict[str, DataFrame]:
        """A DataFrame of training losses (rows are steps), or {"train_losses", "val_losses"} (rows are epochs) if there was validation.

        Without pandas: float64 arrays (rows, components) in the place of DataFrames."""
        names, values = self._table("train_losses", range(3))
        train = _frame(values, names)
        columns = [name for name in names if "Decay" not in name]
        _, validation = self._table("val_losses", range(2))
        if not len(validation):
            return train
        return {"train_losses": train, "val_losses": _frame(validation[:, : len(columns)], columns)}

    def _components(self, kind):
        return np.concatenate([getattr(run, kind) for run in self._runs] or [np.zeros((0, 3))])

    def _table(self, kind, components):
        every = self._components("train_losses")
        there = [True, bool(every[:, 1].any()), bool(every[:, 2].any())]
        names = [name for name, used in zip(("Loss", "Summary.Loss", "W.Decay"), there) if used]
        keep = [i for i in components if there[i]]
        values = self._components(kind)
        values[:, 0] += values[:, 1]
        return (["Default.Loss"] if names == ["Loss"] else names), values[:, keep]


def _frame(values, columns):
    try:
        import pandas as pd
    except ImportError:
        return values  # a training must not end with an error for want of a table
    return pd.DataFrame(values, columns=columns)


class RegressionLRAdjuster:
    """Lowers the learning rate where a robust line through the last `period` losses is flat; give it to a training function as `lr_adjuster`.

    Parameters
    ----------
    period : int
        Steps whose losses are looked at.
    wait_between_fits, patience : int
        Steps from one fit to the next, and fits that show a plateau, less those that do not, before the rate falls.
    tolerance : float
        Nats per `period` steps: a slope above it is a plateau.
    reduction_factor, cooldown_factor, num_resets
        What the rate is multiplied by; this times `period` steps pass before the next fit; reductions before a plateau ends the run.
    """

    def __init__(self, period: int = 1000, wait_between_fits: int = 10, patience: int = 10, tolerance: float = -0.05, reduction_factor: float = 0.25,
                 cooldown_factor: float = 2.0, num_resets: int = 3) -> None:
        self._shown = f"period={period}, patience={patience}, tolerance={tolerance}, reduction_factor={reduction_factor}, num_resets={num_resets}"
        self._core = _core.LRAdjusterOptions(period, wait_between_fits, patience, tolerance, reduction_factor, cooldown_factor, num_resets)

    def __repr__(self):
        return f"RegressionLRAdjuster({self._shown})"


SimulationDataset = absent("SimulationDataset", "train_offline takes forward dictionaries, lists of them, and files, and shuffles all rows itself")
MultiSimulationDataset = absent("MultiSimulationDataset", "model comparison is not there; train one AmortizedPosterior per model")
EarlyStopper = absent("EarlyStopper", "training functions take early_stopping=True and early_stopping_args")
SimulationMemory = absent("SimulationMemory", "keep simulations with GenerativeModel.presimulate or simulation.save_simulations; trainer.diagnose_* simulate afresh")
MemoryReplayBuffer = absent("MemoryReplayBuffer", "train_experience_replay has its own, of buffer_capacity batches")
