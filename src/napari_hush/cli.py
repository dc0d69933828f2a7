"""The command line: each sub-command fills one settings dataclass and calls one function."""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from napari_hush.errors import InputError
from napari_hush.settings import DenoiseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from napari_hush.engines import Engine
    from napari_hush.inference import Denoised
    from napari_hush.model import Model

DType = Literal["float32", "input", "uint8", "uint16", "int16", "uint32", "float16", "float64"]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Denoise a simulated sample with a bundled model and compare the result with the truth."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("napari-hush-demo")
    """Folder for the images; made if it is missing."""
    sample: Literal["dented-lattice", "hexagonal-low-dose", "dumbbell", "stack"] = "dented-lattice"
    """Which sample to simulate."""
    seed: int = 0
    """Seed of its noise."""
    model: str = "stem"
    """A bundled model or a model file."""
    napari: bool = False
    """Open napari with the layers in it."""
    settings: tyro.conf.OmitArgPrefixes[DenoiseSettings] = field(default_factory=DenoiseSettings)

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.importers import load_model
        from napari_hush.inference import denoise_steps
        from napari_hush.io import write_image
        from napari_hush.metrics import METRICS
        from napari_hush.panels import write_panel
        from napari_hush.samples import sample

        model = load_model(self.model)
        truth = sample(self.sample, self.seed)
        print(f"sample   {truth.name}: {truth.description} (simulated, seed {self.seed})")
        print(f"model    {model.card.name}: {model.card.description.partition('. ')[0].rstrip('.')}")
        done = _run_with_bar(denoise_steps(truth.noisy, model, self.settings), truth.name)
        print(f"run      {_run_text(done)}\n")
        print(f"{'against the truth':18}{'noisy':>12}{'denoised':>12}")
        for name, metric in METRICS.items():
            unit = {"psnr": "dB", "mse": "counts^2", "mae": "counts"}.get(name, "")
            before, after = metric(truth.clean, truth.noisy), metric(truth.clean, done.image)
            print(f"{name.upper():18}{before:12.4g}{after:12.4g}  {unit}")
        self.output.mkdir(parents=True, exist_ok=True)
        axes = "TYX"[-truth.noisy.ndim :]
        pixel_size = (1.0, truth.pixel_size, truth.pixel_size)[-truth.noisy.ndim :]
        units = ("", "nm", "nm")[-truth.noisy.ndim :]
        print("\nwritten")
        for kind, image in (("noisy", truth.noisy), ("denoised", done.image), ("truth", truth.clean)):
            path = self.output / f"{truth.name}_{kind}.tif"
            write_image(path, image, axes=axes, pixel_size=pixel_size, units=units)
            print(f"  {path}")
        panel = self.output / f"{truth.name}_panel.png"
        planes = {
            "noisy": _middle_plane(truth.noisy, None),
            "denoised": _middle_plane(done.image, None),
            "truth": _middle_plane(truth.clean, None),
        }
        write_panel(panel, planes, residual=planes["noisy"] - planes["denoised"], title=f"{truth.name}, {self.model}")
        print(f"  {panel}")
        if not self.napari:
            print(f"\nopen in napari\n  napari {self.output}/{truth.name}_*.tif\n  napari-hush demo --napari")
            return 0
        _show_in_napari(truth, done, model.card.name)
        return 0


@dataclass(frozen=True, kw_only=True)
class Denoise:
    """Denoise image files: TIFF, PNG, NPY, HDF5 (FILE.h5:/dataset), zarr; microscope formats with the extra."""

    inputs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IN [IN ...]")]
    """Files, or globs in quotes."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="OUT")] = None
    """A file, or a folder for several inputs; NAME_denoised.tif beside each input if not given."""
    model: str = "stem"
    """A bundled model, or a model file: .safetensors, Keras .h5."""
    dtype: DType = "float32"
    """Numbers in the output; input means the input's own, clipped and rounded where it is an integer."""
    channel_axis: int | None = None
    """Which axis holds colours or dyes, where the file does not tell."""
    panel: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Write a picture: noisy, denoised and what was taken away; a folder for several inputs."""
    settings: tyro.conf.OmitArgPrefixes[DenoiseSettings] = field(default_factory=DenoiseSettings)

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.engines import choose_engine
        from napari_hush.importers import load_model
        from napari_hush.io import expand_inputs, is_image

        if not self.inputs:
            raise InputError("no input: name a file, for example 'napari-hush denoise image.tif'")
        sources = expand_inputs(self.inputs)
        several = len(sources) > 1
        jobs = _plan_outputs(sources, self.output, several, self.panel)
        model = load_model(self.model)
        engine = choose_engine(
            model.network, device=self.settings.device, engine=self.settings.engine, precision=self.settings.precision
        )
        failed = []
        try:
            for number, (source, target, panel) in enumerate(jobs, start=1):
                label = f"[{number}/{len(jobs)}] {Path(source).name}" if several else Path(source).name
                try:
                    if several and not is_image(source):
                        raise InputError(f"{source}: not an image of a format that is read here; left out")
                    self._denoise_file(source, target, panel, model, engine, label)
                except (InputError, OSError, MemoryError) as error:
                    if not several:
                        raise
                    failed.append(source)
                    _complain("error", _one_line(error))
        finally:
            engine.close()
        if failed:
            _complain("error", f"{len(failed)} of {len(jobs)} inputs were not denoised, see above")
        return 2 if failed else 0

    def _denoise_file(
        self,
        source: str | Path,
        target: Path,
        panel: Path | None,
        model: Model,
        engine: Engine,
        label: str,
    ) -> None:
        from napari_hush.inference import denoise_steps
        from napari_hush.io import check_writable, convert_dtype, read_image, write_image, zarr_writer
        from napari_hush.panels import write_panel

        check_writable(target)
        if panel is not None:
            check_writable(panel)
        image = read_image(source)
        channel_axis = image.channel_axis if self.channel_axis is None else self.channel_axis
        dtype = str(image.data.dtype) if self.dtype == "input" else self.dtype
        if target.suffix.lower() == ".png" and dtype not in ("uint8", "uint16"):  # told before the work, not after it
            raise InputError(f"{target}: PNG holds 8 or 16 bit, not {dtype}: add --dtype uint16, or write a .tif")
        run = partial(denoise_steps, image.data, model, self.settings, channel_axis=channel_axis, engine=engine)
        if target.suffix == ".zarr":
            # tile by tile: neither the input nor the output need fit into memory
            writer = partial(zarr_writer, target, shape=tuple(image.data.shape), dtype=dtype, like=image)
            done = _run_with_bar(run(out=writer), label)
            result = read_image(target).data if panel else None
        else:
            done = _run_with_bar(run(), label)
            result = convert_dtype(done.image, dtype)
            write_image(target, result, like=image)
        print(f"{target}: {_run_text(done)}")
        if panel is not None:
            noisy, denoised = (_middle_plane(data, channel_axis) for data in (image.data, result))
            title = f"{Path(source).name}, {model.card.name}"
            write_panel(panel, {"noisy": noisy, "denoised": denoised}, residual=noisy - denoised, title=title)
            print(f"{panel}: noisy, denoised, residual")


COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": Demo,
    "denoise": Denoise,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 where everything was done, 2 for input that cannot be used, 130 after Ctrl-C.
    """
    warnings.showwarning = lambda message, *_, **__: _complain("warning", str(message))
    warnings.filterwarnings("always", category=UserWarning, module="napari_hush")
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="napari-hush",
        description="Denoise scientific images with generative adversarial networks.",
        args=arguments,
    )
    try:
        return int(command.run())
    except (InputError, OSError, MemoryError) as error:
        _complain("error", _one_line(error))
        return 2
    except KeyboardInterrupt:
        _complain("cancelled", "nothing was left half-written")
        return 130


def _plan_outputs(
    sources: Sequence[str | Path], output: Path | None, several: bool, panel: Path | None
) -> list[tuple[str | Path, Path, Path | None]]:
    """(source, output file, panel file) for every input, checked before any work."""
    if output is not None and several:
        if output.exists() and not output.is_dir():
            raise InputError(f"{output}: several inputs need a folder for the output, this is a file")
        if output.suffix and not output.is_dir():
            raise InputError(f"{output}: several inputs need a folder for the output, which has no suffix")
        output.mkdir(parents=True, exist_ok=True)
    if panel is not None and several:
        panel.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[str | Path, Path, Path | None]] = []
    taken: set[Path] = set()
    for source in sources:
        path = Path(source)
        name = f"{path.stem}_denoised.zarr" if path.suffix == ".zarr" else f"{path.stem}_denoised.tif"
        if output is None:
            target = path.with_name(name)
        else:
            target = output / name if several or (output.is_dir() and output.suffix != ".zarr") else output
        if target.resolve() == path.resolve():
            raise InputError(f"{target}: the output would replace the input; choose another name with -o")
        if target in taken:
            raise InputError(f"{target}: two inputs would be written to this file; denoise them one by one")
        taken.add(target)
        picture = panel / f"{path.stem}_panel.png" if panel is not None and several else panel
        jobs.append((source, target, picture))
    return jobs


def _run_with_bar(steps: Any, label: str) -> Denoised:
    from napari_hush.inference import run_steps

    return run_steps(steps, True, label=label)


def _run_text(done: Denoised) -> str:
    p = done.provenance
    tile = f"tiles of {p['tile'][0]} x {p['tile'][1]} px" if p["tile"] else "one pass"
    rate = math.prod(p["shape"]) / 1e6 / max(p["seconds"], 1e-9)
    return (
        f"{p['model']} on {p['device']} with {p['engine']} in {p['precision']}, {tile}, {p['seconds']:.1f} s "
        f"({rate:.2f} megapixels/s)"
    )


def _middle_plane(data: Any, channel_axis: int | None) -> np.ndarray:
    """One plane for a picture: (Y, X), or (Y, X, 3) where there are three channels."""
    import numpy as np

    from napari_hush.planes import Planes

    planes = Planes(data, channel_axis)
    index = tuple(n // 2 for n in planes.lead_shape)
    channels = list(range(planes.n_channels)) if planes.n_channels == 3 else [0]
    values = planes.read(index, channels, slice(None), slice(None)).astype(np.float64)
    return np.moveaxis(values, 0, -1) if len(channels) == 3 else values[0]


def _show_in_napari(truth: Any, done: Denoised, model: str) -> None:
    try:
        from napari_hush.widgets.viewer import show
    except ImportError as error:
        raise InputError(f"napari is not installed ({error}): 'pip install napari-hush[napari]'") from error
    show(truth, done, model)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); write to a .zarr output, or choose a smaller --tile"
    return " ".join(str(error).split())


def _complain(kind: str, text: str) -> None:
    print(f"napari-hush: {kind}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
