"""Arguments with which the large networks are small enough for a test."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "autoencoder": {"widths": (4, 8)},
    "unet": {"width": 4},
    "cyclegan_resnet": {"width": 4, "blocks": 2},
    "cyclegan_unet": {"width": 2, "levels": 5},
}
