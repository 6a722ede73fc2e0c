//go:build aguidebug

package codec

import (
	"fmt"
	"sync/atomic"
)

// serializerLoan knows whether a serializer is lent. The zero value is lent: what
// NewSerializer returns belongs to the caller.
type serializerLoan struct{ over atomic.Bool }

func (l *serializerLoan) begin() { l.over.Store(false) }

func (l *serializerLoan) end() {
	if l.over.Swap(true) {
		panic("codec: serializer put twice")
	}
}

func (l *serializerLoan) check() {
	if l.over.Load() {
		panic("codec: use of a serializer after Put")
	}
}

func serializerForeign(s Serializer) {
	panic(fmt.Sprintf("codec: Put of %T, which no factory lends", s))
}
