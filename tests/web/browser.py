"""A headless Chromium, driven over its DevTools pipe: open a page, wait for what it shows, take its picture.

--dump-dom and --screenshot catch a page when it has loaded, which is before a live one shows anything; the pipe needs no port and no
module beside Python's own.
"""
import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

OPTIONS = ("--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
           "--disable-component-update --disable-sync --disable-default-apps --disable-extensions --hide-scrollbars "
           "--disable-dev-shm-usage --password-store=basic --remote-debugging-pipe").split()


class Browser:
    """with Browser() as page: page.open(URL); page.wait("JavaScript that becomes true")."""

    def __init__(self, width=1400, height=1500, dark=False):
        self.program = shutil.which("chromium") or shutil.which("chromium-browser")
        if not self.program:
            raise FileNotFoundError("chromium is not installed")
        self.size, self.dark = (width, height), dark
        self.profile = tempfile.mkdtemp(prefix="smack-browser-")
        self.number, self.rest, self.complaints, self.hosts = 0, b"", [], set()

    def __enter__(self):
        # Chromium reads its commands from descriptor 3 and writes to 4. Ours are high, so that neither is in the way.
        child_in, self.commands = os.pipe()
        self.answers, child_out = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (child_in, child_out)]
        os.close(child_in)
        os.close(child_out)
        shell = 'exec "$@" 3<&%d 4>&%d' % tuple(high)
        command = [self.program, *OPTIONS, "--user-data-dir=" + self.profile, "about:blank"]
        self.process = subprocess.Popen(["bash", "-c", shell, "bash", *command], pass_fds=high, start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in high:
            os.close(fd)
        target = self.call("Target.createTarget", session=None, url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", session=None, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=self.size[0], height=self.size[1], deviceScaleFactor=1, mobile=False)
        if self.dark:
            self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        return self

    def __exit__(self, *_):
        for fd in (self.commands, self.answers):
            os.close(fd)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def read(self, deadline):
        """The next message."""
        while b"\0" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self.answers, 1 << 20)
            if not piece:
                raise ConnectionError("the browser has ended")
            self.rest += piece
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def note(self, message):
        """Keep what a page must not do: errors, refused content, other hosts."""
        method, p = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = p["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            self.complaints.append(p["entry"]["text"] + " " + p["entry"].get("url", ""))
        elif method == "Network.requestWillBeSent":
            self.hosts.add(p["request"]["url"].split("/")[2])

    def call(self, method, session=0, seconds=60, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self.read(deadline)
            if answer.get("id") != self.number:
                self.note(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)

    def ask(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression, seconds=60):
        """Until the expression is true; it may fail while the page comes."""
        deadline = time.monotonic() + seconds
        while not self.ask(f"(() => {{ try {{ return Boolean({expression}); }} catch (e) {{ return false; }} }})()"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never became true: {expression}")
            time.sleep(0.1)

    def picture(self, path):
        """The whole page as PNG."""
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))
