"""Which files a batch reads and writes, as ``napari-hush denoise`` does, and which of them are done already."""

from __future__ import annotations

import glob
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_hush.inference.settings import DenoiseSettings

COMPUTING = ("device", "tile", "batch_size", "engine")  # they change nothing that matters in a result


@dataclass(frozen=True)
class Job:
    """One input, and what is written of it.

    Parameters
    ----------
    source : str or Path
        A file, a selector in it, or with ``--volume`` and ``--series`` a folder or a pattern.
    target : Path
        The denoised image.
    panel : Path or None
        A picture of it.
    request : dict
        What is asked for: program, input, model, settings. JSON-able; equal for equal results.
    """

    source: str | Path
    target: Path
    panel: Path | None
    request: dict[str, Any]

    @property
    def label(self) -> str:
        """The input's name."""
        return Path(self.source).name


@dataclass(frozen=True, kw_only=True)
class Replacing:
    """What happens to older files.

    Parameters
    ----------
    overwrite : bool
        Replace them.
    skip_existing : bool
        Leave out inputs whose result is there, made from the same input with the same settings.
    resume : bool
        The same, but for results that a stopped run was about to replace: that run goes on.
    """

    overwrite: bool = False
    skip_existing: bool = False
    resume: bool = False


def without_results(sources: Sequence[Path], given: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Part a batch into what is to be denoised, and what this program made and found again.

    A result is left out where a pattern found it, or where its own input is in the batch as well: then the shell found
    it. A result that was named stays.

    Parameters
    ----------
    sources : sequence of Path
        The files that were found.
    given : sequence of str
        What was typed.

    Raises
    ------
    InputError
        If nothing is left.
    """
    from napari_hush.io.history import read_history
    from napari_hush.io.outputs import actual_place

    if len(sources) == 1 and str(sources[0]) in given:
        return list(sources), []
    places, named = {str(actual_place(one)) for one in sources}, set(given)
    results = []
    for source in sources:
        history = read_history(actual_place(source))
        if history and (str(source) not in named or history.get("request", {}).get("input", {}).get("name") in places):
            results.append(source)
    rest = [one for one in sources if one not in results]
    if not rest:
        raise InputError(f"{results[0]}: only results of napari-hush are found; name one itself to denoise it again")
    return rest, results


def requests(
    sources: Sequence[str | Path], model: str, settings: DenoiseSettings, **options: object
) -> list[dict[str, Any]]:
    """What is asked of each input, see `Job`."""
    from napari_hush.files import file_sha256
    from napari_hush.io.fingerprint import fingerprint
    from napari_hush.io.inputs import split_selector

    file = Path(model)
    asked = {name: value for name, value in asdict(settings).items() if name not in COMPUTING} | options
    common = {
        "version": version("napari-hush"),
        "model": file.name if file.is_file() else model,
        "model_sha256": file_sha256(file) if file.is_file() else None,
        "settings": asked,
    }
    found = [{"input": fingerprint(source), "part": split_selector(source)[1], **common} for source in sources]
    return [json.loads(json.dumps(one, default=str)) for one in found]  # as it will be read again


def plan_jobs(
    sources: Sequence[str | Path],
    asked: Sequence[dict[str, Any]],
    output: Path | None,
    panel: Path | None,
    replacing: Replacing,
    *,
    several: bool,
    needed: Sequence[str | Path] = (),
) -> tuple[list[Job], list[Job]]:
    """The jobs to do and those that are done already, all names checked before any work.

    Parameters
    ----------
    sources : sequence of str or Path
        The inputs.
    asked : sequence of dict
        From `requests`.
    output, panel : Path or None
        As they were given: a file, or a folder for several.
    replacing : Replacing
        What happens to older files.
    several : bool
        Whether outputs are folders.
    needed : sequence of str or Path
        Other files that are read, such as the model.

    Raises
    ------
    InputError
        If an output would replace an input, another output, or an older file.
    """
    from napari_hush.io.outputs import check_outputs

    _make_folders(output, panel, several)
    jobs = [
        _job(source, request, output, panel, several=several) for source, request in zip(sources, asked, strict=True)
    ]
    check_outputs(
        [one for job in jobs for one in (job.target, job.panel) if one is not None],
        [*sources, *needed],
        overwrite=True,  # older files are looked at below
    )
    done = [job for job in jobs if _is_done(job, replacing)]
    left = [job for job in jobs if job not in done]
    if not replacing.overwrite:
        _refuse_older(left)
    return left, done


def _make_folders(output: Path | None, panel: Path | None, several: bool) -> None:
    if output is not None and several:
        if output.exists() and not output.is_dir():
            raise InputError(f"{output}: several inputs need a folder for the output, this is a file")
        if output.suffix and not output.is_dir():
            raise InputError(f"{output}: several inputs need a folder for the output, which has no suffix")
        output.mkdir(parents=True, exist_ok=True)
    if panel is not None and several:
        if panel.exists() and not panel.is_dir():
            raise InputError(f"{panel}: several inputs need a folder for the panels, this is a file")
        panel.mkdir(parents=True, exist_ok=True)


def _job(source: str | Path, request: dict[str, Any], output: Path | None, panel: Path | None, *, several: bool) -> Job:
    from napari_hush.io.inputs import split_selector
    from napari_hush.names import named_after, stem

    path = split_selector(source)[0]
    if glob.has_magic(path.name) and not path.exists():  # the slices of a volume: named by what holds them
        path = path.parent.resolve()
    name = named_after(path, "denoised")
    if output is None:
        target = path.with_name(name)
    else:
        target = output / name if several or (output.is_dir() and output.suffix != ".zarr") else output
    picture = panel / f"{stem(path)}_panel.png" if panel is not None and several else panel
    return Job(source, target, picture, request)


def _refuse_older(jobs: Sequence[Job]) -> None:
    """Refuse older files that are not what the run will make again."""
    from napari_hush.files import is_empty_folder
    from napari_hush.io.history import is_unchanged, read_history

    reasons = []
    for job in jobs:
        for path in (job.target, job.panel):
            if path is None or not path.exists() or is_empty_folder(path):
                continue
            history = read_history(path)
            if history is None:
                reasons.append((path, "was not made by napari-hush"))
            elif different := _differences(history.get("request", {}), job.request):
                reasons.append((path, f"was made otherwise ({different})"))
            elif not is_unchanged(path, history):
                reasons.append((path, "was changed after it was made"))
    if reasons:
        path, reason = reasons[0]
        more = f", and {len(reasons) - 1} more older files" if len(reasons) > 1 else ""
        raise InputError(f"{path}: is there already and {reason}{more}; choose another name, or give --overwrite")


def _is_done(job: Job, replacing: Replacing) -> bool:
    """Whether an input is left out: its result is there, made by the same request, and no run was replacing it."""
    from napari_hush.inference.ledger import peek
    from napari_hush.io.history import is_unchanged, read_history

    if not (replacing.skip_existing or replacing.resume) or not job.target.exists():
        return False
    history = read_history(job.target)
    if history is None or history.get("request") != job.request:
        return False
    if replacing.overwrite and not is_unchanged(job.target, history):
        return False
    return not (replacing.resume and peek(job.target) is not None)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """In which parts two requests differ, in words."""
    words = [
        f"{name}: {old.get(name)} then, {new[name]} now" for name in ("version", "model") if old.get(name) != new[name]
    ]
    if old.get("input") != new["input"]:
        names = [Path(str(one.get("name", "?"))).name for one in (old.get("input") or {}, new["input"])]
        words.append(f"of another input, {names[0]}" if names[0] != names[1] else "its input has changed since")
    elif old.get("part") != new["part"]:
        words.append(f"of another part of it, {old.get('part')}")
    if old.get("model_sha256") != new["model_sha256"] and old.get("model") == new["model"]:
        words.append("another model of that name")
    before, now = old.get("settings") or {}, new["settings"]
    words += [f"{key} {before.get(key)} then, {value} now" for key, value in now.items() if before.get(key) != value]
    return ", ".join(words)
