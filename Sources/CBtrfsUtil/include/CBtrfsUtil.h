#pragma once
#include <btrfsutil.h>

/// 1 if a path lies on a btrfs file system, 0 if on another, -1 with errno set if that can't be told.
/// Swift's Glibc module doesn't show statfs(2).
int cbtrfsutil_is_on_btrfs(const char *path);
