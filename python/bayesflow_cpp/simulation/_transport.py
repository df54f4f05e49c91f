"""Between a program and its worker processes: functions, messages, and numbers in shared memory."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import random
import struct
import sys
import tempfile
import types

import numpy as np

from .. import _core
from .._functions import KeyedFunction, _NumpyBits
from ..exceptions import ConfigurationError

try:
    import cloudpickle
except ImportError:  # plain pickle takes functions that can be imported by name
    cloudpickle = None

_SEEDED = "workers would all draw the same numbers from it; give the function a parameter rng, which is a numpy.random.Generator of the simulation's own"


class _FunctionPickler(cloudpickle.Pickler if cloudpickle else pickle.Pickler):
    """Generators of NumPy that a function holds are replaced in the workers by such on the simulation's own stream: a copy in each worker would draw
    the same numbers in all of them."""

    def __init__(self, file, owner):
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._owner, self._generators, self._seen = owner, [], set()

    def persistent_id(self, value):
        if isinstance(value, np.random.Generator):
            known = next((i for i, g in enumerate(self._generators) if g is value), None)
            if known is None:
                self._generators.append(value)
            return "generator", len(self._generators) - 1 if known is None else known
        if isinstance(value, (np.random.RandomState, random.Random, np.random.BitGenerator)):
            raise ConfigurationError(f"{self._owner}: its function holds a {type(value).__module__}.{type(value).__name__}: {_SEEDED}")
        if isinstance(value, types.FunctionType) and _is_importable(value):
            self._refuse_global_generators(value)
        return None

    def _refuse_global_generators(self, function):
        """A function of a module is imported again in the worker, with the module's generators in their first state."""
        if function in self._seen:
            return
        self._seen.add(function)
        for name in _names_in(function.__code__):
            value = function.__globals__.get(name)
            if isinstance(value, (np.random.Generator, np.random.RandomState, random.Random)):
                raise ConfigurationError(f"{self._owner}: {function.__qualname__} uses {name}, a {type(value).__name__} of the module {function.__module__}: {_SEEDED}")
            if isinstance(value, types.FunctionType) and value.__module__ == function.__module__:
                self._refuse_global_generators(value)


def _is_importable(function):
    module = sys.modules.get(function.__module__)
    value = None if function.__module__ == "__main__" else module
    for part in function.__qualname__.split("."):
        value = getattr(value, part, None)
    return value is function


def _names_in(code):
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


class _FunctionUnpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.generators = {}

    def persistent_load(self, key):
        _, number = key
        if number not in self.generators:
            bits = _core.BitGenerator()
            self.generators[number] = bits, np.random.Generator(_NumpyBits(bits))
        return self.generators[number][1]


def packed(function, owner):
    """A function as bytes, for `Function` in another process. Raises ConfigurationError if it cannot be sent."""
    file = io.BytesIO()
    try:
        _FunctionPickler(file, owner).dump(function)
    except ConfigurationError:
        raise
    except Exception as error:
        hint = "" if cloudpickle else '; lambdas, functions within functions and those of notebooks need cloudpickle (pip install "bayesflow-cpp[workers]")'
        raise ConfigurationError(f"{owner}: its function cannot be sent to worker processes: {type(error).__name__}: {error}{hint}") from error
    return file.getvalue()


class Function:
    """A packed function in a worker: a KeyedFunction and what puts all of its random numbers on the simulation's stream."""

    def __init__(self, packed):
        unpickler = _FunctionUnpickler(io.BytesIO(packed))
        self.function = KeyedFunction(unpickler.load(), "Simulator")
        self._generators = [(f"generator {number}", bits) for number, (bits, _) in sorted(unpickler.generators.items())]

    def seat(self, stream):
        for name, bits in self._generators:
            bits.seat(stream.branch(name))
        if not self.function.takes_rng:
            seed = stream.branch("global").bits()
            np.random.seed(seed & 0xFFFFFFFF)
            random.seed(seed)


# --- messages: their length, then the bytes ---


def send(sock, message):
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    sock.sendall(struct.pack("<Q", len(data)) + data)


def receive(sock):
    """Raises EOFError if the other side is gone."""
    (length,) = struct.unpack("<Q", _read(sock, 8))
    return pickle.loads(_read(sock, length))


def _read(sock, length):
    data = bytearray(length)
    view, at = memoryview(data), 0
    while at < length:
        got = sock.recv_into(view[at:])
        if got == 0:
            raise EOFError
        at += got
    return data


class SharedBuffer:
    """Memory without a name that two processes map: it is gone with the last of them, however they end. Grows where more is needed."""

    def __init__(self, fd=None):
        self.fd = _anonymous_file() if fd is None else fd
        self._map = None

    def array(self, shape, dtype):
        """An array in this memory. It is written before, or read after, a message to the other process."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        size = count * dtype.itemsize
        if size == 0:
            return np.empty(shape, dtype)
        if self._map is None or len(self._map) < size:
            length = os.fstat(self.fd).st_size
            if length < size:
                length = max(size, 2 * length, 1 << 16)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self.fd, 0, length)  # an error here, instead of a signal when memory is short later
                else:
                    os.ftruncate(self.fd, length)
            self._map = mmap.mmap(self.fd, length)
        return np.frombuffer(self._map, dtype, count).reshape(shape)

    def close(self):
        self._map = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _anonymous_file():
    if hasattr(os, "memfd_create"):
        return os.memfd_create("bayesflow_cpp")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
