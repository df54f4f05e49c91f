"""The package's logger, "bayesflow_cpp". The root logger is left alone."""

import logging
import sys
import warnings

from ._words import in_python
from .exceptions import ForeignDataWarning

logger = logging.getLogger("bayesflow_cpp")


def in_notebook():
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


class _Handler(logging.StreamHandler):
    """Shows messages as v1 does, unless the program has set up logging itself: then they go its way only."""

    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))

    @property
    def stream(self):
        return sys.stdout if in_notebook() else sys.stderr  # notebooks show stderr in the colour of errors

    @stream.setter
    def stream(self, value):
        pass

    def emit(self, record):
        if logging.getLogger().handlers or self.stream is None:  # a program without a terminal may have none
            return
        tqdm = sys.modules.get("tqdm.std")
        if tqdm is None or not getattr(tqdm.tqdm, "_instances", None):
            super().emit(record)
            return
        with tqdm.tqdm.external_write_mode(file=self.stream):  # open bars are cleared, and drawn again below the message
            super().emit(record)


class _InPython(logging.Filter):
    """What the engine reports, in Python's words."""

    def filter(self, record):
        record.msg, record.args = in_python(record.getMessage()), ()
        return True


def warn_of_foreign(foreign):
    """A warning for each way in which data or draws are unlike those of training, at the line outside this package."""
    if not foreign:
        return
    level, frame = 1, sys._getframe(0)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    for one in foreign:
        warnings.warn(one.sentence, ForeignDataWarning, stacklevel=level)


def set_up():
    if not any(isinstance(handler, _Handler) for handler in logger.handlers):
        logger.addHandler(_Handler())
        logger.addFilter(_InPython())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
