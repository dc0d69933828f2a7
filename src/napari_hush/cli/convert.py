"""``napari-hush convert``: a model from one file format into another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path  # noqa: TC003 - tyro reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from napari_hush.cli.console import printable, size_text
from napari_hush.cli.importing import ImportOptions, model_path
from napari_hush.cli.options import told_by
from napari_hush.errors import InputError
from napari_hush.exporters import EXPORTERS
from napari_hush.exporters import expected as exportable
from napari_hush.importers.registry import expected as importable

if TYPE_CHECKING:
    from napari_hush.card import ModelCard


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert a model into another file format, which the ending of OUT chooses."""

    source: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(metavar="IN", help=f"A bundled model, or {importable()}.")
    ]
    target: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(metavar="OUT", help=f"The file to write: {exportable()}."),
    ]
    importing: Annotated[tyro.conf.OmitArgPrefixes[ImportOptions], told_by(ImportOptions)] = field(
        default_factory=ImportOptions
    )
    name: str | None = None
    """A new name for the model's card."""
    description: str | None = None
    """What the model is for, in one or two sentences."""
    licence: str | None = None
    """Licence of the weights as an SPDX identifier, for example CC-BY-4.0; a package needs one."""
    author: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Who made it, for a package; once for each author."""
    overwrite: bool = False
    """Replace OUT if it exists."""

    def run(self) -> int:
        """Run it; the exit code."""
        self._check_target()
        model = self.importing.load(self.source)
        model = replace(model, card=self._fill(model.card))
        from napari_hush.exporters import export

        options = {"authors": list(self.author)} if self.author else {}
        export(model, self.target, **options)
        kind = EXPORTERS[self.target.suffix.lower()].kind
        size = size_text(self.target.stat().st_size)
        print(f"{self.target}: {kind}, {model.architecture}, {model.n_parameters:,} parameters, {size}")
        return 0

    def _check_target(self) -> None:
        """Tell before the work what would go wrong after it."""
        from napari_hush.io.outputs import check_outputs

        target, source = self.target, model_path(self.source)
        exporter = EXPORTERS.get(target.suffix.lower())
        if exporter is None:
            raise InputError(f"{target}: ends in none of {exportable()}: choose one of these endings")
        if self.author and "authors" not in exporter.options:
            raise InputError(f"{target}: a file of this kind ({exporter.kind}) names no authors; leave out --author")
        if target.is_dir():
            raise InputError(f"{target}: is a folder; name a file in it")
        if not target.parent.is_dir():
            raise InputError(f"{target}: the folder {target.parent} does not exist; create it or choose another")
        check_outputs([target], [source] if source.exists() else [], overwrite=self.overwrite)

    def _fill(self, card: ModelCard) -> ModelCard:
        given: dict[str, Any] = {
            key: value for key in ("name", "description", "licence") if (value := getattr(self, key)) is not None
        }
        if not given:
            return card
        for key, value in given.items():
            if not value.strip() or value != printable(value):
                raise InputError(f"--{key} must be a line of text, got {value!r}")
        try:
            return type(card)(**(card.model_dump() | given))
        except ValueError as error:
            raise InputError(f"--name must be at most 200 letters, got {len(given.get('name', ''))}") from error
