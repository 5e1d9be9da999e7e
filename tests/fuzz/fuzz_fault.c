/*
 * Rules of fault injection as somebody might write them. A rule that is taken does something, to
 * calls to which it can be done, at turns that exist; its own text is read the same way again.
 * Regular expressions are the C library's business and are left out.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/syscalls.h"
#include "core/faults.h"

#define INPUT_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check_calls(const struct pk_fault *fault)
{
    bool any = false;

    for (int nr = 0; nr < ABI_CALL_SET_NUMBERS; nr++) {
        if (!abi_call_set_has(&fault->calls, nr))
            continue;
        any = true;
        require(abi_may_inject(nr) || (fault->has_result && abi_may_deny(nr) && fault->first == 1 &&
                                       fault->last == UINT32_MAX && fault->step == 1),
                "only what can be injected into");
    }
    require(any, "some call is meant");
}

static void check(const struct pk_fault *fault)
{
    require(fault->has_result || fault->signal || fault->delay_enter_ns || fault->delay_exit_ns,
            "it does something");
    require(!fault->has_result || fault->result >= -4095, "an error is one");
    require(fault->signal >= 0 && fault->signal <= 64, "a signal is one");
    require(fault->first >= 1 && fault->last >= fault->first && fault->step >= 1, "turns exist");
    require(fault->injected == 0, "nothing has happened yet");
    check_calls(fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[INPUT_MAX + 1];
    struct pk_fault fault = {0}, again = {0};
    struct base_error error = {0};
    int r;

    if (size > INPUT_MAX)
        size = INPUT_MAX;
    memcpy(text, data, size);
    text[size] = '\0';
    if (strchr(text, '/'))
        return 0;
    r = pk_fault_parse(text, &fault, &error);
    if (r < 0) {
        require(error.code == -r && error.sentence[0] && error.hint[0], "a failure is explained");
        return 0;
    }
    check(&fault);
    require(pk_fault_parse(fault.text, &again, NULL) == 0 &&
                memcmp(&fault.calls, &again.calls, sizeof(fault.calls)) == 0 &&
                fault.first == again.first && fault.last == again.last &&
                fault.step == again.step && fault.result == again.result,
            "its text means the same");
    return 0;
}
