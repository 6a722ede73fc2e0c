package loop

import (
	"fmt"
	"net"
	"time"
)

// pump has a connection of TLS whose socket cannot be taken out of it served all the same: goroutines
// carry its bytes to a socket pair, whose near end goes to a loop. It costs two goroutines, two
// descriptors and 64 KiB; Server.Listener avoids that.
func (d *Door) pump(nc net.Conn) (near net.Conn, err error) {
	near, far, err := socketPair()
	if err != nil {
		nc.Close()
		return nil, err
	}
	d.pumped.Do(func() {
		d.log.Warn("agloop: connections of TLS from a foreign listener are carried by goroutines; listen with Server.Listener",
			"type", fmt.Sprintf("%T", nc))
	})
	p := &pumping{nc: nc, far: far.(*net.UnixConn), stall: d.limits.WriteTimeout, linger: d.limits.CloseTimeout}
	in := make(chan struct{})
	go func() {
		defer close(in)
		p.in()
	}()
	go func() {
		defer nc.Close()
		defer far.Close()
		p.out()
		<-in
	}()
	return near, nil
}

// pumping is a connection whose bytes goroutines carry.
type pumping struct {
	// Immutable.
	nc            net.Conn
	far           *net.UnixConn
	stall, linger time.Duration
}

// in carries what the peer says, until it has ended.
func (p *pumping) in() {
	b := make([]byte, 32<<10)
	for {
		n, err := p.nc.Read(b)
		if n > 0 {
			if _, err := p.far.Write(b[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = p.far.CloseWrite()
}

// out carries what the loop says until that has ended, and then gives the peer some time to end too.
func (p *pumping) out() {
	b := make([]byte, 32<<10)
	for {
		n, err := p.far.Read(b)
		if n > 0 {
			if p.stall > 0 {
				_ = p.nc.SetWriteDeadline(time.Now().Add(p.stall))
			}
			if _, err := p.nc.Write(b[:n]); err != nil {
				_ = p.nc.SetReadDeadline(time.Unix(1, 0))
				return
			}
		}
		if err != nil {
			break
		}
	}
	if half, ok := p.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = p.nc.SetReadDeadline(time.Now().Add(p.linger))
}
