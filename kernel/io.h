/* Files: `struct sx_io` (sx_service.h) over the system calls, and the recording and failing tables
 * of test builds. */
#ifndef SX_KERNEL_IO_H
#define SX_KERNEL_IO_H

#include "sextant/sx_service.h"

/* The table every module gets: the plain one, or in test builds (SX_IO_RECORD) with
 * SEXTANT_IO_FAULT set the failing one around it, and with SEXTANT_IO_JOURNAL or
 * SEXTANT_IO_SKIP_SYNC the recording one around that. */
const struct sx_io *sx_io_table(void);
/* The plain one. */
const struct sx_io *sx_io_plain(void);

/* [A] Fills err from an errno: code ENOSPACE, ENOTFOUND, EEXIST, ENOMEM or EIO, and the text "what
 * 'name': reason". Returns the code. */
int sx_io_errno(struct sx_err *err, int e, const char *what, const char *name);
/* [A] 1 when the name is one component: not empty, no '/', not "." or "..", at most 255 bytes. */
int sx_io_name_ok(const char *name);
/* [A] What a handle of the plain table was opened as, for messages. */
const char *sx_io_dir_name(const struct sx_dir *d);
const char *sx_io_file_name(const struct sx_file *f);

#if defined(SX_IO_RECORD) && SX_IO_RECORD
/* [A] NULL when SEXTANT_IO_FAULT is not set; `plain` is sx_io_plain(). See io_fault.c. */
const struct sx_io *sx_io_faulting(const struct sx_io *plain);
/* [A] NULL when neither environment variable is set. */
const struct sx_io *sx_io_recording(const struct sx_io *base);
/* [A] Appends a mark to the journal: everything recorded before it happened before. 0, or SX_EIO
 * when no journal is open. Offered to transports as service "sx.io.mark" (struct sx_io_mark). */
int sx_io_mark(const char *text);
const struct sx_io_mark *sx_io_mark_table(void);
#endif

#endif
