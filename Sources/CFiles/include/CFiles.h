#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/xattr.h>

// Calls on files that Swift can't make because they are variadic, are macros or are left out of its Glibc module. Each
// returns -1 with errno set if it fails.

/// Opens what a relative path leads to as a place alone (O_PATH); fails if it leads out of a directory or over a link
/// (openat2(2)).
int cfiles_open_beneath(int directory, const char *path, int flags);

/// Opens a place that cfiles_open_beneath found.
int cfiles_open_place(int place, int flags);

/// Renames, and fails with EEXIST if there is something of the new name (RENAME_NOREPLACE, renameat2(2)); where the file
/// system can't do that in one step, in two.
int cfiles_rename_new(int from, const char *name, int to, const char *new_name);

/// Makes a range of a file share its data with a range of another (ioctl_ficlonerange(2)).
int cfiles_clone(int file, int source, uint64_t offset, uint64_t source_offset, uint64_t length);

/// Copies inside of the kernel where it can (copy_file_range(2)). The number of bytes copied.
ssize_t cfiles_copy(int file, int source, uint64_t offset, uint64_t source_offset, size_t count);

/// Where data begin at or after an offset, and where they end (SEEK_DATA, lseek(2)). 1, or 0 if there are none.
int cfiles_next_data(int file, uint64_t offset, uint64_t *start, uint64_t *end);

/// Sets or clears FS_IMMUTABLE_FL (chattr(1), "i").
int cfiles_set_immutable(int file, int on);

/// Writes all of the file system that holds an open file to its disk (syncfs(2)).
int cfiles_synchronize(int file);
