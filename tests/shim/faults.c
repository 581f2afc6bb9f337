/* What goes wrong between the daemon and the kernel, on demand.
 *
 * Preloaded into the daemon, and into commands that leave mail for it, by tests/src/faults.rs. Counts calls below a directory, lets the k-th of a kind fail or kill the process, moves
 * the wall clock, and writes down what was done to files and which replies were sent. The test changes its mind while the daemon runs: both
 * have the same file mapped. Everything else passes through untouched.
 *
 * Calls that are written down are carried out one at a time, by all processes together, so that their order in the record is the order in which
 * they happened. They are: write, writev, pwrite, pwritev, fsync, fdatasync, fallocate, unlink, rename, open and openat that make a file, and
 * send of a reply that takes responsibility. What would change a recorded file in a way that the record has no word for ends the process:
 * link, linkat, renameat, renameat2, ftruncate, and open with O_TRUNC of a file that is there. Not seen at all are reads, modes and owners,
 * mkdir, rmdir, unlinkat, truncate, sync, syncfs, sync_file_range, what is stored through a mapping, and what a process does without the C
 * library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNC, WRITE, RENAME, OPEN, UNLINK, ALLOCATE, ACCEPT, READ, THREAD, MEMORY, KINDS };

/* Actions below this are error numbers; from here on, a signal; then what is not done at all, with success. */
enum { SIGNALS = 1000, NOTHING = 2000 };

struct kind {
  uint64_t count;  /* calls so far */
  uint64_t from;   /* the first that fails; 0: none */
  uint64_t length; /* how many fail */
  uint64_t action;
  uint64_t fired;
};

struct control {
  struct kind kinds[KINDS];
  int64_t clock_offset; /* seconds */
  uint64_t recording;
  char below[1024]; /* calls elsewhere are not counted */
  uint64_t busy;    /* somebody carries out a call that is written down */
};

/* The test writes at offsets of its own, and compiles this with them. */
_Static_assert(KINDS == KINDS_TOLD && sizeof(struct kind) == KIND_OCTETS, "kinds are as tests/src/faults.rs has them");
_Static_assert(offsetof(struct kind, count) == 0 && offsetof(struct kind, from) == 8 && offsetof(struct kind, length) == 16 &&
                   offsetof(struct kind, action) == 24 && offsetof(struct kind, fired) == 32,
               "a kind is as tests/src/faults.rs has it");
_Static_assert(offsetof(struct control, clock_offset) == CLOCK_AT && offsetof(struct control, recording) == RECORDING_AT &&
                   offsetof(struct control, below) == BELOW_AT && offsetof(struct control, busy) == BUSY_AT &&
                   sizeof(struct control) == CONTROL_OCTETS,
               "the control block is as tests/src/faults.rs has it");

static struct control *control;
static int record_fd = -1;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("POSTRIDER_FAULTS");
  if (!path) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) abort();
  void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) abort();
  syscall(SYS_close, fd);
  control = at;
  const char *record = getenv("POSTRIDER_RECORD");
  if (!record) return;
  record_fd = (int)syscall(SYS_openat, AT_FDCWD, record, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (record_fd < 0) abort();
}

static void begin_order(void) {
  while (__atomic_exchange_n(&control->busy, 1, __ATOMIC_SEQ_CST)) sched_yield();
}

static void end_order(void) { __atomic_store_n(&control->busy, 0, __ATOMIC_SEQ_CST); }

static int is_below(const char *path) {
  size_t length = strlen(control->below);
  return length > 0 && strncmp(path, control->below, length) == 0;
}

/* The path of an open file; false for what is none. */
static int path_of(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, size - 1);
  if (length <= 0 || path[0] != '/') return 0;
  path[length] = 0;
  return 1;
}

/* Counts a call of a kind; the action that it meets, or 0. */
static uint64_t met(int number) {
  struct kind *kind = &control->kinds[number];
  uint64_t count = __atomic_add_fetch(&kind->count, 1, __ATOMIC_SEQ_CST);
  uint64_t from = __atomic_load_n(&kind->from, __ATOMIC_SEQ_CST);
  if (from == 0 || count < from || count - from >= kind->length) return 0;
  __atomic_add_fetch(&kind->fired, 1, __ATOMIC_SEQ_CST);
  return kind->action;
}

/* Returns -1 when the call is to be carried out, else its result. */
static int decide(int number, const char *path) {
  if (!control || !is_below(path)) return -1;
  uint64_t action = met(number);
  if (action == 0) return -1;
  if (action == NOTHING) return 0;
  if (action >= SIGNALS) {
    kill(getpid(), (int)(action - SIGNALS));
    return -1;
  }
  errno = (int)action;
  return 1;
}

static int decide_fd(int number, int fd) {
  char path[4096];
  if (!control || !path_of(fd, path, sizeof path)) return -1;
  return decide(number, path);
}

/* Kind, length of the path, offset, length of the octets; then both. */
static void record(char kind, const char *path, uint64_t offset, const struct iovec *parts, int count, size_t size) {
  uint64_t head[4] = {(uint64_t)kind, strlen(path), offset, size};
  struct iovec all[1026] = {{head, sizeof head}, {(void *)path, head[1]}};
  int used = 2;
  for (int part = 0; part < count && used < 1026 && size > 0; part++) {
    size_t length = parts[part].iov_len < size ? parts[part].iov_len : size;
    all[used].iov_base = parts[part].iov_base;
    all[used++].iov_len = length;
    size -= length;
  }
  if (syscall(SYS_writev, record_fd, all, used) < 0) abort();
}

static int is_recorded(const char *path) {
  return control && record_fd >= 0 && __atomic_load_n(&control->recording, __ATOMIC_SEQ_CST) && is_below(path);
}

/* A call for which the record has no word: who reads it would believe in another disk. */
static void refuse_recorded(const char *call, const char *path) {
  if (!is_recorded(path)) return;
  dprintf(2, "faults.c: %s of %s can not be recorded\n", call, path);
  abort();
}

static ssize_t record_write(int fd, const struct iovec *parts, int count, off_t offset, int positioned) {
  char path[4096];
  if (!control || !path_of(fd, path, sizeof path) || !is_recorded(path)) {
    return positioned ? syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L) : syscall(SYS_writev, fd, parts, count);
  }
  begin_order();
  off_t at = positioned ? offset : lseek(fd, 0, SEEK_CUR);
  ssize_t result = syscall(SYS_pwritev, fd, parts, count, (long)at, 0L);
  if (result > 0 && !positioned) lseek(fd, at + result, SEEK_SET);
  int error = errno;
  if (result > 0) record('w', path, (uint64_t)at, parts, count, (size_t)result);
  end_order();
  errno = error;
  return result;
}

ssize_t write(int fd, const void *octets, size_t size) {
  if (decide_fd(WRITE, fd) == 1) return -1;
  struct iovec part = {(void *)octets, size};
  return record_write(fd, &part, 1, 0, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (decide_fd(WRITE, fd) == 1) return -1;
  return record_write(fd, parts, count, 0, 0);
}

ssize_t pwrite64(int fd, const void *octets, size_t size, off64_t offset) {
  if (decide_fd(WRITE, fd) == 1) return -1;
  struct iovec part = {(void *)octets, size};
  return record_write(fd, &part, 1, offset, 1);
}

ssize_t pwrite(int fd, const void *octets, size_t size, off_t offset) { return pwrite64(fd, octets, size, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  if (decide_fd(WRITE, fd) == 1) return -1;
  return record_write(fd, parts, count, offset, 1);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  return pwritev(fd, parts, count, offset);
}

ssize_t pread(int fd, void *octets, size_t size, off_t offset) {
  if (decide_fd(READ, fd) == 1) return -1;
  return syscall(SYS_pread64, fd, octets, size, offset);
}

ssize_t pread64(int fd, void *octets, size_t size, off64_t offset) { return pread(fd, octets, size, offset); }

/* With RWF_NOWAIT: a read of what is in memory. */
ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
  if (decide_fd(READ, fd) == 1) return -1;
  return syscall(SYS_preadv2, fd, parts, count, (long)offset, 0L, flags);
}

ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
  return preadv64v2(fd, parts, count, offset, flags);
}

static int synced(int fd, long call) {
  int decision = decide_fd(SYNC, fd);
  if (decision >= 0) return -decision;
  char path[4096];
  if (!control || !path_of(fd, path, sizeof path) || !is_recorded(path)) return (int)syscall(call, fd);
  begin_order();
  int result = (int)syscall(call, fd), error = errno;
  if (result == 0) record('s', path, 0, NULL, 0, 0);
  end_order();
  errno = error;
  return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }

int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int opened(int directory, const char *path, int flags, mode_t mode) {
  /* A read-only file system lets who only reads. */
  int only_reads = (flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY;
  int is_let = only_reads && control && control->kinds[OPEN].action == EROFS;
  if (!is_let && decide(OPEN, path) == 1) return -1;
  if (!(flags & O_CREAT) || !is_recorded(path)) return (int)syscall(SYS_openat, directory, path, flags, mode);
  begin_order();
  struct stat before;
  int is_new = syscall(SYS_newfstatat, directory, path, &before, 0) < 0;
  if (!is_new && (flags & O_TRUNC)) refuse_recorded("open with O_TRUNC", path);
  int result = (int)syscall(SYS_openat, directory, path, flags, mode), error = errno;
  if (result >= 0 && is_new) record('c', path, 0, NULL, 0, 0);
  end_order();
  errno = error;
  return result;
}

#define MODE_OF(flags, mode)                                                                                          \
  mode_t mode = 0;                                                                                                    \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                              \
    va_list rest;                                                                                                     \
    va_start(rest, flags);                                                                                            \
    mode = va_arg(rest, mode_t);                                                                                      \
    va_end(rest);                                                                                                     \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(directory, path, flags, mode);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  if (decide_fd(ALLOCATE, fd) == 1) return -1;
  char path[4096];
  if (!control || !path_of(fd, path, sizeof path) || !is_recorded(path)) {
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
  }
  begin_order();
  int result = (int)syscall(SYS_fallocate, fd, mode, offset, length), error = errno;
  if (result == 0) record('a', path, (uint64_t)(offset + length), NULL, 0, 0);
  end_order();
  errno = error;
  return result;
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }

int ftruncate64(int fd, off64_t length) {
  if (decide_fd(ALLOCATE, fd) == 1) return -1;
  char path[4096];
  if (control && path_of(fd, path, sizeof path)) refuse_recorded("ftruncate", path);
  return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int unlink(const char *path) {
  if (decide(UNLINK, path) == 1) return -1;
  if (!is_recorded(path)) return (int)syscall(SYS_unlink, path);
  begin_order();
  int result = (int)syscall(SYS_unlink, path), error = errno;
  if (result == 0) record('u', path, 0, NULL, 0, 0);
  end_order();
  errno = error;
  return result;
}

int rename(const char *from, const char *to) {
  if (decide(RENAME, from) == 1) return -1;
  if (!is_recorded(from)) {
    refuse_recorded("rename from elsewhere", to);
    return (int)syscall(SYS_rename, from, to);
  }
  begin_order();
  int result = (int)syscall(SYS_rename, from, to), error = errno;
  struct iovec part = {(void *)to, strlen(to)};
  if (result == 0) record('r', from, 0, &part, 1, part.iov_len);
  end_order();
  errno = error;
  return result;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int directory, const char *from, int target, const char *to, int flags) {
  if (decide(RENAME, from) == 1) return -1;
  refuse_recorded("link", from);
  refuse_recorded("link", to);
  return (int)syscall(SYS_linkat, directory, from, target, to, flags);
}

int renameat2(int directory, const char *from, int target, const char *to, unsigned flags) {
  if (decide(RENAME, from) == 1) return -1;
  refuse_recorded("renameat", from);
  refuse_recorded("renameat", to);
  return (int)syscall(SYS_renameat2, directory, from, target, to, flags);
}

int renameat(int directory, const char *from, int target, const char *to) {
  return renameat2(directory, from, target, to, 0);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  uint64_t action = control ? met(ACCEPT) : 0;
  if (action == 0) return (int)syscall(SYS_accept4, fd, address, length, flags);
  errno = (int)action;
  return -1;
}

/* A limit of the system on threads, or no memory for a stack. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  uint64_t action = control ? met(THREAD) : 0;
  if (action != 0) return (int)action;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  return real(thread, attributes, run, argument);
}

/* Memory for the allocator; what maps a file is none. The C library asks for stacks of threads by itself. */
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  uint64_t action = control && fd < 0 ? met(MEMORY) : 0;
  if (action != 0) {
    errno = (int)action;
    return MAP_FAILED;
  }
  return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
  return mmap(at, size, protection, flags, fd, offset);
}

/* Replies that take responsibility. */
static ssize_t sent(int fd, const void *octets, size_t size, int flags) {
  static const char promise[] = "250 2.0.0 Ok: queued as ";
  int counts = control && record_fd >= 0 && control->recording && memmem(octets, size, promise, sizeof promise - 1);
  if (!counts) return syscall(SYS_sendto, fd, octets, size, flags, NULL, 0);
  begin_order();
  struct iovec part = {(void *)octets, size};
  record('+', "", 0, &part, 1, size);
  ssize_t result = syscall(SYS_sendto, fd, octets, size, flags, NULL, 0);
  int error = errno;
  end_order();
  errno = error;
  return result;
}

ssize_t send(int fd, const void *octets, size_t size, int flags) { return sent(fd, octets, size, flags); }

int clock_gettime(clockid_t clock, struct timespec *at) {
  int result = (int)syscall(SYS_clock_gettime, clock, at);
  if (result == 0 && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    at->tv_sec += __atomic_load_n(&control->clock_offset, __ATOMIC_SEQ_CST);
  }
  return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec now;
  int result = clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return result;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
