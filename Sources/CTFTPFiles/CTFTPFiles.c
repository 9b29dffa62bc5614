#define _GNU_SOURCE
#include "CTFTPFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/socket.h>
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

int ctftp_send(int socket, const void *bytes, size_t count, size_t length, const void *address, unsigned address_length)
{
    enum { most = 64 };
    struct mmsghdr messages[most];
    struct iovec places[most];
    unsigned number = 0;
    for (size_t start = 0; start < count && number < most; start += length, ++number) {
        places[number].iov_base = (char *)bytes + start;
        places[number].iov_len = count - start < length ? count - start : length;
        messages[number] = (struct mmsghdr){ .msg_hdr = {
            .msg_name = (void *)address, .msg_namelen = address_length, .msg_iov = &places[number], .msg_iovlen = 1,
        } };
    }
    int sent;
    do sent = number == 1
        ? (sendmsg(socket, &messages[0].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 1)
        : sendmmsg(socket, messages, number, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

long ctftp_read(int file, const struct iovec *places, int count, long long offset, int cached)
{
    long read;
    do read = preadv2(file, places, count, offset, cached ? RWF_NOWAIT : 0);
    while (read < 0 && errno == EINTR);
    return read < 0 ? -errno : read;
}
