"""Data sets: what cannot be used is refused in words, before anything is written over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_hush import InputError
from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.materials import Materials, make_materials, read_plane
from napari_hush.datasets.records import read_settings
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.datasets.synthesize import synthesize
from napari_hush.io import write_image
from napari_hush.synthesis import Lattice, render_lattice

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {"n": 2, "shape": (32, 40), "test_share": 0.5, "period": (6, 12), "seed": 3}
CROP = render_lattice(Lattice(kind="square", period=9.1, angle=11), (32, 32), 0).image
OWN = Materials(crop=CROP)  # one for all: its cell is fitted once
NAN = np.where(np.arange(32) == 5, np.nan, CROP)


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "foams"}, "kind must be one of lattice"),
        ({"layout": "pairs"}, "layout must be one of paired"),
        ({"n": 0}, "n must be a whole number from 1"),
        ({"n": 2.5}, "n must be a whole number from 1"),
        ({"n": True}, "n must be a whole number from 1"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"workers": 0}, "workers must be a whole number from 1"),
        ({"shape": (8, 64)}, "shape must be a whole number from 16"),
        ({"shape": 64}, "shape must be two numbers"),
        ({"shape": (64, 64, 3)}, "shape must be two numbers"),
        ({"dose": (20, 2)}, "dose must be the lowest and the highest value"),
        ({"dose": (0, 2)}, "dose must be a number from 0.001"),
        ({"period": (2, 9)}, "period must be a number from 3"),
        ({"rescale_to": 12}, "rescale_to must be two numbers"),
        ({"rescale_to": (12, 8)}, "rescale_to must be the lowest and the highest value"),
        ({"rescale_to": (12, 12), "kind": "foam"}, "rescale_to goes with the kind lattice, not with foam"),
        ({"rescale_to": (12, 60), "shape": (32, 32)}, "need fields of 3 to 112 px, which must be from 16"),
        ({"angles": (4.5, 9)}, "angles must be a whole number"),
        ({"magnification": "20"}, "magnification must be a number"),
        ({"test_share": float("nan")}, "test_share must be a number"),
        ({"test_share": 1}, "no image is left to train on"),
        ({"layout": "hdf5", "kind": "tissue"}, "grey images only"),
        ({"noises": "poisson"}, "noises must be a list"),
        ({"noises": [{"name": "poison"}]}, "unknown noise 'poison'"),
        ({"noises": [len]}, "has no name in NOISES"),
        ({"sed": 1}, "unknown setting 'sed': expected kind, n, shape"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        synthesize(wrong, tmp_path / "data")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("published", {}, r"needs a unit crop and at least one noisy image for a mask: give both, --crop and --dents"),
        ("published", {"crop": CROP}, "needs a unit crop and at least one noisy image"),
        ("published", {"images": [CROP]}, "needs a unit crop and at least one noisy image"),
        ("foam", {"crop": CROP}, "kind foam takes nothing from images: leave out the crop and the dents"),
        ("cells", {"images": [CROP]}, "kind cells takes nothing from images"),
        ("lattice", {"crop": NAN}, "crop has values that are not finite; crop them off or fill them"),
        ("lattice", {"crop": np.ones((32, 32))}, "crop"),
        (
            "lattice",
            {"crop": np.stack([CROP] * 3)},
            r"crop must be one plane \(Y, X\) of numbers; got float32 of shape",
        ),
        ("lattice", {"crop": CROP.astype(complex)}, "crop must be one plane"),
        ("lattice", {"images": [NAN]}, "dents, image 1 of 1: "),
    ],
)
def test_wrong_materials(kind: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Drawer(SynthesisSettings(kind=kind), make_materials(kind, **given))


def test_materials_check_themselves() -> None:
    mask = np.ones((20, 20))
    for wrong, words in (
        ({"masks": (mask,)}, "one positive number of px per mask"),
        ({"masks": (mask,), "mask_periods": (0,)}, "one positive number of px per mask"),
        ({"masks": (mask, mask * np.inf), "mask_periods": (8, 8)}, "mask 1 has values that are not finite"),
        ({"crop": NAN}, "crop has values that are not finite"),
    ):
        with pytest.raises(InputError, match=words):
            Materials(**wrong)
    with pytest.raises(InputError, match="takes nothing from images"):
        Drawer(SynthesisSettings(kind="foam"), Materials(crop=CROP))


def test_a_field_too_small_for_its_atoms_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    materials = make_materials("published", crop=CROP, images=[CROP])
    settings = {"kind": "published", "n": 1, "shape": (64, 64), "magnification": 4}
    with pytest.raises(InputError, match="larger image or fewer atoms"):
        synthesize(settings, tmp_path / "data", materials=materials)
    assert not list(tmp_path.iterdir())


def test_another_data_set_is_not_touched(tmp_path: Path) -> None:
    out = synthesize(SMALL, tmp_path / "data", materials=OWN)
    before = contents(out)
    with pytest.raises(InputError, match=r"another data set is there \(seed is 3, not 4; see .*settings.toml"):
        synthesize(SMALL | {"seed": 4}, out, materials=OWN)
    for other in (None, Materials(masks=(CROP,), mask_periods=(9.1,))):
        with pytest.raises(InputError, match="its unit crop or dents are others"):
            synthesize(SMALL, out, materials=other)
    assert contents(out) == before
    synthesize(SMALL | {"workers": 2}, out, materials=OWN)


def test_an_edited_crop_is_refused(tmp_path: Path) -> None:
    for layout, folder in (("paired", "data/materials"), ("hdf5", "data-materials")):
        out = tmp_path / ("data.h5" if layout == "hdf5" else "data")
        settings = SMALL | {"layout": layout}
        synthesize(settings, out, materials=OWN)
        old = (tmp_path / folder / "crop.tif").read_bytes()
        write_image(tmp_path / folder / "crop.tif", CROP * 2)
        with pytest.raises(InputError, match="were changed since; put the old ones back"):
            synthesize(settings, out, materials=OWN)
        (tmp_path / folder / "crop.tif").unlink()
        with pytest.raises(InputError, match=r"crop.tif: no such file"):
            synthesize(settings, out, materials=OWN)
        (tmp_path / folder / "crop.tif").write_bytes(old)
        synthesize(settings, out, materials=OWN)


def test_an_image_in_the_place_of_the_crop_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "materials" / "crop.tif"
    path.parent.mkdir(parents=True)
    write_image(path, 2 * CROP)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"crop.tif: is in the way"):
        synthesize(SMALL, tmp_path / "data", materials=OWN)
    assert path.read_bytes() == before
    write_image(path, CROP)
    synthesize(SMALL, tmp_path / "data", materials=OWN)  # as left by a run that was killed early


def test_another_hdf5_is_not_touched(tmp_path: Path) -> None:
    settings = SMALL | {"layout": "hdf5"}
    out = synthesize(settings, tmp_path / "data.h5", materials=OWN)
    out.with_suffix(".toml").unlink()
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["mine"] = 1
    (tmp_path / "text.h5.part").write_text("not an HDF5 file")
    before = contents(tmp_path)
    for name, words in (
        ("data", "seed is 3, not 4; its unit crop or dents are others"),
        ("mine", "was not written by napari-hush"),
        ("text", "not an HDF5 file"),
    ):
        with pytest.raises(InputError, match=words):
            synthesize(settings | {"seed": 4}, tmp_path / f"{name}.h5")
    assert contents(tmp_path) == before


def test_wrong_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    for layout, name, words in (
        ("paired", "file", "is a file"),
        ("paired", "folder", "holds other files, such as mine.txt"),
        ("unpaired", "data.h5", "choose layout hdf5"),
        ("hdf5", "data", "ends in .h5"),
        ("hdf5", "folder.h5", "is a folder; name a file in it"),
    ):
        with pytest.raises(InputError, match=words):
            synthesize(SMALL | {"layout": layout}, tmp_path / name)
    assert len(contents(tmp_path)) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n = [", r"my.toml: not a TOML file"),
        ("n = -1", r"my.toml: n must be a whole number"),
        ("number = 1", r"my.toml: unknown setting 'number'"),
        ("[materials]\ncrops = 'a.tif'", r"unknown entry 'crops' of \[materials\]"),
        ("[materials]\ncrop = 'a.tif'", r"a.tif: no such file"),
        ("[materials]\ncrop = 'stack.tif'", r"stack.tif: expected one plane \(Y, X\)"),
        ("[materials]\ncrop = 'nan.tif'", r"nan.tif has values that are not finite"),
        ("[materials]\nmasks = ['crop.tif']", "one positive number of px per mask"),
        ("[materials]\nmasks = 'crop.tif'", "masks and mask_periods must be lists"),
        ("[materials]\nmasks = ['crop.tif']\nmask_periods = ['wide']", "one positive number of px per mask"),
        ("[materials]\ncrop = 'crop.tif'\nsha256 = 'abc'", "were changed since"),
        ("materials = 3", r"\[materials\] must be a table"),
    ],
)
def test_wrong_settings_files(text: str, words: str, tmp_path: Path) -> None:
    write_image(tmp_path / "crop.tif", CROP)
    write_image(tmp_path / "nan.tif", NAN)
    write_image(tmp_path / "stack.tif", np.stack([CROP] * 2))
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_settings(tmp_path / "my.toml")


def test_a_plane_with_empty_axes_is_one(tmp_path: Path) -> None:
    write_image(tmp_path / "crop.tif", CROP[None], axes="ZYX")
    np.testing.assert_array_equal(read_plane(tmp_path / "crop.tif"), CROP)
