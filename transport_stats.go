package agloop

// TransportStats are a transport's figures at one moment. Counters are totals since NewTransport.
type TransportStats struct {
	Wanted   int // connections to keep: URLs times ConnectionsPerURL
	Up       int // connections up now
	Busy     int // connections that a run has now
	Dialling int // connections being dialled or waiting to be: each is a goroutine
	Waiting  int // runs that wait for a connection now

	Dials        uint64 // attempts to connect
	Redials      uint64 // of these, those of a connection that had been tried before
	DialFailures DialFailures
	Lost         uint64 // connections that were up and ended while the transport ran

	Runs          uint64 // runs whose input was sent
	RunsFailed    uint64 // of these, those that ended with an error; RUN_ERROR is none
	EventsIn      uint64 // events of runs
	EventsOut     uint64 // events taken by SendEvent
	UnknownEvents uint64 // events of a type nobody knows, dropped
	Stripped      uint64 // unknown members and elements, removed
	Unclaimed     uint64 // messages that came while no run was on their connection, dropped
	HandlerPanics uint64 // panics recovered from event handlers

	LastError error // of a dial, a connection or a run; nil while there was none
}

// DialFailures count attempts to connect that failed, by kind.
type DialFailures struct {
	Refused uint64 // the server answered, but not with a flawless 101, or the proxy refused: a *DialError
	Timeout uint64 // no answer in time
	Network uint64 // everything else: no such host, nobody listens, cut during the handshake
}

// transportCounts are the counters that are written under Transport.mu.
type transportCounts struct {
	dials, redials, lost, runs, runsFailed uint64
	failures                               DialFailures
	lastErr                                error
}

// Stats returns the figures now.
func (t *Transport) Stats() TransportStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := TransportStats{
		Wanted: len(t.slots), Up: t.pool.up, Busy: t.pool.busy, Waiting: t.pool.waiters.Len(),
		Dials: t.counts.dials, Redials: t.counts.redials, DialFailures: t.counts.failures, Lost: t.counts.lost,
		Runs: t.counts.runs, RunsFailed: t.counts.runsFailed,
		EventsIn: t.eventsIn.Load(), EventsOut: t.eventsOut.Load(),
		UnknownEvents: t.streams.unknown.Load(), Stripped: t.streams.stripped.Load(),
		Unclaimed: t.unclaimed.Load(), HandlerPanics: t.panics.Load(),
		LastError: t.counts.lastErr,
	}
	if t.lifetime != nil {
		st.Dialling = t.lifetime.alive - t.pool.up
	}
	return st
}
