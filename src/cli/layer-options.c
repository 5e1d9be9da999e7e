#include "cli/layer-options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "cli/cli.h"

/* ---- the command line ---- */

static const struct option long_options[] = {{"json", no_argument, NULL, 'j'},
                                             {"root", required_argument, NULL, 'r'},
                                             {"dry-run", no_argument, NULL, 'n'},
                                             {"yes", no_argument, NULL, 'y'},
                                             {NULL, 0, NULL, 0}};

/* Takes the last component away. */
static void go_up(struct strbuf *path)
{
    const char *slash = path->length ? strrchr(path->data, '/') : NULL;

    if (slash)
        strbuf_truncate(path, (size_t)(slash - path->data));
}

/* Absolute, without ".", ".." and doubled slashes; by the text alone, since it is the guest's. */
static char *canonical(const char *text)
{
    cleanup_free char *cwd = text[0] == '/' ? NULL : getcwd(NULL, 0);
    struct strbuf path = {0};

    if (cwd)
        strbuf_add_string(&path, strcmp(cwd, "/") == 0 ? "" : cwd);
    while (*text) {
        size_t length = strcspn(text, "/");

        if (length == 2 && memcmp(text, "..", 2) == 0) {
            go_up(&path);
        } else if (length && !(length == 1 && *text == '.')) {
            strbuf_add(&path, "/", 1);
            strbuf_add(&path, text, length);
        }
        text += length;
        text += strspn(text, "/");
    }
    if (path.length == 0)
        strbuf_add(&path, "/", 1);
    return path.data;
}

static int add_path(struct layer_options *options, const char *text)
{
    if (options->path_count == LAYER_PATHS_MAX)
        return cli_usage(options->command, "more than %d paths", LAYER_PATHS_MAX);
    options->paths[options->path_count] = canonical(text);
    if (options->paths[options->path_count] == NULL)
        return cli_usage(options->command, "no memory for the paths");
    options->path_count++;
    return 0;
}

static int take_option(struct layer_options *options, int option, const char *known,
                       const char *word)
{
    if (option == ':')
        return cli_usage(options->command, "%s needs a value", word);
    if (option == '?' || (option != 'j' && strchr(known, option) == NULL))
        return cli_usage(options->command, "there is no option '%s'", word);
    options->json |= option == 'j';
    options->dry_run |= option == 'n';
    options->yes |= option == 'y';
    if (option == 'r')
        options->root = optarg;
    return 0;
}

int layer_options_parse(int argc, char **argv, const char *known, struct layer_options *ret_options)
{
    struct layer_options *options = ret_options;
    int option, r;

    *options = (struct layer_options){.command = argv[0]};
    opterr = 0;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        r = take_option(options, option, known, argv[optind - 1]);
        if (r)
            return r;
    }
    if (optind == argc)
        return cli_usage(argv[0], "name the directory that --overlay was given");
    options->directory = argv[optind++];
    for (r = 0; optind < argc && r == 0; optind++)
        r = add_path(options, argv[optind]);
    return r;
}

void layer_options_free(struct layer_options *options)
{
    for (unsigned i = 0; i < options->path_count; i++)
        free(options->paths[i]);
}

/* ---- what is printed ---- */

/* Names are bytes that the guest chose: none of them is to reach the terminal as a command. */
static void print_path(FILE *stream, const char *path)
{
    cleanup_strbuf struct strbuf shown = {0};

    cli_add_printable(&shown, path);
    fputs(strbuf_text(&shown), stream);
}

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "link";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "character device";
    case S_IFBLK:
        return "block device";
    default:
        return "file";
    }
}

static void print_differences(const struct layer_change *change)
{
    const struct layer_attributes *now = &change->now, *before = &change->before;
    cleanup_strbuf struct strbuf out = {0};

    if (change->what & LAYER_TYPE)
        strbuf_addf(&out, ", %s -> %s", type_name(before->mode), type_name(now->mode));
    if (change->what & LAYER_CONTENT)
        strbuf_add_string(&out, ", content");
    if (change->what & LAYER_MODE)
        strbuf_addf(&out, ", mode %04o -> %04o", before->mode & 07777, now->mode & 07777);
    if (change->what & LAYER_OWNER)
        strbuf_addf(&out, ", owner %u:%u -> %u:%u", before->uid, before->gid, now->uid, now->gid);
    if (change->what & LAYER_XATTRS)
        strbuf_add_string(&out, ", attributes");
    if (out.length)
        printf(" (%s)", strbuf_text(&out) + strlen(", "));
}

static void print_change(const struct layer_change *change)
{
    mode_t mode = change->kind == LAYER_DELETED ? change->before.mode : change->now.mode;

    printf("%c ", change->kind);
    print_path(stdout, change->path);
    printf("%s", S_ISDIR(mode) ? "/" : "");
    if (change->kind == LAYER_MODIFIED)
        print_differences(change);
    /* What runs as its owner is worth a look. */
    else if (change->kind == LAYER_ADDED && S_ISREG(mode) && (mode & (S_ISUID | S_ISGID)))
        printf(" (mode %04o, owner %u:%u)", mode & 07777, change->now.uid, change->now.gid);
    printf("\n");
}

static void add_attributes(struct strbuf *out, const struct layer_attributes *shown)
{
    strbuf_addf(out, "\"type\":\"%s\",\"mode\":\"%04o\",\"uid\":%u,\"gid\":%u,\"size\":%llu",
                type_name(shown->mode), shown->mode & 07777, shown->uid, shown->gid,
                (unsigned long long)shown->size);
    if (S_ISCHR(shown->mode) || S_ISBLK(shown->mode))
        strbuf_addf(out, ",\"device\":\"%u:%u\"", major(shown->device), minor(shown->device));
}

static void add_path_json(struct strbuf *out, const char *path)
{
    strbuf_add_string(out, out->length ? ",{\"path\":\"" : "{\"path\":\"");
    strbuf_add_json(out, path);
}

static void add_change(struct strbuf *out, const struct layer_change *change)
{
    static const char *const names[] = {"type", "content", "mode", "owner", "xattrs"};
    unsigned told = 0;

    add_path_json(out, change->path);
    strbuf_addf(out, "\",\"change\":\"%c\"", change->kind);
    for (unsigned i = 0; i < array_length(names); i++)
        if (change->what >> i & 1)
            strbuf_addf(out, told++ ? ",\"%s\"" : ",\"what\":[\"%s\"", names[i]);
    strbuf_add_string(out, told ? "]" : "");
    strbuf_add_string(out, ",");
    if (change->kind != LAYER_DELETED)
        add_attributes(out, &change->now);
    if (change->kind != LAYER_ADDED) {
        strbuf_add_string(out, change->kind == LAYER_DELETED ? "\"before\":{" : ",\"before\":{");
        add_attributes(out, &change->before);
        strbuf_add_string(out, "}");
    }
    strbuf_add_string(out, "}");
}

static int on_change(void *user, const struct layer_change *change)
{
    struct layer_output *output = user;

    if (!output->json)
        print_change(change);
    else
        add_change(&output->changes, change);
    return strbuf_status(&output->changes);
}

static void on_failed(void *user, const char *path, const struct base_error *error)
{
    struct layer_output *output = user;

    if (!output->json) {
        cli_print_error(error);
        return;
    }
    add_path_json(&output->failed, path);
    strbuf_addf(&output->failed, "\",\"code\":\"%s\",\"error\":\"", abi_errno_name(error->code));
    strbuf_add_json(&output->failed, error->sentence);
    strbuf_add_string(&output->failed, "\"}");
}

static void on_lost(void *user, const char *path, const char *what)
{
    struct layer_output *output = user;

    if (!output->json) {
        fprintf(stderr, "cerebro: not permitted, so left out: %s of ", what);
        print_path(stderr, path);
        fprintf(stderr, "\n");
        return;
    }
    add_path_json(&output->lost, path);
    strbuf_add_string(&output->lost, "\",\"what\":\"");
    strbuf_add_json(&output->lost, what);
    strbuf_add_string(&output->lost, "\"}");
}

struct layer_task layer_options_task(const struct layer_options *options,
                                     struct layer_output *output)
{
    output->json = options->json;
    return (struct layer_task){
        .paths = (const char *const *)options->paths,
        .path_count = options->path_count,
        .dry_run = options->dry_run,
        .report = {.change = on_change, .failed = on_failed, .lost = on_lost, .user = output}};
}

void layer_output_end(struct layer_output *output, const char *root, const char *done)
{
    cleanup_strbuf struct strbuf out = {0};

    if (output->json) {
        strbuf_add_string(&out, "{\"layer\":\"");
        strbuf_add_json(&out, root);
        strbuf_addf(&out, "\",\"%s\":[%s]", done, strbuf_text(&output->changes));
        if (strcmp(done, "committed") == 0)
            strbuf_addf(&out, ",\"failed\":[%s],\"lost\":[%s]", strbuf_text(&output->failed),
                        strbuf_text(&output->lost));
        printf("%s}\n", strbuf_text(&out));
    }
    strbuf_free(&output->changes);
    strbuf_free(&output->failed);
    strbuf_free(&output->lost);
}
