"""A folder by FUSE whose files are numbered by their names, as sshfs has it: numbered-names.py FOLDER MOUNTPOINT [SECONDS [UID]].

With SECONDS its server's clock is behind by so many. With UID it shows all files as that user's.
"""

import errno
import os
import sys

from fusepy import FUSE, FuseOSError, Operations


class NumberedNames(Operations):
    def __init__(self, folder):
        self.folder = folder

    def _real(self, path):
        return self.folder + path

    def getattr(self, path, fh=None):
        try:
            found = os.lstat(self._real(path))
        except OSError as error:
            raise FuseOSError(error.errno)
        found = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        for name in ("st_mtime", "st_ctime"):
            found[name] -= behind
        found["st_uid"] = owner if owner is not None else found["st_uid"]
        names = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_size", "st_uid")
        # Like sftp, which tells no count of links.
        return {**{name: found[name] for name in names}, "st_nlink": 1}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self._real(path))]

    def access(self, path, mode):
        if not os.access(self._real(path), mode):
            raise FuseOSError(errno.EACCES)

    def create(self, path, mode, fi=None):
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path, flags):
        return os.open(self._real(path), flags)

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(self._real(path), length)

    def release(self, path, fh):
        os.close(fh)

    def chmod(self, path, mode):
        os.chmod(self._real(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self._real(path), uid, gid)

    def mkdir(self, path, mode):
        os.mkdir(self._real(path), mode)

    def rmdir(self, path):
        os.rmdir(self._real(path))

    def unlink(self, path):
        os.unlink(self._real(path))

    def rename(self, old, new):
        os.rename(self._real(old), self._real(new))

    def link(self, target, source):
        os.link(self._real(source), self._real(target))

    def utimens(self, path, times=None):
        os.utime(self._real(path), times)

    statfs = None


behind = int(sys.argv[3]) if len(sys.argv) > 3 else 0
owner = int(sys.argv[4]) if len(sys.argv) > 4 else None
FUSE(NumberedNames(sys.argv[1]), sys.argv[2], foreground=True, nothreads=True)
