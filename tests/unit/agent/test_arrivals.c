/* agent/arrivals: what is noted of an instance is taken once, and there is a bound to how many are
 * noted and for how long. */
#include "agent/arrivals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define UUID "353645e8-9125-47a8-9571-53655fd8b5dc"
#define MOST 64
#define AGE_MS 60000

typedef struct Fixture {
    Arrivals *arrivals;
    DvClock clock;
    int64_t now_ms;
} Fixture;

static int64_t fake_now(void *self)
{
    return *(int64_t *)self;
}

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->clock = (DvClock){fake_now, fake_now, &f->now_ms};
    f->arrivals = arrivals_new(&f->clock);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    arrivals_free(f->arrivals);
    g_free(f);
    return 0;
}

/* Notes mappings that can be told from others. */
static void note(Fixture *f, const char *uuid, const char *mark)
{
    Ovo *bdms = ovo_new_dict();

    ovo_set_str(bdms, "mark", mark);
    arrivals_note(f->arrivals, uuid, bdms, false);
}

static void note_number(Fixture *f, unsigned number)
{
    g_autofree char *uuid = g_strdup_printf("%08u-0000-4000-8000-000000000000", number);

    note(f, uuid, "one of many");
}

static bool take_number(Fixture *f, unsigned number)
{
    g_autofree char *uuid = g_strdup_printf("%08u-0000-4000-8000-000000000000", number);
    g_autoptr(Ovo) bdms = NULL;
    bool grouped = false;

    return arrivals_take(f->arrivals, uuid, &bdms, &grouped);
}

/* The mark of what is taken; NULL: nothing is known. Caller frees. */
static char *take(Fixture *f)
{
    g_autoptr(Ovo) bdms = NULL;
    bool grouped = false;

    if (!arrivals_take(f->arrivals, UUID, &bdms, &grouped))
        return NULL;
    return g_strdup(ovo_str_or(bdms, "mark", ""));
}

static void what_is_noted_is_taken_once(void **state)
{
    Fixture *f = *state;
    Ovo *noted = ovo_new_dict();
    g_autoptr(Ovo) taken = NULL;
    Ovo *again = NULL;
    bool grouped = false;

    assert_null(take(f));
    arrivals_note(f->arrivals, UUID, noted, true);
    assert_true(arrivals_take(f->arrivals, UUID, &taken, &grouped));
    assert_ptr_equal(taken, noted);
    assert_true(grouped);
    grouped = false;
    assert_false(arrivals_take(f->arrivals, UUID, &again, &grouped));
    assert_null(again);
    assert_false(grouped);
}

static void newer_note_is_the_one_that_counts(void **state)
{
    Fixture *f = *state;
    g_autofree char *mark = NULL;

    note(f, UUID, "older");
    note(f, UUID, "newer");
    mark = take(f);
    assert_string_equal(mark, "newer");
    assert_null(take(f));
}

static void note_is_good_for_a_minute(void **state)
{
    Fixture *f = *state;
    g_autofree char *mark = NULL;

    note(f, UUID, "first");
    f->now_ms += AGE_MS;
    mark = take(f);
    assert_string_equal(mark, "first");
    note(f, UUID, "second");
    f->now_ms += AGE_MS + 1;
    assert_null(take(f));
}

/* What was noted again is as old as the later note. */
static void newer_note_begins_its_minute_anew(void **state)
{
    Fixture *f = *state;
    g_autofree char *mark = NULL;

    note(f, UUID, "older");
    f->now_ms += AGE_MS;
    note(f, UUID, "newer");
    f->now_ms += AGE_MS;
    mark = take(f);
    assert_string_equal(mark, "newer");
}

static void no_more_than_64_are_noted(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i <= MOST; i++)
        note_number(f, i);
    assert_false(take_number(f, MOST));
    for (unsigned i = 0; i < MOST; i++)
        assert_true(take_number(f, i));
    note_number(f, MOST);
    assert_true(take_number(f, MOST));
}

/* The mappings may have changed in between. */
static void newer_note_counts_where_all_room_is_taken(void **state)
{
    Fixture *f = *state;
    g_autofree char *mark = NULL;

    note(f, UUID, "older");
    for (unsigned i = 1; i < MOST; i++)
        note_number(f, i);
    note(f, UUID, "newer");
    mark = take(f);
    assert_string_equal(mark, "newer");
}

static void old_notes_make_room(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < MOST; i++)
        note_number(f, i);
    f->now_ms += AGE_MS + 1;
    note_number(f, MOST);
    assert_true(take_number(f, MOST));
    assert_false(take_number(f, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_noted_is_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_note_is_the_one_that_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(note_is_good_for_a_minute, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_note_begins_its_minute_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_than_64_are_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_note_counts_where_all_room_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(old_notes_make_room, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
