"""The page's scripts, styles and data as one file that fetches nothing. Pure except for reading `static/`.

The live dashboard loads the scripts as modules; here each module becomes a function, called in the order of imports.
That needs two forms, which a test enforces: `import { a, b } from "./x.js";` on one line, and `export` in front of a
function or a constant.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
_IMPORT = re.compile(r'^import \{ (?P<names>[\w, $]+) \} from "\./(?P<module>[\w]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?P<what>(?:async )?function|const|class) (?P<name>\w+)", re.MULTILINE)


def page(title: str, data: Mapping[str, Any]) -> str:
    """The whole page. `data`: the server's answers. No text in it can become markup."""
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<style>{(STATIC / 'style.css').read_text()}</style></head>\n"
        '<body><noscript>This report is drawn by the scripts in it; allow them.</noscript><div id="app"></div>\n'
        f'<script type="application/json" id="data">{_embedded(data)}</script>\n'
        f"<script>{_inline((STATIC / 'vendor' / 'echarts.min.js').read_text())}</script>\n"
        f'<script type="module">{_inline(bundle())}</script>\n</body></html>\n'
    )


@cache
def bundle() -> str:
    """`app.js` and all modules it imports, each as a function, called in order."""
    done: dict[str, str] = {}
    _collect("app.js", done, ())
    return "const modules = {};\n" + "".join(done.values())


def _collect(name: str, done: dict[str, str], above: tuple[str, ...]) -> None:
    if name in above:
        raise ValueError(f"static/{name} imports itself through {' > '.join(above)}; scripts import one way")
    if name in done:
        return
    text = (STATIC / name).read_text()
    for found in _IMPORT.finditer(text):
        _collect(found["module"], done, (*above, name))
    exported = ", ".join(found["name"] for found in _EXPORT.finditer(text))
    body = _IMPORT.sub(lambda found: f'const {{ {found["names"]} }} = modules["{found["module"]}"];\n', text)
    body = _EXPORT.sub(lambda found: f"{found['what']} {found['name']}", body)
    done[name] = f'modules["{name}"] = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();\n'


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON without characters that could end the enclosing script element."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _inline(script: str) -> str:
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE)
