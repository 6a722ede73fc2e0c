package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/examples/internal/trial"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/agloop/agloop/server"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// start runs the program and returns the key that its tokens are signed with.
func start(t *testing.T) (url string, key *rsa.PrivateKey) {
	t.Helper()
	key = newKey(t)
	p := trial.Start(t, func(ctx context.Context, ln net.Listener) error {
		return serve(ctx, ln, &key.PublicKey)
	})
	return "ws://" + p.Addr + "/ws", key
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// good are the claims of a token that counts.
func good() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "ada", "exp": time.Now().Add(time.Hour).Unix(),
	}
}

// with is good with one claim changed, or left out if value is nil.
func with(claim string, value any) jwt.MapClaims {
	claims := good()
	claims[claim] = value
	if value == nil {
		delete(claims, claim)
	}
	return claims
}

func sign(t *testing.T, method jwt.SigningMethod, claims jwt.MapClaims, key any) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// way is a way for a token to come.
type way struct {
	name      string
	header    func(token string) http.Header
	protocols func(token string) []string
}

var ways = []way{
	{"header", func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }, none},
	{"cookie", func(token string) http.Header { return http.Header{"Cookie": {"theme=dark; token=" + token}} }, none},
	{"subprotocol", func(string) http.Header { return nil }, func(token string) []string {
		return []string{tokenPrefix + token, protocol} // the token first, which must not be preferred
	}},
}

func none(string) []string { return []string{protocol} }

func TestGoodTokens(t *testing.T) {
	t.Parallel()
	url, key := start(t)
	token := sign(t, jwt.SigningMethodRS256, good(), key)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			c := trial.Connect(t, url, client.Config{Header: w.header(token), Protocols: w.protocols(token)})
			if got := trial.Said(t, c, "hello"); got != "Hello ada." {
				t.Errorf("the agent said %q", got)
			}
			if c.Protocol() != "agloop.v1.json" { // which agloop's client offers by itself
				t.Errorf("the subprotocol is %q", c.Protocol())
			}
			_, resp, err := trial.Dial(t, url, w.header(token), w.protocols(token)...)
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range resp.Header {
				if strings.Contains(strings.Join(values, " "), token) {
					t.Errorf("the response repeats the token in %s", name)
				}
			}
		})
	}
}

// TestNeverEchoed: a token that is the only subprotocol offered is not chosen either.
func TestNeverEchoed(t *testing.T) {
	t.Parallel()
	url, key := start(t)
	conn, resp, err := trial.Dial(t, url, nil, tokenPrefix+sign(t, jwt.SigningMethodRS256, good(), key))
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Values("Sec-Websocket-Protocol"); got != nil || conn.Subprotocol() != "" {
		t.Errorf("the subprotocol is %q", got)
	}
}

// TestBadTokens: by each way, and all are told the same.
func TestBadTokens(t *testing.T) {
	t.Parallel()
	url, key := start(t)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	token := sign(t, jwt.SigningMethodRS256, good(), key)
	head, rest, _ := strings.Cut(token, ".")
	_, signature, _ := strings.Cut(rest, ".")
	_, other, _ := strings.Cut(sign(t, jwt.SigningMethodRS256, with("sub", "eve"), key), ".")
	claims, _, _ := strings.Cut(other, ".")
	for name, token := range map[string]string{
		"nothing":                        "",
		"no token":                       "secret",
		"signed by somebody else":        sign(t, jwt.SigningMethodRS256, good(), newKey(t)),
		"claims of another token":        head + "." + claims + "." + signature,
		"without its signature":          strings.TrimSuffix(token, signature),
		"algorithm none":                 sign(t, jwt.SigningMethodNone, good(), jwt.UnsafeAllowNoneSignatureType),
		"HS256 with the public key, PEM": sign(t, jwt.SigningMethodHS256, good(), public),
		"HS256 with the public key, DER": sign(t, jwt.SigningMethodHS256, good(), der),
		"another algorithm of RSA":       sign(t, jwt.SigningMethodPS256, good(), key),
		"expired":                        sign(t, jwt.SigningMethodRS256, with("exp", time.Now().Add(-time.Second).Unix()), key),
		"without exp":                    sign(t, jwt.SigningMethodRS256, with("exp", nil), key),
		"not valid yet":                  sign(t, jwt.SigningMethodRS256, with("nbf", time.Now().Add(time.Hour).Unix()), key),
		"without sub":                    sign(t, jwt.SigningMethodRS256, with("sub", nil), key),
		"of another issuer":              sign(t, jwt.SigningMethodRS256, with("iss", "https://evil.example"), key),
		"for another service":            sign(t, jwt.SigningMethodRS256, with("aud", "mail.example"), key),
	} {
		for _, w := range ways {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				_, resp, err := trial.Dial(t, url, w.header(token), w.protocols(token)...)
				if err != websocket.ErrBadHandshake {
					t.Fatalf("let in, or failed: %v", err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != "Bearer" || string(body) != unauthorized.Reason {
					t.Errorf("refused with %d, %v, %q", resp.StatusCode, resp.Header, body)
				}
			})
		}
	}
}

// TestForeignPage: a page of another origin does not get in with the cookie of its user.
func TestForeignPage(t *testing.T) {
	t.Parallel()
	url, key := start(t)
	header := http.Header{
		"Cookie": {"token=" + sign(t, jwt.SigningMethodRS256, good(), key)},
		"Origin": {"https://evil.example"},
	}
	if _, resp, err := trial.Dial(t, url, header); err != websocket.ErrBadHandshake || resp.StatusCode != 403 {
		t.Errorf("got %v, %v", resp, err)
	}
	header.Set("Origin", strings.TrimSuffix("http"+strings.TrimPrefix(url, "ws"), "/ws"))
	if _, _, err := trial.Dial(t, url, header); err != nil {
		t.Errorf("a page of the server's own origin: %v", err)
	}
}

// TestExpiry: the connection ends with its token.
func TestExpiry(t *testing.T) {
	t.Parallel()
	url, key := start(t)
	// The first answer waits for the start of the server, which the token should not.
	if _, _, err := trial.Dial(t, url, nil); err != websocket.ErrBadHandshake {
		t.Fatal(err)
	}
	end := time.Now().Add(3 * time.Second).Truncate(time.Second) // exp has whole seconds
	conn, _, err := trial.Dial(t, url, ways[0].header(sign(t, jwt.SigningMethodRS256, with("exp", end.Unix()), key)))
	if err != nil {
		t.Fatal(err)
	}
	if code := trial.CloseCode(t, conn); code != int(server.CloseExpired) {
		t.Errorf("closed with %d", code)
	}
	if early := time.Until(end); early > 0 {
		t.Errorf("closed %v before the token expired", early)
	}
}

// TestGreet: the agent alone, without a server.
func TestGreet(t *testing.T) {
	got := aguitest.Config{Principal: server.Principal{Value: "ada"}}.Run(t, server.AgentFunc(greet), aguitest.Input("hello"))
	got.WantSuccess()
	got.WantText("Hello ada.")
}
