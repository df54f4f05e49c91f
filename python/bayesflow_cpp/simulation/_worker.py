"""A worker process: makes rows of simulations for the program that started it, until that ends."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
import traceback

import numpy as np

from ..exceptions import ConfigurationError, SimulationError
from ._rows import returned, run_rows
from ._transport import Function, SharedBuffer, cloudpickle, receive, send

_INLINE = 1 << 15  # bytes; what is longer goes through shared memory, so that a reply never waits for its reader


def make(function, task):
    """The rows of a task: a dictionary of `name`, `batched` and the arguments of `run_rows`. The same code in worker processes and executors."""
    streams, first, parameters = task["streams"], task["first"], task["parameters"]
    batchable, non_batchable = task["batchable"], task["non_batchable"]
    if task["batched"]:
        stream = streams.at(first)
        function.seat(stream)
        lead = tuple(value for value in (batchable, non_batchable) if value is not None)
        out = np.asarray(returned(task["name"], function.function(stream, parameters, *lead, *task["args"], **task["kwargs"])))
        if out.ndim == 0 or len(out) != task["count"]:
            raise SimulationError(f"{task['name']}: its function was given {task['count']} simulations and returned shape {out.shape}; it must return a row for each")
        return out
    return run_rows(
        task["name"], function.function, streams, first, task["count"], parameters, batchable, non_batchable, task["args"], task["kwargs"], before=function.seat
    )


_loaded = threading.local()  # of an executor's worker: the function that it ran last


def make_in_executor(packed, task):
    """(rows, seconds, None), or (None, 0, the error as `portable` has it)."""
    try:
        if getattr(_loaded, "packed", None) != packed:
            _loaded.function, _loaded.packed = Function(packed), packed
        start = time.perf_counter()
        rows = make(_loaded.function, task)
        return rows, time.perf_counter() - start, None
    except Exception as error:
        return None, 0.0, portable(error)


def portable(error):
    """An exception and its cause as bytes, and its traceback as text."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    dumps = (cloudpickle or pickle).dumps

    def packed(e):
        try:
            data = dumps(e)
            pickle.loads(data)
            return data
        except Exception:
            return dumps(RuntimeError(f"{type(e).__name__}: {e}"))

    return packed(error), packed(error.__cause__) if error.__cause__ is not None else None, text


def _leave_with_the_program(fd):
    os.read(fd, 1)  # the other end is never written to: this returns when the program has closed it or is gone
    os._exit(0)


IDLE = -1  # in the state that a worker shares with the program: it is ready; otherwise the number of the task that is being made, or 0 before the start


def main(socket_fd, life_fd, state_fd, buffer_fds):
    threading.Thread(target=_leave_with_the_program, args=(life_fd,), daemon=True).start()
    sock = socket.socket(fileno=socket_fd)
    state = SharedBuffer(state_fd).array((1,), np.int64)
    buffers = [SharedBuffer(fd) for fd in buffer_fds]
    function, unusable = None, None
    while True:
        try:
            message = receive(sock)
        except (EOFError, ConnectionError):
            return
        if "function" in message:
            try:
                function = Function(message["function"])
            except BaseException as error:
                known = ConfigurationError(f"Simulator: a worker process cannot load its function: {type(error).__name__}: {error}")
                known.__cause__ = error
                unusable = portable(known)
            state[0] = IDLE
            continue
        state[0] = message["id"]
        reply = {"id": message["id"]}
        try:
            if unusable:
                reply["error"] = unusable
            else:
                start = time.perf_counter()
                rows = make(function, message)
                reply["seconds"] = time.perf_counter() - start
                rows = np.ascontiguousarray(rows)
                if rows.dtype.kind in "fiubc":
                    reply["shape"], reply["dtype"] = rows.shape, rows.dtype.str
                    buffers[message["buffer"]].array(rows.shape, rows.dtype)[...] = rows
                else:
                    reply["bytes"] = (cloudpickle or pickle).dumps(rows)
        except BaseException as error:
            reply = {"id": message["id"], "error": portable(error)}
        if len(reply.get("bytes", b"")) > _INLINE:
            data = np.frombuffer(reply.pop("bytes"), np.uint8)
            buffers[message["buffer"]].array(data.shape, np.uint8)[...] = data
            reply["shared_bytes"] = len(data)
        state[0] = IDLE
        try:
            send(sock, reply)
        except (ConnectionError, BrokenPipeError):
            return
