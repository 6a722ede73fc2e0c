package agloop

import (
	"net/http"
	"slices"

	"github.com/agloop/agloop/codec/handshake"
)

// allowOrigin lets a page of another origin read the response where Origins lists that. With "*" alone
// it may, but without credentials: any page could use a user's cookies otherwise.
func (s *Server) allowOrigin(h http.Header, r *http.Request) {
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	listed := handshake.OriginPolicy{Allowed: slices.DeleteFunc(slices.Clone(s.cfg.Origins), func(o string) bool { return o == "*" })}
	switch {
	case listed.Check([]byte(origin), []byte(r.Host), r.TLS != nil) == nil:
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	case slices.Contains(s.cfg.Origins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		return
	}
	h.Set("Access-Control-Expose-Headers", SecretHeader+", "+LastHeader+", "+BootHeader+", Retry-After")
}

// preflightAge is how long a browser may keep the answer to a preflight, in seconds.
const preflightAge = "600"

// answerPreflight answers an OPTIONS request: a browser asks before a page of another origin sends
// JSON. Nobody is authorized for that, since a preflight has no credentials.
func (s *Server) answerPreflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	if h.Get("Access-Control-Allow-Origin") != "" && r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Max-Age", preflightAge)
		if fields := r.Header.Get("Access-Control-Request-Headers"); fields != "" {
			h.Add("Vary", "Access-Control-Request-Headers")
			h.Set("Access-Control-Allow-Headers", fields)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
