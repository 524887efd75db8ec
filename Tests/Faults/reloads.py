"""Group 12, SIGHUP: good and bad configurations again and again while pictures come; not one is lost, and descriptors, threads and
allocated memory stay as they were."""

import os
import re
import signal
import threading
import time

from backlog import Camera, png
from sockets import Serving
from stub import Failure, Verdict, until

# TOMLKit never frees what it has parsed: about 3.5 KiB for a file as small as this one, each time that it is read.
KEPT = 6

BAD = [
    "[[watch]]\npath = 12\n", "[[[", "[watch]\n", "[defaults]\nno_such_key = 1\n", "\0\xff", "[[watch]]\npath = \"\"\n",
    "[defaults]\nbudget_ms = -1\n", "a = [" * 400, "[[watch]]\npath = \"/\"\nmode = \"sideways\"\n",
]


def write(path, text):
    """A new file each time, put in place by a rename, as an editor does."""
    with open(path + ".new", "w", encoding="latin-1") as file:
        file.write(text)
    os.rename(path + ".new", path)


def threads_of(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/task"))


def run(times):
    with Serving() as daemon:
        path = f"{daemon.folder}/fastvlmd.toml"
        with open(path, encoding="utf-8") as file:
            base = file.read()
        folders = [f"{daemon.folder}/{name}" for name in ("gate", "yard")]
        for folder in folders:
            os.mkdir(folder)

        def watch(number):
            """The first folder always, the second every other time, their questions always others."""
            return "".join(
                f'\n[[watch]]\npath = "{folder}"\nresolution = 128\nmax_tokens = {4 + number % 3}\n'
                for folder in (folders if number // 2 % 2 == 0 else folders[:1]))

        def reloads():
            text = daemon.ask("GET", "/metrics")[1].decode()
            return {
                result: int(re.search(rf'fastvlm_reloads_total{{result="{result}"}} (\d+)', text)[1])
                for result in ("ok", "refused")
            }

        dropped, ended, paused = [0], threading.Event(), threading.Event()

        def allocated():
            """KiB. Resident memory takes steps of megabytes where something small keeps a free page from going back."""
            text = daemon.ask("GET", "/metrics")[1].decode()
            return int(re.search(r"^fastvlm_allocated_memory_bytes (\d+)", text, re.M)[1]) // 1024

        def figures():
            """Once all work is done and the idle threads of a pool have ended, which they do after five seconds."""
            until("all are done", lambda: done(folders) == dropped[0], 60, daemon, 0.2)
            time.sleep(6)
            return allocated(), daemon.descriptors(), threads_of(daemon), daemon.memory()

        def many():
            """Many at once, as fast as they go: they may fall together, and nothing else may happen."""
            counts = [sum(reloads().values())]
            for _ in range(1000):
                daemon.process.send_signal(signal.SIGHUP)

            def settled():
                counts.append(sum(reloads().values()))
                return counts[-1] == counts[-2] > counts[0]

            # Twenty times as long as a reading takes.
            until("the last of many is read", settled, 30, daemon, 1)

        def drop():
            folder, number = folders[dropped[0] % 2], dropped[0]
            with open(f"{folder}/.new", "wb") as file:
                file.write(png(number))
            os.rename(f"{folder}/.new", f"{folder}/{number}.png")
            dropped[0] += 1

        def keep_dropping():
            while not ended.wait(0.02):
                if not paused.is_set():
                    drop()

        pictures, camera = threading.Thread(target=keep_dropping, daemon=True), Camera(daemon, 0.02)
        pictures.start()
        camera.start()
        write(path, base + watch(0))
        daemon.process.send_signal(signal.SIGHUP)
        until("it is warm", lambda: len(camera.times) >= 200 and dropped[0] >= 200, 60, daemon)
        # Whatever happens later has happened once: what is measured is what more of it adds.
        many()
        already, good, bad, extra = reloads(), 0, 0, 0
        slowest, answers, parts = 0.0, [], []
        for number in range(times):
            is_good = number % 2 == 0
            write(path, base + watch(number) if is_good else base + watch(number) + BAD[number // 2 % len(BAD)])
            good, bad = good + is_good, bad + (not is_good)
            begun = time.monotonic()
            daemon.process.send_signal(signal.SIGHUP)
            expected = {"ok": already["ok"] + extra + good, "refused": bad}
            until(f"reload {number}: {expected}", lambda: reloads() == expected, 30, daemon, 0.002)
            slowest = max(slowest, time.monotonic() - begun)
            if number + 1 in (times // 3, times * 2 // 3, times):
                write(path, base + watch(0))
                many()
                extra = reloads()["ok"] - already["ok"] - good
                paused.set()
                answers += camera.end()
                parts.append((good + bad + extra, *figures()))
                paused.clear()
                camera = Camera(daemon, 0.02)
                camera.start()
        ended.set()
        pictures.join()
        answers += camera.end()
        until("all are done", lambda: done(folders) == dropped[0], 60, daemon, 0.2)
        after = reloads()
        for folder in folders:
            Verdict(folder).require(len([name for name in os.listdir(folder) if name.endswith(".png")]))
        daemon.stop()
    print(
        f"  {good} good and {bad} bad files, and 1,000 signals at once three times ({extra} readings): {dropped[0]} pictures done, "
        f"{len(answers)} requests answered, slowest reload {slowest * 1e3:.0f} ms")
    for readings, allocated_then, descriptors, threads, resident in parts:
        print(
            f"  after {readings} readings: allocated {allocated_then} KiB, resident {resident} KiB, descriptors {descriptors}, "
            f"threads {threads}")
    if after["refused"] != bad:
        raise Failure("a good file was refused")
    # What is kept for the largest load so far takes a step once; what each reload leaves behind grows in both parts.
    if all(grows(before, then) for before, then in zip(parts, parts[1:])):
        raise Failure("it grows")


def grows(before, then):
    """Whether something is left of each reading between two measurements, beyond what is known to stay."""
    readings, allocated, descriptors, threads = (b - a for a, b in zip(before[:4], then[:4]))
    return allocated > 256 + KEPT * readings or descriptors > 4 or threads > 2


def done(folders):
    return sum(name.endswith(".fastvlm.json") for folder in folders for name in os.listdir(folder))
