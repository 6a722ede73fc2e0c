//go:build aguidebug

package event

import "sync/atomic"

// Loan checks that a serializer is used only while it is lent. The zero value is lent, because a new
// serializer belongs to the caller. Without the build tag aguidebug it checks nothing.
type Loan struct{ over atomic.Bool }

// Begin lends.
func (l *Loan) Begin() { l.over.Store(false) }

// End takes back. It panics when that was done already.
func (l *Loan) End() {
	if l.over.Swap(true) {
		panic("event: serializer put twice")
	}
}

// Check panics when nothing is lent.
func (l *Loan) Check() {
	if l.over.Load() {
		panic("event: use of a serializer after Put")
	}
}
