# Tensors of the Open Inference Protocol as Python values, and back.
#
# With NumPy in the environment a model gets arrays, which are views of the request and read-only; without it,
# `Array` wraps the same bytes. BYTES are nested lists of str; an element that is no UTF-8 stays bytes. BF16,
# which neither Python nor NumPy has, travels as the 16 bits of each value in UINT16's form.

import math

# Datatype → (memoryview format, bytes of an element).
FORMATS = {
    "BOOL": ("?", 1),
    "UINT8": ("B", 1),
    "INT8": ("b", 1),
    "UINT16": ("H", 2),
    "INT16": ("h", 2),
    "FP16": ("e", 2),
    "BF16": ("H", 2),
    "UINT32": ("I", 4),
    "INT32": ("i", 4),
    "FP32": ("f", 4),
    "UINT64": ("Q", 8),
    "INT64": ("q", 8),
    "FP64": ("d", 8),
}
# What a buffer's format says about its elements. `l` and `L` are 8 bytes on every system this runs on.
DATATYPES = {
    "?": "BOOL",
    "B": "UINT8",
    "b": "INT8",
    "c": "UINT8",
    "H": "UINT16",
    "h": "INT16",
    "e": "FP16",
    "I": "UINT32",
    "i": "INT32",
    "f": "FP32",
    "Q": "UINT64",
    "L": "UINT64",
    "q": "INT64",
    "l": "INT64",
    "d": "FP64",
}
# Most elements that are converted one by one, out of lists.
ELEMENTS_MAX = 1 << 24


class WrongInput(Exception):
    """An input that is not what it says."""


class WrongOutput(Exception):
    """An output that cannot be passed on."""


class Array:
    """A dense tensor without NumPy: `datatype`, `shape`, and `data`, a flat memoryview of its elements."""

    def __init__(self, datatype, shape, data):
        self.datatype, self.shape, self.data = datatype, tuple(shape), data

    def tolist(self):
        """Nested lists of numbers; one number for a scalar."""
        flat = list(self.data)
        for size in reversed(self.shape[1:]):
            flat = [flat[at : at + size] for at in range(0, len(flat), size)] if size else [[]] * self.shape[0]
        return flat if self.shape else flat[0]

    def __len__(self):
        if not self.shape:
            raise TypeError("a scalar has no length")
        return self.shape[0]

    def __repr__(self):
        return f"Array({self.datatype}, shape={self.shape})"


def decoded(name, datatype, shape, data, texts, numpy):
    """An input as the model gets it."""
    if any(size < 0 for size in shape):
        raise WrongInput(f"input {name!r} has a negative extent in its shape {list(shape)}")
    count = math.prod(shape)
    if datatype == "BYTES":
        if count != len(texts):
            raise WrongInput(f"input {name!r} of shape {list(shape)} takes {count} texts, {len(texts)} given")
        return _nested([_text(raw) for raw in texts], shape)
    if datatype not in FORMATS:
        raise WrongInput(f"input {name!r} has datatype {datatype!r}, which this runtime does not know")
    form, width = FORMATS[datatype]
    if count * width != len(data):
        raise WrongInput(f"input {name!r} of shape {list(shape)} takes {count * width} bytes, {len(data)} given")
    data = data.toreadonly()
    if numpy is not None:
        return numpy.frombuffer(data, dtype=numpy.dtype(form).newbyteorder("<")).reshape(shape)
    return Array(datatype, shape, data.cast(form) if form != "e" else _halves(data))


def encoded(name, value):
    """(datatype, shape, data, texts) of what a model returned."""
    if isinstance(value, Array):
        return value.datatype, list(value.shape), value.data.cast("B"), []
    if isinstance(value, (str, bytes)):
        return _from_list(name, value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        kind = getattr(value.dtype, "kind", "")
        if kind in "USOT":
            return _from_list(name, value.tolist())
        if getattr(value.dtype, "byteorder", "=") == ">":
            value = value.astype(value.dtype.newbyteorder("<"))
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        view = None
    if view is None:
        if isinstance(value, (list, tuple, bool, int, float)):
            return _from_list(name, value)
        raise WrongOutput(
            f"output {name!r} is a {type(value).__name__}; return a NumPy array, an array.array, or nested lists"
            " of numbers or texts"
        )
    datatype = DATATYPES.get(view.format.lstrip("@=<"))
    if datatype is None:
        raise WrongOutput(f"output {name!r} has elements of format {view.format!r}, which no datatype stands for")
    shape = list(view.shape)
    flat = view.c_contiguous and shape and 0 not in shape
    return datatype, shape, view.cast("B") if flat else memoryview(view.tobytes()), []


def _halves(data):
    import struct

    return struct.unpack(f"<{len(data) // 2}e", data)


def _text(raw):
    raw = bytes(raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _nested(flat, shape):
    if not shape:
        return flat[0]
    for size in reversed(shape[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)] if size else [[]] * shape[0]
    return flat


def _from_list(name, value):
    shape, inner = [], value
    while isinstance(inner, (list, tuple)):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    if math.prod(shape) > ELEMENTS_MAX:
        raise WrongOutput(f"output {name!r} has more than {ELEMENTS_MAX} elements in lists; return an array")
    flat = []
    _flatten(name, value, shape, flat)
    if all(isinstance(one, (str, bytes)) for one in flat) and flat:
        return "BYTES", shape, memoryview(b""), [one.encode("utf-8") if isinstance(one, str) else one for one in flat]
    import array

    try:
        if all(isinstance(one, bool) for one in flat) and flat:
            return "BOOL", shape, memoryview(bytes(flat)), []
        if all(isinstance(one, int) for one in flat) and flat:
            return "INT64", shape, memoryview(array.array("q", flat).tobytes()), []
        return "FP64", shape, memoryview(array.array("d", flat).tobytes()), []
    except (TypeError, OverflowError) as error:
        raise WrongOutput(f"output {name!r} has lists of something else than numbers or texts: {error}") from None


def _flatten(name, value, shape, flat):
    if not shape:
        if isinstance(value, (list, tuple)):
            raise WrongOutput(f"output {name!r} has lists of unequal lengths at one depth")
        flat.append(value)
        return
    if not isinstance(value, (list, tuple)) or len(value) != shape[0]:
        raise WrongOutput(f"output {name!r} has lists of unequal lengths at one depth")
    for inner in value:
        _flatten(name, inner, shape[1:], flat)
