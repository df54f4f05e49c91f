"""Whatever users have -> float64 NumPy arrays, with a sentence for what does not fit."""

import os

import numpy as np

from .exceptions import ConfigurationError, OutOfMemoryError, ShapeError

_TOO_MANY = 2**31


def as_array(value, name):
    """A NumPy array of `value` in its own dtype: arrays, lists, pandas, CPU tensors (DLPack or the array protocol)."""
    try:
        if getattr(value, "requires_grad", False) is True:  # torch shares no numbers that it differentiates; these are only read
            value = value.detach()
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":  # NumPy has none
            value = value.float()
        if not isinstance(value, np.ndarray) and not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            array = np.from_dlpack(value)
        else:
            array = np.asanyarray(value)
    except Exception as error:
        ragged = _ragged(value)
        if ragged:
            raise ShapeError(f"{name} must be a rectangular array, all parts of one shape; got a {type(value).__name__} of {ragged}") from error
        hint = "; copy it to the CPU first" if _is_elsewhere(value) else ""
        raise ConfigurationError(f"{name} must be an array of numbers; got {type(value).__name__}, which NumPy cannot read: {error}{hint}") from error
    refuse_masked(value, name)
    return array.data if isinstance(array, np.ma.MaskedArray) else array


def refuse_masked(value, name):
    """Raises if `value`, an array or a list of such, has masked values: NumPy takes what lies under the masks of arrays in a list."""
    count = _masked(value)
    if count:
        raise ConfigurationError(f"{name} has {count} masked value{'s' if count > 1 else ''}; fill them in, and give the mask to the network as data if it matters")


def _masked(value):
    if isinstance(value, np.ma.MaskedArray):
        return int(np.ma.count_masked(value))
    if isinstance(value, (list, tuple)):
        return sum(_masked(part) for part in value if isinstance(part, (np.ma.MaskedArray, list, tuple)))
    return 0


def own(value):
    """A copy of what a user's function may change in place: arrays, lists and dictionaries of such. What has no parts is handed on."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(map(own, value))
    if type(value) is dict:
        return {key: own(part) for key, part in value.items()}
    return value


def _ragged(value):
    """What is in a list whose parts have different shapes: "shapes (5,) and (3,)"; empty for anything else."""
    if not isinstance(value, (list, tuple)):
        return ""
    shapes = []
    for part in value:
        try:
            shape = np.shape(part)
        except ValueError:
            shape = None
        if shape not in shapes:
            shapes.append(shape)
    if len(shapes) == 1:
        return _ragged(value[0])
    told = ["parts that differ again" if shape is None else str(shape) for shape in shapes[:4]]
    return f"the shapes {', '.join(told[:-1])} and {told[-1]}" if len(shapes) <= 4 else f"the shapes {', '.join(told)}, ..."


def _is_elsewhere(value):
    """Whether a tensor says that it lies on a device other than the CPU."""
    try:
        return value.__dlpack_device__()[0] != 1
    except Exception:  # whatever a library does for what has no numbers
        return False


def as_float64(value, name, ndim=None, axes=""):
    """A C-contiguous float64 array of `value`: lists, NumPy arrays of any real dtype and layout, pandas, CPU tensors (DLPack or the
    array protocol). Returns None for None. `ndim`: the ranks that are allowed; `axes`: what they are, for the error."""
    if value is None:
        return None
    array = as_array(value, name)
    if array.dtype.kind == "O":
        text = next((part for part in array.flat if isinstance(part, (str, bytes))), None)
        if text is not None:
            raise ConfigurationError(f"{name} must hold numbers; got texts, {text!r} for one: convert them (astype(float)), or code categories as numbers")
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{name} must be a rectangular array of numbers; got {type(value).__name__} with entries of other kinds or lengths: {error}"
            ) from error
    if array.dtype.kind not in "fiub":
        hint = ": convert them (astype(float)), or code categories as numbers" if array.dtype.kind in "SU" else ""
        raise ConfigurationError(f"{name} must hold real numbers; got dtype {array.dtype}{hint}")
    if ndim is not None and array.ndim not in ndim:
        wanted = " or ".join(str(n) for n in ndim)
        raise ShapeError(f"{name} must have {wanted} axes{axes and f' ({axes})'}; got shape {array.shape}")
    if array.ndim > 6:
        raise ShapeError(f"{name} may have at most 6 axes; got shape {array.shape}")
    try:
        return np.require(array, dtype=np.float64, requirements="C")
    except MemoryError as error:
        raise OutOfMemoryError(f"{name}: there is not enough memory for shape {array.shape} as float64; use fewer or smaller data, or free some memory") from error


def required(value, name, ndim=None, axes=""):
    """The same where None has no meaning."""
    if value is None:
        raise ConfigurationError(f"{name} must be an array of numbers{axes and f' ({axes})'}; got None")
    return as_float64(value, name, ndim, axes)


def as_draws(value, name, ndim=None, axes=""):
    """The same for arrays that may be large and go to the engine only: float32, what networks return, stays as it is (no copy)."""
    refuse_masked(value, name)
    if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.flags.c_contiguous and (ndim is None or value.ndim in ndim):
        return value
    return as_float64(value, name, ndim, axes)


class Output(np.ndarray):
    """What networks and amortizers return: a float32 NumPy array that also answers to `.numpy()`, as v1's tensors do."""

    def numpy(self):
        """The same numbers as a plain NumPy array (no copy)."""
        return self.view(np.ndarray)


def output(values):
    return values.view(Output) if isinstance(values, np.ndarray) else Scalar(values)


class Scalar(float):
    """A float that also answers to `.numpy()`, as v1's tensors do."""

    def numpy(self):
        """The same number as NumPy has it, float32."""
        return np.float32(self)


def as_path(value, name):
    """A path as the engine takes it: a text. A slip of other kinds would become a file named "None" or "3"."""
    try:
        path = os.fsdecode(value)
    except TypeError:
        raise ConfigurationError(f"{name} must be a path (a text or a pathlib.Path); got {type(value).__name__}") from None
    if not path or "\0" in path:
        raise ConfigurationError(f"{name} must be a path; got {path!r}")
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        raise ConfigurationError(f"{name} must be a path in UTF-8; got {path!r}: rename the file or folder")
    return path


def as_names(names, name):
    """A list of texts; empty for None."""
    if names is None:
        return []
    try:
        texts = None if isinstance(names, (str, bytes)) else [str(n) for n in names]
    except TypeError:
        texts = None
    if texts is None:
        raise ConfigurationError(f"{name} must be a list of texts; got {shown(names)}")
    return texts


def is_whole(value):
    """Whether this is an int, of Python or NumPy; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def as_count(value, name, least=1):
    """An int of at least `least`, and one that the engine can count to."""
    if not is_whole(value) or value < least:
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ConfigurationError(f"{name} must be {wanted}; got {shown(value)}")
    if value >= _TOO_MANY:
        raise ConfigurationError(f"{name} must be below 2^31; got {value}")
    return int(value)


def as_flag(value, name):
    """A bool; 0 and 1 will do."""
    if isinstance(value, (bool, np.bool_)) or is_whole(value) and value in (0, 1):
        return bool(value)
    raise ConfigurationError(f"{name} must be True or False; got {shown(value)}")


def as_choice(value, name, allowed):
    """One of some texts."""
    if not isinstance(value, str) or value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {shown(value)}")
    return value


def as_function(value, name, of=""):
    """Something callable; `of`: what it is a function of, for the error."""
    if not callable(value):
        raise ConfigurationError(f"{name} must be a function{of and f' of {of}'}; got {shown(value)}")
    return value


def shown(value):
    """A value in an error: its kind, and what it is if that is short."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    text = repr(value) if isinstance(value, (str, bytes, int, float, complex, list, tuple, dict, set, type(None), np.generic)) else ""
    return text if 0 < len(text) <= 60 else type(value).__name__


def as_arguments(value, name):
    """A dictionary of keyword arguments; empty for None."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"{name} must be a dictionary of arguments; got {type(value).__name__}")
    return value


def as_number(value, name):
    """A float of a number; texts are none, though float() takes some of them."""
    refuse_masked(value, name)
    if not isinstance(value, (str, bytes, list, tuple)) and getattr(value, "ndim", 0) == 0:
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise ConfigurationError(f"{name} must be a number; got {shown(value)}")


def as_numbers(value, name, count=None):
    """A list of floats, of `count` if that is given."""
    wanted = "a list of" if count is None else str(count)
    try:
        values = None if isinstance(value, (str, bytes, dict, set)) else list(value)
    except TypeError:
        values = None
    if values is None or count not in (None, len(values)):
        raise ConfigurationError(f"{name} must be {wanted} numbers; got {shown(value)}")
    return [as_number(v, name) for v in values]


def as_whole(value, name):
    """An int of a whole number that the engine's numbers hold."""
    number = as_number(value, name)
    if not number.is_integer() or abs(number) >= 2**63:
        raise ConfigurationError(f"{name} must be a whole number{' below 2^63' if abs(number) >= 2**63 else ''}; got {shown(value)}")
    return int(value)


def as_batch(configured, label="{}"):
    """A configured dictionary as the engine takes it: {role: float64 array}, without what is None. Sources of a FusionNetwork, a dictionary in it,
    become roles of their own, "summary_conditions.series"."""
    flat = {}
    for role, values in configured.items():
        flat.update({f"{role}.{source}": value for source, value in values.items()} if isinstance(values, dict) else {role: values})
    out = {role: as_float64(values, label.format(role)) for role, values in flat.items() if values is not None}
    for role, values in out.items():
        if values.ndim == 0:
            raise ShapeError(f"{label.format(role)} must have an axis of data sets, axis 0; got a single number")
    return out
