package agloop

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// Paths of Amazon Bedrock AgentCore's contract, on port 8080.
const (
	agentCoreRuns = "/invocations"
	agentCorePing = "/ping"
)

// agentCore tells whether runs are active, and since when that is so.
type agentCore struct {
	// Any goroutine, under mu.
	mu    sync.Mutex
	busy  bool
	since time.Time
}

// serveAgentCore answers a request of AgentCore's contract, and reports whether it was one.
func (s *Server) serveAgentCore(w http.ResponseWriter, r *http.Request) bool {
	if !s.cfg.AgentCore {
		return false
	}
	switch path := r.URL.EscapedPath(); {
	case path == agentCoreRuns:
		s.serveResource(w, r, runsResource, RunKey{})
		return true
	case path == agentCorePing && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Content-Type", typeJSON)
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(s.agentCore.ping(s.activeRuns() > 0))
		return true
	}
	return false
}

// agentCoreHealth is what AgentCore's ping is answered.
type agentCoreHealth struct {
	Status string `json:"status"`              // "Healthy", or "HealthyBusy" while runs are active
	Since  int64  `json:"time_of_last_update"` // Unix seconds
}

func (a *agentCore) ping(busy bool) agentCoreHealth {
	a.mu.Lock()
	defer a.mu.Unlock()
	if busy != a.busy || a.since.IsZero() {
		a.busy, a.since = busy, time.Now()
	}
	h := agentCoreHealth{Status: "Healthy", Since: a.since.Unix()}
	if busy {
		h.Status = "HealthyBusy"
	}
	return h
}
