"""Worker processes that simulate: started once, started again when one dies, gone with the program however that ends."""

from __future__ import annotations

import json
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from concurrent.futures import BrokenExecutor

import numpy as np

from ..exceptions import ConfigurationError, SimulationError
from ._rows import refuse_shapes, with_parameters
from ._transport import SharedBuffer, packed, receive, send
from ._worker import make_in_executor

_CODE = """import json, sys
known = json.loads(sys.argv[1])
sys.path[:] = known["path"]
from bayesflow_cpp.simulation._worker import main
main(known["socket"], known["life"], known["state"], known["buffers"])
"""
_SLOTS = 2  # tasks of a worker at a time: it begins the next one while the program reads the last one
_FAILED_STARTS, _KILLED_STARTS = 3, 200  # in sequence: by themselves, or by somebody's signals
_ATTEMPTS = 3  # a simulation whose worker dies as often is given up
_EXECUTOR_TASK_SECONDS, _EXECUTOR_TASKS = 0.05, 32  # executors on other machines take milliseconds for a task; 32 keep some thirty workers busy
_TASK_SECONDS = 0.002  # long beside sending a task (some 0.1 ms), short beside a batch


class RemoteTraceback(Exception):
    """What a worker's traceback says, as the cause of the exception here."""

    def __str__(self):
        return f"\n\n{self.args[0]}"


def raise_from_worker(error):
    """The exception that `portable` made bytes of."""
    exception, cause, text = error
    exception = pickle.loads(exception)
    cause = None if cause is None else pickle.loads(cause)
    if cause is None:
        raise exception from RemoteTraceback(text)
    cause.__cause__ = RemoteTraceback(text)
    raise exception from cause


def joined(whole, parts):
    """The rows of a task from its pieces {begin: rows}."""
    begins = sorted(parts)
    for begin in begins:
        if parts[begin].shape[1:] != parts[0].shape[1:]:
            refuse_shapes(whole["name"], whole["first"], parts[0].shape[1:], whole["first"] + begin, parts[begin].shape[1:])
    return parts[0] if len(parts) == 1 else np.concatenate([parts[begin] for begin in begins])


class Pace:
    """How many rows a task has, from the time that a row takes: the same rows come out, in whatever pieces they are made."""

    def __init__(self, task_seconds, in_flight):
        self._task_seconds, self._in_flight = task_seconds, in_flight
        self._row_seconds = None

    def rows_of_a_task(self, count):
        most = -(-count // self._in_flight)
        if self._row_seconds is None:
            return max(1, most // 2)
        return max(1, min(most, round(self._task_seconds / max(self._row_seconds, 1e-9))))

    def measured(self, seconds, rows):
        now = seconds / rows
        self._row_seconds = now if self._row_seconds is None else 0.7 * self._row_seconds + 0.3 * now


def piece(whole, begin, end):
    """The task of rows `begin` to `end` of a task."""
    parameters = whole["parameters"]
    split = type(parameters)(part(p, begin, end) for p in parameters) if isinstance(parameters, (list, tuple)) else part(parameters, begin, end)
    return {**whole, "first": whole["first"] + begin, "count": end - begin, "parameters": split, "batchable": part(whole["batchable"], begin, end)}


def part(values, begin, end):
    """Rows of parameters or contexts: arrays, lists of rows, or tuples of arrays."""
    return None if values is None else values[begin:end]


class Worker:
    def __init__(self, function):
        ours, theirs = socket.socketpair()
        life_read, self._life = os.pipe()
        self.buffers = [SharedBuffer() for _ in range(_SLOTS)]
        self._shared_state = SharedBuffer()
        self.state = self._shared_state.array((1,), np.int64)
        self.state[0] = 0
        self.sock = ours
        known = {"path": sys.path, "socket": theirs.fileno(), "life": life_read, "state": self._shared_state.fd, "buffers": [b.fd for b in self.buffers]}
        # One thread for the libraries of each worker: workers are as many as the cores.
        environment = {**{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}, **os.environ}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps(known)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), life_read, known["state"], *known["buffers"]),
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is the program's
            )
        except OSError as error:
            raise ConfigurationError(f"Simulator: a worker process cannot be started ({sys.executable} -c ...): {error}; use workers=None") from error
        finally:
            theirs.close()
            os.close(life_read)
        self.tasks = deque()  # in the order in which they were sent
        send(self.sock, {"function": function})

    def free_slot(self):
        used = {task["buffer"] for task in self.tasks}
        return next((slot for slot in range(_SLOTS) if slot not in used), None)

    def close(self, kill=False):
        """Ends the process, whatever it is doing, and frees what was shared with it. Returns its exit status."""
        self.abandon()
        if kill:
            self.process.kill()
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:  # code that holds the interpreter's lock and does not see that the program has left
            self.process.kill()
            status = self.process.wait()
        return status

    def abandon(self):
        """Closes this process' ends alone."""
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        self.sock.close()
        for buffer in (self._shared_state, *self.buffers):
            buffer.close()


_pools = weakref.WeakSet()


def _after_fork_in_child():
    """Workers are the parent's: a child that kept their pipes would keep them alive."""
    for pool in list(_pools):
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _close_all(workers):
    for worker in workers:
        worker.close()
    workers.clear()


class WorkerPool:
    """`count` processes that run `function`. `run` may be called from any thread; calls wait for each other."""

    def __init__(self, function, count, owner):
        self._function, self._count, self._owner = packed(function, owner), count, owner
        self._workers = []
        self._next_id = 0
        self._pace = Pace(_TASK_SECONDS, _SLOTS * count)
        self._failed_starts = 0
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _close_all, self._workers)
        _pools.add(self)

    def close(self):
        with self._lock:
            _close_all(self._workers)

    def forget(self):
        for worker in self._workers:
            worker.abandon()
            worker.process.returncode = 0  # not a child of this process
        self._workers.clear()
        self._lock = threading.Lock()

    def run(self, task, rows_per_task=None):
        """The rows of `task` (see `_worker.make`), made in pieces."""
        with self._lock:
            while len(self._workers) < self._count:
                self._workers.append(Worker(self._function))
            return self._run(task, rows_per_task)

    def _run(self, whole, rows_per_task):
        count = whole["count"]
        size = rows_per_task or self._pace.rows_of_a_task(count)
        waiting = deque((begin, min(begin + size, count)) for begin in range(0, count, size))
        failures, attempts = {}, {}
        rows = {}
        mine = set()  # numbers of tasks of this call; others belong to a call that was interrupted
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.sock, selectors.EVENT_READ, worker)
            while waiting or mine:
                # What comes after a failure is not needed any more.
                while failures and waiting and waiting[0][0] > min(failures):
                    waiting.popleft()
                for worker in list(self._workers):
                    while waiting and (slot := worker.free_slot()) is not None:
                        begin, end = waiting.popleft()
                        self._next_id += 1
                        task = {"id": self._next_id, "buffer": slot, "begin": begin, "end": end}
                        mine.add(task["id"])
                        worker.tasks.append(task)
                        try:
                            send(worker.sock, {**piece(whole, begin, end), "id": task["id"], "buffer": slot})
                        except OSError:
                            break  # its end is seen below
                if not waiting and not mine:
                    break
                for key, _ in selector.select():
                    worker = key.data
                    try:
                        reply = receive(worker.sock)
                    except (EOFError, OSError):
                        lost = [task for task in worker.tasks if task["id"] in mine]
                        mine -= {task["id"] for task in lost}
                        selector.unregister(worker.sock)
                        self._replace(worker, selector)
                        self._again(whole, lost, worker, waiting, attempts)
                        continue
                    task = worker.tasks.popleft()
                    self._failed_starts = 0
                    if task["id"] not in mine:
                        continue
                    mine.discard(task["id"])
                    if "error" in reply:
                        failures[task["begin"]] = reply["error"]
                    else:
                        rows[task["begin"]] = self._read(worker, task, reply)
                        self._pace.measured(reply["seconds"], task["end"] - task["begin"])
        if failures:
            raise_from_worker(failures[min(failures)])
        return joined(whole, rows)

    @staticmethod
    def _read(worker, task, reply):
        buffer = worker.buffers[task["buffer"]]
        if "shape" in reply:
            return buffer.array(reply["shape"], reply["dtype"]).copy()  # the worker writes into it again
        data = buffer.array((reply["shared_bytes"],), np.uint8).tobytes() if "shared_bytes" in reply else reply["bytes"]
        return pickle.loads(data)

    def _replace(self, worker, selector):
        worker.status = worker.close(kill=True)
        self._workers.remove(worker)
        fresh = Worker(self._function)
        self._workers.append(fresh)
        selector.register(fresh.sock, selectors.EVENT_READ, fresh)

    def _again(self, whole, lost, worker, waiting, attempts):
        """Tasks of a worker that died are done again, and the one that was being made row by row, so that a simulation that ends workers is known."""
        state = int(worker.state[0])
        if state == 0:
            self._failed_starts += 1
            if self._failed_starts >= (_KILLED_STARTS if worker.status < 0 else _FAILED_STARTS):
                self._failed_starts = 0
                raise SimulationError(f"{self._owner}: worker processes end before they are ready ({_how_it_ended(worker.status)}); what they wrote is above. Use workers=None")
        for task in reversed(lost):
            begin, end = task["begin"], task["end"]
            if task["id"] == state:
                attempts[begin] = attempts.get(begin, 0) + 1
                if attempts[begin] >= _ATTEMPTS and (end - begin == 1 or whole["batched"]):
                    raise SimulationError(
                        f"{whole['name']}: simulation {whole['first'] + begin}{with_parameters(whole['parameters'], begin)} ended its worker process "
                        f"{_ATTEMPTS} times ({_how_it_ended(worker.status)}); run the simulator on these parameters without workers to see why"
                    )
                if not whole["batched"]:
                    waiting.extendleft((row, row + 1) for row in reversed(range(begin, end)))
                    continue
            waiting.appendleft((begin, end))


class ExecutorRunner:
    """Runs tasks by any concurrent.futures.Executor whose workers can import this package."""

    def __init__(self, function, executor, owner):
        self._function, self._executor, self._owner = packed(function, owner), executor, owner
        self._pace = Pace(_EXECUTOR_TASK_SECONDS, _EXECUTOR_TASKS)

    def close(self):
        """The executor is its owner's."""

    def run(self, task, rows_per_task=None):
        size = rows_per_task or self._pace.rows_of_a_task(task["count"])
        futures = {}
        try:
            for begin in range(0, task["count"], size):
                futures[begin] = self._executor.submit(make_in_executor, self._function, piece(task, begin, min(begin + size, task["count"])))
            rows = {}
            for begin, future in futures.items():
                rows[begin], seconds, error = future.result()
                if error:
                    raise_from_worker(error)
                self._pace.measured(seconds, len(rows[begin]))
        except BrokenExecutor as error:
            raise SimulationError(f"{self._owner}: its executor is broken: {type(error).__name__}: {error}; make another one") from error
        except RuntimeError as error:
            if "shutdown" not in str(error):
                raise
            raise SimulationError(f"{self._owner}: its executor was shut down: {error}; keep it open for as long as the model is used") from error
        finally:
            for future in futures.values():
                future.cancel()
        return joined(task, rows)


def _how_it_ended(status):
    if status is not None and status < 0:
        try:
            return f"by {signal.Signals(-status).name}"
        except ValueError:
            return f"by signal {-status}"
    return f"with exit status {status}"
