#include "core/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/kernel.h"

/* One program of each file is found by others; the rest are not entered. */
static void enter(struct pk_program *program)
{
    struct map *programs = &program->kernel->programs;

    if (map_get2(programs, program->device, program->inode) == NULL)
        map_set2(programs, program->device, program->inode, program);
}

static void leave(struct pk_program *program)
{
    struct map *programs = &program->kernel->programs;

    if (map_get2(programs, program->device, program->inode) == program)
        map_remove2(programs, program->device, program->inode);
}

struct pk_program *pk_program_new(struct pk_kernel *kernel, struct vfs_place *place,
                                  const struct stat *stat, const char *prefix, size_t prefix_length)
{
    struct pk_program *program = calloc(1, sizeof(*program));

    if (program == NULL)
        return NULL;
    *program = (struct pk_program){
        .kernel = kernel, .refs = 1, .device = stat->st_dev, .inode = stat->st_ino};
    if (prefix) {
        program->prefix = malloc(prefix_length);
        if (program->prefix == NULL) {
            free(program);
            return NULL;
        }
        memcpy(program->prefix, prefix, prefix_length);
        program->prefix_length = prefix_length;
    }
    program->place = kernel->places ? kernel->places->ref(place) : place;
    enter(program);
    return program;
}

struct pk_program *pk_program_ref(struct pk_program *program)
{
    if (program)
        program->refs++;
    return program;
}

void pk_program_unref(struct pk_program *program)
{
    if (program == NULL || --program->refs > 0)
        return;
    leave(program);
    if (program->kernel->places)
        program->kernel->places->unref(program->place);
    free(program->prefix);
    free(program);
}

struct vfs_place *pk_program_place_of(struct pk_kernel *kernel, const struct stat *stat)
{
    const struct pk_program *program = map_get2(&kernel->programs, stat->st_dev, stat->st_ino);

    return program ? program->place : NULL;
}
