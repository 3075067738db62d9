"""The demo's web server: one page that tells what the process sees of its container."""

import html
import os
import pathlib
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PAGE = pathlib.Path(__file__).parent / "pages" / "index.html"


def facts():
    with open("/proc/self/mounts") as mounts:
        mount_points = [line.split()[1] for line in mounts]
    with open("/proc/self/status") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return {
        "process id": os.getpid(),
        "user id": os.getuid(),
        "group id": os.getgid(),
        "host name": socket.gethostname(),
        "working directory": os.getcwd(),
        "capabilities (effective)": fields["CapEff"],
        "no new privileges": fields["NoNewPrivs"],
        "network interfaces": " ".join(name for _, name in socket.if_nameindex()),
        "processes": " ".join(sorted(filter(str.isdigit, os.listdir("/proc")), key=int)),
        "mounts": " ".join(mount_points),
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/":
            self.send_error(404)
            return
        rows = "".join(
            f"<dt>{name}</dt><dd>{html.escape(str(value))}</dd>\n" for name, value in facts().items()
        )
        body = PAGE.read_text().replace("<!-- facts -->", rows).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def stop(_signal, _frame):
    print("told to stop", flush=True)
    sys.exit(0)


# Process 1 of a PID namespace ignores signals that it has no handler for (pid_namespaces(7)).
signal.signal(signal.SIGTERM, stop)
port = int(os.environ["PORT"])
with HTTPServer(("127.0.0.1", port), Handler) as server:
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.serve_forever()
