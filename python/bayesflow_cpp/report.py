"""One HTML page that says whether a posterior can be trusted, and why."""

from __future__ import annotations

import html
import os
import tempfile
from typing import TYPE_CHECKING

from . import _core
from ._arrays import as_count, as_float64, as_names, as_path, required, shown
from ._numbers import conditions_of
from .amortizers import AmortizedLikelihood, AmortizedModelComparison, AmortizedPosterior, TwoLevelAmortizedPosterior
from .exceptions import ConfigurationError, OperationNotSupportedError

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Names, Path, Settings, Simulations
    from .trainers import Trainer


class Report:
    """What `report` returns; a notebook shows the page itself."""

    def __init__(self, core, temporary):
        self._core = core
        self._temporary = temporary  # removed with this object

    @property
    def path(self) -> str:
        """Of the page."""
        return self._core.path

    @property
    def verdict(self) -> _core.diagnostics.Verdict:
        """The Verdict: .calibrated, .sentence, .findings, .parameters."""
        return self._core.verdict

    @property
    def models(self) -> _core.diagnostics.ModelVerdict | None:
        """Of a model comparison: what `diagnostics.model_verdict` returns; else None."""
        return self._core.models

    @property
    def tables(self) -> dict[str, Any]:
        """{name: pandas.DataFrame} with every number of the page, and more."""
        return self._core.tables()

    @property
    def html(self) -> str:
        """The page as a text."""
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def _repr_html_(self):
        return f'<iframe srcdoc="{html.escape(self.html)}" width="100%" height="800" style="border: 1px solid #ccc"></iframe>'

    def __repr__(self):
        return f"<Report: {self.verdict.sentence} Page: {self.path}>"


def report(trainer_or_draws: Trainer | ArrayLike, truths_or_path: ArrayLike | Path | None = None, path: Path | None = None, *,
           num_data_sets: int = 500, num_draws: int = 1000, title: str | None = None, param_names: Names | None = None, facts: Settings | None = None,
           latents: ArrayLike | None = None, log_posterior: ArrayLike | None = None, predictive: Any = None, training: Any = None,
           example_data_set: int = 0, family_wise_error: float = 0.05, expect_contraction: bool = True, data_folder: Path | None = None, seed: int = 0,
           threads: int = 0, data: Simulations | ArrayLike | None = None, summaries: ArrayLike | None = None) -> Report:
    """Runs every diagnostic and writes one self-contained page.

    report(trainer[, path]): simulates `num_data_sets` fresh test sets from the trainer's model and draws `num_draws` times from each posterior.
    A trainer of an AmortizedModelComparison: whether its probabilities are right, calibration curves, confusion matrix; `.models` has the verdict.
    Of an AmortizedLikelihood: whether observations are distributed as it says. Of a TwoLevelAmortizedPosterior: global parameters and those of one group of
    each data set together, and recovery and ranks of both levels.
    report(draws, truths[, path]): from draws (B, S, P) and truths (B, P).
    Without a path the page lies in a temporary folder that goes with the returned object.

    title, facts ({name: value} or pairs: further lines of "what was trained"), param_names; latents (B, P) and log_posterior (B) of the truths;
    predictive: what diagnostics.posterior_predictive returns; training: the engine's training summary; example_data_set: whose posterior is
    shown; family_wise_error of the verdict; expect_contraction=False: parameters that the data do not inform are no fault; data_folder:
    also write every table as CSV there; seed of ties and of the joint test's directions.
    data: what the networks were given, a configured dictionary or an array of data sets (B, ...): whether the posterior uses what they say is
    tested only with it (a trainer gives its own); summaries (B, d): learned ones beside it.
    Returns Report with .path, .verdict, .tables, .html. ShapeError, ArgumentError (truths that are not finite), IoError."""
    core = getattr(trainer_or_draws, "_core", None)
    is_trainer = isinstance(core, _core.Trainer)
    if is_trainer:
        if not isinstance(trainer_or_draws.amortizer, (AmortizedPosterior, AmortizedModelComparison, AmortizedLikelihood, TwoLevelAmortizedPosterior)):
            raise OperationNotSupportedError(
                "report: it is for trainers of an AmortizedPosterior, TwoLevelAmortizedPosterior, AmortizedLikelihood or AmortizedModelComparison; "
                f"this trainer's amortizer is of class {trainer_or_draws.amortizer._kind}"
            )
        if path is not None:
            raise ConfigurationError("report(trainer, path) takes two arguments; truths are simulated")
        path = truths_or_path
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise ConfigurationError(f"the path of the page must be a string or path; got {type(path).__name__}")
    elif truths_or_path is None or isinstance(truths_or_path, (str, os.PathLike)):
        raise ConfigurationError("report needs a Trainer, or draws (B, S, P) and truths (B, P): report(draws, truths, path)")

    options = _core.ReportOptions(title, as_names(param_names, "report: param_names"), _pairs(facts),
                                  as_float64(latents, "latents", (2,)), as_float64(log_posterior, "log_posterior", (1,)), predictive, training,
                                  example_data_set, family_wise_error, expect_contraction,
                                  "" if data_folder is None else as_path(data_folder, "report: data_folder"), seed, as_count(threads, "report: threads", 0),
                                  conditions_of(data, "report: data"), as_float64(summaries, "summaries", (2,)))
    temporary = None
    if path is None:
        temporary = tempfile.TemporaryDirectory(prefix="bayesflow-report-")
        path = os.path.join(temporary.name, "report.html")
    path = as_path(path, "report: path")
    if is_trainer:
        counts = as_count(num_data_sets, "report: num_data_sets"), as_count(num_draws, "report: num_draws")
        return Report(_core.report_of_trainer(core, path, *counts, options), temporary)
    draws = required(trainer_or_draws, "draws", (3,), "data sets, draws, parameters")
    truths = required(truths_or_path, "truths", (2,), "data sets, parameters")
    return Report(_core.report_of_draws(draws, truths, path, options), temporary)


def _pairs(facts):
    """[(name, value)] of texts."""
    try:
        return [(str(name), str(value)) for name, value in (facts.items() if isinstance(facts, dict) else () if facts is None else facts)]
    except (TypeError, ValueError):
        raise ConfigurationError(f"report: facts must be a dictionary {{name: value}} or a list of pairs; got {shown(facts)}") from None
