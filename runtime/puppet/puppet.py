"""Starts puppets and drives them: an executor whose calls are carried out in another process.

A puppet (puppet.c) is a process without a mind: it reads a batch of system calls from its socket, carries
them out in order, stops at the first that fails, and answers. Here calls are gathered until somebody needs
to know a result; then they travel as one batch.

The program runs from a sealed memory file, not from the file on disk: a container can open /proc/PID/exe of
a process in its pid namespace, and must not find a file of the host there that it could write to
(CVE-2019-5736).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runtime.puppet.batch import ANSWER, CALLS_MAX, PASSED_MAX, Batch, Entry
from holdfast.runtime.sys.call import Call, CallFailed, Passed, Result, operation_of
from holdfast.runtime.sys.executor import close_quietly
from holdfast.runtime.sys.files import close, dup_above
from holdfast.runtime.sys.sockets import send_fd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.runtime.sys.call import Value

CHANNEL = 3
"""Where a puppet that has just been started reads from."""
CHILD_CHANNEL = 4
"""Where the process that it will clone is going to read from."""

PROGRAM_NAME = b"holdfast-puppet"
"""What /proc/PID/exe of a puppet says, among other words."""

_MFD_EXEC = 0x10
_FD = struct.Struct("=i")

READY = ANSWER.pack(2**32 - 1, 0)
"""What a batch that runs through sends to report on its way; no answer begins like that."""


class PuppetDied(Exception):  # noqa: N818  # reads as what it tells
    """The puppet ended before it answered."""


class Puppet:
    """One end of a channel to a puppet.

    `channel` is the number of the puppet's own end, over there. `observe`, if set, is given each call with
    its result (minus the errno for one that failed) once its batch has been carried out; with None if it
    runs through.
    """

    def __init__(self, sock: socket.socket, channel: int = CHANNEL) -> None:
        self.sock = sock
        self.channel: Value = channel
        self.subject = ""
        self.observe: Callable[[Call, int | None], None] | None = None
        self._batch = Batch()
        self._held = False

    @property
    def pending(self) -> int:
        """How many calls wait for the next flush."""
        return len(self._batch)

    def do(self, call: Call) -> Result:
        """Put a call into the batch; it is carried out by the next flush.

        Raises CallFailed for an earlier one.
        """
        if len(self._batch) > CALLS_MAX or len(self._batch.passed) > PASSED_MAX - 2:
            raise OverflowError("a batch got too long; flush between steps")
        result = Result()
        self._batch.add(Entry(call, result, self.subject))
        return result

    def flush(self) -> None:
        """Have the batch carried out.

        Raises CallFailed for the call that failed; calls after it were not carried out. Raises PuppetDied.
        """
        if self._batch.entries and not self._held:
            self._receive(self._send())

    def hold(self) -> None:
        """Gather everything from here on into one batch, for `run_through` or `become`.

        The puppet may not be able to receive another one: it is going to be under the user's seccomp filter.
        """
        self._held = True

    def move_channel(self, lowest: int) -> None:
        """Have the puppet's end of the channel moved to the first free descriptor from `lowest` on."""
        moved = self.do(dup_above(self.channel, lowest)._replace(becomes_channel=True))
        self.do(close(self.channel))
        self.channel = moved

    def fetch(self, fd: Value) -> int:
        """Have the batch carried out and a descriptor of the puppet handed over.

        It is the caller's to close.
        """
        self.do(send_fd(self.channel, fd))
        batch = self._send()
        # Not by socket.recv_fds, which forgets its flags: what it receives stays open over an exec.
        first, messages, _, _ = self.sock.recvmsg(1, socket.CMSG_SPACE(_FD.size), socket.MSG_CMSG_CLOEXEC)
        fds: list[int] = [one for *_, content in messages for (one,) in _FD.iter_unpack(content)]
        # No descriptor with the first byte: a call before failed, and this is already its answer.
        self._receive(batch, b"" if fds else first)
        return fds[0]

    def run_through(self) -> list[str]:
        """Send a batch that ends in an execve, and return when it has reported `READY` on its way.

        Returns what each of its calls is, for whoever reads the answer if one fails after that.
        Raises CallFailed for one that failed before, PuppetDied.
        """
        batch = self._send()
        head = self._read(ANSWER.size)
        if head != READY:
            self._receive(batch, head)
        self._observe_unanswered(batch)
        return [operation_of(entry.call, entry.subject) if entry else "" for entry in batch.entries]

    def become(self) -> None:
        """Send a batch that ends in an execve; return when the puppet has become the program, or has died.

        Raises CallFailed for a call that failed.
        """
        batch = self._send()
        try:
            head = self._read(ANSWER.size)
        except PuppetDied:  # its end closed: it has become the program, or nothing any more
            pass
        else:
            self._receive(batch, head)
        self._observe_unanswered(batch)

    def hang_up(self) -> None:
        """Close our end; a puppet that waits for a batch ends then."""
        self.sock.close()

    def _send(self) -> Batch:
        for fd in self._batch.passed:
            self._batch.add(Entry(close(Passed(fd)), Result(), ""))
        batch, self._batch = self._batch, Batch()
        content = memoryview(batch.encode())
        try:
            sent = socket.send_fds(self.sock, [content], batch.passed, socket.MSG_NOSIGNAL)
            if sent < len(content):  # sending nothing would fail if the puppet is a program by now
                self.sock.sendall(content[sent:], socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise PuppetDied from error
        return batch

    def _receive(self, batch: Batch, begun: bytes = b"") -> None:
        done, error = ANSWER.unpack(begun + self._read(ANSWER.size - len(begun)))
        batch.settle(done, self._read(batch.answer_size(done)))
        if self.observe is not None:
            self._tell(batch, done, error)
        if error:
            entry = batch.entries[done]
            if entry is None:
                raise PuppetDied
            raise CallFailed(error, operation_of(entry.call, entry.subject), entry.call)

    def _tell(self, batch: Batch, done: int, error: int) -> None:
        if self.observe is None:
            return
        for i, entry in enumerate(batch.entries[: done + 1]):
            if entry is not None:
                self.observe(entry.call, entry.result.value if i < done else -error)

    def _observe_unanswered(self, batch: Batch) -> None:
        if self.observe is not None:
            for entry in batch.entries:
                if entry is not None:
                    self.observe(entry.call, None)

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            try:
                piece = self.sock.recv(size - len(content), socket.MSG_WAITALL)
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise PuppetDied
            content += piece
        return bytes(content)


class Started(NamedTuple):
    """A puppet that runs.

    Its process, the channel to it, and the one to the child that it may be made to clone.
    """

    pid: int
    puppet: Puppet
    child: Puppet


def start(program_fd: int, stdio: Sequence[int]) -> Started:
    """Start a puppet as a child of this process, with nothing open but stdio and two channels.

    program_fd: from `sealed_program`. stdio: three descriptors that become its 0, 1 and 2; they stay the
    caller's. Raises OSError. Source: posix_spawn(3).
    """
    pairs = [socket.socketpair() for _ in range(2)]
    # Out of the way first: dup2 onto 0 to 4 must not hit a descriptor that is still needed.
    sources = (program_fd, *stdio, *(theirs.fileno() for _, theirs in pairs))
    program, *fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in sources]
    try:
        pid = os.posix_spawn(
            f"/proc/self/fd/{program}",
            [PROGRAM_NAME],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)],
            setsigmask=[],
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except OSError:
        for ours, _ in pairs:
            ours.close()
        raise
    finally:
        close_quietly(program, *fds)
        for _, theirs in pairs:
            theirs.close()
    (ours, _), (childs, _) = pairs
    return Started(pid, Puppet(ours), Puppet(childs, CHILD_CHANNEL))


def sealed_program() -> int:
    """Return a descriptor of the puppet's program, in memory and sealed against any change.

    Raises OSError, for instance if the program was not built. Source: memfd_create(2), fcntl(2) "File
    sealing".
    """
    source = os.open(os.fsencode(__file__).rpartition(b"/")[0] + b"/puppet", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fd = _memory_file()
        while os.sendfile(fd, source, None, 1 << 20):
            pass
    finally:
        os.close(source)
    fcntl.fcntl(
        fd,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE,
    )
    return fd


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(os.fsdecode(PROGRAM_NAME), flags | _MFD_EXEC)
    except OSError as error:
        if (
            error.errno != errno.EINVAL
        ):  # before Linux 6.3 every memory file may be executed, and says so by EINVAL
            raise
        return os.memfd_create(os.fsdecode(PROGRAM_NAME), flags)
