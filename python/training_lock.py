#!/usr/bin/env python3
"""Train every configuration once: the lock of trainlock for programs in Python.

    from training_lock import TrainingLock

    with TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50') as lock:
        train(lock.weights_dir)

The lock is one claim: the kernel lock in ``{root}/training_locks`` and the marker ``.training_lock`` in the weights dir.
Job scripts that know only one of the two, ``trainlock run`` and this class exclude each other. The root is named by the
environment: TRAINLOCK_ROOT, AWARE_DATA_ROOT or PROVE_ROOT.

This file needs Python 3.6 or later, no other package, and the executable ``trainlock``. It is looked for in
TRAINLOCK_BIN, beside this file, in PATH and in ``{root}/bin``. ``trainlock python`` prints this file.

The process that acquires holds the lock itself: no helper process stays behind. Workers that are forked hold it, too. What
is started by ``subprocess`` or by multiprocessing's ``spawn`` counts while it lives, on this host; ``lock.run`` and
``lock.popen`` hand the lock itself on.

    python training_lock.py list            # and clear, check, ...: as `trainlock list`
"""

import array
import atexit
import contextlib
import errno
import fcntl
import functools
import glob
import json
import os
import random
import re
import select
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import types
import warnings
import weakref
from datetime import datetime, timezone
from pathlib import Path

try:
    from contextvars import ContextVar
except ImportError:
    ContextVar = None

__all__ = [
    'DEFAULT_LOCK_DIR', 'LockHeld', 'LockLost', 'LockTimeout', 'LockUnavailable', 'TrainingLock', 'check_training_lock',
    'claim_next', 'clear_stale_file_locks', 'clear_stale_locks', 'is_pid_running', 'list_active_locks', 'list_all_locks',
    'list_weights_dir_locks', 'preflight_check', 'release_all',
]

# What this file and the executable have agreed on.
_PROTOCOL = 1
_ROOT_VARIABLES = ('TRAINLOCK_ROOT', 'AWARE_DATA_ROOT', 'PROVE_ROOT')
_BIN_VARIABLE = 'TRAINLOCK_BIN'
# In os.environ while a lock is held: what is started meanwhile can be told to belong to it.
_HELD_VARIABLE = 'TRAINLOCK_HELD_'
# Other tools look at a lock by taking it for an instant: would-block is believed only after this long, seconds.
_PROBE_PATIENCE = 0.1
# One look at all locks serves every is_locked() within this time, seconds.
_SNAPSHOT_SERVES = 2.0
# Seconds after acquire at which a holder looks at its lock: old tools do their harm within the first second.
_EARLY_LOOKS = (0.025, 0.25, 1.0)
# A contender that judges the marker has the lock for this long: what it asks other hosts has a deadline of 10 s.
_CONTENDER_PATIENCE = 15.0
# How long a marker may lie there before the record that is copied with it.
_COPY_PATIENCE = 0.3
# Servers and archives round times to a second or two, and servers' clocks differ.
_SAME_TIME_NS = 60 * 10 ** 9
# After Ctrl-C an executable that is asking other hosts is waited for so long, seconds; and its end after its answer so long.
_CANCEL_PATIENCE = 1.0
_HELPER_PATIENCE = 10.0
_LARGEST_RECORD = 64 * 1024
# A folder on the way, the one in it, and a file.
_SPARE_DESCRIPTORS = 3
# An event of the history is one write of less than a page, and may take so many seconds.
_LARGEST_EVENT = 4000
_EVENT_DEADLINE = 0.25
# Of fcntl.h. PyPy does not name it.
_O_PATH = getattr(os, 'O_PATH', 0o10000000)
# F_OFD_SETLK of fcntl.h, and a struct flock of 64 bit Linux.
_OFD_SETLK = 37
# No name of this form is refused, or spelled in another way in a path.
_PLAIN_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_+.-]{0,60}\Z')
_FLOCK_STRUCT = '@hhqqi4x'


class LockUnavailable(RuntimeError):
    """The environment is wrong: no executable, no root, no permission, a file system without locks. Nobody else's lock."""


class LockHeld(RuntimeError):
    """``with lock:`` found the configuration locked. ``holder`` is what get_lock_holder() returns."""

    def __init__(self, message, holder=None):
        super().__init__(message)
        self.holder = holder


class LockTimeout(LockHeld):
    """``with lock.waiting(seconds):`` waited in vain."""


class LockLost(RuntimeError):
    """Another has the lock, or that cannot be excluded: stop, and write no checkpoint."""


def _environment_root():
    return next((os.environ[name] for name in _ROOT_VARIABLES if os.environ.get(name)), None)


def _absolute(path):
    """The same where the working folder has been removed: then a relative path leads nowhere."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return os.fspath(path)


def _default_lock_dir():
    root = _environment_root()
    return '' if root is None else os.path.join(_absolute(root), 'training_locks')


#: ``{root}/training_locks`` as the environment had it when this file was imported; '' where it named no root. A function that
#: is given this very value asks the environment again.
DEFAULT_LOCK_DIR = _default_lock_dir()


# -- The executable ----------------------------------------------------------------------------------------------------


def _executable(root=None):
    """The path of trainlock. Raises LockUnavailable that names every place that was looked at."""
    named = os.environ.get(_BIN_VARIABLE)
    here = os.path.join(os.path.dirname(_absolute(globals().get('__file__', sys.argv[0]))), 'trainlock')
    root = root or _environment_root()
    in_root = None if root is None else os.path.join(root, 'bin', 'trainlock')
    if named:
        candidates = [named]
    else:
        folders = [folder for folder in os.environ.get('PATH', os.defpath).split(os.pathsep) if folder]
        candidates = [here] + [os.path.join(folder, 'trainlock') for folder in folders] + [in_root]
    for path in candidates:
        if path is not None and os.path.isfile(path) and os.access(path, os.X_OK):
            return _absolute(path)
    raise LockUnavailable(
        'the executable trainlock is not found: {} is {}, {} is not there, PATH has none, {}. '
        'Put trainlock into one of these places'.format(
            _BIN_VARIABLE,
            repr(named) + ', which cannot be executed' if named else 'not set',
            here,
            'no root is set' if in_root is None else in_root + ' is not there'))


def _refused(answer):
    hint = answer.get('hint')
    text = '{}{}'.format(answer.get('message'), ': ' + hint if hint else '')
    # A wrong configuration is the caller's mistake; that nothing names the root, or the site's file is wrong, the environment's.
    environment = ('ERR_PROTOCOL', 'ERR_SITE', 'ERR_STORE')
    wrong_call = answer.get('exit_code') == 2 and not str(answer.get('message')).startswith('no root')
    return ValueError(text) if wrong_call and not str(answer.get('code')).startswith(environment) else LockUnavailable(text)


def _ask(request, root=None, lock_dir=None, on_lock=None, cancelled=None):
    """One dialogue with the executable: the last line that it writes, which must carry the token of the request.

    The answer is that line and never an exit status: where SIGCHLD is ignored, every helper seems to exit with 0.
    ``cancelled``: an Event; once it is set, an executable that does not answer is not waited for any longer.
    Raises LockUnavailable, and ValueError for a configuration that is none.
    """
    for folder in (root or _environment_root(), lock_dir):
        if folder is not None and os.fsencode(folder) != os.fsencode(folder).decode('utf-8', 'replace').encode('utf-8'):
            raise LockUnavailable('the path {!r} is not valid UTF-8, and trainlock can use no other'.format(os.fsencode(folder)))
    token = request.setdefault('token', os.urandom(16).hex())
    request.update(protocol=_PROTOCOL, root=_utf8(root), lock_dir=_utf8(lock_dir))
    program = _executable(root)
    helper = _Helper(program, cancelled)
    answer = None
    try:
        answer = _converse(helper, request, token, on_lock)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # No socket any more, or no line of the dialogue.
        pass
    finally:
        # The keeper of a claim is on the other end, and goes on for as long as this end is open.
        is_kept = answer is not None and answer['say'] == 'kept'
        helper.end(answer is not None, is_kept)
    if answer is None:
        raise LockUnavailable(_no_answer(program, helper.said.decode('utf-8', 'replace')))
    if answer['say'] == 'refused':
        raise _refused(answer)
    if is_kept:
        answer['socket'] = helper.ours
    return answer


class _Helper(object):
    """The executable in one dialogue: a socket to talk over, and what it says on its standard error."""

    def __init__(self, program, cancelled):
        self._cancelled = cancelled
        self.said = b''
        # Another process may have come in its place, which keeps a claim in a store.
        self.is_replaced = False
        try:
            self.ours, theirs = [_lifted_socket(end) for end in socket.socketpair()]
        except OSError as error:
            raise LockUnavailable('{} cannot be asked: {}'.format(program, error))
        try:
            # A session of its own: Ctrl-C in a terminal is for Python, which then gives up the claim in an orderly way.
            self._process = subprocess.Popen([program, '__python'], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
                                             start_new_session=True, env=_without_held(os.environ))
        except OSError as error:
            self.ours.close()
            raise LockUnavailable('{} cannot be started: {}'.format(program, error))
        except BaseException:
            self.ours.close()
            raise
        finally:
            theirs.close()
        self._errors = self._process.stderr.fileno()
        os.set_blocking(self._errors, False)
        self._poll = select.poll()
        self._poll.register(self.ours, select.POLLIN)
        self._poll.register(self._errors, select.POLLIN)

    def receive(self):
        """What it sends next. Nothing: it has ended, or it has been cancelled and does not answer. Raises OSError."""
        give_up_at = None
        while True:
            has_ended = not self.is_replaced and self._process.poll() is not None
            ready = [fd for fd, _ in self._poll.poll(0 if has_ended else 100)]
            if self.ours.fileno() in ready:
                return self.ours.recv(65536)
            # A worker that another thread forks at this moment has the other end of the socket, too: it does not close then.
            if has_ended:
                return b''
            if ready and not self._read_errors():
                self._poll.unregister(self._errors)
            if self._cancelled is not None and self._cancelled.is_set():
                give_up_at = give_up_at or time.monotonic() + _CANCEL_PATIENCE
                if time.monotonic() >= give_up_at:
                    return b''

    def _read_errors(self):
        """False: there will be no more. Who writes much must not wait for a reader."""
        try:
            data = os.read(self._errors, 65536)
        except OSError as error:
            return error.errno in (errno.EAGAIN, errno.EINTR)
        self.said = (self.said + data)[:4096]
        return len(data) > 0

    def end(self, has_answered, keep_socket):
        """Waits for its end. One that has not answered has nothing more to say, and what it claimed is withdrawn by its token."""
        if not keep_socket:
            self.ours.close()
        if not has_answered:
            # A program that cannot be executed may say so just before it ends.
            self._wait(0.1)
        self._read_errors()
        self._process.stderr.close()
        if not has_answered or not self._wait(_HELPER_PATIENCE):
            _attempt(self._process.kill)
            self._wait(_HELPER_PATIENCE)

    def _wait(self, seconds):
        try:
            self._process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False


def _without_held(environment):
    """For helpers: what carries the variable counts as part of a training."""
    return {name: value for name, value in environment.items() if not name.startswith(_HELD_VARIABLE)}


def _lifted(fd):
    """The same above 2: where a program has closed its standard streams, what it prints must not get into a lock file."""
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _lifted_socket(end):
    return end if end.fileno() > 2 else socket.socket(end.family, end.type, 0, _lifted(end.detach()))


def _converse(helper, request, token, on_lock):
    _send(helper.ours, request)
    rest = b''
    while True:
        while b'\n' not in rest:
            more = helper.receive()
            if not more:
                return None
            rest += more
        line, rest = rest.split(b'\n', 1)
        message = _with_native_paths(json.loads(line.decode('utf-8')))
        if message['say'] == 'again':
            # The process that keeps a claim in a store has come in the first one's place.
            helper.is_replaced = True
            _send(helper.ours, request)
            continue
        _learn_ways(message)
        if message['say'] != 'lock':
            return message if message['token'] == token else None
        try:
            reply, fd = on_lock(message['path'], message['primitive'])
        except Exception as error:
            raise LockUnavailable('{} cannot be locked: {!r}'.format(message['path'], error))
        _send(helper.ours, reply, fd)


# What is a path, or part of one, in what the executable says.
_PATHS = frozenset((
    'file', 'folder', 'inner_file', 'links', 'lock_dir', 'lock_file', 'marker', 'names', 'path', 'record_beside', 'record_file',
    'root', 'unreadable', 'wait_file', 'weights_dir', 'when'))
_IS_UTF8 = sys.getfilesystemencoding().lower() in ('utf-8', 'utf8')


def _with_native_paths(value, is_path=False):
    """The executable writes every path in UTF-8. Under another locale, such as C, Python spells the same bytes in another way."""
    if _IS_UTF8:
        return value
    if isinstance(value, dict):
        return {_with_native_paths(key, is_path): _with_native_paths(each, is_path or key in _PATHS) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_native_paths(each, is_path) for each in value]
    return os.fsdecode(value.encode('utf-8', 'surrogatepass')) if is_path and isinstance(value, str) else value


def _utf8(text):
    """The other way round. What came in as an argument may be spelled so, too; what is no UTF-8 is left for the executable to refuse."""
    try:
        return text if text is None else text.encode('utf-8', 'surrogateescape').decode('utf-8')
    except UnicodeError:
        return text


def _send(ours, message, fd=None):
    line = (json.dumps(message) + '\n').encode('ascii')
    try:
        if fd is not None:
            line = line[ours.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))]):]
        # Nothing is no message: the executable may have read all, answered and ended.
        if line:
            ours.sendall(line)
    except (BrokenPipeError, ConnectionResetError):
        # It has ended, and its last line, if it wrote one, is still to be read.
        pass


def _no_answer(program, said):
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any('unknown command' in line for line in lines):
        return ('{} is older than this training_lock.py and does not know what it asks for: write the file again by '
                '`trainlock python > training_lock.py`, or install the executable that it came from'.format(program))
    return '{} has not answered{}'.format(program, ': ' + ' '.join(lines[:3]) if lines else '')


# -- Threads, forks and interruptions ----------------------------------------------------------------------------------


class _OfThread(threading.local):
    """What stands in for a ContextVar on Python 3.6: a task has its own and those of its thread, not those of who began it."""

    def __init__(self):
        self._of_thread = ()
        self._of_tasks = weakref.WeakKeyDictionary()

    def get(self):
        task = self._task()
        return self._of_thread + (() if task is None else self._of_tasks.get(task, ()))

    def set(self, value):
        task = self._task()
        if task is None:
            self._of_thread = value
        else:
            self._of_tasks[task] = tuple(each for each in value if each not in self._of_thread)

    @staticmethod
    def _task():
        asyncio = sys.modules.get('asyncio')
        try:
            return None if asyncio is None else asyncio.Task.current_task()
        except RuntimeError:
            # A thread without an event loop.
            return None


class _Block(object):
    """A `with` block."""

    def __init__(self, claim):
        self.claim = claim


# The `with` blocks in which this thread or task runs. A task begins with those of the one that begins it.
_inside = _OfThread() if ContextVar is None else ContextVar('training_lock', default=())


class _Process(object):
    """What belongs to one process: a forked child begins with none of it."""

    def __init__(self):
        self.pid = os.getpid()
        # The path of a lock file, and the claim of it that this process holds.
        self.claims = {}
        self.mutex = threading.RLock()
        # One dialogue at a time: two threads that want one lock must not each believe it to be another process's.
        self.dialogue = threading.Lock()
        self.snapshots = {}
        # Descriptors that are closed where the program has none left, and a lock has to be looked at or released.
        self.spare = []


# This file may be loaded again, as notebooks do, and under two names, as where a script and a package each have a copy. All of
# them have to know what the process holds: kept where the modules are.
_loaded = sys.modules.setdefault('_training_lock_process', types.ModuleType('_training_lock_process'))
_loaded.__dict__.setdefault('process', _Process())


def _here():
    if _loaded.process.pid != os.getpid():
        _loaded.process = _Process()
    return _loaded.process


def _uninterrupted(work):
    """Runs ``work(cancelled)`` whole: KeyboardInterrupt is raised in the main thread alone, so it runs in another.

    An interruption sets ``cancelled``, and is raised again once the work is over.
    """
    cancelled = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        return work(cancelled)
    # Not Thread.join: interrupted, it takes the thread for ended. And whether an interrupted start has started anything cannot
    # be told, so that one of both sides has to take the permission to work.
    over = threading.Event()
    permission = threading.Lock()
    outcome = []

    def run():
        if not permission.acquire(False):
            return
        try:
            outcome.append((work(cancelled), None))
        except BaseException as error:
            outcome.append((None, error))
        finally:
            over.set()

    interruption = None
    thread = None
    while True:
        try:
            if thread is None:
                thread = threading.Thread(target=run, name='training_lock', daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    # The interpreter is shutting down, or has no thread left.
                    run()
            over.wait()
            # One that was never started cannot be joined.
            if thread.is_alive():
                thread.join(1.0)
            break
        except BaseException as error:
            interruption = interruption or error
            cancelled.set()
            if permission.acquire(False):
                break
    if interruption is not None:
        raise interruption
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


# -- Files -------------------------------------------------------------------------------------------------------------


def _same_file(one, other):
    return one.st_ino == other.st_ino and one.st_dev == other.st_dev


def _stat_or_none(path):
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _lock_fd(fd, primitive):
    """True: locked. False: another has it. Raises OSError for anything else."""
    try:
        if primitive == 'ofd':
            fcntl.fcntl(fd, _OFD_SETLK, struct.pack(_FLOCK_STRUCT, fcntl.F_WRLCK, 0, 0, 0, 0))
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK or (primitive == 'ofd' and error.errno == errno.EACCES):
            return False
        raise


def _unlock_fd(fd, primitive):
    if primitive == 'ofd':
        fcntl.fcntl(fd, _OFD_SETLK, struct.pack(_FLOCK_STRUCT, fcntl.F_UNLCK, 0, 0, 0, 0))
    else:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _give_up(fd, primitive):
    """Unlocks and closes: a worker that another thread has forked meanwhile has the descriptor, too, and must not keep the lock."""
    try:
        _attempt(_unlock_fd, fd, primitive)
    finally:
        os.close(fd)


# From which folder on a folder is to be opened, and by which names: what the executable has said of it.
_ways = globals().get('_ways') or {}


def _learn_ways(message):
    for way in message.get('ways') or ():
        _ways[way['folder']] = (way['root'], way['names'])


@contextlib.contextmanager
def _held(folder):
    """The path of a folder that is held open, each folder on the way in the one before: who swaps one for a link gains nothing."""
    above, names = folder, []
    while above not in _ways and os.path.dirname(above) != above:
        above, name = os.path.split(above)
        names.insert(0, name)
    if above not in _ways or not os.path.isdir('/proc/self/fd'):
        yield folder
        return
    flags = _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    root, first = _ways[above]
    fd = os.open(root, flags)
    try:
        for name in first + names:
            try:
                below = os.open(name, flags | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                raise OSError(error.errno, os.strerror(error.errno), folder)
            os.close(fd)
            fd = below
        held = '/proc/self/fd/{}'.format(fd)
        try:
            yield held
        except OSError as error:
            if str(error.filename).startswith(held):
                error.filename = folder + error.filename[len(held):]
            raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def _held_file(path):
    folder, name = os.path.split(path)
    with _held(folder) as held:
        yield os.path.join(held, name)


def _open_lock_file(path, create=True):
    """Descriptor, and whether the file was made by this call. Raises OSError."""
    with _held_file(path) as held:
        return _open_held_lock_file(held, create)


def _open_held_lock_file(path, create):
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    while True:
        found = _once_allowed(path, lambda: _stat_or_none(path))
        if found is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            try:
                return _once_allowed(path, lambda: _create_shared(path, flags)), True
            except FileExistsError:
                continue
        if not stat.S_ISREG(found.st_mode):
            code = errno.ELOOP if stat.S_ISLNK(found.st_mode) else errno.EINVAL
            raise OSError(code, 'it is not a regular file', path)
        try:
            return _once_allowed(path, lambda: _lifted(os.open(path, flags))), False
        except FileNotFoundError:
            # Removed between the two calls: whoever did so is done with it.
            continue


def _create_shared(path, flags):
    """Makes a file, and gives it group and rights of its folder at once: a umask is that of all threads of a program."""
    folder = os.stat(os.path.dirname(path))
    fd = _lifted(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o664))
    try:
        if folder.st_mode & 0o020 and os.fstat(fd).st_gid != folder.st_gid:
            os.fchown(fd, -1, folder.st_gid)
        if not _has_default_acl(os.path.dirname(path)):
            os.fchmod(fd, 0o600 | (folder.st_mode & 0o066))
    except OSError:
        # Not a member of the group: the file works for its owner, which is what can be had.
        pass
    return fd


def _has_default_acl(folder):
    try:
        return len(os.getxattr(folder, 'system.posix_acl_default')) > 0
    except OSError:
        return False


def _once_allowed(path, attempt):
    """Tries again for half a second where a colleague's program may still be giving what it has just made to the group."""
    for pause in (0.001, 0.003, 0.01, 0.03, 0.1, 0.4):
        try:
            return attempt()
        except PermissionError as error:
            if error.errno != errno.EACCES or not (_is_young(path) or _is_young(os.path.dirname(path))):
                raise
        time.sleep(pause)
    return attempt()


def _is_young(path):
    try:
        return abs(time.time() - os.stat(path).st_ctime) < 5
    except OSError:
        return False


def _failed(step, error):
    name = errno.errorcode.get(error.errno, 'EIO')
    return {'answer': 'failed', 'step': step, 'errno': name, 'why': error.strerror if error.errno == errno.EINVAL else None}


def _take_lock_file(path, primitive, create=True):
    """Opens and locks: an answer for the executable, and the descriptor where it is locked."""
    give_up_at = time.monotonic() + _PROBE_PATIENCE
    stale_handles = 0
    for _ in range(10000):
        try:
            fd, created = _open_lock_file(path, create)
        except OSError as error:
            return _failed('open', error), None
        keep = False
        try:
            if _lock_fd(fd, primitive):
                there = _stat_or_none(path)
                if there is not None and _same_file(os.fstat(fd), there):
                    keep = True
                    return {'answer': 'locked', 'created': created}, fd
                # Removed by its last holder while this process took it: begin again.
                if time.monotonic() > give_up_at + 1:
                    return {'answer': 'busy'}, None
                continue
        except OSError as error:
            # The file was removed on the server: open it again.
            stale_handles += 1
            if error.errno != errno.ESTALE or stale_handles > 3:
                return _failed('lock', error), None
            continue
        finally:
            if not keep:
                _give_up(fd, primitive)
        if time.monotonic() >= give_up_at:
            return {'answer': 'busy'}, None
        time.sleep(random.uniform(0.005, 0.015))
    return {'answer': 'busy'}, None


def _read_record(fd_or_path):
    """The JSON object in a file, or None: any bytes may lie there."""
    try:
        if isinstance(fd_or_path, int):
            data = os.pread(fd_or_path, _LARGEST_RECORD + 1, 0)
        else:
            fd = _with_room(os.open, fd_or_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                data = os.read(fd, _LARGEST_RECORD + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b''
            finally:
                os.close(fd)
        record = json.loads(data.decode('utf-8')) if len(data) <= _LARGEST_RECORD else None
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _section(record):
    section = None if record is None else record.get('trainlock')
    return section if isinstance(section, dict) else {}


def _record_bytes(record):
    return (json.dumps(record, indent=2, ensure_ascii=False) + '\n').encode('utf-8', 'replace')


def _write_whole(fd, data):
    """Replaces what the file holds in one write: padded with spaces, which JSON ignores, so that no crash leaves half."""
    size = os.fstat(fd).st_size
    if size > _LARGEST_RECORD:
        os.ftruncate(fd, 0)
    elif size > len(data):
        data += b' ' * (size - len(data))
    if os.pwrite(fd, data, 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _temporary(folder, data, like=None):
    """A complete file under a name that nobody looks at, with mode and group of the file that ``like`` describes."""
    boot = _boot_id()[:8] or '00000000'
    path = os.path.join(folder, '.training_lock.{}{}.tmp'.format(boot, os.urandom(8).hex()))
    fd = _lifted(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o664))
    try:
        if like is not None:
            _share(fd, like)
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return path, fd
    except BaseException:
        os.close(fd)
        _discard(path)
        raise


def _share(fd, like):
    try:
        if os.fstat(fd).st_gid != like.st_gid:
            os.fchown(fd, -1, like.st_gid)
        os.fchmod(fd, stat.S_IMODE(like.st_mode))
    except OSError:
        # Not a member of the group: the file works for its owner, which is what can be had.
        pass


def _discard(path):
    try:
        with _held_file(path) as held:
            os.unlink(held)
    except OSError:
        pass


def _write_by_rename(path, data, like=None):
    with _held_file(path) as held:
        temporary, fd = _temporary(os.path.dirname(held), data, like)
        os.close(fd)
        try:
            os.rename(temporary, held)
        except OSError:
            _discard(temporary)
            raise


def _append_event(path, line):
    """One write under a lock of this host, after a line end where the last line was torn. Raises OSError."""
    with _held_file(path) as held:
        fd = _open_event_file(held)
    try:
        give_up_at = time.monotonic() + _EVENT_DEADLINE
        while not _lock_event_file(fd):
            if time.monotonic() >= give_up_at:
                return
            time.sleep(0.005)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != os.geteuid():
            return
        torn = found.st_size > 0 and os.pread(fd, 1, found.st_size - 1) != b'\n'
        os.write(fd, (b'\n' if torn else b'') + line + b'\n')
    finally:
        os.close(fd)


def _open_event_file(path):
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        fd = os.open(path, flags | os.O_CREAT, 0o600)
        # The first of a month. Only its owner writes it, and who may read its folder reads it.
        folder = os.stat(os.path.dirname(path))
        _attempt(os.fchown, fd, -1, folder.st_gid)
        _attempt(os.fchmod, fd, 0o600 | (folder.st_mode & 0o044))
    return fd


def _lock_event_file(fd):
    """False: another process of this host writes. Where the file system has no locks, one write has to do."""
    try:
        return _lock_fd(fd, 'flock')
    except OSError:
        return True


def _boot_id():
    try:
        with open('/proc/sys/kernel/random/boot_id') as file:
            return file.read().strip()
    except OSError:
        return ''


def _start_time(pid):
    """Clock ticks from boot to the start of a process: field 22 of proc_pid_stat(5). None: no such process."""
    try:
        with open('/proc/{}/stat'.format(pid), 'rb') as file:
            return int(file.read().rpartition(b')')[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


# What frameworks write that a training can resume from; Hugging Face's is a folder.
_CHECKPOINT = re.compile(r'.*\.(?:pth|pt|ckpt|safetensors|bin|h5|hdf5|keras|npz|pkl|tar)\Z|checkpoint-\d+\Z', re.IGNORECASE)


def _newest_checkpoint(folder):
    """Name, and local ISO time of its writing; None and None: there is none."""
    best = (None, None)
    try:
        for entry in os.scandir(folder):
            if _CHECKPOINT.match(entry.name):
                written = entry.stat().st_mtime_ns
                if best[1] is None or written > best[1]:
                    best = (entry.name, written)
    except OSError:
        return None, None
    if best[1] is None:
        return best
    return best[0], _local_time(best[1] // 1000)


def _local_time(microseconds):
    seconds, rest = divmod(microseconds, 10 ** 6)
    return datetime.fromtimestamp(seconds).replace(microsecond=rest).isoformat(timespec='microseconds')


def _shows_done(done, weights_dir):
    """Whether a checkpoint there shows the training to be done, by the rule that is in force."""
    for pattern in done['when']:
        # A name with brackets is itself, before it is a pattern.
        literal = os.path.join(weights_dir, pattern)
        if _counts(pattern) and os.path.isfile(literal) and os.path.getsize(literal) >= done['minSize']:
            return True
        # Alternatives in braces: Python's patterns have none.
        found = re.search(r'\{([^{}/]*)\}', pattern)
        plain = [pattern] if found is None else [pattern.replace(found.group(0), word) for word in found.group(1).split(',')]
        for each in plain:
            for path in glob.iglob(os.path.join(glob.escape(weights_dir), each), recursive=True):
                if _counts(os.path.relpath(path, weights_dir)) and os.path.isfile(path) and os.path.getsize(path) >= done['minSize']:
                    return True
    return False


def _counts(name):
    """Whether a file shows anything: not what is trainlock's own, nor what `work --again` has set aside."""
    first = name.split(os.sep)[0]
    return not (first.startswith('.training_lock') or first == 'trainlock-logs' or re.search(r'\.before-\d+(?:/|$)', name))


def _is_below(path, folder):
    return (path + '/').startswith(folder.rstrip('/') + '/')


def _is_plain_place(lock_file, weights_dir, root):
    """Whether nothing but folders and a file of its own stands where a lock belongs: then a look at all locks has seen it."""
    try:
        found = _stat_or_none(lock_file)
        if found is not None and not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and os.access(lock_file, os.R_OK | os.W_OK)):
            return False
        lock_dir = os.path.dirname(lock_file)
        # A lock dir that is named may lie anywhere, and be a link as the root may.
        if root is None or not _is_below(lock_dir, root):
            return root is not None and os.access(lock_dir, os.W_OK | os.X_OK) and _is_plain_folder(weights_dir, root)
        return _is_plain_folder(lock_dir, root) and _is_plain_folder(weights_dir, root)
    except OSError:
        return False


def _is_plain_folder(folder, root):
    """Whether there are only folders on the way to it, the last of them one to write in. Raises OSError."""
    deepest = None
    while _is_below(folder, root) and folder != root:
        found = _stat_or_none(folder)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            return False
        deepest = deepest or (folder if found is not None else None)
        folder = os.path.dirname(folder)
    return folder == root and os.access(deepest or root, os.W_OK | os.X_OK)


def _attempt(step, *arguments):
    """A release must not stop half way: a full disk keeps a record from being written, not a lock from being released."""
    try:
        return _with_room(step, *arguments)
    except OSError:
        return None


def _with_room(step, *arguments):
    """Does it, and again with a few more descriptors where the program has opened as many as it may: a lock must not stay for that."""
    try:
        return step(*arguments)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    here = _here()
    with here.mutex:
        spare, here.spare = here.spare, []
    for fd in spare:
        os.close(fd)
    try:
        return step(*arguments)
    finally:
        _keep_room()


def _keep_room():
    """Holds a few descriptors for _with_room, for as long as this process has a claim."""
    here = _here()
    with here.mutex:
        if not here.claims:
            spare, here.spare = here.spare, []
            for fd in spare:
                os.close(fd)
            return
        try:
            while len(here.spare) < _SPARE_DESCRIPTORS:
                here.spare.append(_lifted(os.open('/dev/null', os.O_RDONLY | os.O_CLOEXEC)))
        except OSError:
            # None left: what there is has to do.
            pass


# -- A claim that is held ----------------------------------------------------------------------------------------------


def _claim_of(told, record, generation, fd, primitive):
    """The claim that a record describes. `told`: what the record does not say."""
    weights_dir = told['weights_dir']
    answer = dict(told, record=json.dumps(record), record_beside=os.path.join(weights_dir, '.training_lock.json'),
                  marker=os.path.join(weights_dir, '.training_lock'), generation=generation)
    return _Claim(answer, fd, primitive)


def _withdraw(taken, token):
    """Releases what the executable has claimed for this process before it was killed: all others would see its owner live."""
    record = _read_record(taken['fd'])
    section = _section(record)
    weights_dir = _with_native_paths(section.get('weights_dir'), True)
    if section.get('token') != token or section.get('released_at') is not None or not isinstance(weights_dir, str):
        return
    told = {'name': token, 'lock_file': taken['path'], 'record_file': taken['path'], 'weights_dir': weights_dir,
            'marker_inode': section.get('marker_inode') or 0, 'excludes_all_hosts': False, 'local': True}
    claim = _claim_of(told, record, section.get('generation'), taken['fd'], taken['primitive'])
    taken['fd'] = None
    claim.release()


class _Claim(object):
    """Kernel lock, marker and record of one configuration, held by the process that made this object."""

    def __init__(self, answer, fd, primitive):
        self.pid = os.getpid()
        self.fd = fd
        self.primitive = primitive
        self.record = json.loads(answer['record'])
        self.token = self.record['trainlock']['token']
        self.generation = answer['generation']
        self.name = answer['name']
        self.lock_file = answer['lock_file']
        self.weights_dir = answer['weights_dir']
        self.record_file = answer['record_file']
        self.record_beside = answer['record_beside']
        self.marker = answer['marker']
        self.excludes_all_hosts = answer['excludes_all_hosts']
        self.ends = answer.get('ends')
        # Of a grid's row: why it is not to be trained after all.
        self.settled = answer.get('settled')
        # What shows a training to be done, and what its done file says but for the times.
        self.done = answer.get('done')
        self.done_file = answer.get('done_file')
        # Where this claim notes how it ends, and what every event of it says.
        self.history = answer.get('history')
        self.began_at = time.monotonic()
        self.began = time.time()
        # What this claim is known by in this process: the lock file that it has locked.
        self.key = self.lock_file
        self.look_every = 2.0 if answer['local'] else 30.0
        self.lost = threading.Event()
        self.why_lost = None
        self.released = False
        # Lock files that were removed under this claim stay locked: who waits on the old one must not win a lock that nobody sees.
        self._orphans = []
        # Since when somebody else has had a lock file of this name locked.
        self._contended_since = None
        self._marker_fd = None
        self._marker_inode = int(answer['marker_inode'])
        self._made_beside = None
        self._turn = threading.RLock()
        # How the training has ended, where that was said while this thread was looking at the lock.
        self._ends_with = None
        self._stop = threading.Event()
        self._watcher = None
        self._keep_marker_open()

    def begin(self):
        """Makes the claim known to this process and to what it starts, and has it looked after."""
        if self.fd is not None:
            # Forked workers and a program started by os.exec have it, too: they hold the lock if this process is killed.
            os.set_inheritable(self.fd, True)
        here = _here()
        with here.mutex:
            here.claims[self.key] = self
            here.snapshots.clear()
        _keep_room()
        self._announce()
        self._watcher = threading.Thread(target=self._watch, name='training_lock {}'.format(self.name), daemon=True)
        try:
            self._watcher.start()
        except RuntimeError:
            # No more threads, or the interpreter ends: assert_held() looks by itself.
            self._watcher = None
        return self

    def _announce(self):
        start = self.record['trainlock'].get('start_time_ticks')
        if self.fd is not None:
            # Short: the C library never frees a value that the environment has had. The record says the rest.
            flags = (self.pid, start, self.fd, self.primitive, int(self.excludes_all_hosts), int(self.look_every < 30))
            os.environ[_HELD_VARIABLE + self.token] = ' '.join(str(each) for each in flags)
            return
        os.environ[_HELD_VARIABLE + self.token] = json.dumps({
            'pid': self.pid, 'start_time_ticks': start, 'fd': self.fd, 'primitive': self.primitive, 'name': self.name,
            'lock_file': self.lock_file, 'weights_dir': self.weights_dir, 'record_file': self.record_file,
            'marker_inode': str(self._marker_inode), 'excludes_all_hosts': self.excludes_all_hosts,
            'local': self.look_every < 30, 'ends': self.ends,
        })

    def is_ours(self):
        return self.pid == os.getpid()

    def pass_fds(self):
        return () if self.fd is None else (self.fd,)

    def address_for_child(self):
        return self.lock_file

    def _keep_marker_open(self):
        """A file system gives the inode number of a removed file to the next one, but not while somebody has it open."""
        try:
            fd = _lifted(os.open(self.marker, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            return
        if os.fstat(fd).st_ino == self._marker_inode:
            self._marker_fd = fd
        else:
            os.close(fd)

    # Looking after it

    def _watch(self):
        began = time.monotonic()
        for delay in _EARLY_LOOKS:
            if self._stop.wait(max(0.0, began + delay - time.monotonic())):
                return
            self._look_quietly()
        while not self._stop.wait(self.look_every) and not self.lost.is_set():
            self._look_quietly()

    def _look_quietly(self):
        try:
            self.look()
        except LockLost:
            pass

    def look(self):
        """Checks that the lock still is this claim's, and mends what can be mended. Raises LockLost."""
        if not self.is_ours():
            return self._look_from_child()
        with self._turn_to_look():
            self._look()

    @contextlib.contextmanager
    def _turn_to_look(self):
        try:
            with self._turn:
                self._require_unreleased()
                yield
        finally:
            if self._ends_with is not None:
                self._release(*self._ends_with)
        self._require_unreleased()

    def _require_unreleased(self):
        if self.released:
            raise LockLost('the lock on {} has been released'.format(self.name))

    def _look(self):
        for keep in (self._keep_kernel_lock, self._keep_marker, self._keep_records):
            if self.lost.is_set():
                break
            try:
                _with_room(keep)
            except OSError as error:
                # A file system that does not answer proves no loss, and no hold either.
                raise LockLost('it is not known whether the lock on {} is held: {}'.format(self.name, error))
        if self.lost.is_set():
            raise LockLost(self.why_lost)

    def assert_held(self):
        """The same, by proof alone. Raises LockLost."""
        self.look()

    def _look_from_child(self):
        """A forked worker mends nothing: it sees whether its parent's claim is the one that is there."""
        section = _section(_read_record(self.record_file)) or _section(_read_record(self.record_beside))
        if self.lost.is_set() or section.get('token') != self.token or section.get('released_at') is not None:
            raise LockLost('the lock on {} is not held any more'.format(self.name))
        if _stat_or_none(self.marker) is None:
            raise LockLost('the marker {} is gone'.format(self.marker))

    def _lose(self, why):
        self.why_lost = why
        self.lost.set()
        _say('the lock on {} was lost: {}'.format(self.name, why))
        self._note_event('lost', {'why': why[:1000]})

    def _keep_kernel_lock(self):
        """A lock file that was removed is made and locked again at once, before anybody else has the name for nothing."""
        if self.fd is None:
            return
        if self._is_lock_in_place():
            return
        answer, fd = _take_lock_file(self.lock_file, self.primitive, create=os.path.isdir(os.path.dirname(self.lock_file)))
        if fd is None:
            if answer['answer'] == 'failed':
                raise OSError(getattr(errno, answer['errno'], errno.EIO), answer['errno'], self.lock_file)
            # What came back in between is busy because it is this claim's.
            if self._is_lock_in_place():
                return
            if self._may_be_contenders():
                raise OSError(errno.EAGAIN, 'another process has it, and may look at the marker only', self.lock_file)
            self._lose('{} was removed, and somebody else has locked a new one'.format(self.lock_file))
            return
        self._contended_since = None
        newer = _section(_read_record(fd)).get('generation')
        if isinstance(newer, int) and newer > self.generation:
            _unlock_fd(fd, self.primitive)
            os.close(fd)
            self._lose('{} was removed, and another claim has been made since'.format(self.lock_file))
            return
        # Its record goes on to speak of the first file: forked workers hold that one.
        if answer['created']:
            _share(fd, os.fstat(self.fd))
        _write_whole(fd, _record_bytes(self.record))
        os.set_inheritable(fd, True)
        self._orphans.append(self.fd)
        self.fd = fd

    def _is_lock_in_place(self):
        there = _stat_or_none(self.lock_file)
        for fd in [self.fd] + self._orphans:
            if there is None or not _same_file(os.fstat(fd), there):
                continue
            self._contended_since = None
            if fd != self.fd:
                # A folder that was away has come back, with the lock file that was locked in it before and is locked still.
                self._orphans.remove(fd)
                self._orphans.append(self.fd)
                self.fd = fd
                _write_whole(fd, _record_bytes(self.record))
            return True
        return False

    def _may_be_contenders(self):
        """Whether a new lock file, which somebody else has locked, may be a contender's, that finds the marker and gives up.

        While the lock dir is away, a contender makes another. The older writers do not look at markers: their record says that
        the lock is theirs.
        """
        now = time.monotonic()
        if self._contended_since is None:
            self._contended_since = now
        found = _read_record(self.lock_file)
        if found and not _section(found):
            return False
        there = _stat_or_none(self.marker)
        is_anothers = there is not None and there.st_ino != self._marker_inode
        return not is_anothers and now - self._contended_since < _CONTENDER_PATIENCE

    def _keep_marker(self):
        waited = False
        # A folder that comes and goes shows another marker at each look, or none.
        for _ in range(4):
            there = _stat_or_none(self.marker)
            if there is not None and there.st_ino == self._marker_inode:
                return
            if there is None:
                self._place_marker(os.link)
            elif self._is_copied():
                # A folder that was copied has copies of the marker and of the record.
                self._place_marker(os.rename)
            elif not waited and self._has_our_number():
                # It may be copied just now, and not have its record yet.
                time.sleep(_COPY_PATIENCE)
                waited = True
            else:
                self._lose('{} is another\'s'.format(self.marker))
                return
        there = _stat_or_none(self.marker)
        if there is None or there.st_ino != self._marker_inode:
            raise OSError(errno.EAGAIN, 'it appears and disappears', self.marker)

    def _is_copied(self):
        beside = _stat_or_none(self.record_beside)
        if self._made_beside is None or beside is None or beside.st_ino == self._made_beside:
            return False
        return self._has_our_number() and _section(_read_record(self.record_beside)).get('token') == self.token

    def _has_our_number(self):
        try:
            with open(self.marker, 'rb') as file:
                return file.read(32) == b'%d\n' % self.pid
        except OSError:
            return False

    def _place_marker(self, put):
        with _held_file(self.marker) as held:
            self._place_held_marker(put, held)

    def _place_held_marker(self, put, marker):
        temporary, fd = _temporary(os.path.dirname(marker), b'%d\n' % self.pid, self._like())
        placed = False
        before = self._marker_inode, _section(self.record).get('marker_time_ns')
        try:
            own = os.fstat(fd)
            # Written before the marker can be seen: no crash leaves a marker that no record describes.
            self._set_marker(own.st_ino, str(own.st_mtime_ns))
            try:
                put(temporary, marker)
            except FileExistsError:
                pass
            there = _stat_or_none(marker)
            placed = there is not None and _same_file(own, there)
        finally:
            _discard(temporary)
            if placed:
                old, self._marker_fd = self._marker_fd, fd
                if old is not None:
                    os.close(old)
            else:
                os.close(fd)
                # The record must go on to describe the marker that is this claim's.
                self._set_marker(*before)

    def _set_marker(self, inode, time_ns):
        self._marker_inode = inode
        # As text where a number of JSON would not hold it exactly.
        self.record['trainlock']['marker_inode'] = inode if inode < 2 ** 53 else str(inode)
        self.record['trainlock'].pop('marker_time_ns', None)
        if time_ns is not None:
            self.record['trainlock']['marker_time_ns'] = time_ns
        self._write_record(_record_bytes(self.record))

    def _write_record(self, data):
        if self.fd is not None:
            _write_whole(self.fd, data)
            return
        with _held_file(self.record_file) as held:
            fd = os.open(held, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o664)
        try:
            _write_whole(fd, data)
        finally:
            os.close(fd)

    def _keep_records(self):
        """Contenders of other tools empty the lock file; the record is written again."""
        own = _section(self.record)
        self._keep_marker_time(own.get('marker_time_ns'))

        def is_complete(record):
            found = _section(record)
            return all(found.get(key) == own.get(key)
                       for key in ('token', 'marker_inode', 'marker_time_ns', 'released_at'))

        if not is_complete(_read_record(self.fd if self.fd is not None else self.record_file)):
            self._write_record(_record_bytes(self.record))
        if not is_complete(_read_record(self.record_beside)):
            _write_by_rename(self.record_beside, _record_bytes(self.record), self._like())
            self._made_beside = None
        if self._made_beside is None:
            beside = _stat_or_none(self.record_beside)
            self._made_beside = None if beside is None else beside.st_ino

    def _keep_marker_time(self, recorded):
        """Somebody may have touched the marker, as some do with all their files: the record must go on to describe it."""
        if self._marker_fd is None or not str(recorded).isdigit():
            return
        modified = os.fstat(self._marker_fd).st_mtime_ns
        if abs(int(recorded) - modified) > _SAME_TIME_NS:
            self._set_marker(self._marker_inode, str(modified))

    def _like(self):
        return None if self.fd is None else os.fstat(self.fd)

    # Giving it back

    def release(self, end=None, exit_code=None):
        """Record, marker, kernel lock, in this order. Does nothing in a forked child: it would unlock its parent's.

        ``end``: 'done', 'failed' or 'interrupted'; None: nothing is said of the result.
        """
        if not self.is_ours() or self.released:
            return
        if self._turn._is_owned():
            # In a handler of a signal that came while this very thread looks at the lock, or releases it: it releases after that.
            self._ends_with = self._ends_with or (end, exit_code)
        else:
            # A second Ctrl-C must not leave half of it.
            _uninterrupted(lambda cancelled: self._release(end, exit_code))

    def _release(self, end, exit_code):
        with self._turn:
            if self.released:
                return
            self._stop.set()
            self._give_back(end, exit_code)
            self.released = True
        os.environ.pop(_HELD_VARIABLE + self.token, None)
        here = _here()
        with here.mutex:
            if here.claims.get(self.key) is self:
                del here.claims[self.key]
            here.snapshots.clear()
        _keep_room()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(1.0)

    def _note_done(self):
        """Writes the done file, where there is to be one. 'failed': the result that is asked for is not there."""
        if self.done is None:
            return 'done'
        if self.done['when'] and not _shows_done(self.done, self.weights_dir):
            missing = ', '.join(self.done['when'])
            _say('{} has ended without its checkpoint ({}){}'.format(
                self.name, missing, '' if self.done['file'] is None else '; {} is not written'.format(self.done['file'])))
            return 'failed'
        if self.done['file'] is not None and self.done_file is not None:
            told = dict(self.done_file, when=self.done['when'], started=_local_time(int(self.began * 1e6)),
                        ended=_local_time(int(time.time() * 1e6)), exitCode=0)
            _write_by_rename(os.path.join(self.weights_dir, self.done['file']), _record_bytes(told), self._like())
        return 'done'

    def _note_end(self, section, end, exit_code):
        """Counts this run, as the executable has worked out for each way to end."""
        if end is None or self.ends is None:
            return
        checkpoint, written = _newest_checkpoint(self.weights_dir)
        before = self.ends['before']
        if self.lost.is_set():
            end = 'interrupted'
        newer = checkpoint is not None and (checkpoint, written) != (before['checkpoint'], before['checkpoint_written'])
        counted = self.ends['interrupted_after_progress' if end == 'interrupted' and newer else end]
        section['ends'] = dict(counted, last_exit=exit_code, seconds=round(time.monotonic() - self.began_at, 3),
                               checkpoint=checkpoint, checkpoint_written=written)

    def _give_back(self, end, exit_code):
        section = self.record['trainlock']
        section['released_at'] = datetime.now().isoformat(timespec='microseconds')
        section['exit_code'] = exit_code
        if end == 'done' and not self.lost.is_set():
            end = _attempt(self._note_done) or 'failed'
        self._note_end(section, end, exit_code)
        said = section['ends'] if end is not None and self.ends is not None else {}
        closing = _record_bytes(self.record)
        # Where such a marker may be taken over before it is removed, the record must not describe it yet.
        without_marker = dict(self.record, trainlock=dict(section, marker_inode=None))
        _attempt(self._write_beside, closing if self.excludes_all_hosts else _record_bytes(without_marker))
        gone = _attempt(self._remove_marker)
        if not gone and not self.excludes_all_hosts:
            _attempt(self._write_beside, closing)
        if self.primitive == 'none':
            _discard(self.record_file)
        else:
            _attempt(self._write_record, closing)
            for fd in [self.fd] + self._orphans:
                _attempt(_unlock_fd, fd, self.primitive)
                _attempt(os.close, fd)
        self.fd = None
        self._orphans = []
        if self.history is not None:
            self._note_event('ended', {
                'attempt': self.history['attempt'], 'end': said.get('last_end'), 'exit': said.get('last_exit'),
                'seconds': round(time.monotonic() - self.began_at, 3), 'checkpoint': said.get('checkpoint'),
                'attempts': said.get('attempts', 0), 'interruptions': said.get('interruptions', 0),
                'command': self.history['command']})

    def _note_event(self, event, detail):
        """Tells the history, as `trainlock run` does. Nothing fails for it, and nothing waits for it longer than its deadline."""
        history = self.history
        if history is None or not self.is_ours():
            return
        at = datetime.now(timezone.utc)
        folder, name = os.path.split(history['file'])
        path = os.path.join(folder, at.strftime('%Y-%m') + name[len('YYYY-MM'):])
        told = {'at': at.strftime('%Y-%m-%dT%H:%M:%S.') + '{:03d}Z'.format(at.microsecond // 1000), 'event': event,
                'token': self.token, 'generation': self.generation, 'name': history['name'], 'host': history['host'],
                'pid': self.pid, 'job': history['job'], 'gpus': history['gpus']}
        line = json.dumps(dict(told, **detail), ensure_ascii=False, separators=(',', ':')).encode('utf-8', 'replace')
        if len(line) >= _LARGEST_EVENT:
            line = json.dumps(dict(told, **dict(detail, command=None)), separators=(',', ':')).encode('ascii')
        if self.look_every < 30:
            _attempt(_append_event, path, line)
            return
        # A file server may not answer: it keeps nobody longer than this.
        over = threading.Event()
        writer = threading.Thread(target=lambda: (_attempt(_append_event, path, line), over.set()), daemon=True)
        try:
            writer.start()
            over.wait(_EVENT_DEADLINE)
        except RuntimeError:
            # The interpreter is shutting down, or has no thread left.
            _attempt(_append_event, path, line)

    def _write_beside(self, data):
        if _section(_read_record(self.record_beside)).get('token') == self.token:
            _write_by_rename(self.record_beside, data, self._like())

    def _remove_marker(self):
        try:
            with _held_file(self.marker) as held:
                there = _stat_or_none(held)
                if there is not None and there.st_ino == self._marker_inode:
                    os.unlink(held)
            return True
        except FileNotFoundError:
            return True
        finally:
            if self._marker_fd is not None:
                os.close(self._marker_fd)
                self._marker_fd = None

    def holder(self):
        """The record, with the keys that the older file had first."""
        return dict(self.record, lock_file=self.lock_file, kind='fcntl', status='active')


class _ClaimAround(_Claim):
    """The claim of `trainlock run`, or of another program, that has started this one: nothing is done twice."""

    def __init__(self, answer, fd, primitive):
        _Claim.__init__(self, answer, None, primitive)
        self.key = answer['inner_file']
        self._in_store = answer['in_store']
        # One program at a time trains under a claim.
        self._inner_fd = fd

    def _announce(self):
        os.set_inheritable(self._inner_fd, True)

    def _keep_marker_open(self):
        pass

    def pass_fds(self):
        return (self._inner_fd,)

    def assert_held(self):
        self.look()
        if not self._in_store:
            return
        # The one that holds it looks after its lease, and may only warn of a loss.
        place = dict(self.place)
        try:
            answer = _ask({'do': 'held', 'configuration': place.pop('configuration'), 'claim': self.token}, **place)
        except (LockUnavailable, ValueError) as error:
            raise LockLost('it is not known whether the lock on {} is held: {}'.format(self.name, error))
        if answer['say'] != 'held':
            raise LockLost('it is not known whether the lock on {} is held: {}'.format(self.name, answer.get('why')))

    def look(self):
        if not self.is_ours():
            return self._look_from_child()
        self._require_unreleased()
        try:
            if self._in_store:
                # The one that holds it looks after its lease, and ends this program when it is lost.
                if _start_time(self.record['pid']) != self.record['trainlock']['start_time_ticks']:
                    raise LockLost('process {}, which holds the lock on {}, has ended'.format(self.record['pid'], self.name))
                return
            self._look_from_child()
            if not self._somebody_has_it():
                raise LockLost('nobody holds {} any more'.format(self.lock_file))
        except LockLost as error:
            self._lose(str(error))
            raise
        except OSError as error:
            raise LockLost('it is not known whether the lock on {} is held: {}'.format(self.name, error))

    def _somebody_has_it(self):
        """Asked by a shared lock, for an instant, which disturbs no holder."""
        if self.record['trainlock'].get('lock_inode') == 0:
            return True
        fd = os.open(self.lock_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if self.primitive == 'ofd':
                fcntl.fcntl(fd, _OFD_SETLK, struct.pack(_FLOCK_STRUCT, fcntl.F_RDLCK, 0, 0, 0, 0))
            else:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return True
            raise
        finally:
            os.close(fd)

    def _give_back(self, end, exit_code):
        fd, self._inner_fd = self._inner_fd, None
        # Who waits for it finds that the file has lost its name, and makes another.
        _discard(self.key)
        _attempt(_unlock_fd, fd, self.primitive)
        _attempt(os.close, fd)


class _KeptClaim(_Claim):
    """A claim in a store such as etcd: a process of its own keeps it, for as long as this end of its socket is open."""

    def __init__(self, answer, ours):
        self.pid = os.getpid()
        self._socket = ours
        self._rest = b''
        self.told = {key: value for key, value in answer.items() if key != 'socket'}
        self.key = self.lock_file = answer['lock_file']
        self.token = answer['claim_token']
        self.generation = answer['generation']
        self.name = answer['name']
        self.weights_dir = answer['weights_dir']
        self.address = answer['address']
        self.ends, self.done, self.done_file = answer.get('ends'), answer.get('done'), answer.get('done_file')
        self.settled = answer.get('settled')
        # Its keeper tells it.
        self.history = None
        self.record = answer.get('record') or {
            'acquired_at': datetime.now().isoformat(timespec='microseconds'), 'pid': self.pid, 'hostname': socket.gethostname(),
            'job_id': 'unknown', 'user': None, 'trainlock': {'token': self.token, 'generation': self.generation}}
        self.began, self.began_at = time.time(), time.monotonic()
        self.fd = None
        self.lost, self.why_lost, self.released, self._ends_with = threading.Event(), None, False, None
        self._turn = threading.RLock()
        self._stop = threading.Event()
        self._watcher = None

    def _announce(self):
        # Forked workers have the socket, too: the claim is kept until the last one has ended.
        self._socket.set_inheritable(True)
        told = dict(self.told, kept=True, pid=self.pid, start_time_ticks=_start_time(self.pid), fd=self._socket.fileno(),
                    record=self.record)
        os.environ[_HELD_VARIABLE + self.token] = json.dumps(told)

    def pass_fds(self):
        return (self._socket.fileno(),)

    def address_for_child(self):
        return self.address

    def _watch(self):
        while not self._stop.wait(1.0) and not self.lost.is_set():
            with self._turn:
                if not self.released:
                    _attempt(self._answer, 0.0, ())

    def look(self):
        if not self.is_ours():
            # The socket is the parent's to talk over.
            if self.lost.is_set():
                raise LockLost(self.why_lost)
            return
        with self._turn_to_look():
            answer = None if self.lost.is_set() else self._order({'do': 'assert'}, ('held', 'not held'))
            if self.lost.is_set():
                raise LockLost(self.why_lost)
            if answer is None or answer['say'] != 'held':
                raise LockLost('it is not known whether the lock on {} is held: {}'.format(
                    self.name, 'its keeper does not answer' if answer is None else answer.get('why')))

    def _order(self, order, answers):
        try:
            _send(self._socket, order)
            return self._answer(15.0, answers)
        except OSError:
            self._lose('the process that keeps the lock on {} has ended'.format(self.name))
            return None

    def _answer(self, patience, answers):
        """The next line that is one of the answers; None: none within so many seconds, or the claim is lost."""
        give_up_at = time.monotonic() + patience
        while True:
            while b'\n' in self._rest:
                line, self._rest = self._rest.split(b'\n', 1)
                message = json.loads(line.decode('utf-8'))
                if message['say'] == 'lost' or message.get('lost'):
                    self._lose(message['why'])
                    return None
                if message['say'] in answers:
                    return message
            self._socket.settimeout(max(0.0, give_up_at - time.monotonic()) or 1e-9)
            try:
                more = self._socket.recv(65536)
            except (socket.timeout, BlockingIOError):
                return None
            finally:
                self._socket.settimeout(None)
            if not more:
                self._lose('the process that keeps the lock on {} has ended'.format(self.name))
                return None
            self._rest += more

    def _like(self):
        return None

    def _give_back(self, end, exit_code):
        section = {}
        if end == 'done' and not self.lost.is_set():
            end = _attempt(self._note_done) or 'failed'
        self._note_end(section, end, exit_code)
        if not self.lost.is_set():
            self._order({'do': 'release', 'exit_code': exit_code, 'ends': section.get('ends')}, ('released',))
        self._socket.close()

    def holder(self):
        return dict(self.record, lock_file=self.lock_file, kind='etcd', status='active')


def _told_shortly(value):
    pid, start, fd, primitive, excludes, local = value.split(' ')
    lock_file = os.readlink('/proc/self/fd/' + fd)
    section = _section(_read_record(int(fd)))
    return {'pid': int(pid), 'start_time_ticks': int(start), 'fd': int(fd), 'primitive': primitive, 'lock_file': lock_file,
            'record_file': lock_file, 'weights_dir': _with_native_paths(section.get('weights_dir', ''), True), 'excludes_all_hosts': excludes == '1',
            'local': local == '1', 'marker_inode': str(section.get('marker_inode', 0)),
            'name': os.path.basename(lock_file)[:-len('.lock')]}


def _began_with(variable):
    """Whether this program had the variable from its beginning: what it sets later is not in this file."""
    try:
        with open('/proc/self/environ', 'rb') as file:
            return b'\0' + os.fsencode(variable) + b'=' in b'\0' + file.read()
    except OSError:
        return False


def _inherited_claim(lock_file):
    """The claim that this very process held before os.exec gave it another program: same PID, same start time. Or None."""
    pid = os.getpid()
    for name, value in list(os.environ.items()):
        # Not what this very program has put there: another interpreter of it holds that.
        if not name.startswith(_HELD_VARIABLE) or not _began_with(name):
            continue
        token = name[len(_HELD_VARIABLE):]
        try:
            told = json.loads(value) if value.startswith('{') else _told_shortly(value)
            if told['pid'] != pid or told['start_time_ticks'] != _start_time(pid) or told['lock_file'] != lock_file:
                continue
            fd = told['fd']
            if told.get('kept'):
                return _KeptClaim(told, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd))
            record = _read_record(fd if fd is not None else told['record_file'])
            section = _section(record) or _section(_read_record(os.path.join(told['weights_dir'], '.training_lock.json')))
            if section.get('token') != token or section.get('released_at') is not None:
                continue
            if fd is not None:
                there = _stat_or_none(lock_file)
                if there is None or not _same_file(os.fstat(fd), there) or not _lock_fd(fd, told['primitive']):
                    continue
            described = record or _read_record(os.path.join(told['weights_dir'], '.training_lock.json'))
            return _claim_of(told, described, section['generation'], fd, told['primitive'])
        except (ValueError, KeyError, TypeError, OSError):
            continue
    return None


# -- The class ---------------------------------------------------------------------------------------------------------


class TrainingLock(object):
    """The lock of one configuration: what must not be trained twice at once.

    Args:
        strategy: training strategy, such as 'baseline'.
        dataset: dataset, such as 'IDD-AW'.
        model: model, such as 'deeplabv3plus_r50'.
        ratio: share of generated data, 0 to 1. None: not given.
        aux_loss: auxiliary loss. None or '': none.
        stage: an integer N names the lock 's{N}_...', a text T '{T}_...': 1 and '1' are two locks.
        lock_dir: folder of the kernel locks.
        root: the shared folder; else the environment's TRAINLOCK_ROOT, AWARE_DATA_ROOT or PROVE_ROOT; else the folder that
            lock_dir lies in.
        dimensions: values of what the site's trainlock.yaml declares beyond these, by name.

    Attributes:
        lock_file: path of the kernel lock file.
        row: of a lock from claim_next, the row as `trainlock plan --json` has it; else None.
        lost: a threading.Event that is set when the lock is lost: stop training, another may have begun.
        generation: number of the claim that is held, which grows with every claim of the configuration; None: not held.
        weights_dir: where the claim that is held keeps its marker, and the training its checkpoints; None: not held.
    """

    def __init__(self, strategy, dataset, model, ratio=None, aux_loss=None, stage=None, lock_dir=DEFAULT_LOCK_DIR,
                 *, root=None, dimensions=None):
        if isinstance(aux_loss, os.PathLike) or (isinstance(aux_loss, str) and '/' in aux_loss):
            warnings.warn('lock_dir as the fifth argument: give it by its name, lock_dir=...', DeprecationWarning, stacklevel=2)
            aux_loss, lock_dir = None, aux_loss
        self.strategy = strategy
        self.dataset = str(dataset).lower().replace('-', '_')
        self.model = model
        self.ratio = None if ratio is None else _number(ratio)
        self.aux_loss = aux_loss or None
        self.stage = stage
        self._dataset_given = dataset
        self._dimensions = dict(dimensions or {})
        self._root = None if root is None else _absolute(root)
        given = os.fspath(lock_dir) if lock_dir is not None else ''
        # The default is whatever the environment names when the lock is asked for.
        self._lock_dir_given = None if given in ('', DEFAULT_LOCK_DIR) else _absolute(given)
        self.lock_dir = Path(self._lock_dir_given or self._lock_dir_by_root())
        self.lock_file = self.lock_dir / '{}.lock'.format(self._lock_name())
        self.lost = threading.Event()
        self._claim = None
        # The `with` blocks of this object that are open: the outermost one releases.
        self._entered = []
        self.row = None
        self._paths = None
        self._turn, self._turn_of = threading.RLock(), os.getpid()

    def __getstate__(self):
        # A copy, and what a worker by spawn gets, is another object of the same configuration: it holds nothing.
        own = ('lost', '_claim', '_entered', '_turn')
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.lost = threading.Event()
        self._claim = None
        self._entered = []
        self._turn, self._turn_of = threading.RLock(), os.getpid()

    # Names

    def _lock_dir_by_root(self):
        root = self._root or _environment_root()
        return '' if root is None else os.path.join(_absolute(root), 'training_locks')

    def _stage_for_json(self):
        if self.stage is None or isinstance(self.stage, str):
            return self.stage
        try:
            return int(self.stage.__index__())
        except AttributeError:
            return str(self.stage)

    def _require_values(self):
        for name, value in (('strategy', self.strategy), ('dataset', self._dataset_given), ('model', self.model)):
            # As an option that was not given: str() would make the same name of it for all.
            if value is None or isinstance(value, (bytes, bytearray)):
                raise ValueError('{} {!r} is not a name'.format(name, value))
        if self.ratio is not None and not 0 <= self.ratio <= 1:
            raise ValueError('ratio {} is not a number from 0 to 1'.format(self.ratio))
        stage = self._stage_for_json()
        if isinstance(stage, int) and not 0 <= stage < 10 ** 9:
            raise ValueError('stage {} is not a number from 0 to 999999999'.format(stage))

    def _model_name(self):
        name = str(self.model)
        if self.ratio is not None:
            name += '_ratio{:.2f}'.format(self.ratio).replace('.', 'p')
        return name if self.aux_loss is None else '{}_aux-{}'.format(name, self.aux_loss)

    def _lock_name(self):
        stage = self._stage_for_json()
        prefix = '' if stage is None else 's{}_'.format(stage) if isinstance(stage, int) else '{}_'.format(stage)
        return '{}{}_{}_{}'.format(prefix, self.strategy, self.dataset, self._model_name())

    def _place(self):
        root = self._root or (None if _environment_root() or self._lock_dir_given is None
                              else os.path.dirname(self._lock_dir_given))
        return {'root': root, 'lock_dir': self._lock_dir_given}

    def _configuration(self):
        self._require_values()
        stage = self._stage_for_json()
        return {'strategy': _utf8(str(self.strategy)), 'dataset': _utf8(str(self._dataset_given)), 'model': _utf8(str(self.model)),
                'ratio': self.ratio, 'aux_loss': None if self.aux_loss is None else _utf8(str(self.aux_loss)),
                'stage': _utf8(stage) if isinstance(stage, str) else stage, 'dimensions': self._dimensions}

    # Taking it

    def acquire(self, blocking=False, timeout=60):
        """Takes the lock. True: this object holds it. False: another has it, after ``timeout`` too.

        Args:
            blocking: wait for a lock that another has.
            timeout: how long to wait at most, seconds; -1 or None: for ever.

        Raises:
            LockUnavailable: the environment is wrong, and whether another has the lock is not known.
            ValueError: the configuration is none, such as one with a '/' in a name.
        """
        wait = 0 if not blocking else float('inf') if timeout is None or timeout < 0 else timeout
        return self._acquire(wait) is None

    def _acquire(self, wait):
        """None: held. Else the last answer of who has it."""
        with self._own_turn():
            own = self._own_claim()
            if own is not None:
                if not self.lost.is_set():
                    return None
                own.release()
            self._claim = None
            give_up_at = time.monotonic() + wait
            waited = _Waited()
            try:
                while True:
                    busy = _uninterrupted(lambda cancelled: self._attempt_claim(cancelled, waited))
                    waited.asks_again = True
                    if busy is None or time.monotonic() >= give_up_at:
                        _say_if_own_script(busy)
                        return busy
                    waited.wait(busy, give_up_at)
            except BaseException:
                self._release(None, None)
                raise
            finally:
                waited.give_up()

    def _own_turn(self):
        if self._turn_of != os.getpid():
            # A thread of the parent may have had it when this process was forked.
            self._turn, self._turn_of = threading.RLock(), os.getpid()
        return self._turn

    def _holds(self):
        return self._own_claim() is not None

    def _own_claim(self):
        """The claim that this object holds; None: none. Another thread, or a handler of a signal, may release it at any moment."""
        claim = self._claim
        return claim if claim is not None and claim.is_ours() and not claim.released else None

    def _attempt_claim(self, cancelled, waited):
        """One attempt. None: the claim is this object's. Else who has it."""
        here = _here()
        request = {'do': 'acquire', 'configuration': self._configuration(), 'pid': os.getpid(),
                   'token': os.urandom(16).hex(), 'command': [str(argument) for argument in _command_line()],
                   'asks_again': waited.asks_again,
                   'row': None if self.row is None else _row_for_claim(self.row)}
        taken = {'fd': None, 'primitive': None, 'own': None, 'path': None}

        def on_lock(path, primitive):
            taken['path'] = path
            if taken['fd'] is not None:
                _give_up(taken['fd'], taken['primitive'])
                taken['fd'] = None
            taken['primitive'] = primitive
            own = here.claims.get(path)
            if own is None:
                own = _inherited_claim(path)
            if own is not None:
                taken['own'] = own
                return {'answer': 'own'}, None
            if primitive == 'none':
                return {'answer': 'unlocked'}, None
            answer, taken['fd'] = waited.take(path) or _take_lock_file(path, primitive)
            return answer, taken['fd']

        with here.dialogue:
            kept = False
            answer = None
            try:
                answer = _ask(request, on_lock=on_lock, cancelled=cancelled, **self._place())
                self.lock_file = Path(answer['lock_file'])
                self.lock_dir = self.lock_file.parent
                for note in answer.get('notes', []):
                    _note_once(note)
                if answer['say'] == 'kept':
                    claim = _KeptClaim(answer, answer.pop('socket'))
                elif answer['say'] in ('held', 'inside'):
                    kind = _Claim if answer['say'] == 'held' else _ClaimAround
                    claim = kind(answer, taken['fd'], taken['primitive'])
                    claim.place = dict(self._place(), configuration=request['configuration'])
                    kept = True
                elif taken['own'] is not None and taken['own'].key not in here.claims:
                    # It was held by this process before it became this program.
                    claim = taken['own']
                    kept = True
                else:
                    if taken['own'] is not None and not waited.asks_again:
                        _say('{} is held by this {} since {}; training_lock.release_all() releases it'.format(
                            answer['name'], 'notebook' if _in_notebook() else 'process',
                            taken['own'].record.get('acquired_at')))
                    if taken['own'] is not None:
                        answer['own'] = True
                    return answer
                if self.row is not None:
                    claim.done = self.row['done']
                # The same event for every claim of this object: whoever has it waits on the right one.
                self.lost.clear()
                claim.lost = self.lost
                claim.begin()
                if cancelled.is_set():
                    claim.release()
                    return answer
                self._claim = claim
                return None
            finally:
                if not kept and taken['fd'] is not None:
                    if answer is None:
                        _attempt(_withdraw, taken, request['token'])
                    if taken['fd'] is not None:
                        _give_up(taken['fd'], taken['primitive'])

    def release(self, done=False):
        """Releases the lock. Does nothing where this object does not hold it, and in a forked child.

        Args:
            done: the training is finished and has succeeded. Without it nothing is said of the result.
        """
        self._release(*(('done', 0) if done else (None, None)))

    def _release(self, end, exit_code):
        claim = self._claim
        if claim is None or not claim.is_ours():
            return
        claim.release(end, exit_code)
        self._claim = None

    def __enter__(self):
        return self._enter(0)

    def _enter(self, wait):
        give_up_at = time.monotonic() + wait
        while True:
            with self._own_turn():
                around = self._block_of_another()
                if around is None:
                    return self._begin_block(max(0.0, give_up_at - time.monotonic()) if wait > 0 else 0, wait > 0)
            if time.monotonic() >= give_up_at:
                raise (LockTimeout if wait > 0 else LockHeld)(
                    '{} is already being trained by another thread or task of this process (PID {})'.format(
                        around.name, around.pid), around.holder())
            time.sleep(min(0.2, max(0.0, give_up_at - time.monotonic())))

    def _block_of_another(self):
        """The claim, where a block of another thread or task is open: one must not begin in the middle of the other's training.

        What is called, or begun as a task, in a block is part of it.
        """
        claim = self._own_claim()
        open_now = [block for block in self._entered if claim is not None and block.claim is claim]
        return claim if open_now and not any(block in _inside.get() for block in open_now) else None

    def _begin_block(self, wait, has_time):
        was_held = self._holds()
        try:
            busy = self._acquire(wait)
            if busy is not None:
                raise self._refusal(busy, has_time)
            block = _Block(self._claim)
            _inside.set(_inside.get() + (block,))
            self._entered.append(block)
            return self
        except BaseException:
            # Ctrl-C behind the claim: there is no block that would end it.
            if not was_held and self._holds():
                self._entered = [block for block in self._entered if block.claim is not self._claim]
                self._release(None, None)
            raise

    @staticmethod
    def _refusal(busy, has_time):
        holder = busy.get('holder') or {}
        text = '{} is already being trained by {} on {} since {} (PID {})'.format(
            busy.get('name'), 'another job' if holder.get('jobId') is None else 'job {}'.format(holder['jobId']),
            holder.get('hostname') or 'an unknown host', holder.get('acquiredAt') or 'an unknown time',
            holder.get('pid') or 'unknown')
        if busy.get('status') != 'active':
            text += ' [{}]'.format(busy.get('label'))
        found = _holder_dict(busy.get('path') or '', holder, busy.get('status'))
        return LockTimeout(text, found) if has_time else LockHeld(text, found)

    def __exit__(self, kind, value, trace):
        left = []
        interruption = None
        # A second Ctrl-C must not leave half of it: each step may be done again.
        for _ in range(5):
            try:
                self._leave_block(left, _end_of(kind, value))
                break
            except BaseException as error:
                interruption = interruption or error
        if interruption is not None:
            raise interruption
        return False

    def _leave_block(self, left, end):
        inside = _inside.get()
        if not left and self._entered:
            # Where a claim was released and another one made meanwhile, each block ends its own.
            left.append(next((block for block in reversed(self._entered) if block in inside), self._entered[-1]))
        self._entered = [block for block in self._entered if block not in left]
        _inside.set(tuple(block for block in inside if block not in left))
        if left and left[0].claim is self._claim and not any(block.claim is self._claim for block in self._entered):
            self._release(*end)

    def waiting(self, timeout=None):
        """``with lock.waiting(600):`` waits at most that many seconds (None: for ever), then raises LockTimeout."""
        return _Waiting(self, float('inf') if timeout is None or timeout < 0 else timeout)

    def __call__(self, function):
        """As a decorator: the function runs while the lock is held. So do coroutines and generators, to their end."""
        # It takes as long to import as all the rest.
        import inspect
        if inspect.iscoroutinefunction(function):
            async def locked(*arguments, **named):
                with self:
                    return await function(*arguments, **named)
        elif inspect.isasyncgenfunction(function):
            async def locked(*arguments, **named):
                with self:
                    async for each in function(*arguments, **named):
                        yield each
        elif inspect.isgeneratorfunction(function):
            def locked(*arguments, **named):
                with self:
                    return (yield from function(*arguments, **named))
        else:
            def locked(*arguments, **named):
                with self:
                    return _complete(function(*arguments, **named), function)
        return functools.wraps(function)(locked)

    # Asking

    def is_locked(self):
        """True: another has it, or that cannot be excluded. One look at all locks serves every call within 2 seconds.

        Raises LockUnavailable where that cannot be asked.
        """
        return not self._holds() and self._found_lock() is not None

    def get_lock_holder(self):
        """Who has the lock, this process included: a dict with strategy, dataset, model, job_id, hostname, pid, user,
        acquired_at and more; a value that is not known is None. None: nobody has it."""
        own = self._own_claim()
        if own is not None:
            return own.holder()
        found = self._found_lock()
        return None if found is None else _lock_dict(found)

    def _found_lock(self):
        snapshot = _snapshot(**self._place())
        usual = snapshot.get('usual_paths')
        lock_file, weights_dir = self._usual_paths(usual) or self._resolve()
        root = snapshot.get('root') or (usual or {}).get('root')
        is_seen = not any(_is_below(path, folder) for path in (lock_file, weights_dir) for folder in snapshot['unreadable'])
        if not is_seen or not _is_plain_place(lock_file, weights_dir, root):
            return self._ask_for_lock()['locked_by']
        marker = os.path.join(weights_dir, '.training_lock')
        found = [lock for lock in snapshot['locks'] if lock['status'] != 'stale'
                 and (lock['path'] in (lock_file, marker) or lock['path'].endswith('/locks/' + os.path.basename(lock_file)[:-5]))]
        # The surest first; of those the kernel lock, whose record says most.
        found.sort(key=lambda lock: (lock['status'] != 'active', lock['kind'] == 'file'))
        return found[0] if found else None

    def _ask_for_lock(self):
        """By a question of its own, which finds what a look at all locks does not: what is behind a link, or in its place."""
        return _ask({'do': 'check', 'configuration': self._configuration()}, **self._place())

    def _usual_paths(self, site):
        """Lock file and weights dir where they follow from the names alone; None: the executable has to be asked."""
        names = [self.strategy, self._dataset_given, self.model, self.aux_loss or 'none', self._stage_for_json() or 'none']
        if site is None or self._dimensions or not all(_PLAIN_NAME.match(str(name)) for name in names):
            return None
        self._require_values()
        lock_file = os.path.join(site['lock_dir'], self._lock_name() + '.lock')
        dataset = str(self._dataset_given).lower() + '_cd'
        self.lock_file, self.lock_dir = Path(lock_file), Path(site['lock_dir'])
        return lock_file, os.path.join(site['root'], 'WEIGHTS', str(self.strategy), dataset, self._model_name())

    def _resolve(self):
        """Lock file and weights dir as the site has them; asked once an object."""
        key = json.dumps([self._place(), _environment_root()])
        if self._paths is None or self._paths[0] != key:
            answer = _ask({'do': 'paths', 'configuration': self._configuration()}, **self._place())
            self._paths = (key, answer['lock_file'], answer['weights_dir'])
            self.lock_file = Path(answer['lock_file'])
            self.lock_dir = self.lock_file.parent
        return self._paths[1], self._paths[2]

    def assert_held(self):
        """Raises LockLost unless this object holds the lock at this moment: call it before a checkpoint is put in place.

        Takes less than a millisecond, starts nothing, and mends what other tools do to the files. Inside `trainlock run`
        with the lock on etcd it starts `trainlock` to ask there.
        """
        self._held_claim()

    def _held_claim(self):
        claim = self._claim
        if claim is None:
            raise LockLost('the lock on {} has not been acquired, or has been released'.format(self._lock_name()))
        claim.assert_held()
        return claim

    @property
    def generation(self):
        claim = self._claim
        return None if claim is None or claim.released else claim.generation

    @property
    def weights_dir(self):
        claim = self._claim
        return None if claim is None or claim.released else Path(claim.weights_dir)

    # Children

    @property
    def pass_fds(self):
        """Descriptors that a child must inherit to hold the lock: ``subprocess.Popen(..., pass_fds=lock.pass_fds)``.

        Raises LockLost unless the lock is held: a child without it would train without it.
        """
        return self._held_claim().pass_fds()

    def popen(self, *arguments, **named):
        """subprocess.Popen of a program that holds the lock with this process, and goes on to hold it without."""
        return subprocess.Popen(*arguments, **self._for_child(named))

    def run(self, *arguments, **named):
        """subprocess.run of such a program."""
        return subprocess.run(*arguments, **self._for_child(named))

    def _for_child(self, named):
        claim = self._held_claim()
        environment = dict(os.environ if named.get('env') is None else named['env'])
        environment.update({
            'TRAINLOCK_WEIGHTS_DIR': claim.weights_dir, 'TRAINLOCK_GENERATION': str(claim.generation),
            'TRAINLOCK_TOKEN': claim.token, 'TRAINLOCK_LOCK': claim.address_for_child(), 'TRAINLOCK_NAME': _with_native_paths(claim.name, True),
            'TRAINLOCK_PID': str(claim.pid)})
        return dict(named, env=environment, pass_fds=tuple(named.get('pass_fds', ())) + claim.pass_fds())


def _complete(result, function):
    """Refuses a coroutine, which would begin to train when the lock has been released."""
    if isinstance(result, (types.CoroutineType, types.AsyncGeneratorType)):
        if isinstance(result, types.CoroutineType):
            result.close()
        raise TypeError('{!r} returns a coroutine or an asynchronous generator, which would train without the lock: '
                        'decorate a function that is defined by `async def`, or use `with lock:` in it'.format(function))
    return result


def _number(value):
    """As it is written: numpy's 0.1 of 32 bits is 0.1 and not 0.10000000149."""
    try:
        number = float(str(value))
    except ValueError:
        number = float(value)
    # There is a zero with a sign, and one without.
    return number + 0.0


class _Waiting(object):
    def __init__(self, lock, timeout):
        self._lock = lock
        self._timeout = timeout

    def __enter__(self):
        return self._lock._enter(max(self._timeout, 1e-9))

    def __exit__(self, kind, value, trace):
        return self._lock.__exit__(kind, value, trace)


class _Waited(object):
    """Waits for who is in the way, without a helper process; keeps the kernel lock, if it was that and is free now."""

    def __init__(self):
        self._path = None
        self._fd = None
        self._primitive = None
        self.asks_again = False

    def take(self, path):
        """The lock that the wait has got, for the executable; None: none, or not of this file."""
        fd, self._fd = self._fd, None
        if fd is None:
            return None
        there = _stat_or_none(path)
        if path == self._path and there is not None and _same_file(os.fstat(fd), there):
            return {'answer': 'locked', 'created': False}, fd
        _give_up(fd, self._primitive)
        return None

    def give_up(self):
        if self._fd is not None:
            _give_up(self._fd, self._primitive)
            self._fd = None

    def wait(self, busy, give_up_at):
        lock_file = busy.get('wait_file') or busy['lock_file']
        pause = 0.2 if busy.get('local') else 1.0
        if busy.get('own') or busy.get('store'):
            return self._sleep(1.0 if busy.get('store') else pause, give_up_at)
        if busy.get('kernel_lock'):
            while self._sleep(pause, give_up_at):
                try:
                    fd, created = _open_lock_file(lock_file, create=False)
                except OSError:
                    return None
                free = False
                try:
                    free = _lock_fd(fd, busy['primitive'])
                except OSError:
                    return None
                finally:
                    if not free:
                        os.close(fd)
                if free:
                    self._path, self._fd, self._primitive = lock_file, fd, busy['primitive']
                    return None
            return None
        marker = os.path.join(busy['weights_dir'], '.training_lock')
        pid = (busy.get('holder') or {}).get('pid')
        before = (_fingerprint(marker), _fingerprint(lock_file))
        runs_here = pid is not None and is_pid_running(pid)
        ask_again_at = time.monotonic() + (60 if runs_here or not busy.get('local') else 2)
        while self._sleep(pause, min(give_up_at, ask_again_at)):
            if (_fingerprint(marker), _fingerprint(lock_file)) != before or (runs_here and not is_pid_running(pid)):
                return None
        return None

    @staticmethod
    def _sleep(pause, until):
        """False: the time is over."""
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, pause * random.uniform(0.75, 1.25)))
        return True


def _fingerprint(path):
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_mtime_ns, found.st_size


def _end_of(kind, value):
    """How a training has ended that was left by this exception, and its exit code."""
    if kind is None:
        return 'done', 0
    if issubclass(kind, KeyboardInterrupt):
        return 'interrupted', 130
    if issubclass(kind, SystemExit):
        code = getattr(value, 'code', value)
        code = 0 if code is None else code if isinstance(code, int) else 1
        return ('done' if code == 0 else 'interrupted'), code
    asyncio = sys.modules.get('asyncio')
    # Ctrl-C reaches a task as its cancellation. What is closed, or cancelled by any framework, has not failed either.
    if not issubclass(kind, Exception) or (asyncio is not None and issubclass(kind, asyncio.CancelledError)):
        return 'interrupted', None
    return 'failed', 1


def _command_line():
    try:
        with open('/proc/self/cmdline', 'rb') as file:
            return [part.decode('utf-8', 'replace') for part in file.read(16384).split(b'\0')[:-1]][:256]
    except OSError:
        return sys.argv[:256]


def _say_if_own_script(busy):
    """A job script that writes the marker, and starts a program that takes the lock, too, locks itself out."""
    holder = (busy or {}).get('holder') or {}
    pid = holder.get('pid')
    if holder.get('hostname') is None and pid is not None and _is_above(pid):
        _note_once('{} is locked by PID {}, in which this program runs: it takes both locks by itself, so take the lines '
                   'out of that script that write .training_lock (trainlock help job-scripts)'.format(busy.get('name'), pid))


def _is_above(pid):
    above = os.getppid()
    for _ in range(64):
        if above == pid:
            return True
        try:
            with open('/proc/{}/stat'.format(above)) as file:
                above = int(file.read().rpartition(')')[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
        if above <= 1:
            return False
    return False


def _in_notebook():
    return 'ipykernel' in sys.modules


_noted = set()


def _note_once(text):
    if text not in _noted:
        _noted.add(text)
        _say(text)


def _say(text):
    _print_error('training_lock: {}'.format(text))


def _print_error(text):
    try:
        print(text, file=sys.stderr)
    except (OSError, ValueError, AttributeError, RuntimeError):
        # Closed, or none; or in a handler of a signal that came while this very stream was being written.
        pass


def release_all():
    """Releases every lock that this process holds, whatever became of the objects: in a notebook, for a new start."""
    here = _here()
    with here.mutex:
        claims = list(here.claims.values())
    for claim in claims:
        claim.release()


atexit.register(release_all)


# -- Functions ---------------------------------------------------------------------------------------------------------


def _place_of(lock_dir, root=None):
    given = '' if lock_dir is None else os.fspath(lock_dir)
    own = None if given in ('', DEFAULT_LOCK_DIR) else _absolute(given)
    if root is None and own is not None and _environment_root() is None:
        root = os.path.dirname(own)
    return {'root': None if root is None else _absolute(root), 'lock_dir': own}


def _snapshot(root, lock_dir):
    here = _here()
    key = json.dumps([root, lock_dir, _environment_root(), os.environ.get('TRAINLOCK_CONFIG')])
    with here.mutex:
        known = here.snapshots.get(key)
        if known is not None and time.monotonic() - known[0] < _SNAPSHOT_SERVES:
            return known[1]
    answer = _ask({'do': 'list', 'kinds': ['file', 'fcntl', 'etcd'], 'verify': True}, root=root, lock_dir=lock_dir)
    with here.mutex:
        here.snapshots[key] = (time.monotonic(), answer)
    return answer


def _list(kinds, verify, place):
    answer = _ask({'do': 'list', 'kinds': kinds, 'verify': verify}, **place)
    for folder, why in sorted(answer['unreadable'].items()):
        _say('cannot look into {}: {}; its locks are not listed'.format(folder, why))
    for link in answer.get('links') or ():
        _say('{} is a link, and is not followed: what is behind it is not listed'.format(link))
    return [_lock_dict(lock) for lock in answer['locks']]


def _lock_dict(lock):
    found = _holder_dict(lock['path'], lock.get('holder') or {}, lock['status'])
    found.update(kind=lock['kind'], name=lock['name'], label=lock['label'], evidence=lock['evidence'])
    if found['pid'] is None:
        found['pid'] = lock['pid']
    if found['acquired_at'] is None:
        found['acquired_at'] = lock['started']
    return found


def _holder_dict(path, holder, status):
    """The keys of the older file, as far as the lock's own record has them; what is found of the holder counts first."""
    marker = os.path.basename(path) == '.training_lock'
    record = _read_record(path + '.json' if marker else path) if path.startswith('/') else None
    if record is None or (holder.get('pid') is not None and record.get('pid') != holder['pid']):
        record = {}
    found = {key: record.get(key) for key in ('strategy', 'dataset', 'model', 'ratio', 'aux_loss')}
    found.update(job_id=holder.get('jobId') or 'unknown', hostname=holder.get('hostname'), pid=holder.get('pid'),
                 user=holder.get('user'), acquired_at=holder.get('acquiredAt'), generation=holder.get('generation'),
                 lock_file=path, status=status)
    return found


def list_active_locks(lock_dir=DEFAULT_LOCK_DIR, *, root=None):
    """The kernel locks that somebody holds, and the locks of a store where the site has one: dicts with ``lock_file``."""
    locks = _list(['fcntl', 'etcd'], True, _place_of(lock_dir, root))
    return [lock for lock in locks if lock['status'] == 'active']


def list_weights_dir_locks(root=None, verify_pid=True):
    """The markers in all weights dirs, as dicts with ``status``: active, stale, unknown, or unverified if not asked."""
    return _list(['file'], verify_pid, _place_of(None, root))


def list_all_locks(root=None, verify_pid=True, *, lock_dir=DEFAULT_LOCK_DIR):
    """The locks of every kind, as dicts with ``kind``, ``status`` and ``lock_file``."""
    return _list(['file', 'fcntl', 'etcd'], verify_pid, _place_of(lock_dir, root))


def _clear(kinds, dry_run, force, place):
    answer = _ask({'do': 'clear', 'kinds': kinds, 'dry_run': bool(dry_run), 'force': bool(force)}, **place)
    _here().snapshots.clear()
    for failure in answer['failed']:
        _say('{}: {}'.format(failure['path'], failure['error']))
    return answer['removed']


def clear_stale_locks(lock_dir=DEFAULT_LOCK_DIR, dry_run=True, *, force=False, root=None):
    """Removes kernel locks that are provably nobody's; their paths. With dry_run, what would be removed."""
    return _clear(['fcntl', 'etcd'], dry_run, force, _place_of(lock_dir, root))


def clear_stale_file_locks(dry_run=True, force=False, *, root=None):
    """Removes markers that are provably nobody's; their paths. ``force``: unknown ones, too; never an active one."""
    return _clear(['file'], dry_run, force, _place_of(None, root))


def check_training_lock(strategy, dataset, model, ratio=None, aux_loss=None, stage=None):
    """True: not locked, and safe to proceed. False: skip it."""
    return not TrainingLock(strategy, dataset, model, ratio, aux_loss, stage).is_locked()


def preflight_check(strategy, dataset, model, ratio=None, aux_loss=None, stage=None):
    """The same, with the report of `trainlock check` on stderr where it is locked."""
    lock = TrainingLock(strategy, dataset, model, ratio, aux_loss, stage)
    report = None if lock.get_lock_holder() is None else lock._ask_for_lock()['report']
    if report is None:
        return True
    _print_error(report)
    return False


def is_pid_running(pid):
    """Whether a process with this PID runs on this host, whoever's it is. A zombie does not run."""
    try:
        pid = int(pid)
        if pid <= 0:
            return False
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (OSError, OverflowError, TypeError, ValueError):
        return False
    try:
        with open('/proc/{}/stat'.format(pid), 'rb') as file:
            fields = file.read().rpartition(b')')[2].split()
            return fields[0] not in (b'Z', b'X') or int(fields[17]) > 1
    except (OSError, IndexError, ValueError):
        return True


def claim_next(grid=None, *, root=None, timeout=None, done_when=(), done_file=None):
    """Works through a grid: a TrainingLock that is held for each row that is still to be trained, one after the other.

        for row in claim_next('grid.yaml'):
            train(row.strategy, row.model, row.weights_dir)

    Asking for the next row means that this one was a success; leaving the loop, that it was interrupted. ``with row:`` in the
    loop tells them apart. Many programs may share a grid: each row is trained by one of them, and once by each program.

    Args:
        grid: a file as `trainlock plan` reads it; None: all configurations that are known.
        root: the shared folder, else as the environment names it.
        timeout: where all that is left is held by others, wait so many seconds for it. None: end the loop.
        done_when: patterns of files in the weights dir that show a row to be done, beside what grid and site declare.
        done_file: name of a file that is written there when a row has succeeded.

    Raises LockTimeout when the time is over and rows are left, LockUnavailable when the grid cannot be looked at.
    """
    patterns = [done_when] if isinstance(done_when, str) else list(done_when)
    tried = set()
    waits_since = time.monotonic()
    while True:
        rows = [row for row in _plan(grid, root, patterns, done_file) if _row_key(row) not in tried and not _has_ended_well(row)]
        # Those that somebody has queued come last, as with `trainlock work`.
        trainable = [row for states in (('free', 'stale'), ('queued',)) for row in rows if row['state'] in states]
        lock = None
        try:
            lock, settled = _claim_one(trainable, root)
            tried.update(settled)
            if lock is not None:
                tried.add(_row_key(lock.row))
                yield lock
        except BaseException:
            # The loop was left, or interrupted before it knew of this row.
            if lock is not None:
                lock._release('interrupted', None)
            raise
        if lock is not None:
            lock._release('done', 0)
            waits_since = time.monotonic()
            continue
        held = [row for row in rows if _row_key(row) not in tried and row['state'] not in ('done', 'failed', 'blocked')]
        if timeout is None or not held:
            return
        if time.monotonic() - waits_since >= timeout:
            raise LockTimeout('{} rows are held by others, the first is {}'.format(len(held), held[0]['name']))
        time.sleep(min(2.0, max(0.05, timeout / 10)) * random.uniform(0.75, 1.25))


def _row_key(row):
    """Stages may have the same name."""
    return json.dumps(row['configuration'], sort_keys=True)


def _has_ended_well(row):
    """Where nothing is declared that shows a row to be done: whether its last run was a success. A run that was killed since
    is found when the row is claimed."""
    has_rule = row['done']['when'] or row['done']['file'] is not None
    return not has_rule and row['state'] != 'stale' and row.get('lastEnd') == 'done'


def _row_for_claim(row):
    """What the executable judges a row by when it is claimed: between the look at the grid and the claim it may have ended."""
    return {'when': row['done']['when'], 'min_size': row['done']['minSize'], 'file': row['done']['file'],
            'max_attempts': row.get('maxAttempts', 1)}


def _claim_one(rows, root):
    """The lock of the first row that can be had and is to be trained, or None; and the keys of those that have ended."""
    settled = []
    for row in rows:
        of = row['configuration']
        lock = TrainingLock(of['strategy'], of['dataset'], of['model'], of['ratio'], of['auxLoss'], of['stage'],
                            root=root, dimensions=of['dimensions'])
        lock.row = row
        try:
            if not lock.acquire():
                continue
            found = lock._claim.settled
            if found is None:
                return lock, settled
        except BaseException:
            # Ctrl-C at a moment when nobody else knows of this lock.
            lock.release()
            raise
        lock.release()
        settled.append(_row_key(row))
        if found['why'] is not None:
            _note_once('{} is not trained: {}'.format(row['name'], found['why']))
    return None, settled


def _plan(grid, root, done_when, done_file):
    program = _executable(root)
    call = [program, 'plan'] + ([] if grid is None else [os.fspath(grid)]) + ['--json']
    call += [] if root is None else ['--root', os.fspath(root)]
    call += [argument for pattern in done_when for argument in ('--done-when', pattern)]
    call += [] if done_file is None else ['--done-file', done_file]
    ended = subprocess.run(call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=_without_held(os.environ))
    try:
        return json.loads(ended.stdout.decode('utf-8'))['rows']
    except (ValueError, KeyError, TypeError):
        said = ' '.join(ended.stderr.decode('utf-8', 'replace').split())
        raise LockUnavailable('the grid cannot be looked at: {}'.format(said or 'trainlock plan has said nothing'))


def _main(arguments):
    import signal
    try:
        program = _executable()
    except LockUnavailable as error:
        print('training_lock.py: {}'.format(error), file=sys.stderr)
        return 3
    # Python ignores it, and a program that is started would, too.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(program, [program] + arguments)


if __name__ == '__main__':
    sys.exit(_main(sys.argv[1:]))
