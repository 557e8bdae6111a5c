/* A client's lines, and the octets of a message through TOP and dot-stuffing, in one
 * piece and in many; what a client takes apart again is the message. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/pop3/pop3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_lines(struct slice in)
{
    struct line_cutter cutter = {0};
    struct slice line;
    enum line_cut cut;

    while ((cut = line_cut(&cutter, &in, pop3_line_limits(false), &line)) != LINE_MORE &&
        cut != LINE_FLOOD)
        for (unsigned state = POP3_START; cut == LINE_DONE && state <= POP3_MAIL;
             state++) {
            struct pop3_cmd cmd;
            enum pop3_reply reply = pop3_parse(line, (enum pop3_state)state, &cmd);

            if (reply == POP3_REPLY_NONE &&
                (cmd.verb == POP3_VERB_RETR || cmd.verb == POP3_VERB_DELE ||
                    cmd.verb == POP3_VERB_TOP))
                CHECK(cmd.message > 0);
        }
}

/* What TOP and stuffing send for `text`, handed over in pieces. */
static struct out send_text(struct slice text, uint32_t lines, size_t piece)
{
    size_t cap = 2 * text.len + 8;
    char *room = malloc(cap);
    struct out out = out_of(room, cap);
    struct pop3_top top = {.lines_left = lines};
    struct dots dots = {0};

    CHECK(room);
    while (text.len && !top.done) {
        struct slice part = slice_take(&text, piece < text.len ? piece : text.len);

        part = pop3_top_take(&top, part);
        while (part.len)
            out_put(&out, dots_next(&dots, &part));
    }
    out_put(&out, dots_end(&dots));
    CHECK(!out.full);
    return out;
}

/* A client that takes LF for a line end finds the end where it is, and nowhere else. */
static void read_back(struct slice sent)
{
    while (sent.len) {
        struct slice line = slice_take(&sent, slice_find(sent, '\n'));

        CHECK(sent.len);
        slice_take(&sent, 1);
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        CHECK(!slice_eq(line, S(".")) || sent.len == 0);
        CHECK(sent.len || slice_eq(line, S(".")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of((const char *)data, size);
    uint32_t lines;
    size_t piece;
    struct out whole, cut;

    if (size < 2)
        return 0;
    piece = 1 + (unsigned char)slice_take(&all, 1).at[0] % 100U;
    lines = (unsigned char)slice_take(&all, 1).at[0];
    parse_lines(all);
    whole = send_text(all, lines, size);
    cut = send_text(all, lines, piece);
    CHECK(slice_eq(out_slice(&whole), out_slice(&cut)));
    read_back(out_slice(&whole));
    free(whole.at);
    free(cut.at);
    return 0;
}
