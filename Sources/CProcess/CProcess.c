#define _GNU_SOURCE
#include "CProcess.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int cprocess_set_affinity(const int32_t *cpus, size_t count) {
    enum { most = 8192 };
    cpu_set_t *set = CPU_ALLOC(most);
    if (!set) return ENOMEM;
    size_t size = CPU_ALLOC_SIZE(most);
    CPU_ZERO_S(size, set);
    for (size_t i = 0; i < count; i++) {
        if (cpus[i] < 0 || cpus[i] >= most) {
            CPU_FREE(set);
            return EINVAL;
        }
        CPU_SET_S(cpus[i], size, set);
    }
    int result = sched_setaffinity(0, size, set) == 0 ? 0 : errno;
    CPU_FREE(set);
    return result;
}

int cprocess_drop_ambient_capabilities(void) {
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 ? 0 : errno;
}

int cprocess_open(int32_t process) {
    int descriptor = (int)syscall(SYS_pidfd_open, process, 0);
    return descriptor >= 0 ? descriptor : -errno;
}

int cprocess_signal(int descriptor, int signal) {
    return syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 0) == 0 ? 0 : errno;
}

int cprocess_spawn(const char *program, char *const arguments[], char *const environment[], const char *directory,
                   const char *log, const int32_t *descriptors, size_t count, int32_t *process) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result = posix_spawn_file_actions_init(&actions);
    if (result) return result;
    if ((result = posix_spawnattr_init(&attributes))) {
        posix_spawn_file_actions_destroy(&actions);
        return result;
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (!(result = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)) &&
        !(result = posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
                                                    0600)) &&
        !(result = posix_spawn_file_actions_adddup2(&actions, 1, 2)) &&
        !(result = posix_spawnattr_setsigmask(&attributes, &none)) &&
        !(result = posix_spawnattr_setsigdefault(&attributes, &all)) &&
        !(result = posix_spawnattr_setflags(
              &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))) {
        for (size_t i = 0; !result && i < count; i++)
            result = posix_spawn_file_actions_adddup2(&actions, descriptors[i], (int)(3 + i));
        if (!result) result = posix_spawn_file_actions_addclosefrom_np(&actions, (int)(3 + count));
        if (!result && directory) result = posix_spawn_file_actions_addchdir_np(&actions, directory);
        if (!result) result = posix_spawn(process, program, &actions, &attributes, arguments, environment);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}
