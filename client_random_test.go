package agloop_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
)

// logServer has a log of each run that is asked for, and gives it from any cursor: with folds, mixed
// with other runs, over connections that it ends when it likes.
type logServer struct {
	agloop.NopHandler
	t      *testing.T
	events int // deltas of each run

	mu   sync.Mutex // of all that follows, and held while a selector and its events are sent
	rnd  *rand.Rand
	cuts int // connections that are still to be ended
	done sync.WaitGroup
}

// logConn is one of its connections.
type logConn struct {
	number int
	left   map[int]bool
	over   bool
}

func (s *logServer) OnOpen(c *agloop.Conn) {
	c.SetUser(&logConn{left: map[int]bool{}})
	c.Send(wireOpcode(), wireOf([]byte(helloProcess)))
}

func (s *logServer) OnClose(c *agloop.Conn, _ *agloop.CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.User().(*logConn).over = true
}

func (s *logServer) OnMessage(c *agloop.Conn, _ agloop.Opcode, payload []byte) {
	name, body, err := control.Parse(payload)
	if err != nil {
		s.t.Error(err)
		return
	}
	var ask struct {
		Ref    string `json:"ref"`
		RunID  string `json:"runId"`
		Offset int    `json:"offset"`
		Run    int    `json:"run"`
		Input  struct {
			RunID string `json:"runId"`
		} `json:"input"`
	}
	if err := json.Unmarshal(body, &ask); err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	conn := c.User().(*logConn)
	switch name {
	case control.NameLeave:
		conn.left[ask.Run] = true
	case control.NameStart, control.NameAttach:
		conn.number++
		number := conn.number
		s.done.Go(func() { s.give(c, conn, number, ask.Ref, ask.RunID+ask.Input.RunID, ask.Offset+1) })
	}
}

// give sends a log from an offset on, a few frames at a time.
func (s *logServer) give(c *agloop.Conn, conn *logConn, number int, ref, runID string, next int) {
	last := s.events + 4
	first := selects(number, ref, runID, next)
	for next <= last {
		s.mu.Lock()
		if conn.over || conn.left[number] {
			s.mu.Unlock()
			return
		}
		if first == "" {
			first = onto(number, next)
		}
		c.Send(wireOpcode(), wireOf([]byte(first)))
		first = ""
		for range 1 + s.rnd.IntN(8) {
			if fold := s.rnd.IntN(6); next > 2 && fold > 2 && next+fold <= last-2 {
				c.Send(wireOpcode(), wireOf([]byte(fmt.Sprintf(`["run",{"run":%d,"offset":%d,"through":%d}]`, number, next, next+fold-1))))
				c.Send(wireOpcode(), wireOf(s.event(runID, next, next+fold)))
				next += fold
				c.Send(wireOpcode(), wireOf([]byte(onto(number, next))))
			} else if next <= last {
				c.Send(wireOpcode(), wireOf(s.event(runID, next, next+1)))
				next++
			}
		}
		if s.cuts > 0 && s.rnd.IntN(30) == 0 {
			s.cuts--
			c.Close(agloop.CloseRestart, "")
		}
		s.mu.Unlock()
	}
}

// event is that of an offset, or a fold of the deltas up to another one.
func (s *logServer) event(runID string, offset, end int) []byte {
	switch offset {
	case 1:
		return []byte(startedOf(runID))
	case 2:
		return []byte(`{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant"}`)
	case s.events + 3:
		return []byte(`{"type":"TEXT_MESSAGE_END","messageId":"m"}`)
	case s.events + 4:
		return []byte(finishedOf(runID))
	}
	var b strings.Builder
	for ; offset < end; offset++ {
		fmt.Fprint(&b, offset, " ")
	}
	return []byte(`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"` + b.String() + `"}`)
}

// TestR40NothingTwiceNothingLost: whatever is folded, mixed, cut and left for a while, each loop gets
// the text of its run.
func TestR40NothingTwiceNothingLost(t *testing.T) {
	const runs, events = 6, 400
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := &logServer{t: t, events: events, rnd: rand.New(rand.NewPCG(seed, 1)), cuts: 8}
			_, addr := serve(t, agloop.ServerConfig{Handler: s, Protocols: []string{wireProtocol()}})
			cfg := agloop.ClientConfig{Logger: quiet, MaxPending: 8 << 10, Protocols: []string{wireProtocol()}}
			cfg.Resume.MinBackoff, cfg.Resume.MaxBackoff = time.Millisecond, 2*time.Millisecond
			c, err := agloop.Dial(t.Context(), wsURL(addr), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.done.Wait()
			defer c.Close()
			var want strings.Builder
			for offset := 3; offset < events+3; offset++ {
				fmt.Fprint(&want, offset, " ")
			}
			var loops sync.WaitGroup
			for i := range runs {
				loops.Go(func() {
					var got strings.Builder
					for ev, err := range c.Run(t.Context(), inputFor(fmt.Sprint(i))) {
						if err != nil {
							t.Errorf("run %d: %v", i, err)
							return
						}
						if e, ok := ev.(*agui.TextMessageContent); ok {
							got.WriteString(e.Delta)
						}
					}
					if got.String() != want.String() {
						t.Errorf("run %d got %.300s", i, got.String())
					}
				})
			}
			loops.Wait()
		})
	}
}
