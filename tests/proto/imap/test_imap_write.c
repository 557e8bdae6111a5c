#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/imap/imap_write.h"

/* An out with its bytes, and what must stand in it. */
#define WRITES(call, want)                                     \
    do {                                                       \
        char bytes[512];                                       \
        struct out o = out_of(bytes, sizeof bytes);            \
                                                               \
        call;                                                  \
        assert_false(o.full);                                  \
        if (!slice_eq(out_slice(&o), S(want)))                 \
            fail_msg("%s gave %.*s", #call, (int)o.len, o.at); \
    } while (0)

static void answers(void **state)
{
    (void)state;
    WRITES(imap_put_status(&o, S("a7"), S("OK"), S("[READ-ONLY]"), S("Done")),
        "a7 OK [READ-ONLY] Done\r\n");
    WRITES(imap_put_status(&o, S(""), S("BYE"), S(""), S("Bye")), "* BYE Bye\r\n");
    WRITES(imap_put_error(&o, S("a7"), IMAP_ERROR_DATE), "a7 BAD Invalid date\r\n");
    WRITES(imap_put_error(&o, S(""), IMAP_ERROR_TAG), "* BAD Invalid tag\r\n");
    WRITES(imap_put_error(&o, S("a"), IMAP_ERROR_BAD_CHARSET),
        "a NO [BADCHARSET (US-ASCII UTF-8)] Charset not supported\r\n");
    WRITES(imap_put_number_code(&o, S("UIDNEXT"), 4392, S("Predicted next UID")),
        "* OK [UIDNEXT 4392] Predicted next UID\r\n");
    WRITES(imap_put_count(&o, 23, S("EXISTS")), "* 23 EXISTS\r\n");
    WRITES(imap_put_append_uid(&o, 38505, 3955), "[APPENDUID 38505 3955]");
}

/* Every error has an answer that RFC 3501 knows. */
static void every_error_can_be_answered(void **state)
{
    (void)state;
    for (enum imap_error e = IMAP_ERROR_NONE + 1; e <= IMAP_ERROR_LIMIT; e++) {
        const struct imap_error_reply *reply = imap_error_reply(e);

        assert_true(
            slice_eq(reply->answer, S("BAD")) || slice_eq(reply->answer, S("NO")));
        assert_true(reply->text.len > 0);
        assert_true(reply->code.len == 0 || reply->code.at[0] == '[');
    }
}

static void strings(void **state)
{
    (void)state;
    WRITES(imap_put_string(&o, S("")), "\"\"");
    WRITES(imap_put_string(&o, S("a \"b\\\"")), "\"a \\\"b\\\\\\\"\"");
    WRITES(imap_put_string(&o, S("a\r\nb")), "{4}\r\na\r\nb");
    WRITES(imap_put_string(&o, S("\xc3\xa9")), "{2}\r\n\xc3\xa9");
    WRITES(imap_put_string(&o, S("a\tb\x7f")), "{4}\r\na\tb\x7f");
    WRITES(imap_put_nstring(&o, slice_of(NULL, 0)), "NIL");
    WRITES(imap_put_nstring(&o, S("")), "\"\"");
    WRITES(imap_put_astring(&o, S("a]b")), "a]b");
    WRITES(imap_put_astring(&o, S("")), "\"\"");
    WRITES(imap_put_astring(&o, S("nil")), "\"nil\"");
    WRITES(imap_put_astring(&o, S("a b")), "\"a b\"");
    WRITES(imap_put_astring(&o, S("a*")), "\"a*\"");
    WRITES(imap_put_astring(&o, S("\\x")), "\"\\\\x\"");
    WRITES(imap_put_literal_head(&o, 4294967296), "{4294967296}\r\n");
    WRITES(imap_put_mailbox(&o, S("INBOX")), "INBOX");
    WRITES(imap_put_mailbox(&o, S("a&b \xc3\xa9")), "\"a&-b &AOk-\"");
    WRITES(imap_put_mailbox(&o, S("\xc3\xa9")), "&AOk-");
}

static void long_strings_are_literals(void **state)
{
    char text[1025], bytes[2048];
    struct out o = out_of(bytes, sizeof bytes);

    (void)state;
    memset(text, 'x', sizeof text);
    imap_put_string(&o, slice_of(text, 1024));
    assert_int_equal(o.len, 1026);
    o.len = 0;
    imap_put_astring(&o, slice_of(text, 1025));
    assert_int_equal(o.len, 8 + 1025);
}

static void flags_and_dates(void **state)
{
    struct slice keywords[] = {S("$Fwd"), S("b")};
    struct imap_date_time date = {837596665, -420};

    (void)state;
    WRITES(imap_put_flags(&o, 63, NULL, 0, true),
        "\\Answered \\Flagged \\Deleted \\Seen \\Draft \\Recent");
    WRITES(imap_put_flags(&o, IMAP_FLAG_SEEN, keywords, 2, true), "\\Seen $Fwd b");
    WRITES(imap_put_flags(&o, 0, keywords, 1, false), " $Fwd");
    WRITES(assert_true(imap_put_flags(&o, 0, NULL, 0, true)), "");
    WRITES(imap_put_date_time(&o, date), "\"17-Jul-1996 02:44:25 -0700\"");
    WRITES(imap_put_date_time(&o, ((struct imap_date_time){0, 0})),
        "\"01-Jan-1970 00:00:00 +0000\"");
    WRITES(imap_put_date_time(&o, ((struct imap_date_time){-1, 330})),
        "\"01-Jan-1970 05:29:59 +0530\"");
    WRITES(imap_put_date_time(&o, ((struct imap_date_time){951782400, 0})),
        "\"29-Feb-2000 00:00:00 +0000\"");
    WRITES(imap_put_date_time(&o, ((struct imap_date_time){INT64_MAX, INT16_MAX})),
        "\"31-Dec-9999 23:59:59 +2359\"");
    WRITES(imap_put_date_time(&o, ((struct imap_date_time){INT64_MIN, INT16_MIN})),
        "\"01-Jan-0000 00:00:00 -2359\"");
}

static void mailbox_data(void **state)
{
    uint32_t values[IMAP_STATUS_COUNT] = {231, 2, 44292, 7, 5};

    (void)state;
    WRITES(imap_put_list(&o, S("LIST"), 0, IMAP_USE_NONE, S("a"), false),
        "* LIST () \"/\" a\r\n");
    WRITES(
        imap_put_list(&o, S("LSUB"), IMAP_ATTR_NOSELECT, IMAP_USE_NONE, S("a b"), false),
        "* LSUB (\\Noselect) \"/\" \"a b\"\r\n");
    WRITES(imap_put_list(&o, S("LIST"), IMAP_ATTR_HAS_NO_CHILDREN | IMAP_ATTR_SUBSCRIBED,
               IMAP_USE_SENT, S("Sent"), true),
        "* LIST (\\HasNoChildren \\Subscribed \\Sent) \"/\" Sent "
        "(\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
    WRITES(imap_put_status_data(
               &o, S("blurdybloop"), IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT, values),
        "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)\r\n");
    WRITES(imap_put_fetch_head(&o, 12), "* 12 FETCH (");
}

static void item_names(void **state)
{
    static const uint32_t path[] = {1, 2};
    struct slice fields[] = {S("Date"), S("a\"b")};
    struct imap_item item = {.kind = IMAP_ITEM_SECTION, .peek = true};

    (void)state;
    WRITES(imap_put_item_name(&o, &item), "BODY[]");
    item.partial = true;
    item.from = 7;
    item.length = 9;
    WRITES(imap_put_item_name(&o, &item), "BODY[]<7>");
    item.path = path;
    item.path_count = 2;
    WRITES(imap_put_item_name(&o, &item), "BODY[1.2]<7>");
    item.partial = false;
    item.part = IMAP_PART_MIME;
    WRITES(imap_put_item_name(&o, &item), "BODY[1.2.MIME]");
    item.part = IMAP_PART_FIELDS_NOT;
    item.fields = fields;
    item.field_count = 2;
    WRITES(
        imap_put_item_name(&o, &item), "BODY[1.2.HEADER.FIELDS.NOT (Date \"a\\\"b\")]");
    item = (struct imap_item){.kind = IMAP_ITEM_RFC822_SIZE};
    WRITES(imap_put_item_name(&o, &item), "RFC822.SIZE");
}

/* Output is cut nowhere: either all of it fits, or `full` says so. */
static void too_little_room_is_said(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 32; cap++) {
        char bytes[32];
        struct out o = out_of(bytes, cap);

        imap_put_list(&o, S("LIST"), IMAP_ATTR_MARKED, IMAP_USE_NONE, S("abcdef"), false);
        assert_int_equal(o.full, cap < sizeof "* LIST (\\Marked) \"/\" abcdef\r\n" - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(every_error_can_be_answered),
        cmocka_unit_test(strings),
        cmocka_unit_test(long_strings_are_literals),
        cmocka_unit_test(flags_and_dates),
        cmocka_unit_test(mailbox_data),
        cmocka_unit_test(item_names),
        cmocka_unit_test(too_little_room_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
