"""Light microscopes' own formats: CZI, LIF and ND2."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image
from napari_hush.io.foreign import INSIDE_TIFF
from napari_hush.io.formats.nikon import WholeFile

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 999, (2, 3, 20, 30)).astype(np.uint16)


def czi(path: Path, scenes: int = 1) -> None:
    library = pytest.importorskip("pylibCZIrw.czi")
    with library.create_czi(str(path)) as file:
        for scene in range(scenes):
            for c, channel in enumerate(STACK):
                for t, plane in enumerate(channel):
                    where = {"C": c, "T": t}
                    file.write(data=(plane + scene)[..., None], plane=where, scene=scene, location=(200 * scene, 0))
        file.write_metadata("a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=1e-7, scale_y=2e-7)


def test_czi_has_axes_sizes_and_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.czi"
    czi(path)
    image = read_image(path)
    assert image.axes == "TCYX" and (image.data == STACK.swapaxes(0, 1)).all()
    assert image.scales == {"Y": (pytest.approx(0.2), "µm"), "X": (pytest.approx(0.1), "µm")}
    assert [one.name for one in image.metadata.channels] == ["DAPI", "GFP"]
    monkeypatch.setattr("napari_hush.io.formats.planes.LAZY_ABOVE", 100)
    lazy = read_image(path).data
    assert not isinstance(lazy, np.ndarray) and (lazy[1:, 0, 3, ::2] == STACK[0, 1:, 3, ::2]).all()


def test_scenes_of_a_czi_are_listed(tmp_path: Path) -> None:
    czi(tmp_path / "a.czi", scenes=2)
    with pytest.raises(InputError, match=r"holds 2 images; choose one: a\.czi:0 \(20, 30\), a\.czi:1"):
        read_image(tmp_path / "a.czi")
    assert (read_image(f"{tmp_path / 'a.czi'}:1").data == STACK.swapaxes(0, 1) + 1).all()


def test_planes_that_a_czi_lacks_are_told(tmp_path: Path) -> None:
    library = pytest.importorskip("pylibCZIrw.czi")
    with library.create_czi(str(tmp_path / "a.czi")) as file:
        for place in ((0, 0), (0, 1), (1, 0)):
            file.write(data=STACK[0, 0][..., None], plane={"C": place[0], "T": place[1]})
    with pytest.warns(UserWarning, match="1 of its 4 planes were not recorded and are read as 0"):
        image = read_image(tmp_path / "a.czi")
    assert (image.data[0, 1] == STACK[0, 0]).all() and (image.data[1, 1] == 0).all()


def test_colours_of_a_czi_are_red_green_blue(tmp_path: Path) -> None:
    library = pytest.importorskip("pylibCZIrw.czi")
    colours = np.random.default_rng(0).integers(0, 99, (20, 30, 3)).astype(np.uint8)
    with library.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(data=colours[..., ::-1].copy(), plane={"C": 0})
    image = read_image(tmp_path / "a.czi")
    assert image.axes == "YXC" and (image.data == colours).all()


def lif(path: Path, images: dict[str, np.ndarray], cut: int = 0) -> None:
    """A LIF of images (C, Z, Y, X) of 0.1 µm, slices 0.5 µm apart."""
    elements, blocks = "", b""
    for number, (name, data) in enumerate(images.items()):
        size, (channels, slices, rows, columns) = data.itemsize, data.shape
        strides = {"1": size, "2": size * columns, "3": size * columns * rows}
        counts = {"1": columns, "2": rows, "3": slices}
        dimensions = "".join(
            f'<DimensionDescription DimID="{one}" NumberOfElements="{counts[one]}" Origin="0" Unit="m" BitInc="0" '
            f'Length="{(counts[one] - 1) * step}" BytesInc="{strides[one]}"/>'
            for one, step in (("1", 1e-7), ("2", 1e-7), ("3", 5e-7))
        )
        described = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
            f'Max="1" Unit="" LUTName="{lut}" IsLUTInverted="0" BytesInc="{k * data[0].nbytes}" BitInc="0"/>'
            for k, lut in zip(range(channels), ("Green", "Red"), strict=False)
        )
        elements += (
            f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>{described}</Channels><Dimensions>'
            f'{dimensions}</Dimensions></ImageDescription></Image></Data><Memory Size="{data.nbytes}" '
            f'MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        label = f"MemBlock_{number}"
        blocks += struct.pack("<IIBQBI", 0x70, 0, 0x2A, data.nbytes, 0x2A, len(label)) + label.encode("utf-16-le")
        blocks += data.tobytes()
    xml = f'<LMSDataContainerHeader Version="2"><Element Name="a"><Children>{elements}</Children></Element>'
    xml += "</LMSDataContainerHeader>"
    head = struct.pack("<IIBI", 0x70, 2 * len(xml) + 5, 0x2A, len(xml)) + xml.encode("utf-16-le")
    path.write_bytes((head + blocks)[: -cut or None])


def test_images_of_a_lif_are_listed_with_their_steps(tmp_path: Path) -> None:
    pytest.importorskip("liffile")
    path = tmp_path / "a.lif"
    lif(path, {"Series1": STACK})
    image = read_image(path)
    assert image.axes == "CZYX" and (image.data == STACK).all()
    assert image.scales["Z"] == (pytest.approx(0.5), "µm") and image.pixel_size_in("µm") == (0.1, 0.1)
    assert [one.colour for one in image.metadata.channels] == [(0, 255, 0), (255, 0, 0)]
    lif(path, {"Series1": STACK, "Series2": STACK[:1, :1] + 1})
    with pytest.raises(InputError, match=r"holds 2 images; choose one: a\.lif:0 Series1 \(2, 3, 20, 30\), .*Series2"):
        read_image(path)
    for selector in ("1", "Series2"):
        image = read_image(f"{path}:{selector}")
        assert image.axes == "YX" and (image.data == STACK[0, 0] + 1).all() and image.metadata.name == "Series2"


def test_a_large_lif_stays_on_disk_and_a_cut_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("liffile")
    lif(tmp_path / "a.lif", {"Series1": STACK})
    monkeypatch.setattr("napari_hush.io.formats.file_array.EAGER_BELOW", 100)
    data = read_image(tmp_path / "a.lif").data
    assert not isinstance(data, np.ndarray) and (data[1, :, 3] == STACK[1, :, 3]).all()
    lif(tmp_path / "a.lif", {"Series1": STACK}, cut=10)
    with pytest.raises(FileFormatError, match=r"a\.lif"):
        read_image(tmp_path / "a.lif")


class Nd2:
    """What nd2 gives of a file: it cannot write any."""

    def __init__(self, positions: int) -> None:
        from types import SimpleNamespace as Some

        self.sizes = {"T": 3, "P": positions, "C": 2, "Y": 20, "X": 30}
        self.dtype, self.closed = STACK.dtype, False
        points = [Some(name=f"well {k}") for k in range(positions)]
        self.experiment = [
            Some(type="TimeLoop", parameters=Some(periodMs=500.0)),
            Some(type="XYPosLoop", parameters=Some(points=points)),
        ]
        volume = Some(axesCalibrated=(True, True, False))
        colours = [Some(r=0, g=255, b=0), Some(r=255, g=0, b=0)]
        channels = [
            Some(volume=volume, channel=Some(name=name, color=colour))
            for name, colour in zip(("GFP", "RFP"), colours, strict=True)
        ]
        self.metadata = Some(channels=channels)
        self.loop_indices = tuple({"T": t, "P": p} for t in range(3) for p in range(positions))

    def voxel_size(self) -> Any:
        from types import SimpleNamespace as Some

        return Some(x=0.1, y=0.1, z=1.0)

    def read_frame(self, number: int) -> np.ndarray:
        place = self.loop_indices[number]
        return STACK[:, place["T"]] + place["P"]

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("positions", [1, 2])
def test_positions_of_an_nd2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, positions: int) -> None:
    library = pytest.importorskip("nd2")
    path, file = tmp_path / "a.nd2", Nd2(positions)
    path.write_bytes(b"\xda\xce\xbe\x0a" + bytes(10_000))
    with pytest.raises(FileFormatError, match="damaged"):
        read_image(path)
    monkeypatch.setattr(library, "ND2File", lambda path: file)
    if positions > 1:
        with pytest.raises(InputError, match=r"a\.nd2:0 well 0 \(3, 2, 20, 30\), a\.nd2:1 well 1"):
            read_image(path)
    image = read_image(f"{path}:well 1" if positions > 1 else path)
    assert image.axes == "TCYX" and (image.data == STACK.swapaxes(0, 1) + positions - 1).all() and file.closed
    assert image.scales == {"T": (500, "ms"), "Y": (0.1, "µm"), "X": (0.1, "µm")}
    assert [(one.name, one.colour) for one in image.metadata.channels] == [("GFP", (0, 255, 0)), ("RFP", (255, 0, 0))]


def test_what_lies_behind_the_end_of_a_file_is_no_zeros(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(100)))
    file = WholeFile(tmp_path / "a")
    assert file.seek(-5, 2) == 95 and file.read(3) == bytes([95, 96, 97]) and file.read() == bytes([98, 99])
    file.seek(90)
    with pytest.raises(FileFormatError, match="behind its end"):
        file.read(11)
    file.close()
    assert file.closed


@pytest.mark.parametrize(
    ("name", "head", "module", "words"),
    [
        ("a.czi", b"ZISRAWFILE", "pylibCZIrw.czi", "Zeiss CZI.*export OME-TIFF in ZEN"),
        ("a.lif", b"\x70\0\0\0\xff\0\0\0\x2a", "liffile", "Leica LIF.*export OME-TIFF in LAS X"),
        ("a.nd2", b"\xda\xce\xbe\x0a", "nd2", "Nikon ND2.*export OME-TIFF in NIS-Elements"),
    ],
)
def test_without_the_extra_the_way_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: bytes, module: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for file in (tmp_path / name, tmp_path / "unnamed"):
        file.write_bytes(head + bytes(2000))
        with pytest.raises(InputError, match=rf"{words}") as caught:
            read_image(file)
        assert "pip install 'napari-hush[light]'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("a", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Olympus OIB, AxioVision"),
        ("a.oir", b"OLYMPUSRAWFORMAT", "Olympus OIR.*OME-TIFF"),
        ("a", b"SIMPLE  =", "FITS"),
        ("a", b"NRRD0004", "NRRD"),
        ("a.mp4", b"\0\0\0\x20ftypisom", "film"),
        *((f"a{suffix}", b"II*\0\x08\0\0\0", "VSI|raw file") for suffix in INSIDE_TIFF),
    ],
)
def test_foreign_formats_are_named(tmp_path: Path, name: str, head: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(head + bytes(2000))
    with pytest.raises(FileFormatError, match=words):
        read_image(tmp_path / name)
