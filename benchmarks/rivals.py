"""What a user would pick instead of our models: each rival is a function of the noisy image.

    python benchmarks/rivals.py [--careamics PYTHON]

prints which of them run here, and what the others need. All take ``(noisy, clean, sigma)``, images (Y, X) in any unit;
``sigma`` is the noise's standard deviation in that unit. Where a method has a free parameter and ``clean`` is not None,
the parameter is the best for that very image, chosen with the truth: better than what a user can reach. Noise2Void and
N2V2 run in an interpreter of their own (``python -m venv FOLDER``, ``FOLDER/bin/pip install careamics``): CAREamics
brings other versions of much that this package needs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage import restoration

from periodic_blocks import periodic_blocks
from stabilised import variance_line

if TYPE_CHECKING:
    from fields import Field

Rival = Callable[[np.ndarray, "np.ndarray | None", float], np.ndarray]
Method = Callable[["Field"], np.ndarray]

GAUSSIANS = np.geomspace(0.3, 12, 20)  # px
WEIGHTS = np.geomspace(0.3, 4, 8)  # of the total variation, in standard deviations of the noise

# Noise2Void in an interpreter of its own, from one .npy file to another. Whatever comes first of epochs, steps and
# seconds ends the training.
CAREAMICS = """
import sys, tempfile
import numpy as np
from careamics import CAREamist
from careamics.config import create_advanced_n2v_config
from lightning.pytorch import seed_everything

source, target = sys.argv[1:3]
epochs, steps, seconds, second_version = (int(word) for word in sys.argv[3:7])
image = np.load(source).astype(np.float32)
patches = (image.shape[0] // 64) * (image.shape[1] // 64)
if patches < 2:
    raise SystemExit(f"Noise2Void needs an image of at least 64 x 128 px here; got {image.shape}")
seed_everything(0)
config = create_advanced_n2v_config(
    experiment_name="n2v", data_type="array", axes="YX", patch_size=[64, 64], batch_size=16, num_epochs=epochs,
    n_val_patches=min(8, patches // 2), use_n2v2=bool(second_version), num_workers=0,
    trainer_params=dict(max_steps=steps, max_time=dict(seconds=seconds)),
)
with tempfile.TemporaryDirectory() as folder:
    careamist = CAREamist(config, work_dir=folder, enable_progress_bar=False)
    careamist.train(train_data=image)
    print("steps:", careamist.trainer.global_step)
    result, _ = careamist.predict(pred_data=image, tile_size=(64, 64), tile_overlap=(48, 48))
np.save(target, np.squeeze(np.asarray(result[0])))
"""
CAREAMICS_HELP = "an interpreter that has careamics: pip install careamics into an environment of its own"


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long a network that learns from one noisy image may do so; whichever limit comes first ends it."""

    python: str  # the interpreter that has CAREamics
    epochs: int = 100
    steps: int = 2000
    seconds: int = 120

    def __str__(self) -> str:
        return f"{self.epochs} epochs, {self.steps} steps, {self.seconds} s"


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


def bm3d_stabilised(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """BM3D after the generalised Anscombe transformation, and its exact unbiased inverse in closed form.

    The line of the noise's variance is told by the truth, as ``sigma`` is to BM3D; without the truth it is measured on
    the noisy image. Noise that does not grow with the image is left to BM3D as it is.

    References
    ----------
    M. Makitalo, A. Foi, IEEE Trans. Image Process. 22, 91 (2013), https://doi.org/10.1109/TIP.2012.2202675
    """
    line = variance_line(noisy, clean)
    return bm3d(noisy, clean, sigma) if line is None else line.inverse(bm3d(line.forward(noisy), None, 1.0))


def periodic(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """Periodic block matching (`periodic_blocks.py`), stabilised as in `bm3d_stabilised`; only with a lattice.

    References
    ----------
    N. Mevenkamp et al., Adv. Struct. Chem. Imaging 1, 3 (2015), https://doi.org/10.1186/s40679-015-0004-8
    """
    line = variance_line(noisy, clean)
    if line is None:
        return sigma * periodic_blocks(noisy / sigma)
    return line.inverse(periodic_blocks(line.forward(noisy)))


def median(noisy: np.ndarray, clean: np.ndarray | None, sigma: float) -> np.ndarray:
    """Median of 3 x 3 px, scipy."""
    return ndimage.median_filter(noisy, 3)


def noise2void(
    noisy: np.ndarray, clean: np.ndarray | None, sigma: float, *, training: Training, version: int = 1
) -> np.ndarray:
    """Noise2Void or its version 2, CAREamics: trained on this image alone, 16 patches of 64 px at a time.

    References
    ----------
    A. Krull, T.-O. Buchholz, F. Jug, CVPR 2019, https://doi.org/10.1109/CVPR.2019.00223
    E. Hoeck, T.-O. Buchholz, A. Brachmann, F. Jug, A. Freytag, ECCV 2022 Workshops,
    https://doi.org/10.1007/978-3-031-25069-9_33
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "noisy.npy"), Path(folder, "denoised.npy")
        np.save(source, noisy)
        limits = (training.epochs, training.steps, training.seconds, int(version == 2))
        command = [training.python, "-c", CAREAMICS, str(source), str(target), *map(str, limits)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Noise2Void in {training.python} failed: {done.stderr[-2000:]}")
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
    "bm3d_vst": "BM3D, stabilised",
    "periodic": "periodic block matching",
    "n2v": "Noise2Void",
    "n2v2": "N2V2",
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
    "bm3d_vst": bm3d_stabilised,
    "periodic": periodic,
}
LEARNING = {"n2v": 1, "n2v2": 2}  # trained on each image, and the version
SPECIAL = {
    "median": ("general",),
    "bm3d_vst": ("stem", "general", "real"),
    "periodic": ("stem", "real"),
    "keras": ("tomo", "real"),
    "r_em": ("real",),
    "full": ("tomo",),
    "strict": ("stem",),
}  # domains
NEEDS = {"wavelet": "pywt", "bm3d": "bm3d", "bm3d_vst": "bm3d"}
HELP = {"pywt": "pip install PyWavelets", "bm3d": "pip install bm3d"}


def available(training: Training | None = None, keras: Path | None = None) -> dict[str, Rival]:
    """All rivals that can run here: those whose package is installed, or whose interpreter or file is given."""
    found = {name: run for name, run in RIVALS.items() if name not in NEEDS or find_spec(NEEDS[name])}
    if training:
        found |= {name: partial(noise2void, training=training, version=version) for name, version in LEARNING.items()}
    if keras:
        found["keras"] = partial(keras_tomogan, file=keras)
    return found


def what_is_missing(names: list[str]) -> str:
    """Say what each of these rivals needs to run here."""
    needed = {name: HELP[NEEDS[name]] for name in names if name in NEEDS}
    needed |= {name: f"--careamics PYTHON, {CAREAMICS_HELP}" for name in names if name in LEARNING}
    needed |= {"keras": "--keras TomoGAN.h5, the published file"} if "keras" in names else {}
    return "; ".join(f"{METHODS[name]} is not here ({words})" for name, words in needed.items())


def find_careamics(python: str | None) -> str | None:
    """The interpreter that is to run CAREamics: the given one if it has it, else this one if it has it, else None."""
    for command in [python] if python else [sys.executable]:
        try:
            test = "import importlib.util as u; raise SystemExit(u.find_spec('careamics') is None)"
            if not subprocess.run([command, "-c", test], capture_output=True, check=False).returncode:
                return command
        except OSError as error:
            print(f"{command} does not start: {error}", file=sys.stderr)
    return None


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
    training: Training | None = None,
    also: list[str] | None = None,
    keras: Path | None = None,
) -> dict[tuple[str, str], Method]:
    """All methods of a domain that can run here, by name and variant: the model's file, the rival's options.

    ``source`` is the model's bundled name or file, ``chosen`` some of `METHODS`; ``training`` is for those of
    `LEARNING`, which run where they are chosen or in ``also``; ``keras`` is the published TomoGAN's file.
    """
    import napari_hush as hush
    from napari_hush.inference.measure import is_guarded
    from napari_hush.inference.settings import DenoiseSettings

    @cache
    def loaded() -> tuple[hush.Model, str]:
        model = hush.load_model(source)
        weights = b"".join(tensor.numpy().tobytes() for tensor in model.network.state_dict().values())
        return model, f"{Path(source).stem} {sha256(weights).hexdigest()[:8]}"

    rivals = available(training, keras)
    methods: dict[tuple[str, str], Method] = {}
    missing = []
    for name in METHODS:
        usual = domain in SPECIAL.get(name, (domain,)) and name not in LEARNING
        if not (name in chosen if chosen else usual) and name not in (also or ()):
            continue
        if name in OURS:
            model, variant = loaded()
            if name in ("model", "strict") or is_guarded(model, DenoiseSettings()) == (name == "unguarded"):
                methods[name, variant] = model_method(model, OURS[name])
        elif name in ("full", "r_em"):
            methods[name, ""] = partial(given_result, name)
        elif name in rivals:
            variant = str(training) if name in LEARNING else Path(keras or "").stem if name == "keras" else ""
            methods[name, variant] = rival_method(rivals[name])
        else:
            missing.append(name)
    if missing:
        print(what_is_missing(missing), flush=True)
    return methods


def applies(method: str, condition: str, number: int, n2v_fields: int) -> bool:
    """Whether a method makes sense for this field, and is not too slow for it."""
    if method in LEARNING:
        return number < n2v_fields
    if method == "r_em":
        return condition == "SrTiO3"
    if method == "bm3d_vst":  # noise that does not grow with the image needs no stabilising
        return ", Gaussian" not in condition and "salt" not in condition
    return {"median": "salt and pepper", "full": "projections"}.get(method, "") in condition


def _best(candidates: list[np.ndarray], clean: np.ndarray) -> np.ndarray:
    """Pick the candidate with the smallest squared error."""
    return min(candidates, key=lambda image: float(np.mean((image - clean) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--careamics", help=CAREAMICS_HELP)
    args = parser.parse_args()
    python = find_careamics(args.careamics)
    here = available(Training(python=python) if python else None)
    for name, run in here.items():
        told = getattr(run, "func", run).__doc__ or ""
        print(f"- {METHODS[name]}: {told.splitlines()[0]}")
    print(what_is_missing([name for name in (*RIVALS, *LEARNING) if name not in here]))


if __name__ == "__main__":
    main()
