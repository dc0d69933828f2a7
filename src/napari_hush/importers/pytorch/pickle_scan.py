"""Reading what a pickle would do, without doing it.

A pickle is a program for a small stack machine. Here its instructions are followed with stand-ins: nothing is
imported, called or allocated, so that a file can be refused, with the name of what it wanted to call, before PyTorch
sees it.
"""

from __future__ import annotations

import math
import pickletools
from typing import TYPE_CHECKING, Any

from napari_hush.importers.pytorch.pickle_content import COMPUTED, KNOWN, STORAGES, Made, Name, Scan, Storage, show

if TYPE_CHECKING:
    from typing import BinaryIO

MAX_DIMENSIONS = 8
# A few bytes of a pickle repeat a call with many values, which takes hours.
MAX_COUNTED = 100
MAX_PAIRS = 100_000
CONSTANTS = frozenset(
    """BINBYTES BINBYTES8 BINFLOAT BININT BININT1 BININT2 BINSTRING BINUNICODE BINUNICODE8 FLOAT INT LONG LONG1 LONG4
    SHORT_BINBYTES SHORT_BINSTRING SHORT_BINUNICODE STRING UNICODE""".split()
)
# Of pickletools, and of taking values off the stack; the warning is about escapes in a text, where warnings are errors.
MALFORMED = (ValueError, IndexError, KeyError, TypeError, OverflowError, DeprecationWarning)


class Unexpected(Exception):
    """Something that a file of weights has no need to do."""


def scan(stream: BinaryIO, n_available: int) -> Scan:
    """Follow the pickle at the stream's position, to its end; never raises for what it holds.

    Parameters
    ----------
    stream : file
        Left behind the pickle.
    n_available : int
        Bytes that the whole file has: no tensor can need more.
    """
    return _Machine(n_available).run(stream)


class _Machine:
    """The stack machine; a method per group of instructions that needs more than a line."""

    def __init__(self, n_available: int) -> None:
        self.n_available = n_available
        self.found = Scan()
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.n_pairs = 0

    def run(self, stream: BinaryIO) -> Scan:
        found = self.found
        try:
            for opcode, argument, _position in pickletools.genops(stream):
                try:
                    self.step(opcode.name, argument)
                except Unexpected as error:  # go on: the names that follow may tell more
                    found.problem = found.problem or str(error)
            found.top = self.stack.pop()
        except MALFORMED as error:
            reason = show(str(error) or type(error).__name__)
            found.problem = found.problem or f"truncated or damaged pickle ({reason}); copy or download it again"
        return found

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO":
                self.found.protocol = max(self.found.protocol, argument)
            case "FRAME" | "STOP":
                pass
            case "MARK":
                self.marked.append(stack)
                self.stack = []
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "TUPLE":
                found = tuple(self.pop_mark())
                self.stack.append(found)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(_last(stack, count))]
            case "LIST":
                listed = self.pop_mark()
                self.stack.append(listed)
            case "DICT":
                items = self.pop_mark()
                self.stack.append({})
                self.set_items(items)
            case "APPEND":
                item = stack.pop()
                _expect(stack[-1], list).append(item)
            case "APPENDS":
                items = self.pop_mark()
                _expect(self.stack[-1], list).extend(items)
            case "SETITEM":
                pair = _last(stack, 2)
                del stack[-2:]
                self.set_items(pair)
            case "SETITEMS":
                self.set_items(self.pop_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                self.push_global(argument.replace(" ", ".", 1))
            case "STACK_GLOBAL":
                parts = _last(stack, 2)
                del stack[-2:]
                self.push_global(".".join(part if isinstance(part, str) else COMPUTED for part in parts))
            case "INST":
                self.pop_mark()
                self.push_global(argument.replace(" ", ".", 1))
                self.stack[-1] = _instance(self.stack[-1])
            case "OBJ":
                made = _instance(self.pop_mark()[0])
                self.stack.append(made)
            case "NEWOBJ" | "NEWOBJ_EX":
                del stack[-1 if name == "NEWOBJ" else -2 :]
                stack[-1] = _instance(stack[-1])
            case "POP":
                stack.pop()
            case "REDUCE":
                arguments = _expect(stack.pop(), tuple)
                stack[-1] = self.call(stack[-1], arguments)
            case "BUILD":
                self.build(stack.pop())
            case "BINPERSID":
                stack[-1] = self.load_persistent(stack[-1])
            case _ if name in CONSTANTS:
                stack.append(argument)
            case _:
                raise Unexpected(f"its pickle has an instruction ({name}) that weights do not need; save them again")

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def push_global(self, text: str) -> None:
        self.found.names.append(text)
        self.stack.append(Name(text))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Made):  # something that is refused for its name later
            return
        _check_keys(items[::2])
        _expect(target, dict).update(zip(items[::2], items[1::2], strict=True))

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        match _expect(function, Name).text, arguments:
            case (("collections.OrderedDict" | "collections.Counter"), ()):
                return {}
            case "collections.OrderedDict", (list(pairs),):  # as Python 2 wrote it
                return self.make_dict(pairs)
            case "collections.Counter", (dict(counted),) if len(counted) <= MAX_COUNTED:
                return counted
            case "torch._utils._rebuild_parameter", (Made("torch.Tensor") as tensor, bool(), dict(hooks)) if not hooks:
                return tensor
            case "torch._utils._rebuild_tensor_v2", (storage, offset, size, stride, bool(), dict(hooks)) if not hooks:
                return self.make_tensor(storage, offset, size, stride)
            case "torch._utils._rebuild_tensor", (storage, offset, size, stride):
                return self.make_tensor(storage, offset, size, stride)
            case "torch.Size", (size,):
                return tuple(_naturals(size))
            case "torch.device", (str(),) | (str(), int()):
                return "device"
            case text, _ if text in KNOWN:
                raise Unexpected(f"calls {text} in a way that torch.save does not; save the weights again")
            case text, _:
                return Made(text)

    def make_dict(self, pairs: list[Any]) -> dict[Any, Any]:
        self.n_pairs += len(pairs)
        if self.n_pairs > MAX_PAIRS or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise Unexpected("makes dicts in a way that torch.save does not; save the weights again")
        _check_keys([key for key, _ in pairs])
        return dict(pairs)

    def make_tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> Made:
        """Check that a tensor lies inside its storage: PyTorch would enlarge the storage otherwise."""
        storage = _expect(storage, Storage)
        (start,), shape, strides = _naturals((offset,)), _naturals(size), _naturals(stride)
        if len(shape) != len(strides):
            raise Unexpected(f"has a tensor of {len(shape)} axes with {len(strides)} strides; save the weights again")
        n_items = math.prod(shape)
        if n_items * storage.item_bytes > self.n_available:
            raise Unexpected(f"has a tensor of shape {size}, larger than the whole file; save the weights again")
        last = start + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if n_items and last >= storage.n_items:
            raise Unexpected(
                f"has a tensor of shape {size} that reaches beyond its {storage.n_items:,} stored numbers; copy or "
                "download it again"
            )
        return Made("torch.Tensor")

    def build(self, state: Any) -> None:
        """Set attributes: of an OrderedDict only those that a state_dict has, lest they hide its methods."""
        target = self.stack[-1]
        if isinstance(target, Made) and target.name not in KNOWN:
            return
        if not isinstance(target, dict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise Unexpected("sets attributes of plain values, which weights do not need; save them again")

    def load_persistent(self, key: Any) -> Any:
        match key:
            case "module", Name() as found, _, _:  # how whole networks were saved with their source code
                return found
            case "storage", Name(kind), str(name), str(), int(n_items), *views if kind in STORAGES:
                storage = Storage(name, n_items, STORAGES[kind])
            case _:
                raise Unexpected("refers to something other than stored numbers; save the weights again")
        if n_items < 0 or self.found.storages.setdefault(name, storage) != storage:
            raise Unexpected(f"gives two sizes for the same stored numbers ({show(name)}); save the weights again")
        match views:
            case [] | [None]:
                return storage
            case [(str(), int(offset), int(size))] if offset >= 0 and 0 <= size and offset + size <= n_items:
                return Storage(name, size, storage.item_bytes)
        raise Unexpected(f"has a view beyond its stored numbers ({show(name)}); save the weights again")


def _last(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise IndexError("too few values")
    return stack[-count:]


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Unexpected(
            f"its pickle is inconsistent: a {kind.__name__.lower()} is not where it should be; copy it again"
        )
    return value


def _instance(name: Any) -> Made:
    text = _expect(name, Name).text
    if text in KNOWN:
        raise Unexpected(f"makes a {text} in a way that torch.save does not; save the weights again")
    return Made(text)


def _check_keys(keys: list[Any]) -> None:
    """Refuse keys that take long to hash (nested tuples) or that collide (numbers beyond the hash's modulus)."""
    if not all(isinstance(key, str) or (isinstance(key, int) and abs(key) < 1 << 60) for key in keys):
        raise Unexpected("has a dict whose keys are neither names nor numbers; expected the names of weights")


def _naturals(values: Any) -> list[int]:
    if not isinstance(values, tuple) or len(values) > MAX_DIMENSIONS:
        raise Unexpected(
            f"has a tensor whose shape is no tuple of up to {MAX_DIMENSIONS} numbers; save the weights again"
        )
    if not all(type(value) is int and 0 <= value < 1 << 62 for value in values):
        raise Unexpected("has a tensor whose shape is not made of positive numbers; save the weights again")
    return list(values)
