package loop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"unsafe"

	"github.com/agloop/agloop/tune"
)

// A tls.Conn keeps the buffers of the largest record and of the largest handshake message that it has
// read for as long as it lives: 3 KB after the handshake, 17 KB and more after a large message, and
// offers no way to give them back (golang/go #81348). Here, and nowhere else, they are taken from it by
// their place in memory, on request only (docs/adr/0025-tls.md).

// tlsPlaces says where a tls.Conn has its buffers.
type tlsPlaces struct{ rawInput, input, hand uintptr }

// findTLS looks at the tls.Conn of this toolchain.
var findTLS = sync.OnceValues(func() (at tlsPlaces, err error) {
	conn := reflect.TypeFor[tls.Conn]()
	for _, f := range []struct {
		name string
		kind reflect.Type
		at   *uintptr
	}{
		{"rawInput", reflect.TypeFor[bytes.Buffer](), &at.rawInput},
		{"input", reflect.TypeFor[bytes.Reader](), &at.input},
		{"hand", reflect.TypeFor[bytes.Buffer](), &at.hand},
	} {
		field, ok := conn.FieldByName(f.name)
		if !ok || field.Type != f.kind {
			return at, &tune.ConfigError{Field: "TrimTLS", Reason: fmt.Sprintf(
				"does not know the crypto/tls of %s: its Conn has no field %s of type %v; leave it off", runtime.Version(), f.name, f.kind,
			)}
		}
		*f.at = field.Offset
	}
	return at, nil
})

// CheckTrimTLS returns a *tune.ConfigError unless this toolchain's crypto/tls is one that TrimTLS knows.
func CheckTrimTLS() error {
	_, err := findTLS()
	return err
}

// trimTLS takes the buffers of conn away where nothing is in them. On the loop, which alone reads.
func trimTLS(conn *tls.Conn) {
	at, err := findTLS()
	if err != nil {
		return
	}
	base := unsafe.Pointer(conn)
	raw := (*bytes.Buffer)(unsafe.Add(base, at.rawInput))
	input := (*bytes.Reader)(unsafe.Add(base, at.input))
	hand := (*bytes.Buffer)(unsafe.Add(base, at.hand))
	if raw.Len() > 0 || input.Len() > 0 || hand.Len() > 0 || raw.Cap()+hand.Cap() < trimFrom {
		return
	}
	*raw, *input, *hand = bytes.Buffer{}, bytes.Reader{}, bytes.Buffer{}
}

// trimFrom is how much must be gained, in bytes: buffers for small messages stay, for they would have
// to be made again for each.
const trimFrom = 1 << 10
