package agloop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// TestTransportStartWithNobodyThere: without a deadline the first round decides; with one the
// server may come late.
func TestTransportStartWithNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	tr := newTransport(t, agloop.TransportConfig{
		URLs: []string{wsURL(addr), "ws://" + addr + "/other?secret"}, ReconnectMin: time.Millisecond, ReconnectMax: 2 * time.Millisecond,
	})
	err = tr.Start(t.Context())
	if _, ok := errors.AsType[*net.OpError](err); !ok {
		t.Errorf("Start: %v", err)
	}
	if msg := err.Error(); !strings.Contains(msg, wsURL(addr)) || !strings.Contains(msg, addr+"/other") || strings.Contains(msg, "secret") {
		t.Errorf("Start: %v", err)
	}
	if st := tr.Stats(); st.Dialling != 0 || st.DialFailures.Network < 2 {
		t.Errorf("%+v", st)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Start(cancelled); err == nil {
		t.Error("Start with a cancelled context")
	}

	patient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	started := make(chan error, 1)
	before := tr.Stats().Dials
	go func() { started <- tr.Start(patient) }()
	testkit.Await(t, "every slot has failed", func() bool { return tr.Stats().Dials > before+4 }) // every slot has failed
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	srv, served := agloop.NewServer(agloop.ServerConfig{Agent: hello}), make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()
	if err := <-started; err != nil {
		t.Error(err)
	}
	if types, err := transportRun(t.Context(), tr, "r"); types != helloTypes || err != nil {
		t.Error(types, err)
	}
	if err := tr.Stop(); err != nil {
		t.Error(err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	<-served
}

// TestTransportStopWhileDialling: a server that accepts and says nothing does not hold Stop, nor a
// Start that waits.
func TestTransportStopWhileDialling(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tr := newTransport(t, agloop.TransportConfig{URLs: []string{wsURL(ln.Addr().String())}})
	started := make(chan error, 1)
	go func() { started <- tr.Start(t.Context()) }()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	waiting := make(chan error, 1)
	go func() { _, err := transportRun(t.Context(), tr, "r"); waiting <- err }()
	testkit.Await(t, "a run waits", func() bool { return tr.Stats().Waiting == 1 })
	if err := tr.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-started; !errors.Is(err, agloop.ErrTransportClosed) {
		t.Errorf("Start: %v", err)
	}
	if err := <-waiting; !errors.Is(err, agloop.ErrTransportClosed) {
		t.Errorf("the waiting run: %v", err)
	}
	if _, err := io.Copy(io.Discard, nc); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Log(err) // a reset will do: the handshake was given up
	}
}

// TestTransportStopIsBounded: a Dial that ignores its context does not hold Stop for ever.
func TestTransportStopIsBounded(t *testing.T) {
	engine := lentLoops(t)
	synctest.Test(t, func(t *testing.T) {
		dialling, release := make(chan struct{}), make(chan struct{})
		config := agloop.TransportConfig{URLs: []string{"ws://a/"}}
		config.Client.Logger = quiet
		config.Client.Limits.CloseTimeout = 2 * time.Second
		config.Client.Dial = func(context.Context, string, string) (net.Conn, error) {
			close(dialling)
			<-release
			return nil, net.ErrClosed
		}
		tr, err := agloop.NewTransport(config)
		if err != nil {
			t.Fatal(err)
		}
		tr.LendLoops(engine)
		started := make(chan error, 1)
		go func() { started <- tr.Start(t.Context()) }()
		<-dialling
		begun := time.Now()
		if err := tr.Stop(); err == nil || time.Since(begun) != 3*time.Second {
			t.Errorf("Stop: %v after %v", err, time.Since(begun))
		}
		if err := <-started; !errors.Is(err, agloop.ErrTransportClosed) {
			t.Errorf("Start: %v", err)
		}
		close(release)
		if err := tr.Stop(); err != nil {
			t.Errorf("Stop when it is over: %v", err)
		}
	})
}
