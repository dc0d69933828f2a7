"""Keras files that are damaged, of another network, or made to do harm: each is refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from keras_files import cnn_layers, conv, layer, make_config, tomogan_layers, write_keras
from napari_hush.errors import ModelFileError
from napari_hush.importers.registry import load_model
from napari_hush.networks.cnn import CNN
from napari_hush.networks.tomogan import TomoGAN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KERNEL = "model_weights/c0/c0/kernel:0"
SHAPE = (3, 3, 1, 3)  # of that kernel, HWIO


@pytest.fixture
def keras_file(tmp_path: Path) -> Path:
    return write_keras(tmp_path / "model.h5", CNN(widths=(3, 4)))


def assert_refused(path: Path, message: str) -> None:
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < 600
    assert path.read_bytes() == before


def replace_by_external_link(file: h5py.File, other: Path) -> None:
    file[KERNEL] = h5py.ExternalLink(str(other), "/values")


def replace_by_virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource(str(other), "values", SHAPE)
    file.create_virtual_dataset(KERNEL, layout)


def replace_by_external_storage(file: h5py.File, other: Path) -> None:
    raw = other.with_suffix(".raw")
    raw.write_bytes(np.ones(SHAPE, np.float32).tobytes())
    file.create_dataset(KERNEL, SHAPE, "f4", external=[(str(raw), 0, 108)])


def replace_by_user_defined_link(file: h5py.File, other: Path) -> None:
    file[KERNEL] = h5py.SoftLink(f"{other}:/values")


REPLACEMENTS: dict[str, tuple[str, Callable[[h5py.File, Path], Any]]] = {
    "external link": ("link to somewhere else", replace_by_external_link),
    "soft link": ("link to somewhere else", lambda f, _: f.update({KERNEL: h5py.SoftLink("/model_weights/copy")})),
    "dangling link": ("link to somewhere else", replace_by_user_defined_link),
    "virtual dataset": ("keeps its values in another file", replace_by_virtual),
    "external storage": ("keeps its values in another file", replace_by_external_storage),
    "absurd shape": (
        r"should have the shape \(3, 3, 1, 3\), got \(1099511627776,\)",
        lambda f, _: f.create_dataset(KERNEL, (1 << 40,), "f4", chunks=(1 << 20,)),
    ),
    "absurd chunks": (
        "has chunks of",
        lambda f, _: f.create_dataset(KERNEL, SHAPE, "f4", chunks=(3, 3, 1, 1 << 26), maxshape=(3, 3, 1, None)),
    ),
    "never written": ("holds 0 bytes, expected 108", lambda f, _: f.create_dataset(KERNEL, SHAPE, "f4")),
    "compressed": ("compressed", lambda f, _: f.create_dataset(KERNEL, data=np.ones(SHAPE, "f4"), compression="gzip")),
    "integers": ("bit floats", lambda f, _: f.create_dataset(KERNEL, data=np.ones(SHAPE, "i4"))),
    "texts": ("bit floats", lambda f, _: f.create_dataset(KERNEL, SHAPE, h5py.string_dtype())),
    "NaN": ("NaN or infinite", lambda f, _: f.create_dataset(KERNEL, data=np.full(SHAPE, np.nan, "f4"))),
    "too large": ("NaN or infinite", lambda f, _: f.create_dataset(KERNEL, data=np.full(SHAPE, 1e300))),
    "transposed": ("should have the shape", lambda f, _: f.create_dataset(KERNEL, data=np.ones(SHAPE[::-1], "f4"))),
    "group": ("should be a dataset", lambda f, _: f.create_group(KERNEL)),
    "committed type": ("neither a group nor a dataset", lambda f, _: f.update({KERNEL: np.dtype("f4")})),
    "nothing": ("missing", lambda _f, _o: None),
}


@pytest.mark.parametrize("case", REPLACEMENTS)
def test_bad_weights_are_refused(tmp_path: Path, keras_file: Path, case: str) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["values"] = np.ones(SHAPE, np.float32)
    message, replace = REPLACEMENTS[case]
    with h5py.File(keras_file, "r+") as file:
        file["model_weights/copy"] = file[KERNEL]
        del file[KERNEL]
        replace(file, other)
    assert_refused(keras_file, message)


@pytest.mark.parametrize("link", [h5py.SoftLink("/hidden"), h5py.ExternalLink("model.h5", "/hidden")])
def test_linked_group_is_refused(keras_file: Path, link: Any) -> None:
    with h5py.File(keras_file, "r+") as file:
        file.move("model_weights/c0", "hidden")
        file["model_weights/c0"] = link
    assert_refused(keras_file, "link to somewhere else")


@pytest.mark.parametrize("name", ["c0//kernel:0", "/model_weights/c0/c0/kernel:0", "./c0/kernel:0", "c0/../kernel:0"])
def test_crooked_weight_name_is_refused(keras_file: Path, name: str) -> None:
    with h5py.File(keras_file, "r+") as file:
        file["model_weights/c0"].attrs["weight_names"] = [name, "c0/bias:0"]
    assert_refused(keras_file, "missing")


def test_group_that_holds_itself_is_refused(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        file["model_weights/c0/again"] = file["model_weights"]
        file["model_weights/c0/and_again"] = file["model_weights"]
    assert_refused(keras_file, "more than 1000 objects")


def test_unexplained_weights_are_refused(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        file["model_weights/batch_normalization/gamma:0"] = np.ones(3, np.float32)
    assert_refused(keras_file, "no layer explains.*batch_normalization/gamma:0")


def test_a_name_that_is_no_text_is_refused(keras_file: Path) -> None:
    with h5py.File(keras_file, "a") as file:
        h5py.h5g.create(file["model_weights"].id, b"\xff\xfe")
    assert_refused(keras_file, "is no text")


def test_third_weight_of_a_layer_is_refused(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        group = file["model_weights/c0"]
        group.attrs["weight_names"] = [b"c0/kernel:0", b"c0/bias:0", b"c0/scale:0"]
    assert_refused(keras_file, "expected a kernel and a bias")


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.7, 0.99])
def test_truncated_file_is_refused(keras_file: Path, fraction: float) -> None:
    content = keras_file.read_bytes()
    keras_file.write_bytes(content[: int(fraction * len(content))])
    assert_refused(keras_file, "truncated or damaged HDF5 file")


def test_heap_that_the_library_would_loop_in_is_refused(keras_file: Path) -> None:
    content = bytearray(keras_file.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes(16)  # the first text becomes a free rest of no length
    keras_file.write_bytes(content)
    assert_refused(keras_file, "heap of texts at byte 2048 is malformed")


def test_flipped_bytes_never_escape_as_another_error(keras_file: Path) -> None:
    content = keras_file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.integers(8, len(content), 20):
            damaged[position] ^= 1 << int(rng.integers(8))
        keras_file.write_bytes(damaged)
        try:
            load_model(keras_file)
        except ModelFileError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the JSON"),
        ("{", "not the JSON"),
        ("[" * 200_000, "not the JSON"),
        ("1" * 5_000, "not the JSON"),
        ("[]", "describes a None"),
        ("{}", "describes a None"),
        ('{"class_name": "Lambda"}', "describes a Lambda"),
        ('{"class_name": "Sequential", "config": []}', "describes a Sequential"),
        ('{"class_name": "Sequential", "config": [{}, {}]}', "describes a Sequential"),
        ('{"class_name": "Model", "config": {"layers": 3}}', "describes a Model"),
        (" " * (17 << 20), "more than 16,777,216 bytes"),
    ],
)
def test_bad_model_config_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert_refused(write_keras(tmp_path / "model.h5", CNN(widths=(3,)), text), message)


@pytest.mark.parametrize("value", [None, 3, np.zeros(4), h5py.Empty("S10"), b"\xff\xfe"])
def test_model_config_that_is_no_text_is_refused(keras_file: Path, value: Any) -> None:
    with h5py.File(keras_file, "r+") as file:
        del file.attrs["model_config"]
        if value is not None:
            file.attrs["model_config"] = value
    assert_refused(keras_file, r"model_config|truncated or damaged")


CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "activation": ("expected activation one of linear, relu6.*got my_own", {"activation": "my_own"}),
    "activation object": ("expected activation", {"activation": {"class_name": "Custom"}}),
    "strides": ("1/2 times the image's size along Y", {"strides": [2, 2]}),
    "absurd strides": ("stride is 4096", {"strides": [4096, 4096]}),
    "padding": ("2 px shorter than the image along Y", {"padding": "valid"}),
    "no padding": ("expected padding same or valid, got causal", {"padding": "causal"}),
    "bias": (r"layer 'c1': expected a kernel, got \['c1/kernel:0', 'c1/bias:0'\]", {"use_bias": False}),
    "channels first": ("expected data_format", {"data_format": "channels_first"}),
    "even kernel": (r"should have the shape \(4, 4, 3, 4\)", {"kernel_size": [4, 4]}),
    "absurd kernel": ("expected kernel_size at most 31", {"kernel_size": [33, 3]}),
    "absurd dilation": ("expected a whole number from 1 to 4096", {"kernel_size": [31, 3], "dilation_rate": [4096, 1]}),
    "no kernel": ("kernel_size of two positive integers", {"kernel_size": None}),
    "absurd filters": ("expected filters from 1 to 4096", {"filters": 10**9}),
    "no filters": ("expected filters from 1 to 4096", {"filters": 0}),
    "groups that do not fit": ("2 groups of 3 channels", {"groups": 2}),
    "more than the file holds": ("smaller than the weights", {"filters": 4096}),
    "other filters": ("should have the shape", {"filters": 5}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_other_convolution_is_refused(tmp_path: Path, case: str) -> None:
    message, change = CHANGES[case]
    network = CNN(widths=(3, 4))
    layers = cnn_layers(network)
    layers[2]["config"].update(change)
    assert_refused(write_keras(tmp_path / "model.h5", network, make_config(layers)), message)


def change_graph(case: str) -> dict[str, Any]:
    layers = tomogan_layers()
    if case == "sums of what differs":
        layers[13]["inbound_nodes"][0].append(["stem", 0, 0, {}])
    elif case == "wider":
        layers[5]["config"]["filters"] = 48
    elif case == "grows without end":
        layers[1:] = [layer("UpSampling2D", f"u{n}", f"u{n - 1}" if n else "input_1", size=[2, 2]) for n in range(64)]
    elif case == "doubles its channels":
        layers[1:] = [layer("Concatenate", f"u{n}", *[f"u{n - 1}" if n else "input_1"] * 2) for n in range(64)]
    elif case == "too many layers":
        layers[1:] = [layer("ReLU", f"u{n}", f"u{n - 1}" if n else "input_1") for n in range(600)]
    elif case == "volumes":
        layers[0]["config"]["batch_input_shape"] = [None, None, None, None, 1]
    elif case == "cubic":
        layers[12]["config"]["interpolation"] = "bicubic"
    elif case == "longer":
        layers.append(conv("more", "out", 1))
    elif case == "code":
        layers.insert(1, layer("Lambda", "lambda", "input_1", function=["code", None, None]))
    elif case == "cycle":
        layers[1]["inbound_nodes"] = [[["out", 0, 0, {}]]]
    elif case == "code as activation":
        layers[2]["config"]["activation"] = {"class_name": "function", "config": "evil", "module": "builtins"}
    elif case == "passes more":
        layers[2]["inbound_nodes"][0][0][3] = {"mask": "evil"}
    elif case == "same name":
        layers[2]["config"]["name"] = "stem"
    elif case == "no input shape":
        del layers[0]["config"]["batch_input_shape"]
    config = make_config(layers)
    if case == "two outputs":
        config["config"]["output_layers"] *= 2
    return config


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("sums of what differs", "brings together what differs in size"),
        ("wider", r"enc10.* should have the shape \(3, 3, 32, 48\), got \(3, 3, 32, 64\)"),
        ("grows without end", "more than 16 times as large as the image"),
        ("doubles its channels", "channels is 65536, expected a whole number from 1 to 32768"),
        ("too many layers", "at most 500 items"),
        ("volumes", "takes volumes"),
        ("cubic", "expected interpolation nearest or bilinear, got bicubic"),
        ("longer", "'more' is missing"),
        ("code", "is a Lambda, which is code of its own, expected one of"),
        ("code as activation", "expected activation one of"),
        ("cycle", r"layer 'stem' is fed by \['out'\], which nothing gives"),
        ("passes more", "connected in an unknown way"),
        ("same name", "two layers of one name"),
        ("no input shape", "expected an input of"),
        ("two outputs", "a network of 2 outputs, expected one image"),
    ],
)
def test_other_graph_is_refused(tmp_path: Path, case: str, message: str) -> None:
    assert_refused(write_keras(tmp_path / "model.h5", TomoGAN(), change_graph(case)), message)


def test_weights_alone_are_refused(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        del file.attrs["model_config"]
    assert_refused(keras_file, r"no attribute 'model_config'.*model\.save")
