"""Formats that RosettaSciIO reads: which axes are Y and X, and what is no image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image
from napari_hush.io.foreign import FOREIGN
from napari_hush.io.formats.rosettasciio import MODULES, read_rosettasciio
from napari_hush.io.formats.signal_axes import Axis, NoImageError, image_axes
from napari_hush.io.sniff import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("rsciio")
IMAGE = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)


def ripple(path: Path, data: np.ndarray, **more: Any) -> None:
    depth, (height, width) = (1 if data.ndim == 2 else len(data)), data.shape[-2:]
    lines = {"key": "value", "width": width, "height": height, "depth": depth, "offset": 0, "data-length": 2}
    lines |= {"data-type": "unsigned", "byte-order": "little-endian", "record-by": "dont-care", **more}
    path.write_text("".join(f"{key}\t{value}\n" for key, value in lines.items()))
    path.with_suffix(".raw").write_bytes(data.astype("<u2").tobytes())


def test_ripple(tmp_path: Path) -> None:
    scale = {"width-scale": 0.02, "width-units": "nm", "height-scale": 0.04, "height-units": "nm"}
    ripple(tmp_path / "a.rpl", IMAGE, **scale)
    image = read_image(tmp_path / "a.rpl")
    assert image.axes == "YX" and (image.data == IMAGE).all() and type(image.data) is np.ndarray
    assert image.pixel_size_in("nm") == (0.04, 0.02)
    ripple(tmp_path / "a.rpl", np.stack([IMAGE, IMAGE]), **{"record-by": "vector"})
    with pytest.raises(FileFormatError, match="spectra"):
        read_image(tmp_path / "a.rpl")
    (tmp_path / "a.raw").unlink()
    os.mkfifo(tmp_path / "a.raw")
    with pytest.raises(FileFormatError, match="put a plain file there"):
        read_image(tmp_path / "a.rpl")


def test_links_beside_a_file_that_is_read_alone_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "1.ser").write_bytes(b"II\x97\x01" + bytes(100))
    (tmp_path / "2.ser").symlink_to(tmp_path / "elsewhere.ser")
    with pytest.raises(FileFormatError, match=r"1\.ser: truncated, damaged"):
        read_image(tmp_path / "1.ser")


def test_each_format_has_an_ending() -> None:
    assert set(MODULES) <= set(SUFFIXES.values())


def signal(shape: tuple[int, ...], axes: str, dtype: Any = np.uint16, **metadata: str) -> dict[str, Any]:
    """A signal of RosettaSciIO; small letters are axes along which images follow each other."""
    entries = [
        {"name": letter.lower(), "units": "nm", "scale": 2.0, "navigate": letter.islower(), "size": size}
        for letter, size in zip(axes, shape, strict=True)
    ]
    return {"data": np.zeros(shape, dtype), "axes": entries, "metadata": {"Signal": metadata}}


def read(signals: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selector: Any = None) -> Any:
    monkeypatch.setattr("rsciio.digitalmicrograph.file_reader", lambda path: signals)
    return read_rosettasciio("rsciio.digitalmicrograph", tmp_path / "a.dm4", selector)


def test_the_axes_of_the_image_are_those_that_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = read([signal((5, 12, 20), "xYX")], tmp_path, monkeypatch)  # a line of images
    assert image.axes == "QYX" and image.pixel_size_in("nm") == (2.0, 2.0)
    image = read([signal((5, 12, 20), "zYX")], tmp_path, monkeypatch)
    assert image.axes == "ZYX" and image.scales["Z"] == (2.0, "nm")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (signal((5, 6, 40), "yxE"), "spectra"),
        (signal((5, 6, 12, 20), "yxYX"), "diffraction pattern at each place"),
        (signal((5, 40), "YX", signal_type="EELS"), "spectra"),
        (signal((40,), "E"), "single line"),
    ],
)
def test_what_is_no_image_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FileFormatError, match=f"no image with the axes Y and X, but.*{reason}"):
        read([found], tmp_path, monkeypatch)
    image = read([found, signal((12, 20), "YX")], tmp_path, monkeypatch)
    assert image.axes == "YX"


def test_colours_lose_what_only_fills_them_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = signal((12, 20), "YX", [(name, np.uint8) for name in "RGBA"])
    found["data"]["G"] = IMAGE
    image = read([found], tmp_path, monkeypatch)
    assert image.axes == "YXC" and image.shape == (12, 20, 3) and (image.data[..., 1] == IMAGE).all()


def test_several_images_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"2 images; choose one: a\.dm4:0 \(12, 20\), a\.dm4:1 \(6, 10\)"):
        read([signal((12, 20), "YX"), signal((6, 10), "YX")], tmp_path, monkeypatch)
    image = read([signal((12, 20), "YX"), signal((6, 10), "YX")], tmp_path, monkeypatch, "1")
    assert image.shape == (6, 10)


@pytest.mark.parametrize(
    ("unit", "plain"),
    [
        ("[n_m]", "nm"),
        ("1 / nm", "1/nm"),
        ("[n_m^-1]", "1/nm"),
        ("A^-1", "1/Å"),
        ("A", "Å"),
        ("um", "µm"),
        ("", "pixel"),
    ],
)
def test_units_have_one_spelling(unit: str, plain: str) -> None:
    assert Axis(unit=unit).plain_unit == plain


@pytest.mark.parametrize("suffix", sorted(FOREIGN))
def test_known_formats_that_are_not_read_are_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"IMGBLO\x02\x01" + bytes(2000))
    with pytest.raises(FileFormatError, match=r"export|unpack|give|save|convert"):
        read_image(tmp_path / f"a{suffix}")


def test_patterns_of_a_camera_keep_their_unit() -> None:
    patterns = [Axis("time", "s", 1.0, False), Axis("dy", "1/nm", 0.1, True), Axis("dx", "1/nm", 0.1, True)]
    assert image_axes(patterns) == ("TYX", {"T": (1.0, "s"), "Y": (0.1, "1/nm"), "X": (0.1, "1/nm")})
    with pytest.raises(NoImageError, match="single value"):
        image_axes([])
