package main

import (
	"bufio"
	"bytes"
	"io"
	"net"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// serveGobwas upgrades on the bare connection, gives it a goroutine and reads and writes it bare, as the library's README
// does.
func serveGobwas(s setup) error { return listenGobwas(s, gobwasEcho) }

// serveGobwasCorked is the same tuned by hand: a buffer for reading, and answers that gather until the next read.
func serveGobwasCorked(s setup) error { return listenGobwas(s, gobwasCorked) }

func listenGobwas(s setup, echo func(net.Conn) error) error {
	wsutil.SetMaxMessageSize(16 << 20)
	wsutil.SetPreallocLimit(1 << 20)
	ln, err := s.listen()
	if err != nil {
		return err
	}
	var all members[net.Conn]
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go gobwasServe(c, echo, &all)
	}
}

func gobwasServe(c net.Conn, echo func(net.Conn) error, all *members[net.Conn]) {
	defer c.Close()
	handle := echo
	u := ws.Upgrader{OnRequest: func(uri []byte) error {
		if string(uri) == fanoutPath {
			handle = func(c net.Conn) error { return gobwasFanout(c, all) }
		}
		return nil
	}}
	if _, err := u.Upgrade(c); err != nil {
		return
	}
	handle(c)
}

// gobwasEcho costs five system calls a message: the library leaves buffers to its users.
func gobwasEcho(c net.Conn) error {
	for {
		p, op, err := wsutil.ReadClientData(c)
		if err != nil {
			return err
		}
		if err := wsutil.WriteServerMessage(c, op, p); err != nil {
			return err
		}
	}
}

// corked gathers answers until the connection is read again.
type corked struct {
	c   net.Conn
	out bytes.Buffer
}

func (k *corked) Read(p []byte) (int, error) {
	if err := k.flush(); err != nil {
		return 0, err
	}
	return k.c.Read(p)
}

func (k *corked) flush() error {
	if k.out.Len() == 0 {
		return nil
	}
	_, err := k.out.WriteTo(k.c)
	return err
}

type buffered struct {
	*bufio.Reader
	io.Writer // of answers to control frames
}

func gobwasCorked(c net.Conn) error {
	k := &corked{c: c}
	defer k.flush() // the answer to a close frame
	in := buffered{bufio.NewReader(k), &k.out}
	for {
		p, op, err := wsutil.ReadClientData(in)
		if err != nil {
			return err
		}
		if err := wsutil.WriteServerMessage(&k.out, op, p); err != nil {
			return err
		}
	}
}

// gobwasFanout builds a message's frame once and writes it to one connection after the other. A reader that stalls
// stalls all: the load has none.
func gobwasFanout(c net.Conn, all *members[net.Conn]) error {
	all.add(c)
	defer all.remove(c)
	in := buffered{bufio.NewReader(c), c}
	for {
		p, op, err := wsutil.ReadClientData(in)
		if err != nil {
			return err
		}
		frame, err := ws.CompileFrame(ws.NewFrame(op, true, p))
		if err != nil {
			return err
		}
		all.each(func(c net.Conn) {
			c.Write(frame)
		})
	}
}
