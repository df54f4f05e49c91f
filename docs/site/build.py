"""build.py FOLDER: makes the site in FOLDER/html from this tree. Warnings are errors: a link that leads nowhere, a figure that is not there, a notebook that fails.

BAYESFLOW_EXAMPLE_SMALL=1 runs the notebooks with fewer simulations and steps."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import cpp_reference
import layout
import stage

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    xml = cpp_reference.run_doxygen(ROOT, folder / "doxygen")
    pages, bare = cpp_reference.pages(ROOT, layout.headers(ROOT), xml)
    if bare:
        sys.exit("the site was not made: these have no doc comment\n" + "\n".join(bare))
    stage.Stage(ROOT, folder / "source", pages)()
    environment = {**os.environ, "BAYESFLOW_DOCS_NOTEBOOKS": str(folder / "notebooks")}
    # Everything is read anew (-E): a page that is not read again would not fail again. Notebooks have a cache of their own.
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-E", "-a", "-q", "-W", "--keep-going", "-j", "auto", "-c", HERE, "-d", folder / "doctrees", folder / "source", folder / "html"]
    shutil.rmtree(folder / "html", ignore_errors=True)
    subprocess.run(command, env=environment, check=True)
    loaded = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'> ]+""")
    foreign = [f"{page.name} loads {found}" for page in (folder / "html").rglob("*.html") for found in loaded.findall(page.read_text(encoding="utf-8"))]
    if foreign:
        sys.exit("the site must be readable offline:\n" + "\n".join(foreign))
    print(f"The site: {folder / 'html' / 'index.html'}")


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]).resolve())
    except subprocess.CalledProcessError as error:
        sys.exit(f"the site was not made: {' '.join(map(str, error.cmd[:3]))} ... ended with {error.returncode}")
