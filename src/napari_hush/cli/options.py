"""The options of a command, made from the fields of a settings dataclass."""

from __future__ import annotations

from dataclasses import field, fields, make_dataclass
from inspect import getdoc
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import tyro

from napari_hush.declare import declared

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T")


def options_of(settings: type | Any, *, hidden: Collection[str] = ()) -> type[Any]:
    """Make a dataclass with the fields of another one, for the command line.

    It checks nothing: that is left to the settings that `settings_of` makes of it, whose errors are one line.

    Parameters
    ----------
    settings : type or instance
        A dataclass of settings; the defaults are those of the instance.
    hidden : collection of str
        Fields that the command line cannot set.

    Returns
    -------
    type
        Help texts come from the docstring, choices from `NamesOf`.
    """
    kind, values = (settings, settings()) if isinstance(settings, type) else (type(settings), settings)
    hints, about = get_type_hints(kind), declared(kind)
    made: list[tuple[str, Any, Any]] = []
    for one in fields(kind):
        name, default = one.name, getattr(values, one.name)
        if name in hidden:
            continue
        names = about[name].names
        metavar = None if names is None else "{" + ",".join(names.names) + "}"
        argument = tyro.conf.arg(help=about[name].text, metavar=metavar)
        made.append((name, Annotated[hints[name], argument], field(default=default)))
    options = make_dataclass(kind.__name__, made, frozen=True, kw_only=True)
    options.__doc__ = (getdoc(kind) or "").partition("\n")[0]
    return options


def told_by(options: Any) -> Any:
    """The help of a field that holds such options: given so, it is not looked for in the source of the command."""
    return tyro.conf.arg(help=options.__doc__)


def settings_of(options: Any, kind: type[T], **hidden: Any) -> T:
    """The settings that were given as options.

    Parameters
    ----------
    options : object
        An instance of what `options_of` made.
    kind : type
        The dataclass of settings.
    **hidden
        The fields that the command line cannot set; left out they have their defaults.

    Raises
    ------
    InputError
        If the settings refuse a value.
    """
    return kind(**{one.name: getattr(options, one.name) for one in fields(options)}, **hidden)
