/* Fuzz target: any bytes as a point in time.
 *
 * What is accepted lies within the years there are, and is accepted and means the same when white
 * space is put before it; what is refused leaves the result alone. */
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define REQUIRE(x)                                                                                 \
    do {                                                                                           \
        if (!(x))                                                                                  \
            __builtin_trap();                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sx_instant t = {1, 2, 3}, u;
    char *padded;

    if (n > 4096)
        return 0;
    if (sx_instant_parse((const char *)data, n, &t) != SX_OK) {
        REQUIRE(t.s == 1 && t.ns == 2);
        return 0;
    }
    REQUIRE(t.ns < 2000000000);
    REQUIRE(t.s >= INT64_C(-8334601228800) && t.s <= INT64_C(8210266876799));
    padded = malloc(n + 3);
    REQUIRE(padded != NULL);
    memcpy(padded, "\xe3\x80\x80", 3); /* U+3000 */
    memcpy(padded + 3, data, n);
    REQUIRE(sx_instant_parse(padded, n + 3, &u) == SX_OK);
    REQUIRE(u.s == t.s && u.ns == t.ns);
    free(padded);
    return 0;
}
