"""The control file of the failing sx.io (kernel/io_fault.c), mapped: arms, watches and heals the disk
of a running server."""
import errno
import mmap
import struct

CREATE, WRITE, TRUNCATE, ALLOCATE, SYNC, DIRSYNC, RENAME, REMOVE, MKDIR, MAP = (1 << i for i in range(10))
ALL = (1 << 10) - 1
SYNCS = SYNC | DIRSYNC
SPACE_TAKERS = CREATE | WRITE | TRUNCATE | ALLOCATE | MKDIR | RENAME  # what a full disk refuses
STICKY, SHORT, SPACE, GROWING = 1, 2, 4, 8
EIO, ENOSPC, ENOMEM = errno.EIO, errno.ENOSPC, errno.ENOMEM
FIELDS = ("kinds", "nth", "error", "flags", "space", "calls", "hits")


class Control:
    def __init__(self, path):
        self.path = str(path)
        with open(self.path, "wb+") as f:
            f.truncate(512)
            self.map = mmap.mmap(f.fileno(), 512)

    def get(self, field):
        return struct.unpack_from("<Q", self.map, 8 * FIELDS.index(field))[0]

    def put(self, field, value):
        struct.pack_into("<Q", self.map, 8 * FIELDS.index(field), value)

    def arm(self, kinds, nth, error, flags=0, space=0):
        """Counts from now on. nth 0: counts only."""
        self.heal()
        self.map[64:128] = bytes(64)
        for field, value in (("nth", nth), ("error", error), ("flags", flags), ("space", space),
                             ("calls", 0), ("hits", 0), ("kinds", kinds)):
            self.put(field, value)

    def heal(self):
        """The disk works again; calls, hits and what stay."""
        self.put("kinds", 0)
        self.put("flags", 0)

    @property
    def what(self):
        """The first call that failed, or ''."""
        return self.map[64:128].split(b"\0")[0].decode("utf-8", "replace")

    def close(self):
        self.map.close()
