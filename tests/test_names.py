"""Names made of others keep endings of two parts together."""

from pathlib import Path

import pytest

from napari_hush.files import Place
from napari_hush.io import read_volume, write_image
from napari_hush.names import ending, named_after, stem


@pytest.mark.parametrize(
    ("name", "start", "end", "result"),
    [
        ("a.tif", "a", ".tif", "a_denoised.tif"),
        ("run 0.5 nm.tif", "run 0.5 nm", ".tif", "run 0.5 nm_denoised.tif"),
        ("a.ome.tif", "a", ".ome.tif", "a_denoised.ome.tif"),
        ("a.b.OME.TIFF", "a.b", ".OME.TIFF", "a.b_denoised.ome.tiff"),
        ("a.ome.btf", "a", ".ome.btf", "a_denoised.ome.tif"),
        ("a.ome.zarr", "a", ".ome.zarr", "a_denoised.ome.zarr"),
        ("a.ZARR", "a", ".ZARR", "a_denoised.zarr"),
        ("a.nii.gz", "a", ".nii.gz", "a_denoised.tif"),
        ("a.mrc.bz2", "a", ".mrc.bz2", "a_denoised.tif"),
        ("run 3.5.gz", "run 3.5", ".gz", "run 3.5_denoised.tif"),
        ("a", "a", "", "a_denoised.tif"),
        (".ome.tif", ".ome", ".tif", ".ome_denoised.tif"),
    ],
)
def test_an_ending_of_two_parts_is_one(name, start, end, result):
    assert (stem(Path(name)), ending(Path(name)), named_after(Path(name), "denoised")) == (start, end, result)


def test_what_cannot_take_its_name_lies_beside_it_as_the_same_kind(tmp_path):
    place = Place.of(tmp_path / "a.ome.tif")
    (tmp_path / "a.ome.tif").write_text("of somebody else")
    (tmp_path / "new").write_text("x")
    with pytest.raises(ValueError, match=r"a-1\.ome\.tif"):
        place.take(tmp_path / "new")


def test_slices_are_called_without_either_part(tmp_path):
    write_image(tmp_path / "s1.ome.tif", [[1, 2], [3, 4]], dtype="uint8")
    assert read_volume(tmp_path).metadata.labels == ("s1",)
