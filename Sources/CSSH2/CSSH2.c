#include "CSSH2.h"

LIBSSH2_SESSION *cssh2_session(cssh2_send_callback send, cssh2_receive_callback receive, void *context) {
    LIBSSH2_SESSION *session = libssh2_session_init_ex(NULL, NULL, NULL, context);
    if (session == NULL) return NULL;
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, (void *)send);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)receive);
    libssh2_session_set_blocking(session, 0);
    return session;
}
