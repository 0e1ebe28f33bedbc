"""A server that knows systemd's socket activation and nothing else. Answers with its pid."""

import http.server
import os
import socket
import sys

if int(os.environ["LISTEN_PID"]) != os.getpid():
    sys.exit("LISTEN_PID is not mine")
names = os.environ["LISTEN_FDNAMES"].split(":")
print("names", *names, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
if len(sys.argv) > 1 and sys.argv[1] == "closing":
    os.closerange(4, 64)
server.serve_forever()
