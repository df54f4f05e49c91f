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


#: uniform(rng, low, high): evenly distributed on [low, high).
uniform = _draw("uniform", _f, _f, _f)
#: normal(rng, loc, scale): mean loc, standard deviation scale.
normal = _draw("normal", _f, _f, _f)
#: lognormal(rng, mean, sigma): the exponential of a normal number of this mean and standard deviation.
lognormal = _draw("lognormal", _f, _f, _f)
#: exponential(rng, scale): mean scale.
exponential = _draw("exponential", _f, _f)
#: gamma(rng, shape, scale): mean shape * scale.
gamma = _draw("gamma", _f, _f, _f)
#: beta(rng, a, b): density proportional to x^(a - 1) (1 - x)^(b - 1).
beta = _draw("beta", _f, _f, _f)
#: student_t(rng, df): Student's t with df degrees of freedom.
student_t = _draw("student_t", _f, _f)
#: cauchy(rng, loc, scale): median loc, half the width at half the height scale.
cauchy = _draw("cauchy", _f, _f, _f)
#: integers(rng, low, high): each of low, ..., high - 1 with the same probability.
integers = _draw("integers", _i, _i, _i)
#: poisson(rng, mean): a count.
poisson = _draw("poisson", _i, _f)
#: binomial(rng, trials, probability): the number of successes.
binomial = _draw("binomial", _i, _i, _f)
#: bernoulli(rng, probability): 1 with this probability, or else 0.
bernoulli = _draw("bernoulli", _i, _f)
#: fill_uniform(rng, address of doubles, count): as many numbers on [0, 1); in numba the address is array.ctypes.
fill_uniform = _draw("fill_uniform", None, _p, _i)
#: fill_normal(rng, address of doubles, count): as many standard normal numbers, several times faster than single draws.
fill_normal = _draw("fill_normal", None, _p, _i)


def include_dir() -> str:
    """The folder of bayesflow_native.h, for functions that are compiled elsewhere: ``g++ -shared -fPIC -I$(python -c ...)``."""
    return str(_INCLUDE)


def numba_signature() -> Any:
    """What ``numba.cfunc`` needs to compile a prior or simulator (numba must be installed)."""
    from numba import types

    numbers = types.CPointer(types.float64)
    return types.void(numbers, numbers, numbers, types.CPointer(types.int64), types.voidptr)
