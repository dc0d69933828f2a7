"""Models and their engines, kept from one image to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_hush.importers.registry import load_model
from napari_hush.inference.engines.registry import Engine, choose_engine
from napari_hush.inference.kept_models import load_kept
from napari_hush.model import Model

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from napari_hush.inference.settings import DenoiseSettings


class LoadedModels:
    """Models that were loaded, and an engine for each; at the end of a ``with`` block the engines are closed.

    Parameters
    ----------
    settings : DenoiseSettings
        Which engine, where, and with which numbers.
    many : bool
        Whether there are several images, so that an engine is worth its preparation also where each is small.
    kept : bool
        Whether what earlier processes have kept of a model may stand for its network, so that torch is not needed.
    """

    def __init__(self, settings: DenoiseSettings, *, many: bool = False, kept: bool = False) -> None:
        self._settings, self._many = settings, many
        self._load = load_kept if kept else load_model
        self._models: dict[str | PathLike[str], Model] = {}
        self._engines: dict[int, _Chosen] = {}

    def __enter__(self) -> LoadedModels:
        return self

    def __exit__(self, *_: object) -> None:
        for chosen in self._engines.values():
            chosen.engine.close()
        self._engines.clear()

    def model(self, source: str | Path | Model) -> Model:
        """The model of a name or file, see `load_model`; each is loaded once."""
        if isinstance(source, Model):
            return source
        if source not in self._models:
            self._models[source] = self._load(source)
        return self._models[source]

    def engine(self, model: Model, pixels: int) -> Engine:
        """The engine of a model, chosen for the most pixels that it has been asked for."""
        known = self._engines.get(id(model))
        if known is not None and (self._many or pixels <= known.pixels):
            return known.engine
        s = self._settings
        engine = choose_engine(
            model.network,
            device=s.device,
            engine=s.engine,
            precision=s.precision,
            pixels=None if self._many else pixels,
        )
        if known is not None:
            if engine.name == known.engine.name:  # with what it has prepared
                engine = known.engine
            else:
                known.engine.close()
        self._engines[id(model)] = _Chosen(model, engine, pixels)
        return engine


class _Chosen(NamedTuple):
    """An engine with its model, whose id is its own as long as it lives, and for how many pixels it was chosen."""

    model: Model
    engine: Engine
    pixels: int
