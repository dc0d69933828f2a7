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
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_hush.card import ModelCard
from napari_hush.training.fit import train
from napari_hush.training.settings import TwoStageSettings
from recipes import PERIOD, RECIPES, Recipe
from unpaired_sides import write_sides

if TYPE_CHECKING:
    from napari_hush.model import Model
    from napari_hush.progress import Progress


def run(name: str, recipe: Recipe, out: Path, *, resume: bool, sides: Path | None = None) -> Model:
    """Train to the end, with a log; on the two folders of ``sides``, or on what is simulated."""
    data = recipe.data if sides is None else (sides / "noisy", sides / "clean")
    began = time.monotonic()
    with (out / f"{name}.jsonl").open("a" if resume else "w", encoding="utf-8") as log:

        def report(event: Progress) -> None:
            if "psnr" in event.losses or event.step % 50 == 0:
                losses = {key: round(value, 5) for key, value in event.losses.items()}
                line = {"step": event.step, "seconds": round(time.monotonic() - began, 1), **losses}
                if "psnr" in event.losses:
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                print(f"{event.step}/{event.total}: {event.message}; {json.dumps(losses)}", flush=True)

        checkpoint = out / f"{name}.ckpt"
        return train(
            recipe.method, data, recipe.settings, checkpoint=checkpoint, resume=resume or None, progress=report
        )


def page(card: ModelCard) -> str:
    """Format a card as Markdown: what it is, limits, training, metrics."""
    lines = [f"# {card.name}", "", card.description, "", f"Licence: {card.licence}. Made by `{card.source}`.", ""]
    lines += ["## Limits", "", *(f"- {limit}" for limit in card.limits), "", "## Training", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in card.training.items()]
    lines += ["", "## Measured", ""]
    for part, found in card.metrics.items():
        if isinstance(found, dict):
            lines.append(f"- {part}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.items()))
        else:  # a paragraph or a table
            lines += [f"Made by `{found}`." if part == "command" else str(found), ""]
    return "\n".join([*lines, ""]).replace("\n\n\n", "\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--out", type=Path, required=True, help="folder, made if it is missing")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    parser.add_argument("--steps", type=int, help="fewer, for a trial")
    parser.add_argument("--start", type=Path, help="the model file that a second stage goes on from")
    parser.add_argument("--noisy", type=Path, help="folder with the real images of a recipe that wants some")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    args = parser.parse_args()
    recipe = RECIPES[args.name]
    if args.steps:
        every = min(recipe.settings.validate_every, args.steps)
        settings = replace(recipe.settings, steps=args.steps, validate_every=every)
        if isinstance(settings, TwoStageSettings):
            settings = replace(settings, unpaired_steps=max(2 * args.steps // 5, 1))
        recipe = replace(recipe, settings=settings)
    if args.start:
        recipe = replace(recipe, settings=replace(recipe.settings, start=str(args.start)))
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    sides, scale = None, None
    if recipe.noisy:
        if args.noisy is None:
            parser.error(f"{args.name} needs --noisy, a folder with {', '.join(recipe.noisy)}")
        sides = args.out / "data"
        scale = write_sides(sides, [args.noisy / name for name in recipe.noisy], recipe.data)
    model = run(args.name, recipe, args.out, resume=args.resume, sides=sides)
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
    if (scale := scale or model.scale) and recipe.data.rescale_to:
        # coarser images are brought to PERIOD by the same factors that brought the coarsest trained ones to the range
        highest = round(scale.highest * PERIOD / recipe.data.rescale_to[0])
        scale = scale.model_copy(update={"period": PERIOD, "highest": highest})
    replace(model, card=card, scale=scale, guard=recipe.guard).save(args.out / f"{args.name}.safetensors")
    (args.out / f"{args.name}.md").write_text(page(card), encoding="utf-8")


if __name__ == "__main__":
    main()
