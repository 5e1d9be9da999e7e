/*
 * The supervisor: puts kernel, view, personality and trap together, runs them to the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "control/control.h"
#include "launch/launch-internal.h"
#include "layer/layer.h"
#include "linux/linux.h"

/* Everything of one run, so that it can be taken down in one place whatever was reached. */
struct run {
    const struct launch_options *options;
    const struct launch_hooks *hooks;
    struct base_error *error;
    struct trap_features features;
    struct pk_net_rules net_rules; /* with the addresses of all names */
    struct pk_kernel *kernel;
    struct vfs *vfs;
    struct launch_layers layers;
    struct trap *trap;
    struct control_server *control;  /* NULL: nobody can ask */
    struct report_only *report_only; /* NULL: what is refused is refused */
    struct remote *remote;           /* NULL: no program has made this kernel */
    struct limits_holder limits;
    struct allocator allocator;
    struct linux_ipc_board *ipc_board;
    char loader[PATH_MAX];
    sigset_t ignored; /* signals that the user has ignored, for the guest */
    mode_t mask;      /* of the user, for the guest; ours is 0 */
};

static void set_identity(struct pk_config *config, const struct launch_options *options)
{
    struct pk_identity *identity = &config->identity;
    bool is_root;

    getresuid(&identity->uid, &identity->euid, &identity->suid);
    getresgid(&identity->gid, &identity->egid, &identity->sgid);
    if (options->has_uid) {
        identity->uid = identity->euid = identity->suid = options->uid;
        identity->gid = identity->egid = identity->sgid = options->gid;
    } else {
        int count = getgroups(PK_GROUPS_MAX, identity->groups);

        identity->group_count = count > 0 ? (unsigned)count : 0;
    }
    identity->fsuid = identity->euid;
    identity->fsgid = identity->egid;
    identity->dumpable = true;
    is_root = identity->euid == 0;
    identity->bounding = (1ULL << 41) - 1;
    identity->effective = identity->permitted = is_root ? identity->bounding : 0;
    /* Root may change its ids, and then they are no longer the host's. */
    config->virtual_identity = is_root || (options->has_uid && options->uid != getuid());
}

/* A call that the program answers itself would never come to who intercepts, denies or injects. */
static bool needs_no_vdso(const struct launch_options *options)
{
    bool needed = options->no_vdso;

    for (int nr = 0; nr < PK_NR_LIMIT; nr++)
        needed |= abi_is_in_vdso(nr) &&
                  (options->intercepted[nr / 64] >> nr % 64 & 1 || options->denied[nr] ||
                   (options->faults && pk_faults_name(options->faults, nr)));
    return needed;
}

/* What is denied has to come here; on trial, the network too. */
static void set_denied(struct pk_config *config, const struct launch_options *options)
{
    memcpy(config->denied, options->denied, sizeof(config->denied));
    for (unsigned nr = 0; nr < PK_NR_LIMIT; nr++)
        if (options->denied[nr])
            config->intercepted[nr / 64] |= 1ULL << nr % 64;
    config->report_only = options->report_only;
    config->report_net = options->report_only && options->net == PK_NET_NONE;
    if (config->report_net)
        config->net = PK_NET_HOST;
}

static void make_config(const struct launch_options *options, struct pk_config *config)
{
    const char *slash = strrchr(options->argv[0], '/');

    *config = (struct pk_config){.net = options->net,
                                 .limits = options->limits,
                                 .stats = options->stats || options->debugfs,
                                 .faults = options->faults,
                                 .test_device = options->test_device,
                                 .no_vdso = needs_no_vdso(options)};
    memcpy(config->intercepted, options->intercepted, sizeof(config->intercepted));
    set_denied(config, options);
    for (int nr = 0; options->faults && nr < PK_NR_LIMIT; nr++)
        if (pk_faults_name(options->faults, nr))
            config->intercepted[nr / 64] |= 1ULL << nr % 64;
    snprintf(config->name, sizeof(config->name), "%s", slash ? slash + 1 : options->argv[0]);
    set_identity(config, options);
}

static void drop_features(struct trap_features *features, const char *without)
{
    if (without == NULL)
        return;
    if (strstr(without, "send"))
        features->addfd_send = false;
    if (strstr(without, "journal"))
        features->wait_killable = false;
    if (strstr(without, "sync"))
        features->sync_wake_up = false;
    if (strstr(without, "getfd"))
        features->pidfd_getfd = false;
    if (strstr(without, "userns"))
        features->user_namespaces = false;
    if (strstr(without, "landlock"))
        features->landlock_abi = 0;
}

static int prepare_host(struct run *run)
{
    int r = launch_loader_path(run->loader, sizeof(run->loader), run->error);

    trap_expect(&run->features);
    drop_features(&run->features, run->options->without);
    if (r == 0 && !run->features.pidfd_getfd && run->options->net_rules.count)
        r = base_fail(run->error, EPERM, "start the container with --cap-add SYS_PTRACE",
                      "network rules need pidfd_getfd, which this container forbids");
    if (r == 0)
        r = limits_prepare(&run->options->limits, run->options->stats, &run->limits, run->error);
    if (r == 0)
        r = allocator_prepare(run->options, &run->allocator, run->error);
    /* Modes that the guest asks for are exact: its own umask has been applied already. */
    run->mask = umask(0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return r;
}

static int make_kernel(struct run *run)
{
    struct pk_config config;
    int r;

    make_config(run->options, &config);
    config.net_rules = run->net_rules;
    r = pk_kernel_new(&config, &run->hooks->sink, &run->kernel, run->error);
    if (r == 0)
        run->kernel->tracer = run->hooks->tracer;
    return r;
}

/* Where it is not installed there is nothing to protect. */
static int protect_archive_reader(struct run *run)
{
    char path[PATH_MAX];
    cleanup_close int fd = -1;

    if (launch_archive_path(path, sizeof(path), NULL) < 0)
        return 0;
    fd = open(path, O_PATH | O_CLOEXEC);
    return fd < 0 ? 0 : vfs_protect(run->vfs, fd);
}

/*
 * What the host executes for guests, and what the user starts again tomorrow. --write can open up
 * the very directories in which these files are; a guest that could replace one of them would have
 * a program of its own executed outside of the kernel.
 */
static int protect_programs(struct run *run)
{
    cleanup_close int self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    int r = vfs_protect(run->vfs, trap_loader_fd(run->trap));

    if (r < 0)
        return base_fail(run->error, r, NULL, "cannot protect the loader: %s", strerror(-r));
    r = self < 0 ? -errno : vfs_protect(run->vfs, self);
    if (r == 0 || r == -ESTALE)
        r = protect_archive_reader(run);
    if ((r == 0 || r == -ESTALE) && run->options->has_protected)
        r = vfs_protect(run->vfs, run->options->protected_fd);
    if ((r == 0 || r == -ESTALE) && run->options->protected_log)
        r = vfs_protect_log(run->vfs, run->options->protected_directory,
                            run->options->protected_log);
    /* A file that was replaced in the meantime has no name left to protect. */
    return r == -ESTALE ? 0 : r;
}

/* Nobody commits or discards the layer while the guest runs, and it says what it belongs to. */
static int use_layer(struct run *run)
{
    const struct launch_options *options = run->options;
    const struct pk_identity *identity = &run->kernel->config.identity;
    cleanup_free char *root = realpath(options->root ? options->root : "/", NULL);
    struct layer_origin origin = {.guest_uid = identity->uid,
                                  .guest_gid = identity->gid,
                                  .host_uid = geteuid(),
                                  .host_gid = getegid(),
                                  .root = root ? root : "/"};

    if (options->overlay == NULL)
        return 0;
    return layer_use(options->overlay, &origin, &run->layers.in_use, run->error);
}

static int prepare_names(struct run *run)
{
    struct vfs_actor actor = {.identity = &run->kernel->config.identity, .mask = run->mask};
    int r = vfs_new(run->kernel, &run->vfs);

    if (r == 0)
        r = protect_programs(run);
    if (r == 0)
        r = use_layer(run);
    if (r == 0)
        r = view_build(run->vfs, run->options, &run->layers, run->error);
    if (r == 0)
        r = view_add_hosts(run->vfs, &run->net_rules, run->error);
    if (r == 0)
        r = allocator_place(&run->allocator, run->vfs, &actor, run->options->allocator, run->error);
    if (r == 0 && run->options->report_only)
        r = report_only_start(run->kernel, run->vfs, run->options, &run->report_only);
    else if (r == 0)
        run->kernel->observer = run->hooks->observer;
    if (r == 0)
        r = linux_register(run->kernel);
    if (r == 0)
        linux_ipc_set_board(run->kernel, run->ipc_board);
    return r;
}

/*
 * The window of kernel-served descriptors ends at the guest's soft limit, but below 1024 at the
 * most.
 */
static int window_base(const struct run *run)
{
    rlim_t top = run->limits.open_files.rlim_cur;

    if (run->options->limits.open_files && run->options->limits.open_files < top)
        top = run->options->limits.open_files;
    return (int)(top < 1024 ? top : 1024) - PK_WINDOW_SIZE;
}

static int find_cwd(struct run *run, const struct vfs_actor *actor, struct vfs_place *root,
                    struct vfs_place **ret_cwd)
{
    char path[PATH_MAX];
    struct vfs_walk walk = {.actor = actor, .root = root, .base = root, .path = path};
    int r = view_cwd(run->options, path, sizeof(path));

    if (r == 0)
        r = vfs_resolve(run->vfs, &walk, ret_cwd);
    if (r == 0 && !S_ISDIR(vfs_place_type(*ret_cwd))) {
        vfs_place_unref(take_ptr(*ret_cwd));
        r = -ENOTDIR;
    }
    if (r == 0)
        return 0;
    if (run->options->cwd)
        return base_fail(run->error, r, "name a directory that the program can see",
                         "cannot start in %s: %s", run->options->cwd, strerror(-r));
    /* The current directory may not be part of another --root: "/" is. */
    *ret_cwd = vfs_place_ref(root);
    return 0;
}

/* A host that lacks something required fails in one of many places: say what it lacks. */
static int explain(struct run *run, int failure)
{
    struct trap_features features;
    struct base_error reason = {0};

    trap_probe(&features);
    if (trap_check_features(&features, &reason) < 0)
        *run->error = reason;
    return failure;
}

/* ---- what trap_start asks for in other processes ---- */

static int enter(void *user)
{
    struct run *run = user;

    return limits_enter(&run->limits);
}

static void clean_up(void *user)
{
    struct run *run = user;

    limits_release(&run->limits);
    linux_ipc_board_sweep(run->ipc_board);
}

static enum trap_verdict look(void *user, bool ended)
{
    struct run *run = user;

    return limits_look(&run->limits, ended);
}

/* The processes of the tree come up while names and program are prepared. */
static int begin_guest(struct run *run, pid_t process_group, const struct launch_watch *watch)
{
    struct trap_start start = {
        .loader_path = run->loader,
        .argv = run->options->argv,
        .envp = run->allocator.envp ? run->allocator.envp : run->options->envp,
        .process_group = process_group,
        .walls = !run->options->no_walls,
        .ignored = run->options->ignored ? run->options->ignored : &run->ignored,
        .wait_for_all = run->options->wait_for_all,
        .standard_fds_only =
            run->options->view == LAUNCH_VIEW_MINIMAL && !run->options->report_only,
        .prepare = enter,
        .clean_up = clean_up,
        .look = run->limits.seen ? look : NULL,
        .look_every_ms = LIMITS_LOOK_MS,
        .prepare_user = run,
        .first_changed = watch->changed,
        .first_changed_user = watch->user};
    int r;

    signals_ignored(&run->ignored);
    run->ipc_board = linux_ipc_board_new();
    run->kernel->window_base = window_base(run);
    r = trap_begin(run->kernel, &run->features, &start, &run->trap, run->error);
    return r < 0 ? explain(run, r) : 0;
}

static int start_guest(struct run *run, int *ret_exit_status)
{
    struct pk_kernel *kernel = run->kernel;
    struct vfs_actor actor = {.identity = &kernel->config.identity, .mask = run->mask};
    cleanup_place struct vfs_place *root = vfs_root(run->vfs);
    cleanup_place struct vfs_place *cwd = NULL;
    struct pk_context draft = {.mask = run->mask, .identity = kernel->config.identity};
    const struct pk_context *context;
    struct pk_exec_plan *plan;
    int r = find_cwd(run, &actor, root, &cwd);

    if (r < 0)
        return r;
    draft.root = root;
    draft.cwd = cwd;
    r = program_find(kernel, run->options, &draft, &plan, ret_exit_status, run->error);
    if (r < 0)
        return r;
    if (run->options->allocator &&
        (r = allocator_check_program(plan, run->options->argv[0], run->error)) < 0) {
        pk_exec_plan_free(plan);
        *ret_exit_status = LAUNCH_EXIT_NOT_RUN;
        return r;
    }
    r = linux_first_context(kernel, root, cwd, run->mask, plan, &context);
    if (r < 0) {
        pk_exec_plan_free(plan);
        return base_fail(run->error, r, NULL, "cannot prepare the program: %s", strerror(-r));
    }
    r = trap_complete(run->trap, plan, context, run->error);
    return r < 0 ? explain(run, r) : 0;
}

static void audit_start(struct run *run)
{
    struct pk_audit_record record = {.event = "start", .what = run->options->argv[0]};

    snprintf(record.comm, sizeof(record.comm), "%.15s", run->kernel->config.name);
    pk_audit(run->kernel, NULL, &record);
}

static void audit_end(struct run *run, int status)
{
    struct pk_audit_record record = {.event = "end"};
    char how[32];

    snprintf(record.comm, sizeof(record.comm), "%.15s", run->kernel->config.name);
    if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof(how), "exit %d", WEXITSTATUS(status));
    record.what = how;
    pk_audit(run->kernel, NULL, &record);
}

static void conclude(struct run *run, struct launch_result *result)
{
    int status = result->wait_status;

    result->ran = true;
    result->exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    limits_find_breaches(&run->limits, &run->kernel->stats, result);
    audit_end(run, status);
    remote_end(run->remote, result);
    if (run->hooks->report)
        run->hooks->report(run->hooks->user, run->kernel, &run->layers, result);
}

static void take_down(struct run *run)
{
    control_server_free(run->control);
    remote_free(run->remote);
    trap_free(run->trap);
    report_only_free(run->report_only);
    if (run->kernel)
        linux_unregister(run->kernel);
    vfs_free(run->vfs);
    if (run->layers.in_use > 0)
        close(run->layers.in_use);
    pk_kernel_free(run->kernel);
    linux_ipc_board_free(run->ipc_board);
    limits_release(&run->limits);
    allocator_release(&run->allocator);
    umask(run->mask);
    pk_net_rules_free(&run->net_rules);
}

int launch_supervise(const struct launch_options *options, const struct launch_hooks *hooks,
                     pid_t process_group, const struct launch_watch *watch,
                     struct launch_result *ret_result, struct base_error *error)
{
    struct run run = {.options = options, .hooks = hooks, .error = error};
    struct launch_result result = {.exit_status = LAUNCH_EXIT_FAILED};
    uint64_t begin = io_now_ns();
    int r = prepare_host(&run);

    if (r == 0)
        r = net_names_resolve(&options->net_rules, &run.net_rules, error);
    if (r == 0)
        r = make_kernel(&run);
    if (r == 0)
        r = begin_guest(&run, process_group, watch);
    if (r == 0)
        r = prepare_names(&run);
    if (r == 0)
        r = start_guest(&run, &result.exit_status);
    if (r == 0 && options->has_channel)
        r = remote_start(run.kernel, run.trap, options->channel, &run.remote);
    if (r == 0) {
        audit_start(&run);
        /* Another user can have taken the name; the program runs as well when nobody can ask. */
        reports_start(run.kernel, run.trap, &run.control);
        if (watch->started)
            watch->started(watch->user, run.kernel->root_pid, run.trap);
        r = trap_run(run.trap, &result.wait_status);
        if (watch->ended)
            watch->ended(watch->user);
    }
    result.duration_ns = io_now_ns() - begin;
    if (r == 0)
        conclude(&run, &result);
    else
        base_fail(error, r, NULL, "cannot run %s: %s", options->argv[0], strerror(-r));
    take_down(&run);
    *ret_result = result;
    return r;
}
