#include "CBtrfsUtil.h"

#include <linux/magic.h>
#include <sys/vfs.h>

int cbtrfsutil_is_on_btrfs(const char *path) {
    struct statfs status;
    if (statfs(path, &status) != 0) return -1;
    return status.f_type == BTRFS_SUPER_MAGIC;
}
