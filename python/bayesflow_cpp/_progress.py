"""Progress bars; tqdm is imported only here."""

import contextlib
import functools
import sys
import warnings

from ._arrays import as_flag
from ._log import in_notebook


@contextlib.contextmanager
def presimulation_progress(n, show):
    """A callback (done, total, per_second, seconds_left) that draws a bar, or None."""
    if callable(show):
        yield show
        return
    if not as_flag(show, "presimulate: progress"):
        yield None
        return
    tqdm = _tqdm()
    if tqdm is None:
        yield None
        return
    with tqdm(total=n, desc="Presimulating", unit="sim") as bar:

        def report(done, total, per_second, seconds_left):
            bar.update(done - bar.n)

        yield report


@contextlib.contextmanager
def counted(total, what, unit, show):
    """A function (done, total) that draws a bar, or None."""
    tqdm = _tqdm() if show else None
    if tqdm is None:
        yield None
        return
    with tqdm(total=total, desc=what, unit=unit) as bar:
        yield lambda done, total: bar.update(done - bar.n)


def _tqdm():
    """A widget in a notebook that has ipywidgets, a line of text everywhere else; None without tqdm, or without a terminal's stream."""
    if sys.stderr is None:
        return None
    try:
        from tqdm.std import TqdmWarning, tqdm as text_bar
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # "IProgress not found. Please update jupyter and ipywidgets."; the text is as good
        from tqdm.auto import tqdm
    from_notebook = "tqdm.notebook" in sys.modules and issubclass(tqdm, sys.modules["tqdm.notebook"].tqdm_notebook)
    if not from_notebook and in_notebook():
        return functools.partial(text_bar, file=sys.stdout)  # what goes to stderr has the colour of errors there
    return tqdm


class TrainingProgress:
    """A bar per epoch, with as many numbers as there is room for: the loss first."""

    def __init__(self, show):
        self.shows = bool(show)
        self._tqdm = _tqdm() if show else None
        self._bar, self._epoch = None, None

    def __call__(self, epoch, epochs, iteration, iterations, losses, average, rate, epoch_done, validation):
        if self._tqdm is not None:
            if self._bar is None or self._epoch != epoch:
                self.close()
                self._epoch = epoch
                form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{remaining} left{postfix}]"
                self._bar = self._tqdm(total=iterations, desc=f"Epoch {epoch}/{epochs}", mininterval=0.1, bar_format=form)
            self._bar.set_postfix_str(self._numbers((f"Loss: {losses[0] + losses[1]:.3f}", f"Avg.Loss: {average:.3f}", f"LR: {rate:.1E}")), refresh=False)
            self._bar.update(iteration - self._bar.n)
        if epoch_done:
            self.close()
        return True

    def _numbers(self, numbers):
        columns = getattr(self._bar, "ncols", None)
        if not isinstance(columns, int) or columns < 1:
            return ", ".join(numbers)
        total = len(str(self._bar.total))
        room = columns - (len(self._bar.desc) + len(": 100%|####| / [00:00:00 left]") + 2 * total)
        while len(numbers) > 1 and len(", " + ", ".join(numbers)) > room:
            numbers = numbers[:-1]
        return ", ".join(numbers)

    def close(self):
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None
