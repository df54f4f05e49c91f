"""v1's iterators over simulations, for training loops of one's own. Trainers have no need of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._arrays import as_count, as_number
from .exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from typing import Any, Iterator

    from ._types import Simulations


def _rows(forward_dict, owner):
    """The entries with a row for each simulation, those that all share, and the number of simulations."""
    if not isinstance(forward_dict, dict):
        raise ConfigurationError(f"{owner}: forward_dict must be a dictionary; got {type(forward_dict).__name__}")
    shared = {key: value for key, value in forward_dict.items() if value is None or "non_batchable" in key or np.ndim(value) == 0}
    rows = {key: np.asarray(value) for key, value in forward_dict.items() if key not in shared}
    counts = {key: len(value) for key, value in rows.items()}
    if not counts or len(set(counts.values())) > 1:
        raise ConfigurationError(f"{owner}: the entries need one row for each simulation; got {counts or 'none with rows'}")
    return rows, shared, next(iter(counts.values()))


class SimulationDataset:
    """Batches of simulations in a new order each epoch: ``for batch in dataset``. All of them are yielded; the last batch may be smaller.

    Parameters
    ----------
    forward_dict : dict
        Entries that are None, scalars and non-batchable contexts are in every batch as they are.
    batch_size : int
    buffer_size : int
        Has no meaning: all rows are shuffled, not those of a window. It is taken so that programs for v1 run.
    seed : int
        Of the order.
    """

    def __init__(self, forward_dict: Simulations, batch_size: int, buffer_size: int = 1024, *, seed: int = 0) -> None:
        as_count(buffer_size, "SimulationDataset: buffer_size")
        self.batch_size = as_count(batch_size, "SimulationDataset: batch_size")
        self._rows, self._shared, self.n_sim = _rows(forward_dict, "SimulationDataset")
        self.num_batches = -(-self.n_sim // self.batch_size)
        self._order = np.random.default_rng(seed)

    def __len__(self):
        return self.num_batches

    def __call__(self, batch_in: Any) -> dict[str, Any]:
        """The simulations of these numbers as a forward dictionary."""
        return {**self._shared, **{key: value[np.asarray(batch_in)] for key, value in self._rows.items()}}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        order = self._order.permutation(self.n_sim)
        return (self(order[first : first + self.batch_size]) for first in range(0, self.n_sim, self.batch_size))


class MultiSimulationDataset:
    """The same for simulations of several models, {"model_outputs": [...], "model_indices": [...]}: each batch is drawn from all models in proportion to
    what is left of them, so that all simulations of all models are yielded once in an epoch (v1 ends with the smallest model).

    Parameters are those of `SimulationDataset`.
    """

    def __init__(self, forward_dict: Simulations, batch_size: int, buffer_size: int = 1024, *, seed: int = 0) -> None:
        as_count(buffer_size, "MultiSimulationDataset: buffer_size")
        self.batch_size = as_count(batch_size, "MultiSimulationDataset: batch_size")
        outputs = forward_dict.get("model_outputs") if isinstance(forward_dict, dict) else None
        indices = list(forward_dict.get("model_indices", ())) if outputs else []
        if not outputs or len(outputs) != len(indices):
            raise ConfigurationError('MultiSimulationDataset: forward_dict must hold "model_outputs" and as many "model_indices"')
        self._models = [SimulationDataset(output, batch_size) for output in outputs]
        self._indices, self._shared = indices, {key: value for key, value in forward_dict.items() if key not in ("model_outputs", "model_indices")}
        self.num_models, self.n_sim = len(outputs), sum(model.n_sim for model in self._models)
        self.num_batches = -(-self.n_sim // self.batch_size)
        self._order = np.random.default_rng(seed)

    def __len__(self):
        return self.num_batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        which = np.repeat(np.arange(self.num_models), [model.n_sim for model in self._models])
        rows = np.concatenate([np.arange(model.n_sim) for model in self._models])
        order = self._order.permutation(self.n_sim)
        for first in range(0, self.n_sim, self.batch_size):
            chosen = order[first : first + self.batch_size]
            present = np.unique(which[chosen])
            outputs = [self._models[m](rows[chosen[which[chosen] == m]]) for m in present]
            yield {"model_outputs": outputs, "model_indices": [self._indices[m] for m in present], **self._shared}


class MemoryReplayBuffer:
    """The latest `capacity_in_batches` batches, and uniform draws of them. `Trainer.train_experience_replay` has its own."""

    def __init__(self, capacity_in_batches: int = 500, *, seed: int = 0) -> None:
        self._capacity = as_count(capacity_in_batches, "MemoryReplayBuffer: capacity_in_batches")
        self._batches, self._next, self._rng = [], 0, np.random.default_rng(seed)

    @property
    def size_in_batches(self) -> int:
        """Batches that it holds."""
        return len(self._batches)

    def store(self, forward_dict: Simulations) -> None:
        """Keeps a batch, in the place of the oldest one if there is no room."""
        if len(self._batches) < self._capacity:
            self._batches.append(forward_dict)
        else:
            self._batches[self._next] = forward_dict
        self._next = (self._next + 1) % self._capacity

    def sample(self) -> dict[str, Any]:
        """One of the batches."""
        if not self._batches:
            raise ArgumentError("MemoryReplayBuffer.sample: it holds no batch yet; store one first")
        return self._batches[self._rng.integers(len(self._batches))]


class EarlyStopper:
    """Tells when a validation loss no longer falls, for training loops of one's own. Training functions take `early_stopping=True`.

    patience : int
        Losses in a row that are no improvement before `update_and_recommend` says True. (v1 waits for one more.)
    tolerance : float
        An improvement is at least this much below the best loss so far. (v1 compares with the loss before.)
    """

    def __init__(self, patience: int = 5, tolerance: float = 0.05) -> None:
        self.patience, self.tolerance = as_count(patience, "EarlyStopper: patience"), as_number(tolerance, "EarlyStopper: tolerance")
        self._best, self._waited = np.inf, 0

    def update_and_recommend(self, current_val_loss: float) -> bool:
        """Whether to stop after this loss."""
        loss = as_number(current_val_loss, "EarlyStopper.update_and_recommend: current_val_loss")
        if self._best - loss >= self.tolerance or not np.isfinite(self._best):
            self._best, self._waited = loss, 0
            return False
        self._best, self._waited = min(self._best, loss), self._waited + 1
        if self._waited < self.patience:
            return False
        self._waited = 0
        return True
