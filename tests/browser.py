"""A headless Chromium to look at pages with, driven over a pipe by its DevTools protocol."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser:
    """Use `opened`."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._buffer, self._session = b"", None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        found = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        self._ask("Page.enable")

    def _message(self):
        while b"\0" not in self._buffer:
            part = os.read(self._reader, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _ask(self, method, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path, width, dark=False):
        """Loads a file on a screen of so many pixels; narrow ones are a phone's."""
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Page.navigate", url=path.resolve().as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression):
        """What JavaScript makes of the page."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"]["value"]

    def picture(self, path, whole=True):
        """A screenshot as a PNG file."""
        found = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def opened():
    """A browser, or a skip that says what is missing."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    words = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    words += ["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"]
    (theirs, ours_out), (ours_in, back) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # It reads commands at 3 and answers at 4.
        line = f'exec "$0" "$@" 3<&{theirs} 4>&{back}'
        words = ["bash", "-c", line, *words, f"--user-data-dir={profile}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        child = subprocess.Popen(words, pass_fds=(theirs, back), **quiet)
        os.close(theirs)
        os.close(back)
        try:
            yield Browser(ours_in, ours_out)
        finally:
            os.close(ours_out)
            os.close(ours_in)
            child.kill()
            child.wait()
