"""Simulators that are programs of their own: R, Octave, Julia, Fortran, C, a shell script."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .. import _core
from .._arrays import as_float64, as_names, is_whole
from .._native import _checked_shape, _contexts
from ..exceptions import ConfigurationError
from ._elsewhere import available_cores

PROGRAMS = Path(__file__).parent.parent / "programs"


class ExternalFunction:
    """A function of single simulations that a program makes; the engine starts it, asks it and ends it."""

    def __init__(self, command, protocol, shape, timeout, workers):
        self.command = [os.fspath(command)] if isinstance(command, (str, os.PathLike)) else as_names(command, "Simulator: command")
        if not self.command or not self.command[0]:
            raise ConfigurationError('Simulator: command must be a list of a program and its arguments, like ["Rscript", "model.R"]; it is empty')
        if isinstance(command, str) and " " in command and not os.path.exists(command):
            raise ConfigurationError(f"Simulator: command must be a list, because no shell reads it: command={command.split()!r}; got {command!r}")
        self.protocol = "json" if protocol is None else protocol
        if self.protocol not in ("json", "csv", "binary"):
            raise ConfigurationError(f'Simulator: protocol must be "json", "csv" or "binary"; got {protocol!r}')
        self.shape = None if shape is None else _checked_shape(shape, "Simulator")
        self.timeout = 600.0 if timeout is None else timeout
        if isinstance(timeout, bool) or not isinstance(self.timeout, (int, float)) or not 0 < self.timeout <= 1e9:
            raise ConfigurationError(f"Simulator: timeout must be the seconds that one simulation may take, above 0; got {timeout!r}")
        if workers not in (None, "auto") and (isinstance(workers, bool) or not is_whole(workers) or workers < 1):
            raise ConfigurationError(f'Simulator: workers must be a number of programs, at least 1, or "auto" or None for as many as cores; got {workers!r}')
        self.workers = workers
        self._core = self._made()

    def _made(self):
        return _core.ExternalProgram(
            self.command,
            self.protocol,
            self.shape or (),
            available_cores() if self.workers in (None, "auto") else int(self.workers),
            float(self.timeout),
            [f"BAYESFLOW_PROGRAMS={PROGRAMS}", f"BAYESFLOW_PYTHON={sys.executable}"],
        )

    def run(self, batch_size, parameters, batchable, non_batchable, streams, first):
        """Simulations `first`, `first` + 1, ...: (batch_size, ...)."""
        if isinstance(parameters, (list, tuple)):
            raise ConfigurationError("simulator: a program takes one array of parameters (batch_size, P); got a list: concatenate its arrays on axis 1")
        parameters = as_float64(parameters, "parameters")
        return self._core.simulate(
            parameters.reshape(batch_size, -1), _contexts(batch_size, batchable, non_batchable, "simulator"), streams, first
        )

    def close(self):
        self._core.close()

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key != "_core"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._core = self._made()

    def __repr__(self):
        return f"{self.command}"
