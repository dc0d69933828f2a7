"""Names and patterns as users type them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.io import expand_inputs, is_image, write_image
from napari_hush.io.inputs import split_selector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("scan10.tif", "scan2.tif", "Scan1.tif", "odd[1].tif", "b.h5"):
        write_image(tmp_path / name, np.zeros((4, 4), np.uint8))
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / ".hidden.tif").write_text("")
    (tmp_path / "sub").mkdir()
    write_image(tmp_path / "sub" / "deep.zarr", np.zeros((4, 4), np.uint8))
    return tmp_path


def names(found: list[Path]) -> list[str]:
    return [path.name for path in found]


def test_patterns_are_sorted_as_people_count(folder: Path) -> None:
    assert names(expand_inputs([f"{folder}/*can*.tif"])) == ["Scan1.tif", "scan2.tif", "scan10.tif"]


def test_a_pattern_lists_stray_files_but_no_folders(folder: Path) -> None:
    found = expand_inputs([f"{folder}/*"])
    assert "notes.txt" in names(found) and "sub" not in names(found) and ".hidden.tif" not in names(found)
    assert names([path for path in found if not is_image(path)]) == ["notes.txt"]
    assert names(expand_inputs([f"{folder}/sub/*"])) == ["deep.zarr"]
    assert names(expand_inputs([f"{folder}/**/*.zarr"])) == ["deep.zarr"]


def test_each_file_once_in_the_order_given(folder: Path) -> None:
    given = [folder / "scan10.tif", f"{folder}/scan*.tif", folder / "odd[1].tif"]
    assert names(expand_inputs(given)) == ["scan10.tif", "scan2.tif", "odd[1].tif"]
    assert names(expand_inputs(str(folder / "b.h5"))) == ["b.h5"]


def test_selectors_go_with_names_and_patterns(folder: Path) -> None:
    assert names(expand_inputs([f"{folder}/b.h5:/data"])) == ["data"]
    assert expand_inputs([f"{folder}/*.h5:/data"]) == [Path(f"{folder}/b.h5:/data")]
    assert is_image(f"{folder}/b.h5:/data")


@pytest.mark.parametrize("given", ["none.tif", "*.png", "sub", "b.h6:/data"])
def test_what_is_not_there_is_an_error(folder: Path, given: str) -> None:
    with pytest.raises(InputError, match=r"no such file|finds no file|is a folder"):
        expand_inputs([f"{folder}/{given}"])


def test_images_are_known_by_name_or_content(folder: Path) -> None:
    (folder / "noname").write_bytes((folder / "scan2.tif").read_bytes())
    (folder / "program").write_bytes(b"PK\x03\x04 any archive")
    assert is_image(folder / "noname") and is_image(folder / "sub" / "deep.zarr")
    assert not is_image(folder / "program") and not is_image(folder / "sub") and not is_image(folder / "none.tif")


def test_a_colon_selects_only_behind_a_file_that_exists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5 = str(folder / "b.h5")
    assert split_selector(f"{h5}:/group/a:b") == (Path(h5), "/group/a:b")
    assert split_selector(h5) == (Path(h5), None)
    assert split_selector(Path(f"{h5}:/data")) == (Path(h5), "/data")
    for path in (r"C:\data\a.h5", "C:/data/a.h5", "none.h5:/data", f"{h5}:"):
        assert split_selector(path) == (Path(path), None)
    monkeypatch.chdir(folder)
    (folder / "C").write_text("a file with the name of a drive")
    assert split_selector(r"C:\data") == (Path(r"C:\data"), None)
    (folder / "12:30.tif").write_text("")
    assert split_selector("12:30.tif") == (Path("12:30.tif"), None)


def test_importing_is_cheap() -> None:
    heavy = {"tifffile", "h5py", "zarr", "imagecodecs", "torch", "qtpy", "napari", "rsciio"}
    code = f"import napari_hush.io, sys; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
