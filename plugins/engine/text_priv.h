/* What the files of text analysis share. See text.h for the map. */
#ifndef ENG_TEXT_PRIV_H
#define ENG_TEXT_PRIV_H

#include "sextant/sx_text.h"
#include "sextant/sx_tokenizer.h"

#include "text.h"

#define ENG__TEXT_NO_MAX UINT64_MAX

/* --- choices (text_params.c, text_names.c) ------------------------------------------------------
 */

/* Everything an analyzer depends on. `custom` is borrowed, for making one only. */
struct eng__text_params {
    uint32_t tokenizer, lowercase, fold, has_min;
    uint64_t min_len, max_len; /* characters */
    uint32_t stop_lists;       /* bit i: list i of text_names.c */
    uint32_t stemmer;          /* 0 = none, else one of text_names.c */
    struct sx_doc custom;      /* array of further stop words; p NULL = none */
    uint32_t phrase, pad;      /* phrases will be asked for */
};
void eng__text_params_init(struct eng__text_params *p);
/* The value of one option. 0, or -1 when it is none: then *bad (may be NULL) is the name that is
 * not known, if it is that. */
int eng__text_read_tokenizer(struct sx_doc v, struct eng__text_params *p);
int eng__text_read_stopwords(struct sx_doc v, struct eng__text_params *p, struct sx_str *bad);
int eng__text_read_stemmer(struct sx_doc v, struct eng__text_params *p, struct sx_str *bad);

#define ENG__TEXT_LISTS    30u
#define ENG__TEXT_STEMMERS 19u
/* By full name or alias; -1 when there is none. */
int eng__text_tokenizer_find(struct sx_str name);
int eng__text_list_find(struct sx_str name);
int eng__text_stemmer_find(struct sx_str name); /* 1 ... ENG__TEXT_STEMMERS */
/* Static. i below ENG__TEXT_LISTS; stemmer 1 ... ENG__TEXT_STEMMERS. */
const char *eng__text_list_name(uint32_t i);
const char *eng__text_stemmer_name(uint32_t stemmer);

/* --- characters (text_chars.c) ------------------------------------------------------------------
 */

/* sx_utf8_next() with a short way for two bytes, of which most alphabets are. */
static inline uint32_t eng__text_next(const char **p, const char *end)
{
    const unsigned char *s = (const unsigned char *)*p;

    if (end - *p >= 2 && s[0] >= 0xc2 && s[0] < 0xe0 && (s[1] & 0xc0) == 0x80) {
        *p += 2;
        return (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    }
    return sx_utf8_next(p, end);
}
uint32_t eng__text_class(uint32_t c); /* bits ENG__TEXT_UPPER, _CASED, _NUMBER of text_tables.h */
int eng__text_is_space(uint32_t c);
/* Bytes that folding and lower-casing of n bytes fill at most. */
#define ENG__TEXT_ROOM(n) ((uint64_t)(n)*3 + 8)
/* Write to out (ENG__TEXT_ROOM bytes, not overlapping) and return the end. */
char *eng__text_fold(struct sx_str s, char *out);
char *eng__text_lower(struct sx_str s, char *out);

/* --- stop words (text_stop.c) -------------------------------------------------------------------
 */

struct eng__text_stops {
    uint32_t lists, n_custom;
    uint32_t *slots; /* custom words by hash: offset + 1 into `words`, 0 = empty */
    uint32_t mask, pad;
    struct sx_buf words; /* u32 length, bytes */
};
int eng__text_stops_init(struct eng__text_stops *s,
                         const struct sx_mem *mem,
                         const struct eng__text_params *p);
void eng__text_stops_fini(struct eng__text_stops *s, const struct sx_mem *mem);
int eng__text_is_stop(const struct eng__text_stops *s, struct sx_str word);
/* Calls fn for each word of a list; non-zero stops and is returned. */
int eng__text_list_each(uint32_t list, int (*fn)(void *arg, struct sx_str word), void *arg);

/* --- stemming (text_stem.c) ---------------------------------------------------------------------
 */

struct sb_stemmer;
/* NULL when memory is short. One thread at a time. */
struct sb_stemmer *eng__text_stemmer_open(uint32_t stemmer);
void eng__text_stemmer_close(struct sb_stemmer *s);
/* *out lies in the stemmer, in `room` or is the word itself; valid until the next call. 0 or
 * SX_ENOMEM. */
int eng__text_stem(struct sb_stemmer *s,
                   uint32_t stemmer,
                   struct sx_str word,
                   struct sx_buf *room,
                   struct sx_str *out);

/* --- analyzers (text_analyzer.c) ----------------------------------------------------------------
 */

/* What may be used by one thread at a time. An analysis takes one and gives it back, so there are
 * as many as ever ran at once, at most KITS kept. */
struct eng__text_kit {
    struct sb_stemmer *stemmer; /* NULL = the analyzer stems not */
    struct sx_buf stem, split;  /* room for text_stem.c and for the tokenizer module */
    void *scratch, *block;      /* the tokenizer module's, in the block as it was allocated */
};
#define ENG__TEXT_KITS 8u
struct eng__text_kits {
    struct eng__text_kit *slots[ENG__TEXT_KITS]; /* atomic; NULL = empty */
};

struct eng_analyzer {
    const struct sx_mem *mem;
    struct eng__text_params p;
    struct eng__text_stops stops;
    const struct sx_provider *module; /* of the multilingual tokenizer; else NULL */
    void *handle;
    struct eng__text_kits *kits; /* the only thing that changes */
};
int eng__analyzer_make(const struct sx_mem *mem,
                       const struct sx_reg *reg,
                       const struct eng__text_params *p,
                       struct eng_analyzer **out,
                       struct sx_err *err);
/* NULL when memory is short. Every kit taken is given back. */
struct eng__text_kit *eng__text_kit_take(const struct eng_analyzer *a);
void eng__text_kit_give(const struct eng_analyzer *a, struct eng__text_kit *kit);

/* --- one analysis (text_analyze.c, text_code.c) -------------------------------------------------
 */

/* What is known of a piece of text. */
enum {
    ENG__TEXT_SAW_UPPER = 1, /* it has ASCII capitals */
    ENG__TEXT_SAW_HIGH = 2,  /* it has more than ASCII */
    ENG__TEXT_COMPOUND = 16,
    ENG__TEXT_UNSTEMMED = 32, /* it is not to be stemmed; it may be of any length */
    ENG__TEXT_UNLIMITED = 64
};

struct eng__text_run {
    const struct eng_analyzer *a;
    struct eng__text_kit *kit; /* NULL when the analyzer needs none */
    struct sx_buf *work;       /* work->n bytes are in use by the splitter */
    int (*sink)(void *arg, const struct eng_text_token *t);
    void *arg;
    int mode;
    uint32_t position;
    uint32_t as_is;      /* nothing to do after lower case */
    uint32_t has_limits; /* of length, or makes prefixes */
};
/* A piece of text, through all steps, to the sink. marks: the bits above. */
int eng__text_word(struct eng__text_run *r, struct sx_str word, uint32_t marks);
/* The bits ENG__TEXT_SAW_* of a text. */
uint32_t eng__text_saw(struct sx_str s);
int eng__text_split_code(struct eng__text_run *r, struct sx_str text);

#endif
