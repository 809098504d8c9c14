import math
from dataclasses import fields
from typing import Any

import pytest

from memory_cache import CacheConfig

NUMBERS = [field.name for field in fields(CacheConfig) if isinstance(field.default, int | float)]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_only_finite_numbers(name: str, value: float) -> None:
    """A number that no timer and no budget can hold is refused by its name."""
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"^{name} must be a finite number$"):
        CacheConfig(**wrong)
