#pragma once

/// renameat2(2): exchanges what two paths name. 0, or the errno.
int exchange_paths(const char *first, const char *second);

/// renameat2(2): moves to a path under which there is nothing. 0, or the errno: EEXIST if there is something.
int exchange_move_new(const char *source, const char *target);

/// syncfs(2) of the file system that holds a directory. 0, or the errno.
int exchange_sync(const char *directory);
