"""How a container is made: the steps, in their order. Read this first.

PARENT is the runtime, in the namespaces of whoever called it. INIT is the container's first process, which
acts through a puppet: it carries out what it is told and knows nothing. All that can be decided was decided
before (plan.py); a step only carries out. The order follows the runtime-spec where that says anything; where
it does not, each step tells why it stands where it stands.

The list is carried out by create.py, printed by `--explain`, written out as docs/how-a-container-is-made.md,
and failed at each of its system calls by tests/runtime/test_faults.py.

    PARENT                                        INIT
    reserve the id, open what is needed
    start a puppet, which clones init ----------> exists, waits for its first batch
    write the maps, fill the cgroup
                                                  mount, pivot, mask
    write the limits
                                                  find the program, become the user
                                         <------- report, wait for `start`
    check, set rlimits, record "created"
    (a later process) start --------------------> exec the program
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime.setup import filetree, isolation, joining, parking, registry, session
from holdfast.runtime.step import INIT, PARENT, Step, When

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.runtime.making import Making

JOINED_NAMESPACES = When("with namespaces given by path", lambda m: bool(m.namespaces.joins))
NEW_USER_NAMESPACE = When("with a new user namespace", lambda m: m.namespaces.makes("user"))
OTHER_USER_NAMESPACE = When(
    "in another user namespace than the runtime's", lambda m: m.namespaces.has("user")
)
NEW_MOUNT_NAMESPACE = When("with a new mount namespace", lambda m: m.namespaces.makes("mount"))
HOST_MOUNT_NAMESPACE = When("in the host's mount namespace", lambda m: not m.namespaces.has("mount"))
MAPPED_BINDS = When("with binds that have ids of their own", filetree.has_mapped_binds)
NEW_CGROUP_NAMESPACE = When("with a new cgroup namespace", lambda m: m.namespaces.makes("cgroup"))
NEW_NETWORK_NAMESPACE = When("with a new network namespace", lambda m: m.namespaces.makes("network"))
NAMES = When(
    "with a host name or a domain name", lambda m: bool(m.plan.config.hostname or m.plan.config.domainname)
)
SYSCTLS = When("with sysctls", lambda m: bool(m.plan.config.linux.sysctl))
KEYRING = When("unless the caller's keyring is to be kept", lambda m: m.process.keyring is not None)
TERMINAL = When("with a terminal", lambda m: m.process.terminal)
OOM_SCORE = When("with an OOM score", lambda m: m.process.oom_score is not None)
LIMITS = When("with resource limits", lambda m: bool(m.process.limits))
NO_NEW_PRIVILEGES = When("with no_new_privs", lambda m: m.process.no_new_privileges)
EARLY_FILTER = When(
    "with a seccomp filter, without no_new_privs",
    lambda m: m.process.filter is not None and not m.process.no_new_privileges,
)


def taken(steps: tuple[Step, ...], making: Making) -> Iterator[Step]:
    """Yield the steps whose condition holds."""
    return (step for step in steps if step.when.holds(making))


PREPARATION = (
    Step(
        PARENT,
        "reserve the id",
        registry.reserve,
        undo=registry.release,
        why="First: two creates of one id cannot both go on, and from here on a crash can be cleaned up.",
        source='runtime-spec, runtime.md "Create"; mkdir(2)',
    ),
    Step(
        PARENT,
        "open the namespaces to join",
        isolation.open_namespaces,
        why="Their paths mean something only here, and may not resolve inside the new mount namespace.",
        source='runtime-spec, config-linux.md "Namespaces"; ioctl_nsfs(2)',
        when=JOINED_NAMESPACES,
    ),
    Step(
        PARENT,
        "make the cgroup",
        isolation.make_cgroup,
        undo=isolation.remove_cgroup,
        why="Before the clone, so that init can be born in it.",
        source='runtime-spec, config-linux.md "Control groups"; cgroups(7)',
    ),
    Step(
        PARENT,
        "open the rootfs and what will be bound into it",
        filetree.open_sources,
        why="Once, before anything of the container exists: what is mounted later is what was opened here, "
        "even if somebody swaps a path in between; and init may not be allowed to reach it. After the "
        "cgroup, which may be one of the things to bind.",
        source="open_tree(2), mount_setattr(2)",
    ),
)
"""What the parent gets ready while there is no process of the container yet."""

ISOLATION = (
    Step(
        PARENT,
        "start a puppet and join namespaces with it",
        isolation.start_and_join,
        undo=isolation.stop_puppet,
        why="Python never enters a container. The puppet has nothing open but stdio and its channel, and "
        "runs from a sealed memory file, so that there is nothing of the host to be found in it. Before it "
        "joins anything it becomes undumpable, and so is init from its birth: until init has a root of its "
        "own, a neighbour in its pid namespace could reach the host's through it.",
        source="posix_spawn(3), memfd_create(2), setns(2), ptrace(2)",
    ),
    Step(
        PARENT,
        "enter the cgroup",
        isolation.enter_cgroup,
        why="So that init is born in it, and nothing of the container was ever outside. On cgroup v1 the "
        "puppet moves itself: for a process that moves another one the kernel holds up all forks of "
        "the machine, for 5 ms.",
        source="cgroups(7)",
    ),
    Step(
        PARENT,
        "clone init with its namespaces",
        isolation.clone_init,
        undo=isolation.kill_init,
        why="One call makes the process and all its namespaces; the user namespace owns the others. As a "
        "child of the runtime, so that whoever supervises can reap it.",
        source="clone(2), namespaces(7)",
    ),
    Step(
        PARENT,
        "note init in the record",
        registry.note_process,
        why="From here on there is a process that a cleaner must find if the runtime is killed.",
        source="proc_pid_stat(5)",
    ),
    Step(
        PARENT,
        "set the OOM score",
        parking.set_oom_score,
        why="From outside: lowering it takes a right that init loses.",
        source="proc_pid_oom_score_adj(5)",
        when=OOM_SCORE,
    ),
    Step(
        PARENT,
        "write the uid and gid maps",
        isolation.write_id_maps,
        why="Only a process outside with the right over the mapped ids may; until then init is nobody in "
        "there.",
        source="user_namespaces(7)",
        when=NEW_USER_NAMESPACE,
    ),
    Step(
        PARENT,
        "give binds their ids",
        filetree.map_ids,
        why="While they are attached nowhere; ids can only be mapped then. After init's own maps, which "
        "they may use.",
        source="mount_setattr(2) MOUNT_ATTR_IDMAP",
        when=MAPPED_BINDS,
    ),
    Step(
        INIT,
        "close what init does not need and begin a session",
        isolation.settle_in,
        why="A parked init may wait for hours; it must not hold a copy of anybody's descriptors meanwhile.",
        source="setsid(2), fcntl(2)",
    ),
    Step(
        INIT,
        "stop mount events to the host and attach the rootfs",
        filetree.isolate,
        why="What is mounted from here on must not appear on the host; pivot_root refuses a shared parent. "
        "Before init becomes root of its user namespace, which may not reach the rootfs by its path.",
        source='mount_namespaces(7) "Shared subtrees"',
        when=NEW_MOUNT_NAMESPACE,
    ),
    Step(
        INIT,
        "become root of the user namespace",
        isolation.become_root,
        why="Files and mounts that are made from here on belong to the container's root.",
        source="user_namespaces(7), setresuid(2)",
        when=OTHER_USER_NAMESPACE,
    ),
    Step(
        INIT,
        "hide init's memory",
        isolation.hide_memory,
        why="Until it runs the user's program no other process of the container may trace it. Again, since "
        "a change of the user may alter it; and an ordinary user's runtime could not have done it before "
        "the maps were written.",
        source="prctl(2) PR_SET_DUMPABLE, ptrace(2)",
    ),
    Step(
        INIT,
        "make a cgroup namespace",
        isolation.new_cgroup_namespace,
        why="Only now: its root is the cgroup that init is in at this moment.",
        source="cgroup_namespaces(7)",
        when=NEW_CGROUP_NAMESPACE,
    ),
    Step(
        INIT,
        "bring the loopback interface up",
        isolation.loopback_up,
        why="A new network namespace has one, down; programs and hooks expect 127.0.0.1.",
        source="netdevice(7)",
        when=NEW_NETWORK_NAMESPACE,
    ),
    Step(
        INIT,
        "begin a session keyring",
        session.join_keyring,
        why="Otherwise the container could read the keys of whoever called the runtime.",
        source="keyctl(2), session-keyring(7)",
        when=KEYRING,
    ),
)
"""The process and its namespaces."""

FILE_TREE = (
    Step(
        INIT,
        "mount what the configuration lists",
        filetree.mount_all,
        why="In the order of the list, as the spec wants. Each mount is finished while detached and "
        "attached to a descriptor of its target, so no path is looked up twice.",
        source='runtime-spec, config.md "Mounts"; fsopen(2), move_mount(2), openat2(2)',
        when=NEW_MOUNT_NAMESPACE,
    ),
    Step(
        INIT,
        "make the devices",
        filetree.make_devices,
        why="After the mounts, since /dev is one of them.",
        source='runtime-spec, config-linux.md "Default Devices"; mknod(2)',
        when=NEW_MOUNT_NAMESPACE,
    ),
    Step(
        PARENT,
        "write the cgroup limits",
        isolation.limit_cgroup,
        why="Before anything of the user's runs; after the mounts, which a tight limit would hinder.",
        source='runtime-spec, config-linux.md "Control groups"',
    ),
    Step(
        INIT,
        "open the terminal",
        session.open_console,
        why="In the container's own devpts, which exists only now; the far end goes to the supervisor.",
        source="pty(7), ioctl_tty(2)",
        when=TERMINAL,
    ),
    Step(
        INIT,
        "make the working directory",
        filetree.make_working_directory,
        why="While the root can still be written to; programs expect it to be there.",
        source='runtime-spec, config.md "Process", cwd',
        when=NEW_MOUNT_NAMESPACE,
    ),
    Step(
        INIT,
        "change the root to the rootfs",
        filetree.change_root,
        why="All that can be done in the host's mount namespace: nothing is mounted, and chroot hides the "
        "rest from lookups only.",
        source="chroot(2)",
        when=HOST_MOUNT_NAMESPACE,
    ),
    Step(
        INIT,
        "make the rootfs the root",
        filetree.pivot,
        why="The old root is unmounted in the same breath; from here on no path leads to the host.",
        source="pivot_root(2)",
        when=NEW_MOUNT_NAMESPACE,
    ),
)
"""What the container sees as its file tree."""

SURROUNDINGS = (
    Step(
        INIT,
        "set the host name",
        session.set_names,
        why="In the new uts namespace; the host keeps its own.",
        source="sethostname(2), uts_namespaces(7)",
        when=NAMES,
    ),
    Step(
        INIT,
        "set sysctls",
        session.set_sysctls,
        why="Before /proc/sys becomes read-only. Only those that belong to a namespace of the container.",
        source='runtime-spec, config-linux.md "Sysctl"; proc_sys(5)',
        when=SYSCTLS,
    ),
    Step(
        INIT,
        "mask and lock paths, and the root if it is read-only",
        filetree.lock_paths,
        why="Last of the file tree: everything before had to write there.",
        source='runtime-spec, config-linux.md "Masked Paths", "Readonly Paths"; mount_setattr(2)',
        when=NEW_MOUNT_NAMESPACE,
    ),
)
"""What else belongs to its namespaces."""

PROCESS = (
    Step(
        INIT,
        "find the program",
        session.find_program,
        why="As the user and from the working directory, so that a missing one is an error of create, not "
        "of start.",
        source='runtime-spec, config.md "Process"; access(2), execvp(3)',
    ),
    Step(
        PARENT,
        "give stdio to the user",
        session.own_stdio,
        why="A program that reopens /dev/stdout needs the right to. Only pipes; whatever else may be there "
        "is not ours.",
        source="chown(2), proc_pid_fd(5)",
    ),
    Step(
        PARENT,
        "set the resource limits",
        parking.set_limits,
        why="From outside and before the user changes: raising a hard limit takes a right that init may "
        "not have, and the limits of another user's process may only be changed with it. After "
        "everything that a low limit hinders.",
        source="prlimit(2)",
        when=LIMITS,
    ),
    Step(
        INIT,
        "forbid new privileges",
        parking.forbid_new_privileges,
        why="Before the user changes: what runs from here on can only lose rights.",
        source="prctl(2) PR_SET_NO_NEW_PRIVS",
        when=NO_NEW_PRIVILEGES,
    ),
    Step(
        INIT,
        "load the seccomp filter",
        parking.load_filter,
        why="Here, since without no_new_privs it takes a right that the next step drops.",
        source="seccomp(2)",
        when=EARLY_FILTER,
    ),
    Step(
        INIT,
        "become the user",
        parking.drop_to_user,
        why="Bounding set, groups, ids, then the other sets, the ambient set last: each needs a right that "
        "the next ones take away.",
        source="capabilities(7), credentials(7)",
    ),
)
"""What each process of a container goes through, init and those of an exec."""

PARKING = (
    Step(
        INIT,
        "report and wait for start",
        parking.park,
        why="The last thing that can fail has passed. What is left is in init's hands already, in one "
        "batch, since under the user's filter it may not be able to receive another.",
        source='runtime-spec, runtime.md "Start"; execve(2), close_range(2)',
    ),
    Step(
        PARENT,
        "check who init has become",
        parking.check_identity,
        why="The kernel's word, from outside, before anything of the user's runs.",
        source="proc_pid_status(5)",
    ),
    Step(
        PARENT,
        "record it as created",
        registry.declare_created,
        why="Only now, so that nobody sees more than there is.",
        source='runtime-spec, runtime.md "State"',
    ),
)
"""The end of create."""

SETUP = (*PREPARATION, *ISOLATION, *FILE_TREE, *SURROUNDINGS, *PROCESS, *PARKING)
"""From a plan to a parked init. Source: runtime-spec, runtime.md "Lifecycle"."""

JOIN = (
    Step(
        PARENT,
        "start a puppet in the container's cgroup",
        joining.start_puppet,
        undo=isolation.stop_puppet,
        why="The cgroup first: from here on the process is under the container's limits, and dies with it.",
        source="posix_spawn(3), memfd_create(2), cgroups(7)",
    ),
    Step(
        PARENT,
        "join the container's namespaces and clone into them",
        joining.join_and_clone,
        undo=isolation.kill_init,
        why="All namespaces of init in one call, by a descriptor that can't come to mean another process. "
        "A clone, since a pid namespace takes only children. Undumpable before it joins, so that "
        "nobody inside can trace it.",
        source="setns(2), clone(2), ptrace(2)",
    ),
    Step(
        INIT,
        "close what the process does not need and begin a session",
        isolation.settle_in,
        why="Nothing of the runtime's is open while the user's programs are around.",
        source="setsid(2), fcntl(2)",
    ),
    Step(
        INIT,
        "become root of the user namespace",
        isolation.become_root,
        why="So that what follows has the rights of the container's root.",
        source="user_namespaces(7), setresuid(2)",
        when=OTHER_USER_NAMESPACE,
    ),
    Step(
        INIT,
        "join the session keyring",
        session.join_keyring,
        why="The container's, by its name; otherwise the process would have the caller's keys.",
        source="keyctl(2)",
        when=KEYRING,
    ),
    Step(
        INIT,
        "open the terminal",
        session.open_terminal,
        why="In the container's devpts, so that its name means something to the program. /dev/console "
        "stays init's.",
        source="pty(7), ioctl_tty(2)",
        when=TERMINAL,
    ),
    Step(
        PARENT,
        "set the OOM score",
        parking.set_oom_score,
        why="From outside: lowering it takes a right that the process loses.",
        source="proc_pid_oom_score_adj(5)",
        when=OOM_SCORE,
    ),
    *PROCESS,
    Step(
        INIT,
        "become the program",
        joining.become,
        why="Everything else is done; if this fails its answer is the last thing that the puppet says.",
        source="execve(2), close_range(2)",
    ),
    Step(
        PARENT,
        "write the pid file",
        registry.write_pid_file,
        why="The manager reads it when the runtime has ended.",
        source='conmon(8) "--container-pidfile"',
    ),
)
"""From a running container to one more process in it."""
