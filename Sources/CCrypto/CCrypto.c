#include "CCrypto.h"

#include <openssl/crypto.h>

// Without this, libcrypto takes itself apart when a process exits, while threads of ours still end their connections, and
// they crash (OPENSSL_init_crypto(3)). It has to be said before anything else initializes the library.
__attribute__((constructor)) static void keep_until_the_end(void) { OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL); }
