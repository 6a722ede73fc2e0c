package prom_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/metrics/prom"
)

func TestHandler(t *testing.T) {
	h := prom.Handler(prom.NewCollector(nil, func(s *metrics.Source) { s.Snapshot.Opened, s.Snapshot.Closed = 7, 3 }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"\nagloop_connections_opened_total 7", "\ngo_goroutines ", "\nprocess_resident_memory_bytes "} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in what it serves (status %d):\n%.2000s", want, w.Code, w.Body)
		}
	}
}
