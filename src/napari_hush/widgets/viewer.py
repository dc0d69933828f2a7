"""Open napari with a sample, its denoised version and the truth: the demo's last step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
import numpy as np

from napari_hush.synthesis.samples import layers
from napari_hush.widgets.parts.layer_record import as_metadata

if TYPE_CHECKING:
    from napari_hush.inference.denoise import Denoised
    from napari_hush.synthesis.samples import Sample


def show(truth: Sample, done: Denoised, model: str, *, block: bool = True) -> napari.Viewer:
    """Open a viewer with the noisy image, the denoised one and the truth, and the *Denoise* dock beside them.

    Parameters
    ----------
    truth : Sample
        The simulated image with its truth.
    done : Denoised
        What the model made of it.
    model : str
        The model's name, for the layer.
    block : bool
        Whether to wait until the window is closed.
    """
    viewer = napari.Viewer(title="napari-hush demo")
    limits = tuple(float(v) for v in np.percentile(truth.clean, (0.5, 99.8)))
    options = layers(truth)[0][1]
    options["contrast_limits"] = limits  # one scale for all three, so that the eye compares like with like
    viewer.add_image(truth.clean, **options | {"name": f"{truth.name} · truth", "visible": False})
    viewer.add_image(truth.noisy, **options)
    metadata = as_metadata(done.provenance)
    viewer.add_image(done.image, **options | {"name": f"{truth.name} · {model}", "metadata": metadata})
    viewer.window.add_plugin_dock_widget("napari-hush", "Denoise")
    if block:
        napari.run()
    return viewer
