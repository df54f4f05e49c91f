"""Whatever users have -> float64 NumPy arrays, with a sentence for what does not fit."""

import numpy as np

from .exceptions import ConfigurationError, ShapeError


def as_float64(value, name, ndim=None, axes=""):
    """A C-contiguous float64 array of `value`: lists, NumPy arrays of any real dtype and layout, pandas, CPU tensors (DLPack or the
    array protocol). Returns None for None. `ndim`: the ranks that are allowed; `axes`: what they are, for the error."""
    if value is None:
        return None
    if not isinstance(value, np.ndarray) and not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    try:
        array = np.asarray(value)
    except Exception as error:
        raise ConfigurationError(f"{name} must be an array of numbers; got {type(value).__name__}, which NumPy cannot read: {error}") from error
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
