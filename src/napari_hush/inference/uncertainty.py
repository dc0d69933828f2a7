"""How far a result changes when the same image is given to a model in another pose: what only the model can tell."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.atoms.spacing import estimate_spacing
from napari_hush.errors import InputError
from napari_hush.filters.resampling import resample
from napari_hush.importers.registry import load_model
from napari_hush.inference.channels import channel_groups, slices_around
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.tiles.geometry import aligned
from napari_hush.model import Model
from napari_hush.progress import Progress, within

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import ArrayLike

    Source = str | PathLike[str] | Model

POSES = 8  # four rotations by 90 degrees, each of the image and of its mirror image
EDGE = 24  # px at the edges that a comparison of scales leaves out where there is no lattice; else two periods


@dataclass(frozen=True, eq=False)
class Spread:
    """What several runs on one plane gave.

    Parameters
    ----------
    mean : ndarray, shape of the plane
        In the image's units, of the type that `denoise` gives: float32, float64 on a high pedestal.
    deviation : ndarray, shape of the plane
        Standard deviation over the runs, float32, in the image's units.
    """

    mean: np.ndarray
    deviation: np.ndarray


def uncertainty(
    image: ArrayLike,
    model: Source | Sequence[Source] = "stem",
    settings: DenoiseSettings | None = None,
    *,
    progress: Callable[[Progress], object] | bool | None = None,
) -> Spread:
    """Measure how far the result for one plane depends on its pose, and on the model.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        The noisy image.
    model, settings
        As ``models`` and ``settings`` of `uncertainty_steps`.
    progress : callable or bool, optional
        Called with each `Progress`; True shows a bar.

    Returns
    -------
    Spread
        Mean and standard deviation over the runs; what they say stands in `uncertainty_steps`.

    Raises
    ------
    InputError
        As of `uncertainty_steps`.
    ModelFileError
        If a model cannot be loaded.

    Examples
    --------
    >>> import napari_hush as hush
    >>> noisy = hush.sample("dented-lattice").noisy[:128, :128]
    >>> spread = uncertainty(noisy, "stem")
    >>> spread.deviation.shape, bool(0 < np.median(spread.deviation) < np.std(noisy))
    ((128, 128), True)
    """
    steps: Any = uncertainty_steps(image, model, settings)
    spread: Any = run_steps(steps, progress, label="uncertainty")
    return spread  # type: ignore[no-any-return]


def uncertainty_steps(
    image: Any,
    models: Source | Sequence[Source],
    settings: DenoiseSettings | None = None,
    *,
    channel_axis: int | None = None,
    plane: tuple[int, ...] = (),
) -> Generator[Progress, None, Spread]:
    """`uncertainty` step by step; leaving the loop cancels.

    Every model denoises the plane in its eight poses, rotated by 0, 90, 180 and 270 degrees and mirrored or not, and
    each result is turned back.

    Parameters
    ----------
    image : array_like, shape (..., Y, X)
        The noisy image.
    models : str, path, Model, or a sequence of them
        What to run: for several, such as trainings of one recipe with other seeds, their disagreement counts as well.
    settings : DenoiseSettings, optional
        How to run.
    channel_axis : int, optional
        The axis of colours or dyes.
    plane : tuple of int
        Which plane of a stack, along its leading axes. It is normalised by itself, or with the neighbouring slices
        that a model takes.

    Yields
    ------
    Progress
        After each batch of tiles.

    Returns
    -------
    Spread
        Over 8 runs per model; (Y, X), or with the channels where the image has them. NaN where the image is.

    Raises
    ------
    InputError
        If there is no model or no such plane, or the plane cannot be denoised.
    ModelFileError
        If a model cannot be loaded.

    Notes
    -----
    The deviation says what the model is unsure of. It is not its error: what a model gets wrong in the same way in
    every pose does not show. And not all of it is doubt about the sample: scan noise has a direction, rows are shifted
    against each other and neighbours along them are alike, and a model that has learned this takes an image turned by
    90 degrees for one whose noise runs down the columns. A part of the deviation is that.

    References
    ----------
    G. Wang et al., "Aleatoric uncertainty estimation with test-time augmentation for medical image segmentation with
    convolutional neural networks", Neurocomputing 338, 34 (2019), https://doi.org/10.1016/j.neucom.2019.01.103

    B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and scalable predictive uncertainty estimation using deep
    ensembles", NeurIPS (2017), https://doi.org/10.48550/arXiv.1612.01474

    Examples
    --------
    >>> import napari_hush as hush
    >>> steps = uncertainty_steps(hush.sample("dented-lattice").noisy[:64, :64], ["stem"])
    >>> next(steps).message
    'pose 1 of 8, measuring the image'
    """
    settings = settings or DenoiseSettings()
    source = Planes(image, channel_axis)
    lead = source.lead_shape
    if len(plane) != len(lead) or not all(0 <= i < n for i, n in zip(plane, lead, strict=True)):
        raise InputError(f"plane {plane} does not exist: the leading axes of the image have the shape {lead}")
    named = [models] if isinstance(models, str | PathLike | Model) else models
    chosen = [load_model(one) for one in named]
    if not chosen:
        raise InputError("there is no model to run: name at least one")
    for model in chosen:
        channel_groups(source, model)  # refuses what the model cannot take
    runs, tiles = POSES * len(chosen), 1
    mean = squares = np.zeros(())  # Welford's sums: no deviation where all runs agree

    def counted(run: int) -> Callable[[Progress], Progress]:
        def change(event: Progress) -> Progress:
            nonlocal tiles
            tiles = max(tiles, event.total)
            at = run * tiles + round(event.fraction * tiles)
            return Progress(at, runs * tiles, f"pose {run + 1} of {runs}, {event.message}")

        return change

    for number, model in enumerate(chosen):
        around = _read_around(source, plane, model.depth)  # (Z, C, Y, X)
        engine = _engine(model, settings, POSES * around[0].size)
        with closing(engine):
            for pose in range(POSES):
                run = number * POSES + pose
                turned = turn(around, pose)
                steps = denoise_steps(turned, model, settings, channel_axis=1, engine=engine, plane=(model.depth // 2,))
                done = yield from within(steps, counted(run))
                given = turn_back(done.image, pose)
                values = given.astype(np.float64)
                with np.errstate(invalid="ignore"):  # infinite pixels of the image are infinite in the result
                    step = values - mean
                    mean = mean + step / (run + 1)
                    squares = squares + step * (values - mean)
    deviation = np.sqrt(squares / runs)
    return Spread(_shaped(mean.astype(given.dtype), source), _shaped(deviation.astype(np.float32), source))


def equivariance(image: ArrayLike, model: Source = "stem", settings: DenoiseSettings | None = None) -> dict[str, float]:
    """Measure how far the way in which an image is given to a model changes the result.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        The noisy image, without NaN.
    model : str, path or Model
        What to run.
    settings : DenoiseSettings, optional
        How to run; default with ``precision="float32"``. Give ``rescale=False`` to see what the network itself does
        with other scales.

    Returns
    -------
    dict
        As shares of the range, P1 to P99, of the result in one pass. ``tiling``: largest difference between tiles and
        one pass; at most 1e-5 in float32, or there are seams (bfloat16 rounds to 1e-2). ``rotation``, ``flip``: RMS
        difference after turning the image by 90, 180 and 270 degrees, and after mirroring it along Y and X.
        ``scale_up``, ``scale_down``: RMS difference after resampling it by 1.1 and by 0.9, without two lattice
        periods (24 px without a lattice) at the edges. These have no limit. Noise with a direction adds to
        ``rotation``, see `uncertainty_steps`; a resampling changes the noise, so a model that passes noise on has
        large values of ``scale_up`` and ``scale_down``, also the identity.

    Raises
    ------
    InputError
        If this is not one plane of finite pixels, is too small, or its result is flat.
    ModelFileError
        If the model cannot be loaded.

    Examples
    --------
    >>> import napari_hush as hush
    >>> found = equivariance(hush.sample("dented-lattice").noisy[:96, :96], "stem")
    >>> found["tiling"] < 1e-5, found["flip"] < 0.1
    (True, True)
    """
    plane = np.asarray(image)
    if plane.ndim != 2 or plane.dtype.kind not in "biuf" or not np.isfinite(plane).all():
        raise InputError(
            f"expected one plane (Y, X) of finite numbers, got {plane.dtype} of shape {plane.shape}: fill NaN, or crop"
        )
    period = estimate_spacing(plane)
    edge = EDGE if period is None else int(np.ceil(2 * period))
    if min(plane.shape) <= 2 * edge:
        raise InputError(f"expected more than {2 * edge} px along both axes, got {plane.shape}: give a larger part")
    settings = settings or DenoiseSettings(precision="float32")
    loaded = load_model(model)
    side = settings.tile or aligned(max(min(plane.shape) // 4, 1), loaded.stride)
    whole, tiled = replace(settings, tile=False), replace(settings, tile=side)
    engine = _engine(loaded, settings, 9 * plane.size)

    def run(given: np.ndarray, how: DenoiseSettings = whole) -> np.ndarray:
        done = run_steps(denoise_steps(given, loaded, how, engine=engine))
        return np.asarray(done.image, np.float64)

    def rescaled(factor: float) -> np.ndarray:
        made = run(resample(plane, factor))
        return resample(made, 1 / factor, shape=plane.shape, antialias=False)[edge:-edge, edge:-edge]

    with closing(engine):
        plain = run(plane)
        low, high = np.percentile(plain, (1, 99))
        if not high > low:
            raise InputError("the denoised image is flat: there is nothing to compare; choose another part or model")
        turns = [turn_back(run(turn(plane, pose)), pose) - plain for pose in (1, 2, 3)]
        flips = [turn_back(run(turn(plane, pose)), pose) - plain for pose in (4, 6)]
        inner = plain[edge:-edge, edge:-edge]
        found = {
            "tiling": float(np.abs(run(plane, tiled) - plain).max()),
            "rotation": _rms(turns),
            "flip": _rms(flips),
            "scale_up": _rms([rescaled(1.1) - inner]),
            "scale_down": _rms([rescaled(0.9) - inner]),
        }
    return {name: value / float(high - low) for name, value in found.items()}


def turn(image: np.ndarray, pose: int) -> np.ndarray:
    """Bring an image into one of its eight poses.

    Parameters
    ----------
    image : ndarray, shape (..., Y, X)
        The image.
    pose : int
        0 to 3: turned by so many times 90 degrees; 4 to 7: mirrored along X before.

    Returns
    -------
    ndarray, shape (..., Y, X) or (..., X, Y)
        A view.

    Examples
    --------
    >>> turn(np.array([[1, 2], [3, 4]]), 4).tolist()
    [[2, 1], [4, 3]]
    """
    return np.rot90(image[..., ::-1] if pose >= 4 else image, pose % 4, axes=(-2, -1))


def turn_back(image: np.ndarray, pose: int) -> np.ndarray:
    """Undo `turn`.

    Parameters
    ----------
    image : ndarray, shape (..., Y, X)
        In this pose.
    pose : int
        From 0 to 7.

    Returns
    -------
    ndarray, shape (..., Y, X) or (..., X, Y)
        A view.

    Examples
    --------
    >>> image = np.arange(6).reshape(2, 3)
    >>> all((turn_back(turn(image, pose), pose) == image).all() for pose in range(8))
    True
    """
    upright = np.rot90(image, -(pose % 4), axes=(-2, -1))
    return upright[..., ::-1] if pose >= 4 else upright


def _engine(model: Model, settings: DenoiseSettings, pixels: int) -> Any:
    return choose_engine(
        model.network, device=settings.device, engine=settings.engine, precision=settings.precision, pixels=pixels
    )


def _read_around(source: Planes, plane: tuple[int, ...], depth: int) -> np.ndarray:
    """A plane and as many of its neighbours as a model takes, (Z, C, Y, X), as in a run."""
    channels, whole = list(range(source.n_channels)), slice(None)
    if depth == 1:
        return source.read(plane, channels, whole, whole)[None]
    *before, z = plane
    places = slices_around(z, source.lead_shape[-1], depth)
    return np.stack([source.read((*before, place), channels, whole, whole) for place in places])


def _shaped(values: np.ndarray, source: Planes) -> np.ndarray:
    """A plane (C, Y, X) with its channels where the image has them."""
    if source.channel_axis is None:
        return np.asarray(values[0])
    place = sum(axis < source.channel_axis for axis in source.axes[-2:])
    return np.asarray(np.moveaxis(values, 0, place))


def _rms(differences: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(np.mean([np.mean(difference**2) for difference in differences])))
