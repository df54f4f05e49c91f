"""A new user's first notebook in JupyterLab, through a headless Chromium: what pytest cannot see.

    python tests/python/jupyter/drive.py FOLDER

Needs jupyterlab, playwright and the package in this Python, and Chromium (/usr/bin/chromium, or CHROMIUM). Runs the cells one by one, checks what the page shows after each,
presses the interrupt button during a training, and leaves a screenshot of every cell in FOLDER. With ipywidgets the bar must be a widget, without it a line of text."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

from playwright.sync_api import sync_playwright

CELLS = [
    """import numpy as np
import bayesflow_cpp as bf
rng = np.random.default_rng(1)
model = bf.simulation.GenerativeModel(lambda batch_size: rng.normal(size=(batch_size, 4)),
                                      lambda theta: rng.normal(theta[:, None], size=(len(theta), 10, 4)), prior_is_batched=True, simulator_is_batched=True)
amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(num_params=4, num_coupling_layers=2), bf.networks.DeepSet())
trainer = bf.trainers.Trainer(amortizer, model)""",
    "history = trainer.train_online(epochs=2, iterations_per_epoch=100, batch_size=16)",
    """test = trainer.configurator(model(100))
draws = amortizer.sample(test, 200)
figure = bf.diagnostics.plot_recovery(draws, test["parameters"])""",
    "bf.report(draws, test['parameters'])",
    "history = trainer.train_online(epochs=1, iterations_per_epoch=10**7, batch_size=16)",
    "print('alive', amortizer.sample(test, 3).shape)",
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_server(folder, port):
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
                "cells": [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
                          for i, source in enumerate(CELLS)]}  # fmt: skip
    with open(os.path.join(folder, "first.ipynb"), "w") as file:
        json.dump(notebook, file)
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=t", f"--ServerApp.root_dir={folder}",
         "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
        stdout=open(os.path.join(folder, "server.log"), "w"), stderr=subprocess.STDOUT, cwd=folder)  # fmt: skip
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token=t", timeout=5)
            return server
        except OSError:
            time.sleep(0.5)
    raise SystemExit("JupyterLab did not start: see server.log")


class Page:
    def __init__(self, page, folder):
        self.page, self.folder = page, folder

    def cell(self, i):
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(i)

    def run(self, i):
        editor = self.cell(i).locator(".cm-content")
        editor.scroll_into_view_if_needed()
        editor.click()
        self.page.keyboard.press("Control+Enter")

    def finished(self, i, seconds=300):
        number = self.cell(i).locator(".jp-InputPrompt")
        deadline, asked = time.time() + seconds, time.time()
        while not re.search(r"\[\d+\]", number.inner_text()):
            if time.time() > deadline:
                self.shot(i, "stuck")
                raise SystemExit(f"cell {i} did not end: {self.output(i)}")
            if "*" in number.inner_text():
                asked = time.time()
            elif time.time() > asked + 8:  # a kernel that was still connecting forgets what it was asked
                asked = time.time()
                self.run(i)
            time.sleep(0.2)
        time.sleep(0.5)  # outputs arrive after the number

    def output(self, i):
        areas = self.cell(i).locator(".jp-OutputArea-output")
        return re.sub(r"\s+", " ", " ".join(areas.nth(k).inner_text() for k in range(areas.count())))

    def shot(self, i, name):
        self.cell(i).scroll_into_view_if_needed()
        self.page.screenshot(path=os.path.join(self.folder, f"{i}_{name}.png"))


def check(what, holds, seen=""):
    print(("ok    " if holds else "FAILED ") + what, flush=True)
    if not holds:
        raise SystemExit(f"seen: {seen}")


def drive(page):
    widgets = importlib.util.find_spec("ipywidgets") is not None
    page.run(0)
    page.finished(0)
    check("the package imports and a model passes its pilot runs", "Error" not in page.output(0), page.output(0))
    page.shot(0, "model")

    page.run(1)
    page.finished(1)
    page.shot(1, "training")
    text = page.output(1)
    check("two bars with v1's text", "Training epoch 2: 100%" in text and "Avg.Loss:" in text, text)
    check("a widget where there is ipywidgets, text elsewhere", (page.cell(1).locator(".jupyter-widgets").count() > 0) == widgets, text)
    stderr = page.cell(1).locator('[data-mime-type="application/vnd.jupyter.stderr"]').count()
    check("nothing in the colour of errors, no warning", stderr == 0 and "Warning" not in text, text)

    page.run(2)
    page.finished(2)
    page.cell(2).locator(".jp-RenderedImage img").first.wait_for(timeout=60000)
    page.shot(2, "figure")
    check("one figure inline", page.cell(2).locator(".jp-RenderedImage img").count() == 1)

    page.run(3)
    page.finished(3)
    frame = page.cell(3).frame_locator("iframe")
    frame.locator("body").wait_for(timeout=60000)
    page.shot(3, "report")
    check("the report shows its page", len(frame.locator("body").inner_text()) > 500 and frame.locator("svg, img").count() > 3)

    page.run(4)
    page.cell(4).get_by_text("Training epoch 1").first.wait_for(timeout=60000)
    time.sleep(1)
    page.shot(4, "running")
    page.page.locator('[data-command="notebook:interrupt-kernel"], button[title^="Interrupt"], jp-button[title^="Interrupt"]').first.click()
    page.finished(4, 60)
    page.shot(4, "interrupted")
    check("the interrupt button ends a training with KeyboardInterrupt", "KeyboardInterrupt" in page.output(4), page.output(4))

    page.run(5)
    page.finished(5)
    check("and the kernel lives on", "alive (100, 3, 4)" in page.output(5), page.output(5))
    page.shot(5, "alive")


def main():
    folder = os.path.abspath(sys.argv[1])
    os.makedirs(folder, exist_ok=True)
    port = free_port()
    server = start_server(folder, port)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.set_default_timeout(120000)
            page.goto(f"http://127.0.0.1:{port}/lab/tree/first.ipynb?token=t&reset")
            page.locator(".jp-Notebook .jp-CodeCell").nth(len(CELLS) - 1).wait_for()
            page.get_by_text("Idle").first.wait_for(state="attached")
            drive(Page(page, folder))
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
