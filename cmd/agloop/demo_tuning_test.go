package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/server"
)

// startDemo serves the demo until the test ends.
func startDemo(t *testing.T) (*server.Server, *http.ServeMux) {
	t.Helper()
	srv, mux := newDemo()
	ln, err := (&listening{addr: "127.0.0.1:0"}).listen()
	if err != nil {
		t.Fatal(err)
	}
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() {
		served <- srv.ServeListener(&readyListener{TCPListener: ln, ready: func() { close(ready) }})
	}()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; !errors.Is(err, server.ErrServerClosed) {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-served:
		served <- err
		t.Fatal(err)
	}
	return srv, mux
}

func postProfile(mux *http.ServeMux, media, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://demo.example/profile", strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

const (
	asJSON = "application/json"
	asForm = "application/x-www-form-urlencoded"
)

func TestProfileTakesEffect(t *testing.T) {
	srv, mux := startDemo(t)
	m := srv.GetPerformanceManager()
	for _, tc := range []struct {
		media, body string
		profile     agloop.Profile
		adaptive    bool
	}{
		{asJSON, `{"profile":"latency"}`, agloop.ProfileLatency, false},
		{asJSON + "; charset=utf-8", `{"profile":"throughput","adaptive":true}`, agloop.ProfileThroughput, true},
		{asForm, `profile=memory`, agloop.ProfileMemory, true},
		{asForm, `adaptive=false`, agloop.ProfileMemory, false},
		{asJSON, `{"profile":"balanced"}`, agloop.ProfileBalanced, false},
	} {
		w := postProfile(mux, tc.media, tc.body, "Sec-Fetch-Site", "same-origin")
		var got pageTuning
		if err := json.NewDecoder(w.Body).Decode(&got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d, %v", tc.body, w.Code, err)
		}
		if m.Profile() != tc.profile || m.GetAdaptiveOptimizer().Enabled() != tc.adaptive {
			t.Errorf("%s: the server has %s, adaptive %v", tc.body, m.Profile(), m.GetAdaptiveOptimizer().Enabled())
		}
		if got.Profile != tc.profile || got.Adaptive != tc.adaptive || got.BatchSize != m.Tuning().MessageBatchSize {
			t.Errorf("%s: answered %+v", tc.body, got)
		}
	}
}

func TestProfileRefuses(t *testing.T) {
	srv, mux := startDemo(t)
	for _, tc := range []struct {
		media, body string
		code        int
		headers     []string
	}{
		{asJSON, `{"profile":"fast"}`, http.StatusBadRequest, nil},
		{asJSON, `{"profile":""}`, http.StatusBadRequest, nil},
		{asJSON, `{"profile":"fast","adaptive":true}`, http.StatusBadRequest, nil},
		{asJSON, `{"profile":"latency","loops":7}`, http.StatusBadRequest, nil},
		{asJSON, `{"profile":"latency"}{}`, http.StatusBadRequest, nil},
		{asJSON, `{"profile":7}`, http.StatusBadRequest, nil},
		{asJSON, `{}`, http.StatusBadRequest, nil},
		{asJSON, ``, http.StatusBadRequest, nil},
		{asJSON, `{"profile":"` + strings.Repeat("x", mostOfChange) + `"}`, http.StatusBadRequest, nil},
		{asForm, `profile=fast`, http.StatusBadRequest, nil},
		{asForm, `profile=latency&adaptive=maybe`, http.StatusBadRequest, nil},
		{asForm, ``, http.StatusBadRequest, nil},
		{"text/plain", `{"profile":"latency"}`, http.StatusUnsupportedMediaType, nil},
		{"", `{"profile":"latency"}`, http.StatusUnsupportedMediaType, nil},
		{asJSON, `{"profile":"latency"}`, http.StatusForbidden, []string{"Sec-Fetch-Site", "cross-site"}},
		{asJSON, `{"profile":"latency"}`, http.StatusForbidden, []string{"Sec-Fetch-Site", "same-site"}},
		{asForm, `profile=latency`, http.StatusForbidden, []string{"Origin", "http://other.example"}},
		{asForm, `profile=latency`, http.StatusForbidden, []string{"Origin", "null"}},
	} {
		if w := postProfile(mux, tc.media, tc.body, tc.headers...); w.Code != tc.code {
			t.Errorf("%s %.40s %v: %d, want %d", tc.media, tc.body, tc.headers, w.Code, tc.code)
		}
	}
	m := srv.GetPerformanceManager()
	if m.Profile() != agloop.ProfileBalanced || m.GetAdaptiveOptimizer().Enabled() {
		t.Errorf("a refused request changed the server: %s, adaptive %v", m.Profile(), m.GetAdaptiveOptimizer().Enabled())
	}
	if w := postProfile(mux, asForm, `profile=latency`, "Origin", "http://demo.example"); w.Code != http.StatusOK {
		t.Errorf("the page's own origin is answered %d", w.Code)
	}
}

func TestStatsTellTheTuning(t *testing.T) {
	_, mux := startDemo(t)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stats", nil))
	var got map[string]any
	if err := json.NewDecoder(w.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"profile": "balanced", "adaptive": false, "batchSize": 10.0, "batchTimeoutMs": 5.0, "lastDecision": nil, "connections": 0.0,
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	tier, _ := got["memoryTier"].(string)
	if pressure, ok := got["memoryPressure"].(float64); tier == "" || !ok || pressure < 0 {
		t.Errorf("memory: %q, %v", tier, got["memoryPressure"])
	}
}
