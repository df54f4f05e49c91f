"""Simulators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from ..exceptions import ConfigurationError
from ._elsewhere import Elsewhere
from ._external import ExternalFunction
from ._parts import Part

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import ArrayLike, Function
    from .contexts import ContextGenerator


class Simulator(Part):
    """A simulator: from parameters to data.

    Parameters
    ----------
    batch_simulator_fun : callable, optional
        ``f(params, [batchable_contexts], [non_batchable_context])`` with params (B, P) -> (B, ...).
    simulator_fun : callable, optional
        ``f(params, [batchable_context], [non_batchable_context])`` with params (P,) -> one data set; called B times. Or a compiled function,
        which runs on all cores (see `compile_cpp`, `CFunction`).
    context_generator : ContextGenerator or callable, optional
        A callable gets a batch size and returns {"batchable_context", "non_batchable_context"}.
    workers : int or "auto", optional
        Processes of this machine that run the function, started at the first simulation, started again when one dies, ended with the program or by
        `close`. The same seed gives the same simulations for any number of them. "auto": as many as cores, if a simulation takes 0.3 ms or more.
    executor : concurrent.futures.Executor, optional
        What runs the function instead: loky's, `dask.distributed`'s (`client.get_executor()`), `mpi4py.futures.MPIPoolExecutor`, and so on.
    rows_per_task : int, optional
        Simulations that a worker is given at a time; the default follows their time. A function of batches needs it: it is called with so many rows,
        and its random numbers belong to such a call.
    command : list of str, optional
        Instead of a function, a program and its arguments: an executable, ``["Rscript", "model.R"]``, ``["octave-cli", "model.m"]``, a shell script. It
        is started once for each worker (`workers`: as many as cores) and asked over its standard input and output; docs/external_programs.md has
        what it reads and writes. Its random numbers must come from the seed that it is given with each simulation.
    protocol : {"json", "csv", "binary"}, optional
        How requests and answers are written; "json" if a command is given.
    shape : tuple of int, optional
        Shape of a data set of the program. JSON tells it by its lists, the other protocols give one axis without it.
    timeout : float, optional
        Seconds that the program may take for one simulation, its start included: 600.

    Workers get a copy of the function as it is at the first simulation. Random numbers: a parameter `rng` is the stream of the simulation's number, as
    without workers; generators of NumPy that the function holds, and the global ones of `numpy.random` and `random`, are put on that stream, too.
    """

    def __init__(self, batch_simulator_fun: Function | None = None, simulator_fun: Function | None = None,
                 context_generator: ContextGenerator | Function | None = None, *, workers: int | str | None = None, executor: Any = None,
                 rows_per_task: int | None = None, command: Sequence[str] | None = None, protocol: str | None = None,
                 shape: Sequence[int] | None = None, timeout: float | None = None) -> None:  # fmt: skip
        if command is not None:
            if batch_simulator_fun is not None or simulator_fun is not None:
                raise ConfigurationError("Simulator: a command is what simulates; leave out the function, or the command")
            if executor is not None or rows_per_task is not None:
                raise ConfigurationError("Simulator: a command runs in processes of this machine, one simulation after the other; leave out executor and rows_per_task")
            simulator_fun = ExternalFunction(command, protocol, shape, timeout, workers)
            workers = None
        elif protocol is not None or shape is not None or timeout is not None:
            raise ConfigurationError("Simulator: protocol, shape and timeout are those of a program; give its command, or leave them out")
        super().__init__("Simulator", batch_simulator_fun, simulator_fun, context_generator)
        if workers is not None or executor is not None or rows_per_task is not None:
            self._elsewhere = Elsewhere(self._function, self.is_batched, "Simulator", workers, executor, rows_per_task)
        self.simulator = batch_simulator_fun if self.is_batched else simulator_fun

    def __call__(self, params: ArrayLike, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """{"sim_data": (B, ...), "batchable_context": list or None, "non_batchable_context": value or None}; extra arguments reach the function."""
        first = params[0] if isinstance(params, (list, tuple)) and len(params) else params
        if np.ndim(first) == 0 or not hasattr(first, "__len__") or isinstance(first, (str, dict)):
            raise ConfigurationError(f"Simulator: params must be an array (B, P), or a list of such; got {type(params).__name__}")
        batch_size = len(first)
        return self._draw(params, batch_size, _core.Rng(0, "simulator"), self._advance(batch_size), None, args, kwargs)

    def close(self) -> None:
        """Ends the worker processes or programs, if there are any; the next simulation starts others."""
        if isinstance(self._function, ExternalFunction):
            self._function.close()
        if self._elsewhere is not None:
            self._elsewhere.close()

    def _draw(self, params, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        context = self._context(batch_size, streams, first, non_batchable)
        data = self._run(batch_size, params, context, streams, first, args, kwargs)
        return {"sim_data": data, "batchable_context": context["batchable_context"], "non_batchable_context": context["non_batchable_context"]}
