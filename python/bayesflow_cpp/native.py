"""Compiled priors and simulators, and the library's random streams for other compilers.

`compile_cpp` compiles C++ from a string, `CFunction` wraps what is compiled already; both go into `Prior` and `Simulator` as functions of one
simulation. See docs/python_simulators.md.

The functions `uniform`, `normal`, ... are ctypes functions, which numba calls in compiled code. Their first argument is the simulator's `rng`:

    @numba.cfunc(bf.native.numba_signature())
    def simulate(params, context, data, shape, rng):
        x = numba.carray(data, (50, 4))
        for i in range(50):
            for k in range(4):
                x[i, k] = bf.native.normal(rng, params[k], 1.0)

    simulator = bf.simulation.Simulator(simulator_fun=bf.CFunction(simulate, shape=(50, 4)))

An argument outside a distribution's domain gives NaN (or 0) and makes the simulation fail with a sentence. Without a stream (None for `rng`) there are
no numbers either.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from . import _core
from ._native import _INCLUDE, CFunction, compile_cpp

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "CFunction",
    "compile_cpp",
    "include_dir",
    "numba_signature",
    "uniform",
    "normal",
    "lognormal",
    "exponential",
    "gamma",
    "beta",
    "student_t",
    "cauchy",
    "integers",
    "poisson",
    "binomial",
    "bernoulli",
    "fill_uniform",
    "fill_normal",
]

_f, _i, _p = ctypes.c_double, ctypes.c_int64, ctypes.c_void_p
_addresses = _core.native_draws()


def _draw(name, result, *arguments):
    return ctypes.CFUNCTYPE(result, _p, *arguments)(_addresses[name])


uniform = _draw("uniform", _f, _f, _f)  # (rng, low, high)
normal = _draw("normal", _f, _f, _f)  # (rng, loc, scale)
lognormal = _draw("lognormal", _f, _f, _f)  # (rng, mean, sigma)
exponential = _draw("exponential", _f, _f)  # (rng, scale)
gamma = _draw("gamma", _f, _f, _f)  # (rng, shape, scale)
beta = _draw("beta", _f, _f, _f)  # (rng, a, b)
student_t = _draw("student_t", _f, _f)  # (rng, df)
cauchy = _draw("cauchy", _f, _f, _f)  # (rng, loc, scale)
integers = _draw("integers", _i, _i, _i)  # (rng, low, high): high is not among them
poisson = _draw("poisson", _i, _f)  # (rng, mean)
binomial = _draw("binomial", _i, _i, _f)  # (rng, trials, probability)
bernoulli = _draw("bernoulli", _i, _f)  # (rng, probability): 0 or 1
fill_uniform = _draw("fill_uniform", None, _p, _i)  # (rng, address of doubles, count); in numba: array.ctypes
fill_normal = _draw("fill_normal", None, _p, _i)  # (rng, address of doubles, count): several times faster than single draws


def include_dir() -> str:
    """The folder of bayesflow_native.h, for functions that are compiled elsewhere: ``g++ -shared -fPIC -I$(python -c ...)``."""
    return str(_INCLUDE)


def numba_signature() -> Any:
    """What ``numba.cfunc`` needs to compile a prior or simulator (numba must be installed)."""
    from numba import types

    numbers = types.CPointer(types.float64)
    return types.void(numbers, numbers, numbers, types.CPointer(types.int64), types.voidptr)
