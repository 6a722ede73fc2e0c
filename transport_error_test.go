package agloop_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

// isOneLine checks that err, which is all of wants, is one line of a log.
func isOneLine(t *testing.T, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Errorf("%v is not %v", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has several lines", err)
	}
}

// TestUnreachableIsOneLine: one error for each URL, and the end of the context.
func TestUnreachableIsOneLine(t *testing.T) {
	tr := newTransport(t, agloop.TransportConfig{URLs: []string{"ws://127.0.0.1:1/a", "ws://127.0.0.1:1/b"}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := tr.Start(ctx)
	isOneLine(t, err, context.DeadlineExceeded)
	if _, ok := errors.AsType[*net.OpError](err); !ok || !strings.Contains(err.Error(), "/a") || !strings.Contains(err.Error(), "/b") {
		t.Errorf("Start: %v", err)
	}
}

// TestStuckIsOneLine: a Start that fails, and whose dialling then does not end.
func TestStuckIsOneLine(t *testing.T) {
	engine := lentLoops(t)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		config := agloop.TransportConfig{URLs: []string{"ws://a/"}}
		config.Client.Logger = quiet
		config.Client.Dial = func(context.Context, string, string) (net.Conn, error) {
			<-release
			return nil, net.ErrClosed
		}
		tr, err := agloop.NewTransport(config)
		if err != nil {
			t.Fatal(err)
		}
		tr.LendLoops(engine)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = tr.Start(ctx)
		isOneLine(t, err, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "no connection came up") || !strings.Contains(err.Error(), "not gone") {
			t.Errorf("Start: %v", err)
		}
		close(release)
		isOneLine(t, tr.Stop())
	})
}

// TestTruncatedIsOneLine: a connection that ends before its run, with the reason of the end.
func TestTruncatedIsOneLine(t *testing.T) {
	frames := []string{`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`}
	_, addr := serve(t, agloop.ServerConfig{Handler: &script{frames: frames, code: agloop.ClosePolicy}})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var last error
	for _, err := range c.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "r"}) {
		last = err
	}
	isOneLine(t, last, agloop.ErrTruncated, net.ErrClosed)
	if ce, ok := errors.AsType[*agloop.CloseError](last); !ok || ce.Code != agloop.ClosePolicy {
		t.Errorf("%v", last)
	}
}

// TestDroppedIsOneLine: an event for a connection that has ended.
func TestDroppedIsOneLine(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: agloop.NopHandler{}})
	pipe := newStall()
	defer pipe.flow()
	config := agloop.TransportConfig{URLs: []string{wsURL(addr)}, ReconnectMin: time.Hour, ReconnectMax: time.Hour}
	config.Client.Dial = pipe.dial
	config.Client.Limits.SoftLimit = 64 << 10
	config.Client.Limits.WriteTimeout = 100 * time.Millisecond
	tr := startTransport(t, config)
	var err error
	for err == nil {
		err = tr.SendEvent(t.Context(), &agui.StepStarted{StepName: strings.Repeat("x", 32<<10)})
	}
	isOneLine(t, err, agloop.ErrEventDropped, net.ErrClosed)
	if _, ok := errors.AsType[*agloop.CloseError](err); !ok {
		t.Errorf("%v", err)
	}
}
