"""A page that greets $NAME: by Flask where that is installed, else by Python's own server."""

import os
import signal
import socket
import sys

PORT = int(os.environ.get("PORT", "80"))


def page(server):
    name = os.environ.get("NAME", "world")
    return f"<h3>Hello {name}!</h3><b>Hostname:</b> {socket.gethostname()} <b>Server:</b> {server}\n"


def serve_with_flask():
    app = flask.Flask(__name__)
    app.add_url_rule("/", view_func=lambda: page("Flask"))
    app.run(host="0.0.0.0", port=PORT)


def serve_without_flask():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = page("http.server").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    http.server.ThreadingHTTPServer(("", PORT), Handler).serve_forever()


# Process 1 ignores what it has no handler for.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
try:
    import flask

    serve_with_flask()
except ModuleNotFoundError:
    import http.server

    serve_without_flask()
