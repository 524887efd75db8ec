"""Group 2: the process dies at every system call of a commit, and every call fails in every way, by strace."""

import concurrent.futures
import errno
import os
import re
import shutil
import subprocess
import time

from stub import Failure, Scratch, Stub, Verdict, content, digest, drop, is_right, sidecar, until

CALLS = ["openat", "write", "fsync", "renameat2", "renameat", "close", "unlinkat"]
# At these only a death is of interest: they lie between the others.
OTHERS = ["openat2", "newfstatat", "fcntl", "pwrite64", "fdatasync", "pread64", "lseek"]
ERRORS = ["EIO", "ENOSPC", "EROFS", "EACCES", "EMFILE", "EINTR"]

# The steps of a commit, by what strace prints of them.
STEPS = {
    "open folder": r'openat\(\S+pictures>, "\.", ',
    "make temporary": r"openat\(.*\.fastvlm-.*O_EXCL",
    "write": r"write\(\d+<\S*\.fastvlm-",
    "fsync file": r"fsync\(\d+<\S*\.fastvlm-",
    "close file": r"close\(\d+<\S*\.fastvlm-",
    "look again": r'openat2\(\S+pictures>, "x\.jpg"',
    "rename": r"renameat2\(",
    "read older": r'openat\(\S+pictures>, "x\.jpg\.fastvlm\.json"',
    "replace": r"renameat\(",
    "fsync folder": r"fsync\(\d+<\S*/pictures>",
    "close folder": r"close\(\d+<\S*/pictures>",
    "remove temporary": r"unlinkat\(.*\.fastvlm-",
}


class Scene:
    """One commit under strace: of a new sidecar, or of one that replaces an older."""

    def __init__(self, replaces):
        self.replaces = replaces
        self.scratch = Scratch()
        self.path = os.path.join(self.scratch.pictures, "x.jpg")
        self.trace = os.path.join(self.scratch.path, "trace")
        self.older = None

    def __enter__(self):
        if self.replaces:
            drop(self.scratch.pictures, "x.jpg", content("older"))
            self.older = digest(self.path)
            stub = self.start().ready()
            until("the older sidecar", lambda: is_right(self.path), 60, stub)
            stub.stop()
        return self

    def __exit__(self, *_):
        self.scratch.__exit__()

    def start(self):
        return Stub(self.scratch, latency_ms=1, quiet_ms=10, recheck_ms=10)

    def attach(self, stub, injections):
        """strace on all threads of the daemon; it counts from now on, each thread for itself."""
        words = ["strace", "-f", "-y", "-s", "80", "-o", self.trace, "-p", str(stub.process.pid)]
        words += ["-e", "trace=" + ",".join(CALLS + OTHERS)]
        for injection in injections:
            words += ["-e", "inject=" + injection]
        tracer = subprocess.Popen(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        line = tracer.stderr.readline()
        if b"attached" not in line:
            raise Failure(f"strace: {line.decode()}")
        return tracer

    def injected(self):
        """The steps at which strace made a call fail, and the steps that a death interrupted."""
        with open(self.trace, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
        return [self.step(line) for line in lines if "(INJECTED)" in line], self.last(lines)

    def is_runtime(self):
        """Whether a call that failed was one by which threads wake each other."""
        with open(self.trace, encoding="utf-8", errors="replace") as file:
            return any("(INJECTED)" in line and "eventfd" in line for line in file)

    @staticmethod
    def step(line):
        return next((name for name, pattern in STEPS.items() if re.search(pattern, line)), "other")

    def last(self, lines):
        begun, last = {}, set()
        for line in lines:
            thread = line.split()[0]
            if "(" in line and "resumed>" not in line:
                begun[thread] = self.step(line)
            if line.rstrip().endswith("= ?"):
                last.add(begun.get(thread, "other"))
        return last

    def check_whole(self, what):
        """The sidecar is there whole, of what the file holds or held, or not there."""
        try:
            document = sidecar(self.path)
        except ValueError:
            raise Failure(f"{what}: a half-written sidecar")
        if document is None:
            if self.older:
                raise Failure(f"{what}: the older sidecar is gone")
        elif document["source"]["sha256"] not in (digest(self.path), self.older) or document["status"] != "ok":
            raise Failure(f"{what}: a sidecar of something else: {document}")

    def recovers(self, what):
        stub = self.start().ready()
        until(f"{what}: a right sidecar", lambda: is_right(self.path), 60, stub)
        stub.stop()
        verdict = Verdict(self.scratch.pictures)
        if verdict.ok != 1 or verdict.temporaries or verdict.broken or verdict.stray:
            raise Failure(f"{what}: {verdict}")


# Runs in which a failing call of the runtime ended or stopped the process.
runtime_deaths = []


def die(replaces, call, number):
    """SIGKILL at the `number`th `call` of any thread. Returns the steps that it died at; None if there is no such call."""
    what = f"SIGKILL at {call} {number}" + (", replacing" if replaces else "")
    with Scene(replaces) as scene:
        stub = scene.start().ready()
        tracer = scene.attach(stub, [f"{call}:signal=KILL:when={number}"])
        drop(scene.scratch.pictures, "x.jpg", content("newer"))
        try:
            until("its end", lambda: not stub.running() or finished(stub), 30)
        finally:
            # Whether it has ended is asked before it is killed.
            died = stub.process.poll() is not None
            stub.kill()
            tracer.communicate()
        scene.check_whole(what)
        steps = scene.injected()[1]
        scene.recovers(what)
        return steps if died else None


def die_after(replaces, call, is_there):
    """`call` returns late; the process dies when its effect is there, before the commit's next call."""
    what = f"SIGKILL after {call}" + (", replacing" if replaces else "")
    with Scene(replaces) as scene:
        stub = scene.start().ready()
        tracer = scene.attach(stub, [f"{call}:delay_exit=400000"])
        drop(scene.scratch.pictures, "x.jpg", content("newer"))
        try:
            until(what, lambda: is_there(scene), 60, stub, 0.001)
        finally:
            stub.kill()
            tracer.communicate()
        scene.check_whole(what)
        scene.recovers(what)


def temporary(scene):
    """The length of the commit's temporary; None if there is none."""
    for name in os.listdir(scene.scratch.pictures):
        if name.startswith(".fastvlm-"):
            return os.path.getsize(os.path.join(scene.scratch.pictures, name))
    return None


def synchronized(scene):
    """The temporary is written, and its fsync has begun to be late."""
    if not temporary(scene):
        return False
    time.sleep(0.1)
    return True


def finished(stub):
    return "Captioned" in stub.said()


def fail(replaces, call, number, code, ever=False, also=()):
    """The `number`th `call` of each thread, or all from then on, fail with `code`. Returns the steps that failed."""
    what = f"{call} {number}{'+' if ever else ''} fails with {code}" + (", replacing" if replaces else "")
    with Scene(replaces) as scene:
        stub = scene.start().ready()
        tracer = scene.attach(stub, [f"{call}:error={code}:when={number}{'+' if ever else ''}", *also])
        drop(scene.scratch.pictures, "x.jpg", content("newer"))
        try:
            if ever:
                # Long enough for two tries.
                until(what, lambda: stub.said().count("retry_in") >= 2 or finished(stub), 30, stub)
            else:
                until(f"{what}: a right sidecar", lambda: is_right(scene.path) and finished(stub), 60, stub)
            scene.check_whole(what)
            if finished(stub) and not is_right(scene.path):
                raise Failure(f"{what}: said to be done, and is not")
            if "Refused" in stub.said():
                raise Failure(f"{what}: the picture was blamed")
        except Failure:
            # Not ours to mend: libdispatch ends the process where it cannot open /proc, and stands still where it cannot
            # write into the eventfd that wakes it. Then the next start has to do it.
            if stub.running() and not scene.is_runtime():
                raise
            runtime_deaths.append(what)
        finally:
            tracer.terminate()
            tracer.communicate()
        if what in runtime_deaths:
            stub.kill()
            scene.check_whole(what)
        else:
            stub.stop()
        steps = scene.injected()[0]
        scene.recovers(what)
        return steps


def run(quick=True):
    if shutil.which("strace") is None or subprocess.run(["strace", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode:
        print("  strace is not installed, or not allowed here: nothing was tried")
        return
    kills, faults = [], []
    for replaces in (False, True):
        for call in CALLS + OTHERS:
            if quick and call not in ("write", "fsync", "renameat2", "renameat"):
                continue
            kills += [(replaces, call, number) for number in range(1, 4 if quick else 16)]
        for call in CALLS[:-1]:
            for code in ("ENOSPC", "EIO") if quick else ERRORS:
                if quick and call not in ("fsync", "renameat2"):
                    continue
                faults += [(replaces, call, number, code) for number in range(1, 2 if quick else 11 if call == "close" else 6)]
                # A call that is interrupted for ever is tried for ever.
                if not quick and code != "EINTR" and call in ("openat", "write", "fsync", "renameat2"):
                    faults += [(replaces, call, number, code, True) for number in (1, 2)]
        # The temporary cannot be removed either.
        for code in ERRORS[:1] if quick else ERRORS:
            faults.append((replaces, "fsync", 1, "EIO", False, (f"unlinkat:error={code}:when=1",)))
    died, failed = {}, {}
    nothing = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        deaths = [pool.submit(die, *words) for words in kills]
        failures = [pool.submit(fail, *words) for words in faults]
        for task in deaths + failures:
            task.add_done_callback(lambda task: task.cancelled() or task.exception() and pool.shutdown(False, cancel_futures=True))
        for task in deaths:
            steps = task.result()
            nothing += steps is None
            for step in steps or ():
                died[step] = died.get(step, 0) + 1
        for task, words in zip(failures, faults):
            for step in task.result():
                failed.setdefault(step, set()).add(words[3])
    # Each thread counts for itself, and others write and close before the commit does; so these two are met in between.
    for replaces in (False, True):
        die_after(replaces, "openat", lambda scene: temporary(scene) == 0)
        die_after(replaces, "fsync", synchronized)
        for step in ("write", "close file"):
            died[step] = died.get(step, 0) + 1
    print(f"  SIGKILL at {len(kills) - nothing + 4} calls: {dict(sorted(died.items()))}")
    print(f"  {len(faults)} runs with failing calls: { {step: sorted(codes) for step, codes in sorted(failed.items())} }")
    if runtime_deaths:
        print(f"  {len(runtime_deaths)} ended or stopped by the runtime itself, and recovered: {runtime_deaths}")
    if quick:
        return
    missing = [step for step in STEPS if step not in died and step != "remove temporary"]
    for step in STEPS:
        if step != "look again" and len(failed.get(step, ())) < (1 if step == "remove temporary" else len(ERRORS)):
            missing.append(f"{step} with every error")
    if missing:
        raise Failure(f"not reached: {missing}")
