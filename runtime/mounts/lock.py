"""The last of the file tree: what had to be written to until now is locked.

A tmpfs that is to be read-only, and /dev, had other mounts and nodes made in them; sysctls were written
below /proc/sys. From here on nothing of ours writes to the tree.

Sources: mount_setattr(2); runtime-spec, config.md "Root", config-linux.md "Masked Paths", "Readonly Paths".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.runtime.mounts import masked, propagation
from holdfast.runtime.sys import files, mount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.runtime.mounts.plan import MountsPlan
    from holdfast.runtime.mounts.sources import Sources
    from holdfast.runtime.paths import Rootfs
    from holdfast.runtime.sys.call import Executor, Value


def lock_paths(
    x: Executor, rootfs: Rootfs, plan: MountsPlan, sources: Sources, late: Sequence[Value]
) -> None:
    """Make read-only and hide what the configuration says, and give the root its propagation.

    Needs: the rootfs is the root, and nothing is left to write there. late: what `build.mount_all` returned;
    it is closed. Raises CallFailed.
    """
    for tree in late:
        x.subject = "make a mount read-only"
        x.do(mount.mount_setattr(tree, set_=mount.MOUNT_ATTR_RDONLY))
        x.do(files.close(tree))
    masked.make_readonly(x, rootfs, plan.readonly_paths)
    if plan.masked_paths:
        masked.mask(x, rootfs, plan.masked_paths, sources)
    propagation.apply_to_root(x, rootfs, plan.propagation)
    if plan.readonly:
        x.subject = "root.readonly: make the root read-only"
        x.do(mount.mount_setattr(rootfs.fd, set_=mount.MOUNT_ATTR_RDONLY))
    x.subject = ""
