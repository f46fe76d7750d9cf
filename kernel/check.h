/* Assertions of the kernel.
 *
 * SX_ASSERT is always on: cheap, at the edges of rooms. SX_DASSERT vanishes with NDEBUG and may
 * stand in loops. SX_NEVER says "cannot happen, and is handled": it asserts in debug builds and is
 * a plain condition in release. None of them may judge input from a network, a disk or a plugin. */
#ifndef SX_KERNEL_CHECK_H
#define SX_KERNEL_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "sextant/sx_base.h"

static __attribute__((__noreturn__, __cold__, __noinline__, __unused__)) void
sx_check_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "assertion failed: %s (%s:%d)\n", what, file, line);
    abort();
}

#define SX_ASSERT(x) (SX_LIKELY(x) ? (void)0 : sx_check_fail(#x, __FILE__, __LINE__))
#ifndef NDEBUG
#define SX_DASSERT(x) SX_ASSERT(x)
#define SX_NEVER(x)   ((x) ? (sx_check_fail("never: " #x, __FILE__, __LINE__), 1) : 0)
#else
#define SX_DASSERT(x) ((void)sizeof(x))
#define SX_NEVER(x)   SX_UNLIKELY(x)
#endif

#endif
