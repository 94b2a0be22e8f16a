// Digests by OpenSSL, which uses the processor's instructions for them.
#include "BridgeFetch.h"

#include <openssl/evp.h>

void *bridge_digest_make(const char *name) {
    const EVP_MD *kind = EVP_get_digestbyname(name);
    EVP_MD_CTX *digest = kind ? EVP_MD_CTX_new() : NULL;
    if (digest && EVP_DigestInit_ex(digest, kind, NULL) != 1) {
        EVP_MD_CTX_free(digest);
        return NULL;
    }
    return digest;
}

void bridge_digest_update(void *digest, const void *bytes, size_t count) { EVP_DigestUpdate(digest, bytes, count); }

size_t bridge_digest_finish(void *digest, uint8_t *result) {
    unsigned int count = 0;
    if (EVP_DigestFinal_ex(digest, result, &count) != 1) count = 0;
    EVP_MD_CTX_free(digest);
    return count;
}
