#define _GNU_SOURCE
#include "CFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int cfiles_open_beneath(int directory, const char *path, int flags) {
    struct open_how how = {
        .flags = (unsigned)(flags | O_PATH | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int cfiles_open_place(int place, int flags) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", place);
    return open(path, flags | O_CLOEXEC);
}

int cfiles_rename_new(int from, const char *name, int to, const char *new_name) {
    if (renameat2(from, name, to, new_name, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    struct stat status;
    if (fstatat(to, new_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(from, name, to, new_name);
}

int cfiles_clone(int file, int source, uint64_t offset, uint64_t source_offset, uint64_t length) {
    struct file_clone_range range = {
        .src_fd = source, .src_offset = source_offset, .src_length = length, .dest_offset = offset};
    return ioctl(file, FICLONERANGE, &range);
}

ssize_t cfiles_copy(int file, int source, uint64_t offset, uint64_t source_offset, size_t count) {
    off64_t from = (off64_t)source_offset, to = (off64_t)offset;
    ssize_t copied = copy_file_range(source, &from, file, &to, count, 0);
    if (copied >= 0 || (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)) return copied;
    // Between file systems of different kinds.
    char buffer[64 * 1024];
    ssize_t got = pread(source, buffer, count < sizeof buffer ? count : sizeof buffer, (off_t)source_offset);
    return got <= 0 ? got : pwrite(file, buffer, (size_t)got, (off_t)offset);
}

int cfiles_next_data(int file, uint64_t offset, uint64_t *start, uint64_t *end) {
    off_t data = lseek(file, (off_t)offset, SEEK_DATA);
    if (data < 0) return errno == ENXIO ? 0 : -1;
    off_t hole = lseek(file, data, SEEK_HOLE);
    if (hole < 0) return -1;
    *start = (uint64_t)data;
    *end = (uint64_t)hole;
    return 1;
}

int cfiles_set_immutable(int file, int on) {
    int flags;
    if (ioctl(file, FS_IOC_GETFLAGS, &flags) != 0) return -1;
    int wanted = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    return wanted == flags ? 0 : ioctl(file, FS_IOC_SETFLAGS, &wanted);
}

int cfiles_synchronize(int file) { return syncfs(file); }
