"""A folder full of pictures that nobody has looked at, while new ones keep coming over the socket: the queue is bounded, memory
stays flat, and the new ones do not wait for the old."""

import http.client
import json
import os
import random
import struct
import threading
import time
import zlib

from sockets import Serving, Unix, share
from stub import SUFFIX, Failure, until

QUEUE = 1024  # the most paths of folders that wait at a time


def png(number, side=24):
    """A small picture, of which no two are alike."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + random.randbytes(side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tEXt", b"Comment\0%d" % number)
        + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def fill(folder, count):
    """So many pictures, a thousand in each folder within `folder`."""
    for number in range(count):
        place = f"{folder}/{number // 1000:03}"
        if number % 1000 == 0:
            os.makedirs(place)
        with open(f"{place}/{number:06}.png", "wb") as file:
            file.write(png(number))


def done(folder):
    return sum(
        entry.name.endswith(SUFFIX.decode()) for place in os.scandir(folder) for entry in os.scandir(place.path))


class Camera(threading.Thread):
    """A client that sends a new picture every so often and notes how long its answer takes."""

    def __init__(self, daemon, every):
        super().__init__(daemon=True)
        self.path, self.every, self.ended = daemon.path, every, threading.Event()
        self.times, self.wrong = [], []

    def run(self):
        connection, number = Unix(self.path), 0
        while not self.ended.wait(self.every):
            number += 1
            picture, begun = png(-number), time.monotonic()
            try:
                try:
                    status, text = self.ask(connection, picture)
                except (ConnectionError, http.client.RemoteDisconnected):
                    # One that was kept may have been closed for want of use, as HTTP allows.
                    connection.close()
                    status, text = self.ask(connection, picture)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
                return
            if status != 200:
                self.wrong.append(text[:300])
            self.times.append(time.monotonic() - begun)

    @staticmethod
    def ask(connection, picture):
        connection.request("POST", "/v1/frames?source=camera", picture, {"Content-Type": "image/png"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def end(self):
        self.ended.set()
        self.join(60)
        if self.wrong:
            raise Failure(f"{len(self.wrong)} new pictures were not answered: {self.wrong[0]}")
        return self.times


def run(count, within):
    daemon = Serving(more="")
    folder = f"{daemon.daemon.folder}/pictures"
    os.mkdir(folder)
    begun = time.monotonic()
    fill(folder, count)
    filled = time.monotonic() - begun
    with daemon as service:
        alone = Camera(service, 0.05)
        alone.start()
        time.sleep(5)
        normal = alone.end()
        with open(f"{service.folder}/fastvlmd.toml", "a", encoding="utf-8") as file:
            file.write(f'\n[[watch]]\npath = "{folder}"\nname = "backlog"\nresolution = 128\nmax_tokens = 8\n')
        service.process.send_signal(1)
        begun = time.monotonic()
        camera = Camera(service, 0.05)
        camera.start()
        memories, most, broken = [], 0, 0

        def look():
            nonlocal most, broken
            memories.append(service.memory())
            status = json.loads(service.ask("GET", "/v1/status")[1])
            for source in status["sources"]:
                broken += source["received"] != sum(source["outcomes"].values()) + sum(source["pending"].values())
            for watched in status["folders"]:
                waits = watched["waiting"] + watched["in_work"]
                broken += watched["received"] != sum(watched["outcomes"].values()) + waits
                most = max(most, waits)
                return watched["outcomes"].get("ok", 0)
            return 0

        until("the backlog is done", lambda: look() >= count, within, service, 0.5)
        took = time.monotonic() - begun
        beside = camera.end()
        found = done(folder)
        service.stop()
    third = max(1, len(memories) // 3)
    early, late = sum(memories[third : 2 * third]) / third, sum(memories[-third:]) / third
    print(
        f"  {count} pictures (written in {filled:.0f} s) done in {took:.0f} s, {count / took:.0f} a second: {found} sidecars, at "
        f"most {most} waited of {QUEUE}, {broken} looks did not add up")
    print(
        f"  new pictures meanwhile: {len(beside)}, p50 {share(beside, 0.5) * 1e3:.1f} p99 {share(beside, 0.99) * 1e3:.1f} ms; "
        f"alone p50 {share(normal, 0.5) * 1e3:.1f} p99 {share(normal, 0.99) * 1e3:.1f} ms")
    print(f"  memory {early:.0f} -> {late:.0f} KiB ({late / early - 1:+.2%})")
    if found != count or broken:
        raise Failure("pictures were lost or are not accounted for")
    if most > QUEUE + 64:
        raise Failure("the queue is not bounded")
    # Of a run of seconds the middle is still warming up.
    if late > early * 1.01 + (1024 if took > 120 else 8192):
        raise Failure("memory grows")
    # One that comes waits for the picture in work, at most, and is then seen itself.
    if share(beside, 0.99) > 2 * share(normal, 0.99) + 0.02:
        raise Failure("new pictures wait for the backlog")
