"""Colours of figures and pages, light and dark. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True)
class Theme:
    """`surface`: the background; `ink`: text; `faint`: lines that must not compete with the data."""

    surface: str
    ink: str
    muted: str
    faint: str
    grid: str
    good: str
    bad: str
    methods: tuple[str, ...]


LIGHT = Theme(
    surface="#ffffff",
    ink="#1c2024",
    muted="#60646c",
    faint="#b9bbc6",
    grid="#ececf0",
    good="#18794e",
    bad="#8b8d98",
    methods=("#3f72d8", "#d96a28", "#17886a", "#b0409a", "#a67c00", "#7457c9", "#2b86ad", "#a0564a"),
)
DARK = Theme(
    surface="#16181d",
    ink="#edeef0",
    muted="#a8adb7",
    faint="#4d525c",
    grid="#262a31",
    good="#3dd68c",
    bad="#777b84",
    methods=("#6f9bf5", "#f39157", "#3cc49b", "#da74bf", "#e0b84a", "#9d86ea", "#66bfe3", "#c9836f"),
)
THEMES: dict[ThemeName, Theme] = {"light": LIGHT, "dark": DARK}
