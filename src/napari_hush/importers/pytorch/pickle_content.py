"""What a pickle holds, and whether that is plain weights: dicts, lists, tuples, numbers, texts and dense tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_hush.errors import ModelFileError
from napari_hush.importers.keras_config import short

ITEM_BYTES = {
    **{"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "ComplexDouble": 16, "ComplexFloat": 8},
    **{"Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1},
}
STORAGES = {f"torch.{device}{kind}Storage": size for kind, size in ITEM_BYTES.items() for device in ("", "cuda.")}
DICTS = ("collections.OrderedDict", "collections.Counter")
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
OTHERS = ("torch._utils._rebuild_parameter", "torch.Tensor", "torch.Size", "torch.device")
DTYPES = tuple(f"torch.{kind}" for kind in "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split())
KNOWN = frozenset({*STORAGES, *DICTS, *TENSORS, *OTHERS, *DTYPES})
# What no model file has a use for, and what a malicious one calls.
DANGEROUS = frozenset(
    """__builtin__ _ctypes _io.FileIO _io.open _operator _pickle _posixsubprocess _thread asyncio atexit bdb
    builtins cPickle cProfile cloudpickle code codeop commands compileall ctypes dill distutils doctest
    ensurepip ftplib functools.reduce http idlelib imp importlib io.FileIO io.open io.open_code lib2to3 marshal
    multiprocessing nt numpy.f2py numpy.testing operator os pdb pickle pip pkgutil popen2 posix profile pty
    py_compile pydoc requests runpy shutil signal smtplib socket socketserver ssl subprocess sys telnetlib
    threading timeit torch.hub torch.jit torch.load torch.package types.CodeType types.FunctionType urllib
    urllib2 urllib3 venv webbrowser winreg xmlrpc zipimport""".split()
)
# Of the builtins; still no part of weights.
HARMLESS = frozenset(
    "bytearray bytes complex dict float frozenset getattr int list object range set slice str tuple".split()
)
COMPUTED = "(computed)"  # a name that the pickle puts together as it runs


@dataclass(frozen=True)
class Name:
    """A global that the pickle asks for."""

    text: str


@dataclass(frozen=True)
class Made:
    """The stand-in of what calling a global would have given."""

    name: str


@dataclass(frozen=True)
class Storage:
    """The numbers behind tensors: kept elsewhere in the file, under a key."""

    key: str
    n_items: int
    item_bytes: int


@dataclass
class Scan:
    """What a pickle holds.

    Parameters
    ----------
    top : object
        Its value, with stand-ins for everything but plain types.
    protocol : int
        Of the pickle.
    names : list of str
        All globals that it asks for, in order.
    storages : dict
        All storages that its tensors need, by key.
    problem : str, optional
        The first thing in it that plain weights do not need, or that makes no sense.
    """

    top: Any = None
    protocol: int = 0
    names: list[str] = field(default_factory=list)
    storages: dict[str, Storage] = field(default_factory=dict)
    problem: str | None = None


def check_scan(found: Scan) -> None:
    """Refuse a pickle that is not plain weights.

    Raises
    ------
    ModelFileError
        The worst thing about it, without the file's path.
    """
    if bad := next((name for name in found.names if _is_dangerous(name)), None):
        raise ModelFileError(
            f"would run code when loaded: it calls {show(bad)}, which no model needs; nothing was run, do not trust "
            "this file nor its origin"
        )
    if unknown := next((name for name in found.names if name not in KNOWN), None):
        if unknown.startswith(("torch._utils._rebuild", "torch._tensor._rebuild", "torch.Q")):
            raise ModelFileError(
                f"holds sparse, quantised or otherwise unusual tensors ({show(unknown)}), expected plain ones of "
                "floats; save the state_dict() of the float model"
            )
        if isinstance(found.top, Made) and found.top.name not in KNOWN:
            raise ModelFileError(
                f"holds a whole Python object ({show(found.top.name)}), which cannot be loaded without running its "
                "code; in the project that made it, save its weights alone: torch.save(net.state_dict(), path)"
            )
        raise ModelFileError(
            f"holds a Python object among its values ({show(unknown)}), expected nothing but weights; save them "
            "alone: torch.save(net.state_dict(), path)"
        )
    if found.protocol > 2:
        raise ModelFileError(
            f"pickled with protocol {found.protocol}, expected 2, which torch.save takes unless told otherwise; save "
            "the weights again"
        )
    if found.problem:
        raise ModelFileError(found.problem)


def show(text: str, length: int = 80) -> str:
    """Show a text from a file in a message: short, and without letters that change the line."""
    return short("".join(letter if letter.isprintable() else "?" for letter in text), length)


def _is_dangerous(name: str) -> bool:
    parts = name.split(".", 3)[:3]
    if parts[0] in ("builtins", "__builtin__") and parts[1] in HARMLESS:
        return len(parts) > 2  # a method of it
    return COMPUTED in parts or any(".".join(parts[:count]) in DANGEROUS for count in (1, 2, 3))
