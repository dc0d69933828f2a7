"""No output takes the place of an input, of another output, or of an older file that nobody gave up."""

from __future__ import annotations

import os

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.io import write_image
from napari_hush.io.outputs import actual_place, check_outputs, same_place

IMAGE = np.arange(64.0, dtype=np.float32).reshape(8, 8)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "a.h5", "a.npz"):
        write_image(name, IMAGE)
    write_image("a.zarr", IMAGE, pixel_size=0.1)  # a group with the array a.zarr/0
    (tmp_path / "scans").mkdir()
    write_image("scans/1.tif", IMAGE)
    os.link("a.tif", "hard.tif")
    os.symlink("a.tif", "soft.tif")
    os.symlink("scans", "elsewhere")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("a.tif", "a.tif"),
        ("a.tif:0", "a.tif"),
        ("a.h5:/data", "a.h5"),
        ("a.npz:data", "a.npz"),
        ("a.zarr", "a.zarr/"),
        ("a.zarr:/0", "a.zarr"),
        ("a.zarr/0", "a.zarr"),
        ("a.zarr", "a.zarr/0"),
        ("a.zarr", "a.zarr/new.tif"),
        ("a.tif", "hard.tif"),
        ("hard.tif", "soft.tif"),
        ("soft.tif", "a.tif"),
        ("a.tif", "scans/../a.tif"),
        ("scans/1.tif", "elsewhere/1.tif"),
        ("scans", "scans/1.tif"),
        ("scans/*.tif", "elsewhere/1.tif"),
        ("scans/1.tif", "scans"),
        ("a.zarr/0/zarr.json", "a.zarr"),
    ],
)
def test_output_that_is_an_input_is_refused(desk, source, output):
    with pytest.raises(InputError, match="would replace the input"):
        check_outputs([desk / output], [source], overwrite=True)


@pytest.mark.parametrize("other", ["new.tif", "./new.tif", "scans/../new.tif", "elsewhere/../new.tif"])
def test_two_outputs_of_one_name_are_refused(desk, other):
    with pytest.raises(InputError, match="two outputs"):
        check_outputs([desk / "new.tif", desk / other], ["a.tif"])


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "soft.tif", "scans"])
def test_older_file_is_replaced_only_where_asked_for(desk, name):
    with pytest.raises(InputError, match="--overwrite"):
        check_outputs([desk / name], [])
    check_outputs([desk / name], [], overwrite=True)
    check_outputs([desk / name], [], own=[desk / name])


def test_new_names_are_free(desk):
    (desk / "empty.zarr").mkdir()
    check_outputs([desk / "new.tif", desk / "empty.zarr", desk / "scans" / "2.tif"], ["a.tif", "scans"])


def test_broken_link_counts_as_there(desk):
    os.symlink("nowhere.tif", "broken.tif")
    with pytest.raises(InputError, match="is there already"):
        check_outputs([desk / "broken.tif"], [])


def test_names_that_differ_in_case_are_one_where_the_disk_says_so(desk, monkeypatch):
    assert not same_place("new.tif", "NEW.tif")
    monkeypatch.setattr("napari_hush.io.outputs._ignores_case", lambda _: True)
    assert same_place("new.tif", "NEW.tif")
    with pytest.raises(InputError, match="two outputs"):
        check_outputs([desk / "größe.tif", desk / "Gro\u0308ße.tif"], [])  # composed and decomposed


def test_zarr_is_known_from_inside(desk):
    assert actual_place("a.zarr/0") == actual_place("a.zarr:/0") == (desk / "a.zarr").resolve()
