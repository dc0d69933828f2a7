"""``napari-hush demo``: simulate, denoise, compare with the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from napari_hush.cli.console import run_text, run_with_bar
from napari_hush.cli.denoise import DenoiseOptions
from napari_hush.cli.options import settings_of, told_by
from napari_hush.errors import InputError
from napari_hush.inference.settings import DenoiseSettings

if TYPE_CHECKING:
    from napari_hush.inference.denoise import Denoised

MADE = "demo"


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
    overwrite: bool = False
    """Replace older files that no demo made."""
    napari: bool = False
    """Open napari with the layers in it."""
    settings: Annotated[tyro.conf.OmitArgPrefixes[DenoiseOptions], told_by(DenoiseOptions)] = field(
        default_factory=DenoiseOptions
    )

    def run(self) -> int:
        """Run it; the exit code."""
        from napari_hush.fidelity.glance import given_back_words, glance
        from napari_hush.fidelity.metrics import METRICS
        from napari_hush.importers.registry import load_model
        from napari_hush.inference.denoise import denoise_steps
        from napari_hush.io import write_image
        from napari_hush.reports.panels import middle_plane, write_panel
        from napari_hush.synthesis.samples import sample

        panel, images = self._files()
        model = load_model(self.model)
        truth = sample(self.sample, self.seed)
        print(f"sample   {truth.name}: {truth.description} (simulated, seed {self.seed})")
        print(f"model    {model.card.name}: {model.card.description.partition('. ')[0].rstrip('.')}")
        done = run_with_bar(denoise_steps(truth.noisy, model, settings_of(self.settings, DenoiseSettings)), truth.name)
        print(f"run      {run_text(done)}\n")
        print(f"{'against the truth':18}{'noisy':>12}{'denoised':>12}")
        for metric in METRICS.values():
            before, after = metric(truth.clean, truth.noisy), metric(truth.clean, done.image)
            print(f"{metric.label:18}{before:12.4g}{after:12.4g}  {metric.unit}".rstrip())
        seen = glance(truth.noisy, done.image, pixel_size=truth.pixel_size)
        print(f"\nby the noisy image alone\n{seen.words}")
        if words := given_back_words(done.provenance):
            print(words)
        self.output.mkdir(parents=True, exist_ok=True)
        axes = "TYX"[-truth.noisy.ndim :]
        pixel_size = (1.0, truth.pixel_size, truth.pixel_size)[-truth.noisy.ndim :]
        units = ("", "nm", "nm")[-truth.noisy.ndim :]
        print("\nwritten")
        history = {**done.provenance, "made": MADE}
        for kind, image in (("noisy", truth.noisy), ("denoised", done.image), ("truth", truth.clean)):
            write_image(images[kind], image, axes=axes, pixel_size=pixel_size, units=units, history=history)
            print(f"  {images[kind]}")
        planes = {
            "noisy": middle_plane(truth.noisy, None),
            "denoised": middle_plane(done.image, None),
            "truth": middle_plane(truth.clean, None),
        }
        title = f"{truth.name}, {self.model}"
        write_panel(panel, planes, residual=planes["noisy"] - planes["denoised"], title=title, history=history)
        print(f"  {panel}")
        if not self.napari:
            files = f"{self.output}/{truth.name}_*.tif"
            print(f"\nopen in napari\n  napari --plugin napari-hush {files}\n  napari-hush demo --napari")
            return 0
        _show_in_napari(truth, done, model.card.name)
        return 0

    def _files(self) -> tuple[Path, dict[str, Path]]:
        """The panel and the images to write; those of an earlier demo are made again."""
        from napari_hush.io.history import is_unchanged, read_history
        from napari_hush.io.outputs import check_outputs

        panel = self.output / f"{self.sample}_panel.png"
        images = {kind: self.output / f"{self.sample}_{kind}.tif" for kind in ("noisy", "denoised", "truth")}
        found = {path: read_history(path) for path in (panel, *images.values()) if path.exists()}
        own = [path for path, note in found.items() if note and note.get("made") == MADE and is_unchanged(path, note)]
        check_outputs([panel, *images.values()], [self.model], overwrite=self.overwrite, own=own)
        return panel, images


def _show_in_napari(truth: Any, done: Denoised, model: str) -> None:
    try:
        from napari_hush.widgets.viewer import show
    except ImportError as error:
        raise InputError(f"napari is not installed ({error}): pip install 'napari-hush[napari]'") from error
    show(truth, done, model)
