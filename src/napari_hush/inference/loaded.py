"""Models and their engines, kept from one image to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.importers.registry import load_model
from napari_hush.inference.engines.registry import Engine, choose_engine
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
    """

    def __init__(self, settings: DenoiseSettings, *, many: bool = False) -> None:
        self._settings, self._many = settings, many
        self._models: dict[str | PathLike[str], Model] = {}
        self._engines: dict[int, tuple[Model, Engine]] = {}  # with its model: as long as that lives, its id is its own

    def __enter__(self) -> LoadedModels:
        return self

    def __exit__(self, *_: object) -> None:
        for _model, engine in self._engines.values():
            engine.close()
        self._engines.clear()

    def model(self, source: str | Path | Model) -> Model:
        """The model of a name or file, see `load_model`; each is loaded once."""
        if isinstance(source, Model):
            return source
        if source not in self._models:
            self._models[source] = load_model(source)
        return self._models[source]

    def engine(self, model: Model, pixels: int) -> Engine:
        """The engine of a model, chosen for so many pixels when it is first asked for."""
        key = id(model)
        if key not in self._engines:
            s = self._settings
            engine = choose_engine(
                model.network,
                device=s.device,
                engine=s.engine,
                precision=s.precision,
                pixels=None if self._many else pixels,
            )
            self._engines[key] = model, engine
        return self._engines[key][1]
