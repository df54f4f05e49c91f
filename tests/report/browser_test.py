#!/usr/bin/env python3
"""The report in headless Chromium: browser_test.py MAKE_PAGE. At three widths nothing overflows, every figure shows something, the console is
silent, and every number of the page is the exported one."""
import csv
import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from png import read_png, variance

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if not CHROMIUM:
    sys.exit("Chromium is not installed; run cmake/install_dependencies.sh")
if len(sys.argv) != 2:
    sys.exit(__doc__)

# Runs in the page: measures it, and leaves the result in the document.
PROBE = """<script>
window.addEventListener('load', function () {
  const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top + scrollY, r.right, r.bottom + scrollY]; };
  const all = s => Array.from(document.querySelectorAll(s));
  const unnamed = all('svg').filter(e => !e.getAttribute('aria-label') && e.getAttribute('aria-hidden') !== 'true').length;
  const out = all('main *').filter(e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 0.5);
  const data = {
    inner: innerWidth, scroll: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight,
    figures: all('.panel svg, .whole svg').map(box), unnamed: unnamed, out: out.map(e => e.tagName + '.' + e.className),
    headings: all('h1,h2,h3').map(e => +e.tagName[1]),
    links: all('nav a').filter(a => !document.querySelector(a.getAttribute('href'))).length,
    cells: all('td[data-table]').map(e => [e.dataset.table, e.dataset.column, +e.dataset.row, e.textContent]),
    csv: all('a[download]').map(a => [a.getAttribute('download'), a.getAttribute('href')])
  };
  const store = document.createElement('script');
  store.type = 'application/json'; store.id = 'probe'; store.textContent = JSON.stringify(data);
  document.body.appendChild(store);
});
</script>"""

failures = []


def check(condition, text):
    if not condition:
        failures.append(text)


def chromium(folder, *arguments):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0",
               f"--user-data-dir={folder}/profile", "--virtual-time-budget=4000", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def number(text):
    return float(text.replace("−", "-"))


def agrees(shown, exact, error):
    """The text is the number, rounded to the decimals it shows."""
    if shown == "n/a":
        return exact != exact or exact in (float("inf"), float("-inf"))
    if shown.startswith("<"):
        return exact < number(shown[1:])
    parts = shown.split(" ± ")
    for text, value in zip(parts, [exact, error]):
        decimals = len(text.split("e")[0].split(".")[1]) if "." in text else 0
        unit = 10.0**-decimals
        if "e" in text:
            unit *= 10.0 ** int(text.split("e")[1])
        elif "." not in text and abs(value) >= 1000 and len(parts) == 1 and value != round(value):
            unit = abs(value) * 1e-2  # three significant digits
        if abs(number(text) - value) > 0.5000001 * unit + 1e-12 * abs(value):
            return False
    return True


with tempfile.TemporaryDirectory() as work:
    for parameters in (1, 4, 13):
        page, data = pathlib.Path(work, f"report{parameters}.html"), pathlib.Path(work, f"data{parameters}")
        subprocess.run([sys.argv[1], page, data, str(parameters)], check=True)
        text = page.read_text()
        probed = pathlib.Path(work, f"probed{parameters}.html")
        probed.write_text(text.replace("</body>", PROBE + "</body>"))
        tables = {p.stem: list(csv.DictReader(p.open(newline=""))) for p in data.glob("*.csv")}
        for width in (360, 800, 1600) if parameters != 13 else (360,):
            where = f"{parameters} parameters, {width} px"
            # A window of Chromium is at least 500 px wide; a frame is as narrow as one likes.
            frame = pathlib.Path(work, "frame.html")
            frame.write_text(f'<style>*{{margin:0;border:0}}</style><iframe id="f" src="{probed.name}" width="{width}" height="1000"></iframe>'
                             "<script>onload=()=>{const f=document.getElementById('f');const take=()=>{const p=f.contentDocument&&"
                             "f.contentDocument.getElementById('probe');if(!p)return setTimeout(take,20);document.body.appendChild(p.cloneNode(true));};take();};</script>")
            run = chromium(work, "--allow-file-access-from-files", f"--window-size={max(width, 800)},1000", "--dump-dom", frame.as_uri())
            console = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
            check(not console, f"{where}: the console says {console}")
            found = re.search(r'<script type="application/json" id="probe">(.*?)</script>', run.stdout, re.S)
            if not found:
                sys.exit(f"{where}: the page was not measured\n{run.stderr[-2000:]}")
            probe = json.loads(found.group(1))
            check(probe["inner"] == width, f"{where}: measured at {probe['inner']} px")
            check(probe["scroll"] <= width, f"{where}: the page is {probe['scroll']} px wide")
            check(not probe["out"], f"{where}: {probe['out'][:5]} reach beyond the page")
            check(probe["unnamed"] == 0, f"{where}: {probe['unnamed']} drawings without a text for those who cannot see them")
            check(probe["links"] == 0, f"{where}: {probe['links']} links of the contents lead nowhere")
            steps = [b - a for a, b in zip(probe["headings"], probe["headings"][1:])]
            check(probe["headings"][0] == 1 and max(steps) <= 1, f"{where}: headings {probe['headings']} skip a level")
            check(len(probe["figures"]) >= 8, f"{where}: {len(probe['figures'])} figures")
            # Numbers.
            check(len(probe["cells"]) > 20, f"{where}: {len(probe['cells'])} numbers")
            for table, column, row, shown in probe["cells"]:
                entry = tables[table][row]
                exact, error = float(entry[column]), float(entry.get(column + "_se") or "nan")
                check(agrees(shown, exact, error), f"{where}: {table}.{column}[{row}] shows {shown}, exported is {exact} ± {error}")
            check({name for name, _ in probe["csv"]} == {f"{t}.csv" for t in tables}, f"{where}: links do not match the exported tables")
            # Pixels.
            shot = pathlib.Path(work, "shot.png")
            height = probe["height"]
            frame.write_text(f'<style>*{{margin:0;border:0}}</style><iframe src="{page.name}" width="{width}" height="{height}"></iframe>')
            chromium(work, f"--window-size={max(width, 800)},{height}", f"--screenshot={shot}", frame.as_uri())
            w, h, channels, rows = read_png(shot)
            for k, (left, top, right, bottom) in enumerate(probe["figures"]):
                x0, x1, y0, y1 = max(0, int(left)), min(width, int(right)), int(top), min(h, int(bottom))
                check(x1 - x0 > 150 and y1 - y0 > 60, f"{where}: figure {k} is {x1 - x0} x {y1 - y0} px")
                if x1 > x0 and y1 > y0:
                    check(variance(rows, channels, x0, y0, x1, y1) > 50, f"{where}: figure {k} is blank")
            if os.environ.get("BAYESFLOW_KEEP"):
                shutil.copy(shot, pathlib.Path(os.environ["BAYESFLOW_KEEP"], f"report_{parameters}_{width}.png"))

# The comparison itself must be able to fail.
assert agrees("0.988 ± 0.012", 0.98765, 0.0123) and not agrees("0.989 ± 0.012", 0.98765, 0.0123) and not agrees("< 0.001", 0.5, 0)
print("\n".join(failures[:40]) or "the report is in order")
sys.exit(bool(failures))
