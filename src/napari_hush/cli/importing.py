"""Loading a model for a command: the importers' options that make sense in a shell."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_hush.card import ZOO

if TYPE_CHECKING:
    from napari_hush.model import Model

Upsampling = Literal["file", "nearest", "bilinear", "bilinear_tf1"]
Method = Literal["match", "percentile", "identity"]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What files of other projects do not say; an option that a file's kind does not have is refused."""

    upsampling: Upsampling | None = None
    """Keras files of TomoGAN: how the decoder doubles the size; file takes the file's word."""
    normalization: Method | None = None
    """Keras files: match maps images that lie outside the range of values, percentile every image, identity none."""
    value_range: tuple[float, float] | None = None
    """The values of the images that the network was trained on, for example 0 255."""
    percentiles: tuple[float, float] | None = None
    """PyTorch checkpoints: the percentiles of an image that are mapped to the network's range; else 0.1 and 99.9."""
    entry: str | None = None
    """PyTorch checkpoints with several networks: which one."""

    @property
    def given(self) -> dict[str, Any]:
        """Those that were given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def load(self, source: str) -> Model:
        """The model, see `napari_hush.load_model`."""
        from napari_hush.importers.registry import load_model

        return load_model(source, **self.given)


def model_path(source: str) -> Path:
    """The file that ``load_model`` reads for a bundled name or a path."""
    bundled = {path.stem: path for path in ZOO.glob("*.safetensors")}
    return bundled.get(source) or Path(source).expanduser()
