"""Started by python.mjs: takes turns with each lock that a Python program can have, and prints milliseconds as JSON."""

import json
import statistics
import sys
import time

import old_training_lock
import training_lock

root, rounds = sys.argv[1], int(sys.argv[2])
named = ("baseline", "IDD-AW", "python_bench")
own, old = training_lock.TrainingLock(*named), old_training_lock.TrainingLock(*named[:2], "old_bench")
locks = {"training_lock.py": own, "the older file": old}
try:
    import filelock

    locks["filelock " + filelock.__version__] = filelock.FileLock(root + "/filelock.lock")
except ImportError:
    pass
took = {name: {"acquire": [], "assert_held": [], "release": []} for name in locks}


def measured(times, call):
    before = time.perf_counter()
    call()
    times.append((time.perf_counter() - before) * 1000)


for turn in range(-5, rounds):
    for name, lock in locks.items():
        times = took[name] if turn >= 0 else {"acquire": [], "assert_held": [], "release": []}
        measured(times["acquire"], lock.acquire)
        if hasattr(lock, "assert_held"):
            measured(times["assert_held"], lock.assert_held)
        measured(times["release"], lock.release)


def rows(what):
    each = ((name, times[what]) for name, times in took.items() if times[what])
    return [[name, {"median": statistics.median(times), "quickest": min(times)}] for name, times in each]


print(
    json.dumps(
        [
            {"title": "Python: acquire()", "limit": "the older file", "rows": rows("acquire")},
            {"title": "Python: release()", "limit": "the older file", "rows": rows("release")},
            {"title": "Python: assert_held()", "limit": "training_lock.py", "rows": rows("assert_held")},
        ]
    )
)
