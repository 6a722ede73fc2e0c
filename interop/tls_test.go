package interop

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
)

// serveTLS is serve for wss.
func serveTLS(t testing.TB, cfg server.Config) (*server.Server, string) {
	t.Helper()
	cfg.TLS = testkit.ServerTLS(t)
	srv, url := serve(t, cfg)
	return srv, "wss" + strings.TrimPrefix(url, "ws")
}

// eachSecured runs a test with every client library, in every version of TLS.
func eachSecured(t *testing.T, f func(t *testing.T, open opener)) {
	each(t, func(t *testing.T, open opener) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tls.VersionName(version), func(t *testing.T) { f(t, secured(open, version)) })
		}
	})
}

// secured has an opener trust the certificates of tests.
func secured(open opener, version uint16) opener {
	return func(t testing.TB, url string, o dialOptions) (peer, *http.Response, error) {
		o.tls = testkit.ClientTLS()
		o.tls.MaxVersion = version
		return open(t, url, o)
	}
}

func TestTLSServerEcho(t *testing.T) {
	for _, trim := range []bool{false, true} {
		_, url := serveTLS(t, server.Config{Handler: echo{}, TrimTLS: trim})
		eachSecured(t, func(t *testing.T, open opener) { echoes(t, dial(t, open, url)) })
	}
}

func TestTLSServerCloseCodes(t *testing.T) {
	h := closer{ends: make(chan *server.CloseError, 1)}
	_, url := serveTLS(t, server.Config{Handler: h})
	eachSecured(t, func(t *testing.T, open opener) { closes(t, open, url, h) })
}

// TestTLSServerManyClients: at once, each with messages of its own, some of which share a record and
// some of which need many.
func TestTLSServerManyClients(t *testing.T) {
	const clients, messages = 50, 20
	_, url := serveTLS(t, server.Config{Handler: echo{}})
	eachSecured(t, func(t *testing.T, open opener) {
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				p, _, err := open(t, url, dialOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				text := func(n int) string { return strings.Repeat(fmt.Sprint(i, " ", n, " "), 1+n*n*n) }
				var sent sync.WaitGroup
				sent.Go(func() {
					for n := range messages {
						if err := p.send(n%2 == 0, []byte(text(n))); err != nil {
							t.Error(err)
							return
						}
					}
				})
				for n := range messages {
					isText, got, err := p.receive()
					if err != nil || isText != (n%2 == 0) || string(got) != text(n) {
						t.Errorf("client %d: message %d: %d bytes, %v", i, n, len(got), err)
						break
					}
				}
				sent.Wait()
				if err := p.close(1000, ""); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// TestTLSAgentRun: runs one after another by a client of another library.
func TestTLSAgentRun(t *testing.T) {
	_, url := serveTLS(t, server.Config{Agent: agentFunc(story)})
	eachSecured(t, func(t *testing.T, open opener) {
		p := dial(t, open, url)
		for i := range 3 {
			if err := p.sendInPieces(true, input(fmt.Sprint("run-", i)), 10); err != nil {
				t.Fatal(err)
			}
			if types, _ := events(t, p); !slices.Equal(types, storyTypes) {
				t.Errorf("got %q", types)
			}
		}
		if err := p.close(1000, "bye"); err != nil {
			t.Error(err)
		}
	})
}
