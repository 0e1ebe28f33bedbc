// Minimal prefork HTTP responder: what the kernel allows.
//   prefork MODE PORT WORKERS
// MODE: epollex      shared listener, EPOLLEXCLUSIVE, one accept per wake-up
//       epollex-re   the same, and re-adds the listener every 16th accept (nginx >= 1.21.6)
//       reuseport    one SO_REUSEPORT listener per worker, epoll
//       rr           master accepts, one fd per SCM_RIGHTS message, round-robin
//       rrbatch      master accepts up to 64 per worker, one message per worker and turn
// The master forks a worker again when one dies. Prints READY.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAXW 1024
#define BATCH 64
#define MAXFD 65536
static const char *mode;
static int port, workers, lfd = -1;
static int chan[MAXW][2];
static pid_t pids[MAXW];
static char resp_keep[256], resp_close[256];
static int n_keep, n_close;
static struct conn { int len; char buf[1020]; } *conns;

static void die(const char *m) { perror(m); exit(1); }

static int listener(int reuse) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (reuse) setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(s, (void *)&a, sizeof a)) die("bind");
  if (listen(s, 511)) die("listen");
  return s;
}

static void make_resp(void) {
  char body[32];
  int n = sprintf(body, "hello %d\n", getpid());
  n_keep = sprintf(resp_keep, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, body);
  n_close = sprintf(resp_close, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", n, body);
}

// 1: still open, 0: closed
static int serve(int fd) {
  struct conn *c = &conns[fd];
  for (;;) {
    int n = recv(fd, c->buf + c->len, sizeof c->buf - c->len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (n <= 0) { close(fd); return 0; }
    c->len += n;
    if (!memmem(c->buf, c->len, "\r\n\r\n", 4)) {
      if (c->len == sizeof c->buf) { close(fd); return 0; }
      continue;
    }
    int cl = memmem(c->buf, c->len, "Connection: close", 17) != 0;
    c->len = 0;
    if (send(fd, cl ? resp_close : resp_keep, cl ? n_close : n_keep, MSG_NOSIGNAL) < 0 || cl) { close(fd); return 0; }
    return 1;
  }
}

static void take(int ep, int fd) {
  if (fd >= MAXFD) { close(fd); return; }
  conns[fd].len = 0;
  if (serve(fd)) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
  }
}

static void worker(int i) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  make_resp();
  conns = mmap(0, sizeof(struct conn) * MAXFD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  int rr = !strncmp(mode, "rr", 2), ex = !strncmp(mode, "epollex", 7), re = !strcmp(mode, "epollex-re");
  int ep = epoll_create1(EPOLL_CLOEXEC), src = lfd, n_acc = 0;
  if (!strcmp(mode, "reuseport")) src = listener(1);
  if (rr) src = chan[i][1];
  fcntl(src, F_SETFL, fcntl(src, F_GETFL) | O_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN | (ex ? EPOLLEXCLUSIVE : 0), .data.fd = src}, evs[128];
  if (epoll_ctl(ep, EPOLL_CTL_ADD, src, &e)) die("epoll_ctl");
  for (;;) {
    int n = epoll_wait(ep, evs, 128, -1);
    for (int k = 0; k < n; k++) {
      int fd = evs[k].data.fd;
      if (fd != src) { serve(fd); continue; }
      if (!rr) {
        int c = accept4(src, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (c >= 0) {
          take(ep, c);
          if (re && ++n_acc % 16 == 0) {
            epoll_ctl(ep, EPOLL_CTL_DEL, src, &e);
            epoll_ctl(ep, EPOLL_CTL_ADD, src, &e);
          }
        }
        continue;
      }
      char data[64], ctl[CMSG_SPACE(sizeof(int) * BATCH)];
      for (;;) {
        struct iovec v = {data, sizeof data};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
        int r = recvmsg(src, &m, MSG_CMSG_CLOEXEC);
        if (r == 0) _exit(0);
        if (r < 0) break;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
          int nf = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), *f = (int *)CMSG_DATA(c);
          for (int j = 0; j < nf; j++) take(ep, f[j]);
        }
      }
    }
  }
}

static void spawn(int i) {
  if (!strncmp(mode, "rr", 2)) {
    if (pids[i]) { close(chan[i][0]); close(chan[i][1]); }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, chan[i])) die("socketpair");
  }
  pid_t p = fork();
  if (p == 0) { signal(SIGTERM, SIG_DFL); worker(i); _exit(0); }
  pids[i] = p;
}

static void send_fds(int i, int *fds, int n) {
  char ctl[CMSG_SPACE(sizeof(int) * BATCH)] = {0}, d = 'c';
  struct iovec v = {&d, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET; c->cmsg_type = SCM_RIGHTS; c->cmsg_len = CMSG_LEN(sizeof(int) * n);
  memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
  if (sendmsg(chan[i][0], &m, MSG_NOSIGNAL) < 0) perror("sendmsg");
  for (int k = 0; k < n; k++) close(fds[k]);
}

static volatile sig_atomic_t stop, chld;
static void on_term(int s) { (void)s; stop = 1; }
static void on_chld(int s) { (void)s; chld = 1; }

static void reap(void) {
  int st; pid_t p;
  chld = 0;
  while ((p = waitpid(-1, &st, WNOHANG)) > 0)
    for (int i = 0; i < workers; i++)
      if (pids[i] == p && !stop) spawn(i);
}

int main(int c, char **v) {
  if (c < 4) { fprintf(stderr, "usage: prefork MODE PORT WORKERS\n"); return 2; }
  mode = v[1]; port = atoi(v[2]); workers = atoi(v[3]);
  struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
  if (strcmp(mode, "reuseport")) lfd = listener(0);
  struct sigaction sa = {.sa_handler = on_term}; sigaction(SIGTERM, &sa, 0); sigaction(SIGINT, &sa, 0);
  sa.sa_handler = on_chld; sigaction(SIGCHLD, &sa, 0);
  struct timespec a, b; clock_gettime(CLOCK_MONOTONIC, &a);
  for (int i = 0; i < workers; i++) spawn(i);
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("READY forked %d in %.3f ms\n", workers, (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6); fflush(stdout);
  int rr = !strncmp(mode, "rr", 2), batch = !strcmp(mode, "rrbatch"), next = 0;
  if (batch) fcntl(lfd, F_SETFL, fcntl(lfd, F_GETFL) | O_NONBLOCK);
  static int q[MAXW][BATCH], nq[MAXW];
  while (!stop) {
    if (chld) reap();
    if (!rr) { pause(); continue; }
    if (!batch) {
      int fd = accept4(lfd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) continue;
      send_fds(next, &fd, 1);
      next = (next + 1) % workers;
      continue;
    }
    struct pollfd p = {lfd, POLLIN, 0};
    if (poll(&p, 1, -1) <= 0) continue;
    for (int k = 0; k < BATCH * workers; k++) {
      int fd = accept4(lfd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) break;
      q[next][nq[next]++] = fd;
      next = (next + 1) % workers;
    }
    for (int i = 0; i < workers; i++) if (nq[i]) { send_fds(i, q[i], nq[i]); nq[i] = 0; }
  }
  for (int i = 0; i < workers; i++) kill(pids[i], SIGKILL);
  return 0;
}
