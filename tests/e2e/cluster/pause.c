/* The first process of a pod's sandbox: keeps its namespaces, reaps orphans, ends on SIGTERM. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void finish(int number) { (void)number; _exit(0); }

static void reap(int number) {
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0) { }
}

int main(void) {
    signal(SIGTERM, finish);
    signal(SIGINT, finish);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
