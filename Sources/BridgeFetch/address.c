// Addresses by libcurl's own parser: what is compared is what is connected to.
#include "BridgeFetch.h"

#include <curl/curl.h>
#include <stdio.h>

int bridge_address_resolve(const char *reference, const char *base, char *result, size_t size) {
    CURLU *url = curl_url();
    char *whole = NULL;
    int status = 1;
    // A scheme that is not HTTP's is resolved too; the request to it is what is refused, and says so.
    if (url && curl_url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK
        && curl_url_set(url, CURLUPART_URL, reference, CURLU_URLENCODE | CURLU_ALLOW_SPACE | CURLU_NON_SUPPORT_SCHEME)
               == CURLUE_OK
        && curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK)
        status = (size_t)snprintf(result, size, "%s", whole) < size ? 0 : 1;
    curl_free(whole);
    curl_url_cleanup(url);
    return status;
}

int bridge_address_origin(const char *address, char *result, size_t size) {
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    int status = 1;
    if (url && curl_url_set(url, CURLUPART_URL, address, CURLU_URLENCODE | CURLU_ALLOW_SPACE) == CURLUE_OK
        && curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK
        && curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK
        && curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        status = (size_t)snprintf(result, size, "%s://%s:%s", scheme, host, port) < size ? 0 : 1;
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return status;
}
