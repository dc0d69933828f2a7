"""Loading a model for a command: the importers' options as options of the shell."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from napari_hush.card import ZOO
from napari_hush.declare import parameter_texts
from napari_hush.importers.registry import IMPORTERS, load_model

if TYPE_CHECKING:
    from napari_hush.model import Model


@dataclass(frozen=True, kw_only=True)
class Importing:
    """What files of other projects do not say; an option that a file's kind does not have is refused."""

    @property
    def given(self) -> dict[str, Any]:
        """Those that were given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def load(self, source: str) -> Model:
        """The model, see `napari_hush.load_model`."""
        return load_model(source, **self.given)


def import_options() -> type[Importing]:
    """Make a dataclass with the options of all `IMPORTERS`; those that are not given are None."""
    hints: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for importer in IMPORTERS.values():
        if importer.options is not None:
            found, words = get_type_hints(importer.options), parameter_texts(importer.options)
            for name in importer.option_names:
                hints.setdefault(name, found[name])
                texts.setdefault(name, []).append(f"For a {importer.kind}: {words.get(name, '')}".rstrip(": "))
    made: list[tuple[str, Any, Any]] = [
        (name, Annotated[hint | None, tyro.conf.arg(help=" ".join(texts[name]))], field(default=None))
        for name, hint in hints.items()
    ]
    options = make_dataclass("ImportOptions", made, bases=(Importing,), frozen=True, kw_only=True)
    options.__doc__ = Importing.__doc__
    return options


if TYPE_CHECKING:
    ImportOptions = Importing
else:
    ImportOptions = import_options()


def model_path(source: str) -> Path:
    """The file that ``load_model`` reads for a bundled name or a path."""
    bundled = {path.stem: path for path in ZOO.glob("*.safetensors")}
    return bundled.get(source) or Path(source).expanduser()
