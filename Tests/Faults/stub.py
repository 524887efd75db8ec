"""What every group needs: the stub daemon as a process, pictures that it takes for complete, and sidecars held against
their schema."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
SUFFIX = b".fastvlm.json"
END = b"\xff\xd9"


class Failure(Exception):
    """A figure that does not hold."""


def program():
    """The stub daemon: $FASTVLM_STUB, or the one that was built last."""
    named = os.environ.get("FASTVLM_STUB")
    places = [named] if named else [f"{ROOT}/.build/{kind}/StubDaemon" for kind in ("release", "debug")]
    found = [place for place in places if os.access(place, os.X_OK)]
    if not found:
        sys.exit(f"There is no stub daemon at {' or '.join(places)}. Run: swift build -c release --product StubDaemon")
    return max(found, key=os.path.getmtime)


class Scratch:
    """A folder of its own, with one for the pictures and one for the daemon's state; gone at the end."""

    def __init__(self, place=None):
        self.path = tempfile.mkdtemp(prefix="faults-", dir=place)
        self.stubs = []
        self.pictures = os.path.join(self.path, "pictures")
        self.state = os.path.join(self.path, "state")
        self.log = os.path.join(self.path, "log")
        self.errors = os.path.join(self.path, "errors")
        os.mkdir(self.pictures)
        os.mkdir(self.state)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stub in self.stubs:
            if stub.running():
                stub.kill()
        shutil.rmtree(self.path, ignore_errors=True)

    def begun(self):
        """The first words of the pictures that the engine began, in order."""
        try:
            with open(self.log, "rb") as file:
                return file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return []

    def count(self, length):
        """How many pictures the engine began, if their first words have `length` bytes."""
        try:
            return os.path.getsize(self.log) // (length + 1)
        except FileNotFoundError:
            return 0

    def said(self):
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            return file.read()


class Stub:
    """A stub daemon at work on a scratch folder."""

    def __init__(self, scratch, prefix=(), pictures=None, preexec=None, **options):
        self.scratch = scratch
        words = [*prefix, program(), pictures or scratch.pictures, "--state", scratch.state, "--log", scratch.log]
        for name, value in options.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        self.errors = open(scratch.errors, "ab")
        self.before = self.errors.tell()
        scratch.stubs.append(self)
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL, preexec_fn=preexec)

    def ready(self, within=60):
        """Waits until it has its signal handlers and watches. Returns itself."""
        until("it watches", lambda: "Watching" in self.said(), within, self)
        return self

    def said(self):
        """What this one wrote to standard error."""
        with open(self.scratch.errors, "rb") as file:
            file.seek(self.before)
            return file.read().decode(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def running(self):
        return self.process.poll() is None

    def stop(self, within=30):
        """Ends it by SIGTERM. Returns its counters."""
        self.process.send_signal(signal.SIGTERM)
        try:
            output, _ = self.process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"SIGTERM did not end it within {within} s")
        self.errors.close()
        if self.process.returncode != 0:
            raise Failure(f"it ended with status {self.process.returncode}: {self.said()[-2000:]}")
        words = output.decode().split()
        return {name: int(value) for name, value in zip(words[::2], words[1::2])}


def until(what, condition, within=60, stub=None, pause=0.01):
    """Waits until `condition` holds."""
    limit = time.monotonic() + within
    while not condition():
        if time.monotonic() > limit:
            raise Failure(f"not within {within} s: {what}" + (f"\n{stub.said()[-3000:]}" if stub else ""))
        if stub and not stub.running():
            raise Failure(f"the daemon ended by itself ({stub.process.returncode}): {stub.said()[-3000:]}")
        time.sleep(pause)


def content(word, size=200):
    """A picture's bytes, of which no two are alike: the stub takes whatever ends as a JPEG does."""
    return word.encode() + b" " + random.randbytes(max(0, size - len(word) - 3)) + END


def drop(folder, name, data):
    """Puts a file in place by a rename."""
    folder, name = os.fsencode(folder), os.fsencode(name)
    temporary = os.path.join(folder, b".new-%d-%d" % (os.getpid(), random.getrandbits(48)))
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, os.path.join(folder, name))


def sidecar(path):
    """The document beside `path`; None if there is none. Raises for one that is half written."""
    try:
        with open(os.fsencode(path) + SUFFIX, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def is_right(path):
    """Whether the file at `path` has the sidecar of what it now holds."""
    document = sidecar(path)
    return document is not None and document["source"].get("sha256") == digest(path)


def validator():
    import jsonschema

    with open(f"{ROOT}/etc/schema/fastvlm.sidecar-1.schema.json", encoding="utf-8") as file:
        return jsonschema.Draft202012Validator(json.load(file))


class Verdict:
    """All sidecars of a tree held against its pictures."""

    def __init__(self, folder, endings=(b".jpg", b".jpeg", b".png")):
        self.pictures = self.ok = self.refused = 0
        self.lost, self.wrong, self.broken, self.stray, self.temporaries = [], [], [], [], []
        schema = validator()
        for place, _, names in os.walk(os.fsencode(folder)):
            pictures = {name for name in names if name.lower().endswith(endings) and not name.startswith(b".")}
            for name in names:
                path = os.path.join(place, name)
                if name.startswith(b".fastvlm-"):
                    self.temporaries.append(path)
                if name.endswith(SUFFIX) and name[: -len(SUFFIX)] not in pictures:
                    self.stray.append(path)
            for name in sorted(pictures):
                path = os.path.join(place, name)
                self.pictures += 1
                try:
                    document = sidecar(path)
                except ValueError:
                    self.broken.append(path)
                    continue
                if document is None:
                    self.lost.append(path)
                elif next(schema.iter_errors(document), None) is not None:
                    self.broken.append(path)
                elif document["source"].get("sha256") != digest(path):
                    self.wrong.append(path)
                elif document["status"] == "refused":
                    self.refused += 1
                else:
                    self.ok += 1

    def require(self, pictures, refused=0):
        print(self)
        counts = (self.lost, self.wrong, self.broken, self.stray, self.temporaries)
        if self.pictures != pictures or self.refused > refused or any(counts):
            raise Failure(f"expected {pictures} pictures with right sidecars; " + repr([c[:3] for c in counts]))

    def __str__(self):
        return (
            f"  pictures {self.pictures}: ok {self.ok}, refused {self.refused}, lost {len(self.lost)}, wrong content "
            f"{len(self.wrong)}, half-written or against the schema {len(self.broken)}, stray {len(self.stray)}, "
            f"temporaries {len(self.temporaries)}")
