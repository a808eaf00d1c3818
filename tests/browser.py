"""A headless Chromium, asked over the WebDriver protocol (w3.org/TR/webdriver2) by HTTP alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]
REQUIRED = "EDGE_SDK_CI"
"""Set where a browser must be there, as in `.ci/run`: a test then fails instead of skipping."""


class Browser:
    """One window. `call` names commands of the protocol, below the session."""

    def __init__(self, base: str, session: str) -> None:
        self._base = f"{base}/session/{session}"

    def call(self, method: str, path: str, body: dict | None = None) -> Any:
        return ask(method, f"{self._base}{path}", body)

    def open(self, path: Path) -> None:
        self.call("POST", "/url", {"url": path.resolve().as_uri()})

    def script(self, source: str, *arguments: Any) -> Any:
        return self.call("POST", "/execute/sync", {"script": source, "args": list(arguments)})

    def devtools(self, command: str, **params: Any) -> Any:
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def resize(self, width: int, height: int = 900, *, phone: bool = False) -> None:
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=phone)

    def scheme(self, name: str) -> None:
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": name}])

    def console(self) -> list[str]:
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"]
                  for entry in self.call("POST", "/se/log", {"type": "performance"})]
        return [event["params"]["request"]["url"] for event in events
                if event["method"] == "Network.requestWillBeSent"]

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))


def ask(method: str, url: str, body: dict | None = None) -> Any:
    data = None if body is None and method == "GET" else json.dumps(body or {}).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"},
                                     method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode()[:2000]) from None


def missing() -> str:
    """Return what a browser test lacks here, nothing if nothing."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"needs Debian's chromium and chromium-driver: no {' and no '.join(lacking)}" \
        if lacking else ""


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a fresh browser whose profile lies in `folder`."""
    why = missing()
    if why and os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, and it {why}")
    if why:
        pytest.skip(why)
    log = folder / "driver.log"
    with log.open("w") as out:
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=out, stderr=out)
    try:
        base = f"http://127.0.0.1:{_port(driver, log)}"
        options = {"args": [*ARGUMENTS, f"--user-data-dir={folder / 'profile'}"]}
        made = ask("POST", f"{base}/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
        opened = Browser(base, made["sessionId"])
        try:
            # The browser's own first page asks for its own things.
            opened.call("POST", "/url", {"url": "about:blank"})
            opened.requests(), opened.console()
            yield opened
        finally:
            opened.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(timeout=30)


def _port(driver: subprocess.Popen, log: Path) -> int:
    for _ in range(300):
        found = [line for line in log.read_text().splitlines()
                 if "started successfully on port" in line]
        if found:
            return int(found[0].rstrip(".").rpartition(" ")[2])
        if driver.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"chromedriver did not start: {log.read_text()[-2000:]}")
