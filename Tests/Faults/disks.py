"""Group 4: disk full, inodes full, remounted read-only, a file size limit: it holds, blames no picture, and drains."""

import os
import resource
import subprocess
import time

from stub import Failure, Scratch, Stub, Verdict, content, drop, until

# A picture and its sidecar fit into what is free before the disk is filled; after that neither.
FRAMES = 40


class Disk:
    """A small file system in memory, mounted for the time of a test."""

    def __init__(self, scratch, options):
        self.path = os.path.join(scratch.path, "disk")
        os.mkdir(self.path)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "faults", self.path], stderr=subprocess.DEVNULL).returncode:
            raise PermissionError

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)


def drains(pictures, stub, frames, since, what):
    def complete():
        verdict = Verdict(pictures)
        return not verdict.lost and not verdict.wrong and verdict.pictures == frames

    until(f"{what}: all done once there is room", complete, 90, stub, 0.25)
    took = time.monotonic() - since
    stub.stop()
    Verdict(pictures).require(frames)
    print(f"  {what}: drained {took:.1f} s after the fault was over, of at most 90 s")


def holds(stub, scratch, pictures, what):
    """It has met the fault and waits; no picture is blamed, and what is not done is not said to be."""
    until(f"{what}: it holds", lambda: stub.said().count("retry_in") >= 2, 30, stub)
    if "Refused" in stub.said():
        raise Failure(f"{what}: a picture was blamed")
    verdict = Verdict(pictures)
    if verdict.broken or verdict.wrong or not verdict.lost:
        raise Failure(f"{what}: {verdict}")
    # It does not try again and again: the engine has begun no more than one picture since it held.
    begun = len(scratch.begun())
    time.sleep(1.5)
    if len(scratch.begun()) > begun + 1:
        raise Failure(f"{what}: {len(scratch.begun()) - begun} pictures were begun while there was no room")


def full(kind):
    with Scratch() as scratch, Disk(scratch, "size=1m" if kind == "blocks" else "size=4m,nr_inodes=120") as disk:
        pictures = disk.path
        for number in range(FRAMES):
            drop(pictures, f"{number}.jpg", content(str(number)))
        filler = os.path.join(pictures, "filler")
        os.mkdir(filler)
        if kind == "blocks":
            with open(f"{filler}/0", "wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096) == 4096:
                        pass
                except OSError:
                    pass
        else:
            try:
                for number in range(1000):
                    os.close(os.open(f"{filler}/{number}", os.O_CREAT | os.O_WRONLY))
            except OSError:
                pass
        stub = Stub(scratch, pictures=pictures, latency_ms=1).ready()
        holds(stub, scratch, pictures, f"{kind} full")
        for name in os.listdir(filler):
            os.unlink(f"{filler}/{name}")
        drains(pictures, stub, FRAMES, time.monotonic(), f"{kind} full")


def read_only():
    with Scratch() as scratch, Disk(scratch, "size=4m") as disk:
        for number in range(FRAMES):
            drop(disk.path, f"{number}.jpg", content(str(number)))
        stub = Stub(scratch, pictures=disk.path, latency_ms=20).ready()
        until("a few are done", lambda: len(scratch.begun()) >= 5, 30, stub)
        # A file that is open for writing would forbid it for that moment.
        until("it is read-only", lambda: remounted(disk), 30, stub)
        holds(stub, scratch, disk.path, "read-only")
        disk.remount("rw")
        drains(disk.path, stub, FRAMES, time.monotonic(), "read-only")


def remounted(disk):
    try:
        disk.remount("ro")
        return True
    except subprocess.CalledProcessError:
        return False


def size_limit():
    """RLIMIT_FSIZE: no file may grow beyond 100 bytes, which is less than a sidecar."""
    with Scratch() as scratch:
        for number in range(FRAMES):
            drop(scratch.pictures, f"{number}.jpg", content(str(number)))
        stub = Stub(scratch, latency_ms=1, preexec=ignore_size_signal).ready()
        # The log of the daemon and its errors are longer already; so the limit comes when it runs.
        until("it watches", lambda: "Watching" in stub.said(), 30, stub)
        drop(scratch.pictures, "later.jpg", content("later"))
        until("all are done", lambda: Verdict(scratch.pictures).ok == FRAMES + 1, 60, stub, 0.2)
        limits = resource.prlimit(stub.process.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        drop(scratch.pictures, "limited.jpg", content("limited"))
        time.sleep(3)
        if not stub.running():
            raise Failure(f"the limit ended it: {stub.process.returncode}")
        if os.path.exists(f"{scratch.pictures}/limited.jpg.fastvlm.json"):
            raise Failure("a sidecar in spite of the limit")
        resource.prlimit(stub.process.pid, resource.RLIMIT_FSIZE, limits)
        drains(scratch.pictures, stub, FRAMES + 2, time.monotonic(), "file size limit")


def ignore_size_signal():
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def run():
    try:
        full("blocks")
        full("inodes")
        read_only()
    except PermissionError:
        print("  no right to mount: a full and a read-only disk were not tried")
    size_limit()
