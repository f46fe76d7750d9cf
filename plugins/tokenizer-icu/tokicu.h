/* tokenizer-icu: what its files share.
 *
 * plugin.c   descriptor and the services taken at load
 * handle.c   life of a handle: what is loaded once and shared by all fields, and the version
 * split.c    a text into runs of one script, runs of letters into words
 * segment.c  runs of a script that is written without spaces, by the library's dictionaries
 * fold.c     the form in which a word is compared
 *
 * A text is cut first and its words are folded afterwards, each for itself. So what a word becomes
 * depends on the word alone in all scripts that put something between words; where a dictionary
 * decides, it depends on the run of letters around it. No state is kept between texts. */
#ifndef TOKICU_H
#define TOKICU_H

#include <pthread.h>
#include <unicode/ubrk.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>

#include "sextant/sx_tokenizer.h"

/* UTF-16 units a dictionary looks at in one piece. A longer run goes through this window: words
 * that end in its last TOKICU_TAIL units are looked at again with what follows them. */
#define TOKICU_WINDOW 1024u
#define TOKICU_TAIL   128u
/* Units put in at once, and what compatibility composition makes of them at most: of the characters
 * that get here only a few become two or three. */
#define TOKICU_CHUNK     96u
#define TOKICU_CHUNK_MAX (4u * TOKICU_CHUNK)

/* Combining marks put into canonical order together; a longer row of them is no word. */
#define TOKICU_MARKS 32u

/* Traditional to simplified Chinese, one table entry a character. */
#define TOKICU_HAN_FIRST 0x3400u
#define TOKICU_HAN_END   0xa000u

struct tokicu_handle {
    const UNormalizer2 *decompose, *compose; /* the library's, live for ever */
    UBreakIterator *words;                   /* never moved: cloned into each scratch */
    uint64_t version;
    uint32_t refs, can_simplify; /* refs: see tokicu_plugin.lock */
    uint16_t simplified[TOKICU_HAN_END - TOKICU_HAN_FIRST];
};

/* The module's instance. */
struct tokicu_plugin {
    const struct sx_host *host;
    const struct sx_mem *mem;
    pthread_mutex_t lock; /* guards shared and refs; held for a few instructions */
    struct tokicu_handle *shared;
};

/* One thread's, in the caller's memory. Zeroed means new. */
struct tokicu_scratch {
    UBreakIterator *words;
    UChar raw[TOKICU_CHUNK];
    UChar chunk[TOKICU_CHUNK_MAX];
    UChar window[TOKICU_WINDOW];
};

/* One call of split(). */
struct tokicu_split {
    const struct tokicu_handle *h;
    struct tokicu_scratch *scratch;
    struct sx_str text;
    struct sx_buf *buf;
    int (*sink)(void *arg, const struct sx_token *t);
    void *arg;
    struct sx_err *err;
    uint32_t position;
    uint32_t has_kana; /* of the whole text: 0 not looked yet, 1 no, 2 yes */
};

/* --- handle.c: callbacks of the kind, see sx_tokenizer.h --- */

int tokicu_open(void *self, struct sx_doc params, void **out, struct sx_err *err);
void tokicu_close(void *self, void *handle);
uint64_t tokicu_version(void *self, void *handle);
uint64_t tokicu_scratch_size(void *self, void *handle);
void tokicu_scratch_end(void *self, void *handle, void *scratch);

/* Turns the library's code into one of ours, with a text. [A] */
int tokicu_fail(struct sx_err *err, UErrorCode code, const char *what);

/* --- split.c: [A] --- */

int tokicu_split(void *self,
                 void *handle,
                 struct sx_str text,
                 void *scratch,
                 struct sx_buf *buf,
                 int (*sink)(void *arg, const struct sx_token *t),
                 void *arg,
                 struct sx_err *err);
/* Hands over n bytes as the next token. 0 or what the sink says. */
int tokicu_emit(struct tokicu_split *s, const char *p, uint64_t n, uint32_t flags);

/* --- segment.c: [A] --- */

/* Tokens of the run [p, end), whose characters are all of the script (of Chinese, Japanese and the
 * kana for USCRIPT_HAN) or belong to the character before. */
int tokicu_segment(struct tokicu_split *s, const char *p, const char *end, UScriptCode script);

/* --- fold.c: [A] --- */

/* One word on its way into the caller's buffer. */
struct tokicu_fold {
    const struct tokicu_handle *h;
    struct sx_buf *out;
    UScriptCode script;
    uint32_t has_letter, n_marks, pad;
    UChar32 marks[TOKICU_MARKS]; /* not written yet: waiting for canonical order */
};
/* Empties the buffer. */
void tokicu_fold_begin(struct tokicu_fold *f,
                       const struct tokicu_handle *h,
                       struct sx_buf *out,
                       UScriptCode script);
void tokicu_fold_add(struct tokicu_fold *f, UChar32 c);
/* The folded word lies in the buffer. 1 when it is a token, 0 when it has no letter, SX_ENOMEM. */
int tokicu_fold_end(struct tokicu_fold *f);

#endif
