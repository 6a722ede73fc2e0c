package agloop_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
)

// TestR41TransportRunsSurvive: the runs of a transport go on over the next connections, each once and
// whole, while others wait for a place.
func TestR41TransportRunsSurvive(t *testing.T) {
	const runs, kills = 12, 20
	s := newTeller(8, 20)
	_, addr := serveEach(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
	r := newBreaker(t, addr)
	s.sweep(t, r)
	tr := startTransport(t, agloop.TransportConfig{
		URLs: []string{r.url()}, ConnectionsPerURL: 3, ReconnectMin: time.Millisecond, ReconnectMax: 2 * time.Millisecond,
		Client: agloop.ClientConfig{Logger: quiet, Header: http.Header{"Authorization": {"ann"}}},
	})
	r.killing(5, kills, 3000, cutClosed, cutReset, cutSilent)
	r.cutAll(cutReset)
	var loops sync.WaitGroup
	for i := range runs {
		loops.Go(func() {
			thread, id := fmt.Sprint("t", i), fmt.Sprint("r", i)
			got, err := s.hear(thread, id, tr.Run(t.Context(), inThread(thread, id)))
			s.wantWhole(t, thread, id, got, err)
		})
	}
	loops.Wait()
	if st := tr.Stats(); st.Runs != runs || st.RunsFailed != 0 || st.Busy != 0 || st.Waiting != 0 || st.Lost == 0 {
		t.Errorf("%+v", st)
	}
}
