"""Users' functions, and the random numbers they are handed."""

import inspect
import threading

import numpy as np

from . import _core


class KeyedFunction:
    """A user's function. If it has a parameter named `rng`, each call is handed a NumPy Generator on the random stream that belongs to the
    simulation's number: one seed gives one result, in whatever order and on however many threads simulations are made.

    The Generator is one object that is moved from stream to stream, so a function must not keep it beyond the call.
    """

    def __init__(self, function, owner):
        if not callable(function):
            from .exceptions import ConfigurationError

            raise ConfigurationError(f"{owner}: the function must be callable; got {type(function).__name__}")
        self.function = function
        self.takes_rng = _takes_rng(function)
        self._local = threading.local()  # a trainer simulates on a thread of its own

    def __call__(self, stream, *args, **kwargs):
        """Calls the function; `stream` is a _core.Rng."""
        if not self.takes_rng:
            return self.function(*args, **kwargs)
        local = self._local
        try:
            bits = local.bits
        except AttributeError:
            bits = local.bits = _core.BitGenerator()
            local.generator = np.random.Generator(_NumpyBits(bits))
        bits.seat(stream)
        return self.function(*args, rng=local.generator, **kwargs)

    def __getstate__(self):
        return self.function

    def __setstate__(self, function):
        self.__init__(function, "function")


class _NumpyBits:
    """What numpy.random.Generator asks of a bit generator."""

    def __init__(self, bits):
        self._bits = bits
        self.capsule = bits.capsule
        self.lock = threading.Lock()


def name_of(function):
    """What a function is called in a repr."""
    return getattr(function, "__name__", None) or repr(function)


def _takes_rng(function):
    try:
        return "rng" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # builtins without a signature
        return False
