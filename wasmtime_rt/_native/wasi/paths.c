/* Resolution of paths beneath a folder.
 *
 * The kernel resolves them with openat2(2). Where it lacks that call (before Linux 5.6), or where a filter of
 * system calls refuses it, `walk` opens one component after the other. It never opens `..`, which would leave the
 * folder if another process moves a folder meanwhile, and the kernel never follows a link for it.
 */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MAX_LINKS = 40,   /* as many as the kernel follows */
    MAX_STEPS = 8192, /* components that one `walk` opens */
    MAX_TRIES = 16,   /* while other processes rename folders */
};

bool wrt_is_utf8(const uint8_t *text, size_t length) {
    for (size_t i = 0; i < length;) {
        uint8_t first = text[i++];
        if (first < 0x80)
            continue;
        int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || length - i < (size_t)more)
            return false;
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        for (; more; more--, low = 0x80, high = 0xbf)
            if (text[i] < low || text[i++] > high)
                return false;
    }
    return true;
}

uint16_t wrt_path_copy(char text[WRT_PATH_SIZE], const uint8_t *path, size_t length) {
    if (length >= WRT_PATH_SIZE)
        length = 0;
    memcpy(text, path, length);
    text[length] = 0;
    return wrt_is_utf8((const uint8_t *)text, length) ? WASI_SUCCESS : WASI_ILSEQ;
}

uint16_t wrt_path_check(const char text[WRT_PATH_SIZE], size_t length) {
    if (length >= WRT_PATH_SIZE)
        return WASI_NAMETOOLONG;
    if (!length)
        return WASI_NOENT;
    if (text[0] == '/')
        return WASI_PERM;
    return strlen(text) < length ? WASI_INVAL : WASI_SUCCESS;
}

/* ---- Without openat2 ---- */

struct walk {
    int start;                 /* the folder that is not left */
    int at;                    /* the folder that was reached: `start`, or a descriptor of our own */
    bool behind;               /* `at` is `start` after `..`, and the folders of `trail` are to be opened */
    int links, steps;          /* how many links were followed and folders opened */
    char trail[WRT_PATH_SIZE]; /* the folders from `start` to `at`, with a slash after each */
    char rest[WRT_PATH_SIZE];  /* what remains of the path */
};

static void move_to(struct walk *walk, int folder) {
    if (walk->at != walk->start)
        close(walk->at);
    walk->at = folder;
}

static int open_one(struct walk *walk, const char *name, int flags, mode_t mode) {
    if (++walk->steps > MAX_STEPS)
        return -ELOOP;
    int opened = openat(walk->at, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    return opened < 0 ? -errno : opened;
}

/* Opens `name` in the folder that was reached, without following a link. */
static int step(struct walk *walk, const char *name, int flags, mode_t mode) {
    for (char *folder = walk->trail, *slash; walk->behind && *folder; folder = slash + 1) {
        slash = strchr(folder, '/');
        *slash = 0;
        int opened = open_one(walk, folder, O_PATH | O_DIRECTORY, 0);
        *slash = '/';
        if (opened == -ENOTDIR || opened == -ELOOP)
            return -ENOENT; /* it was a folder, and is not there any more */
        if (opened < 0)
            return opened;
        move_to(walk, opened);
    }
    walk->behind = false;
    return open_one(walk, name, flags, mode);
}

/* Goes on behind the slashes at `slash`. */
static void skip_to(struct walk *walk, const char *slash) {
    slash += strspn(slash, "/");
    memmove(walk->rest, slash, strlen(slash) + 1);
}

/* Replaces `name` by the target of that link. Returns 0, or -EINVAL if it is not a link. */
static int follow(struct walk *walk, const char *name, const char *rest) {
    char target[WRT_PATH_SIZE];
    size_t left = strlen(rest);
    ssize_t length = readlinkat(walk->at, name, target, sizeof target);
    if (length < 0)
        return -errno;
    if (++walk->links > MAX_LINKS)
        return -ELOOP;
    if (length == 0)
        return -ENOENT;
    if (target[0] == '/')
        return -EPERM;
    if ((size_t)length + left >= sizeof walk->rest)
        return -ENAMETOOLONG;
    memmove(walk->rest + length, rest, left + 1);
    memcpy(walk->rest, target, (size_t)length);
    return 0;
}

/* Goes into the folder `name`, before `slash`, or replaces `name` if it is a link. */
static int enter(struct walk *walk, const char *name, const char *slash) {
    size_t done = strlen(walk->trail), length = strlen(name);
    int folder = step(walk, name, O_PATH | O_DIRECTORY, 0);
    if (folder < 0) {
        int followed = folder == -ENOTDIR || folder == -ELOOP ? follow(walk, name, slash) : folder;
        return followed == -EINVAL ? folder : followed;
    }
    move_to(walk, folder);
    if (done + length + 2 > sizeof walk->trail)
        return -ENAMETOOLONG;
    memcpy(walk->trail + done, name, length);
    memcpy(walk->trail + done + length, "/", 2);
    skip_to(walk, slash);
    return 0;
}

/* Goes to the folder above, which is opened by its name when the next component is. */
static int leave(struct walk *walk) {
    size_t done = strlen(walk->trail);
    if (!done)
        return -EPERM;
    for (done--; done && walk->trail[done - 1] != '/'; done--)
        ;
    walk->trail[done] = 0;
    move_to(walk, walk->start);
    walk->behind = true;
    return 0;
}

enum { FOLLOWED = INT_MIN };

/* Opens the last component. Returns FOLLOWED if it was a link, whose target is in its place then. */
static int finish(struct walk *walk, const char *name, int flags, mode_t mode) {
    struct stat status;
    int opened = step(walk, name, flags, mode);
    bool link = opened == -ELOOP || opened == -ENOTDIR ||
        (opened >= 0 && flags & O_PATH && wrt_fstat(opened, &status) == 0 && S_ISLNK(status.st_mode));
    if (flags & O_NOFOLLOW || !link)
        return opened;
    int followed = follow(walk, name, "");
    if (followed == -EINVAL)
        return opened; /* no link was there, or not any more */
    if (opened >= 0)
        close(opened);
    return followed ? followed : FOLLOWED;
}

static int walk_to_end(struct walk *walk, int flags, mode_t mode) {
    for (;;) {
        char name[NAME_MAX + 1];
        char *slash = strchrnul(walk->rest, '/');
        size_t length = (size_t)(slash - walk->rest);
        bool last = !slash[strspn(slash, "/")];
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, walk->rest, length);
        name[length] = 0;
        if (flags & O_CREAT && last && (*slash || !strcmp(name, ".") || !strcmp(name, "..")))
            return -EISDIR;
        if (!length) /* the path names the folder that was reached */
            return step(walk, ".", flags, mode);
        int result = 0;
        if (!strcmp(name, "..")) {
            skip_to(walk, slash);
            result = leave(walk);
        } else if (!strcmp(name, ".")) {
            skip_to(walk, slash);
        } else if (*slash) {
            result = enter(walk, name, slash);
        } else if ((result = finish(walk, name, flags, mode)) != FOLLOWED) {
            return result;
        }
        if (result && result != FOLLOWED)
            return result;
    }
}

static int walk(int start, const char *path, int flags, mode_t mode) {
    struct walk walk = {.start = start, .at = start};
    strcpy(walk.rest, path); /* as large as every path that `wrt_path_copy` lets through */
    int opened = walk_to_end(&walk, flags, mode);
    move_to(&walk, start);
    return opened;
}

/* ---- With openat2 ---- */

/* As in <linux/openat2.h>, which older systems lack. */
struct how {
    uint64_t flags, mode, resolve;
};
enum { CALL_OPENAT2 = 437, NO_MAGIC_LINKS = 0x02, BENEATH = 0x08 };

int wrt_open_beneath(int directory, const char *path, int flags, mode_t mode) {
    flags |= O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY);
    struct how how = {(uint64_t)(unsigned)flags, flags & O_CREAT ? mode : 0, BENEATH | NO_MAGIC_LINKS};
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        long opened = syscall(CALL_OPENAT2, directory, path, &how, sizeof how);
        if (opened >= 0)
            return (int)opened;
        if (errno == EXDEV)
            return -EPERM;
        if (errno == ENOSYS || errno == EPERM || errno == EACCES)
            break; /* a filter may have refused the call itself, so `walk` decides */
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return walk(directory, path, flags, mode);
}

int wrt_open_parent(int directory, char *path, const char **name) {
    size_t length = strlen(path), end = length;
    while (end && path[end - 1] == '/')
        end--;
    if (end < length)
        path[end + 1] = 0;
    size_t start = end;
    while (start && path[start - 1] != '/')
        start--;
    *name = path + start;
    if (end - start == 2 && path[start] == '.' && path[start + 1] == '.') {
        /* The system refuses to change `..`, and it must not tell about folders above `directory`. */
        int above = wrt_open_beneath(directory, path, O_PATH, 0);
        if (above < 0)
            return above;
        close(above);
    }
    if (!start)
        return wrt_open_beneath(directory, ".", O_PATH | O_DIRECTORY, 0);
    path[start - 1] = 0;
    return wrt_open_beneath(directory, path, O_PATH | O_DIRECTORY, 0);
}
