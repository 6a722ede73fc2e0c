package interop

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
	gorilla "github.com/gorilla/websocket"
)

// pushing echoes messages, and sends n of its own from several goroutines together, compressed and
// plain, when a connection opens.
type pushing struct {
	echo
	n int
}

// pushers is how many goroutines send to one connection.
const pushers = 4

func (h pushing) OnOpen(c *server.Conn) {
	for who := range pushers {
		go func() {
			rnd := rand.New(rand.NewPCG(7, uint64(who)))
			for i := range h.n / pushers {
				op, body := mixedBody(rnd, i)
				sum := fnv.New64a()
				_, _ = sum.Write(body)
				c.Send(op, append(fmt.Appendf(nil, "P %d %d %d ", who, i, sum.Sum64()), body...))
			}
		}()
	}
}

// mixedBody is the text or the bytes of one message of many kinds, up to 200 KB.
func mixedBody(rnd *rand.Rand, i int) (op server.Opcode, body []byte) {
	event := fmt.Sprintf(`{"type":"TEXT_MESSAGE_CONTENT","timestamp":%d,"messageId":"m-%d","delta":"token %d·"}`, 1_700_000_000_000+i*37, rnd.IntN(3), i)
	switch rnd.IntN(16) {
	case 0:
		return server.Text, nil
	case 1:
		return server.Text, []byte("secret " + event)
	case 2:
		return server.Text, []byte(strings.Repeat(event, 1+rnd.IntN(60)))
	case 3:
		b := make([]byte, rnd.IntN(3000))
		for at := range b {
			b[at] = byte(rnd.Uint32())
		}
		return server.Binary, b
	case 4:
		if rnd.IntN(12) == 0 {
			return server.Text, bytes.Repeat([]byte(event), 200_000*(1+rnd.IntN(16))/16/len(event))
		}
	}
	return server.Text, []byte(event)
}

// TestServerDeflateMix: 10,000 messages each way, by several goroutines, whole and in pieces, compressed
// and plain, with control frames between.
func TestServerDeflateMix(t *testing.T) {
	for _, lib := range deflaters {
		t.Run(lib.name, func(t *testing.T) {
			n := 10_000
			if testkit.Race { // ten times as slow
				n = 1_000
			}
			_, url := serve(t, server.Config{
				Handler: pushing{n: n}, Limits: server.Limits{MaxMessage: 1 << 20, SoftLimit: 64 << 20, HardLimit: 256 << 20},
				Rates: server.Rates{Control: -1},
				Compression: server.Compression{
					Enabled: true, Takeover: true, Threshold: -1, Plain: func(m []byte) bool { return bytes.Contains(m, []byte("secret")) },
				},
			})
			p, _, err := lib.dial(t, url, dialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			pongs := 0
			if g, ok := p.(*gorillaPeer); ok {
				g.conn.SetPongHandler(func(string) error { pongs++; return nil })
			}
			wanted := make(chan []byte, 50)
			var both sync.WaitGroup
			both.Go(func() {
				defer close(wanted)
				rnd := rand.New(rand.NewPCG(7, 100))
				for i := range n {
					op, body := mixedBody(rnd, i)
					if len(body) > 0 {
						body = append([]byte("E "), body...)
					}
					if g, ok := p.(*gorillaPeer); ok {
						g.conn.EnableWriteCompression(rnd.IntN(4) > 0)
						if i%20 == 0 {
							_ = g.conn.WriteControl(gorilla.PingMessage, []byte("ping"), time.Now().Add(patience))
						}
					}
					wanted <- body
					var err error
					if rnd.IntN(3) == 0 {
						err = p.sendInPieces(op == server.Text, body, 1+len(body)/3)
					} else {
						err = p.send(op == server.Text, body)
					}
					if err != nil {
						t.Errorf("sending %d: %v", i, err)
						return
					}
				}
			})
			var next [pushers]int
			pushed, echoed := 0, 0
			for pushed+echoed < 2*n {
				_, got, err := p.receive()
				if err != nil {
					t.Errorf("after %d and %d: %v", pushed, echoed, err)
					break
				}
				if !bytes.HasPrefix(got, []byte("P ")) {
					if want := <-wanted; !bytes.Equal(got, want) {
						t.Errorf("echo %d is %.60q, want %.60q", echoed, got, want)
						break
					}
					echoed++
					continue
				}
				var who, place int
				var want uint64
				if _, err := fmt.Sscanf(string(got[:min(len(got), 60)]), "P %d %d %d ", &who, &place, &want); err != nil {
					t.Errorf("got %.60q: %v", got, err)
					break
				}
				sum := fnv.New64a()
				_, _ = sum.Write(bytes.SplitN(got, []byte(" "), 5)[4])
				if place != next[who] || sum.Sum64() != want {
					t.Errorf("%d sent %d, want %d; sum %d, want %d", who, place, next[who], sum.Sum64(), want)
					break
				}
				next[who]++
				pushed++
			}
			for range wanted { // who sends is to end
				continue
			}
			both.Wait()
			if _, ok := p.(*gorillaPeer); ok && pongs == 0 {
				t.Error("no pong came")
			}
			if err := p.close(1000, ""); err != nil && !t.Failed() {
				t.Error(err)
			}
		})
	}
}
