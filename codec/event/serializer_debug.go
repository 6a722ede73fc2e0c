//go:build aguidebug

package event

import "sync/atomic"

// serializerLoan checks that a serializer is used only while it is lent. The zero value is lent,
// because what NewSerializer returns belongs to the caller.
type serializerLoan struct{ over atomic.Bool }

func (l *serializerLoan) begin() { l.over.Store(false) }

func (l *serializerLoan) end() {
	if l.over.Swap(true) {
		panic("event: serializer put twice")
	}
}

func (l *serializerLoan) check() {
	if l.over.Load() {
		panic("event: use of a serializer after Put")
	}
}
