"""Train a bundled model from its recipe; run again with --resume, it goes on where it was.

    OMP_WAIT_POLICY=PASSIVE python scripts/train_bundled.py stem --out build/stem --resume

Checkpoint, previews and a log (one line of JSON per validation) go to the folder ``--out``; at the end the model file
and its page, NAME.safetensors and NAME.md. Without the passive wait, OpenMP's threads spin for one another where other
processes want the cores, too.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_hush.card import ModelCard
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.training.fit import fit
from napari_hush.training.settings import SupervisedSettings, TrainSettings

if TYPE_CHECKING:
    from napari_hush.model import Model

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
    """

    method: str
    data: SynthesisSettings
    settings: TrainSettings
    description: str
    limits: tuple[str, ...]


RECIPES = {
    "stem": Recipe(
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
            steps=12000,
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
            "Bright columns on a darker ground: images with dark columns must be inverted first.",
            "About 12 px per lattice period, 8.4 to 16.8, brought there from 5 to 40 px by resampling; normalised "
            "after that.",
            "From 2 to 500 counts per pixel at the peaks, before resampling. Fine lattices at low dose fade.",
            "Row jitter is smoothed, not measured: slow drift and scan distortion stay in the result.",
            "A single vacancy or weak column at low dose can be filled or lost; compare with the noisy image.",
            "Not for tomography, electron diffraction, light microscopy or images of grains and particles: small "
            "shapes come out rounded, like atom columns.",
        ),
    ),
}


def run(name: str, recipe: Recipe, out: Path, *, resume: bool) -> Model:
    """Train to the end, with a log."""
    steps = fit(recipe.method, recipe.data, recipe.settings, checkpoint=out / f"{name}.ckpt", resume=resume or None)
    began = time.monotonic()
    with closing(steps), (out / f"{name}.jsonl").open("a" if resume else "w", encoding="utf-8") as log:
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if "psnr" in event.losses or event.step % 50 == 0:
                losses = {key: round(value, 5) for key, value in event.losses.items()}
                line = {"step": event.step, "seconds": round(time.monotonic() - began, 1), **losses}
                if "psnr" in event.losses:
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                print(f"{event.step}/{event.total}: {event.message}; {json.dumps(losses)}", flush=True)


def page(card: ModelCard) -> str:
    """Format a card as Markdown: what it is, limits, training, metrics."""
    lines = [f"# {card.name}", "", card.description, "", f"Licence: {card.licence}. Made by `{card.source}`.", ""]
    lines += ["## Limits", "", *(f"- {limit}" for limit in card.limits), "", "## Training", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in card.training.items()]
    lines += ["", "## Measured", ""]
    for part, figures in card.metrics.items():
        lines.append(f"- {part}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--out", type=Path, required=True, help="folder, made if it is missing")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    parser.add_argument("--steps", type=int, help="fewer, for a trial")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    args = parser.parse_args()
    recipe = RECIPES[args.name]
    if args.steps:
        settings = replace(recipe.settings, steps=args.steps, validate_every=min(250, args.steps))
        recipe = replace(recipe, settings=settings)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    model = run(args.name, recipe, args.out, resume=args.resume)
    data = {key: value for key, value in asdict(recipe.data).items() if value not in (None, ())}
    about = {
        "name": args.name,
        "description": recipe.description,
        "source": f"scripts/train_bundled.py {args.name}",
        "licence": "BSD-3-Clause",
        "limits": list(recipe.limits),
        "training": {**model.card.training, "data": data},
    }
    card = ModelCard.model_validate(json.loads(json.dumps(model.card.model_dump() | about)))
    scale = model.scale and model.scale.model_copy(update={"period": PERIOD})
    replace(model, card=card, scale=scale).save(args.out / f"{args.name}.safetensors")
    (args.out / f"{args.name}.md").write_text(page(card), encoding="utf-8")


if __name__ == "__main__":
    main()
