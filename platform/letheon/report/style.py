"""The page's style sheet. Data only."""

STYLE = """
:root{--bg:#fff;--ink:#1c2024;--muted:#60646c;--line:#e4e4e9;--soft:#f6f6f9;--accent:#3f72d8}
@media(prefers-color-scheme:dark){:root{--bg:#16181d;--ink:#edeef0;--muted:#a8adb7;--line:#2c3038;--soft:#1e2127;--accent:#8db0f7}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1160px;margin:0 auto;padding:2.2rem 1.2rem 4rem}
.brand{margin:0;color:var(--accent);font-weight:600;letter-spacing:.02em}
h1{margin:.1rem 0 0;font-size:1.9rem;line-height:1.2;overflow-wrap:anywhere}
h2{margin:2.4rem 0 .1rem;font-size:1.2rem}
.facts{margin:.3rem 0 1rem;color:var(--muted)}
figure{margin:1.4rem 0 0;border:1px solid var(--line);border-radius:10px;overflow:hidden}
img{display:block;width:100%;height:auto}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.5rem .8rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
thead th{color:var(--muted);font-weight:500;background:var(--soft)}
tbody tr:last-child>*{border-bottom:0}
tr>:first-child{text-align:left}
tbody th{font-weight:500}
.best{background:color-mix(in srgb,var(--accent) 9%,transparent)}
.knee{margin-left:.4rem;padding:.1rem .45rem;border-radius:9px;background:var(--accent);color:var(--bg);
font-size:.75rem}
pre{margin:.4rem 0 0;padding:.8rem 1rem;overflow-x:auto;background:var(--soft);
border:1px solid var(--line);border-radius:10px}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
"""
