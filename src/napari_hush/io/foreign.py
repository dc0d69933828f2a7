"""Formats that are known and not read: what they hold, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SCAN = (
    "which holds a diffraction pattern at each place of a scan and no image in space; export a virtual image as TIFF"
)
_OLYMPUS = (
    "which is not read; export it as OME-TIFF from FluoView, cellSens or OlyVIA, or open it in Fiji (Bio-Formats)"
)
_SPECTRA = "which holds spectra; export an image of it as TIFF"

FOREIGN = {
    ".app5": "is a project of TopSpin, which is not read; export an image of it as TIFF",
    ".bcf": "is a composite of Bruker Esprit, which is not read; export its images as TIFF or from HyperSpy as .hspy",
    ".blo": f"is a blockfile of NanoMegas, {_SCAN}",
    ".edaxh5": f"is a file of EDAX, {_SPECTRA}",
    ".elid": "is a project of Phenom Element Identification, which is not read; export its images as TIFF",
    ".mib": f"is a file of a Merlin detector, {_SCAN}",
    ".msa": f"is an EMSA file, {_SPECTRA}",
    ".mrcz": "is a packed MRC (MRCZ), which is not read; unpack it into a .mrc with the library mrcz",
    ".pts": f"is a file of JEOL, {_SPECTRA}",
    ".spd": f"is a file of EDAX, {_SPECTRA}",
    ".spx": f"is a file of Bruker, {_SPECTRA}",
    ".sur": "is a surface of Digital Surf, which is not read; export it as TIFF",
    ".dv": "is a DeltaVision file, which is not read; export it as OME-TIFF from softWoRx, or open it in Fiji",
    ".gwy": "is a file of Gwyddion, which is not read; export the channel as TIFF",
    ".ibw": "is an Igor wave, which is not read; export the image as TIFF, or open it in Gwyddion",
    ".mha": "is a MetaImage, which is not read; save it as NIfTI (.nii) or TIFF",
    ".mhd": "is a MetaImage, which is not read; save it as NIfTI (.nii) or TIFF",
    ".mnc": "is a MINC file, which is not read; convert it to NIfTI (.nii)",
    ".mgz": "is a volume of FreeSurfer, which is not read; convert it: mri_convert in.mgz out.nii.gz",
    ".nrrd": "is a NRRD, which is not read; save it as NIfTI (.nii) or TIFF from 3D Slicer",
    ".obf": "is an Imspector file, which is not read; export it as OME-TIFF",
    ".oib": f"is an Olympus OIB, {_OLYMPUS}",
    ".oif": f"is an Olympus OIF, {_OLYMPUS}",
    ".oir": f"is an Olympus OIR, {_OLYMPUS}",
    ".sld": "is a SlideBook file, which is not read; export it as OME-TIFF from SlideBook",
    ".spe": "is a file of Princeton Instruments, which is not read; export it as TIFF from LightField",
    ".sxm": "is a Nanonis scan, which is not read; export the channel as TIFF, or open it in Gwyddion",
    ".txrm": "is a projection series of Zeiss Xradia, which is not read; export it as TIFF or DICOM",
    ".txm": "is a volume of Zeiss Xradia, which is not read; export it as TIFF or DICOM",
    ".xrm": "is an image of Zeiss Xradia, which is not read; export it as TIFF",
    ".zvi": "is a file of AxioVision, which is not read; export it as OME-TIFF, or open it in Fiji",
}
# of which a TIFF reader would give a thumbnail, or nothing that is an image
INSIDE_TIFF = {
    ".vsi": f"is an Olympus VSI, whose image is in a folder beside it, {_OLYMPUS}",
    **dict.fromkeys(
        (".arw", ".cr2", ".dng", ".nef", ".pef"),
        "is a camera's raw file, whose colours are not yet put together; develop it into a TIFF of 16 bit",
    ),
}
_FIRST = {
    b"GIF8": "is a GIF, whose values were reduced to 256 colours; give the image it was made from",
    b"SIMPLE  =": "is a FITS file, which is not read; save it as TIFF or NPY",
    b"NRRD000": FOREIGN[".nrrd"],
    b"ObjectType": FOREIGN[".mha"],
    b":NANONIS": FOREIGN[".sxm"],
    b"GWYP": FOREIGN[".gwy"],
    b"\0\0\0\x0cjP  ": "is a JPEG 2000, which is not read; save it as TIFF",
    b"v/1\x01": "is an OpenEXR, which is not read; save it as TIFF of 32 bit",
    b"%PDF": "is a PDF and no image; give the image it was made from",
    b"OMAS_BF": FOREIGN[".obf"],
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "is a compound file, as Olympus OIB, AxioVision ZVI and Zeiss Xradia use it, "
    "which is not read; export it as OME-TIFF",
}


def foreign_words(path: Path, head: bytes) -> str | None:
    """What a file that is not read is, and the way out: by its name, or by its first bytes; None for unknown ones.

    Parameters
    ----------
    path : Path
        Of the file.
    head : bytes
        How it begins.
    """
    if path.suffix.lower() in FOREIGN:
        return FOREIGN[path.suffix.lower()]
    first = next((words for magic, words in _FIRST.items() if head.startswith(magic)), None)
    if first is None and head[4:8] == b"ftyp":
        return "is a film or a photograph (MP4, MOV, HEIC), which is not read; save its frames as TIFF"
    if first is None and head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WEBP"):
        return "is a film or a packed picture (AVI, WebP), which is not read; save its frames as TIFF"
    return first
