#include "proto/smtp/smtp_xclient.h"

static const struct slice names[] = {
#define X(name) [SMTP_XCLIENT_##name] = SI(#name),
    SMTP_XCLIENT_NAMES(X)
#undef X
};

void smtp_xclient_put_names(struct out *out)
{
    for (unsigned i = 0; i < SMTP_XCLIENT_COUNT; i++) {
        out_byte(out, ' ');
        out_put(out, names[i]);
    }
}

static unsigned name_of(struct slice word)
{
    unsigned i = 0;

    while (i < SMTP_XCLIENT_COUNT && !slice_eq_nocase(word, names[i]))
        i++;
    return i;
}

/* Printable, and short enough for what is made of it. */
static bool is_plain(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] <= ' ' || value.at[i] > '~')
            return false;
    return value.len > 0 && value.len <= SMTP_PATH_MAX;
}

/* A port or a protocol that there is; names and addresses are free. */
static bool judge(struct smtp_xclient *x, enum smtp_xclient_name name)
{
    struct slice *value = &x->value[name];
    uint32_t port;

    switch (name) {
    case SMTP_XCLIENT_PORT:
    case SMTP_XCLIENT_DESTPORT:
        if (!slice_u32(*value, &port) || port > UINT16_MAX)
            return false;
        if (name == SMTP_XCLIENT_PORT)
            x->port = (uint16_t)port;
        return true;
    case SMTP_XCLIENT_PROTO:
        x->esmtp = slice_eq_nocase(*value, S("ESMTP"));
        return x->esmtp || slice_eq_nocase(*value, S("SMTP"));
    case SMTP_XCLIENT_ADDR:
    case SMTP_XCLIENT_DESTADDR:
        if (!slice_starts_nocase(*value, S("IPV6:")))
            return true;
        slice_take(value, 5);
        if (name == SMTP_XCLIENT_ADDR)
            x->six = true;
        return value->len > 0;
    case SMTP_XCLIENT_NAME:
    case SMTP_XCLIENT_HELO:
    case SMTP_XCLIENT_LOGIN:
    case SMTP_XCLIENT_COUNT:
        break;
    }
    return true;
}

static bool take_one(struct slice word, struct out *room, struct smtp_xclient *x)
{
    size_t equals = slice_find(word, '='), begin = room->len;
    unsigned i = name_of(slice_of(word.at, equals));
    struct slice value;

    if (equals == word.len || i == SMTP_XCLIENT_COUNT || x->given[i])
        return false;
    slice_take(&word, equals + 1);
    if (!smtp_xtext_decode(word, room))
        return false;
    x->given[i] = true;
    value = slice_of(room->at + begin, room->len - begin);
    if (slice_eq_nocase(value, S("[UNAVAILABLE]")) ||
        slice_eq_nocase(value, S("[TEMPUNAVAIL]")))
        return true;
    x->value[i] = value;
    return is_plain(value) && judge(x, (enum smtp_xclient_name)i);
}

bool smtp_xclient_parse(struct slice args, struct out *room, struct smtp_xclient *x)
{
    *x = (struct smtp_xclient){.esmtp = true};
    while (args.len) {
        struct slice word = slice_take(&args, slice_find(args, ' '));

        if (args.len)
            slice_take(&args, 1);
        if (word.len && !take_one(word, room, x))
            return false;
    }
    return true;
}
