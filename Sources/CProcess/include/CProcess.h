#pragma once
#include <stddef.h>
#include <stdint.h>

// Linux calls on processes that Swift can't make because they are variadic, macros or GNU extensions.

/// Binds the calling thread, and what it starts, to CPUs of the host (sched_setaffinity(2)). Returns 0 or an errno.
int cprocess_set_affinity(const int32_t *cpus, size_t count);
/// Takes from the calling thread, and so from what it starts, the capabilities that would outlive an exec
/// (capabilities(7), "ambient"). Returns 0 or an errno.
int cprocess_drop_ambient_capabilities(void);
/// A descriptor, close-on-exec, that becomes readable when the process ends (pidfd_open(2)), or the negative errno.
int cprocess_open(int32_t process);
/// Sends a signal to the process behind such a descriptor, never to another with its number. Returns 0 or an errno.
int cprocess_signal(int descriptor, int signal);
/// Starts a program in a session of its own, with every signal at its standard action and none blocked (posix_spawn(3)).
/// It has nothing to read, writes its output and errors to the file `log`, made anew, and has `descriptors` as its 3, 4
/// and so on, and no others. `directory` may be null; arguments and environment end with a null pointer. Returns 0 or an
/// errno.
int cprocess_spawn(const char *program, char *const arguments[], char *const environment[], const char *directory,
                   const char *log, const int32_t *descriptors, size_t count, int32_t *process);
