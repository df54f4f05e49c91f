"""From simulations to what networks learn from, and back into the user's units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_choice, as_count, as_flag, as_float64, as_names, as_number, is_whole, shown
from .configuration import _arrays_of
from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Any, Sequence

    from ._types import ArrayLike, Simulations

__all__ = ["Adapter"]


class Adapter:
    """An ordered list of steps between simulations and networks, that works both ways.

        adapter = bf.Adapter().bounds(columns="p", lower=0, upper=1).log(columns="sigma").standardize().standardize("sim_data")
        amortizer = bf.amortizers.AmortizedPosterior(inference_net, summary_net, adapter=adapter)

    pilot : int
        Simulations that a trainer with a generative model makes to fit it to; without a model it is fitted to the first of given ones.

    Each method adds a step that acts on a field of the forward dictionary, "prior_draws" if it is not named, or on some of its `columns`: numbers (negative: from
    the end) or names of parameters. Trainers fit the adapter once, to the first simulations, and it stays as it is from then on; the fitted one is
    `amortizer.adapter`, and lies in model files and checkpoints. Draws and densities of raw data (a forward dictionary or an array) are in the user's units.
    """

    def __init__(self, *, pilot: int = 1024) -> None:
        self._core = _core.Adapter()
        self._core.pilot = as_count(pilot, "Adapter: pilot", 2)

    @classmethod
    def infer(cls, simulations: Simulations | Sequence[Simulations], param_names: Sequence[str] | None = None, *, support: Any = None,
              learn: str = "prior_draws", pilot: int = 1024) -> Adapter:  # fmt: skip
        """An adapter with the steps that pilot draws suggest, some hundred at least; `print(adapter.describe())` says what it saw and chose.

        Of what is learnt: bounds, logarithms, simplexes, order, scales; constant columns and copies of others are left out. Of data and contexts: logarithms,
        scales, missing values. `support` states what the prior allows: {name or number of a column: (lower, upper)}, None or an infinity for no bound. Edges
        that are not stated are guessed from the draws, with room. `learn`: "prior_draws", or "sim_data" for a likelihood. Trainers fit it as any other."""
        parts = [_arrays_of(part)[0] for part in ([simulations] if isinstance(simulations, dict) else list(simulations))]
        names = as_names(param_names, "Adapter.infer: param_names")
        width = np.shape(parts[0].get(learn, ()))[-1:] if parts else ()
        core = _core.Adapter.infer(parts, names, _supports(support, names, width[0] if width else 0), _field(learn, "infer"))
        core.pilot = as_count(pilot, "Adapter.infer: pilot", 2)
        return cls._of(core)

    @classmethod
    def _of(cls, core):
        out = cls.__new__(cls)
        out._core = core
        return out

    def _add(self, name, field, columns=None, **options):
        field = _field(field, name)
        numbers, names = _columns(columns, name)
        self._core.add(name, {"field": field, "columns": numbers, "names": names, **options})
        return self

    def _add_fields(self, name, **options):
        self._core.add(name, {key: _field(value, name) if isinstance(value, str) or key != "fields" else value for key, value in options.items()})
        return self

    # --- steps ---

    def standardize(self, field: str = "prior_draws", *, columns: Any = None, robust: bool | str = False, mean: ArrayLike | None = None,
                    std: ArrayLike | None = None) -> Adapter:  # fmt: skip
        """(x - mean) / std, both from the first simulations unless they are given; padding and missing values are not counted.

        `robust`: "mad" or True takes the median and the scaled median of absolute deviations, "quantiles" the median and the distance of the 5 % and 95 % ones.
        A column without spread is shifted only; `notes` names it."""
        robust = {False: "mean_sd", True: "median_mad", "mad": "median_mad", "quantiles": "quantiles"}.get(robust if isinstance(robust, (bool, str)) else None)
        if robust is None:
            raise ConfigurationError('Adapter.standardize: robust must be True, False, "mad" or "quantiles"')
        return self._add("standardize", field, columns, spread=robust, location=_numbers(mean, "mean", "standardize"), scale=_numbers(std, "std", "standardize"))

    def bounds(self, field: str = "prior_draws", *, columns: Any = None, lower: Any = None, upper: Any = None, interval: str = "probit",
               half_line: str = "log") -> Adapter:  # fmt: skip
        """From between bounds onto the line: no draw is ever outside of them, and outside the density is 0.

        `lower`, `upper`: a number, a number for each column (None or an infinity: no bound), or ("field", column), whose value in the same simulation is the
        bound: of data, or of another parameter. A prior draw outside is an error. `interval`, of two bounds: "probit", "logit" or "barrier", which is nearly straight but at the edges; `half_line`, of one: "log" or
        "softplus"."""
        as_choice(interval, "Adapter.bounds: interval", ("probit", "logit", "barrier"))
        as_choice(half_line, "Adapter.bounds: half_line", ("log", "softplus"))
        low, low_from = _bound(lower, "lower")
        high, high_from = _bound(upper, "upper")
        return self._add("bounds", field, columns, lower=low, upper=high, lower_from=low_from, upper_from=high_from, interval=interval, half_line=half_line)

    def log(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """log x, of positive numbers."""
        return self._add("log", field, columns)

    def log1p(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """log(1 + x), of numbers above -1."""
        return self._add("log1p", field, columns)

    def sqrt(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """sqrt(x), of numbers at least 0; of parameters log(exp(sqrt(x)) - 1), since draws may be any number."""
        return self._add("sqrt", field, columns)

    def logit(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """log(x / (1 - x)), of numbers between 0 and 1."""
        return self._add("logit", field, columns)

    def box_cox(self, field: str = "prior_draws", *, columns: Any = None, exponents: ArrayLike | None = None) -> Adapter:
        """(x^l - 1) / l, of positive numbers (Box and Cox 1964); `exponents` l are fitted unless they are given, one or one for each column. Of parameters
        sign(l) log(exp(x^l / |l|) - 1), since draws may be any number."""
        return self._add("box_cox", field, columns, exponents=_numbers(exponents, "exponents", "box_cox"))

    def simplex(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """K columns that are not negative and sum to 1, to K - 1 by stick-breaking. Densities are those of the first K - 1."""
        return self._add("simplex", field, columns)

    def ordered(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """Increasing columns: the first, and the logarithms of the differences."""
        return self._add("ordered", field, columns)

    def positive_definite(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """The rows of a symmetric positive definite d x d matrix, d^2 columns, to the d (d + 1) / 2 entries of its Cholesky factor with logarithms on the diagonal.
        Densities are those of the entries on and below the diagonal."""
        return self._add("positive_definite", field, columns)

    def correlation(self, field: str = "prior_draws", *, columns: Any = None) -> Adapter:
        """The rows of a d x d matrix of correlations, d^2 columns, to d (d - 1) / 2 numbers (Lewandowski, Kurowicka, Joe 2009). Densities are those of the entries
        below the diagonal."""
        return self._add("correlation", field, columns)

    def one_hot(self, field: str = "sim_data", *, columns: Any = None, categories: ArrayLike | None = None) -> Adapter:
        """Each column becomes one for each category, behind the others. None: the categories are the values of the first simulations."""
        return self._add("one_hot", field, columns, categories=sorted(_numbers(categories, "categories", "one_hot")))

    def broadcast(self, field: str, to: str = "sim_data") -> Adapter:
        """Repeats a field over the leading axes of `to`: (B, c) to (B, n, c)."""
        return self._add_fields("broadcast", field=field, to=to)

    def join(self, fields: Sequence[str], to: str = "prior_draws") -> Adapter:
        """Makes the field `to` of several, side by side on the last axis. Of parameters draws have their columns in this order."""
        return self._add_fields("join", field=to, fields=as_names(fields, "Adapter.join: fields"))

    def split(self, field: str, to: str, *, columns: Any) -> Adapter:
        """Takes columns out into the field `to`."""
        return self._add("split", field, columns, to=_field(to, "split"))

    def drop(self, field: str, *, columns: Any = None) -> Adapter:
        """Takes columns away, or the field. Parameters that are dropped are not learnt, and draws lack them."""
        return self._add("drop", field, columns)

    def rename(self, field: str, to: str) -> Adapter:
        """Gives a field another name; that of a role ("direct_conditions") makes it that."""
        return self._add_fields("rename", field=field, to=to)

    def flatten(self, field: str = "prior_draws") -> Adapter:
        """(B, ...) to (B, numbers): matrices become their rows, one behind the other."""
        return self._add_fields("flatten", field=field)

    def as_set(self, field: str = "sim_data") -> Adapter:
        """(B, n) to (B, n, 1): n observations of one number."""
        return self._add_fields("as_set", field=field)

    def as_series(self, field: str = "sim_data", *, times: str = "sim_data_times") -> Adapter:
        """(B, n) or (B, n, c) to (B, n, c + 1): the times, of the field `times` or else from 0 to 1, become the last column."""
        return self._add_fields("as_series", field=field, times=times)

    def fill_missing(self, field: str = "sim_data", *, columns: Any = None, value: float = 0.0, indicator: bool = True) -> Adapter:
        """NaN means missing: it becomes `value`, and with `indicator` a column for each of `columns` (all), behind the others, is 1 there. Behind `standardize`,
        which does not count them, 0 is the mean."""
        return self._add("fill_missing", field, columns, value=as_number(value, "Adapter.fill_missing: value"), indicator=as_flag(indicator, "Adapter.fill_missing: indicator"))

    def regress(self, field: str = "prior_draws", *, on: str = "sim_data") -> Adapter:
        """What a linear regression of parameters on the data leaves, of unit covariance: L^-1 (x - a - B c). `on`: the field of the data, (batch, columns) behind
        the steps before; each of its numbers is kept within five standard deviations of its mean. The penalty of the (ridge) regression is chosen by generalized
        cross-validation. Where posteriors are narrow, networks then learn their shape and not their place."""
        return self._add_fields("regress", field=field, on=on)

    # --- use ---

    @property
    def inferred(self) -> list[str]:
        """Sentences about what `infer` saw and chose; none for adapters made by hand."""
        return self._core.inferred

    def describe(self) -> str:
        """All of it in words: what was inferred, the steps, and what was found when it was fitted; one line each."""
        return "\n".join([*self.inferred, *str(self._core).strip().split("\n"), *self.notes])

    @property
    def is_fitted(self) -> bool:
        """Whether it has seen simulations."""
        return self._core.is_fitted

    @property
    def notes(self) -> list[str]:
        """Sentences about what was found when it was fitted: columns without spread."""
        return self._core.notes

    @property
    def pilot(self) -> int:
        """Simulations that a trainer makes to fit it to."""
        return self._core.pilot

    def fit(self, simulations: Simulations | Sequence[Simulations], param_names: Sequence[str] | None = None) -> Adapter:
        """Fits it to a forward dictionary, or a list of them; trainers do it by themselves."""
        parts = [simulations] if isinstance(simulations, dict) else list(simulations)
        self._core.fit([_arrays_of(part)[0] for part in parts], as_names(param_names, "Adapter.fit: param_names"))
        return self

    def __call__(self, forward_dict: Simulations) -> dict[str, np.ndarray]:
        """Forward dictionary -> what a posterior's networks are given, float32: it is a configurator."""
        return {name: values.astype(np.float32) for name, values in self._core.configure(_arrays_of(forward_dict)[0]).items()}

    def inverse(self, draws: ArrayLike, forward_dict: Simulations) -> np.ndarray:
        """Parameters as networks have them, (B, S, P) or (B, P), in the user's units, float64. `forward_dict`: the data, of which bounds may depend."""
        return self._core.inverse(as_float64(draws, "draws"), _arrays_of(forward_dict)[0])

    def log_det(self, forward_dict: Simulations) -> np.ndarray:
        """log |det dy/dx| of each row of parameters: what `log_prob` adds to the network's density. -inf outside of bounds."""
        return self._core.log_det(_arrays_of(forward_dict)[0])

    def to_json(self) -> str:
        """All of it as text, what was fitted included."""
        return self._core.to_json()

    @classmethod
    def from_json(cls, text: str) -> Adapter:
        """The reverse."""
        return cls._of(_core.Adapter.from_json(text))

    def __eq__(self, other):
        return isinstance(other, Adapter) and self.to_json() == other.to_json()

    __hash__ = None

    def __getstate__(self):
        return self.to_json()

    def __setstate__(self, text):
        self._core = _core.Adapter.from_json(text)

    def __repr__(self):
        steps = str(self._core).strip().split("\n")
        return f"<Adapter, {'fitted' if self.is_fitted else 'not fitted yet'}: {'; '.join(steps) or 'no steps'}>"


def _field(name, step):
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f'Adapter.{step}: the field must be a text, "prior_draws" or "sim_data", say; got {shown(name)}')
    return name


def _columns(columns, step):
    """Numbers, and names of parameters."""
    if columns is None:
        return [], []
    listed = [columns] if isinstance(columns, str) or is_whole(columns) else columns
    try:
        listed = list(listed)
    except TypeError:
        listed = [None]
    if not listed or not all(isinstance(column, str) or is_whole(column) for column in listed):
        raise ConfigurationError(f"Adapter.{step}: columns must be a number or the name of a parameter, or a list of such; got {shown(columns)}")
    return [int(column) for column in listed if not isinstance(column, str)], [column for column in listed if isinstance(column, str)]


def _supports(support, names, width):
    """(lower, upper) of each column, None where it is not stated; empty: nothing is stated."""
    if support is None:
        return []
    if not isinstance(support, dict):
        support = dict(enumerate(support))
    out = [None] * int(width)
    for column, limits in support.items():
        number = names.index(column) if column in names else column
        if not is_whole(number) or not -width <= number < width:
            raise ConfigurationError(f"Adapter.infer: support: there is no column {shown(column)}; there are {', '.join(names) or f'{width}'}")
        if limits is None:
            continue
        if not isinstance(limits, (tuple, list)) or len(limits) != 2:
            raise ConfigurationError(f"Adapter.infer: support of {shown(column)} must be (lower, upper), None for no bound; got {shown(limits)}")
        out[number] = tuple(
            None if limit is None or not np.isfinite(as_number(limit, "Adapter.infer: support")) else float(limit) for limit in limits
        )
    return out


def _numbers(values, name, step):
    if values is None:
        return []
    return np.atleast_1d(as_float64(values, f"Adapter.{step}: {name}")).ravel().tolist()


def _bound(value, name):
    """Numbers with None where there is none, and the column that a bound is read from."""
    if value is None:
        return [], None
    if isinstance(value, str) or (isinstance(value, tuple) and value and isinstance(value[0], str)):
        field, column = (value, 0) if isinstance(value, str) else (value if len(value) == 2 else (None, None))
        if field is None or not (isinstance(column, str) or is_whole(column)):
            raise ConfigurationError(f'Adapter.bounds: {name} must be numbers, or ("field", column); got {shown(value)}')
        return [], {"field": field, "column": 0 if isinstance(column, str) else int(column), "name": column if isinstance(column, str) else ""}
    if isinstance(value, (list, tuple)):
        value = [np.nan if item is None else item for item in value]
    numbers = np.atleast_1d(as_float64(value, f"Adapter.bounds: {name}")).ravel().tolist()
    none = -np.inf if name == "lower" else np.inf
    return [None if number == none or np.isnan(number) else number for number in numbers], None

