/* A module that runs code when it is mapped. */
#include <unistd.h>

#include "bad_common.h"

static const struct sx_provide provides[] = {BAD_PROVIDE("Constructor")};

__attribute__((constructor)) static void too_early(void)
{
    static const char text[] = "constructor ran\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)n;
}

SX_PLUGIN(constructor_run, "constructor-run kinds=distance abi=1.0") = {
    BAD_HEAD(constructor_run, "constructor-run"),
    .provides = provides,
    .n_provides = SX_COUNT(provides),
};
