#define _GNU_SOURCE
#include "CBtrfsUtil.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

int cbtrfsutil_is_on_btrfs(const char *path) {
    struct statfs status;
    if (statfs(path, &status) != 0) return -1;
    return status.f_type == BTRFS_SUPER_MAGIC;
}

int cbtrfsutil_look(int directory, const char *name, struct cbtrfsutil_subvolume *found) {
    // The root directory of a subvolume has this inode; no other directory has, and no link is followed.
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    if (!S_ISDIR(status.st_mode) || status.st_ino != BTRFS_FIRST_FREE_OBJECTID) return 0;
    int root = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) return -1;
    struct btrfs_ioctl_get_subvol_info_args information;
    // It returns 1 for some, which is no error.
    int result = ioctl(root, BTRFS_IOC_GET_SUBVOL_INFO, &information) >= 0 ? 1 : errno == ENOTTY ? 0 : -1;
    int reason = errno;
    close(root);
    errno = reason;
    if (result == 1) {
        memcpy(found->uuid, information.uuid, 16);
        memcpy(found->parent_uuid, information.parent_uuid, 16);
        memcpy(found->received_uuid, information.received_uuid, 16);
        found->is_read_only = (information.flags & 1) != 0;
    }
    return result;
}

void cbtrfsutil_begin_writing(int file) { sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE); }

int cbtrfsutil_is_same(int one, int other) {
    struct btrfs_ioctl_fs_info_args first = {0}, second = {0};
    if (ioctl(one, BTRFS_IOC_FS_INFO, &first) != 0 || ioctl(other, BTRFS_IOC_FS_INFO, &second) != 0) return 0;
    return memcmp(first.fsid, second.fsid, sizeof first.fsid) == 0;
}

int cbtrfsutil_send(int subvolume, int sink, uint64_t parent, uint32_t version) {
    __u64 source = parent;
    struct btrfs_ioctl_send_args arguments = {.send_fd = sink, .parent_root = parent};
    // What hasn't changed since the parent is cloned from it by the receiver.
    if (parent != 0) {
        arguments.clone_sources = &source;
        arguments.clone_sources_count = 1;
    }
    if (version > 1) {
        arguments.flags = BTRFS_SEND_FLAG_VERSION | BTRFS_SEND_FLAG_COMPRESSED;
        arguments.version = version;
    }
    return ioctl(subvolume, BTRFS_IOC_SEND, &arguments);
}

int cbtrfsutil_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    return 0;
}

ssize_t cbtrfsutil_splice(int from, int to, size_t count) {
    return splice(from, NULL, to, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

int cbtrfsutil_set_received(int subvolume, const uint8_t uuid[16], uint64_t transaction) {
    struct btrfs_ioctl_received_subvol_args arguments = {.stransid = transaction};
    memcpy(arguments.uuid, uuid, sizeof arguments.uuid);
    return ioctl(subvolume, BTRFS_IOC_SET_RECEIVED_SUBVOL, &arguments);
}

static uint64_t little_endian(const uint8_t *bytes) {
    uint64_t value = 0;
    for (int index = 7; index >= 0; index--) value = value << 8 | bytes[index];
    return value;
}

int cbtrfsutil_find(int directory, const uint8_t uuid[16], int received, uint64_t *ids, int max) {
    // An item's key is the identity in two halves, its value the ids (btrfs_tree.h, BTRFS_UUID_KEY).
    struct btrfs_ioctl_search_args search = {0};
    struct btrfs_ioctl_search_key *key = &search.key;
    key->tree_id = BTRFS_UUID_TREE_OBJECTID;
    key->min_objectid = key->max_objectid = little_endian(uuid);
    key->min_offset = key->max_offset = little_endian(uuid + 8);
    key->min_type = key->max_type = received ? BTRFS_UUID_KEY_RECEIVED_SUBVOL : BTRFS_UUID_KEY_SUBVOL;
    key->max_transid = UINT64_MAX;
    key->nr_items = 1;
    if (ioctl(directory, BTRFS_IOC_TREE_SEARCH, &search) != 0) return errno == ENOENT ? 0 : -1;
    if (key->nr_items == 0) return 0;
    struct btrfs_ioctl_search_header header;
    memcpy(&header, search.buf, sizeof header);
    int count = 0;
    for (; count < max && (uint32_t)(count + 1) * 8 <= header.len; count++)
        ids[count] = little_endian((const uint8_t *)search.buf + sizeof header + count * 8);
    return count;
}

// Linux 6.1 takes no handle without the generation of the inode that it names; later ones take 0 for any.
static int root_generation(int directory, uint64_t id, uint32_t *generation) {
    struct btrfs_ioctl_search_args search = {0};
    struct btrfs_ioctl_search_key *key = &search.key;
    key->tree_id = id;
    key->min_objectid = key->max_objectid = BTRFS_FIRST_FREE_OBJECTID;
    key->min_type = key->max_type = BTRFS_INODE_ITEM_KEY;
    key->max_offset = key->max_transid = UINT64_MAX;
    key->nr_items = 1;
    if (ioctl(directory, BTRFS_IOC_TREE_SEARCH, &search) != 0) return -1;
    if (key->nr_items == 0) {
        errno = ENOENT;
        return -1;
    }
    // The first field of struct btrfs_inode_item.
    const uint8_t *item = (const uint8_t *)search.buf + sizeof(struct btrfs_ioctl_search_header);
    *generation = (uint32_t)little_endian(item);
    return 0;
}

int cbtrfsutil_open_subvolume(int directory, uint64_t id) {
    uint32_t generation;
    if (root_generation(directory, id, &generation) != 0) return -1;
    // The handle by which NFS servers name it (fs/btrfs/export.h): no path, so no mount point, is needed.
    union {
        struct file_handle handle;
        uint8_t space[sizeof(struct file_handle) + 20];
    } buffer = {0};
    const uint64_t root_inode = BTRFS_FIRST_FREE_OBJECTID;
    buffer.handle.handle_bytes = 20;
    buffer.handle.handle_type = 0x4d;
    memcpy(buffer.handle.f_handle, &root_inode, 8);
    memcpy(buffer.handle.f_handle + 8, &id, 8);
    memcpy(buffer.handle.f_handle + 16, &generation, 4);
    return open_by_handle_at(directory, &buffer.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cbtrfsutil_open_beneath(int directory, const char *path, int flags) {
    struct open_how how = {
        .flags = (unsigned)(flags | O_PATH | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int cbtrfsutil_clone(int file, uint64_t offset, int source, uint64_t source_offset, uint64_t length) {
    struct file_clone_range range = {
        .src_fd = source, .src_offset = source_offset, .src_length = length, .dest_offset = offset};
    return ioctl(file, FICLONERANGE, &range);
}

int cbtrfsutil_write_encoded(
    int file, uint64_t offset, const void *bytes, size_t count, const struct cbtrfsutil_encoding *encoding) {
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    struct btrfs_ioctl_encoded_io_args arguments = {
        .iov = &vector,
        .iovcnt = 1,
        .offset = (__s64)offset,
        .len = encoding->length,
        .unencoded_len = encoding->unencoded_length,
        .unencoded_offset = encoding->unencoded_offset,
        .compression = encoding->compression,
        .encryption = encoding->encryption,
    };
    return ioctl(file, BTRFS_IOC_ENCODED_WRITE, &arguments) < 0 ? -1 : 0;
}

static uint32_t crc32c_bytewise(uint32_t value, const uint8_t *bytes, size_t count) {
    while (count-- > 0) {
        value ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    }
    return value;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_wordwise(uint32_t start, const uint8_t *bytes, size_t count) {
    uint64_t value = start;
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        value = __builtin_ia32_crc32di(value, word);
    }
    return crc32c_bytewise((uint32_t)value, bytes, count);
}
#endif

uint32_t cbtrfsutil_crc32c(uint32_t start, const void *bytes, size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_wordwise(start, bytes, count);
#endif
    return crc32c_bytewise(start, bytes, count);
}
