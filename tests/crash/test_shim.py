"""platform: own -- the instrument itself: powerloss.c and powerloss_recover give back exactly what was synced. See README.md."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import harness

# A program of known calls, as its own end; each mark says what was synced before it.
PROGRAM = """
import os, signal, sys
os.chdir(sys.argv[1])
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
def put(path, data, at=0, flags=os.O_RDWR | os.O_CREAT):
    fd = os.open(path, flags); os.pwrite(fd, data, at); return fd
a = put("kept", b"synced" + bytes(8186)); os.fsync(a); sync(".")
os.pwrite(a, b"OVER", 0); os.pwrite(a, b"END", 9000)              # in place, and behind the end
b = put("cut", b"0123456789"); os.fsync(b); sync("."); os.ftruncate(b, 4)
c = put("nameless", b"data"); os.fsync(c)                          # the directory is not synced
d = put("new.tmp", b"new"); os.fsync(d)
e = put("old", b"old"); os.fsync(e); sync("."); os.rename("new.tmp", "old")
f = put("gone", b"gone"); os.fsync(f); sync("."); os.unlink("gone")
os.mkdir("dir"); sync("."); g = put("dir/in", b"in"); os.fsync(g); sync("dir")
os.mkdir("late"); h = put("late/in", b"in"); os.fsync(h); sync("late")
i = put("again", b"first"); os.fsync(i); sync("."); os.close(put("again", b"2", 0, os.O_RDWR | os.O_TRUNC))
os.kill(os.getpid(), signal.SIGKILL)
"""


def tree(top):
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, top)] = file.read()
    return found


def run(mode, program=PROGRAM, kill_at=0, seed=1):
    work = tempfile.mkdtemp(prefix="smack-crash-")
    data, side = work + "/data", work + "/side"
    os.mkdir(data)
    os.mkdir(side)
    env = dict(os.environ, LD_PRELOAD=harness.binary("libpowerloss.so"), POWERLOSS_DIR=data, POWERLOSS_SIDE=side, POWERLOSS_KILL=str(kill_at))
    try:
        status = subprocess.run([sys.executable, "-c", program, data], env=env, check=False).returncode
        if status != -signal.SIGKILL:
            raise harness.Failure("the program ended with %d" % status)
        subprocess.run([harness.binary("powerloss_recover"), data, side, str(seed), mode], check=True, stdout=subprocess.DEVNULL)
        return tree(data)
    finally:
        shutil.rmtree(work)


def expect(mode, got, want):
    for name in sorted(got.keys() | want.keys()):
        if got.get(name) != want.get(name):
            raise harness.Failure("%s: %s is %.40r, not %.40r" % (mode, name, got.get(name), want.get(name)))


SYNCED = {"kept": b"synced" + bytes(8186), "cut": b"0123456789", "nameless": b"data", "old": b"new", "gone": b"gone", "dir/in": b"in",
          "again": b"first"}


def what_was_not_synced_is_dropped():
    # The later sync of the directory made the earlier names durable: "nameless", the rename. "gone" comes back? A later sync covers that too.
    want = dict(SYNCED)
    del want["gone"]
    want["late/in"] = b"in"
    expect("drop", run("drop"), want)


def without_a_loss_everything_is_there():
    want = dict(SYNCED, kept=b"OVERed" + bytes(8186) + bytes(808) + b"END", cut=b"0123", again=b"2")
    del want["gone"]
    want["late/in"] = b"in"
    expect("keep", run("keep"), want)


def names_need_a_sync_of_their_directory():
    got = run("drop", PROGRAM.replace("i = put(", "os.kill(os.getpid(), signal.SIGKILL); i = put("))
    expect("names", {k: v for k, v in got.items() if k.startswith("late")}, {})
    got = run("drop", PROGRAM.replace('os.mkdir("dir")', "os.kill(os.getpid(), signal.SIGKILL)"))
    expect("unlink", {k: v for k, v in got.items() if k in ("gone", "new.tmp", "old")}, {"gone": b"gone", "old": b"new"})
    got = run("drop", PROGRAM.replace('f = put("gone"', 'os.kill(os.getpid(), signal.SIGKILL); f = put("gone"'))
    expect("rename", {k: v for k, v in got.items() if k in ("new.tmp", "old")}, {"new.tmp": b"new", "old": b"old"})


def synced_bytes_survive_every_way_at_every_call():
    # "kept" was synced before anything else: up to a block that was overwritten later, it stands in every outcome.
    runs = 0
    for kill_at in range(6, 40):
        for mode in ("tear", "scramble"):
            got = run(mode, kill_at=kill_at, seed=kill_at)
            if "kept" not in got or len(got["kept"]) < 8192 or got["kept"][512:8192] != bytes(7680):
                raise harness.Failure("%s, call %d: %r" % (mode, kill_at, got.get("kept", b"")[:20]))
            if got["kept"][:6] not in (b"synced", b"Oynced", b"OVnced", b"OVEced", b"OVERed"):
                raise harness.Failure("%s, call %d: %r is no mixture of old and new" % (mode, kill_at, got["kept"][:6]))
            runs += 1
    return "%d losses" % runs


harness.main(what_was_not_synced_is_dropped, without_a_loss_everything_is_there, names_need_a_sync_of_their_directory,
             synced_bytes_survive_every_way_at_every_call)
