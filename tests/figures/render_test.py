#!/usr/bin/env python3
"""Every figure, drawn by gnuplot and by the library: render_test.py RENDER_ALL. PNG images show something in every ninth of the page where there is a
panel, SVG files are well-formed, PDF files are PDF."""
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "report"))
from png import read_png, variance

failures = []
with tempfile.TemporaryDirectory() as work:
    subprocess.run([sys.argv[1], work, "1,4,7", "png", "svg", "pdf"], check=True)
    subprocess.run([sys.argv[1], work, "13", "svg"], check=True)
    files = sorted(pathlib.Path(work).iterdir())
    for path in files:
        if path.suffix == ".svg":
            root = ElementTree.parse(path).getroot()
            texts = "".join(root.itertext())
            if not root.tag.endswith("svg") or len(list(root)) < 10 or "nan" in path.read_text():
                failures.append(f"{path.name}: not a figure")
            if "\\" in texts or "$" in texts:
                failures.append(f"{path.name}: TeX is shown as it is written")
        elif path.suffix == ".pdf":
            data = path.read_bytes()
            if not data.startswith(b"%PDF-") or b"%%EOF" not in data[-64:]:
                failures.append(f"{path.name}: no PDF")
        else:
            width, height, channels, rows = read_png(path)
            # The last row of panels may be short; the left two thirds of the upper half never are.
            for part, box in {"whole": (0, 0, width, height), "left": (0, 0, width // 2, height), "upper left": (0, 0, width * 2 // 3, height * 2 // 3)}.items():
                if variance(rows, channels, *box) < 50:
                    failures.append(f"{path.name}: the {part} is blank")
    if len(files) != 23 * 10:
        failures.append(f"{len(files)} files instead of {23 * 10}")
print("\n".join(failures) or f"{len(files)} figures are in order")
sys.exit(bool(failures))
