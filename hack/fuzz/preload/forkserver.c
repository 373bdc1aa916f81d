/* Loaded before a program (LD_PRELOAD), this stops it where it is about to read its configuration, and lets a copy of
 * the process go on for each request: what a start costs is paid once, and each copy reads its own file as if it had been
 * started for it.
 *
 * A request is a byte on descriptor 3. The answer is the wait status, 4 bytes on descriptor 4; what the copy wrote is in
 * the file that RLB_FUZZ_OUT names. RLB_FUZZ_FILE is the path of the configuration. Only symbols of old C libraries are
 * used, so that one object serves all releases.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int done;

/* path is NULL where the program makes a file for a copy of its configuration. */
static void serve(const char *path)
{
	const char *file = getenv("RLB_FUZZ_FILE"), *out = getenv("RLB_FUZZ_OUT");
	char request;

	if (done || !file || !out || (path && strcmp(path, file)))
		return;
	done = 1;
	while (read(3, &request, 1) == 1) {
		int status = -1;
		pid_t child = fork();

		if (child == 0) {
			int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
			if (fd < 0)
				_exit(126);
			dup2(fd, 1);
			dup2(fd, 2);
			if (fd > 4)
				close(fd);
			close(3);
			close(4);
			return;
		}
		if (child < 0 || waitpid(child, &status, 0) != child)
			_exit(125);
		if (write(4, &status, sizeof status) != sizeof status)
			break;
	}
	_exit(0);
}

static FILE *opened(const char *path, const char *mode)
{
	int flags = mode[0] == 'r' ? O_RDONLY : mode[0] == 'a' ? O_WRONLY | O_CREAT | O_APPEND : O_WRONLY | O_CREAT | O_TRUNC;
	int fd;

	if (strchr(mode, '+'))
		flags = (flags & ~O_WRONLY) | O_RDWR;
	if (strchr(mode, 'e'))
		flags |= O_CLOEXEC;
	serve(path);
	fd = open(path, flags, 0666);
	return fd < 0 ? NULL : fdopen(fd, mode);
}

FILE *fopen(const char *path, const char *mode) { return opened(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return opened(path, mode); }

int memfd_create(const char *name, unsigned int flags)
{
	serve(NULL);
	return syscall(SYS_memfd_create, name, flags);
}
