// A parent of COUNT children that sends one of them 15 bytes and waits for them to come back, then
// the next one. many COUNT; microseconds of the parent's CPU for each, as JSON.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1000, MESSAGES = 5000 };
static const char ping[] = "{\"cmd\":\"ping\"}\n";
static int ours[MOST];

static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void child(int channel) {
  char buffer[64];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int n; (n = read(channel, buffer, sizeof buffer)) > 0;)
    if (write(channel, buffer, n) != n) break;
  _exit(0);
}

int main(int c, char **v) {
  int count = c > 1 ? atoi(v[1]) : 2, poll = epoll_create1(EPOLL_CLOEXEC);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (count < 1 || count > MOST) return 2;
  for (int i = 0; i < count; i++) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return 1;
    if (!fork()) child(pair[1]);
    close(pair[1]);
    ours[i] = pair[0];
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.fd = pair[0]};
    epoll_ctl(poll, EPOLL_CTL_ADD, pair[0], &e);
  }
  double used = 0;
  for (int pass = 0; pass < 2; pass++) { // the first warms up
    double before = cpu();
    for (int i = 0; i < MESSAGES; i++) {
      struct epoll_event e;
      char buffer[64];
      if (write(ours[i % count], ping, sizeof ping - 1) < 0) return 1;
      if (epoll_wait(poll, &e, 1, -1) != 1 || read(e.data.fd, buffer, sizeof buffer) < 0) return 1;
    }
    used = cpu() - before;
  }
  printf("{\"message\":%.3f}\n", used / MESSAGES);
  return 0;
}
