/* Profiles: reading, layers, and what a run is drawn together to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "profile/profile.h"
#include "profile/record-internal.h"
#include "profile/record.h"

static const struct profile_places plain = {.home = "/home/u", .cwd = "/home/u/project"};

static int parse(struct profile *profile, const char *text, struct base_error *error)
{
    return profile_parse(profile, "file", text, strlen(text), &plain, error);
}

static const struct profile_path *find(const struct profile *profile, const char *path)
{
    for (size_t i = 0; i < profile->path_count; i++)
        if (strcmp(profile->paths[i].path, path) == 0)
            return &profile->paths[i];
    return NULL;
}

/* ---- reading ---- */

static void test_everything_is_read(void **state)
{
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};

    (void)state;
    assert_int_equal(parse(&profile,
                           "description: all of it\n"
                           "mode: report\n"
                           "view: minimal\n"
                           "paths:\n"
                           "  read: [/usr/, ~/a, /b//c/./d]\n"
                           "  write: .\n"
                           "  create: ~/.tool\n"
                           "  hide: ['${HOME}/.ssh']\n"
                           "  scratch: [/run]\n"
                           "  directories: ['${CWD}/empty']\n"
                           "network: {mode: host, allow: [example.org:443], deny: [10.0.0.0/8]}\n"
                           "limits: {memory: 2M, pids: 10, files: 20, cpu: 30, fsize: 1K}\n"
                           "environment: {clear: true, keep: PATH, set: {A: b=c}, unset: [X]}\n"
                           "personality: {type: linux, uid: '7:8'}\n"
                           "calls: {deny: [ptrace, mkdir=ENOSYS]}\n",
                           &error),
                     0);
    assert_string_equal(profile.description, "all of it");
    assert_true(profile.report_only.value && profile.minimal_view.value && profile.network.value);
    assert_int_equal(profile.path_count, 8);
    assert_int_equal(find(&profile, "/home/u/.tool")->kind, PROFILE_CREATE);
    assert_int_equal(find(&profile, "/usr")->kind, PROFILE_READ);
    assert_int_equal(find(&profile, "/home/u/a")->kind, PROFILE_READ);
    assert_int_equal(find(&profile, "/b/c/d")->kind, PROFILE_READ);
    assert_int_equal(find(&profile, "/home/u/project")->kind, PROFILE_WRITE);
    assert_int_equal(find(&profile, "/home/u/.ssh")->kind, PROFILE_HIDE);
    assert_int_equal(find(&profile, "/home/u/.ssh")->origin.line, 8);
    assert_int_equal(find(&profile, "/home/u/.ssh")->origin.column, 10);
    assert_int_equal(find(&profile, "/run")->kind, PROFILE_SCRATCH);
    assert_int_equal(find(&profile, "/home/u/project/empty")->kind, PROFILE_DIRECTORY);
    assert_int_equal(profile.rule_count, 2);
    assert_true(profile.rules[0].allow && !profile.rules[1].allow);
    assert_int_equal(profile.limits[PK_LIMIT_MEMORY].value, 2 << 20);
    assert_int_equal(profile.limits[PK_LIMIT_CPU].value, 30);
    assert_int_equal(profile.variable_count, 3);
    assert_string_equal(profile.variables[1].value, "b=c");
    assert_int_equal(profile.uid.value, 7);
    assert_int_equal(profile.gid.value, 8);
    assert_int_equal(profile.denied_count, 2);
    assert_int_equal(profile.denied[0].errnum, EPERM);
    assert_int_equal(profile.denied[1].errnum, ENOSYS);
}

static void test_an_empty_file_says_nothing(void **state)
{
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};

    (void)state;
    assert_int_equal(parse(&profile, "", &error), 0);
    assert_int_equal(parse(&profile, "# nothing\npaths:\nlimits:\n", &error), 0);
    assert_int_equal(profile.path_count, 0);
    assert_int_equal(profile.network.origin.line, 0);
}

static void assert_refused(const char *text, const char *sentence, const char *hint)
{
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};

    assert_true(parse(&profile, text, &error) < 0);
    if (strstr(error.sentence, sentence) == NULL || strstr(error.hint, hint) == NULL)
        fail_msg("%s: '%s', '%s'", text, error.sentence, error.hint);
}

static void test_errors_say_where_and_what_to_do(void **state)
{
    (void)state;
    assert_refused("vieww: host\n", "file:1:1: there is no key 'vieww'", "did you mean 'view'?");
    assert_refused("xyzzy: host\n", "file:1:1: there is no key 'xyzzy'", "known are description");
    assert_refused("limits:\n  memroy: 1\n", "file:2:3: there is no key", "'memory'");
    assert_refused("limits: {pids: 0}\n", "file:1:16: this is not a positive", "number");
    assert_refused("paths: [/usr]\n", "file:1:8: keys with values", "NAME: VALUE");
    assert_refused("paths: {read: {a: b}}\n", "file:1:15: a list belongs here", "-");
    assert_refused("paths: {read: [[a]]}\n", "file:1:16: a plain value", "-");
    assert_refused("paths: {read: ['$HOME']}\n", "no such variable", "${HOME}");
    assert_refused("paths: {read: ['~u/x']}\n", "not absolute", "~/");
    assert_refused("paths: {read: ['']}\n", "file:1:16", "");
    assert_refused("environment: {set: {A: [b]}}\n", "file:1:24", "");
    assert_refused("environment: {unset: ['A=b']}\n", "no name of a variable", "");
    assert_refused("personality: {uid: root}\n", "no user id", "N:GID");
    assert_refused("- a\n", "file:1:1: keys with values", "");
    assert_refused("? [a]\n: b\n", "a key must be a word", "");
    assert_refused("[[[[[[[[[a]]]]]]]]]\n", "too deeply", "");
    assert_refused("a: \"\\0\"\n", "NUL", "");
}

static void test_sizes_are_bounded(void **state)
{
    cleanup_strbuf struct strbuf text = {0};

    (void)state;
    strbuf_add_string(&text, "paths:\n  read:\n");
    for (int i = 0; i <= PROFILE_PATHS_MAX; i++)
        strbuf_addf(&text, "  - /p%d\n", i);
    assert_refused(strbuf_text(&text), "file:515:5: there are too many", "");
    strbuf_truncate(&text, 0);
    strbuf_add_string(&text, "paths: {read: [/a");
    for (int i = 0; i < PROFILE_NODES_MAX; i++)
        strbuf_add_string(&text, ",/a");
    strbuf_add_string(&text, "]}");
    assert_refused(strbuf_text(&text), "too many values", "");
    for (int i = 0; i < PROFILE_FILE_MAX; i++)
        strbuf_add_string(&text, "#");
    assert_refused(strbuf_text(&text), "at most 65536 bytes", "");
}

static void test_paths_need_their_places(void **state)
{
    const struct profile_places homeless = {.cwd = "/x"};
    const struct profile_places at_home = {.home = "/home/u", .cwd = "/home/u"};
    const struct profile_places above = {.home = "/home/u", .cwd = "/home"};
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};

    (void)state;
    assert_true(profile_parse(&profile, "f", "paths: {hide: ~/a}", 18, &homeless, &error) < 0);
    assert_non_null(strstr(error.hint, "HOME"));
    error.code = 0;
    assert_true(profile_parse(&profile, "f", "paths: {write: .}", 17, &at_home, &error) < 0);
    error.code = 0;
    assert_true(profile_parse(&profile, "f", "paths: {read: ./a}", 18, &above, &error) < 0);
    error.code = 0;
    assert_int_equal(profile_parse(&profile, "f", "paths: {write: .}", 17, &homeless, &error), 0);
}

/* HOME may be a symbolic link, or another's. */
static void test_no_home_is_a_project(void **state)
{
    const struct profile_places linked = {
        .home = "/link", .real_home = "/home/u", .cwd = "/home/u"};
    const struct profile_places others = {
        .home = "/root", .other_homes = {NULL, NULL, "/home/u"}, .cwd = "/home"};
    const struct profile_places rooted = {
        .home = "/", .real_home = "/", .other_homes = {"/"}, .cwd = "/home"};
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};

    (void)state;
    assert_true(profile_parse(&profile, "f", "paths: {write: .}", 17, &linked, &error) < 0);
    assert_non_null(strstr(error.sentence, "the whole of /home/u"));
    error.code = 0;
    assert_true(profile_parse(&profile, "f", "paths: {write: .}", 17, &others, &error) < 0);
    error.code = 0;
    assert_int_equal(profile_parse(&profile, "f", "paths: {write: .}", 17, &rooted, &error), 0);
}

/* ---- layers ---- */

struct tree {
    char root[64];
    char shipped[512], user[512], home[512], cwd[512];
    struct profile_places places;
};

static void make_file(const char *directory, const char *name, const char *text)
{
    char path[1024];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *make_directory(char *path, size_t size, const char *root, const char *name)
{
    assert_true((size_t)snprintf(path, size, "%s/%s", root, name) < size);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static int set_up(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));

    /* Not below /tmp, which is no part of a profile. */
    snprintf(tree->root, sizeof(tree->root), "/var/tmp/cerebro-profile-XXXXXX");
    assert_non_null(mkdtemp(tree->root));
    tree->places.shipped = make_directory(tree->shipped, sizeof(tree->shipped), tree->root, "s");
    tree->places.user = make_directory(tree->user, sizeof(tree->user), tree->root, "u");
    tree->places.home = make_directory(tree->home, sizeof(tree->home), tree->root, "home");
    tree->places.cwd = make_directory(tree->cwd, sizeof(tree->cwd), tree->home, "project");
    *state = tree;
    return 0;
}

static int remove_tree(const char *path)
{
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", path, (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static int tear_down(void **state)
{
    struct tree *tree = *state;
    int r = remove_tree(tree->root);

    free(tree);
    return r;
}

static void test_layers_add_and_replace(void **state)
{
    struct tree *tree = *state;
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};

    make_file(tree->shipped, "low.yaml", "paths: {read: [/a, /b]}\nlimits: {pids: 1, cpu: 1}\n");
    make_file(tree->shipped, "p.yaml", "extends: low\npaths: {read: [/c]}\nlimits: {pids: 2}\n");
    make_file(tree->user, "low.yaml", "paths: {hide: [/h]}\n");
    make_file(tree->user, "p.yaml", "paths: {write: [/a], drop: [/b]}\nlimits: {files: 3}\n");
    make_file(tree->cwd, "last.yaml", "limits: {files: 4}\n");
    assert_int_equal(profile_load(&profile, "p", &tree->places, &error), 0);
    assert_int_equal(find(&profile, "/a")->kind, PROFILE_WRITE);
    assert_null(find(&profile, "/b"));
    assert_int_equal(find(&profile, "/c")->kind, PROFILE_READ);
    assert_int_equal(find(&profile, "/h")->kind, PROFILE_HIDE);
    assert_int_equal(profile.limits[PK_LIMIT_PIDS].value, 2);
    assert_int_equal(profile.limits[PK_LIMIT_CPU].value, 1);
    assert_int_equal(profile.limits[PK_LIMIT_FILES].value, 3);
    assert_int_equal(profile.file_count, 4);
    assert_int_equal(profile.files[3].layer, PROFILE_USER);
    assert_int_equal(profile.files[find(&profile, "/a")->origin.file].layer, PROFILE_USER);
    {
        char path[1024];

        snprintf(path, sizeof(path), "%s/last.yaml", tree->cwd);
        assert_int_equal(profile_load(&profile, path, &tree->places, &error), 0);
    }
    assert_int_equal(profile.limits[PK_LIMIT_FILES].value, 4);
    assert_int_equal(profile.limits[PK_LIMIT_PIDS].value, 2);
}

static void test_chains_end(void **state)
{
    struct tree *tree = *state;
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};

    make_file(tree->user, "x.yaml", "extends: [y]\n");
    make_file(tree->user, "y.yaml", "extends: x\n");
    make_file(tree->user, "z.yaml", "extends: ./z.yaml\n");
    make_file(tree->user, "m.yaml", "extends: missing\n");
    assert_int_equal(profile_load(&profile, "x", &tree->places, &error), -ELOOP);
    error.code = 0;
    assert_true(profile_load(&profile, "z", &tree->places, &error) < 0);
    error.code = 0;
    assert_int_equal(profile_load(&profile, "m", &tree->places, &error), -ENOENT);
    assert_non_null(strstr(error.sentence, "'missing'"));
}

/* ---- learning ---- */

static void saw(struct profile_recorder *recorder, const char *path, enum pk_seen how)
{
    const struct pk_observer *observer = profile_recorder_observer(recorder);

    observer->path(observer->user, path, how);
}

static void saw_in(struct profile_recorder *recorder, const char *directory, const char *name,
                   enum pk_seen how)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    saw(recorder, path, how);
}

static void test_a_run_is_drawn_together(void **state)
{
    struct tree *tree = *state;
    cleanup_profile struct profile profile = {0};
    struct profile_recorder *recorder = profile_recorder_new();
    char many[512], keys[512], name[16], path[1024];

    make_directory(many, sizeof(many), tree->home, "many");
    make_directory(keys, sizeof(keys), tree->home, ".ssh");
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        make_file(many, name, "");
        make_file(keys, name, "");
        make_file(tree->home, name, "");
        saw_in(recorder, many, name, PK_SEEN_READ);
        saw_in(recorder, keys, name, PK_SEEN_READ);
        saw_in(recorder, tree->home, name, PK_SEEN_READ);
    }
    make_file(tree->cwd, "in", "");
    saw_in(recorder, tree->cwd, "in", PK_SEEN_READ);
    saw_in(recorder, tree->cwd, "missing", PK_SEEN_LOOK);
    saw(recorder, tree->home, PK_SEEN_READ);
    saw(recorder, "/", PK_SEEN_READ);
    saw(recorder, "/etc", PK_SEEN_READ);
    saw(recorder, "/etc/passwd", PK_SEEN_READ);
    saw(recorder, "/usr/lib/x/y.so", PK_SEEN_READ);
    saw(recorder, "/lib/y.so", PK_SEEN_LINK);
    saw(recorder, "/tmp/scratch", PK_SEEN_WRITE);
    saw(recorder, "/proc/self/maps", PK_SEEN_READ);
    assert_int_equal(profile_generalise(recorder, &tree->places, &profile), 0);
    assert_int_equal(find(&profile, many)->kind, PROFILE_READ);
    assert_null(find(&profile, keys));
    assert_null(find(&profile, tree->home));
    snprintf(path, sizeof(path), "%s/f3", keys);
    assert_int_equal(find(&profile, path)->kind, PROFILE_READ);
    snprintf(path, sizeof(path), "%s/f3", tree->home);
    assert_int_equal(find(&profile, path)->kind, PROFILE_READ);
    snprintf(path, sizeof(path), "%s/in", tree->cwd);
    assert_int_equal(find(&profile, path)->kind, PROFILE_READ);
    assert_int_equal(find(&profile, "/usr")->kind, PROFILE_READ);
    assert_int_equal(find(&profile, "/etc/passwd")->kind, PROFILE_READ);
    assert_null(find(&profile, "/etc"));
    for (size_t i = 0; i < profile.path_count; i++) {
        assert_int_not_equal(profile.paths[i].kind, PROFILE_WRITE);
        assert_null(strstr(profile.paths[i].path, "/proc"));
        assert_int_not_equal(strncmp(profile.paths[i].path, "/tmp", 4), 0);
    }
    profile_recorder_free(recorder);
}

static void test_what_is_written_is_the_users_own_or_empty(void **state)
{
    struct tree *tree = *state;
    cleanup_profile struct profile profile = {0};
    struct profile_recorder *recorder = profile_recorder_new();

    saw(recorder, tree->cwd, PK_SEEN_WRITE);
    saw(recorder, tree->home, PK_SEEN_WRITE);
    saw(recorder, "/var/tmp", PK_SEEN_WRITE);
    saw(recorder, "/etc", PK_SEEN_WRITE);
    saw(recorder, "/usr/lib", PK_SEEN_WRITE);
    assert_int_equal(profile_generalise(recorder, &tree->places, &profile), 0);
    assert_int_equal(find(&profile, tree->cwd)->kind, PROFILE_WRITE);
    assert_int_equal(find(&profile, tree->home)->kind, PROFILE_SCRATCH);
    assert_null(find(&profile, "/etc"));
    assert_int_equal(find(&profile, "/usr")->kind, PROFILE_READ);
    profile_recorder_free(recorder);
}

static void test_keys_are_not_opened_by_listing_them(void **state)
{
    struct tree *tree = *state;
    cleanup_profile struct profile profile = {0};
    struct profile_recorder *recorder = profile_recorder_new();
    char keys[512], path[1024];

    make_directory(keys, sizeof(keys), tree->home, ".gnupg");
    make_file(keys, "ring", "");
    saw(recorder, keys, PK_SEEN_READ);
    assert_int_equal(profile_generalise(recorder, &tree->places, &profile), 0);
    assert_int_equal(find(&profile, keys)->kind, PROFILE_DIRECTORY);
    saw_in(recorder, keys, "ring", PK_SEEN_READ);
    assert_int_equal(profile_generalise(recorder, &tree->places, &profile), 0);
    snprintf(path, sizeof(path), "%s/ring", keys);
    assert_int_equal(find(&profile, path)->kind, PROFILE_READ);
    profile_recorder_free(recorder);
}

/* A HOME that is a symbolic link, and somebody else's: both are nobody's to open. */
static void test_no_home_is_drawn_together(void **state)
{
    struct tree *tree = *state;
    struct profile_places places = tree->places;
    cleanup_profile struct profile profile = {0};
    struct profile_recorder *recorder = profile_recorder_new();
    char other[512], name[16];

    make_directory(other, sizeof(other), tree->root, "other");
    places.home = "/link/to/home";
    places.real_home = tree->home;
    places.other_homes[1] = other;
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        make_file(tree->home, name, "");
        make_file(other, name, "");
        saw_in(recorder, tree->home, name, PK_SEEN_READ);
        saw_in(recorder, other, name, PK_SEEN_READ);
    }
    saw(recorder, tree->home, PK_SEEN_READ);
    saw(recorder, tree->root, PK_SEEN_READ);
    assert_int_equal(profile_generalise(recorder, &places, &profile), 0);
    assert_null(find(&profile, tree->home));
    assert_null(find(&profile, other));
    assert_null(find(&profile, tree->root));
    assert_int_equal(profile.path_count, 25); /* and the current directory */
    profile_recorder_free(recorder);
}

/* ---- folding ---- */

static bool is_readable(const struct profile *profile, const char *path)
{
    for (size_t i = 0; i < profile->path_count; i++) {
        size_t length = strlen(profile->paths[i].path);

        if (profile->paths[i].kind == PROFILE_READ &&
            strncmp(path, profile->paths[i].path, length) == 0 &&
            (path[length] == '/' || path[length] == '\0'))
            return true;
    }
    return false;
}

static void add_numbered(struct fold *fold, const char *format, int a, int b,
                         enum profile_path_kind kind)
{
    char path[256];

    snprintf(path, sizeof(path), format, a, b);
    assert_int_equal(fold_add(fold, path, kind, false), 0);
}

/* As many names as a recorder keeps: in the square of their number this would take hours. */
static void test_any_number_of_paths_is_folded(void **state)
{
    cleanup_profile struct profile profile = {0};
    struct fold fold = {0};
    clock_t begin = clock();
    char path[64];

    (void)state;
    for (int i = 0; i < RECORD_NAMES_MAX; i++)
        add_numbered(&fold, "/srv/tree/d%d/f%d", i % 20000, i, PROFILE_READ);
    assert_int_equal(fold_finish(&fold, &plain, &profile), 0);
    assert_true(clock() - begin < 30 * CLOCKS_PER_SEC);
    assert_in_range(profile.path_count, 1, PROFILE_PATHS_MAX);
    for (int i = 0; i < RECORD_NAMES_MAX; i += 997) {
        snprintf(path, sizeof(path), "/srv/tree/d%d/f%d", i % 20000, i);
        assert_true(is_readable(&profile, path));
    }
    assert_null(find(&profile, "/srv"));
    fold_free(&fold);
}

/* The directories that are opened are the deepest that help. */
static void test_folding_opens_no_more_than_it_must(void **state)
{
    cleanup_profile struct profile profile = {0};
    struct fold fold = {0};

    (void)state;
    for (int i = 0; i < 500; i++) {
        add_numbered(&fold, "/srv/a/much/d%d/f%d", i, 0, PROFILE_READ);
        add_numbered(&fold, "/home/u/work/d%d/f%d", i, 0, PROFILE_WRITE);
    }
    for (int i = 0; i < 3; i++)
        add_numbered(&fold, "/srv/a/few/d%d/f%d", i, 0, PROFILE_READ);
    assert_int_equal(fold_finish(&fold, &plain, &profile), 0);
    assert_int_equal(find(&profile, "/srv/a/much")->kind, PROFILE_READ);
    assert_int_equal(find(&profile, "/home/u/work")->kind, PROFILE_WRITE);
    assert_non_null(find(&profile, "/srv/a/few/d1/f0"));
    assert_int_equal(profile.path_count, 5);
    fold_free(&fold);
}

static void test_closed_directories_stay_closed(void **state)
{
    static const char *const formats[] = {"/etc/d%d/f%d", "/home/u/d%d/f%d",
                                          "/home/u/.ssh/d%d/f%d"};

    (void)state;
    for (size_t k = 0; k < array_length(formats); k++) {
        cleanup_profile struct profile profile = {0};
        struct fold fold = {0};

        for (int i = 0; i <= PROFILE_PATHS_MAX; i++)
            add_numbered(&fold, formats[k], i, 0, PROFILE_READ);
        assert_int_equal(fold_finish(&fold, &plain, &profile), -E2BIG);
        assert_int_equal(profile.path_count, 0);
        fold_free(&fold);
    }
}

static void test_what_the_user_said_stands(void **state)
{
    cleanup_profile struct profile profile = {0};
    struct fold fold = {0};

    (void)state;
    assert_int_equal(fold_add(&fold, "/srv/a", PROFILE_READ, true), 0);
    assert_int_equal(fold_add(&fold, "/srv/a", PROFILE_WRITE, false), 0);
    assert_int_equal(fold_add(&fold, "/srv/a/b", PROFILE_READ, false), 0);
    assert_int_equal(fold_add(&fold, "/srv/a/s", PROFILE_SCRATCH, true), 0);
    assert_int_equal(fold_add(&fold, "/srv/a/s/in", PROFILE_READ, false), 0);
    assert_int_equal(fold_finish(&fold, &plain, &profile), 0);
    /* What was given is there already; a scratch directory hides what is around it. */
    assert_int_equal(profile.path_count, 1);
    assert_non_null(find(&profile, "/srv/a/s/in"));
    fold_free(&fold);
}

static void test_what_is_written_can_be_read(void **state)
{
    struct tree *tree = *state;
    cleanup_profile struct profile profile = {0}, again = {0};
    cleanup_strbuf struct strbuf text = {0};
    struct base_error error = {0};
    struct profile_recorder *recorder = profile_recorder_new();
    static const char *const names[] = {"a b", "q\"uo'te", "tab\there", "\xc3\xa4", "# x: y"};
    char path[1024];

    for (size_t i = 0; i < array_length(names); i++) {
        make_file(tree->cwd, names[i], "");
        saw_in(recorder, tree->cwd, names[i], PK_SEEN_READ);
    }
    make_file(tree->cwd, "no\xfftext", "");
    saw_in(recorder, tree->cwd, "no\xfftext", PK_SEEN_READ);
    profile_recorder_denied(recorder, "a\nb: \x80", "rule");
    assert_int_equal(profile_generalise(recorder, &tree->places, &profile), 0);
    profile_write(&profile, recorder, &tree->places, "a\ntitle", &text);
    if (profile_parse(&again, "f", text.data, text.length, &tree->places, &error) < 0)
        fail_msg("%s\n%s", error.sentence, strbuf_text(&text));
    for (size_t i = 0; i < array_length(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", tree->cwd, names[i]);
        assert_non_null(find(&again, path));
    }
    assert_int_equal(again.path_count, array_length(names));
    assert_non_null(strstr(text.data, "1 names are no text"));
    profile_recorder_free(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_read),
        cmocka_unit_test(test_an_empty_file_says_nothing),
        cmocka_unit_test(test_errors_say_where_and_what_to_do),
        cmocka_unit_test(test_sizes_are_bounded),
        cmocka_unit_test(test_paths_need_their_places),
        cmocka_unit_test(test_no_home_is_a_project),
        cmocka_unit_test_setup_teardown(test_layers_add_and_replace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chains_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_run_is_drawn_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_written_is_the_users_own_or_empty, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_keys_are_not_opened_by_listing_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_home_is_drawn_together, set_up, tear_down),
        cmocka_unit_test(test_any_number_of_paths_is_folded),
        cmocka_unit_test(test_folding_opens_no_more_than_it_must),
        cmocka_unit_test(test_closed_directories_stay_closed),
        cmocka_unit_test(test_what_the_user_said_stands),
        cmocka_unit_test_setup_teardown(test_what_is_written_can_be_read, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
