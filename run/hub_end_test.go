package run_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

var errOdd = errors.New("odd")

type encoderFunc func(dst []byte, ev agui.Event) ([]byte, error)

func (f encoderFunc) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) { return f(dst, ev) }

// TestR4EndWhateverTheEncoder: a run whose encoder encodes nothing has its terminal event.
func TestR4EndWhateverTheEncoder(t *testing.T) {
	for name, enc := range map[string]encoderFunc{
		"errors": func([]byte, agui.Event) ([]byte, error) { return nil, errOdd },
		"panics": func([]byte, agui.Event) ([]byte, error) { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			h := hubOf(t, run.HubConfig{})
			s := startOf("t", "r", nil)
			s.Do = func(ctx context.Context, l *run.Live) error {
				return run.Do(ctx, s.Input, &run.Setup{
					Scope: "s", Encoder: enc, Live: l, MaxEvent: 1 << 20, Log: slog.New(slog.DiscardHandler),
					Agent: run.AgentFunc(func(context.Context, *run.Run) error { return nil }),
				})
			}
			o := newOutlet(-1)
			mustStart(t, h, s, o)
			await(t, "it ends", func() bool { return o.last() == 2 })
			<-o.over
			if got := string(o.got()[1].Event); !strings.Contains(got, "RUN_ERROR") {
				t.Errorf("ended with %s", got)
			}
			await(t, "the hub has nothing", func() bool { return h.Busy() == 0 })
		})
	}
}
