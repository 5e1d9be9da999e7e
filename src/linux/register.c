#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/elf-cache.h"
#include "linux/ipc-internal.h"
#include "linux/keys.h"
#include "linux/linux-internal.h"
#include "linux/linux.h"
#include "linux/net-internal.h"

/* Names that go beyond this kernel carry the token, so that two kernels never meet. */
static void make_token(char token[17])
{
    uint64_t number;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = io_now_ns() ^ (uint64_t)getpid() << 40;
    snprintf(token, 17, "%016lx", (unsigned long)number);
}

static void take_host_names(struct linux_state *state)
{
    struct utsname host;

    uname(&host);
    snprintf(state->hostname, sizeof(state->hostname), "%s", host.nodename);
    snprintf(state->domainname, sizeof(state->domainname), "%s", host.domainname);
}

static struct linux_state *state_new(struct pk_kernel *kernel)
{
    struct linux_state *state = calloc(1, sizeof(*state));

    if (state == NULL)
        return NULL;
    state->personality.name = "linux";
    state->personality.describe_fd = linux_describe_fd;
    state->personality.proc_text = linux_proc_text;
    state->personality_used = personality(LINUX_PERSONALITY_QUERY) != PER_LINUX;
    make_token(state->token);
    take_host_names(state);
    state->elf_cache = elf_cache_new();
    state->names = unix_names_new();
    state->twins = unix_twins_new(state->token);
    state->connections = net_connections_new();
    state->ipc = ipc_objects_new();
    state->mqueues = ipc_mqueues_new(state->token);
    state->keys = keys_new(&kernel->key_limits);
    state->locks = file_locks_new();
    return state;
}

static int register_families(struct pk_kernel *kernel)
{
    static int (*const families[])(struct pk_kernel *) = {
        linux_register_files,   linux_register_exec,   linux_register_identity,
        linux_register_process, linux_register_signal, linux_register_system,
        linux_register_network, linux_register_ipc,    linux_register_keys,
    };

    for (size_t i = 0; i < array_length(families); i++) {
        int r = families[i](kernel);

        if (r < 0)
            return r;
    }
    return 0;
}

int linux_register(struct pk_kernel *kernel)
{
    struct linux_state *state = state_new(kernel);
    int r;

    if (state == NULL)
        return -ENOMEM;
    kernel->personality = &state->personality;
    kernel->hostname = state->hostname;
    kernel->domainname = state->domainname;
    r = state->elf_cache && state->names && state->twins && state->connections && state->ipc &&
                state->mqueues && state->keys && state->locks
            ? register_families(kernel)
            : -ENOMEM;
    if (r < 0)
        linux_unregister(kernel);
    return r;
}

void linux_unregister(struct pk_kernel *kernel)
{
    struct linux_state *state;

    if (kernel->personality == NULL)
        return;
    state = linux_state(kernel);
    kernel->personality = NULL;
    kernel->hostname = NULL;
    kernel->domainname = NULL;
    elf_cache_free(state->elf_cache);
    unix_names_free(state->names);
    unix_twins_free(state->twins);
    net_connections_free(state->connections);
    net_loopback_free(state->loopback);
    ipc_objects_free(state->ipc);
    ipc_mqueues_free(state->mqueues);
    keys_free(state->keys);
    file_locks_free(state->locks);
    free(state);
}
