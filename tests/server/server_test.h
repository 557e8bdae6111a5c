/* server_test.h -- a process that echoes, and clients of it that wait. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/process.h"
#include "tests/server/echo.h"

enum { PORT_PLAIN, PORT_TLS, PORTS };

/* An echo server on loopback, its ports in server_ports. `change` may alter the
 * configuration; NULL. With TLS when `files` is not NULL. */
struct process *server_begin(void (*change)(struct process_conf *conf));
void server_end(struct process *p);
extern uint16_t server_ports[PORTS];

/* Waits until `*at` is `wanted`, five seconds at most; false: it never was. */
bool wait_for_count(_Atomic unsigned *at, unsigned wanted);
/* The same for connections, when all that client_open() made have been accepted. */
bool wait_for_connections(struct process *p, uint64_t wanted);

/* A connected socket, with a receive timeout of ten seconds. */
int client_open(unsigned port);
void client_send(int fd, const char *text);
void client_send_bytes(int fd, const void *at, size_t len);
/* One line, its LF included; "" at the end of the stream, NULL on error. */
const char *client_line(int fd);
/* Reads until len bytes are there; false: the stream ended first. */
bool client_read(int fd, char *at, size_t len);
/* The server has ended the stream in order. */
bool client_at_end(int fd);

/* Bytes the program has allocated; 0 where a sanitizer keeps them to itself. */
size_t heap_in_use(void);

#define assert_line(fd, text) assert_string_equal(client_line(fd), text)
