"""How many frames of an image may look together: whether it is a series at all, and a model suits one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from napari_hush.inference.measure import MeasuredLattice
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.model import Model

WINDOW = 8  # frames that look together, unless somebody says otherwise
SMALLEST = 64  # px: less says too little of how frames lie to each other


def frames_of(lattice: MeasuredLattice, model: Model, settings: DenoiseSettings, *, region: bool) -> int:
    """How many frames of an image may look together; 1: each stands alone.

    Parameters
    ----------
    lattice : MeasuredLattice
        Of the image.
    model : Model
        What is run on it.
    settings : DenoiseSettings
        ``frames`` in it.
    region : bool
        Whether only a part of each plane is wanted.

    Raises
    ------
    InputError
        If a number of frames is insisted on where there is no series, or only a part is wanted.
    """
    wanted = settings.frames
    if wanted is False or (region and wanted == "auto"):
        return 1
    source = lattice.source
    lead = source.lead_shape
    reason = ""
    if region:
        reason = "only a part of each plane is wanted, and parts are denoised alone"
    elif not lead and source.channel_axis == 0:
        reason = (
            f"the first axis of {tuple(source.image.shape)} was read as colours or dyes; if it counts frames leave "
            "channel_axis out, on the command line add --series"
        )
    elif not lead or lead[0] < 2:
        reason = f"expected a stack of two or more frames (T, Y, X), got an image of shape {tuple(source.image.shape)}"
    elif model.depth > 1:
        reason = (
            f"{model.card.name} looks at {model.depth} slices of a volume together: choose a model of single images"
        )
    elif len(source.levels) > 1:
        reason = "each of its frames stands on a pedestal of its own: subtract it first"
    elif min(source.plane_shape) < SMALLEST:
        reason = f"expected frames of at least {SMALLEST} px, got {source.plane_shape}"
    if reason:
        if wanted == "auto":
            return 1
        raise InputError(f"frames={wanted}: {reason}; or leave frames out")
    if wanted == "auto" and lattice.spacing is None and lattice.projections is not None:
        return 1  # slices of tomography: neighbours are other places, and share their streaks
    return min(WINDOW if wanted == "auto" else int(wanted), lead[0])
