/* For the inside of the profile room only. */
#pragma once

#include "base/strbuf.h"
#include "profile/profile.h"

/* ---- tree.c: YAML as a tree of bounded size ---- */

enum tree_kind { TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree_node {
    enum tree_kind kind;
    unsigned line, column; /* from 1 */
    char *key;             /* in a map; owned */
    unsigned key_line, key_column;
    char *text; /* scalar; owned, without NUL bytes inside */
    struct tree_node *child, *next;
};

/* A file that is being read: what errors are about. */
struct tree_source {
    const char *path;
    struct base_error *error;
};

/*
 * Parses a document. Returns 0 with the root (NULL for an empty one; to be freed with tree_free()),
 * or a negative errno with the error filled in.
 */
int tree_parse(const struct tree_source *source, const char *text, size_t length,
               struct tree_node **ret_root);
void tree_free(struct tree_node *node);

/* Fails with "PATH:LINE:COLUMN: sentence". Returns the negative errno. */
int tree_fail(const struct tree_source *source, unsigned line, unsigned column, const char *hint,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- suggest.c ---- */

/*
 * Writes "did you mean NEAREST?" when one of the words (NULL ends them) is near, else "known are
 * A, B, C". Returns `hint`.
 */
char *suggest(const char *word, const char *const *known, char *hint, size_t size);

/* ---- places.c ---- */

/* Whether `path` is `directory` or lies in it. No for the root and for NULL: everything would. */
bool places_is_below(const char *path, const char *directory);

/* Whether `path` is a home directory, or one lies in it: it is too much to be opened as a whole. */
bool places_holds_a_home(const struct profile_places *places, const char *path);

/* Whether it holds a home directory, or lies at the top of the tree, as /etc and /var do. */
bool places_is_too_much(const struct profile_places *places, const char *path);

/* Whether nobody gets the directory as a whole: it is too much, or is one of keys and passwords. */
bool places_is_closed(const struct profile_places *places, const char *path);

/* Whether it is the user's own: at or below the home directory or the current one. */
bool places_is_own(const struct profile_places *places, const char *path);

/* ---- expand.c ---- */

/*
 * Makes an absolute path of what is written in a profile: ~, ${HOME}, ${CWD} and "." are replaced.
 * Returns 0 with a path for the caller, or a negative errno with the reason in `why`.
 */
int expand_path(const char *text, const struct profile_places *places, char **ret_path,
                struct base_error *why);

/* ---- schema.c ---- */

/*
 * What a file says, merged into the profile as its file number `file`. `extends` (may be NULL: it
 * is an error then) gets the names that it extends; the caller has to have merged them before.
 */
int schema_apply(struct profile *profile, unsigned file, const struct tree_source *source,
                 const struct tree_node *root, const struct profile_places *places);

/* Calls `visit` for each name that the file extends. */
int schema_extends(const struct tree_source *source, const struct tree_node *root,
                   int (*visit)(void *user, const struct tree_node *name), void *user);

/* Whether the file says that it replaces the layers below it. */
int schema_replaces(const struct tree_source *source, const struct tree_node *root,
                    bool *ret_replaces);

/* ---- model.c ---- */

/* Each takes the strings (malloc'ed) in every case. Returns 0 or -ENOMEM; -E2BIG for too many. */
int model_add_path(struct profile *profile, const struct profile_path *path);
int model_add_rule(struct profile *profile, const struct profile_rule *rule);
int model_add_variable(struct profile *profile, const struct profile_variable *variable);
int model_add_denied(struct profile *profile, const struct profile_denied *denied);

/* Takes everything out that the files so far have said, but not the files. */
void model_clear(struct profile *profile);

/* Shorter paths first, so that a mount never covers an earlier one below it. */
void model_sort(struct profile *profile);
