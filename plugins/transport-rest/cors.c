/* Cross-origin headers: every origin, method and header is welcome, as the reference is set up.
 *
 * Thread: the request's loop; no state. */
#include <stdio.h>
#include <string.h>

#include "rest.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

#define ECHO_MAX 256u /* of a client's text in an answer's head */

static int is_on(const struct rest_req *r)
{
    return rest_conf_now(r->th->self)->cors != 0;
}

int rest_cors_preflight(struct rest_req *r)
{
    static const char fixed[] = "access-control-allow-methods: HEAD, PATCH, TRACE, GET, CONNECT, "
                                "POST, OPTIONS, PUT, DELETE\r\n";
    const struct sx_str *wanted = &r->head.h[REST_H_ACR_HEADERS];
    char text[sizeof(fixed) + ECHO_MAX + 64];
    uint32_t n = sizeof(fixed) - 1;

    if (!is_on(r) || r->head.method != REST_M_OPTIONS || r->head.h[REST_H_ACR_METHOD].p == NULL)
        return 0;
    memcpy(text, fixed, n);
    if (wanted->p != NULL && wanted->n != 0 && wanted->n <= ECHO_MAX)
        n +=
            (uint32_t)snprintf(text + n, sizeof(text) - n, "access-control-allow-headers: %.*s\r\n",
                               (int)wanted->n, wanted->p);
    rest_reply_open(r);
    rest_reply_close(r, 200, NULL, (struct sx_str){text, n, 0});
    return 1;
}

uint32_t rest_cors_headers(const struct rest_req *r, char *out)
{
    const struct sx_str *origin = &r->head.h[REST_H_ORIGIN];
    uint32_t n = sizeof(REST_CORS_VARY) - 1;

    if (!is_on(r))
        return 0;
    memcpy(out, REST_CORS_VARY, n);
    if (origin->p != NULL && origin->n != 0 && origin->n <= ECHO_MAX)
        n += (uint32_t)snprintf(out + n, 512 - n, "access-control-allow-origin: %.*s\r\n",
                                (int)origin->n, origin->p);
    return n;
}
