"""Loss histories, and what trainers are given beside data."""

from __future__ import annotations

import copy
import io
import os
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _core
from ._arrays import Scalar, as_count, as_flag, as_path
from ._datasets import EarlyStopper, MemoryReplayBuffer, MultiSimulationDataset, SimulationDataset
from .exceptions import ArgumentError, IoError
from .optimizers import options_of

if TYPE_CHECKING:
    from typing import Any, Iterable

    from ._types import DataFrame, Path, Simulations

__all__ = ["EarlyStopper", "LossHistory", "MemoryReplayBuffer", "MultiSimulationDataset", "RegressionLRAdjuster", "SimulationDataset", "SimulationMemory"]


class LossHistory:
    """Losses of all runs of a trainer.

    "Loss" is what bars, messages and `compute_loss` call so, and what early stopping judges: it holds the summary loss, and no weight decay.
    "Summary.Loss" is the summary loss alone, "W.Decay" the weight decay; what is zero throughout is left out, and "Loss" alone is called "Default.Loss".
    In tables it answers to both names.
    """

    def __init__(self, *, runs: Iterable[Any] = ()) -> None:
        self._runs = [_Run(np.asarray(run.train_losses), np.asarray(run.val_losses), tuple(run.loss_names)) for run in runs]

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
        return self._components("val_losses")[:, :-1].sum(axis=1)

    def last_total_loss(self) -> float:
        """That of the last step, in nats per data set."""
        return self._last(self.total_loss, "steps")

    def last_total_val_loss(self) -> float:
        """That of the last validated epoch, without weight decay."""
        return self._last(self.total_val_loss, "validated epochs")

    @staticmethod
    def _last(losses, what):
        if not len(losses):
            raise ArgumentError(f"LossHistory: there are no {what} yet")
        return Scalar(losses[-1])

    def get_plottable(self) -> DataFrame | dict[str, DataFrame]:
        """A DataFrame of training losses (rows are steps), or {"train_losses", "val_losses"} (rows are epochs) if there was validation.

        Without pandas: float64 arrays (rows, components) in the place of DataFrames."""
        names, values = self._table("train_losses")
        train = _frame(values, names)
        columns = [name for name in names if "Decay" not in name]
        _, validation = self._table("val_losses")
        if not len(validation):
            return train
        return {"train_losses": train, "val_losses": _frame(validation[:, : len(columns)], columns)}

    @property
    def _terms(self):
        return self._runs[0].terms if self._runs else _OF_ONE

    def _components(self, kind):
        return np.concatenate([getattr(run, kind) for run in self._runs] or [np.zeros((0, len(self._terms)))])

    def _table(self, kind):
        every, values, terms = self._components("train_losses"), self._components(kind), self._terms
        there = [i == 0 or bool(every[:, i].any()) for i in range(len(terms))]
        names = [label_of(term) for term, used in zip(terms, there) if used]
        if terms == _OF_ONE:
            values[:, 0] += values[:, 1]
        return (["Default.Loss"] if names == ["Loss"] else names), values[:, there]


_OF_ONE = ("loss", "summary_loss", "weight_decay")  # the terms of a single amortizer
_LABELS = {"weight_decay": "W.Decay", "posterior": "Post", "likelihood": "Lik"}


def label_of(term):
    """v1's name of a loss term: "posterior_loss" is "Post.Loss", "local_loss" "Local.Loss"."""
    if term in _LABELS:
        return _LABELS[term]
    return ".".join(_LABELS.get(part, part.capitalize()) for part in term.split("_"))


class _Run(NamedTuple):
    train_losses: np.ndarray
    val_losses: np.ndarray
    terms: tuple[str, ...] = _OF_ONE


def _frame(values, columns):
    try:
        from ._loss_frame import LossFrame
    except ImportError:  # of pandas
        return values  # a training must not end with an error for want of a table
    return LossFrame(values, columns=columns)


class SimulationMemory:
    """Keeps the first `capacity_in_batches` configured batches of training; `Trainer(memory=...)` fills it.

    stores_raw : bool
        Has no meaning: v1 reads it nowhere either. It is taken so that programs for v1 run.
    """

    file_name = "memory"

    def __init__(self, stores_raw: bool = True, capacity_in_batches: int = 50) -> None:
        self.stores_raw = as_flag(stores_raw, "SimulationMemory: stores_raw")
        self._capacity = as_count(capacity_in_batches, "SimulationMemory: capacity_in_batches")
        self._batches = []

    def __repr__(self):
        return f"<SimulationMemory: {self.size_in_batches} of {self._capacity} batches>"

    @property
    def size_in_batches(self) -> int:
        """Batches that it holds."""
        return len(self._batches)

    def store(self, forward_dict: Simulations) -> None:
        """Keeps a batch if there is room."""
        if not self.is_full():
            self._batches.append(copy.deepcopy(forward_dict))

    def get_memory(self) -> list[Simulations]:
        """Copies of the batches that it holds."""
        return copy.deepcopy(self._batches)

    def is_full(self) -> bool:
        """Whether there is no room for more."""
        return self.size_in_batches >= self._capacity

    def save_to_file(self, file_path: Path) -> None:
        """Writes memory.npz into the folder `file_path`: the arrays of its batches."""
        path = os.path.join(as_path(file_path, "SimulationMemory.save_to_file: file_path"), f"{self.file_name}.npz")
        arrays = {f"{i}/{key}": np.asarray(value) for i, batch in enumerate(self._batches) for key, value in batch.items() if value is not None}
        content = io.BytesIO()
        np.savez(content, **{name: array for name, array in arrays.items() if array.dtype.kind in "fiub"})
        _core.write_file(path, content.getvalue())

    def load_from_file(self, file_path: Path) -> None:
        """Reads it again, if it is there; what does not fit into this memory is left out."""
        path = os.path.join(as_path(file_path, "SimulationMemory.load_from_file: file_path"), f"{self.file_name}.npz")
        if not os.path.exists(path):
            return
        batches = {}
        try:
            with np.load(path, allow_pickle=False) as file:
                for name in file.files:
                    number, _, key = name.partition("/")
                    batches.setdefault(int(number), {})[key] = file[name]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise IoError(f'"{path}" is no file of a simulation memory, or damaged ({error}); remove it to begin with an empty one') from error
        self._batches = [batches[i] for i in sorted(batches)][: self._capacity]


class RegressionLRAdjuster:
    """Lowers the learning rate where a robust line through the last `period` losses is flat; give it to a training function as `lr_adjuster`.

    Parameters
    ----------
    optimizer : optional
        Has no meaning: what is adjusted is the optimizer of the training function that is given the adjuster. It is taken so that programs for v1 run.
    period : int
        Steps whose losses are looked at.
    wait_between_fits, patience : int
        Steps from one fit to the next, and fits that show a plateau, less those that do not, before the rate falls.
    tolerance : float
        Nats per `period` steps: a slope above it is a plateau.
    reduction_factor, cooldown_factor, num_resets
        What the rate is multiplied by; this times `period` steps pass before the next fit; reductions before a plateau ends the run.
    """

    def __init__(self, optimizer: Any = None, period: int = 1000, wait_between_fits: int = 10, patience: int = 10, tolerance: float = -0.05, reduction_factor: float = 0.25,
                 cooldown_factor: float = 2.0, num_resets: int = 3) -> None:
        self._shown = f"period={period}, patience={patience}, tolerance={tolerance}, reduction_factor={reduction_factor}, num_resets={num_resets}"
        options_of(optimizer)  # a number here was meant as the period
        self._arguments = dict(period=period, wait_between_fits=wait_between_fits, patience=patience, tolerance=tolerance, reduction_factor=reduction_factor,
                               cooldown_factor=cooldown_factor, num_resets=num_resets)  # fmt: skip
        self._core = _core.LRAdjusterOptions(**self._arguments)

    def __reduce__(self):
        return type(self), (None, *self._arguments.values())

    def __repr__(self):
        return f"RegressionLRAdjuster({self._shown})"
