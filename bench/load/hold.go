//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holdMode holds its part of a great number of connections, which several of these processes open
// to several servers on one port. Whoever started it says on stdin what to do next, a word a line,
// and reads one JSON object a line on stdout:
//
//	open   open the connections; once a second how many are, and at the end how long that took
//	run    ask for a run on one connection in --every, wait for its end, report the latencies
//	ping   ping every connection and wait for all the pongs
//	end    reset the connections and leave; the end of stdin does the same
//
// Between two words it answers pings. That a connection is closed by the server is an error at any
// time.
type holdMode struct {
	streamMode
	every int // one connection in so many has a run

	in    int // stdin
	out   io.Writer
	words []byte // of stdin, not yet a line
}

func (m *holdMode) onClose(c *conn, why string) error {
	return fmt.Errorf("lost while held, %d content events into its run: %s", c.run.contents, why)
}

func holdMain(args []string) (*common, *report, error) {
	var c common
	m := &holdMode{out: os.Stdout}
	fs := flag.NewFlagSet("hold", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9002/ws")
	conns := fs.Int("conns", 10000, "connections")
	fs.IntVar(&m.every, "every", 100, "one connection in so many has a run")
	fs.IntVar(&m.rate, "rate", 10, "bursts per second of a run")
	fs.IntVar(&m.burst, "burst", 1, "content events in a burst")
	fs.IntVar(&m.delta, "delta", 24, "bytes of text in a content event")
	fs.IntVar(&m.length, "seconds", 10, "length of a run")
	fs.Parse(args)
	return &c, nil, holdRun(&c, m, *conns)
}

func holdRun(c *common, m *holdMode, conns int) error {
	if m.rate < 1 || m.burst < 1 || m.delta < 1 || m.length < 1 || m.every < 1 {
		return errors.New("--rate, --burst, --delta, --seconds and --every lie above 0")
	}
	if c.tls {
		return errors.New("--tls: pongs are read as they come from the socket")
	}
	m.exact, m.interval, m.latency = true, int64(time.Second)/int64(m.rate), newLatency()
	e, err := c.start(conns, m)
	if err != nil {
		return err
	}
	m.e = e
	if err := unix.SetNonblock(m.in, true); err != nil {
		return fmt.Errorf("make stdin non-blocking: %w", err)
	}
	if err := m.answer("ready", func(*report) {}); err != nil {
		return err
	}
	for {
		word, err := m.nextWord()
		if err != nil {
			return err
		}
		switch word {
		case "open":
			err = m.open(c.limit)
		case "run":
			err = m.run(c.drain)
		case "ping":
			err = m.ping(c.drain)
		case "end", "":
			return m.reset()
		default:
			err = fmt.Errorf("stdin says %q, which is none of open, run, ping and end", word)
		}
		if err != nil {
			return err
		}
	}
}

// answer writes one JSON object: done names the word that was carried out.
func (m *holdMode) answer(done string, fill func(*report)) error {
	var r report
	r.add("done", done)
	fill(&r)
	b, err := r.json()
	if err != nil {
		return err
	}
	_, err = m.out.Write(b)
	return err
}

// nextWord serves the connections until stdin has a line. "" is the end of stdin.
func (m *holdMode) nextWord() (string, error) {
	var buf [64]byte
	for {
		if line, rest, whole := strings.Cut(string(m.words), "\n"); whole {
			m.words = []byte(rest)
			return strings.TrimSpace(line), nil
		}
		n, err := unix.Read(m.in, buf[:])
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			if err := m.e.poll(20); err != nil {
				return "", err
			}
		case err != nil:
			return "", fmt.Errorf("read stdin: %w", err)
		case n == 0:
			return "", nil
		default:
			m.words = append(m.words, buf[:n]...)
		}
	}
}

// open opens every connection, never more than bound at a time.
func (m *holdMode) open(limit time.Duration) error {
	e := m.e
	begin := e.now()
	told := begin
	for e.opened < e.dial {
		for e.dialed < e.dial && e.handshake < e.bound {
			if err := e.connect(&e.conns[e.dialed], e.dialed); err != nil {
				return fmt.Errorf("connection %d: %w", e.dialed, err)
			}
		}
		if err := e.poll(10); err != nil {
			return err
		}
		now := e.now()
		if now-begin > int64(limit) {
			return fmt.Errorf("%d of %d connections open after %v", e.opened, e.dial, limit)
		}
		if now-told >= int64(time.Second) {
			told = now
			if err := m.answer("", func(r *report) { r.add("opened", e.opened) }); err != nil {
				return err
			}
		}
	}
	return m.answer("open", func(r *report) {
		r.add("opened", e.opened)
		r.add("seconds", round(float64(e.now()-begin)/1e9, 3))
	})
}

// reset closes the connections without a closing handshake. A million in TIME_WAIT would disturb
// the next run.
func (m *holdMode) reset() error {
	for i := range m.e.conns {
		if err := m.e.cut(&m.e.conns[i]); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}
