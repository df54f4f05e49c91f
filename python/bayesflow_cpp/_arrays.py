"""Whatever users have -> float64 NumPy arrays, with a sentence for what does not fit."""

import os

import numpy as np

from .exceptions import ConfigurationError, ShapeError


def as_array(value, name):
    """A NumPy array of `value` in its own dtype: arrays, lists, pandas, CPU tensors (DLPack or the array protocol)."""
    try:
        if not isinstance(value, np.ndarray) and not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            array = np.from_dlpack(value)
        else:
            array = np.asanyarray(value)
    except Exception as error:
        hint = "; copy it to the CPU first" if hasattr(value, "__dlpack__") else ""
        raise ConfigurationError(f"{name} must be an array of numbers; got {type(value).__name__}, which NumPy cannot read: {error}{hint}") from error
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise ConfigurationError(f"{name} has {np.ma.count_masked(array)} masked values; fill them in, and give the mask to the network as data if it matters")
        array = array.data
    return array


def as_float64(value, name, ndim=None, axes=""):
    """A C-contiguous float64 array of `value`: lists, NumPy arrays of any real dtype and layout, pandas, CPU tensors (DLPack or the
    array protocol). Returns None for None. `ndim`: the ranks that are allowed; `axes`: what they are, for the error."""
    if value is None:
        return None
    array = as_array(value, name)
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{name} must be a rectangular array of numbers; got {type(value).__name__} with entries of other kinds or lengths: {error}"
            ) from error
    if array.dtype.kind not in "fiub":
        raise ConfigurationError(f"{name} must hold real numbers; got dtype {array.dtype}")
    if ndim is not None and array.ndim not in ndim:
        wanted = " or ".join(str(n) for n in ndim)
        raise ShapeError(f"{name} must have {wanted} axes{axes and f' ({axes})'}; got shape {array.shape}")
    if array.ndim > 6:
        raise ShapeError(f"{name} may have at most 6 axes; got shape {array.shape}")
    return np.require(array, dtype=np.float64, requirements="C")


def as_draws(value, name, ndim=None, axes=""):
    """The same for arrays that may be large and go to the engine only: float32, what networks return, stays as it is (no copy)."""
    if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.flags.c_contiguous and (ndim is None or value.ndim in ndim):
        return value
    return as_float64(value, name, ndim, axes)


class Output(np.ndarray):
    """What networks and amortizers return: a float32 NumPy array that also answers to `.numpy()`, as v1's tensors do."""

    def numpy(self):
        """The same numbers as a plain NumPy array (no copy)."""
        return self.view(np.ndarray)


def output(array):
    return array.view(Output)


def as_path(value, name):
    """A path as the engine takes it: a text. A slip of other kinds would become a file named "None" or "3"."""
    try:
        path = os.fsdecode(value)
    except TypeError:
        raise ConfigurationError(f"{name} must be a path (a text or a pathlib.Path); got {type(value).__name__}") from None
    if not path or "\0" in path:
        raise ConfigurationError(f"{name} must be a path; got {path!r}")
    return path


def as_names(names, name):
    """A list of texts; empty for None."""
    if names is None:
        return []
    if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
        raise ConfigurationError(f"{name} must be a list of texts; got {names!r}")
    return [str(n) for n in names]


def as_count(value, name):
    """A positive int."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigurationError(f"{name} must be a positive integer; got {value if np.ndim(value) == 0 else type(value).__name__!r}")
    return int(value)


def as_arguments(value, name):
    """A dictionary of keyword arguments; empty for None."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"{name} must be a dictionary of arguments; got {type(value).__name__}")
    return value


def as_number(value, name):
    """A float of a number; texts are none, though float() takes some of them."""
    if isinstance(value, (str, bytes)) or np.ndim(value) > 0:
        raise ConfigurationError(f"{name} must be a number; got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name} must be a number; got {value!r}") from error


def as_numbers(value, name, count=None):
    """A list of floats, of `count` if that is given."""
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__") or (hasattr(value, "__len__") and count not in (None, len(value))):
        raise ConfigurationError(f"{name} must be {'a list of' if count is None else count} numbers; got {value!r}")
    return [as_number(v, name) for v in value]


def as_whole(value, name):
    """An int of a whole number."""
    number = as_number(value, name)
    if not number.is_integer():
        raise ConfigurationError(f"{name} must be a whole number; got {value!r}")
    return int(value)
