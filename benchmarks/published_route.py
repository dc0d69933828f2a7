"""The published route beside ours: what each of its steps does to images whose truth is known.

    python benchmarks/published_route.py --data FOLDER --pictures build/tutorials/published-route
    python benchmarks/published_route.py cyclegan

FOLDER holds the published Keras models (``TomoGAN.h5``, ``dn-mdl-toy.h5``), a pair of images of their kind
(``in_A256_noisy.npy``, ``in_A256_clean.npy``, values from 0 to 1) and what Keras computes from the noisy one times 1
and times 255 (``out_NAME_A256_xS.npy``). Without it ``keras`` is left out.

- keras: the published models at three scalings of one image, as Keras computes them and as ``hush.denoise`` does.
- unet-gan: a U-Net trained on noisy pictures of tissue in colour, with a discriminator and without, for equal steps.
- cyclegan: what ``resize_and_crop`` with its default of 286 px leaves of a perfect image of a lattice, at 4 to 30 MX
  (1024 px show 37 atoms at 20 MX), beside what ``stem`` makes of the noisy one. No network is asked: this is lost
  before any.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import napari_hush as hush
from napari_hush.fidelity.evaluate import judge
from napari_hush.filters.resampling import resample
from napari_hush.synthesis import Lattice, random_scan_noise, render_lattice
from napari_hush.synthesis.pictures.phantoms import PHANTOMS
from napari_hush.training.fit import train
from quality import print_table
from seed_failure import hole

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESIZED = 286 / 1024
SIDE = 384
MODELS = {"TomoGAN": 255.0, "dn-mdl-toy": 1.0}  # the top of the range that each was trained on
STEPS, SEED = 150, 7


def psnr(image: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(10 * np.log10(np.ptp(truth) ** 2 / np.mean((np.asarray(image, float) - truth) ** 2)))


def autoscaled(image: NDArray[Any], truth: NDArray[Any]) -> float:
    """PSNR after the best line: what is left of the error where a plot chooses its own limits."""
    return psnr(np.polyval(np.polyfit(np.ravel(image), np.ravel(truth), 1), image), truth)


def keras(folder: Path, picture: Path | None) -> None:
    """The published models, fed with the range that they know and with others."""
    noisy, clean = (np.load(folder / f"in_A256_{side}.npy").squeeze().astype(np.float32) for side in ("noisy", "clean"))

    def figures(image: NDArray[Any], top: float = 1.0) -> list[str]:
        return [f"{image.std():.3g}", f"{psnr(image / top, clean):.1f}", f"{autoscaled(image, clean):.1f}"]

    rows = [["noisy", "0 to 1", "", *figures(noisy)]]
    shown = {"noisy": noisy}
    for name, top in MODELS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the file does not store its upsampling
            model = hush.load_model(folder / f"{name}.h5")
            ours = hush.denoise(noisy, model, device="cpu")
            for factor in (255.0, 1.0, 1 / 255):
                with torch.inference_mode():
                    raw = model.network(torch.from_numpy(noisy * np.float32(factor))[None, None])[0, 0].numpy()
                golden = folder / f"out_{name}_A256_x{factor:g}.npy"
                stored = np.load(golden).squeeze() if golden.exists() else None
                apart = "" if stored is None else f"{np.abs(stored - raw).max():.0e}"
                shown[f"{name} 0 to {factor:.3g}"] = raw
                rows.append([f"{name}, as Keras runs it", f"0 to {factor:.3g}", apart, *figures(raw, top)])
        rows.append([f"{name}, hush.denoise", "0 to 1", "", *figures(ours)])
        shown[f"{name}, hush.denoise"] = ours
    for name in ("tomo", "general"):
        ours = hush.denoise(noisy, name, device="cpu")
        rows.append(
            [
                f"`{name}`",
                "0 to 1",
                "",
                f"{ours.std():.3g}",
                f"{psnr(ours, clean):.1f}",
                f"{autoscaled(ours, clean):.1f}",
            ]
        )
        shown[name] = ours
    print_table(
        ["", "input", "Keras - ours, at most", "std of the output", "PSNR, dB", "after the best line, dB"], rows
    )
    if picture:
        np.savez(picture / "keras.npz", clean=clean, **shown)


def unet_gan() -> None:
    """Pictures in colour: a U-Net with a discriminator, one without, and the bundled model."""
    rng = np.random.default_rng(SEED)
    clean = [np.asarray(PHANTOMS["tissue"]((128, 128), rng=rng), np.float32) for _ in range(24)]
    noisy = [np.asarray(image + 0.1 * rng.standard_normal(image.shape), np.float32) for image in clean]
    shared: dict[str, Any] = {
        "steps": STEPS, "patch": 64, "batch_size": 8, "seed": SEED, "device": "cpu", "validate_every": STEPS,
        "picture_every": 0, "learning_rate": 1e-3, "network": "unet", "network_options": "width = 16",
        "test_share": 0.0,
    }  # fmt: skip
    tested = range(20, 24)
    rows = [["noisy", *_colours(noisy[20:], clean[20:])]]
    for title, method in (("with a discriminator", "tomogan"), ("without", "supervised")):
        with tempfile.TemporaryDirectory() as scratch:
            model = train(method, (noisy[:20], clean[:20]), shared, checkpoint=Path(scratch) / "run.ckpt")
        made = [hush.denoise(noisy[k], model, channel_axis=0, device="cpu") for k in tested]
        rows.append([f"U-Net, {STEPS} steps, {title}", *_colours(made, clean[20:])])
    made = [hush.denoise(noisy[k], "general", channel_axis=0, device="cpu") for k in tested]
    rows.append(["`general`, as it comes", *_colours(made, clean[20:])])
    print_table(["", "PSNR, dB", "mean colour wrong by, % of the range"], rows)


def _colours(made: list[NDArray[Any]], clean: list[NDArray[Any]]) -> list[str]:
    wrong = [np.abs(a.mean((-2, -1)) - b.mean((-2, -1))).max() / np.ptp(b) for a, b in zip(made, clean, strict=True)]
    level = np.mean([psnr(a, b) for a, b in zip(made, clean, strict=True)])
    return [f"{level:.1f}", f"{100 * np.mean(wrong):.2f}"]


def cyclegan(picture: Path | None) -> None:
    """What the resizing alone costs, without noise and without any network."""
    rows, shown = [], {}
    for magnification in (30, 20, 10, 4):
        period = 1024 / 37 * magnification / 20
        rng = np.random.default_rng([SEED, magnification])
        drawn = render_lattice(Lattice(kind="square", period=period, angle=11, vacancies=0.02), (SIDE, SIDE), rng)
        there = hole(rng, period, 0.8, np.array([SIDE / 2, SIDE / 2]))
        clean = (drawn.image * there).astype(np.float32)
        noisy = random_scan_noise(rng, dose=(50.0, 50.0), period=period)(clean, rng)
        small = resample(clean, RESIZED)
        back = resample(small, 1 / RESIZED, shape=clean.shape, antialias=False)
        ours = hush.denoise(noisy, "stem", device="cpu")
        figures = []
        for image in (back, ours):
            known: dict[str, Any] = {"positions": drawn.positions, "vacancies": drawn.vacancies, "transmission": there}
            found = judge(None, image, truth=clean, spacing=period, **known).as_dict()
            figures += [f"{100 * found['recall']:.1f}", f"{found['psnr']:.1f}"]
        rows.append([f"{magnification} MX", f"{period:.1f}", f"{period * RESIZED:.1f}", *figures])
        shown[f"{magnification}"] = np.stack([clean, back, noisy, ours])
    head = ["", "px per period", "after resizing", "atoms found in the *perfect* image, %", "PSNR, dB",
            "atoms found in what `stem` makes of the noisy one, %", "PSNR, dB"]  # fmt: skip
    print_table(head, rows)
    if picture:
        np.savez(picture / "cyclegan.npz", **shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help="keras, unet-gan, cyclegan; all if none is given")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("NAPARI_HUSH_DATA", "../shared/data")) / "golden"
    )
    parser.add_argument("--pictures", type=Path, help="a folder for the images, for scripts/tutorial_pictures.py")
    arguments = parser.parse_args()
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    wanted = arguments.parts or ["keras", "unet-gan", "cyclegan"]
    if "keras" in wanted:
        if arguments.data.exists():
            keras(arguments.data, arguments.pictures)
        else:
            print(f"keras: left out, there is no {arguments.data}")
    if "unet-gan" in wanted:
        unet_gan()
    if "cyclegan" in wanted:
        cyclegan(arguments.pictures)


if __name__ == "__main__":
    main()
