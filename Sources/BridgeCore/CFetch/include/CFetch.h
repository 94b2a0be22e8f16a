// What crosses between the core and `libBridgeFetch.so`, which is loaded when the first byte comes from a network:
// exchanges of HTTP and digests of what came. Sources/BridgeFetch has the functions.
#ifndef BRIDGE_FETCH_H
#define BRIDGE_FETCH_H

#include <stddef.h>
#include <stdint.h>

#define BRIDGE_FETCH_VERSION 3

// The reason why an exchange has no response, or an incomplete one.
enum {
    BRIDGE_FETCH_DONE = 0,
    BRIDGE_FETCH_STOPPED = 1,      // a callback wanted no more
    BRIDGE_FETCH_BAD_ADDRESS = 2,  // no http:// or https:// address
    BRIDGE_FETCH_UNREACHABLE = 3,  // no such host, or no response
    BRIDGE_FETCH_PROXY = 4,        // the proxy is not there or refuses
    BRIDGE_FETCH_CERTIFICATE = 5,  // the server cannot show who it is
    BRIDGE_FETCH_TIMEOUT = 6,      // nothing came for too long
    BRIDGE_FETCH_CUT = 7,          // the connection ended too early
    BRIDGE_FETCH_OTHER = 8
};

// One request, to one address: redirects are ordinary responses. Strings may be NULL where something may be absent.
typedef struct bridge_fetch_request {
    const char *method;
    const char *address;
    const char *const *headers;      // "Name: value" each
    size_t header_count;
    const char *proxy;               // NULL for none
    const char *no_proxy;            // hosts that are reached without it, as in NO_PROXY
    const char *certificates;        // a file of certificates to trust; NULL for the system's
    const char *certificate_directory;  // a directory of them; NULL for the system's
    double connect_seconds;          // the longest that a connection may take
    double idle_seconds;             // the longest that nothing may come or go
    int64_t least_rate;              // the fewest bytes per second, as a mean over `least_rate_seconds`
    double least_rate_seconds;       // how long the transfer may be slower than that
    int64_t body_count;              // bytes that `give` has; negative for a request without a body
    void *context;                   // what the callbacks are given
    int (*is_cancelled)(void *context);                                // called several times a second; not 0 stops
    int (*head)(void *context, const char *line, size_t count);        // a line of the response's head; not 0 stops
    int (*take)(void *context, const void *bytes, size_t count);       // bytes of the response's body; not 0 stops
    size_t (*give)(void *context, void *bytes, size_t most);           // the next bytes of the request's body
    double (*clock)(void *context);  // seconds for `idle_seconds`; NULL for the system's monotonic clock
} bridge_fetch_request;

// How an exchange went.
typedef struct bridge_fetch_outcome {
    int failure;         // one of those above
    int status;          // the response's status, 0 when there is none
    char reason[256];    // libcurl's message when the request failed
} bridge_fetch_outcome;

// The functions of the library, which exports `const bridge_fetch_functions *bridge_fetch(void)`.
typedef struct bridge_fetch_functions {
    int version;
    const char *library;  // what does the work, with its version
    // Connections that are kept open between requests, for one thread at a time; NULL without memory.
    void *(*open)(void);
    void (*close)(void *connections);
    void (*perform)(void *connections, const bridge_fetch_request *request, bridge_fetch_outcome *outcome);
    // A digest, "SHA1" or "SHA256"; NULL without memory. `finish` writes at most 64 bytes, frees it and returns their count.
    void *(*digest)(const char *name);
    void (*update)(void *digest, const void *bytes, size_t count);
    size_t (*finish)(void *digest, uint8_t *result);
    // Resolves `reference` against `base`, and gives the scheme, host and port of an address, as libcurl parses them; 0
    // when `result` holds the text, terminated by a zero; not 0 for an invalid address or one that does not fit.
    int (*resolve)(const char *reference, const char *base, char *result, size_t size);
    int (*origin)(const char *address, char *result, size_t size);
} bridge_fetch_functions;

typedef const bridge_fetch_functions *(*bridge_fetch_entry)(void);

#endif
