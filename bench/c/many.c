// A parent of COUNT children that sends 15 bytes to each of the next 64 and waits until all of these
// have come back. many COUNT; microseconds of the parent's CPU for each, as JSON.
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

enum { MOST = 1000, WAVES = 300, WAVE = 64 };
static const char ping[] = "{\"cmd\":\"ping\"}\n";
static const int length = sizeof ping - 1;
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
    for (int wave = 0, next = 0; wave < WAVES; wave++) {
      for (int i = 0; i < WAVE; i++, next = (next + 1) % count)
        if (write(ours[next], ping, length) != length) return 1;
      for (int missing = WAVE * length; missing > 0;) {
        struct epoll_event events[WAVE];
        char buffer[WAVE * 16];
        int ready = epoll_wait(poll, events, WAVE, -1);
        for (int i = 0; i < ready; i++) {
          int n = read(events[i].data.fd, buffer, sizeof buffer);
          if (n > 0) missing -= n;
        }
      }
    }
    used = cpu() - before;
  }
  printf("{\"message\":%.3f}\n", used / (WAVES * WAVE));
  return 0;
}
