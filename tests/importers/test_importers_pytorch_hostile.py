"""PyTorch files that are damaged, of another network, or made to do harm: each is refused in one line, nothing is run.

The malicious payloads are proved to be alive: plain `pickle` runs each of them.
"""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import pickle
import re
import runpy
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from cyclegan_reference import make_reference
from napari_hush.errors import ModelFileError
from napari_hush.importers.registry import load_model
from napari_hush.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def state_of(kind: str = "resnet_1blocks", **settings: Any) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(make_reference(kind, width=1, **settings).state_dict())


def saved(content: Any, *, legacy: bool = False, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy, **options)
    return buffer.getvalue()


def changed(changes: dict[str, torch.Tensor | None]) -> bytes:
    norm = "batch" if any(re.search("running|tracked", name) for name in changes) else "instance"
    return saved({name: tensor for name, tensor in (state_of(norm=norm) | changes).items() if tensor is not None})


def zipped(records: dict[str, bytes], method: int = zipfile.ZIP_STORED, root: str = "archive/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in records.items():
            archive.writestr(root + name, content)
    return buffer.getvalue()


def records_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def rezipped(changes: dict[str, bytes | None] | None = None) -> bytes:
    records = records_of(saved(state_of())) | (changes or {})
    return zipped({name: data for name, data in records.items() if data is not None})


class Stored:
    """The weights under a key, for `pickled`."""

    def __init__(self, key: str, n_items: Any, view: Any = None) -> None:
        self.pid = ("storage", torch.FloatStorage, key, "cpu", n_items, view)


class Call:
    """Makes a call when it is unpickled, and may set a state on what it gives."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


class Filled:
    """Makes a call while a list is filled."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return list, (), None, iter([self.call])


def tensor(storage: Any, offset: Any, size: Any, stride: Any, state: Any = None) -> Call:
    """What a pickle says of a tensor, true or not."""
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict(), state=state)


def pickled(value: Any) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return obj.pid if isinstance(obj, Stored) else None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def in_zip(value: Any) -> bytes:
    return rezipped({"data.pkl": pickled(value)})


def legacy(value: Any, keys: list[Any]) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    return b"".join(map(pickled, [LEGACY_MAGIC, 1001, system, value, keys]))


def discriminator() -> dict[str, torch.Tensor]:
    shapes = {"model.0": (2, 1, 4, 4), "model.2": (4, 2, 4, 4), "model.5": (8, 4, 4, 4), "model.8": (1, 8, 4, 4)}
    weights = {f"module.{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    return weights | {f"module.{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}


def optimizer_state() -> dict[str, Any]:
    step = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}
    return {"state": {0: step, 1: step}, "param_groups": [{"lr": 2e-4, "betas": (0.5, 0.999), "params": [0, 1]}]}


def numpy_archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def with_twins() -> bytes:
    stream = io.BytesIO(saved(state_of()))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("archive/data.pkl", pickled({}))
    return stream.getvalue()


def overlapping() -> bytes:
    """Two entries of the table of contents that share their bytes."""
    content = rezipped({"extra1": b"12345678", "extra2": b"12345678"})
    first, second = (content.index(f"archive/extra{n}".encode()) - 30 for n in (1, 2))
    return content.replace(struct.pack("<I", second) + b"archive/extra2", struct.pack("<I", first) + b"archive/extra2")


def larger_than_the_file() -> bytes:
    content = bytearray(rezipped())
    entry = content.index(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    return bytes(content)


def flipped_bit() -> bytes:
    weights = records_of(saved(state_of()))["data/0"]
    content = bytearray(saved(state_of()))
    content[content.index(weights)] ^= 1
    return bytes(content)


def recursive_list() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


def recursive_dict() -> dict[str, Any]:
    inside: dict[str, Any] = {}
    inside["state_dict"] = inside
    return inside


def nested_key() -> Any:
    """Small in a pickle, but to hash, compare or print it takes 2**60 steps."""
    key: Any = (1,)
    for _ in range(60):
        key = (key, key)
    return key


def with_moved_blocks() -> dict[str, torch.Tensor]:
    """The generator of a younger relative, whose layers against aliasing move the blocks."""
    moved = {"7": "8", "10": "12", "11": "13", "14": "17", "18": "22"}
    return {
        re.sub(r"^model\.(\d+)", lambda match: f"model.{moved.get(match[1], match[1])}", name): weights
        for name, weights in state_of().items()
    }


NAN = torch.full((1, 1, 7, 7), torch.nan)
GIT_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
EXPORTED = {"models/model.json": b"{}", "archive_format": b"pt2", "data/weights/weight_0": b"0000"}
KERAS_3 = {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"\x89HDF"}
BOMB = {"data.pkl": pickled({}), "data/0": bytes(30 << 20)}
TWO_ROOTS = {"a/data.pkl": b"", "other/data/0": b""}
OPTIONS = argparse.Namespace(a=1)
MANY = {str(n): 1 for n in range(20_000)}
PAIRS = [["a", 1]] * 300_000
WIDE = make_reference("resnet_2blocks", width=16).state_dict()
FLOATS_OF_A_TERABYTE = 1 << 38

FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("the file is empty", lambda: b""),
    "git-lfs pointer": ("git-lfs pointer.*git lfs pull", lambda: GIT_LFS),
    "text": ("text that begins with 'not weights'", lambda: b"not weights"),
    "Keras 3 without weights": (r"truncated or damaged HDF5 file", lambda: zipped(KERAS_3, root="")),
    "numpy archive": (r"arrays of numpy \(\.npz\), whose network is unknown", numpy_archive),
    "torch.export": ("exported program.*which holds a graph", lambda: zipped(EXPORTED)),
    "other zip": ("zip archive of something else.*'archive/a.txt'", lambda: zipped({"a.txt": b"1"})),
    "nothing in a zip": ("unknown contents that begin with b'PK", lambda: zipped({})),
    "plain pickle": ("none of torch.save", lambda: pickle.dumps([1, 2], protocol=2)),
    "pickle of the head alone": (r"truncated or damaged pickle \(pickle exhausted", lambda: b"\x80\x02"),
    "half a zip": ("truncated or damaged zip archive .file is not a zip", lambda: saved(state_of())[:5000]),
    "zip without its last byte": ("truncated or damaged zip archive", lambda: saved(state_of())[:-1]),
    "legacy, cut in its pickle": ("truncated or damaged pickle", lambda: saved(state_of(), legacy=True)[:500]),
    "legacy, cut in its weights": (r"truncated: [\d,]+ bytes, expected", lambda: saved(state_of(), legacy=True)[:-9]),
    "flipped bit": ("truncated or damaged zip archive .*bad crc-32", flipped_bit),
    "compressed": (r"compressed members \(data.pkl\)", lambda: zipped(records_of(rezipped()), zipfile.ZIP_DEFLATED)),
    "zip bomb": ("compressed members", lambda: zipped(BOMB, zipfile.ZIP_DEFLATED)),
    "two members of one name": ("two members have one name", with_twins),
    "overlapping members": ("members overlap", overlapping),
    "larger than the file": ("overlap or are larger than the file", larger_than_the_file),
    "two roots": (r"unexpected name \('other/data/0'\)", lambda: zipped(TWO_ROOTS, root="")),
    "protocol 4": ("protocol 4, expected 2", lambda: saved({"a": 1.0}, pickle_protocol=4)),
    "whole network, legacy": ("whole Python object", lambda: saved(torch.nn.Linear(1, 1), legacy=True)),
    "big-endian legacy": ("byte order is little", lambda: pickled(LEGACY_MAGIC) + pickled(1001) + pickled({}) * 3),
}

# What is exchanged in the records of a good zip; None: left out.
RECORDS: dict[str, tuple[str, dict[str, bytes | None]]] = {
    "TorchScript": ("TorchScript program.*which holds code", {"code/__torch__.py": b""}),
    "TorchScript constants": ("TorchScript program", {"constants.pkl": b""}),
    "parent folder": (r"unexpected name \('archive/\.\./x'\)", {"../x": b""}),
    "Windows-1252 and a reversal": (r"unexpected name \('archive/caf\\xe9\\u202e'\)", {"café\u202e": b""}),
    "backslash": (r"unexpected name \('archive/data", {"data\\0": b""}),
    "byte order": (r"byte order is b'middle', expected", {"byteorder": b"middle"}),
    "huge byte order": ("structure takes more than", {"byteorder": b"little" * 500_000}),
    "huge table of contents": ("table of contents of 8", {f"data/x{n:04000}": b"" for n in range(2000)}),
    "no weights behind a name": ("data/0 should have 196 bytes, but have none", {"data/0": None}),
    "too few weights": ("data/0 should have 196 bytes, but have 4", {"data/0": b"0000"}),
    "no version": ("restricted reader cannot read it", {"version": None, ".data/serialization_id": None}),
    "odd instruction": (r"instruction \(DUP\)", {"data.pkl": b"\x80\x02N2."}),
    "nothing to take": ("damaged pickle .pop from empty", {"data.pkl": b"\x80\x020."}),
    "unknown instruction": ("damaged pickle .at position", {"data.pkl": b"\x80\x02\xff."}),
    "odd escape": ("damaged pickle", {"data.pkl": b"\x80\x02S'\\R'\n."}),
    # an OrderedDict whose own attributes hide its methods
    "hidden methods": (
        "sets attributes of plain values",
        {"data.pkl": b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb."},
    ),
    "key that takes a lifetime": (
        "keys are neither names nor numbers",
        {"data.pkl": b"\x80\x02}" + pickled(nested_key())[2:-1] + b"K\x01s."},
    ),
}

# What the pickle of a zip holds.
PICKLES: dict[str, tuple[str, Any]] = {
    "huge pickle": ("structure takes more than 2,097,152 bytes", list(range(1_000_000))),
    "terabyte called": ("calls torch.FloatStorage in a way", Call(torch.FloatStorage, FLOATS_OF_A_TERABYTE)),
    "terabyte of bytes": (r"__builtin__\.bytearray", Call(bytearray, 1 << 40)),
    "negative offset": ("not made of positive numbers", tensor(Stored("0", 9), -1, (1,), (1,))),
    "shape of texts": ("not made of positive", tensor(Stored("0", 9), 0, ("a",), (1,))),
    "shape without strides": ("1 axes with 0 strides", tensor(Stored("0", 9), 0, (1,), ())),
    "tensor of nothing": ("a storage is not where it should be", tensor("0", 0, (1,), (1,))),
    "tensor with hooks": (
        "calls torch._utils._rebuild_tensor_v2 in a way",
        Call(torch._utils._rebuild_tensor_v2, Stored("0", 9), 0, (1,), (1,), False, OrderedDict(a=1)),
    ),
    "tensor set anew": ("sets attributes", tensor(Stored("0", 9), 0, (1,), (1,), state=(1, 2, 3, 4))),
    "tensor of many axes": ("no tuple of up to 8 numbers", Call(torch.Size, tuple(range(1000)))),
    "counts that take hours": ("calls collections.Counter in a way", [Call(Counter, MANY) for _ in range(30_000)]),
    "pairs that take hours": ("makes dicts in a way", [Call(OrderedDict, PAIRS) for _ in range(30_000)]),
    "keys that collide": ("keys are neither names nor numbers", {n * (2**61 - 1): 0 for n in range(9)}),
    "two sizes": ("two sizes for the same", [Stored("0", 9), Stored("0", 10)]),
    "other persistent value": ("refers to something other", Stored("0", "9")),
    "quantised": ("otherwise unusual.*_rebuild_qtensor", Call(torch._utils._rebuild_qtensor, 1)),
    "subclass": ("otherwise unusual.*_rebuild_from_type_v2", Call(torch._tensor._rebuild_from_type_v2, 1)),
}

# What the pickle of a file in the old format holds, and the keys of its weights.
LEGACIES: dict[str, tuple[str, Any, list[Any]]] = {
    "huge legacy pickle": ("structure takes more than", list(range(1_000_000)), []),
    "terabyte claimed": (
        r"truncated: \d+ bytes, expected at least 1,099",
        {"a": tensor(Stored("0", FLOATS_OF_A_TERABYTE), 0, (1,), (1,))},
        ["0"],
    ),
    "terabyte reached": (
        "reaches beyond its 1 stored",
        {"a": tensor(Stored("0", 1), 0, (3,), (FLOATS_OF_A_TERABYTE,))},
        ["0"],
    ),
    "weights never filled": ("list of its weights is not that", {"a": tensor(Stored("0", 9), 0, (9,), (1,))}, []),
    "keys that take a lifetime": ("list of its weights", {}, [nested_key()]),
    "view beyond": ("view beyond its stored", Stored("0", 9, ("v", 8, 2)), ["0"]),
}

# What torch.save was given.
CONTENTS: dict[str, tuple[str, Any]] = {
    "whole network": (r"whole Python object \(torch.nn.modules.linear.Linear\).*state_dict", torch.nn.Linear(1, 1)),
    "options among the weights": (
        r"Python object among its values \(argparse.Namespace\)",
        {"opt": OPTIONS, "G": state_of()},
    ),
    "array among the weights": (r"among its values \(numpy", {"loss": np.float64(1), "G": state_of()}),
    "set among the weights": (r"among its values \(__builtin__\.set\)", {"seen": {1, 2}, "G": state_of()}),
    "a tensor": (r"holds a single tensor of shape \(2, 3\)", torch.zeros(2, 3)),
    "a list": ("holds a list of 2", [torch.zeros(2), 1]),
    "a number": ("holds a float", 1.5),
    "an empty dict": ("an empty dict", {}),
    "numbers": (r"a dict without weights \(loss, epoch\)", {"loss": 0.1, "epoch": 3}),
    "list that holds itself": ("holds a list of 1", recursive_list()),
    "dict that holds itself": (r"a dict without weights \(state_dict\)", recursive_dict()),
    "counter": (r"a dict without weights \(a, b\)", Counter("aab")),
    "discriminator": ("weights of a discriminator.*take the file of G", discriminator()),
    "pixel discriminator": ("weights of a discriminator", {"netD_A": {"net.0.weight": torch.zeros(2, 1, 1, 1)}}),
    "optimizer": ("the state of an optimizer", optimizer_state()),
    "another project": (r"project \(such as conv1.weight, fc.bias\)", {"conv1.weight": NAN, "fc.bias": NAN}),
    "another checkpoint": (
        r"no generator under its 2 keys \(model, epoch\): 'model' has",
        {"model": {"fc.bias": NAN}, "epoch": 1},
    ),
    "our own network": (r"napari-hush's own network 'tomogan'.*model\.save", NETWORKS["tomogan"]().state_dict()),
    "two generators": (r"several generators \(a, b\)", {"a": state_of(), "b": state_of()}),
    "weights from one number": (
        r"weights claim [\d,]+ bytes, the file has",
        {"G": {k: v.flatten()[:1].clone().expand_as(v) for k, v in WIDE.items()}, "other": torch.zeros(50_000)},
    ),
    "moved blocks": (r"blocks are model.12 to model.12, expected model.10", with_moved_blocks()),
    "shallow U-Net": ("a U-Net of 2 levels, expected 5 to 10", {"model.model.0.weight": NAN}),
    "deep U-Net": ("a U-Net of 11 levels", state_of("unet_2048")),
    "twice": ("same weights twice", state_of() | {f"module.{name}": NAN for name in state_of()}),
    "too large for float32": ("NaN or infinite", {k: v.double() * 1e300 for k, v in state_of().items()}),
    "whole numbers": ("should be made of floats, got torch.int64", {k: v.long() for k, v in state_of().items()}),
    "complex": ("should be made of floats, got torch.complex64", {k: v * 1j for k, v in state_of().items()}),
}

# What is exchanged in the weights of a good generator; None: left out.
WEIGHTS: dict[str, tuple[str, dict[str, torch.Tensor | None]]] = {
    "missing weights": ("but model.14.bias is missing", {"model.14.bias": None}),
    "missing first weights": ("should be the weights of a convolution, but it is missing", {"model.1.weight": None}),
    "more weights": ("but attention.gamma is not known there", {"attention.gamma": torch.zeros(1)}),
    "other shape": (
        r"model.4.weight should have the shape \(2, 1, 3, 3\), got \(2, 1, 5, 5\)",
        {"model.4.weight": torch.zeros(2, 1, 5, 5)},
    ),
    "flat weights": (r"but got the shape \(49,\)", {"model.1.weight": torch.zeros(49)}),
    "no channels": (r"channels and width of \[0, 1, 1\]", {"model.1.weight": torch.zeros(1, 0, 7, 7)}),
    "affine norms": ("instance normalisation with trained weights", {"model.2.weight": torch.ones(1)}),
    "NaN": (r"'model.1.weight' has NaN or infinite.*diverge", {"model.1.weight": NAN}),
    "sparse": ("sparse, quantised or otherwise unusual", {"model.1.weight": torch.eye(2).to_sparse()}),
    "meta": ("otherwise unusual tensors .*meta_tensor", {"model.1.weight": NAN.to("meta")}),
    "terabytes of zeros": (
        "shape .1048576, 1048576., larger",
        {"big": torch.zeros(1).expand(1 << 20, 1 << 20)},
    ),
    "counter of fractions": (
        "num_batches_tracked' should be a whole number",
        {"model.2.num_batches_tracked": torch.tensor(0.5)},
    ),
    "negative variances": ("'model.2.running_var' has negative", {"model.2.running_var": -torch.ones(1)}),
}

CORPUS: dict[str, tuple[str, Callable[[], bytes]]] = {
    **FILES,
    **{name: (message, partial(rezipped, changes)) for name, (message, changes) in RECORDS.items()},
    **{name: (message, partial(in_zip, value)) for name, (message, value) in PICKLES.items()},
    **{name: (message, partial(legacy, value, keys)) for name, (message, value, keys) in LEGACIES.items()},
    **{name: (message, partial(saved, value)) for name, (message, value) in CONTENTS.items()},
    **{name: (message, partial(changed, changes)) for name, (message, changes) in WEIGHTS.items()},
}


def assert_refused(path: Path, message: str) -> str:
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < 600
    assert not re.search("weights_only|allowlist|safe_globals|trust (the|its) source", text)
    assert path.read_bytes() == before
    return text


@pytest.mark.parametrize("case", CORPUS)
def test_file_is_refused(tmp_path: Path, case: str) -> None:
    message, make = CORPUS[case]
    path = tmp_path / "latest_net_G_A.pth"
    path.write_bytes(make())
    assert_refused(path, message)


def payloads(marker: Path) -> dict[str, Any]:
    """Objects that make the marker file when they are unpickled."""
    code = f"open({str(marker)!r}, 'w').close()"
    command = f'echo > "{marker}"'
    return {
        "os.system": Call(os.system, command),
        "exec": Call(exec, code),
        "eval": Call(eval, f"__import__('os').system({command!r})"),
        "open": Call(open, str(marker), "w"),
        "subprocess": Call(subprocess.check_call, command, -1, None, None, None, None, None, True, True),
        "runpy": Call(runpy._run_code, code, {}),
        "filling a list": Filled(Call(os.system, command)),
        "before the weights": OrderedDict([("first", Call(os.system, command)), *state_of().items()]),
        "after the weights": OrderedDict([*state_of().items(), ("last", Call(exec, code))]),
        "deep in a checkpoint": {"state_dict": state_of(), "args": [{"a": (1, [Call(exec, code)])}]},
        "as a key": {Call(exec, code): 1},
    }


CONTAINERS: dict[str, Callable[[Any], bytes]] = {
    "zip": saved,
    "legacy": lambda value: saved(value, legacy=True),
    "zip of protocol 4": lambda value: saved(value, pickle_protocol=4),
    "zip of a text": lambda value: rezipped({"data.pkl": pickle.dumps(value, protocol=0)}),
    "pickle": lambda value: pickle.dumps(value, protocol=2),
    "pickle of protocol 5": lambda value: pickle.dumps(value, protocol=5),
}
ATTACKS = [(container, name) for container in CONTAINERS for name in payloads(pathlib.Path())]
VICTIM = """
import contextlib, pathlib, pickle, sys, torch
for path in map(pathlib.Path, sys.argv[1:]):
    with contextlib.suppress(Exception):
        if path.name.startswith("pickle"):
            pickle.loads(path.read_bytes())
        else:
            torch.load(path, weights_only=False)
"""


def marker_of(path: Path) -> Path:
    return path.with_suffix(".marker")


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Malicious files, each of which did its harm to a process that unpickles them."""
    folder = tmp_path_factory.mktemp("attacks")
    files = {}
    for number, (container, name) in enumerate(ATTACKS):
        path = folder / f"{container.replace(' ', '_')}_{number}.pth"
        path.write_bytes(CONTAINERS[container](payloads(marker_of(path))[name]))
        files[container, name] = path
    subprocess.run([sys.executable, "-c", VICTIM, *map(str, files.values())], check=True, capture_output=True)
    for attack, path in files.items():
        assert marker_of(path).exists(), attack
        marker_of(path).unlink()
    return files


@pytest.mark.parametrize(("container", "name"), ATTACKS)
def test_code_in_a_file_is_never_run(attacks: dict[tuple[str, str], Path], container: str, name: str) -> None:
    path = attacks[container, name]
    assert_refused(path, r"would run code when loaded: it calls [\w.]+, which no model needs; nothing was run")
    assert not marker_of(path).exists()


def test_text_pickle_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "G.pth"
    path.write_bytes(pickle.dumps(Call(os.system, f"echo > {marker_of(path)}"), protocol=0))
    assert_refused(path, "text that begins with")
    assert not marker_of(path).exists()


def test_name_in_a_pickle_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)  # another test may have imported it
    path = tmp_path / "G.pth"
    for pickled_name in (b"cthis\nd\n", b"\x8c\x04this\x8c\x01d\x93", b"(ithis\nd\n"):
        path.write_bytes(rezipped({"data.pkl": b"\x80\x04" + pickled_name + b"."}))
        assert_refused(path, r"Python object .*\(this\.d\)")
    assert "this" not in sys.modules


def test_name_that_is_computed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "G.pth"
    path.write_bytes(rezipped({"data.pkl": b"\x80\x04N\x8c\x06system\x93."}))
    assert_refused(path, r"would run code when loaded: it calls \(computed\)\.system")


def test_what_others_allowed_is_still_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = tmp_path / "G.pth"
    path.write_bytes(saved({"opt": OPTIONS, "G": state_of()}))
    with torch.serialization.safe_globals([argparse.Namespace]):
        assert torch.load(path, weights_only=True)["opt"].a == 1
        assert_refused(path, "argparse.Namespace")


def test_cases_have_messages_of_their_own() -> None:
    messages = [message for message, _ in CORPUS.values()]
    assert len(set(messages)) > len(messages) - 8


@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path, legacy: bool) -> None:
    content = saved(state_of(norm="batch"), legacy=legacy)
    path = tmp_path / "G.pth"
    rng = np.random.default_rng(0)
    n_loaded = 0
    for number in range(150):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 1 if number % 2 else 12):
            damaged[position] ^= 1 << int(rng.integers(8))
        if number % 3 == 0:
            del damaged[int(rng.integers(1, len(content))) :]
        if number % 5 == 0:  # the pickle is where the dangers are
            damaged[int(rng.integers(min(4000, len(damaged))))] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            model = load_model(path)
        except ModelFileError as error:
            assert "\n" not in str(error)
            continue
        n_loaded += 1
        assert all(bool(torch.isfinite(tensor).all()) for tensor in model.network.state_dict().values())
    assert n_loaded < 100
