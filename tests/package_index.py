"""A package index of a test's own: wheels made for it, served on loopback as PEP 503 says."""

import base64
import contextlib
import hashlib
import http.server
import io
import threading
import zipfile


def wheel(name, version, requires=(), extras=()):
    """Make a package with one module; return its file's name and bytes."""
    info = f"{name}-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {each}" for each in requires),
        *(f"Provides-Extra: {each}" for each in extras),
    ]
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in files.items()]
    files[f"{info}/RECORD"] = "".join(record) + f"{info}/RECORD,,\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", made.getvalue()


def _digest(text):
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@contextlib.contextmanager
def index(*wheels):
    """Serve wheels; yield the index's address."""
    files = dict(wheels)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            *_, folder, name = self.path.split("/")
            if name:
                body = files.get(name)
            else:
                found = sorted(each for each in files if each.startswith(f"{folder}-"))
                links = "".join(f'<a href="/files/{each}">{each}</a>\n' for each in found)
                body = f"<!DOCTYPE html>\n<html><body>\n{links}</body></html>".encode()
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html" if not name else "application/zip")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/simple/"
        finally:
            server.shutdown()
            thread.join()
