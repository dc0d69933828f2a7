"""The findings as one HTML file that needs nothing else: no script, no other file, no network."""

from __future__ import annotations

import base64
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_hush.fidelity.stacks import name
from napari_hush.reports import SYMBOLS
from napari_hush.reports.pictures import pictures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_hush.fidelity.findings import Finding
    from napari_hush.fidelity.repeats.compare import Repeats
    from napari_hush.fidelity.stacks import Evaluation

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; max-width: 1120px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: .2em } h2 { font-size: 1.15em; margin: 1.8em 0 .5em }
.verdict { padding: .7em 1em; border-left: 6px solid; font-size: 1.1em; font-weight: 600 }
.pass { color: #00694f } .warn { color: #7a5700 } .fail { color: #b3360b } .open, .not-judged { color: #59636e }
.verdict.pass { background: #e6f4f0; border-color: #00694f }
.verdict.warn { background: #fdf4dc; border-color: #e0b040 }
.verdict.fail { background: #fcebe4; border-color: #b3360b }
.verdict.open { background: #eef0f2; border-color: #59636e }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3em .7em .3em 0; vertical-align: top }
tr { border-bottom: 1px solid #d8dde3; break-inside: avoid } td.number { white-space: nowrap }
td.word { white-space: nowrap; font-weight: 600 } .faint { color: #59636e } code { overflow-wrap: anywhere }
.pictures { display: flex; flex-wrap: wrap; gap: 1.2em } figure { margin: 0; flex: 1 1 320px; max-width: 540px }
figure { break-inside: avoid } figure img { width: 100%; image-rendering: pixelated; display: block }
figure.wide { flex-basis: 100%; max-width: 100% } figcaption { font-size: .87em; margin-top: .3em }
@media print { body { margin: 0; max-width: none } .verdict { print-color-adjust: exact } figure { max-width: 47% } }
"""


def page(
    evaluation: Evaluation,
    *,
    title: str,
    files: Mapping[str, Mapping[str, Any]],
    date: str,
    made_by: str = "",
) -> str:
    """Write the findings as a page.

    Parameters
    ----------
    evaluation : Evaluation
        What was found.
    title : str
        The heading.
    files : mapping of str to mapping
        What is known of each image, such as ``{"denoised": {"file": "a.tif", "model": "stem"}}``.
    date : str
        Date of the report; given, so that the same input makes the same file.
    made_by : str
        The command or the settings.

    Returns
    -------
    str
        HTML.
    """
    findings = evaluation.evidence.findings
    several = len(evaluation.planes) > 1
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(date)} · napari-hush {escape(version("napari-hush"))}</p>',
        _verdict(evaluation),
        "<h2>Checks</h2>",
    ]
    if several:
        parts.append(f"<p>Of plane {name(evaluation.worst.index)}, in which most checks failed; all planes below.</p>")
    if evaluation.match is not None:
        parts.append(f"<p>{escape(evaluation.match.text.capitalize())}.</p>")
    parts.append(_table(findings))
    if (repeats := evaluation.repeats) is not None:
        parts += [f"<h2>From {repeats.frames} measurements of the field</h2>", _repeats(repeats)]
    parts += ["<h2>Pictures</h2>", '<div class="pictures">']
    parts += [
        f"<figure{' class=wide' if picture.title.startswith('Detail') else ''}>"
        f'<img alt="{escape(picture.title)}" src="data:image/png;base64,{base64.b64encode(picture.png).decode()}">'
        f"<figcaption><b>{escape(picture.title)}</b>: {escape(picture.caption)}</figcaption></figure>"
        for picture in pictures(evaluation)
    ]
    parts.append("</div>")
    if several:
        parts += ["<h2>All planes</h2>", _planes(evaluation)]
    parts += ["<h2>What each check means</h2>", "<dl>"]
    parts += [
        f"<dt><b>{escape(f.label)}</b></dt><dd>{escape(f.meaning)}</dd>"
        for f in findings
        if f.verdict != "not measured"
    ]
    parts += ["</dl>", "<h2>Images</h2>", _files(files), "<h2>How it was made</h2>"]
    parts.append(
        f"<p><code>{escape(made_by) or 'napari-hush'}</code></p><p>Verdicts compare a value with a range that was "
        "fixed beforehand; values without a range are shown, not judged. A check that passes says that this kind of "
        "error is not larger than the range, not that there is none. Where the noise of an image is not "
        "understood, lost or invented detail cannot be told from it, and there is no verdict.</p>"
    )
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _verdict(evaluation: Evaluation) -> str:
    status = evaluation.status
    words = escape(evaluation.verdict)
    if status != "open" or len(evaluation.planes) > 1:  # else its words begin with it
        words = f"{status.upper()}: {words}"
    return f'<p class="verdict {_class(status)}">{SYMBOLS[status]} {words}</p>'


def _class(verdict: str) -> str:
    """The style of a verdict."""
    return verdict.replace(" ", "-")


def _table(findings: tuple[Finding, ...]) -> str:
    rows = [
        f'<tr><td class="word {_class(f.verdict)}">{SYMBOLS[f.verdict]} {f.verdict}</td>'
        f'<td>{escape(f.label)}</td><td class="number">{escape(f.text)}</td>'
        f'<td class="number">{escape(f.limit_text)}</td><td class="faint">{escape(f.meaning)}</td></tr>'
        for f in findings
        if f.verdict != "not measured"
    ]
    missing = [f.label for f in findings if f.verdict == "not measured"]
    labels = escape(", ".join(missing))
    note = f'<p class="faint">Do not apply, for lack of a truth or of what they are about: {labels}.</p>'
    head = "<tr><th>Verdict</th><th>Check</th><th>Value</th><th>Allowed</th><th>Meaning</th></tr>"
    return f"<table>\n{head}\n" + "\n".join(rows) + "\n</table>" + (note if missing else "")


def _repeats(repeats: Repeats) -> str:
    rows = [
        f'<tr><td>{escape(label)}</td><td class="number">{escape(words)}</td></tr>'
        for label, _, words in repeats.rows()
    ]
    notes = "".join(f"<p>{escape(note)}</p>" for note in repeats.notes)
    return "<table>\n" + "\n".join(rows) + f"\n</table>{notes}"


def _planes(evaluation: Evaluation) -> str:
    rows = []
    for plane in evaluation.planes:
        status = plane.status
        rows.append(
            f'<tr><td>{name(plane.index)}</td><td class="word {_class(status)}">{SYMBOLS[status]} {status}</td>'
            f"<td>{escape(plane.verdict)}</td></tr>"
        )
    return "<table>\n<tr><th>Plane</th><th>Verdict</th><th>In words</th></tr>\n" + "\n".join(rows) + "\n</table>"


def _files(files: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for role, record in files.items():
        facts = "<br>".join(f"{escape(str(key))}: {escape(_short(value))}" for key, value in record.items())
        rows.append(f"<tr><td><b>{escape(role)}</b></td><td><code>{facts}</code></td></tr>")
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def _short(value: Any) -> str:
    """A fact in one line; strangers' metadata can be long."""
    text = " ".join(str(value).split())
    return text if len(text) <= 300 else f"{text[:300]}…"
