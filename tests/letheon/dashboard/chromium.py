"""A real Chromium and a dashboard server, for tests of the rendered pages."""

from __future__ import annotations

import base64
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from letheon.dashboard.app import create_app
from letheon.dashboard.catalog import Catalog
from letheon.dashboard.recorded import RecordedSweeps
from letheon.dashboard.serve import LOCAL_NAMES
from letheon.tracking.reader.browse import Browser

DRIVER = shutil.which("chromedriver")
WHY_SKIPPED = "no chromedriver here (Debian: apt install chromium chromium-driver)"
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
PATIENCE = 40.0  # seconds: two cores are shared with other tests
SLICES = 3  # charts of a LongStory: method, learning rate, beta
FEW_COLOURS = 20  # of what is blank, or has axes only


def start() -> Chrome:
    """A browser of 1,440 x 1,000 pixels."""
    options = Options()
    for flag in (*_FLAGS, "--window-size=1440,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(DRIVER))


@contextmanager
def served(root: Path, uri: str | None = None, port: int = 0) -> Iterator[str]:
    """The address of a dashboard over `root`, gone afterwards."""
    app = create_app(Catalog(root, RecordedSweeps(Browser(root, uri))), None, LOCAL_NAMES)
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


class Window:
    """A test's actions on a page: open, wait, read, point."""

    def __init__(self, chrome: Chrome) -> None:
        self.chrome = chrome

    def open(self, address: str) -> None:
        self.chrome.get("about:blank")  # an address that differs only after # would not be reloaded
        self.chrome.get(address)

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """Wait until `holds()` is true and return its result."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = holds()
                if found:
                    return found
            except Exception as error:
                if time.monotonic() > end:
                    raise AssertionError(f"{what}: {error}") from error
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not happen; the page says: {self.text[:2000]}")
            time.sleep(0.1)

    def until_text(self, *texts: str) -> None:
        for text in texts:
            self.until(partial(self._says, text), f"{text!r} on the page")

    def _says(self, text: str) -> bool:
        return text in self.text

    def until_painted(self, count: int) -> None:
        """Wait until the page has `count` charts and none is blank."""
        self.until(lambda: len(self.all(".chart:has(canvas)")) == count, f"{count} pictures")
        for host in self.all(".chart"):
            self.until(partial(self._is_painted, host), "a painted picture")

    def _is_painted(self, host: WebElement) -> bool:
        return max(map(self.colours, host.find_elements(By.TAG_NAME, "canvas"))) > FEW_COLOURS

    def click(self, element: WebElement) -> None:
        """Scroll the element into the middle, where nothing covers it, and click it."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    @property
    def text(self) -> str:
        return self.chrome.find_element(By.TAG_NAME, "body").text

    def all(self, selector: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def button(self, text: str) -> WebElement:
        return next(one for one in self.all("button") if text in one.text)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.chrome.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """Script errors, refused loads and warnings that the browser logged since the last call."""
        return [str(entry["message"]) for entry in self.chrome.get_log("browser")]  # type: ignore[no-untyped-call]

    def colours(self, canvas: WebElement) -> int:
        """The number of different colours on the canvas; a blank one has one."""
        script = """
            const { width, height } = arguments[0], seen = new Set(), copy = new OffscreenCanvas(width, height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(arguments[0], 0, 0);
            const pixels = context.getImageData(0, 0, width, height).data;
            for (let i = 0; i < pixels.length; i += 4)
              seen.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
            return seen.size;"""
        return int(self.run(script, canvas))

    def emulate(self, width: int = 1440, height: int = 1000, scheme: str = "light") -> None:
        """Set the screen size and the system's colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def picture(self, file: Path) -> None:
        """The whole page as PNG."""
        shot = self.chrome.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def visited(window: Window, root: Path) -> Iterator[str]:
    """As `served`, but the window leaves first: a page without its server logs errors."""
    with served(root) as address:
        try:
            yield address
        finally:
            window.open("about:blank")


def trial_rows(window: Window) -> list[str]:
    """The trials in the table, from top to bottom."""
    return [str(row.get_attribute("data-trial")) for row in window.all("tr[data-trial]")]
