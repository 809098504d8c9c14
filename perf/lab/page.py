"""One HTML page with everything in it: verdicts, pictures, raw data."""

import base64
import html
import json
from pathlib import Path
from typing import Any

from perf.lab.verdicts import Outcome, figure

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc}
td.n{text-align:right;font-variant-numeric:tabular-nums}.short{color:#a33;font-weight:bold}
img{max-width:100%}pre{overflow:auto;max-height:30rem;background:#f6f6f6;padding:1rem}
"""


def write_page(outcome: Outcome, document: dict[str, Any], folder: Path) -> Path:
    """Write ``index.html``, which needs no other file, and return where it is."""
    rows = "".join(
        f"<tr><td>{html.escape(v.claim)}</td><td class=n>{figure(v.measured)}</td>"
        f"<td class=n>{html.escape(v.target)}</td><td class={v.word}>{v.word}</td></tr>"
        for v in outcome.verdicts
    )
    pictures = "".join(
        f"<h2>{html.escape(picture.caption)}</h2>"
        f'<img alt="{html.escape(picture.caption)}" src="data:image/png;base64,'
        f'{base64.b64encode((folder / picture.file).read_bytes()).decode()}">'
        for picture in outcome.pictures
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in outcome.notes)
    machine = ", ".join(f"{name} {value}" for name, value in document["machine"].items())
    if document["quick"]:
        machine += "; a quick run: it shows that the lab works, not how fast anything is"
    raw = html.escape(json.dumps(document["data"], indent=1, ensure_ascii=False))
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{outcome.name}</title>"
        f"<style>{_STYLE}</style><h1>{outcome.name}</h1><p>{html.escape(machine)}</p>{notes}"
        f"<table><tr><th>claim<th>measured<th>target<th></tr>{rows}</table>{pictures}"
        f"<h2>Raw data</h2><details><summary>results.json</summary><pre>{raw}</pre></details>"
    )
    path = folder / "index.html"
    path.write_text(page)
    return path
