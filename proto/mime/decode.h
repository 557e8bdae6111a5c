/* decode.h -- from what mail carries to UTF-8 text.
 *
 *      stored octets --> transfer_decode() --> octets --> charset_feed() --> UTF-8
 *      header octets --> words_feed() ------------------------------------> UTF-8
 *
 * Every decoder is a small struct of its caller, takes its input in pieces cut
 * anywhere, accepts any octets and does work linear in them. Broken input never
 * fails: what can't be decoded is skipped or becomes U+FFFD.
 */
#pragma once
#include "proto/base/slice.h"

/* --- content transfer encodings (RFC 2045, section 6) -------------------- */

enum {
    TRANSFER_ROOM_MIN = 64,
    TRANSFER_BLANKS_MAX = 60 /* blanks at a line's end that are held to be dropped */
};

struct transfer_decoder {
    char encoding;   /* 'b', 'q', anything else: as is */
    bool broken;     /* something was not as RFC 2045 wants it: UNKNOWN-CTE for BINARY */
    uint8_t sextets; /* base64: 0..3 in `bits` that are not given out yet */
    bool padded;     /* base64: "=" has been seen */
    uint32_t bits;
    uint8_t held; /* quoted-printable: octets in `hold`, "=" or "=X" or blanks */
    char hold[TRANSFER_BLANKS_MAX];
};

/* encoding as in struct summary_leaf. */
void transfer_begin(struct transfer_decoder *d, char encoding);

/* Decodes from the front of *in into `at` until *in is empty or less than
 * TRANSFER_ROOM_MIN octets of room are left; room must be at least that. Returns
 * the octets written. */
size_t transfer_decode(
    struct transfer_decoder *d, struct slice *in, char *at, size_t room);

/* The input is over: what is still held, at most TRANSFER_ROOM_MIN octets. */
size_t transfer_end(struct transfer_decoder *d, char *at);

/* --- character sets -------------------------------------------------------- */

enum charset_kind {
    CHARSET_UTF8,    /* checked; also us-ascii */
    CHARSET_TABLE,   /* one octet a character */
    CHARSET_ICONV,   /* several octets a character: libc converts */
    CHARSET_UTF7,    /* RFC 2152 */
    CHARSET_UNKNOWN, /* octets above 0x7f become U+FFFD */
};

struct charset {
    enum charset_kind kind;
    bool broken;  /* some octet was no character: U+FFFD has been written */
    uint8_t held; /* octets of a character that is not complete */
    char hold[16];
    bool shifted, fresh; /* UTF7: in base64, with nothing behind the "+" yet */
    uint8_t bit_count;   /* UTF7: bits of the next code unit */
    uint32_t bits;
    uint16_t high;         /* UTF7: a surrogate that waits for its second half */
    const uint16_t *table; /* TABLE: code points of 0x80..0xff */
    void *iconv;           /* ICONV: libc's converter */
};

/* The converter from the charset of that name to UTF-8; an empty name is us-ascii.
 * False when the name is not known; the converter then works as CHARSET_UNKNOWN.
 * charset_end() must follow. Multi-octet sets take memory from libc, a few KiB, and
 * may read its conversion modules from the disk: see charset_preload(). */
bool charset_begin(struct charset *c, struct slice name);

/* True when charset_begin() would know it. For [BADCHARSET]. */
bool charset_is_known(struct slice name);

/* The usual names, to offer in [BADCHARSET (...)], separated by blanks. */
struct slice charset_names(void);

void charset_feed(struct charset *c, struct slice octets, struct out *out);

/* A character that was cut off becomes U+FFFD; frees what begin took. */
void charset_end(struct charset *c, struct out *out);

enum { CHARSET_PRELOAD = 11 };

/* Opens each multi-octet set once, so that libc keeps its module in memory: no later
 * charset_begin() reads a file. At the start of the process; never closed. */
void charset_preload(struct charset kept[CHARSET_PRELOAD]);

/* --- header text: RFC 2047 encoded words ----------------------------------- */

enum {
    WORD_MAX = 1024,       /* longest encoded word decoded; RFC 2047 allows 75 */
    WORD_CHARSETS_MAX = 64 /* changes to a multi-octet charset; later ones are unknown */
};

/* Turns header text (one value, several fields or a whole header) into UTF-8: a fold
 * becomes one blank, encoded words are decoded, blanks between encoded words dropped,
 * 8-bit octets kept where they are UTF-8 and U+FFFD elsewhere. */
struct words_decoder {
    struct charset plain;   /* of what is no encoded word */
    struct charset charset; /* of the last encoded word, open while words adjoin */
    char charset_name[64];
    uint8_t charset_len;
    bool open;       /* `charset` is in use */
    bool after_word; /* blanks may have to be dropped */
    bool line_end;   /* a line end is held: a fold, or the end of a field */
    bool folded;     /* blanks of a fold are being passed over */
    uint8_t marks;   /* question marks in `hold` */
    uint8_t blanks;  /* held in `blank` */
    uint16_t held;   /* of an encoded word, in `hold` */
    uint16_t opens;  /* multi-octet charsets opened */
    char blank[64];
    char hold[WORD_MAX];
};

void words_begin(struct words_decoder *w);
void words_feed(struct words_decoder *w, struct slice text, struct out *out);
/* Writes what is held, but no line end; the decoder can begin again. Must follow
 * words_begin(). */
void words_end(struct words_decoder *w, struct out *out);

/* begin, feed and end for a value at hand. */
void decode_words(struct slice text, struct out *out);

/* --- parameters: RFC 2231 -------------------------------------------------- */

/* An extended value (charset'language'%41%42, RFC 2231 section 4) as UTF-8; a
 * value without the two quotes is taken as it stands. */
void decode_extended_value(struct slice value, struct out *out);
