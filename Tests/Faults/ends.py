"""Groups 12 and 13, and poison: SIGTERM under load, a soak, and pictures that bring the daemon down or hold it up."""

import os
import signal
import time

from stub import Failure, Scratch, Stub, Verdict, content, drop, sidecar, until


def terminate(rounds):
    """SIGTERM at any moment under load: out in time, with nothing lost and nothing begun twice."""
    with Scratch() as scratch:
        slowest = 0.0
        for number in range(rounds):
            for index in range(10):
                drop(scratch.pictures, f"{number}-{index}.jpg", content(f"{number}-{index}"))
            stub = Stub(scratch, latency_ms=5).ready()
            time.sleep(number / rounds * 0.1)
            begun = time.monotonic()
            stub.stop()
            slowest = max(slowest, time.monotonic() - begun)
        stub = Stub(scratch, latency_ms=1).ready()
        until("all done", lambda: Verdict(scratch.pictures).ok == rounds * 10, 60, stub, 0.1)
        stub.stop()
        Verdict(scratch.pictures).require(rounds * 10)
        repeats = len(scratch.begun()) - rounds * 10
        print(f"  {rounds} times SIGTERM: out within {slowest:.2f} s of at most 30 s, begun twice {repeats}")
        if repeats:
            raise Failure("SIGTERM threw work away")


def poison():
    """A picture that crashes the daemon is refused after three crashes; its neighbours are done."""
    with Scratch() as scratch:
        for number in range(5):
            drop(scratch.pictures, f"{number}.jpg", content(f"good-{number}"))
        drop(scratch.pictures, "bad.jpg", content("CRASH"))
        crashes = restart_until_done(scratch, 6)
        document = sidecar(f"{scratch.pictures}/bad.jpg")
        if crashes != 3 or document.get("code") != "poison":
            raise Failure(f"{crashes} crashes, {document}")
        Verdict(scratch.pictures).require(6, refused=1)
        # Another content under the same name starts anew.
        drop(scratch.pictures, "bad.jpg", content("good"))
        stub = Stub(scratch, latency_ms=1).ready()
        until("the new content is done", lambda: sidecar(f"{scratch.pictures}/bad.jpg")["status"] == "ok", 60, stub)
        stub.stop()
        print(f"  a picture that crashes: refused after {crashes} crashes")


def restart_until_done(scratch, frames):
    crashes = 0
    while crashes < 10:
        stub = Stub(scratch, latency_ms=1)
        until("its end, or all done", lambda: not stub.running() or Verdict(scratch.pictures).lost == [], 60, pause=0.05)
        if stub.running():
            stub.ready().stop()
            return crashes
        crashes += 1
        stub.kill()
    raise Failure("it crashes for ever")


def hanging():
    """A picture that never ends: SIGTERM gets through, and that is no crash; a kill is one."""
    with Scratch() as scratch:
        drop(scratch.pictures, "bad.jpg", content("HANG"))
        for number in range(3):
            before = len(scratch.begun())
            stub = Stub(scratch, latency_ms=1).ready()
            until("it hangs", lambda: len(scratch.begun()) > before, 60, stub)
            # As systemd does to what does not end.
            stub.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            stub.kill()
        journal = open(f"{scratch.state}/in-flight.journal").read()
        if "crashed" in journal:
            raise Failure(f"SIGTERM was taken for a crash: {journal}")
        for number in range(3):
            before = len(scratch.begun())
            stub = Stub(scratch, latency_ms=1).ready()
            until("it hangs", lambda: len(scratch.begun()) > before, 60, stub)
            # As a watchdog does in the end.
            stub.kill()
        stub = Stub(scratch, latency_ms=1).ready()
        until("it is refused", lambda: (sidecar(f"{scratch.pictures}/bad.jpg") or {}).get("code") == "poison", 60, stub)
        stub.stop()
        print("  a picture that hangs: three ends by SIGTERM are none of its, three by the watchdog are")


def soak(seconds):
    """Frames come and go for a while: memory, descriptors and threads stay as they were."""
    with Scratch() as scratch:
        stub = Stub(scratch, latency_ms=1, scan_ms=5000).ready()

        def figures():
            place = f"/proc/{stub.process.pid}"
            memory = int(open(f"{place}/statm").read().split()[1]) * 4
            return memory, len(os.listdir(f"{place}/fd")), len(os.listdir(f"{place}/task"))

        begun, number, first = time.monotonic(), 0, None
        while time.monotonic() - begun < seconds:
            for _ in range(50):
                number += 1
                drop(scratch.pictures, f"{number}.jpg", content(f"f{number:07}"))
            last = f"{scratch.pictures}/{number}.jpg.fastvlm.json"
            until("the last", lambda: os.path.exists(last), 60, stub)
            for name in os.listdir(scratch.pictures):
                os.unlink(f"{scratch.pictures}/{name}")
            if first is None and time.monotonic() - begun > seconds / 3:
                first = figures()
        end = figures()
        idle(stub)
        stub.stop()
        growth = (end[0] - first[0]) / first[0]
        print(
            f"  {number} frames in {seconds:.0f} s: memory {first[0]} -> {end[0]} KiB ({growth:+.2%}), descriptors {first[1]} -> "
            f"{end[1]}, threads {first[2]} -> {end[2]}")
        if growth > 0.01 or end[1] > first[1] + 2 or end[2] > first[2] + 2:
            raise Failure("it grows")


def idle(stub, seconds=10):
    def used():
        words = open(f"/proc/{stub.process.pid}/stat").read().rsplit(")", 1)[1].split()
        written = [line for line in open(f"/proc/{stub.process.pid}/io") if line.startswith("write_bytes")]
        return int(words[11]) + int(words[12]), int(written[0].split()[1])

    time.sleep(1)
    before = used()
    time.sleep(seconds)
    after = used()
    share = (after[0] - before[0]) / os.sysconf("SC_CLK_TCK") / seconds
    print(f"  idle for {seconds} s: {share:.3%} of a core, {after[1] - before[1]} bytes written")
    if after[1] != before[1] or share > 0.005:
        raise Failure("it does not rest")


def run(quick=True):
    terminate(10 if quick else 100)
    poison()
    hanging()
