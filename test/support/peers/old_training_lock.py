"""What users import today, rebuilt from its behaviour: the class and the functions, faults included.

Each call answers as the file on clusters does. Tests hold it beside python/training_lock.py.
"""

import atexit
import datetime
import fcntl
import json
import os
import pathlib
import socket
import sys
import time

DEFAULT_LOCK_DIR = os.path.join(os.environ.get("AWARE_DATA_ROOT", "/nowhere"), "training_locks")


def _lock_now(descriptor):
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _somebody_has(path):
    """Found out by holding the lock for an instant; whatever fails counts as held."""
    try:
        with open(path) as file:
            return not _lock_now(file)
    except FileNotFoundError:
        return False
    except OSError:
        return True


class TrainingLock:
    def __init__(
        self, strategy, dataset, model, ratio=None, aux_loss=None, stage=None, lock_dir=DEFAULT_LOCK_DIR
    ):
        self.strategy, self.model, self.ratio, self.aux_loss, self.stage = strategy, model, ratio, aux_loss, stage
        self.dataset = dataset.replace("-", "_").lower()
        self.lock_dir = pathlib.Path(lock_dir)
        parts = [] if stage is None else [f"s{stage}" if isinstance(stage, int) else str(stage)]
        parts += [strategy, self.dataset, model]
        parts += [] if ratio is None else ["ratio" + format(ratio, ".2f").replace(".", "p")]
        parts += [f"aux-{aux_loss}"] if aux_loss else []
        self.lock_file = self.lock_dir / ("_".join(parts) + ".lock")
        self._file = None
        atexit.register(self.release)

    def acquire(self, blocking=False, timeout=60):
        if self._file is not None:
            return True
        until = time.time() + (timeout if blocking else 0)
        try:
            self.lock_dir.mkdir(parents=True, exist_ok=True)
            # Empties the file of whoever holds the lock.
            file = open(self.lock_file, "w")
        except OSError:
            # A folder that cannot be written reads as "locked".
            return False
        while not _lock_now(file):
            if time.time() >= until:
                file.close()
                return False
            time.sleep(1)
        about = {name: getattr(self, name) for name in ("strategy", "dataset", "model", "ratio", "aux_loss")}
        about.update(
            job_id=os.environ.get("LSB_JOBID", "unknown"),
            hostname=socket.gethostname(),
            pid=os.getpid(),
            user=os.environ.get("USER", "unknown"),
            acquired_at=datetime.datetime.now().isoformat(),
        )
        file.write(json.dumps(about, indent=2))
        file.flush()
        self._file = file
        return True

    def release(self):
        file, self._file = self._file, None
        if file is None:
            return
        fcntl.flock(file, fcntl.LOCK_UN)
        file.close()
        if self.lock_file.exists():
            self.lock_file.unlink()

    def is_locked(self):
        return _somebody_has(self.lock_file)

    def get_lock_holder(self):
        try:
            return json.loads(self.lock_file.read_text())
        except (OSError, ValueError):
            return None

    def __enter__(self):
        if self.acquire():
            return self
        holder = self.get_lock_holder() or {}
        known = [holder.get(name) for name in ("job_id", "hostname", "acquired_at")]
        raise RuntimeError("already trained by job {} on {} since {}".format(*known))

    def __exit__(self, *_):
        self.release()
        return False


def check_training_lock(strategy, dataset, model, ratio=None, aux_loss=None):
    return not TrainingLock(strategy, dataset, model, ratio, aux_loss).is_locked()


def preflight_check(strategy, dataset, model, ratio=None, aux_loss=None):
    lock = TrainingLock(strategy, dataset, model, ratio, aux_loss)
    if not lock.is_locked():
        return True
    lines = ["[PRE-FLIGHT CHECK FAILED]", "Configuration is already being trained:"]
    lines += [f"  Strategy: {strategy}", f"  Dataset: {dataset}", f"  Model: {model}"]
    holder = lock.get_lock_holder()
    if holder is not None:
        lines += [f"  Held by: Job {holder['job_id']} on {holder['hostname']}", f"  Since: {holder['acquired_at']}"]
    print("\n".join(lines + ["Skipping to avoid duplicate training."]), file=sys.stderr)
    return False


def _lock_files(lock_dir):
    return sorted(pathlib.Path(lock_dir).glob("*.lock"))


def list_active_locks(lock_dir=DEFAULT_LOCK_DIR):
    found = []
    for path in _lock_files(lock_dir):
        try:
            if _somebody_has(path):
                found.append(dict(json.loads(path.read_text()), lock_file=str(path)))
        except (OSError, ValueError):
            pass
    return found


def clear_stale_locks(lock_dir=DEFAULT_LOCK_DIR, dry_run=True):
    stale = [path for path in _lock_files(lock_dir) if not _somebody_has(path)]
    if not dry_run:
        for path in stale:
            path.unlink()
    return [str(path) for path in stale]
