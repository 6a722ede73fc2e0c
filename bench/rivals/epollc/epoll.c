// epollc is the floor of an echo over WebSocket: what is left when nothing but the kernel's work has to be done.
//
//	cc -O2 -Wall -Wextra -o epollc epoll.c
//	./epollc --addr 127.0.0.1:9001
//
// One thread, one epoll, one buffer. A read is turned into its answer where it lies, each header without its mask and
// each payload unmasked, and goes back in one send. Of a frame it knows where it ends, and no more: there are no
// messages, no limits, no timeouts, no checks of UTF-8, opcodes or close codes. A frame that has come in part is
// answered in part, so none is ever gathered, and an idle connection costs 48 bytes here.
//
// It walks the headers of every read. To take the layout of a connection's first frame for that of all others, and not
// to look at them, saves 2 % of the server's time at 32 messages of 64 bytes a read and nothing at one: not worth the
// second way of doing it.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a mask's first byte is taken to be its lowest");

enum { FREE, OPENING, OPEN, CLOSING, BROKEN };
enum { OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { MAX_HEAD = 14, MAX_REQUEST = 8192, MAX_CONNS = 1 << 20 };

struct conn {
	uint64_t left;  // bytes of the frame's payload that have not come
	uint8_t *kept;  // the request so far, later the answer that the kernel did not take
	uint32_t len;   // of kept
	uint32_t sent;  // of kept
	uint32_t mask;  // turned to the next byte of payload
	uint8_t state;
	uint8_t op;     // of the frame under way
	uint8_t nhead;  // bytes of a header that has not all come
	uint8_t head[MAX_HEAD - 1];
};

static struct conn *conns; // by descriptor
static int ep, listener, deaf; // deaf: no descriptors left, the backlog waits
static uint8_t buf[1 << 20];

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void watch(int op, int fd, uint32_t events) {
	struct epoll_event ev = {.events = events, .data.fd = fd};
	if (epoll_ctl(ep, op, fd, &ev) < 0)
		die("epoll_ctl");
}

static void drop(int fd) {
	free(conns[fd].kept);
	memset(&conns[fd], 0, sizeof conns[fd]);
	close(fd);
	if (deaf) {
		deaf = 0;
		watch(EPOLL_CTL_ADD, listener, EPOLLIN);
	}
}

static void keep(struct conn *c, const uint8_t *p, size_t n) {
	c->kept = realloc(c->kept, c->len + n);
	if (!c->kept)
		die("realloc");
	memcpy(c->kept + c->len, p, n);
	c->len += n;
}

// reply sends p. While the kernel does not take all of it, nothing more is read from that connection.
static void reply(int fd, const uint8_t *p, size_t n) {
	struct conn *c = &conns[fd];
	if (c->kept) {
		keep(c, p, n);
		return;
	}
	ssize_t sent = n ? send(fd, p, n, MSG_NOSIGNAL) : 0;
	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR) {
			drop(fd);
			return;
		}
		sent = 0;
	}
	if ((size_t)sent < n) {
		keep(c, p + sent, n - sent);
		watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
	} else if (c->state == CLOSING) {
		drop(fd);
	}
}

static void writable(int fd) {
	struct conn *c = &conns[fd];
	ssize_t n = send(fd, c->kept + c->sent, c->len - c->sent, MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			drop(fd);
		return;
	}
	c->sent += n;
	if (c->sent < c->len)
		return;
	if (c->state == CLOSING) {
		drop(fd);
		return;
	}
	free(c->kept);
	c->kept = NULL;
	c->len = c->sent = 0;
	watch(EPOLL_CTL_MOD, fd, EPOLLIN);
}

// unmask moves n bytes down from p to to, and returns the mask turned to the byte after them.
static uint32_t unmask(uint8_t *to, const uint8_t *p, size_t n, uint32_t mask) {
	typedef uint32_t block __attribute__((vector_size(16)));
	block m = {mask, mask, mask, mask}, b[4];
	size_t i = 0;
	for (; i + sizeof b <= n; i += sizeof b) {
		memcpy(b, p + i, sizeof b);
		for (int k = 0; k < 4; k++)
			b[k] ^= m;
		memcpy(to + i, b, sizeof b);
	}
	for (; i + 4 <= n; i += 4) {
		uint32_t w;
		memcpy(&w, p + i, 4);
		w ^= mask;
		memcpy(to + i, &w, 4);
	}
	for (; i < n; i++) {
		to[i] = p[i] ^ (uint8_t)mask;
		mask = mask >> 8 | mask << 24;
	}
	return mask;
}

// answer turns the client's frames from p to end into the server's, in place, and returns where those end.
static uint8_t *answer(struct conn *c, uint8_t *p, uint8_t *end) {
	uint8_t *to = p;
	for (;;) {
		size_t n = end - p;
		if (n > c->left)
			n = c->left;
		c->mask = unmask(to, p, n, c->mask);
		to += n, p += n, c->left -= n;
		if (c->left)
			return to;
		if (c->op == OP_CLOSE) {
			c->state = CLOSING;
			return to;
		}

		n = end - p;
		if (n < 2)
			break;
		if (!(p[1] & 0x80)) {
			c->state = BROKEN;
			return to;
		}
		uint64_t len = p[1] & 0x7f;
		size_t head = len < 126 ? 2 : len == 126 ? 4 : 10;
		if (n < head + 4)
			break;
		if (head > 2) {
			len = 0;
			for (size_t i = 2; i < head; i++)
				len = len << 8 | p[i];
		}
		memcpy(&c->mask, p + head, 4);
		c->left = len;
		c->op = p[0] & 0x0f;
		to[0] = c->op == OP_PING ? (p[0] & 0xf0) | OP_PONG : p[0];
		to[1] = p[1] & 0x7f;
		memmove(to + 2, p + 2, head - 2);
		to += head, p += head + 4;
	}
	c->nhead = end - p;
	memcpy(c->head, p, c->nhead);
	return to;
}

static void frames(int fd, uint8_t *p, uint8_t *end) {
	struct conn *c = &conns[fd];
	uint8_t *to = answer(c, p, end);
	if (c->state == BROKEN)
		drop(fd);
	else
		reply(fd, p, to - p);
}

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const uint8_t *p) {
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20 ? ((b & c) | (~b & d)) + 0x5a827999
			   : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
			   : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
				    : (b ^ c ^ d) + 0xca62c1d6;
		f += rotate(a, 5) + e + w[i];
		e = d, d = c, c = rotate(b, 30), b = a, a = f;
	}
	h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

enum { KEY = 24, ACCEPT = 28 };

// accept_of computes Sec-WebSocket-Accept (RFC 6455 section 4.2.2).
static void accept_of(const uint8_t key[KEY], char out[ACCEPT]) {
	uint8_t text[128] = {0}, sum[21] = {0};
	memcpy(text, key, KEY);
	memcpy(text + KEY, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
	text[60] = 0x80;
	text[126] = 60 * 8 >> 8, text[127] = (uint8_t)(60 * 8);
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	sha1_block(h, text);
	sha1_block(h, text + 64);
	for (int i = 0; i < 20; i++)
		sum[i] = h[i / 4] >> (24 - 8 * (i % 4));
	for (int i = 0; i < 7; i++) {
		uint32_t v = sum[3 * i] << 16 | sum[3 * i + 1] << 8 | sum[3 * i + 2];
		for (int k = 0; k < 4; k++)
			out[4 * i + k] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[v >> (18 - 6 * k) & 63];
	}
	out[ACCEPT - 1] = '='; // 20 bytes are one short of a group of three
}

// field finds the value of a header field, without the spaces before it, in a request that ends with an empty line.
static const uint8_t *field(const uint8_t *p, const uint8_t *end, const char *name) {
	size_t n = strlen(name);
	while ((p = memchr(p, '\n', end - p)) && (size_t)(end - ++p) > n) {
		if (strncasecmp((const char *)p, name, n) || p[n] != ':')
			continue;
		for (p += n + 1; *p == ' ' || *p == '\t';)
			p++;
		return p;
	}
	return NULL;
}

static void opening(int fd, uint8_t *p, size_t n) {
	struct conn *c = &conns[fd];
	if (c->kept) {
		keep(c, p, n);
		p = c->kept, n = c->len;
	}
	uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
	if (!end) {
		if (n > MAX_REQUEST)
			drop(fd);
		else if (!c->kept)
			keep(c, p, n);
		return;
	}
	end += 4;
	const uint8_t *key = field(p, end, "sec-websocket-key");
	if (!key || end - key < KEY + 4) {
		static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
		send(fd, refusal, sizeof refusal - 1, MSG_NOSIGNAL);
		drop(fd);
		return;
	}
	char out[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		     "Sec-WebSocket-Accept: xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\r\n";
	accept_of(key, out + sizeof out - 1 - 4 - ACCEPT);
	uint8_t *request = c->kept;
	c->kept = NULL, c->len = 0;
	c->state = OPEN;
	reply(fd, (uint8_t *)out, sizeof out - 1);
	if (c->state == OPEN && end < p + n)
		frames(fd, end, p + n);
	free(request);
}

static void readable(int fd) {
	struct conn *c = &conns[fd];
	uint8_t *p = buf + MAX_HEAD; // so that a header's first part fits in front
	ssize_t n = recv(fd, p, sizeof buf - MAX_HEAD, 0);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			drop(fd);
		return;
	}
	if (c->state == OPENING) {
		opening(fd, p, n);
		return;
	}
	uint8_t *first = p - c->nhead;
	memcpy(first, c->head, c->nhead);
	c->nhead = 0;
	frames(fd, first, p + n);
}

static void acceptable(void) {
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE) {
				deaf = 1;
				watch(EPOLL_CTL_DEL, listener, 0);
			}
			return;
		}
		conns[fd].state = OPENING;
		watch(EPOLL_CTL_ADD, fd, EPOLLIN);
	}
}

static int listen_on(char *addr) {
	char *port = strrchr(addr, ':');
	if (!port) {
		fprintf(stderr, "epollc: %s: no port\n", addr);
		exit(2);
	}
	*port++ = 0;
	struct addrinfo hint = {.ai_flags = AI_PASSIVE, .ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *a;
	int code = getaddrinfo(*addr ? addr : NULL, port, &hint, &a);
	if (code) {
		fprintf(stderr, "epollc: %s:%s: %s\n", addr, port, gai_strerror(code));
		exit(1);
	}
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // accepted sockets inherit it
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0)
		die("bind");
	if (listen(fd, 4096) < 0)
		die("listen");
	freeaddrinfo(a);
	return fd;
}

int main(int argc, char **argv) {
	char *addr = "127.0.0.1:9001";
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc || (strcmp(argv[i], "--addr") && strcmp(argv[i], "--loops"))) {
			fprintf(stderr, "usage: epollc [--addr host:port] [--loops n]   (there is one loop, whatever n)\n");
			return 2;
		}
		if (!strcmp(argv[i], "--addr"))
			addr = argv[i + 1];
	}
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		die("getrlimit");
	files.rlim_cur = files.rlim_max < MAX_CONNS ? files.rlim_max : MAX_CONNS;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		die("setrlimit");
	conns = calloc(files.rlim_cur, sizeof *conns); // pages come as descriptors are used
	if (!conns)
		die("calloc");
	listener = listen_on(strdup(addr));
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	watch(EPOLL_CTL_ADD, listener, EPOLLIN);

	static struct epoll_event evs[1024];
	for (;;) {
		int n = epoll_wait(ep, evs, 1024, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;
			if (fd == listener)
				acceptable();
			else if (conns[fd].state > OPENING && conns[fd].kept)
				writable(fd);
			else if (conns[fd].state)
				readable(fd);
		}
	}
}
