from __future__ import annotations

import pytest

from kernelbox.errors import InvalidOption, KernelError
from kernelbox.linux import overlay


@pytest.mark.parametrize(
    ("lower", "upper", "work", "words"),
    [
        (["/a", "/b"], "/u", None, "both of upper and work"),
        (["/a", "/b"], None, "/w", "both of upper and work"),
        (["/a"], None, None, "a second one"),
        ([], "/u", "/w", "needs a lower layer"),
    ],
)
def test_layers_that_make_no_overlay(lower: list[str], upper: str | None, work: str | None, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        overlay.detached(lower, upper, work)


@pytest.mark.root
def test_a_missing_layer_is_named() -> None:
    with pytest.raises(KernelError, match="could not open the layer /no/such/layer: no such file"):
        overlay.detached(["/no/such/layer", "/etc"])
