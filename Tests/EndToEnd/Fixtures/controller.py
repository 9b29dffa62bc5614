#!/usr/bin/python3
"""A build2 controller that believes nothing: it checks whatever an agent sends against the protocol, to the letter.

  controller.py --task FILE [--key PUBLIC.pem] [--address 127.0.0.1] [--port 0]

It hands out the task manifest in FILE, with its machine put in from the agent's request if FILE names none. With --key
it demands that key's fingerprint, gives challenges and verifies their signatures with openssl. It prints "listening PORT",
then one line for each request: what it was, and 'ok' or what was wrong with it.

POST /control?fail=STATUS&times=N has the next N requests answered with that status; ?drop=1&times=N has them dropped without
an answer; ?times=0 ends both; ?tasks=N is how many tasks are left to give (-1: no end); ?add=NAME:VALUE, which may be
repeated, adds to the next task, which is kept until the request has what it asks for: auxiliary machines, an interactive
build; ?answer=TEXT sends that text for the next task.
GET /control/login is the login of the last task. GET /control/results is what came, one line for a result: session, status. GET /control/last is the last of them, with its
logs. GET /control/log is what was printed.
"""

import argparse, base64, hashlib, http.server, secrets, subprocess, sys, tempfile, threading, time, unicodedata
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl, urlsplit

TASK_LIMIT, RESULT_LIMIT, UPLOAD_LIMIT = 102400, 15728640, 10 << 20
STATUSES = ["skip", "success", "warning", "error", "abort", "abnormal", "interrupt"]


class Refusal(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def parse(data):
    """A list of manifests, each a list of pairs: the grammar of libbutl, without comments, which agents don't send."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"not UTF-8: {error}")
    for character in text:
        if character not in "\n\t" and unicodedata.category(character)[0] == "C":
            raise Refusal(400, f"U+{ord(character):04X} in a manifest")
    if not text.endswith("\n"):
        raise Refusal(400, "the last line has no end")
    lines, manifests, index = text[:-1].split("\n"), [], 0

    def joined(start):
        """A line with its continuations, and the index of the one after."""
        value = ""
        while True:
            line = lines[start]
            start += 1
            run = len(line) - len(line.rstrip("\\"))
            if run != 1:
                # Of several backslashes at the end of a line, the last but one stands for itself and ends it.
                return value + (line[:-1] if run else line), start
            if start == len(lines):
                raise Refusal(400, "it ends in a continuation")
            value += line[:-1]

    while index < len(lines):
        if index == 0 and lines[0] != ": 1":
            raise Refusal(400, f"it begins with '{lines[0][:40]}'")
        if lines[index] == (": 1" if index == 0 else ":"):
            manifests.append([])
            index += 1
            continue
        name, colon, rest = lines[index].partition(":")
        if not colon or not name or " " in name or "\t" in name or name.startswith("#"):
            raise Refusal(400, f"line {index + 1}: '{lines[index][:60]}' is not a pair")
        if rest == "" and index + 1 < len(lines) and lines[index + 1] == "\\":
            index, values = index + 2, []
            while True:
                if index == len(lines):
                    raise Refusal(400, "a value has no end")
                if lines[index] == "\\":
                    break
                value, index = joined(index)
                values.append(value)
            manifests[-1].append((name, "\n".join(values)))
            index += 1
        elif rest == "":
            manifests[-1].append((name, ""))
            index += 1
        else:
            if not rest.startswith(" "):
                raise Refusal(400, f"line {index + 1}: no blank after the colon")
            value, index = joined(index)
            value = value[len(name) + 2 :]
            if value != value.strip(" \t"):
                raise Refusal(400, f"line {index}: blanks around a value")
            manifests[-1].append((name, value))
    return manifests


def write(manifests):
    text = ""
    for number, manifest in enumerate(manifests):
        text += ": 1\n" if number == 0 else ":\n"
        for name, value in manifest:
            if "\n" in value:
                text += f"{name}:\n\\\n{value}\n\\\n"
            elif len(value) > 60 and "\\" not in value:
                # Broken as build2 breaks lines, so that agents must join them.
                text += f"{name}: {value[:60]}\\\n{value[60:]}\n"
            else:
                text += f"{name}: {value}".rstrip(" ") + "\n"
    return text.encode()


def fields(manifest, required, optional, what):
    """A dictionary; names must be known, single, and in the protocol's order."""
    order, values, last = required_order(required, optional), {}, -1
    for name, value in manifest:
        if name not in order:
            raise Refusal(400, f"unknown name '{name}' in {what}")
        if name in values:
            raise Refusal(400, f"'{name}' twice in {what}")
        if order.index(name) < last:
            raise Refusal(400, f"'{name}' out of order in {what}")
        last = order.index(name)
        values[name] = value
    for name in required:
        if not values.get(name):
            raise Refusal(400, f"no '{name}' in {what}")
    return values


ORDERS = {
    "agent": ["agent", "toolchain-name", "toolchain-version", "interactive-mode", "interactive-login", "fingerprint", "auxiliary-ram"],
    "id": ["id", "name", "summary", "role", "ram-minimum", "ram-maximum"],
    "session": ["session", "challenge", "agent-checksum"],
}


def required_order(required, optional):
    return ORDERS.get(required[0], required + optional)


def hexadecimal(text, length=64):
    return len(text) == length and all(c in "0123456789abcdef" for c in text)


class Controller:
    def __init__(self, task, key):
        self.task, self.key = task, key
        self.lock = threading.Lock()
        self.sessions, self.results, self.uploads, self.last, self.log = {}, [], [], [], []
        self.trouble, self.tasks, self.answer, self.added = [], -1, None, []
        self.fingerprint, self.login = None, ""
        if key:
            der = subprocess.run(["openssl", "pkey", "-pubin", "-in", key, "-outform", "DER"], check=True, capture_output=True)
            self.fingerprint = hashlib.sha256(der.stdout).hexdigest()

    def note(self, *words):
        line = " ".join(str(word) for word in words)
        with self.lock:
            self.log.append(line)
        print(line, flush=True)

    def give_task(self, base, query, data):
        if query[1:]:
            raise Refusal(400, f"parameters {query[1:]}")
        manifests = parse(data)
        if len(manifests) < 2:
            raise Refusal(400, "no machines")
        request = fields(manifests[0], ["agent", "toolchain-name", "toolchain-version"],
                         ["interactive-mode", "interactive-login", "fingerprint", "auxiliary-ram"], "the task request")
        if "-" in request["toolchain-name"]:
            raise Refusal(400, "a '-' in the toolchain's name")
        mode = request.get("interactive-mode", "false")
        if mode not in ("false", "true", "both") or (mode != "false") != ("interactive-login" in request):
            raise Refusal(400, "interactive mode and login contradict each other")
        machines = [fields(m, ["id", "name", "summary"], ["role", "ram-minimum", "ram-maximum"], "a machine") for m in manifests[1:]]
        for machine in machines:
            if machine.get("role", "build") not in ("build", "auxiliary"):
                raise Refusal(400, "a machine's role")
            if machine.get("role") == "auxiliary" and "-" not in machine["name"]:
                raise Refusal(400, f"invalid auxiliary machine name '{machine['name']}'")
        if self.fingerprint:
            if "fingerprint" not in request:
                raise Refusal(401, "unauthorized")
            if not hexadecimal(request["fingerprint"]):
                raise Refusal(400, "the fingerprint is not 64 lower-case hexadecimal digits")
            if request["fingerprint"] != self.fingerprint:
                raise Refusal(401, "unauthorized")
        with self.lock:
            if self.answer is not None:
                answer, self.answer = self.answer, None
                return answer.encode()
            builds = [m["name"] for m in machines if m.get("role", "build") == "build"]
            auxiliaries = {m["name"]: int(m.get("ram-minimum", "0")) for m in machines if m.get("role") == "auxiliary"}
            wanted = [value for name, value in self.added if name.startswith("auxiliary-machine")]
            room = int(request.get("auxiliary-ram", "1000000000000"))
            fits = all(w in auxiliaries for w in wanted) and sum(auxiliaries.get(w, 0) for w in wanted) <= room
            interactive = any(name == "interactive" for name, _ in self.added)
            if self.tasks == 0 or not builds or not fits or mode == ("false" if interactive else "true"):
                return write([[("session", "")]])
            self.tasks -= 1
            session = f"/libhello/1.1.0+10/x86_64-linux-gnu/{builds[0]}/default/{request['toolchain-name']}/{request['toolchain-version']}/{time.time_ns()}"
            challenge = secrets.token_hex(32) if self.fingerprint else None
            task = list(self.task)
            if not any(name == "machine" for name, _ in task):
                task.insert([name for name, _ in task].index("target"), ("machine", builds[0]))
            task[[name for name, _ in task].index("target"):0] = [p for p in self.added if p[0] != "interactive"]
            task += [p for p in self.added if p[0] == "interactive"]
            self.added = []
            self.login = request.get("interactive-login", "")
            self.sessions[session] = {"challenge": challenge, "task": dict(task), "state": "building"}
        response = [("session", session)]
        if challenge:
            response.append(("challenge", challenge))
        response += [("result-url", base + "?build-result"), ("bindist-upload-url", base + "?upload=bindist")]
        return write([response, task])

    def verify(self, session, value):
        challenge = session["challenge"]
        if (value is not None) != (challenge is not None):
            raise Refusal(400, "a challenge where there was none, or none where there was one")
        if challenge is None:
            return
        if any(len(line) > 76 for line in value.split("\n")):
            raise Refusal(400, "Base64 lines of more than 76 characters")
        try:
            signature = base64.b64decode(value.replace("\n", ""), validate=True)
        except ValueError as error:
            raise Refusal(400, f"the challenge is not Base64: {error}")
        with tempfile.NamedTemporaryFile() as file:
            file.write(signature)
            file.flush()
            recovered = subprocess.run(["openssl", "pkeyutl", "-verifyrecover", "-pubin", "-inkey", self.key, "-in", file.name], capture_output=True)
        if recovered.returncode != 0 or recovered.stdout.decode(errors="replace") != challenge:
            raise Refusal(400, "the signature is not of that challenge by that key")

    def take_result(self, query, data):
        if query[1:]:
            raise Refusal(400, f"parameters {query[1:]}")
        manifests = parse(data)
        if len(manifests) != 2:
            raise Refusal(400, f"{len(manifests)} manifests in a result request")
        request = fields(manifests[0], ["session"], ["challenge", "agent-checksum"], "the result request")
        with self.lock:
            session = self.sessions.get(request["session"])
        if session is None:
            raise Refusal(400, "invalid session: " + request["session"][:80])
        if session["state"] != "building":
            return b""
        self.verify(session, request.get("challenge"))
        names = [name for name, _ in manifests[1]]
        if names[:3] != ["name", "version", "status"] or len(set(names)) != len(names):
            raise Refusal(400, f"a result of {names}")
        result = dict(manifests[1])
        for name in ("name", "version"):
            if result[name] != session["task"][name]:
                raise Refusal(400, f"the result's {name} is {result[name]}")
        statuses = [n[: -len("-status")] for n in names if n.endswith("-status")]
        logs = [n[: -len("-log")] for n in names if n.endswith("-log")]
        rest = [n for n in names[3:] if not n.endswith("-status") and not n.endswith("-log")]
        if names != ["name", "version", "status"] + [s + "-status" for s in statuses] + [l + "-log" for l in logs] + rest:
            raise Refusal(400, f"a result out of order: {names}")
        if [s for s in statuses if s in logs] != logs or any(r not in ("dependency-checksum", "worker-checksum") for r in rest):
            raise Refusal(400, f"logs without statuses, or unknown names: {names}")
        values = [result["status"]] + [result[s + "-status"] for s in statuses]
        if any(v not in STATUSES for v in values):
            raise Refusal(400, f"statuses {values}")
        if values[1:] and values[0] != max(values[1:], key=STATUSES.index):
            raise Refusal(400, f"the whole is {values[0]}, its steps {values[1:]}")
        with self.lock:
            session["state"] = "built"
            self.results.append((request["session"], result["status"]))
            self.last = [f"{n}: {v}" if "\n" not in v else f"{n}:\n{v.rstrip()}" for n, v in manifests[1]]
        return b""

    def take_upload(self, query, content_type, data):
        if query != [("upload", "bindist")]:
            raise Refusal(404, f"parameters {query}")
        message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + data)
        if message.get_content_type() != "multipart/form-data" or message.defects:
            raise Refusal(400, f"not a form: {content_type} {message.defects}")
        parts = {}
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            if not name or name in parts:
                raise Refusal(400, f"a part without a name, or '{name}' twice")
            parts[name] = part
        texts = {name: part.get_payload(decode=True) for name, part in parts.items()}
        for name in ("session", "instance", "archive", "sha256sum"):
            if not texts.get(name):
                raise Refusal(400, f"no '{name}' in the upload")
        with self.lock:
            session = self.sessions.get(texts["session"].decode())
        if session is None or session["state"] != "building":
            raise Refusal(400, "invalid session")
        self.verify(session, texts["challenge"].decode() if "challenge" in texts else None)
        if texts["instance"].decode() not in ("archive", "debian", "fedora"):
            raise Refusal(400, "the instance")
        if not parts["archive"].get_filename():
            raise Refusal(400, "the archive has no name")
        if hashlib.sha256(texts["archive"]).hexdigest() != texts["sha256sum"].decode():
            raise Refusal(422, "checksum mismatch")
        with self.lock:
            self.uploads.append((parts["archive"].get_filename(), len(texts["archive"])))
        return write([[("status", "200"), ("message", "package queued"), ("reference", f"r{len(self.uploads)}")]])

    def control(self, query):
        values = dict(query)
        with self.lock:
            times = int(values.get("times", "1"))
            if times == 0:
                self.trouble.clear()
            if "fail" in values:
                self.trouble += [int(values["fail"])] * times
            if "drop" in values:
                self.trouble += [0] * times
            if "tasks" in values:
                self.tasks = int(values["tasks"])
            self.added += [tuple(value.split(":", 1)) for name, value in query if name == "add"]
            if "answer" in values:
                self.answer = values["answer"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    controller = None

    def log_message(self, *arguments):
        pass

    def answer(self, status, data, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        with self.controller.lock:
            lines = {
                "/control/results": [f"{session} {status}" for session, status in self.controller.results],
                "/control/last": list(self.controller.last),
                "/control/login": [self.controller.login],
                "/control/log": list(self.controller.log),
            }.get(self.path)
        if lines is None:
            return self.answer(404, b"not found\n", "text/plain")
        self.answer(200, "".join(line + "\n" for line in lines).encode(), "text/plain")

    def do_POST(self):
        parts = urlsplit(self.path)
        query = parse_qsl(parts.query, keep_blank_values=True)
        length = int(self.headers.get("Content-Length", "-1"))
        if parts.path == "/control":
            self.rfile.read(max(0, length))
            self.controller.control(query)
            return self.answer(200, b"", "text/plain")
        name = query[0][0] if query else ""
        try:
            limit = {"build-task": TASK_LIMIT, "build-result": RESULT_LIMIT, "upload": UPLOAD_LIMIT}.get(name)
            if limit is None:
                raise Refusal(404, "not found")
            if length < 0:
                raise Refusal(411, "no Content-Length")
            if length > limit:
                self.close_connection = True
                raise Refusal(413, f"more than {limit} bytes")
            data = self.rfile.read(length)
            with self.controller.lock:
                trouble = self.controller.trouble.pop(0) if self.controller.trouble else None
            if trouble == 0:
                self.close_connection = True
                return self.controller.note(name, "dropped")
            if trouble:
                raise Refusal(trouble, "out of order")
            if name != "upload" and self.headers.get("Content-Type") != "text/manifest":
                raise Refusal(400, "the Content-Type is " + str(self.headers.get("Content-Type")))
            base = f"http://{self.headers['Host']}{parts.path}"
            if name == "build-task":
                body = self.controller.give_task(base, query, data)
            elif name == "build-result":
                body = self.controller.take_result(query, data)
            else:
                body = self.controller.take_upload(query, self.headers.get("Content-Type", ""), data)
            self.controller.note(name, "ok")
            self.answer(200, body, "text/manifest;charset=utf-8")
        except Refusal as refusal:
            self.controller.note(name, refusal.status, refusal)
            self.answer(refusal.status, f"{refusal}\n".encode(), "text/plain;charset=utf-8")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--task", required=True)
    options.add_argument("--key")
    options.add_argument("--address", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    with open(chosen.task, "rb") as file:
        manifests = parse(file.read())
    Handler.controller = Controller(manifests[0], chosen.key)
    server = http.server.ThreadingHTTPServer((chosen.address, chosen.port), Handler)
    print("listening", server.server_address[1], flush=True)
    server.serve_forever()


main()
