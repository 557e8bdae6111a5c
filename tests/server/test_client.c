/* Connections that we open: to our own echo, in clear and with TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/tls.h"
#include "tests/server/server_test.h"

/* A session that says its script and keeps what comes back. */
struct caller {
    struct conn conn;
    bool begun_tls;
};

static struct {
    const char *text; /* sent when connected */
    bool starttls, verify;
    unsigned deadline_s;
    char got[4096];
    size_t len;
    _Atomic unsigned opened, closed, secure, timeouts;
    int error;
    struct address to, from;
    bool with_from, refused;
} script;

static void caller_open(struct conn *c)
{
    script.opened++;
    out_str(&c->out, script.text);
}

static bool has(struct slice s, const char *word)
{
    return s.len && memmem(s.at, s.len, word, strlen(word)) != NULL;
}

static void caller_run(struct conn *c)
{
    struct caller *caller = container_of(c, struct caller, conn);

    if (script.len + c->in.len < sizeof script.got) {
        memcpy(script.got + script.len, c->in.at ? c->in.at : "", c->in.len);
        script.len += c->in.len;
    }
    slice_take(&c->in, c->in.len);
    if (script.starttls && !caller->begun_tls &&
        has(slice_of(script.got, script.len), "go\n")) {
        caller->begun_tls = true;
        conn_starttls_client(c, S("mail.first.test"), script.verify);
        return;
    }
    if (caller->begun_tls && c->secure && !script.secure) {
        script.secure = 1;
        out_str(&c->out, "through tls\nquit\n");
    }
    if (c->eof)
        conn_close(c);
}

static void caller_timeout(struct conn *c)
{
    script.timeouts++;
    conn_abort(c);
}

static void caller_stop(struct conn *c)
{
    conn_close(c);
}

static void caller_closed(struct conn *c)
{
    script.error = c->error;
    conn_free(c);
    script.closed++;
}

static const struct session_calls caller_calls = {.session_bytes = sizeof(struct caller),
    .open = caller_open,
    .run = caller_run,
    .timeout = caller_timeout,
    .stop = caller_stop,
    .closed = caller_closed};

static void call_now(struct thread *t, void *arg)
{
    struct conn *c = conn_connect(
        t, &caller_calls, &script.to, script.with_from ? &script.from : NULL);

    (void)arg;
    if (!c)
        script.refused = true;
    else if (script.deadline_s)
        conn_deadline(c, script.deadline_s);
}

static void begin_script(const char *text, uint16_t port)
{
    memset(&script, 0, sizeof script);
    script.text = text;
    assert_true(address_parse(S("127.0.0.1:1"), &script.to));
    script.to.port = port;
}

static void a_dialogue_as_client(void **state)
{
    struct process *p = server_begin(NULL);

    (void)state;
    begin_script("one\ntwo\nquit\n", server_ports[PORT_PLAIN]);
    script.with_from = true;
    assert_true(address_parse(S("127.0.0.2:0"), &script.from));
    process_run(p, 0, call_now, NULL);
    assert_true(wait_for_count(&script.closed, 1));
    assert_int_equal(script.error, 0);
    assert_int_equal(script.len, 18);
    assert_memory_equal(script.got, "hello\none\ntwo\nbye\n", 18);
    server_end(p);
}

static void refused_and_silent_hosts(void **state)
{
    struct process *p = server_begin(NULL);

    (void)state;
    begin_script("", 1);
    process_run(p, 1, call_now, NULL);
    assert_true(wait_for_count(&script.closed, 1));
    assert_int_equal(script.error, ECONNREFUSED);
    assert_int_equal(script.opened, 0);
    /* A network that answers nothing (RFC 5737), or is not there at all. */
    begin_script("", 25);
    assert_true(address_parse(S("192.0.2.1:25"), &script.to));
    script.deadline_s = 1;
    process_run(p, 1, call_now, NULL);
    assert_true(wait_for_count(&script.closed, 1));
    assert_true(script.timeouts == 1 ? script.error == ECONNABORTED : script.error != 0);
    /* An address that is not ours can't be the source. */
    begin_script("", server_ports[PORT_PLAIN]);
    script.with_from = true;
    assert_true(address_parse(S("192.0.2.7:0"), &script.from));
    process_run(p, 1, call_now, NULL);
    assert_true(script.refused);
    server_end(p);
}

static char certificate[128], key[128], other_certificate[128];

static void load(struct process *p)
{
    struct tls_files files = {certificate, key};
    char why[512] = "";

    if (!process_load_tls(p, &files, 1, why, sizeof why))
        fail_msg("%s", why);
}

static void tls_as_client(void **state)
{
    struct process *p = server_begin(NULL);

    (void)state;
    load(p);
    begin_script("starttls\n", server_ports[PORT_PLAIN]);
    script.starttls = true;
    process_run(p, 0, call_now, NULL);
    assert_true(wait_for_count(&script.closed, 1));
    assert_int_equal(script.error, 0);
    assert_int_equal(script.secure, 1);
    assert_true(has(slice_of(script.got, script.len), "through tls\nbye\n"));
    server_end(p);
}

/* Matrix T12: an unknown authority is an end, not a doubt, where the name must be proven.
 */
static void unproven_name_ends_the_connection(void **state)
{
    struct process *p = server_begin(NULL);

    (void)state;
    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) != 0) {
        server_end(p);
        skip();
    }
    load(p);
    begin_script("starttls\n", server_ports[PORT_PLAIN]);
    script.starttls = script.verify = true;
    process_run(p, 0, call_now, NULL);
    assert_true(wait_for_count(&script.closed, 1));
    assert_int_equal(script.error, EPROTO);
    assert_int_equal(script.secure, 0);
    server_end(p);
}

static void call_checked(struct process *p)
{
    begin_script("starttls\n", server_ports[PORT_PLAIN]);
    script.starttls = script.verify = true;
    process_run(p, 0, call_now, NULL);
    assert_true(wait_for_count(&script.closed, 1));
}

/* The certificate of the echo is an authority, then it is one no more. */
static void authorities_that_change(void **state)
{
    struct process *p = server_begin(NULL);
    char why[512] = "";

    (void)state;
    load(p);
    for (unsigned round = 0; round < 3; round++) {
        assert_true(tls_authorities_load(
            round % 2 ? other_certificate : certificate, why, sizeof why));
        call_checked(p);
        assert_int_equal(script.secure, round == 0 || round == 1);
        process_renew_tls_clients(p);
        call_checked(p);
        assert_int_equal(script.secure, round != 1);
        assert_false(tls_authorities_load(key, why, sizeof why));
        assert_non_null(strstr(why, key));
    }
    server_end(p);
}

static char folder[] = "/tmp/ringmail-test-client-XXXXXX";

static int remove_certificate(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static int make_certificate(void **state)
{
    char command[1024];

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(certificate, sizeof certificate, "%s/c.pem", folder);
    snprintf(key, sizeof key, "%s/k.pem", folder);
    snprintf(other_certificate, sizeof other_certificate, "%s/o.pem", folder);
    snprintf(command, sizeof command,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout %s -out %s -days 30 "
        "-subj /CN=mail.first.test -addext subjectAltName=DNS:mail.first.test "
        ">/dev/null 2>&1 && chmod 600 %s && openssl req -x509 -newkey rsa:2048 -nodes "
        "-keyout /dev/null -out %s -days 30 -subj /CN=other.test >/dev/null 2>&1",
        key, certificate, key, other_certificate);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dialogue_as_client),
        cmocka_unit_test(refused_and_silent_hosts),
        cmocka_unit_test(tls_as_client),
        cmocka_unit_test(unproven_name_ends_the_connection),
        cmocka_unit_test(authorities_that_change),
    };

    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
