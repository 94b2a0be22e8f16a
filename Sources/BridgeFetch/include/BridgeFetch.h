#ifndef BRIDGE_FETCH_LIBRARY_H
#define BRIDGE_FETCH_LIBRARY_H

#include "CFetch.h"

// The one symbol that the core looks for.
const bridge_fetch_functions *bridge_fetch(void);

// An exchange (exchange.c), addresses (address.c) and digests (digest.c).
void *bridge_connections_open(void);
void bridge_connections_close(void *connections);
void bridge_exchange(void *connections, const bridge_fetch_request *request, bridge_fetch_outcome *outcome);
const char *bridge_exchange_library(void);
int bridge_address_resolve(const char *reference, const char *base, char *result, size_t size);
int bridge_address_origin(const char *address, char *result, size_t size);
void *bridge_digest_make(const char *name);
void bridge_digest_update(void *digest, const void *bytes, size_t count);
size_t bridge_digest_finish(void *digest, uint8_t *result);

#endif
