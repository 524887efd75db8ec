"""Group 12, SIGHUP: good and bad configurations again and again while pictures come; not one is lost, and descriptors, threads and
memory stay as they were."""

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

        def figures():
            """At rest, when what is free has gone back to the system, which it does after two seconds."""
            until("all are done", lambda: done(folders) == dropped[0], 60, daemon, 0.2)
            time.sleep(3)
            return daemon.memory(), daemon.descriptors(), threads_of(daemon)

        def drop():
            while not ended.wait(0.02):
                if paused.is_set():
                    continue
                folder, number = folders[dropped[0] % 2], dropped[0]
                with open(f"{folder}/.new", "wb") as file:
                    file.write(png(number))
                os.rename(f"{folder}/.new", f"{folder}/{number}.png")
                dropped[0] += 1

        pictures, camera = threading.Thread(target=drop, daemon=True), Camera(daemon, 0.02)
        pictures.start()
        camera.start()
        write(path, base + watch(0))
        daemon.process.send_signal(signal.SIGHUP)
        until("it is warm", lambda: len(camera.times) >= 200 and dropped[0] >= 200, 60, daemon)
        already, good, bad = reloads(), 0, 0
        answers, measured, slowest = [], [], 0.0
        # With both folders watched, so that whatever lies in them gets done.
        stops = [part * times // 3 // 4 * 4 for part in (1, 2)]
        for number in range(times):
            is_good = number % 2 == 0
            write(path, base + watch(number) if is_good else base + watch(number) + BAD[number // 2 % len(BAD)])
            good, bad = good + is_good, bad + (not is_good)
            begun = time.monotonic()
            daemon.process.send_signal(signal.SIGHUP)
            expected = {"ok": already["ok"] + good, "refused": bad}
            until(f"reload {number}: {expected}", lambda: reloads() == expected, 30, daemon, 0.002)
            slowest = max(slowest, time.monotonic() - begun)
            if number in stops:
                paused.set()
                answers += camera.end()
                measured.append((*figures(), sum(reloads().values())))
                paused.clear()
                camera = Camera(daemon, 0.02)
                camera.start()
        # Many at once, as fast as they go: they may fall together, and nothing else may happen.
        write(path, base + watch(0))
        for _ in range(1000):
            daemon.process.send_signal(signal.SIGHUP)
        ended.set()
        pictures.join()
        answers += camera.end()
        resting, after = figures(), reloads()
        measured.append((*resting, sum(after.values())))
        for folder in folders:
            Verdict(folder).require(len([name for name in os.listdir(folder) if name.endswith(".png")]))
        daemon.stop()
    print(
        f"  {good} good and {bad} bad files, then 1,000 signals at once ({after['ok'] - already['ok'] - good} readings): {dropped[0]} pictures "
        f"done, {len(answers)} requests answered, slowest reload {slowest * 1e3:.0f} ms")
    print(
        f"  memory {' -> '.join(f'{memory}' for memory, *_ in measured)} KiB, descriptors {measured[0][1]} -> {measured[-1][1]}, threads "
        f"{measured[0][2]} -> {measured[-1][2]}; {measured[-1][3] - measured[0][3]} readings between")
    if after["refused"] != bad:
        raise Failure("a good file was refused")
    # A heap takes a step of a MiB or two once, and a pool a few threads more after many signals, wherever that falls; what
    # leaks does it each time.
    between = list(zip(measured, measured[1:]))
    heavier = [
        later[0] - earlier[0] - KEPT * (later[3] - earlier[3]) > earlier[0] * 0.01 + 1024 for earlier, later in between
    ]
    busier = [later[2] > earlier[2] + 2 for earlier, later in between]
    if all(heavier) or all(busier) or measured[-1][1] > measured[0][1] + 8:
        raise Failure("it grows")
    # A reload that leaks one thread would leave more than fifty.
    if (
        measured[-1][0] > measured[0][0] * 1.02 + 2048 + KEPT * (measured[-1][3] - measured[0][3])
        or measured[-1][2] > measured[0][2] + 8
    ):
        raise Failure("it grew")


def done(folders):
    return sum(name.endswith(".fastvlm.json") for folder in folders for name in os.listdir(folder))
