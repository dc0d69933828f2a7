"""The recipes of the bundled models: data, network, training and what their cards say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.training.settings import SupervisedSettings, TomoGANSettings, TrainSettings, TwoStageSettings

PERIOD = 12.0  # px; the middle of what the recipes rescale to


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one bundled model is made.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    data : SynthesisSettings
        What it is trained on.
    settings : TrainSettings
        How.
    description : str
        One or two sentences for its card.
    limits : tuple of str
        What it was not trained for.
    guard : bool
        Whether the model is guarded by default.
    noisy : tuple of str
        Real noisy images, to be found in the folder ``--noisy``, for which the simulated ones are the clean side. All
        three that there are come under the MIT licence: lukmuk/r_em_workflows and xinhuolin/AtomSegNet, both on GitHub.
    """

    method: str
    data: SynthesisSettings
    settings: TrainSettings
    description: str
    limits: tuple[str, ...]
    noisy: tuple[str, ...] = ()
    guard: bool = True


RECIPES = {
    "stem-plain": Recipe(  # the first stage: lattices of one or two columns a cell, hardly displaced
        method="supervised",
        data=SynthesisSettings(
            kind="lattice",
            n=2400,
            shape=(192, 192),
            test_share=0.02,
            dose=(2.0, 500.0),
            period=(5.0, 40.0),
            rescale_to=(8.4, 16.8),
            seed=20270,
        ),
        settings=SupervisedSettings(
            network="tomogan",
            network_options='upsampling = "nearest"',
            patch=96,
            batch_size=8,
            steps=9000,
            learning_rate=1e-3,
            warmup=300,
            ema=0.999,
            validation_images=32,
            validate_every=250,
            picture_every=4,
            seed=20270,
        ),
        description="Removes scan and counting noise from atomic-resolution STEM images with bright atom columns; "
        "keeps dents, vacancies and slow contrast. For lattices brought to 12 px per period. Trained on simulated "
        "images only.",
        limits=(
            "Bright columns on a darker ground; where columns are dark (bright field, ABF), say so: dark=True.",
            "Lattice periods from 5 to 57 px, brought to 12 px by resampling; trained on 5 to 40 px brought to 8.4 to "
            "16.8 px.",
            "From 2 to 500 counts per pixel at the peaks, before resampling. Fine lattices at low dose fade.",
            "Row jitter is smoothed, not measured: slow drift and scan distortion stay in the result.",
            "A single vacancy or weak column at low dose can be filled or lost; compare with the noisy image.",
            "Not for tomography, electron diffraction, light microscopy or images of grains and particles: small "
            "shapes come out rounded, like atom columns.",
        ),
    ),
}
RECIPES["stem"] = replace(  # the second stage, from the first or from the bundled one; --start names another
    RECIPES["stem-plain"],
    data=replace(RECIPES["stem-plain"].data, n=4000, world="wide", seed=20276),
    settings=replace(
        RECIPES["stem-plain"].settings,
        start="stem",
        steps=4700,
        learning_rate=4e-4,
        warmup=200,
        loss="rms",
        lambda_gradient=0.0,
        lambda_spectrum=0.0,
        validate_every=220,
        workers=0,
        seed=20276,
    ),
    description="Removes scan and counting noise from atomic-resolution STEM images with bright atom columns; keeps "
    "dents, vacancies, displaced columns and slow contrast. For lattices brought to 12 px per period. Trained on "
    "simulated images only.",
    limits=(
        *RECIPES["stem-plain"].limits,
        "A sublattice below a tenth of the strongest columns, such as titanium in SrTiO3, fades: the guard, on by "
        "default, gives it back.",
        'Displacements come out too small at low dose, by a tenth at 5 to 10 counts: guard="strict" keeps them.',
    ),
)
RECIPES["stem-further"] = replace(  # tried, not bundled: docs/results.md says why
    RECIPES["stem"],
    data=replace(RECIPES["stem"].data, n=6000, seed=20280),
    settings=replace(RECIPES["stem"].settings, steps=5000, seed=20280),
)
RECIPES["stem-regular"] = replace(  # from the first stage or the bundled stem; --start names another
    RECIPES["stem"],
    data=replace(RECIPES["stem"].data, n=3000, world="regular", seed=20282),
    settings=replace(
        RECIPES["stem"].settings,
        steps=3600,
        learning_rate=1e-3,
        warmup=300,
        companions="lattice",
        validate_every=200,
        seed=20282,
    ),
    description="Assumes a regular crystal: removes noise from atomic-resolution STEM images with the help of all "
    "copies of each place in the lattice. To count and to look at columns, not to measure where they stand. For "
    "lattices brought to 12 px per period. Trained on simulated images only.",
    limits=(
        "Straightens: displacements of single columns, strain from cell to cell and polarisation come out too small, "
        "by a half at low dose. Measure them with `stem`.",
        "Where the crystal is not regular the verdict says so: displacements lost, detail missing.",
        *RECIPES["stem-plain"].limits,
        "Without a lattice it sees the image alone, as `stem` does.",
    ),
)
RECIPES["stem-unet"] = replace(  # the other networks that could have been stem's; compared after 5,000 steps
    RECIPES["stem-plain"],
    settings=replace(RECIPES["stem-plain"].settings, network="unet", network_options="width = 24"),
)
RECIPES["stem-unet-deep"] = replace(
    RECIPES["stem-plain"],
    settings=replace(
        RECIPES["stem-plain"].settings,
        network="unet",
        network_options="width = 24, levels = 4",
        patch=160,
        batch_size=3,
    ),
)
RECIPES["tomo"] = Recipe(
    method="supervised",
    data=SynthesisSettings(
        kind="tomography",
        n=2000,
        shape=(256, 256),
        test_share=0.02,
        dose=(40.0, 20000.0),
        angles=(12, 90),
        seed=20271,
    ),
    settings=SupervisedSettings(
        network="tomogan",
        network_options='upsampling = "nearest"',
        patch=112,
        batch_size=8,
        steps=3200,
        learning_rate=1e-3,
        warmup=300,
        ema=0.999,
        validation_images=20,
        validate_every=200,
        picture_every=4,
        seed=20271,
    ),
    description="Removes streaks and noise from slices of parallel-beam tomography that were reconstructed by filtered "
    "back-projection from few angles or at low dose. Trained on simulated slices only.",
    limits=(
        "Solid bodies in air that lie in the field of view as a whole, or most of it: foams, grains, ellipses, "
        "irregular bodies with parts, pores and cracks.",
        "From 12 to 90 angles in slices of 256 px, that is 1/34 to 1/5 of the angles that leave no streaks.",
        "A plain or slightly smoothed ramp filter; no reconstructions by iteration, no cone beam, no missing wedge.",
        "Thin cracks and weak contrasts that streaks cover are lost; smooth areas are favoured over fine texture.",
        "Rings of the detector are weakened only.",
    ),
    guard=False,
)
RECIPES["tomo-slices"] = replace(  # from the bundled one, with the slices beside each slice; --start names another
    RECIPES["tomo"],
    data=replace(RECIPES["tomo"].data, n=320, slices=5, seed=20284),
    settings=replace(
        RECIPES["tomo"].settings,
        start="tomo",
        depth=5,
        patch=96,
        batch_size=6,
        steps=2000,
        learning_rate=4e-4,
        warmup=150,
        loss="rms",
        lambda_gradient=0.0,
        lambda_spectrum=0.0,
        validation_images=6,
        validate_every=100,
        workers=0,
        seed=20284,
    ),
    description="Removes streaks and noise from volumes of parallel-beam tomography whose slices were reconstructed by "
    "filtered back-projection from few angles or at low dose; sees two slices to either side of each. Trained on "
    "simulated slabs only.",
    limits=(
        *RECIPES["tomo"].limits,
        "Needs a volume (Z, Y, X), of slices 0.5 to 2 px apart, all from the same angles: for single slices take tomo.",
    ),
)
RECIPES["tomo-adversarial"] = replace(  # the second stage of TomoGAN; with --start, or from the bundled one
    RECIPES["tomo"],
    method="tomogan",
    settings=TomoGANSettings(
        start="tomo",
        patch=112,
        batch_size=8,
        steps=300,
        learning_rate=5e-5,
        schedule="cosine",
        clip=1.0,
        lambda_adversarial=10.0,
        lambda_perceptual=0.0,
        discriminator_steps=1,
        ema=0.99,
        validation_images=20,
        validate_every=300,  # at the end only: the best PSNR before it would be that of the fewest steps
        seed=20272,
    ),
)
RECIPES["tomo-longer"] = replace(  # what as many more steps give without the discriminator
    RECIPES["tomo"],
    settings=replace(
        RECIPES["tomo"].settings,
        start="tomo",
        steps=300,
        learning_rate=5e-5,
        warmup=0,
        ema=0.99,
        validate_every=300,
        seed=20272,
    ),
)
RECIPES["stem-cyclegan"] = Recipe(  # with --noisy
    method="two-stage",
    data=SynthesisSettings(
        kind="lattice",
        n=500,
        shape=(192, 192),
        test_share=0.0,
        period=(5.5, 42.0),
        rescale_to=(8.4, 16.8),
        lattice_share=1.0,
        seed=20275,
    ),
    settings=TwoStageSettings(
        network="unet",
        network_options="width = 16",
        discriminator_width=32,
        patch=80,
        batch_size=4,
        augment="flips",
        learning_rate=5e-4,
        unpaired_steps=1800,
        steps=4600,
        final_network="tomogan",
        final_options='upsampling = "nearest"',
        final_learning_rate=1e-3,
        final_batch_size=8,
        match_scale=False,
        validation_share=0.0,
        test_share=0.0,
        validate_every=200,
        picture_every=0,
        seed=20275,
    ),
    description="Removes the noise of scanned atomic-resolution images with bright atom columns. Made without any pair "
    "and without a noise model: the noise was learnt from three real images, the lattices are simulated. For lattices "
    "brought to 12 px per period.",
    limits=(
        "Made to show what unpaired training can do; `stem` is the better model.",
        "The noise of three images by two microscopes, of SrTiO3, DyScO3 and a dumbbell lattice; of stronger noise a "
        "part stays, as grains between the columns.",
        "Bright columns on a darker ground; where columns are dark (bright field, ABF), say so: dark=True.",
        "A single vacancy or weak column can be filled or lost; compare with the noisy image.",
    ),
    noisy=("Tecnai_Osiris_SrTiO3.tif", "10_dso_8nm_none_none.png", "03_afterimage_8nm_crp.png"),
)
RECIPES["general"] = Recipe(
    method="supervised",
    data=SynthesisSettings(kind="general", n=3600, shape=(192, 192), test_share=0.02, seed=20273),
    settings=SupervisedSettings(
        network="unet",
        network_options="width = 24",
        patch=80,
        batch_size=6,
        steps=60000,
        learning_rate=1e-3,
        warmup=300,
        ema=0.999,
        lambda_gradient=0.0,
        lambda_spectrum=0.0,
        validation_images=32,
        validate_every=500,
        picture_every=4,
        seed=20273,
    ),
    description="Removes Gaussian, Poisson-Gaussian and salt-and-pepper noise of unknown strength from grey images of "
    "all sorts: light and electron microscopy, X-ray, photographs; colours one by one. Trained on simulated images "
    "only.",
    limits=(
        "Noise that differs from pixel to pixel; grain, streaks and scan lines count as structure and stay.",
        "Gaussian noise up to a quarter of the range of values, or 5 counts per pixel at the brightest; more is "
        "smoothed too little.",
        "Fine texture that is weaker than the noise is lost.",
        "Colours are denoised one by one, without what they have in common.",
        "Atomic lattices and tomography slices have models of their own.",
    ),
    guard=False,  # salt and pepper move the slow contrast that the guard would bring back
)
RECIPES["general-plain"] = RECIPES["general"]  # the first stage
RECIPES["general"] = replace(  # the second stage, from the first or from the bundled one; --start names another
    RECIPES["general-plain"],
    data=replace(RECIPES["general-plain"].data, n=3400, world="wide", seed=20281),
    settings=replace(
        RECIPES["general-plain"].settings,
        start="general",
        patch=96,
        batch_size=5,
        steps=4000,
        learning_rate=4e-4,
        warmup=200,
        loss="rms",
        validate_every=500,
        workers=0,
        seed=20281,
    ),
    description="Removes Gaussian, Poisson-Gaussian and salt-and-pepper noise of unknown strength from grey images of "
    "all sorts, sharp or blurred by an instrument: light and electron microscopy, X-ray, photographs; colours one by "
    "one. Trained on simulated images only.",
    limits=(
        "Noise that differs from pixel to pixel, or has a grain of half a pixel; wider grain, streaks and scan lines "
        "count as structure and stay.",
        "Gaussian noise up to half of the range of values, or 2 counts per pixel at the brightest; more is smoothed "
        "too little.",
        *RECIPES["general-plain"].limits[2:],
    ),
)
