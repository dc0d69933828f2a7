"""The bundled models: small enough to ship, and each tells what it is, how it was made and what it reaches."""

from __future__ import annotations

from napari_hush.card import ZOO, list_models


def test_all_weights_together_stay_under_twelve_megabytes() -> None:
    assert sum(path.stat().st_size for path in ZOO.glob("*.safetensors")) < 12e6


def test_each_card_tells_all_there_is_to_know() -> None:
    cards = list_models()
    assert {card.name for card in cards} >= {"stem", "stem-regular", "tomo", "tomo-slices", "general", "stem-cyclegan"}
    for card in cards:
        assert card.source == f"scripts/train_bundled.py {card.name}"
        assert card.licence == "BSD-3-Clause" and len(card.limits) >= 4
        assert {"data", "settings", "steps", "minutes", "hardware", "versions"} <= card.training.keys()
        assert card.metrics["command"].endswith(f"--model {card.name}") and "SSIM model" in card.metrics["table"]
        page = (ZOO / f"{card.name}.md").read_text(encoding="utf-8")
        assert card.description in page and card.metrics["table"] in page
