"""``napari-hush adapt``: minutes of fine-tuning of a model on one's own noisy images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from napari_hush.cli.options import options_of, settings_of, told_by
from napari_hush.errors import InputError
from napari_hush.training.adapt.settings import AdaptSettings

AdaptOptions: Any = options_of(AdaptSettings)


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Fine-tune a model on noisy images of one sample, for minutes; without clean ones."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A bundled model or a model file; auto takes the bundled one that fits the first image."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE [IMAGE ...]")]
    """Grey images as measured, files or globs in quotes."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="MODEL.safetensors")]
    """The model file. Where nothing clearly better is found it holds the model as it was, as the last line says."""
    overwrite: bool = False
    """Replace an older file."""
    settings: Annotated[tyro.conf.OmitArgPrefixes[AdaptOptions], told_by(AdaptOptions)] = field(
        default_factory=AdaptOptions
    )

    def run(self) -> int:
        """Run it; the exit code."""
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as for train
        if not self.images:
            raise InputError("no image: name one, for example 'napari-hush adapt stem scan.tif -o mine.safetensors'")
        if self.output.suffix != ".safetensors":
            raise InputError(f"{self.output}: a model file ends in .safetensors")
        if not self.output.parent.is_dir():
            raise InputError(f"{self.output}: the folder {self.output.parent} does not exist; create it")
        settings = settings_of(self.settings, AdaptSettings)
        from napari_hush.io import expand_inputs, read_image
        from napari_hush.io.outputs import check_outputs

        paths = expand_inputs(self.images)
        needed = [self.model] if Path(self.model).is_file() else []
        check_outputs([self.output], [*paths, *needed], overwrite=self.overwrite)
        read = [read_image(path) for path in paths]
        for path, image in zip(paths, read, strict=True):
            if image.channel_axis is not None:
                raise InputError(f"{path}: has colours, adapting takes grey images: save one channel and adapt to it")
        from napari_hush.training.adapt.adapt import adapt
        from napari_hush.training.keep import save_or_keep

        done = adapt(
            [image.data for image in read],
            self.model,
            settings,
            name=self.output.stem,
            names=[Path(path).name for path in paths],
            progress=True,
        )
        save_or_keep(done.model, self.output)
        print(f"{self.output}: {done.model.card.name}, {done.words}")
        return 0
