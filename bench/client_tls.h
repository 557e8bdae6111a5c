/* client_tls.h -- TLS of a client by BoringSSL, whose certificate nobody checks: this
 * measures. Private to client*.c and the engine. */
#pragma once
#include "bench/client.h"

struct tls_maker; /* what a thread needs to make them */
struct tls_maker *tls_maker_new(bool resume);
void tls_maker_free(struct tls_maker *maker);

bool client_tls_start(struct client *c);
bool client_tls_on(const struct client *c);
void client_tls_end(struct client *c);
/* Frees what is kept for the next connection too. */
void client_tls_forget(struct client *c);
/* Goes on with the handshake, then opens what came and hands it to the mode. */
void client_tls_input(struct client *c, struct slice in);
/* Seals all pieces: what is to be sent, valid until the next call. */
struct slice client_tls_output(struct client *c);
