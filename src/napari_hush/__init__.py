"""Denoise scientific images with generative adversarial networks, and prove that nothing real was lost or invented.

The public names are loaded when they are first used: importing this package imports neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hush.atoms.columns import find_atoms
    from napari_hush.atoms.spacing import estimate_spacing
    from napari_hush.card import ModelCard, list_models
    from napari_hush.datasets.drawing import Target
    from napari_hush.datasets.settings import SynthesisSettings
    from napari_hush.datasets.synthesize import synthesize
    from napari_hush.errors import FileFormatError, InputError, ModelFileError
    from napari_hush.exporters import export
    from napari_hush.fidelity.about.about import About, describe
    from napari_hush.fidelity.evaluate import evaluate, judge
    from napari_hush.fidelity.repeats.compare import compare_repeats
    from napari_hush.importers.registry import load_model
    from napari_hush.inference.denoise import denoise
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.model import Model
    from napari_hush.progress import Progress
    from napari_hush.series.registration import Registration, register
    from napari_hush.synthesis.samples import Sample, sample
    from napari_hush.training.adapt.adapt import Adapted, adapt
    from napari_hush.training.adapt.settings import AdaptSettings
    from napari_hush.training.fit import fit, train
    from napari_hush.training.settings_file import train_settings

__all__ = [
    "About",
    "AdaptSettings",
    "Adapted",
    "DenoiseSettings",
    "FileFormatError",
    "InputError",
    "Model",
    "ModelCard",
    "ModelFileError",
    "Progress",
    "Registration",
    "Sample",
    "SynthesisSettings",
    "Target",
    "adapt",
    "compare_repeats",
    "denoise",
    "describe",
    "estimate_spacing",
    "evaluate",
    "export",
    "find_atoms",
    "fit",
    "judge",
    "list_models",
    "load_model",
    "register",
    "sample",
    "synthesize",
    "train",
    "train_settings",
]

_HOMES = {
    "About": "fidelity.about.about",
    "AdaptSettings": "training.adapt.settings",
    "Adapted": "training.adapt.adapt",
    "DenoiseSettings": "inference.settings",
    "FileFormatError": "errors",
    "InputError": "errors",
    "Model": "model",
    "ModelCard": "card",
    "ModelFileError": "errors",
    "Progress": "progress",
    "Registration": "series.registration",
    "Sample": "synthesis.samples",
    "SynthesisSettings": "datasets.settings",
    "Target": "datasets.drawing",
    "adapt": "training.adapt.adapt",
    "compare_repeats": "fidelity.repeats.compare",
    "denoise": "inference.denoise",
    "describe": "fidelity.about.about",
    "estimate_spacing": "atoms.spacing",
    "evaluate": "fidelity.evaluate",
    "export": "exporters",
    "find_atoms": "atoms.columns",
    "fit": "training.fit",
    "judge": "fidelity.evaluate",
    "list_models": "card",
    "load_model": "importers.registry",
    "register": "series.registration",
    "sample": "synthesis.samples",
    "synthesize": "datasets.synthesize",
    "train": "training.fit",
    "train_settings": "training.settings_file",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-hush")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
