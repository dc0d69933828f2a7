"""ONNX networks as black boxes: what is measured of them, what they compute, and which are refused and why."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import napari_hush as hush
from napari_hush.errors import InputError, ModelFileError
from napari_hush.exporters.onnx import to_onnx
from napari_hush.importers.registry import load_model, look
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def trained(architecture: str, hyperparameters: dict[str, Any]) -> Model:
    torch.manual_seed(0)
    model = Model.create(architecture, hyperparameters, normalization=NormalizationRule(method="identity"))
    for parameter in model.network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return model


def foreign(model: Model) -> bytes:
    """An export without what says whose it is."""
    proto = onnx.load_model_from_string(to_onnx(model))
    del proto.metadata_props[:]
    content: bytes = proto.SerializeToString()
    return content


@cache
def small() -> bytes:
    return foreign(trained("cnn", {"widths": (3,)}))


def kernel(*shape: int, name: str = "w") -> Any:
    values = np.random.default_rng(0).normal(0, 0.3, shape).astype("f4")
    return onnx.numpy_helper.from_array(values, name)


def graph(
    nodes: list[Any],
    weights: list[Any] | None = None,
    *,
    shape: tuple[Any, ...] = ("b", 1, "y", "x"),
    out: tuple[Any, ...] = ("b", 1, "y", "x"),
    dtype: int = FLOAT,
    change: Callable[[Any], Any] = lambda _: None,
) -> bytes:
    """A file of some nodes from x to y."""
    ends = [helper.make_tensor_value_info(name, dtype, sides) for name, sides in (("x", shape), ("y", out))]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights or [])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("evil", 1)]
    proto = helper.make_model(made, opset_imports=opsets, ir_version=8)
    change(proto)
    content: bytes = proto.SerializeToString()
    return content


def conv(**attributes: Any) -> Any:
    return helper.make_node("Conv", ["x", "w"], ["y"], **{"pads": [1, 1, 1, 1], **attributes})


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


KINDS = [
    ("cnn", {}),
    ("unet", {"width": 4, "levels": 2}),
    pytest.param("cyclegan_resnet", {"width": 4, "blocks": 1, "norm": "batch"}, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize(("architecture", "hyperparameters"), KINDS)
def test_stride_and_halo_are_measured_and_tiles_equal_the_whole(
    tmp_path: Path, architecture: str, hyperparameters: dict[str, Any]
) -> None:
    ours = trained(architecture, hyperparameters)
    path = write(tmp_path / "theirs.onnx", foreign(ours))
    assert look(path) == "ONNX network"
    model = load_model(path, normalization="identity")
    assert (model.architecture, model.stride) == ("onnx", ours.stride)
    assert ours.halo - ours.stride <= model.halo <= ours.halo
    assert (model.in_channels, model.out_channels) == (1, 1)
    assert "was measured on noise" in model.card.limits[-1]
    image = np.random.default_rng(1).uniform(0, 1, (90, 70)).astype("f4")
    whole = hush.denoise(image, model, tile=False, guard=False)
    np.testing.assert_allclose(hush.denoise(image, ours, tile=False, guard=False, engine="torch"), whole, atol=1e-4)
    np.testing.assert_allclose(hush.denoise(image, model, tile=32, guard=False), whole, atol=1e-5)
    model.save(tmp_path / "saved.safetensors")
    again = load_model(tmp_path / "saved.safetensors")
    assert (again.stride, again.halo, again.n_parameters) == (model.stride, model.halo, model.n_parameters)
    np.testing.assert_array_equal(hush.denoise(image, again, tile=False, guard=False), whole)


def test_our_own_export_comes_back_with_its_card_and_normalisation(tmp_path: Path) -> None:
    ours = load_model("general")
    small = Model.create("cnn", {"widths": (2,)}, normalization=NormalizationRule(low=3, high=90), card=ours.card)
    path = tmp_path / "ours.onnx"
    hush.export(small, path)
    model = load_model(path)
    assert model.normalization == small.normalization
    assert (model.card.name, model.card.licence) == (ours.card.name, ours.card.licence)
    assert load_model(path, value_range=(0, 255)).normalization.target == (0, 255)
    hush.export(model, tmp_path / "again.onnx")
    image = np.random.default_rng(0).uniform(0, 9, (40, 40))
    expected = hush.denoise(image, model, guard=False)
    np.testing.assert_array_equal(hush.denoise(image, load_model(tmp_path / "again.onnx"), guard=False), expected)
    with pytest.raises(InputError, match=r"export it as \.onnx"):
        hush.export(model, tmp_path / "model.zip", licence="CC0-1.0")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_channels_last_and_other_floats_are_run(tmp_path: Path, dtype: str) -> None:
    number = {"float32": FLOAT, "float16": onnx.TensorProto.FLOAT16}[dtype]
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["a", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]),
    ]
    values = np.random.default_rng(0).normal(0, 0.3, (2, 2, 3, 3)).astype(dtype)
    sides = ("b", "y", "x", 2)
    content = graph(nodes, [onnx.numpy_helper.from_array(values, "w")], shape=sides, out=sides, dtype=number)
    model = load_model(write(tmp_path / "last.onnx", content))
    assert (model.in_channels, model.out_channels, model.stride) == (2, 2, 1)
    image = torch.rand(2, 2, 9, 11)
    expected = torch.nn.functional.conv2d(image, torch.from_numpy(values).float(), padding=1)
    torch.testing.assert_close(model.network(image), expected, rtol=1e-2, atol=1e-2 if dtype == "float16" else 1e-5)


def test_fixed_sides_are_freed_where_the_network_allows_it(tmp_path: Path) -> None:
    content = graph([conv()], [kernel(1, 1, 3, 3)], shape=(1, 1, 128, 128), out=(1, 1, 128, 128))
    model = load_model(write(tmp_path / "fixed.onnx", content))
    assert (model.halo, tuple(model.network(torch.rand(3, 1, 20, 31)).shape)) == (1, (3, 1, 20, 31))


def external(proto: Any) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../../etc/passwd"), ("length", "36")):
        item = tensor.external_data.add()
        item.key, item.value = key, value


def huge(proto: Any) -> None:
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend([1 << 20, 1 << 20, 3, 3])


def node(op: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, [*inputs], ["y"], **attributes)


def grown() -> bytes:
    times = onnx.numpy_helper.from_array(np.array([1, 1, 1 << 14, 1 << 14]), "s")
    nodes = [helper.make_node("Tile", ["x", "s"], ["t"]), helper.make_node("GlobalMaxPool", ["t"], ["m"])]
    return graph([*nodes, node("Sub", "x", "m")], [times])


def attention() -> bytes:
    return graph([helper.make_node("GlobalAveragePool", ["x"], ["m"]), node("Sub", "x", "m")])


def by_the_brightest() -> bytes:
    nodes = [helper.make_node("GlobalMaxPool", ["x"], ["m"]), helper.make_node("Div", ["x", "m"], ["d"])]
    return graph([*nodes, node("Tanh", "d")])


def every_pair() -> bytes:
    """Attention: each pixel with each other one."""
    rows, columns = (onnx.numpy_helper.from_array(np.array(s), n) for n, s in (("r", [1, -1, 1]), ("c", [1, 1, -1])))
    nodes = [
        helper.make_node("Reshape", ["x", "r"], ["q"]),
        helper.make_node("Reshape", ["x", "c"], ["k"]),
        helper.make_node("MatMul", ["q", "k"], ["s"]),
        helper.make_node("Softmax", ["s"], ["a"]),
        helper.make_node("MatMul", ["a", "q"], ["v"]),
        helper.make_node("Shape", ["x"], ["n"]),
    ]
    return graph([*nodes, node("Reshape", "v", "n")], [rows, columns])


def functions(*calls: list[str]) -> Callable[[], bytes]:
    """Functions f0, f1, ..., each of which calls those, one after the other."""

    def add(proto: Any) -> None:
        for number, names in enumerate(calls):
            called = [
                helper.make_node(name, [f"v{k}"], [f"v{k + 1}"], domain="own" if name.startswith("f") else "")
                for k, name in enumerate(names)
            ]
            own = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
            proto.functions.append(helper.make_function("own", f"f{number}", ["v0"], [f"v{len(names)}"], called, own))
        proto.opset_import.append(helper.make_opsetid("own", 1))

    return lambda: graph([node("f0", "x", domain="own")], change=add)


def doubled() -> bytes:
    scales = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], "f4"), "s")
    return graph([helper.make_node("Resize", ["x", "", "s"], ["y"])], [scales])


def shaped() -> bytes:
    shape = onnx.numpy_helper.from_array(np.array([1, 1, 128, 128]), "s")
    return graph([node("Reshape", "x", "s")], [shape], shape=(1, 1, 128, 128), out=(1, 1, 128, 128))


def two_inputs() -> bytes:
    extra = helper.make_tensor_value_info("z", FLOAT, (1, 1, "y", "x"))
    return graph([node("Add", "x", "z")], change=lambda p: p.graph.input.append(extra))


def two_outputs() -> bytes:
    return graph([conv()], [kernel(1, 1, 3, 3)], change=lambda p: p.graph.output.append(p.graph.output[0]))


def loop() -> bytes:
    body = helper.make_graph([], "body", [], [])
    return graph([helper.make_node("Loop", ["n", ""], ["y"], body=body)])


def hidden() -> bytes:
    """An operation of a library inside of a branch."""
    out = helper.make_tensor_value_info("q", FLOAT, None)
    branch = helper.make_graph([helper.make_node("Run", [], ["q"], domain="evil")], "b", [], [out])
    return graph([helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)])


REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "weights elsewhere": (
        r"keeps weights in another file \('\.\./\.\./etc/passwd'\), which is not opened",
        lambda: graph([conv()], [kernel(1, 1, 3, 3)], change=external),
    ),
    "huge weights": ("larger than the file", lambda: graph([conv()], [kernel(1, 1, 3, 3)], change=huge)),
    "library": ("'evil.Run' of another library", lambda: graph([node("Run", "x", domain="evil")])),
    "library in a branch": ("'evil.Run' of another library", hidden),
    "loop": ("has a loop", loop),
    "random": ("draws random numbers", lambda: graph([node("RandomNormalLike", "x")])),
    "two inputs": (r"has 2 inputs \(x, z\), expected one image", two_inputs),
    "two outputs": ("has 2 outputs, expected one image", two_outputs),
    "volumes": ("takes volumes", lambda: graph([node("Relu", "x")], shape=(1, 1, "z", "y", "x"))),
    "three axes": ("arrays of 3 axes", lambda: graph([node("Relu", "x")], shape=(1, "y", "x"))),
    "unknown channels": ("how many channels", lambda: graph([node("Relu", "x")], shape=("b", "c", "y", "x"))),
    "unknown channels of a fixed size": (
        "how many channels",
        lambda: graph([node("Relu", "x")], shape=("b", "c", 128, 128)),
    ),
    "whole numbers": ("takes no floats", lambda: graph([node("Relu", "x")], dtype=onnx.TensorProto.INT32)),
    "grows without end": ("makes 1,099,511,627,776 values", grown),
    "whole image": ("more than 204 px away", attention),
    "brightest pixel": ("more than 204 px away", by_the_brightest),
    "every pair": ("memory grows faster than the image", every_pair),
    "functions without end": ("call each other", functions(["f1"], ["f0"])),
    "functions that unfold": (
        "more than 20,000 operations",
        functions(*[[f"f{k}"] * 4 for k in range(1, 12)], ["Relu"]),
    ),
    "huge window": ("reaches more than 4,096 px", lambda: graph([node("MaxPool", "x", kernel_shape=[1 << 32, 3])])),
    "twice as large": ("expected images of the same size", doubled),
    "fixed size": ("exported for 128 x 128 px alone: export it with free sides", shaped),
    "no operations": ("has no operations", lambda: graph([])),
    "no operation of ONNX": ("ONNX Runtime does not take it .*Nonsense", lambda: graph([node("Nonsense", "x")])),
    "truncated": ("truncated or damaged ONNX", lambda: small()[:-30]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_file_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    message, make = REFUSED[case]
    path = write(tmp_path / "model.onnx", make())
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path) -> None:
    content = graph([conv()], [kernel(1, 1, 3, 3)])
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for position in rng.integers(3, len(content), 3):
            damaged[position] ^= 1 << int(rng.integers(8))
        try:
            load_model(write(tmp_path / "model.onnx", bytes(damaged)))
        except ModelFileError as error:
            assert "\n" not in str(error)


def test_saved_model_with_an_unsafe_graph_is_refused_when_it_is_run(tmp_path: Path) -> None:
    """A .safetensors file may come from an enemy as well."""
    content = graph([conv()], [kernel(1, 1, 3, 3)], change=external)
    state = {"onnx": torch.frombuffer(bytearray(content), dtype=torch.uint8)}
    safe = load_model(write(tmp_path / "safe.onnx", graph([conv()], [kernel(1, 1, 3, 3)])))
    numbers = {**safe.hyperparameters, "n_bytes": len(content)}
    Model.from_state("onnx", numbers, state, NormalizationRule(), safe.card).save(tmp_path / "evil.safetensors")
    with pytest.raises(InputError, match="keeps weights in another file"):
        hush.denoise(np.random.default_rng(0).uniform(0, 1, (32, 32)), tmp_path / "evil.safetensors", guard=False)


def test_one_engine_runs_them_and_runs_nothing_else(tmp_path: Path) -> None:
    model = load_model(write(tmp_path / "a.onnx", graph([conv()], [kernel(1, 1, 3, 3)])))
    assert choose_engine(model.network).name == "onnx"
    with pytest.raises(InputError, match="engine 'onnx' alone runs it"):
        choose_engine(model.network, engine="torch")
    with pytest.raises(InputError, match="precision='auto'"):
        choose_engine(model.network, precision="bfloat16")
    with pytest.raises(InputError, match="imported ONNX networks alone"):
        choose_engine(Model.create("cnn").network, engine="onnx")
    from napari_hush.training.start import continued

    with pytest.raises(InputError, match="cannot be trained"):
        continued(model)


SCALE = {"id": "scale_range", "kwargs": {"axes": ["y", "x"], "min_percentile": 2.0, "max_percentile": 98.0}}
STANDARD = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}
FIXED = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 60.0, "std": 20.0}}
BACK = {"id": "scale_linear", "kwargs": {"gain": 20.0, "offset": 60.0}}
LIKE_INPUT = {"id": "scale_mean_variance", "kwargs": {"reference_tensor": "input"}}


def package(path: Path, before: list[Any], after: list[Any], *, old: bool = False, halo: int = 0) -> Path:
    """A package of CAREamics or CSBDeep with ONNX weights beside those of PyTorch."""
    content = small()
    foreign_state = {
        "source": "weights.pt",
        "architecture": {"callable": "UNet", "import_from": "careamics.models.unet"},
    }
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": ["c"]}, {"id": "y", "type": "space", "halo": halo}]
    described: dict[str, Any] = {
        "type": "model",
        "format_version": "0.4.10" if old else "0.5.4",
        "name": "theirs",
        "inputs": [{"name": "input", "axes": "bcyx"} if old else {"id": "input", "axes": axes}],
        "outputs": [
            {"name": "output", "axes": "bcyx", "halo": [0, 0, halo, halo]} if old else {"id": "o", "axes": axes}
        ],
        "weights": {
            "pytorch_state_dict": {"source": "weights.pt", "architecture": "unet.py:UNet"} if old else foreign_state,
            "onnx": {"source": "weights.onnx", "sha256": hashlib.sha256(content).hexdigest(), "opset_version": 18},
        },
    }
    if old:
        before, after = (
            [{"name": op["id"], "kwargs": op["kwargs"] | {"mode": "per_sample", "axes": "yx"}} for op in operations]
            for operations in (before, after)
        )
    described["inputs"][0]["preprocessing"], described["outputs"][0]["postprocessing"] = before, after
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("rdf.yaml", json.dumps(described))
        archive.writestr("weights.onnx", content)
    return write(path, buffer.getvalue())


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ([SCALE], [], NormalizationRule(low=2, high=98)),
        ([STANDARD], [LIKE_INPUT], NormalizationRule(method="standard", target=(-1, 1))),
        ([FIXED], [BACK], NormalizationRule(method="range", source=(-140, 260), target=(-10, 10))),
    ],
)
def test_package_of_others_is_run_from_its_onnx_weights(
    tmp_path: Path, before: list[Any], after: list[Any], rule: NormalizationRule, old: bool
) -> None:
    model = load_model(package(tmp_path / "theirs.zip", before, after, old=old, halo=8))
    assert (model.architecture, model.normalization, model.card.name) == ("onnx", rule, "theirs")
    assert model.halo == 8  # as stated, which is more than the 2 px that were measured
    image = np.random.default_rng(0).normal(60, 20, (64, 64))
    norm = rule.fit(lambda: [image])
    expected = norm.invert(
        trained("cnn", {"widths": (3,)}).network(torch.from_numpy(norm.apply(image))[None, None])[0, 0].numpy()
    )
    np.testing.assert_allclose(hush.denoise(image, model, guard=False), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ([SCALE], [{"id": "sigmoid", "kwargs": {}}], "postprocessing 'sigmoid' is not the way back"),
        (
            [FIXED],
            [{"id": "scale_linear", "kwargs": {"gain": 3.0}}],
            "postprocessing 'scale_linear' is not the way back",
        ),
        ([{"id": "binarize", "kwargs": {"threshold": 3}}], [], "preprocessing 'binarize'.* cannot be expressed"),
        ([SCALE, STANDARD], [], "in this order"),
        ([{"id": "scale_range", "kwargs": {"axes": ["x"]}}], [], "normalises every line by itself"),
    ],
)
def test_package_that_does_something_else_is_refused(
    tmp_path: Path, before: list[Any], after: list[Any], message: str
) -> None:
    with pytest.raises(ModelFileError, match=message):
        load_model(package(tmp_path / "theirs.zip", before, after))


def test_package_of_images_with_x_before_y_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path / "theirs.zip", [], [], old=True)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(b"bcyx", b"bcxy"))
    with pytest.raises(ModelFileError, match="x before y"):
        load_model(path)
