#!/usr/bin/python3
"""A VNC viewer (RFC 6143) that looks once: it ends well when a frame came that isn't empty. Its argument is HOST:PORT,
HOST::PORT or vnc://HOST:PORT, as viewers have it."""
import socket, struct, sys

host, port = sys.argv[-1].removeprefix("vnc://").replace("::", ":").rsplit(":", 1)
stream = socket.create_connection((host, int(port)), timeout=60)


def read(count):
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            sys.exit("the connection ended")
        data += piece
    return data


version = read(12)
if not version.startswith(b"RFB 003."):
    sys.exit(f"no RFB server: {version!r}")
stream.sendall(b"RFB 003.008\n")
if 1 not in read(read(1)[0]):
    sys.exit("it wants a password")
stream.sendall(b"\1")
if read(4) != b"\0\0\0\0":
    sys.exit("it refused")
stream.sendall(b"\1")
start = read(24)
width, height = struct.unpack(">HH", start[:4])
read(struct.unpack(">I", start[20:])[0])
incremental = 0
while True:
    stream.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, width, height))
    incremental = 1
    if read(1) != b"\0":
        sys.exit("something else than a frame")
    for _ in range(struct.unpack(">xH", read(3))[0]):
        _, _, w, h, encoding = struct.unpack(">HHHHi", read(12))
        if encoding != 0:
            sys.exit("an encoding that was not asked for")
        if any(read(w * h * start[4] // 8)):
            print(f"frame {width}x{height}")
            sys.exit(0)
