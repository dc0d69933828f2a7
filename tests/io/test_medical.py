"""DICOM and NIfTI: values in their units, steps, and axes in the order of images."""

from __future__ import annotations

import gzip
import sys
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 999, (3, 20, 30)).astype(np.uint16)


def dicom(path: Path, data: np.ndarray = STACK[0], packed: list[bytes] | None = None, **fields: Any) -> None:
    pydicom = pytest.importorskip("pydicom")
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = fields.pop("syntax", pydicom.uid.ExplicitVRLittleEndian)
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = "1.2.3"
    found.PatientName, found.Modality = "Doe^Jane", "CT"
    colours = data.shape[-1] == 3
    shape = data.shape[:-1] if colours else data.shape
    found.Rows, found.Columns = shape[-2:]
    if len(shape) > 2:
        found.NumberOfFrames = shape[0]
    found.SamplesPerPixel, found.PhotometricInterpretation = (3, "RGB") if colours else (1, "MONOCHROME2")
    if colours:
        found.PlanarConfiguration = 0
    found.BitsAllocated = found.BitsStored = 8 * data.itemsize
    found.HighBit, found.PixelRepresentation = 8 * data.itemsize - 1, int(data.dtype.kind == "i")
    found.PixelData = data.tobytes() if packed is None else pydicom.encaps.encapsulate(packed)
    for name, value in fields.items():
        setattr(found, name, value)
    found.save_as(path, enforce_file_format=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.dcm"


def test_values_are_in_the_units_of_the_modality(path: Path) -> None:
    dicom(path, PixelSpacing=[0.5, 0.25], RescaleSlope=1, RescaleIntercept=-1024, AcquisitionDate="20260102")
    image = read_image(path)
    assert image.axes == "YX" and image.dtype == np.int16 and (image.data == STACK[0].astype(int) - 1024).all()
    assert image.scales == {"Y": (0.5, "mm"), "X": (0.25, "mm")} and image.metadata.date == "2026-01-02"
    assert "Doe" not in str(image.metadata)
    dicom(path, RescaleSlope=0.5, RescaleIntercept=3)
    image = read_image(path)
    assert image.dtype == np.float32 and np.allclose(image.data, STACK[0] * 0.5 + 3) and image.scales == {}
    dicom(path, (STACK[0].astype(np.int16) - 500))
    assert (read_image(path).data == STACK[0].astype(int) - 500).all()


def test_the_first_bytes_may_be_those_of_a_tiff(path: Path) -> None:
    dicom(path)
    path.write_bytes(b"II*\0" + path.read_bytes()[4:])
    assert (read_image(path).data == STACK[0]).all()


def test_white_zeros_are_told(path: Path) -> None:
    dicom(path, PhotometricInterpretation="MONOCHROME1", AcquisitionDate="20260102", AcquisitionTime="030405.5")
    image = read_image(path)
    assert image.metadata.inverted and (image.data == STACK[0]).all()
    assert image.metadata.date == "2026-01-02T03:04:05"


@pytest.mark.parametrize(
    ("fields", "axes", "step"),
    [
        ({"SpacingBetweenSlices": 2}, "ZYX", {"Z": (2, "mm")}),
        ({"FrameTime": 40}, "TYX", {"T": (40, "ms")}),
        ({}, "QYX", {}),
    ],
)
def test_frames_are_slices_or_times(path: Path, fields: dict[str, Any], axes: str, step: dict[str, Any]) -> None:
    dicom(path, STACK, PixelSpacing=[1, 1], **fields)
    image = read_image(path)
    assert image.axes == axes and (image.data == STACK).all()
    assert image.scales == step | {"Y": (1, "mm"), "X": (1, "mm")}


def test_frames_of_an_enhanced_file_have_their_own_slopes(path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")

    def group(**fields: Any) -> Any:
        outer, inner = pydicom.Dataset(), pydicom.Dataset()
        for name, value in fields.items():
            setattr(inner, name, value)
        name = "PixelMeasuresSequence" if "PixelSpacing" in fields else "PixelValueTransformationSequence"
        setattr(outer, name, [inner])
        return outer

    each = [group(RescaleSlope=k + 1.5, RescaleIntercept=k) for k in range(3)]
    shared = [group(PixelSpacing=[3, 4], SpacingBetweenSlices=5)]
    dicom(path, STACK, PerFrameFunctionalGroupsSequence=each, SharedFunctionalGroupsSequence=shared)
    image = read_image(path)
    assert image.scales == {"Z": (5, "mm"), "Y": (3, "mm"), "X": (4, "mm")}
    assert np.allclose(image.data, [STACK[k] * (k + 1.5) + k for k in range(3)])


def test_colours_are_the_last_axis(path: Path) -> None:
    colours = (STACK[:, :, :].transpose(1, 2, 0) % 256).astype(np.uint8)
    dicom(path, np.ascontiguousarray(colours))
    image = read_image(path)
    assert image.axes == "YXC" and (image.data == colours).all()


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode),
        ("1.2.840.10008.1.2.4.70", imagecodecs.ljpeg_encode),
        ("1.2.840.10008.1.2.4.90", lambda data: imagecodecs.jpeg2k_encode(data, codecformat="j2k", reversible=True)),
    ],
)
def test_packed_pixels_are_unpacked(path: Path, syntax: str, encode: Any) -> None:
    dicom(path, STACK, packed=[encode(plane) for plane in STACK], syntax=syntax)
    assert (read_image(path).data == STACK).all()
    wide = [encode(np.zeros((20, 3000), np.uint16)) for _ in STACK]
    dicom(path, STACK, packed=wide, syntax=syntax)
    with pytest.raises(FileFormatError, match=r"a\.dcm"):
        read_image(path)


def test_dicom_without_an_image_or_cut_short_is_refused(path: Path) -> None:
    dicom(path)
    content = path.read_bytes()
    path.write_bytes(content[:-50])
    with pytest.raises(FileFormatError, match="damaged"):
        read_image(path)
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\0")])
    with pytest.raises(FileFormatError, match=r"without an image \(CT\)"):
        read_image(path)
    with pytest.raises(InputError, match="leave out ':1'"):
        read_image(f"{path}:1")


def nifti(path: Path, data: np.ndarray, *, version: int = 1, units: Any = ("mm", "sec"), **header: Any) -> None:
    nibabel = pytest.importorskip("nibabel")
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    image = kind(data, np.diag([0.5, 1, 2, 1]))
    image.header.set_zooms((0.5, 1, 2, 3)[: data.ndim])
    image.header.set_xyzt_units(*units)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_is_turned_into_slices(tmp_path: Path, version: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 999, (30, 20, 4, 3)).astype(np.int16)  # x, y, z, t
    nifti(tmp_path / name, values, version=version, descrip=b"a head")
    image = read_image(tmp_path / name)
    assert image.axes == "TZYX" and (image.data == values.T).all() and image.dtype == np.int16
    assert image.scales == {"T": (3, "s"), "Z": (2, "mm"), "Y": (1, "mm"), "X": (0.5, "mm")}
    assert image.metadata.description == "a head"
    nifti(tmp_path / name, values[..., :1, :1], version=version, units=("micron", "msec"))
    image = read_image(tmp_path / name)
    assert image.axes == "YX" and image.scales == {"Y": (1, "µm"), "X": (0.5, "µm")}
    if name == "a.nii":
        nifti(tmp_path / name, values[..., :1], version=version)
        monkeypatch.setattr("napari_hush.io.formats.file_array.EAGER_BELOW", 100)
        lazy = read_image(tmp_path / name).data
        assert not isinstance(lazy, np.ndarray) and (lazy[2, 3:5] == values.T[0, 2, 3:5]).all()


def test_nifti_with_a_slope(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = np.arange(600, dtype=np.int16).reshape(30, 20)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(0.5, 7)
    nibabel.save(image, tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "b.nii")
    stored = nibabel.load(tmp_path / "a.nii")
    assert np.allclose(read_image(tmp_path / "a.nii").data, stored.get_fdata().T)
    assert (read_image(tmp_path / "b.nii").data == values.T).all()


def test_a_nifti_that_is_cut_short_or_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nifti(path, STACK.astype(np.int16).T)
    content = path.read_bytes()
    for name, damaged in (
        ("a.nii", content[:-10]),
        ("a.nii.gz", gzip.compress(content[:-10])),
        ("a.nii.gz", gzip.compress(content[:42] + b"\xff\x7f\xff\x7f\xff\x7f" + content[48:])),
        ("b.nii.gz", content),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(FileFormatError, match=name):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "head", "module", "words"),
    [
        ("a.dcm", bytes(128) + b"DICM", "pydicom", "DICOM"),
        ("a.nii", (348).to_bytes(4, "little") + bytes(340) + b"n+1\0", "nibabel", "NIfTI"),
    ],
)
def test_without_the_extra_the_way_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: bytes, module: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(head + bytes(2000))
    with pytest.raises(InputError, match=rf"{words}.*pip install 'napari-hush\[medical\]'"):
        read_image(tmp_path / name)
