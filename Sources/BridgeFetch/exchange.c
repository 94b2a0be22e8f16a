// Exchanges of HTTP by libcurl: proxies, certificates and connections that are kept open are its work.
#define _GNU_SOURCE
#include "BridgeFetch.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// The longest that a wish to stop waits, in milliseconds.
#define PATIENCE 100

typedef struct connections {
    CURLM *many;  // holds the connections that stay open
    CURL *one;    // the request that is under way
    const bridge_fetch_request *request;
    double heard;    // when the last byte came or went, in seconds
    bool has_heard;  // whether there was one, or at least a connection
} connections;

static double now_in_seconds(const connections *mine) {
    if (mine->request->clock) return mine->request->clock(mine->request->context);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// The other side's silence is measured from the end of a callback on: one that waits for a slow disk is no fault of the line.
static void hear(connections *mine) {
    mine->heard = now_in_seconds(mine);
    mine->has_heard = true;
}

static void start(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

void *bridge_connections_open(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    connections *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->many = curl_multi_init();
    made->one = curl_easy_init();
    if (made->many && made->one) return made;
    bridge_connections_close(made);
    return NULL;
}

void bridge_connections_close(void *opaque) {
    connections *mine = opaque;
    if (mine->one) curl_easy_cleanup(mine->one);
    if (mine->many) curl_multi_cleanup(mine->many);
    free(mine);
}

const char *bridge_exchange_library(void) { return curl_version(); }

// The number of bytes when a receiver has taken them, 0 when it stops the transfer.
static size_t received(connections *mine, int stops, size_t count) {
    if (stops) return 0;
    hear(mine);
    return count;
}

static size_t take(char *bytes, size_t size, size_t count, void *opaque) {
    const bridge_fetch_request *request = ((connections *)opaque)->request;
    int stops = request->take && request->take(request->context, bytes, size * count) != 0;
    return received(opaque, stops, size * count);
}

static size_t take_head(char *line, size_t size, size_t count, void *opaque) {
    const bridge_fetch_request *request = ((connections *)opaque)->request;
    int stops = request->head && request->head(request->context, line, size * count) != 0;
    return received(opaque, stops, size * count);
}

static size_t give(char *bytes, size_t size, size_t count, void *opaque) {
    connections *mine = opaque;
    const bridge_fetch_request *request = mine->request;
    size_t given = request->give ? request->give(request->context, bytes, size * count) : 0;
    hear(mine);
    return given;
}

static int failure_of(CURLcode code) {
    switch (code) {
        case CURLE_OK: return BRIDGE_FETCH_DONE;
        case CURLE_WRITE_ERROR:
        case CURLE_ABORTED_BY_CALLBACK: return BRIDGE_FETCH_STOPPED;
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_URL_MALFORMAT: return BRIDGE_FETCH_BAD_ADDRESS;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_CONNECT: return BRIDGE_FETCH_UNREACHABLE;
        case CURLE_COULDNT_RESOLVE_PROXY: return BRIDGE_FETCH_PROXY;
#if LIBCURL_VERSION_NUM >= 0x074900
        case CURLE_PROXY: return BRIDGE_FETCH_PROXY;
#endif
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_CERTPROBLEM: return BRIDGE_FETCH_CERTIFICATE;
        case CURLE_OPERATION_TIMEDOUT: return BRIDGE_FETCH_TIMEOUT;
        case CURLE_PARTIAL_FILE:
        case CURLE_GOT_NOTHING:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR: return BRIDGE_FETCH_CUT;
        default: return BRIDGE_FETCH_OTHER;
    }
}

static struct curl_slist *header_list(const bridge_fetch_request *request) {
    // curl asks for leave before it sends a body, and some servers never answer that.
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    for (size_t index = 0; index < request->header_count; index++) {
        struct curl_slist *longer = curl_slist_append(list, request->headers[index]);
        if (longer) list = longer;
    }
    return list;
}

static void prepare(connections *mine, const bridge_fetch_request *request, struct curl_slist *headers, char *reason) {
    CURL *curl = mine->one;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_URL, request->address);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    // Several connections are wanted where several files come, not one that they share.
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROXY, request->proxy ? request->proxy : "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, request->no_proxy ? request->no_proxy : "");
    // What a proxy answers to CONNECT is not the server's answer.
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (request->certificates) curl_easy_setopt(curl, CURLOPT_CAINFO, request->certificates);
    if (request->certificate_directory) curl_easy_setopt(curl, CURLOPT_CAPATH, request->certificate_directory);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(request->connect_seconds * 1000));
    // A server that sends a byte now and then is not silent, and would hold a download for ever.
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)request->least_rate);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)request->least_rate_seconds);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, mine);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, mine);
    if (request->body_count >= 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_count);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
        curl_easy_setopt(curl, CURLOPT_READDATA, mine);
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

// Runs the transfer to its end; CURLE_ABORTED_BY_CALLBACK when the caller wants to stop.
static CURLcode transfer(connections *mine, const bridge_fetch_request *request, char *reason) {
    if (curl_multi_add_handle(mine->many, mine->one) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    mine->heard = now_in_seconds(mine);
    mine->has_heard = false;
    double idle = request->idle_seconds < 1 ? 1 : request->idle_seconds;
    for (;;) {
        if (request->is_cancelled && request->is_cancelled(request->context)) break;
        // Making a connection has a limit of its own; once there is one, the other side is listened to.
        curl_off_t connected = 0;
        if (!mine->has_heard) curl_easy_getinfo(mine->one, CURLINFO_PRETRANSFER_TIME_T, &connected);
        if (connected > 0) hear(mine);
        if (mine->has_heard && now_in_seconds(mine) - mine->heard > idle) {
            snprintf(reason, CURL_ERROR_SIZE, "not a byte came or went for %.0f seconds", idle);
            code = CURLE_OPERATION_TIMEDOUT;
            break;
        }
        int running = 0, left = 0;
        if (curl_multi_perform(mine->many, &running) != CURLM_OK) {
            code = CURLE_OUT_OF_MEMORY;
            break;
        }
        CURLMsg *message = curl_multi_info_read(mine->many, &left);
        if (message && message->msg == CURLMSG_DONE) {
            code = message->data.result;
            break;
        }
        curl_multi_poll(mine->many, NULL, 0, PATIENCE, NULL);
    }
    curl_multi_remove_handle(mine->many, mine->one);
    return code;
}

void bridge_exchange(void *opaque, const bridge_fetch_request *request, bridge_fetch_outcome *outcome) {
    connections *mine = opaque;
    char reason[CURL_ERROR_SIZE] = "";
    // A server that hangs up while TLS writes would end the process.
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    struct curl_slist *headers = header_list(request);
    mine->request = request;
    prepare(mine, request, headers, reason);
    CURLcode code = transfer(mine, request, reason);
    long status = 0;
    curl_easy_getinfo(mine->one, CURLINFO_RESPONSE_CODE, &status);
    long tunnel = 0;
    curl_easy_getinfo(mine->one, CURLINFO_HTTP_CONNECTCODE, &tunnel);
    // What the callbacks reach is gone when this returns.
    curl_easy_reset(mine->one);
    curl_slist_free_all(headers);
    if (!sigismember(&pending, SIGPIPE)) {
        struct timespec now = {0, 0};
        while (sigtimedwait(&pipe, NULL, &now) == SIGPIPE) {}
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    // Some versions call a proxy that refuses a tunnel a line that breaks.
    bool is_refused = code == CURLE_RECV_ERROR && tunnel >= 300;
    outcome->failure = is_refused ? BRIDGE_FETCH_PROXY : failure_of(code);
    outcome->status = (int)status;
    snprintf(outcome->reason, sizeof outcome->reason, "%s", reason[0] ? reason : curl_easy_strerror(code));
}
