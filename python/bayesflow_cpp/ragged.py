"""Data sets of different sizes and with missing observations, as one batch: padded, with a mask that networks take (docs/missing_data.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._arrays import as_choice, as_float64, shown
from .exceptions import ArgumentError, ConfigurationError, ShapeError

if TYPE_CHECKING:
    from typing import Any, Sequence

    from ._types import ArrayLike

__all__ = ["batch", "from_frame"]


def batch(data: Sequence[ArrayLike], *, missing: str = "error", times: Sequence[ArrayLike] | None = None) -> dict[str, np.ndarray]:
    """Data sets (n_i, D), or (n_i,) of one number each, as {"sim_data": (B, N, D), "sim_data_mask": (B, N)}, N the largest n_i; padding is 0 and changes nothing.

    `missing`: "error" refuses NaN; "mask" takes an observation whose D numbers are all NaN for one that was not made: the data set is that much smaller. Where only
    some of the D are missing, `Adapter.fill_missing` keeps the others. `times`: when each observation was made, (n_i,) each, as "sim_data_times": without them a
    series does not know where its gaps are."""
    as_choice(missing, "ragged.batch: missing", ("error", "mask"))
    sets = [as_float64(one, f"ragged.batch: data set {i}") for i, one in enumerate(data)]
    if not sets:
        raise ArgumentError("ragged.batch: there are no data sets; give at least one")
    sets = [one[:, None] if one.ndim == 1 else one for one in sets]
    for i, one in enumerate(sets):
        if one.ndim != 2 or one.shape[1] != sets[0].shape[1]:
            raise ShapeError(f"ragged.batch: data set {i} has the shape {one.shape}; each must be (observations, {sets[0].shape[1] if sets[0].ndim == 2 else 'columns'})")
    whens = None
    if times is not None:
        whens = [as_float64(one, f"ragged.batch: times of data set {i}") for i, one in enumerate(times)]
        wrong = [i for i, (when, one) in enumerate(zip(whens, sets)) if when.shape != (len(one),)]
        if len(whens) != len(sets) or wrong:
            raise ShapeError("ragged.batch: times must be one list for each data set, of one number for each observation")
    for i, one in enumerate(sets):
        gaps = np.isnan(one)
        if not gaps.any():
            continue
        row, column = np.argwhere(gaps)[0]
        if missing == "error":
            raise ArgumentError(
                f'ragged.batch: data set {i} holds NaN in observation {row}, column {column}; if it means a missing value, say missing="mask", or let Adapter.fill_missing fill it'
            )
        partly = gaps.any(1) & ~gaps.all(1)
        if partly.any():
            raise ArgumentError(
                f"ragged.batch: observation {np.argmax(partly)} of data set {i} misses some of its {one.shape[1]} numbers, and a mask would lose the others: pad without "
                "missing values and let Adapter.fill_missing fill these"
            )
        kept = ~gaps.all(1)
        sets[i] = one[kept]
        if whens is not None:
            whens[i] = whens[i][kept]
    empty = [i for i, one in enumerate(sets) if len(one) == 0]
    if empty:
        raise ArgumentError(f"ragged.batch: data set {empty[0]} has no observations; leave it out")
    longest = max(map(len, sets))
    out = {"sim_data": np.zeros((len(sets), longest, sets[0].shape[1])), "sim_data_mask": np.zeros((len(sets), longest))}
    if whens is not None:
        out["sim_data_times"] = np.zeros((len(sets), longest))
    for i, one in enumerate(sets):
        out["sim_data"][i, : len(one)], out["sim_data_mask"][i, : len(one)] = one, 1
        if whens is not None:
            out["sim_data_times"][i, : len(one)] = whens[i]
    return out


def from_frame(frame: Any, group: str, columns: str | Sequence[str], *, times: str | None = None, missing: str = "error") -> tuple[dict[str, np.ndarray], list[Any]]:
    """A pandas data frame in long format, one row an observation, as a ragged batch, and the groups' names in its order (that of their first rows).

    `group`: the column that says to which data set a row belongs; `columns`: what was observed; `times`: the column of times, by which rows are put in order."""
    columns = [columns] if isinstance(columns, str) else list(columns)
    for name in (group, *columns, *([] if times is None else [times])):
        if name not in frame.columns:
            raise ConfigurationError(f"ragged.from_frame: there is no column {shown(name)}; there are {', '.join(map(str, frame.columns))}")
    if not columns:
        raise ConfigurationError("ragged.from_frame: name at least one column of what was observed")
    if frame[group].isna().any():
        raise ArgumentError(f"ragged.from_frame: {int(frame[group].isna().sum())} rows have no {group}; take them out, or name their group")
    sets, whens, names = [], [], []
    for name, rows in frame.groupby(group, sort=False):
        if times is not None:
            rows = rows.sort_values(times, kind="stable")
            whens.append(rows[times].to_numpy(dtype=np.float64))
        sets.append(rows[columns].to_numpy(dtype=np.float64, na_value=np.nan))
        names.append(name)
    return batch(sets, missing=missing, times=whens if times is not None else None), names
