/*
 * Faults in handlers: the thread goes back to where the handler was called from. What the handler
 * held (locks, memory) stays as it was; the guest gets an error, and the program is told. Faults
 * elsewhere in the program go to whoever handled them before.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "api/api-internal.h"
#include "base/cleanup.h"

#define ALTERNATE_STACK 65536

const int api_faults[API_FAULTS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

/* As they were before ours, and the lock for changing that. */
static struct sigaction former[API_FAULTS];
static pthread_mutex_t former_lock = PTHREAD_MUTEX_INITIALIZER;

static __thread sigjmp_buf *way_out;

static void pass_on(int number, siginfo_t *info, void *context)
{
    for (size_t i = 0; i < API_FAULTS; i++) {
        if (api_faults[i] != number)
            continue;
        if (former[i].sa_flags & SA_SIGINFO)
            former[i].sa_sigaction(number, info, context);
        else if (former[i].sa_handler != SIG_DFL && former[i].sa_handler != SIG_IGN)
            former[i].sa_handler(number);
        else
            sigaction(number, &former[i], NULL); /* the instruction faults again, and ends it */
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    /* Sent by somebody (kill) it is no fault of the handler. */
    if (way_out && info->si_code > 0)
        siglongjmp(*way_out, number);
    pass_on(number, info, context);
}

void api_fence_install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct sigaction now;

    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&former_lock);
    for (size_t i = 0; i < API_FAULTS; i++) {
        sigaction(api_faults[i], NULL, &now);
        if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault)
            continue;
        former[i] = now;
        sigaction(api_faults[i], &action, NULL);
    }
    pthread_mutex_unlock(&former_lock);
}

int api_fence_enter(void **ret_stack)
{
    stack_t stack = {.ss_size = ALTERNATE_STACK};

    stack.ss_sp =
        mmap(NULL, ALTERNATE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return -ENOMEM;
    sigaltstack(&stack, NULL);
    *ret_stack = stack.ss_sp;
    return 0;
}

void api_fence_leave(void *stack)
{
    stack_t none = {.ss_flags = SS_DISABLE};

    sigaltstack(&none, NULL);
    munmap(stack, ALTERNATE_STACK);
}

/*
 * Saving the mask with the way out would cost each call a system call. A handler gets the mask that
 * receivers have, and may have changed it before its fault.
 */
static void restore_mask(void)
{
    sigset_t mask;

    sigfillset(&mask);
    for (size_t i = 0; i < API_FAULTS; i++)
        sigdelset(&mask, api_faults[i]);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

bool api_fenced(pk_call_handler handler, struct pk_call *call, void *user, long *ret_result)
{
    sigjmp_buf out;

    if (sigsetjmp(out, 0)) {
        way_out = NULL;
        restore_mask();
        return false;
    }
    way_out = &out;
    *ret_result = handler(call, user);
    way_out = NULL;
    return true;
}
