import importlib.util

from support.project import ROOT


def test_typed_examples_import() -> None:
    """The file that mypy reads as a user's code can be imported, so all its names exist."""
    path = ROOT / "tests" / "typing" / "api.py"
    spec = importlib.util.spec_from_file_location("typed_api", path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
