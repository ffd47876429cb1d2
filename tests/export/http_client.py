# SPDX-License-Identifier: Apache-2.0
"""http_client - plain HTTP and WebSocket clients of the export, for the tests, with nothing but Python's own library.

    http_client.py PORT get|sse|lines|ws|save PATH [how many] [header: value]...
    http_client.py PORT post PATH BODY [with dates]
"""
import base64
import hashlib
import http.client
import json
import os
import socket
import sys
import zlib


def show(event):
    print(event["event"]["dataset"], event["process"]["pid"])


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise SystemExit("closed")
        data += more
    return data


def frame(sock):
    """One frame: is it the last of its message, its opcode, its payload."""
    head = read_exactly(sock, 2)
    n = head[1] & 127
    if head[1] & 128:
        raise SystemExit("a server must not mask")
    if n == 126:
        n = int.from_bytes(read_exactly(sock, 2), "big")
        if n < 126:
            raise SystemExit("a length that is not the shortest")
    elif n == 127:
        n = int.from_bytes(read_exactly(sock, 8), "big")
    return head[0] & 128, head[0] & 15, read_exactly(sock, n)


def message(sock):
    last, opcode, data = frame(sock)
    while not last:
        last, more, rest = frame(sock)
        if more:
            raise SystemExit(f"opcode {more} within a message")
        data += rest
    return opcode, data


def websocket(port, path, limit):
    sock = socket.create_connection(("127.0.0.1", port), timeout=15)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(sock, 1)
    want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    if b" 101 " not in head or want not in head:
        print(head.decode().split("\r\n")[0])
        return
    while limit:
        opcode, data = message(sock)
        if opcode == 1:
            text = json.loads(data)
            print("lost" if "event" not in text else "", text.get("lost", 0), end=" ")
            show(text["event"])
        else:
            print("binary", opcode, data[:1].hex(), len(data) > 100)
        limit -= 1


def stream(port, path, form, limit, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    if answer.status != 200:
        print(answer.status, json.loads(answer.read())["error"]["message"])
        return
    inflate = zlib.decompressobj(31) if answer.getheader("content-encoding") == "gzip" else None
    data = b""
    end = b"\n\n" if form == "sse" else b"\n"
    while limit:
        more = answer.read1(65536)
        if not more:
            print("ended")
            return
        data += inflate.decompress(more) if inflate else more
        while end in data and limit:
            one, data = data.split(end, 1)
            if form == "lines":
                show(json.loads(one))
            elif not one.startswith(b":"):
                fields = dict(line.split(b": ", 1) for line in one.split(b"\n"))
                if headers.get("show-id"):
                    print(fields[b"id"].decode())
                if fields.get(b"event") == b"lost":
                    print("lost", json.loads(fields[b"data"])["lost"])
                else:
                    show(json.loads(fields[b"data"]))
            limit -= 1


def main():
    port, case, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    if case == "post" or case == "get":
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        connection.request(case.upper(), path, sys.argv[4] if case == "post" else None)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if "error" in body:
            print(answer.status, body["error"]["message"])
            return
        for event in body.pop("events", []):
            if len(sys.argv) > 5:
                print(event["@timestamp"], end=" ")
            show(event)
        print(answer.status, *(f"{k}={v}" for k, v in body.items() if k in ("count", "more", "records", "capacity")))
        return
    limit = int(sys.argv[4])
    headers = dict(h.split(": ", 1) for h in sys.argv[5:])
    if case == "save":
        # The first bytes of a body, as they come.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        sys.stdout.flush()
        sys.stdout.buffer.write(answer.read1(limit))
    elif case == "ws":
        websocket(port, path, limit)
    elif case == "again":
        # A first connection, and a second one that goes on behind its last event.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        connection.request("GET", path)
        answer = connection.getresponse()
        data = b""
        while data.count(b"\n\n") < limit:
            data += answer.read1(65536)
        last = data.split(b"\n\n")[limit - 1].split(b"\n")[0].split(b": ")[1].decode()
        connection.close()
        stream(port, path, "sse", limit, {"last-event-id": last})
    else:
        stream(port, path, case, limit, headers)


main()
