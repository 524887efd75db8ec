"""Group 6: uploads at one byte a second (on a scaled clock: settling times are as many times shorter), stalled, aborted,
resumed, replaced and deleted in each state. Group 7: names and things that are no files."""

import os
import socket
import threading
import time

from stub import Failure, Scratch, Stub, Verdict, content, drop, is_right, sidecar, until

# A second takes 40 ms here: the looks one second apart and the 60 s until an upload is given up. The quiet of 200 ms is
# longer than that scale, so that a slow machine that is busy with other tests does not see an upload end too early.
SCALE = 0.04
TIMES = {"quiet_ms": 20, "recheck_ms": 40, "give_up_ms": 2400}


def path(scratch, name):
    return os.path.join(os.fsencode(scratch.pictures), os.fsencode(name))


def slow(scratch, stub):
    """One byte a second."""
    data = content("slow", 60)
    with open(path(scratch, "slow.jpg"), "wb", buffering=0) as file:
        for byte in data:
            file.write(bytes([byte]))
            time.sleep(SCALE)
            if sidecar(path(scratch, "slow.jpg")) and file.tell() < len(data):
                raise Failure("a sidecar before the upload was complete")
    until("the slow upload is done", lambda: is_right(path(scratch, "slow.jpg")), 60, stub)


def stalled(scratch, stub):
    """It stops in the middle, is refused in the end, and goes on after that."""
    data = content("stalled", 400)
    place = path(scratch, "stalled.jpg")
    with open(place, "wb", buffering=0) as file:
        file.write(data[:200])
        time.sleep(20 * SCALE)
        file.write(data[200:300])
        begun = time.monotonic()
        until("it is refused as truncated", lambda: (sidecar(place) or {}).get("code") == "jpeg_truncated", 60, stub)
        if time.monotonic() - begun < 2.3:
            raise Failure(f"it was refused {time.monotonic() - begun:.1f} s after its last change, expected 2.4 s")
        file.write(data[300:])
    until("resumed and done", lambda: is_right(place) and sidecar(place)["status"] == "ok", 60, stub)


def aborted(scratch, stub):
    """Uploads that end without their end are refused; such that are deleted leave nothing."""
    with open(path(scratch, "aborted.jpg"), "wb") as file:
        file.write(content("aborted")[:-2])
    with open(path(scratch, "deleted.jpg"), "wb") as file:
        file.write(content("deleted")[:-2])
    time.sleep(3 * SCALE)
    os.unlink(path(scratch, "deleted.jpg"))
    until("the aborted one is refused", lambda: (sidecar(path(scratch, "aborted.jpg")) or {}).get("status") == "refused",
          60, stub)


def changed(scratch, stub):
    """Replaced, or deleted and made anew, after every delay that meets another state."""
    names = []
    for number in range(60):
        name = f"changed-{number}.jpg"
        place = path(scratch, name)
        names.append(name)
        delay = number / 60 * 0.12
        first = content(f"first-{number}", 500)
        if number % 2:
            drop(scratch.pictures, name, first)
        else:
            with open(place, "wb") as file:
                file.write(first)
        time.sleep(delay)
        match number % 4:
            case 0:
                drop(scratch.pictures, name, content(f"second-{number}", 300))
            case 1:
                with open(place, "r+b") as file:
                    file.write(content(f"other-{number}", 500))
            case 2:
                os.unlink(place)
                time.sleep(0.005)
                drop(scratch.pictures, name, content(f"second-{number}", 500))
            case 3:
                with open(place, "ab") as file:
                    file.write(b"more\xff\xd9")
    for name in names:
        until(f"{name} has its last content's sidecar", lambda: is_right(path(scratch, name)), 60, stub)


def gone(scratch, stub):
    """Deleted in each state: no sidecar is made for what is gone before its commit."""
    for number in range(40):
        name = f"gone-{number}.jpg"
        drop(scratch.pictures, name, content(name, 300))
        time.sleep(number / 40 * 0.08)
        os.unlink(path(scratch, name))
    drop(scratch.pictures, "after.jpg", content("after"))
    until("what came after", lambda: is_right(path(scratch, "after.jpg")), 60, stub)
    for number in range(40):
        # Those whose sidecar was there before: it is theirs who remove pictures.
        left = path(scratch, f"gone-{number}.jpg.fastvlm.json")
        if os.path.exists(left):
            os.unlink(left)


def uploads():
    with Scratch() as scratch:
        stub = Stub(scratch, latency_ms=15, **TIMES).ready()
        errors = []

        def tried(work):
            try:
                work(scratch, stub)
            except Failure as failure:
                errors.append(failure)

        threads = [threading.Thread(target=tried, args=[work]) for work in (slow, stalled, aborted, changed, gone)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counters = stub.stop()
        if errors:
            raise errors[0]
        Verdict(scratch.pictures).require(64, refused=1)
        print(f"  slow, stalled, resumed, aborted, 60 replaced and 40 deleted in each state; {counters}")


NAMES = [
    b"\xff\xfe\xc0.jpg", b"new\nline.jpg", b"\x1b[31mred.jpg", b"'quotes\".jpg", b"back\\slash.jpg", b" .jpg", b"%s%n.jpg",
    b"a" * 242 + b".jpg", b"b" * 243 + b".jpg", b"c" * 251 + b".jpg", "ü".encode() * 125 + b".jpg", b"\xe2" * 251 + b".jpg",
    b"UPPER.JPEG", b"-rf.png", b"tab\t.png", "\u202eevil.jpg".encode(), b"x.jpg.jpg", b"\x7f\x01.jpg", b"{}.json.jpg",
]


def names():
    """Names of every kind; a name of more than 242 bytes leaves no room for the sidecar's ending and is shortened there."""
    with Scratch() as scratch:
        later = path(scratch, b"later \xff\n")
        os.mkdir(later)
        for name in NAMES:
            drop(scratch.pictures, name, content("x"))
        stub = Stub(scratch, latency_ms=1).ready()
        for name in NAMES:
            drop(later, name, content("x"))
        count = 2 * len(NAMES)

        def places():
            found = os.listdir(os.fsencode(scratch.pictures)) + os.listdir(later)
            return [name for name in found if name.endswith(b".fastvlm.json")]

        until("all names", lambda: len(places()) == count, 60, stub)
        things(scratch, stub)
        stub.stop()
        documents = sorted(places())
        if max(len(name) for name in documents) > 255 or any(b"\x1b" in line.encode() for line in stub.said().splitlines()):
            raise Failure("a name too long, or an escape in the log")
        long = [name for name in documents if b"~" in name]
        print(f"  {count} names done, {len(long)} of them with a shortened sidecar name, links and devices left alone")


def things(scratch, stub):
    """Links, loops, a FIFO, a socket and a device with a picture's name: not opened, not waited for."""
    outside = f"{scratch.path}/outside"
    os.mkdir(outside)
    drop(outside, "secret.jpg", content("secret"))
    os.symlink(f"{outside}/secret.jpg", path(scratch, "link.jpg"))
    os.symlink(outside, path(scratch, "linked"))
    os.symlink(".", path(scratch, "loop"))
    os.symlink("self.jpg", path(scratch, "self.jpg"))
    os.mkfifo(path(scratch, "fifo.jpg"))
    os.mkdir(path(scratch, "folder.jpg"))
    server = socket.socket(socket.AF_UNIX)
    server.bind(path(scratch, "socket.jpg"))
    try:
        os.mknod(path(scratch, "device.jpg"), 0o020644, os.makedev(1, 5))
    except PermissionError:
        print("  no right to make a device: not tried")
    # A parent that is now a folder, now a link out of the tree, while pictures come into it.
    os.mkdir(path(scratch, "swapped"))
    os.mkdir(path(scratch, "kept"))
    for number in range(100):
        drop(path(scratch, "swapped"), f"{number}.jpg", content("mine"))
        os.rename(path(scratch, "swapped"), path(scratch, "away"))
        os.symlink(outside, path(scratch, "swapped"))
        time.sleep(0.002)
        os.unlink(path(scratch, "swapped"))
        os.rename(path(scratch, "away"), path(scratch, "swapped"))
    done = lambda: sum(n.endswith(".json") for n in os.listdir(path(scratch, "swapped").decode()))
    until("what came into the swapped folder", lambda: done() == 100, 60, stub)
    drop(scratch.pictures, "last.jpg", content("last"))
    until("the last", lambda: is_right(path(scratch, "last.jpg")), 30, stub)
    if os.listdir(outside) != ["secret.jpg"] or b"secret" in scratch.begun():
        raise Failure("it went outside the root")
    for name in ("link.jpg", "fifo.jpg", "socket.jpg", "device.jpg", "self.jpg", "folder.jpg"):
        if os.path.exists(path(scratch, name + ".fastvlm.json")):
            raise Failure(f"a sidecar for {name}")
    os.unlink(path(scratch, "last.jpg.fastvlm.json"))
    os.unlink(path(scratch, "last.jpg"))
    server.close()


def run():
    uploads()
    names()
