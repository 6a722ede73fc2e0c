//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"time"
)

// idleMode holds connections and does nothing with them but answer pings.
type idleMode struct{}

func (idleMode) onMessage(*conn, frame) error { return nil }
func (idleMode) onTurn(*conn) error           { return nil }
func (idleMode) onClose(_ *conn, why string) error {
	return fmt.Errorf("lost while idle: %s", why)
}

func idleMain(args []string) (*common, *report, error) {
	var c common
	fs := flag.NewFlagSet("idle", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9001/")
	conns := fs.Int("conns", 15000, "connections; above 10,000 they leave from 127.0.0.2 and on")
	hold := fs.Duration("hold", 20*time.Second, "how long to hold them, counted from the last one opened")
	settle := fs.Duration("settle", 10*time.Second, "when in that time to read the memory, the server's garbage being gone")
	fs.Parse(args)
	r, err := idleRun(&c, *conns, *hold, *settle)
	return &c, r, err
}

func idleRun(c *common, conns int, hold, settle time.Duration) (*report, error) {
	if c.pid == 0 {
		return nil, errors.New("--pid is needed: memory is all that is measured")
	}
	e, err := c.start(conns, idleMode{})
	if err != nil {
		return nil, err
	}
	before, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}
	a, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	if err := e.openAll(c.limit); err != nil {
		return nil, err
	}
	b, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	settle = min(settle, hold)
	if err := e.until(b.at+int64(settle), nil); err != nil {
		return nil, err
	}
	after, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}
	if err := e.until(b.at+int64(hold), nil); err != nil {
		return nil, err
	}
	end, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	last, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}

	var r report
	n := float64(conns)
	each := func(after, before int64) float64 { return round(float64(after-before)/n, 1) }
	r.add("mode", "idle")
	r.add("conns", conns)
	r.add("bytes_per_conn", each(after.rss, before.rss))
	r.add("anon_per_conn", each(after.anon, before.anon))
	r.add("vmrss_per_conn", each(after.vmRSS, before.vmRSS))
	r.add("end_bytes_per_conn", each(last.rss, before.rss))
	r.add("rss_before", before.rss)
	r.add("rss_after", after.rss)
	r.add("pss_before", before.pss)
	r.add("pss_after", after.pss)
	r.add("open_seconds", round(float64(b.at-a.at)/1e9, 3))
	r.add("conns_per_s", round(n/(float64(b.at-a.at)/1e9), 0))
	r.add("server_us_per_open", round(float64(b.server-a.server)/1e3/n, 2))
	r.add("idle_server_cores", round(float64(end.server-b.server)/float64(end.at-b.at), 4))
	r.add("rss", end.rss)
	r.add("pings", e.pings)
	return &r, nil
}
