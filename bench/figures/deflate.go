package main

import (
	"fmt"

	"github.com/agloop/agloop/bench/result"
)

// Cases of permessage-deflate. Each library compresses as it does by default, but token events too, which some leave alone as too short.
// All say the same text. Events have some 140 bytes: what gws writes with finds no repetition in less than 128.

var (
	deflateTakeover = []string{"gws, takeover", "coder, takeover"}
	deflateRivals   = append([]string{"gws, no takeover", "coder, no takeover", "gorilla, no takeover"}, deflateTakeover...)

	wireShare    = result.Measure{Key: "wire_share", Name: "bytes on the wire ÷ plain"}
	wirePerEvent = result.Measure{Key: "wire_bytes_per_event", Name: "on the wire per event", Unit: "B"}
	perStream    = result.Measure{Key: "bytes_per_conn", Name: "RSS per connection", Unit: "B"}
)

func (s settings) deflate() []workload { return []workload{s.deflateStream(1), s.deflateStream(4)} }

// deflateStream has fewer runs than stream, for compressing costs more than all else.
func (s settings) deflateStream(burst int) workload {
	s.runs = max(1, s.runs/10)
	w := s.stream(20, burst)
	w.name, w.group, w.title = "deflate-"+w.name, "deflate-stream", w.title+", compressed"
	w.load = append(w.load, "--delta", "40")
	w.beside = append([]result.Measure{wireShare, wirePerEvent, perStream}, w.beside...)
	w.sweep = &result.Sweep{Plot: "burst", Axis: w.sweep.Axis, X: w.sweep.X}
	ours := agloop("stream").with("--deflate")
	w.servers = []server{
		ours.as("agloop", "--deflate", "takeover"), ours.as("agloop, no takeover", "--deflate", "none"),
		agloop("stream").as("agloop, not compressed"),
	}
	for _, m := range []struct {
		srv      server
		contexts []string
	}{{gorilla, []string{"none"}}, {gws, []string{"takeover", "none"}}, {coder, []string{"takeover", "none"}}} {
		for _, context := range m.contexts {
			said := "takeover"
			if context == "none" {
				said = "no takeover"
			}
			srv := m.srv.with("--deflate", context)
			w.servers = append(w.servers, srv.as(fmt.Sprintf("%s, %s", srv.name, said), "--deflate", context))
		}
	}
	return w
}
