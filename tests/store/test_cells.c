/* Cells against plain arrays: each is its own, and cleared when it is taken; chunks with
 * nothing in them go back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/cells.h"

enum { BYTES = 1000, CELL = 1008, MANY = 7000, STEPS = 100000, CHUNK = 2 << 20 };

static uint64_t random_state = 1;

static uint64_t draw(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

static void take(struct cells *c, char **cell, unsigned mark)
{
    *cell = cell_take(c);
    assert_non_null(*cell);
    assert_int_equal((uintptr_t)*cell % 16, 0);
    for (unsigned i = 0; i < BYTES; i++)
        assert_int_equal((*cell)[i], 0);
    memset(*cell, (int)(mark % 255 + 1), BYTES);
}

static void give(struct cells *c, char **cell, unsigned mark)
{
    for (unsigned i = 0; i < BYTES; i++)
        assert_int_equal((unsigned char)(*cell)[i], mark % 255 + 1);
    cell_give(c, *cell);
    *cell = NULL;
}

static void each_is_its_own(void **state)
{
    char **cells = calloc(MANY, sizeof *cells);
    struct cells c;

    (void)state;
    cells_open(&c, BYTES);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)draw(MANY);

        if (cells[i])
            give(&c, &cells[i], i);
        else
            take(&c, &cells[i], i);
    }
    for (unsigned i = 0; i < MANY; i++)
        if (cells[i])
            give(&c, &cells[i], i);
    cells_close(&c);
    free(cells);
}

static void chunks_come_and_go(void **state)
{
    unsigned full = (MANY + CHUNK / CELL - 1) / (CHUNK / CELL);
    char **cells = calloc(MANY, sizeof *cells);
    struct cells c;

    (void)state;
    cells_open(&c, BYTES);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++)
            take(&c, &cells[i], i);
        assert_in_range(c.chunks, full, full + 1);
        for (unsigned i = 0; i < MANY; i++)
            give(&c, &cells[(i * 4999u) % MANY], (i * 4999u) % MANY);
        assert_int_equal(c.chunks, 1);
    }
    cells_close(&c);
    free(cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_its_own),
        cmocka_unit_test(chunks_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
