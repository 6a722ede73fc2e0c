package loop

import (
	"crypto/tls"
	"net"
)

// tlsListener gives connections of TLS that can move onto a loop.
type tlsListener struct {
	net.Listener
	cfg *tls.Config
}

// NewTLSListener gives connections of type *tls.Conn, as net/http wants them, of which a mounted server
// can take the socket out. The config is made by NewTLSConfig.
func NewTLSListener(ln net.Listener, cfg *tls.Config) net.Listener {
	return &tlsListener{ln, cfg}
}

// Accept implements net.Listener.
func (l *tlsListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newServerLink(nc, l.cfg).tls, nil
}
