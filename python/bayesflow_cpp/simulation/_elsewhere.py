"""Where a simulator's function runs: in worker processes, or by an executor."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from .._arrays import is_whole
from .._native import NativeFunction
from ..exceptions import ConfigurationError

# From what one simulation takes workers pay: a task costs some 0.1 ms to send and read, and the training beside them gives up a part of its cores.
_AUTO_SECONDS = 3e-4
_AUTO_CALLS = 3  # the first ones compile, load, fill caches


class Elsewhere:
    """Runs a function of simulations in other processes. `workers`: how many of this machine, or "auto"; `executor`: a concurrent.futures.Executor;
    `rows_per_task`: simulations of a task, required for a function of batches."""

    def __init__(self, function, is_batched, owner, workers, executor, rows_per_task):
        check(function, is_batched, owner, workers, executor, rows_per_task)
        self._keyed, self._is_batched, self._owner = function, is_batched, owner
        self._workers, self._executor, self._rows_per_task = workers, executor, rows_per_task
        self._reset()

    def _reset(self):
        self._runner, self._pid, self._calls = None, os.getpid(), 0
        self._decided = self._workers != "auto"
        self._lock = threading.Lock()

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key not in ("_runner", "_lock", "_pid", "_calls", "_decided")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._reset()

    def __repr__(self):
        given = {"workers": self._workers, "executor": self._executor, "rows_per_task": self._rows_per_task}
        return ", ".join(f"{key}={value!r}" if key != "executor" else f"executor={type(value).__name__}" for key, value in given.items() if value is not None)

    def run(self, name, batch_size, parameters, batchable, non_batchable, streams, first, args, kwargs, here):
        """The rows; `here` makes them in this process."""
        if batch_size == 0:
            return here()
        if not self._decided:
            return self._timed(here, batch_size)
        if self._runner is None and self._workers == "auto":  # it does not pay
            return here()
        task = {
            "name": name,
            "batched": self._is_batched,
            "streams": streams,
            "first": first,
            "count": batch_size,
            "parameters": parameters,
            "batchable": batchable,
            "non_batchable": non_batchable,
            "args": args,
            "kwargs": kwargs,
        }
        return self._running().run(task, self._rows_per_task)

    def _running(self):
        from ._pool import ExecutorRunner, WorkerPool

        with self._lock:
            if self._runner is None:
                if self._executor is not None:
                    self._runner = ExecutorRunner(self._keyed.function, self._executor, self._owner)
                else:
                    self._runner = WorkerPool(self._keyed.function, available_cores() if self._workers == "auto" else self._workers, self._owner)
            return self._runner

    def _timed(self, here, batch_size):
        start = time.perf_counter()
        out = here()
        seconds = (time.perf_counter() - start) / batch_size
        self._calls += 1
        if self._calls >= _AUTO_CALLS:
            if seconds >= _AUTO_SECONDS and available_cores() > 1:
                self._running()
            self._decided = True
        return out

    def close(self):
        with self._lock:
            runner, self._runner = self._runner, None
            if self._workers == "auto":
                self._calls, self._decided = 0, False
        if runner is not None:
            runner.close()


def available_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(function, is_batched, owner, workers, executor, rows_per_task):
    if isinstance(function, NativeFunction):
        raise ConfigurationError(f"{owner}: a compiled function runs on all cores by itself; leave out workers and executor")
    if workers is not None and executor is not None:
        raise ConfigurationError(f"{owner}: workers are processes of this machine, an executor has its own; give one of them")
    if workers is not None and workers != "auto" and (isinstance(workers, bool) or not is_whole(workers) or workers < 1):
        raise ConfigurationError(f'{owner}: workers must be a number of processes, at least 1, "auto", or None for this process; got {workers!r}')
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ConfigurationError(f"{owner}: executor must be a concurrent.futures.Executor, with a method submit; got a {type(executor).__name__}")
    if isinstance(executor, ThreadPoolExecutor) and not function.takes_rng:
        raise ConfigurationError(f"{owner}: threads share the global random numbers; give the function a parameter rng, or use processes")
    if rows_per_task is not None and (isinstance(rows_per_task, bool) or not is_whole(rows_per_task) or rows_per_task < 1):
        raise ConfigurationError(f"{owner}: rows_per_task must be a whole number of at least 1; got {rows_per_task!r}")
    if rows_per_task is not None and workers is None and executor is None:
        raise ConfigurationError(f"{owner}: rows_per_task is for workers or an executor; give one of them")
    if is_batched and workers == "auto":
        raise ConfigurationError(f'{owner}: workers="auto" is for a function of single simulations (simulator_fun), whose rows are the same wherever they are made')
    if is_batched and (workers is not None or executor is not None) and rows_per_task is None:
        raise ConfigurationError(
            f"{owner}: a function of batches makes a whole batch in one call; give rows_per_task, the number of simulations of a call (its random numbers "
            "belong to such a call), or a function of single simulations (simulator_fun)"
        )
