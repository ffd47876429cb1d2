# SPDX-License-Identifier: Apache-2.0
"""first_lines - the first lines of a streamed answer, and then it hangs up: first_lines.py SOCKET|PORT PATH HOW-MANY [NAME:VALUE]"""
import http.client
import socket
import sys


class Local(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


where, path, lines = sys.argv[1:4]
c = Local(where) if "/" in where else http.client.HTTPConnection("127.0.0.1", int(where), timeout=30)
c.request("GET", path, headers=dict(h.split(":", 1) for h in sys.argv[4:]))
answer = c.getresponse()
for _ in range(int(lines)):
    line = answer.readline()
    if not line:
        break
    sys.stdout.write(line.decode())
