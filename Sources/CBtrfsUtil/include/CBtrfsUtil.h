#pragma once
#include <btrfsutil.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/xattr.h>

/// 1 if a path lies on a btrfs file system, 0 if on another, -1 with errno set if that can't be told.
/// Swift's Glibc module doesn't show statfs(2).
int cbtrfsutil_is_on_btrfs(const char *path);

/// What is known of a subvolume (BTRFS_IOC_GET_SUBVOL_INFO); identities of nothing are zero.
struct cbtrfsutil_subvolume {
    uint8_t uuid[16];
    uint8_t parent_uuid[16];
    uint8_t received_uuid[16];
    int is_read_only;
};

/// Reads what is known of an entry of a directory. 1, or 0 if it isn't a subvolume, or -1 with errno set.
int cbtrfsutil_look(int directory, const char *name, struct cbtrfsutil_subvolume *found);

/// Has the system begin to write a file's data to the disk (sync_file_range(2)), without waiting for it.
void cbtrfsutil_begin_writing(int file);

/// 1 if two open files are on the same file system, whatever subvolumes they are in; else 0 (BTRFS_IOC_FS_INFO).
int cbtrfsutil_is_same(int one, int other);

/// Has the kernel write a read-only subvolume as a stream (BTRFS_IOC_SEND, linux/btrfs.h); blocks until the end.
/// parent: the id of a subvolume on whose base it is sent, or 0. version: of the protocol, 1 or 2; 2 with data compressed as
/// it is stored. 0, or -1 with errno set.
int cbtrfsutil_send(int subvolume, int sink, uint64_t parent, uint32_t version);

/// A pipe that is closed on exec(2) and holds a megabyte where the system allows it. 0, or -1 with errno set.
int cbtrfsutil_pipe(int ends[2]);

/// Moves what a pipe holds to another (splice(2)) without blocking on either.
ssize_t cbtrfsutil_splice(int from, int to, size_t count);

/// Marks a subvolume as received: what it was on the sender (BTRFS_IOC_SET_RECEIVED_SUBVOL). 0, or -1 with errno set.
int cbtrfsutil_set_received(int subvolume, const uint8_t uuid[16], uint64_t transaction);

/// The ids of the subvolumes of an identity, from the file system's index of them (its UUID tree).
/// received: whether it is the identity on the sender. Returns how many ids were found, at most max, or -1 with errno set.
int cbtrfsutil_find(int directory, const uint8_t uuid[16], int received, uint64_t *ids, int max);

/// Opens the root directory of a subvolume by its id, wherever on the file system it is, mounted or not. -1 with errno set.
int cbtrfsutil_open_subvolume(int directory, uint64_t id);

/// Opens what a relative path leads to as a place alone (O_PATH); fails if it leads out of a directory or over a link (openat2(2)).
int cbtrfsutil_open_beneath(int directory, const char *path, int flags);

/// Makes a range of a file share its data with a range of another (ioctl_ficlonerange(2)). 0, or -1 with errno set.
int cbtrfsutil_clone(int file, uint64_t offset, int source, uint64_t source_offset, uint64_t length);

/// Data as it is stored: what it is of the data that it holds when decompressed (struct btrfs_ioctl_encoded_io_args).
struct cbtrfsutil_encoding {
    uint64_t length;
    uint64_t unencoded_length;
    uint64_t unencoded_offset;
    uint32_t compression;
    uint32_t encryption;
};

/// Writes data that is compressed already (BTRFS_IOC_ENCODED_WRITE). 0, or -1 with errno set.
int cbtrfsutil_write_encoded(
    int file, uint64_t offset, const void *bytes, size_t count, const struct cbtrfsutil_encoding *encoding);

/// CRC-32C without inversions, as streams carry it (fs/btrfs/send.c).
uint32_t cbtrfsutil_crc32c(uint32_t start, const void *bytes, size_t count);
