package handshake

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
)

// The header of the PROXY protocol, version 2, as HAProxy's proxy-protocol.txt §2.2 has it: the
// signature, version and command, family and transport, length, and then so many bytes.
const (
	proxyHead      = 16
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	// maxProxy bounds the header with everything that a proxy adds behind the addresses, in bytes.
	maxProxy = 2 << 10
)

// ParseProxy reads the header of the PROXY protocol, version 2, at the start of buf. n is its
// length, 0 while more bytes are needed. source is the client's address; it is not valid when the
// proxy speaks for itself (LOCAL), as for a health check, or when the client has none. err is an
// *[UpgradeError] with status 400 for anything else.
func ParseProxy(buf []byte) (source netip.AddrPort, n int, err error) {
	sig := min(len(buf), len(proxySignature))
	if string(buf[:sig]) != proxySignature[:sig] {
		return source, 0, errProxy
	}
	if len(buf) < proxyHead {
		return source, 0, nil
	}
	command, family := buf[12], buf[13]
	length := int(binary.BigEndian.Uint16(buf[14:]))
	if command>>4 != 2 || command&0xf > 1 || proxyHead+length > maxProxy {
		return source, 0, errProxy
	}
	if len(buf) < proxyHead+length {
		return source, 0, nil
	}
	n = proxyHead + length
	if command&0xf == 0 { // LOCAL
		return source, n, nil
	}
	body := buf[proxyHead:n]
	switch family {
	case 0x11: // TCP over IPv4: two addresses, two ports
		if len(body) < 12 {
			return source, 0, errProxy
		}
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[:4])), binary.BigEndian.Uint16(body[8:]))
	case 0x21: // TCP over IPv6
		if len(body) < 36 {
			return source, 0, errProxy
		}
		source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[:16])).Unmap(), binary.BigEndian.Uint16(body[32:]))
	}
	return source, n, nil
}

// Proxies are the networks whose X-Forwarded-For and -Proto count.
type Proxies []netip.Prefix

// Trusts reports whether addr is a proxy's. One that is not valid, of a unix socket, is trusted as
// soon as any proxy is: who may connect to the socket is up to its file.
func (p Proxies) Trusts(addr netip.Addr) bool {
	if !addr.IsValid() {
		return len(p) > 0
	}
	addr = addr.Unmap().WithZone("")
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// Client returns the client's address and whether it used https, for a request from peer, whose own
// connection is secure or not. The fields of a peer that is not trusted change nothing. The client is
// the last address in X-Forwarded-For that is no proxy's: what stands before it the client may have
// written itself.
func (p Proxies) Client(req *Request, peer netip.AddrPort, secure bool) (client netip.AddrPort, https bool) {
	if !p.Trusts(peer.Addr()) {
		return peer, secure
	}
	var list []byte
	for value := range req.Field("x-forwarded-for") {
		list = append(append(list, ','), value...)
	}
	client = peer
	for len(list) > 0 && p.Trusts(client.Addr()) {
		n := bytes.LastIndexByte(list, ',')
		addr, ok := forwardedAddr(string(trim(list[n+1:])))
		if !ok {
			break
		}
		client, list = addr, list[:max(n, 0)]
	}
	var proto []byte
	for value := range req.Field("x-forwarded-proto") {
		proto = trim(value[bytes.LastIndexByte(value, ',')+1:])
	}
	if len(proto) == 0 {
		return client, secure
	}
	return client, equalFold(proto, "https") || equalFold(proto, "wss")
}

// forwardedAddr reads one address of X-Forwarded-For, which some proxies give a port.
func forwardedAddr(s string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return netip.AddrPortFrom(addr.Unmap(), 0), err == nil
}
