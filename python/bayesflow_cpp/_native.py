"""Compiled prior and simulator functions, which run on all cores without the interpreter. Public names are in `native`."""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_count, as_float64, as_names, shown
from ._functions import KeyedFunction
from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Any, Sequence

    from ._types import ArrayLike

_INCLUDE = Path(__file__).parent / "include"
_MAX_AXES = 5  # of one simulation; the batch is the sixth


class CFunction:
    """A prior or simulator function that is compiled: of C, C++, Fortran, Rust, numba.

    Given as `Prior(prior_fun=...)` or `Simulator(simulator_fun=...)` it runs on all cores without the GIL. If prior and simulator are both
    compiled and have no contexts, training never enters the interpreter for a simulation.

    Parameters
    ----------
    function : int, ctypes function, or object with an `address` (a numba cfunc)
        ``void f(const double* params, const double* context, double* data, const int64_t* shape, bf_rng* rng)``; bayesflow_native.h in
        `native.include_dir()` explains the arguments. The address is trusted: a function of another signature, or one that writes beyond
        `data`, corrupts memory or ends the process, and nothing here can prevent it.
    shape : tuple of int, or callable
        Shape of one simulation, (P,) for a prior. A callable is given the batch's non-batchable context and returns the shape: for a number
        of observations that varies.
    threads : int
        Threads of calls outside of training; 0: as many as the machine has. Results do not depend on it.
    """

    def __init__(self, function: Any, shape: Sequence[int], *, threads: int = 0) -> None:
        if not callable(shape):
            shape = _checked_shape(shape, "CFunction")
        self.address, self.shape, self.threads = _address(function), shape, as_count(threads, "CFunction: threads", 0)
        self._recipe = None
        self._core = _core.NativeFunction(self.address, function, self.threads)

    def run(self, batch_size: int, parameters: ArrayLike | None, batchable: Sequence[Any] | None, non_batchable: Any, streams: _core.Rng,
            first: int) -> np.ndarray:  # fmt: skip
        """Simulations `first`, `first` + 1, ...: (batch_size, ...). Simulation i draws from `streams.at(i)`; `parameters` (batch_size, ...) are
        None for a prior. Raises SimulationError with the number and parameters of the simulation that failed."""
        owner = "prior" if parameters is None else "simulator"
        if isinstance(parameters, (list, tuple)):
            raise ConfigurationError("simulator: a compiled function takes one array of parameters (batch_size, P); got a list: concatenate its arrays on axis 1")
        parameters = as_float64(parameters, "parameters")
        if parameters is not None:
            if parameters.ndim == 0 or len(parameters) != batch_size:
                raise ConfigurationError(f"simulator: parameters must have {batch_size} rows; got shape {parameters.shape}")
            parameters = parameters.reshape(batch_size, -1)
        return self._core.run(
            batch_size, self._shape_for(non_batchable, owner), parameters, _contexts(batch_size, batchable, non_batchable, owner), streams, first
        )

    def _shape_for(self, non_batchable, owner):
        if not callable(self.shape):
            return self.shape
        if non_batchable is None:
            raise ConfigurationError(f"{owner}: the compiled function's shape is a function of the non-batchable context, but there is none; give a tuple")
        return _checked_shape(self.shape(non_batchable), f"{owner}: shape({non_batchable!r})")

    def __deepcopy__(self, memo):
        return self  # an address, and nothing that changes

    __copy__ = lambda self: self  # noqa: E731

    def __reduce__(self):
        if self._recipe is None:
            raise TypeError("a CFunction is an address, which means nothing in another process or file; functions made by compile_cpp can be pickled")
        return _rebuild, self._recipe

    def __repr__(self):
        return f"CFunction({self.address:#x}, shape={self.shape})"


NativeFunction = CFunction


def _rebuild(source, name, shape, flags, threads):
    return compile_cpp(source, name, shape=shape, flags=flags, threads=threads)


def _address(function):
    if isinstance(function, (int, np.integer)) and not isinstance(function, bool):
        address = int(function)
    elif isinstance(function, ctypes._CFuncPtr):
        address = ctypes.cast(function, ctypes.c_void_p).value or 0
    elif isinstance(getattr(function, "address", None), int):
        address = function.address
    else:
        hint = "; numba functions need @numba.cfunc(bf.native.numba_signature())" if hasattr(function, "py_func") else ""
        raise ConfigurationError(
            f"CFunction: the function must be an address (int), a ctypes function or an object with an address, like a numba cfunc; got {type(function).__name__}{hint}"
        )
    if address <= 0:
        raise ConfigurationError(f"CFunction: the function's address must be positive; got {address}")
    return address


def _checked_shape(shape, what):
    extents = (shape,) if isinstance(shape, (int, np.integer)) else shape
    try:
        extents = tuple(int(e) if isinstance(e, np.integer) else e for e in extents)
    except TypeError:
        extents = ()
    good = 1 <= len(extents) <= _MAX_AXES and all(isinstance(e, (int, np.integer)) and not isinstance(e, bool) and e >= 1 for e in extents)
    if not good:
        raise ConfigurationError(f"{what}: the shape of a simulation must be a tuple of 1 to {_MAX_AXES} positive integers, like (50, 4); got {shown(shape)}")
    if math.prod(extents) >= 2**31:
        raise ConfigurationError(f"{what}: a simulation may have at most 2^31 values; got the shape {shown(extents)}")
    return tuple(int(e) for e in extents)


def _contexts(batch_size, batchable, non_batchable, owner):
    """(batch_size, values): each row the batchable values of a simulation, then those of the batch. None without contexts."""
    parts = []
    if batchable is not None:
        parts.append(as_float64(batchable, f"{owner}: batchable context").reshape(batch_size, -1))
    if non_batchable is not None:
        shared = as_float64(non_batchable, f"{owner}: non-batchable context").reshape(1, -1)
        parts.append(np.broadcast_to(shared, (batch_size, shared.shape[1])))
    return np.ascontiguousarray(np.concatenate(parts, axis=1)) if parts else None


def native_or_keyed(function, owner):
    if isinstance(function, ctypes._CFuncPtr) or (hasattr(function, "address") and not isinstance(function, CFunction)):
        raise ConfigurationError(f"{owner}: a compiled function must tell the shape of what it makes: wrap it in CFunction(function, shape)")
    return function if isinstance(function, CFunction) else KeyedFunction(function, owner)


def engine_model(model, skip_test):
    """The engine's own model if prior and simulator are compiled and no Python function makes a context, else None."""
    parts = (model.prior, model.simulator)
    for part in parts:
        context = part._contexts
        if not isinstance(part._function, CFunction):
            return None
        if context is not None and (context.batchable_context_fun is not None or context.non_batchable_context_fun is not None):
            return None
    prior, simulator = (part._function for part in parts)
    return _core.native_model(
        prior._core,
        prior._shape_for(None, "prior"),
        simulator._core,
        simulator._shape_for(None, "simulator"),
        model.param_names or [],
        model.name,
        model.seed,
        skip_test,
    )


# Contraction (a * b + c in one rounding) would give other bits on machines that have such an instruction.
_FLAGS = ("-std=c++20", "-O3", "-fno-math-errno", "-ffp-contract=off")

_ENTRY = """
#line 1 "the call that compile_cpp makes"
extern "C" void bayesflow_entry(const double* params, const double* context, double* data, const int64_t* shape, bf_rng* rng) noexcept {{
  try {{
    {name}(params, context, data, shape, rng);
  }} catch (const std::exception& error) {{
    rng->fail(error.what());
  }} catch (...) {{
    rng->fail("an exception that is not a std::exception");
  }}
}}
"""


def compile_cpp(source: str, name: str = "simulate", *, shape: Sequence[int], flags: Sequence[str] = (), threads: int = 0) -> CFunction:
    """Compiles a C++ prior or simulator, and returns it as a `CFunction`.

    Parameters
    ----------
    source : str
        C++20 with a function ``void simulate(const double* params, const double* context, double* data, const int64_t* shape, bf_rng* rng)``.
        ``rng->normal(loc, scale)``, ``rng->uniform(low, high)``, ``rng->gamma(shape, scale)`` and so on draw from the library's streams;
        bayesflow_native.h (in `native.include_dir()`, included already) lists them. Exceptions derived from std::exception and
        ``rng->fail("...")`` arrive as SimulationError with the simulation's number and parameters.
    name : str
        Of the function; one source may hold several.
    shape : tuple of int, or callable
        Shape of one simulation, as in `CFunction`.
    flags : list of str
        Further arguments of the compiler: ``["-march=native", "-I/folder", "-lname"]``. They come last, so they win. The default flags give
        the same bits on every machine; ``-march=native`` keeps that, ``-ffast-math`` does not.
    threads : int
        As in `CFunction`.

    The compiler is $CXX, or the first of g++, c++, clang++ in PATH. Results are kept in $XDG_CACHE_HOME/bayesflow_cpp (~/.cache/bayesflow_cpp), so
    a source is compiled once. Raises ConfigurationError with the compiler's text.
    """
    if not isinstance(source, str) or not isinstance(name, str) or not name.isidentifier():
        raise ConfigurationError(f"compile_cpp: source must be C++ text and name a function in it; got {type(source).__name__} and {name!r}")
    if isinstance(flags, str):
        try:
            flags = shlex.split(flags)
        except ValueError as error:
            raise ConfigurationError(f"compile_cpp: flags must be a list of texts, or a text as a shell takes it; got {flags!r}: {error}") from error
    flags = as_names(flags, "compile_cpp: flags")
    library = _compiled(source, name, flags)
    try:
        loaded = ctypes.CDLL(str(library))
    except OSError as error:
        raise ConfigurationError(f"compile_cpp: the compiled function cannot be loaded: {error}") from error
    out = CFunction(loaded.bayesflow_entry, shape, threads=threads)
    out._recipe = (source, name, shape, tuple(flags), threads)
    return out


def _compiled(source, name, flags):
    """The shared library of this source, from the cache or the compiler."""
    compiler = _compiler()
    text = f'#include <exception>\n#include "bayesflow_native.h"\n#line 1 "{name}"\n{source}\n' + _ENTRY.format(name=name)
    parts = [*compiler, *_FLAGS, *flags, (_INCLUDE / "bayesflow_native.h").read_text(), text]
    if any("native" in flag for flag in flags):
        parts.append(_processor())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    folder = _cache_folder()
    library = folder / f"{key}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        code, result = Path(scratch) / "function.cpp", Path(scratch) / "function.so"
        code.write_text(text)
        command = [*compiler, *_FLAGS, "-shared", "-fPIC", f"-I{_INCLUDE}", str(code), "-o", str(result), *flags]
        try:
            run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        except OSError as error:
            raise ConfigurationError(f"compile_cpp: the compiler {compiler[0]} cannot be run: {error}") from error
        if run.returncode != 0:
            raise ConfigurationError(f"compile_cpp: {' '.join(compiler)} could not compile the source of `{name}`:\n{run.stdout}")
        os.replace(result, library)  # whole or not at all, whoever else compiles the same
    return library


def _compiler():
    if os.environ.get("CXX", "").strip():
        return shlex.split(os.environ["CXX"])
    for candidate in ("g++", "c++", "clang++"):
        found = shutil.which(candidate)
        if found:
            return [found]
    raise ConfigurationError(
        "compile_cpp: a C++ compiler is needed, but none of g++, c++, clang++ is in PATH; install one (Debian: apt install g++; conda: conda install cxx-compiler) "
        "or name it in the environment variable CXX"
    )


_private_folder = None


def _cache_folder():
    """A folder that only this user writes to; one for this process if there is no home to write to."""
    global _private_folder
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bayesflow_cpp"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    if _private_folder is None:
        _private_folder = tempfile.TemporaryDirectory(prefix="bayesflow_cpp_")
    return Path(_private_folder.name)


def _processor():
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
