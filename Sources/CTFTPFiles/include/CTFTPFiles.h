#pragma once
#include <stddef.h>
#include <sys/uio.h>

// Linux calls that Swift can't make because they are variadic, or are left out of its Glibc module.

/// Opens a regular file for reading beneath a directory: neither the path nor any link leads out of it (openat2(2),
/// RESOLVE_BENEATH), and nothing that isn't a regular file is waited for. Returns a descriptor or a negative errno.
int ctftp_open_beneath(int directory, const char *path);

/// Makes a file that must not be there yet, for writing, and locks it (flock(2)). Returns a descriptor or a negative errno.
int ctftp_create_locked(int directory, const char *name);

/// Whether a file that is there is locked by nobody: 1, 0, or a negative errno.
int ctftp_is_unlocked(int directory, const char *name);

/// Reads into several places from an offset. Where `cached` is set, only what needs no waiting for the disk (preadv2(2),
/// RWF_NOWAIT). Returns the count of bytes or a negative errno: -EAGAIN for what isn't cached.
long ctftp_read(int file, const struct iovec *places, int count, long long offset, int cached);

/// Sends a run of bytes as datagrams of `length` bytes, the last of which may have fewer, without waiting (sendmmsg(2)).
/// Returns how many were sent, which may be fewer than there are, or a negative errno.
int ctftp_send(int socket, const void *bytes, size_t count, size_t length, const void *address, unsigned address_length);
