package aguitest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// Config is what a run has besides its agent and its input. The zero value is what [Run] and [Start]
// use.
type Config struct {
	// Context is what the context of the run descends from. nil is the test's, which ends before its
	// cleanup.
	Context context.Context
	// Principal becomes Run.Principal.
	Principal auth.Principal
	// Values are keys and values in turn, for Run.Value, as those of a Grant.
	Values []any
	// MaxEvent is the largest encoded event, in bytes. 0 is 1 MiB, as Limits.MaxEvent has it.
	MaxEvent int
	// Window is how many events may wait for the reader before Emit does: 1 is the slowest reader.
	// RUN_STARTED and the events that end a run never wait. 0 is any number, as it is for Run, which
	// reads nothing before the end.
	Window int
	// Patience is how long one wait may last before it fails the test. 0 is 30 s. In a bubble of
	// testing/synctest it does not count.
	Patience time.Duration
	// Logger receives what the client may not read, such as the agent's error. nil is the output of
	// the test.
	Logger *slog.Logger
}

// Run runs agent on in to its end and returns what came of it. It is Start and Wait.
func Run(t testing.TB, agent run.Agent, in *agui.RunAgentInput) *Result {
	t.Helper()
	return Config{}.Run(t, agent, in)
}

// Start begins a run of agent on in, in a goroutine of its own. The end of the test cancels it, and
// waits for the agent.
func Start(t testing.TB, agent run.Agent, in *agui.RunAgentInput) *Session {
	t.Helper()
	return Config{}.Start(t, agent, in)
}

// Run is [Run] with the config.
func (c Config) Run(t testing.TB, agent run.Agent, in *agui.RunAgentInput) *Result {
	t.Helper()
	c.Window = 0 // nobody reads before the end
	return c.Start(t, agent, in).Wait()
}

// errTestOver is the cause of a run whose test has ended.
var errTestOver = errors.New("aguitest: the test is over")

// Start is [Start] with the config.
func (c Config) Start(t testing.TB, agent run.Agent, in *agui.RunAgentInput) *Session {
	t.Helper()
	own, err := asSent(in)
	if err != nil {
		t.Fatalf("aguitest: no client could send this input: %v", err)
	}
	parent := c.Context
	if parent == nil {
		parent = t.Context()
	}
	if c.MaxEvent == 0 {
		c.MaxEvent = 1 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	}
	ctx, cancel := context.WithCancelCause(parent)
	s := &Session{
		t: t, input: own, cancel: cancel, maxEvent: c.MaxEvent, patience: c.patience(),
		done: make(chan struct{}), window: c.Window, changed: make(chan struct{}),
	}
	setup := &run.Setup{
		Agent: agent, Principal: c.Principal, Values: c.Values,
		Encoder: encoder{s}, Sink: sink{s}, MaxEvent: c.MaxEvent, Log: c.Logger,
		Ended: func(e run.RunEnd) { s.err = e.Err },
	}
	go func() {
		defer s.end()
		_ = run.Do(ctx, own, setup) // Ended is told the error, also when the agent ends its goroutine
	}()
	t.Cleanup(s.stop)
	return s
}

// asSent is in as an agent gets it: encoded by a client, and decoded.
func asSent(in *agui.RunAgentInput) (*agui.RunAgentInput, error) {
	raw, err := event.AppendRunAgentInput(nil, in)
	if err != nil {
		return nil, err
	}
	own, _, err := event.DecodeRunAgentInput(raw)
	return own, err
}

// withoutTime leaves the time out of log lines: it says nothing in a test.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// began is a moment of the real clock: packages are initialised outside of bubbles.
var began = time.Now()

// patience is how long a wait may last. A bubble's clock starts in the year 2000 and goes on as soon
// as all of its goroutines wait: then a wait of ten years ends at once, unless somebody else's ends
// before.
func (c *Config) patience() time.Duration {
	switch {
	case time.Now().Unix() < began.Unix():
		return 10 * 365 * 24 * time.Hour
	case c.Patience > 0:
		return c.Patience
	}
	return 30 * time.Second
}
