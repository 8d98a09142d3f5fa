"""A real headless Chromium, driven over its pipe: what a page says in it, asks for, and looks like."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 120.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
BEGIN = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execvp("chromium", ["chromium", *sys.argv[3:]])
"""
"""Chromium reads commands from descriptor 3 and writes responses to 4."""


@dataclass
class Page:
    """A page that is open: what it said on the console, and every address that it asked for but its own."""

    browser: Browser
    session: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        found = self.browser.call(
            "Runtime.evaluate",
            {"expression": script, "returnByValue": True, "awaitPromise": True, "userGesture": True},
            self.session,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window that size (CSS pixels) and wait until the page has laid itself out."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.call("Emulation.setDeviceMetricsOverride", metrics, self.session)
        self.settle()

    def prefer(self, scheme: str, media: str = "") -> None:
        """Prefer the "light" or the "dark" scheme; `media` may be "print"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.call("Emulation.setEmulatedMedia", {"media": media, "features": features}, self.session)
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for has been drawn."""
        self.run(
            "new Promise(r => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(r)), 250))"
        )

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            if kind == "keyDown" and key == " ":
                event |= {"text": " ", "code": "Space"}
            self.browser.call("Input.dispatchKeyEvent", event, self.session)

    def picture(self, file: Path, selector: str = "html") -> None:
        """Write what an element looks like as PNG."""
        box = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1} })()"
        )
        shot = {"clip": box, "captureBeyondViewport": True}
        data = self.browser.call("Page.captureScreenshot", shot, self.session)["data"]
        file.write_bytes(base64.b64decode(data))


class Browser:
    """Chromium with a profile of its own."""

    def __init__(self, directory: Path) -> None:
        theirs, self._write = os.pipe()
        self._read, other = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(theirs), str(other), *FLAGS, f"--user-data-dir={directory}"],
            pass_fds=(theirs, other),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(other)
        self._number = 0
        self._left = b""
        self._pages: dict[str, Page] = {}

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        os.close(self._write)
        os.close(self._read)
        self._process.wait(PATIENCE_S)

    def open(self, file: Path, width: int = 1280, scheme: str = "light", **around: Any) -> Page:
        """Open a page and wait until its scripts have run."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", {}, session)
        page.resize(width, **around)
        page.prefer(scheme)
        self.call("Page.navigate", {"url": file.as_uri()}, session)
        page.run(
            "new Promise(r => document.readyState === 'complete' ? r() : addEventListener('load', () => r()))"
        )
        page.settle()
        page.asked = [url for url in page.asked if url != file.as_uri()]
        return page

    def call(self, method: str, parameters: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """Call a method of Chromium's protocol and return what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._write, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        )
        for answer in self._messages():
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])
            self._note(answer)
        raise AssertionError("Chromium has ended")

    def _note(self, event: dict[str, Any]) -> None:
        page, parameters = self._pages.get(event.get("sessionId", "")), event.get("params", {})
        if page is None:
            return
        match event["method"]:
            case "Runtime.consoleAPICalled":
                page.said.append(f"{parameters['type']}: {[arg.get('value') for arg in parameters['args']]}")
            case "Runtime.exceptionThrown":
                page.said.append(json.dumps(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                page.said.append(f"{parameters['entry']['level']}: {parameters['entry']['text']}")
            case "Network.requestWillBeSent":
                page.asked.append(parameters["request"]["url"])

    def _messages(self) -> Iterator[dict[str, Any]]:
        ends_at_s = time.monotonic() + PATIENCE_S
        while True:
            message, ended, rest = self._left.partition(b"\0")
            if ended:
                self._left = rest
                yield json.loads(message)
                continue
            ready, _, _ = select.select([self._read], [], [], max(0.0, ends_at_s - time.monotonic()))
            assert ready, "Chromium does not answer"
            received = os.read(self._read, 1 << 20)
            if not received:
                return
            self._left += received


@contextmanager
def chromium(directory: Path) -> Iterator[Browser]:
    """Start Chromium for as long as the context lasts."""
    browser = Browser(directory)
    try:
        yield browser
    finally:
        browser.close()
