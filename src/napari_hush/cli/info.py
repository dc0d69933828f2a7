"""``napari-hush info``: what an image file holds, how it was made, and the command that makes it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from napari_hush.cli.console import complain, one_line, printable, size_text
from napari_hush.errors import InputError, SeveralImagesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_hush.fidelity.about.about import About
    from napari_hush.io import ImageData, Metadata

Line = tuple[str, str]  # what it is, and what it is like
MOST = 24  # images of one file that are looked at


@dataclass(frozen=True, kw_only=True)
class Info:
    """Say what image files hold and, of what napari-hush made, how it was made and the command that repeats it."""

    inputs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="FILE [FILE ...]")]
    """Image files, or globs in quotes."""
    measure: bool = False
    """Look at the values, too, for a second or two: lattice, noise, range, holes, and the model that fits."""
    json: bool = False
    """Print JSON, one line for each file: shape, axes, number type, pixel size, metadata and the whole history."""

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.io import expand_inputs

        if not self.inputs:
            raise InputError("no file: name an image, for example 'napari-hush info image_denoised.tif'")
        files, failed = expand_inputs(self.inputs), 0
        for number, path in enumerate(files):
            try:
                if self.json:
                    print(json.dumps(_as_dict(path, measure=self.measure), default=str))
                else:
                    print(("\n" if number else "") + _as_text(path, measure=self.measure))
            except (InputError, OSError, MemoryError) as error:
                if len(files) == 1:
                    raise
                failed += 1
                complain("error", one_line(error))
        return 2 if failed else 0


def _as_dict(path: Path, *, measure: bool) -> dict[str, Any]:
    from napari_hush.io import read_image
    from napari_hush.io.history import read_history
    from napari_hush.io.outputs import actual_place

    try:
        image = read_image(path)
    except SeveralImagesError as several:
        if not several.choices:
            raise
        return {"file": str(path), "images": list(several.choices)}
    metadata = asdict(image.metadata)
    for channel, kept in zip(metadata["channels"], image.metadata.channels, strict=True):
        channel["lut"], channel["colour"] = None if kept.lut is None else kept.lut.hex(), kept.colour
    return {
        "file": str(path),
        "shape": image.shape,
        "axes": image.axes,
        "dtype": str(image.dtype),
        "pixel_size": image.pixel_size,
        "units": image.units,
        "metadata": metadata,
        "history": read_history(actual_place(path)),
        **({"measured": _measured(image).as_dict()} if measure else {}),
    }


def _as_text(path: Path, *, measure: bool) -> str:
    from napari_hush.io import read_image
    from napari_hush.io.history import is_unchanged, read_history
    from napari_hush.io.outputs import actual_place

    try:
        image = read_image(path)
    except SeveralImagesError as several:
        if not several.choices:
            raise
        return _several_text(path, several.choices)
    history = read_history(actual_place(path))
    lines = [("image", _image_words(image)), *_metadata_lines(image.metadata)]
    if measure:
        told = ("image", "pixel size")  # by the line above
        lines += [(line.name, line.words) for line in _measured(image).lines if line.name not in told]
    if history is None:
        lines.append(("history", "not made by napari-hush"))
    else:
        try:
            for line in _history_lines(history):
                lines.append(line)
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError):  # it is not as we write it
            lines.append(("damaged", "the rest of what is written there of how it was made makes no sense"))
        if not is_unchanged(actual_place(path), history):
            lines.append(("since then", "the file was changed: what is told here need not be true of it"))
    width = max(len(name) for name, _ in lines)
    return "\n".join([printable(str(path)), *(f"  {name:{width}}  {printable(words)}" for name, words in lines)])


def _measured(image: ImageData) -> About:
    from napari_hush.fidelity.about.about import describe

    return describe(image)


def _several_text(path: Path, choices: Sequence[str]) -> str:
    """The images of a file, each as it is named to the other commands."""
    from napari_hush.io import read_image

    width = max(len(printable(one)) for one in choices[:MOST])
    lines = [f"{printable(str(path))}", f"  {len(choices)} images; name one of them to be told more"]
    for one in choices[:MOST]:
        try:
            words = _image_words(read_image(one))
        except SeveralImagesError as inside:
            words = f"{len(inside.choices) or 'several'} images"
        except (InputError, OSError, MemoryError) as error:
            words = one_line(error).removeprefix(f"{one}: ")
        lines.append(f"  {printable(one):{width}}  {printable(words)}")
    return "\n".join(lines + ["  ..."] * (len(choices) > MOST))


def _image_words(image: ImageData) -> str:
    steps = [f"{axis} {size:.6g} {unit}" for axis, (size, unit) in image.scales.items()]
    calibration = f"pixel size {', '.join(steps)}" if steps else "pixel size not known"
    return f"{' x '.join(map(str, image.shape))} ({image.axes}), {image.dtype}, {calibration}"


def _metadata_lines(metadata: Metadata) -> Iterator[Line]:
    for name in ("name", "description", "date"):
        if words := getattr(metadata, name):
            yield name, words if len(words) < 200 else f"{words[:200]}..."
    for number, channel in enumerate(metadata.channels):
        words = channel.name or "-"
        if channel.colour is not None:
            words += ", #{:02x}{:02x}{:02x}".format(*channel.colour)
        if channel.limits is not None:
            words += ", shown from {:.6g} to {:.6g}".format(*channel.limits)
        yield f"channel {number}", words
    if metadata.labels:
        more = ", ..." if len(metadata.labels) > 4 else ""
        yield "labels", f"{len(metadata.labels)}: {', '.join(metadata.labels[:4])}{more}"


def _history_lines(history: Mapping[str, Any]) -> Iterator[Line]:
    """Everything of it that a person reads; whoever wrote it may have left anything out."""
    from napari_hush.fidelity.glance import given_back_words
    from napari_hush.inference.repeat import command

    request = history.get("request") or {}
    yield "history", f"{history.get('made', 'made')} by {history['software']}, {_date(history)}".rstrip(", ")
    if source := request.get("input", {}):
        part = f", {request['part']}" if request.get("part") else ""
        size = f", {size_text(source['size'])}" if isinstance(source.get("size"), int) else ""
        check = str(source.get("head") or source.get("metadata") or source.get("values") or "")[:12]
        yield (
            "made from",
            f"{history.get('pattern') or source.get('name')}{part}{size}" + (f", fingerprint {check}" if check else ""),
        )
    elif layer := history.get("source_layer"):
        file = f" of {history['source_file']}" if history.get("source_file") else ""
        yield "made from", f"the layer {layer}{file}"
    if model := history.get("model"):
        check = f", SHA-256 {history['model_sha256']}" if history.get("model_sha256") else ""
        why = f"; chosen because {history['chosen_because']}" if history.get("chosen_because") else ""
        yield "model", f"{model} ({history.get('architecture')}{check}){why}"
    if spacing := history.get("spacing"):
        scaled = history.get("rescale")
        factor = f", brought to the model's by a factor of {scaled['factor']:.4g}" if isinstance(scaled, dict) else ""
        yield "lattice", f"period {spacing:.4g} px{factor}"
    if norms := history.get("normalization"):
        yield "scaling", "; ".join(f"(values - {one['offset']:.6g}) / {one['scale']:.6g}" for one in norms[:4])
    if "guard" in history:
        yield "guard", (given_back_words(history) or "slow contrast") if history["guard"] else "none"
    if (share := history.get("settings", {}).get("strength", 1)) != 1:
        yield "strength", f"{share:g} of what was taken away"
    if series := history.get("series"):
        yield "series", str(series.get("words"))
    if "tile" in history:
        tile = history["tile"]
        yield "tiles", " x ".join(map(str, tile)) + " px" if tile else "one pass"
    if engine := history.get("engine"):
        yield "engine", f"{engine} on {history.get('device')} in {history.get('precision')}"
    if verdict := history.get("verdict"):
        yield "verdict", str(verdict)
    if again := command(history):
        yield "again with", again


def _date(history: Mapping[str, Any]) -> str:
    """When the file was written, in the time of this machine."""
    written = history.get("written")
    if not isinstance(written, int):
        return ""
    return datetime.fromtimestamp(written / 1e9).astimezone().isoformat(sep=" ", timespec="seconds")
