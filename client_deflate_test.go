package agloop_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
)

var compressed = agloop.Compression{Enabled: true, Takeover: true}

// TestDeflateKilledAgainAndAgain: several runs at once over compressed connections that end at any byte:
// each event comes once and in order, whatever windows were lost.
func TestDeflateKilledAgainAndAgain(t *testing.T) {
	const runs, kills = 5, 25
	for seed := range uint64(2) {
		for _, takeover := range []bool{true, false} {
			t.Run(fmt.Sprint(seed, takeover), func(t *testing.T) {
				s := newTeller(8, 20)
				srv, addr := serveEach(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet, Compression: compressed})
				r := newBreaker(t, addr)
				s.sweep(t, r)
				compress := func(cfg *agloop.ClientConfig) {
					cfg.Compression = agloop.Compression{Enabled: true, Takeover: takeover, Threshold: -1}
				}
				c := r.client(t, compress)
				r.killing(seed, kills, 1500, cutClosed, cutReset, cutSilent)
				r.cutAll(cutReset)
				var loops sync.WaitGroup
				for i := range runs {
					loops.Go(func() { s.runWhole(t, c, fmt.Sprint("t", i), fmt.Sprint("r", i)) })
				}
				loops.Wait()
				for i := 0; ; i++ { // the client is of use, whatever else is ended
					s.runWhole(t, c, "later", fmt.Sprint(i))
					r.mu.Lock()
					cuts := r.cuts
					r.mu.Unlock()
					if cuts == kills || t.Failed() {
						break
					}
				}
				cost := func(c *agloop.Client, run string) int {
					before := srv.Stats().BytesOut
					s.runWhole(t, c, "counted", run)
					return int(srv.Stats().BytesOut - before)
				}
				plain := newBreaker(t, addr).client(t, nil)
				if here, there := cost(c, "a"), cost(plain, "b"); takeover && here > there*2/3 {
					t.Errorf("a run took %d bytes compressed and %d plain", here, there)
				}
			})
		}
	}
}

// TestDeflateLateViewers: who joins a run later has an empty window, so the first message that it gets
// refers to nothing; and it shares the rest with the others. Some come back at their cursor.
func TestDeflateLateViewers(t *testing.T) {
	const tokens, viewers = 600, 12
	for _, takeover := range []bool{true, false} {
		t.Run(fmt.Sprint("takeover ", takeover), func(t *testing.T) {
			p := newPuppets(t)
			cfg := compressing(p)
			cfg.Compression.Threshold = -1
			_, addr := serve(t, cfg)
			fields := []string{browserOffers, "Sec-WebSocket-Protocol: " + control.Protocol}
			if !takeover {
				fields[0] += "; server_no_context_takeover"
			}
			first := newInflating(t, addr, fields...)
			hello := first.hello()
			first.Put(testkit.Text(`["start",{"ref":"1","input":` + namedInput("t", "r") + `}]`))
			p.emit("r", &agui.TextMessageStart{MessageID: oneMessage, Role: agui.RoleAssistant})
			words := tokensOf(t, "words", tokens)
			all := []*inflating{first}
			for i, word := range words {
				p.emit("r", tokenOf(oneMessage, word, i))
				if i%(tokens/viewers) != 0 {
					continue
				}
				v := newInflating(t, addr, fields...)
				v.hello()
				v.Put(
					testkit.Text(`["bind",{"ref":"b","secret":"`+hello.Secret+`"}]`),
					testkit.Text(`["attach",{"ref":"a","threadId":"t","runId":"r"}]`),
				)
				all = append(all, v)
			}
			p.emit("r", &agui.TextMessageEnd{MessageID: oneMessage})
			p.end("r")
			for i, v := range all {
				got, packed := "", 0
				for ended := false; !ended; {
					m, was := v.read()
					var ev struct{ Type, Delta string }
					if control.IsControl([]byte(m)) {
						continue
					}
					if err := json.Unmarshal([]byte(m), &ev); err != nil {
						t.Fatalf("%q: %v", m, err)
					}
					if got += ev.Delta; was {
						packed++
					}
					ended = ev.Type == "RUN_FINISHED"
				}
				if got != strings.Join(words, "") {
					t.Errorf("viewer %d got other text", i)
				}
				if takeover && packed < v.cost.frames/2 && v.cost.frames > 100 {
					t.Errorf("viewer %d: %d of %d were compressed", i, packed, v.cost.frames)
				}
			}
		})
	}
}

// hello reads what a server says first.
func (v *inflating) hello() (h control.Hello) {
	v.t.Helper()
	m, _ := v.read()
	name, body, err := control.Parse([]byte(m))
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	if err != nil || name != control.NameHello {
		v.t.Fatalf("the first message is %s, %v", m, err)
	}
	return h
}
