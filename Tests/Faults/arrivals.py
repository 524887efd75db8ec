"""Group 5: events overflow, watches run out, folders come and go, and files come in every way that files come."""

import mmap
import os
import shutil
import signal
import subprocess
import time

from stub import Failure, Scratch, Stub, Verdict, content, drop, until


def settle(scratch, stub, frames, what, within=120):
    """Waits until every picture has its sidecar, and holds that no inference was wasted."""
    started = time.monotonic()

    def complete():
        done = 0
        for _, _, names in os.walk(scratch.pictures):
            done += sum(name.endswith(".fastvlm.json") for name in names)
        return done >= frames

    until(f"{what}: all done", complete, within, stub, 0.1)
    counters = stub.stop()
    Verdict(scratch.pictures).require(frames)
    print(f"  {what}: {frames} done {time.monotonic() - started:.1f} s after the last came; {counters}")
    return counters


def overflow(count):
    """The process stands still while more files come than the kernel keeps events for."""
    with Scratch() as scratch:
        stub = Stub(scratch, latency_ms=0).ready()
        drop(scratch.pictures, "first.jpg", content("first"))
        until("it is at work", lambda: os.path.exists(f"{scratch.pictures}/first.jpg.fastvlm.json"), 60, stub)
        stub.process.send_signal(signal.SIGSTOP)
        data = content("same")
        for number in range(count):
            with open(f"{scratch.pictures}/{number}.jpg", "wb", buffering=0) as file:
                file.write(data)
        stub.process.send_signal(signal.SIGCONT)
        counters = settle(scratch, stub, count + 1, f"stopped while {count} files came", 900)
        queued = int(open("/proc/sys/fs/inotify/max_queued_events").read())
        if count > queued and counters["overflows"] == 0:
            raise Failure("there was no overflow")


def few_watches():
    """50 folders and 5 watches, one of which the watcher needs for itself: the others are polled."""
    with Scratch() as scratch:
        for number in range(50):
            os.makedirs(f"{scratch.pictures}/{number}/deep")
        limit = "echo 5 > /proc/sys/user/max_inotify_watches && exec \"$@\""
        if subprocess.run(["unshare", "-U", "-r", "sh", "-c", limit, "sh", "true"], stderr=subprocess.DEVNULL).returncode:
            print("  no right to limit watches: not tried")
            return
        stub = Stub(
            scratch, prefix=["unshare", "-U", "-r", "sh", "-c", limit, "sh"], latency_ms=0, poll_ms=200).ready()
        for number in range(50):
            drop(f"{scratch.pictures}/{number}", "x.jpg", content(f"x{number}"))
            drop(f"{scratch.pictures}/{number}/deep", "y.jpg", content(f"y{number}"))
        until("they are done", lambda: len(scratch.begun()) >= 100, 60, stub)
        # And such as come when the first are done.
        for number in range(50):
            drop(f"{scratch.pictures}/{number}", "z.jpg", content(f"z{number}"))
        until("the last is done", lambda: os.path.exists(f"{scratch.pictures}/49/z.jpg.fastvlm.json"), 60, stub)
        with open(f"{scratch.pictures}/49/z.jpg.fastvlm.json") as file:
            if "watch_limit" not in file.read():
                raise Failure("the sidecar does not say that the watches ran out")
        counters = settle(scratch, stub, 150, "5 watches for 101 folders")
        if not 1 <= counters["watches"] <= 5:
            raise Failure(f"{counters['watches']} watches")


def new_folders(count):
    """`mkdir -p a/b/c/d` and a file at once, again and again."""
    with Scratch() as scratch:
        stub = Stub(scratch, latency_ms=0).ready()
        for number in range(count):
            folder = f"{scratch.pictures}/{number}/b/c/d"
            os.makedirs(folder)
            with open(f"{folder}/x.jpg", "wb") as file:
                file.write(content("x"))
        settle(scratch, stub, count, f"mkdir -p and a file, {count} times", 300)


def trees(rounds):
    """Trees are moved in, out and about while files come into them."""
    with Scratch() as scratch:
        outside = f"{scratch.path}/outside"
        os.mkdir(outside)
        stub = Stub(scratch, latency_ms=0).ready()
        frames = 0
        for number in range(rounds):
            tree = f"{outside}/t{number}"
            os.makedirs(f"{tree}/a/b")
            drop(f"{tree}/a/b", "x.jpg", content("x"))
            os.rename(tree, f"{scratch.pictures}/t{number}")
            drop(f"{scratch.pictures}/t{number}/a", "y.jpg", content("y"))
            os.rename(f"{scratch.pictures}/t{number}", f"{scratch.pictures}/u{number}")
            drop(f"{scratch.pictures}/u{number}/a/b", "z.jpg", content("z"))
            frames += 3
            if number % 3 == 0:
                # Out again, whatever was done of it by now, and back.
                os.rename(f"{scratch.pictures}/u{number}", tree)
                drop(f"{tree}/a", "w.jpg", content("w"))
                os.rename(tree, f"{scratch.pictures}/u{number}")
                frames += 1
            if number % 5 == 0 and number:
                os.rename(f"{scratch.pictures}/u{number}", f"{scratch.pictures}/u{number - 1}/moved")
        settle(scratch, stub, frames, f"{rounds} trees moved in, out and about")


def ways():
    """Every way in which a file gets its name and its content."""
    with Scratch() as scratch:
        folder, outside = scratch.pictures, f"{scratch.path}/outside"
        os.mkdir(outside)
        stub = Stub(scratch, latency_ms=0).ready()
        place = os.open(folder, os.O_RDONLY)
        for number in range(20):
            source = f"{outside}/{number}"
            with open(source, "wb") as file:
                file.write(content(f"w{number}", 9000))
            os.link(source, f"{folder}/link-{number}.jpg")
            unnamed = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o644)
            os.write(unnamed, content("unnamed"))
            # With a descriptor Python calls linkat and has it follow the link.
            os.link(f"/proc/self/fd/{unnamed}", f"unnamed-{number}.jpg", dst_dir_fd=place)
            os.close(unnamed)
            subprocess.run(["cp", source, f"{folder}/cp-{number}.jpg"], check=True)
            shutil.copy(source, f"{outside}/mv-{number}.jpg")
            subprocess.run(["mv", f"{outside}/mv-{number}.jpg", folder], check=True)
            mapped(f"{folder}/mmap-{number}.jpg", content("mapped", 9000))
            with open(f"{folder}/append-{number}.jpg", "wb", buffering=0) as file:
                for piece in (b"a" * 500, b"b" * 500, b"\xff\xd9"):
                    file.write(piece)
        os.close(place)
        frames = 6 * 20
        if shutil.which("rsync"):
            shutil.rmtree(f"{outside}/tree", ignore_errors=True)
            os.makedirs(f"{outside}/tree/sub")
            for number in range(20):
                drop(f"{outside}/tree/sub", f"rsync-{number}.jpg", content("rsync"))
            subprocess.run(["rsync", "-a", f"{outside}/tree/", folder], check=True)
            frames += 20
        else:
            print("  rsync is not installed: not tried")
        settle(scratch, stub, frames, "link, O_TMPFILE, cp, mv, mmap, append, rsync")


def mapped(path, data):
    with open(path, "w+b") as file:
        file.truncate(len(data))
        with mmap.mmap(file.fileno(), len(data)) as memory:
            memory[: len(data) // 2] = data[: len(data) // 2]
            time.sleep(0.03)
            memory[len(data) // 2 :] = data[len(data) // 2 :]


def run(quick=True):
    overflow(2_000 if quick else 25_000)
    few_watches()
    new_folders(100 if quick else 1000)
    trees(10 if quick else 100)
    ways()
