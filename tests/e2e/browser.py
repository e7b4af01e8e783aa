"""Headless Chromium, driven through ChromeDriver by plain WebDriver requests."""
import base64
import json
import re
import subprocess
import time
import urllib.error
import urllib.request

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--window-size=1400,1200"]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id: WebDriver, section 12.2


class Browser:
    """A browser with a profile of its own in `directory`; a context manager."""

    def __init__(self, directory, deadline=120):
        self.log = directory / "chromedriver.log"
        self.profile = directory / "chromium"
        self.deadline = deadline
        self.session = None

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.driver = subprocess.Popen(["/usr/bin/chromedriver", "--port=0"], stdout=log, stderr=log)
        try:
            self.base = f"http://127.0.0.1:{self._port()}"
            flags = [*FLAGS, f"--user-data-dir={self.profile}"]
            options = {"binary": "/usr/bin/chromium", "args": flags}
            answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": options}}})
            self.session = f"/session/{answer['sessionId']}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.session:
                self._ask("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(self.deadline)

    def _port(self):
        end = time.monotonic() + self.deadline
        while time.monotonic() < end and self.driver.poll() is None:
            match = re.search(r"successfully on port (\d+)", self.log.read_text(errors="replace"))
            if match:
                return int(match[1])
            time.sleep(0.02)
        raise AssertionError(f"ChromeDriver does not start: {self.log.read_text(errors='replace')}")

    def _ask(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"},
                                         method=method)
        # an opener without proxies: the driver is on this machine, whatever the environment says
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self.deadline) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')}") from error

    def open(self, url):
        self._ask("POST", self.session + "/url", {"url": url})

    def run(self, script):
        """The value of a JavaScript function body."""
        return self._ask("POST", self.session + "/execute/sync", {"script": script, "args": []})

    def prefer(self, scheme):
        """"light" or "dark", as the system of whoever reads would have it."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._ask("POST", self.session + "/goog/cdp/execute", {
            "cmd": "Emulation.setEmulatedMedia", "params": {"features": features}})

    def type_into(self, selector, text):
        element = self._ask("POST", self.session + "/element", {"using": "css selector", "value": selector})
        self._ask("POST", f"{self.session}/element/{element[ELEMENT]}/value", {"text": text})

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._ask("GET", self.session + "/screenshot")))
