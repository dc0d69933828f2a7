"""Formats of electron microscopy that are known and not read: what they hold, and the way out."""

from __future__ import annotations

_SCAN = (
    "which holds a diffraction pattern at each place of a scan and no image in space; export a virtual image as TIFF"
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
}
