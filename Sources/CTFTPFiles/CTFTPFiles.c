#define _GNU_SOURCE
#include "CTFTPFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

int ctftp_open_beneath(int directory, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    // EAGAIN says that something was renamed while the path was walked, so that it could not be proved to stay beneath.
    for (int attempt = 0; attempt < 64; ++attempt) {
        long file = syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (file >= 0) return (int)file;
        if (errno != EAGAIN && errno != EINTR) break;
    }
    return -errno;
}

int ctftp_create_locked(int directory, const char *name)
{
    int file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0) return -errno;
    if (flock(file, LOCK_EX | LOCK_NB) == 0) return file;
    int reason = errno;
    close(file);
    return -reason;
}

int ctftp_is_unlocked(int directory, const char *name)
{
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) return -errno;
    int result = flock(file, LOCK_EX | LOCK_NB) == 0 ? 1 : errno == EWOULDBLOCK ? 0 : -errno;
    close(file);
    return result;
}

long ctftp_read(int file, const struct iovec *places, int count, long long offset, int cached)
{
    long read;
    do read = preadv2(file, places, count, offset, cached ? RWF_NOWAIT : 0);
    while (read < 0 && errno == EINTR);
    return read < 0 ? -errno : read;
}
