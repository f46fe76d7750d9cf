/* Kind tokenizer: text -> words, for text indexes, text filters and BM25 vectors.
 *
 * iface_version 0: written before its first user, so it may still be corrected by it.
 *
 * What it is for. The engine splits text itself where a rule of a few lines does (`word`,
 * `whitespace`, `prefix`, `code`); splitting Chinese, Japanese, Thai or Khmer needs dictionaries
 * and a library of tens of megabytes. That is a module beside the binary, and a server without it
 * is still whole: only the `multilingual` tokenizer is then refused at the moment a field asks for
 * it.
 *
 * Where its place ends. A tokenizer only finds boundaries. Lower-casing, folding, stop words,
 * stemming and the limits on token length come afterwards, in that order, in the engine: they are
 * the same for every tokenizer and their order is contract. So a tokenizer gets the text as the
 * user wrote it and gives back pieces of it, which is why a token is a span of the input and not a
 * string of its own; one that rewrites (a segmenter that also normalises) says TRANSFORMS and fills
 * a buffer that the caller lends.
 *
 * Who calls. The text field on its way in (the shard's writer, for one payload), the background
 * build of a text index (pool threads, many at once), a text filter and a BM25 document at query
 * time (a loop or pool thread). All through the same handle: split() is [A], pure, and keeps no
 * state between calls; whatever an engine of word breaks wants to reuse lies in the caller's
 * scratch of scratch_size() bytes. A provider whose library hands out iterators that are not thread
 * safe clones one into the scratch at the first call there (`scratch` is zeroed when it is new, and
 * the host calls scratch_end() before it gives the memory back).
 *
 * Cost. Dictionaries are loaded by open(), never by load(): a server whose collections name no such
 * field does not touch them. open() is [W, blocks]; handles of equal parameters may be shared, the
 * provider counts.
 *
 * Determinism is part of the contract. The tokens of a text are stored as postings and compared
 * with tokens of a query made years later, perhaps by a newer library with a newer dictionary. So a
 * provider has a version(): the field stores it, and when it has changed the index is derived data
 * of an old version and is rebuilt in background, while answers come from the documents.
 *
 * Ownership. Text is borrowed for the call. Spans point into it (or into the lent buffer) and are
 * valid until split() returns; sink copies what it keeps. sink returning non-zero ends the call
 * with that value, so a caller that needs the first word only pays for no more.
 *
 * Rejected:
 *  - a list of tokens as result: it allocates per text, and the commonest user (index build) hashes
 *    each token at once and drops it;
 *  - letting a tokenizer own the whole chain down to stems: two modules would disagree about
 *    stop words, and phrase positions would depend on who removed what;
 *  - detection of the language per token: the languages of a field are parameters, so that the same
 *    text gives the same tokens on every node. */
#ifndef SX_TOKENIZER_H
#define SX_TOKENIZER_H

#include "sextant/sx_service.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_TOKENIZER_IFACE      0u
#define SX_TOKENIZER_TRANSFORMS 1ull /* tokens are not spans of the input */
#define SX_TOKENIZER_POSITIONS                                                                     \
    2ull /* spans ascend and do not overlap: phrases can be matched;                               \
            absent: the engine refuses phrase matching on the field */

struct sx_token {
    const char *p; /* UTF-8 */
    uint32_t n;
    uint32_t position; /* 0, 1, 2, ...: equal for alternatives of one word */
};

struct sx_tokenizer_ops {
    uint32_t size, pad;
    /* [W, blocks] params: the field's tokenizer parameters (languages, ...), may be absent. Returns
     * an owned handle; SX_EINPUT with the client's text for parameters it does not know. */
    int (*open)(void *self, struct sx_doc params, void **out, struct sx_err *err);
    void (*close)(void *self, void *h); /* [W] takes the handle; no split() on it runs */
    /* [A] stored beside what was made of the tokens; another value = rebuild. */
    uint64_t (*version)(void *self, void *h);
    uint64_t (*scratch_size)(void *self, void *h);           /* [A] per calling thread */
    void (*scratch_end)(void *self, void *h, void *scratch); /* [A] may be NULL */
    /* [A] Calls sink for every token in order. The text is valid UTF-8. `buf` is for TRANSFORMS and
     * is emptied by the callee. 0, the sink's non-zero value, or a negative code. */
    int (*split)(void *self,
                 void *h,
                 struct sx_str text,
                 void *scratch,
                 struct sx_buf *buf,
                 int (*sink)(void *arg, const struct sx_token *t),
                 void *arg,
                 struct sx_err *err);
};

#ifdef __cplusplus
}
#endif
#endif
