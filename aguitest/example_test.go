package aguitest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/run"
)

// greeter is an agent as a host writes one. It thinks for a minute.
var greeter = run.AgentFunc(func(ctx context.Context, r *run.Run) error {
	msg, err := r.TextMessage()
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := msg.Write("Hello yourself."); err != nil {
		return err
	}
	return msg.Close()
})

func TestGreeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the minute takes no time
		got := aguitest.Run(t, greeter, aguitest.Input("hello"))
		got.WantSuccess()
		got.WantText("Hello yourself.")
	})
}

func TestGreeterStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aguitest.Start(t, greeter, aguitest.Input("hello"))
		aguitest.Await[*agui.TextMessageStart](s)
		s.Cancel(nil)
		s.Wait().WantCancelled()
	})
}
