//go:build linux

package main

import (
	"fmt"
	"os"
	"time"
)

// meter is a reading of everything that a measured window is the difference of.
type meter struct {
	at     int64
	server time.Duration // CPU so far, in nanoseconds
	load   time.Duration // likewise, without waiting awake
	reads  uint64
	frames uint64
	wire   uint64
	plain  uint64

	user, sys  int64 // the server's CPU as the kernel splits it, in ticks
	rss        int64
	steal      time.Duration
	othersAt   int64
	others     int64 // in ticks
	deferred   int64 // in ticks
	cores      int   // of the machine
	serverMay  float64
	isOpenLoop bool
}

// meter reads the clocks first, so that slow readings are outside a window that ends here.
func (e *engine) meter(pid int) (m meter, err error) {
	if err := e.clocks(&m, pid); err != nil {
		return m, err
	}
	if m.steal, m.cores, err = stolen(); err != nil {
		return m, err
	}
	if pid == 0 {
		return m, nil
	}
	if m.user, m.sys, err = ticks(pid); err != nil {
		return m, fmt.Errorf("CPU of the server: %w", err)
	}
	if m.rss, err = residentSet(pid); err != nil {
		return m, fmt.Errorf("memory of the server: %w", err)
	}
	m.isOpenLoop, m.serverMay = e.openLoop, e.serverCores
	if m.serverMay == 0 {
		m.serverMay = allowedCores(pid)
	}
	m.othersAt = e.now()
	m.others, m.deferred, err = others(pid, os.Getpid())
	return m, err
}

// clocks is the quick part of a reading.
func (e *engine) clocks(m *meter, pid int) (err error) {
	m.at, m.reads, m.frames, m.wire, m.plain = e.now(), e.reads, e.frames, e.wire, e.plain
	if pid != 0 {
		if m.server, err = cpuTime(pid); err != nil {
			return fmt.Errorf("CPU of the server: %w", err)
		}
	}
	m.load, err = cpuTime(0)
	m.load -= time.Duration(e.idle)
	return err
}

// lengthen adds the window from a to b to the one that m ends.
func (m *meter) lengthen(a, b meter) {
	m.at += b.at - a.at
	m.server += b.server - a.server
	m.load += b.load - a.load
	m.reads += b.reads - a.reads
	m.frames += b.frames - a.frames
	m.wire += b.wire - a.wire
	m.plain += b.plain - a.plain
	m.user += b.user - a.user
	m.sys += b.sys - a.sys
	m.steal += b.steal - a.steal
	m.othersAt += b.othersAt - a.othersAt
	m.others += b.others - a.others
	m.deferred += b.deferred - a.deferred
	m.rss = b.rss
}

// catchUp is how long the load runs after a slow reading before the window begins, to send what has
// become due meanwhile.
const catchUp = int64(20 * time.Millisecond)

// measure runs one window. begin is called at its first moment and says when it ends.
func (e *engine) measure(pid int, begin func(at int64) (end int64)) (a, b meter, err error) {
	if a, err = e.meter(pid); err != nil {
		return a, b, err
	}
	if err := e.until(e.now()+catchUp, nil); err != nil {
		return a, b, err
	}
	e.awake = e.ownCore
	defer func() { e.awake = false }()
	if err := e.clocks(&a, pid); err != nil {
		return a, b, err
	}
	if err := e.until(begin(a.at), nil); err != nil {
		return a, b, err
	}
	b, err = e.meter(pid)
	return a, b, err
}

// window reports what lies between two readings, frame by frame. what names a frame: msg or event.
func (r *report) window(a, b meter, pid int, what string) {
	r.windowOf(a, b, pid, what, b.frames-a.frames)
}

// windowOf is window for something of which there were count.
func (r *report) windowOf(a, b meter, pid int, what string, count uint64) {
	seconds := float64(b.at-a.at) / 1e9
	per := func(d time.Duration) float64 { return round(ratio(float64(d)/1e3, float64(count)), 4) }
	server, load := b.server-a.server, b.load-a.load
	serverCores, loadCores := float64(server)/1e9/seconds, float64(load)/1e9/seconds
	r.add("seconds", round(seconds, 3))
	r.add(what+"s", count)
	r.add(what+"s_per_s", round(float64(count)/seconds, 0))
	if pid != 0 {
		user := userPart(server, b.user-a.user, b.sys-a.sys)
		r.add("server_us_per_"+what, per(server))
		r.add("server_user_us_per_"+what, per(user))
		r.add("server_sys_us_per_"+what, per(server-user))
		r.add("server_cores", round(serverCores, 3))
		r.add("rss", b.rss)
		share := func(ticks int64) float64 {
			return round(ratio(float64(ticks)*tick.Seconds(), float64(b.othersAt-a.othersAt)/1e9), 3)
		}
		r.add("other_cores", share(b.others-a.others))
		r.add("ksoftirqd_cores", share(b.deferred-a.deferred))
	}
	r.add("steal_share", round(ratio((b.steal-a.steal).Seconds(), seconds*float64(b.cores)), 4))
	r.add("load_us_per_"+what, per(load))
	r.add("load_cores", round(loadCores, 3))
	r.add("load_saturated", saturated(loadCores, serverCores, b.serverMay, b.isOpenLoop))
	r.add("frames_per_read", round(ratio(float64(b.frames-a.frames), float64(b.reads-a.reads)), 3))
}

// kept reports which share of the frames asked for came in the window. Below 1 the server did not
// keep the rate: its CPU per frame then holds for full load, not for the load asked, and its
// latencies for the frames that came. Above 1 it was still at what had been asked before the
// window.
func (r *report) kept(a, b meter, perSecond float64) {
	r.add("kept", round(float64(b.frames-a.frames)/perSecond/(float64(b.at-a.at)/1e9), 4))
}

// userPart splits CPU time as the kernel's ticks do. The ticks alone are too coarse, 10 ms each,
// and the clock that counts nanoseconds does not split; with no ticks at all there is nothing to go
// by, and all counts as the kernel's.
func userPart(all time.Duration, user, sys int64) time.Duration {
	return time.Duration(ratio(float64(user), float64(user+sys)) * float64(all))
}

// saturated reports whether the load has limited the result. It is one thread. In a closed loop,
// more than 0.9 of a core is no harm while the server uses what it may (95 % of it, since both
// sides wait for each other now and then), for then more load would find little more server. An
// open loop should send on time, and above 0.9 it does not.
func saturated(load, server, serverMay float64, openLoop bool) bool {
	return load > 0.9 && (openLoop || server < 0.95*serverMay)
}
