"""From `linux.seccomp` of a config to a program that seccomp(2) takes.

All of it happens in the parent, before the container exists: what comes out are bytes and flags.  Whoever
loads them needs no library, no file, and no right beyond no_new_privs or CAP_SYS_ADMIN.

The spec leaves questions open; profiles in use rely on runc's answers, so they are taken here:

- Absent flags are not an empty list: absent means SPEC_ALLOW where the kernel has it.
- Several conditions on one argument are alternatives, and then all conditions of that rule are (check.py).
- A name that libseccomp does not know is left out, since it is newer than the library, and told.
- A rule whose action is the default action says nothing, and is left out.
- What is newer than every name in the profile gets ENOSYS, unless the default action lets calls pass
  (enosys.py).
- The native architecture is always listed. A call by one that is not listed kills.

Stricter than runc: an error number that cannot be returned is refused, where it would be cut to 16 bits; a
call by an architecture that is not listed kills the process, not one thread, which others may wait for.

Sources: runtime-spec, config-linux.md, "Seccomp"; seccomp(2); seccomp_rule_add(3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from holdfast.protocol.errors import ConfigError, HoldfastError, Problem
from holdfast.protocol.oci.names import SECCOMP_ACTIONS, SECCOMP_FLAGS
from holdfast.runtime.seccomp import bpf, enosys, libseccomp
from holdfast.runtime.seccomp.check import check
from holdfast.runtime.seccomp.flags import (
    NEW_LISTENER,
    SPEC_ALLOW,
    TSYNC,
    TSYNC_ESRCH,
    WAIT_KILLABLE_RECV,
    is_supported,
    supported_flags,
)
from holdfast.runtime.seccomp.libseccomp import UNKNOWN

if TYPE_CHECKING:
    from holdfast.protocol.oci import config
    from holdfast.runtime.seccomp.cache import Cache
    from holdfast.runtime.seccomp.check import Profile
    from holdfast.runtime.seccomp.libseccomp import Library, Rules

_TREE_FROM = 32
"""More names make a search by a tree pay. Of an empty profile libseccomp up to 2.5.4 makes a wrong tree."""


class Filter(Struct, frozen=True):
    """What seccomp(2) is to be called with."""

    program: bytes
    """An array of struct sock_filter."""
    flags: int
    notify: bool
    """Whether the call returns a descriptor, which a seccomp agent is to get."""
    skipped: tuple[str, ...]
    """Names of calls that libseccomp does not know, each once: for a warning."""


class Built(Struct, frozen=True, array_like=True):
    """What is made of a profile once, and may be kept."""

    program: bytes
    skipped: tuple[str, ...]


def compile_profile(seccomp: config.Seccomp, cache: Cache | None = None) -> Filter:
    """Make the program and the flags that a profile asks for.

    cache: where programs are kept; what comes back is the same with and without.
    Raises ConfigError, naming the field, for what a profile may not say or cannot have on this machine;
    HoldfastError if libseccomp is missing, or it and the kernel cannot do what is asked.
    """
    library = libseccomp.library()
    profile = check(seccomp, library)
    flags = _flags(seccomp.flags, notify=profile.notify)
    built = cache.load(profile, library) if cache else None
    if built is None:
        built = build(profile, library)
        if cache:
            cache.store(profile, library, built)
    return Filter(built.program, flags, profile.notify, built.skipped)


def _flags(names: tuple[str, ...] | None, *, notify: bool) -> int:
    flags = 0
    if names is None:
        flags = SPEC_ALLOW if is_supported(SPEC_ALLOW) else 0
    for i, name in enumerate(names or ()):
        flag = SECCOMP_FLAGS[name]
        if not is_supported(flag):
            field, allowed = f"linux.seccomp.flags[{i}]", ", ".join(supported_flags())
            raise ConfigError([Problem(field, name, allowed, "is not known to this kernel")])
        flags |= flag
    if flags & TSYNC:
        # Else a thread that cannot follow is told by its id as the result, which looks like success.
        flags |= TSYNC_ESRCH
    # WAIT_KILLABLE_RECV is how a call waits for the listener; the kernel refuses it where there is none.
    return flags | NEW_LISTENER if notify else flags & ~WAIT_KILLABLE_RECV


def build(profile: Profile, library: Library) -> Built:
    """Have libseccomp make the program, and put ours in front.

    Raises ConfigError for a program that is too long, HoldfastError for actions that are not supported here.
    """
    skipped = {
        name: None for rule in profile.rules for name in rule.names if library.number(name) == UNKNOWN
    }
    try:
        with library.rules(profile.default_action) as rules:
            _add_all(rules, profile, library)
            program = rules.export()
    except OSError as error:
        have = f"libseccomp {library.version_text}, API level {library.api_level()} with this kernel"
        raise HoldfastError(f"linux.seccomp: {error.strerror} ({have})") from error
    if not profile.is_permissive:
        named = {name for rule in profile.rules for name in rule.names}
        program = enosys.prologue(library, profile.architectures, named) + program
    count = len(program) // bpf.INSTRUCTION.size
    if count > bpf.INSTRUCTIONS_MAX:
        raise ConfigError(
            f"linux.seccomp: its program of {count} instructions is too long for the kernel; allowed: "
            f"{bpf.INSTRUCTIONS_MAX}; name fewer architectures or conditions"
        )
    return Built(program, tuple(skipped))


def _add_all(rules: Rules, profile: Profile, library: Library) -> None:
    for token in profile.architectures[1:]:
        rules.add_architecture(token)
    rules.set_attribute(libseccomp.ATTRIBUTE_BAD_ARCH_ACTION, SECCOMP_ACTIONS["SCMP_ACT_KILL_PROCESS"])
    if sum(len(rule.names) for rule in profile.rules) > _TREE_FROM:
        rules.set_attribute(libseccomp.ATTRIBUTE_OPTIMIZE, libseccomp.OPTIMIZE_BINARY_TREE)
    for rule in profile.rules:
        if rule.action == profile.default_action:
            continue
        for name in rule.names:
            number = library.number(name)
            if number != UNKNOWN:
                for conditions in rule.alternatives:
                    rules.add(rule.action, number, conditions)
