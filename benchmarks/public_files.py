"""How many public test files of other libraries open as those libraries read them: shape, place of Y and X, pixel size.

Each library has its own test files; it says what is in a file, and `read_image` must say the same. Counted are files
with an image: two axes in space, or of a camera, with real values. What else a library reads, such as spectra, must be
refused with a reason; a file that the library itself cannot read counts for nothing.

    git clone https://github.com/ccpem/mrcfile
    python benchmarks/public_files.py mrcfile=mrcfile/tests/test_data

A library is one function here, which takes a path and gives the images in it, and one line in `LIBRARIES`.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import re
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.io.units import METRES, SECONDS, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_hush.io.image import ImageData

NOT_OF_EM = ("MRCZ", "Delmic", "USID", "Tofwerk", "Arina")  # whose files end as those of others do
CLOSE = 1e-3  # of a step, which some formats hold as float32


@dataclass(frozen=True)
class Expected:
    """An image as the library that defines the format reads it.

    Parameters
    ----------
    shape : tuple of int
        As `read_image` should give it.
    axes : str
        One letter per axis; whatever is neither Y nor X may be called otherwise.
    steps : mapping
        Axis letter to (step, unit), for Y, X and Z whose step is known; a step of 0 is not compared.
    selector : str
        What chooses the image, where the file holds several.
    """

    shape: tuple[int, ...]
    axes: str
    steps: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    selector: str = ""


@dataclass(frozen=True)
class Library:
    """Whose files are read.

    Parameters
    ----------
    expected : callable
        From a path to the images in it; none where the file holds something else. Raises what it likes where the
        library cannot read the file.
    suffixes : tuple of str
        Of the files to try.
    unpack : tuple of str
        Of archives whose members are tried.
    """

    expected: Callable[[Path], list[Expected]]
    suffixes: tuple[str, ...]
    unpack: tuple[str, ...] = ()


def rosettasciio(path: Path) -> list[Expected]:
    """Images among what HyperSpy's readers give: two signal axes with real values, and at most one that counts them."""
    from rsciio import IO_PLUGINS

    suffix = path.suffix.lower()[1:]
    plugins = [one for one in IO_PLUGINS if suffix in one["file_extensions"] and one["name"] not in NOT_OF_EM]
    options = {"stack_group": False, "select_type": "images"} if plugins[0]["name"] == "EMD" else {}
    if options and find_spec("sparse") is None:  # needed for spectra alone, which are not asked for
        sys.modules["sparse"] = ModuleType("sparse")
        sys.modules["sparse"].__spec__ = ModuleSpec("sparse", None)
    signals = import_module(plugins[0]["api"]).file_reader(str(path), **options)
    images = [one for one in map(_of_signal, signals) if one is not None]
    if len(images) < 2:
        return images
    return [Expected(one.shape, one.axes, one.steps, str(number)) for number, one in enumerate(images)]


def mrcfile(path: Path) -> list[Expected]:
    """One volume, stack or image of each file."""
    import mrcfile

    with mrcfile.open(path, permissive=True) as file:
        if file.data is None or file.data.dtype.kind == "c":
            return []
        head, volume, ndim = file.header, bool(file.is_volume()), file.data.ndim
        sizes = [float(getattr(file.voxel_size, axis)) for axis in "xyz"]
        # the sizes are along the edges of the cell, and the header says which edge columns, rows and sections follow
        along = {
            axis: sizes[int(edge) - 1] for axis, edge in zip("XYZ", (head.mapc, head.mapr, head.maps), strict=True)
        }
        steps = {axis: step for axis, step in along.items() if step > 0 and (axis != "Z" or (volume and ndim == 3))}
        axes = ("ZYX" if volume else "QYX")[-ndim:] if ndim < 4 else "QZYX"
        return [Expected(file.data.shape, axes, {axis: (step, "Å") for axis, step in steps.items()})]


def ncempy(path: Path) -> list[Expected]:
    """What `ncempy.read` gives, of a Velox file with several images the first."""
    from ncempy import read
    from ncempy.io.emdVelox import fileEMDVelox

    several = False
    if path.suffix == ".emd":
        with contextlib.suppress(Exception), fileEMDVelox(str(path)) as file:
            several = len(file.list_data) > 1
    found = read(str(path))
    data, units = found["data"], list(found["pixelUnit"])
    if data.ndim < 2 or data.dtype.kind == "c" or "eV" in units:
        return []
    axes = "QPYX"[-data.ndim :]
    steps = {
        axis: (float(size), str(unit))
        for axis, size, unit in zip(axes, found["pixelSize"], units, strict=True)
        if axis in "YX"
    }
    return [Expected(data.shape, axes, steps, "0" if several else "")]


def pydicom(path: Path) -> list[Expected]:
    """All frames of a file; of spacings the one that is always in the plane of the image first."""
    import pydicom

    found = pydicom.dcmread(path, force=True)
    if "PixelData" not in found:
        return []
    shape = pydicom.pixels.pixel_array(found).shape
    colours = int(found.SamplesPerPixel) > 1 or found.PhotometricInterpretation == "PALETTE COLOR"
    shape = (*shape, 3) if found.PhotometricInterpretation == "PALETTE COLOR" else shape
    axes = "QYX"[-(len(shape) - colours) :] + ("C" if colours else "")
    shared = found.get("SharedFunctionalGroupsSequence")
    place = shared[0].PixelMeasuresSequence[0] if shared and "PixelMeasuresSequence" in shared[0] else found
    spacing = place.get("PixelSpacing") or found.get("ImagerPixelSpacing")
    if spacing:
        return [Expected(shape, axes, {"Y": (float(spacing[0]), "mm"), "X": (float(spacing[1]), "mm")})]
    regions = found.get("SequenceOfUltrasoundRegions")
    if not regions or regions[0].PhysicalUnitsXDirection != 3:
        return [Expected(shape, axes)]
    one = regions[0]
    return [Expected(shape, axes, {"Y": (float(one.PhysicalDeltaY), "cm"), "X": (float(one.PhysicalDeltaX), "cm")})]


def nibabel(path: Path) -> list[Expected]:
    """A volume or series, whose axes nibabel gives from x on."""
    import nibabel

    volume = nibabel.load(path)
    if not isinstance(volume, nibabel.Nifti1Image):
        return []
    units = {"mm": "mm", "meter": "m", "micron": "µm"}
    unit = units.get(volume.header.get_xyzt_units()[0], "")
    kept = [axis for axis, size in enumerate(volume.shape) if size > 1 or axis < 2][::-1]
    zooms = volume.header.get_zooms()
    steps = {"XYZ"[axis]: (float(zooms[axis]), unit) for axis in kept if axis < 3 and unit}
    return [Expected(tuple(volume.shape[axis] for axis in kept), "".join("XYZTQPR"[axis] for axis in kept), steps)]


def czi(path: Path) -> list[Expected]:
    """Every scene; where there is one, of the size that czifile finds, which reads the file without Zeiss' library."""
    from xml.etree import ElementTree

    from czifile import CziFile
    from pylibCZIrw.czi import open_czi

    with open_czi(str(path)) as file:
        root, box = ElementTree.fromstring(file.raw_metadata), file.total_bounding_box_no_pyramid
        scenes = list(file.scenes_bounding_rectangle_no_pyramid.values())
    sizes = {axis: stop - start for axis, (start, stop) in box.items()}
    axes = "".join(axis for axis in "HTCZ" if sizes.get(axis, 1) > 1) + "YX"
    found = {one.get("Id"): float(one.findtext("Value") or 0) for one in root.iterfind(".//Scaling/Items/Distance")}
    steps = {axis: (found[axis], "m") for axis in "ZYX" if found.get(axis, 0) > 0 and axis in axes}
    if len(scenes) < 2:
        with CziFile(path) as file:
            sizes = dict(zip(file.axes, file.shape, strict=True))
    shapes = [
        tuple({"Y": one.h, "X": one.w}.get(axis, sizes.get(axis)) for axis in axes) for one in scenes[1:] and scenes
    ]
    shapes = shapes or [tuple(sizes[axis] for axis in axes)]
    colours = "C" if sizes.get("0", 1) == 3 else ""
    axes = axes.replace("H", "Q") + colours
    return [
        Expected((*shape, 3) if colours else shape, axes, steps, str(number) if len(shapes) > 1 else "")
        for number, shape in enumerate(shapes)
    ]


def nd2(path: Path) -> list[Expected]:
    """Every position of the stage."""
    import nd2

    with nd2.ND2File(path) as file:
        sizes, size = dict(file.sizes), file.voxel_size()
    count = sizes.pop("P", 1)
    steps = {axis: (step, "µm") for axis, step in zip("XYZ", size, strict=True) if axis in sizes}
    axes = "".join(sizes)
    return [Expected(tuple(sizes.values()), axes, steps, str(k) if count > 1 else "") for k in range(count)]


def tifffile(path: Path) -> list[Expected]:
    """Every image of full size; none where its numbers are inks, or some of its pixels are transparent.

    tifffile has no files of its own; those of Pillow are in ``Tests/images``.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        images = [(number, one) for number, one in enumerate(file.series) if not one.keyframe.is_reduced]
        found = [_of_series(series, str(number) if len(images) > 1 else "") for number, series in images]
        return [one for one in found if one is not None]


LIBRARIES: dict[str, Library] = {
    "rosettasciio": Library(
        rosettasciio,
        tuple(".blo .bmp .dm3 .dm4 .emd .emi .hdf5 .hspy .jpg .mrc .png .prz .rpl .ser .tif .tvips .unf .zspy".split()),
        (".zip",),
    ),
    "mrcfile": Library(mrcfile, (".mrc", ".map", ".gz", ".bz2")),
    "pydicom": Library(pydicom, (".dcm",)),
    "nibabel": Library(nibabel, (".nii", ".gz")),
    "czi": Library(czi, (".czi",)),
    "nd2": Library(nd2, (".nd2",)),
    "tifffile": Library(tifffile, (".tif", ".tiff", ".btf")),
    "ncempy": Library(ncempy, (".dm3", ".dm4", ".emd", ".mrc", ".ser")),
}


def _of_signal(signal: Mapping[str, Any]) -> Expected | None:
    """A signal of RosettaSciIO; None where its last two axes are no image."""
    entries, data = signal["axes"], signal["data"]
    kind = str(signal.get("metadata", {}).get("Signal", {}).get("signal_type", ""))
    in_image = [not entry.get("navigate", False) for entry in entries]
    real = data.dtype.kind in "buif" or (data.dtype.names or ("",))[0] == "R"
    if sum(in_image) != 2 or len(entries) > 3 or not real or kind.startswith(("EDS", "EELS")):
        return None
    y, x = (place for place, part in enumerate(in_image) if part)
    if any(canonical(entries[place].get("units")) in (*SECONDS, "ps") for place in (y, x)):
        return None  # of a streak camera
    axes = "".join("Y" if place == y else "X" if place == x else "QPRV"[place] for place in range(len(entries)))
    steps = {
        axis: (abs(float(entry["scale"])), str(entry["units"]))
        for axis, entry in zip(axes, entries, strict=True)
        if axis in "YX" and entry.get("scale") and _has_unit(entry.get("units"))
    }
    shape = tuple(data.shape)
    if data.dtype.names:  # the fourth colour of the formats here only fills up 32 bits
        return Expected((*shape, 3), f"{axes}C", steps)
    return Expected(shape, axes, steps)


def _of_series(series: Any, selector: str) -> Expected | None:
    """An image of tifffile, as `read_image` means it; None where its numbers are no intensities."""
    page, data, axes = series.keyframe, series.asarray(), series.axes
    if page.photometric.name in ("SEPARATED", "CIELAB", "ICCLAB", "ITULAB"):
        return None
    if "S" in axes and page.extrasamples and int(page.extrasamples[-1]) in (1, 2):  # alpha
        data = np.moveaxis(data, axes.index("S"), -1)
        if data[..., -1].min() < np.iinfo(data.dtype).max:
            return None
        colours = data[..., :-1]
        data = colours[..., 0] if colours.shape[-1] == 1 else np.moveaxis(colours, -1, axes.index("S"))
        axes = axes if data.ndim == len(axes) else axes.replace("S", "")
    shape = data.shape
    if page.photometric.name == "PALETTE" and not (series.kind in ("imagej", "ome") or _is_grey(page.colormap)):
        shape, axes = (*shape, 3), f"{axes}S"
    # its resolution is a printer's as often as a pixel's: not compared
    steps = dict.fromkeys("YX", (0.0, ""))
    return Expected(shape, axes, steps, selector)


def _is_grey(colours: np.ndarray) -> bool:
    return bool((colours == colours[0]).all())


def _has_unit(unit: object) -> bool:
    return isinstance(unit, (str, bytes)) and canonical(unit) not in ("pixel", "[]")


def difference(image: ImageData, expected: Expected) -> str:
    """What is not as expected, in words; nothing where all is."""
    if image.shape != expected.shape:
        return f"shape {image.axes} {image.shape}, expected {expected.axes} {expected.shape}"
    if any(image.axes.index(axis) != expected.axes.index(axis) for axis in "YX"):
        return f"axes {image.axes}, expected {expected.axes}"
    for axis, (step, unit) in expected.steps.items():
        if not step:
            continue
        found, name = image.scales.get(axis, (0.0, "nothing"))
        right = _length(step, unit)
        if not math.isclose(_length(found, name), right, rel_tol=CLOSE):
            return f"step along {axis} {found:g} {name}, expected {step:g} {unit}"
    known = [axis for axis in "YX" if axis in image.scales and not expected.steps]
    return f"step along {known[0]} {image.scales[known[0]]}, the library knows none" if known else ""


def _length(step: float, unit: str) -> float:
    """In metres, or 1/m; others as they are."""
    name = canonical(re.sub(r"[\[\]_\s]", "", unit))  # ncempy gives n_m as the file has it, others "1 / nm"
    if name.startswith("1/") and canonical(name[2:]) in METRES:
        return step / METRES[canonical(name[2:])]
    return step * METRES.get(name, 1.0)


def outcome(library: Library, path: Path) -> tuple[str, str]:
    """What became of a file: "right", "wrong", "refused", "no image" or "not read by the library"; and the reason."""
    try:
        images = library.expected(path)
    except Exception as error:  # of any library
        return "not read by the library", f"{type(error).__name__}: {error}"
    if not images:
        try:
            image = read_image(path)
        except InputError as error:
            return "no image", str(error)
        return "no image, but read", f"{image.axes} {image.shape}"
    for one in images:
        try:
            image = read_image(f"{path}:{one.selector}" if one.selector else path)
        except InputError as error:
            return "wrong", str(error)
        reason = difference(image, one)
        if reason:
            return "wrong", f"{one.selector} {reason}".strip()
    return "right", f"{len(images)} image{'s' if len(images) > 1 else ''}"


def files(folder: Path, library: Library, work: Path) -> Iterator[tuple[str, Path]]:
    """Each file to try with its name, also from archives, which are unpacked into the folder `work`."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix.lower() in library.suffixes and not any(one.suffix == ".zspy" for one in path.parents):
            yield name, path
        elif path.suffix.lower() in library.unpack:
            inner = work / path.stem
            zipfile.ZipFile(path).extractall(inner)
            for _, member in files(inner, Library(library.expected, library.suffixes), work):
                yield f"{name}: {member.relative_to(inner)}", member


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="LIBRARY=FOLDER", help=f"libraries: {', '.join(LIBRARIES)}")
    parser.add_argument("--all", action="store_true", help="list also what is right, and what holds no image")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    np.seterr(all="ignore")
    rows, total = [], Counter[str]()
    for text in options.folders:
        name, _, folder = text.partition("=")
        count, started = Counter[str](), time.perf_counter()
        with tempfile.TemporaryDirectory() as work:
            for label, path in files(Path(folder), LIBRARIES[name], Path(work)):
                said, reason = outcome(LIBRARIES[name], path)
                count[said] += 1
                if options.all or said in ("wrong", "no image, but read"):
                    print(
                        f"{name} {said}: {label}: {' '.join(reason.split()).replace(str(path), '')[:300]}", flush=True
                    )
        total += count
        rows.append((name, count, time.perf_counter() - started))
    print("\n| library | files with images | right | no images | of them read | not read by the library | s |")
    print(f"|{'---|' * 7}")
    for name, count, seconds in [*rows, ("all", total, sum(row[2] for row in rows))]:
        images = count["right"] + count["wrong"]
        others = count["no image"] + count["no image, but read"]
        share = f"{count['right']} ({100 * count['right'] / max(images, 1):.1f} %)"
        print(
            f"| {name} | {images} | {share} | {others} | {count['no image, but read']} "
            f"| {count['not read by the library']} | {seconds:.0f} |"
        )


if __name__ == "__main__":
    main()
