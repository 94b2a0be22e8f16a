#include "BridgeFetch.h"

const bridge_fetch_functions *bridge_fetch(void) {
    static bridge_fetch_functions functions = {
        .version = BRIDGE_FETCH_VERSION,
        .open = bridge_connections_open,
        .close = bridge_connections_close,
        .perform = bridge_exchange,
        .digest = bridge_digest_make,
        .update = bridge_digest_update,
        .finish = bridge_digest_finish,
        .resolve = bridge_address_resolve,
        .origin = bridge_address_origin,
    };
    functions.library = bridge_exchange_library();
    return &functions;
}
