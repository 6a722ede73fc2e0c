package agloop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// chatter is an agent that emits events of so many bytes until its run is cancelled.
func chatter(size int) agloop.Agent {
	value, _ := json.Marshal(strings.Repeat("x", size))
	return agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		for ctx.Err() == nil {
			if err := r.Emit(&agui.Custom{Name: "n", Value: value}); err != nil {
				return err
			}
		}
		return nil
	})
}

// post is a request for a run.
func post(id string) []byte {
	body := inputOf(id, 0)
	return fmt.Appendf(nil, "POST /agui HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestStreamsThatAreCut: of streams whose clients vanish while much is sent to them nothing stays.
func TestStreamsThatAreCut(t *testing.T) {
	cfg := agloop.ServerConfig{Agent: chatter(1 << 10)}
	own, addr := serve(t, cfg)
	mounted := closing(t, agloop.NewServer(cfg))
	for name, s := range map[string]struct {
		srv  *agloop.Server
		addr string
	}{"own": {own, addr}, "mounted": {mounted, mount(t, mounted)}} {
		t.Run(name, func(t *testing.T) {
			for i := range 50 {
				p := testkit.Connect(t, s.addr, 0)
				p.Put(post(fmt.Sprint(i)))
				p.Fill(make([]byte, 64<<10))
				p.Reset()
			}
			testkit.Await(t, "the streams are gone", func() bool {
				st := s.srv.Stats()
				return st.Logged.Streams == 0 && st.Connections == 0 && st.Logged.Viewers == 0 && st.Runs == 0
			})
			testkit.Await(t, "nothing is held", func() bool { return s.srv.Stats().Memory.Held == 0 })
		})
	}
}

// TestStuckStreamExpires: a stream ends with its principal also while a write waits for its reader.
func TestStuckStreamExpires(t *testing.T) {
	ends := make(chan agloop.CloseCode, 1)
	cfg := agloop.ServerConfig{
		Agent:  chatter(64 << 10),
		Limits: agloop.Limits{WriteTimeout: time.Hour},
		Authorize: func(context.Context, *agloop.Request) (agloop.Grant, error) {
			return agloop.Grant{Principal: agloop.Principal{Key: "ann", ExpiresAt: time.Now().Add(time.Second)}}, nil
		},
		Hooks: agloop.Hooks{Disconnected: func(_ agloop.ConnInfo, why *agloop.CloseError) { ends <- why.Code }},
	}
	_, own := serve(t, cfg)
	for name, addr := range map[string]string{"own": own, "mounted": mount(t, closing(t, agloop.NewServer(cfg)))} {
		t.Run(name, func(t *testing.T) {
			p := testkit.Connect(t, addr, 8<<10)
			p.Put(post("r"))
			if code := testkit.Receive(t, "the end", ends); code != agloop.CloseExpired {
				t.Errorf("%v", code)
			}
		})
	}
}
