// Command deflated is a host that compresses. It echoes messages, and sends some of its own: after "push N
// S" several goroutines send N messages together, drawn from the seed S, compressed and plain, of all
// sizes. Each says who sent it, its number, and a sum of its bytes, so that the client can judge it. GET
// /full waits until one of them has had to wait for its client.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/agloop/agloop/server"
)

func main() {
	takeover := flag.Bool("takeover", false, "let clients keep their context")
	flag.Parse()
	h := &host{full: make(chan struct{}, 1), senders: make(map[*server.Conn]*sender)}
	srv := server.New(server.Config{
		Handler: h, Path: "/ws", HTTP: h, Origins: []string{"*"},
		Compression: server.Compression{Enabled: true, Takeover: *takeover, Threshold: -1, Plain: plain},
		Limits:      server.Limits{MaxMessage: 1 << 20, SoftLimit: 256 << 10, HardLimit: 64 << 20, WriteTimeout: time.Minute, IdleTimeout: -1},
		Rates:       server.Rates{Control: -1},
	})
	if err := serve(srv); err != nil {
		fmt.Fprintln(os.Stderr, "deflated:", err)
		os.Exit(1)
	}
}

func serve(srv *server.Server) error {
	// The kernel takes little of what a client does not read, so that the host has to wait.
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { // what is accepted has it too
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 64<<10)
		})
	}}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = srv.Shutdown(late)
	}()
	fmt.Printf("deflated on http://%s/\n", ln.Addr())
	if err := srv.ServeListener(ln); !errors.Is(err, server.ErrServerClosed) {
		return err
	}
	return nil
}

// plain says that a message is to go plain.
func plain(m []byte) bool { return bytes.Contains(m, []byte("secret")) }

// host is the handler of all connections.
type host struct {
	server.NopHandler
	full chan struct{} // holds a token when a sender has had to wait

	// Any goroutine, under mu.
	mu      sync.Mutex
	senders map[*server.Conn]*sender
}

// sender is what sends to one connection.
type sender struct {
	room chan struct{} // holds a token when there may be room again
	stop chan struct{} // closed when the connection is gone
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/full" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	select {
	case <-h.full:
	case <-r.Context().Done():
	}
}

func (h *host) OnMessage(c *server.Conn, op server.Opcode, payload []byte) {
	var n int
	var seed uint64
	if _, err := fmt.Sscanf(string(payload[:min(len(payload), 100)]), "push %d %d", &n, &seed); err == nil {
		s := &sender{room: make(chan struct{}, goroutines), stop: make(chan struct{})}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.senders[c] = s
		for k := range goroutines {
			go h.push(c, s, k, n/goroutines, seed)
		}
		return
	}
	if len(payload)%2 == 0 {
		c.Reply(op, payload)
	} else {
		c.Send(op, payload)
	}
}

func (h *host) of(c *server.Conn) *sender {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.senders[c]
}

func (h *host) OnDrain(c *server.Conn) {
	for s := h.of(c); s != nil; {
		select {
		case s.room <- struct{}{}:
			continue
		default:
		}
		return
	}
}

func (h *host) OnClose(c *server.Conn, _ *server.CloseError) {
	if s := h.of(c); s != nil {
		close(s.stop)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.senders, c)
}

// goroutines is how many send to one connection.
const goroutines = 4

// push sends n messages to c. Each is P, who sends it, its number, the FNV-1a sum of its body, and that.
func (h *host) push(c *server.Conn, s *sender, who, n int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, uint64(who)))
	for i := range n {
		op, body := compose(rnd, i)
		sum := fnv.New32a()
		_, _ = sum.Write(body)
		m := append(fmt.Appendf(nil, "P %d %d %d ", who, i, sum.Sum32()), body...)
		switch c.Send(op, m) {
		case server.Dropped:
			return
		case server.Backpressure:
			select {
			case h.full <- struct{}{}:
			default:
			}
			for c.Full() {
				select {
				case <-s.room:
				case <-s.stop:
					return
				}
			}
		}
	}
}

// compose makes a body of one of many kinds.
func compose(rnd *rand.Rand, i int) (op server.Opcode, body []byte) {
	event := fmt.Sprintf(`{"type":"TEXT_MESSAGE_CONTENT","timestamp":%d,"messageId":"m-%d","delta":"token %d·🙂"}`, 1_700_000_000_000+i*37, rnd.IntN(3), i)
	switch rnd.IntN(16) {
	case 0:
		return server.Text, nil
	case 1:
		return server.Text, []byte("secret " + event)
	case 2:
		return server.Text, []byte(strings.Repeat(event, 1+rnd.IntN(60)))
	case 3: // what cannot be compressed
		b := make([]byte, rnd.IntN(6000))
		for at := range b {
			b[at] = byte(rnd.Uint32())
		}
		return server.Binary, b
	case 4: // text that resembles nothing
		var b []byte
		for range rnd.IntN(400) {
			b = append(strconv.AppendInt(b, int64(rnd.Uint64()>>(1+rnd.IntN(63))), 36), ' ')
		}
		return server.Text, b
	case 5:
		if rnd.IntN(12) == 0 { // larger than what is compressed ahead, up to 200 KB
			return server.Text, bytes.Repeat([]byte(event), 200_000*(1+rnd.IntN(16))/16/len(event))
		}
	case 6:
		return server.Binary, binary.BigEndian.AppendUint64(nil, uint64(i))
	}
	return server.Text, []byte(event)
}
