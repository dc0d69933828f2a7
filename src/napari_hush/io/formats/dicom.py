"""DICOM, read by pydicom of the extra ``medical``: frames in the units of their modality.

Names of patients and whatever else of them is in a file go no further than this module.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.chunks import HARMLESS
from napari_hush.io.formats.dicom_frames import unpack_frames
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.parsing import needed, parsing
from napari_hush.io.formats.several import refuse_selector
from napari_hush.io.image import check_claim, make_image
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hush.io.image import ImageData, Scales

_WAY = "install it: pip install 'napari-hush[medical]'"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_WHOLE = ("int16", "uint16", "int32")
_CENTIMETRES = 3  # of an ultrasound's regions


def is_dicom(head: bytes, named: bool) -> bool:
    """Whether a file begins so; an old one without a preamble must be named so, too."""
    return head[128:132] == b"DICM" or (named and head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0")


def read_dicom(path: Path, selector: str | None) -> ImageData:
    """All frames of one file, (Y, X) or (..., Y, X), colours last."""
    refuse_selector(selector, path)
    library = needed("pydicom", f"{path}: is a DICOM file, which needs pydicom; {_WAY}")
    with parsing(path, "a DICOM file"):
        return _read(library, path)


def _read(library: Any, path: Path) -> ImageData:
    syntax = str(library.filereader.read_file_meta_info(path).get("TransferSyntaxUID", "")) if _has_meta(path) else ""
    if syntax == _DEFLATED and path.stat().st_size * 1032 > 64 * HARMLESS:
        raise FileFormatError(f"{path}: is a packed DICOM that could unpack to any size; save it without packing")
    found = library.dcmread(path, force=True)
    if not any(name in found for name in _PIXELS) or "Rows" not in found:
        what = str(found.get("Modality", "")) or "no modality"
        raise FileFormatError(f"{path}: is a DICOM file without an image ({what:.40}); give one with pixels")
    frames, samples = int(found.get("NumberOfFrames") or 1), int(found.get("SamplesPerPixel") or 1)
    claimed = int(found.Rows) * int(found.Columns) * frames * samples * math.ceil(int(found.BitsAllocated) / 8)
    check_claim(claimed, path.stat().st_size, str(path))
    data = _in_units(found, unpack_frames(library, found, str(path)), frames)
    axes, scales = _axes(found, frames)
    if data.ndim == len(axes) + 1:
        axes += "C"
    inverted = found.get("PhotometricInterpretation") == "MONOCHROME1"
    metadata = Metadata(name=str(found.get("SeriesDescription", "")), date=_date(found), inverted=inverted)
    return make_image(native(np.ascontiguousarray(data)), axes, scales, str(path), metadata)


def _has_meta(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _in_units(found: Any, data: NDArray[Any], frames: int) -> NDArray[Any]:
    """Slope and intercept applied, of each frame its own; whole numbers stay whole where they can."""
    each = [_rescale(found, number) for number in range(frames)]
    if all(one == (1.0, 0.0) for one in each) or data.ndim > 2 + (frames > 1):
        return data
    if all(slope == 1 and intercept == int(intercept) for slope, intercept in each) and data.dtype.kind in "iu":
        shift = [int(intercept) for _, intercept in each]
        low, high = int(data.min()) + min(shift), int(data.max()) + max(shift)
        kind = next((one for one in _WHOLE if np.iinfo(one).min <= low and high <= np.iinfo(one).max), None)
        if kind is not None:
            offset = np.array(shift).reshape((-1, 1, 1) if frames > 1 else (1, 1))
            return np.asarray(data.astype(np.int64) + offset, dtype=kind)
    slopes, intercepts = (
        np.array(one).reshape((-1, 1, 1) if frames > 1 else (1, 1)) for one in zip(*each, strict=True)
    )
    return np.asarray(data * slopes + intercepts, np.float32 if data.dtype.itemsize <= 2 else np.float64)


def _rescale(found: Any, number: int) -> tuple[float, float]:
    group = _group(found, number, "PixelValueTransformationSequence") or found
    slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
    return (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))


def _group(found: Any, number: int, name: str) -> Any:
    """What an enhanced file says of a frame, or of all."""
    each = found.get("PerFrameFunctionalGroupsSequence")
    for group in (
        ([each[number]] if each is not None and number < len(each) else []),
        found.get("SharedFunctionalGroupsSequence", []),
    ):
        for one in group:
            if one.get(name):
                return one[name][0]
    return None


def _axes(found: Any, frames: int) -> tuple[str, Scales]:
    measures = _group(found, 0, "PixelMeasuresSequence") or found
    scales: Scales = {}
    spacing = next((value for name in _SPACINGS if (value := measures.get(name) or found.get(name))), None)
    if spacing is not None and len(spacing) == 2:
        scales = {"Y": (float(spacing[0]), "mm"), "X": (float(spacing[1]), "mm")}
    elif regions := found.get("SequenceOfUltrasoundRegions"):
        one = regions[0]
        if one.get("PhysicalUnitsXDirection") == one.get("PhysicalUnitsYDirection") == _CENTIMETRES:
            steps = {"Y": one.get("PhysicalDeltaY"), "X": one.get("PhysicalDeltaX")}
            scales = {axis: (abs(float(step)), "cm") for axis, step in steps.items() if step}
    if frames == 1:
        return "YX", scales
    between = measures.get("SpacingBetweenSlices") or found.get("SpacingBetweenSlices")
    if between:
        return "ZYX", scales | {"Z": (abs(float(between)), "mm")}
    offsets = found.get("GridFrameOffsetVector")  # of a dose
    if offsets is not None and len(offsets) == frames:
        return "ZYX", scales | {"Z": (abs(float(offsets[1]) - float(offsets[0])), "mm")}
    if found.get("FrameTime"):
        return "TYX", scales | {"T": (float(found.FrameTime), "ms")}
    return "QYX", scales


def _date(found: Any) -> str:
    """When it was acquired, of which DICOM knows several spellings."""
    day, time = (
        str(found.get("AcquisitionDate") or found.get("ContentDate") or ""),
        str(found.get("AcquisitionTime") or found.get("ContentTime") or ""),
    )
    if len(day) != 8 or not day.isdecimal():
        return ""
    clock = f"T{time[:2]}:{time[2:4]}:{time[4:6]}" if len(time) >= 6 and time[:6].isdecimal() else ""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}{clock}"
