"""
The picture of the page on consistency: three lines of time, drawn by hand.

It stands in the page itself, so it takes the page's colours and is legible on light and dark
ground. What is said by colour is said by a word or a hatching, too.
"""

from collections.abc import Iterator
from html import escape

WIDTH, HEIGHT = 860, 430
A, STORE, B = 80, 190, 300
"""Heights of the three lines."""

T = 240
"""The staleness bound, in pixels."""

FENCES = (150, 230, 310)
"""When the fences were sent that came back; one goes every third of T."""

BREAK = 365
LAPSE = FENCES[-1] + T
END = 830

_INK = "var(--md-default-fg-color, #222)"
_FAINT = "var(--md-default-fg-color--light, #666)"
_SOUND = "var(--mc-sound, #0072b2)"
_DOUBT = "var(--mc-doubt, #b34700)"

_TITLE = "When a worker's memory may answer"
_DESCRIPTION = (
    "Worker B sends fences to Redis every third of T and hears them back on its subscription. A"
    " write of worker A reaches B as a delta. Then B's connection breaks: the fences sent from then"
    " on do not come back, and B does not hear A's second write. B's memory answers until T after"
    " the last fence that came back was sent; from then on B asks Redis."
)


def consistency() -> str:
    """Return the picture as one SVG element, on lines without a gap."""
    parts = [*_lines(), *_fences(), *_writes(), *_break(), *_bar(), *_bound()]
    return "\n".join((_HEAD, *parts, "</svg>"))


def _lines() -> Iterator[str]:
    for y, name, part in (
        (A, "worker A", "writes"),
        (STORE, "Redis", "or Valkey"),
        (B, "worker B", "reads"),
    ):
        yield _text(16, y - 2, name, weight=700)
        yield _text(16, y + 16, part, colour=_FAINT)
        yield _line((110, y), (END, y), _FAINT, width=1)
    yield _text(END, A - 50, "time →", colour=_FAINT, anchor="end")


def _fences() -> Iterator[str]:
    for sent in FENCES:
        yield _line((sent, B), (sent + 22, STORE), _FAINT, head=True)
        yield _line((sent + 22, STORE), (sent + 44, B), _FAINT, head=True)
    yield _text(152, 250, "fences", colour=_FAINT, anchor="end")


def _writes() -> Iterator[str]:
    for sent, name in ((190, "write 1"), (420, "write 2")):
        yield _text(sent, A - 14, name, colour=_SOUND, weight=700, anchor="middle")
        yield _line((sent, A), (sent + 26, STORE), _SOUND, width=2.5, head=True)
        yield _line((sent + 26, STORE), (sent + 52, A), _SOUND, width=2.5, head=True)
        yield _text(sent + 56, A - 14, "acknowledged", colour=_FAINT)
    yield _line((216, STORE), (242, B), _SOUND, width=2.5, head=True)
    yield _text(262, STORE - 26, "its delta, to both", colour=_SOUND)


def _break() -> Iterator[str]:
    yield _line((BREAK, STORE + 14), (BREAK, B - 14), _DOUBT, width=2.5, dashes="2 5")
    yield _text(BREAK + 12, STORE + 24, "B's connection breaks", colour=_DOUBT, weight=700)
    for sent in (390, 470):
        yield _line((sent, B), (sent + 9, B - 44), _FAINT)
        yield _cross(sent + 11, B - 50)
    yield _text(496, B - 44, "fences and write 2 do not get through", colour=_DOUBT)


def _bar() -> Iterator[str]:
    top, height, first = B + 22, 34, FENCES[0] + 44
    yield _box(first, top, LAPSE - first, height, fill=_SOUND)
    yield _text(
        (FENCES[-1] + LAPSE) / 2,
        top + 22,
        "B's memory answers",
        colour="#fff",
        weight=700,
        anchor="middle",
        kind="on",
    )
    yield _box(LAPSE, top, END - LAPSE, height, fill="url(#mc-hatch)", stroke=_DOUBT)
    yield _text((LAPSE + END) / 2, top + height + 20, "B asks Redis: it gets", anchor="middle")
    yield _text((LAPSE + END) / 2, top + height + 38, "write 2, or an error", anchor="middle")


def _bound() -> Iterator[str]:
    y = B + 76
    yield _line((FENCES[-1], B + 4), (FENCES[-1], y + 6), _INK, dashes="3 3")
    yield _line((LAPSE, B + 4), (LAPSE, y + 6), _INK, dashes="3 3")
    yield _line((LAPSE - 2, y), (FENCES[-1] + 2, y), _INK, head=True)
    yield _line((FENCES[-1] + 2, y), (LAPSE - 2, y), _INK, head=True)
    middle = (FENCES[-1] + LAPSE) / 2
    yield _text(middle, y + 20, "T, one second by default: from when the last", anchor="middle")
    yield _text(middle, y + 38, "fence that came back was sent", anchor="middle")


_HEAD = f"""\
<svg class="mc-picture" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" \
role="img" aria-labelledby="mc-title mc-description" font-family="sans-serif" font-size="14">
<title id="mc-title">{escape(_TITLE)}</title>
<desc id="mc-description">{escape(_DESCRIPTION)}</desc>
<defs>
<marker id="mc-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" fill="context-stroke"/></marker>
<pattern id="mc-hatch" width="9" height="9" patternUnits="userSpaceOnUse" \
patternTransform="rotate(45)"><path d="M0 0V9" stroke="{_DOUBT}" stroke-width="3"/></pattern>
</defs>"""


def _line(
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    width: float = 1.5,
    *,
    dashes: str = "",
    head: bool = False,
) -> str:
    more = f' stroke-dasharray="{dashes}"' if dashes else ""
    more += ' marker-end="url(#mc-head)"' if head else ""
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
        f' style="stroke:{colour}" stroke-width="{width}"{more}/>'
    )


def _cross(x: float, y: float) -> str:
    return (
        f'<path d="M{x - 5} {y - 5}l10 10m0-10l-10 10" fill="none"'
        f' style="stroke:{_DOUBT}" stroke-width="2.5"/>'
    )


def _box(
    x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "none"
) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}"'
        f' style="fill:{fill};stroke:{stroke}"/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    colour: str = _INK,
    weight: int = 400,
    anchor: str = "start",
    kind: str = "",
) -> str:
    name = f' class="mc-{kind}"' if kind else ""
    return (
        f'<text x="{x}" y="{y}"{name} font-weight="{weight}" text-anchor="{anchor}"'
        f' style="fill:{colour}">{escape(words)}</text>'
    )
