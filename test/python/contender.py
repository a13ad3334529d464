"""Takes and releases one lock again and again, and notes when it had it: CLOCK_MONOTONIC, the same in every process.

It is known by its seed: in a long run PIDs come again."""

import os
import random
import sys
import time

from training_lock import TrainingLock

journal = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
rounds, seed = int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)


def note(word, generation):
    os.write(journal, "{} {} {} {}\n".format(word, seed, generation, time.monotonic_ns()).encode())


lock = TrainingLock("baseline", "IDD-AW", "deeplabv3plus_r50")
for _ in range(rounds):
    if not lock.acquire(blocking=True, timeout=chance.choice([0, 0.5, 60])):
        continue
    note("begin", lock.generation)
    time.sleep(chance.uniform(0, 0.02))
    lock.assert_held()
    note("end", lock.generation)
    lock.release()
