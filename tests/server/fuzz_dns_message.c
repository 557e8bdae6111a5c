/* Any bytes as an answer. The first chooses the type; the rest is the message, given a
 * head and a question of that type where the second asks for it. */
#include <stdlib.h>

#include "server/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum dns_type types[] = {DNS_MX, DNS_A, DNS_AAAA};

static void check(const struct dns_records *r, enum dns_type type)
{
    if (r->status == DNS_FAILED) {
        CHECK(r->why[0] && r->count == 0);
        return;
    }
    if (r->status != DNS_OK)
        return;
    CHECK(r->alias ? dns_is_name(slice_str(r->target)) : r->count > 0);
    if (type != DNS_MX) {
        CHECK(r->count <= DNS_ADDRESSES_MAX);
        return;
    }
    CHECK(r->count <= DNS_EXCHANGES_MAX);
    for (unsigned i = 0; i < r->count; i++) {
        const struct dns_exchange *e = &r->exchanges[i];

        CHECK(e->name[0] ? dns_is_name(slice_str(e->name)) : r->count == 1);
        CHECK(i == 0 || r->exchanges[i - 1].preference <= e->preference);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_records r;
    static const char head[] = "\0\0\x81\x80\0\1\0\7\0\1\0\0\1x\4test";
    char *message;
    size_t len = 0;
    enum dns_type type;

    if (size < 2)
        return 0;
    type = types[data[0] % 3];
    message = malloc(sizeof head + 4 + size);
    if (data[1] & 1) {
        memcpy(message, head, sizeof head);
        len = sizeof head;
        message[3] = (char)(0x80 | (data[1] & 2 ? 3 : 0));
        message[len++] = 0;
        message[len++] = (char)type;
        message[len++] = 0;
        message[len++] = 1;
    }
    memcpy(message + len, data + 2, size - 2);
    len += size - 2;
    message = realloc(message, len ? len : 1);
    dns_read(slice_of(message, len), type, &r);
    check(&r, type);
    free(message);
    return 0;
}
