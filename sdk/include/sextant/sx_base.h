/* The words every other header uses: compiler helpers, string spans, error codes, the error buffer.
 *
 * Everything here crosses the plugin boundary, so the rules of the boundary hold: fixed-width
 * integers only, `size` first in every struct that may grow, no libc type that could differ. */
#ifndef SX_BASE_H
#define SX_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SX_PRINTF(fmt, first) __attribute__((__format__(__printf__, fmt, first)))
#define SX_LIKELY(x)          __builtin_expect(!!(x), 1)
#define SX_UNLIKELY(x)        __builtin_expect(!!(x), 0)
#define SX_UNUSED             __attribute__((__unused__))
#else
#define SX_PRINTF(fmt, first)
#define SX_LIKELY(x)   (x)
#define SX_UNLIKELY(x) (x)
#define SX_UNUSED
#endif

#define SX_COUNT(a) ((uint32_t)(sizeof(a) / sizeof((a)[0])))

/* True when a size-first table is long enough to hold `field` and the field is set. The only
 * correct way to ask whether an optional callback or service function exists. */
#define SX_HAS(table, field)                                                                       \
    ((table)->size >= offsetof(__typeof__(*(table)), field) + sizeof((table)->field) &&            \
     (table)->field != NULL)

/* A borrowed run of bytes; not terminated. p may be NULL only when n is 0. */
struct sx_str {
    const char *p;
    uint32_t n;
    uint32_t pad;
};

/* Result codes: code, number, prefix of the text a client sees, HTTP status, gRPC status,
 * retryable. Functions return 0 or one of these, negative; positive returns are counts only. */
#define SX_ERROR_LIST(X)                                                                           \
    X(EINPUT, -1, "Wrong input: ", 400, 3, 0)                                                      \
    X(EBADREQ, -2, "Bad request: ", 400, 3, 0)                                                     \
    X(EEXIST, -3, "Wrong input: ", 409, 6, 0)                                                      \
    X(ENOTFOUND, -4, "Not found: ", 404, 5, 0)                                                     \
    X(EINTERNAL, -5, "Service internal error: ", 500, 13, 0)                                       \
    X(EPRECOND, -6, "Pre-condition failure: ", 500, 9, 0)                                          \
    X(ETIMEOUT, -7, "Timeout: ", 408, 4, 1)                                                        \
    X(ELOCKED, -8, "Storage locked: ", 403, 9, 0)                                                  \
    X(EFORBIDDEN, -9, "Forbidden: ", 403, 7, 0)                                                    \
    X(ECHECKSUM, -10, "Checksum mismatch: ", 400, 15, 0)                                           \
    X(ERATE, -11, "Rate limiting exceeded: ", 429, 8, 1)                                           \
    X(EUNAVAIL, -12, "Shard temporarily unavailable: ", 503, 14, 1)                                \
    X(EINFERENCE, -13, "", 400, 3, 0)                                                              \
    X(ENOSPACE, -14, "Insufficient storage: ", 507, 8, 1)                                          \
    X(ENOCLUSTER, -15, "", 405, 12, 0)                                                             \
    X(EUNAUTH, -16, "", 401, 16, 0)                                                                \
    X(EVALID, -17, "Validation error in JSON body: ", 422, 3, 0)                                   \
    X(EFORMAT, -18, "Format error in JSON body: ", 400, 3, 0)                                      \
    X(EUNSUPPORTED, -19, "Not implemented: ", 501, 12, 0)                                          \
    X(EAGAIN, -20, "Too many requests: ", 429, 8, 1)                                               \
    X(ENOMEM, -21, "Service internal error: ", 500, 8, 1)                                          \
    X(EIO, -22, "Service internal error: ", 500, 13, 0)                                            \
    X(ECORRUPT, -23, "Service internal error: ", 500, 15, 0)                                       \
    X(ECANCELED, -24, "Service internal error: ", 500, 1, 0)                                       \
    X(EABI, -25, "", 500, 13, 0)

enum {
    SX_OK = 0,
#define SX_X(name, number, prefix, http, grpc, retry) SX_##name = (number),
    SX_ERROR_LIST(SX_X)
#undef SX_X
};

/* Filled by the level that fails, prefixed by the levels above with sx_err_wrap(). One line, no
 * newline, always terminated. The caller owns it and sets `size` before the call (SX_ERR_INIT). */
struct sx_err {
    uint32_t size;
    int32_t code;
    char msg[240];
};
#define SX_ERR_INIT                                                                                \
    {                                                                                              \
        (uint32_t)sizeof(struct sx_err), 0,                                                        \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

/* Sets code and message and returns the code, so that callers write `return sx_err_set(...)`.
 * err may be NULL. Thread: any. */
int sx_err_set(struct sx_err *err, int code, const char *fmt, ...) SX_PRINTF(3, 4);
/* Puts "text: " before the message; returns the code. err may be NULL. */
int sx_err_wrap(struct sx_err *err, const char *fmt, ...) SX_PRINTF(2, 3);
/* Borrowed, static: the symbolic name ("EINPUT"), the client's prefix, the statuses. */
const char *sx_err_name(int code);
const char *sx_err_prefix(int code);
int sx_err_http(int code);
int sx_err_grpc(int code);

/* 128-bit point id. Numbers sort before UUIDs; UUIDs sort by their 16 bytes (hi, lo are the bytes
 * read big-endian), so (kind, hi, lo) in this order is the order of spec 02 section 2. */
struct sx_id {
    uint64_t hi, lo;
    uint32_t kind; /* SX_ID_NUM: value in lo, hi 0; SX_ID_UUID */
    uint32_t pad;
};
enum { SX_ID_NUM = 0, SX_ID_UUID = 1 };

#ifdef __cplusplus
}
#endif
#endif
