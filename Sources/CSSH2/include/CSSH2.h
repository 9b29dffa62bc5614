#pragma once
#include <libssh2.h>

// libssh2_session_callback_set takes every callback as a pointer without a type: here they have theirs.

/// Sends or receives `length` bytes; returns their number, or a negative errno. `context` is what the session was made with.
typedef ssize_t (*cssh2_send_callback)(libssh2_socket_t socket, const void *bytes, size_t length, int flags,
                                       void **context);
typedef ssize_t (*cssh2_receive_callback)(libssh2_socket_t socket, void *bytes, size_t length, int flags,
                                          void **context);

/// Makes a session of the callbacks that its bytes go through; NULL if there is no memory.
LIBSSH2_SESSION *cssh2_session(cssh2_send_callback send, cssh2_receive_callback receive, void *context);
