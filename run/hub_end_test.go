package run_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
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

// TestR18CauseWhateverTheAgentDoes: whoever waits for a run that was cancelled is told why, as its hook is, also when the
// agent ends its goroutine.
func TestR18CauseWhateverTheAgentDoes(t *testing.T) {
	for name, end := range map[string]func() error{
		"returns an error": func() error { return errOdd },
		"returns nothing":  func() error { return nil },
		"ends":             func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			h := hubOf(t, run.HubConfig{})
			called := make(chan struct{})
			l, _ := mustStart(t, h, startOf("t", "r", func(ctx context.Context, _ *run.Run) error {
				close(called)
				<-ctx.Done()
				return end()
			}), newOutlet(-1))
			<-called
			l.Cancel(nil)
			if err := l.Wait(t.Context()); err != run.ErrCancelled {
				t.Errorf("it ended with %v", err)
			}
			atRest(t, h)
		})
	}
}
