package main

// pacer says when each message of an open loop is due: evenly in time, whatever has come back.
// Message i is due at begin + i×step, so a reply's latency needs no more than the number in its
// stamp.
type pacer struct {
	begin int64
	step  float64 // nanoseconds from one message to the next
	late  latency // how late messages were sent: the load's own share of their latency
}

func newPacer(rate float64) *pacer { return &pacer{step: 1e9 / rate, late: newLatency()} }

func (p *pacer) due(i int64) int64 { return p.begin + int64(float64(i)*p.step) }

// count is the number of messages due by now.
func (p *pacer) count(now int64) int64 {
	if now < p.begin {
		return 0
	}
	n := int64(float64(now-p.begin) / p.step) // off by at most one, by rounding
	for p.due(n) <= now {
		n++
	}
	for n > 0 && p.due(n-1) > now {
		n--
	}
	return n
}

// outstanding is the most messages that a connection of an open loop has under way. What is due
// beyond it waits, and its latency goes on counting; such a server does not keep up, which the
// figure kept shows.
const outstanding = 4096
