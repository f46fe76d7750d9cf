/* Text to points in time.
 *
 * Three families of forms, tried in this order:
 *
 *   loose    date sep time zone      sep is one of T t blank; white space may stand before every
 *                                    '-' and ':', around the zone and behind it; the zone is Z,
 *                                    UTC in any case, or an offset with minutes
 *   tight    date [sep time [zone]]  sep is T or any white space, even none; nothing before '-' and
 *                                    ':'; the zone is Z or an offset that may leave out its minutes
 *   minutes  date sep hour:minute    as tight, without zone
 *
 * In all of them white space may stand before a number, and numbers have one or two digits; a year
 * has up to four, or any with a sign. Without a zone the text is UTC.
 *
 * Second 60 is kept apart from the next minute's 0: it is second 59 with ns from 1e9 on, so
 * instants compare in the order of the clock. Fractions are cut to nanoseconds. Years reach from
 * -262143 to 262142, before and after the zone is taken off. Thread: any. */
#include "priv.h"

#include "sextant/sx_ban.h"

#define YEAR_MIN (-262143)
#define YEAR_MAX 262142
#define DAY_S    86400

struct scan {
    const char *p, *end;
    int is_loose;
};

/* --- characters -------------------------------------------------------------------------- */

/* Unicode's White_Space. */
static int is_blank(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Passes over white space, and colons if asked to. */
static void skip(struct scan *s, int colons)
{
    while (s->p < s->end) {
        const char *next = s->p;

        if (!is_blank(sx_utf8_next(&next, s->end)) && !(colons && *s->p == ':'))
            return;
        s->p = next;
    }
}

static int take(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return 0;
    s->p++;
    return 1;
}

/* '-' or ':' between two numbers. */
static int mark(struct scan *s, char c)
{
    if (s->is_loose)
        skip(s, 0);
    return take(s, c);
}

/* At least one digit and at most `most`. */
static int digits(struct scan *s, uint64_t most, int64_t *out)
{
    int64_t v = 0;
    uint64_t n = 0;

    for (; n < most && s->p < s->end && sx__is_digit(*s->p); n++, s->p++) {
        if (v > YEAR_MAX)
            v = YEAR_MAX + 1; /* stays out of range */
        v = v * 10 + (*s->p - '0');
    }
    *out = v;
    return n != 0;
}

static int number(struct scan *s, int64_t lo, int64_t hi, int64_t *out)
{
    skip(s, 0);
    return digits(s, 2, out) && *out >= lo && *out <= hi;
}

/* --- parts ------------------------------------------------------------------------------- */

static int days_in(int64_t year, int64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && is_leap);
}

/* Days from 1970-01-01. The year begins in March here, so that its odd day is the last one. */
static int64_t days_from(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int date(struct scan *s, int64_t *out)
{
    int64_t year, month, day;
    int has_sign, is_minus;

    skip(s, 0);
    is_minus = take(s, '-');
    has_sign = is_minus || take(s, '+');
    if (!digits(s, has_sign ? UINT64_MAX : 4, &year))
        return 0;
    if (is_minus)
        year = -year;
    if (year < YEAR_MIN || year > YEAR_MAX)
        return 0;
    if (!mark(s, '-') || !number(s, 1, 12, &month) || !mark(s, '-') || !number(s, 1, 31, &day))
        return 0;
    if (day > days_in(year, month))
        return 0;
    *out = days_from(year, month, day) * DAY_S;
    return 1;
}

static int separator(struct scan *s)
{
    if (s->is_loose)
        return take(s, 'T') || take(s, 't') || take(s, ' ');
    if (!take(s, 'T'))
        skip(s, 0);
    return 1;
}

static int hour_minute(struct scan *s, int64_t *out)
{
    int64_t hour, minute;

    if (!number(s, 0, 23, &hour) || !mark(s, ':') || !number(s, 0, 59, &minute))
        return 0;
    *out = hour * 3600 + minute * 60;
    return 1;
}

/* The rest of a time behind its minutes: ":ss", perhaps a fraction. */
static int seconds(struct scan *s, int64_t *second, uint32_t *ns)
{
    uint32_t unit = 100000000;

    if (!mark(s, ':') || !number(s, 0, 60, second))
        return 0;
    *ns = 0;
    if (*second == 60) {
        *second = 59;
        *ns = 1000000000;
    }
    if (!take(s, '.'))
        return 1;
    if (s->p == s->end || !sx__is_digit(*s->p))
        return 0;
    for (; s->p < s->end && sx__is_digit(*s->p); s->p++, unit /= 10)
        *ns += unit * (uint32_t)(*s->p - '0');
    return 1;
}

/* Hours and minutes of an offset have two digits each. */
static int two(struct scan *s, int64_t most, int64_t *out)
{
    const char *from = s->p;

    return digits(s, 2, out) && s->p - from == 2 && *out <= most;
}

/* "+hh:mm" and its kin, in seconds east. */
static int offset(struct scan *s, int64_t *out)
{
    int64_t hours, minutes = 0;
    int is_west = take(s, '-');

    if (!is_west && !take(s, '+')) {
        if (s->end - s->p < 3 || memcmp(s->p, "\xe2\x88\x92", 3) != 0) /* U+2212 */
            return 0;
        is_west = 1;
        s->p += 3;
    }
    if (!two(s, 23, &hours))
        return 0;
    skip(s, 1);
    if ((s->is_loose || s->p < s->end) && !two(s, 59, &minutes))
        return 0;
    *out = hours * 3600 + minutes * 60;
    if (is_west)
        *out = -*out;
    return 1;
}

static int is_utc(const struct scan *s)
{
    return s->end - s->p >= 3 && (s->p[0] | 32) == 'u' && (s->p[1] | 32) == 't' &&
           (s->p[2] | 32) == 'c';
}

/* To the end of the text. */
static int zone(struct scan *s, int64_t *out)
{
    skip(s, 0);
    *out = 0;
    if (s->is_loose && is_utc(s))
        s->p += 3;
    else if (!take(s, 'Z') && !take(s, 'z') && !offset(s, out))
        return 0;
    if (s->is_loose)
        skip(s, 0);
    return s->p == s->end;
}

/* --- forms ------------------------------------------------------------------------------- */

static int instant(struct scan *s, struct sx_instant *out)
{
    int64_t t, clock = 0, second = 0, east = 0;
    uint32_t ns = 0;

    if (!date(s, &t))
        return 0;
    if (s->is_loose || s->p < s->end) {
        if (!separator(s) || !hour_minute(s, &clock))
            return 0;
        if (s->is_loose || s->p < s->end) {
            if (!seconds(s, &second, &ns))
                return 0;
            if ((s->is_loose || s->p < s->end) && !zone(s, &east))
                return 0;
        }
    }
    t += clock + second - east;
    if (t < days_from(YEAR_MIN, 1, 1) * DAY_S || t >= days_from(YEAR_MAX + 1, 1, 1) * DAY_S)
        return 0;
    *out = (struct sx_instant){t, ns, 0};
    return 1;
}

int sx_instant_parse(const char *s, uint64_t n, struct sx_instant *out)
{
    /* Most strings of payloads are no dates: those begin with a digit, a sign or white space. */
    if (n == 0 || (unsigned char)(s[0] - 'A') < 0x80 - 'A')
        return SX_EINPUT;
    for (int is_loose = 1; is_loose >= 0; is_loose--) {
        struct scan at = {s, s + n, is_loose};

        if (instant(&at, out))
            return SX_OK;
    }
    return SX_EINPUT;
}
