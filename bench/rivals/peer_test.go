package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// speaker takes messages and gives some.
type speaker interface {
	write(op int, p []byte) error
	read() (op int, p []byte, err error)
}

// peer is a client whose library checks what the server sends.
type peer interface {
	speaker
	// ping succeeds once the pong has come. Nothing else may be under way.
	ping() error
	// leave succeeds when the server has answered the close frame and ended the connection.
	leave() error
}

// trusting takes any certificate.
var trusting = &tls.Config{InsecureSkipVerify: true}

type gorillaPeer struct{ c *gorilla.Conn }

func dialGorilla(t *testing.T, url string) peer {
	t.Helper()
	c, answer, err := (&gorilla.Dialer{TLSClientConfig: trusting}).Dial(url, nil)
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	t.Cleanup(func() { c.Close() })
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("dial %s: status %s", url, answer.Status)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	c.SetWriteDeadline(time.Now().Add(patience))
	return gorillaPeer{c}
}

func (g gorillaPeer) write(op int, p []byte) error { return g.c.WriteMessage(op, p) }

func (g gorillaPeer) read() (int, []byte, error) { return g.c.ReadMessage() }

func (g gorillaPeer) ping() error {
	var ponged string
	g.c.SetPongHandler(func(p string) error {
		ponged = p
		return nil
	})
	const word = "are you there"
	if err := g.c.WriteControl(gorilla.PingMessage, []byte(word), time.Now().Add(patience)); err != nil {
		return err
	}
	// Pongs are handled inside a read, which needs a message to end.
	if err := g.write(gorilla.TextMessage, []byte("after the ping")); err != nil {
		return err
	}
	if _, _, err := g.read(); err != nil {
		return err
	}
	if ponged != word {
		return fmt.Errorf("pong %q, want %q", ponged, word)
	}
	return nil
}

func (g gorillaPeer) leave() error {
	bye := gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "bye")
	if err := g.c.WriteControl(gorilla.CloseMessage, bye, time.Now().Add(patience)); err != nil {
		return err
	}
	_, p, err := g.read()
	if !gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
		return fmt.Errorf("answer to the close frame is %q, %w; want close 1000", p, err)
	}
	if n, err := g.c.NetConn().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the close frame come %d bytes, %w; want the end", n, err)
	}
	return nil
}

type coderPeer struct {
	c   *coder.Conn
	ctx context.Context
}

func dialCoder(t *testing.T, url string) peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	c, _, err := coder.Dial(ctx, url, &coder.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: trusting}},
	})
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(-1)
	return coderPeer{c, ctx}
}

func (k coderPeer) write(op int, p []byte) error {
	return k.c.Write(k.ctx, coder.MessageType(op), p)
}

func (k coderPeer) read() (int, []byte, error) {
	op, p, err := k.c.Read(k.ctx)
	return int(op), p, err
}

func (k coderPeer) ping() error {
	// The pong is handled inside a read, which needs a message to end.
	ponged := make(chan error, 1)
	go func() { ponged <- k.c.Ping(k.ctx) }()
	read := make(chan error, 1)
	go func() {
		_, _, err := k.read()
		read <- err
	}()
	if err := <-ponged; err != nil {
		return err
	}
	if err := k.write(gorilla.TextMessage, []byte("after the pong")); err != nil {
		return err
	}
	return <-read
}

func (k coderPeer) leave() error { return k.c.Close(coder.StatusNormalClosure, "bye") }
