"""What a user would pick instead of our models: each rival is a function of the noisy image.

All take ``(noisy, clean, sigma)``, images (Y, X) in any unit; ``sigma`` is the noise's standard deviation in that unit.
Where a method has a free parameter and ``clean`` is not None, the parameter is the best for that very image, chosen
with the truth: better than what a user can reach.
"""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage import restoration

if TYPE_CHECKING:
    from fields import Field

Rival = Callable[[np.ndarray, "np.ndarray | None", float], np.ndarray]
Method = Callable[["Field"], np.ndarray]

GAUSSIANS = np.geomspace(0.3, 12, 20)  # px
WEIGHTS = np.geomspace(0.3, 4, 8)  # of the total variation, in standard deviations of the noise

# Noise2Void in an interpreter of its own: {input} and {output} are .npy files.
CAREAMICS = """
import sys, tempfile
import numpy as np
from careamics import CAREamist
from careamics.config import create_n2v_config
from lightning.pytorch import seed_everything

source, target, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
image = np.load(source).astype(np.float32)
seed_everything(0)
config = create_n2v_config(
    experiment_name="n2v", data_type="array", axes="YX", patch_size=[64, 64], batch_size=16, num_epochs=epochs
)
with tempfile.TemporaryDirectory() as folder:
    careamist = CAREamist(config, work_dir=folder, enable_progress_bar=False)
    careamist.train(train_data=image)
    result, _ = careamist.predict(pred_data=image, tile_size=(64, 64), tile_overlap=(48, 48))
np.save(target, np.squeeze(np.asarray(result[0])))
"""


def noisy_image(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """Do nothing."""
    return noisy


def best_gaussian(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """Gaussian filter, scipy: of 20 widths from 0.3 to 12 px the best for this image; without the truth 1 px."""
    if clean is None:
        return ndimage.gaussian_filter(noisy, 1.0)
    return _best([ndimage.gaussian_filter(noisy, width) for width in GAUSSIANS], clean)


def non_local_means(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """Non-local means, scikit-image: patches of 5 px, 6 px apart at most, h = 0.8 sigma, fast mode.

    References
    ----------
    A. Buades, B. Coll, J.-M. Morel, CVPR 2005, https://doi.org/10.1109/CVPR.2005.38
    """
    return restoration.denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True
    )


def total_variation(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """Total variation, scikit-image: of 8 weights from 0.3 to 4 sigma the best for this image; without the truth sigma.

    References
    ----------
    A. Chambolle, J. Math. Imaging Vis. 20, 89 (2004), https://doi.org/10.1023/B:JMIV.0000011325.36760.1e
    """
    if clean is None:
        return restoration.denoise_tv_chambolle(noisy, weight=sigma)
    return _best([restoration.denoise_tv_chambolle(noisy, weight=w * sigma) for w in WEIGHTS], clean)


def wavelet(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """BayesShrink on Daubechies' first wavelet, scikit-image: sigma given, the mean over 4 x 4 shifts.

    References
    ----------
    S. G. Chang, B. Yu, M. Vetterli, IEEE Trans. Image Process. 9, 1532 (2000), https://doi.org/10.1109/83.862633
    """
    offset, span = float(noisy.min()), float(np.ptp(noisy))  # the function clips its result to 0 and 1
    unit, total = (noisy - offset) / span, np.zeros(noisy.shape)
    for shift in np.ndindex(4, 4):
        moved = np.roll(unit, shift, axis=(0, 1))
        found = restoration.denoise_wavelet(moved, method="BayesShrink", rescale_sigma=True, sigma=sigma / span)
        total += np.roll(found, (-shift[0], -shift[1]), axis=(0, 1))
    return total / 16 * span + offset


def bm3d(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """BM3D, the authors' package ``bm3d`` (for non-commercial use): white noise of sigma, profile "np".

    References
    ----------
    K. Dabov et al., IEEE Trans. Image Process. 16, 2080 (2007), https://doi.org/10.1109/TIP.2007.901238
    """
    from bm3d import bm3d as run

    offset, span = float(noisy.min()), float(np.ptp(noisy))
    return np.asarray(run((noisy - offset) / span, sigma_psd=sigma / span)) * span + offset


def median(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """Median of 3 x 3 px, scipy."""
    return ndimage.median_filter(noisy, 3)


def noise2void(
    noisy: np.ndarray, clean: np.ndarray | None, sigma: float, *, python: str, epochs: int = 100
) -> np.ndarray:
    """Noise2Void, CAREamics in the interpreter ``python``: trained on this image alone, 16 patches of 64 px at a time.

    References
    ----------
    A. Krull, T.-O. Buchholz, F. Jug, CVPR 2019, https://doi.org/10.1109/CVPR.2019.00223
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "noisy.npy"), Path(folder, "denoised.npy")
        np.save(source, noisy)
        command = [python, "-c", CAREAMICS, str(source), str(target), str(epochs)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Noise2Void in {python} failed: {done.stderr[-2000:]}")
        return np.load(target).astype(np.float64)


def keras_tomogan(noisy: np.ndarray, clean: np.ndarray | None, sigma: float, *, file: Path) -> np.ndarray:
    """The published TomoGAN, imported from Keras, with the upsampling that it was most likely trained with.

    References
    ----------
    Z. Liu et al., J. Opt. Soc. Am. A 37, 422 (2020), https://doi.org/10.1364/JOSAA.375595
    """
    import napari_hush as hush

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the image is brought to the model's range
        model = hush.load_model(file, upsampling="bilinear_tf1")
        return np.asarray(hush.denoise(noisy.astype(np.float32), model, guard=False), np.float64)


METHODS = {  # in the order of the tables
    "noisy": "noisy",
    "gaussian": "best Gaussian",
    "median": "median 3 x 3",
    "nlm": "non-local means",
    "tv": "total variation",
    "wavelet": "wavelet",
    "bm3d": "BM3D",
    "n2v": "Noise2Void",
    "keras": "published TomoGAN",
    "r_em": "r_em, as published",
    "full": "all projections, no noise",
    "unguarded": "{}, no guard",
    "guarded": "{}, guarded",
    "strict": "{}, strict guard",
    "model": "**{}**",
}
OURS = {"model": "auto", "unguarded": False, "guarded": True, "strict": "strict"}  # and their guard
RIVALS: dict[str, Rival] = {
    "noisy": noisy_image,
    "gaussian": best_gaussian,
    "median": median,
    "nlm": non_local_means,
    "tv": total_variation,
    "wavelet": wavelet,
    "bm3d": bm3d,
}
SPECIAL = {
    "median": ("general",),
    "keras": ("tomo", "real"),
    "r_em": ("real",),
    "full": ("tomo",),
    "strict": ("stem",),
}  # domains
NEEDS = {"wavelet": "pywt", "bm3d": "bm3d"}


def available(python: str | None = None, epochs: int = 100, keras: Path | None = None) -> dict[str, Rival]:
    """All rivals that can run here: those whose package is installed, or whose interpreter or file is given."""
    found = {name: run for name, run in RIVALS.items() if name not in NEEDS or find_spec(NEEDS[name])}
    if python:
        found["n2v"] = partial(noise2void, python=python, epochs=epochs)
    if keras:
        found["keras"] = partial(keras_tomogan, file=keras)
    return found


def rival_method(run: Callable[..., np.ndarray]) -> Method:
    """Apply a rival to every channel, with the noise that this image truly has, or its estimate."""

    def apply(field: Field) -> np.ndarray:
        noisy = field.noisy.astype(np.float64).reshape(-1, *field.noisy.shape[-2:])
        planes = []
        for k, plane in enumerate(noisy):
            clean = None if field.clean is None else field.clean.reshape(noisy.shape)[k]
            sigma = float(np.std(plane - clean) if clean is not None else restoration.estimate_sigma(plane))
            planes.append(np.asarray(run(plane, clean, sigma), np.float64))
        return np.stack(planes).reshape(field.noisy.shape)

    return apply


def given_result(name: str, field: Field) -> np.ndarray:
    """What came with the image."""
    return field.given[name]


def model_method(model: Any, guard: Any) -> Method:
    """Denoise as `hush.denoise` does by itself, or without the guard."""
    import napari_hush as hush
    from napari_hush.inference.denoise import denoise_steps, run_steps
    from napari_hush.inference.settings import DenoiseSettings

    def apply(field: Field) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of periods that the model does not know
            if field.volume is not None:  # for models of single slices too: the same normalisation
                options = DenoiseSettings(guard=guard)
                return np.asarray(run_steps(denoise_steps(field.volume, model, options, plane=(field.slice,))).image)
            axis = 0 if field.noisy.ndim == 3 else None
            output = hush.denoise(field.noisy.astype(np.float32), model, channel_axis=axis, guard=guard)
            return np.asarray(output, np.float64)

    return apply


def make_methods(
    domain: str,
    source: str,
    chosen: list[str] | None = None,
    *,
    python: str | None = None,
    epochs: int = 100,
    keras: Path | None = None,
) -> dict[tuple[str, str], Method]:
    """All methods of a domain that can run here, by name and variant: the model's file, the rival's options.

    ``source`` is the model's bundled name or file, ``chosen`` some of `METHODS`; ``python`` and ``epochs`` are for
    Noise2Void, ``keras`` is the published TomoGAN's file.
    """
    import napari_hush as hush
    from napari_hush.inference.measure import is_guarded
    from napari_hush.inference.settings import DenoiseSettings

    @cache
    def loaded() -> tuple[hush.Model, str]:
        model = hush.load_model(source)
        weights = b"".join(tensor.numpy().tobytes() for tensor in model.network.state_dict().values())
        return model, f"{Path(source).stem} {sha256(weights).hexdigest()[:8]}"

    rivals = available(python, epochs, keras)
    methods: dict[tuple[str, str], Method] = {}
    missing = []
    for name in METHODS:
        if name not in chosen if chosen else name in SPECIAL and domain not in SPECIAL[name]:
            continue
        if name in OURS:
            model, variant = loaded()
            if name in ("model", "strict") or is_guarded(model, DenoiseSettings()) == (name == "unguarded"):
                methods[name, variant] = model_method(model, OURS[name])
        elif name in ("full", "r_em"):
            methods[name, ""] = partial(given_result, name)
        elif name in rivals:
            variant = {"n2v": f"{epochs} epochs", "keras": Path(keras or "").stem}.get(name, "")
            methods[name, variant] = rival_method(rivals[name])
        else:
            missing.append(name)
    if missing:
        print(f"not here: {', '.join(missing)}", flush=True)
    return methods


def applies(method: str, condition: str, number: int, n2v_fields: int) -> bool:
    """Whether a method makes sense for this field, and is not too slow for it."""
    if method == "n2v":
        return number < n2v_fields
    if method == "r_em":
        return condition == "SrTiO3"
    return {"median": "salt and pepper", "full": "projections"}.get(method, "") in condition


def _best(candidates: list[np.ndarray], clean: np.ndarray) -> np.ndarray:
    """Pick the candidate with the smallest squared error."""
    return min(candidates, key=lambda image: float(np.mean((image - clean) ** 2)))
