/*
 * A program that reaches one host, and nothing else of the network.
 *
 *     cc one-host.c -o one-host $(pkg-config --cflags --libs cerebro)
 *     ./one-host deb.debian.org:80 curl http://deb.debian.org/
 *
 * HOST is a name or an address, with a port if it shall be one only; all addresses that the name
 * has when the program starts. Names are asked for on the network, too: a program that shall look
 * up others needs its name server allowed, as a second rule.
 *
 * Why a rule, and no handler? A handler for connect can decide by anything, but it sees an address
 * in the guest's memory. Say it copies the address with pk_call_read(), finds it to be the right
 * one, and returns pk_call_native(): then the host reads the memory again, and another thread of
 * the guest may have written another address there meanwhile. So once it has looked at memory it
 * must not answer native. What it can do:
 *
 *  - refuse, with -EACCES: of that the memory is no part any more;
 *  - pk_call_forward(): the process kernel copies the address itself, once, and acts on its copy;
 * its own rules (pk_net_allow(), --net) decide, whatever the handler has seen;
 *  - do it itself, on its copy: take the guest's socket with pidfd_getfd(2), connect() it to the
 * copied address, and return the result.
 *
 * And connect is not the only one: sendto, sendmsg and sendmmsg name addresses as well.
 */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cerebro/process_kernel.h>

/* The text has three lines: what, which rule, how to allow it. */
static void on_event(const pk_event_t *event, void *user)
{
    (void)user;
    if (event->type == PK_EVENT_DENIAL)
        fprintf(stderr, "one-host: denied: %.*s\n", (int)strcspn(event->text, "\n"), event->text);
}

static int complain(void)
{
    fprintf(stderr, "one-host: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
    return 125;
}

int main(int argc, char **argv)
{
    process_kernel_t *kernel;
    int status;

    if (argc < 3) {
        fprintf(stderr, "usage: one-host HOST[:PORT] PROGRAM [ARGUMENTS]\n");
        return 2;
    }
    kernel = pk_create(PK_TYPE_CUSTOM, "one-host");
    if (kernel == NULL)
        return complain();
    pk_set_event_handler(kernel, on_event, NULL);
    if (pk_net_allow(kernel, argv[1]) < 0 || pk_spawn(kernel, argv + 2) < 0 ||
        pk_wait(kernel, &status) < 0)
        return complain();
    pk_destroy(kernel);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
