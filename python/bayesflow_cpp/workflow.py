"""From prior and simulator, or from simulations, to a checked posterior in one call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_choice, as_count, as_names, as_numbers, as_path, is_whole, output, required, shown
from ._log import warn_of_foreign
from .diagnostics import plot_posterior_2d
from .exceptions import ConfigurationError
from .report import report
from .simulation import GenerativeModel, Prior, Simulator
from .simulation.forward import to_core
from .simulation.model import Model

if TYPE_CHECKING:
    from typing import Any, Sequence

    from ._types import ArrayLike, DataFrame, Figure, Function, Names, Path, Simulations
    from .report import Report

__all__ = ["Posterior", "fit", "load"]

_KINDS = ("automatic", "vector", "set", "series")


def fit(prior: Prior | GenerativeModel | Simulations | Function, simulator: Simulator | Function | None = None, *, simulations: int | None = None,
        data: str = "automatic", seed: int = 0, threads: int = 0, max_members: int = 4, param_names: Names | None = None,
        checkpoint_path: Path | None = None) -> Posterior:  # fmt: skip
    """Learns p(parameters | data) from a number of simulations, with networks and settings that are chosen by held-out simulations.

        posterior = bf.fit(prior, simulator, simulations=10_000)
        draws = posterior.sample(x, 1000)

    Parameters
    ----------
    prior : Prior or callable, with a `simulator`; or a GenerativeModel; or a forward dictionary with "prior_draws" (n, P) and "sim_data" (n, ...)
    simulations : int
        How many a model makes, at least 100. Of given simulations all are used.
    data : "automatic", "vector", "set" or "series"
        What the data of one simulation are: (d) a vector; (n, d) a set of rows in any order, or a series. "automatic" looks whether the order tells something.
    seed : int
        One seed, one result, for any number of threads.
    threads : int
        0: as many as the machine has.
    max_members : int
        Networks that are used together, where held-out simulations say that it pays.
    param_names : list of texts, optional
        Of given simulations; a prior has its own.
    checkpoint_path : str, optional
        A folder: a program that was interrupted is run again, and goes on to the same bits.

    Every tenth simulation (every fifth of fewer than 2,000) is held out. `print(posterior)` tells what was tried and why, `posterior.recipe()` is the long
    program that does the same. Ctrl-C raises KeyboardInterrupt.
    """
    as_choice(data, "fit: data", _KINDS)
    given, source = prior, "simulations"
    if isinstance(prior, dict):
        if simulator is not None or simulations is not None:
            raise ConfigurationError("fit: of given simulations all are used, without a simulator; leave simulator and simulations out")
        made, names = prior, as_names(param_names, "fit: param_names")
    else:
        if simulations is None or not is_whole(simulations):
            raise ConfigurationError(f"fit: simulations must say how many the model makes, 10_000, say; got {shown(simulations)}")
        count = as_count(simulations, "fit: simulations", 100)
        begun = not isinstance(prior, Model)
        if begun and (simulator is None or not callable(prior)):
            raise ConfigurationError(
                f"fit: it takes a prior and a simulator, a GenerativeModel, or a forward dictionary of simulations; got {type(prior).__name__} "
                f"{'without a simulator' if simulator is None else 'and a simulator'}"
            )
        if not begun and simulator is not None:
            raise ConfigurationError("fit: a GenerativeModel has a simulator already; leave simulator out")
        source = "model"
        if begun:
            first, second = ("prior", prior), ("simulator", simulator)
            if not isinstance(prior, Prior):
                first = "bf.simulation.Prior(prior_fun=prior)", Prior(prior_fun=prior)
            if not isinstance(simulator, Simulator):
                second = "bf.simulation.Simulator(simulator_fun=simulator)", Simulator(simulator_fun=simulator)
            given, source = GenerativeModel(first[1], second[1], seed=seed), f"{first[0]}, {second[0]}"
        made, names = given(count), as_names(param_names, "fit: param_names") or list(given.param_names or [])
    folder = "" if checkpoint_path is None else as_path(checkpoint_path, "fit: checkpoint_path")
    core = _core.fit(_known(made), data, as_count(seed, "fit: seed", 0), as_count(threads, "fit: threads", 0), as_count(max_members, "fit: max_members"), names, folder)
    return Posterior._of(core, source)


def load(path: Path, *, threads: int = 0) -> Posterior:
    """The posterior of a file that `Posterior.save`, or the C++ library, wrote: the same draws, bit for bit, on the same kind of CPU. Raises IoError."""
    return Posterior._of(_core.load_posterior(as_path(path, "load: path"), as_count(threads, "load: threads", 0)), "simulations")


class Posterior:
    """What `fit` returns: draws and densities of raw data, in the user's units. Data are as the simulator makes them: one data set, or (data sets, ...)."""

    def __init__(self) -> None:
        raise ConfigurationError("Posterior: fit makes them, and load reads them from files; call one of these")

    @classmethod
    def _of(cls, core, source):
        out = cls.__new__(cls)
        out._core, out._source = core, source  # of the recipe: where its simulations come from
        return out

    @property
    def param_names(self) -> list[str]:
        """Of the parameters, in their order."""
        return self._core.param_names

    @property
    def plan(self) -> dict[str, Any]:
        """What was chosen: kind of data, transformations, network and training."""
        return json.loads(self._core.plan)

    @property
    def trials(self) -> list[dict[str, Any]]:
        """What was tried for a short time, best first: {"network", "log_score", "epochs", "seconds"}; the score is the mean log posterior density of held-out
        simulations. Of the best two, the one that was better after full training comes first: it was chosen."""
        return self._core.trials

    @property
    def log_score(self) -> float:
        """Mean log posterior density of the held-out simulations, in the user's units: higher is better. They also chose the network: it is a little too high."""
        return self._core.log_score

    def sample(self, x: ArrayLike, n_samples: int, *, seed: int = 0) -> np.ndarray:
        """`n_samples` draws for each data set, (data sets, n_samples, P); of one data set (n_samples, P). None lies outside of the prior's bounds.

        Data unlike those of training are warned of (ForeignDataWarning), as `check` says it."""
        x = required(x, "Posterior.sample: x")
        draws, foreign = self._core.sample(x, as_count(n_samples, "Posterior.sample: n_samples"), as_count(seed, "Posterior.sample: seed", 0))
        warn_of_foreign(foreign)
        return output(draws[0] if self._is_one(x) else draws)

    def log_prob(self, parameters: ArrayLike, x: ArrayLike) -> np.ndarray:
        """log q(parameters | x), a row of parameters for each data set: (data sets). -inf outside of the prior's bounds."""
        x, rows = required(x, "Posterior.log_prob: x"), required(parameters, "Posterior.log_prob: parameters", (1, 2), "data sets, parameters")
        values, foreign = self._core.log_prob(rows, x)
        warn_of_foreign(foreign)
        return output(values[0] if self._is_one(x) else values)

    def quantiles(self, x: ArrayLike, probabilities: Sequence[float] = (0.05, 0.5, 0.95), n_samples: int = 1000, *, seed: int = 0) -> np.ndarray:
        """Of each parameter: (data sets, P, probabilities); of one data set (P, probabilities)."""
        x = required(x, "Posterior.quantiles: x")
        wanted = as_numbers(probabilities, "Posterior.quantiles: probabilities")
        count, seed = as_count(n_samples, "Posterior.quantiles: n_samples"), as_count(seed, "Posterior.quantiles: seed", 0)
        values, foreign = self._core.quantiles(x, wanted, count, seed)
        warn_of_foreign(foreign)
        return output(values[0] if self._is_one(x) else values)

    def summary_table(self, x: ArrayLike, n_samples: int = 1000, *, seed: int = 0) -> DataFrame:
        """Mean, standard deviation and quantiles of each parameter, a row for each data set and parameter."""
        import pandas as pd

        x = required(x, "Posterior.summary_table: x")
        draws = np.asarray(self.sample(x, n_samples, seed=seed))
        draws = draws[None] if draws.ndim == 2 else draws
        index = pd.MultiIndex.from_product([range(len(draws)), self.param_names], names=["data_set", "parameter"])
        columns = {"mean": draws.mean(1), "sd": draws.std(1), **{f"q{p:g}": np.quantile(draws, p, axis=1) for p in (0.05, 0.25, 0.5, 0.75, 0.95)}}
        table = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)
        return table.droplevel("data_set") if self._is_one(x) else table

    def check(self, x: ArrayLike) -> list[str]:
        """Sentences about how data are unlike those of training; empty: they are not."""
        return self._core.check(required(x, "Posterior.check: x"))

    def verdict(self, simulations: Simulations, n_samples: int = 100) -> _core.diagnostics.Verdict:
        """Whether draws are calibrated, on simulations that training has not seen: .calibrated, .sentence, .findings (see `diagnostics.verdict`)."""
        return self._core.verdict(_known(simulations), as_count(n_samples, "Posterior.verdict: n_samples"))

    def report(self, simulations: Simulations, path: Path | None = None, n_samples: int = 250) -> Report:
        """One page with every diagnostic, on simulations that training has not seen (see `bayesflow_cpp.report`)."""
        made = _known(simulations)
        draws = self.sample(made["sim_data"], n_samples)
        return report(draws, made["prior_draws"], path, param_names=self.param_names, data=made["sim_data"], title="Posterior of fit")

    def plot(self, x: ArrayLike, n_samples: int = 1000, *, prior_draws: ArrayLike | None = None, truth: ArrayLike | None = None, seed: int = 0) -> Figure:
        """Marginal and joint densities of one data set's posterior, over the prior if draws of it are given."""
        draws = np.asarray(self.sample(x, n_samples, seed=seed))
        if draws.ndim == 3 and len(draws) == 1:
            draws = draws[0]
        return plot_posterior_2d(draws, prior_draws=prior_draws, param_names=self.param_names, truth=truth)

    def save(self, path: Path) -> None:
        """Writes everything that `load` needs, at once or not at all."""
        self._core.save(as_path(path, "Posterior.save: path"))

    def recipe(self) -> str:
        """The long program that does the same, without the search: `posterior` in it has the same weights, bit for bit.

        It begins from what `fit` was given: `prior` and `simulator`, a `model` made anew, or a forward dictionary `simulations`."""
        return _recipe(self.plan, self._source, self._core)

    def _is_one(self, x):
        return tuple(x.shape) == tuple(self._core.data_shape)

    def __str__(self):
        return self._core.story

    def __repr__(self):
        networks = len(self._core.members)
        return f"<Posterior of {', '.join(self.param_names)}: {networks} network{'s' * (networks > 1)}, {self.trials[0]['network']}; log score {self.log_score:.3f}>"


def _known(forward):
    """A forward dictionary as the engine takes it, without fields that are None."""
    return {key: value for key, value in to_core(forward).items() if value is not None}


def _recipe(plan, source, core):
    every = 5 if core.simulations < 2000 else 10
    steps = [f".log(columns={plan['log_parameters']})"] if plan["log_parameters"] else []
    steps += [f'.{kind}("sim_data", columns={plan[f"{kind}_data"]})' for kind in ("log", "log1p", "sqrt") if plan.get(f"{kind}_data")]
    steps += ['.standardize("sim_data")', ".regress()" if plan["regress"] else ".standardize()"]
    steps += ['.rename("sim_data", "direct_conditions")'] if plan["data"] == "vector" else []
    settings = {"dense_args": {"units": plan["units"], "kernel_regularizer": plan["weight_decay"]}, "dropout_prob": plan["dropout"]}
    summary = {
        "vector": "",
        "set": f"bf.networks.DeepSet(summary_dim={plan['summary_dim']}, linear_path=True), ",
        "series": f"bf.networks.SequenceNetwork(summary_dim={plan['summary_dim']}), ",
    }[plan["data"]]
    first, names = "", ""
    if source != "simulations":
        first, names = f"simulations = model({core.simulations})  # of a model that has made none\n", ", model.param_names"
    if source not in ("simulations", "model"):
        first = f"model = bf.simulation.GenerativeModel({source}, seed={core.seed})\nsimulations = model({core.simulations})\n"
    width = len(core.param_names)
    return f"""import numpy as np
import bayesflow_cpp as bf

{first}held = np.arange(len(simulations["prior_draws"])) % {every} == {every - 1}
train, held_out = ({{key: np.asarray(simulations[key])[rows] for key in ("prior_draws", "sim_data")}} for rows in (~held, held))

adapter = bf.Adapter(){"".join(steps)}
adapter.fit(train{names})
steps = -(-len(train["prior_draws"]) // {plan["batch_size"]}) * {plan["epochs"]}
members = []
for m in range({core.first_member}, {core.first_member + plan["members"]}):
    flow = bf.networks.InvertibleNetwork({width}, {plan["layers"]}, coupling_design={plan["design"]!r}, coupling_settings={settings!r})
    amortizer = bf.amortizers.AmortizedPosterior(flow, {summary}adapter=adapter)
    trainer = bf.trainers.Trainer(amortizer, seed={core.seed} + m, progress=False)
    trainer.train_offline(
        train, epochs={plan["epochs"]}, batch_size={plan["batch_size"]}, validation_sims=held_out,
        early_stopping=True, early_stopping_args={{"patience": {max(1, plan["epochs"] // 2)}}},
        optimizer=bf.optimizers.Adam(bf.optimizers.CosineDecay({plan["learning_rate"]}, steps)),
    )
    members.append(amortizer)
posterior = bf.amortizers.Ensemble(members) if len(members) > 1 else members[0]
{_box(plan)}"""


def _box(plan):
    """What draws of the recipe still lack."""
    bounded = [(low, high) for low, high in zip(plan["lower"], plan["upper"]) if low is not None or high is not None]
    return "# fit also draws again what lies outside of the prior's bounds, and divides densities by the share that lies within.\n" if bounded else ""
