/* encode.h -- content transfer encodings, the writing side (RFC 2045, section 6).
 *
 * The counterpart of decode.h's transfer_decode(): any octets, in pieces cut anywhere,
 * become lines of at most 76 ASCII octets that decode to the same octets.
 */
#pragma once
#include "proto/base/slice.h"

/* What one octet of input, or the end, may cost. */
enum { ENCODE_ROOM_MIN = 16 };

struct transfer_encoder {
    char encoding;  /* 'q' or 'b' */
    bool cr;        /* 'q': a CR is held */
    char blank;     /* 'q': a blank is held; 0: none */
    uint8_t column; /* octets of the line */
    uint8_t held;   /* 'b': octets in `octets` */
    uint8_t octets[3];
};

/* 'q': CR LF is a line end, all other CRs and LFs are octets. No line of the output
 * begins with '-' or '.', so that none is a delimiter or the end of a text. */
void encoder_begin(struct transfer_encoder *e, char encoding);

/* Encodes from the front of *in into `at` until *in is empty or less than
 * ENCODE_ROOM_MIN octets of room are left. Returns the octets written. */
size_t encoder_run(struct transfer_encoder *e, struct slice *in, char *at, size_t room);

/* The input is over: what is held, at most ENCODE_ROOM_MIN octets. No line end is
 * added. */
size_t encoder_end(struct transfer_encoder *e, char *at);
