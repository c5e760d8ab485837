/* spawn RUNS INPUT PROGRAM [PROGRAM...]: starts the programs in turn, RUNS times each, with INPUT on stdin, nothing but
 * CNI_COMMAND=VERSION in the environment and stdout discarded. Prints one line per run: index of the program, nanoseconds from
 * before the start to after the end. In C, so that the caller's own cost is not part of what is compared. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        return 2;
    }
    char *environment[] = {"CNI_COMMAND=VERSION", NULL};
    int results = dup(STDOUT_FILENO);
    int input = open(argv[2], O_RDONLY);
    int nowhere = open("/dev/null", O_WRONLY);
    if (results < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(nowhere, STDOUT_FILENO) < 0) {
        return 3;
    }
    fcntl(results, F_SETFD, FD_CLOEXEC);
    for (int run = atoi(argv[1]); run > 0; run--) {
        for (int program = 3; program < argc; program++) {
            char *command[] = {argv[program], NULL};
            pid_t pid;
            int status;
            lseek(STDIN_FILENO, 0, SEEK_SET);
            long long begin = now();
            if (posix_spawn(&pid, argv[program], NULL, NULL, command, environment) != 0 || waitpid(pid, &status, 0) < 0) {
                return 4;
            }
            long long end = now();
            if (status != 0) {
                return 5;
            }
            dprintf(results, "%d %lld\n", program - 3, end - begin);
        }
    }
    return 0;
}
