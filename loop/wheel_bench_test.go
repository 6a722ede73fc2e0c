package loop

import "testing"

// BenchmarkWheel is the timer wheel of a loop with 15,000 connections whose next deadline lies 25 s
// ahead, as a ping's does: 60 of them come up with every tick and are hung up again. One operation
// is one deadline: it comes up, and the next one is set.
func BenchmarkWheel(b *testing.B) {
	const conns, ahead = 15000, 250
	var w wheel
	now := uint32(1)
	w.init(now)
	all := make([]Conn, conns)
	for i := range all {
		w.schedule(&all[i], now+1+uint32(i%ahead))
	}
	fired := 0
	due := func(c *Conn) {
		fired++
		w.schedule(c, now+ahead)
	}
	turn := func() {
		now++
		w.advance(now, due)
	}
	for range ahead { // each has come up once, and the scratch has its size
		turn()
	}
	if fired != conns {
		b.Fatalf("%d deadlines of %d came up in a turn", fired, conns)
	}
	fired = 0
	b.ReportAllocs()
	b.ResetTimer()
	for fired < b.N {
		turn()
	}
}
