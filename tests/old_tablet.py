"""An old tablet that can be driven: QtWebKit 602 behind lines of JSON, one a command.

Runs in the system's Python, which has PyQt5's QtWebKit; `browser/test_old_tablet.py` starts it.
With JSC_useJIT=0 in the environment its scripts run some 30 times as slowly.
"""

import base64
import json
import os
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PyQt5.QtCore import (
    QBuffer,
    QIODevice,
    QPoint,
    QSocketNotifier,
    Qt,
    QUrl,
)
from PyQt5.QtTest import QTest
from PyQt5.QtWebKit import QWebSettings
from PyQt5.QtWebKitWidgets import QWebPage, QWebView
from PyQt5.QtWidgets import QApplication

# What a test wants to know: when an answer of 512 bytes came, and when all that it led to was done.
WATCH = """
window.complaints = [];
window.reactions = [];
window.onerror = function (message, file, line) { window.complaints.push(message + ' ' + line); };
(function () {
  var send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (body) {
    var request = this;
    var began;
    request.addEventListener('readystatechange', function () {
      if (request.readyState !== 4 || began || !request.response) return;
      if (request.status !== 200 || request.response.byteLength !== 512) return;
      began = new Date().getTime();
      setTimeout(function () {
        var state = document.documentElement.getAttribute('data-state');
        window.reactions.push([state, new Date().getTime() - began]);
      }, 0);
    }, false);
    send.apply(this, arguments);
  };
})();
"""


class Page(QWebPage):
    """A page that keeps what its console says."""

    def __init__(self):
        super().__init__()
        self.said = []

    def javaScriptConsoleMessage(self, message, line, source):  # noqa: N802, ARG002 - Qt's names
        self.said.append(f"{message} ({line})")


class Tablet:
    """One window, and the commands that a test can give it."""

    def __init__(self, folder, width, height):
        settings = QWebSettings.globalSettings()
        settings.setAttribute(QWebSettings.LocalStorageEnabled, True)  # noqa: FBT003 - Qt
        settings.setLocalStoragePath(folder)
        self.page = Page()
        self.view = QWebView()
        self.view.setPage(self.page)
        self.view.resize(width, height)
        frame = self.page.mainFrame()
        frame.javaScriptWindowObjectCleared.connect(lambda: frame.evaluateJavaScript(WATCH))
        self.view.show()

    def open(self, url):
        self.page.mainFrame().load(QUrl(url))

    def run(self, code):
        return self.page.mainFrame().evaluateJavaScript(code)

    def type(self, text):
        QTest.keyClicks(self.view, text)

    def tap(self, x, y):
        QTest.mouseClick(self.view, Qt.LeftButton, Qt.NoModifier, QPoint(x, y))

    def said(self):
        return self.page.said

    def grab(self):
        buffer = QBuffer()
        buffer.open(QIODevice.WriteOnly)
        self.view.grab().save(buffer, "PNG")
        return base64.b64encode(bytes(buffer.data())).decode()


def main():
    """Answer commands until the lines end."""
    application = QApplication(sys.argv[:1])
    folder, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tablet = Tablet(folder, width, height)
    heard = QSocketNotifier(sys.stdin.fileno(), QSocketNotifier.Read)

    def answer():
        line = sys.stdin.readline()
        if not line:
            application.quit()
            return
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(tablet, name)(*arguments)), flush=True)  # noqa: T201 - the answer

    heard.activated.connect(answer)
    print("null", flush=True)  # noqa: T201 - it is there
    application.exec_()


if __name__ == "__main__":
    main()
