package main

import (
	"fmt"
	"strconv"

	"github.com/agloop/agloop/bench/result"
)

// ssePath is where runs are served over HTTP.
const ssePath = "/agui"

// netHTTP is a server of Server-Sent Events as they are written by hand on net/http.
var netHTTP = rival("nethttp", false)

// sse are runs over HTTP/1.1, each a response of its own. In bursts of one they are half as many, for no
// server writes 100,000 times a second on one core, and one that falls behind writes less often.
func (s settings) sse() []workload {
	var all []workload
	for _, burst := range []int{1, 4} {
		streams := 5000
		if burst == 1 {
			streams = 2500
		}
		if s.quick {
			streams = 500
		}
		all = append(all, workload{
			name: fmt.Sprintf("sse/streams=%d/burst=%d", streams, burst), group: "sse",
			title: fmt.Sprintf("server CPU per event over HTTP (SSE), %d streams of 20 events/s, bursts of %d", streams, burst),
			path:  ssePath, load: append(streamLoad(streams, burst, 8), "--rate", strconv.Itoa(20/burst)),
			servers: []server{agloop("stream"), netHTTP},
			measure: perEvent, beside: append([]result.Measure{perStream}, append(besides("event", "events"), kept)...),
		})
	}
	return all
}
