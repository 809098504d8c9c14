import re
from xml.etree import ElementTree as ET

import memory_cache
from docs.blocks import PAGES, generator
from support.project import ROOT

SVG = "{http://www.w3.org/2000/svg}"
WIDEST_LETTER = 8.0


def test_library_reference_has_every_public_name() -> None:
    """The reference of the library shows each name of `__all__`, once, and no other."""
    page = (PAGES / "reference" / "library.md").read_text()
    shown = re.findall(r"^::: memory_cache\.(\w+)$", page, re.MULTILINE)
    assert sorted(shown) == sorted(memory_cache.__all__)


def test_http_reference_says_something_of_everything() -> None:
    """Each route and document of the server is there, and links lead to a heading."""
    reference = generator("http_reference")
    api = reference.document()
    page = reference.markdown(api)
    headings = set(re.findall(r"^### (\w+)$", page, re.MULTILINE))
    assert headings == set(api["components"]["schemas"])
    assert {link.lower() for link in headings} >= set(re.findall(r"\]\(#(\w+)\)", page))
    for path, methods in api["paths"].items():
        for method in methods:
            assert f"### `{method.upper()} {path}`" in page


def test_settings_reference_names_no_home() -> None:
    """The table of settings is the same wherever it is built."""
    assert str(ROOT.home()) not in generator("settings_reference").markdown()


def test_picture_fits_its_frame() -> None:
    """The picture is well-formed, says what it shows, and no word runs out of its frame."""
    picture = generator("picture")
    drawn = ET.fromstring(picture.consistency())  # noqa: S314  made by ourselves
    assert drawn.findtext(f"{SVG}title")
    assert drawn.findtext(f"{SVG}desc")
    for text in drawn.iter(f"{SVG}text"):
        width = len(text.text or "") * WIDEST_LETTER
        shift = {"start": 0.0, "middle": width / 2, "end": width}[text.attrib["text-anchor"]]
        left = float(text.attrib["x"]) - shift
        assert left >= 0, text.text
        assert left + width <= picture.WIDTH, text.text
        assert 14 <= float(text.attrib["y"]) <= picture.HEIGHT, text.text
