/* The driver contract on real QEMU guests. */
#include "virt/guest.h"

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT_TESTS};

    return cmocka_run_group_tests(tests, virt_open, virt_close);
}
