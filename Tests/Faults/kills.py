"""Group 1: frames arrive in every way while the daemon is killed again and again."""

import collections
import json
import os
import random
import threading
import time

from stub import SUFFIX, Failure, Scratch, Stub, Verdict, content, drop, until


# Bytes of a frame's first word.
WORD = len("frame-00000-1")


class Writer(threading.Thread):
    """Brings frames, in step with the daemon: by rename, written in place, by link, some replaced later."""

    def __init__(self, scratch, frames, ahead=400):
        super().__init__(daemon=True)
        self.scratch, self.frames, self.ahead = scratch, frames, ahead
        self.generations = 0
        self.error = None
        for number in range(8):
            os.mkdir(f"{scratch.pictures}/{number}")

    def run(self):
        try:
            for number in range(self.frames):
                while number > self.scratch.count(WORD) + self.ahead:
                    time.sleep(0.01)
                self.bring(number, 1)
                # One in twenty changes once more, at whatever stage it is.
                if number >= 20 and number % 20 == 0:
                    self.bring(number - random.randrange(20), 2)
        except Exception as error:
            self.error = error

    def bring(self, number, generation):
        folder, name = f"{self.scratch.pictures}/{number % 8}", f"frame-{number:05}.jpg"
        data = content(f"frame-{number:05}-{generation}", random.randrange(100, 4000))
        self.generations += 1
        way = number % 3 if generation == 1 else number % 2
        if way == 0:
            drop(folder, name, data)
        elif way == 1:
            with open(f"{folder}/{name}", "wb", buffering=0) as file:
                middle = len(data) // 2
                file.write(data[:middle])
                file.write(data[middle:])
        else:
            hidden = f"{self.scratch.path}/hidden"
            with open(hidden, "wb") as file:
                file.write(data)
            os.link(hidden, f"{folder}/{name}")
            os.unlink(hidden)


def run(frames=300, kills=10, seed=None, latency=2):
    seed = random.randrange(1 << 32) if seed is None else seed
    random.seed(seed)
    print(f"kills: {frames} frames, {kills} times kill -9, seed {seed}")
    started = time.monotonic()
    with Scratch() as scratch:
        writer = Writer(scratch, frames)
        writer.start()
        # At so many inferences begun; a fifth of the deaths follow the one before at once, on the way up.
        marks = sorted(random.sample(range(1, frames), kills))
        stub = Stub(scratch, latency_ms=latency)
        seen, half, killed, young = set(), 0, 0, 0
        for index, mark in enumerate(marks):
            if index % 5 == 4:
                time.sleep(random.uniform(0, 0.15))
                young += 1
            else:
                until(f"{mark} inferences", lambda: scratch.count(WORD) >= mark, 600, stub, 0.001)
                time.sleep(random.uniform(0, 0.02))
            stub.kill()
            killed += 1
            half += check(scratch, seen)
            stub = Stub(scratch, latency_ms=latency)
        writer.join(600)
        if writer.error or writer.is_alive():
            raise Failure(f"the writer failed: {writer.error}")

        def complete():
            verdict.append(Verdict(scratch.pictures))
            return verdict[-1].pictures == frames and not verdict[-1].lost and not verdict[-1].wrong

        verdict = []
        until("all frames have the sidecars of their last content", complete, 120, stub, 0.5)
        counters = stub.stop()
        begun = collections.Counter(scratch.begun())
        repeats = sum(begun.values()) - len(begun)
        # One more start leaves nothing behind and does nothing again.
        before = sum(begun.values())
        stub = Stub(scratch, latency_ms=latency)
        drop(scratch.pictures, "last.jpg", content("last"))
        until("one more frame", lambda: os.path.exists(f"{scratch.pictures}/last.jpg.fastvlm.json"), 60, stub)
        stub.stop()
        final = Verdict(scratch.pictures)
        final.require(frames + 1, refused=kills)
        again = len(scratch.begun()) - before - 1
        print(
            f"  killed {killed} (on the way up {young}), generations brought {writer.generations}, begun {before}, "
            f"repeated {repeats} of at most {killed}, half-written at a kill {half}, begun again after all was done {again}, "
            f"{time.monotonic() - started:.0f} s; last counters {counters}")
        if repeats > killed or half or again:
            raise Failure("repeats, halves or work done again")


def check(scratch, seen):
    """How many sidecars that came since the last look are not whole."""
    half = 0
    for number in range(8):
        folder = os.fsencode(f"{scratch.pictures}/{number}")
        for name in os.listdir(folder):
            if name.endswith(SUFFIX) and name not in seen:
                seen.add(name)
                with open(os.path.join(folder, name), "rb") as file:
                    try:
                        json.loads(file.read())
                    except ValueError:
                        half += 1
    return half
