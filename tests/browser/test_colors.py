"""Colors of the dashboard: what is written can be read on what it is written on, in both themes."""

from __future__ import annotations

import re

import pytest
from browser import DASHBOARD

Theme = dict[str, str]


def themes() -> dict[str, Theme]:
    """The variables of each block of theme.css: light, dark by the system, dark by choice."""
    source = (DASHBOARD / "theme.css").read_text(encoding="utf-8")
    blocks = [dict(re.findall(r"(--[\w-]+): (#\w{6});", block)) for block in re.findall(r":root[^{]*\{([^}]*)\}", source)]
    return dict(zip(("light", "system dark", "dark"), blocks, strict=True))


def contrast(one: str, other: str) -> float:
    """The contrast of two colors as WCAG 2 defines it, from 1 to 21."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(theme: str) -> None:
    colors = themes()[theme]
    pairs = [(text, back) for text in ("--text", "--muted", "--accent") for back in ("--page", "--card", "--lane")]
    pairs += [(level, back) for level in ("--good", "--warn", "--bad") for back in ("--card", "--lane", f"{level}-back")]
    pairs += [(text, back) for text in ("--text", "--muted", "--accent") for back in ("--warn-back", "--bad-back")] + [
        ("--text", "--fill-color")
    ]
    assert {pair: value for pair in pairs if (value := contrast(colors[pair[0]], colors[pair[1]])) < 4.5} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_of_charts_stand_out(theme: str) -> None:
    colors = themes()[theme]
    assert {line: value for line in colors if line.startswith("--line") and (value := contrast(colors[line], colors["--card"])) < 3} == {}


def test_dark_is_the_same_whoever_chose_it() -> None:
    assert themes()["dark"] == themes()["system dark"]
    assert set(themes()["light"]) == set(themes()["dark"])
