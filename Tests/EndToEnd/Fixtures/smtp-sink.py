#!/usr/bin/python3
"""smtp-sink.py ADDRESS PORT DIRECTORY: takes any mail and writes each to a file of its own, <number>.eml.

The envelope comes first, as the headers X-Sender and X-Recipient.
"""

import itertools
import os
import socketserver
import sys

ADDRESS, PORT, DIRECTORY = sys.argv[1], int(sys.argv[2]), sys.argv[3]
NUMBERS = itertools.count(1)


class Session(socketserver.StreamRequestHandler):
    timeout = 60

    def reply(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.reply("220 sink ESMTP")
        envelope = []
        while True:
            line = self.rfile.readline(4096)
            if not line:
                return
            verb = line.split(b":")[0].strip().upper()
            address = line.partition(b":")[2].strip().decode("utf-8", "replace").split(" ")[0]
            if verb.startswith(b"EHLO"):
                self.reply("250 sink")
            elif verb == b"MAIL FROM":
                envelope = ["X-Sender: " + address]
                self.reply("250 ok")
            elif verb == b"RCPT TO":
                envelope.append("X-Recipient: " + address)
                self.reply("250 ok")
            elif verb == b"DATA":
                self.reply("354 go on")
                self.save(envelope)
                self.reply("250 taken")
            elif verb == b"QUIT":
                self.reply("221 bye")
                return
            else:
                self.reply("250 ok")

    def save(self, envelope):
        name = os.path.join(DIRECTORY, "%03d.eml" % next(NUMBERS))
        with open(name + ".part", "wb") as file:
            file.write("".join(line + "\n" for line in envelope).encode())
            for line in iter(lambda: self.rfile.readline(1 << 20), b""):
                if line in (b".\r\n", b".\n"):
                    break
                file.write((line[1:] if line.startswith(b".") else line).replace(b"\r\n", b"\n"))
        os.rename(name + ".part", name)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server((ADDRESS, PORT), Session) as server:
    server.serve_forever()
