"""Whether a configuration may be trained, asked as the Python tools do: the same flags, names and answer as `trainlock check`.

The kernel lock is taken for an instant; the marker is not looked at.
"""

import argparse
import fcntl
import json
import os
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--root", required=True)
for name in ("--strategy", "--dataset", "--model"):
    parser.add_argument(name, required=True)
parser.add_argument("--ratio", type=float)
arguments = parser.parse_args()

dataset = arguments.dataset.lower()
ratio = "" if arguments.ratio is None else f"_ratio{arguments.ratio:.2f}".replace(".", "p")
name = f"{arguments.strategy}_{dataset.replace('-', '_')}_{arguments.model}{ratio}.lock"
path = os.path.join(arguments.root, "training_locks", name)

if os.path.exists(path):
    with open(path, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"locked: {json.load(file)}", file=sys.stderr)
            sys.exit(1)
        fcntl.flock(file, fcntl.LOCK_UN)
print(f"FREE {arguments.strategy}/{dataset}/{arguments.model}{ratio}")
