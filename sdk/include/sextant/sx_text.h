/* Small stateless codecs: CRC32C, UUIDs, base64, UTF-8, number text. */
#ifndef SX_TEXT_H
#define SX_TEXT_H

#include "sextant/sx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* CRC-32C (Castagnoli, RFC 3720 B.4): sx_crc32c(0, "123456789", 9) = 0xe3069283. Continues from a
 * previous result. Uses the CPU's instruction where the file was built for it. [A] */
uint32_t sx_crc32c(uint32_t crc, const void *p, uint64_t n);

/* Hyphenated, simple, braced hyphenated and "urn:uuid:" forms, hex digits in any case. 0 or
 * SX_EINPUT. */
int sx_uuid_parse(const char *s, uint64_t n, struct sx_id *out);
void sx_uuid_format(struct sx_id id, char out[37]); /* lower case, hyphenated, terminated */

/* A point id out of a path segment: u64 first (leading zeros and one '+' allowed), then UUID. */
int sx_id_parse(const char *s, uint64_t n, struct sx_id *out);
void sx_id_format(struct sx_id id, char out[40]);
int sx_id_cmp(const struct sx_id *a, const struct sx_id *b);
uint64_t sx_id_hash(const struct sx_id *id); /* mixing hash for tables, not the shard ring */

/* Standard or URL alphabet, padding optional on decode. Decode returns the length or SX_EINPUT;
 * out holds n / 4 * 3 + 3 bytes. */
int64_t sx_base64_decode(const char *s, uint64_t n, uint8_t *out, int url);
uint64_t sx_base64_encode(const void *p, uint64_t n, char *out, int url); /* no terminator */

/* 1 when the n bytes are valid UTF-8 (no surrogates, no overlong forms). */
int sx_utf8_valid(const char *s, uint64_t n);
/* Next code point at *p, advances; U+FFFD on bad bytes. */
uint32_t sx_utf8_next(const char **p, const char *end);
uint64_t sx_utf8_count(const char *s, uint64_t n); /* code points of valid text */

/* 1 for letters and digits of any script: property Alphabetic or categories Nd, Nl, No. */
int sx_is_alnum(uint32_t code_point);

/* A point in time, proleptic Gregorian, UTC; ns counts forward from s. */
struct sx_instant {
    int64_t s; /* seconds since 1970 */
    uint32_t ns, pad;
};
/* The texts that payloads, ranges and formulas may hold: RFC 3339 and its lenient forms (spec of
 * the wire, 7.6). 0 or SX_EINPUT. [A] */
int sx_instant_parse(const char *s, uint64_t n, struct sx_instant *out);

/* Exact decimal to binary: round to nearest even; n bytes must be one JSON number token. */
double sx_num_f64(const char *s, uint64_t n);
/* Shortest round-trip text; returns the length; out at least 32 bytes; finite values only. */
uint32_t sx_num_format_f64(double v, char *out);
uint32_t sx_num_format_f32(float v, char *out);

/* Half precision: IEEE 754 binary16, round to nearest even; overflow becomes infinity. */
uint16_t sx_f16_from_f32(float v);
float sx_f16_to_f32(uint16_t v);

#ifdef __cplusplus
}
#endif
#endif
