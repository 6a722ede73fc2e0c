package handshake

import "net/http"

// ConnectRequest asks a proxy for a tunnel to a server, RFC 9110 §9.3.6.
type ConnectRequest struct {
	// Addr is the server's, "host:port".
	Addr string
	// Authorization is the value of Proxy-Authorization. "" leaves the field out.
	Authorization string
}

// AppendConnectRequest appends the request to dst. When a part of r is not valid in a head, it
// returns dst as it was and a *[DialError] without a status, which quotes nothing.
func AppendConnectRequest(dst []byte, r ConnectRequest) ([]byte, error) {
	if _, port, ok := cutHost([]byte(r.Addr)); !ok || port < 0 {
		return dst, &DialError{Reason: "bad host"}
	}
	if !consistsOf(r.Authorization, valueByte) {
		return dst, &DialError{Reason: "bad credentials for the proxy"}
	}
	dst = append(dst, "CONNECT "...)
	dst = append(dst, r.Addr...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, r.Addr...)
	if r.Authorization != "" {
		dst = append(dst, "\r\nProxy-Authorization: "...)
		dst = append(dst, r.Authorization...)
	}
	return append(dst, "\r\n\r\n"...), nil
}

// ParseConnectResponse checks one complete response head, as [ScanHead] measures it, of a proxy.
// Any 2xx has made the tunnel, and what its fields say of a body is to be ignored, RFC 9110 §9.3.6.
// Anything else is a *[DialError].
func ParseConnectResponse(head []byte) error {
	line, rest, _ := cutLine(head)
	status, text, ok := dialStatusLine(line)
	if !ok {
		return &DialError{Reason: "malformed status line"}
	}
	if status/100 == http.StatusOK/100 {
		return nil
	}
	p := responseParser{}
	p.fields(rest)
	return p.refusal(status, text, "refused to connect to the server")
}
