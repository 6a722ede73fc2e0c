package agloop

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/loop"
)

// parseURL returns the URL of a server, or why it is none of the schemes.
func parseURL(rawURL string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // it quotes the URL, and so what may be secret
		return nil, &ConfigError{Field: "URL", Reason: "is not a valid URL: write ws://host:port/path, other characters escaped"}
	}
	if !slices.Contains(schemes, u.Scheme) {
		return nil, &ConfigError{Field: "URL", Reason: fmt.Sprintf("scheme %q must be one of %s, as in wss://host:port/path",
			u.Scheme, strings.Join(schemes, ", "))}
	}
	if u.Hostname() == "" {
		return nil, &ConfigError{Field: "URL", Reason: "has no host"}
	}
	return u, nil
}

// connect opens the connection to the server of u, or to the proxy on the way, and says what is to
// be asked there. cfg has its defaults.
func (cfg *ClientConfig) connect(ctx context.Context, u *url.URL) (nc net.Conn, dial loop.DialConfig, err error) {
	dial = loop.DialConfig{URL: publicURL(u), Request: cfg.request(u)}
	if dial.Request.Header, err = cfg.header(ctx); err != nil {
		return nil, dial, err
	}
	if u.Scheme == "wss" {
		dial.TLS = loop.NewClientTLSConfig(cfg.TLS, u.Hostname())
	}
	proxy, err := cfg.proxy(u)
	if err != nil {
		return nil, dial, err
	}
	addr := dialAddr(u)
	if proxy == nil {
		nc, err = cfg.Dial(ctx, "tcp", addr)
		return nc, dial, err
	}
	dial.Proxy = dialAddr(proxy)
	dial.Connect = handshake.ConnectRequest{Addr: addr, Authorization: basicAuth(proxy.User)}
	if nc, err = cfg.Dial(ctx, "tcp", dial.Proxy); err != nil {
		err = fmt.Errorf("agloop: dial: proxy %s: %w", dial.Proxy, err)
	}
	return nc, dial, err
}

// connectGuarded is connect for a goroutine of ours: a panic of the host's must not end it.
func (cfg *ClientConfig) connectGuarded(ctx context.Context, u *url.URL) (_ net.Conn, _ loop.DialConfig, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("agloop: dial: panic in a function of ClientConfig: %v", v)
			cfg.Logger.LogAttrs(ctx, slog.LevelError, "agloop: panic in a function of ClientConfig",
				slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		}
	}()
	return cfg.connect(ctx, u)
}

// request is the opening handshake for u, but for what Auth says.
func (cfg *ClientConfig) request(u *url.URL) handshake.DialRequest {
	return handshake.DialRequest{Host: u.Host, Target: u.RequestURI(), Protocols: cfg.Protocols, Header: cfg.Header}
}

// header is Header with the fields of Auth laid over it.
func (cfg *ClientConfig) header(ctx context.Context) (http.Header, error) {
	if cfg.Auth == nil {
		return cfg.Header, nil
	}
	fields, err := cfg.Auth(ctx)
	if err != nil {
		return nil, fmt.Errorf("agloop: dial: Auth: %w", err)
	}
	header := maps.Clone(cfg.Header)
	if header == nil {
		header = http.Header{}
	}
	for name := range fields {
		maps.DeleteFunc(header, func(other string, _ []string) bool { return strings.EqualFold(other, name) })
	}
	maps.Copy(header, fields)
	return header, nil
}

// proxy is the proxy on the way to u; nil is none.
func (cfg *ClientConfig) proxy(u *url.URL) (*url.URL, error) {
	if cfg.Proxy == nil {
		return nil, nil
	}
	lent := *u
	proxy, err := cfg.Proxy(&lent)
	switch {
	case err != nil:
		return nil, fmt.Errorf("agloop: dial: Proxy: %w", err)
	case proxy == nil:
		return nil, nil
	case proxy.Scheme != "http":
		return nil, &ConfigError{Field: "Proxy", Reason: fmt.Sprintf("scheme %q is not supported; http is", proxy.Scheme)}
	case proxy.Hostname() == "":
		return nil, &ConfigError{Field: "Proxy", Reason: "has no host"}
	}
	return proxy, nil
}

// ProxyFromEnvironment is a ClientConfig.Proxy that names the proxy of the environment: HTTP_PROXY
// for ws and http, HTTPS_PROXY for wss and https, unless NO_PROXY names the host, and never for localhost and
// loopback addresses. It is http.ProxyFromEnvironment, which reads the environment once.
func ProxyFromEnvironment(u *url.URL) (*url.URL, error) {
	asHTTP := *u
	if scheme, ok := strings.CutPrefix(u.Scheme, "ws"); ok {
		asHTTP.Scheme = "http" + scheme
	}
	return http.ProxyFromEnvironment(&http.Request{URL: &asHTTP})
}

// publicURL is u without what may be secret.
func publicURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// dialAddr is the address to dial for a ws, wss or http URL.
func dialAddr(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "wss":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// basicAuth is the value of Authorization, RFC 7617; "" for nobody.
func basicAuth(user *url.Userinfo) string {
	if user == nil {
		return ""
	}
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}
