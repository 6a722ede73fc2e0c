package agloop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/run"
)

// httpClient makes the requests of a client whose URL is http or https: each run is a response of its
// own, as the HTTP binding of AG-UI has it, so there is no connection to be kept.
type httpClient struct {
	// Immutable.
	client *Client
	http   *http.Client
}

// newHTTPClient is the HTTP side of a client. cfg has its defaults.
func newHTTPClient(c *Client) *httpClient {
	cfg := &c.cfg
	transport := &http.Transport{
		Proxy:                  func(r *http.Request) (*url.URL, error) { return cfg.proxy(r.URL) },
		DialContext:            cfg.Dial,
		TLSHandshakeTimeout:    max(0, cfg.Limits.HandshakeTimeout),
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: int64(cfg.Limits.MaxHeader),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: max(0, cfg.Limits.PingInterval), PingTimeout: max(0, cfg.Limits.PongTimeout)},
	}
	if cfg.TLS != nil {
		transport.TLSClientConfig = cfg.TLS.Clone()
	}
	return &httpClient{client: c, http: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}
}

// checkRedirect follows a redirect unless that would turn the POST of an input into a GET, or give the
// input, the secret and the fields of the host to another server.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) >= 10:
		return errors.New("agloop: stopped after 10 redirects")
	case r.Method != first.Method, r.URL.Host != first.URL.Host, r.URL.Scheme != first.URL.Scheme && r.URL.Scheme != "https":
		return http.ErrUseLastResponse
	}
	return nil
}

// isHTTP reports whether a URL is for the HTTP binding.
func isHTTP(u *url.URL) bool { return u.Scheme == "http" || u.Scheme == "https" }

// runURL is where a run is joined and cancelled.
func (h *httpClient) runURL(thread, id string) string {
	u := *h.client.url
	path := strings.TrimSuffix(u.EscapedPath(), "/") + "/" + url.PathEscape(thread) + "/" + url.PathEscape(id)
	u.Path, u.RawPath = "", ""
	u.Opaque = "//" + u.Host + path // as it is, whatever the ids hold
	return u.String()
}

// do sends a request, whose response the caller closes. sent reports whether the server may have seen
// it where there is an error.
func (h *httpClient) do(ctx context.Context, method, target string, body []byte, fields http.Header) (res *http.Response, sent bool, err error) {
	cfg := &h.client.cfg
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(string(body)))
	if err != nil {
		return nil, false, err
	}
	if body == nil {
		req.Body, req.ContentLength, req.GetBody = nil, 0, nil
	}
	header, err := cfg.header(ctx)
	if err != nil {
		return nil, false, err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	for name, values := range fields {
		req.Header[name] = values
	}
	if secret := h.client.Secret(); secret != "" {
		req.Header.Set(SecretHeader, secret)
	}
	res, err = h.http.Do(req)
	if err != nil {
		return nil, written.Load(), err
	}
	h.client.mux.noteServer(res.Header)
	return res, true, nil
}

// noteServer keeps who has answered, and the first secret that was told.
func (m *mux) noteServer(header http.Header) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if boot := header.Get(BootHeader); boot != "" {
		m.boot = boot
	}
	if m.secret == "" {
		m.secret = header.Get(SecretHeader)
	}
}

// known is the server that has answered last; "" for one that is not agloop's, and before an answer.
func (m *mux) known() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boot
}

// maxProblem is how much of the body of a refusal is read, in bytes.
const maxProblem = 4 << 10

// problemOf is the error of a response that is no success, which it closes. retry says that the same
// request may succeed later, and after how long.
func problemOf(res *http.Response, thread, id string) (retry bool, after time.Duration, err error) {
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	var p httpProblem
	if t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); t != typeJSON || json.Unmarshal(text, &p) != nil || p.Code == "" {
		p = httpProblem{Message: firstLine(text)}
	}
	if seconds, err := strconv.ParseFloat(res.Header.Get("Retry-After"), 64); err == nil && seconds > 0 {
		after = time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	switch {
	case res.StatusCode == http.StatusNotFound && p.Code == run.CodeGone:
		return false, 0, &GoneError{Thread: thread, Run: id, Reason: p.Reason}
	case res.StatusCode == http.StatusConflict && p.Code == run.CodeConflict:
		return false, 0, ErrConflict
	case res.StatusCode == http.StatusRequestEntityTooLarge && p.Code == run.CodeTooLarge:
		return false, 0, fmt.Errorf("%w: %s", ErrInputTooBig, p.Message)
	}
	retry = res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests
	return retry, after, &RejectedError{Status: res.StatusCode, Code: p.Code, Field: p.Field, Message: p.Message}
}

// firstLine is what of a body stands in an error's text.
func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return strings.ToValidUTF8(line[:min(len(line), 256)], "")
}

// cancel asks the server to stop a run.
func (h *httpClient) cancel(ctx context.Context, thread, id string) error {
	if err := h.client.life.Err(); err != nil {
		return ErrClientClosed
	}
	res, _, err := h.do(ctx, http.MethodDelete, h.runURL(thread, id), nil, nil)
	if err != nil {
		return err
	}
	if res.StatusCode < 300 {
		return res.Body.Close()
	}
	_, _, err = problemOf(res, thread, id)
	if rejected, ok := errors.AsType[*RejectedError](err); ok && rejected.Code == "" &&
		slices.Contains([]int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented}, res.StatusCode) {
		return ErrNoResume // a server of AG-UI that is not ours
	}
	if errors.Is(err, ErrGone) {
		return nil // as over a WebSocket: there is nothing to stop
	}
	return err
}
